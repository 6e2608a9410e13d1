"""What an engine tells: runs, histories, logs, and answers to queries."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from orchkit.clock import Clock
from orchkit.engine.doors import Door
from orchkit.engine.loop import Loop
from orchkit.engine.messages import run_id_of
from orchkit.engine.recovery import LiveRun, live_run
from orchkit.engine.run import Run, Snapshot
from orchkit.errors import RunNotFound, SecretError, nearest
from orchkit.events import Failure
from orchkit.log import EventLog
from orchkit.model.definition import Workflow
from orchkit.model.expressions import render
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.store import Bounds, Store
from orchkit.store.reading import Parameters

__all__ = ["Reading"]


class Reading:
    """The part of an engine that only reads."""

    _store: Store
    _loop: Loop
    _clock: Clock

    def get(self, run_id: str) -> Run:
        """Return the run with this id.

        Raises
        ------
        RunNotFound
            There is no such run.
        """
        live = self._loop.live.get(run_id)
        if live is not None:
            return Run(run_id, live.active.case_id, live.active.workflow, self)  # type: ignore[arg-type]  # the engine
        row = self._store.known_runs([run_id]).get(run_id)
        if row is None:
            message = f"There is no run {run_id!r}: engine.runs() lists them."
            raise RunNotFound(message, run_id=run_id)
        digest = self._loop.core.plans.moved.get(run_id, row.digest)
        return Run(run_id, row.case_id, self._definition(digest), self)  # type: ignore[arg-type]

    def _definition(self, digest: str) -> Workflow:
        return Workflow.from_json(self._store.definition(digest))

    def find(self, workflow: Workflow | str, case_id: str) -> Run:
        """Return the run of a case.

        Raises
        ------
        RunNotFound
            There is no such run.
        """
        return self.get(run_id_of(workflow if isinstance(workflow, str) else workflow.name, str(case_id)))

    def runs(self, limit: int | None = 1_000) -> pd.DataFrame:
        """Return one row per run, the newest first.

        Returns
        -------
        DataFrame
            ``run_id, case_id, workflow, version, digest, status, started_at, ended_at, error_class, error_type,
            error_message``.
        """
        return self._store.runs(limit=limit)

    def runs_page(
        self,
        *,
        workflow: str | None = None,
        case_id: str | None = None,
        statuses: Sequence[str] | None = None,
        before: tuple[int, int] | None = None,
        limit: int = 100,
    ) -> pd.DataFrame:
        """Return one row per run that is of a workflow, a case and a status, the newest first.

        Returns
        -------
        DataFrame
            The columns of `runs`, then ``seq, place``: those of the last row are ``before`` of the next page.
        """
        return self._store.runs_page(workflow=workflow, case_id=case_id, statuses=statuses, before=before, limit=limit)

    def run_outcomes(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Return the state of runs, one row each; see `orchkit.store.Store.run_outcomes`."""
        return self._store.run_outcomes(run_ids)

    def rows_after(
        self, seq: int, *, run_id: str | None = None, workflow: str | None = None, limit: int = 1_000
    ) -> pd.DataFrame:
        """Return the rows of the history after a ``seq``, of one run or workflow or of all."""
        return self._store.rows_after(seq, run_id=run_id, workflow=workflow, limit=limit)

    def last_seq(self) -> int:
        """Return the ``seq`` of the last row of the history; 0 if there is none."""
        return self._store.last_seq

    def table(self, query: str, parameters: Parameters = None, bounds: Bounds | None = None) -> pa.Table:
        """Return the answer to a read-only query as an Arrow table, within bounds; see `sql`.

        Raises
        ------
        QueryError
            As for `sql`; or the answer takes longer, or is larger, than the bounds allow.
        """
        return self._store.table(query, parameters, bounds)

    def on_commit(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each commit, in the thread that writes; it must be quick and must not raise.

        Returns
        -------
        Callable
            A function that ends these calls.
        """
        listeners = self._loop.writer.listeners
        listeners.append(told)
        return lambda: listeners.remove(told)

    def knows(self, run_id: str) -> bool:
        """Return whether there is a run with that id; cheap if there is none."""
        return run_id in self._loop.live or run_id in self._store.known_runs([run_id])

    def deployed(self, workflow: str) -> Workflow | None:
        """Return the version of a workflow that was deployed last, from memory; None if none was."""
        return self._loop.core.plans.current.get(workflow)

    def doors(self, name: str) -> list[Door]:
        """Return the doors of a name that deployed workflows have for webhooks; see `orchkit.engine.doors`."""
        return self._loop.core.plans.doors(name)

    def began(self, run_id: str) -> float | None:
        """Return when a run that has not ended began, in seconds since 1970; from memory, None for all others."""
        live = self._loop.live.get(run_id)
        return None if live is None else live.active.began.get("")

    def redact(self, text: str) -> str:
        """Return a text without the engine's secrets."""
        return self._loop.core.redact.text(text) or ""

    def secret(self, name: str) -> str:
        """Return a secret by its name, for what signs; it belongs in no row, log line or display.

        Raises
        ------
        SecretError
            The engine was given no secret with that name.
        """
        secrets = self._loop.core.settings.secrets
        if name not in secrets:
            message = f"There is no secret {name!r}.{nearest(name, secrets)} Engine(secrets={{{name!r}: …}}) gives it."
            raise SecretError(message)
        return secrets[name]

    def rendered(self, template: str) -> str:
        """Return the text of a template over the engine's ``systems`` and ``secrets``; see `secret`.

        Raises
        ------
        ExpressionError
            The template names something that is not there.
        """
        settings = self._loop.core.settings
        return str(render(template, {"systems": dict(settings.systems), "secrets": dict(settings.secrets)}))

    @property
    def path(self) -> Path | None:
        """The file of its store; None in memory."""
        return self._store.path

    @property
    def now(self) -> float:
        """The time of its clock, in seconds since 1970."""
        return self._clock.now()

    def in_flight(self) -> list[LiveRun]:
        """Return the runs that have not ended, in the order of their start: the state of each, and its history."""
        found: dict[str, Workflow] = {}
        runs = []
        for row, rows in self._store.open_runs():
            if row.digest not in found:
                found[row.digest] = Workflow.from_json(self._store.definition(row.digest))
            runs.append(live_run(found[row.digest], row, rows, self._definition))
        return runs

    def history(self, run_id: str) -> pd.DataFrame:
        """Return the history of a run, ordered by ``seq``."""
        return self._store.history(run_id)

    def steps(self, run_id: str) -> pd.DataFrame:
        """Return the steps of a run, one row per attempt."""
        return self._store.log_frames(run_id=run_id).steps

    def log(self, workflow: Workflow | str | None = None, *, since: datetime | None = None) -> EventLog:
        """Return the event log of all runs, or of one workflow's; ``since`` leaves out runs that ended before it."""
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        frames = self._store.log_frames(workflow=name, since=since)
        return EventLog(frames.steps, frames.cases)

    def sql(self, query: str, parameters: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the answer to a read-only query on the store: tables ``history``, ``runs`` and ``definitions``.

        Raises
        ------
        QueryError
            It would change something, or DuckDB cannot answer it.

        Examples
        --------
        >>> from orchkit import Engine, task, workflow
        >>> with Engine(handlers={"ship": lambda: "sent"}) as engine:
        ...     run = engine.run(workflow("order", [task("ship")]))
        ...     engine.log().cases["status"].tolist()
        ...     engine.sql("SELECT node, status FROM history WHERE kind = 'task'").values.tolist()
        ['COMPLETED']
        [['ship', 'RUNNING'], ['ship', 'COMPLETED']]
        """
        return self._store.sql(query, parameters)

    def backup(self, target: str | Path) -> Path:
        """Write a consistent copy of the store to a new file, while runs go on, and return its path.

        An engine that opens the copy continues its unfinished runs: beware of doing the same work twice.

        Raises
        ------
        StoreError
            The target exists already, or cannot be written.
        """
        return self._store.backup(target)

    def snapshot(self, run_id: str) -> Snapshot:
        """Return the durable state of a run: its status, variables and error."""
        live = self._loop.live.get(run_id)
        if live is not None:
            return live.snapshot
        return self._ended_snapshot(run_id)

    def _ended_snapshot(self, run_id: str) -> Snapshot:
        outcomes = self._store.run_outcomes([run_id])
        if outcomes.empty:
            message = f"There is no run {run_id!r}: engine.runs() lists them."
            raise RunNotFound(message, run_id=run_id)
        row = outcomes.iloc[0]
        error = None
        if isinstance(row["error_class"], str):
            error = Failure(
                ErrorClass(row["error_class"]), row["error_type"], row["error_message"], row["error_node"] or ""
            )
        return Snapshot(RunStatus(row["status"]), json.loads(row["variables"] or "{}"), error)
