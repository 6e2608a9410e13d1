"""What to fold so that a large workflow still makes a picture that can be read."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchkit.model.nodes import Activity, End, Flow, FlowKind, Scope, Task

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from orchkit.model.definition import Workflow
    from orchkit.model.nodes import Node

__all__ = ["Folding", "fold", "inside"]

_SHORTEST_CHAIN = 3


@dataclass(frozen=True, slots=True)
class Folding:
    """Scopes that are drawn as one node, and sets of sibling nodes that are drawn as one."""

    scopes: frozenset[str] = frozenset()
    sets: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class _Graph:
    """The nodes and flows of the workflow or of an open scope."""

    nodes: tuple[Node, ...]
    flows: tuple[Flow, ...]

    @property
    def weight(self) -> int:
        """How many shapes it takes."""
        return sum(1 + isinstance(getattr(node, "compensate", None), Task) for node in self.nodes)


def fold(workflow: Workflow, max_nodes: int, collapse: bool | Iterable[str] | None) -> Folding:  # noqa: FBT001 -- a value of draw's keyword
    """Return what to fold.

    Parameters
    ----------
    workflow
        What is drawn.
    max_nodes
        How many shapes there may be: first scopes are folded, the innermost first; then chains of
        nodes without a branch, the longest first; then what is farthest from the start.
    collapse
        True folds every scope, False nothing at all; names fold these scopes, whatever the size.
    """
    if collapse is False:
        return Folding()
    depths = dict(_scopes(workflow.nodes, 0))
    if collapse is True:
        closed = set(depths)
    else:
        closed = set(collapse or ()) & set(depths)
        for name in sorted(depths, key=lambda name: -depths[name]):
            if sum(graph.weight for graph in _graphs(workflow, closed)) <= max_nodes:
                break
            closed.add(name)
    return Folding(frozenset(closed), tuple(_sets(list(_graphs(workflow, closed)), max_nodes)))


def inside(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield the nodes of a graph and of its scopes, at any depth, each scope before what it holds."""
    waiting = list(nodes)[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Scope):
            waiting.extend(reversed(node.nodes))


def _scopes(nodes: Iterable[Node], depth: int) -> Iterator[tuple[str, int]]:
    for node in nodes:
        if isinstance(node, Scope):
            yield node.name, depth
            yield from _scopes(node.nodes, depth + 1)


def _graphs(workflow: Workflow, closed: Collection[str]) -> Iterator[_Graph]:
    """Yield the graphs that are drawn: the workflow's and those of the scopes that are open."""
    waiting = [_Graph(workflow.nodes, workflow.flows)]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting.extend(
            _Graph(node.nodes, node.flows)
            for node in graph.nodes
            if isinstance(node, Scope) and node.name not in closed
        )


def _sets(graphs: Sequence[_Graph], max_nodes: int) -> Iterator[tuple[str, ...]]:
    """Yield sets of siblings to fold until what is left fits."""
    excess = sum(graph.weight for graph in graphs) - max_nodes
    left = []
    chains = [(graph, chain) for graph in graphs for chain in _chains(graph)]
    folded: set[str] = set()
    for _, chain in sorted(chains, key=lambda item: -len(item[1])):
        if excess <= 0:
            return
        yield chain
        folded.update(chain)
        excess -= len(chain) - 1
    for graph in sorted(graphs, key=lambda graph: -graph.weight):
        left = _far_first(graph, folded)
        if excess <= 0 or len(left) <= _SHORTEST_CHAIN:
            return
        cut = tuple(left[: excess + 1])
        yield cut
        excess -= len(cut) - 1


def _chains(graph: _Graph) -> Iterator[tuple[str, ...]]:
    """Yield the middles of the chains: activities with one flow in and one out."""
    entering = Counter(flow.target for flow in graph.flows)
    leaving = Counter(flow.source for flow in graph.flows)
    plain = {
        node.name
        for node in graph.nodes
        if isinstance(node, Activity) and entering[node.name] == leaving[node.name] == 1
    }
    following = {
        flow.source: flow.target
        for flow in graph.flows
        if flow.kind is FlowKind.NORMAL and flow.condition is None and {flow.source, flow.target} <= plain
    }
    heads = sorted(plain - set(following.values()))
    for head in heads:
        chain = [head]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        if len(chain) >= _SHORTEST_CHAIN + 2:
            yield tuple(chain[1:-1])


def _far_first(graph: _Graph, folded: Collection[str]) -> list[str]:
    """Return the nodes by their distance from the first one, the farthest first; ends and folded ones left out."""
    following: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for flow in graph.flows:
        following[flow.source].append(flow.target)
    seen: dict[str, None] = {}
    waiting = deque(node.name for node in graph.nodes[:1])
    while waiting:
        name = waiting.popleft()
        if name not in seen:
            seen[name] = None
            waiting.extend(following[name])
    order = [*seen, *(name for name in following if name not in seen)]
    kept = {node.name for node in graph.nodes if isinstance(node, End)} | set(folded)
    return [name for name in reversed(order) if name not in kept]
