"""Arrivals from a log: how much of the week's shape its cases tell, and the level of late."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.intervals import sums_by
from orchkit.simulation.arrivals import Profile
from orchkit.simulation.distributions import Distribution, exponential, scaled
from orchkit.simulation.families import best_family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["arrivals_in", "week_hour"]

_HOUR_S, _WEEK_H, _DAY_H, _EPOCH_H = 3600.0, 168, 24, 72
_DAYS_FOR_HOURS, _WEEKS_FOR_DAYS = 3, 2  # observed before one day's hours, or one week's days, say what the next do
_LEAST_S = 1e-3
_NOISE = 1.5  # times the mean over the root of the count: what an exponential sample is off by chance, at most
_WEEKS_FOR_LEVEL, _BETTER, _SIGMAS = 8, 0.9, 3.0
_MEMORIES = (0.1, 0.2, 0.35, 0.5, 0.75)


def week_hour(hours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the hour of the week of hours since 1970."""
    return (hours + _EPOCH_H) % _WEEK_H


def arrivals_in(moments_s: NDArray[np.float64]) -> Profile | Distribution:
    """Return when cases arrive, from the moments at which they did.

    Parameters
    ----------
    moments_s
        Two or more, in seconds since 1970.

    Notes
    -----
    A Poisson process, with the shape of the week by the least Akaike information criterion: one rate, a rate for each
    day, for each hour of the day, the same for weekdays and weekends apart, days times hours, or all 168 hours. So few
    cases make no peaks of chance. Where it is one rate, the time between cases has a family of its own, exponential
    unless the sample is further from it than by chance.

    The level is that of the whole time, unless exponential smoothing would have foretold each week's cases from those
    before better, by a tenth of the squared error, and what it foretells now is further off than three times chance.

    Examples
    --------
    >>> import numpy as np
    >>> steady = arrivals_in(np.cumsum(np.random.default_rng(1).exponential(600, 2_000)))
    >>> steady.family, round(steady.mean, -1)
    ('exponential', 590.0)
    """
    moments = np.sort(moments_s)
    first, last = int(moments[0] // _HOUR_S), int(moments[-1] // _HOUR_S)
    counts = np.bincount((moments // _HOUR_S).astype(np.int64) - first, minlength=last - first + 1).astype(np.float64)
    hours = week_hour(np.arange(first, last + 1, dtype=np.int64))
    # The first and the last hour are seen in part.
    seen_h = np.ones(len(hours))
    seen_h[0] += first - moments[0] / _HOUR_S
    seen_h[-1] += moments[-1] / _HOUR_S - last - 1
    seen_h = np.maximum(seen_h, _LEAST_S / _HOUR_S).astype(np.float64)
    rates = _shape(hours, counts, seen_h)
    level = _level(counts, rates[hours] * seen_h)
    if np.ptp(rates) > 0:
        return Profile(tuple((rates * level).tolist()))
    return scaled(_between(np.diff(moments)), 1 / level)


def _between(gaps_s: NDArray[np.float64]) -> Distribution:
    mean = max(float(gaps_s.mean()), _LEAST_S)
    shares = (np.arange(len(gaps_s)) + 0.5) / len(gaps_s)
    off = float(np.abs(np.sort(gaps_s) + mean * np.log1p(-shares)).mean())
    if off <= _NOISE * mean / np.sqrt(len(gaps_s)):
        return exponential(mean)
    found = best_family(gaps_s).distribution
    # The rate is known better than the family's mean.
    return scaled(found, mean / found.mean) if found.mean > 0 else replace(found, parameters=(mean,))


def _shape(hours: NDArray[np.int64], counts: NDArray[np.float64], seen_h: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a rate for each hour of the week."""
    arrived = sums_by(hours, counts, _WEEK_H)
    exposed = sums_by(hours, seen_h, _WEEK_H)
    total = arrived.sum() / exposed.sum()
    best, least = np.full(_WEEK_H, total), _criterion(np.full(_WEEK_H, total), arrived, exposed, 1)
    for rates, parameters in _shapes(arrived, exposed, total):
        found = _criterion(rates, arrived, exposed, parameters)
        if found < least:
            best, least = rates, found
    return best


def _criterion(
    rates: NDArray[np.float64], arrived: NDArray[np.float64], exposed: NDArray[np.float64], parameters: int
) -> float:
    expected = rates * exposed
    likelihood = float((arrived * np.log(np.where(arrived > 0, expected, 1.0))).sum() - expected.sum())
    return 2.0 * parameters - 2.0 * likelihood


def _shapes(
    arrived: NDArray[np.float64], exposed: NDArray[np.float64], total: float
) -> Iterator[tuple[NDArray[np.float64], int]]:
    """Yield the rates of each shape of the week, and how many numbers it takes."""
    hour, day = np.arange(_WEEK_H) % _DAY_H, np.arange(_WEEK_H) // _DAY_H
    seen = exposed.sum()
    if seen < _DAYS_FOR_HOURS * _DAY_H:
        return
    by_hour = _rates(hour, arrived, exposed)
    yield by_hour, _DAY_H
    if seen < _WEEKS_FOR_DAYS * _WEEK_H:
        return
    by_day = _rates(day, arrived, exposed)
    yield by_day, 7
    yield _rates(hour + _DAY_H * (day >= 5), arrived, exposed), 2 * _DAY_H  # noqa: PLR2004 -- Saturday and Sunday
    product = by_day * by_hour / total
    yield product * arrived.sum() / (product * exposed).sum(), _DAY_H + 6
    yield _rates(np.arange(_WEEK_H), arrived, exposed), _WEEK_H


def _rates(group: NDArray[np.int64], arrived: NDArray[np.float64], exposed: NDArray[np.float64]) -> NDArray[np.float64]:
    rates: NDArray[np.float64] = (np.bincount(group, arrived) / np.bincount(group, exposed))[group]
    return rates


def _level(counts: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return how many more cases are to come than the whole time had, as a factor of the rates."""
    weeks = len(counts) // _WEEK_H
    if weeks < _WEEKS_FOR_LEVEL:
        return 1.0
    whole = slice(len(counts) - weeks * _WEEK_H, None)
    came = counts[whole].reshape(weeks, _WEEK_H).sum(axis=1)
    meant = expected[whole].reshape(weeks, _WEEK_H).sum(axis=1)
    steady = [came[:week].sum() / meant[:week].sum() for week in range(1, weeks)]
    least, level = float(np.square(came[1:] - meant[1:] * steady).sum()) * _BETTER, 1.0
    for memory in _MEMORIES:
        smooth = [came[0] / meant[0]]
        for week in range(1, weeks):
            smooth.append(memory * came[week] / meant[week] + (1 - memory) * smooth[-1])
        missed = float(np.square(came[1:] - meant[1:] * smooth[:-1]).sum())
        chance = _SIGMAS * np.sqrt(memory / (2 - memory) / meant.mean())
        if missed < least and smooth[-1] > 0 and abs(smooth[-1] - 1) > chance:
            least, level = missed, float(smooth[-1])
    return level
