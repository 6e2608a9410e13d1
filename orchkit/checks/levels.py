"""The graphs of a workflow: its own and those of its scopes, each with the graph around it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from orchkit.model.nodes import Activity, End, Gateway, GatewayKind, Scope, Start, Task
from orchkit.tokens import Net, net_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchkit.model.definition import Workflow

__all__ = ["Level", "concurrent", "enclosing", "ends_apart", "levels_of", "reached", "tasks_of"]


@dataclass(frozen=True, eq=False)  # no slots: what is costly is computed once, when it is asked for
class Level:
    """One graph.

    Attributes
    ----------
    scope
        The scope that it is in; None for the workflow's own graph.
    outer
        The level that the scope is in.
    net
        Its nodes and flows.
    """

    scope: Scope | None
    outer: Level | None
    net: Net
    _apart: dict[tuple[int, int], bool] = field(default_factory=dict, repr=False)

    @cached_property
    def number(self) -> int:
        """Number of the scope's node in the level around."""
        return -1 if self.scope is None or self.outer is None else self.outer.net.index[self.scope.name]

    @cached_property
    def forks(self) -> list[list[set[int]]]:
        """For each node that may send several tokens, the nodes that each of its flows leads to."""
        net = self.net
        ways = [[{start, *reached(net, [start])} for start in net.starts]] if len(net.starts) > 1 else []
        for number, node in enumerate(net.nodes):
            flows = net.outgoing[number]
            forks = isinstance(node, Activity | Start) or (
                isinstance(node, Gateway) and node.kind in (GatewayKind.PARALLEL, GatewayKind.INCLUSIVE)
            )
            if forks and len(flows) > 1:
                ways.append([{net.target[flow], *reached(net, [net.target[flow]])} for flow in flows])
        return ways


def levels_of(workflow: Workflow) -> list[Level]:
    """Return the graphs of a workflow, each after the one around it."""
    levels: list[Level] = []
    todo: deque[tuple[Scope | None, Level | None]] = deque([(None, None)])
    while todo:
        scope, outer = todo.popleft()
        inside = workflow if scope is None else scope
        level = Level(scope, outer, net_of(inside.nodes, inside.flows))
        levels.append(level)
        todo.extend((node, level) for node in inside.nodes if isinstance(node, Scope))
    return levels


def enclosing(level: Level) -> Iterator[Scope]:
    """Yield the scopes around what is in a graph, from inside to outside."""
    at: Level | None = level
    while at is not None:
        if at.scope is not None:
            yield at.scope
        at = at.outer


def tasks_of(level: Level) -> Iterator[tuple[Task, Activity | None]]:
    """Yield the tasks of a graph, and the compensations with what they undo."""
    for node in level.net.nodes:
        if isinstance(node, Task):
            yield node, None
        if isinstance(node, Activity) and isinstance(node.compensate, Task):
            yield node.compensate, node


def reached(net: Net, nodes: Iterable[int]) -> set[int]:
    """Return what a token can come to after these nodes."""
    seen: set[int] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        for flow in (*net.outgoing[node], *net.on_error[node], *net.on_timeout[node]):
            target = net.target[flow]
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return seen


def concurrent(level: Level, one: int, other: int) -> bool:
    """Whether two nodes lie on different branches of a fork, so that both may be open at once."""
    key = (min(one, other), max(one, other))
    if key not in level._apart:
        level._apart[key] = any(_apart(ways, one, other) for ways in level.forks)
    return level._apart[key]


def _apart(ways: list[set[int]], one: int, other: int) -> bool:
    here = [one in way for way in ways]
    there = [other in way for way in ways]
    mixed = any(first and second for first, second in zip(here, there, strict=True))
    return any(here) and any(there) and not mixed


def ends_apart(level: Level) -> bool:
    """Whether the branches of some fork lead to different ends, and are not all joined."""
    net = level.net
    ends = {number for number, node in enumerate(net.nodes) if isinstance(node, End) or not net.outgoing[number]}
    return len(ends) > 1 and any(len({frozenset(way & ends) for way in ways}) > 1 for ways in level.forks)
