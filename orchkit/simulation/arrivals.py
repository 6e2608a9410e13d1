"""When cases arrive: at a rate that follows the week, or at given moments."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchkit.errors import ScenarioError
from orchkit.log import expect_log
from orchkit.simulation.brief import brief

if TYPE_CHECKING:
    from orchkit.log import EventLog

__all__ = ["ArrivalTimes", "Profile", "arrivals_of"]

_HOURS = 168
_CENTURY_WEEKS = 5218


@dataclass(frozen=True, slots=True)
class Profile:
    """Arrivals as a Poisson process whose rate follows the week.

    Parameters
    ----------
    per_hour
        Cases per hour, for each of the 168 hours from Monday 00:00 on (UTC).

    Examples
    --------
    >>> nine_to_five = [2.0 if hour // 24 < 5 and 9 <= hour % 24 < 17 else 0.0 for hour in range(168)]
    >>> sum(Profile(tuple(nine_to_five)).per_hour)
    80.0
    """

    per_hour: tuple[float, ...]

    __repr__ = brief

    def __post_init__(self) -> None:
        rates = _numbers(self.per_hour, "profile: per_hour", "168 numbers, of cases per hour")
        object.__setattr__(self, "per_hour", rates)
        if len(rates) != _HOURS:
            message = f"profile: per_hour has 168 rates, one for each hour of the week, not {len(rates)}."
            raise ScenarioError(message)
        if not all(math.isfinite(rate) and rate >= 0 for rate in rates) or not any(rates):
            message = "profile: rates are finite and not negative, and at least one is above 0."
            raise ScenarioError(message)
        if sum(rates) * _CENTURY_WEEKS < 1:
            message = "profile: with these rates, not one case comes in a century. They are cases per hour."
            raise ScenarioError(message)


@dataclass(frozen=True, slots=True)
class ArrivalTimes:
    """Arrivals at given moments: seconds after the scenario's start, in order.

    Examples
    --------
    >>> ArrivalTimes((0, 60, 90)).after_s
    (0.0, 60.0, 90.0)
    """

    after_s: tuple[float, ...]

    __repr__ = brief

    def __post_init__(self) -> None:
        times = tuple(
            sorted(_numbers(self.after_s, "arrivals: after_s", "a list of moments, in seconds after the start"))
        )
        object.__setattr__(self, "after_s", times)
        if not times or not all(math.isfinite(moment) and moment >= 0 for moment in times):
            message = "arrivals: give at least one moment, each finite and not negative (seconds after the start)."
            raise ScenarioError(message)


def arrivals_of(log: EventLog) -> ArrivalTimes:
    """Return the arrivals of a log, counted from its first one.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> arrivals_of(log).after_s
    (0.0, 7200.0)
    """
    expect_log(log, "arrivals_of")
    started = log.cases["started"].dropna().sort_values()
    if not len(started):
        message = "arrivals_of: the log has no case that began, so that nothing is known of arrivals."
        raise ScenarioError(message)
    return ArrivalTimes(tuple((started - started.iloc[0]).dt.total_seconds()))


def _numbers(values: Iterable[float], where: str, what: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        message = f"{where} is {what}, not {reprlib.repr(values)}."
        raise ScenarioError(message) from None
