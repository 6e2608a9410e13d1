"""The inverse of lowering: the blocks that a graph is made of, where it is made of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from orchkit.model.blocks import Block, Branch, Choice, Parallel, Step
from orchkit.model.nodes import End, Flow, FlowKind, Gateway, GatewayKind, Node, Start

__all__ = ["outline"]


def outline(nodes: Sequence[Node], flows: Sequence[Flow], scope: str = "") -> tuple[Block, ...] | None:
    """Return the blocks of a graph, or None where it is not made of blocks.

    The gateways that lowering makes are left out, and so are the start and the last end. It looks at the shape
    alone: whether lowering gives the very same graph again is for the caller to see.

    Examples
    --------
    >>> from orchkit.model.nodes import Task
    >>> nodes = (Start(name="start"), Task(name="pay"), End(name="end"))
    >>> [block.node.name for block in outline(nodes, (Flow("start", "pay"), Flow("pay", "end")))]
    ['pay']
    """
    try:
        return _Outline(nodes, flows, f"{scope}_" if scope else "").blocks()
    except _NotBlocks:
        return None


class _NotBlocks(Exception):
    """The graph is not made of blocks."""


@dataclass(frozen=True, slots=True)
class _Path:
    """The blocks from a node on, and the join or last end where they stop; None where the path has an end."""

    blocks: tuple[Block, ...]
    stop: str | None


class _Outline:
    def __init__(self, nodes: Sequence[Node], flows: Sequence[Flow], prefix: str) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.prefix = prefix
        self.leaving: dict[str, list[Flow]] = {name: [] for name in self.nodes}
        self.entering = dict.fromkeys(self.nodes, 0)
        for flow in flows:
            self.leaving[flow.source].append(flow)
            self.entering[flow.target] += 1
        self.seen: set[str] = set()

    def blocks(self) -> tuple[Block, ...]:
        start = self.nodes.get(f"{self.prefix}start")
        if not isinstance(start, Start):
            raise _NotBlocks
        self.visit(start)
        path = self.path(self.next_of(start))
        if path.stop not in (None, f"{self.prefix}end") or self.seen != self.nodes.keys():
            raise _NotBlocks
        return path.blocks

    def visit(self, node: Node) -> None:
        if node.name in self.seen:
            raise _NotBlocks
        self.seen.add(node.name)

    def next_of(self, node: Node) -> str:
        """Return the one node that follows."""
        normal = [flow for flow in self.leaving[node.name] if flow.kind is FlowKind.NORMAL]
        if len(normal) != 1 or normal[0].condition is not None:
            raise _NotBlocks
        return normal[0].target

    def path(self, name: str) -> _Path:
        """Return the blocks from a node to the next join that was not opened on the way."""
        blocks: list[Block] = []
        while True:
            node = self.nodes[name]
            if self.entering[name] > 1:
                if isinstance(node, Gateway):
                    return _Path(tuple(blocks), name)
                raise _NotBlocks
            self.visit(node)
            match node:
                case End() if node == End(name=f"{self.prefix}end"):
                    return _Path(tuple(blocks), name)
                case End():
                    return _Path((*blocks, Step(node=node, word="end")), None)
                case Start():
                    raise _NotBlocks
                case Gateway():
                    split, rest = self.gateway(node)
                    blocks.append(split)
                case _:
                    step, rest = self.activity(node)
                    blocks.append(step)
            if not isinstance(rest, str):
                return replace(rest, blocks=(*blocks, *rest.blocks))
            name = rest

    def behind(self, flow: Flow) -> _Path:
        """Return the path that a flow begins."""
        return self.path(flow.target)

    def activity(self, node: Node) -> tuple[Step, str | _Path]:
        """Return a node with its error and timeout paths, and what follows."""
        follows = self.next_of(node)
        errors, timeouts = (
            [flow for flow in self.leaving[node.name] if flow.kind is kind]
            for kind in (FlowKind.ERROR, FlowKind.TIMEOUT)
        )
        if len(timeouts) > 1 or any(flow.condition is not None for flow in timeouts):
            raise _NotBlocks
        paths = [self.behind(flow) for flow in (*errors, *timeouts)]
        step = Step(
            node=node,
            on_error=tuple(Branch(flow.condition, path.blocks) for flow, path in zip(errors, paths, strict=False)),
            on_timeout=paths[-1].blocks if timeouts else None,
        )
        going = [path.stop for path in paths if path.stop is not None]
        if not going:
            return step, follows
        return step, self.joined([*going, follows], GatewayKind.EXCLUSIVE)

    def gateway(self, node: Gateway) -> tuple[Choice | Parallel, str | _Path]:
        """Return a split with its branches, and what follows."""
        flows = self.leaving[node.name]
        paths = [self.behind(flow) for flow in flows]
        block: Choice | Parallel
        if node.kind is GatewayKind.EXCLUSIVE:
            branches = [Branch(flow.condition, path.blocks) for flow, path in zip(flows, paths, strict=True)]
            block = Choice(name=node.name, branches=tuple(branches))
        elif node.kind is GatewayKind.PARALLEL and all(flow.condition is None for flow in flows):
            block = Parallel(name=node.name, branches=tuple(path.blocks for path in paths))
        else:
            raise _NotBlocks
        block = replace(block, description=node.description, waive=node.waive)
        going = [path.stop for path in paths if path.stop is not None]
        if len(going) > 1:
            return block, self.joined(going, node.kind)
        if going and paths[-1].stop is not None and isinstance(block, Choice):
            # All branches but the last have ended: the rest reads better behind the choice than in it.
            last = replace(block.branches[-1], steps=())
            return replace(block, branches=(*block.branches[:-1], last)), paths[-1]
        return block, _Path((), going[0] if going else None)

    def joined(self, stops: Iterable[str], kind: GatewayKind) -> str:
        """Return what follows the one join that all these paths lead to."""
        names = list(stops)
        join = self.nodes[names[0]]
        if set(names) != {join.name} or self.entering[join.name] != len(names):
            raise _NotBlocks
        if not isinstance(join, Gateway) or join != Gateway(name=join.name, kind=kind):
            raise _NotBlocks
        self.visit(join)
        return self.next_of(join)
