"""The history of all runs, as it grows."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from orchkit.service import fields
from orchkit.service.feed import Filter
from orchkit.service.problems import Refusal
from orchkit.service.roles import Role
from orchkit.service.routing import BackendOf, Caller, needs, router
from orchkit.service.streams import EventStream

__all__ = ["routes"]

routes = router("history")

_MOST = 2**62
_SEQ = r"^[0-9]{1,18}$"


# OpenAPI 3.1 has no word for a stream that does not end: the description of the whole tells of it.
@routes.get("/v1/history/stream", include_in_schema=False, **needs(Role.READ, "stream_history"))
async def stream_history(
    backend: BackendOf,
    caller: Caller,
    run_id: Annotated[str | None, Query(pattern=r"^[0-9a-f]{16}$")] = None,
    workflow: Annotated[fields.Name | None, Query()] = None,
    after: Annotated[int | None, Query(ge=0, le=_MOST)] = None,
    last_event_id: Annotated[str | None, Header(pattern=_SEQ)] = None,
) -> Response:
    """Stream the history from now on, or after a `seq`: the one asked for, or the last that the client has seen."""
    feed = backend.feed
    if feed.streams >= backend.limits.streams:
        detail = f"There are {feed.streams} streams, which is the limit: end one, or wait."
        raise Refusal(429, "too-many-streams", detail, {"retry-after": "10"})
    asked = int(last_event_id) if last_event_id is not None else after
    last = await run_in_threadpool(feed.last)
    begin = last if asked is None else min(asked, last)  # it may be of a later state than a backup that was put back
    return EventStream(feed, begin, Filter(run_id, workflow), lambda: backend.tokens.takes(caller.id))
