"""Who was at work when, from a log: the people of each role, their hours of duty and their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moments_s
from orchkit.simulation.calendars import DAYS, Calendar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["calendar_of", "count_of", "roles_of", "week_hour"]

_HOUR_S, _WEEK_H, _DAY_H, _EPOCH_H = 3600.0, 168, 24, 72
_OPEN_IN = 0.1  # an hour of the week is one of duty where a role is at work in this share of its weeks
_ENOUGH_WEEKS = 2.0
_MOST_AT_ONCE = 0.95


def week_hour(hours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the hour of the week of hours since 1970."""
    return (hours + _EPOCH_H) % _WEEK_H


def roles_of(by_task: Mapping[str, str], log: EventLog) -> dict[str, NDArray[np.bool_]]:
    """Return the steps of each role, given that of each task, by those who work in it most."""
    roles = sorted(set(by_task.values()))
    codes = np.array([roles.index(by_task[name]) if name in by_task else -1 for name in log.activities], dtype=np.int64)
    of_step = codes[log.activity_codes]
    known = (of_step >= 0) & (log.resource_codes >= 0)
    counts = np.zeros((len(log.resources), len(roles)))
    np.add.at(counts, (log.resource_codes[known], of_step[known]), 1)
    home = counts.argmax(axis=1) if roles else np.zeros(len(log.resources), dtype=np.int64)
    return {
        role: known & (home[log.resource_codes] == place)
        for place, role in enumerate(roles)
        if (known & (home[log.resource_codes] == place)).any()
    }


def _presence(log: EventLog, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the hours (since 1970) in which each resource began or ended a step: ``hour, resource``."""
    parts = []
    for name in ("started", "completed"):
        times = moments_s(log.steps[name])
        there = rows & ~np.isnan(times)
        parts.append(pd.DataFrame({"hour": times[there] // _HOUR_S, "resource": log.resource_codes[there]}))
    return pd.concat(parts).drop_duplicates().astype(np.int64)


def calendar_of(log: EventLog, rows: NDArray[np.bool_]) -> Calendar | None:
    """Return the hours of the week in which a role is at work; None for all of them, or too short a log."""
    hours = _presence(log, rows)["hour"].unique()
    weeks = (hours.max() - hours.min()) / _WEEK_H
    if weeks < _ENOUGH_WEEKS:
        return None
    share = np.bincount(week_hour(hours), minlength=_WEEK_H) / np.ceil(weeks)
    is_open = share >= _OPEN_IN
    if is_open.all() or not is_open.any():
        return None
    return Calendar(
        {
            DAYS[day]: list(_day_spans(is_open.reshape(7, _DAY_H)[day]))
            for day in range(7)
            if is_open.reshape(7, _DAY_H)[day].any()
        }
    )


def _day_spans(is_open: NDArray[np.bool_]) -> Iterator[str]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_open.astype(int), [0]])))
    for begin, end in edges.reshape(-1, 2):
        yield f"{begin:02d}:00-{end:02d}:00"


def count_of(log: EventLog, rows: NDArray[np.bool_], calendar: Calendar | None) -> int:
    """Return how many people a role has at a time."""
    present = _presence(log, rows)
    per_hour = present.groupby("hour")["resource"].nunique()
    if calendar is None:
        return int(present["resource"].nunique())
    return max(1, round(float(per_hour.quantile(_MOST_AT_ONCE))))
