"""Service: an engine that others reach over HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self, TextIO

from orchkit.engine import Engine
from orchkit.errors import InputError, MissingExtraError
from orchkit.operations import watch, webhooks
from orchkit.service.folder import deploy_files, handlers_in, workflows_in
from orchkit.service.limits import Limits
from orchkit.service.roles import Role

if TYPE_CHECKING:
    import uvicorn

    from orchkit.executors.python import Handlers
    from orchkit.service.backend import Backend

__all__ = ["Service"]

_PORT = 8321
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ANY = ("", "0.0.0.0", "::")  # noqa: S104 -- looked for, so that it is refused
_PATIENCE_S = 30.0
_GRACE_S = 5


class Service:
    """Lets others reach an engine over HTTP.

    Parameters
    ----------
    store
        The DuckDB file, created if it does not exist; or an engine, which stays open when the service is closed.
    workflows
        A folder: its ``*.yaml`` are deployed, its ``handlers.py`` has the functions of their Python tasks.
    handlers
        The functions of Python tasks, if they are elsewhere.
    host, port
        Where to listen: loopback by default; port 0 takes any that is free.
    allow_remote
        Whether ``host`` may be another address than loopback. The connection is not encrypted: put a proxy with TLS
        before it.
    allow_hosts
        More host names that it answers to, such as that of the proxy.
    limits
        What it allows its clients.
    deploys
        Whether workflows may be deployed over HTTP, by those who have the role ``admin``.
    log
        Where it writes a line of JSON about each request that it refuses; standard error by default.
    **settings
        Passed on to `orchkit.Engine`: ``systems``, ``secrets``, ``limits`` as ``engine_limits``, ``executors``.

    Attributes
    ----------
    url
        Its address.
    token
        The token of an admin, made if the store has none; else None. It is shown only here, once.

    Raises
    ------
    InputError
        Another address than loopback without ``allow_remote``, or no such folder.
    MissingExtraError
        FastAPI or uvicorn is not installed.

    Examples
    --------
    >>> import httpx
    >>> from orchkit import Engine, task, workflow
    >>> with Engine(handlers={"ship": lambda: "sent"}) as engine, Service(engine, port=0) as service:
    ...     engine.deploy(workflow("order", [task("ship")]))
    ...     headers = {"Authorization": f"Bearer {service.token}"}
    ...     told = httpx.post(f"{service.url}/v1/runs", json={"workflow": "order", "case_id": "A-1"}, headers=headers)
    ...     told.status_code, engine.get(told.json()["run_id"]).wait().variables["ship"]
    (201, 'sent')
    """

    def __init__(  # noqa: PLR0913 -- a setting each
        self,
        store: str | Path | Engine | None,
        workflows: str | Path | None = None,
        handlers: Handlers | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = _PORT,
        allow_remote: bool = False,
        allow_hosts: Iterable[str] = (),
        limits: Limits | None = None,
        deploys: bool = True,
        log: TextIO | None = None,
        **settings: Any,  # noqa: ANN401 -- those of `Engine`
    ) -> None:
        if host not in _LOOPBACK and not allow_remote:
            message = (
                f"{host!r} is not loopback: others on the network could reach the service, and the connection is not "
                "encrypted. allow_remote=True (--allow-remote) says that this is wanted."
            )
            raise InputError(message)
        backend_type, uvicorn_server = _extra()
        folder = None if workflows is None else Path(workflows)
        files = {} if folder is None else workflows_in(folder)
        found = handlers if handlers is not None or folder is None else handlers_in(folder)
        self._closing = contextlib.ExitStack()
        self._stopped = threading.Event()
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(_listen(host, port))
            self._url = _url_of(self._socket)
            engine = store if isinstance(store, Engine) else undo.enter_context(_opened(store, found, settings))
            deploy_files(engine, files)
            watching = undo.enter_context(watch(engine))
            undo.enter_context(webhooks(engine))
            from orchkit.service.app import create_app  # noqa: PLC0415 -- wants the extra
            from orchkit.service.journal import Journal  # noqa: PLC0415

            names = {host, *allow_hosts} - set(_ANY)
            self.backend: Backend = backend_type.of(
                engine,
                watching,
                Journal(log, engine.redact, lambda: engine.now),
                limits=limits,
                hosts=frozenset(f"[{name}]" if ":" in name else name.lower() for name in names),
                deploys=deploys,
            )
            tokens = self.backend.tokens
            self.token = None if tokens.has_admin else tokens.create("first admin", Role.ADMIN, by="orchkit serve")
            self._server = uvicorn_server(create_app(self.backend))
            self._thread = threading.Thread(target=self._serve, name="orchkit-service", daemon=True)
            undo.callback(self._stop)
            self._thread.start()
            self._await_start()
            self.backend.journal.write("serving", url=self.url, store=str(engine.path or "in memory"))
            self._closing = undo.pop_all()

    @property
    def engine(self) -> Engine:
        """The engine that it serves."""
        return self.backend.engine

    @property
    def url(self) -> str:
        """Its address."""
        return self._url

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._stopped.set()

    def _await_start(self) -> None:
        while not self._server.started:
            if self._stopped.wait(0.005):
                message = "The service could not be started; its log says why."
                raise InputError(message)

    def _stop(self) -> None:
        self.backend.feed.close()
        self._server.should_exit = True
        if not self._stopped.wait(_PATIENCE_S):
            self._server.force_exit = True
        self._thread.join(_PATIENCE_S)
        self.backend.desk.close()
        self.backend.journal.write("stopped", url=self._url)

    def close(self) -> None:
        """Take no more requests, let those under way end within a few seconds, and close what was opened here."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Service {self.url}: {self.engine!r}>"


def _opened(store: str | Path | None, handlers: ModuleType | Handlers | None, settings: dict[str, Any]) -> Engine:
    named = {"limits" if name == "engine_limits" else name: value for name, value in settings.items()}
    return Engine(store, handlers, **named)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio turns Nagle's delay of 40 ms off only then.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        found.close()
        message = f"Cannot listen on {host}:{port} ({error.strerror}): --port 0 takes one that is free."
        raise InputError(message) from error
    return found


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _extra() -> tuple[type[Backend], Any]:
    try:
        import uvicorn  # noqa: PLC0415 -- wants the extra

        from orchkit.service.backend import Backend  # noqa: PLC0415
    except ImportError as error:
        message = "The service needs FastAPI and uvicorn: pip install 'orchkit-notebooks[service]'."
        raise MissingExtraError(message) from error

    def server(app: Any) -> uvicorn.Server:  # noqa: ANN401 -- an ASGI app
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=30,
            ws="none",
            proxy_headers=False,
        )
        return uvicorn.Server(config)

    return Backend, server
