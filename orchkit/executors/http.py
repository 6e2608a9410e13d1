"""HTTP tasks: one request, through httpx."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from orchkit.errors import PermanentError
from orchkit.events import Failure
from orchkit.executors.base import Attempt, settings_problem
from orchkit.executors.classify import failure_of_response
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["BrokenAnswer", "HttpError", "HttpExecutor"]

_DEFAULT_TIMEOUT_S = 30.0
_MAX_BODY = 10_000_000
_SETTINGS = frozenset({"method", "url", "json", "params", "headers", "data", "content"})


class HttpError(PermanentError):
    """An answer with a code of 400 or more; ``failure`` says what it means."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class BrokenAnswer(PermanentError):
    """An answer that says it is JSON, and is not."""


class HttpExecutor:
    """Sends the request that a task's settings describe; the result is the answer's JSON, or its text.

    Settings: ``url``, and ``method`` (POST with a body, else GET), ``json``, ``params``, ``headers``, ``data``,
    ``content``, all templates. The header ``Idempotency-Key`` is the same for every attempt, ``traceparent`` says
    which one it is. Codes 408, 425, 429,
    500, 502, 503, 504 and broken connections are transient, other codes of 400 or more permanent; ``Retry-After``
    (seconds or a date) is the least delay before the next attempt. No answer within the task's timeout (30 s where it
    has none) is a timeout.
    """

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=["url"], known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the request, ready to be sent."""
        settings: Mapping[str, Any] = render(dict(attempt.task.settings), attempt.names)
        body = {key: settings[key] for key in ("json", "data", "content") if key in settings}
        method = str(settings.get("method", "POST" if body else "GET")).upper()
        headers = {"Idempotency-Key": attempt.idempotency_key}
        if attempt.traceparent is not None:
            headers["traceparent"] = attempt.traceparent
        headers |= {str(key): str(value) for key, value in dict(settings.get("headers", {})).items()}
        timeout_s = attempt.task.timeout_s or _DEFAULT_TIMEOUT_S
        return functools.partial(
            self.send,
            method,
            str(settings["url"]),
            params=settings.get("params"),
            headers=headers,
            timeout=timeout_s,
            **body,
        )

    def send(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401 -- JSON
        """Send a request and return the answer's JSON or text; an error code becomes an `HttpError`."""
        response = self._connected().request(method, url, **options)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            text = f"{method} {url} answered {response.status_code} {response.reason_phrase}: {response.text[:500]}"
            raise HttpError(failure_of_response(response.status_code, text, _retry_after_s(response)))
        if len(response.content) > _MAX_BODY:
            message = f"{method} {url} answered with {len(response.content)} bytes; at most {_MAX_BODY} are kept."
            raise PermanentError(message)
        if not response.content:
            return None
        if "json" in response.headers.get("content-type", ""):
            try:
                return response.json()
            except ValueError as error:
                message = f"{method} {url} answered with broken JSON: {error}"
                raise BrokenAnswer(message) from error
        return response.text

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
                self._client = httpx.Client(transport=self._transport, limits=limits, follow_redirects=True)
            return self._client

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


def _retry_after_s(response: httpx.Response) -> float:
    """Return the seconds that ``Retry-After`` asks for (RFC 9110, 10.2.3), or 0."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError):
        return 0.0
    sent = response.headers.get("date")
    try:
        now = parsedate_to_datetime(sent).timestamp() if sent else time.time()
    except (TypeError, ValueError):
        now = time.time()
    return max(0.0, moment - now)
