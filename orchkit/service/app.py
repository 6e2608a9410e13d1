"""The app: the routes behind the gate, every error a problem."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orchkit.errors import OrchkitError
from orchkit.service.backend import Backend
from orchkit.service.gate import Gate
from orchkit.service.openapi import describe
from orchkit.service.problems import Fault, Refusal, problem_response, refusal_of
from orchkit.service.routes import (
    alerts,
    callbacks,
    dead_letters,
    events,
    figures,
    health,
    history,
    queries,
    runs,
    schedules,
    tokens,
    webhooks,
    work_items,
    workflows,
)
from orchkit.service.visits import visit_of

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["create_app"]

_VERSION = "1"
_ABOUT = """
The verbs of an orchkit engine over HTTP. Every error is a problem of RFC 9457. Times are ISO 8601 in UTC; durations are
seconds. A token's role, `read`, `operate` or `admin`, is what `x-orchkit-role` of an operation asks for.

`GET /v1/history/stream` tells the history as it grows, as server-sent events: `id` is the `seq` of a row, `data` the
row. It begins now, or after `?after=<seq>`, or after `Last-Event-ID`; `run_id` and `workflow` choose. OpenAPI 3.1 has
no word for a stream without end, so that it is described here only.
"""
# A router a kind of resource: whoever adds one adds a line here.
_ROUTERS: tuple[APIRouter, ...] = (
    workflows.routes,
    runs.routes,
    history.routes,
    callbacks.routes,
    events.routes,
    work_items.routes,
    dead_letters.routes,
    schedules.routes,
    figures.routes,
    alerts.routes,
    queries.routes,
    tokens.routes,
    webhooks.routes,
    health.routes,
)


def create_app(backend: Backend) -> FastAPI:
    """Return the ASGI app of a backend."""
    app = FastAPI(
        title="orchkit",
        version=_VERSION,
        description=_ABOUT.strip(),
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.backend = backend
    for routes in _ROUTERS:
        app.include_router(routes)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # as FastAPI's manual has it
    app.add_middleware(Gate, backend=backend)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(OrchkitError, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error)
    if refusal.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette names those of the first route only
        refusal.headers = {"allow": ", ".join(_methods_at(request))}
    return _told(request, refusal)


def _methods_at(request: Request) -> list[str]:
    """Return the methods that a path takes."""
    found: set[str] = set()
    for routes in _ROUTERS:
        for route in routes.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(request.url.path):
                found |= route.methods or set()
    return sorted(found)


async def _not_valid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    # What was given is left out: it may be a secret.
    faults = [Fault(where=".".join(map(str, fault["loc"])), message=fault["msg"]) for fault in found]
    detail = "; ".join(f"{fault.where}: {fault.message}" for fault in faults[:3])
    return _told(request, Refusal(422, "not-valid", f"The request is not valid: {detail}.", faults=faults))


def _told(request: Request, refusal: Refusal) -> Response:
    visit = visit_of(request.scope)
    visit.reason = refusal.kind
    return problem_response(refusal, visit.id, request.app.state.backend.engine.redact)
