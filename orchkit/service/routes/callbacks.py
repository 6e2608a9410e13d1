"""Callbacks: what a run waits for from outside."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from orchkit.errors import RunNotFound
from orchkit.service import models
from orchkit.service.backend import Backend
from orchkit.service.problems import Refusal
from orchkit.service.roles import Role
from orchkit.service.routes.runs import RunId
from orchkit.service.routing import BackendOf, needs, router

__all__ = ["routes"]

routes = router("callbacks")


@routes.post(
    "/v1/runs/{run_id}/callbacks/complete",
    status_code=204,
    **needs(Role.OPERATE, "complete_callback", 404, 409),
)
async def complete_callback(backend: BackendOf, run_id: RunId, body: models.CompleteCallback) -> Response:
    """Complete a callback of a run, with what came; it may come before the run waits for it."""
    try:
        await backend.engine.complete_async(run_id, body.callback, body.payload)
    except RunNotFound as error:
        raise await _ended(backend, run_id, error) from None
    return Response(status_code=204)


@routes.post(
    "/v1/runs/{run_id}/callbacks/fail",
    status_code=204,
    **needs(Role.OPERATE, "fail_callback", 404, 409),
)
async def fail_callback(backend: BackendOf, run_id: RunId, body: models.FailCallback) -> Response:
    """Fail a callback of a run: its wait fails for good."""
    try:
        await backend.engine.fail_async(run_id, body.callback, body.message)
    except RunNotFound as error:
        raise await _ended(backend, run_id, error) from None
    return Response(status_code=204)


async def _ended(backend: Backend, run_id: str, error: RunNotFound) -> Exception:
    if await asyncio.to_thread(backend.engine.knows, run_id):
        return Refusal(409, "run-has-ended", f"Run {run_id} has ended already.")
    return error
