"""The engine's loop: a thread that feeds the core, has its rows made durable, and only then carries out its effects."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from orchkit.clock import Clock
from orchkit.engine.core import Core
from orchkit.engine.messages import Active, Dispatch, Ended, Message, Work
from orchkit.engine.plans import KINDS
from orchkit.engine.recovery import fold, parent_of
from orchkit.engine.run import Snapshot
from orchkit.engine.workers import Workers
from orchkit.errors import EngineClosed
from orchkit.executors import TaskExecutor
from orchkit.model.definition import Workflow
from orchkit.store import GroupWriter, Store

__all__ = ["Live", "Loop"]

_MAX_MESSAGES = 2_000


@runtime_checkable
class _VirtualTime(Protocol):
    """A clock that is set, not read from the machine."""

    def subscribe(self, wake: Callable[[], None]) -> None: ...
    def skip_to(self, moment: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Posted:
    message: Message | None
    answer: concurrent.futures.Future[Any] | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """A run as it is durably known, until it ends."""

    active: Active
    ended: concurrent.futures.Future[Ended] = field(default_factory=concurrent.futures.Future)

    @property
    def snapshot(self) -> Snapshot:
        """What is durably known of it now."""
        state = self.active.durable or self.active.state
        # What is offered to people, and nobody has taken, waits; a copy, for the core's thread changes it.
        offered = frozenset(step_id for step_id, item in list(self.active.items.items()) if item.by is None)
        return Snapshot(state.status_while(offered), state.variables)


class Loop:
    """Messages in; rows, effects and answers out, in that order.

    Parameters
    ----------
    core
        What decides.
    store
        What is durable.
    clock
        Tells the time.
    executors
        By name, what does the tasks' work.
    executor, max_workers
        Where that work is done: here, or in threads, so many at most.
    """

    def __init__(
        self,
        core: Core,
        store: Store,
        clock: Clock,
        executors: Mapping[str, TaskExecutor],
        executor: concurrent.futures.Executor | None,
        max_workers: int,
    ) -> None:
        self.core = core
        self.live: dict[str, Live] = {}
        self.writer = GroupWriter(store)
        self._clock = clock
        self._executors = executors
        self._inbox: queue.SimpleQueue[_Posted] = queue.SimpleQueue()
        self._workers = Workers(executor, lambda message: self._inbox.put(_Posted(message)), max_workers)
        self._lock = threading.Lock()
        self._in_flight = 0
        self._broken: BaseException | None = None
        self._stopped = False
        self.is_closing = False
        # Asked once: a protocol is slow to look at.
        self._virtual = clock if isinstance(clock, _VirtualTime) else None
        self._thread = threading.Thread(target=self._run, name="orchkit-engine", daemon=True)

    # From outside ----------------------------------------------------------------

    def start(self, store: Store) -> None:
        """Take up the runs that the store holds open, and begin."""
        definitions: dict[str, Workflow] = {}
        found = []
        for row, rows in store.open_runs():
            if row.digest not in definitions:
                definitions[row.digest] = Workflow.from_json(store.definition(row.digest))
            folded = fold(
                definitions[row.digest],
                rows,
                parent_of(row),
                lambda digest: Workflow.from_json(store.definition(digest)),
            )
            self.core.adopt(folded.active, folded.transitions, self._clock.now())
            self.live[row.run_id] = Live(folded.active)
            found.append(row.run_id)
        self.core.plans.load(store.plan_rows(KINDS))
        if found or self.core.plans.plans:
            self._submit(self.core.resume(found, self._clock.now()), [])
        if self._virtual is not None:
            self._virtual.subscribe(self._wake)
        self._thread.start()

    def post(self, message: Message) -> concurrent.futures.Future[Any]:
        """Hand in a message; its answer comes when all that follows from it is durable.

        Raises
        ------
        EngineClosed
            Nothing is taken any more.
        StoreError
            The store has failed.
        """
        answer: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            if self.is_closing:
                raise EngineClosed("The engine has been closed; open another on the same file.")
            if self._broken is not None:
                raise self._broken
            self._inbox.put(_Posted(message, answer))
        return answer

    def close(self, timeout_s: float) -> bool:
        """Stop: nothing new begins, and what runs may end within the time. False where it was closed before.

        Whoever interrupts the waiting shortens it: what holds resources is let go all the same.
        """
        with self._lock:
            if self.is_closing:
                return False
            self.is_closing = True
        self.core.draining = True
        self._wake()
        try:
            if self._thread.is_alive() and self._broken is None:  # no outcome can be kept where the store has failed
                self._thread.join(timeout_s)
        finally:
            self._stopped = True
            self._wake()
            if self._thread.is_alive():
                self._thread.join()
            self._workers.close()
            self.writer.close()
        return True

    def refuse_all(self, error: BaseException) -> None:
        """Tell all who wait that nothing will come."""
        for live in list(self.live.values()):
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                live.ended.set_exception(error)
        while True:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return
            if item.answer is not None:
                item.answer.set_exception(error)

    def _wake(self) -> None:
        self._inbox.put(_Posted(None))

    # In the loop's thread ----------------------------------------------------------

    def _run(self) -> None:
        posted: list[_Posted] = []
        try:
            while not self._stopped:
                posted = self._collect()
                if self.core.draining and not posted and self.core.is_idle and not self._in_flight:
                    return
                told = [item for item in posted if item.message is not None]
                self._submit(self.core.handle([item.message for item in told if item.message], self._clock.now()), told)
                posted = []
        except BaseException as error:  # noqa: BLE001 -- whoever waits must learn that nothing will come
            self._break(error)
            for item in posted:  # taken from the inbox, and not handed to the writer
                if item.answer is not None and not item.answer.done():
                    item.answer.set_exception(error)

    def _collect(self) -> list[_Posted]:
        """Return what has been posted, waiting for it no longer than until the next timer."""
        posted: list[_Posted] = []
        try:
            posted.append(self._inbox.get(timeout=self._patience_s()))
            while len(posted) < _MAX_MESSAGES:
                posted.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return posted

    def _patience_s(self) -> float | None:
        due = self.core.next_timer()
        quiet = self.core.is_idle and not self._in_flight and self._inbox.empty()
        if self.core.draining:
            return 0.0 if quiet else 0.05
        if due is None:
            return None
        if self._virtual is not None:
            return 0.0 if quiet and self._virtual.skip_to(due) else None
        return max(0.0, min(due - self._clock.now(), 3600.0))

    def _submit(self, work: Work, posted: list[_Posted]) -> None:
        if not (posted or work.batch or work.effects):
            return
        seen = [(active, active.state) for active in work.touched.values()]
        with self._lock:
            self._in_flight += 1
        self.writer.submit(work.batch, lambda error: self._durable(work, posted, seen, error))

    # In the writer's thread --------------------------------------------------------

    def _durable(self, work: Work, posted: list[_Posted], seen: list[Any], error: BaseException | None) -> None:
        """Carry out the effects of a turn whose rows are durable, and answer those who asked."""
        if error is not None:
            self._break(error)
            for item in posted:
                if item.answer is not None:
                    item.answer.set_exception(error)
            return
        for active, state in seen:
            active.durable = state
            self.core.unsettled.discard(active.run_id)
            if active.run_id not in self.live:
                self.live[active.run_id] = Live(active)
        for position, item in enumerate(posted):
            if item.answer is not None:
                answer = work.answers.get(position)
                if isinstance(answer, BaseException):
                    item.answer.set_exception(answer)
                else:
                    item.answer.set_result(answer)
        for effect in work.effects:
            if isinstance(effect, Dispatch):
                self._workers.begin(effect.attempt, self._executors[effect.attempt.task.executor])
            else:
                self.live.pop(effect.run_id).ended.set_result(effect)
        with self._lock:
            self._in_flight -= 1
        if self.core.draining or self._virtual is not None:
            self._wake()

    def _break(self, error: BaseException) -> None:
        with self._lock:
            self._broken = self._broken or error
        self.refuse_all(error)
