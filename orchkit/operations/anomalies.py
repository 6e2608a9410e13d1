"""Anomalies: how far a figure is from what is usual at this hour of the week.

The method. Time is cut into buckets, as long as the alert's window, counted from Monday 1970-01-05 00:00 UTC. A bucket
is compared with up to eight earlier ones of the same place in the week, or, where there are less than three, with those
of the same place in the day in the two weeks before: on Mondays to Fridays, or on Saturdays and Sundays, as it is. What
is usual is their median m; the scale is 1.4826 times the median of their distances from m (which for a normal
distribution is the standard deviation, and which a few outliers do not move: Rousseeuw and Croux 1993), but for counts
at least the square root of m or of 1 (a Poisson count's own scatter), for durations at least a tenth of m. The score is
the distance from m divided by the scale. Where less than three buckets can be compared, there is no score.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["buckets", "scores"]

_WEEK_S, _DAY_S = 604_800, 86_400
_MONDAY = 345_600  # 1970-01-05, seconds since the epoch
_WORKING_DAYS = 5
_BACK, _LEAST = 8, 3
_DAYS_BACK = 14
_NORMAL = 1.4826
_LEAST_SHARE = 0.1


def scores(
    values: NDArray[np.float64], begins: NDArray[np.float64], bucket_s: float, *, counts: bool
) -> NDArray[np.float64]:
    """Return the score of each bucket against what was usual before it; missing where too little is known.

    Parameters
    ----------
    values
        Of the buckets, one after the other; missing where nothing is known.
    begins
        When each one begins, seconds since the epoch.
    bucket_s
        How long a bucket is.
    counts
        Whether the values are counts, or durations.

    Examples
    --------
    >>> daily = np.array([10.0, 11.0, 9.0, 10.0, 30.0])
    >>> days = np.arange(5) * 86_400.0 + 345_600
    >>> scores(daily, days, 86_400, counts=True).round(1).tolist()
    [nan, nan, nan, 0.0, 6.3]
    """
    weekly = _scores(values, _before(values, max(1, round(_WEEK_S / bucket_s)), _BACK), counts=counts)
    season = max(1, round(_DAY_S / bucket_s))
    is_working = (begins - _MONDAY) // _DAY_S % 7 < _WORKING_DAYS
    earlier = _before(values, season, _DAYS_BACK)
    kinds = _before(is_working.astype(np.float64), season, _DAYS_BACK)
    daily = _scores(values, np.where(kinds == is_working, earlier, np.nan), counts=counts)
    return np.where(np.isnan(weekly), daily, weekly)


def _before(values: NDArray[np.float64], season: int, most: int) -> NDArray[np.float64]:
    """Return the values of one season before, of two, and so on: a row each."""
    before = np.full((most, len(values)), np.nan)
    for back in range(1, most + 1):
        if back * season < len(values):
            before[back - 1, back * season :] = values[: -back * season]
    return before


def _scores(values: NDArray[np.float64], before: NDArray[np.float64], *, counts: bool) -> NDArray[np.float64]:
    with warnings.catch_warnings():  # where nothing is known, nothing is usual
        warnings.simplefilter("ignore", RuntimeWarning)
        usual = np.nanmedian(before, axis=0)
        scatter = _NORMAL * np.nanmedian(np.abs(before - usual), axis=0)
    least = np.sqrt(np.maximum(usual, 1.0)) if counts else _LEAST_SHARE * usual
    scale = np.maximum(scatter, np.maximum(least, 1e-9))
    found: NDArray[np.float64] = np.abs(values - usual) / scale
    found[(~np.isnan(before)).sum(axis=0) < _LEAST] = np.nan
    return found


def buckets(first_s: float, last_s: float, bucket_s: float) -> NDArray[np.float64]:
    """Return the edges of the whole buckets between two moments."""
    begin = np.floor((first_s - _MONDAY) / bucket_s)
    end = np.floor((last_s - _MONDAY) / bucket_s)
    return np.arange(begin, end + 1) * bucket_s + _MONDAY
