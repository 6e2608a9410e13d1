"""Gate: every request passes here first, and is refused before its body is read where it can be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchkit.service.backend import Backend
from orchkit.service.problems import Refusal, problem_response, refusal_of
from orchkit.service.visits import Visit, visit_of

__all__ = ["Gate"]

_UNFIT = re.compile(r"[\x00-\x1f\x7f\\]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:]*)(:\d*)?")
_ERROR = 400
_HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_IN_URL = frozenset({"token", "access_token", "api_key", "authorization"})


class Gate:
    """Checks host, path, credentials, rate and size of each request; writes down what is refused.

    Parameters
    ----------
    app
        What is behind it.
    backend
        Whose tokens and limits hold.
    """

    def __init__(self, app: ASGIApp, backend: Backend) -> None:
        self._app, self._backend = app, backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = visit_of(scope)
        answer = _Answer(send, visit, lambda status: self._write_down(scope, visit, status))
        try:
            self._check(scope, visit)
            await self._app(scope, self._counted(receive), answer)
        except Exception as error:  # noqa: BLE001 -- whoever asked gets a problem, whatever happened
            refusal = refusal_of(error)
            visit.reason = refusal.kind
            if not isinstance(error, Refusal):
                self._backend.journal.failure(error, request=visit.id, method=scope["method"], path=scope["path"])
            if answer.status is None:
                await problem_response(refusal, visit.id, self._backend.engine.redact)(scope, receive, answer)

    def _check(self, scope: Scope, visit: Visit) -> None:
        headers = Headers(scope=scope)
        _check_host(headers.get("host", ""), self._backend.hosts)
        _check_path(scope)
        self._identify(headers, visit)
        backend = self._backend
        wait_s = (
            backend.strangers.wait_s(visit.client) if visit.token is None else backend.callers.wait_s(visit.token.id)
        )
        if wait_s:
            detail = "Too many requests: the header Retry-After says for how many seconds to wait."
            raise Refusal(429, "too-many-requests", detail, {"retry-after": str(int(wait_s) + 1)})
        length = headers.get("content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > backend.limits.body_bytes:
            raise _too_large(backend.limits.body_bytes)

    def _identify(self, headers: Headers, visit: Visit) -> None:
        given = headers.get("authorization")
        if given is None:
            return
        scheme, _, text = given.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            visit.credentials = "malformed"
            return
        visit.token = self._backend.tokens.of(text.strip())
        visit.credentials = "wrong" if visit.token is None else "good"

    def _counted(self, receive: Receive) -> Receive:
        """Return what gives the body, up to the limit and in time: also of one that does not say how long it is."""
        limits, limit = self._backend.limits, self._backend.limits.body_bytes
        read, more = 0, True

        async def counted() -> Message:
            nonlocal read, more
            try:
                async with asyncio.timeout(limits.body_s if more else None):
                    message = await receive()
            except TimeoutError:
                detail = f"The body has not come within {limits.body_s:g} s."
                raise Refusal(408, "body-too-slow", detail, {"connection": "close"}) from None
            more = message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > limit:
                raise _too_large(limit)
            return message

        return counted

    def _write_down(self, scope: Scope, visit: Visit, status: int) -> None:
        self._backend.journal.write(
            "refused",
            status=status,
            reason=visit.reason,
            method=scope["method"],
            path=scope["path"],
            client=visit.client,
            token=None if visit.token is None else visit.token.id,
            request=visit.id,
        )


class _Answer:
    """What is sent back, with the headers that every answer has; what is refused is written down before."""

    def __init__(self, send: Send, visit: Visit, refused: Callable[[int], None]) -> None:
        self._send, self._visit, self._refused = send, visit, refused
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers["x-request-id"] = self._visit.id
            if message["status"] >= _ERROR:
                self._refused(message["status"])
        await self._send(message)


def _check_host(host: str, known: frozenset[str]) -> None:
    """Refuse a name that is not ours: a page elsewhere may have its own name point here."""
    found = _HOST.fullmatch(host.lower())
    if found is None or found[1] not in known:
        detail = "This service does not answer to that name: --allow-host NAME makes it do so."
        raise Refusal(421, "misdirected-request", detail)


def _check_path(scope: Scope) -> None:
    path = scope["path"]
    decoded = unquote(path)  # what is encoded twice
    if any(part in (".", "..") for text in (path, decoded) for part in text.split("/")):
        raise Refusal(400, "bad-path", "A path must not have the segments . and ..")
    if _UNFIT.search(path):
        raise Refusal(400, "bad-path", "A path has no control characters and no backslashes.")
    query = scope.get("query_string", b"").decode("latin-1")
    if _IN_URL & {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}:
        raise Refusal(400, "token-in-url", "A token does not belong in a URL: send Authorization: Bearer <token>.")


def _too_large(limit: int) -> Refusal:
    detail = f"A body has {limit:,} bytes at most."
    return Refusal(413, "body-too-large", detail, {"connection": "close"})
