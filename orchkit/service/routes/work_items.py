"""Work items: what waits for a person."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from orchkit.service import fields, models
from orchkit.service.frames import records
from orchkit.service.roles import Role
from orchkit.service.routes.runs import RunId
from orchkit.service.routing import BackendOf, Caller, answer, needs, router

__all__ = ["routes"]

routes = router("work items")

_PATH = "/v1/work-items/{run_id}/{step_id:path}"
StepId = Annotated[fields.PathName, Path(description="The step's id, percent-encoded: approve%231.")]


@routes.get("/v1/work-items", response_model=models.WorkItems, **needs(Role.READ, "list_work_items"))
def list_work_items(
    backend: BackendOf,
    role: Annotated[fields.Name | None, Query(description="Only this role's.")] = None,
    by: Annotated[
        fields.Name | None,
        Query(description="Only items claimed by this person or meant for them."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """List the open work items, the oldest first."""
    found = backend.engine.work_items(role, by=by)
    return answer(backend, {"items": records(found.head(limit)), "total": len(found)})


@routes.post(f"{_PATH}/claim", status_code=204, **needs(Role.OPERATE, "claim_work_item", 404, 409))
def claim_work_item(
    backend: BackendOf, caller: Caller, run_id: RunId, step_id: StepId, body: models.ClaimItem
) -> Response:
    """Claim a work item; whoever comes second is refused."""
    backend.engine.claim(f"{run_id}/{step_id}", by=body.by or caller.name, roles=body.roles)
    return Response(status_code=204)


@routes.post(f"{_PATH}/release", status_code=204, **needs(Role.OPERATE, "release_work_item", 404, 409))
def release_work_item(backend: BackendOf, caller: Caller, run_id: RunId, step_id: StepId, body: models.Who) -> Response:
    """Give a work item back: it is offered again."""
    backend.engine.release(f"{run_id}/{step_id}", by=body.by or caller.name)
    return Response(status_code=204)


@routes.post(f"{_PATH}/complete", status_code=204, **needs(Role.OPERATE, "complete_work_item", 404, 409))
def complete_work_item(
    backend: BackendOf, caller: Caller, run_id: RunId, step_id: StepId, body: models.CompleteItem
) -> Response:
    """Complete a work item with what its form asks for."""
    backend.engine.complete_item(f"{run_id}/{step_id}", body.data, by=body.by or caller.name, roles=body.roles)
    return Response(status_code=204)


@routes.post(f"{_PATH}/reject", status_code=204, **needs(Role.OPERATE, "reject_work_item", 404, 409))
def reject_work_item(
    backend: BackendOf, caller: Caller, run_id: RunId, step_id: StepId, body: models.RejectItem
) -> Response:
    """Refuse a work item: its step fails for good."""
    backend.engine.reject(f"{run_id}/{step_id}", body.reason, by=body.by or caller.name, roles=body.roles)
    return Response(status_code=204)
