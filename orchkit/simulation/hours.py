"""The hours of the week in which people are on duty, told by when they begin and end steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.simulation.calendars import DAYS, Calendar
from orchkit.simulation.rates import week_hour

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Presence", "calendar_from", "local_s", "open_hours", "presence_in"]

_HALF_S, _HALVES, _DAY_H, _WEEK_H = 1800.0, 2, 24, 168
_OPEN_IN = 0.1  # an hour of the week is one of duty where somebody is at work in this share of its weeks
_OF_USUAL = 0.2  # or, where there is little to do, in this share of the usual hour's
_BY_CHANCE = 0.01  # how unlikely it must be that an hour between others is empty by chance
_FEWEST_DAYS, _FEWEST_SEEN = 3, 20
_NEARLY_ALL_H = 160  # of 168, from which on there are no hours off duty
_WORKDAYS = 5
_BESIDE = 4  # hours before and after an empty one that say what is usual


@dataclass(frozen=True, slots=True)
class Presence:
    """How often somebody was seen in each half hour of the week, and how often one could have been.

    Attributes
    ----------
    seen, exposed
        336 numbers from Monday 00:00: in how many weeks a step began or ended then; of how many.
    days
        How long was looked.
    """

    seen: NDArray[np.float64]
    exposed: NDArray[np.float64]
    days: float

    def by_hour(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return in how many weeks somebody was seen in each hour (168, as far as its halves tell), and of how many."""
        halves = self.seen.reshape(_WEEK_H, _HALVES)
        return halves.max(axis=1), self.exposed.reshape(_WEEK_H, _HALVES).mean(axis=1)


def presence_in(moments_s: NDArray[np.float64], first_s: float, last_s: float) -> Presence:
    """Return the presence of those who began or ended steps at such moments, within a time."""
    first, last = int(first_s // _HALF_S), int(last_s // _HALF_S)
    halves = np.unique((moments_s // _HALF_S).astype(np.int64))
    size = _WEEK_H * _HALVES
    return Presence(
        np.bincount(_week_half(halves), minlength=size).astype(np.float64),
        np.bincount(_week_half(np.arange(first, last + 1)), minlength=size).astype(np.float64),
        (last_s - first_s) / (_DAY_H * 3600),
    )


def _week_half(halves: NDArray[np.int64]) -> NDArray[np.int64]:
    return week_hour(halves // _HALVES) * _HALVES + halves % _HALVES


def open_hours(presence: Presence) -> NDArray[np.bool_] | None:
    """Return which half hours of the week are ones of duty (336); None for all, or where too little is seen.

    Notes
    -----
    An hour is open where somebody is seen in a tenth of its weeks; where there is little to do, in a fifth of the usual
    hour's. An hour without anybody between others is a break only if it would be empty by chance in less than one
    of a hundred such logs, by itself or together with the same hour of the other working days; so is a weekday. The
    first and last half hours of a spell are cut off by the same measure.
    """
    seen, exposed = presence.by_hour()
    if presence.days < _FEWEST_DAYS or seen.sum() < _FEWEST_SEEN:
        return None
    share = np.divide(seen, exposed, out=np.zeros(_WEEK_H), where=exposed > 0)
    usual = float(np.quantile(share[share > 0], 0.75))
    week = (share >= min(_OPEN_IN, _OF_USUAL * usual)) & (seen > 0)
    week = _without_holes(_with_days(week, seen, exposed), seen, exposed)
    return None if week.sum() > _NEARLY_ALL_H else _trimmed(np.repeat(week, _HALVES), presence)


def _with_days(week: NDArray[np.bool_], seen: NDArray[np.float64], exposed: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the week with days that were not looked at, and working days that are empty by chance, as the others."""
    by_day: NDArray[np.bool_] = week.reshape(7, _DAY_H).copy()
    seen_by_day, exposed_by_day = seen.reshape(7, _DAY_H), exposed.reshape(7, _DAY_H)
    by_day |= (exposed_by_day == 0) & by_day.any(axis=0)
    days = [day for day in range(_WORKDAYS) if by_day[day].any()]
    if not days:
        return by_day.reshape(_WEEK_H)
    usual = seen_by_day[days].sum() / exposed_by_day[days].sum()
    for day in set(range(_WORKDAYS)) - set(days):
        if _is_chance(seen_by_day[day].sum(), usual * exposed_by_day[day].sum()):
            by_day[day] |= by_day[days].any(axis=0)
    return by_day.reshape(_WEEK_H)


def _without_holes(
    week: NDArray[np.bool_], seen: NDArray[np.float64], exposed: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return the hours of the week with those open that are empty by chance between open ones."""
    whole = week.copy()
    begins = np.flatnonzero(~week & np.roll(week, 1))
    for begin in begins:
        length = int(np.argmax(np.roll(week, -begin)))
        run = (begin + np.arange(length)) % _WEEK_H
        beside = (begin + np.r_[-_BESIDE:0, length : length + _BESIDE]) % _WEEK_H
        rate = seen[beside].sum() / max(exposed[beside].sum(), 1e-9)
        same = [(run + _DAY_H * shift) % _WEEK_H for shift in range(7)]
        is_workday = run[0] // _DAY_H < _WORKDAYS
        alike = [hours for hours in same if not week[hours].any() and (hours[0] // _DAY_H < _WORKDAYS) == is_workday]
        together = np.concatenate(alike) if length <= _BESIDE else run
        whole[run] = all(_is_chance(seen[hours].sum(), rate * exposed[hours].sum()) for hours in (run, together))
    return whole


def _trimmed(halves: NDArray[np.bool_], presence: Presence) -> NDArray[np.bool_]:
    """Return the half hours without those at the edges of spells in which nobody is."""
    trimmed = halves.copy()
    rate = np.divide(presence.seen, presence.exposed, out=np.zeros(len(halves)), where=presence.exposed > 0)
    for outer, inner in ((np.roll(halves, 1), 1), (np.roll(halves, -1), -1)):
        for edge in np.flatnonzero(halves & ~outer):
            beside = (edge + inner) % len(halves)
            if halves[beside] and not presence.seen[edge]:
                trimmed[edge] = _is_chance(0.0, rate[beside] * presence.exposed[edge])
    return trimmed


def _is_chance(seen: float, expected: float) -> bool:
    """Return whether so few may be seen by chance, where so many are expected (Poisson)."""
    if expected <= 0:
        return False
    below = sum(math.exp(k * math.log(expected) - expected - math.lgamma(k + 1)) for k in range(int(seen) + 1))
    return below > _BY_CHANCE


def local_s(moments_s: NDArray[np.float64], timezone: str) -> NDArray[np.float64]:
    """Return what clocks of a zone show at moments, as if it were UTC."""
    if timezone == "UTC":
        return moments_s
    shown = pd.to_datetime(moments_s, unit="s", utc=True).tz_convert(timezone).tz_localize(None)
    micros: NDArray[np.int64] = shown.as_unit("us").to_numpy().astype(np.int64)
    return micros / 1e6


def calendar_from(halves: NDArray[np.bool_] | None, timezone: str = "UTC") -> Calendar | None:
    """Return half hours of the week as a calendar; None for all of them."""
    if halves is None or halves.all():
        return None
    days = halves.reshape(7, _DAY_H * _HALVES)
    return Calendar({DAYS[day]: list(_spans(days[day])) for day in range(7) if days[day].any()}, timezone=timezone)


def _spans(day: NDArray[np.bool_]) -> Iterator[str]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], day.astype(int), [0]])))
    for begin, end in edges.reshape(-1, 2).tolist():
        yield f"{_clock(begin)}-{_clock(end)}"


def _clock(half: int) -> str:
    return f"{half // _HALVES:02d}:{half % _HALVES * 30:02d}"
