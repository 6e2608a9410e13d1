"""Dead letters: what has used up its retries and waits for a decision."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from orchkit.service import models
from orchkit.service.frames import records
from orchkit.service.roles import Role
from orchkit.service.routes.runs import RunId, check_run, run_record
from orchkit.service.routing import BackendOf, Caller, answer, needs, router

__all__ = ["routes"]

routes = router("dead letters")


@routes.get("/v1/dead-letters", response_model=models.DeadLetters, **needs(Role.READ, "list_dead_letters"))
def list_dead_letters(
    backend: BackendOf,
    *,
    failed: Annotated[bool, Query(description="Also runs that failed without being dead-lettered.")] = False,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """List the dead letters, the oldest first."""
    found = backend.engine.dead_letters(failed=failed)
    return answer(backend, {"letters": records(found.head(limit)), "total": len(found)})


@routes.post(
    "/v1/dead-letters/{run_id}/retry",
    status_code=202,
    response_model=models.Run,
    **needs(Role.OPERATE, "retry_dead_letter", 404, 409),
)
def retry_dead_letter(backend: BackendOf, caller: Caller, run_id: RunId, body: models.Retry) -> Response:
    """Continue a dead letter from the step that failed, or from the start, with mended variables."""
    by = body.by or caller.name
    run = backend.engine.retry(run_id, body.variables, from_start=body.from_start, by=by, reason=body.reason)
    return answer(backend, run_record(backend, run), 202)


@routes.post(
    "/v1/dead-letters/{run_id}/discard",
    response_model=models.Run,
    **needs(Role.OPERATE, "discard_dead_letter", 404, 409),
)
def discard_dead_letter(backend: BackendOf, caller: Caller, run_id: RunId, body: models.Discard) -> Response:
    """Give up a dead letter; the history says who did it, and why."""
    run = check_run(backend, run_id)
    backend.engine.discard(run_id, body.reason, by=body.by or caller.name)
    return answer(backend, run_record(backend, run))


@routes.post(
    "/v1/dead-letters/retry", response_model=models.Decisions, **needs(Role.OPERATE, "retry_dead_letters", 409)
)
def retry_dead_letters(backend: BackendOf, caller: Caller, body: models.RetryMany) -> Response:
    """Continue many dead letters; one that is refused does not hold up the others."""
    by = body.by or caller.name
    found = backend.engine.retry_many(
        body.run_ids, body.variables, from_start=body.from_start, by=by, reason=body.reason
    )
    return answer(backend, {"decisions": records(found)})


@routes.post("/v1/dead-letters/discard", response_model=models.Decisions, **needs(Role.OPERATE, "discard_dead_letters"))
def discard_dead_letters(backend: BackendOf, caller: Caller, body: models.DiscardMany) -> Response:
    """Give up many dead letters; one that is refused does not hold up the others."""
    found = backend.engine.discard_many(body.run_ids, body.reason, by=body.by or caller.name)
    return answer(backend, {"decisions": records(found)})
