"""Recovery: the history of a run is folded through the machine, and gives the state in which it stopped."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orchkit.decisions import recorded
from orchkit.engine.messages import Active
from orchkit.engine.people import item_of_row
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    DiscardAsked,
    Event,
    Failure,
    Kind,
    OpenWait,
    ReplayAsked,
    StepCompleted,
    StepFailed,
    StepStarted,
    TimerFired,
    TimerPurpose,
)
from orchkit.machine import Transition, advance, start
from orchkit.migration import migrated
from orchkit.model.definition import Workflow
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.replay import DISCARDED

if TYPE_CHECKING:
    from orchkit.run_state import State
    from orchkit.store import RunRow, StoredRow

MIGRATED = "MIGRATED"

__all__ = ["MIGRATED", "Folded", "LiveRun", "fold", "live_run", "parent_of"]


class Row(Protocol):
    """A row of the history, as the fold reads it."""

    @property
    def run_id(self) -> str: ...
    @property
    def case_id(self) -> str: ...
    @property
    def step_id(self) -> str | None: ...
    @property
    def kind(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def node(self) -> str | None: ...
    @property
    def occurred_at(self) -> int: ...
    @property
    def resource(self) -> str | None: ...
    @property
    def trace_id(self) -> str | None: ...
    @property
    def error_class(self) -> str | None: ...
    @property
    def error_type(self) -> str | None: ...
    @property
    def error_message(self) -> str | None: ...
    @property
    def payload(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Folded:
    """A run as its history tells it, and each transition with the time of its event."""

    active: Active
    transitions: list[tuple[float, Transition]]


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that has not ended, as it is durably known.

    Attributes
    ----------
    state
        The machine's.
    parent
        The run that called it, and the step there; None where nobody did.
    rows
        Its history, in order.
    """

    run_id: str
    case_id: str
    workflow: Workflow
    state: State
    parent: tuple[str, str] | None
    rows: tuple[StoredRow, ...]


def live_run(
    workflow: Workflow, row: RunRow, rows: Iterable[StoredRow], find: Callable[[str], Workflow] | None = None
) -> LiveRun:
    """Return a run that has not ended from its rows in the store."""
    listed = tuple(rows)
    parent = parent_of(row)
    active = fold(workflow, listed, parent, find).active
    return LiveRun(row.run_id, row.case_id, active.workflow, active.state, parent, listed)


def parent_of(row: RunRow) -> tuple[str, str] | None:
    """Return the run that called a run, and the step there."""
    if not row.parent_step:
        return None
    run_id, _, step_id = row.parent_step.partition("/")
    return run_id, step_id


def fold(
    workflow: Workflow,
    rows: Iterable[Row],
    parent: tuple[str, str] | None = None,
    find: Callable[[str], Workflow] | None = None,
) -> Folded:
    """Fold a run's rows, ordered by ``seq``, into its state; ``find`` gives the definitions that it has migrated to."""
    listed = list(rows)
    first = listed[0]
    decide = recorded(_payload(row)["decision"] for row in listed if row.kind == Kind.GATEWAY)
    then = first.occurred_at / 1e6
    inputs = _payload(first).get("inputs", {})
    transition = start(workflow, inputs, run_id=first.run_id, decide=decide)
    transitions = [(then, transition)]
    active = Active(first.run_id, first.case_id, workflow, transition.state, parent)
    active.began[""] = then
    active.trace = first.trace_id
    for row in listed[1:]:
        then = row.occurred_at / 1e6
        if row.kind == Kind.CALLBACK:
            content = _failure(row) if row.error_class else _payload(row).get("output")
            active.mailbox.setdefault(_payload(row)["subject"], deque()).append(content)
            continue
        if row.step_id is not None and row.status in ("RUNNING", "WAITING"):
            active.began[row.step_id] = then
        if row.step_id is not None and row.kind in (Kind.TASK, Kind.COMPENSATION, Kind.WORK_ITEM):
            item = item_of_row(workflow, row, _payload(row), active.items.pop(row.step_id, None))
            if item is not None:
                active.items[row.step_id] = item
        if row.kind == Kind.DECISION and "to" in _payload(row) and find is not None:
            to = find(_payload(row)["to"])
            if _payload(row).get("anew"):
                active.state.graves, active.state.letters = {}, ()
            active.state = migrated(workflow, to, active.state)
            active.workflow = workflow = to
        event = _event(row)
        if event is None:
            continue
        transition = advance(workflow, active.state, event, decide=decide)
        active.state = transition.state
        _empty_mailbox(active, transition)
        if isinstance(event, ReplayAsked) and transition.records:
            transitions = []  # what was set up before was given up, and is set up anew
        if transition.records:
            transitions.append((then, transition))
    active.began = {key: value for key, value in active.began.items() if not key or key in active.state.steps}
    active.durable = active.state
    return Folded(active, transitions)


def _empty_mailbox(active: Active, transition: Transition) -> None:
    """Take out the callbacks that waits found when they opened; their completion is in the rows that follow."""
    for command in transition.commands:
        if isinstance(command, OpenWait) and active.mailbox.get(command.subject):
            active.mailbox[command.subject].popleft()


def _event(row: Row) -> Event | None:
    """Return the event that a row stands for; None for what follows from others."""
    step_id = row.step_id or ""
    match row.kind:
        case Kind.TASK | Kind.COMPENSATION:
            return _task_event(row, step_id)
        case Kind.WAIT:
            return _wait_event(row, step_id)
        case Kind.CALL if row.status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED):
            failure = _failure(row) if row.error_class else None
            told = _payload(row)
            return ChildEnded(step_id, RunStatus(told.get("status", row.status)), told.get("output") or {}, failure)
        case Kind.TIMER:
            return TimerFired(step_id, TimerPurpose(_payload(row)["purpose"]))
        case Kind.DECISION:
            told = _payload(row)
            if row.status == MIGRATED:
                return None
            if row.status == DISCARDED:
                return DiscardAsked(told["reason"])
            return ReplayAsked(told["variables"], bool(told.get("from_start")))
        case Kind.CANCEL:
            return CancelAsked(_payload(row).get("reason", "cancelled"))
        case _:
            return None


def _task_event(row: Row, step_id: str) -> Event | None:
    match row.status:
        case "RUNNING":
            return StepStarted(step_id)
        case "COMPLETED":
            return StepCompleted(step_id, _payload(row).get("output"))
        case "FAILED" if row.error_type == "DeadlineExceeded":
            return TimerFired(step_id, TimerPurpose.DEADLINE)
        case "FAILED":
            return StepFailed(step_id, _failure(row))
        case _:
            return None


def _wait_event(row: Row, step_id: str) -> Event | None:
    match row.status:
        case "COMPLETED":
            return CallbackReceived(step_id, _payload(row).get("output"))
        case "FAILED" if row.error_class == ErrorClass.TIMEOUT and row.error_type == "Timeout":
            return TimerFired(step_id, TimerPurpose.TIMEOUT)
        case "FAILED":
            return StepFailed(step_id, _failure(row))
        case _:
            return None


def _failure(row: Row) -> Failure:
    return Failure(
        ErrorClass(row.error_class or "permanent"),
        row.error_type or "Error",
        row.error_message or "",
        retry_after_s=_payload(row).get("retry_after_s", 0.0),
    )


def _payload(row: Row) -> Mapping[str, Any]:
    return json.loads(row.payload) if row.payload else {}
