"""Client: an engine's verbs on a store that a service has open, for another notebook, process or machine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, Self
from urllib.parse import quote

import pandas as pd
from tqdm.auto import tqdm

from orchkit.engine import Run
from orchkit.engine.dead_letters import dead_letters
from orchkit.engine.many import cases_of, outcome_frame
from orchkit.engine.messages import run_id_of
from orchkit.engine.run import Snapshot, id_of
from orchkit.engine.values import plain
from orchkit.engine.who import roles_of, user
from orchkit.engine.work_items import COLUMNS as ITEM_COLUMNS
from orchkit.errors import InputError, RunNotFound, ServiceError, WorkflowError
from orchkit.events import Failure
from orchkit.log import EventLog
from orchkit.model import Workflow, write_workflow
from orchkit.model.schedule import Schedule
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.service.connection import Connection
from orchkit.store import FailedFrames, statements
from orchkit.store.queries import log_frames
from orchkit.units import Duration, seconds

__all__ = ["Client", "connect"]

_TOKEN = "ORCHKIT_TOKEN"  # noqa: S105 -- the name of a variable
_RUN_ID = re.compile(r"[0-9a-f]{16}")
_FIRST_LOOK_S, _LAST_LOOK_S = 0.02, 0.5
_MOST_ITEMS = 1_000
_AT_ONCE = 10_000


def connect(url: str = "http://127.0.0.1:8321", token: str | None = None) -> Client:
    """Connect to an engine that `orchkit serve` or `orchkit.Service` makes available.

    Parameters
    ----------
    url
        Where the service is.
    token
        The access token; by default the environment variable ``ORCHKIT_TOKEN``.

    Returns
    -------
    Client
        It has an engine's methods. Close it, or use it as a context manager.

    Raises
    ------
    ServiceError
        No service answers, or the token is refused.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("ship")])
    >>> with ok.Engine(handlers={"ship": lambda: "sent"}) as engine, ok.Service(engine, port=0) as service:
    ...     engine.deploy(order)
    ...     with connect(service.url, service.token) as client:
    ...         run = client.run("order", case_id="A-1")
    ...         print(run.status.value, run.variables["ship"], client.log().cases["case_id"].tolist())
    COMPLETED sent ['A-1']
    """
    found = token if token is not None else os.environ.get(_TOKEN)
    if found is None:
        message = f"A token is needed: connect(url, token), or the environment variable {_TOKEN}."
        raise ServiceError(message)
    client = Client(Connection(url, found))
    try:
        client.runs(1)
    except BaseException:
        client.close()
        raise
    return client


class Client:
    """The methods of an engine over HTTP; see `connect`. They return and raise what those of `orchkit.Engine` do."""

    def __init__(self, connection: Connection) -> None:
        self._service = connection
        self._definitions: dict[str, Workflow] = {}

    def __getattr__(self, name: str) -> NoReturn:
        # Asked only for what is not here.
        message = f"A client has no {name!r}: that is done where the engine is, in the process that serves the store."
        raise AttributeError(message)

    # Starting ------------------------------------------------------------------

    def start(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
        traceparent: str | None = None,
    ) -> Run:
        """Start a run of the current version and return it once its start is durable; see `orchkit.Engine.start`.

        Raises
        ------
        WorkflowError
            There is no such workflow, or the given version is not its current one.
        InputError
            An input is missing, unknown or of the wrong form.
        """
        name = self._checked(workflow)
        if inputs is not None and not isinstance(inputs, Mapping):
            message = f"Inputs are a mapping from variable to value, not {type(inputs).__name__}."
            raise InputError(message)
        # With a case of its own, to ask again starts nothing twice.
        case = str(case_id) if case_id is not None else uuid.uuid4().hex[:12]
        body = {"workflow": name, "case_id": case, "inputs": plain(dict(inputs or {}))}
        headers = {} if traceparent is None else {"traceparent": traceparent}
        told = self._service.json("POST", "/v1/runs", json=body, headers=headers)
        return self._run(told)

    def run(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
        traceparent: str | None = None,
    ) -> Run:
        """Start a run, wait until it has ended, and return it; see `start`."""
        return self.start(workflow, inputs, case_id=case_id, traceparent=traceparent).wait()

    def run_many(
        self, workflow: Workflow | str, cases: pd.DataFrame, *, concurrency: int = 16, progress: bool = True
    ) -> pd.DataFrame:
        """Run one case per row, and return one row per case, in the same order; see `orchkit.Engine.run_many`."""
        self._checked(workflow)

        def run(case: tuple[str, dict[str, Any]]) -> dict[str, Any]:
            row: dict[str, Any] = {"case_id": case[0], "run_id": None, "status": "REJECTED"}
            try:
                row["run_id"] = self.run(workflow, case[1], case_id=case[0]).id
            except InputError as error:
                row |= {"error_class": "permanent", "error_type": "InputError", "error_message": str(error)}
            return row

        listed = list(cases_of(cases))
        with concurrent.futures.ThreadPoolExecutor(max(1, concurrency)) as threads:
            rows = list(tqdm(threads.map(run, listed), total=len(listed), disable=not progress, unit="case"))
        return outcome_frame(rows, self.run_outcomes)

    def run_outcomes(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Return the state of runs, one row each."""
        pages = [run_ids[begin : begin + _AT_ONCE] for begin in range(0, max(1, len(run_ids)), _AT_ONCE)]
        return pd.concat([self.sql(statements.RUN_OUTCOMES, [list(page), len(page)]) for page in pages])

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

    def deploy(self, workflow: Workflow, *, by: str | None = None) -> None:  # noqa: ARG002 -- the token says who
        """Make a version the current one of its workflow (role ``admin``); the service must have its handlers."""
        headers = {"content-type": "application/yaml"}
        self._service.ask("PUT", "/v1/workflows", content=write_workflow(workflow).encode(), headers=headers)

    def current(self, workflow: str) -> Workflow:
        """Return the current version of a workflow: the one deployed last, or else the one last started."""
        told = self._service.json("GET", f"/v1/workflows/{_in_path(workflow)}")
        return Workflow.from_json(json.dumps(told["definition"]))

    # Reading -------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """Return the run with this id.

        Raises
        ------
        RunNotFound
            No such run.
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

    # Acting --------------------------------------------------------------------

    def complete(self, run: Run | str, callback: str, payload: Any = None) -> None:  # noqa: ANN401 -- JSON
        """Complete a callback of a run; it may come before its wait. See `orchkit.Engine.complete`."""
        self._act(f"/v1/runs/{_known(run)}/callbacks/complete", callback=callback, payload=plain(payload))

    def fail(self, run: Run | str, callback: str, message: str = "failed") -> None:
        """Fail a callback of a run: its wait fails for good."""
        self._act(f"/v1/runs/{_known(run)}/callbacks/fail", callback=callback, message=message)

    def cancel(self, run: Run | str, reason: str = "cancelled") -> None:
        """Cancel a run; its sagas are compensated first."""
        self._act(f"/v1/runs/{_known(run)}/cancel", reason=reason)

    def publish(
        self,
        event: str,
        payload: Any = None,  # noqa: ANN401 -- JSON
        *,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> int:
        """Send an event to the runs that wait for it, start the runs that it triggers, and return how many took it."""
        body = {"event": event, "payload": plain(payload), "message_id": message_id}
        headers = {} if traceparent is None else {"traceparent": traceparent}
        told = self._service.json("POST", "/v1/events", once=message_id is None, json=body, headers=headers)
        return int(told["taken"])

    def _act(self, path: str, **body: Any) -> Any:  # noqa: ANN401 -- JSON
        response = self._service.ask("POST", path, once=True, json=body)
        return response.json() if response.content else None

    # Dead letters ----------------------------------------------------------------

    def dead_letters(self, *, failed: bool = False) -> pd.DataFrame:
        """Return one row per run that waits for a decision, the oldest first; see `orchkit.Engine.dead_letters`."""
        return dead_letters(self, failed=failed)

    def failed_steps(self, statuses: Sequence[str]) -> FailedFrames:
        """Return the runs that have ended in one of the statuses, and what failed in them."""
        runs = self.sql(statements.FAILED_RUNS, [list(statuses)])
        return FailedFrames(runs, self.sql(statements.FAILED_STEPS, [runs["run_id"].tolist()]))

    def retry(
        self,
        run: Run | str,
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> Run:
        """Continue a run that has failed or is dead-lettered, under the same id; see `orchkit.Engine.retry`."""
        body = {"variables": plain(dict(variables or {})), "from_start": from_start, "by": by or user()}
        return self._run(self._act(f"/v1/runs/{_known(run)}/retry", **body, reason=reason))

    def discard(self, run: Run | str, reason: str, *, by: str | None = None) -> None:
        """Give up a dead letter: its run becomes FAILED."""
        self._act(f"/v1/dead-letters/{_known(run)}/discard", reason=reason, by=by or user())

    def retry_many(
        self,
        runs: Iterable[Run | str],
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> pd.DataFrame:
        """Continue many runs; returns ``run_id, accepted, problem``, one row per run."""
        body = {"variables": plain(dict(variables or {})), "from_start": from_start, "reason": reason}
        return self._decide_many("retry", runs, by=by or user(), **body)

    def discard_many(self, runs: Iterable[Run | str], reason: str, *, by: str | None = None) -> pd.DataFrame:
        """Give up many dead letters; returns ``run_id, accepted, problem``, one row per run."""
        return self._decide_many("discard", runs, reason=reason, by=by or user())

    def _decide_many(self, what: str, runs: Iterable[Run | str], **body: Any) -> pd.DataFrame:  # noqa: ANN401
        ids, rows = list(dict.fromkeys(map(_known, runs))), []
        for begin in range(0, len(ids), _MOST_ITEMS):
            page = ids[begin : begin + _MOST_ITEMS]
            rows += self._act(f"/v1/dead-letters/{what}", run_ids=page, **body)["decisions"]
        return pd.DataFrame(rows, columns=["run_id", "accepted", "problem"])

    # Work items ------------------------------------------------------------------

    def work_items(self, role: str | None = None, *, by: str | None = None) -> pd.DataFrame:
        """Return one row per open work item, the oldest first, at most 1,000; see `orchkit.Engine.work_items`."""
        wanted = {name: value for name, value in (("role", role), ("by", by)) if value is not None}
        told = self._service.json("GET", "/v1/work-items", params={**wanted, "limit": _MOST_ITEMS})
        frame = pd.DataFrame(told["items"], columns=ITEM_COLUMNS)
        frame = _with_moments(frame, "created", "due", unit="ns")
        frame["overdue"] = frame["overdue"].astype(bool)
        return frame

    def claim(self, item_id: str, *, by: str, roles: Iterable[str] | None = None) -> None:
        """Claim a work item; whoever comes second gets `orchkit.WorkItemTaken`. See `orchkit.Engine.claim`."""
        self._act(f"{_item(item_id)}/claim", by=by, roles=roles_of(roles))

    def release(self, item_id: str, *, by: str) -> None:
        """Give a work item back: it is offered again."""
        self._act(f"{_item(item_id)}/release", by=by)

    def complete_item(
        self,
        item_id: str,
        data: Any = None,  # noqa: ANN401 -- JSON
        *,
        by: str,
        roles: Iterable[str] | None = None,
    ) -> None:
        """Complete a work item with what its form asks for (JSON values); the run continues."""
        self._act(f"{_item(item_id)}/complete", data=plain(data), by=by, roles=roles_of(roles))

    def reject(self, item_id: str, reason: str, *, by: str, roles: Iterable[str] | None = None) -> None:
        """Refuse a work item: its step fails for good."""
        self._act(f"{_item(item_id)}/reject", reason=reason, by=by, roles=roles_of(roles))

    # Schedules and alerts ----------------------------------------------------------

    def schedule(self, workflow: Workflow | str, name: str | None = None, **settings: Any) -> Schedule:  # noqa: ANN401
        """Start runs of the current version at fixed times; see `orchkit.Engine.schedule`."""
        known = self._checked(workflow)
        found = Schedule.from_settings(settings, name or known)
        body = {"workflow": known, **_settings_of(found)}
        self._service.ask("PUT", f"/v1/schedules/{_in_path(found.name)}", json=body)
        return found

    def schedules(self) -> pd.DataFrame:
        """Return one row per schedule; see `orchkit.Engine.schedules`."""
        told = self._service.json("GET", "/v1/schedules")["schedules"]
        names = ("schedule", "workflow", "version", "when", "overlap", "catch_up", "paused", "last", "next")
        frame = pd.DataFrame(told, columns=[*names, "running", "queued"])
        return _with_moments(frame, "last", "next")

    def pause_schedule(self, name: str) -> None:
        """Pause a schedule: it starts no runs until it is resumed."""
        self._act(f"/v1/schedules/{_in_path(name)}/pause")

    def resume_schedule(self, name: str) -> None:
        """Resume a schedule from now on."""
        self._act(f"/v1/schedules/{_in_path(name)}/resume")

    def unschedule(self, name: str) -> None:
        """Delete a schedule; runs that it started continue."""
        self._service.ask("DELETE", f"/v1/schedules/{_in_path(name)}", once=True)

    def trigger(self, name: str) -> None:
        """Start a run of a schedule now."""
        self._act(f"/v1/schedules/{_in_path(name)}/trigger")

    def alerts(self, *, check: bool = False) -> pd.DataFrame:
        """Return the alerts that the service watches, one row each; ``check`` evaluates them first. See `Watch`."""
        method, path = ("POST", "/v1/alerts/check") if check else ("GET", "/v1/alerts")
        names = ["alert", "workflow", "severity", "condition", "state", "value", "since", "silenced_until"]
        frame = pd.DataFrame(self._service.json(method, path)["alerts"], columns=names)
        return _with_moments(frame, "since", "silenced_until")

    def silence(self, alert: str, duration: str, reason: str, *, by: str | None = None) -> None:
        """Send no messages about alerts for a while; see `orchkit.Watch.silence`."""
        self._act("/v1/alerts/silence", alert=alert, duration=duration, reason=reason, by=by or user())

    # Lifetime ------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections; runs go on."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._service.url}{': closed' if self._service.is_closed else ''}>"


def _known(run: Run | str) -> str:
    run_id = id_of(run)
    if _RUN_ID.fullmatch(run_id) is None:
        message = f"There is no run {run_id!r}: client.runs() lists them."
        raise RunNotFound(message, run_id=run_id)
    return run_id


def _item(item_id: str) -> str:
    run_id, _, step_id = item_id.partition("/")
    return f"/v1/work-items/{_in_path(run_id)}/{_in_path(step_id)}"


def _in_path(name: str) -> str:
    return quote(name, safe="")


def _plain(value: Any) -> Any:  # noqa: ANN401 -- a parameter of a query
    return value.isoformat() if isinstance(value, datetime) else value


def _with_moments(frame: pd.DataFrame, *columns: str, unit: Literal["us", "ns"] = "us") -> pd.DataFrame:
    found = {name: pd.to_datetime(frame[name], utc=True, format="ISO8601").dt.as_unit(unit) for name in columns}
    return frame.assign(**found)


def _settings_of(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule's settings as the service takes them."""
    found = {name: value for name, value in schedule.to_settings().items() if name != "name"}
    for name in ("every", "jitter"):
        if name in found:
            found[name] = _span(found[name])
    for name in ("first", "until"):
        if name in found:
            found[name] = datetime.fromtimestamp(found[name], UTC).isoformat()
    return found


def _span(duration_s: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if duration_s % size == 0:
            return f"{duration_s / size:.0f} {unit}"
    return f"{duration_s:g} s"
