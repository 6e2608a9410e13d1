"""Where attempts are carried out: threads, or whatever has their interface, and one event loop for coroutines."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from orchkit.engine.messages import Heartbeat, Outcome
from orchkit.engine.threads import Threads
from orchkit.engine.values import plain
from orchkit.events import Failure
from orchkit.executors import Attempt, TaskExecutor, failure_of

__all__ = ["Workers", "carry_out"]


@dataclass(frozen=True, slots=True)
class _Result:
    """What carrying out gives: a plain value, or a failure."""

    output: Any = None
    failure: Failure | None = None


def carry_out(work: Callable[[], Any]) -> _Result:
    """Do the work of an attempt; whatever it raises becomes a failure."""
    try:
        return _Result(output=plain(work()))
    except Exception as error:  # noqa: BLE001 -- a handler may raise anything, and the run must learn of it
        return _Result(failure=failure_of(error))


class Workers:
    """Carries out attempts and posts their outcomes."""

    def __init__(
        self, executor: concurrent.futures.Executor | None, post: Callable[[Any], None], max_workers: int
    ) -> None:
        self._executor = executor
        self._threads = Threads(max_workers)
        self._post = post
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def begin(self, attempt: Attempt, executor: TaskExecutor) -> None:
        """Begin an attempt; its outcome is posted when it ends."""
        beat = Heartbeat(attempt.run_id, attempt.step_id, attempt.attempt)
        if attempt.task.heartbeat_s is not None and self._executor is None:
            attempt = replace(attempt, heartbeat=lambda: self._post(beat))
        try:
            work = executor.prepare(attempt)
        except Exception as error:  # noqa: BLE001 -- settings and arguments come from the user
            self._ended(attempt, _Result(failure=failure_of(error)))
            return
        if _is_async(work):
            future: concurrent.futures.Future[_Result] = asyncio.run_coroutine_threadsafe(
                _await(work), self._running_loop()
            )
        elif self._executor is None:
            self._threads.put(lambda: self._ended(attempt, carry_out(work)))
            return
        else:
            try:
                future = self._executor.submit(carry_out, work)
            except RuntimeError:  # it is being shut down: the attempt is repeated at the next start
                return
        future.add_done_callback(lambda done: self._done(attempt, done))

    def _done(self, attempt: Attempt, future: concurrent.futures.Future[_Result]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        self._ended(attempt, future.result() if error is None else _Result(failure=failure_of(error)))

    def _ended(self, attempt: Attempt, result: _Result) -> None:
        self._post(Outcome(attempt.run_id, attempt.step_id, attempt.attempt, result.failure, result.output))

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="orchkit-async", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Let go of what is running, and stop."""
        self._threads.close()
        if self._loop is not None and self._thread is not None:
            loop = self._loop
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(5)
            loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _is_async(work: Callable[[], Any]) -> bool:
    function = getattr(work, "func", work)
    try:
        return _is_coroutine_function(function)
    except TypeError:  # a callable that cannot be hashed
        return _is_coroutine_function.__wrapped__(function)


@lru_cache(maxsize=4096)
def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def _await(work: Callable[[], Any]) -> _Result:
    try:
        return _Result(output=plain(await work()))
    except Exception as error:  # noqa: BLE001 -- a handler may raise anything, and the run must learn of it
        return _Result(failure=failure_of(error))
