"""The address that the vendor calls back: turns ``POST /<run>/<callback>`` into ``engine.complete``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Protocol, Self

from orchkit.errors import EngineClosed, RunNotFound, WaitNotFound
from sample_processes.server import Reply, Request, Server

__all__ = ["Callbacks"]


class _Completes(Protocol):
    def complete(self, run: str, callback: str, payload: Any = None) -> None: ...  # noqa: ANN401 -- JSON


class Callbacks:
    """Listens for callbacks from construction until `close`.

    The engine needs the address before it can be made, so it is told afterwards where to deliver; until then callers
    are asked to come back, and the vendor does.

    Parameters
    ----------
    port
        0 takes any that is free. A process that is to be restarted wants the same one: the vendor knows it.

    Examples
    --------
    >>> import orchkit as ok
    >>> with Callbacks() as callbacks, ok.Engine(systems={"callbacks": callbacks.url}) as engine:
    ...     callbacks.deliver_to(engine)
    """

    def __init__(self, port: int = 0) -> None:
        self._engine: _Completes | None = None
        self._server = Server(self._serve, port)
        self.url = self._server.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def deliver_to(self, engine: _Completes) -> None:
        """Deliver callbacks to an engine from now on."""
        self._engine = engine

    def _serve(self, request: Request) -> Reply:
        run_id, _, callback = request.path.strip("/").partition("/")
        if self._engine is None:
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "not ready yet"}, retry_after_s=1)
        try:
            self._engine.complete(run_id, callback, request.body)
        except EngineClosed as error:
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)}, retry_after_s=1)
        except (RunNotFound, WaitNotFound) as error:  # it has ended: a second call, or one that comes too late
            return Reply(HTTPStatus.NOT_FOUND, {"error": str(error)})
        return Reply(HTTPStatus.OK, {"status": "taken"})
