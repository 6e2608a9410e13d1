"""Ways through a workflow on which the steps of a case could be done, found by asking the machine with every answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from orchkit.decisions import Question, QuestionKind
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Event,
    Failure,
    Finish,
    Kind,
    StartChild,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.machine import Transition, advance, start
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Call, Flow, ForEach, Gateway, GatewayKind
from orchkit.model.states import ErrorClass, RunStatus, StepStatus
from orchkit.run_state import State, Step

__all__ = ["ATTEMPTED", "Finder", "Oracle", "Path", "Row", "Run", "World", "apply", "carry_out"]

_MOST_TURNS = 5_000
_DONE = frozenset({"COMPLETED", "FAILED"})
ATTEMPTED = (Kind.TASK, Kind.COMPENSATION)
_LEAVES = (*ATTEMPTED, Kind.WAIT)


@dataclass(frozen=True, slots=True)
class Row:
    """An attempt of the log."""

    activity: str
    status: str
    enabled: float
    started: float
    completed: float
    resource: str | None
    error_class: str | None
    error_type: str | None

    @property
    def look(self) -> tuple[str, ...]:
        """What decides which states it may lead to."""
        return (self.activity, self.status, self.error_class or "", self.error_type or "")


# The machine, and its callers and children ------------------------------------------


@dataclass(slots=True)
class Run:
    """A run, and the run that called it with the step there."""

    workflow: Workflow
    state: State
    parent: tuple[int, str] | None = None


@dataclass(slots=True)
class World:
    """The runs of a case: its own, and those that it called."""

    runs: list[Run] = field(default_factory=list)

    def copy(self) -> World:
        """Return a copy that can be changed."""
        return World([Run(run.workflow, run.state, run.parent) for run in self.runs])

    def opened(self, row: Row) -> tuple[int, Step] | None:
        """Return where an attempt of the log is open: the first step of its name that could be meant."""
        for number, run in enumerate(self.runs):
            for step in run.state.steps.values():
                if step.node == row.activity and step.kind is not Kind.SCOPE:
                    return number, step
        return None

    def leaves(self) -> Counter[str]:
        """Return the names of the open steps that do something themselves."""
        steps = (step for run in self.runs if run.state.finished is None for step in run.state.steps.values())
        return Counter(step.node for step in steps if step.kind in _LEAVES)


class Oracle:
    """Answers the machine's questions with given choices, then with the first one there is."""

    def __init__(self, choices: Sequence[int], most_items: Counter[str]) -> None:
        self.choices, self.sizes, self.used = list(choices), [0] * len(choices), 0
        self.most_items = most_items

    def __call__(self, question: Question) -> Any:  # noqa: ANN401 -- depends on the question
        """Answer a question."""
        answers = _answers(question, self.most_items)
        if self.used == len(self.choices):
            self.choices.append(0)
            self.sizes.append(0)
        self.sizes[self.used] = len(answers)
        answer = answers[self.choices[self.used]]
        self.used += 1
        return answer


def _answers(question: Question, most_items: Counter[str]) -> list[Any]:
    match question.kind:
        case QuestionKind.SPLIT:
            return _splits(question.node, question.flows)
        case QuestionKind.ITEMS:
            return [list(range(count)) for count in range(most_items[question.node.name], -1, -1)]
        case QuestionKind.SKIP | QuestionKind.EXIT:
            return [False, True]
        case QuestionKind.REPEAT:
            return [True, False]
        case QuestionKind.DELAY:
            return [0.0]
        case _:
            return [question.template]


def _splits(node: object, flows: tuple[Flow, ...]) -> list[list[int]]:
    if isinstance(node, Gateway) and node.kind is GatewayKind.EXCLUSIVE:
        return [[position] for position in range(len(flows))]
    optional = [position for position, flow in enumerate(flows) if flow.condition is not None]
    default = [[position] for position, flow in enumerate(flows) if flow.condition is None][:1]
    some = [list(chosen) for size in range(1, len(optional) + 1) for chosen in combinations(optional, size)]
    return [*some, *(default or ([] if isinstance(node, Gateway) else [[]]))]


def carry_out(world: World, number: int, transition: Transition, decide: Oracle) -> list[Transition]:
    """Take over a transition of a run, and what follows from it in the others."""
    waiting, seen = [(number, transition)], []
    while waiting:
        at, made = waiting.pop(0)
        run = world.runs[at]
        run.state = made.state
        seen.append(made)
        for command in made.commands:
            match command:
                case StartChild(step_id, name, inputs):
                    called = run.workflow.called(name)
                    if called is not None:
                        world.runs.append(Run(called, State(), (at, step_id)))
                        waiting.append((len(world.runs) - 1, start(called, dict(inputs), decide=decide)))
                case StopStep(step_id):
                    for other, child in enumerate(world.runs):
                        if child.parent == (at, step_id) and child.state.finished is None:
                            waiting.append((other, advance(child.workflow, child.state, CancelAsked(), decide=decide)))
                case Finish(status, failure) if run.parent is not None:
                    to, step_id = run.parent
                    ended = ChildEnded(step_id, status, {}, failure)
                    caller = world.runs[to]
                    waiting.append((to, advance(caller.workflow, caller.state, ended, decide=decide)))
                case _:
                    pass
    return seen


def apply(world: World, row: Row, decide: Oracle) -> list[Transition] | None:
    """Let an attempt that has ended happen; None where it is not open."""
    place = world.opened(row)
    if place is None:
        return None
    number, step = place
    run = world.runs[number]
    seen: list[Transition] = []
    if step.kind in ATTEMPTED and step.status is not StepStatus.RUNNING:
        seen += carry_out(world, number, advance(run.workflow, run.state, StepStarted(step.id), decide=decide), decide)
    event = _event_of(row, step)
    return seen + carry_out(world, number, advance(run.workflow, run.state, event, decide=decide), decide)


def _event_of(row: Row, step: Step) -> Event:
    failure = Failure(ErrorClass(row.error_class or "transient"), row.error_type or "Error")
    failed = row.status == "FAILED"
    match step.kind:
        case Kind.CALL:
            status = RunStatus.FAILED if failed else RunStatus.COMPLETED
            return ChildEnded(step.id, status, {}, failure if failed else None)
        case Kind.WAIT if failed and failure.error_class is ErrorClass.TIMEOUT:
            return TimerFired(step.id, TimerPurpose.TIMEOUT)
        case Kind.WAIT:
            return StepFailed(step.id, failure) if failed else CallbackReceived(step.id)
        case _ if failed and failure.type == "DeadlineExceeded":
            return TimerFired(step.id, TimerPurpose.DEADLINE)
        case _:
            return StepFailed(step.id, failure) if failed else StepCompleted(step.id)


# The search ----------------------------------------------------------------------

Path = list[tuple[int, tuple[int, ...]]]


class Finder:
    """Finds the answers with which the steps of a case could be done; once for all cases with the same steps."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        nodes = [node for one in _called(workflow) for node in all_nodes(one)]
        self.known = {node.name for node in nodes}
        self.calls = {node.name for node in nodes if isinstance(node, Call)}
        self.inside = {node.name: {inner.name for inner in node.nodes} for node in nodes if isinstance(node, ForEach)}
        self.found: dict[tuple[object, ...], Path | None] = {}
        self.turns = 0

    def path_of(self, rows: Sequence[Row]) -> Path | None:
        """Return, for each step that has ended, its row and the choices; the first one is the start, with row -1."""
        ties = tuple(
            position for position in range(1, len(rows)) if rows[position].completed == rows[position - 1].completed
        )
        look = (tuple(row.look for row in rows), ties)
        if look not in self.found:
            self.turns = 0
            self.found[look] = self._search(rows)
        return self.found[look]

    def most_items(self, rows: Sequence[Row]) -> Counter[str]:
        """Return, for each for-each, how often what is inside was begun."""
        counts = Counter(row.activity for row in rows if row.status in _DONE or np.isnan(row.completed))
        return Counter({name: max((counts[one] for one in inner), default=0) for name, inner in self.inside.items()})

    def _search(self, rows: Sequence[Row]) -> Path | None:
        ended = [place for place, row in enumerate(rows) if row.status in _DONE and not np.isnan(row.completed)]
        waiting = Counter(row.activity for row in rows if np.isnan(row.completed))
        waiting = Counter({name: count for name, count in waiting.items() if name not in self.calls})
        most = self.most_items(rows)
        stack: list[tuple[Iterator[tuple[World, tuple[int, ...]]], int, tuple[int, ...]]] = []
        stack.append((self._starts(most), -1, tuple(ended)))
        path: Path = []
        while stack:
            alternatives, place, left = stack[-1]
            following = next(alternatives, None)
            del path[len(stack) - 1 :]
            if following is None or self.turns > _MOST_TURNS:
                stack.pop()
                continue
            world, choices = following
            path.append((place, choices))
            is_over = world.runs[0].state.finished is not None
            if not left:
                if not is_over and not waiting - world.leaves():
                    return path
                continue
            if is_over:
                continue
            # Of those that ended at the same moment, any may have been the first.
            moment = rows[left[0]].completed
            tied = [one for one in left if rows[one].completed == moment]
            chosen = next((one for one in tied if self._may_end(world, rows[one])), None)
            if chosen is None:
                continue
            rest = tuple(one for one in left if one != chosen)
            stack.append((self._endings(world, rows[chosen], most), chosen, rest))
        return None

    def _may_end(self, world: World, row: Row) -> bool:
        return world.opened(row) is not None or row.activity in self.calls

    def _starts(self, most: Counter[str]) -> Iterator[tuple[World, tuple[int, ...]]]:
        def begin(decide: Oracle) -> World:
            world = World([Run(self.workflow, State())])
            carry_out(world, 0, start(self.workflow, {}, decide=decide), decide)
            return world

        yield from self._all(begin, most)

    def _endings(self, world: World, row: Row, most: Counter[str]) -> Iterator[tuple[World, tuple[int, ...]]]:
        def end(decide: Oracle) -> World:
            changed = world.copy()
            apply(changed, row, decide)
            return changed

        yield from self._all(end, most)

    def _all(self, make: Callable[[Oracle], World], most: Counter[str]) -> Iterator[tuple[World, tuple[int, ...]]]:
        """Yield what comes of every way to answer."""
        choices: list[int] = []
        while True:
            oracle = Oracle(choices, most)
            self.turns += 1
            world = make(oracle)
            yield world, tuple(oracle.choices)
            choices, sizes = oracle.choices[: oracle.used], oracle.sizes[: oracle.used]
            while choices and choices[-1] + 1 == sizes[-1]:
                choices.pop()
                sizes.pop()
            if not choices:
                return
            choices[-1] += 1


def _called(workflow: Workflow) -> list[Workflow]:
    found, waiting = dict[str, Workflow](), [workflow]
    while waiting:
        one = waiting.pop()
        if one.digest not in found:
            found[one.digest] = one
            waiting += one.workflows
    return list(found.values())
