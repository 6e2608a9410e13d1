"""What became of the cases that had a failure, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.failure import KIND, attempt_chains, saved_attempts
from orchkit.analysis.health import LOST
from orchkit.analysis.intervals import sums_by
from orchkit.analysis.spans import begins_s, moments_s
from orchkit.log import expect_log
from orchkit.model.states import RunStatus, StepStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["failure_outcomes"]

_SAVED, _OPEN = "saved", "open"
_OUTCOMES = {
    RunStatus.COMPLETED: "went_on",
    RunStatus.COMPENSATED: "compensated",
    RunStatus.DEAD_LETTERED: "dead_lettered",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "cancelled",
}
_COUNTS = (_SAVED, *_OUTCOMES.values(), _OPEN)
_TIMES = ("work_s", "delay_s", "undo_s", "wasted_s")


def failure_outcomes(log: EventLog) -> pd.DataFrame:
    """Return what became of the cases with each kind of failure, and what it cost.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. Compensations are known by the column ``compensates`` of
        the steps, which engines and simulations write; ``cost`` is the column of the steps.

    Returns
    -------
    DataFrame
        A row for each ``activity``, ``error_class`` and ``error_type`` that failed; the costliest first, by lost cases,
        then by seconds. ``cases`` are those with such a failure, each counted once in one of:

        ================= =============================================================================
        ``saved``         a retry saved every one of them
        ``went_on``       the case COMPLETED without: an error path, a fallback, a tolerated failure
        ``compensated``   ended COMPENSATED; likewise ``dead_lettered``, ``failed``, ``cancelled``
        ``open``          the case has not ended
        ================= =============================================================================

        and what they took, in seconds and, from the column ``cost``, in money:

        ================= =============================================================================
        ``work_s``        attempts that failed, from start to end
        ``delay_s``       from a failed attempt to the start of the next one of its step
        ``undo_s``        compensations in the cases that this failure lost
        ``wasted_s``      work that had completed in the cases that this failure lost
        ``cost``          of failed attempts; ``undo_cost`` and ``wasted_cost`` as above
        ``total_cost``    the three together, missing where the log knows no cost
        ================= =============================================================================

    Notes
    -----
    A lost case (FAILED, DEAD_LETTERED, COMPENSATED) is charged to one failure, as in `failures`: its last one that no
    retry saved, compensations aside.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o1", "o2"],
    ...     "activity": ["reserve", "pay", "release", "pay"],
    ...     "compensates": [None, None, "reserve", None],
    ...     "started": ["2024-05-06T09:00Z", "2024-05-06T09:10Z", "2024-05-06T09:12Z", "2024-05-06T09:00Z"],
    ...     "completed": ["2024-05-06T09:10Z", "2024-05-06T09:11Z", "2024-05-06T09:15Z", "2024-05-06T09:01Z"],
    ...     "status": ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"],
    ... }), pd.DataFrame({"case_id": ["o1", "o2"], "status": ["COMPENSATED", "COMPLETED"]}))
    >>> failure_outcomes(log)[["activity", "cases", "compensated", "work_s", "undo_s", "wasted_s"]]
      activity  cases  compensated  work_s  undo_s  wasted_s
    0      pay      1            1    60.0   180.0     600.0
    """
    expect_log(log, "failure_outcomes")
    steps, status = log.steps, log.steps["status"]
    rows = np.flatnonzero(status == StepStatus.FAILED)
    undoes = steps["compensates"].notna().to_numpy() if "compensates" in steps else np.zeros(len(steps), dtype=bool)
    kinds = steps[[*KIND]].take(rows).reset_index(drop=True).astype(dict.fromkeys(KIND, "str"))
    codes = kinds.groupby(list(KIND), dropna=False).ngroup().to_numpy().astype(np.int64)
    first = np.unique(codes, return_index=True)[1]
    size, saved = len(first), saved_attempts(log)[rows]
    blame = _blame(log, log.case_codes[rows], codes, saved | undoes[rows])[log.case_codes]
    wasted = (blame >= 0) & ~undoes & (status == StepStatus.COMPLETED).to_numpy()
    undone = (blame >= 0) & undoes

    def sums(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return what the failed attempts of each kind took; the compensations; the work that was lost."""
        values = np.nan_to_num(values)
        parts = ((codes, rows), (blame[undone], undone), (blame[wasted], wasted))
        return tuple(sums_by(groups, values[part], size) for groups, part in parts)

    lengths = moments_s(steps["completed"]) - moments_s(steps["started"])
    table = kinds.take(first).reset_index(drop=True)
    counts = _outcomes(log, log.case_codes[rows], codes, saved)
    table["cases"] = counts.sum(axis="columns")
    table[[*_COUNTS]] = counts
    table["work_s"], undo_s, wasted_s = sums(lengths)
    table["delay_s"] = sums_by(codes, _delays_s(log)[rows], size)
    table["undo_s"], table["wasted_s"] = undo_s, wasted_s
    table["cost"], table["undo_cost"], table["wasted_cost"] = sums(steps["cost"].to_numpy(dtype=float))
    is_known = bool(steps["cost"].notna().any())
    table["total_cost"] = table[["cost", "undo_cost", "wasted_cost"]].sum(axis="columns") if is_known else np.nan
    lost = table[[_OUTCOMES[status] for status in LOST]].sum(axis="columns")
    order = pd.DataFrame(
        {"cost": -table["total_cost"], "lost": -lost, "time": -table[list(_TIMES)].sum(axis="columns")}
    )
    return table.take(np.lexsort(order.to_numpy().T[::-1])).reset_index(drop=True)


def _outcomes(
    log: EventLog, cases: NDArray[np.int32], codes: NDArray[np.int64], saved: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return by kind how many of its cases ended how."""
    found = pd.DataFrame({"kind": codes, "case": cases, "saved": saved}).groupby(["kind", "case"], as_index=False).all()
    ends = log.cases["status"].astype("str").map(_OUTCOMES).fillna(_OPEN).to_numpy()
    outcome = np.where(found["saved"], _SAVED, ends[found["case"]])
    table = pd.crosstab(found["kind"], outcome).reindex(columns=list(_COUNTS), fill_value=0)
    return table.reset_index(drop=True).rename_axis(columns=None)


def _blame(
    log: EventLog, cases: NDArray[np.int32], codes: NDArray[np.int64], excused: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return for each case the kind that lost it: that of its last failure that counts; -1 for all other cases."""
    blame = np.full(len(log), -1, dtype=np.int64)
    blame[cases[~excused]] = codes[~excused]  # of several, the last stays
    blame[~log.cases["status"].isin(LOST).to_numpy()] = -1
    return blame


def _delays_s(log: EventLog) -> NDArray[np.float64]:
    """Return the seconds from each attempt to the start of the next one of its step, 0 if there is none."""
    chains = attempt_chains(log)
    order = np.argsort(chains, kind="stable")
    completed, begun = moments_s(log.steps["completed"])[order], begins_s(log)[order]
    follows = np.flatnonzero(np.diff(chains[order]) == 0)
    delays = np.zeros(len(order))
    delays[order[follows]] = np.nan_to_num(np.maximum(begun[follows + 1] - completed[follows], 0))
    return delays
