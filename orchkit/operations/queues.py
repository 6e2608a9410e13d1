"""Queues: messages of NATS JetStream are events of an engine, taken at least once and counted once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

from orchkit.engine import Engine
from orchkit.errors import InputError, OrchkitError, PermanentError
from orchkit.executors.base import extra
from orchkit.executors.broker import Broker, check_subject
from orchkit.units import Duration, seconds

__all__ = ["Consumer", "consume"]

_BATCH, _FETCH_S, _LOOK_S, _SLOWEST_S = 64, 1.0, 0.5, 30.0
_FIRST_AGAIN_S, _POLL_S = 0.2, 0.02
_STOP_S = 10.0


def consume(
    engine: Engine,
    url: str,
    subjects: Iterable[str] | Mapping[str, str] | None = None,
    *,
    group: str = "orchkit",
    deliveries: int = 5,
    again: Duration = "30 s",
    patience: Duration | None = "10 s",
) -> Consumer:
    """Take messages of a NATS server as events: they start runs, and continue runs that wait for them.

    A message is acknowledged once its effect is durable. It counts once, known by its header ``Nats-Msg-Id`` or else by
    its place in the stream. A message that is not JSON is dead at once; one that a trigger cannot take, or that nothing
    takes, is dead after the last delivery: `Engine.dead_messages`, `Engine.replay_message`, `Engine.discard_message`.

    Parameters
    ----------
    engine
        The engine whose runs they start or continue.
    url
        ``nats://host:port``; JetStream must be on (``nats-server -js``).
    subjects
        Subjects to listen to, besides those of the ``queue`` triggers of deployed workflows. A mapping names the event
        of each; otherwise the event has the subject's name. If no stream keeps a subject, one is made.
    group
        Consumers of the same group share the messages; another group gets all of them, too.
    deliveries
        How often a message is tried before it is dead.
    again
        How long until a message comes again that was not acknowledged, for instance because the engine was killed.
    patience
        How long to wait for the server now; None: do not wait, and connect as soon as it is there.

    Returns
    -------
    Consumer
        Close it before the engine, or use it as a context manager.

    Raises
    ------
    ConnectionError
        No server within ``patience``.
    InputError
        The address or a subject is not valid.
    MissingExtraError
        FastStream is not installed: the extra ``queues``.
    """
    named = {} if subjects is None else dict(subjects) if isinstance(subjects, Mapping) else {s: s for s in subjects}
    for subject in named:
        check_subject(subject, wild=True)
    if deliveries < 1:
        message = f"deliveries is at least 1, not {deliveries}."
        raise InputError(message)
    consumer = Consumer(engine, Broker(url), named, group, deliveries, seconds(again))
    try:
        consumer._begin(None if patience is None else seconds(patience))
    except BaseException:
        consumer.close()
        raise
    return consumer


class Consumer:
    """A consumer of messages; see `consume`.

    Attributes
    ----------
    error
        What went wrong last, such as a server that is gone; None while all is well.
    """

    def __init__(
        self, engine: Engine, broker: Broker, named: Mapping[str, str], group: str, deliveries: int, again_s: float
    ) -> None:
        self._engine, self._broker, self._named = engine, broker, named
        self._group, self._deliveries, self._again_s = group, deliveries, again_s
        self._heard: dict[str, Any] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self.error: BaseException | None = None
        self._is_closed = False

    # What one sees -------------------------------------------------------------------

    @property
    def subjects(self) -> dict[str, str]:
        """The subjects that it listens to, each with the name of the event that its messages become."""
        return {**self._engine.subjects, **self._named}

    @property
    def is_connected(self) -> bool:
        """Whether it is connected to the server now."""
        return self._broker.is_connected

    def pending(self) -> int:
        """Return how many messages have not been acknowledged yet.

        Raises
        ------
        ConnectionError, TimeoutError
            The server cannot be reached.
        """
        return self._broker.call(self._pending(), _STOP_S)

    async def _pending(self) -> int:
        client = await self._broker.connected()
        told = [await client.jetstream().consumer_info(*place) for place in list(self._places.values())]
        return sum((each.num_pending or 0) + (each.num_ack_pending or 0) for each in told)

    def wait(self, timeout: Duration = "1 min") -> None:
        """Wait until all messages on the server have been acknowledged.

        Raises
        ------
        TimeoutError
            Some have not been in time, such as messages that no run takes yet.
        """
        timeout_s = seconds(timeout)
        self._broker.call(self._emptied(), timeout_s)

    async def _emptied(self) -> None:
        while await self._pending():  # noqa: ASYNC110 -- the server has no event for it
            await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        """Stop listening; messages not acknowledged come again once somebody listens."""
        if not self._is_closed:
            self._is_closed = True
            self._broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Consumer of {', '.join(self.subjects) or 'nothing yet'}>"

    # Listening -----------------------------------------------------------------------

    def _begin(self, patience_s: float | None) -> None:
        if patience_s is not None:
            self._broker.call(self._listen(patience_s), patience_s + _STOP_S)
        self._broker.submit(self._keep_listening())

    async def _keep_listening(self) -> None:
        """Listen to what is deployed meanwhile, and anew where the server has lost who listens."""
        while not self._is_closed:
            try:
                await self._listen(_STOP_S)
                self.error = self._broker.error if not self._broker.is_connected else None
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 -- the next look may succeed; what went wrong can be seen
                self.error = error
            await asyncio.sleep(_LOOK_S)

    async def _listen(self, patience_s: float) -> None:
        client = await self._broker.connected(patience_s)
        if not client.is_connected:
            return
        missing = extra("nats.js.errors", "queues").NotFoundError
        for subject, event in self.subjects.items():
            if subject in self._heard:
                try:
                    await client.jetstream().consumer_info(*self._places[subject])
                    continue
                except missing:  # the server's store is lost, or somebody has deleted it
                    await self._heard.pop(subject).stop()
            await self._hear(client.jetstream(), subject, event)

    async def _hear(self, streams: Any, subject: str, event: str) -> None:  # noqa: ANN401 -- nats-py's JetStream
        check_subject(subject, wild=True)
        errors, nats = extra("nats.js.errors", "queues"), self._broker.faststream
        try:
            stream = await streams.find_stream_name_by_subject(subject)
        except errors.NotFoundError:
            stream = f"{_plain(self._group)}_{_plain(subject)}_{_short(subject)}"
            await streams.add_stream(name=stream, subjects=[subject])
        except errors.ServiceUnavailableError as error:
            message = "JetStream is not available: start the server with -js."
            raise ConnectionError(message) from error
        durable = f"{_plain(self._group)}_{_short(subject)}"
        subscriber = self._broker.nats.subscriber(
            subject,
            stream=nats.JStream(stream, declare=False),
            durable=durable,
            pull_sub=nats.PullSub(batch_size=_BATCH, timeout=_FETCH_S),
            config=nats.ConsumerConfig(ack_wait=self._again_s, max_deliver=-1, max_ack_pending=1_000),
            ack_policy=extra("faststream", "queues").AckPolicy.MANUAL,
            decoder=_undecoded,
            no_reply=True,
            persistent=False,
        )

        async def take(message: Any) -> None:  # noqa: ANN401 -- FastStream's
            await self._take(message.raw_message, event)

        take.__annotations__["message"] = nats.NatsMessage
        subscriber(take)
        await subscriber.start()
        self._heard[subject], self._places[subject] = subscriber, (stream, durable)

    async def _take(self, message: Any, event: str) -> None:  # noqa: ANN401 -- nats-py's
        headers, delivery = message.headers or {}, message.metadata.num_delivered
        name, caller = _id_of(message, headers), headers.get("traceparent")
        text = message.data.decode(errors="backslashreplace")
        problem, tries = "", self._deliveries
        try:
            try:
                payload = json.loads(message.data, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                problem, tries = f"It is not JSON: {error}", 1
            else:
                try:
                    told: dict[str, Any] = {"message_id": name, "traceparent": caller, "strict": True}
                    await asyncio.to_thread(self._engine.publish, event, payload, **told)
                except (InputError, PermanentError) as error:
                    problem = error.message
            if problem and delivery < tries:
                await message.nak(delay=_delay_s(delivery))
                return
            if problem:
                about: dict[str, Any] = {"subject": message.subject, "deliveries": delivery, "traceparent": caller}
                await asyncio.to_thread(self._engine.bury_message, name, event, text, problem, **about)
            await message.ack()
        except OrchkitError as error:  # the engine is closed, or its store is full: not the message's fault
            self.error = error
            await message.nak(delay=_delay_s(delivery))


async def _undecoded(message: Any) -> bytes:  # noqa: ANN401 -- FastStream's
    return bytes(message.body)


def _id_of(message: Any, headers: Mapping[str, str]) -> str:  # noqa: ANN401 -- nats-py's
    """Return by what a message is known again; a stream that is made anew counts from 1 again, hence the moment."""
    told = headers.get("Nats-Msg-Id")
    if told:
        return f"{message.subject}/{told}"
    place = message.metadata
    return f"{message.subject}/{place.stream}-{place.sequence.stream}-{place.timestamp.timestamp():.6f}"


def _refuse_constant(name: str) -> Any:  # noqa: ANN401 -- it never returns
    message = f"{name} is not a JSON value"
    raise ValueError(message)


def _delay_s(delivery: int) -> float:
    return min(_FIRST_AGAIN_S * 2.0 ** min(delivery - 1, 10), _SLOWEST_S)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "all"


def _short(subject: str) -> str:
    return hashlib.blake2b(subject.encode(), digest_size=4).hexdigest()
