"""What goes wrong on the way to the systems, and how often: configuration, seeded, the same each time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

__all__ = ["PRESETS", "Fate", "Fault", "Faults"]


class Fault(StrEnum):
    """What happens to one attempt of a request."""

    NONE = "none"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    DROPPED = "dropped"
    LOST = "lost"
    SLOW = "slow"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Fate:
    """What one attempt of a request meets: a fault, or none, and the time before its answer."""

    fault: Fault
    latency_s: float


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of the requests that go wrong, and how.

    What an attempt meets is a pure function of seed, request and number of the attempt, so that a run can
    be repeated. All shares lie between 0 and 1.

    Parameters
    ----------
    unavailable
        503 with ``Retry-After``; nothing has happened.
    throttled
        429 with ``Retry-After``; nothing has happened.
    dropped
        The connection closes without an answer; nothing has happened.
    lost
        The connection closes without an answer, but the effect *has* happened: only the idempotency key
        saves the client from doing it twice.
    slow
        The effect happens, the answer comes after ``slow_s``, when the client has given up.
    rejected
        400. A matter of the request and not of the moment: every attempt is rejected.
    latency_s
        Median of the time before an answer, in seconds.
    latency_spread
        Standard deviation of the logarithm of that time (log-normal); 0 for a constant.
    slow_s
        Seconds before a slow answer.
    retry_after_s
        Seconds that ``Retry-After`` asks for; HTTP wants a whole number.
    repeated_callbacks, lost_callbacks
        Shares of the callbacks that the vendor delivers twice and not at all.
    paths
        Other faults for the paths that begin so; the longest beginning counts.

    Examples
    --------
    >>> faults = Faults(unavailable=0.5, paths={"/billing": Faults()})
    >>> faults.fate("/crm/activities", "order 7", attempt=1, seed=1).fault
    <Fault.UNAVAILABLE: 'unavailable'>
    >>> faults.fate("/billing/captures", "order 7", attempt=1, seed=1).fault
    <Fault.NONE: 'none'>
    """

    unavailable: float = 0.0
    throttled: float = 0.0
    dropped: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    rejected: float = 0.0
    latency_s: float = 0.0
    latency_spread: float = 0.5
    slow_s: float = 3.0
    retry_after_s: int = 1
    repeated_callbacks: float = 0.0
    lost_callbacks: float = 0.0
    paths: Mapping[str, Faults] = field(default_factory=dict)

    def __post_init__(self) -> None:
        passing = [self.unavailable, self.throttled, self.dropped, self.lost, self.slow]
        callbacks = [self.repeated_callbacks, self.lost_callbacks]
        if min(*passing, *callbacks, self.rejected) < 0 or max(sum(passing), sum(callbacks), self.rejected) > 1:
            message = f"Shares of faults lie between 0 and 1, together as well: {self}."
            raise ValueError(message)

    @classmethod
    def none(cls) -> Faults:
        """Return a perfect world: no fault, no latency."""
        return cls()

    @classmethod
    def default(cls) -> Faults:
        """Return a bad day: some 8 % of the attempts fail, and 2 % of the shipments are refused for good."""
        usual = cls(
            unavailable=0.03,
            throttled=0.02,
            dropped=0.01,
            lost=0.015,
            slow=0.005,
            latency_s=0.004,
            repeated_callbacks=0.05,
            lost_callbacks=0.03,
        )
        return replace(usual, paths={"/warehouse/shipments": replace(usual, rejected=0.02)})

    @classmethod
    def harsh(cls) -> Faults:
        """Return a very bad day: three attempts in ten fail."""
        return cls(
            unavailable=0.12,
            throttled=0.05,
            dropped=0.05,
            lost=0.05,
            slow=0.03,
            latency_s=0.01,
            repeated_callbacks=0.2,
            lost_callbacks=0.1,
        )

    def at(self, path: str) -> Faults:
        """Return the faults that hold for a path."""
        longest = max((start for start in self.paths if path.startswith(start)), key=len, default=None)
        return self if longest is None else self.paths[longest]

    def fate(self, path: str, request: str, *, attempt: int, seed: int) -> Fate:
        """Return what an attempt of a request meets."""
        here = self.at(path)
        if random.Random(f"{seed}/{request}").random() < here.rejected:
            return Fate(Fault.REJECTED, here.latency_s)
        draw = random.Random(f"{seed}/{request}/{attempt}")
        fault = here._fault(draw.random())
        spread = math.exp(draw.gauss(0.0, here.latency_spread))
        return Fate(fault, here.slow_s if fault is Fault.SLOW else here.latency_s * spread)

    def _fault(self, point: float) -> Fault:
        """Return the fault at a point between 0 and 1, on which the shares lie one after the other."""
        for fault in (Fault.UNAVAILABLE, Fault.THROTTLED, Fault.DROPPED, Fault.LOST, Fault.SLOW):
            point -= getattr(self, fault)
            if point < 0:
                return fault
        return Fault.NONE


PRESETS: Mapping[str, Callable[[], Faults]] = {
    "none": Faults.none,
    "default": Faults.default,
    "harsh": Faults.harsh,
}
