"""The clock is an argument; this is the one place that asks the machine for the time."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Tells the time, in seconds since the epoch (UTC)."""

    def now(self) -> float:
        """Return the present time."""
        ...


class SystemClock:
    """The time of this machine.

    Examples
    --------
    >>> SystemClock().now() > 1.7e9
    True
    """

    def now(self) -> float:
        """Return the present time."""
        return time.time()
