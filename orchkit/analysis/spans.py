"""Seconds between moments of a log: of cases, between steps, within working hours; and their figures by group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.analysis.quantiles import by_flow, by_group
from orchkit.columns import NAT, microseconds
from orchkit.errors import LogError
from orchkit.log import EventLog

__all__ = [
    "Hours",
    "begins_s",
    "case_durations_s",
    "ends_before_s",
    "expect_hours",
    "figures",
    "flow_figures",
    "gaps_s",
    "moment_s",
    "moments_s",
    "parts",
    "period_starts",
    "summary",
    "work_between",
]

_MICROSECONDS = 1e6
_PART = 1 << 15
_DAY_S, _MOST_PERIODS, _MOST_YEARS = 86_400.0, 20_000_000, 200
_FARTHEST_S = 1900 * 366 * _DAY_S  # from 1970: datetime ends at the years 1 and 9999


class Hours(Protocol):
    """What says when work is done, such as ``ok.Calendar``."""

    def intervals(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, datetime]]:
        """Return the hours that overlap a period, in order."""


def moments_s(times: pd.Series) -> NDArray[np.float64]:
    """Return seconds since 1970, missing where the time is."""
    held = microseconds(times)
    seconds: NDArray[np.float64] = held / _MICROSECONDS
    if (held == NAT).any():
        seconds[held == NAT] = np.nan
    return seconds


def moment_s(time: object) -> float:
    """Return a time, as pandas reads it, as seconds since 1970; without an offset it is UTC.

    Examples
    --------
    >>> moment_s("2024-05-06T09:00+02:00") == moment_s("2024-05-06T07:00")
    True
    """
    try:
        moment = pd.Timestamp(None if isinstance(time, float | int) else time)  # type: ignore[arg-type]  # is refused
        return (moment.tz_localize("UTC") if moment.tzinfo is None else moment).timestamp()
    except (ValueError, TypeError):  # NaT has no seconds
        message = f"{time!r} is not a time such as '2024-05-06' or '2024-05-06T09:00+02:00'."
        raise LogError(message) from None


def period_starts(first: pd.Timestamp, last: pd.Timestamp, every: str) -> pd.DatetimeIndex:
    """Return the starts of the periods from one moment to another; weeks begin on Monday, months on the first.

    Examples
    --------
    >>> at = pd.Timestamp("2024-05-08T10:00Z")
    >>> [str(start.date()) for start in period_starts(at, at + pd.Timedelta("7 D"), "1W")]
    ['2024-05-06', '2024-05-13']
    """
    # pandas names weeks, months and longer ones by their ends.
    by_start = re.sub(r"(?<=[MQY])E$", "S", re.sub(r"W$", "W-MON", str(every)))
    try:
        step = pd.tseries.frequencies.to_offset(by_start)
        _check_count(
            (last - first).total_seconds(), step.nanos / 1e9 if isinstance(step, pd.offsets.Tick) else step.n * _DAY_S
        )
        rows = pd.Series(1, index=pd.DatetimeIndex([first, last])).resample(by_start, label="left", closed="left")
        return pd.DatetimeIndex(rows.size().index)
    except (ValueError, TypeError) as error:
        message = f"every={every!r} is not a period such as '1h', '1D', '1W' or '1MS': {error}."
        raise LogError(message) from None


def _check_count(whole_s: float, each_s: float) -> None:
    if each_s <= 0 or whole_s / each_s > _MOST_PERIODS:
        message = f"the log lasts {whole_s:,.0f} s, and more than {_MOST_PERIODS:,} periods are not counted"
        raise ValueError(message)


def parts(height: int, size: int = _PART) -> Iterator[slice]:
    """Yield slices that cover so many rows, each small enough that what is made of it stays near the processor."""
    for begin in range(0, height, size):
        yield slice(begin, min(begin + size, height))


def case_durations_s(log: EventLog) -> NDArray[np.float64]:
    """Return the seconds from the start to the end of each case, missing where it has not ended."""
    cases = log.cases
    return _between_s(microseconds(cases["started"]), microseconds(cases["completed"]))


def begins_s(log: EventLog) -> NDArray[np.float64]:
    """Return when each step started: its completion, else its ``enabled``, if no start is known."""
    begun: NDArray[np.float64] = _begins(log) / _MICROSECONDS
    return begun


def _begins(log: EventLog) -> NDArray[np.int64]:
    steps = log.steps
    begun = microseconds(steps["started"])
    for name in ("completed", "enabled"):
        if begun.min(initial=0) > NAT:
            break
        others = microseconds(steps[name])
        is_empty = begun.max(initial=NAT) == NAT  # what is missing is the least
        begun = others if is_empty else np.where(begun == NAT, others, begun)
    return begun


def ends_before_s(log: EventLog) -> NDArray[np.float64]:
    """Return for each step the latest completion in its case before its start, missing where nothing had ended.

    Steps that end at one instant stand in the order of the log: none comes before one ahead of it.

    Examples
    --------
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": "o1", "activity": ["check", "pack", "bill"],
    ...     "started": [f"2024-05-06T{hour:02}:00Z" for hour in (8, 9, 10)],
    ...     "completed": [f"2024-05-06T{hour:02}:00Z" for hour in (9, 12, 13)],
    ... }))
    >>> ready = ends_before_s(log)
    >>> (begins_s(log) - ready)[1:].tolist()
    [0.0, 3600.0]
    """
    begun, completed = _begins(log), microseconds(log.steps["completed"])
    ends = np.where(completed == NAT, np.iinfo(np.int64).max, completed)  # in a case they rise, and open ones are last
    first = log.offsets[:-1][log.case_codes]
    at = np.arange(len(ends)) - 1
    # Of most steps it is the row before; where that ended later, steps ran side by side, and it is sought by halves.
    wide = np.flatnonzero((at >= first) & (ends[at] > begun))
    low, high = first[wide], at[wide]
    while (low < high).any():
        middle = (low + high) // 2
        is_by_then = ends[middle] <= begun[wide]
        low, high = np.where(is_by_then & (low < high), middle + 1, low), np.where(is_by_then, high, middle)
    at[wide] = low - 1
    found = ends[np.maximum(at, 0)] / _MICROSECONDS
    return np.where(at >= first, found, np.nan)


Rows = slice | NDArray[np.intp]


def gaps_s(log: EventLog, before: Rows, after: Rows) -> NDArray[np.float64]:
    """Return the seconds from the completion of some steps to the start of others, row for row."""
    return _between_s(microseconds(log.steps["completed"])[before], _begins(log)[after])


def _between_s(begun: NDArray[np.int64], ended: NDArray[np.int64]) -> NDArray[np.float64]:
    gaps = np.empty(len(begun))
    for part in parts(len(begun)):
        np.divide(ended[part] - begun[part], _MICROSECONDS, out=gaps[part])
    for times in (begun, ended):
        if len(times) and times.min() == NAT:
            gaps[times == NAT] = np.nan
    return gaps


def expect_hours(calendar: object) -> None:
    """Refuse what is no calendar."""
    if not callable(getattr(calendar, "intervals", None)):
        message = (
            f"calendar: {calendar!r} is not a calendar. Write ok.Calendar({{'mon-fri': '09:00-17:00'}}, timezone=…), "
            "or ok.office_hours()."
        )
        raise LogError(message)


def work_between(calendar: Hours, begun: NDArray[np.float64], ended: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the seconds of a calendar's hours between moments."""
    expect_hours(calendar)
    known = ~(np.isnan(begun) | np.isnan(ended))
    work = np.full(len(begun), np.nan)
    if not known.any():
        return work
    both = np.concatenate([begun[known], ended[known]])
    if np.ptp(both) > _MOST_YEARS * 366 * _DAY_S or np.abs(both).max() > _FARTHEST_S:
        first, last = (np.datetime64(int(moment), "s").astype(str)[:10] for moment in (both.min(), both.max()))
        message = (
            f"calendar: the log has times from {first} to {last}; hours are counted over {_MOST_YEARS} years at most, "
            "and not at the ends of the calendar. "
            "Leave out cases with wrong dates: ok.where(log, after='2000-01-01')."
        )
        raise LogError(message)
    span = (datetime.fromtimestamp(both.min() - 1, UTC), datetime.fromtimestamp(both.max() + 1, UTC))
    hours = np.array([(a.timestamp(), b.timestamp()) for a, b in calendar.intervals(*span)]).reshape(-1, 2)
    # Work done until a moment is a line that rises within hours and is flat between.
    done = np.concatenate([[0.0], np.cumsum(hours[:, 1] - hours[:, 0])])
    corners, heights = hours.ravel(), np.repeat(done, 2)[1:-1]
    if len(corners):
        work[known] = np.interp(ended[known], corners, heights) - np.interp(begun[known], corners, heights)
    else:
        work[known] = 0.0
    return work


def summary(
    codes: NDArray[np.integer[Any]], values: NDArray[np.float64], size: int, *, count: str = "count"
) -> pd.DataFrame:
    """Return one row per group: how many, and mean, median and 95th percentile of the values that are known."""
    return pd.DataFrame(figures(codes, values, size, count=count))


def figures(
    codes: NDArray[np.integer[Any]], values: NDArray[np.float64], size: int, *, count: str = "count"
) -> dict[str, NDArray[Any]]:
    """Return the columns of `summary`."""
    known, sums, (median, p95) = by_group(codes, values, size, (0.5, 0.95))
    counts = known if known.sum() == len(codes) else np.bincount(codes, minlength=size)
    return {count: counts, "mean_s": _mean(sums, known), "median_s": median, "p95_s": p95}


def flow_figures(log: EventLog, order: NDArray[np.int32], counts: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return as `figures` the seconds between steps of a case, by pair; see `orchkit.analysis.quantiles.by_flow`."""
    times = microseconds(log.steps["completed"]), _begins(log)
    known, sums, (median, p95) = by_flow(log.activity_codes, log.offsets, times, order, counts, (0.5, 0.95))
    return {"count": counts, "mean_s": _mean(sums, known), "median_s": median, "p95_s": p95}


def _mean(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return mean
