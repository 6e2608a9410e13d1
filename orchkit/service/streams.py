"""Server-sent events: the history as a stream that can be taken up again where it broke off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchkit.service.feed import Entry, Feed, Filter, Listener

__all__ = ["EventStream"]

_HEARTBEAT_S = 10.0
_BREATH_S = 0.02  # so that many commits make one page
_PATIENCE_S = 60.0
_HELLO = b"retry: 2000\n\n"


class EventStream(Response):
    """The rows of the history after a ``seq``, until the client or the service ends it.

    Parameters
    ----------
    feed
        Where the rows come from.
    after
        The ``seq`` after which to begin.
    wanted
        Which rows.
    allowed
        Whether the caller may still read: asked with every page and heart-beat.
    """

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, after: int, wanted: Filter, allowed: Callable[[], bool]) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._feed, self._after, self._wanted, self._allowed = feed, after, wanted, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI
        """Send the stream."""
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with contextlib.aclosing(self._chunks(gone)) as chunks:  # its place is free as soon as it ends
                async for chunk in chunks:
                    async with asyncio.timeout(_PATIENCE_S):  # who does not read would hold a place for ever
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return
        finally:
            gone.cancel()

    async def _chunks(self, gone: asyncio.Task[None]) -> AsyncGenerator[bytes, None]:
        yield _HELLO
        seq = self._after
        with self._feed.listening() as listener:
            while not gone.done() and not self._feed.is_closed and self._allowed():
                listener.hear()
                page = await run_in_threadpool(self._feed.after, seq, self._wanted)
                seq = page.upto
                if page.entries:
                    yield b"".join(map(_event, page.entries))
                if not page.more and not await _woken(listener, gone):
                    yield b": \n\n"


async def _woken(listener: Listener, gone: asyncio.Task[None]) -> bool:
    """Wait for something new, or the end of the client; False where it is time for a heart-beat."""
    news = asyncio.create_task(listener.event.wait())
    try:
        done, _ = await asyncio.wait({news, gone}, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        news.cancel()
    if news in done:
        await asyncio.sleep(_BREATH_S)
    return bool(done)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(entry: Entry) -> bytes:
    return f"id: {entry.seq}\nevent: history\ndata: {entry.text}\n\n".encode()
