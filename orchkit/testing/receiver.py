"""Receiver: a server on loopback that takes webhooks and keeps them."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Received", "Receiver"]

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- JSON
        """The body's value."""
        return json.loads(self.body)


class Receiver:
    """A server on loopback that takes webhooks and keeps them.

    Parameters
    ----------
    answers
        Gives the status of the answer for each request; 200 by default.
    headers
        Of each answer.

    Attributes
    ----------
    url
        Where it is.
    messages
        What came, in order.

    Examples
    --------
    >>> import httpx
    >>> with Receiver(lambda received: 503) as receiver:
    ...     code = httpx.post(receiver.url, json={"amount": 7}).status_code
    >>> code, receiver.messages[0].json
    (503, {'amount': 7})
    """

    def __init__(
        self,
        answers: Callable[[Received], int] = lambda _: 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.messages: list[Received] = []
        self._came = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                received = Received(self.path, {name.lower(): text for name, text in self.headers.items()}, body)
                receiver._keep(received)
                self.send_response(answers(received))
                for name, text in {"content-length": "0", **(headers or {})}.items():
                    self.send_header(name, text)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()

    def _keep(self, received: Received) -> None:
        with self._came:
            self.messages.append(received)
            self._came.notify_all()

    def wait_for(self, count: int) -> list[Received]:
        """Return the first messages, so many, as soon as they have come.

        Raises
        ------
        TimeoutError
            They have not within 30 s.
        """
        with self._came:
            if not self._came.wait_for(lambda: len(self.messages) >= count, _PATIENCE_S):
                message = f"{len(self.messages)} of {count} messages have come."
                raise TimeoutError(message)
            return self.messages[:count]

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
