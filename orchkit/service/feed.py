"""Feed: the history as it grows, for any number of streams.

A stream has no queue: it knows the `seq` that it has sent, and asks for what came after. What was written lately is
kept once, for all of them; who is slower than that reads from the store. So a client that reads slowly, or not at all,
costs nothing but its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orchkit.engine import Engine
from orchkit.service.frames import history_records

__all__ = ["Entry", "Feed", "Filter", "Listener", "Page"]

_AT_ONCE = 500
_KEPT_ROWS, _KEPT_BYTES = 5_000, 8 << 20


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows a stream wants."""

    run_id: str | None = None
    workflow: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Return whether it wants a row."""
        return self.run_id in (None, entry.run_id) and self.workflow in (None, entry.workflow)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the history, written as JSON once."""

    seq: int
    run_id: str
    workflow: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, the ``seq`` up to which was looked, and whether there may be more."""

    entries: list[Entry]
    upto: int
    more: bool


@dataclass(slots=True, eq=False)
class Listener:
    """Who wants to know that there is something new."""

    loop: asyncio.AbstractEventLoop
    event: asyncio.Event = field(default_factory=asyncio.Event)
    told: bool = False

    def tell(self) -> None:
        """Set the event, from any thread; nothing is done twice."""
        if not self.told:
            self.told = True
            with contextlib.suppress(RuntimeError):  # its loop has ended
                self.loop.call_soon_threadsafe(self.event.set)

    def hear(self) -> None:
        """Take note, so that the next one is told again."""
        self.event.clear()
        self.told = False


class Feed:
    """The history as it grows.

    Parameters
    ----------
    engine
        Whose history it is.

    Examples
    --------
    >>> with Engine() as engine:
    ...     feed = Feed(engine)
    ...     engine.note("alert", "order/slow", "FIRING", {"value": 7})
    ...     page = feed.after(0, Filter())
    >>> [json.loads(entry.text)["payload"] for entry in page.entries], page.upto, page.more
    ([{'value': 7}], 1, False)
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._guard = threading.Lock()
        # Replaced, not changed: who writes to the store looks at it without waiting for anybody.
        self._listeners: frozenset[Listener] = frozenset()
        self._kept: deque[Entry] = deque()
        self._size = 0
        self._from = self._upto = 0  # what is kept came after the one, up to the other
        self._commits = -1
        self._begun = False
        self._unsubscribe = engine.on_commit(self._tell)
        self.is_closed = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        """Give a listener of the running loop, which is told of commits and of the end."""
        listener = Listener(asyncio.get_running_loop())
        with self._guard:
            self._listeners |= {listener}
        try:
            yield listener
        finally:
            with self._guard:
                self._listeners -= {listener}

    @property
    def streams(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def last(self) -> int:
        """Return the ``seq`` of the last row."""
        with self._lock:
            self._refresh()
            return self._upto

    def after(self, seq: int, wanted: Filter, limit: int = _AT_ONCE) -> Page:
        """Return what came after a ``seq``."""
        with self._lock:
            self._refresh()
            first, upto = self._from, self._upto
            kept = list(self._kept) if seq >= first else []
        if seq >= first:
            found = [entry for entry in kept if entry.seq > seq and wanted.takes(entry)]
        else:
            found = self._read(seq, wanted, limit + 1)
        page = found[:limit]
        more = len(found) > limit
        return Page(page, page[-1].seq if more else max(seq, upto, *(entry.seq for entry in page[-1:])), more)

    def close(self) -> None:
        """End all streams."""
        if not self.is_closed:
            self.is_closed = True
            self._unsubscribe()
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.tell()

    def _refresh(self) -> None:
        """Read what is new, once for all who ask."""
        commits = self._engine.commits
        if not self._begun:
            self._from = self._upto = self._engine.last_seq()
            self._begun = True
        elif commits == self._commits:
            return
        more = True
        while more:
            found = self._read(self._upto, Filter(), _KEPT_ROWS)
            for entry in found:
                self._kept.append(entry)
                self._size += len(entry.text)
                self._upto = entry.seq
            while len(self._kept) > _KEPT_ROWS or self._size > _KEPT_BYTES:
                oldest = self._kept.popleft()
                self._size -= len(oldest.text)
                self._from = oldest.seq
            more = len(found) == _KEPT_ROWS
        self._commits = commits

    def _read(self, seq: int, wanted: Filter, limit: int) -> list[Entry]:
        frame = self._engine.rows_after(seq, run_id=wanted.run_id, workflow=wanted.workflow, limit=limit)
        return [self._entry(row) for row in history_records(frame)]

    def _entry(self, row: dict[str, Any]) -> Entry:
        text = self._engine.redact(json.dumps(row, separators=(",", ":")))
        return Entry(row["seq"], row["run_id"], row["workflow"], text)
