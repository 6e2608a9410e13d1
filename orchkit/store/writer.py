"""Group commit: one thread writes, and whatever arrives while a commit runs is the next commit."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from typing import Protocol, Self

from orchkit.errors import StoreError
from orchkit.store.rows import Batch

__all__ = ["GroupWriter", "OnDurable"]

OnDurable = Callable[[BaseException | None], None]


class _Appends(Protocol):
    def append(self, batch: Batch) -> None: ...


class _Submitted:
    """A batch and who waits for it."""

    __slots__ = ("batch", "on_durable")

    def __init__(self, batch: Batch, on_durable: OnDurable) -> None:
        self.batch = batch
        self.on_durable = on_durable


class GroupWriter:
    """The one thread that writes to a store.

    An idle writer commits at once. While a commit runs, all that is submitted is merged, in order, into the next
    single commit, so that a thousand callers wait for two commits, not for a thousand.

    After a commit has failed the writer stands still: that batch and every later one are refused with a
    `StoreError`, and nothing is acknowledged that is not durable. The caller's state is then ahead of the
    history, and only opening the file again and recovering from it makes the two agree.

    Parameters
    ----------
    store
        Where to append; closed by whoever opened it, after the writer.

    Examples
    --------
    >>> from orchkit.store import HistoryRow, Store
    >>> row = HistoryRow("r1", "A-1", "order", "d1", None, None, "run", "RUNNING", 1, 0)
    >>> with Store() as store, GroupWriter(store) as writer:
    ...     writer.submit(Batch(rows=[row]), lambda error: print("durable" if error is None else error))
    ...     writer.flush()
    durable
    """

    def __init__(self, store: _Appends) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[_Submitted | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._closed = False
        self._broken: StoreError | None = None
        self.commits = 0
        self.listeners: list[Callable[[], None]] = []  # each is called after each commit
        self._thread = threading.Thread(target=self._loop, name="orchkit-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch, on_durable: OnDurable) -> None:
        """Hand over a batch, and return at once.

        Parameters
        ----------
        batch
            Must not be changed any more. An empty one needs no commit, and keeps its place in the order.
        on_durable
            Called in the writer's thread, in the order of submission: with None once the batch is durable, or with
            the error. It must not wait for the writer.

        Raises
        ------
        StoreError
            The writer has been closed.
        """
        with self._guard:
            if self._closed:
                raise StoreError("The store's writer has been closed; nothing was accepted.")
            self._queue.put(_Submitted(batch, on_durable))

    def flush(self) -> None:
        """Wait until all that was submitted is durable, or has been refused."""
        done = threading.Event()
        self.submit(Batch(), lambda _: done.set())
        done.wait()

    def close(self) -> None:
        """Commit what was submitted, then stop. Closing twice does nothing."""
        with self._guard:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # In the writer's thread ----------------------------------------------------

    def _loop(self) -> None:
        open_ = True
        while open_:
            group, open_ = self._next_group()
            error = self._commit(group)
            for submitted in group:
                self._tell(submitted, error)

    def _next_group(self) -> tuple[list[_Submitted], bool]:
        """Wait for a batch, and return it with all that are there, and whether more may come."""
        group = []
        submitted = self._queue.get()
        while submitted is not None:
            group.append(submitted)
            try:
                submitted = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _commit(self, group: list[_Submitted]) -> StoreError | None:
        if self._broken is not None:
            return self._broken
        filled = [submitted.batch for submitted in group if submitted.batch]
        if not filled:
            return None
        merged = filled[0]
        if len(filled) > 1:
            merged = Batch()
            for batch in filled:
                merged.extend(batch)
        try:
            self._store.append(merged)
        except BaseException as error:  # noqa: BLE001 -- whatever it was, whoever waits must be told
            self._broken = _later(error)
            return error if isinstance(error, StoreError) else self._broken
        self.commits += 1
        for listener in tuple(self.listeners):
            listener()
        return None

    def _tell(self, submitted: _Submitted, error: StoreError | None) -> None:
        try:
            submitted.on_durable(error)
        except BaseException as fault:  # noqa: BLE001 -- the others must be told all the same
            # The caller is at fault and out of step: shown as for any thread, and nothing more is accepted.
            self._broken = self._broken or _later(fault)
            kind, value, trace = sys.exc_info()
            if kind is not None:
                threading.excepthook(threading.ExceptHookArgs((kind, value, trace, self._thread)))


def _later(error: BaseException) -> StoreError:
    """Return the error for all that is submitted after a failure."""
    message = (
        f"The store has stopped after an error, and nothing more is written: close the engine, mend the cause, "
        f"and open the file again; all runs go on from what was durable. The error: {error}"
    )
    path = error.path if isinstance(error, StoreError) else None
    later = type(error)(message, path=path) if isinstance(error, StoreError) else StoreError(message)
    later.__cause__ = error
    return later
