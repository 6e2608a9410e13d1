"""Schedules: when runs are due. Pure: the same schedule gives the same moments, whoever asks."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchkit.errors import WorkflowError, nearest
from orchkit.model.durations import duration_s
from orchkit.model.retry import uniform
from orchkit.units import Duration

__all__ = ["CatchUp", "Overlap", "Schedule", "moment_of"]


_THIRTY_YEARS_S = 1e9
_YEAR_9000 = 221_845_392_000.0


class Overlap(StrEnum):
    """What happens when a run is due and an earlier one of the schedule still goes on."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"
    CANCEL = "cancel"


class CatchUp(StrEnum):
    """Which of the runs that were due while nobody was there are started: none, the last one, or all."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When runs of a workflow are due.

    Parameters
    ----------
    name
        The name of the schedule; the case of a run is ``name@moment``.
    cron
        Five fields (minute, hour, day, month, weekday), or six with seconds before them. With daylight saving time it
        is as in Debian's cron: what falls into the hour that is skipped in spring is due right after it, and what falls
        into the hour that comes twice in autumn is due once, unless minute or hour is ``*``.
    every
        Instead of ``cron``: an interval, from ``first`` on; kept in seconds.
    time_zone
        IANA name, for ``cron``.
    overlap, catch_up
        What to do when the last run is still under way, and with what was due while no engine was there.
    jitter
        Each start is delayed by a random time up to this, always the same for the same moment. Kept in seconds.
    first, until
        The moments between which runs are due, seconds since the epoch or ISO 8601 with its offset.
    inputs
        The inputs of the runs; templates may read ``schedule.name`` and ``schedule.due``.

    Raises
    ------
    WorkflowError
        Settings that make no sense.

    Examples
    --------
    >>> nightly = Schedule("nightly", cron="30 2 * * *", time_zone="Europe/Rome")
    >>> first = nightly.next_due(moment_of("2027-03-27T12:00:00+00:00"))
    >>> datetime.fromtimestamp(first, UTC).isoformat()  # the clocks go from 2 to 3
    '2027-03-28T01:00:00+00:00'
    """

    name: str
    cron: str | None = None
    every: Duration | None = None
    time_zone: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LAST
    jitter: Duration = 0.0
    first: float | str | None = None
    until: float | str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        keep, where = object.__setattr__, f"schedule {self.name!r}"
        if (self.cron is None) == (self.every is None):
            message = f"{where}: give one of cron and every."
            raise WorkflowError(message)
        for name, kind in (("overlap", Overlap), ("catch_up", CatchUp)):
            value = getattr(self, name)
            if value not in list(kind):
                message = (
                    f"{where}: {name} is one of {', '.join(kind)}, not {value!r}.{nearest(str(value), list(kind))}"
                )
                raise WorkflowError(message)
            keep(self, name, kind(value))
        keep(self, "jitter", duration_s(self.jitter, f"{where}: jitter"))
        for name in ("first", "until"):
            value = getattr(self, name)
            if value is not None:
                try:
                    keep(self, name, moment_of(value))
                except ValueError:
                    message = f"{where}: {name} is a moment with its offset, such as 2027-01-31T09:00:00+01:00."
                    raise WorkflowError(message) from None
                if not 0 <= getattr(self, name) < _YEAR_9000:  # NaN too; what comes after must be a date still
                    message = f"{where}: {name} is a moment between the years 1970 and 9000."
                    raise WorkflowError(message)
        if self.every is not None:
            keep(self, "every", duration_s(self.every, f"{where}: every"))
            if not self.every:
                message = f"{where}: every must be longer than nothing."
                raise WorkflowError(message)
        try:
            _zone(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            message = f"{where}: there is no time zone {self.time_zone!r}: give an IANA name such as Europe/Rome."
            raise WorkflowError(message) from None
        if self.cron is not None:
            _check_cron(self.cron, where)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], name: str) -> Self:
        """Return the schedule that a trigger's settings define; ``name`` is used if they give none."""
        known = [each.name for each in fields(cls)]
        for key in settings:
            if key not in known:
                message = (
                    f"schedule {name!r}: there is no {key!r}.{nearest(str(key), known)} Known: {', '.join(known)}."
                )
                raise WorkflowError(message)
        return cls(**{"name": name, **settings})

    def to_settings(self) -> dict[str, Any]:
        """Return it as JSON values."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value not in (None, {}, 0.0)}

    @property
    def when(self) -> str:
        """When runs are due, for people."""
        return f"every {self.every:g} s" if isinstance(self.every, float) else f"{self.cron} ({self.time_zone})"

    def next_due(self, after: float) -> float | None:
        """Return the first moment after this one at which a run is due, in seconds since the epoch."""
        first = self.first if isinstance(self.first, float) else 0.0
        if isinstance(self.every, float):
            due = first if after < first else first + (int((after - first) / self.every) + 1) * self.every
            due = due if due > after else due + self.every
        else:
            found = _cron_from(self, max(after, first - 1))
            if found is None:
                return None
            due = found
        return None if isinstance(self.until, float) and due > self.until else due

    def last_due(self, moment: float) -> float | None:
        """Return the last moment up to this one at which a run was due."""
        if isinstance(self.until, float):
            moment = min(moment, self.until)
        first = self.first if isinstance(self.first, float) else 0.0
        if isinstance(self.every, float):
            last = first + int((moment - first) / self.every) * self.every
            return last if last >= first else None
        back = 60.0
        while back < _THIRTY_YEARS_S:  # cron's own way back treats the clocks' change otherwise than its way forward
            found, due = None, self.next_due(moment - back)
            while due is not None and due <= moment:
                found, due = due, self.next_due(due)
            if found is not None:
                return found if found >= first else None
            back *= 8
        return None

    def start_at(self, due: float) -> float:
        """Return when the run that is due at a moment starts: its jitter later."""
        jitter = self.jitter if isinstance(self.jitter, float) else 0.0
        return due + jitter * uniform(int(due * 1e3) ^ _seed(self.name), 1) if jitter else due


def moment_of(value: float | str | datetime) -> float:
    """Return seconds since the epoch.

    Raises
    ------
    ValueError
        Neither a number nor a date and time with its offset.

    Examples
    --------
    >>> moment_of("1970-01-02T01:00:00+01:00")
    86400.0
    """
    if isinstance(value, int | float):
        return float(value)
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment.tzinfo is None:
        message = f"{value} has no offset"
        raise ValueError(message)
    return moment.timestamp()


@functools.cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@functools.cache
def _seed(name: str) -> int:
    return int.from_bytes(name.encode()[:6], "little")


def _check_cron(cron: str, where: str) -> None:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 -- only for those who schedule

    try:
        CronSim(cron, datetime(2027, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError) as error:
        message = f"{where}: {cron!r} is not a cron expression such as '30 2 * * MON-FRI': {error}."
        raise WorkflowError(message) from None


def _cron_from(schedule: Schedule, after: float) -> float | None:
    from cronsim import CronSim  # noqa: PLC0415 -- as above

    zone = UTC if schedule.time_zone == "UTC" else _zone(schedule.time_zone)
    begin = after
    while True:
        try:
            due = next(CronSim(str(schedule.cron), datetime.fromtimestamp(begin, zone)))
        except StopIteration:
            return None
        moment = due.timestamp()
        if moment > after:
            return moment
        begin += 60.0  # in the hour that comes twice it may answer with what has been
