"""Who was at work when, from a log: the people of each role, their shifts, and how many there are at a time."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moments_s
from orchkit.simulation.calendars import Calendar
from orchkit.simulation.hours import calendar_from, local_s, open_hours, presence_in
from orchkit.simulation.rates import week_hour
from orchkit.simulation.scenario import Resource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["Crew", "Shift", "crew_of", "hands_of", "roles_of"]

_HOUR_S, _WEEK_H, _DAY_H = 3600.0, 168, 24
_MOST_AT_ONCE = 0.95
_KNOWN_H, _WELL_KNOWN_H = 12, 100  # hours in which one must have been seen to have hours of one's own, and exact ones
_ALIKE, _SAME = 0.7, 0.9  # cosine of two people's hours from which on they are of one shift, if known little, or well
_SHARED = 0.9  # of the hours of two shifts, from which on they are one
_WEEKS = 2
_INSTANT_S = 1e-3


@dataclass(frozen=True, slots=True)
class Shift:
    """People who work in the same hours.

    Attributes
    ----------
    people
        Codes of the log's resources.
    halves
        The half hours of the week in which they are on duty (336); None for all.
    count
        How many are there at a time.
    timezone
        Of their week.
    """

    people: tuple[int, ...]
    halves: NDArray[np.bool_] | None
    count: int
    timezone: str = "UTC"

    @property
    def calendar(self) -> Calendar | None:
        """Their hours; None for always."""
        return calendar_from(self.halves, self.timezone)


@dataclass(frozen=True, slots=True)
class Crew:
    """The people of a role, by shifts.

    Attributes
    ----------
    rows
        Which steps of the log they did.
    shifts
        One or more.
    """

    rows: NDArray[np.bool_]
    shifts: tuple[Shift, ...]

    @property
    def count(self) -> int:
        """How many there are in all shifts."""
        return sum(shift.count for shift in self.shifts)

    @property
    def calendar(self) -> Calendar | None:
        """The hours in which anybody of them is on duty; None for always."""
        halves = [shift.halves for shift in self.shifts if shift.halves is not None]
        is_known = len(halves) == len(self.shifts)
        return calendar_from(np.logical_or.reduce(halves), self.shifts[0].timezone) if is_known else None

    @property
    def is_known_by_name(self) -> bool:
        """Whether each of them is one of the log's resources, and the other way round."""
        return all(shift.count == len(shift.people) for shift in self.shifts)

    def as_resource(self, role: str, names: pd.Index, *, by_name: bool) -> Resource:
        """Return them as a role's resource: each with the hours of the shift, where there are several."""
        calendar = self.calendar
        if len(self.shifts) == 1 and not by_name:
            return Resource(self.count, calendar=calendar)
        members: dict[str, Calendar | None] = {}
        for shift in self.shifts:
            own = None if len(self.shifts) == 1 else shift.calendar
            is_named = shift.count == len(shift.people)
            for place in range(shift.count):
                members[str(names[shift.people[place]]) if is_named else f"{role}_{len(members) + 1}"] = own
        return Resource(calendar=calendar, members=members)


def roles_of(by_task: Mapping[str, str], log: EventLog) -> dict[str, NDArray[np.bool_]]:
    """Return the steps of each role, given that of each task, by those who work in it most.

    Where the log itself says as which of these roles a step was done, that counts, not the task's.
    """
    roles = sorted(set(by_task.values()))
    codes = np.array([roles.index(by_task[name]) if name in by_task else -1 for name in log.activities], dtype=np.int64)
    of_step = codes[log.activity_codes]
    told = pd.Index(roles, dtype="str").get_indexer(pd.Index(log.steps["role"].astype("str")))
    of_step = np.where(told >= 0, told, of_step)
    known = (of_step >= 0) & (log.resource_codes >= 0)
    counts = np.zeros((len(log.resources), len(roles)))
    np.add.at(counts, (log.resource_codes[known], of_step[known]), 1)
    if not known.any():
        return {}
    home = counts.argmax(axis=1)
    return {
        role: known & (home[log.resource_codes] == place)
        for place, role in enumerate(roles)
        if (known & (home[log.resource_codes] == place)).any()
    }


def crew_of(
    log: EventLog,
    rows: NDArray[np.bool_],
    guessed: Container[str] = (),
    *,
    is_nameless: bool = False,
    timezone: str = "UTC",
) -> Crew:
    """Return who did some steps of a log, by shifts.

    Parameters
    ----------
    log, rows
        Whose steps, and which.
    guessed
        Activities whose starts are not told: no sights of anybody.
    is_nameless
        Whether their one resource stands for all, however many: as many as were ever at work at a time.
    timezone
        In which they have their hours.

    Notes
    -----
    People are of one shift where they are seen at work in the same hours of the week: the cosine of how often they are,
    less what is chance in it, is 0.9 or more, or 0.7 where one of them was seen in less than 100 hours (groups are
    joined from the most alike on), or they share nine tenths of their hours of duty. Who was seen in fewer than 12
    hours is put where he fits best. Of less than two weeks there are no shifts.

    A shift has as many people as are there at a time: the 95th percentile over the hours of duty with anybody, where
    each is there from the first to the last sight of him on a day; over weeks, of those who are always on duty. Who
    does several steps at a time counts as so many (see `hands_of`).
    """
    moments, people = _sights(log, rows, guessed)
    moments = local_s(moments, timezone)
    first, last = float(moments.min()), float(moments.max())
    told = rows & np.array([name not in guessed for name in log.activities])[log.activity_codes]
    hands = hands_of(log, rows, cross=0.0, most=1.0) if is_nameless else hands_of(log, told)

    def shift_of(group: tuple[int, ...]) -> Shift:
        own = np.isin(people, group)
        halves = open_hours(presence_in(moments[own], first, last))
        return Shift(group, halves, _count(moments[own], people[own], halves, hands), timezone)

    shifts = [shift_of(group) for group in _groups(moments, people, (last - first) / (_WEEK_H * _HOUR_S))]
    while pair := _same_hours(shifts):
        one, other = pair
        both = shift_of(tuple(sorted(shifts[one].people + shifts[other].people)))
        shifts = [both, *(shift for place, shift in enumerate(shifts) if place not in pair)]
    return Crew(rows, tuple(sorted(shifts, key=lambda shift: shift.people)))


def hands_of(log: EventLog, rows: NDArray[np.bool_], *, cross: float = 0.05, most: float = 0.99) -> NDArray[np.int64]:
    """Return how many steps each of the log's resources does at a time, as far as some steps tell.

    Notes
    -----
    It is 1, unless a share ``cross`` of the steps begin during another one of the same resource and end after it: of
    what begins and ends during another one, an interruption may be the cause. Else it is what is open at most when the
    share ``most`` of the steps begin. What is begun and ended together is one step: a batch.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> steps = pd.DataFrame({"case_id": ["1", "2", "3"], "activity": "brew", "resource": ["Ann", "Ann", "Bob"]})
    >>> steps["started"] = pd.to_datetime(["2024-05-06T09:00Z", "2024-05-06T09:10Z", "2024-05-06T09:00Z"])
    >>> steps["completed"] = steps["started"] + pd.Timedelta("15 min")
    >>> log = EventLog(steps)
    >>> dict(zip(log.resources, hands_of(log, log.resource_codes >= 0).tolist()))
    {'Ann': 2, 'Bob': 1}
    """
    hands = np.ones(len(log.resources), dtype=np.int64)
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    rows = rows & (completed > started)
    if not rows.any():
        return hands
    steps = np.unique(np.stack([log.resource_codes[rows].astype(np.float64), started[rows], completed[rows]]), axis=1)
    # Each resource has a stretch of its own on one line of time.
    line = steps[0] * (steps[2].max() - steps[1].min() + 1) - steps[1].min()
    begins, ends = steps[1] + line, steps[2] + line
    before = np.concatenate([[-np.inf], np.maximum.accumulate(ends)[:-1]])
    if ((begins < before) & (before < ends)).mean() < cross:
        return hands
    is_open = np.arange(1, len(begins) + 1) - np.searchsorted(np.sort(ends), begins, side="right")
    people = steps[0].astype(np.int64)
    for person in np.unique(people):
        hands[person] = max(1, math.ceil(np.quantile(is_open[people == person], most) - 1e-9))
    return hands


def _same_hours(shifts: list[Shift]) -> tuple[int, int] | None:
    """Return two shifts that share nearly all their hours."""
    for one, other in combinations(range(len(shifts)), 2):
        a, b = (np.ones(2 * _WEEK_H, bool) if at.halves is None else at.halves for at in (shifts[one], shifts[other]))
        if (a & b).sum() >= _SHARED * (a | b).sum():
            return one, other
    return None


def _sights(
    log: EventLog, rows: NDArray[np.bool_], guessed: Container[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return when each person was seen to begin or end a step, and who."""
    moments, people = [], []
    # What ends when the hours do was done within them.
    for name, before_s in (("started", 0.0), ("completed", _INSTANT_S)):
        times = moments_s(log.steps[name]) - before_s
        there = rows & ~np.isnan(times)
        if name == "started":
            there &= np.array([activity not in guessed for activity in log.activities])[log.activity_codes]
        moments.append(times[there])
        people.append(log.resource_codes[there].astype(np.int64))
    return np.concatenate(moments), np.concatenate(people)


def _groups(moments: NDArray[np.float64], people: NDArray[np.int64], weeks: float) -> list[tuple[int, ...]]:
    """Return the people of each shift."""
    everybody = np.unique(people)
    hours = np.unique(np.stack([people, (moments // _HOUR_S).astype(np.int64)]), axis=1)
    seen = np.zeros((len(everybody), _WEEK_H))
    np.add.at(seen, (np.searchsorted(everybody, hours[0]), week_hour(hours[1])), 1)
    known = np.flatnonzero(seen.sum(axis=1) >= _KNOWN_H)
    if weeks < _WEEKS or len(known) < 2:  # noqa: PLR2004 -- to be alike takes two
        return [tuple(everybody.tolist())]
    groups = _joined(seen[known], weeks)
    found = [[int(everybody[known[place]]) for place in group] for group in groups]
    sums = np.stack([seen[known[group]].sum(axis=0) for group in groups])
    shares = np.log((sums + 0.1) / (sums + 0.1).sum(axis=1, keepdims=True))
    for place in np.setdiff1d(np.arange(len(everybody)), known):
        found[int(np.argmax(shares @ seen[place]))].append(int(everybody[place]))
    return [tuple(sorted(group)) for group in found]


def _joined(seen: NDArray[np.float64], weeks: float) -> list[list[int]]:
    """Return groups of rows that are alike."""
    groups = [[place] for place in range(len(seen))]
    sums = seen.copy()
    alike = _cosines(sums, weeks * np.ones(len(sums)))
    while len(groups) > 1:
        least = np.where(sums.sum(axis=1) >= _WELL_KNOWN_H, _SAME, _ALIKE)
        close = np.where(alike >= np.minimum.outer(least, least), alike, -1.0)
        one, other = divmod(int(np.argmax(close)), len(groups))
        if close[one, other] < 0:
            break
        groups[one] += groups.pop(other)
        sums[one] += sums[other]
        sums = np.delete(sums, other, axis=0)
        alike = np.delete(np.delete(alike, other, axis=0), other, axis=1)
        one -= int(other < one)
        row = _cosines(sums, weeks * np.array([len(group) for group in groups]), one)
        alike[one, :], alike[:, one] = row, row
    return groups


def _cosines(sums: NDArray[np.float64], trials: NDArray[np.float64], one: int | None = None) -> NDArray[np.float64]:
    """Return how alike rows are, less what is chance in their lengths (binomial); of one row to all, if asked for."""
    chance = (sums * np.maximum(1 - sums / trials[:, None], 0)).sum(axis=1)
    lengths = np.sqrt(np.maximum(np.square(sums).sum(axis=1) - chance, 1e-9))
    if one is not None:
        found: NDArray[np.float64] = sums @ sums[one] / (lengths * lengths[one])
        found[one] = -1.0
        return found
    every: NDArray[np.float64] = sums @ sums.T / np.outer(lengths, lengths)
    np.fill_diagonal(every, -1.0)
    return every


def _count(
    moments: NDArray[np.float64],
    people: NDArray[np.int64],
    halves: NDArray[np.bool_] | None,
    hands: NDArray[np.int64],
) -> int:
    """Return how many of a shift are there at a time, by what each can do at once."""
    if halves is None:
        period = (moments - moments.min()) // (_WEEK_H * _HOUR_S)
        sights = pd.DataFrame({"period": period, "who": people}).drop_duplicates()
        per_week = sights.assign(hands=hands[sights["who"]]).groupby("period")["hands"].sum()
        return max(1, math.ceil(float(per_week.quantile(_MOST_AT_ONCE)) - 1e-9))
    hour = (moments // _HOUR_S).astype(np.int64)
    days = pd.DataFrame({"who": people, "day": hour // _DAY_H, "hour": hour}).groupby(["who", "day"])["hour"]
    spans = days.agg(["min", "max"]).reset_index()
    begins, ends, weights = spans["min"].to_numpy(), spans["max"].to_numpy() + 1, hands[spans["who"]]
    origin = int(begins.min())
    size = int(ends.max()) - origin + 1
    change = np.bincount(begins - origin, weights, size) - np.bincount(ends - origin, weights, size)
    there = np.cumsum(change)
    is_open: NDArray[np.bool_] = halves.reshape(_WEEK_H, 2).max(axis=1)
    counted = there[is_open[week_hour(origin + np.arange(len(there)))] & (there > 0)]
    return max(1, round(float(np.quantile(counted, _MOST_AT_ONCE)))) if len(counted) else 1
