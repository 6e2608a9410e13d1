"""HTTP/1.1 on a loopback port: turns bytes into a `Request`, a `Reply` into bytes. It knows nothing of the business."""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Reply", "Request", "Server"]

_MAX_BODY = 1_000_000
_CLOSE_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request; ``body`` is what its JSON says, None where it is not JSON or there is none."""

    method: str
    path: str
    key: str | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back, after ``delay_s``; nothing but the end of the connection where ``hangs_up``."""

    status: HTTPStatus
    body: Mapping[str, Any]
    retry_after_s: int | None = None
    delay_s: float = 0.0
    hangs_up: bool = False


class Server(ThreadingHTTPServer):
    """A thread for each connection, kept alive between requests.

    Parameters
    ----------
    serve
        Gives the reply to a request.
    port
        0 takes any that is free.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, serve: Callable[[Request], Reply], port: int = 0) -> None:
        self.serve = serve
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="systems", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        """Stop listening, end every connection and wait for the threads that serve them."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._changed:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster
            self._changed.wait_for(lambda: not self._connections, _CLOSE_LIMIT_S)

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which takes seconds where there is no name service."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it."""
        connection, address = super().get_request()
        with self._changed:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 -- the base class's signature
        """End a connection and forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- the base class's signature
        """Keep quiet when a connection breaks: clients are killed here on purpose."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one segment for head and body, or the client's delayed acknowledgement costs 40 ms
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MAX_BODY:
            self.close_connection = True
            self._write(Reply(HTTPStatus.BAD_REQUEST, {"error": f"give a Content-Length of at most {_MAX_BODY}"}))
            return
        try:
            body = json.loads(self.rfile.read(int(length)))
        except ValueError:
            body = None
        self._answer(body)

    def _answer(self, body: object) -> None:
        reply = self.server.serve(Request(self.command, self.path, self.headers.get("Idempotency-Key"), body))
        if (reply.delay_s and self.server.closing.wait(reply.delay_s)) or reply.hangs_up:
            self.close_connection = True
            return
        self._write(reply)

    def _write(self, reply: Reply) -> None:
        body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if reply.retry_after_s is not None:
            self.send_header("Retry-After", str(reply.retry_after_s))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's signature
        """Write nothing: the books hold every request."""
