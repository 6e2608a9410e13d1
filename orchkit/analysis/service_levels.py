"""Whether cases keep their SLA, and whether the open ones will."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.limits import limit_s as limit_of
from orchkit.analysis.limits import limits_s
from orchkit.analysis.spans import moment_s, moments_s
from orchkit.columns import ENDED_CASES
from orchkit.log import expect_log

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.units import Duration

__all__ = ["sla", "survival"]

_Z95 = 1.959963984540054
_STATES = ("breached", "open", "met")


def sla(log: EventLog, workflow: Workflow | Duration, *, at: str | pd.Timestamp | None = None) -> pd.DataFrame:
    """Return each case beside its SLA: met, breached, or how much time an open one has left.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    workflow
        Its ``sla`` is the limit, for the cases of the workflow's name and those without a name; or the limit itself,
        for all cases, as ``"2 d"``.
    at
        Now, for open cases; the end of the log (of each replication) if it is not given.

    Returns
    -------
    DataFrame
        One row per case, breaches first, the latest of them first, then the open ones, the most urgent first:

        =============== ============================================================================
        ``case_id``     and ``workflow``, ``status``, ``started``, ``completed``
        ``state``       ``met``, ``breached`` (an open case too, once it is late) or ``open``
        ``duration_s``  from start to end, or until now
        ``limit_s``     the SLA
        ``left_s``      ``limit_s - duration_s``: negative is late by that
        ``risk``        chance of a breach: 0 or 1 once it is decided, else from the durations of the
                        log's cases that were at least as old; missing where none was
        ``activity``    where a case stood as it broke its SLA (the step that it was at or waited
                        for), or stands now
        =============== ============================================================================

    Raises
    ------
    LogError
        The workflow has no ``sla``, the log has no case of it, or ``at`` is no time.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T12:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> sla(log, "2 h")[["case_id", "state", "duration_s", "left_s", "activity"]]
      case_id     state  duration_s  left_s activity
    0      o1  breached     10800.0 -3600.0     ship
    1      o2       met         0.0  7200.0      NaN
    """
    expect_log(log, "sla")
    limit_s, chosen = limit_of(workflow), ~np.isnan(limits_s(log, workflow))
    cases = log.cases
    started, duration_s, ended = _ages(log, at)
    is_late = duration_s > limit_s
    state = np.where(is_late, "breached", np.where(ended, "met", "open"))
    risk = np.where(is_late, 1.0, 0.0)
    is_open = ~ended & ~is_late
    curve = survival(log) if is_open.any() else None
    if curve is not None:
        risk[is_open] = _risk(curve, duration_s[is_open], limit_s)
    table = cases[["case_id", "workflow", "status", "started", "completed"]].assign(
        state=pd.array(state, dtype="str"),
        duration_s=duration_s,
        limit_s=limit_s,
        left_s=limit_s - duration_s,
        risk=risk,
        activity=_places(log, np.where(is_late, started + limit_s, np.where(is_open, np.inf, np.nan))),
    )[chosen]
    rank = table["state"].map(_STATES.index)
    return table.take(np.lexsort((table["left_s"], rank))).reset_index(drop=True)


def survival(log: EventLog, *, at: str | pd.Timestamp | None = None) -> pd.DataFrame:
    """Return what share of cases is still open after a given time: the Kaplan-Meier estimate.

    Open cases count as long as they are known: they are not left out, which would make a process look quicker than
    it is.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    at
        Until when open cases are known; the end of the log (of each replication) if it is not given.

    Returns
    -------
    DataFrame
        One row per duration at which cases ended: ``duration_s``, ``at_risk`` (cases open until then), ``ended``
        (then), ``share_open`` (after it), ``low`` and ``high`` (95 % interval: Greenwood's variance, on the scale of
        log(-log), which stays within 0 and 1).

    Notes
    -----
    Kaplan and Meier, Nonparametric estimation from incomplete observations, J. Am. Stat. Assoc. 53 (1958).

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2", "o2", "o3"], "activity": "check",
    ...     "started": ["2024-05-06T08:00Z", "2024-05-06T09:00Z", "2024-05-06T08:00Z", "2024-05-06T09:00Z",
    ...                 "2024-05-06T08:30Z"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T09:00Z", "2024-05-06T12:00Z", None],
    ... }))
    >>> survival(log)[["duration_s", "at_risk", "ended", "share_open"]]
       duration_s  at_risk  ended  share_open
    0      7200.0        3      1    0.666667
    1     14400.0        1      1    0.000000
    """
    expect_log(log, "survival")
    _, duration_s, ended = _ages(log, at)
    known = ~np.isnan(duration_s)
    times, place = np.unique(duration_s[known], return_inverse=True)
    deaths = np.bincount(place, weights=ended[known], minlength=len(times))
    at_risk = np.bincount(place, minlength=len(times))[::-1].cumsum()[::-1]
    share = np.cumprod(1 - deaths / np.maximum(at_risk, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(deaths / (at_risk * (at_risk - deaths)))
        half = _Z95 * np.sqrt(variance) / np.abs(np.log(share))
        low, high = share ** np.exp(half), share ** np.exp(-half)
    table = pd.DataFrame(
        {
            "duration_s": times,
            "at_risk": at_risk,
            "ended": deaths.astype(np.int64),
            "share_open": share,
            "low": low,
            "high": high,
        }
    )
    return table[table["ended"] > 0].reset_index(drop=True)


def _ages(
    log: EventLog, at: str | pd.Timestamp | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return when each case started, how long it took or has taken, and whether it has ended."""
    cases = log.cases
    started, completed = moments_s(cases["started"]), moments_s(cases["completed"])
    ended: NDArray[np.bool_] = cases["status"].isin(ENDED_CASES).to_numpy() & ~np.isnan(completed)
    until = np.where(ended, completed, _now_s(log) if at is None else moment_s(at))
    return started, np.maximum(until - started, 0), ended


def _now_s(log: EventLog) -> NDArray[np.float64]:
    """Return for each case the end of the log, of its replication."""
    replications = log.cases["replication"].fillna(-1).to_numpy(dtype=np.int64)
    names, codes = np.unique(replications, return_inverse=True)
    last = np.full(len(names), -np.inf)
    for name in ("completed", "started", "enabled"):
        moments = moments_s(log.steps[name])
        known = ~np.isnan(moments)
        np.maximum.at(last, codes[log.case_codes[known]], moments[known])
    for name in ("completed", "started"):
        moments = moments_s(log.cases[name])
        known = ~np.isnan(moments)
        np.maximum.at(last, codes[known], moments[known])
    return last[codes]


def _risk(curve: pd.DataFrame, ages_s: NDArray[np.float64], limit_s: float) -> NDArray[np.float64]:
    """Return the chance that cases of these ages are still open at the limit."""
    if not len(curve):
        return np.full(len(ages_s), np.nan)
    shares = np.concatenate([[1.0], curve["share_open"].to_numpy()])

    def open_after(moments: NDArray[np.float64] | float) -> NDArray[np.float64]:
        found: NDArray[np.float64] = shares[np.searchsorted(curve["duration_s"], moments, side="right")]
        return found

    until_now = open_after(ages_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(until_now > 0, open_after(limit_s) / until_now, np.nan)


def _places(log: EventLog, moments: NDArray[np.float64]) -> pd.Series:
    """Return the activity that each case was at at its moment: the first to end after it, else the last of all."""
    ends = moments_s(log.steps["completed"])
    later = np.flatnonzero(np.isnan(ends) | (ends > moments[log.case_codes]))
    places = np.where(np.diff(log.offsets) > 0, log.offsets[1:] - 1, -1)
    found, first = np.unique(log.case_codes[later], return_index=True)
    places[found] = later[first]
    places[np.isnan(moments)] = -1
    names = pd.Series(np.asarray(log.activities, dtype=object), dtype="str")
    codes = np.where(places >= 0, log.activity_codes[places] if len(log.activity_codes) else -1, -1)
    return names.reindex(codes).reset_index(drop=True)
