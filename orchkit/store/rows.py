"""The rows of the store, in the order of their columns, and the batch that carries them to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Batch", "DefinitionRow", "HistoryRow", "RunRow", "StoredRow"]


class HistoryRow(NamedTuple):
    """A change of state on its way to the history; the store gives it its ``seq``.

    Attributes
    ----------
    run_id, case_id, workflow, digest
        Which run, of which case, of which definition.
    step_id, node
        Which step; both are missing for the run itself.
    kind
        What the row is about: run, task, wait, scope, call, gateway, compensation, timer, cancel, callback.
    status
        The new state.
    attempt
        From 1; 0 where there are no attempts.
    occurred_at
        Microseconds since the epoch, UTC; stored as a timestamp.
    duration_s
        Of what has ended.
    resource
        Who did it.
    error_class, error_type, error_message
        Of what has failed.
    trace_id, span_id
        Of the trace that it belongs to.
    payload
        JSON text.
    """

    run_id: str
    case_id: str
    workflow: str
    digest: str
    step_id: str | None
    node: str | None
    kind: str
    status: str
    attempt: int
    occurred_at: int
    duration_s: float | None = None
    resource: str | None = None
    error_class: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    payload: str | None = None


class StoredRow(NamedTuple):
    """A row of the history as it is stored: a `HistoryRow` with its place, ``seq``, before it."""

    seq: int
    run_id: str
    case_id: str
    workflow: str
    digest: str
    step_id: str | None
    node: str | None
    kind: str
    status: str
    attempt: int
    occurred_at: int
    duration_s: float | None
    resource: str | None
    error_class: str | None
    error_type: str | None
    error_message: str | None
    trace_id: str | None
    span_id: str | None
    payload: str | None


class RunRow(NamedTuple):
    """A run: what does not change while it runs.

    Attributes
    ----------
    parent_step
        ``run_id/step_id`` of the step that called it.
    started_at
        Microseconds since the epoch, UTC.
    """

    run_id: str
    case_id: str
    workflow: str
    digest: str
    version: str | None
    parent_step: str | None
    started_at: int


class DefinitionRow(NamedTuple):
    """A definition that runs are pinned to; ``document`` is its canonical JSON."""

    digest: str
    workflow: str
    version: str | None
    document: str
    created_at: int


@dataclass(slots=True)
class Batch:
    """Rows that become durable together, or not at all.

    Examples
    --------
    >>> batch = Batch()
    >>> bool(batch)
    False
    >>> batch.extend(Batch(runs=[RunRow("r1", "A-1", "order", "d1", "1", None, 0)]))
    >>> bool(batch), len(batch.runs)
    (True, 1)
    """

    rows: list[HistoryRow] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    definitions: list[DefinitionRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.runs or self.definitions)

    def extend(self, other: Batch) -> None:
        """Add the rows of another batch after these."""
        self.rows += other.rows
        self.runs += other.runs
        self.definitions += other.definitions
