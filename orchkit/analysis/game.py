"""A workflow as a game: the states that a run of it can be in, whatever its data, and what leads from one to another.

The rules are the machine's own: each move is a turn of `orchkit.machine`, played for every answer to its questions. A
state stands for all runs that go on alike: what they are called, how often they tried, what their variables hold is
left out. States are numbered, and each move is played once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from orchkit.analysis.answers import MAY_FAIL, NEVER_FAILS, every_answer
from orchkit.decisions import Decide
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Event,
    Failure,
    Instance,
    Kind,
    Mode,
    ReplayAsked,
    RunStep,
    SetTimer,
    StartChild,
    State,
    Step,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.machine import Transition, advance, start
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Activity, ForEach, Node, Scope, Task, While
from orchkit.model.retry import Retry
from orchkit.model.states import ErrorClass, RunStatus

__all__ = ["Asked", "Done", "End", "Failed", "Game", "Outcome", "names_of"]

# Iterations are counted where the author allows no more; beyond, nobody counts on them.
_COUNTED = 100
_UNLIMITED = 10**9
# Calls inside of calls that are followed.
_DEPTH = 12


class End(StrEnum):
    """How the case that is played came to its end."""

    COMPLETED = "completed"
    OTHERWISE = "otherwise"  # it failed, was cancelled or compensated
    OPEN = "open"


class Asked(StrEnum):
    """What somebody may have asked for, with nothing in the log to show for it."""

    CANCEL = "cancel"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Done:
    """The step did its work."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed.

    Attributes
    ----------
    classes
        What the error may mean.
    perhaps_again
        It may be that another attempt was due, and the step was still open.
    """

    classes: tuple[ErrorClass, ...] = (ErrorClass.PERMANENT, ErrorClass.TIMEOUT)
    perhaps_again: bool = False


Outcome = Done | Failed
DONE = Done()


@dataclass(frozen=True, slots=True)
class _Run:
    """A run, and those that it called, by the step that called."""

    workflow: Workflow
    state: State
    children: dict[str, _Run]

    def with_child(self, step_id: str, child: _Run) -> _Run:
        return _Run(self.workflow, self.state, {**self.children, step_id: child})


@dataclass(frozen=True, slots=True)
class _Open:
    """A step that is open, and how to play on there."""

    run: _Run
    step: Step
    path: tuple[str, ...]

    @property
    def node(self) -> Activity:
        node = self.run.workflow.node(self.step.node)
        assert isinstance(node, Activity)  # noqa: S101 -- nothing else opens
        return node

    @property
    def child(self) -> _Run | None:
        return self.run.children.get(self.step.id)

    @property
    def is_unwanted(self) -> bool:
        """Whether the pass around it only waits for what still runs."""
        mode = self.run.state.instances[self.step.instance].mode
        return mode is not Mode.RUNNING and self.step.kind is not Kind.COMPENSATION


@dataclass(slots=True)
class Game:
    """The game of one workflow.

    Parameters
    ----------
    workflow
        The definition.
    seen
        Names that the log has: a wait that it never names passes unseen.
    within
        Whether the steps of called workflows stand in the log of the caller: then a call is played with its child, else
        it is one step.
    most_items
        How many items a for-each may have.
    replays
        Whether runs that have failed may go on: then what they left counts.
    may_fail
        Whether expressions may have no value, and scopes may take too long.
    spend
        Called before each turn of the machine; may raise, to end a search that goes on for too long.
    """

    workflow: Workflow
    seen: frozenset[str]
    within: bool = False
    most_items: int = 50
    replays: bool = False
    may_fail: bool = True
    spend: Callable[[], None] = field(default=lambda: None)
    _ids: dict[object, int] = field(default_factory=dict)
    _runs: list[_Run] = field(default_factory=list)
    _moves: dict[object, tuple[int, ...]] = field(default_factory=dict)
    _names: dict[int, tuple[str, ...]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.workflow = _without_data(self.workflow)
        self.names = names_of(self.workflow, within=self.within)

    @property
    def size(self) -> int:
        """How many states have been seen."""
        return len(self._runs)

    # Moves ---------------------------------------------------------------------

    def begin(self) -> tuple[int, ...]:
        """Return the states in which a run may begin."""
        return self._known("begin", lambda: self._turns(lambda decide: self._started(self.workflow, decide, 0)))

    def after(self, state: int, name: str, outcome: Outcome = DONE) -> tuple[int, ...]:
        """Return the states that the end of a step of this name may lead to; none where no such step is open."""
        return self._known((state, name, outcome), lambda: self._after(state, name, outcome))

    def unseen(self, state: int) -> tuple[int, ...]:
        """Return the states to which a run may go on with nothing in the log to show for it."""
        return self._known((state, None), lambda: self._unseen(self._runs[state]))

    def asked(self, state: int, what: Asked) -> tuple[int, ...]:
        """Return the states in which a run may be when somebody asked for this."""
        return self._known((state, what), lambda: self._asked(self._runs[state], what))

    def open_names(self, state: int) -> tuple[str, ...]:
        """Return the names of the steps that are open and leave a trace in the log, as often as they are open."""
        found = self._names.get(state)
        if found is None:
            steps = _leaves(self._runs[state])
            found = tuple(sorted(each.step.node for each in steps if self._is_ready(each) and not self._hides(each)))
            self._names[state] = found
        return found

    def ends(self, state: int, end: End) -> bool:
        """Return whether a case that came to this end may be in this state."""
        run = self._runs[state].state
        if end is End.OPEN:
            return True
        if end is End.COMPLETED:
            return run.finished is not None and run.finished.status is RunStatus.COMPLETED
        # Why a run failed is not always in the log, but what a failure brings about has to be.
        return run.finished is not None or all(each.mode is Mode.RUNNING for each in run.instances.values())

    def _known(self, key: object, find: Callable[[], Iterable[int]]) -> tuple[int, ...]:
        found = self._moves.get(key)
        if found is None:
            found = self._moves[key] = tuple(dict.fromkeys(find()))
        return found

    def _after(self, state: int, name: str, outcome: Outcome) -> Iterator[int]:
        run = self._runs[state]
        for each in _leaves(run):
            if each.step.node == name:
                if isinstance(outcome, Failed) and outcome.perhaps_again:
                    yield state
                for events in self._events(each, outcome):
                    yield from self._plays(run, each.path, events)

    def _events(self, each: _Open, outcome: Outcome) -> Iterator[Sequence[Event]]:
        """Yield what may have happened to an open step that ended so, a list of events each."""
        step_id, is_done = each.step.id, isinstance(outcome, Done)
        if each.step.kind is Kind.CALL:
            if each.child is not None:
                if self._is_ready(each) and is_done == self._has_done_well(each):
                    yield [_ended(each)]
            elif is_done:
                yield [ChildEnded(step_id, RunStatus.COMPLETED)]
            else:
                yield from self._failed_call(each, outcome)
        elif isinstance(outcome, Done):
            yield [StepCompleted(step_id) if each.step.kind is not Kind.WAIT else CallbackReceived(step_id)]
        else:
            yield from ([StepFailed(step_id, Failure(error))] for error in outcome.classes)

    @staticmethod
    def _failed_call(each: _Open, outcome: Outcome) -> Iterator[Sequence[Event]]:
        step_id = each.step.id
        classes = outcome.classes if isinstance(outcome, Failed) else (ErrorClass.PERMANENT,)
        for error in classes:
            yield [ChildEnded(step_id, RunStatus.FAILED, failure=Failure(error))]
        if each.node.timeout_s is not None:
            late = TimerFired(step_id, TimerPurpose.TIMEOUT)
            yield [late, ChildEnded(step_id, RunStatus.CANCELLED)]
            yield [late, ChildEnded(step_id, RunStatus.COMPLETED)]

    def _unseen(self, run: _Run) -> Iterator[int]:
        for each in _steps(run):
            for events in self._unseen_events(each):
                yield from self._plays(run, each.path, events)

    def _unseen_events(self, each: _Open) -> Iterator[Sequence[Event]]:
        step_id = each.step.id
        late = TimerFired(step_id, TimerPurpose.TIMEOUT)
        match each.step.kind:
            case Kind.TASK if each.is_unwanted:  # an attempt that had not begun is cancelled
                yield [StepFailed(step_id, Failure(ErrorClass.PERMANENT))]
            case Kind.SCOPE if self.may_fail and each.node.timeout_s is not None and each.step.failure is None:
                yield [late]
            case Kind.WAIT if self._hides(each):
                yield [CallbackReceived(step_id)]
                yield from ([StepFailed(step_id, Failure(error))] for error in Failed().classes)
            case Kind.CALL if each.child is None:
                if each.is_unwanted:
                    yield from self._failed_call(each, Failed((ErrorClass.PERMANENT,)))
            case Kind.CALL:
                if each.node.timeout_s is not None and each.step.failure is None:
                    yield [late]
                unwanted = each.is_unwanted and not self._has_done_well(each)
                if self._is_ready(each) and (unwanted or self._hides(each)):
                    yield [_ended(each)]

    def _asked(self, run: _Run, what: Asked) -> Iterator[int]:
        finished = run.state.finished
        if what is Asked.CANCEL:
            yield from self._plays(run, (), [CancelAsked()])
        elif finished is not None and finished.status is not RunStatus.COMPLETED:
            for from_start in (False, True):
                yield from self._plays(run, (), [ReplayAsked(from_start=from_start)])

    def _hides(self, each: _Open) -> bool:
        """Whether the log does not name what this step is: a wait, or a call whose own steps it has."""
        if each.step.node in self.seen:
            return False
        return each.step.kind is Kind.WAIT or (each.step.kind is Kind.CALL and each.child is not None)

    @staticmethod
    def _is_ready(each: _Open) -> bool:
        """Whether a step may end: a call, when its child has."""
        return each.child is None or each.child.state.finished is not None

    @staticmethod
    def _has_done_well(each: _Open) -> bool:
        child = each.child
        finished = None if child is None else child.state.finished
        return finished is not None and finished.status is RunStatus.COMPLETED and each.step.failure is None

    # Turns ---------------------------------------------------------------------

    def _plays(self, run: _Run, path: tuple[str, ...], events: Sequence[Event]) -> Iterator[int]:
        return self._turns(lambda decide: self._played(run, path, events, decide))

    def _turns(self, turn: Callable[[Decide], _Run]) -> Iterator[int]:
        for run in every_answer(turn, self.most_items, may_fail=self.may_fail):
            self.spend()
            key = _Key(run, replays=self.replays).of_run()
            number = self._ids.get(key)
            if number is None:
                number = self._ids[key] = len(self._runs)
                self._runs.append(run)
            yield number

    def _played(self, run: _Run, path: tuple[str, ...], events: Sequence[Event], decide: Decide) -> _Run:
        if path:
            inner = self._played(run.children[path[0]], path[1:], events, decide)
            return run.with_child(path[0], inner)
        for event in events:
            transition = advance(run.workflow, run.state, event, decide=decide)
            run = self._carried_out(run.workflow, transition, run.children, decide, 0)
        return run

    def _started(self, workflow: Workflow, decide: Decide, depth: int) -> _Run:
        return self._carried_out(workflow, start(workflow, decide=decide), {}, decide, depth)

    def _carried_out(
        self, workflow: Workflow, transition: Transition, children: dict[str, _Run], decide: Decide, depth: int
    ) -> _Run:
        """Carry out commands: every attempt begins at once; so does a child that is played with its caller."""
        state, children = transition.state, dict(children)
        for command in transition.commands:
            match command:
                case RunStep(step_id) if step_id in state.steps:
                    state = advance(workflow, state, StepStarted(step_id)).state
                case SetTimer(step_id, TimerPurpose.RETRY) if step_id in state.steps:  # a replay gives another attempt
                    late = advance(workflow, state, TimerFired(step_id, TimerPurpose.RETRY))
                    state = advance(workflow, late.state, StepStarted(step_id)).state
                case StartChild(step_id, name) if self.within and depth < _DEPTH and step_id in state.steps:
                    called = workflow.called(name)
                    if called is not None:
                        children[step_id] = self._started(called, decide, depth + 1)
                case StopStep(step_id) if step_id in children:
                    children[step_id] = self._played(children[step_id], (), [CancelAsked()], decide)
                case _:
                    pass
        return _Run(workflow, state, {step_id: run for step_id, run in children.items() if step_id in state.steps})


def _ended(each: _Open) -> ChildEnded:
    child = each.child
    finished = None if child is None else child.state.finished
    assert finished is not None  # noqa: S101 -- it is ready
    return ChildEnded(each.step.id, finished.status, failure=finished.failure)


def _steps(run: _Run, path: tuple[str, ...] = ()) -> Iterator[_Open]:
    for step in run.state.steps.values():
        yield _Open(run, step, path)
    for step_id, child in run.children.items():
        yield from _steps(child, (*path, step_id))


def _leaves(run: _Run) -> Iterator[_Open]:
    return (each for each in _steps(run) if each.step.kind is not Kind.SCOPE)


def names_of(workflow: Workflow, *, within: bool = False) -> frozenset[str]:
    """Return the names that steps of a workflow have in a log, and of those that it calls."""
    todo, seen, names = [workflow], {workflow.name}, set[str]()
    while todo:
        current = todo.pop()
        names.update(
            node.name for node in all_nodes(current) if isinstance(node, Activity) and not isinstance(node, Scope)
        )
        called = [each for each in current.workflows if within and each.name not in seen]
        seen.update(each.name for each in called)
        todo += called
    return frozenset(names)


# A workflow without its data -------------------------------------------------------


def _without_data(workflow: Workflow) -> Workflow:
    """Return the workflow as it is played: one attempt a step, and of loops only whether they go on."""
    return replace(
        workflow,
        nodes=tuple(_bare(node) for node in workflow.nodes),
        retry=Retry(max_attempts=1),
        workflows=tuple(_without_data(called) for called in workflow.workflows),
    )


def _bare(node: Node) -> Node:
    if isinstance(node, Activity) and isinstance(node.compensate, Task):
        node = replace(node, compensate=_bare_task(node.compensate))
    if isinstance(node, Scope):
        node = replace(node, nodes=tuple(_bare(inner) for inner in node.nodes))
    match node:
        case Task():
            return _bare_task(node)
        case ForEach():
            asks = node.continue_when is not None or node.exit_when is not None
            return replace(node, continue_when=None, exit_when=MAY_FAIL if asks else NEVER_FAILS)
        case While() if node.max_iterations > _COUNTED:
            return replace(node, max_iterations=_UNLIMITED)
        case _:
            return node


def _bare_task(task: Task) -> Task:
    return replace(task, retry=Retry(max_attempts=1), fail_on=(), retry_on=())


# What tells states apart -----------------------------------------------------------


@dataclass(slots=True)
class _Key:
    """What tells runs apart that go on differently."""

    run: _Run
    replays: bool
    steps: dict[int, list[Step]] = field(default_factory=dict)
    passes: dict[str | None, list[Instance]] = field(default_factory=dict)

    def of_run(self) -> tuple[Any, ...]:
        state = self.run.state
        if state.finished is not None and not self.replays:
            return ("finished", state.finished.status, _about(state.finished.failure))
        for step in state.steps.values():
            self.steps.setdefault(step.instance, []).append(step)
        for instance in state.instances.values():
            self.passes.setdefault(instance.parent, []).append(instance)
        return (
            *(self.of_pass(each) for each in self.passes.get(None, ())),
            state.cancelling,
            state.undone_badly is not None,
            *self.left_behind(),
        )

    def left_behind(self) -> Iterator[object]:
        """Yield what a replay begins with."""
        state = self.run.state
        if self.replays:
            yield None if state.finished is None else (state.finished.status, _about(state.finished.failure))
            yield tuple(self.of_pass(grave.instance) for _, grave in sorted(state.graves.items()))
            yield tuple((letter.undo.node, _about(letter.cause)) for letter in state.letters)

    def of_pass(self, instance: Instance) -> tuple[Any, ...]:
        lost = tuple((each.done, self.of_step(each.step)) for each in instance.lost) if self.replays else ()
        return (
            instance.scope,
            instance.marking,
            instance.mode.value,
            _about(instance.failure),
            instance.undone_badly,
            tuple((undo.node, _names(self.run.state, undo.within)) for undo in instance.undo),
            tuple(sorted((self.of_step(step) for step in self.steps.get(instance.key, ())), key=repr)),
            (instance.held, instance.unbegun, instance.over, *lost) if self.replays else (),
        )

    def of_step(self, step: Step) -> tuple[Any, ...]:
        child = self.run.children.get(step.id)
        return (
            step.node,
            step.kind.value,
            step.status.value,
            _about(step.failure),
            None if step.loop is None else _progress(self.run.workflow.node(step.node), step),
            tuple(sorted((self.of_pass(each) for each in self.passes.get(step.id, ())), key=repr)),
            None if child is None else _Key(child, self.replays).of_run(),
        )


def _about(failure: Failure | None) -> tuple[str, bool, bool] | None:
    return None if failure is None else (failure.error_class.value, failure.exhausted, failure.compensated)


def _names(state: State, step_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(state.steps[step_id].node for step_id in step_ids if step_id in state.steps)


def _progress(node: Node, step: Step) -> tuple[Any, ...]:
    loop = step.loop
    assert loop is not None  # noqa: S101 -- who asks has looked
    counted = isinstance(node, While) and node.max_iterations <= _COUNTED
    shared = isinstance(node, ForEach) and isinstance(node.tolerated_failures, str)
    return (
        loop.active,
        loop.failed,
        loop.closed,
        loop.stopped,
        _about(loop.first_failure),
        loop.next if counted or shared else None,
        len(loop.items) if shared else None,
    )
