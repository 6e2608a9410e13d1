"""A workflow as a game: the states that a run of it can be in, whatever its data, and what leads from one to another.

The rules are the machine's own: each move is a turn of `orchkit.machine`, played for every answer to its questions. A
state stands for all runs that go on alike: what they are called, how often they tried, what their variables hold is
left out. States are numbered, and each move is played once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchkit.analysis.answers import every_answer
from orchkit.analysis.positions import Key, Open, Played, leaves_of, steps_of
from orchkit.analysis.skeleton import names_of, skeleton_of
from orchkit.decisions import Decide
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Event,
    Failure,
    Kind,
    Mode,
    ReplayAsked,
    RunStep,
    SetTimer,
    StartChild,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.machine import Transition, advance, start
from orchkit.model.definition import Workflow
from orchkit.model.states import ErrorClass, RunStatus

__all__ = ["Asked", "Done", "End", "Failed", "Game", "Outcome"]

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
    _runs: list[Played] = field(default_factory=list)
    _moves: dict[object, tuple[int, ...]] = field(default_factory=dict)
    _names: dict[int, tuple[str, ...]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.workflow = skeleton_of(self.workflow)
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
            steps = leaves_of(self._runs[state])
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
        for each in leaves_of(run):
            if each.step.node == name:
                if isinstance(outcome, Failed) and outcome.perhaps_again:
                    yield state
                for events in self._events(each, outcome):
                    yield from self._plays(run, each.path, events)

    def _events(self, each: Open, outcome: Outcome) -> Iterator[Sequence[Event]]:
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
    def _failed_call(each: Open, outcome: Outcome) -> Iterator[Sequence[Event]]:
        step_id = each.step.id
        classes = outcome.classes if isinstance(outcome, Failed) else (ErrorClass.PERMANENT,)
        for error in classes:
            yield [ChildEnded(step_id, RunStatus.FAILED, failure=Failure(error))]
        if each.node.timeout_s is not None:
            late = TimerFired(step_id, TimerPurpose.TIMEOUT)
            yield [late, ChildEnded(step_id, RunStatus.CANCELLED)]
            yield [late, ChildEnded(step_id, RunStatus.COMPLETED)]

    def _unseen(self, run: Played) -> Iterator[int]:
        for each in steps_of(run):
            for events in self._unseen_events(each):
                yield from self._plays(run, each.path, events)

    def _unseen_events(self, each: Open) -> Iterator[Sequence[Event]]:
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

    def _asked(self, run: Played, what: Asked) -> Iterator[int]:
        finished = run.state.finished
        if what is Asked.CANCEL:
            yield from self._plays(run, (), [CancelAsked()])
        elif finished is not None and finished.status is not RunStatus.COMPLETED:
            for from_start in (False, True):
                yield from self._plays(run, (), [ReplayAsked(from_start=from_start)])

    def _hides(self, each: Open) -> bool:
        """Whether the log does not name what this step is: a wait, or a call whose own steps it has."""
        if each.step.node in self.seen:
            return False
        return each.step.kind is Kind.WAIT or (each.step.kind is Kind.CALL and each.child is not None)

    @staticmethod
    def _is_ready(each: Open) -> bool:
        """Whether a step may end: a call, when its child has."""
        return each.child is None or each.child.state.finished is not None

    @staticmethod
    def _has_done_well(each: Open) -> bool:
        child = each.child
        finished = None if child is None else child.state.finished
        return finished is not None and finished.status is RunStatus.COMPLETED and each.step.failure is None

    # Turns ---------------------------------------------------------------------

    def _plays(self, run: Played, path: tuple[str, ...], events: Sequence[Event]) -> Iterator[int]:
        return self._turns(lambda decide: self._played(run, path, events, decide))

    def _turns(self, turn: Callable[[Decide], Played]) -> Iterator[int]:
        for run in every_answer(turn, self.most_items, may_fail=self.may_fail):
            self.spend()
            key = Key(run, replays=self.replays).of_run()
            number = self._ids.get(key)
            if number is None:
                number = self._ids[key] = len(self._runs)
                self._runs.append(run)
            yield number

    def _played(self, run: Played, path: tuple[str, ...], events: Sequence[Event], decide: Decide) -> Played:
        if path:
            inner = self._played(run.children[path[0]], path[1:], events, decide)
            return run.with_child(path[0], inner)
        for event in events:
            transition = advance(run.workflow, run.state, event, decide=decide)
            run = self._carried_out(run.workflow, transition, run.children, decide, 0)
        return run

    def _started(self, workflow: Workflow, decide: Decide, depth: int) -> Played:
        return self._carried_out(workflow, start(workflow, decide=decide), {}, decide, depth)

    def _carried_out(
        self, workflow: Workflow, transition: Transition, children: dict[str, Played], decide: Decide, depth: int
    ) -> Played:
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
        return Played(workflow, state, {step_id: run for step_id, run in children.items() if step_id in state.steps})


def _ended(each: Open) -> ChildEnded:
    child = each.child
    finished = None if child is None else child.state.finished
    assert finished is not None  # noqa: S101 -- it is ready
    return ChildEnded(each.step.id, finished.status, failure=finished.failure)
