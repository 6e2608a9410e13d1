"""Data flow: which variables are set where, on all ways that lead there or on some.

Variables are bits of integers. Both analyses go forward over the graph: *surely* is what all ways have set (a join of
parallel branches has what any branch has set), *maybe* is what some way has set. Scopes share the variables around
them, except for the passes of a for-each, which keep what they set to themselves.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchkit.checks.levels import concurrent, ends_apart
from orchkit.checks.readings import Moment
from orchkit.model.nodes import Activity, End, FlowKind, ForEach, Gateway, GatewayKind, Scope, While

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from orchkit.checks.levels import Level
    from orchkit.tokens import Net

__all__ = ["DataFlow", "data_flow"]

ERROR = "error"


@dataclass(slots=True)
class _Sets:
    """For each node of a graph, the variables that it sets, as bits."""

    surely: list[int]
    maybe: list[int]


@dataclass(slots=True)
class DataFlow:
    """What is known of the variables of a workflow.

    Attributes
    ----------
    bits
        The bit of each variable.
    setters
        The nodes that set a variable: level and number.
    """

    bits: dict[str, int] = field(default_factory=dict)
    setters: dict[str, list[tuple[Level, int]]] = field(default_factory=dict)
    _sets: dict[Level, _Sets] = field(default_factory=dict)
    _surely: dict[Level, list[int]] = field(default_factory=dict)
    _maybe: dict[Level, list[int]] = field(default_factory=dict)
    _inside: dict[str, tuple[int, int]] = field(default_factory=dict)

    def bit(self, name: str) -> int:
        """Return the bit of a variable, a new one where it has none."""
        return self.bits.setdefault(name, 1 << len(self.bits))

    def surely(self, level: Level, number: int, moment: Moment) -> int:
        """Return what is set on all ways to a moment of a node; -1, all variables, where no way leads."""
        before = self._surely[level][number]
        return before | self._more(self._sets[level].surely[number], level, number, moment, inside=0)

    def maybe(self, level: Level, number: int, moment: Moment) -> int:
        """Return what is set on some way to a moment of a node."""
        before = self._maybe[level][number]
        return before | self._more(self._sets[level].maybe[number], level, number, moment, inside=1)

    def _more(self, own: int, level: Level, number: int, moment: Moment, *, inside: int) -> int:
        node = level.net.nodes[number]
        match moment:
            case Moment.AFTER | Moment.UNDO:
                return own
            case Moment.FAILED:
                return self.bits[ERROR] | (own if inside and isinstance(node, Scope) else 0)
            case Moment.PASS if isinstance(node, ForEach):
                return self.bits[node.item]
            case Moment.PASSED if isinstance(node, ForEach):
                return self.bits[node.item] | self._inside[node.name][inside]
            case _:
                return 0

    def set_beside(self, level: Level, number: int, bit: int) -> bool:
        """Whether a variable is set by a node that may be open at the same time."""
        at: Level | None = level
        while at is not None:
            maybe = self._sets[at].maybe
            others = (other for other in range(len(maybe)) if maybe[other] & bit and other != number)
            if any(concurrent(at, number, other) for other in others):
                return True
            number, at = at.number, at.outer
        return False


def data_flow(levels: Sequence[Level], inputs: Iterable[str]) -> DataFlow:
    """Return the data flow of a workflow.

    Parameters
    ----------
    levels
        Its graphs, each after the one around it.
    inputs
        Variables that are there when a run begins.
    """
    flow = DataFlow()
    given = sum(flow.bit(name) for name in dict.fromkeys(inputs))
    flow.bit(ERROR)
    for level in reversed(levels):
        _note_sets(flow, level)
    for level in levels:
        surely, maybe = _on_entry(flow, level, given)
        flow._surely[level] = _all_ways(level.net, flow._sets[level].surely, surely, flow.bits[ERROR])
        flow._maybe[level] = _some_way(level.net, flow._sets[level].maybe, maybe, flow.bits[ERROR])
    return flow


def _note_sets(flow: DataFlow, level: Level) -> None:
    """Note what each node of a graph sets, and what the graph as a whole sets."""
    sets = _Sets([], [])
    for number, node in enumerate(level.net.nodes):
        surely = maybe = 0
        if isinstance(node, Activity) and (isinstance(node, ForEach) or not isinstance(node, Scope)):
            surely = maybe = flow.bit(node.output_name)
            flow.setters.setdefault(node.output_name, []).append((level, number))
        if isinstance(node, ForEach):
            flow.bit(node.item)
        elif isinstance(node, Scope):
            surely, maybe = flow._inside[node.name]
            if isinstance(node, While):
                surely = 0
            if node.fallback is not None:
                surely, maybe = 0, maybe | flow.bit(node.output_name)
                flow.setters.setdefault(node.output_name, []).append((level, number))
        sets.surely.append(surely)
        sets.maybe.append(maybe)
    flow._sets[level] = sets
    error = flow.bits[ERROR]
    net = level.net
    caught = error if any(net.on_error) or any(net.on_timeout) else 0
    everything = caught
    for bits in sets.maybe:
        everything |= bits
    if level.scope is not None:
        flow._inside[level.scope.name] = (_on_exit(level, sets, error), everything)


def _on_exit(level: Level, sets: _Sets, error: int) -> int:
    """Return what is set on all ways through a graph."""
    net = level.net
    before = _all_ways(net, sets.surely, 0, error)
    found = []
    for number, node in enumerate(net.nodes):
        failing = isinstance(node, End) and node.error is not None
        if before[number] != -1 and not net.outgoing[number] and not failing:
            found.append(before[number] | sets.surely[number])
    if not found:
        return 0
    # Where branches end apart, each has its own end, and all of them are reached.
    either = not ends_apart(level)
    result = found[0]
    for bits in found[1:]:
        result = result & bits if either else result | bits
    return result


def _on_entry(flow: DataFlow, level: Level, given: int) -> tuple[int, int]:
    """Return what is set, surely and maybe, when a graph begins."""
    if level.scope is None or level.outer is None:
        return given, given
    surely = flow._surely[level.outer][level.number]
    maybe = flow._maybe[level.outer][level.number]
    if isinstance(level.scope, ForEach):
        item = flow.bits[level.scope.item]
        return surely | item, maybe | item
    if isinstance(level.scope, While):
        return surely, maybe | flow._inside[level.scope.name][1]
    return surely, maybe


def _all_ways(net: Net, sets: Sequence[int], entry: int, error: int) -> list[int]:
    def together(number: int, ways: Iterator[int]) -> int:
        node = net.nodes[number]
        joins = isinstance(node, Gateway) and node.kind is GatewayKind.PARALLEL
        result = 0 if joins else -1
        for bits in ways:
            result = result | bits if joins else result & bits
        return result

    return _forward(net, sets, [error] * len(net.nodes), entry, together, unseen=-1)


def _some_way(net: Net, sets: Sequence[int], entry: int, error: int) -> list[int]:
    def together(_: int, ways: Iterator[int]) -> int:
        result = 0
        for bits in ways:
            result |= bits
        return result

    # A scope that fails may have set anything inside.
    failed = [error | (bits if isinstance(node, Scope) else 0) for node, bits in zip(net.nodes, sets, strict=True)]
    return _forward(net, sets, failed, entry, together, unseen=0)


def _forward(
    net: Net,
    sets: Sequence[int],
    failed: Sequence[int],
    entry: int,
    together: Callable[[int, Iterator[int]], int],
    *,
    unseen: int,
) -> list[int]:
    """Return what is set before each node: the fixpoint of a forward analysis."""
    before = [unseen] * len(net.nodes)
    starts = frozenset(net.starts)
    is_normal = [flow.kind is FlowKind.NORMAL for flow in net.flows]

    def ways(number: int) -> Iterator[int]:
        if number in starts:
            yield entry
        for flow in net.incoming[number]:
            source = net.source[flow]
            yield before[source] | (sets[source] if is_normal[flow] else failed[source])

    visited = bytearray(len(net.nodes))
    waiting = deque(net.starts)
    while waiting:
        number = waiting.popleft()
        bits = together(number, ways(number))
        if visited[number] and bits == before[number]:
            continue
        visited[number] = 1
        before[number] = bits
        for flows in (net.outgoing[number], net.on_error[number], net.on_timeout[number]):
            waiting.extend(net.target[flow] for flow in flows)
    return before
