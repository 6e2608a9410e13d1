"""A clock that is set, not read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from orchkit.units import Duration, seconds

__all__ = ["VirtualClock"]


class VirtualClock:
    """Time that passes when it is told to, or when nothing else is left to do.

    Parameters
    ----------
    start
        The first moment, ISO 8601 with its offset.
    skip
        Whether an engine that has nothing to do but to wait for a timer may set the clock to it: days pass in
        milliseconds. Otherwise only `advance` moves it.

    Examples
    --------
    >>> clock = VirtualClock("2027-01-01T00:00:00+00:00")
    >>> before = clock.now()
    >>> clock.advance("2 days")
    >>> clock.now() - before
    172800.0
    """

    def __init__(self, start: str = "2027-01-01T00:00:00+00:00", *, skip: bool = True) -> None:
        moment = datetime.fromisoformat(start)
        self._now = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        self._skip = skip
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> float:
        """Return the present time, in seconds since the epoch."""
        return self._now

    def advance(self, duration: Duration) -> None:
        """Let time pass; timers that become due fire."""
        with self._lock:
            self._now += seconds(duration)
        for wake in self._listeners:
            wake()

    def skip_to(self, moment: float) -> bool:
        """Set the clock to a moment, where it may be skipped; tell whether it was."""
        if not self._skip:
            return False
        with self._lock:
            self._now = max(self._now, moment)
        return True

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call this whenever time has passed."""
        self._listeners.append(wake)
