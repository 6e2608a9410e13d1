"""Moves of the game of a workflow, and what each may mean: the events of an open step that lead on from there."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchkit.analysis.positions import Open
from orchkit.analysis.skeleton import begins_a_pass
from orchkit.events import (
    CallbackReceived,
    ChildEnded,
    Event,
    Failure,
    Kind,
    StepCompleted,
    StepFailed,
    TimerFired,
    TimerPurpose,
)
from orchkit.model.states import ErrorClass, RunStatus

__all__ = [
    "DONE",
    "Asked",
    "Done",
    "End",
    "Failed",
    "Move",
    "Outcome",
    "events_of",
    "hides",
    "is_ready",
    "unseen_events_of",
]


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

# A step of this name ends so; somebody asks for something; None: it is not seen what happens.
Move = tuple[str, Outcome] | Asked | None


def events_of(each: Open, outcome: Outcome) -> Iterator[Sequence[Event]]:
    """Yield what may have happened to an open step that ended so, a list of events each."""
    step_id, is_done = each.step.id, isinstance(outcome, Done)
    if each.step.kind is Kind.CALL:
        if each.child is not None:
            if is_ready(each) and is_done == _has_done_well(each):
                yield [_ended(each)]
        elif is_done:
            yield [ChildEnded(step_id, RunStatus.COMPLETED)]
        else:
            yield from _failed_call(each, outcome)
    elif isinstance(outcome, Done):
        yield [StepCompleted(step_id) if each.step.kind is not Kind.WAIT else CallbackReceived(step_id)]
    else:
        yield from ([StepFailed(step_id, Failure(error))] for error in outcome.classes)


def _failed_call(each: Open, outcome: Outcome) -> Iterator[Sequence[Event]]:
    step_id = each.step.id
    classes = outcome.classes if isinstance(outcome, Failed) else (ErrorClass.PERMANENT,)
    for error in classes:
        yield [ChildEnded(step_id, RunStatus.FAILED, failure=Failure(error))]
    if each.node.timeout_s is not None:
        late = TimerFired(step_id, TimerPurpose.TIMEOUT)
        yield [late, ChildEnded(step_id, RunStatus.CANCELLED)]
        yield [late, ChildEnded(step_id, RunStatus.COMPLETED)]


def unseen_events_of(each: Open, seen: Container[str], *, may_fail: bool) -> Iterator[Sequence[Event]]:
    """Yield what may happen to an open step with nothing in the log to show for it, a list of events each."""
    step_id = each.step.id
    late = TimerFired(step_id, TimerPurpose.TIMEOUT)
    match each.step.kind:
        case Kind.TASK if each.is_unwanted:  # an attempt that had not begun is cancelled
            yield [StepFailed(step_id, Failure(ErrorClass.PERMANENT))]
        case Kind.SCOPE if may_fail and each.node.timeout_s is not None and each.step.failure is None:
            yield [late]
        case Kind.WAIT if hides(each, seen):
            yield [CallbackReceived(step_id)]
            if not begins_a_pass(each.step.node):
                yield from ([StepFailed(step_id, Failure(error))] for error in Failed().classes)
        case Kind.CALL if each.child is None:
            if each.is_unwanted:
                yield from _failed_call(each, Failed((ErrorClass.PERMANENT,)))
        case Kind.CALL:
            if each.node.timeout_s is not None and each.step.failure is None:
                yield [late]
            unwanted = each.is_unwanted and not _has_done_well(each)
            if is_ready(each) and (unwanted or hides(each, seen)):
                yield [_ended(each)]


def hides(each: Open, seen: Container[str]) -> bool:
    """Whether the log does not name what this step is: a wait, or a call whose own steps it has."""
    if each.step.node in seen:
        return False
    return each.step.kind is Kind.WAIT or (each.step.kind is Kind.CALL and each.child is not None)


def is_ready(each: Open) -> bool:
    """Whether a step may end: a call, when its child has."""
    return each.child is None or each.child.state.finished is not None


def _has_done_well(each: Open) -> bool:
    child = each.child
    finished = None if child is None else child.state.finished
    return finished is not None and finished.status is RunStatus.COMPLETED and each.step.failure is None


def _ended(each: Open) -> ChildEnded:
    child = each.child
    finished = None if child is None else child.state.finished
    assert finished is not None  # noqa: S101 -- it is ready
    return ChildEnded(each.step.id, finished.status, failure=finished.failure)
