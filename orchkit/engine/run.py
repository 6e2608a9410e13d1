"""Run: a handle on one execution of a workflow."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchkit.engine.recovery import fold
from orchkit.errors import OrchkitError, RunFailed, RunNotFound, StoreError
from orchkit.events import Failure
from orchkit.model.definition import Workflow
from orchkit.model.states import RunStatus
from orchkit.store.rows import StoredRow
from orchkit.units import Duration

if TYPE_CHECKING:
    from orchkit.engine.engine import Engine

__all__ = ["Run", "Snapshot", "id_of"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is durably known of a run at a moment."""

    status: RunStatus
    variables: Mapping[str, Any] = field(default_factory=dict)
    error: Failure | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A run of a workflow. What it tells is read from the engine each time, so it is always up to date.

    Attributes
    ----------
    id
        The same for the same workflow and case.
    case_id
        The key of the case.
    workflow
        Its definition; if the run was migrated since, `Engine.get` gives the new one.

    Examples
    --------
    >>> from orchkit import Engine, task, workflow
    >>> with Engine(handlers={"ship": lambda country: f"to {country}"}) as engine:
    ...     run = engine.run(workflow("order", [task("ship")]), {"country": "US"}, case_id="A-1")
    ...     run.status.value, run.variables["ship"], run.error, dict(run.node_statuses)
    ...     run.steps()[["activity", "status", "attempt"]].values.tolist()
    ('COMPLETED', 'to US', None, {'ship': 'COMPLETED'})
    [['ship', 'COMPLETED', 1]]
    """

    id: str
    case_id: str
    workflow: Workflow
    _engine: Engine = field(compare=False)
    _began: float | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        try:
            status = self.status.value
        except OrchkitError:  # whatever is the matter with the store: a display never fails
            status = "its engine is closed"
        return f"<Run of {self.workflow.name}, case {self.case_id}: {status}>"

    @property
    def status(self) -> RunStatus:
        """The state of the run."""
        return self._engine.snapshot(self.id).status

    @property
    def started_at(self) -> datetime:
        """When the run began, in UTC."""
        if self._began is not None:
            return datetime.fromtimestamp(self._began, UTC)
        began: pd.Timestamp = self._engine.run_outcomes([self.id])["started_at"].iloc[0]
        return began.to_pydatetime()

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables, JSON values."""
        return self._engine.snapshot(self.id).variables

    @property
    def error(self) -> Failure | None:
        """Why the run failed, or None."""
        return self._engine.snapshot(self.id).error

    @property
    def node_statuses(self) -> Mapping[str, str]:
        """The last status of each node that the run has visited."""
        history = self.history()
        steps = history[
            history["node"].notna() & history["kind"].isin(["task", "wait", "scope", "call", "compensation"])
        ]
        return dict(zip(steps["node"], steps["status"], strict=True))

    def at(self, seq: int) -> Snapshot:
        """Return what was known once the row ``seq`` of the history was written: status, variables, error.

        Raises
        ------
        RunNotFound
            The history of the run begins after ``seq``.

        Examples
        --------
        >>> from orchkit import Engine, task, workflow
        >>> with Engine(handlers={"pay": lambda: 30, "ship": lambda: "sent"}) as engine:
        ...     run = engine.run(workflow("order", [task("pay"), task("ship")]), case_id="A-1")
        ...     rows = run.history()
        ...     seq = rows.loc[(rows["node"] == "pay") & (rows["status"] == "COMPLETED"), "seq"].item()
        ...     run.at(seq).status.value, dict(run.at(seq).variables)
        ('RUNNING', {'pay': 30})
        """
        rows = self.history()
        rows = rows[rows["seq"] <= seq]
        if rows.empty:
            message = f"The history of case {self.case_id!r} begins after row {seq}."
            raise RunNotFound(message, run_id=self.id)
        state = fold(self.workflow, map(_stored, rows.itertuples(index=False))).active.state
        error = None if state.finished is None else state.finished.failure
        return Snapshot(state.status, state.variables, error)

    def history(self) -> pd.DataFrame:
        """Return the history of the run, one row per change of state, ordered by ``seq``."""
        return self._engine.history(self.id)

    def steps(self) -> pd.DataFrame:
        """Return the steps of the run, one row per attempt, with the columns of an event log's steps."""
        return self._engine.steps(self.id)

    def wait(self, timeout: Duration | None = None) -> Run:
        """Wait until the run has ended, and return it.

        Raises
        ------
        TimeoutError
            The run has not ended in time; it continues.
        """
        self._engine.wait(self.id, timeout)
        return self

    async def wait_async(self, timeout: Duration | None = None) -> Run:
        """Await the end of the run, and return it."""
        await self._engine.wait_async(self.id, timeout)
        return self

    def complete(self, callback: str, payload: Any = None) -> None:  # noqa: ANN401 -- a JSON value
        """Complete a callback that the run waits for, or will wait for."""
        self._engine.complete(self, callback, payload)

    def fail(self, callback: str, message: str = "failed") -> None:
        """Fail a callback that the run waits for, or will wait for."""
        self._engine.fail(self, callback, message)

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel the run; its sagas are compensated first."""
        self._engine.cancel(self, reason)

    def retry(
        self,
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> Run:
        """Continue the run from where it failed; see `Engine.retry`."""
        return self._engine.retry(self, variables, from_start=from_start, by=by, reason=reason)

    def raise_for_status(self) -> Run:
        """Return the run if it has completed; raise if not.

        Raises
        ------
        RunFailed
            It has not completed.
        """
        found = self._engine.snapshot(self.id)
        if found.status.is_final and found.status is not RunStatus.COMPLETED:
            why = "" if found.error is None else f" at {found.error.node!r}: {found.error.type}: {found.error.message}"
            message = f"Run of case {self.case_id!r} ended {found.status}{why}"
            raise RunFailed(message, run_id=self.id)
        return self

    def _repr_mimebundle_(
        self,
        include: Container[str] | None = None,
        exclude: Container[str] | None = None,
    ) -> dict[str, Any]:
        from orchkit.view.diagram import draw  # noqa: PLC0415 -- a value may draw itself

        try:
            return draw(self)._repr_mimebundle_(include, exclude)
        except StoreError as error:  # a display never fails
            return {"text/plain": f"{self!r}: {error}"}


def _stored(row: Any) -> StoredRow:  # noqa: ANN401 -- a row of a frame
    """Return a row of the history's frame as the store's own; what is missing is None there."""
    values: dict[str, Any] = {name: None if pd.isna(value) else value for name, value in row._asdict().items()}
    values["occurred_at"] = values["occurred_at"].value // 1_000
    return StoredRow(**values)


def id_of(run: Run | str) -> str:
    """Return the id of a run that is given as such or by its id."""
    return run if isinstance(run, str) else run.id
