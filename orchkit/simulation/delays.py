"""Delays between steps, from a log: what is neither a queue nor off duty, such as an answer awaited."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.intervals import Spans, spans
from orchkit.analysis.spans import moments_s
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Call, Task, Wait
from orchkit.simulation.distributions import Distribution, by_previous, constant
from orchkit.simulation.families import best_family

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.simulation.calendars import Calendar

__all__ = ["busy_of", "delays_of", "on_duty", "previous", "worked"]

_ENOUGH = 30  # observations that make a distribution of their own
_LEAST_S = 1.0  # a delay that is less on average is none
_WORST = 0.05  # of the mean, that a family may be off


def delays_of(
    workflow: Workflow,
    log: EventLog,
    calendars: Mapping[str, Calendar | None],
    *,
    less_busy: bool,
    until_enabled: bool = True,
    by_clock: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
) -> dict[str, Distribution]:
    """Return how long each task could not begin after the one before, by the one before.

    Parameters
    ----------
    workflow, log
        As for `fit`.
    calendars
        By task: only the hours of those who do it count.
    less_busy
        Whether the part of a gap during which the resource that took the step was still at another is a queue, and no
        delay.
    until_enabled
        Whether the delay ends when a step was enabled, where that is told, and all that follows is a queue.
    by_clock
        By task: when its steps were ready, if the delay does not go by in hours of duty (see `by_clock`).

    Notes
    -----
    After Chapela-Campa and Dumas, "Enhancing business process simulation models with extraneous activity delays"
    (Information Systems, 2024): the time between the last end before a step and its start, less what the log says
    about queues.
    """
    before, since = previous(log)
    started, enabled = moments_s(log.steps["started"]), moments_s(log.steps["enabled"])
    is_told = ~np.isnan(enabled) & until_enabled
    ready = np.where(is_told, enabled, started)
    known = (before >= 0) & ~np.isnan(ready) & (log.steps["attempt"].to_numpy() == 1)
    busy = busy_of(log) if less_busy and not is_told.all() else None
    names = np.asarray(log.activities)
    steps = {node.name for node in all_nodes(workflow) if isinstance(node, Task | Wait | Call)}
    found: dict[str, Distribution] = {}
    for node in all_nodes(workflow):
        if not isinstance(node, Task):
            continue
        rows = np.flatnonzero(known & (names[log.activity_codes] == node.name))
        if not len(rows):
            continue
        clock = by_clock.get(node.name)
        if clock is None:
            gaps = np.maximum(on_duty(calendars.get(node.name), since[rows], ready[rows]), 0.0)
        else:
            gaps = np.maximum(clock[rows] - since[rows], 0.0)
        if busy is not None and clock is None:
            is_queue = (log.resource_codes[rows] >= 0) & ~is_told[rows]
            own = log.resource_codes[rows].astype(np.int64)
            gaps -= np.where(is_queue, np.minimum(busy.within(own, since[rows], ready[rows]), gaps), 0.0)
        if gaps.mean() < _LEAST_S:
            continue
        sources = log.activity_codes[before[rows]]
        parts = {
            str(names[code]): _distribution(gaps[sources == code])
            for code in np.unique(sources)
            if (sources == code).sum() >= _ENOUGH and str(names[code]) in steps
        }
        found[node.name] = by_previous(parts, otherwise=_distribution(gaps))
    return found


def on_duty(
    calendar: Calendar | None, begins_s: NDArray[np.float64], ends_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much of each period lies in a calendar's hours; all of it without one."""
    if calendar is None:
        return ends_s - begins_s
    begin, end = (datetime.fromtimestamp(moment, UTC) for moment in (float(begins_s.min()), float(ends_s.max()) + 1))
    hours = calendar.intervals(begin, end)
    if not hours:
        return np.zeros(len(begins_s))
    opens, closes = (np.array([edge.timestamp() for edge in edges]) for edges in zip(*hours, strict=True))
    duty = spans(np.zeros(len(hours), dtype=np.int64), opens, closes)
    return duty.within(np.zeros(len(begins_s), dtype=np.int64), begins_s, ends_s)


def worked(
    calendar: Calendar | None, started: NDArray[np.float64], completed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the part of each step within the hours of duty; all of it where it lies wholly outside."""
    lengths: NDArray[np.float64] = np.maximum(completed - started, 0.0)
    if calendar is None or not len(lengths):
        return lengths
    part = on_duty(calendar, started, completed)
    return np.where(part > 0, part, lengths)


def _distribution(gaps_s: NDArray[np.float64]) -> Distribution:
    return best_family(gaps_s, _WORST).distribution if gaps_s.mean() >= _LEAST_S else constant(0)


def previous(log: EventLog) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each step the row of the last one of its case that ended before it began (-1: none), and that end."""
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    before = np.full(len(started), -1, dtype=np.int64)
    ended = np.flatnonzero(~np.isnan(completed))
    if not len(ended) or np.isnan(started).all():
        return before, np.full(len(started), np.nan)
    origin = float(min(np.nanmin(started), completed[ended].min()))
    width = float(max(np.nanmax(started), completed[ended].max())) - origin + 1
    # Each case has a stretch of its own on one line of time; rows of a case are sorted by their ends.
    line = log.case_codes[ended] * width + completed[ended] - origin
    at = log.case_codes * width + np.nan_to_num(started, nan=origin) - origin
    # A step that takes no time must not come before itself.
    itself = np.where(completed <= started, 1e-7, 0.0)
    place = np.searchsorted(line, at - itself, side="right") - 1
    found = ended[np.maximum(place, 0)]
    is_there = (place >= 0) & (log.case_codes[found] == log.case_codes) & ~np.isnan(started)
    before[is_there] = found[is_there]
    return before, np.where(is_there, completed[found], np.nan)


def busy_of(log: EventLog) -> Spans:
    """Return when each resource was at work."""
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    keep = (log.resource_codes >= 0) & ~np.isnan(started) & ~np.isnan(completed)
    return spans(log.resource_codes[keep].astype(np.int64), started[keep], completed[keep])
