"""What happens, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchkit.analysis.spans import (
    Hours,
    begins_s,
    case_durations_s,
    figures,
    flow_figures,
    gaps_s,
    moments_s,
    work_between,
)
from orchkit.columns import text_of
from orchkit.log import EventLog, expect_log
from orchkit.native import Kernel

__all__ = ["directly_follows", "end_activities", "rework", "start_activities", "variants"]

ARROW = " → "
_MOST_CELLS = 1 << 22
_WAYS, _AHEAD, _ROOM = "orchkit.analysis.way_kernel", 64, 32 * " "
_KINDS = 5  # bits that tell kinds of repeated steps apart
_PAIRS = Kernel("orchkit.analysis.kernel", "pairs", (np.int32, np.int64, int, int, np.int64))
_NUMBERED = Kernel(_WAYS, "numbered", (np.int32, np.int64, int, np.uint64, int, np.uint64, np.int64, np.int64))
_WEIGHED = Kernel(_WAYS, "weighed", (np.int32, np.int64, np.int64, int, np.int64, int, np.int64))
_TOLD = Kernel(_WAYS, "told", (np.int32, np.int64, np.int64, int, np.int64, np.uint8, np.int64, np.uint8))
_REPEATS = Kernel("orchkit.analysis.kernel", "repeats", (np.int32, np.int32, np.int64, int, int, np.int64, np.int64))


def variants(log: EventLog) -> pd.DataFrame:
    """Return the variants, the different ways that cases took: the most frequent first, ties as they first appear.

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
    0  check → ship      1    0.5  3600.0
    1         check      1    0.5     0.0
    """
    expect_log(log, "variants")
    (codes, first), durations_s = _ways(log), case_durations_s(log)
    cases = np.flatnonzero(codes >= 0)
    if len(cases) < len(codes):
        codes, durations_s = codes[cases], durations_s[cases]
    columns = figures(codes, durations_s, len(first), count="cases")
    order = _descending(columns["cases"])
    first = first[order]
    figure = {name: values[order] for name, values in columns.items()}
    share = figure["cases"] / max(len(cases), 1)
    table = {
        "variant": variant_names(log, first),
        "length": np.diff(log.offsets)[first],
        "cases": figure.pop("cases"),
        "share": share,
        "cumulative_share": np.cumsum(share),
        **figure,
        "example": log.cases["case_id"].take(first).set_axis(pd.RangeIndex(len(first))),
    }
    return pd.DataFrame(table, copy=False)


def _descending(counts: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the stable order from the greatest to 1, the count of most ways, for which nothing is sorted."""
    several = np.flatnonzero(counts > 1)
    return np.concatenate([several[np.argsort(-counts[several], kind="stable")], np.flatnonzero(counts == 1)])


def variant_names(log: EventLog, cases: NDArray[np.intp]) -> pd.Series:
    """Return the ways of some cases as text."""
    cases = np.ascontiguousarray(cases, dtype=np.int64)
    own, arrow = pa.array(log.activities, type=pa.large_string()), len(ARROW.encode())
    places = np.concatenate([[0], np.cumsum(pc.binary_length(own).to_numpy() + arrow)])
    names = np.frombuffer((ARROW.join([*own.to_pylist(), ""]) + _ROOM).encode(), dtype=np.uint8)
    ends = np.empty(len(cases) + 1, dtype=np.int64)
    given = (log.activity_codes, log.offsets, cases, len(cases), places)
    text = np.empty(_WEIGHED(*given, arrow, ends) + arrow + len(_ROOM), dtype=np.uint8)
    _TOLD(*given, names, ends, text)
    return text_of(pa.Array.from_buffers(pa.large_string(), len(cases), [None, pa.py_buffer(ends), pa.py_buffer(text)]))


def variant_codes(log: EventLog) -> NDArray[np.int64]:
    """Return for each case a number that cases of one way share, in order of first use; -1 for one without steps."""
    return _ways(log)[0]


def _ways(log: EventLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return as `variant_codes` the numbers of cases, and the first case of each number."""
    size = 1 << (2 * len(log)).bit_length()
    table, hashes = np.zeros(size, dtype=np.uint64), np.empty(_AHEAD, dtype=np.uint64)
    numbers, firsts = np.empty((2, len(log)), dtype=np.int64)
    many = _NUMBERED(log.activity_codes, log.offsets, len(log), table, size, hashes, numbers, firsts)
    return numbers, firsts[:many]


def directly_follows(log: EventLog, calendar: Hours | None = None) -> pd.DataFrame:
    """Return which activity came next in a case, how often, and after what time.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    calendar
        Adds ``working_mean_s``: the mean of the time between that lies within its hours.

    Returns
    -------
    DataFrame
        ``source``, ``target``, ``count``, and ``mean_s``, ``median_s``, ``p95_s`` of the seconds from the completion
        of the source to the start of the target (its completion, if no start is known). The most frequent first.
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
    expect_log(log, "directly_follows")
    size, names = max(len(log.activities), 1), np.asarray(log.activities)
    if size * size <= _MOST_CELLS:
        present, columns = _dense_flows(log, size)
    else:
        rows, codes, present = _pairs(log, size)
        columns = figures(codes, gaps_s(log, rows, rows + 1), len(present))
    if calendar is not None:
        rows, codes, _ = _pairs(log, size)
        work = work_between(calendar, moments_s(log.steps["completed"])[rows], begins_s(log)[rows + 1])
        columns["working_mean_s"] = figures(codes, work, len(present))["mean_s"]
    sources, targets = names[present // size].astype("str"), names[present % size].astype("str")
    order = np.lexsort((targets, sources, -columns["count"]))
    table = {"source": pd.Series(sources[order], dtype="str"), "target": pd.Series(targets[order], dtype="str")}
    return pd.DataFrame(table | {name: values[order] for name, values in columns.items()})


def _dense_flows(log: EventLog, size: int) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return which pairs there are, as numbers that rise, and the figures of each: by a table of all that could be."""
    cells = np.zeros(size * size, dtype=np.int64)
    _PAIRS(log.activity_codes, log.offsets, len(log), size, cells)
    present = np.flatnonzero(cells)
    order = np.zeros(len(cells), dtype=np.int32)
    order[present] = np.arange(len(present))
    counts = cells[present]
    return present, flow_figures(log, order, counts)


def _pairs(log: EventLog, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]:
    """Return the steps with a next one in their case, the pair that each begins, and the pairs."""
    rows = np.flatnonzero(log.case_codes[1:] == log.case_codes[:-1])
    pairs = log.activity_codes[rows].astype(np.int64) * size + log.activity_codes[rows + 1]
    codes, present = pd.factorize(pairs, sort=True)
    return rows, codes, present


def start_activities(log: EventLog) -> pd.DataFrame:
    """Return the activities that cases begin with: ``activity``, ``cases``, ``share``; the most frequent first.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> start_activities(log)
      activity  cases  share
    0    check      2    1.0
    """
    expect_log(log, "start_activities")
    return _ends(log, log.offsets[:-1][np.diff(log.offsets) > 0])


def end_activities(log: EventLog) -> pd.DataFrame:
    """Return the activities that cases end with: ``activity``, ``cases``, ``share``; the most frequent first.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> end_activities(log)
      activity  cases  share
    0    check      1    0.5
    1     ship      1    0.5
    """
    expect_log(log, "end_activities")
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
    expect_log(log, "rework")
    size = len(log.activities)
    kinds, latest = np.zeros((size, 1 << _KINDS), dtype=np.int64), np.empty(size, dtype=np.int64)
    _REPEATS(log.activity_codes, log.resource_codes, log.offsets, len(log), size, latest, kinds)
    again, second, loop, known, same = (np.arange(1 << _KINDS) >> bit & 1 == 1 for bit in range(_KINDS))
    counts, cases, repeated, repeats, loops, by_same, by_other = (
        kinds[:, which].sum(axis=1) for which in (again | True, ~again, second, again, loop, same, known & ~same)
    )
    names = np.asarray(log.activities)
    order = np.lexsort((names, -repeats))
    order = order[counts[order] > 0]
    table = {
        "activity": names,
        "count": counts,
        "cases": cases,
        "cases_repeated": repeated,
        "share_repeated": repeated / np.maximum(cases, 1),
        "repeats": repeats,
        "self_loops": loops,
        "same_resource": by_same,
        "other_resource": by_other,
    }
    return pd.DataFrame({name: values[order] for name, values in table.items()})
