"""Queue tasks: a message is sent to a subject of NATS, and kept there, or answered."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from orchkit.errors import PermanentError
from orchkit.executors.base import Attempt, settings_problem
from orchkit.executors.broker import Broker, check_subject, problem_of
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["QueueExecutor"]

_DEFAULT_TIMEOUT_S = 30.0
_SETTINGS = frozenset({"url", "subject", "body", "headers", "reply"})


class QueueExecutor:
    """Sends the message that a task's settings describe.

    Settings: ``url`` (``nats://…``), ``subject``, ``body`` (a JSON value), ``headers``, ``reply``, all templates. The
    result says where JetStream keeps it: ``stream``, ``seq``, and ``duplicate``, whether it was there already. With
    ``reply: true`` somebody is asked instead, and the result is the answer's JSON, or its text.

    The header ``Nats-Msg-Id`` is the step's idempotency key, the same for every attempt, so that a stream keeps the
    message once; ``traceparent`` says on whose behalf it is sent. A lost connection, and a subject that no stream
    keeps, are transient.
    """

    def __init__(self) -> None:
        self._brokers: dict[str, Broker] = {}
        self._lock = threading.Lock()

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=["url", "subject"], known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the sending, bound to its message."""
        settings: Mapping[str, Any] = render(dict(attempt.task.settings), attempt.names)
        headers = {"content-type": "application/json", "Nats-Msg-Id": attempt.idempotency_key}
        if attempt.traceparent is not None:
            headers["traceparent"] = attempt.traceparent
        headers |= {str(name): str(value) for name, value in dict(settings.get("headers") or {}).items()}
        subject = str(settings["subject"])
        check_subject(subject)
        for name, value in headers.items():
            if any(sign in name + value for sign in "\r\n") or ":" in name:
                message = f"The header {name!r} must be one line, and its name without a colon."
                raise PermanentError(message)
        return functools.partial(
            self._send,
            str(settings["url"]),
            subject,
            json.dumps(settings.get("body"), ensure_ascii=False).encode(),
            headers,
            timeout_s=attempt.task.timeout_s or _DEFAULT_TIMEOUT_S,
            asks=bool(settings.get("reply", False)),
        )

    def _send(
        self, url: str, subject: str, body: bytes, headers: dict[str, str], *, timeout_s: float, asks: bool
    ) -> Any:  # noqa: ANN401 -- JSON
        broker = self._broker(url)
        work = (
            _ask(broker, subject, body, headers, timeout_s)
            if asks
            else _keep(broker, subject, body, headers, timeout_s)
        )
        try:
            return broker.call(work, timeout_s)
        except ConnectionError:
            raise
        except Exception as error:
            raise problem_of(error, subject, url) from error

    def _broker(self, url: str) -> Broker:
        with self._lock:
            if url not in self._brokers:
                self._brokers[url] = Broker(url)
            return self._brokers[url]

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for broker in self._brokers.values():
                broker.close()
            self._brokers.clear()


async def _keep(broker: Broker, subject: str, body: bytes, headers: dict[str, str], timeout_s: float) -> dict[str, Any]:
    client = await broker.connected(timeout_s / 2)
    stream = await client.jetstream().find_stream_name_by_subject(subject)
    kept = await broker.nats.publish(body, subject, headers=headers, stream=stream, timeout=timeout_s)
    return {"stream": kept.stream, "seq": kept.seq, "duplicate": bool(kept.duplicate)}


async def _ask(broker: Broker, subject: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Any:  # noqa: ANN401 -- JSON
    await broker.connected(timeout_s / 2)
    answer = await broker.nats.request(body, subject, headers=headers, timeout=timeout_s)
    data = bytes(answer.body)
    try:
        return json.loads(data) if data else None
    except ValueError:
        return data.decode(errors="replace")
