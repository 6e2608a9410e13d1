"""A workflow from a log: what the inductive miner finds, as nodes and flows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchkit.analysis.cuts import Operator
from orchkit.analysis.traces import traces_of
from orchkit.analysis.trees import Block, Leaf, Tree, may_be_empty, mine
from orchkit.errors import LogError
from orchkit.log import expect_log
from orchkit.model.definition import Workflow
from orchkit.model.nodes import End, Flow, Gateway, GatewayKind, Node, Start, Task, Wait, WaitKind

if TYPE_CHECKING:
    from orchkit.log import EventLog

__all__ = ["discover"]

_BUILT = {Operator.CHOICE: "choice", Operator.PARALLEL: "parallel", Operator.LOOP: "loop"}


def discover(log: EventLog, noise: float = 0.0) -> Workflow:
    """Return a workflow that does what the log shows.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. The attempts of a step count once; steps that were skipped
        or are not done do not count.
    noise
        From 0 to 1. With 0 every case of the log can be replayed; with 0.2 what is rarer than a fifth of its most
        frequent alternative may be left out, and the model says less and shows more.

    Returns
    -------
    Workflow
        A task for each activity, in blocks: sequences, exclusive and parallel gateways, loops. It is sound whatever
        the log holds. A log does not say why a way was taken, so each split reads an input of its own that names
        the node to go on with, and its description has how often each way was taken.

    Raises
    ------
    LogError
        No step was done, or ``noise`` is not from 0 to 1.

    Notes
    -----
    The inductive miner, infrequent variant: Leemans, Fahland and van der Aalst (2013, 2014).

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2", "o2", "o3"],
    ...     "activity": ["check", "ship", "check", "reject", "check"],
    ...     "completed": [f"2024-05-06T{hour:02}:00Z" for hour in range(9, 14)],
    ... }))
    >>> workflow = discover(log)
    >>> [node.name for node in workflow.nodes]
    ['start', 'check', 'choice_1', 'reject', 'ship', 'choice_1_end', 'end']
    >>> workflow.node("choice_1").description
    'Of 3: reject 1, ship 1, nothing 1.'
    """
    expect_log(log, "discover")
    if not 0 <= noise <= 1:
        message = f"noise is a share from 0 to 1, not {noise!r}."
        raise LogError(message)
    traces = traces_of(log)
    if not any(traces):
        message = "The log has no step that was done, so there is nothing to discover."
        raise LogError(message)
    tree = mine(traces, noise)
    names = [str(name) for name in log.activities]
    workflows = log.cases["workflow"].dropna().unique()
    lowering = _Lowering(names, set(names))
    start, end = lowering.fresh("start"), lowering.fresh("end")
    lowering.nodes.append(Start(name=start))
    last = lowering.lower(tree, start)
    lowering.nodes.append(End(name=end))
    lowering.connect(last, end)
    return Workflow(
        str(workflows[0]) if len(workflows) == 1 else "discovered",
        nodes=tuple(lowering.nodes),
        flows=tuple(lowering.flows),
        description=f"Discovered from {len(log):,} cases with noise {noise:g}.",
        inputs=lowering.inputs,
    )


@dataclass(slots=True)
class _Lowering:
    """Nodes and flows as they are put together."""

    names: list[str]
    taken: set[str]
    nodes: list[Node] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)

    def fresh(self, name: str) -> str:
        """Return a name that no activity has."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def connect(self, source: str, target: str, condition: str | None = None) -> None:
        self.flows.append(Flow(source, target, condition))

    def lower(self, tree: Tree, source: str, condition: str | None = None) -> str:
        """Add what a tree is made of after a node, and return the node that it ends with."""
        if isinstance(tree, Leaf):
            if tree.activity is None:
                return source
            name = self.names[tree.activity]
            self.nodes.append(Task(name=name))
            self.connect(source, name, condition)
            return name
        if tree.operator is Operator.SEQUENCE:
            first, *others = tree.parts
            last = self.lower(first, source, condition)
            for part in others:
                last = self.lower(part, last)
            return last
        return self.lower_gateways(tree, source, condition)

    def lower_gateways(self, tree: Block, source: str, condition: str | None) -> str:
        word = _BUILT[tree.operator]
        self.numbers[word] += 1
        name = self.fresh(f"{word}_{self.numbers[word]}")
        kind = GatewayKind.PARALLEL if tree.operator is Operator.PARALLEL else GatewayKind.EXCLUSIVE
        place = len(self.nodes)
        self.nodes.append(Gateway(name=name, kind=kind))
        self.connect(source, name, condition)
        end = self.fresh(f"{name}_end")
        if tree.operator is Operator.LOOP:
            body, *redo = tree.parts
            last = self.lower(body, name)
            self.nodes.append(Gateway(name=end, kind=kind))
            if last == name:  # an empty body: the gateway itself is it
                self.connect(name, end)
            else:
                self.connect(last, end)
            self.branch(end, redo, name, leaves=True, rests=may_be_empty(body))
            counts = [*redo, Leaf(None, tree.count)]
            self.describe(len(self.nodes) - 1 if not redo else self.index(end), counts, leaving="leave")
            return end
        if tree.operator is Operator.CHOICE:
            self.branch(name, list(tree.parts), end, leaves=False)
            self.describe(place, list(tree.parts), leaving="nothing")
        else:
            for part in tree.parts:
                self.connect(self.lower(part, name), end)
        self.nodes.append(Gateway(name=end, kind=kind))
        return end

    def index(self, name: str) -> int:
        return next(number for number, node in enumerate(self.nodes) if node.name == name)

    def branch(self, split: str, parts: list[Tree], target: str, *, leaves: bool, rests: bool = False) -> None:
        """Add the ways from a split to a target: all but the most frequent, or the way out of a loop, ask an input.

        With ``rests``, a way on which nothing need be done has a timer of no time, so that no circle is without end.
        """
        variable = self.variable(split)
        default = None if leaves else max(range(len(parts)), key=lambda number: parts[number].count)
        for number, part in enumerate(parts):
            word = self.word(part)
            condition = None if number == default else f"{variable} == {word!r}"
            last = self.lower(part, split, condition)
            if rests and may_be_empty(part):
                timer = self.fresh(f"{split}_again_{number + 1}")
                self.nodes.append(Wait(name=timer, kind=WaitKind.TIMER, duration_s=0.0))
                self.connect(last, timer, condition if last == split else None)
                last = timer
            self.connect(last, target, condition if last == split else None)

    def variable(self, split: str) -> str:
        name = split if split.isidentifier() else f"way_{len(self.inputs)}"
        self.inputs[name] = {"type": "string", "description": f"The way to go on at {split}."}
        return name

    def word(self, tree: Tree) -> str:
        """Return what a way is called: the first activity on it."""
        while isinstance(tree, Block):
            tree = tree.parts[0]
        return "nothing" if tree.activity is None else self.names[tree.activity]

    def describe(self, place: int, parts: list[Tree], *, leaving: str) -> None:
        total = sum(part.count for part in parts)
        said = ", ".join(
            f"{leaving if part is parts[-1] and self.word(part) == 'nothing' else self.word(part)} {part.count:,}"
            for part in parts
        )
        node = self.nodes[place]
        self.nodes[place] = replace(node, description=f"Of {total:,}: {said}.")
