"""Who is to blame for a fault of the tokens: the split and the join that do not fit each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchkit.checks.traces import decisions
from orchkit.model.nodes import Activity, Gateway, GatewayKind, Start
from orchkit.tokens import FaultKind, Net

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orchkit.checks.exploration import Move
    from orchkit.tokens import Fault

__all__ = ["Blame", "of_deadlock", "of_fault", "of_no_end"]


@dataclass(frozen=True, slots=True)
class Blame:
    """The node where a fault shows, the split and the join behind it, and what happens."""

    node: int
    split: int | None
    join: int | None
    reason: str


def of_deadlock(net: Net, moves: Sequence[Move]) -> Blame:
    """Blame for tokens that wait at a join for others that cannot come."""
    marking = moves[-1].marking
    held = list(net.held_flows(marking))
    waiting = sorted({net.target[flow] for flow in held})
    join = next((node for node in waiting if not _victim(net, node, held, waiting)), waiting[0])
    missing = [flow for flow in net.incoming[join] if flow not in held]
    split = _last_that_led_away(net, moves, missing, join)
    if split is None:
        split = _dominator(net, join, _is_split)
    came = _names(net, (net.source[flow] for flow in held if net.target[flow] == join))
    lacks = _names(net, (net.source[flow] for flow in missing))
    where = f" {net.nodes[split].name!r} sent it another way." if split is not None else ""
    name = net.nodes[join].name
    reason = f"Deadlock: {name!r} has a token from {came} and waits for one from {lacks} that cannot come.{where}"
    return Blame(join, split, join, reason)


def _victim(net: Net, node: int, held: Sequence[int], waiting: Sequence[int]) -> bool:
    """Whether a join only waits for what another one holds back."""
    missing = [flow for flow in net.incoming[node] if flow not in held]
    return not _sources(net, missing, node).isdisjoint(set(waiting) - {node})


def _last_that_led_away(net: Net, moves: Sequence[Move], missing: Sequence[int], join: int) -> int | None:
    """Return the last node that could have sent a token to the missing flows, and sent it elsewhere."""
    leading = _sources(net, missing, join)
    for move in reversed(moves):
        made = decisions(net, move)
        if move.node is not None:
            made.insert(0, (move.node, move.flows))
        for node, taken in reversed(made):
            others = {*net.outgoing[node], *net.on_error[node], *net.on_timeout[node]}.difference(taken)
            leads = [flow in missing or net.target[flow] in leading for flow in taken]
            if not any(leads) and any(flow in missing or net.target[flow] in leading for flow in others):
                return node
    return None


def of_fault(net: Net, moves: Sequence[Move], fault: Fault) -> Blame:
    """Blame for a second token, or for a circle of gateways."""
    name = net.nodes[fault.node].name
    if fault.kind is FaultKind.LIVELOCK:
        split = next((node for node, _ in reversed(decisions(net, moves[-1]))), None)
        reason = f"Livelock: the gateways around {name!r} send a token in a circle that takes no time and has no end."
        return Blame(fault.node, split, None, reason)
    if fault.kind is FaultKind.NO_FLOW:
        return Blame(fault.node, fault.node, None, f"{name!r} has no flow to take.")
    join = _merge(net, fault)
    split = _dominator(net, join, _is_fork)
    if split is None:
        split = _last_fork(net, moves, join)
    text = f"A second token reaches {name!r} while it still has the first one"
    if split is not None:
        text += f": {net.nodes[split].name!r} sends several, and {net.nodes[join].name!r} does not bring them together"
    return Blame(fault.node, split, join, f"{text}.")


def of_no_end(net: Net, moves: Sequence[Move]) -> Blame:
    """Blame for a run that can go on, but can never end."""
    last = moves[-1]
    nodes = list(net.open_nodes(last.marking))
    made = [node for move in moves for node, _ in decisions(net, move)]
    reason = f"No end can be reached any more from {_names(net, nodes)}."
    return Blame(nodes[0], made[-1] if made else None, None, reason)


def _merge(net: Net, fault: Fault) -> int:
    """Return the node in front of a fault where tokens come together without waiting for each other."""
    node, flow = fault.node, fault.flow
    if isinstance(net.nodes[node], Gateway):
        node = net.source[flow]
    seen = set()
    while node not in seen:
        seen.add(node)
        incoming = net.incoming[node]
        if not incoming:
            break
        if len(incoming) > 1 and not _is_parallel(net, node):
            return node
        node = net.source[incoming[0]]
    return fault.node


def _last_fork(net: Net, moves: Sequence[Move], join: int) -> int | None:
    leading = _sources(net, net.incoming[join], join)
    for move in reversed(moves):
        for flow in reversed(move.moved):
            node = net.source[flow]
            if _is_fork(net, node) and (node == join or node in leading):
                return node
    return None


def _is_parallel(net: Net, number: int) -> bool:
    node = net.nodes[number]
    return isinstance(node, Gateway) and node.kind is GatewayKind.PARALLEL


def _is_split(net: Net, number: int) -> bool:
    return len(net.outgoing[number]) + len(net.on_error[number]) + len(net.on_timeout[number]) > 1


def _is_fork(net: Net, number: int) -> bool:
    """Whether a node may send several tokens."""
    node = net.nodes[number]
    several = len(net.outgoing[number]) > 1
    if isinstance(node, Gateway):
        return several and node.kind in (GatewayKind.PARALLEL, GatewayKind.INCLUSIVE)
    return several and isinstance(node, Activity | Start)


def _sources(net: Net, flows: Iterable[int], join: int) -> set[int]:
    """Return the nodes from which a token can reach one of these flows without passing the join."""
    found: set[int] = set()
    stack = [net.source[flow] for flow in flows]
    while stack:
        node = stack.pop()
        if node not in found and node != join:
            found.add(node)
            stack.extend(net.source[flow] for flow in net.incoming[node])
    return found


def _dominator(net: Net, node: int, wanted: Callable[[Net, int], bool]) -> int | None:
    """Return the nearest node of a kind that every way to a node leads through."""
    above = _dominators(net)
    at = above.get(node, -1)
    while at >= 0:
        if wanted(net, at):
            return at
        at = above[at]
    return None


def _dominators(net: Net) -> dict[int, int]:
    """Return the immediate dominator of each node that can be reached; -1 stands for the beginning.

    Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm" (2001).
    """
    order = _postorder(net)
    rank = {node: place for place, node in enumerate(order)}
    rank[-1] = len(order)
    above: dict[int, int] = {-1: -1}
    changed = True
    while changed:
        changed = False
        for node in reversed(order):
            sources = [net.source[flow] for flow in net.incoming[node]]
            if node in net.starts:
                sources.append(-1)
            common: int | None = None
            for source in sources:
                if source in above:
                    common = source if common is None else _meet(source, common, above, rank)
            if common is not None and above.get(node) != common:
                above[node] = common
                changed = True
    del above[-1]
    return above


def _meet(one: int, other: int, above: dict[int, int], rank: dict[int, int]) -> int:
    while one != other:
        while rank[one] < rank[other]:
            one = above[one]
        while rank[other] < rank[one]:
            other = above[other]
    return one


def _postorder(net: Net) -> list[int]:
    order: list[int] = []
    seen: set[int] = set()
    stack: list[tuple[int, bool]] = [(start, False) for start in net.starts]
    while stack:
        node, left = stack.pop()
        if left:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            flows = (*net.outgoing[node], *net.on_error[node], *net.on_timeout[node])
            stack.extend((net.target[flow], False) for flow in flows)
    return order


def _names(net: Net, nodes: Iterable[int]) -> str:
    return ", ".join(repr(net.nodes[node].name) for node in dict.fromkeys(nodes)) or "nowhere"
