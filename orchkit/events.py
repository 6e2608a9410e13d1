"""What the machine takes and gives: events, commands and records. Its state is in `orchkit.run_state`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchkit.model.nodes import WaitKind
from orchkit.model.states import ErrorClass, RunStatus

__all__ = [
    "CallbackReceived",
    "CancelAsked",
    "ChildEnded",
    "Command",
    "DiscardAsked",
    "Event",
    "Failure",
    "Finish",
    "Kind",
    "OpenWait",
    "Record",
    "ReplayAsked",
    "RunStep",
    "SetTimer",
    "StartChild",
    "StepCompleted",
    "StepFailed",
    "StepStarted",
    "StopStep",
    "TimerFired",
    "TimerPurpose",
]


class Kind(StrEnum):
    """What a record, or a step, is about."""

    RUN = "run"
    TASK = "task"
    WAIT = "wait"
    SCOPE = "scope"
    CALL = "call"
    GATEWAY = "gateway"
    COMPENSATION = "compensation"
    TIMER = "timer"
    CANCEL = "cancel"
    CALLBACK = "callback"
    DECISION = "decision"
    WORK_ITEM = "work_item"


class TimerPurpose(StrEnum):
    """What a timer is for."""

    RETRY = "retry"
    TIMER = "timer"
    TIMEOUT = "timeout"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, as data.

    Attributes
    ----------
    error_class
        What it means for the next attempt.
    type
        Name of the exception, or an HTTP code as text.
    message
        For people.
    node
        Where it happened.
    retry_after_s
        The least delay that the target asked for.
    exhausted
        Retries were spent on it.
    compensated
        A saga has undone what it did, on the way up.
    """

    error_class: ErrorClass
    type: str = "Error"
    message: str = ""
    node: str = ""
    retry_after_s: float = 0.0
    exhausted: bool = False
    compensated: bool = False

    def as_variable(self) -> dict[str, Any]:
        """Return the value of the variable ``error`` on an error path."""
        return {"node": self.node, "class": self.error_class.value, "type": self.type, "message": self.message}


# Events ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepStarted:
    """An attempt of a step begins."""

    step_id: str


@dataclass(frozen=True, slots=True)
class StepCompleted:
    """The attempt succeeded."""

    step_id: str
    output: Any = None


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The attempt failed."""

    step_id: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that was set is due."""

    step_id: str
    purpose: TimerPurpose


@dataclass(frozen=True, slots=True)
class CallbackReceived:
    """What a wait waited for has come."""

    step_id: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """The run of a called workflow has ended."""

    step_id: str
    status: RunStatus
    variables: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The run shall end; sagas are compensated first."""

    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class ReplayAsked:
    """A run that has ended badly shall go on: from where it failed, or from the start.

    Attributes
    ----------
    variables
        Mended ones, set where the step that failed sees them; from the start: all inputs.
    from_start
        Whether nothing of what was done counts.
    by, reason
        Who has decided it, and why.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    from_start: bool = False
    by: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DiscardAsked:
    """A dead letter is given up: the run has failed, and nothing is awaited."""

    reason: str
    by: str | None = None


Event = (
    StepStarted
    | StepCompleted
    | StepFailed
    | TimerFired
    | CallbackReceived
    | ChildEnded
    | CancelAsked
    | ReplayAsked
    | DiscardAsked
)


# Commands --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStep:
    """Begin an attempt as soon as there is room: answer with `StepStarted`, later with its outcome."""

    step_id: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send `TimerFired` after a delay, or at a moment (seconds since the epoch) where ``until_s`` is given."""

    step_id: str
    purpose: TimerPurpose
    delay_s: float
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class OpenWait:
    """Send `CallbackReceived` when the callback, or an event that matches, arrives."""

    step_id: str
    kind: WaitKind
    subject: str
    match: str | None = None


@dataclass(frozen=True, slots=True)
class StartChild:
    """Run another workflow and send `ChildEnded`."""

    step_id: str
    workflow: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StopStep:
    """The step has been given up: forget its timers and wait; cancel its child."""

    step_id: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The run has ended."""

    status: RunStatus
    failure: Failure | None = None


Command = RunStep | SetTimer | OpenWait | StartChild | StopStep | Finish


@dataclass(frozen=True, slots=True)
class Record:
    """A change of state, to be kept in the history."""

    kind: Kind
    status: str
    node: str | None = None
    step_id: str | None = None
    attempt: int = 0
    failure: Failure | None = None
    payload: Mapping[str, Any] | None = None
    resource: str | None = None
