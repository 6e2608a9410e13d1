"""Resources and their calendars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from orchkit.errors import ScenarioError
from orchkit.simulation.calendars import Calendar
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.scenario import Resource, Scenario

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Staff", "moment_us"]


_YEAR = timedelta(days=364)  # whole weeks
_LONGEST = 40 * _YEAR


@dataclass(slots=True)
class Staff:
    """Roles, their resources, and when these are on duty.

    Attributes
    ----------
    units
        Role and name of each resource.
    pools
        Role, resource and number of its first unit.
    unit_calendars
        The calendar of each resource; -1 for always.
    pool_calendars
        The same of each role: when any of its resources is on duty.
    calendars
        The first role that has it, and the calendars of which it is made.
    """

    scenario: Scenario
    units: list[tuple[str, str]] = field(default_factory=list)
    pools: list[tuple[str, Resource, int]] = field(default_factory=list)
    unit_calendars: list[int] = field(default_factory=list)
    pool_calendars: list[int] = field(default_factory=list)
    calendars: list[tuple[str, Sequence[Calendar]]] = field(default_factory=list)

    def lower_resources(self) -> None:
        """Give each resource of each role its number."""
        for role, resource in self.scenario.resources.items():
            self.pools.append((role, resource, len(self.units)))
            members = resource.members or {f"{role}_{number + 1}": None for number in range(resource.count)}
            own = [calendar or resource.calendar for calendar in members.values()]
            for name, calendar in zip(members, own, strict=True):
                self.units.append((role, str(name)))
                self.unit_calendars.append(self._calendar(role, [calendar]))
            self.pool_calendars.append(self._calendar(role, own))

    def _calendar(self, role: str, calendars: Iterable[Calendar | None]) -> int:
        """Return the number of the times at which anybody with one of these calendars is on duty; -1 for always."""
        several: list[Calendar] = []
        for calendar in calendars:
            if calendar is None:
                return -1
            if calendar not in several:
                several.append(calendar)
        for number, (_, known) in enumerate(self.calendars):
            if known == several:
                return number
        self.calendars.append((role, several))
        return len(self.calendars) - 1

    def lower_calendars(self, start_us: int) -> tuple[list[list[int]], list[int]]:
        """Return a row for each calendar, and the spans that they refer to."""
        rows, spans, duties = [], list[int](), []
        base = self.scenario.start - timedelta(days=7)
        for role, several in self.calendars:
            latest = max(_last_exception(calendar, base) for calendar in several)
            # Holidays and absences come once: after them there is a year without, which comes again and again.
            length = ((latest - base) // _YEAR + 2) * _YEAR if latest > base else _YEAR
            if length > _LONGEST:
                message = f"resources: {role}: calendar: an absence or holiday is more than 40 years ahead ({latest})."
                raise ScenarioError(message)
            base_us, length_us = start_us - 7 * 86_400 * at.MICRO, _micros(length)
            duty, hours = _duty(tuple(several), moment_us(base), moment_us(base + length), base_us, length_us)
            year_us, begun_us = _micros(_YEAR), start_us - base_us
            if _done(duty, begun_us + year_us) == _done(duty, begun_us):
                message = (
                    f"resources: {role}: calendar: holidays and absences leave no time at all in the year "
                    f"from {self.scenario.start:%Y-%m-%d} on: it never opens."
                )
                raise ScenarioError(message)
            total, once = _done(duty, length_us), _done(duty, length_us - year_us)
            row = [len(spans), len(duty), base_us, length_us, total, len(spans) + duty.size, year_us, total - once]
            duties.append(duty)
            spans += duty.ravel().tolist()
            spans += hours.tolist()
            rows.append(row)
        for task, needed in self.scenario.requires.items():
            self._check_meeting(task, needed, duties)
        return rows, spans

    def _check_meeting(self, task: str, needed: Mapping[str, int], duties: list[NDArray[np.int64]]) -> None:
        """Refuse a task whose people are never on duty at one time: it would never begin."""
        teams = {
            role: (count, Counter(self.unit_calendars[first : first + resource.count]))
            for role, resource, first in self.pools
            if (count := needed.get(role, 0))
        }
        used = {calendar for _, team in teams.values() for calendar in team if calendar >= 0}
        if not used:
            return
        opens = np.concatenate([duties[calendar][:, 0] for calendar in used])
        opens = opens[opens < _micros(_YEAR)]  # who meet at all, do so when somebody comes
        is_met = np.ones(len(opens), dtype=bool)
        for count, team in teams.values():
            there = np.zeros(len(opens), dtype=np.int64)
            for calendar, people in team.items():
                there += people if calendar < 0 else people * _is_open(duties[calendar], opens)
            is_met &= there >= count
        if not is_met.any():
            who = " and ".join(f"{count} of {role!r}" for role, (count, _) in teams.items())
            message = f"requires: {task}: {who} are never on duty at one time, so that it never begins."
            raise ScenarioError(message, node=task)

    def pool_of(self, role: str | None) -> int:
        """Return the number of a role; -1 where its resources are not limited."""
        return next((number for number, (name, _, _) in enumerate(self.pools) if name == role), -1)


def _last_exception(calendar: Calendar, base: datetime) -> datetime:
    """Return when the last holiday (with the night after it) or absence is over; the base, where it is before that."""
    zone = ZoneInfo(calendar.timezone)
    days = (datetime.combine(day, time(), zone) + timedelta(days=2) for day in calendar.holidays)
    return max([base, *days, *(back for _, back in calendar.absences)])


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _done(duty: NDArray[np.int64], offset_us: int) -> int:
    """Return the work before a moment, counted from the base."""
    return int(np.clip(offset_us - duty[:, 0], 0, duty[:, 1] - duty[:, 0]).sum())


def _is_open(duty: NDArray[np.int64], moments: NDArray[np.int64]) -> NDArray[np.bool_]:
    last = np.searchsorted(duty[:, 0], moments, side="right") - 1
    found: NDArray[np.bool_] = (last >= 0) & (moments < duty[last, 1])
    return found


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for opens, closes in sorted(spans):
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(closes, merged[-1][1]))
        else:
            merged.append((opens, closes))
    return merged


@lru_cache(maxsize=32)
def _duty(
    calendars: tuple[Calendar, ...], begin_us: int, end_us: int, base_us: int, period_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when anybody is on duty, from a base on (opens, closes, work before), and the span of each hour.

    It depends on nothing else, so it is kept: who tries many scenarios has few calendars.
    """
    begin, end = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moment) for moment in (begin_us, end_us))
    found = _merged(span for calendar in calendars for span in calendar.intervals(begin, end))
    duty = np.zeros((len(found), 3), dtype=np.int64)
    for row, (opens, closes) in zip(duty, found, strict=True):
        row[:2] = moment_us(opens) - base_us, moment_us(closes) - base_us
    duty[1:, 2] = np.cumsum(duty[:-1, 1] - duty[:-1, 0])
    hours = np.searchsorted(duty[:, 0], np.arange(0, period_us + at.HOUR, at.HOUR), side="right") - 1
    duty.setflags(write=False)
    hours.setflags(write=False)
    return duty, hours


def moment_us(moment: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return round(moment.timestamp() * at.MICRO)
