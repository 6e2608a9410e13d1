"""Block reduction: fold what is built of blocks until nothing, or only the knot, is left.

The graph is seen as choices (exclusive gateways, merges), forks (parallel gateways) and edges that are blocks.
Sequences, parallel edges between two choices or two forks, loops and inclusive blocks are folded into one edge:
Murata's rules (Proceedings of the IEEE 77(4), 1989), on the machine's gateways. Each rule takes time in proportion to
the edges that it touches.

Two sets of rules: the exact ones keep every verdict and every fault, so that what they leave can be explored in the
graph's place. The others only prove: where they fold the whole graph into one edge, it is sound.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from orchkit.checks.blocks import NOTHING, Block, both, decide, either, joined, loop, sequence

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Edge", "Graph", "Role", "Vertex"]


class Role(Enum):
    """What a vertex does with tokens."""

    SOURCE = auto()  # sends one along each edge, once
    SINK = auto()  # takes any
    STOP = auto()  # takes one, and all is over
    CHOICE = auto()  # passes each on along one edge
    FORK = auto()  # waits for one on each edge, then sends one along each edge
    SOME_SPLIT = auto()  # sends one along some edges
    SOME_JOIN = auto()  # waits for those that may still come


@dataclass(slots=True, eq=False)
class Vertex:
    """A point of the graph; ``node`` is the number of the node that it stands for, or -1."""

    role: Role
    node: int
    ins: dict[Edge, None] = field(default_factory=dict)
    outs: dict[Edge, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Edge:
    """A block between two vertices.

    Attributes
    ----------
    rank
        Place among the edges that leave the same vertex.
    head
        Behind an inclusive split: its flow.
    conditional
        Behind an inclusive split: may be taken beside others.
    """

    source: Vertex
    target: Vertex
    block: Block
    rank: tuple[int, ...]
    head: int | None = None
    conditional: bool = False


_FORKS = (Role.SOURCE, Role.FORK)
_SPLITS = (*_FORKS, Role.CHOICE, Role.SOME_SPLIT)


class Graph:
    """The graph that is folded.

    Parameters
    ----------
    exact
        Apply only the rules that keep every verdict and every fault.
    """

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        self.source = Vertex(Role.SOURCE, -1)
        self.sink = Vertex(Role.SINK, -1)
        self.vertices: dict[Vertex, None] = {self.source: None, self.sink: None}
        self.between: dict[tuple[Vertex, Vertex], Edge] = {}
        self.queue: deque[Vertex] = deque()
        self.queued: set[Vertex] = set()

    # Building ----------------------------------------------------------------

    def vertex(self, role: Role, node: int) -> Vertex:
        """Add a vertex."""
        vertex = Vertex(role, node)
        self.vertices[vertex] = None
        return vertex

    def connect(
        self,
        source: Vertex,
        target: Vertex,
        block: Block,
        rank: tuple[int, ...],
        *,
        head: int | None = None,
        conditional: bool = False,
    ) -> None:
        """Add an edge, or fold it into the one that is there."""
        self.touch(source, target)
        fold = self.folding(source.role, target.role)
        present = self.between.get((source, target)) if fold else None
        if present is not None and fold is not None:
            present.block = fold(present.block, block)
            present.rank = min(present.rank, rank)
            present.conditional |= conditional
            return
        edge = Edge(source, target, block, rank, head, conditional)
        source.outs[edge] = None
        target.ins[edge] = None
        self.between[source, target] = edge

    def folding(self, source: Role, target: Role) -> Callable[[Block, Block], Block] | None:
        """Return how parallel edges between two vertices fold, or None."""
        if source is Role.CHOICE and target in (Role.CHOICE, Role.SINK, Role.STOP):
            return either
        if source in _FORKS and target in (Role.FORK, Role.SINK):
            return both
        if source is Role.SOME_SPLIT and target is Role.SINK and not self.exact:
            return either
        return None

    # Folding -----------------------------------------------------------------

    def is_proven(self) -> bool:
        """Whether what is left is sound at a glance: one edge to an end, or forks in an order."""
        edges = [edge for vertex in self.vertices for edge in vertex.outs]
        if len(edges) == 1 and edges[0].target.role is Role.STOP:
            return edges[0].source is self.source
        return all(vertex.role in (*_FORKS, Role.SINK) for vertex in self.vertices) and self.is_ordered()

    def is_ordered(self) -> bool:
        """Whether no edge leads back: then each fork fires once, when all before it have."""
        waiting = {vertex: len(vertex.ins) for vertex in self.vertices}
        stack = [self.source]
        fired = 0
        while stack:
            fired += 1
            for edge in stack.pop().outs:
                waiting[edge.target] -= 1
                if not waiting[edge.target]:
                    stack.append(edge.target)
        return fired == len(self.vertices)

    def fold(self) -> Graph:
        """Apply the rules until none applies."""
        self.touch(*self.vertices)
        while self.queue:
            vertex = self.queue.popleft()
            self.queued.discard(vertex)
            if vertex in self.vertices:
                self.visit(vertex)
        return self

    def touch(self, *vertices: Vertex) -> None:
        """Note vertices to be visited."""
        for vertex in vertices:
            if vertex not in self.queued:
                self.queued.add(vertex)
                self.queue.append(vertex)

    def cut(self, edge: Edge) -> None:
        """Take an edge out."""
        del edge.source.outs[edge]
        del edge.target.ins[edge]
        if self.between.get((edge.source, edge.target)) is edge:
            del self.between[edge.source, edge.target]
        self.touch(edge.source, edge.target)

    def visit(self, vertex: Vertex) -> None:
        """Apply the rules that fit a vertex."""
        match vertex.role:
            case Role.SINK | Role.STOP:
                return
            case Role.SOME_JOIN:
                self.fold_some(vertex)
            case Role.CHOICE:
                self.fold_choice(vertex)
            case Role.FORK | Role.SOURCE:
                self.fold_fork(vertex)
            case _:
                pass
        if vertex.role is not Role.SOURCE and vertex in self.vertices:
            self.pass_through(vertex)

    def pass_through(self, vertex: Vertex) -> None:
        """Fold a vertex with one edge in and one out."""
        if len(vertex.ins) != 1 or len(vertex.outs) != 1:
            return
        (before,), (after,) = vertex.ins, vertex.outs
        if before is after:
            return
        self.cut(before)
        self.cut(after)
        del self.vertices[vertex]
        block = sequence(before.block, _with_head(after))
        rank, head, conditional = before.rank, before.head, before.conditional
        self.connect(before.source, after.target, block, rank, head=head, conditional=conditional)

    def absorb(self, edge: Edge) -> None:
        """Make the edges that leave an edge's target leave its source; the target is gone."""
        gone = edge.target
        self.cut(edge)
        for after in list(gone.outs):
            self.cut(after)
            self.connect(edge.source, after.target, sequence(edge.block, after.block), edge.rank + after.rank)
        del self.vertices[gone]

    def hand_on(self, edge: Edge) -> None:
        """Make the edges that enter an edge's source enter its target; the source is gone."""
        gone = edge.source
        self.cut(edge)
        for before in list(gone.ins):
            self.cut(before)
            block = sequence(before.block, edge.block)
            rank, head, conditional = before.rank, before.head, before.conditional
            self.connect(before.source, edge.target, block, rank, head=head, conditional=conditional)
        del self.vertices[gone]

    # Choices -----------------------------------------------------------------

    def fold_choice(self, vertex: Vertex) -> None:
        """Fold loops, and choices that follow at once."""
        self.fold_loop(vertex)
        for edge in list(vertex.outs):
            target = edge.target
            if edge not in vertex.outs:
                continue
            if not self.exact and target.role is Role.STOP and len(vertex.outs) > 1:
                # Where it is taken all is well: what is left to prove is the rest.
                self.cut(edge)
            elif target.role in (Role.CHOICE, Role.SINK) and target is not vertex and not edge.block.timed:
                if target.role is Role.CHOICE and len(target.ins) == 1:
                    self.absorb(edge)
                elif len(vertex.outs) == 1 and not edge.block.patient:
                    self.hand_on(edge)
                    return

    def fold_loop(self, vertex: Vertex) -> None:
        """Fold a way back, from a choice to itself or from the choice behind the one edge that leaves it."""
        back = self.between.get((vertex, vertex))
        if back is not None:
            folded = loop(NOTHING, back.block)
            if folded is not None and len(vertex.outs) > 1:
                self.cut(back)
                behind = self.vertex(Role.CHOICE, -1)
                for edge in list(vertex.outs):
                    self.cut(edge)
                    self.connect(behind, edge.target, edge.block, edge.rank)
                self.connect(vertex, behind, folded, (0,))
            return
        if len(vertex.outs) != 1:
            return
        (body,) = vertex.outs
        split = body.target
        back = self.between.get((split, vertex))
        if back is None or split.role is not Role.CHOICE or len(split.ins) != 1 or len(split.outs) == 1:
            return
        folded = loop(body.block, back.block)
        if folded is not None:
            body.block = folded
            self.cut(back)

    # Forks -------------------------------------------------------------------

    def fold_fork(self, vertex: Vertex) -> None:
        """Fold forks that follow at once."""
        for edge in list(vertex.outs):
            target = edge.target
            if edge.block.timed or target is vertex:
                continue
            if target is self.sink and len(vertex.outs) > 1 and not edge.block.patient:
                self.cut(edge)
            elif target.role is Role.FORK and len(target.ins) == 1:
                self.absorb(edge)
            elif self.may_join(vertex, edge):
                self.hand_on(edge)
                return

    def may_join(self, join: Vertex, edge: Edge) -> bool:
        """Whether a join may become part of the one behind it. Not exact: two joins hold tokens that one does not."""
        if self.exact or edge.block.patient:
            return False
        return join.role is Role.FORK and edge.target.role is Role.FORK and len(join.outs) == 1

    # Inclusive joins ---------------------------------------------------------

    def fold_some(self, join: Vertex) -> None:
        """Fold the edges into an inclusive join, where all come from one split."""
        splits = {edge.source for edge in join.ins}
        if len(join.ins) < 2 or len(splits) != 1:  # noqa: PLR2004 -- a join
            return
        (split,) = splits
        if split.role not in _SPLITS or (self.exact and not _is_exact(split, join)):
            return
        edges = list(join.ins)
        fold = both if split.role in _FORKS else either
        beside = len(edges) < len(split.outs) and any(edge.conditional for edge in edges)
        block = _with_head(edges[0])
        for edge in edges[1:]:
            block = fold(block, _with_head(edge))
        for edge in edges:
            self.cut(edge)
        rank = min(edge.rank for edge in edges)
        self.connect(split, join, joined(block), rank, conditional=beside)


def _is_exact(split: Vertex, join: Vertex) -> bool:
    """Whether an inclusive join, which decides when all else has settled, may decide at once."""
    if any(edge.block.instant for edge in join.ins):
        return False
    return split.role is not Role.SOME_SPLIT or all(edge.target is join for edge in split.outs)


def _with_head(edge: Edge) -> Block:
    """Return an edge's block with the decision of the inclusive split before it."""
    if edge.head is None:
        return edge.block
    return sequence(decide(edge.source.node, (edge.head,)), edge.block)
