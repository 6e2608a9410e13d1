"""Retry policies: how often and how long to wait between the attempts of a task."""

from __future__ import annotations

import contextlib
import hashlib
import math
from dataclasses import dataclass

from orchkit.errors import WorkflowError
from orchkit.model.durations import duration_s
from orchkit.units import Duration, seconds

__all__ = ["Retry", "uniform"]

_MASK = (1 << 64) - 1
_LARGEST = 1e300


def uniform(seed: int, attempt: int) -> float:
    """Return a number in [0, 1) that is a pure function of both arguments.

    SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014), so that compiled code can give
    the same number.
    """
    value = (seed + 0x9E3779B97F4A7C15 * attempt) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((value ^ (value >> 31)) >> 11) / (1 << 53)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


@dataclass(frozen=True, slots=True)
class Retry:
    """When an attempt fails with a transient error, wait and try again.

    The n-th delay is ``initial_delay * multiplier ** (n - 1)``, at most ``max_delay``, made longer
    or shorter by a random part of at most ``jitter`` (a share of the delay).

    Parameters
    ----------
    max_attempts
        Attempts in all, the first one included.
    initial_delay, max_delay
        Durations; kept in seconds. ``initial_delay="0s"`` with ``multiplier=1`` is the immediate retry.
    multiplier
        How many times longer each delay is than the one before, at least 1.
    jitter
        Share of the delay, between 0 and 1.

    Examples
    --------
    >>> retry = Retry(max_attempts=4, initial_delay="1s", max_delay="60s", multiplier=2, jitter=0)
    >>> [retry.delay_s(attempt) for attempt in (1, 2, 3, 10)]
    [1.0, 2.0, 4.0, 60.0]
    """

    max_attempts: int = 3
    initial_delay: Duration = 1.0
    max_delay: Duration = 60.0
    multiplier: float = 2.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "initial_delay", duration_s(self.initial_delay, "retry: initial_delay"))
        keep(self, "max_delay", duration_s(self.max_delay, "retry: max_delay"))
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            message = f"retry: max_attempts must be a whole number of at least 1, not {self.max_attempts!r}."
            raise WorkflowError(message)
        if not _is_number(self.multiplier) or not self.multiplier >= 1:
            message = f"retry: multiplier must be a number of at least 1, not {self.multiplier!r}."
            raise WorkflowError(message)
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            message = f"retry: jitter is a share between 0 and 1, not {self.jitter!r}."
            raise WorkflowError(message)
        keep(self, "multiplier", float(self.multiplier))
        keep(self, "jitter", float(self.jitter))

    def delay_s(self, attempt: int, seed: str | int = 0) -> float:
        """Return the delay in seconds after the failure of ``attempt`` (from 1).

        A pure function of policy, attempt and seed.
        """
        delay = 0.0 if self.initial_delay == 0 else math.inf
        with contextlib.suppress(OverflowError):
            delay = seconds(self.initial_delay) * self.multiplier ** (attempt - 1)
        delay = min(delay, seconds(self.max_delay))
        if not self.jitter:
            return delay
        if isinstance(seed, str):
            seed = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest(), "little")
        return delay * (1 + self.jitter * (2 * uniform(seed, attempt) - 1))
