"""Delays that go by at night as well: told by what begins as soon as people are back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.spans import moments_s
from orchkit.simulation.delays import busy_of, previous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.simulation.calendars import Calendar

__all__ = ["by_clock"]

_NIGHT_S = 4 * 3600.0  # what people are away at least: less is a break
_FIRST_S = 2 * 3600.0  # of a day
_IDLE_S, _PAUSE_S = 1800.0, 300.0
_ENOUGH, _SHARE = 30, 0.1  # steps that are taken over from one day to another, and which share of a task's
_OFTEN = 3.0  # times as many must begin in the first hours as later
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class _Days:
    """When people come and go, but for breaks."""

    opens: NDArray[np.float64]
    closes: NDArray[np.float64]

    def place(self, moments: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the day that began last."""
        return np.searchsorted(self.opens, moments, side="right") - 1


def by_clock(log: EventLog, calendars: Mapping[str, Calendar | None]) -> dict[str, NDArray[np.float64]]:
    """Return when the steps of each task were ready, of those tasks whose delays go by the clock.

    Parameters
    ----------
    log
        As for `fit`.
    calendars
        By task: the hours of those who do it.

    Returns
    -------
    dict
        By task a moment for each step of the log, missing for other steps.

    Notes
    -----
    A delay that goes by in the hours of duty ends at any of their moments; one by the clock ends mostly when nobody is
    there, and its step begins when somebody is back. So it is where, of the steps that wait in the morning, three times
    as many begin in an hour of the first two as in one of the others. (Steps for which nobody had time before are in a
    queue, and do not count.) When in the night they were ready is not known: they are spread over it evenly. Where the
    log tells when steps were enabled, that decides.
    """
    before, since = previous(log)
    started, enabled = moments_s(log.steps["started"]), moments_s(log.steps["enabled"])
    first = (before >= 0) & ~np.isnan(started) & (log.steps["attempt"].to_numpy() == 1)
    busy = busy_of(log)
    found = {}
    for code, name in enumerate(log.activities):
        calendar = calendars.get(str(name))
        rows = np.flatnonzero(first & (log.activity_codes == code))
        if calendar is None or len(rows) < _ENOUGH:
            continue
        days = _days(calendar, since[rows], started[rows])
        is_told = not np.isnan(enabled[rows]).any()
        if is_told:
            moments = _told(days, since[rows], enabled[rows])
        else:
            busy_s = partial(busy.within, log.resource_codes[rows].astype(np.int64))
            moments = _guessed(days, since[rows], started[rows], busy_s)
        if moments is not None:
            found[str(name)] = np.full(len(started), np.nan)
            found[str(name)][rows] = moments
    return found


def _told(days: _Days, since: NDArray[np.float64], enabled: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return when delayed steps were enabled, if that was off duty for many."""
    off = (enabled - since >= 1) & (enabled > days.closes[days.place(enabled)])
    return enabled if off.sum() >= max(_ENOUGH, _SHARE * len(off)) else None


def _guessed(
    days: _Days,
    since: NDArray[np.float64],
    started: NDArray[np.float64],
    busy_s: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64] | None:
    """Return when steps were ready, if many began as soon as somebody was back."""
    place = days.place(started)
    nights, closed = place - days.place(since), np.maximum(days.closes[days.place(since)], since)
    waited = (nights > 0) & (closed - since - busy_s(since, closed) >= _IDLE_S)
    if waited.sum() < max(_ENOUGH, _SHARE * len(since)):
        return None
    after, before = started - days.opens[place], nights[waited].sum() - waited.sum()
    first_s = np.minimum(after[waited], _FIRST_S).sum() + before * _FIRST_S
    # Of the days on which a step did not begin, all but the first hours; the usual day is as good as each.
    usual_s = float(np.median(days.closes[1:] - days.opens[1:])) - _FIRST_S
    later_s = np.maximum(after[waited] - _FIRST_S, 0).sum() + before * max(usual_s, 0)
    early = (after <= _FIRST_S)[waited].sum()
    if early * later_s < _OFTEN * first_s * (waited.sum() - early):
        return None
    # Who took it has been at work since he came: it may have been ready before.
    at_night = (nights > 0) & (after - busy_s(days.opens[place], started) <= _PAUSE_S)
    closed = days.closes[np.maximum(place - 1, 0)]
    share = np.arange(len(since)) * _GOLDEN % 1
    return np.where(at_night, closed + share * (days.opens[place] - closed), started)


def _days(calendar: Calendar, since: NDArray[np.float64], started: NDArray[np.float64]) -> _Days:
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (float(since.min()), float(started.max()) + 1))
    opens, closes = [-np.inf], [-np.inf]
    for opened, closed in calendar.intervals(begin - timedelta(days=1), end):
        if opened.timestamp() - closes[-1] < _NIGHT_S:
            closes[-1] = closed.timestamp()
        else:
            opens.append(opened.timestamp())
            closes.append(closed.timestamp())
    return _Days(np.array(opens), np.array(closes))
