"""Whether the service is alive, and whether it can work."""

from __future__ import annotations

from starlette.responses import Response

from orchkit.service.models import Health
from orchkit.service.routing import BackendOf, answer, needs, router

__all__ = ["routes"]

routes = router("health")


@routes.get("/health/live", response_model=Health, **needs(None, "get_liveness"))
async def get_liveness(backend: BackendOf) -> Response:
    """Return that the service answers."""
    return answer(backend, {"status": "ok"})


@routes.get("/health/ready", response_model=Health, **needs(None, "get_readiness"))
def get_readiness(backend: BackendOf) -> Response:
    """Return that the engine takes work and the store can be read; 503 if not."""
    backend.engine.sql("SELECT 1")
    backend.engine.schedules()
    return answer(backend, {"status": "ok"})
