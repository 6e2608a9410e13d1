"""The token game of one graph: how gateways join and split. Pure, on integers.

A marking is one integer. Bit ``f`` says that flow ``f`` holds a token that waits at a join; bit
``flows + n`` says that node ``n`` is open: it has begun and has no outcome yet. Gateways fire at once;
what takes time (tasks, waits, scopes, calls) opens. The machine plays it with real decisions, the
check of soundness with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from orchkit.model.nodes import Activity, End, Flow, FlowKind, Gateway, GatewayKind, Start

if TYPE_CHECKING:
    from orchkit.model.nodes import Node

__all__ = [
    "Fault",
    "FaultKind",
    "Net",
    "Settled",
    "alternatives",
    "begin",
    "exits",
    "has_choice",
    "net_of",
    "settle",
    "settle_all",
]

# A settling that moves more tokens than this (and a few for each flow) goes in a circle of gateways.
_MOVES = 1_000
_MOVES_PER_FLOW = 4

# Given a node and the flows that it may take, the flows that it takes.
Choose = Callable[[int, tuple[int, ...]], Sequence[int]]


class FaultKind(StrEnum):
    """What can go wrong with tokens."""

    UNSAFE = "unsafe"
    NO_FLOW = "no flow"
    LIVELOCK = "livelock"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the token game, and the node where it shows."""

    kind: FaultKind
    node: int
    flow: int = -1


@dataclass(slots=True)
class Settled:
    """What a settling gives.

    Attributes
    ----------
    marking
        The new one.
    opened
        Nodes that opened, in order.
    ends
        Ends that were reached.
    moved
        Flows that a token went along, in order.
    terminated
        The end that ended all else.
    fault
        What went wrong; the rest is as far as it had come.
    """

    marking: int
    opened: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    terminated: int | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Net:
    """The index of one graph: nodes and flows by number.

    Attributes
    ----------
    nodes, flows
        As in the definition.
    source, target
        Node of each flow.
    incoming
        Flows that enter each node, of all kinds.
    outgoing, on_error, on_timeout
        Flows that leave each node, by kind, in order.
    starts
        Nodes where a token begins.
    rivals
        Bits of the waits that lose when this one, behind the same event gateway, wins.
    joins
        For each inclusive join: its number and, for each node, the bits of the join's incoming flows that a
        token there can still reach without passing the join.
    """

    nodes: tuple[Node, ...]
    flows: tuple[Flow, ...]
    index: dict[str, int]
    source: tuple[int, ...]
    target: tuple[int, ...]
    incoming: tuple[tuple[int, ...], ...]
    outgoing: tuple[tuple[int, ...], ...]
    on_error: tuple[tuple[int, ...], ...]
    on_timeout: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    rivals: tuple[int, ...]
    joins: dict[int, tuple[int, ...]]
    in_masks: tuple[int, ...]

    def open_bit(self, node: int) -> int:
        """Return the bit that says that a node is open."""
        return 1 << (len(self.flows) + node)

    def open_nodes(self, marking: int) -> Iterator[int]:
        """Yield the nodes that are open."""
        rest = marking >> len(self.flows)
        while rest:
            low = rest & -rest
            yield low.bit_length() - 1
            rest ^= low

    def held_flows(self, marking: int) -> Iterator[int]:
        """Yield the flows whose token waits at a join."""
        rest = marking & ((1 << len(self.flows)) - 1)
        while rest:
            low = rest & -rest
            yield low.bit_length() - 1
            rest ^= low


@lru_cache(maxsize=4096)
def net_of(nodes: tuple[Node, ...], flows: tuple[Flow, ...]) -> Net:
    """Return the index of a graph."""
    index = {node.name: number for number, node in enumerate(nodes)}
    source = tuple(index[flow.source] for flow in flows)
    target = tuple(index[flow.target] for flow in flows)
    incoming: list[list[int]] = [[] for _ in nodes]
    leaving: dict[FlowKind, list[list[int]]] = {kind: [[] for _ in nodes] for kind in FlowKind}
    for number, flow in enumerate(flows):
        incoming[target[number]].append(number)
        leaving[flow.kind][source[number]].append(number)
    starts = [number for number, node in enumerate(nodes) if isinstance(node, Start)]
    if not starts:
        # As in BPMN: without a start event, what nothing leads to begins.
        starts = [number for number in range(len(nodes)) if not incoming[number]]
    rivals = [0] * len(nodes)
    for number, node in enumerate(nodes):
        if isinstance(node, Gateway) and node.kind is GatewayKind.EVENT:
            waits = {target[flow] for flow in leaving[FlowKind.NORMAL][number]}
            for wait in waits:
                for other in waits - {wait}:
                    rivals[wait] |= 1 << (len(flows) + other)
    joins = {
        number: _reach(number, incoming, source, len(nodes))
        for number, node in enumerate(nodes)
        if isinstance(node, Gateway) and node.kind is GatewayKind.INCLUSIVE and len(incoming[number]) > 1
    }
    return Net(
        nodes=nodes,
        flows=flows,
        index=index,
        source=source,
        target=target,
        incoming=_frozen(incoming),
        outgoing=_frozen(leaving[FlowKind.NORMAL]),
        on_error=_frozen(leaving[FlowKind.ERROR]),
        on_timeout=_frozen(leaving[FlowKind.TIMEOUT]),
        starts=tuple(starts),
        rivals=tuple(rivals),
        joins=joins,
        in_masks=tuple(sum(1 << flow for flow in flows_in) for flows_in in incoming),
    )


def _frozen(lists: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(item) for item in lists)


def _reach(join: int, incoming: list[list[int]], source: tuple[int, ...], count: int) -> tuple[int, ...]:
    """For each node, the incoming flows of the join (as bits) that a token there can reach without passing it."""
    reach = [0] * count
    for flow in incoming[join]:
        seen = {join}
        stack = [source[flow]]
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            reach[node] |= 1 << flow
            stack.extend(source[before] for before in incoming[node])
    return tuple(reach)


def begin(net: Net, choose: Choose) -> Settled:
    """Return what opens when a token begins at each start."""
    settled = Settled(0)
    _play(net, settled, [(start, -1) for start in net.starts], choose)
    return settled


def settle(net: Net, marking: int, flows: Iterable[int], choose: Choose) -> Settled:
    """Return what a marking becomes when tokens go along these flows.

    Parameters
    ----------
    net
        The graph.
    marking
        Without the bit of the node that the tokens leave.
    flows
        Flows to go along, each with a token.
    choose
        Called for each split that has a choice.
    """
    settled = Settled(marking)
    _play(net, settled, [(net.target[flow], flow) for flow in flows], choose)
    return settled


def _play(net: Net, settled: Settled, agenda: list[tuple[int, int]], choose: Choose) -> None:
    agenda.reverse()
    moves = _MOVES + _MOVES_PER_FLOW * len(net.flows)
    while settled.fault is None and settled.terminated is None:
        if not agenda:
            join = _enabled_inclusive_join(net, settled.marking) if net.joins else None
            if join is None:
                return
            settled.marking &= ~net.in_masks[join]
            _split(net, join, agenda, choose, settled)
            continue
        node, flow = agenda.pop()
        if flow >= 0:
            settled.moved.append(flow)
            moves -= 1
            if not moves:
                settled.fault = Fault(FaultKind.LIVELOCK, node, flow)
                return
        _arrive(net, settled, node, flow, agenda, choose)


def _arrive(
    net: Net,
    settled: Settled,
    number: int,
    flow: int,
    agenda: list[tuple[int, int]],
    choose: Choose,
) -> None:
    """Let a token arrive at a node."""
    node = net.nodes[number]
    if isinstance(node, Activity):
        bit = net.open_bit(number)
        if settled.marking & bit:
            settled.fault = Fault(FaultKind.UNSAFE, number, flow)
            return
        settled.marking |= bit
        settled.opened.append(number)
    elif isinstance(node, Gateway):
        if len(net.incoming[number]) > 1 and node.kind in (GatewayKind.PARALLEL, GatewayKind.INCLUSIVE):
            bit = 1 << flow
            if settled.marking & bit:
                settled.fault = Fault(FaultKind.UNSAFE, number, flow)
                return
            settled.marking |= bit
            if node.kind is GatewayKind.INCLUSIVE:
                return  # decided when all else has settled
            mask = net.in_masks[number]
            if settled.marking & mask != mask:
                return
            settled.marking &= ~mask
        _split(net, number, agenda, choose, settled)
    elif isinstance(node, End):
        settled.ends.append(number)
        if node.terminate or node.error is not None:
            settled.terminated = number
            settled.marking = 0 if node.terminate else settled.marking
    else:
        _push(net, agenda, net.outgoing[number])


def has_choice(net: Net, number: int) -> bool:
    """Return whether a node is a gateway that asks which of its flows to take."""
    node = net.nodes[number]
    if not isinstance(node, Gateway) or node.kind not in (GatewayKind.EXCLUSIVE, GatewayKind.INCLUSIVE):
        return False
    flows = net.outgoing[number]
    return len(flows) > 1 or any(net.flows[flow].condition is not None for flow in flows)


def _split(net: Net, number: int, agenda: list[tuple[int, int]], choose: Choose, settled: Settled) -> None:
    flows: Sequence[int] = net.outgoing[number]
    if has_choice(net, number):
        flows = choose(number, net.outgoing[number])
        if not flows:
            settled.fault = Fault(FaultKind.NO_FLOW, number)
            return
    _push(net, agenda, flows)


def _push(net: Net, agenda: list[tuple[int, int]], flows: Sequence[int]) -> None:
    # The agenda is a stack: the first flow is played first.
    agenda.extend((net.target[flow], flow) for flow in reversed(flows))


def _enabled_inclusive_join(net: Net, marking: int) -> int | None:
    """Return an inclusive join that may fire.

    BPMN 2.0 (13.4.3): at least one incoming flow has a token, and each token elsewhere that could still reach
    an empty incoming flow can also reach one that has a token.
    """
    for join, reach in net.joins.items():
        mask = net.in_masks[join]
        held = marking & mask
        if not held:
            continue
        empty = mask & ~held
        others = [net.target[flow] for flow in net.held_flows(marking & ~mask)]
        others.extend(net.open_nodes(marking))
        if all(not reach[node] & empty or reach[node] & held for node in others):
            return join
    return None


def exits(net: Net, number: int) -> Iterator[tuple[int, ...]]:
    """Yield every set of flows that the end of an activity may send tokens along.

    The normal outcome first (with each choice of an implicit split), then one set for each error and timeout flow.
    """
    flows = net.outgoing[number]
    fixed = tuple(flow for flow in flows if net.flows[flow].condition is None)
    optional = [flow for flow in flows if net.flows[flow].condition is not None]
    for size in range(len(optional), -1, -1):
        for some in combinations(optional, size):
            yield tuple(sorted((*fixed, *some)))
    for flow in (*net.on_error[number], *net.on_timeout[number]):
        yield (flow,)


def alternatives(net: Net, number: int) -> Iterator[tuple[int, ...]]:
    """Yield every set of flows that a gateway with a choice may take.

    An exclusive one takes one flow; an inclusive one any set of those with conditions, or the default.
    """
    node = net.nodes[number]
    flows = net.outgoing[number]
    if not (isinstance(node, Gateway) and node.kind is GatewayKind.INCLUSIVE):
        yield from ((flow,) for flow in flows)
        return
    optional = [flow for flow in flows if net.flows[flow].condition is not None]
    for size in range(1, len(optional) + 1):
        yield from combinations(optional, size)
    yield from ((flow,) for flow in flows if net.flows[flow].condition is None)


def settle_all(net: Net, marking: int, flows: Iterable[int] | None) -> Iterator[Settled]:
    """Yield every settling, one for each way to decide the splits; ``flows=None`` begins at the starts.

    A split decides the same way each time that a token passes it in one settling, since no variable changes in between.
    """
    going = None if flows is None else tuple(flows)
    # The decisions of one settling, in the order of the splits' first visits, and what is left to try for each.
    choices: list[tuple[int, ...]] = []
    others: list[Iterator[tuple[int, ...]]] = []
    while True:
        decided: dict[int, tuple[int, ...]] = {}

        def choose(node: int, _: tuple[int, ...], decided: dict[int, tuple[int, ...]] = decided) -> tuple[int, ...]:
            if node not in decided:
                if len(decided) == len(choices):
                    others.append(alternatives(net, node))
                    choices.append(next(others[-1]))
                decided[node] = choices[len(decided)]
            return decided[node]

        yield begin(net, choose) if going is None else settle(net, marking, going, choose)
        while others:
            following = next(others[-1], None)
            if following is not None:
                choices[-1] = following
                break
            others.pop()
            choices.pop()
        else:
            return
