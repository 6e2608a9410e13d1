"""Alerts: what is pending, firing or resolved."""

from __future__ import annotations

from starlette.responses import Response

from orchkit.service import models
from orchkit.service.frames import records
from orchkit.service.roles import Role
from orchkit.service.routing import BackendOf, Caller, answer, needs, router

__all__ = ["routes"]

routes = router("alerts")


@routes.get("/v1/alerts", response_model=models.Alerts, **needs(Role.READ, "list_alerts"))
def list_alerts(backend: BackendOf) -> Response:
    """List the alerts that are pending or firing, or were."""
    return answer(backend, {"alerts": records(backend.watch.states())})


@routes.post("/v1/alerts/check", response_model=models.Alerts, **needs(Role.OPERATE, "check_alerts"))
def check_alerts(backend: BackendOf) -> Response:
    """Evaluate the alerts now; the service does so every 15 seconds anyway."""
    backend.watch.check()
    return answer(backend, {"alerts": records(backend.watch.states())})


@routes.post("/v1/alerts/silence", status_code=204, **needs(Role.OPERATE, "silence_alerts"))
def silence_alerts(backend: BackendOf, caller: Caller, body: models.Silence) -> Response:
    """Send no messages about alerts for a while; they are still evaluated."""
    backend.watch.silence(body.alert, body.duration, body.reason, by=body.by or caller.name)
    return Response(status_code=204)
