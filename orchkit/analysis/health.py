"""How the work stands: cases by state, rates, durations, queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.log import expect_log
from orchkit.model.states import RunStatus, StepStatus

if TYPE_CHECKING:
    from orchkit.log import EventLog

__all__ = ["LOST", "metrics"]

LOST = frozenset({RunStatus.FAILED, RunStatus.DEAD_LETTERED, RunStatus.COMPENSATED})
"""States of cases that ended without what they were started for."""

_ALL = "all"
_UNNAMED = "(unnamed)"
_UNITS = {
    "cases": "cases",
    "cases_active": "cases",
    "cases_completed": "cases",
    "cases_failed": "cases",
    "cases_cancelled": "cases",
    "completion_rate": "share",
    "error_rate": "share",
    "retry_rate": "share",
    "duration_mean": "s",
    "duration_p50": "s",
    "duration_p95": "s",
    "duration_p99": "s",
    "queue_depth": "steps",
    "queue_depth_max": "steps",
    "throughput": "cases/h",
}


def metrics(log: EventLog) -> pd.DataFrame:
    """Return how the work stands, by workflow.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.

    Returns
    -------
    DataFrame
        One row per metric: ``workflow``, ``metric``, ``value`` (float, missing if the log cannot tell) and ``unit``.
        The rows of several workflows are followed by those of ``"all"``, which is also what a single workflow without a
        name is called.

        ========================= ======== ================================================================
        metric                    unit     value
        ========================= ======== ================================================================
        ``cases``                 cases    all of them: the sum of the next four
        ``cases_active``          cases    not ended at the end of the log
        ``cases_completed``       cases    ended COMPLETED
        ``cases_failed``          cases    ended FAILED, DEAD_LETTERED or COMPENSATED
        ``cases_cancelled``       cases    ended CANCELLED
        ``completion_rate``       share    completed, of the cases that ended
        ``error_rate``            share    failed, of the attempts that completed or failed
        ``retry_rate``            share    second or later ones, of the attempts that completed or failed
        ``duration_mean``, p50 …  s        from the start to the end of the cases that ended
        ``queue_depth``           steps    enabled and not started at the end of the log
        ``queue_depth_max``       steps    the most at any time; of the replications, that with the most
        ``throughput``            cases/h  completed, over the period of the log (all its replications)
        ========================= ======== ================================================================

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "status": ["COMPLETED", "COMPLETED", "FAILED"],
    ... }))
    >>> metrics(log).set_index("metric")["value"][["cases_completed", "completion_rate", "error_rate", "throughput"]]
    metric
    cases_completed    1.000000
    completion_rate    0.500000
    error_rate         0.333333
    throughput         0.500000
    Name: value, dtype: float64
    """
    expect_log(log, "metrics")
    steps, cases = log.steps, log.cases
    hours = _hours(steps)
    by_case, names = pd.factorize(cases["workflow"].fillna(_UNNAMED), sort=True)
    by_step = by_case[log.case_codes]
    found = {name: _health(steps[by_step == code], cases[by_case == code], hours) for code, name in enumerate(names)}
    if len(names) != 1:
        found[_ALL] = _health(steps, cases, hours)
    elif _UNNAMED in found:
        found[_ALL] = found.pop(_UNNAMED)
    rows = [(name, metric, values[metric], unit) for name, values in found.items() for metric, unit in _UNITS.items()]
    return pd.DataFrame(rows, columns=["workflow", "metric", "value", "unit"])


def _health(steps: pd.DataFrame, cases: pd.DataFrame, hours: float) -> dict[str, float]:
    status = cases["status"]
    completed, cancelled = (status == RunStatus.COMPLETED).sum(), (status == RunStatus.CANCELLED).sum()
    failed = status.isin(LOST).sum()
    ended = completed + failed + cancelled
    outcomes = steps[steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED, StepStatus.FAILED])]
    return {
        "cases": float(len(cases)),
        "cases_active": float(len(cases) - ended),
        "cases_completed": float(completed),
        "cases_failed": float(failed),
        "cases_cancelled": float(cancelled),
        "completion_rate": _share(completed, ended),
        "error_rate": _share((outcomes["status"] == StepStatus.FAILED).sum(), len(outcomes)),
        "retry_rate": _share((outcomes["attempt"] > 1).sum(), len(outcomes)),
        "throughput": _share(completed, hours),
        **_durations(cases),
        **_queue(steps),
    }


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _hours(steps: pd.DataFrame) -> float:
    """Return the period of the log, summed over its replications, each of which has a time of its own."""
    times = steps.groupby("replication", dropna=False)[["enabled", "started", "completed"]]
    spans = times.max().max(axis="columns") - times.min().min(axis="columns")
    return float(spans.dt.total_seconds().sum() / 3600)


def _durations(cases: pd.DataFrame) -> dict[str, float]:
    duration_s = (cases["completed"] - cases["started"]).dt.total_seconds()
    quantiles = {f"duration_p{percent}": float(duration_s.quantile(percent / 100)) for percent in (50, 95, 99)}
    return {"duration_mean": float(duration_s.mean()), **quantiles}


def _queue(steps: pd.DataFrame) -> dict[str, float]:
    if steps["enabled"].isna().all():
        return {"queue_depth": float("nan"), "queue_depth_max": float("nan")}
    # A wait is enabled and never starts: only what started later, or is still pending, has stood in a queue.
    queued = steps[(steps["started"] > steps["enabled"]) | _still_queued(steps)]
    # At one instant those that leave go before those that enter; who is still there leaves last (NaT).
    times = [queued[name].dt.tz_localize(None).to_numpy() for name in ("started", "enabled")]
    replications = np.tile(queued["replication"].fillna(-1).to_numpy(dtype=np.int64), 2)
    order = np.lexsort((np.concatenate(times), replications))
    depth = np.cumsum(np.repeat([-1, 1], len(queued))[order])
    return {"queue_depth": float(_still_queued(queued).sum()), "queue_depth_max": float(depth.max(initial=0))}


def _still_queued(steps: pd.DataFrame) -> pd.Series[bool]:
    return (steps["status"] == StepStatus.PENDING) & steps["enabled"].notna() & steps["started"].isna()
