"""How long it takes, where it waits, and what that would give back."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.analysis.spans import (
    Hours,
    begins_s,
    case_durations_s,
    ends_before_s,
    moments_s,
    period_starts,
    summary,
    work_between,
)
from orchkit.columns import microseconds
from orchkit.log import EventLog, expect_log

__all__ = ["bottlenecks", "cycle_times", "dotted_chart", "throughput", "waiting_times"]

_SHORT = (1 << 16) - 1


def cycle_times(log: EventLog, calendar: Hours | None = None) -> pd.DataFrame:
    """Return how long each case took: ``case_id``, ``started``, ``completed``, ``steps``, ``cycle_s``.

    ``cycle_s`` are seconds from the start to the end of the case, missing if it has not ended. A calendar adds
    ``working_s``: the part of it within its hours.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1"],
    ...     "activity": ["check", "ship"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z"],
    ... }))
    >>> cycle_times(log)[["case_id", "steps", "cycle_s"]]
      case_id  steps  cycle_s
    0      o1      2   3600.0
    """
    expect_log(log, "cycle_times")
    cases = log.cases
    table = cases[["case_id", "started", "completed"]].assign(steps=np.diff(log.offsets), cycle_s=case_durations_s(log))
    if calendar is not None:
        begun, ended = moments_s(cases["started"]), moments_s(cases["completed"])
        table["working_s"] = work_between(calendar, begun, ended)
    return table


def waiting_times(log: EventLog, calendar: Hours | None = None) -> pd.DataFrame:
    """Return how long cases wait before each activity, the longest in total first.

    Returns
    -------
    DataFrame
        ``activity``, ``count``, ``mean_s``, ``median_s``, ``p95_s`` and ``total_s`` of the seconds from when a step
        could begin (``enabled``, else the latest completion in its case before its start) to its start (its completion,
        if no start is known); never negative. With a calendar, only its hours count. A simulated log adds
        ``dependency_s``: the seconds in total, before a step could begin, from when the first of several branches that
        lead to it had come to a join to when all had.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> waiting_times(log)
      activity  count  mean_s  median_s   p95_s  total_s
    0     ship      1  3600.0    3600.0  3600.0   3600.0
    1    check      2     0.0       0.0     0.0      0.0
    """
    expect_log(log, "waiting_times")
    ready, begun = _waits(log)
    waits = np.maximum(work_between(calendar, ready, begun) if calendar is not None else begun - ready, 0)
    table = summary(log.activity_codes, waits, len(log.activities))
    table.insert(0, "activity", np.asarray(log.activities))
    table["total_s"] = _total(log, waits)
    if "wait_dependency_s" in log.steps:
        table["dependency_s"] = _total(log, log.steps["wait_dependency_s"].to_numpy(dtype=float))
    table = table[table["count"] > 0]
    return table.sort_values(["total_s", "activity"], ascending=[False, True], ignore_index=True)


def bottlenecks(log: EventLog, calendar: Hours | None = None) -> pd.DataFrame:
    """Return the activities before which cases wait, with the cause, and the time that a case would save without it.

    Returns
    -------
    DataFrame
        ``activity``, ``cause`` (the largest of the next three; empty if nothing waits; ``not known`` if it is idle time
        and no step of the activity says its resource), ``busy_s`` (the resource that took the step was still at
        another), ``off_duty_s`` (outside the calendar's hours), ``idle_s`` (nobody took it up: handover, batching, an
        answer awaited), ``wait_s`` (their sum), ``share`` (of the waiting of the log), ``gives_back_s`` (a case of the
        log would be shorter by that, on average, without this waiting). Seconds in total; the longest waiting first.

    Notes
    -----
    Waiting outside the hours is ``off_duty_s``; within them, a resource counts as busy until its latest completion
    before the step. Waiting at a join is left out, because cases would not get shorter without it: what counts are the
    waits of the branch that comes last. ``gives_back_s`` assumes that nothing else begins to wait instead, and that no
    branches run in parallel.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> bottlenecks(log)[["activity", "cause", "gives_back_s"]]
      activity              cause  gives_back_s
    0     ship  nobody took it up        1800.0
    1    check                              0.0
    """
    expect_log(log, "bottlenecks")
    ready, begun = _waits(log)
    waits = np.maximum(np.nan_to_num(begun - ready), 0)
    free = np.nan_to_num(_free_from(log, begun), nan=-np.inf)
    free = np.clip(free, np.nan_to_num(ready), np.nan_to_num(begun))
    busy, off = np.where(waits > 0, free - np.nan_to_num(ready), 0), np.zeros(len(waits))
    if calendar is not None:
        worked = np.nan_to_num(work_between(calendar, ready, begun))
        off = np.where(waits > 0, np.maximum(waits - worked, 0), 0)
        busy = np.where(waits > 0, np.nan_to_num(work_between(calendar, ready, free)), 0)
    busy = np.clip(busy, 0, waits - off)
    parts = {"busy_s": busy, "off_duty_s": off, "idle_s": waits - busy - off}
    table = pd.DataFrame({name: _total(log, values) for name, values in parts.items()})
    causes = np.array(["resource busy", "off duty", "nobody took it up"])
    total = table.sum(axis="columns").to_numpy()
    table["wait_s"] = total
    table["share"] = total / total.sum() if total.sum() else 0.0
    table["gives_back_s"] = total / max(len(log), 1)
    table.insert(0, "activity", np.asarray(log.activities))
    largest = causes[table[list(parts)].to_numpy().argmax(axis=1)] if len(table) else causes[:0]
    is_named = np.bincount(log.activity_codes[log.resource_codes >= 0], minlength=len(log.activities)) > 0
    largest = np.where(is_named | (largest != causes[-1]), largest, "not known")
    table.insert(1, "cause", np.where(total > 0, largest, ""))
    return table.sort_values(["wait_s", "activity"], ascending=[False, True], ignore_index=True)


def throughput(log: EventLog, every: str = "1D") -> pd.DataFrame:
    """Return, by period, how many cases started and ended in it, and how many were open at its end.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    every
        The period, as pandas writes it: ``"1h"``, ``"1D"``, ``"1W"`` (from Monday), ``"1MS"``.

    Returns
    -------
    DataFrame
        ``period`` (its start, UTC), ``started``, ``completed``, ``open`` (cases).

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> throughput(log, "1h")
                         period  started  completed  open
    0 2024-05-06 09:00:00+00:00        1          0     1
    1 2024-05-06 10:00:00+00:00        0          1     0
    2 2024-05-06 11:00:00+00:00        1          1     0
    """
    expect_log(log, "throughput")
    times = log.cases[["started", "completed"]]
    first, last = times.min().min(), times.max().max()
    if pd.isna(first):
        first = last = pd.Timestamp(0, tz="UTC")
    starts = period_starts(first, last, every).as_unit("us")
    table = pd.DataFrame({"period": starts})
    for name in times:
        at = np.searchsorted(microseconds(table["period"]), microseconds(times[name].dropna()), side="right") - 1
        table[name] = np.bincount(at, minlength=len(starts))
    table["open"] = (table["started"] - table["completed"]).cumsum()
    return table if len(log) else table.iloc[:0]


def dotted_chart(log: EventLog) -> pd.DataFrame:
    """Return the dots of the chart, one per step: ``case, case_id, activity, resource, time, since_start_s``.

    ``case`` is the rank of the step's case by its start, ``since_start_s`` the seconds since that start.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> dotted_chart(log)[["case", "case_id", "activity", "since_start_s"]]
       case case_id activity  since_start_s
    0     0      o1    check            0.0
    1     0      o1     ship         3600.0
    2     1      o2    check            0.0
    """
    expect_log(log, "dotted_chart")
    steps = log.steps
    started = moments_s(log.cases["started"])
    rank = np.empty(len(log), dtype=np.int64)
    rank[np.argsort(started, kind="stable")] = np.arange(len(log))
    time = steps["completed"].fillna(steps["started"]).fillna(steps["enabled"])
    return pd.DataFrame(
        {
            "case": rank[log.case_codes],
            "case_id": steps["case_id"],
            "activity": steps["activity"],
            "resource": steps["resource"],
            "time": time,
            "since_start_s": moments_s(time) - started[log.case_codes],
        }
    )


def _waits(log: EventLog) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when each step could begin, and when it did."""
    ready, begun = moments_s(log.steps["enabled"]), begins_s(log)
    ready = np.where(np.isnan(ready), ends_before_s(log), ready)
    return np.where(np.isnan(ready), begun, ready), begun  # a first step does not wait


def _free_from(log: EventLog, begun: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the latest completion of the step's resource at or before the step's start, in another step."""
    completed = moments_s(log.steps["completed"])
    codes = log.resource_codes.astype(np.int64)
    if log.cases["replication"].notna().any():  # each replication has its own people
        numbers, names = pd.factorize(log.cases["replication"])
        codes = np.where(codes >= 0, codes * (len(names) + 1) + numbers[log.case_codes] + 1, -1)
    known = np.flatnonzero((codes >= 0) & ~np.isnan(completed))
    free = np.full(len(begun), np.nan)
    asked = np.flatnonzero((codes >= 0) & ~np.isnan(begun))
    if not len(known):
        return free
    # Each resource has a stretch of its own on one line of time.
    origin = min(float(np.nanmin(completed)), float(np.nanmin(begun)))
    width = max(float(np.nanmax(completed)), float(np.nanmax(begun))) - origin + 1.0
    line = np.sort(codes[known] * width + (completed[known] - origin))
    at = codes[asked] * width + (begun[asked] - origin)
    # A step that takes no time must not find its own completion; any other may find one at its very start.
    itself = completed[asked] <= begun[asked]
    place = np.empty(len(at), dtype=np.intp)
    place[itself], place[~itself] = _sought(line, at[itself], "left"), _sought(line, at[~itself], "right")
    place -= 1
    found = line[np.maximum(place, 0)] - codes[asked] * width
    free[asked] = np.where((place >= 0) & (found >= 0), found + origin, np.nan)
    return free


def _sought(line: NDArray[np.float64], values: NDArray[np.float64], side: Literal["left", "right"]) -> NDArray[np.intp]:
    """Return as `numpy.searchsorted` where values stand; of many, neighbors are sought one after the other."""
    found = np.empty(len(values), dtype=np.intp)
    if not len(values):
        return found
    low, high = float(values.min()), float(values.max())
    parts = (values - low) * (_SHORT / max(high - low, 1.0))  # NumPy sorts 16 bits by radix
    order = np.argsort(parts.astype(np.uint16), kind="stable")
    found[order] = np.searchsorted(line, values[order], side=side)
    return found


def _total(log: EventLog, values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.bincount(log.activity_codes, weights=np.nan_to_num(values), minlength=len(log.activities))
    return sums.astype(np.float64)
