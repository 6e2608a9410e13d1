"""What a client reads of the store that a service has open."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pandas as pd

from orchkit.engine import Run
from orchkit.engine.messages import run_id_of
from orchkit.engine.run import Snapshot, id_of
from orchkit.errors import RunNotFound, WorkflowError
from orchkit.events import Failure
from orchkit.log import EventLog
from orchkit.model import Workflow
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.service.connection import Connection
from orchkit.store import FailedFrames, statements
from orchkit.store.queries import log_frames
from orchkit.units import Duration, seconds

__all__ = ["ClientReading", "in_path", "known_id"]

_RUN_ID = re.compile(r"[0-9a-f]{16}")
_FIRST_LOOK_S, _LAST_LOOK_S = 0.02, 0.5
_AT_ONCE = 10_000


class ClientReading:
    """Runs, histories, logs and queries, over HTTP."""

    def __init__(self, connection: Connection) -> None:
        self._service = connection
        self._definitions: dict[str, Workflow] = {}

    def get(self, run_id: str) -> Run:
        """Return the run with this id.

        Raises
        ------
        RunNotFound
            There is no such run.
        """
        return self._run(self._told(run_id))

    def find(self, workflow: Workflow | str, case_id: str) -> Run:
        """Return the run of a case."""
        return self.get(run_id_of(workflow if isinstance(workflow, str) else workflow.name, str(case_id)))

    def _told(self, run_id: str) -> Any:  # noqa: ANN401 -- JSON
        if not isinstance(run_id, str) or _RUN_ID.fullmatch(run_id) is None:
            message = f"There is no run {run_id!r}: client.runs() lists them."
            raise RunNotFound(message, run_id=str(run_id))
        return self._service.json("GET", f"/v1/runs/{run_id}")

    def _run(self, told: Mapping[str, Any]) -> Run:
        workflow = self._definition(told["digest"])
        return Run(told["run_id"], told["case_id"], workflow, self)  # type: ignore[arg-type]  # it has its verbs

    def _definition(self, digest: str) -> Workflow:
        if digest not in self._definitions:
            (text,) = self.sql("SELECT document FROM definitions WHERE digest = ?", [digest])["document"]
            self._definitions[digest] = Workflow.from_json(text)
        return self._definitions[digest]

    def current(self, workflow: str) -> Workflow:
        """Return the current version of a workflow: the one deployed last, or else the one last started."""
        told = self._service.json("GET", f"/v1/workflows/{in_path(workflow)}")
        return Workflow.from_json(json.dumps(told["definition"]))

    def _checked(self, workflow: Workflow | str) -> str:
        if isinstance(workflow, str):
            return workflow
        if not isinstance(workflow, Workflow):
            message = f"A workflow is expected, not {type(workflow).__name__}: read_workflow(path) gives one."
            raise WorkflowError(message)
        if self.current(workflow.name).digest != workflow.digest:
            message = (
                f"The service runs another version of {workflow.name!r}: client.deploy(workflow) makes this one the "
                "current one (role admin); client.start(name) starts the one that is."
            )
            raise WorkflowError(message)
        return workflow.name

    def snapshot(self, run_id: str) -> Snapshot:
        """Return the durable state of a run: its status, variables and error."""
        told = self._told(run_id)
        error = told["error"]
        failure = None
        if error is not None:
            texts = (error["type"], error["message"] or "", error["node"] or "")
            failure = Failure(ErrorClass(error["error_class"]), *texts)
        return Snapshot(RunStatus(told["status"]), told["variables"], failure)

    def runs(self, limit: int | None = 1_000) -> pd.DataFrame:
        """Return one row per run, the newest first; see `orchkit.Engine.runs`."""
        return self.sql(statements.RUNS, [limit])

    def run_outcomes(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Return the state of runs, one row each."""
        pages = [run_ids[begin : begin + _AT_ONCE] for begin in range(0, max(1, len(run_ids)), _AT_ONCE)]
        return pd.concat([self.sql(statements.RUN_OUTCOMES, [list(page), len(page)]) for page in pages])

    def history(self, run_id: str) -> pd.DataFrame:
        """Return the history of a run, ordered by ``seq``."""
        return self.sql(statements.HISTORY, [run_id, run_id])

    def steps(self, run_id: str) -> pd.DataFrame:
        """Return the steps of a run, one row per attempt."""
        return log_frames(self.sql, run_id=run_id).steps

    def log(self, workflow: Workflow | str | None = None, *, since: datetime | None = None) -> EventLog:
        """Return the event log of all runs, or of one workflow's; ``since`` leaves out runs that ended before it."""
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        frames = log_frames(self.sql, workflow=name, since=since)
        return EventLog(frames.steps, frames.cases)

    def failed_steps(self, statuses: Sequence[str]) -> FailedFrames:
        """Return the runs that have ended in one of the statuses, and what failed in them."""
        runs = self.sql(statements.FAILED_RUNS, [list(statuses)])
        return FailedFrames(runs, self.sql(statements.FAILED_STEPS, [runs["run_id"].tolist()]))

    def sql(self, query: str, parameters: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the answer to a read-only query on the store, within the limits of the service."""
        return self._service.frame(query, [_plain(value) for value in parameters or ()])

    def last_seq(self) -> int:
        """Return the ``seq`` of the last row of the history; 0 if there is none."""
        return int(self.sql("SELECT coalesce(max(seq), 0) AS seq FROM history")["seq"].iloc[0])

    @property
    def now(self) -> float:
        """The time of this machine, in seconds since 1970."""
        return time.time()

    def wait(self, run_id: str, timeout: Duration | None = None) -> None:
        """Wait until a run has ended.

        Raises
        ------
        TimeoutError
            The run has not ended in time; it continues.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout)
        pause_s = _FIRST_LOOK_S
        while not RunStatus(self._told(run_id)["status"]).is_final:
            if deadline is not None and time.monotonic() >= deadline:
                message = f"Run {run_id} has not ended in time; it goes on."
                raise TimeoutError(message)
            left_s = pause_s if deadline is None else min(pause_s, deadline - time.monotonic())
            time.sleep(max(0.0, left_s))
            pause_s = min(pause_s * 1.5, _LAST_LOOK_S)

    async def wait_async(self, run_id: str, timeout: Duration | None = None) -> None:
        """Await the end of a run; see `wait`."""
        await asyncio.to_thread(self.wait, run_id, timeout)


def known_id(run: Run | str) -> str:
    """Return the id of a run, or refuse what can be none."""
    run_id = id_of(run)
    if _RUN_ID.fullmatch(run_id) is None:
        message = f"There is no run {run_id!r}: client.runs() lists them."
        raise RunNotFound(message, run_id=run_id)
    return run_id


def in_path(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")


def _plain(value: Any) -> Any:  # noqa: ANN401 -- a parameter of a query
    return value.isoformat() if isinstance(value, datetime) else value
