"""Key figures of a log, with what they are worth: intervals where it has replications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.intervals import spans, sums_by
from orchkit.analysis.measures import RATIOS, CaseMeasures, WorkingHours, case_measures
from orchkit.analysis.spans import moments_s
from orchkit.log import expect_log

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.units import Duration

__all__ = ["Figures", "figures", "kpis", "mean_interval"]

_PERCENTILES = (50, 95)
_UNNAMED = "(no role)"


@dataclass(frozen=True, slots=True)
class Figures:
    """The KPIs of each replication.

    Attributes
    ----------
    table
        One row per replication, one column per KPI.
    units
        By KPI.
    measures
        What they were made from.
    """

    table: pd.DataFrame
    units: dict[str, str]
    measures: CaseMeasures


def kpis(
    log: EventLog, *, sla: Workflow | Duration | None = None, calendar: WorkingHours | None = None
) -> pd.DataFrame:
    """Return the key figures of a log.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. With several replications, each figure is their mean.
    sla
        Longest acceptable duration of a case, or the workflow that says so, for its own cases; without it there is no
        ``sla_breach_rate``.
    calendar
        Working hours; without them there is no ``working_time``.

    Returns
    -------
    DataFrame
        One row per figure: ``kpi, value, standard_error, low, high, unit, method``. ``low`` and ``high`` are the 95 %
        interval of Student's t over the replications, missing if there are fewer than two. ``method`` is ``recorded``,
        or ``estimated`` (see the notes). Figures that the log cannot tell are left out.

        =========================== ========= ======================================================
        kpi                         unit      value
        =========================== ========= ======================================================
        ``cases``                   cases     all that began
        ``throughput``              cases/h   completed, over the period of the log (after its warm-up)
        ``cycle_time``              s         mean, of the cases that ended; ``_p50`` and ``_p95``
        ``waiting_time``            s         a case's steps together, before their starts
        ``waiting_time.<cause>``    s         the same, by its cause: these add up to it
        ``processing_time``         s         a case's steps together, from start to end
        ``working_time``            s         the part of it within the working hours
        ``cost``                    per case  what its steps cost
        ``completion_rate``         share     completed, of the cases that ended
        ``error_rate``              share     failed, of the attempts that completed or failed
        ``retry_rate``              share     second or later ones, of these attempts
        ``sla_breach_rate``         share     longer than their SLA, of the cases that ended
        ``queue_length``            steps     that wait, on average over the period
        ``queue_length_max``        steps     the most at any time
        ``queue_length.<role>``     steps     that wait for this role, on average
        ``utilization.<role>``      share     of its time on duty that a role is at work
        =========================== ========= ======================================================

    Notes
    -----
    A step that never started waited until it ended (it gave up, or was cancelled), or waits still; queue lengths and
    utilizations count what is open when the log ends.

    A simulated log records why each step waited and when each resource was on duty. It also knows how long, before a
    step was enabled, the first of the branches that lead to it stood at a join until the last one came: that is
    ``dependency``, which is in ``waiting_time``, but in no queue.

    Of other logs these are estimated. Where a step does not say when it was enabled, it was at the last end of a step
    in its case before its start. Waiting before a second or later attempt is ``retry``. Of any other wait, the part
    during which the resource that did the step was at work on another is ``contention``; the rest, whose cause the log
    does not tell (hours of duty, batching, priorities), is ``other``. What stood at joins is not known, and left out. A
    resource is assumed to be on duty during the whole log, so that ``utilization`` is a lower bound.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o2"],
    ...     "activity": ["check", "check"],
    ...     "enabled": ["2024-05-06T09:00Z", "2024-05-06T09:00Z"],
    ...     "started": ["2024-05-06T09:00Z", "2024-05-06T09:10Z"],
    ...     "completed": ["2024-05-06T09:10Z", "2024-05-06T09:20Z"],
    ...     "resource": ["Ann", "Ann"],
    ... }))
    >>> kpis(log).set_index("kpi")["value"][["cycle_time", "waiting_time.contention", "queue_length"]]
    kpi
    cycle_time                 900.0
    waiting_time.contention    300.0
    queue_length                 0.5
    Name: value, dtype: float64
    """
    expect_log(log, "kpis")
    found = figures(log, sla, calendar)
    rows = []
    for name, unit in found.units.items():
        value, error, half = mean_interval(found.table[name].to_numpy(dtype=float))
        is_estimated = found.measures.estimated and name.startswith(("waiting_time", "queue_length"))
        is_estimated |= log.availability.empty and name.startswith("utilization")
        method = "estimated" if is_estimated else "recorded"
        rows.append((name, value, error, value - half, value + half, unit, method))
    return pd.DataFrame(rows, columns=["kpi", "value", "standard_error", "low", "high", "unit", "method"])


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean, standard error and half the width of the 95 % interval of independent values."""
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan, np.nan
    if len(values) == 1:
        return float(values[0]), np.nan, np.nan
    from scipy.stats import t  # noqa: PLC0415 -- half a second, on use

    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()), error, float(t.ppf(0.975, len(values) - 1)) * error


def figures(log: EventLog, sla: Workflow | Duration | None = None, calendar: WorkingHours | None = None) -> Figures:
    """Return the KPIs by replication."""
    measures = case_measures(log, sla, calendar)
    cases, groups, count = measures.cases, measures.replications, len(measures.names)
    sums = {name: sums_by(groups, cases[name].to_numpy(), count) for name in cases}
    periods = _periods(log, measures)
    table = {"cases": np.bincount(groups, minlength=count).astype(float)}
    units = {"cases": "cases", "throughput": "cases/h"}
    table["throughput"] = _share(sums["completed"], periods / 3600)
    for name, ratio in RATIOS.items():
        if ratio.over not in sums or ratio.by not in sums:
            continue
        table[name], units[name] = _share(sums[ratio.over], sums[ratio.by]), ratio.unit
        if name == "cycle_time":
            for percent in _PERCENTILES:
                units[f"cycle_time_p{percent}"] = "s"
                table[f"cycle_time_p{percent}"] = _quantiles(measures, percent / 100)
    if "waiting_s" in sums:
        queues = _queues(log, measures, periods)
        table |= queues
        units |= dict.fromkeys(queues, "steps")
    used = _utilization(log, measures, periods)
    table |= used
    units |= dict.fromkeys(used, "share")
    return Figures(pd.DataFrame(table, index=pd.Index(measures.names, name="replication")), units, measures)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return shares


def _quantiles(measures: CaseMeasures, share: float) -> NDArray[np.float64]:
    ended = measures.cases["ended"].to_numpy() > 0
    cycles = measures.cases["cycle_s"][ended].groupby(measures.replications[ended]).quantile(share)
    values: NDArray[np.float64] = cycles.reindex(range(len(measures.names))).to_numpy(dtype=float)
    return values


def _periods(log: EventLog, measures: CaseMeasures) -> NDArray[np.float64]:
    """Return how long each replication lasted, in seconds."""
    known = log.availability
    if len(known):
        by_name = known.groupby(known["replication"].fillna(-1).astype("int64"))["period_s"].max()
        periods: NDArray[np.float64] = by_name.reindex(measures.names).to_numpy(dtype=float)
        if not np.isnan(periods).any():
            return periods
    groups = measures.replications[log.case_codes]
    times = [moments_s(log.steps[name]) for name in ("enabled", "started", "completed")]
    first, last = np.full(len(measures.names), np.inf), np.full(len(measures.names), -np.inf)
    for values in times:
        is_there = ~np.isnan(values)
        np.minimum.at(first, groups[is_there], values[is_there])
        np.maximum.at(last, groups[is_there], values[is_there])
    lasted: NDArray[np.float64] = np.maximum(last - first, 0.0)
    return lasted


def _queues(log: EventLog, measures: CaseMeasures, periods: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    groups, waits, count = measures.replications[log.case_codes], measures.waits_s, len(periods)
    found = {"queue_length": _share(sums_by(groups, waits, count), periods)}
    found["queue_length_max"] = _most(groups, measures.leaves_s, waits, count)
    roles = log.steps["role"]
    for code, role in enumerate(roles.cat.categories):
        own = (roles.cat.codes == code).to_numpy()
        sums = sums_by(groups[own], waits[own], count)
        found[f"queue_length.{role}"] = _share(sums, periods)
    return found


def _most(
    groups: NDArray[np.int64], leaves: NDArray[np.float64], waits: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    keep = waits > 0
    group, leaves, waits = groups[keep], leaves[keep], waits[keep]
    change = np.repeat([-1, 1], len(group))  # at one instant those that leave go first
    order = np.lexsort((change, np.concatenate([leaves, leaves - waits]), np.tile(group, 2)))
    # All that enter a replication's queues leave them again, so that each begins at 0.
    depth = np.cumsum(change[order])
    most = np.zeros(count)
    np.maximum.at(most, np.tile(group, 2)[order], depth)
    return most


def _utilization(log: EventLog, measures: CaseMeasures, periods: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    count = len(periods)
    known = log.availability
    if len(known):
        rows = known.groupby([known["replication"].fillna(-1).astype("int64"), known["role"].astype("str")])
        both = rows[["busy_s", "available_s"]].sum()
        shares = both["busy_s"] / both["available_s"].where(both["available_s"] > 0)
        return {
            f"utilization.{role}": own.droplevel("role").reindex(measures.names).to_numpy(dtype=float)
            for role, own in shares.groupby(level="role")
        }
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    keep = (log.resource_codes >= 0) & ~np.isnan(started) & ~np.isnan(completed)
    if not keep.any():
        return {}
    roles = log.steps["role"].astype("str").fillna(_UNNAMED).to_numpy()
    found: dict[str, NDArray[np.float64]] = {}
    for role in np.unique(roles[keep].astype(str)):
        own = keep & (roles == role)
        groups = measures.replications[log.case_codes[own]] * len(log.resources) + log.resource_codes[own]
        worked = spans(groups.astype(np.int64), started[own], completed[own]).total_s(count * len(log.resources))
        people = len(np.unique(log.resource_codes[own]))
        found[f"utilization.{role}"] = _share(worked.reshape(count, -1).sum(axis=1), people * periods)
    return found
