"""What fails and how often: the kinds of failure, what retries save, which failure precedes which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.health import LOST
from orchkit.analysis.spans import moments_s
from orchkit.errors import LogError, nearest
from orchkit.log import expect_log
from orchkit.model.states import ErrorClass, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["KIND", "attempt_chains", "failure_chains", "failures", "retries", "saved_attempts"]

KIND = ("activity", "error_class", "error_type")
"""What tells kinds of failure apart."""

_BY = (*KIND, "attempt")
_RETRIES = (
    "steps",
    "retried",
    "saved",
    "share_saved",
    "attempts_mean",
    "attempts_max",
    "delay_mean_s",
    "delay_p95_s",
    "cases_saved",
)
_CLOCK = {"hour": "hour", "weekday": "day_of_week"}  # as pandas calls them
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


def failures(log: EventLog, by: Sequence[str] = _BY) -> pd.DataFrame:
    """Return the kinds of failure, the most harmful first.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. A failed attempt is a step with the status FAILED.
    by
        What tells kinds apart: columns of ``log.steps`` or ``log.cases`` (``version``, ``resource``, an attribute), and
        ``hour`` (0 to 23) and ``weekday`` (Monday is 0) of the failure, in UTC.

    Returns
    -------
    DataFrame
        A row for each combination of ``by`` that failed, sorted by ``cases_lost``, then by ``count``:

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

    Raises
    ------
    LogError
        The log has no column that ``by`` names.

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
    expect_log(log, "failures")
    names = [by] if isinstance(by, str) else list(dict.fromkeys(by)) if isinstance(by, Iterable) else []
    if not names:
        message = f"by: name one column or more, such as 'activity', not {by!r}."
        raise LogError(message)
    steps = log.steps
    is_failure = (steps["status"] == StepStatus.FAILED).to_numpy()
    failed = pd.DataFrame({name: _column(log, name)[is_failure] for name in names})
    saved, codes = saved_attempts(log)[is_failure], log.case_codes[is_failure]
    is_lost = log.cases["status"].isin(LOST).to_numpy()
    last = ~pd.Series(codes).where(~saved).duplicated(keep="last").to_numpy()
    figures = {
        " case": codes,
        " saved": saved,
        " lost": is_lost[codes] & ~saved & last,
        " at": steps["completed"][is_failure].array,
        " message": steps["error_message"][is_failure].astype("str").array,
    }
    table = (
        failed.assign(**figures)
        .sort_values(" at", kind="stable")
        .groupby(names, dropna=False, as_index=False)
        .agg(
            count=(" case", "size"),
            cases=(" case", "nunique"),
            cases_lost=(" lost", "sum"),
            saved_by_retry=(" saved", "mean"),
            first_seen=(" at", "min"),
            last_seen=(" at", "max"),
            example=(" message", "first"),
        )
    )
    table["share_of_cases"] = table["cases"] / len(log)
    table["share_lost"] = table["cases_lost"] / len(log)
    rank = ["cases_lost", "count", *names]
    table = table.sort_values(rank, ascending=[False, False, *(True for _ in names)], ignore_index=True)
    return table[[*names, *_FIGURES]]


def retries(log: EventLog) -> pd.DataFrame:
    """Return what retrying does: how often it helps, how many attempts that takes, and how long.

    Returns
    -------
    DataFrame
        A row for each ``activity``, ``error_class`` and ``error_type`` of a step's first failure, the most steps first:

        ================= ===========================================================================
        ``steps``         steps that failed at least once
        ``retried``       these with a further attempt
        ``saved``         these that completed in the end
        ``share_saved``   these, of those retried
        ``attempts_mean`` attempts until success, of those saved; ``attempts_max`` the most
        ``delay_mean_s``  seconds from the first failure to the success, of those saved; ``delay_p95_s``
        ``cases_saved``   cases that ended COMPLETED with such a step: lost without the retry
        ================= ===========================================================================

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": "ship",
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T09:05Z", "2024-05-06T11:00Z"],
    ...     "status": ["FAILED", "COMPLETED", "FAILED"],
    ...     "attempt": [1, 2, 1],
    ...     "error_type": ["HTTP 503", None, "HTTP 503"],
    ... }))
    >>> retries(log)[["activity", "error_type", "steps", "retried", "saved", "attempts_mean", "delay_mean_s"]]
      activity error_type  steps  retried  saved  attempts_mean  delay_mean_s
    0     ship   HTTP 503      2        1      1            2.0         300.0
    """
    expect_log(log, "retries")
    steps, chains = log.steps, attempt_chains(log)
    is_failure = (steps["status"] == StepStatus.FAILED).to_numpy()
    rows = _first_of(chains, is_failure)
    size = int(chains.max(initial=-1)) + 1
    attempts = np.bincount(chains, minlength=size)
    done = np.full(size, -1, dtype=np.intp)
    completed = np.flatnonzero(_is_done(log))
    done[chains[completed]] = completed
    at = moments_s(steps["completed"])
    end = done[chains[rows]]
    saved = saved_attempts(log)[rows]
    ended_well = (log.cases["status"] == RunStatus.COMPLETED).to_numpy()[log.case_codes[rows]]
    table = _kinds(log, rows).assign(
        retried=attempts[chains[rows]] > 1,
        saved=saved,
        attempts=np.where(saved, steps["attempt"].to_numpy()[end], np.nan),
        delay_s=np.where(saved, at[end] - at[rows], np.nan),
        case=np.where(saved & ended_well, log.case_codes[rows].astype(float), np.nan),
    )
    found = table.groupby(list(KIND), dropna=False, as_index=False).agg(
        steps=("saved", "size"),
        retried=("retried", "sum"),
        saved=("saved", "sum"),
        attempts_mean=("attempts", "mean"),
        attempts_max=("attempts", "max"),
        delay_mean_s=("delay_s", "mean"),
        delay_p95_s=("delay_s", lambda values: values.quantile(0.95)),
        cases_saved=("case", "nunique"),
    )
    found["share_saved"] = found["saved"] / found["retried"].replace(0, np.nan)
    found["attempts_max"] = found["attempts_max"].astype("Int64")
    found = found.sort_values(["steps", *KIND], ascending=[False, True, True, True], ignore_index=True)
    return found[[*KIND, *_RETRIES]]


def failure_chains(log: EventLog) -> pd.DataFrame:
    """Return which failure precedes which in the same case, the most cases first.

    Returns
    -------
    DataFrame
        ``source``, ``source_error``, ``target``, ``target_error`` (activity and error type, or class where no type is
        known), ``cases`` (in which the first ``source`` came before the last ``target``), ``share`` (of the cases with
        ``source``), ``lift`` (``share``, over the share of all cases that have ``target``: 1 where the two have nothing
        to do with each other), ``p_value`` (of as many such cases by chance: Fisher's exact test, one-sided, not
        corrected for the number of rows), ``median_s`` (seconds from the first ``source`` to the next ``target``).

    Notes
    -----
    Attempts of one step are one failure, at its first: that a retry fails like the attempt before is no chain.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2", "o3"],
    ...     "activity": ["reserve", "refund", "reserve", "ship"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T09:05Z", "2024-05-06T11:00Z", "2024-05-06T12:00Z"],
    ...     "status": ["FAILED", "FAILED", "FAILED", "COMPLETED"],
    ...     "error_type": ["Sold out", "Busy", "Sold out", None],
    ... }))
    >>> failure_chains(log)[["source", "source_error", "target", "target_error", "cases", "share", "lift", "median_s"]]
        source source_error  target target_error  cases  share  lift  median_s
    0  reserve     Sold out  refund         Busy      1    0.5   1.5     300.0
    """
    expect_log(log, "failure_chains")
    from scipy.stats import hypergeom  # noqa: PLC0415 -- half a second, on use

    rows = _first_of(attempt_chains(log), (log.steps["status"] == StepStatus.FAILED).to_numpy())
    kinds = _kinds(log, rows)
    kinds["error"] = kinds["error_type"].fillna(kinds["error_class"])
    found = kinds[["activity", "error"]].assign(case=log.case_codes[rows], at=moments_s(log.steps["completed"])[rows])
    found["kind"] = found.groupby(["activity", "error"], dropna=False).ngroup()
    cases_with = found.groupby("kind")["case"].nunique()
    firsts = found.sort_values("at", kind="stable").drop_duplicates(["case", "kind"])
    pairs = firsts.merge(found, on="case", suffixes=("", "_after"))
    pairs = pairs[(pairs["at_after"] > pairs["at"]) & (pairs["kind_after"] != pairs["kind"])]
    pairs = pairs.assign(gap_s=pairs["at_after"] - pairs["at"]).sort_values("gap_s", kind="stable")
    table = (
        pairs.drop_duplicates(["case", "kind", "kind_after"])
        .groupby(["kind", "kind_after"], as_index=False)
        .agg(
            source=("activity", "first"),
            source_error=("error", "first"),
            target=("activity_after", "first"),
            target_error=("error_after", "first"),
            cases=("case", "size"),
            median_s=("gap_s", "median"),
        )
    )
    sources, targets = (table[name].map(cases_with).to_numpy() for name in ("kind", "kind_after"))
    table["share"] = table["cases"] / sources
    table["lift"] = table["share"] / (targets / max(len(log), 1))
    table["p_value"] = hypergeom.sf(table["cases"] - 1, len(log), targets, sources)
    table = table.sort_values(["cases", "lift", "kind", "kind_after"], ascending=[False, False, True, True])
    names = ["source", "source_error", "target", "target_error", "cases", "share", "lift", "p_value", "median_s"]
    return table[names].reset_index(drop=True)


def attempt_chains(log: EventLog) -> NDArray[np.int64]:
    """Return for each row a number that the attempts of one step share.

    They have its ``step_id``. Where the log has none, they are the rows of the activity in the case, as long as
    ``attempt`` rises. Where several steps of the activity were tried side by side, an attempt follows the latest failed
    one whose number is one less.
    """
    steps = log.steps
    ids = pd.factorize(steps["step_id"])[0]
    names = np.where(ids < 0, log.activity_codes, len(log.activities) + ids)
    key = log.case_codes.astype(np.int64) * (names.max(initial=0) + 1) + names
    order = np.argsort(key, kind="stable")
    attempt = steps["attempt"].to_numpy()[order]
    is_new = np.diff(key[order], prepend=-1) > 0
    is_first = is_new | (np.diff(attempt, prepend=0) <= 0)
    chains = np.empty(len(key), dtype=np.int64)
    chains[order] = np.cumsum(is_first) - 1
    done = _is_done(log)[order]
    # Nothing follows what is done, and a first attempt is the first: else the steps of the group lie side by side.
    astray = ~is_first & np.roll(done, 1) | is_first & (attempt > 1)
    if not astray.any():
        return chains
    groups = np.cumsum(is_new) - 1
    permanent = (steps["error_class"] == ErrorClass.PERMANENT).to_numpy()[order]
    number = len(chains)
    for group in np.unique(groups[astray & (ids[order] < 0)]):
        rows = slice(*np.searchsorted(groups, [group, group + 1]))
        chains[order[rows]] = number + _side_by_side(attempt[rows], done[rows], permanent[rows])
        number += rows.stop - rows.start
    return np.unique(chains, return_inverse=True)[1].astype(np.int64)


def _side_by_side(
    attempts: NDArray[np.int32], done: NDArray[np.bool_], permanent: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the chains of attempts of one activity in one case, given in the order of their ends."""
    chains = np.arange(len(attempts), dtype=np.int64)
    waiting: dict[int, list[int]] = {}  # by number: the failed attempts that none has followed, the likeliest last
    for place, number in enumerate(attempts.tolist()):
        if before := waiting.get(number - 1):
            chains[place] = chains[before.pop()]
        if not done[place]:
            failed = waiting.setdefault(number, [])
            failed.insert(0 if permanent[place] else len(failed), place)
    return chains


def saved_attempts(log: EventLog) -> NDArray[np.bool_]:
    """Tell for each row whether a later attempt of the same step completed."""
    chains, attempt = attempt_chains(log), log.steps["attempt"].to_numpy()
    best = np.zeros(int(chains.max(initial=-1)) + 1, dtype=attempt.dtype)
    np.maximum.at(best, chains, np.where(_is_done(log), attempt, 0))
    return best[chains] > attempt


def _is_done(log: EventLog) -> NDArray[np.bool_]:
    done: NDArray[np.bool_] = log.steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED]).to_numpy()
    return done


def _first_of(chains: NDArray[np.int64], rows: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the first of the rows of each chain that has one."""
    at = np.flatnonzero(rows)
    return at[np.unique(chains[at], return_index=True)[1]]


def _kinds(log: EventLog, rows: NDArray[np.intp]) -> pd.DataFrame:
    found = log.steps[[*KIND]].take(rows).reset_index(drop=True)
    return found.astype(dict.fromkeys(KIND, "str"))


def _column(log: EventLog, name: str) -> NDArray[np.generic] | pd.api.extensions.ExtensionArray:
    """Return the values by which failures are told apart, a row of the steps each."""
    steps, cases = log.steps, log.cases
    if name in steps and (name not in cases or steps[name].notna().any()):
        found = steps[name]
    elif name in cases:
        found = cases[name].take(log.case_codes)
    elif name in _CLOCK:
        found = getattr(steps["completed"].dt, _CLOCK[name])
    else:
        known = [*steps, *cases, *_CLOCK]
        message = f"by: the log has no column {name!r}.{nearest(name, known)}"
        raise LogError(message)
    return found.astype("str").array if isinstance(found.dtype, pd.CategoricalDtype) else found.array
