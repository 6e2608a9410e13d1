"""What a case took, waited and cost: the sums from which `kpis` and `compare` make their figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from orchkit.analysis.health import LOST
from orchkit.analysis.intervals import Spans, spans, sums_by
from orchkit.analysis.limits import limits_s
from orchkit.analysis.spans import ends_before_s, moments_s, work_between
from orchkit.model.states import RunStatus, StepStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.units import Duration

__all__ = ["CAUSES", "RATIOS", "CaseMeasures", "WorkingHours", "case_measures"]

CAUSES = ("contention", "calendar", "batching", "priority", "retry", "dependency")
"""Why a step waits, as a simulation records it (``wait_contention_s`` …); the last one before it is enabled."""

_ESTIMATED = ("contention", "retry", "other")
_ENDED = frozenset({RunStatus.COMPLETED, RunStatus.CANCELLED, *LOST})


class WorkingHours(Protocol):
    """What tells when work is done, such as a `Calendar`."""

    def intervals(self, begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Return the spans of duty between two moments."""
        ...


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure that is a sum over cases, divided by another."""

    over: str
    by: str
    unit: str


RATIOS: Mapping[str, Ratio] = {
    "cycle_time": Ratio("cycle_s", "ended", "s"),
    "waiting_time": Ratio("waiting_s", "with_waiting", "s"),
    **{f"waiting_time.{cause}": Ratio(f"{cause}_s", "with_waiting", "s") for cause in (*CAUSES, "other")},
    "processing_time": Ratio("processing_s", "with_processing", "s"),
    "working_time": Ratio("working_s", "with_processing", "s"),
    "cost": Ratio("cost", "with_cost", "per case"),
    "completion_rate": Ratio("completed", "ended", "share"),
    "error_rate": Ratio("failed", "attempts", "share"),
    "retry_rate": Ratio("retried", "attempts", "share"),
    "sla_breach_rate": Ratio("breached", "with_sla", "share"),
}
"""By KPI. Those whose column is not in the table cannot be told from the log."""


@dataclass(frozen=True, slots=True)
class CaseMeasures:
    """One row per case of the log, and one row per step.

    Attributes
    ----------
    cases
        Sums by case, the columns of `RATIOS`; zero in both columns where a case does not count.
    replications
        By case: the position of its replication in ``names``.
    names
        The replications (-1: the log has none).
    waits_s, leaves_s
        By step: how long it waited for its start from when it was enabled, and until when. What never began waited
        until it ended or, where it is open, until the log ends.
    estimated
        Whether waiting time, or its causes, are estimated.
    """

    cases: pd.DataFrame
    replications: NDArray[np.int64]
    names: NDArray[np.int64]
    waits_s: NDArray[np.float64]
    leaves_s: NDArray[np.float64]
    estimated: bool


def case_measures(log: EventLog, sla: Workflow | Duration | None, calendar: WorkingHours | None) -> CaseMeasures:
    """Return the sums by case."""
    steps, cases = log.steps, log.cases
    names, replications = np.unique(cases["replication"].fillna(-1).to_numpy(dtype=np.int64), return_inverse=True)
    started, completed = moments_s(steps["started"]), moments_s(steps["completed"])
    enabled = moments_s(steps["enabled"])
    unknown = np.isnan(enabled)
    is_guessed = bool((unknown & ~np.isnan(started)).any()) or bool(unknown.all())
    if is_guessed:
        before = ends_before_s(log)
        enabled = np.where(unknown, np.where(np.isnan(before), started, before), enabled)
    leaves = np.where(unknown, started, _leaves(log, replications, started, completed))
    waits = np.maximum(leaves - enabled, 0)  # what is not known is not 0
    lengths = np.maximum(completed - started, 0)
    busy = _busy(log, replications, started, completed)
    causes, is_split = _causes(log, replications, enabled, started, waits, busy)

    case_started, case_completed = moments_s(cases["started"]), moments_s(cases["completed"])
    ended = cases["status"].isin(_ENDED).to_numpy() & ~np.isnan(case_completed)
    cycle = np.where(ended, case_completed - case_started, 0.0)
    tried = steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED, StepStatus.FAILED]).to_numpy()

    def by_case(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums_by(log.case_codes, np.nan_to_num(values), len(log))

    def of_ended(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return by_case(values) * ended

    table = {"ended": ended.astype(float), "cycle_s": cycle}
    table["completed"] = (ended & (cases["status"] == RunStatus.COMPLETED).to_numpy()).astype(float)
    if not np.isnan(waits).all():
        table |= {"waiting_s": of_ended(waits + causes.get("dependency", 0.0)), "with_waiting": ended.astype(float)}
        table |= {f"{cause}_s": of_ended(values) for cause, values in causes.items()}
    if not np.isnan(lengths).all():
        table |= {"processing_s": of_ended(lengths), "with_processing": ended.astype(float)}
        if calendar is not None:
            table["working_s"] = of_ended(work_between(calendar, started, completed))
    if steps["cost"].notna().any():
        table |= {"cost": of_ended(steps["cost"].to_numpy()), "with_cost": ended.astype(float)}
    table["attempts"] = by_case(tried.astype(float))
    table["failed"] = by_case((steps["status"] == StepStatus.FAILED).to_numpy().astype(float))
    table["retried"] = by_case((tried & (steps["attempt"].to_numpy() > 1)).astype(float))
    if sla is not None:
        limits = limits_s(log, sla)
        table["breached"] = (ended & (cycle > limits)).astype(float)
        table["with_sla"] = (ended & ~np.isnan(limits)).astype(float)
    known = (np.nan_to_num(waits), leaves, is_guessed or not is_split)
    return CaseMeasures(pd.DataFrame(table), replications.astype(np.int64), names, *known)


def _leaves(
    log: EventLog, replications: NDArray[np.int64], started: NDArray[np.float64], completed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return when each step began; or ended without, as it gave up; or, where it waits still, when the log ends."""
    never = np.isnan(started)
    if never.all() and not np.isnan(completed).all():  # the log does not know starts
        return started
    status = log.steps["status"]
    gave_up = never & status.isin([StepStatus.FAILED, StepStatus.CANCELLED]).to_numpy()
    waits = never & np.isnan(completed) & status.isin([StepStatus.PENDING, StepStatus.RETRYING]).to_numpy()
    ends = _ends(log, replications, started, completed)
    return np.where(gave_up, completed, np.where(waits, ends[replications[log.case_codes]], started))


def _ends(
    log: EventLog, replications: NDArray[np.int64], started: NDArray[np.float64], completed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return when each replication ends: as the simulation says, or at the last moment that the log has."""
    groups = replications[log.case_codes]
    ends = np.full(replications.max(initial=0) + 1, -np.inf)
    for times in (moments_s(log.steps["enabled"]), started, completed):
        there = ~np.isnan(times)
        np.maximum.at(ends, groups[there], times[there])
    known = log.availability
    if "until" in known and len(known):
        names = np.unique(log.cases["replication"].fillna(-1).to_numpy(dtype=np.int64))
        by_name = known.groupby(known["replication"].fillna(-1).astype("int64"))["until"].max().reindex(names)
        ends = np.fmax(ends, moments_s(by_name))
    return ends


def _busy(
    log: EventLog, replications: NDArray[np.int64], started: NDArray[np.float64], completed: NDArray[np.float64]
) -> Spans:
    """Return when each resource of each replication was at work."""
    keep = (log.resource_codes >= 0) & ~np.isnan(started) & ~np.isnan(completed)
    groups = replications[log.case_codes] * len(log.resources) + log.resource_codes
    return spans(groups[keep].astype(np.int64), started[keep], completed[keep])


def _causes(
    log: EventLog,
    replications: NDArray[np.int64],
    enabled: NDArray[np.float64],
    started: NDArray[np.float64],
    waits: NDArray[np.float64],
    busy: Spans,
) -> tuple[dict[str, NDArray[np.float64]], bool]:
    """Return the waiting time of each step by its cause, and whether the log says so itself."""
    steps = log.steps
    recorded = {cause: steps[f"wait_{cause}_s"].to_numpy(dtype=float) for cause in CAUSES if f"wait_{cause}_s" in steps}
    if recorded.keys() >= set(CAUSES) - {"dependency"}:
        return recorded, True
    is_retry = steps["attempt"].to_numpy() > 1
    groups = (replications[log.case_codes] * len(log.resources) + log.resource_codes).astype(np.int64)
    known = (log.resource_codes >= 0) & (waits > 0) & ~is_retry
    contention = np.zeros(len(waits))
    contention[known] = busy.within(groups[known], enabled[known], started[known])
    retry = np.where(is_retry, waits, 0.0)
    return dict(zip(_ESTIMATED, (contention, retry, waits - contention - retry), strict=True)), False
