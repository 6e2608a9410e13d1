"""Seconds between moments of a log: of cases, between steps, within working hours; and their figures by group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.log import EventLog

__all__ = ["Hours", "begins_s", "case_durations_s", "gaps_s", "moments_s", "summary", "work_between"]

_NAT = np.iinfo(np.int64).min
_MICROSECONDS = 1e6
_P50, _P95 = 0.5, 0.95


class Hours(Protocol):
    """What says when work is done, such as ``ok.Calendar``."""

    def intervals(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, datetime]]:
        """Return the hours that overlap a period, in order."""


def moments_s(times: pd.Series) -> NDArray[np.float64]:
    """Return seconds since 1970, missing where the time is."""
    microseconds = times.dt.tz_localize(None).to_numpy().astype("M8[us]").view(np.int64)
    seconds: NDArray[np.float64] = microseconds / _MICROSECONDS
    seconds[microseconds == _NAT] = np.nan
    return seconds


def case_durations_s(log: EventLog) -> NDArray[np.float64]:
    """Return the seconds from the start to the end of each case, missing where it has not ended."""
    return moments_s(log.cases["completed"]) - moments_s(log.cases["started"])


def begins_s(log: EventLog) -> NDArray[np.float64]:
    """Return when each step started: its completion, else its ``enabled``, where no start is known."""
    steps = log.steps
    begun = moments_s(steps["started"])
    for name in ("completed", "enabled"):
        unknown = np.isnan(begun)
        if not unknown.any():
            break
        begun[unknown] = moments_s(steps[name])[unknown]
    return begun


def gaps_s(log: EventLog, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when the steps in ``rows`` completed, and when the next ones started."""
    return moments_s(log.steps["completed"])[rows], begins_s(log)[rows + 1]


def work_between(calendar: Hours, begun: NDArray[np.float64], ended: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the seconds of a calendar's hours between moments."""
    known = ~(np.isnan(begun) | np.isnan(ended))
    work = np.full(len(begun), np.nan)
    if not known.any():
        return work
    both = np.concatenate([begun[known], ended[known]])
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


def summary(codes: NDArray[np.int64], values: NDArray[np.float64], size: int, *, count: str = "count") -> pd.DataFrame:
    """Return a row a group: how many, and mean, median and 95th percentile of the values that are known."""
    known = ~np.isnan(values)
    counts = np.bincount(codes, minlength=size)
    codes, values = codes[known], values[known]
    sizes = np.bincount(codes, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(codes, minlength=size, weights=values) / sizes
    order = np.argsort(values)
    order = order[np.argsort(codes[order].astype(np.uint16 if size < 1 << 16 else np.int64), kind="stable")]
    values = values[order]
    ends = np.cumsum(sizes)
    starts = ends - sizes
    table = {count: counts, "mean_s": mean.astype(np.float64)}
    for name, share in (("median_s", _P50), ("p95_s", _P95)):
        place = (sizes - 1) * share
        low = np.floor(place).astype(np.int64)
        figure = np.full(size, np.nan)
        some = sizes > 0
        at = (starts + low)[some]
        above = np.minimum(at + 1, ends[some] - 1)
        figure[some] = values[at] + (values[above] - values[at]) * (place - low)[some]
        table[name] = figure
    return pd.DataFrame(table)
