"""Events: what starts runs, and lets those go on that wait for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header
from starlette.responses import Response

from orchkit.service import models
from orchkit.service.roles import Role
from orchkit.service.routing import BackendOf, answer, needs, router

__all__ = ["routes"]

routes = router("events")


@routes.post("/v1/events", response_model=models.Taken, **needs(Role.OPERATE, "publish_event", 409))
async def publish_event(
    backend: BackendOf, body: models.PublishEvent, traceparent: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """Send an event to the runs that wait for it, and start the runs that it triggers; one `message_id` counts once."""
    taken = await backend.engine.publish_async(
        body.event, body.payload, message_id=body.message_id, traceparent=traceparent
    )
    return answer(backend, {"taken": taken})
