"""Runs: started, listed, looked at, cancelled, retried."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from fastapi import Header, Path, Query
from starlette.responses import Response

from orchkit.engine.messages import run_id_of
from orchkit.engine.run import Run
from orchkit.errors import RunNotFound
from orchkit.model.states import RunStatus
from orchkit.service import fields, models
from orchkit.service.backend import Backend
from orchkit.service.frames import history_records, plain_cell, records
from orchkit.service.problems import Refusal
from orchkit.service.roles import Role
from orchkit.service.routes.workflows import find_workflow
from orchkit.service.routing import BackendOf, Caller, answer, needs, router

__all__ = ["RunId", "check_run", "routes", "run_record"]

routes = router("runs")

RunId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="A run's id.", examples=["23cfa340882e3ae5"])]
_STEPS = list(models.Step.model_fields)
_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})")


_start = needs(Role.OPERATE, "start_run", 404, 409)
_start["responses"][200] = {"model": models.Run, "description": "The case has a run already: this one."}


@routes.post("/v1/runs", status_code=201, response_model=models.Run, **_start)
async def start_run(
    backend: BackendOf, body: models.StartRun, traceparent: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """Start a run; it is durable when the answer comes. The same case has one run: 200 says that it was there."""
    engine, case = backend.engine, body.case_id
    workflow = engine.deployed(body.workflow)
    if workflow is None:
        workflow = await asyncio.to_thread(find_workflow, backend, body.workflow)
    known = case is not None and engine.knows(run_id_of(workflow.name, case))
    run = await engine.start_async(workflow, body.inputs, case_id=case, traceparent=traceparent)
    found = await asyncio.to_thread(run_record, backend, run) if known else _begun_record(backend, run)
    return answer(backend, found, 200 if known else 201, {"location": f"/v1/runs/{run.id}"})


@routes.get("/v1/runs", response_model=models.RunPage, **needs(Role.READ, "list_runs"))
def list_runs(
    backend: BackendOf,
    workflow: Annotated[fields.Name | None, Query(examples=["order"])] = None,
    case_id: Annotated[fields.Name | None, Query(examples=["A-1"])] = None,
    status: Annotated[list[RunStatus] | None, Query(max_length=9, description="Any of these.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,18}-[0-9]{1,18}$", description="`next` of a page.")] = None,
) -> Response:
    """List runs, the newest first, a page at a time."""
    before = None if cursor is None else _place(cursor)
    statuses = [one.value for one in status] if status else None
    found = backend.engine.runs_page(
        workflow=workflow, case_id=case_id, statuses=statuses, before=before, limit=limit + 1
    )
    page = found.head(limit)
    last = None if len(found) <= limit else f"{page['seq'].iloc[-1]}-{page['place'].iloc[-1]}"
    return answer(backend, {"runs": [_run(row) for row in records(page)], "next": last})


@routes.get("/v1/runs/{run_id}", response_model=models.RunDetail, **needs(Role.READ, "get_run", 404))
def get_run(backend: BackendOf, run_id: RunId) -> Response:
    """Return a run's state and variables."""
    run = backend.engine.get(run_id)
    found, now = run_record(backend, run), backend.engine.snapshot(run_id)
    if found["ended_at"] is None and not now.status.is_final:  # what it waits for is known in memory only
        found["status"] = now.status.value
    return answer(backend, {**found, "variables": now.variables})


@routes.get("/v1/runs/{run_id}/history", response_model=models.History, **needs(Role.READ, "get_history", 404))
def get_history(
    backend: BackendOf,
    run_id: RunId,
    after: Annotated[int, Query(ge=0, le=2**62, description="Only what came after this `seq`.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> Response:
    """Return the history of a run, one row per change of state."""
    check_run(backend, run_id)
    found = backend.engine.rows_after(after, run_id=run_id, limit=limit + 1)
    page = found.head(limit)
    last = None if len(found) <= limit else int(page["seq"].iloc[-1])
    return answer(backend, {"rows": history_records(page), "next": last})


@routes.get("/v1/runs/{run_id}/steps", response_model=models.Steps, **needs(Role.READ, "get_steps", 404))
def get_steps(backend: BackendOf, run_id: RunId) -> Response:
    """Return the steps of a run, one row per attempt."""
    check_run(backend, run_id)
    return answer(backend, {"steps": records(backend.engine.steps(run_id), _STEPS)})


@routes.post(
    "/v1/runs/{run_id}/cancel",
    status_code=202,
    response_model=models.Run,
    **needs(Role.OPERATE, "cancel_run", 404, 409),
)
def cancel_run(backend: BackendOf, run_id: RunId, body: models.Cancel) -> Response:
    """Cancel a run; its sagas are compensated first."""
    run = check_run(backend, run_id)
    try:
        backend.engine.cancel(run_id, body.reason)
    except RunNotFound:  # it is known, so it has ended
        raise Refusal(409, "run-has-ended", f"Run {run_id} has ended already.") from None
    return answer(backend, run_record(backend, run), 202)


@routes.post(
    "/v1/runs/{run_id}/retry",
    status_code=202,
    response_model=models.Run,
    **needs(Role.OPERATE, "retry_run", 404, 409),
)
def retry_run(backend: BackendOf, caller: Caller, run_id: RunId, body: models.Retry) -> Response:
    """Continue a run that has failed or is dead-lettered, with mended variables."""
    run = backend.engine.retry(
        run_id, body.variables, from_start=body.from_start, by=body.by or caller.name, reason=body.reason
    )
    return answer(backend, run_record(backend, run), 202)


def check_run(backend: Backend, run_id: str) -> Run:
    """Return the run with this id.

    Raises
    ------
    RunNotFound
        No such run.
    """
    return backend.engine.get(run_id)


def run_record(backend: Backend, run: Run) -> dict[str, Any]:
    """Return what is told of a run."""
    found = backend.engine.run_outcomes([run.id]).iloc[0]
    row = {**{str(name): plain_cell(value) for name, value in found.items()}, "version": run.workflow.version}
    return _run({**row, "digest": run.workflow.digest})


def _begun_record(backend: Backend, run: Run) -> dict[str, Any]:
    """Return what was acknowledged of a run that has just begun: from memory, also where it has ended by now."""
    status = RunStatus.RUNNING if backend.engine.began(run.id) is None else run.status
    if status.is_final:  # meanwhile
        status = RunStatus.RUNNING
    row = {"run_id": run.id, "case_id": run.case_id, "workflow": run.workflow.name, "version": run.workflow.version}
    moments = {"started_at": run.started_at.isoformat(), "ended_at": None}
    return _run({**row, **moments, "digest": run.workflow.digest, "status": status.value, "error_class": None})


def _run(row: dict[str, Any]) -> dict[str, Any]:
    error = None
    if row["error_class"] is not None:
        error = {"error_class": row["error_class"], "type": row["error_type"], "message": row["error_message"]}
        error["node"] = row.get("error_node")
    names = ("run_id", "case_id", "workflow", "version", "digest", "status", "started_at", "ended_at")
    return {**{name: row[name] for name in names}, "error": error}


def _place(cursor: str) -> tuple[int, int]:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise Refusal(422, "not-valid", "This is not a cursor: take `next` of a page.")
    return int(found[1]), int(found[2])
