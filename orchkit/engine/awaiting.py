"""The awaitable twins of an engine's verbs: they leave the running loop free."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import pandas as pd

from orchkit.engine.doors import Receipt
from orchkit.engine.messages import CancelRun, CompleteWait, Publish, Receive
from orchkit.engine.reading import Reading
from orchkit.engine.run import Run, id_of
from orchkit.engine.values import plain
from orchkit.events import Failure
from orchkit.model.definition import Workflow
from orchkit.model.states import ErrorClass
from orchkit.units import Duration, seconds

__all__ = ["Awaiting"]


class Awaiting(Reading):
    """The part of an engine that is awaited."""

    def _start(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None,
        case_id: str | None,
        caller: str | None = None,
    ) -> concurrent.futures.Future[Run]:
        raise NotImplementedError

    def _event(
        self,
        event: str,
        payload: Any,  # noqa: ANN401 -- JSON
        message_id: str | None,
        *,
        caller: str | None = None,
    ) -> Publish:
        raise NotImplementedError

    def run_many(
        self, workflow: Workflow, cases: pd.DataFrame, *, concurrency: int = 1_000, progress: bool = True
    ) -> pd.DataFrame:
        """Run one case per row; see `orchkit.Engine.run_many`."""
        raise NotImplementedError

    async def start_async(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
        traceparent: str | None = None,
    ) -> Run:
        """Await the start of a run; see `start`."""
        return await asyncio.wrap_future(self._start(workflow, inputs, case_id, traceparent))

    async def run_async(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
    ) -> Run:
        """Await the end of a run; see `start`."""
        run = await self.start_async(workflow, inputs, case_id=case_id)
        return await run.wait_async()

    async def run_many_async(
        self, workflow: Workflow, cases: pd.DataFrame, *, concurrency: int = 1_000
    ) -> pd.DataFrame:
        """Await the end of many runs; see `run_many`."""
        return await asyncio.to_thread(self.run_many, workflow, cases, concurrency=concurrency, progress=False)

    async def complete_async(self, run: Run | str, callback: str, payload: Any = None) -> None:  # noqa: ANN401 -- JSON
        """Await that a callback is durably completed; see `complete`."""
        await asyncio.wrap_future(self._loop.post(CompleteWait(id_of(run), callback, plain(payload))))

    async def fail_async(self, run: Run | str, callback: str, message: str = "failed") -> None:
        """Await that a callback has durably failed; see `fail`."""
        failure = Failure(ErrorClass.PERMANENT, "CallbackFailed", message)
        await asyncio.wrap_future(self._loop.post(CompleteWait(id_of(run), callback, failure=failure)))

    async def publish_async(
        self,
        event: str,
        payload: Any = None,  # noqa: ANN401 -- JSON
        *,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> int:
        """Await that an event is durably delivered; see `publish`."""
        message = self._event(event, payload, message_id, caller=traceparent)
        return int(await asyncio.wrap_future(self._loop.post(message)))

    async def receive_event_async(
        self,
        door: str,
        event: str,
        payload: Any,  # noqa: ANN401 -- JSON
        *,
        message_id: str,
        timestamp: int,
        traceparent: str | None = None,
    ) -> tuple[Receipt, int]:
        """Await that a signed message is durably taken as an event, once; tell what became of it, and how many took it.

        The signature must have been checked. ``message_id`` and ``timestamp`` are those that were signed.
        """
        source = f"webhook/{door}"
        found = self._event(event, payload, f"{door}/{message_id}", caller=traceparent)
        told = Receive(source, message_id, timestamp, dataclasses.replace(found, is_named=False))
        return cast("tuple[Receipt, int]", await asyncio.wrap_future(self._loop.post(told)))

    async def receive_callback_async(
        self,
        run_id: str,
        callback: str,
        payload: Any,  # noqa: ANN401 -- JSON
        *,
        message_id: str,
        timestamp: int,
    ) -> tuple[Receipt, int]:
        """Await that a signed message has durably completed a callback, once; see `receive_event_async`."""
        then = CompleteWait(run_id, callback, plain(payload))
        told = Receive(f"callback/{run_id}/{callback}", message_id, timestamp, then)
        return cast("tuple[Receipt, int]", await asyncio.wrap_future(self._loop.post(told)))

    async def cancel_async(self, run: Run | str, reason: str = "cancelled") -> None:
        """Await that a cancellation is durably accepted; see `cancel`."""
        await asyncio.wrap_future(self._loop.post(CancelRun(id_of(run), reason)))

    async def wait_async(self, run_id: str, timeout: Duration | None = None) -> None:
        """Await the end of a run; see `wait`."""
        live = self._loop.live.get(run_id)
        if live is None:
            self.get(run_id)
            return
        waiting = asyncio.shield(asyncio.wrap_future(live.ended))
        await asyncio.wait_for(waiting, None if timeout is None else seconds(timeout))
