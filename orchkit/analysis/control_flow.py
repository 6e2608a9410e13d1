"""What happens, and in which order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.analysis.spans import Hours, case_durations_s, gaps_s, summary, work_between
from orchkit.log import EventLog

__all__ = ["directly_follows", "end_activities", "rework", "start_activities", "variants"]

ARROW = " → "
_BASE, _SEED = np.uint64(0x9E3779B97F4A7C15), 20_240_506


def variants(log: EventLog) -> pd.DataFrame:
    """Return the ways that cases took, the most frequent first.

    Returns
    -------
    DataFrame
        ``variant`` (activities in order of completion, joined by an arrow), ``length`` (steps), ``cases``, ``share``
        and ``cumulative_share`` of the cases that have steps, ``mean_s``, ``median_s`` and ``p95_s`` of their
        durations (seconds, of those that ended), ``example`` (the first such case).

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> variants(log)[["variant", "cases", "share", "mean_s"]]
            variant  cases  share  mean_s
    0         check      1    0.5     0.0
    1  check → ship      1    0.5  3600.0
    """
    codes = variant_codes(log)
    kept = codes >= 0
    table = summary(codes[kept], case_durations_s(log)[kept], int(codes.max(initial=-1)) + 1, count="cases")
    first = np.full(len(table), -1, dtype=np.intp)
    cases = np.flatnonzero(kept)[::-1]
    first[codes[cases]] = cases
    names = np.asarray(log.activities)
    ways = [names[log.activity_codes[log.offsets[case] : log.offsets[case + 1]]] for case in first]
    table.insert(0, "variant", pd.Series([ARROW.join(way) for way in ways], dtype="str"))
    table.insert(1, "length", np.array([len(way) for way in ways], dtype=np.int64))
    table["example"] = log.cases["case_id"].take(first).to_numpy()
    table = table.sort_values(["cases", "variant"], ascending=[False, True], ignore_index=True)
    table.insert(3, "share", table["cases"] / max(len(cases), 1))
    table.insert(4, "cumulative_share", table["share"].cumsum())
    return table


def variant_codes(log: EventLog) -> NDArray[np.int64]:
    """Return for each case a number that cases of the same way share, -1 for a case without steps."""
    sizes = np.diff(log.offsets)
    found = np.full(len(log), -1, dtype=np.int64)
    starts = log.offsets[:-1][sizes > 0]
    if not len(starts):
        return found
    position = np.arange(len(log.case_codes)) - log.offsets[log.case_codes]
    # A polynomial of random numbers, an activity each; that it tells ways apart is checked below.
    numbers = np.random.default_rng(_SEED).integers(1, 2**63, len(log.activities)).astype(np.uint64)
    powers = np.cumprod(np.full(int(sizes.max()), _BASE, dtype=np.uint64))
    hashes = np.add.reduceat(numbers[log.activity_codes] * powers[position], starts)
    _, first, codes = np.unique(hashes, return_index=True, return_inverse=True)
    model = starts[first[codes]]
    shifts = np.repeat(model - starts, sizes[sizes > 0])
    lengths = sizes[sizes > 0]
    same = bool((lengths == lengths[first[codes]]).all())
    if not same or not (log.activity_codes == log.activity_codes[np.arange(len(shifts)) + shifts]).all():
        ways = [log.activity_codes[a : a + n].tobytes() for a, n in zip(starts, lengths, strict=True)]
        codes = pd.factorize(np.array(ways, dtype=object))[0]
    found[sizes > 0] = codes
    return found


def directly_follows(log: EventLog, calendar: Hours | None = None) -> pd.DataFrame:
    """Return which activity came next in a case, how often, and after what time.

    Parameters
    ----------
    log
        Of any origin.
    calendar
        Adds ``working_mean_s``: of the time between, what lay in its hours.

    Returns
    -------
    DataFrame
        ``source``, ``target``, ``count``, and ``mean_s``, ``median_s``, ``p95_s`` of the seconds from the completion
        of the source to the start of the target (its completion, where no start is known). The most frequent first.
        A target that starts before its source ends gives negative seconds: they overlap.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1"],
    ...     "activity": ["check", "ship"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z"],
    ... }))
    >>> directly_follows(log)
      source target  count  mean_s  median_s   p95_s
    0  check   ship      1  3600.0    3600.0  3600.0
    """
    follows = np.flatnonzero(log.case_codes[1:] == log.case_codes[:-1])
    size = max(len(log.activities), 1)
    pairs = log.activity_codes[follows].astype(np.int64) * size + log.activity_codes[follows + 1]
    begun, ended = gaps_s(log, follows)
    present = np.flatnonzero(np.bincount(pairs, minlength=size * size)) if size <= 1 << 12 else np.unique(pairs)
    codes = np.searchsorted(present, pairs)
    table = summary(codes, ended - begun, len(present))
    table.insert(0, "source", np.asarray(log.activities)[present // size])
    table.insert(1, "target", np.asarray(log.activities)[present % size])
    if calendar is not None:
        table["working_mean_s"] = summary(codes, work_between(calendar, begun, ended), len(present))["mean_s"]
    return table.sort_values(["count", "source", "target"], ascending=[False, True, True], ignore_index=True)


def start_activities(log: EventLog) -> pd.DataFrame:
    """Return the activities that cases begin with: ``activity``, ``cases``, ``share``; the most frequent first."""
    return _ends(log, log.offsets[:-1][np.diff(log.offsets) > 0])


def end_activities(log: EventLog) -> pd.DataFrame:
    """Return the activities that cases end with: ``activity``, ``cases``, ``share``; the most frequent first."""
    return _ends(log, log.offsets[1:][np.diff(log.offsets) > 0] - 1)


def _ends(log: EventLog, rows: NDArray[np.int64]) -> pd.DataFrame:
    counts = np.bincount(log.activity_codes[rows], minlength=len(log.activities))
    table = pd.DataFrame({"activity": np.asarray(log.activities), "cases": counts, "share": counts / max(len(rows), 1)})
    table = table[table["cases"] > 0]
    return table.sort_values(["cases", "activity"], ascending=[False, True], ignore_index=True)


def rework(log: EventLog) -> pd.DataFrame:
    """Return what is done again within a case, the most repeated first.

    Returns
    -------
    DataFrame
        ``activity``, ``count`` (steps), ``cases``, ``cases_repeated`` (with more than one), ``share_repeated`` (of
        ``cases``), ``repeats`` (steps after the first of their case), and of these ``self_loops`` (directly after
        the same activity), ``same_resource`` and ``other_resource`` (than the time before, where both are known).

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "check", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> rework(log)[["activity", "count", "cases", "cases_repeated", "repeats", "self_loops"]]
      activity  count  cases  cases_repeated  repeats  self_loops
    0    check      3      2               1        1           1
    """
    size = max(len(log.activities), 1)
    key = log.case_codes.astype(np.int64) * size + log.activity_codes
    order = np.argsort(key, kind="stable")
    key = key[order]
    again = np.zeros(len(key), dtype=bool)
    again[1:] = key[1:] == key[:-1]
    first = np.flatnonzero(~again)
    repeated = first[np.diff(first, append=len(key)) > 1]
    activity, who = log.activity_codes[order], log.resource_codes[order]
    before = np.roll(who, 1)
    known = again & (who >= 0) & (before >= 0)
    loops = np.flatnonzero((log.case_codes[1:] == log.case_codes[:-1]) & (np.diff(log.activity_codes) == 0))

    def count(of: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.bincount(of, minlength=len(log.activities))

    table = pd.DataFrame(
        {
            "activity": np.asarray(log.activities),
            "count": count(activity),
            "cases": count(activity[first]),
            "cases_repeated": count(activity[repeated]),
            "share_repeated": count(activity[repeated]) / np.maximum(count(activity[first]), 1),
            "repeats": count(activity[again]),
            "self_loops": count(log.activity_codes[loops]),
            "same_resource": count(activity[known & (who == before)]),
            "other_resource": count(activity[known & (who != before)]),
        }
    )
    table = table[table["count"] > 0]
    return table.sort_values(["repeats", "activity"], ascending=[False, True], ignore_index=True)
