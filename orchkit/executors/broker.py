"""Broker: a connection to NATS, through FastStream, with a thread of its own. The only module that imports it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import re
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

from orchkit.errors import InputError, PermanentError, TransientError
from orchkit.executors.base import extra

__all__ = ["Broker", "check_subject", "problem_of", "shown"]

_T = TypeVar("_T")
_SCHEMES = ("nats", "tls")
_CONNECT_S = 5.0
_CLOSE_S = 10.0
_AGAIN_S = 0.2
_TOKEN = re.compile(r"[^\s.*>]+")


class Broker:
    """A connection to a NATS server that is made again, without end, whenever it is lost.

    Parameters
    ----------
    url
        ``nats://host:port`` or ``tls://…``, a user and a password, or a token, before the host.

    Attributes
    ----------
    error
        What the connection has met last; None while all is well.

    Raises
    ------
    InputError
        No such address.
    MissingExtraError
        FastStream is not installed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            message = f"{shown(url)!r} is not the address of a NATS server, such as nats://localhost:4222."
            raise InputError(message)
        self.url = url
        self.error: BaseException | None = None
        faststream = extra("faststream.nats", "queues")
        self.faststream = faststream
        self.nats = faststream.NatsBroker(
            url,
            logger=None,
            name="orchkit",
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_AGAIN_S,
            connect_timeout=int(_CONNECT_S),
            error_cb=self._note,
        )
        self.loop = asyncio.new_event_loop()
        self._connecting = asyncio.Lock()
        self._is_started = False
        self._thread = threading.Thread(target=self._serve, name="orchkit-broker", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    async def _note(self, error: Exception) -> None:
        self.error = error

    async def connected(self, patience_s: float = _CONNECT_S) -> Any:  # noqa: ANN401 -- the client of nats-py
        """Return the client, connected for the first time if need be.

        Raises
        ------
        ConnectionError
            No server within the patience.
        """
        async with self._connecting:
            if not self._is_started:
                try:
                    await asyncio.wait_for(self.nats.start(), patience_s)
                except (TimeoutError, OSError) as error:
                    reason = self.error or error
                    message = f"No NATS server answers at {shown(self.url)}: {reason or type(reason).__name__}."
                    raise ConnectionError(message) from None
                self._is_started = True
        self.error = None
        return self.nats._connection

    @property
    def is_connected(self) -> bool:
        """Whether the server is there now."""
        client = self.nats._connection
        return self._is_started and client is not None and bool(client.is_connected)

    def submit(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        """Begin a coroutine in the connection's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        """Return what a coroutine returns, run in the connection's thread.

        Raises
        ------
        TimeoutError
            It did not come to its end within the time.
        """
        begun = self.submit(work)
        try:
            return begun.result(timeout_s)
        except concurrent.futures.TimeoutError:
            begun.cancel()
            message = f"No answer from {shown(self.url)} within {timeout_s:g} s."
            raise TimeoutError(message) from None

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self.loop.is_closed():
            return
        with contextlib.suppress(Exception):  # a server that is gone cannot be told
            self.call(self.nats.stop(), _CLOSE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_CLOSE_S)


def shown(url: str) -> str:
    """Return an address without who connects.

    Examples
    --------
    >>> shown("nats://ada:secret@localhost:4222")
    'nats://localhost:4222'
    """
    return re.sub(r"//[^/@]*@", "//", url)


def check_subject(subject: str, *, wild: bool = False) -> None:
    """Refuse what is no subject of NATS; ``*`` and a last ``>`` are wild cards, where these are allowed.

    Examples
    --------
    >>> check_subject("orders.*", wild=True)
    >>> check_subject("orders.*")
    Traceback (most recent call last):
    orchkit.errors.InputError: 'orders.*' is not a subject to send to, such as orders.placed.
    """
    tokens = subject.split(".")
    last = len(tokens) - 1
    fits = all(
        bool(_TOKEN.fullmatch(token)) or (wild and (token == "*" or (token == ">" and place == last)))  # noqa: S105
        for place, token in enumerate(tokens)
    )
    if not fits:
        what = "to listen to, such as orders.* or orders.placed" if wild else "to send to, such as orders.placed"
        message = f"{subject!r} is not a subject {what}."
        raise InputError(message)


def problem_of(error: Exception, subject: str, url: str) -> Exception:
    """Return what an error of nats-py means for a task."""
    nats = extra("nats.errors", "queues")
    streams = extra("nats.js.errors", "queues")
    where = f"{subject!r} at {shown(url)}"
    kept = (nats.MaxPayloadError, nats.BadSubjectError, nats.AuthorizationError)
    match error:
        case TimeoutError():
            return TimeoutError(f"No answer from {where}.")
        case streams.NotFoundError() | streams.NoStreamResponseError():
            text = (
                f"No stream keeps {where}: make one for the subject, or let ok.consume listen to it, which makes one."
            )
            return TransientError(text)
        case nats.NoRespondersError():
            return TransientError(f"Nobody answers {where}.")
        case streams.ServiceUnavailableError():
            return TransientError(f"JetStream is not available for {where}: is the server started with -js?")
        case streams.BadRequestError():
            return PermanentError(f"The server refuses the message to {where}: {error.description}")
        case _ if isinstance(error, kept):
            return PermanentError(f"The message to {where} cannot be sent: {error}")
        case nats.Error() | OSError():
            return TransientError(f"The message to {where} could not be sent: {error or type(error).__name__}")
        case _:
            return error
