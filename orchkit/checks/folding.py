"""From a net to the graph that is folded, and from what is left back to a net that can be explored."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from orchkit.checks.blocks import NOTHING, Block, Decision, activities, decide, work
from orchkit.checks.reduction import Edge, Graph, Role, Vertex
from orchkit.model.nodes import Activity, End, Flow, Gateway, GatewayKind, Start, Task
from orchkit.tokens import Net, has_choice, net_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchkit.model.nodes import Node

__all__ = ["Core", "core_of", "graph_of"]


# From the net -------------------------------------------------------------------


def graph_of(net: Net, *, exact: bool) -> Graph | None:
    """Return the graph of a net, not yet folded; None where the graph has no words for what is in the net.

    These are flows that no token ever takes, event gateways that lead to other things than their own waits, forks that
    end all in the instant in which they fork and, if the graph is to be exact, implicit splits with conditions, and
    event gateways beside inclusive joins (which ask of each of the waits where it leads).
    """
    if _ends_as_it_forks(net):
        return None
    if any(_is_odd(net, number, exact=exact) for number in range(len(net.nodes))):
        return None
    return _Builder(net, exact=exact).build()


def _is_odd(net: Net, number: int, *, exact: bool) -> bool:
    node = net.nodes[number]
    if isinstance(node, Activity):
        return exact and any(net.flows[flow].condition is not None for flow in net.outgoing[number])
    if net.on_error[number] or net.on_timeout[number] or (isinstance(node, End) and net.outgoing[number]):
        return True
    competing = _competing(net, number)
    return competing is None or (exact and bool(net.joins) and bool(competing))


def _competing(net: Net, number: int) -> tuple[int, ...] | None:
    """Return the activities that compete behind an event gateway; nothing for other nodes; None where it is odd."""
    node = net.nodes[number]
    if not isinstance(node, Gateway) or node.kind is not GatewayKind.EVENT or len(net.outgoing[number]) <= 1:
        return ()
    targets = tuple(net.target[flow] for flow in net.outgoing[number])
    alone = all(isinstance(net.nodes[target], Activity) and len(net.incoming[target]) == 1 for target in targets)
    return targets if alone else None


def _ends_as_it_forks(net: Net) -> bool:
    """Whether a node sends several tokens, one of which is bound to end all before the others have moved."""
    doomed = {number for number, node in enumerate(net.nodes) if isinstance(node, End) and _stops(node)}
    stack = [net.source[flow] for number in doomed for flow in net.incoming[number]]
    while stack:
        number = stack.pop()
        flows = [flow for flow in net.outgoing[number] if net.target[flow] in doomed]
        if number in doomed or not flows:
            continue
        if len(net.outgoing[number]) > 1 and not has_choice(net, number):
            return True
        if not isinstance(net.nodes[number], Activity) and len(flows) == len(net.outgoing[number]):
            doomed.add(number)
            stack.extend(net.source[flow] for flow in net.incoming[number])
    return len(net.starts) > 1 and not doomed.isdisjoint(net.starts)


def _stops(end: End) -> bool:
    return end.terminate or end.error is not None


class _Builder:
    """Writes each node of a net as vertices and edges."""

    def __init__(self, net: Net, *, exact: bool) -> None:
        self.net = net
        self.graph = Graph(exact=exact)
        self.entries: dict[int, Vertex] = {}
        self.todo: list[tuple[Vertex, int, Block, bool]] = []

    def build(self) -> Graph:
        net, graph = self.net, self.graph
        inside = {wait for number in range(len(net.nodes)) for wait in _competing(net, number) or ()}
        for number in range(len(net.nodes)):
            if number not in inside:
                self.entries[number] = self.enter(number)
        for place, start in enumerate(net.starts):
            graph.connect(graph.source, self.entries[start], NOTHING, (place,))
        for source, flow, block, some in self.todo:
            head = flow if some else None
            conditional = some and net.flows[flow].condition is not None
            target = self.entries[net.target[flow]]
            graph.connect(source, target, block, (flow,), head=head, conditional=conditional)
        return graph

    def enter(self, number: int) -> Vertex:
        """Write a node; return where tokens enter it."""
        node, graph = self.net.nodes[number], self.graph
        match node:
            case End():
                return graph.vertex(Role.STOP, number) if _stops(node) else graph.sink
            case Gateway(kind=GatewayKind.PARALLEL):
                return self.leave(number, graph.vertex(Role.FORK, number))
            case Gateway(kind=GatewayKind.EXCLUSIVE):
                return self.leave(number, graph.vertex(Role.CHOICE, number))
            case Gateway(kind=GatewayKind.INCLUSIVE):
                many = len(self.net.outgoing[number]) > 1
                split = self.leave(number, graph.vertex(Role.SOME_SPLIT if many else Role.CHOICE, number))
                return self.before(Role.SOME_JOIN, number, split) if len(self.net.incoming[number]) > 1 else split
        entry = graph.vertex(Role.CHOICE, number)
        if isinstance(node, Activity):
            self.work(entry, (number,))
        elif competing := _competing(self.net, number):
            self.work(entry, competing)
        else:
            graph.connect(entry, self.leave(number, graph.vertex(Role.FORK, number)), NOTHING, (0,))
        return entry

    def before(self, role: Role, number: int, vertex: Vertex) -> Vertex:
        first = self.graph.vertex(role, number)
        self.graph.connect(first, vertex, NOTHING, (0,))
        return first

    def leave(self, number: int, vertex: Vertex) -> Vertex:
        """Write the flows that leave a gateway or a start."""
        flows = self.net.outgoing[number]
        some = vertex.role is Role.SOME_SPLIT
        decided = has_choice(self.net, number) and not some
        for flow in flows:
            self.todo.append((vertex, flow, decide(number, (flow,)) if decided else NOTHING, some))
        if not flows:
            self.graph.connect(vertex, self.graph.sink, NOTHING, (0,))
        return vertex

    def work(self, entry: Vertex, numbers: tuple[int, ...]) -> None:
        """Write an activity, or waits that compete: the work, then every outcome."""
        net = self.net
        behind = self.graph.vertex(Role.CHOICE, -1)
        self.graph.connect(entry, behind, work(*numbers), (0,))
        for number in numbers:
            flows = net.outgoing[number]
            if any(net.flows[flow].condition is not None for flow in flows):
                self.implicit(number, behind)
            elif len(flows) == 1:
                self.todo.append((behind, flows[0], decide(number, flows), False))
            elif flows:
                fork = self.graph.vertex(Role.FORK, -1)
                self.graph.connect(behind, fork, decide(number, flows), flows[:1])
                self.todo.extend((fork, flow, NOTHING, False) for flow in flows)
            else:
                self.graph.connect(behind, self.graph.sink, decide(number, ()), (-1, number))
            for flow in (*net.on_error[number], *net.on_timeout[number]):
                self.todo.append((behind, flow, decide(number, (flow,)), False))

    def implicit(self, number: int, behind: Vertex) -> None:
        """Write an implicit split with conditions: some of its flows, or none where all have conditions. Not exact."""
        flows = self.net.outgoing[number]
        some = self.graph.vertex(Role.SOME_SPLIT if len(flows) > 1 else Role.CHOICE, number)
        self.graph.connect(behind, some, NOTHING, flows[:1])
        self.todo.extend((some, flow, NOTHING, len(flows) > 1) for flow in flows)
        if all(self.net.flows[flow].condition is not None for flow in flows):
            self.graph.connect(behind, self.graph.sink, NOTHING, (-1, number))


# Back to a net ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Core:
    """What is left of a net, as a net, with the way back.

    Attributes
    ----------
    net
        The folded net.
    ways
        What a token's move along a flow of it stands for: a block, and whether it takes time in it.
    heads
        For the flows behind inclusive splits: node and flow of the original net.
    costs
        Completions that the end of a node stands for.
    works
        Activities of the original net in a node.
    joins
        Its nodes that wait for tokens, and the nodes that they stand for.
    """

    net: Net
    ways: Mapping[int, tuple[Block, bool]]
    heads: Mapping[int, Decision]
    costs: Mapping[int, int]
    works: Mapping[int, frozenset[int]]
    joins: Mapping[int, int]


class _Writer:
    """Writes a folded graph as a net."""

    def __init__(self, graph: Graph) -> None:
        order = sorted(graph.vertices, key=lambda vertex: (vertex.role is not Role.SOURCE, vertex.node))
        self.names = {vertex: f"v{number}" for number, vertex in enumerate(order)}
        self.nodes: list[Node] = [_node(vertex, name) for vertex, name in self.names.items()]
        self.flows: list[Flow] = []
        self.ways: dict[int, tuple[Block, bool]] = {}
        self.heads: dict[int, Decision] = {}
        self.blocks: dict[str, Block] = {}
        self.fresh = count()
        for vertex in order:
            for edge in sorted(vertex.outs, key=lambda edge: edge.rank):
                self.write(edge)
        self.joins = {vertex: name for vertex, name in self.names.items() if _waits(vertex)}

    def flow(self, source: str, target: str, condition: str | None = None) -> int:
        self.flows.append(Flow(source, target, condition))
        return len(self.flows) - 1

    def gateway(self) -> str:
        name = f"x{next(self.fresh)}"
        self.nodes.append(Gateway(name=name, kind=GatewayKind.EXCLUSIVE))
        return name

    def write(self, edge: Edge) -> None:
        source, target, block = self.names[edge.source], self.names[edge.target], edge.block
        condition = "true" if edge.conditional else None
        first = len(self.flows)
        if not block.timed:
            self.ways[self.flow(source, target, condition)] = (block, False)
        else:
            task = f"t{next(self.fresh)}"
            self.nodes.append(Task(name=task))
            self.blocks[task] = block
            if not block.instant:
                self.ways[self.flow(source, task, condition)] = (block, True)
                self.flow(task, target)
            else:
                split, join = self.gateway(), self.gateway()
                self.flow(source, split, condition)
                self.ways[self.flow(split, task)] = (block, True)
                self.ways[self.flow(split, join)] = (block, False)
                self.flow(task, join)
                self.flow(join, target)
        if edge.head is not None:
            self.heads[first] = Decision(edge.source.node, (edge.head,))

    def core(self) -> Core:
        net = net_of(tuple(self.nodes), tuple(self.flows))
        works = {net.index[name]: block for name, block in self.blocks.items()}
        return Core(
            net=net,
            ways=self.ways,
            heads=self.heads,
            costs={number: int(block.cost) for number, block in works.items()},
            works={number: frozenset(activities(block)) for number, block in works.items()},
            joins={net.index[name]: vertex.node for vertex, name in self.joins.items()},
        )


def _waits(vertex: Vertex) -> bool:
    return vertex.role in (Role.FORK, Role.SOME_JOIN) and len(vertex.ins) > 1


def _node(vertex: Vertex, name: str) -> Node:
    match vertex.role:
        case Role.SOURCE:
            return Start(name=name)
        case Role.SINK:
            return End(name=name)
        case Role.STOP:
            return End(name=name, terminate=True)
        case Role.CHOICE:
            return Gateway(name=name, kind=GatewayKind.EXCLUSIVE)
        case Role.FORK:
            return Gateway(name=name, kind=GatewayKind.PARALLEL)
        case _:
            return Gateway(name=name, kind=GatewayKind.INCLUSIVE)


def core_of(graph: Graph) -> Core:
    """Return what is left of a folded graph as a net."""
    return _Writer(graph).core()
