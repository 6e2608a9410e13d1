"""From a record of the machine's to a row of the history."""

from __future__ import annotations

from orchkit.engine.messages import Active
from orchkit.engine.values import as_json
from orchkit.events import Kind, Record
from orchkit.store import HistoryRow, Redactor

__all__ = ["history_row"]

# States of what goes on; the others end an attempt, a scope or the run.
_ONGOING = frozenset({"PENDING", "RUNNING", "WAITING", "RETRYING", "COMPENSATING"})
# Rows that tell what came from outside or was decided: they end neither a step nor the run.
_NOTES = frozenset({Kind.GATEWAY, Kind.TIMER, Kind.CALLBACK, Kind.CANCEL, Kind.DECISION, Kind.WORK_ITEM})


def history_row(active: Active, record: Record, now: float, redact: Redactor) -> HistoryRow:
    """Return the row of a record: with when, how long, by whom, and without secrets.

    The times at which the run's steps began are kept in ``active``.
    """
    failure = record.failure
    payload = None if record.payload is None else as_json(record.payload)
    duration_s = None
    if record.status not in _ONGOING:
        began = None if record.kind in _NOTES else active.began.pop(record.step_id or "", None)
        duration_s = None if began is None else now - began
    elif record.step_id is not None and record.status in ("RUNNING", "WAITING"):
        active.began[record.step_id] = now
    error_class = error_type = error_message = None
    if failure is not None:
        error_class, error_type = str(failure.error_class), failure.type
        error_message = redact.text(failure.message)
    # By position: by name, this call would be the dearest of the turn.
    return HistoryRow(
        active.run_id,
        active.case_id,
        active.workflow.name,
        active.workflow.digest,
        record.step_id,
        record.node,
        str(record.kind),
        str(record.status),
        record.attempt,
        int(now * 1e6),
        duration_s,
        record.resource or active.doers.pop(record.step_id or "", None) if active.doers else record.resource,
        error_class,
        error_type,
        error_message,
        active.trace,
        None,
        None if payload is None else redact.text(payload),
    )
