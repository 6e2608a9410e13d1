"""Schedules: what starts runs at fixed times."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from starlette.responses import Response

from orchkit.service import fields, models
from orchkit.service.backend import Backend
from orchkit.service.frames import records
from orchkit.service.problems import Refusal
from orchkit.service.roles import Role
from orchkit.service.routes.workflows import find_workflow
from orchkit.service.routing import BackendOf, Caller, answer, needs, router
from orchkit.units import seconds

__all__ = ["routes"]

routes = router("schedules")

Name = Annotated[fields.PathName, Path(description="A schedule's name.", examples=["nightly"])]
_SHORTEST_S = 1.0


@routes.get("/v1/schedules", response_model=models.Schedules, **needs(Role.READ, "list_schedules"))
def list_schedules(backend: BackendOf) -> Response:
    """List the schedules, each with its next moment."""
    return answer(backend, {"schedules": records(backend.engine.schedules())})


@routes.put("/v1/schedules/{name}", response_model=models.Schedule, **needs(Role.OPERATE, "put_schedule", 404, 409))
def put_schedule(backend: BackendOf, caller: Caller, name: Name, body: models.PutSchedule) -> Response:
    """Start runs of a workflow at fixed times; a schedule of the same name is changed."""
    workflow = find_workflow(backend, body.workflow)
    settings: dict[str, Any] = body.model_dump(exclude={"workflow"}, exclude_none=True, mode="json")
    if body.every is not None and seconds(body.every) < _SHORTEST_S:
        raise Refusal(409, "workflow-refused", f"every is {_SHORTEST_S:g} s at least.")
    backend.engine.schedule(workflow, name, by=caller.name, **settings)
    return answer(backend, _one(backend, name))


@routes.post("/v1/schedules/{name}/pause", response_model=models.Schedule, **needs(Role.OPERATE, "pause_schedule", 404))
def pause_schedule(backend: BackendOf, caller: Caller, name: Name) -> Response:
    """Pause a schedule: it starts no runs until it is resumed."""
    backend.engine.pause_schedule(name, by=caller.name)
    return answer(backend, _one(backend, name))


@routes.post(
    "/v1/schedules/{name}/resume", response_model=models.Schedule, **needs(Role.OPERATE, "resume_schedule", 404)
)
def resume_schedule(backend: BackendOf, caller: Caller, name: Name) -> Response:
    """Resume a schedule from now on."""
    backend.engine.resume_schedule(name, by=caller.name)
    return answer(backend, _one(backend, name))


@routes.post("/v1/schedules/{name}/trigger", status_code=204, **needs(Role.OPERATE, "trigger_schedule", 404))
def trigger_schedule(backend: BackendOf, caller: Caller, name: Name) -> Response:
    """Start a run of a schedule now, whatever its times say."""
    backend.engine.trigger(name, by=caller.name)
    return Response(status_code=204)


@routes.delete("/v1/schedules/{name}", status_code=204, **needs(Role.OPERATE, "delete_schedule", 404))
def delete_schedule(backend: BackendOf, caller: Caller, name: Name) -> Response:
    """Delete a schedule; runs that it started continue."""
    backend.engine.unschedule(name, by=caller.name)
    return Response(status_code=204)


def _one(backend: Backend, name: str) -> dict[str, Any]:
    found = backend.engine.schedules()
    rows = records(found[found["schedule"] == name])
    if not rows:
        raise Refusal(404, "schedule-not-found", f"There is no schedule {name!r} any more.")
    return rows[0]
