"""Calendars: when a resource is on duty."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd

from orchkit.errors import ScenarioError, nearest
from orchkit.simulation.brief import brief
from orchkit.simulation.several import several

__all__ = ["DAYS", "Calendar", "office_hours", "zone_of"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Calendar:
    """Working hours by weekday, with holidays and absences.

    Parameters
    ----------
    week
        The hours on duty by day or days (``"mon"``, ``"mon-fri"``, ``"sat,sun"``): a span such as ``"09:00-12:00"``, or
        a list of spans. A span that ends at or before its start continues into the next day.
    holidays
        Days off: dates, or whatever stands for one (ISO text, a moment of pandas or NumPy). Like absences, they come
        once: a simulation over years needs those of each year.
    absences
        Pairs of times between which nobody is on duty; in the calendar's zone, if they have none.
    timezone
        The zone of the hours, such as ``"Europe/Berlin"``.

    Raises
    ------
    ScenarioError
        A day or span that cannot be read, or a calendar that never opens.

    Examples
    --------
    >>> Calendar({"mon-fri": ["09:00-12:00", "13:00-17:00"]}).hours_per_week
    35.0
    """

    week: Mapping[str, str | Iterable[str]]
    holidays: tuple[date, ...] = ()
    absences: tuple[tuple[datetime, datetime], ...] = ()
    timezone: str = "UTC"
    spans: tuple[tuple[int, int, int], ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        keep = object.__setattr__
        zone = zone_of(self.timezone, "calendar")
        week, holidays, absences = _parts(self)
        keep(self, "week", week)
        spans = sorted(
            {(day, *_minutes(text)) for days, texts in week.items() for day in _days(days) for text in texts}
        )
        if not spans:
            message = "calendar: it never opens. Give the hours of at least one day: {'mon-fri': '09:00-17:00'}."
            raise ScenarioError(message)
        keep(self, "spans", tuple(spans))
        keep(self, "holidays", tuple(sorted(map(_date, holidays))))
        keep(self, "absences", tuple((_moment(a, zone), _moment(b, zone)) for a, b in absences))
        for begin, end in self.absences:
            if begin >= end:
                message = f"calendar: an absence ends ({end}) before it begins ({begin})."
                raise ScenarioError(message)

    __repr__ = brief

    def __hash__(self) -> int:
        """Return the hash of what the week comes to: as it was written it is a mapping, which has none."""
        return hash((self.spans, self.holidays, self.absences, self.timezone))

    @property
    def hours_per_week(self) -> float:
        """Hours on duty in a week without holidays."""
        spans = _merged((day * _DAY_MIN + begin, day * _DAY_MIN + end) for day, begin, end in self.spans)
        minutes: int = sum(end - begin for begin, end in spans)
        return minutes / 60

    def intervals(self, begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Return the times on duty that overlap a period: in UTC, in order, adjacent ones merged.

        Examples
        --------
        >>> hours = Calendar({"mon-fri": "09:00-17:00"}, timezone="Europe/Berlin")
        >>> monday = datetime.fromisoformat("2025-07-07T00:00:00+00:00")
        >>> [(a.isoformat(), b.isoformat()) for a, b in hours.intervals(monday, monday + timedelta(days=1))]
        [('2025-07-07T07:00:00+00:00', '2025-07-07T15:00:00+00:00')]
        """
        zone, utc = zoneinfo.ZoneInfo(self.timezone), zoneinfo.ZoneInfo("UTC")
        day = begin.astimezone(zone).date() - timedelta(days=1)
        off, found = set(self.holidays), list[tuple[Any, ...]]()
        while day <= end.astimezone(zone).date():
            if day not in off:
                midnight = datetime.combine(day, time(), zone)
                found += [
                    (
                        (midnight + timedelta(minutes=a)).astimezone(utc),
                        (midnight + timedelta(minutes=b)).astimezone(utc),
                    )
                    for weekday, a, b in self.spans
                    if weekday == day.weekday()
                ]
            day += timedelta(days=1)
        for away, back in self.absences:
            parts = [((a, min(b, away)), (max(a, back), b)) for a, b in found]
            found = [span for pair in parts for span in pair if span[0] < span[1]]
        return [(max(a, begin), min(b, end)) for a, b in _merged([(a, b) for a, b in found]) if b > begin and a < end]


def zone_of(timezone: str, where: str) -> zoneinfo.ZoneInfo:
    """Return the time zone of a name.

    Raises
    ------
    ScenarioError
        There is none of that name.
    """
    if not isinstance(timezone, str):
        message = f"{where}: timezone is a name such as 'Europe/Berlin', not {timezone!r}."
        raise ScenarioError(message)
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(timezone, zoneinfo.available_timezones())
        message = f"{where}: there is no time zone {timezone!r}.{hint}"
        raise ScenarioError(message) from None


def _parts(calendar: Calendar) -> tuple[dict[str, tuple[str, ...]], list[Any], list[Any]]:
    """Return the week, holidays and absences as lists; what is no calendar at all is refused before it is read."""
    if not isinstance(calendar.week, Mapping):
        message = f"calendar: week has the hours by day, {{'mon-fri': '09:00-17:00'}}, not {calendar.week!r}."
        raise ScenarioError(message)
    week = {}
    for days, hours in calendar.week.items():
        spans = [hours] if isinstance(hours, str) else several(hours)
        if spans is None or not all(isinstance(span, str) for span in spans):
            message = f"calendar: {days}: hours are text such as '09:00-17:00', or a list of such, not {hours!r}."
            raise ScenarioError(message)
        week[days] = tuple(spans)
    holidays, absences = several(calendar.holidays), several(calendar.absences)
    if holidays is None:
        message = f"calendar: holidays is a list of dates, ['2025-12-25'], not {calendar.holidays!r}."
        raise ScenarioError(message)
    if absences is None or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in absences):  # noqa: PLR2004
        example = "[('2025-12-24T12:00', '2025-12-27')]"
        message = f"calendar: absences are pairs of moments, {example}, not {calendar.absences!r}."
        raise ScenarioError(message)
    return week, holidays, absences


def office_hours(timezone: str = "UTC") -> Calendar:
    """Return Monday to Friday, nine to five.

    Examples
    --------
    >>> office_hours().hours_per_week
    40.0
    """
    return Calendar({"mon-fri": "09:00-17:00"}, timezone=timezone)


def _merged(spans: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:  # of minutes, or of moments
    merged: list[tuple[Any, Any]] = []
    for a, b in sorted(spans):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return merged


def _days(text: str) -> list[int]:
    found = []
    for part in str(text).lower().replace(" ", "").split(","):
        ends = [_day(name) for name in part.split("-")]
        if len(ends) > 2:  # noqa: PLR2004 -- from, to
            message = f"calendar: {text!r} are not days. Write 'mon', 'mon-fri' or 'sat,sun'."
            raise ScenarioError(message)
        first, last = ends[0], ends[-1]
        found += [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    return found


def _day(name: str) -> int:
    if name[:3] not in DAYS:
        message = f"calendar: {name!r} is not a day.{nearest(name, DAYS)} Known: {', '.join(DAYS)}."
        raise ScenarioError(message)
    return DAYS.index(name[:3])


def _minutes(text: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(str(text).strip())
    if not found:
        message = f"calendar: {text!r} is not a span of hours. Write '09:00-17:00'."
        raise ScenarioError(message)
    first_hour, first_minute, last_hour, last_minute = map(int, found.groups())
    begin, end = first_hour * 60 + first_minute, last_hour * 60 + last_minute
    if begin >= _DAY_MIN or end > _DAY_MIN or max(first_minute, last_minute) >= 60:  # noqa: PLR2004 -- minutes
        message = f"calendar: {text!r} is not within a day: from 00:00 to 24:00."
        raise ScenarioError(message)
    return begin, end if end > begin else end + _DAY_MIN


def _date(value: date | str | np.datetime64) -> date:
    try:
        # Moments, as pandas and NumPy have for days, would equal no day.
        moment: Any = pd.Timestamp(value) if isinstance(value, np.datetime64) else value
        if moment is pd.NaT or not isinstance(moment, date):
            return date.fromisoformat(str(moment))
        return moment.date() if isinstance(moment, datetime) else moment
    except ValueError:
        message = f"calendar: holiday {value!r} is not a date such as 2025-12-25."
        raise ScenarioError(message) from None


def _moment(value: datetime | str, zone: zoneinfo.ZoneInfo) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        message = f"calendar: absence {value!r} is not a time such as 2025-12-24T12:00."
        raise ScenarioError(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
