"""Random graphs, and a check of soundness by brute force: all markings of the whole graph, nothing folded."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchkit.model.nodes import Activity, End, Flow, FlowKind, Gateway, GatewayKind, Start, Task, Wait, WaitKind
from orchkit.tokens import Net, Settled, exits, net_of, settle_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from orchkit.model.nodes import Node

KINDS = (GatewayKind.EXCLUSIVE, GatewayKind.PARALLEL, GatewayKind.INCLUSIVE)


@dataclass(frozen=True)
class Graph:
    nodes: tuple[Node, ...]
    flows: tuple[Flow, ...]


class Writer:
    """Writes blocks as nodes and flows."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.nodes: list[Node] = []
        self.flows: list[Flow] = []

    def node(self, node: Node) -> str:
        self.nodes.append(node)
        return node.name

    def task(self) -> str:
        return self.node(Task(name=f"t{len(self.nodes)}"))

    def gateway(self, kind: GatewayKind) -> str:
        return self.node(Gateway(name=f"{kind.value[0]}{len(self.nodes)}", kind=kind))

    def flow(self, source: str, target: str, condition: str | None = None, kind: FlowKind = FlowKind.NORMAL) -> None:
        self.flows.append(Flow(source, target, condition, kind))

    def block(self, depth: int) -> tuple[str, str]:
        """Write a block; return its first and its last node."""
        shape = self.random.choice(["task", "task", "empty"]) if depth == 0 else self.random.choice(SHAPES)
        match shape:
            case "task":
                name = self.task()
                return name, name
            case "empty":
                name = self.gateway(GatewayKind.EXCLUSIVE)
                return name, name
            case "sequence":
                first, middle = self.block(depth - 1)
                follower, last = self.block(depth - 1)
                self.flow(middle, follower)
                return first, last
            case "loop":
                return self.loop(depth)
            case "event":
                return self.event(depth)
            case "error":
                return self.error(depth)
            case _:
                return self.split(depth, self.random.choice(KINDS))

    def split(self, depth: int, kind: GatewayKind) -> tuple[str, str]:
        split, join = self.gateway(kind), self.gateway(kind)
        for place in range(self.random.randint(2, 3)):
            condition = "x" if kind is GatewayKind.INCLUSIVE and place else None
            if self.random.random() < 0.2:
                self.flow(split, join, condition)
                continue
            first, last = self.block(depth - 1)
            self.flow(split, first, condition)
            self.flow(last, join)
        return split, join

    def loop(self, depth: int) -> tuple[str, str]:
        join, split = self.gateway(GatewayKind.EXCLUSIVE), self.gateway(GatewayKind.EXCLUSIVE)
        first, last = self.block(depth - 1)
        self.flow(join, first)
        self.flow(last, split)
        if self.random.random() < 0.5:
            self.flow(split, join)
        else:
            first, last = self.block(0)
            self.flow(split, first)
            self.flow(last, join)
        return join, split

    def event(self, depth: int) -> tuple[str, str]:
        split, join = self.gateway(GatewayKind.EVENT), self.gateway(GatewayKind.EXCLUSIVE)
        for _ in range(2):
            wait = self.node(Wait(name=f"w{len(self.nodes)}", kind=WaitKind.TIMER))
            self.flow(split, wait)
            if self.random.random() < 0.5:
                self.flow(wait, join)
            else:
                first, last = self.block(depth - 1)
                self.flow(wait, first)
                self.flow(last, join)
        return split, join

    def error(self, depth: int) -> tuple[str, str]:
        task, join = self.task(), self.gateway(GatewayKind.EXCLUSIVE)
        first, last = self.block(depth - 1)
        self.flow(task, join)
        self.flow(task, first, None, FlowKind.ERROR)
        self.flow(last, join)
        return task, join


SHAPES = ("task", "sequence", "sequence", "split", "split", "split", "loop", "event", "error")


def blocks(random: Random, depth: int = 2) -> Graph:
    """Return a graph that is built of blocks, which is nearly always sound."""
    writer = Writer(random)
    start = writer.node(Start(name="start"))
    first, last = writer.block(depth)
    end = writer.node(End(name="end"))
    writer.flow(start, first)
    writer.flow(last, end)
    return Graph(tuple(writer.nodes), tuple(writer.flows))


def spoiled(random: Random, depth: int = 2, changes: int = 2) -> Graph:
    """Return a graph of blocks in which a few flows and gateways have been changed."""
    graph = blocks(random, depth)
    nodes, flows = list(graph.nodes), list(graph.flows)
    names = [node.name for node in nodes]
    for _ in range(random.randint(1, changes)):
        change = random.choice(["target", "source", "kind", "add", "end", "condition"])
        place = random.randrange(len(flows))
        if change == "target":
            flows[place] = replace(flows[place], target=random.choice(names[1:]))
        elif change == "source":
            source = random.choice([name for name in names if name != "end" and not name.startswith("stop")])
            flows[place] = replace(flows[place], source=source, kind=FlowKind.NORMAL)
        elif change == "add":
            source = random.choice([name for name in names if name != "end" and not name.startswith("stop")])
            flows.append(Flow(source, random.choice(names[1:]), random.choice([None, "x"])))
        elif change == "condition":
            flows[place] = replace(flows[place], condition="x")
        elif change == "kind":
            gateways = [at for at, node in enumerate(nodes) if isinstance(node, Gateway)]
            if gateways:
                at = random.choice(gateways)
                nodes[at] = Gateway(name=nodes[at].name, kind=random.choice(tuple(GatewayKind)))
        else:
            name = f"stop{len(nodes)}"
            nodes.append(End(name=name, terminate=random.random() < 0.5))
            names.append(name)
            flows[place] = replace(flows[place], target=name)
    by_name = {node.name: node for node in nodes}
    flows = [flow for flow in flows if flow.kind is FlowKind.NORMAL or isinstance(by_name[flow.source], Activity)]
    return Graph(tuple(nodes), tuple(flows))


def wild(random: Random, size: int = 8) -> Graph:
    """Return a graph with no plan behind it."""
    writer = Writer(random)
    start = writer.node(Start(name="start"))
    names = [
        writer.task() if random.random() < 0.5 else writer.gateway(random.choice(tuple(GatewayKind)))
        for _ in range(random.randint(2, size))
    ]
    ends = [
        writer.node(End(name=f"end{number}", terminate=random.random() < 0.15))
        for number in range(random.randint(1, 2))
    ]
    writer.flow(start, random.choice(names))
    for name in names:
        for _ in range(random.choice([1, 1, 2, 2, 3])):
            condition = random.choice([None, None, "x"]) if name[0] in "iet" else None
            kind = random.choice([*FlowKind, *[FlowKind.NORMAL] * 6]) if name[0] == "t" else FlowKind.NORMAL
            writer.flow(name, random.choice([*names, *ends]), condition if kind is FlowKind.NORMAL else None, kind)
    if random.random() < 0.2:
        writer.flow(writer.node(Start(name="start2")), random.choice(names))
    return Graph(tuple(writer.nodes), tuple(writer.flows))


@dataclass(frozen=True)
class Truth:
    """What brute force says: sound or not, and in how many completions the first fault can be reached."""

    sound: bool
    steps: int | None = None


class TooManyMarkings(Exception):
    """The graph is too large for brute force."""


def brute_force(graph: Graph, limit: int = 3_000) -> Truth:
    """Play a graph in all ways, breadth first."""
    net = net_of(graph.nodes, graph.flows)
    return _Player(net, limit).play() if net.starts else Truth(sound=False)


class _Player:
    def __init__(self, net: Net, limit: int) -> None:
        self.net = net
        self.limit = limit
        self.steps: dict[int | str, int] = {}
        self.came_from: dict[int | str, set[int | str]] = {}
        self.moved: set[int] = set()
        self.queue: deque[int] = deque()

    def play(self) -> Truth:
        if any(self.is_fault("begin", settled, 0) for settled in settle_all(self.net, 0, None)):
            return Truth(sound=False, steps=0)
        while self.queue:
            marking = self.queue.popleft()
            steps = self.steps[marking]
            if self.is_stuck(marking):
                return Truth(sound=False, steps=steps)
            if any(self.is_fault(marking, settled, steps + 1) for settled in self.after(marking)):
                return Truth(
                    sound=False, steps=min([steps + 1, *(self.steps[at] for at in self.queue if self.is_stuck(at))])
                )
        return self.without_faults()

    def is_stuck(self, marking: int) -> bool:
        return marking != 0 and not list(self.net.open_nodes(marking))

    def after(self, marking: int) -> Iterator[Settled]:
        net = self.net
        for node in net.open_nodes(marking):
            for flows in exits(net, node):
                for settled in settle_all(net, marking & ~net.open_bit(node) & ~net.rivals[node], flows):
                    self.limit -= 1
                    if not self.limit:
                        raise TooManyMarkings
                    yield settled

    def is_fault(self, origin: int | str, settled: Settled, steps: int) -> bool:
        self.moved.update(settled.moved)
        if settled.fault is not None:
            return True
        marking: int | str = "over" if settled.terminated is not None else settled.marking
        self.came_from.setdefault(marking, set()).add(origin)
        if marking not in self.steps:
            self.steps[marking] = steps
            if isinstance(marking, int):
                self.queue.append(marking)
        return False

    def without_faults(self) -> Truth:
        good: set[int | str] = set()
        stack: list[int | str] = [marking for marking in (0, "over") if marking in self.steps]
        while stack:
            marking = stack.pop()
            if marking not in good:
                good.add(marking)
                stack.extend(self.came_from.get(marking, ()))
        stuck = [steps for marking, steps in self.steps.items() if marking not in good]
        if stuck:
            return Truth(sound=False, steps=min(stuck))
        reached = {self.net.target[flow] for flow in self.moved} | set(self.net.starts)
        return Truth(sound=len(reached) == len(self.net.nodes))
