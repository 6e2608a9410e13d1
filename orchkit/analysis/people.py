"""Who does the work, who hands it to whom, and how much each has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from orchkit.analysis.intervals import spans
from orchkit.analysis.spans import gaps_s, moments_s, period_starts, summary
from orchkit.errors import LogError
from orchkit.log import expect_log
from orchkit.model.states import StepStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["handovers", "performers", "workload"]

Who = Literal["resource", "role"]


def handovers(log: EventLog, by: Who = "resource") -> pd.DataFrame:
    """Return who hands work over to whom, and how long it waits in between; the most frequent first.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    by
        ``"resource"``, or ``"role"``.

    Returns
    -------
    DataFrame
        ``source``, ``target``, ``count`` (steps of a case that follow one another, done by the one and then by the
        other), ``cases``, and ``mean_s``, ``median_s``, ``p95_s`` from the completion of the first to the start of the
        second. Work that stays with the same resource is not a handover; steps without a known resource are passed
        over.

    Raises
    ------
    LogError
        The log has steps, but none says who did it.

    Notes
    -----
    Van der Aalst, Reijers and Song, Discovering social networks from event logs, CSCW 14 (2005): handover of work.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o1"],
    ...     "activity": ["check", "pack", "ship"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ann", "Ben"],
    ... }))
    >>> handovers(log)
      source target  count  cases  mean_s  median_s   p95_s
    0    Ann    Ben      1      1  3600.0    3600.0  3600.0
    """
    expect_log(log, "handovers")
    codes, names = _who(log, by)
    rows = np.flatnonzero(codes >= 0)
    before, after = rows[:-1], rows[1:]
    handed = (log.case_codes[before] == log.case_codes[after]) & (codes[before] != codes[after])
    before, after = before[handed], after[handed]
    pairs, place = np.unique(codes[before].astype(np.int64) * len(names) + codes[after], return_inverse=True)
    table = summary(place, gaps_s(log, before, after), len(pairs))
    table.insert(0, "source", names[pairs // max(len(names), 1)])
    table.insert(1, "target", names[pairs % max(len(names), 1)])
    once = np.unique(place * len(log) + log.case_codes[before]) // max(len(log), 1)
    table.insert(3, "cases", np.bincount(once, minlength=len(pairs)))
    return table.sort_values(["count", "source", "target"], ascending=[False, True, True], ignore_index=True)


def performers(log: EventLog, by: Who = "resource") -> pd.DataFrame:
    """Return who does what, how often, how quickly, and how often it fails; the most frequent first.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    by
        ``"resource"``, or ``"role"``.

    Returns
    -------
    DataFrame
        ``resource`` (or ``role``), ``activity``, ``count`` (attempts), ``share_of_activity`` (of its attempts that
        somebody did), ``share_of_work`` (of all that this one did), ``mean_s``, ``median_s``, ``p95_s`` from start to
        end, ``error_rate`` (failed, of those that completed or failed).

    Raises
    ------
    LogError
        The log has steps, but none says who did it.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> performers(log)[["resource", "activity", "count", "share_of_work"]]
      resource activity  count  share_of_work
    0      Ann    check      2            1.0
    1      Ben     ship      1            1.0
    """
    expect_log(log, "performers")
    codes, names = _who(log, by)
    rows = np.flatnonzero(codes >= 0)
    size = max(len(log.activities), 1)
    pairs, place = np.unique(codes[rows].astype(np.int64) * size + log.activity_codes[rows], return_inverse=True)
    steps = log.steps
    lengths = (moments_s(steps["completed"]) - moments_s(steps["started"]))[rows]
    status = steps["status"].to_numpy()[rows]
    failed = np.bincount(place, weights=status == StepStatus.FAILED, minlength=len(pairs))
    done = np.isin(status.astype(str), [StepStatus.COMPLETED, StepStatus.COMPENSATED, StepStatus.FAILED])
    table = summary(place, lengths, len(pairs))
    who, activity = pairs // size, pairs % size
    table.insert(0, by, names[who])
    table.insert(1, "activity", np.asarray(log.activities)[activity] if len(pairs) else np.array([], dtype=str))
    for position, name, group in ((3, "share_of_activity", activity), (4, "share_of_work", who)):
        table.insert(position, name, table["count"] / table["count"].groupby(group).transform("sum"))
    with np.errstate(invalid="ignore"):
        table["error_rate"] = failed / np.bincount(place, weights=done, minlength=len(pairs))
    return table.sort_values(["count", by, "activity"], ascending=[False, True, True], ignore_index=True)


def workload(log: EventLog, every: str = "1D", by: Who = "resource") -> pd.DataFrame:
    """Return how much work each resource or role did, by period.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    every
        The period, as pandas writes it: ``"1h"``, ``"1D"``, ``"1W"`` (from Monday), ``"1MS"``.
    by
        ``"resource"``, or ``"role"``.

    Returns
    -------
    DataFrame
        ``period`` (its start, UTC), ``resource`` (or ``role``), ``steps`` (completed in it), ``cases`` (these are of),
        ``busy_s`` (seconds of the period with at least one step at work), ``work_s`` (the steps' seconds, added up:
        more than ``busy_s`` where several run at once). Periods without work have no row.

    Raises
    ------
    LogError
        The log has steps, but none says who did it.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o2"], "activity": "check", "resource": "Ann",
    ...     "started": ["2024-05-06T23:00Z", "2024-05-06T23:30Z"],
    ...     "completed": ["2024-05-07T00:00Z", "2024-05-07T00:30Z"],
    ... }))
    >>> workload(log)[["period", "steps", "busy_s", "work_s"]]
                         period  steps  busy_s  work_s
    0 2024-05-06 00:00:00+00:00      0  3600.0  5400.0
    1 2024-05-07 00:00:00+00:00      2  1800.0  1800.0
    """
    expect_log(log, "workload")
    codes, names = _who(log, by)
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    rows = np.flatnonzero((codes >= 0) & ~np.isnan(completed))
    columns = ["period", by, "steps", "cases", "busy_s", "work_s"]
    if not len(rows):
        return pd.DataFrame({name: [] for name in columns})
    begun, ended, who = np.fmin(started[rows], completed[rows]), completed[rows], codes[rows].astype(np.int64)
    edges = _edges(np.nanmin(begun), ended.max(), every)
    first = np.searchsorted(edges, begun, side="right") - 1
    last = np.searchsorted(edges, ended, side="right") - 1
    count = len(edges)

    # A step that reaches over several periods is cut at their edges.
    pieces = last - first + 1
    step = np.repeat(np.arange(len(rows)), pieces)
    period = first[step] + np.arange(len(step)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    ends = np.append(edges[1:], np.inf)
    since, until = np.maximum(begun[step], edges[period]), np.minimum(ended[step], ends[period])
    group = who[step] * count + period
    work = np.bincount(group, weights=until - since, minlength=len(names) * count)
    busy = spans(group, since, until).total_s(len(names) * count)
    at_end = who * count + last
    steps = np.bincount(at_end, minlength=len(names) * count)
    once = np.unique(at_end * len(log) + log.case_codes[rows]) // len(log)
    cases = np.bincount(once, minlength=len(names) * count)
    some = np.flatnonzero((steps > 0) | (work > 0))
    table = pd.DataFrame(
        {
            "period": pd.to_datetime(edges[some % count], unit="s", utc=True).as_unit("us"),
            by: names[some // count],
            "steps": steps[some],
            "cases": cases[some],
            "busy_s": busy[some],
            "work_s": work[some],
        }
    )
    return table.sort_values(["period", by], ignore_index=True)


def _who(log: EventLog, by: str) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return a number for each step of who did it, -1 where that is not known, and the names."""
    if by not in ("resource", "role"):
        message = f"by: {by!r} is neither 'resource' nor 'role'."
        raise LogError(message)
    found = log.steps[by].cat
    if len(log.case_codes) and not len(found.categories):
        message = (
            f"No step of the log says its {by}. Name the column that does, read_log(…, columns={{{by!r}: …}}), "
            "or use the other one: by='resource', by='role'."
        )
        raise LogError(message)
    return found.codes.to_numpy().astype(np.int64), np.asarray(found.categories, dtype=object)


def _edges(begin_s: float, end_s: float, every: str) -> NDArray[np.float64]:
    """Return the starts of the periods that cover a time."""
    first, last = pd.to_datetime([begin_s, end_s], unit="s", utc=True)
    return moments_s(period_starts(first, last, every).to_series())
