"""What fails, how often, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.health import LOST
from orchkit.model.states import StepStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["failures"]

_BY = ["activity", "error_class", "error_type", "attempt"]
_FIGURES = [
    "count",
    "cases",
    "share_of_cases",
    "cases_lost",
    "share_lost",
    "saved_by_retry",
    "first_seen",
    "last_seen",
    "example",
]


def failures(log: EventLog) -> pd.DataFrame:
    """Return the kinds of failure, the most harmful first.

    Parameters
    ----------
    log
        Of any origin. A failed attempt is a step with the status FAILED.

    Returns
    -------
    DataFrame
        A row for each ``activity``, ``error_class``, ``error_type`` and ``attempt`` that failed, sorted by
        ``cases_lost``, then by ``count``:

        ================== ==========================================================================
        ``count``          failed attempts
        ``cases``          cases with such a failure
        ``share_of_cases`` these, of all cases of the log
        ``cases_lost``     cases that ended FAILED, DEAD_LETTERED or COMPENSATED and whose last failure
                           that no retry saved was this one: a lost case is counted in one row
        ``share_lost``     these, of all cases of the log
        ``saved_by_retry`` share of these failures after which a later attempt of the same step
                           completed
        ``first_seen``     time of the first (UTC)
        ``last_seen``      time of the last (UTC)
        ``example``        a message: the first one that is there
        ================== ==========================================================================

    Notes
    -----
    The attempts of a step have its ``step_id``. Where the log has none, they are the rows of the activity in the
    case, as long as ``attempt`` rises.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["ship", "ship", "pay"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "status": ["FAILED", "COMPLETED", "FAILED"],
    ...     "attempt": [1, 2, 1],
    ...     "error_type": ["HTTP 503", None, "Declined"],
    ... }))
    >>> failures(log)[["activity", "error_type", "attempt", "count", "cases_lost", "saved_by_retry"]]
      activity error_type  attempt  count  cases_lost  saved_by_retry
    0      pay   Declined        1      1           1             0.0
    1     ship   HTTP 503        1      1           0             1.0
    """
    steps = log.steps
    is_failure = (steps["status"] == StepStatus.FAILED).to_numpy()
    failed = steps.loc[is_failure, [*_BY, "completed", "error_message"]].astype(dict.fromkeys(_BY[:3], "str"))
    failed["case"] = log.case_codes[is_failure]
    failed["saved"] = _saved(log)[is_failure]
    is_lost = log.cases["status"].isin(LOST).to_numpy()
    last = ~failed["case"].where(~failed["saved"]).duplicated(keep="last")
    failed["lost"] = is_lost[failed["case"]] & ~failed["saved"] & last
    table = (
        failed.sort_values("completed", kind="stable")
        .groupby(_BY, dropna=False, as_index=False)
        .agg(
            count=("case", "size"),
            cases=("case", "nunique"),
            cases_lost=("lost", "sum"),
            saved_by_retry=("saved", "mean"),
            first_seen=("completed", "min"),
            last_seen=("completed", "max"),
            example=("error_message", "first"),
        )
    )
    table["share_of_cases"] = table["cases"] / len(log)
    table["share_lost"] = table["cases_lost"] / len(log)
    rank = ["cases_lost", "count", *_BY]
    table = table.sort_values(rank, ascending=[False, False, *(True for _ in _BY)], ignore_index=True)
    return table[[*_BY, *_FIGURES]]


def _saved(log: EventLog) -> NDArray[np.bool_]:
    """Tell for each row whether a later attempt of the same step completed."""
    steps = log.steps
    ids = pd.factorize(steps["step_id"])[0]
    names = np.where(ids < 0, log.activity_codes, len(log.activities) + ids)
    key = log.case_codes.astype(np.int64) * (names.max(initial=0) + 1) + names
    order = np.argsort(key, kind="stable")
    key, attempt = key[order], steps["attempt"].to_numpy()[order]
    completed = steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED]).to_numpy()[order]
    is_first = (np.diff(key, prepend=-1) > 0) | (np.diff(attempt, prepend=0) <= 0)
    starts = np.flatnonzero(is_first)
    best = np.maximum.reduceat(np.where(completed, attempt, 0), starts)
    saved = np.empty(len(steps), dtype=bool)
    saved[order] = best[np.cumsum(is_first) - 1] > attempt
    return saved
