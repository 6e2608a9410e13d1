"""Resources and their calendars."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from orchkit.errors import ScenarioError
from orchkit.simulation.calendars import Calendar
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.scenario import Resource, Scenario

__all__ = ["Staff", "moment_us"]


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
    """

    scenario: Scenario
    units: list[tuple[str, str]] = field(default_factory=list)
    pools: list[tuple[str, Resource, int]] = field(default_factory=list)
    unit_calendars: list[int] = field(default_factory=list)
    calendars: list[Calendar] = field(default_factory=list)

    def lower_resources(self) -> None:
        """Give each resource of each role its number."""
        for role, resource in self.scenario.resources.items():
            self.pools.append((role, resource, len(self.units)))
            members = resource.members or {f"{role}_{number + 1}": None for number in range(resource.count)}
            for name, own in members.items():
                self.units.append((role, str(name)))
                self.unit_calendars.append(self._calendar(own or resource.calendar))

    def _calendar(self, calendar: Calendar | None) -> int:
        if calendar is None:
            return -1
        for number, known in enumerate(self.calendars):
            if known == calendar:
                return number
        self.calendars.append(calendar)
        return len(self.calendars) - 1

    def lower_calendars(self, start_us: int) -> tuple[list[list[int]], list[int]]:
        """Return a row for each calendar, and the spans that they refer to."""
        rows, spans = [], list[int]()
        for calendar in self.calendars:
            days = [datetime.combine(day, datetime.min.time(), self.scenario.start.tzinfo) for day in calendar.holidays]
            latest = max([self.scenario.start, *days, *(back for _, back in calendar.absences)])
            base = self.scenario.start - timedelta(days=7)
            period = timedelta(days=364 * ((latest - base).days // 364 + 1))
            found = calendar.intervals(base, base + period)
            if not found:
                message = "calendar: holidays and absences leave no time at all: it never opens."
                raise ScenarioError(message)
            base_us, done = start_us - 7 * 86_400 * at.MICRO, 0
            period_us = round(period.total_seconds() * at.MICRO)
            row = [len(spans), len(found), base_us, period_us, 0, 0]
            first = len(spans)
            for opens, closes in found:
                begin, end = moment_us(opens) - base_us, moment_us(closes) - base_us
                spans += [begin, end, done]
                done += end - begin
            row[at.C_WORK], row[at.C_HOURS] = done, len(spans)
            hours = np.arange(0, period_us + at.HOUR, at.HOUR)
            spans += (np.searchsorted(spans[first::3], hours, side="right") - 1).tolist()
            rows.append(row)
        return rows, spans

    def pool_of(self, role: str | None) -> int:
        """Return the number of a role; -1 where its resources are not limited."""
        return next((number for number, (name, _, _) in enumerate(self.pools) if name == role), -1)


def moment_us(moment: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return round(moment.timestamp() * at.MICRO)
