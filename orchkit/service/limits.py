"""Limits: how much the service does for whoever asks."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Buckets", "Limits"]

_MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service allows its clients.

    Attributes
    ----------
    body_bytes
        The largest body of a request, in bytes.
    body_s
        How long to wait for each part of a body.
    requests_per_s, burst
        Requests with one token: in the long run, and at once.
    strangers_per_s, strangers_burst
        The same for an address that sends no token, or a wrong one.
    sql_s, sql_rows, sql_bytes
        The most time, rows and bytes that the answer to a query may take.
    queries, waiting
        Queries and figures: how many at once, and how many more may wait.
    streams
        How many streams of the history at once.
    """

    body_bytes: int = 1 << 20
    body_s: float = 20.0
    requests_per_s: float = 1_000.0
    burst: int = 2_000
    strangers_per_s: float = 500.0
    strangers_burst: int = 2_000
    sql_s: float = 10.0
    sql_rows: int = 100_000
    sql_bytes: int = 64 << 20
    queries: int = 4
    waiting: int = 64
    streams: int = 64


class Buckets:
    """Token buckets: each fills with so many a second, up to so many, and each request takes one.

    Parameters
    ----------
    per_s, burst
        How fast they fill, and how much they hold.
    clock
        Seconds that only grow.

    Examples
    --------
    >>> now = 0.0
    >>> buckets = Buckets(2, 1, clock=lambda: now)
    >>> buckets.wait_s("ada"), buckets.wait_s("ada"), buckets.wait_s("bob")
    (0.0, 0.5, 0.0)
    >>> now = 0.5
    >>> buckets.wait_s("ada")
    0.0
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, float(burst), clock
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str) -> float:
        """Take one from somebody's bucket, or return how long it takes until there is one."""
        now = self._clock()
        level, then = self._filled.pop(name, (self._burst, now))
        level = min(self._burst, level + (now - then) * self._per_s)
        if len(self._filled) >= _MOST_BUCKETS:  # who has not asked for longest has a full one anyway
            self._filled.popitem(last=False)
        if level >= 1.0:
            self._filled[name] = (level - 1.0, now)
            return 0.0
        self._filled[name] = (level, now)
        return (1.0 - level) / self._per_s
