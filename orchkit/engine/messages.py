"""What the engine's core is told, and what it asks of its shell."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchkit.events import Failure, Finish, OpenWait
from orchkit.executors import Attempt, TaskExecutor
from orchkit.model.definition import Workflow
from orchkit.model.schedule import Schedule
from orchkit.run_state import State
from orchkit.store import Batch

__all__ = [
    "Active",
    "AddSchedule",
    "CancelRun",
    "ChangeSchedule",
    "ClaimItem",
    "CompleteItem",
    "CompleteWait",
    "Deploy",
    "DiscardRun",
    "Dispatch",
    "Ended",
    "HandlersAdded",
    "Heartbeat",
    "Item",
    "ListItems",
    "ListPlans",
    "Message",
    "MigrateRun",
    "Note",
    "Outcome",
    "Publish",
    "Receive",
    "ReleaseItem",
    "ReplayRun",
    "Settings",
    "StartRun",
    "Work",
    "run_id_of",
]

# Messages: what the core is told -------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartRun:
    """Begin a run, unless one of this id exists; ``trace`` and ``span`` are the caller's, if there are any."""

    run_id: str
    case_id: str
    workflow: Workflow
    inputs: Mapping[str, Any]
    parent: tuple[str, str] | None = None
    trace: str | None = None
    span: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """An attempt has ended. ``text`` is the output as JSON."""

    run_id: str
    step_id: str
    attempt: int
    failure: Failure | None = None
    output: Any = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """An attempt is alive."""

    run_id: str
    step_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CompleteWait:
    """A callback has come, with its payload or as a failure."""

    run_id: str
    name: str
    payload: Any = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """An event for every run that waits for it, and for those that it starts.

    ``message_id`` makes it known again where ``is_named``; ``source`` is the run and step that published it. One that
    ``is_strict`` is refused, and changes nothing, where a trigger cannot take it, or nobody does.
    """

    name: str
    payload: Any = None
    message_id: str | None = None
    is_named: bool = False
    source: tuple[str, str] | None = None
    trace: str | None = None
    span: str | None = None
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class Receive:
    """A message that somebody has signed, at ``timestamp``: what follows from it is done once an id of a source."""

    source: str
    message_id: str
    timestamp: int
    then: Publish | CompleteWait


@dataclass(frozen=True, slots=True)
class CancelRun:
    """The run shall end."""

    run_id: str
    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class ReplayRun:
    """A run that has ended badly shall go on."""

    run_id: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    from_start: bool = False
    by: str | None = None
    reason: str | None = None
    workflow: Workflow | None = None


@dataclass(frozen=True, slots=True)
class MigrateRun:
    """A run shall go on in another version, or somebody wants to know whether it can: then ``is_preview``."""

    run_id: str
    workflow: Workflow
    by: str | None = None
    reason: str | None = None
    is_preview: bool = False


@dataclass(frozen=True, slots=True)
class DiscardRun:
    """A dead letter is given up."""

    run_id: str
    reason: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimItem:
    """Somebody takes a work item; ``roles`` are theirs, where it is known which these are."""

    run_id: str
    step_id: str
    by: str
    roles: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReleaseItem:
    """Somebody gives a work item back."""

    run_id: str
    step_id: str
    by: str


@dataclass(frozen=True, slots=True)
class CompleteItem:
    """Somebody has done a work item, or refuses it: then with a failure."""

    run_id: str
    step_id: str
    by: str
    data: Any = None
    failure: Failure | None = None
    roles: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ListItems:
    """Somebody wants to know which work items are open."""


@dataclass(frozen=True, slots=True)
class AddSchedule:
    """Runs of a workflow shall be started by a schedule."""

    schedule: Schedule
    workflow: Workflow
    by: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeSchedule:
    """A schedule is PAUSED, RESUMED, DELETED, or STARTED now."""

    name: str
    status: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Deploy:
    """A version of a workflow becomes the current one."""

    workflow: Workflow
    by: str | None = None


@dataclass(frozen=True, slots=True)
class ListPlans:
    """Somebody wants to know the schedules."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that belongs to no run is to be kept in the history."""

    kind: str
    name: str
    status: str
    payload: Mapping[str, Any]
    workflow: str = ""
    by: str | None = None


@dataclass(frozen=True, slots=True)
class HandlersAdded:
    """Steps whose handler was missing may begin."""


Message = (
    StartRun
    | Outcome
    | Heartbeat
    | CompleteWait
    | Publish
    | Receive
    | CancelRun
    | HandlersAdded
    | ReplayRun
    | DiscardRun
    | ClaimItem
    | ReleaseItem
    | CompleteItem
    | ListItems
    | AddSchedule
    | ChangeSchedule
    | Deploy
    | ListPlans
    | Note
    | MigrateRun
)


# Effects: what the shell does once the rows are durable ---------------------------


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Begin an attempt."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Ended:
    """A run has ended."""

    run_id: str
    finish: Finish
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the core is set up with."""

    executors: Mapping[str, TaskExecutor]
    systems: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)


def run_id_of(workflow: str, case_id: str) -> str:
    """Return the id of the run of a case: the same case gives the same run.

    Examples
    --------
    >>> run_id_of("order", "A-1") == run_id_of("order", "A-1")
    True
    """
    return hashlib.blake2b(f"{workflow}\0{case_id}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of an open work item: when it was offered, to whom, who has it, whether it is overdue."""

    created: float
    role: str | None = None
    by: str | None = None
    late: bool = False


@dataclass(slots=True)
class Active:
    """A run in memory."""

    run_id: str
    case_id: str
    workflow: Workflow
    state: State
    parent: tuple[str, str] | None = None
    began: dict[str, float] = field(default_factory=dict)
    waits: dict[str, OpenWait] = field(default_factory=dict)
    mailbox: dict[str, deque[Any]] = field(default_factory=dict)
    beats: dict[str, float] = field(default_factory=dict)
    durable: State | None = None
    items: dict[str, Item] = field(default_factory=dict)
    doers: dict[str, str] = field(default_factory=dict)
    trace: str | None = None


@dataclass(slots=True)
class Work:
    """What a turn gives: rows to make durable, then effects, then answers to the messages.

    ``answers`` holds, by the position of the message, an exception or a value.
    """

    batch: Batch = field(default_factory=Batch)
    effects: list[Dispatch | Ended] = field(default_factory=list)
    answers: dict[int, Any] = field(default_factory=dict)
    touched: dict[str, Active] = field(default_factory=dict)
