"""Blocks: the patterns as values, and how they are lowered to nodes and flows.

A block says what happens, a list of blocks is a sequence. Lowering makes the graph: gateways, starts, ends and their
names, which are predictable: ``choice_1``, ``choice_1_end``, ``ship_join``, ``start``, ``end``, and in a scope
``<scope>_start``, ``<scope>_end``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchkit.model.nodes import (
    Activity,
    End,
    Flow,
    FlowKind,
    Gateway,
    GatewayKind,
    Node,
    NodeBase,
    Scope,
    Start,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orchkit.model.definition import Workflow

__all__ = ["Block", "Branch", "Choice", "Inside", "Parallel", "Step", "definitions_in", "lower", "walk"]


@dataclass(frozen=True, slots=True)
class Branch:
    """Steps behind a condition; without one they are the default."""

    condition: str | None
    steps: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What a scope, or the workflow, holds: steps, or a free graph of ``nodes`` and ``flows``."""

    steps: tuple[Block, ...] = ()
    nodes: tuple[Step, ...] | None = None
    flows: tuple[Flow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A block of one node, with the paths that lead back behind it.

    Attributes
    ----------
    node
        The node; without a name it gets ``<word>_<number>``.
    word
        How a generated name begins.
    inside
        Of a scope.
    on_error
        Where its errors lead, by condition; an error path without steps goes on as if nothing had happened.
    on_timeout
        Where its timeout leads.
    substitute
        The task that gives its output when it fails for good.
    definition
        Of a call: the workflow called.
    """

    node: Node
    word: str = ""
    inside: Inside | None = None
    on_error: tuple[Branch, ...] = ()
    on_timeout: tuple[Block, ...] | None = None
    substitute: Step | None = None
    definition: Workflow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several branches: an exclusive gateway, and one that joins."""

    name: str = ""
    branches: tuple[Branch, ...] = ()
    description: str = ""
    waive: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """All branches at once: a parallel gateway, and one that joins."""

    name: str = ""
    branches: tuple[tuple[Block, ...], ...] = ()
    description: str = ""
    waive: Mapping[str, str] = field(default_factory=dict, hash=False)


Block = Step | Choice | Parallel


def walk(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks and all that are inside them."""
    for block in blocks:
        yield block
        match block:
            case Choice():
                for branch in block.branches:
                    yield from walk(branch.steps)
            case Parallel():
                for steps in block.branches:
                    yield from walk(steps)
            case Step():
                for branch in block.on_error:
                    yield from walk(branch.steps)
                yield from walk(block.on_timeout or ())
                yield from walk((block.substitute,) if block.substitute else ())
                if block.inside is not None:
                    yield from walk(block.inside.nodes or block.inside.steps)


def definitions_in(inside: Inside) -> tuple[Workflow, ...]:
    """Return the definitions of the workflows that blocks call, each once."""
    found = [
        block.definition
        for block in walk(inside.nodes or inside.steps)
        if isinstance(block, Step) and block.definition is not None
    ]
    return tuple(dict.fromkeys(found))


def lower(inside: Inside) -> tuple[tuple[Node, ...], tuple[Flow, ...]]:
    """Return the nodes and flows of a workflow of blocks."""
    return _graph(inside, _Names(inside), scope="")


class _Names:
    """Gives names to what has none, beside those that are taken."""

    def __init__(self, inside: Inside) -> None:
        self.taken: set[str] = set()
        for block in walk(inside.nodes or inside.steps):
            if isinstance(block, Step):
                self.take(block.node)
            else:
                self.taken.add(block.name)
        self.taken.discard("")
        self.last: Counter[str] = Counter()

    def take(self, node: NodeBase) -> None:
        self.taken.add(node.name)
        if isinstance(node, Activity) and isinstance(node.compensate, Task):
            self.taken.add(node.compensate.name)
        if isinstance(node, Scope):
            for inner in node.nodes:
                self.take(inner)

    def number(self, word: str) -> str:
        """Return the next ``<word>_<number>``."""
        while True:
            self.last[word] += 1
            name = f"{word}_{self.last[word]}"
            if not {name, f"{name}_end"} & self.taken:
                self.taken.add(name)
                return name

    def free(self, name: str) -> str:
        """Return the name, or where it is taken the name with a number."""
        if name in self.taken:
            return self.number(name)
        self.taken.add(name)
        return name


@dataclass(frozen=True, slots=True)
class _Loose:
    """A flow that has no target yet."""

    source: str
    condition: str | None = None
    kind: FlowKind = FlowKind.NORMAL


def _graph(inside: Inside, names: _Names, scope: str) -> tuple[tuple[Node, ...], tuple[Flow, ...]]:
    graph = _Graph(names)
    if inside.nodes is not None:
        graph.nodes = [graph.finished(step) for step in inside.nodes]
        return tuple(graph.nodes), inside.flows
    prefix = f"{scope}_" if scope else ""
    last = graph.sequence(inside.steps, graph.add(Start(name=names.free(f"{prefix}start")), None))
    if last is not None:
        graph.add(End(name=names.free(f"{prefix}end")), last)
    return tuple(graph.nodes), tuple(graph.flows)


class _Graph:
    """The graph of one scope, as it grows. ``None`` stands for the end of a path that has ended."""

    def __init__(self, names: _Names) -> None:
        self.names = names
        self.nodes: list[Node] = []
        self.flows: list[Flow] = []

    def add(self, node: Node, *loose: _Loose | None) -> _Loose:
        self.nodes.append(node)
        for flow in loose:
            if flow is not None:
                self.flows.append(Flow(flow.source, node.name, flow.condition, flow.kind))
        return _Loose(node.name)

    def sequence(self, blocks: Iterable[Block], loose: _Loose | None) -> _Loose | None:
        for block in blocks:
            match block:
                case Step():
                    loose = self.step(block, loose)
                case Choice():
                    loose = self.choice(block, loose)
                case Parallel():
                    loose = self.parallel(block, loose)
        return loose

    def join(self, name: str, kind: GatewayKind, paths: Iterable[_Loose | None]) -> _Loose | None:
        """Join the paths that have not ended; one alone needs no gateway."""
        going = [path for path in paths if path is not None]
        if len(going) <= 1:
            return going[0] if going else None
        return self.add(Gateway(name=self.names.free(name), kind=kind), *going)

    def choice(self, block: Choice, loose: _Loose | None) -> _Loose | None:
        if not any(branch.condition is not None for branch in block.branches):
            return self.sequence((inner for branch in block.branches for inner in branch.steps), loose)
        name = block.name or self.names.number("choice")
        split = Gateway(name=name, description=block.description, waive=block.waive, kind=GatewayKind.EXCLUSIVE)
        self.add(split, loose)
        paths = [self.sequence(branch.steps, _Loose(name, branch.condition)) for branch in block.branches]
        return self.join(f"{name}_end", GatewayKind.EXCLUSIVE, paths)

    def parallel(self, block: Parallel, loose: _Loose | None) -> _Loose | None:
        if len(block.branches) <= 1:
            return self.sequence((inner for steps in block.branches for inner in steps), loose)
        name = block.name or self.names.number("parallel")
        split = Gateway(name=name, description=block.description, waive=block.waive, kind=GatewayKind.PARALLEL)
        begun = self.add(split, loose)
        return self.join(
            f"{name}_end",
            GatewayKind.PARALLEL,
            [self.sequence(steps, begun) for steps in block.branches],
        )

    def finished(self, step: Step) -> Node:
        """Return the node with its name and what is inside it."""
        node = step.node
        if not node.name:
            node = replace(node, name=self.names.number(step.word))
        if step.inside is not None and isinstance(node, Scope):
            nodes, flows = _graph(step.inside, self.names, node.name)
            node = replace(node, nodes=nodes, flows=flows)
        return node

    def step(self, step: Step, loose: _Loose | None) -> _Loose | None:
        node = self.finished(step)
        done = self.add(node, loose)
        if isinstance(node, End):
            return None
        paths: list[_Loose | None] = [done]
        paths.extend(
            self.sequence(branch.steps, _Loose(node.name, branch.condition, FlowKind.ERROR))
            for branch in _error_paths(step, node)
        )
        if step.on_timeout is not None:
            paths.append(self.sequence(step.on_timeout, _Loose(node.name, None, FlowKind.TIMEOUT)))
        return self.join(f"{node.name}_join", GatewayKind.EXCLUSIVE, paths)


def _error_paths(step: Step, node: Node) -> tuple[Branch, ...]:
    task = None if step.substitute is None else step.substitute.node
    if step.substitute is None or not isinstance(task, Task) or not isinstance(node, Activity):
        return step.on_error
    # The substitute's result takes the place of the one that is missing.
    stand_in = replace(step.substitute, node=replace(task, output=node.output_name))
    return (*step.on_error, Branch(None, (stand_in,)))
