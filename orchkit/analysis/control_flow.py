"""What happens, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchkit.analysis.spans import (
    Hours,
    begins_s,
    case_durations_s,
    figures,
    gaps_s,
    moments_s,
    parts,
    work_between,
)
from orchkit.log import EventLog, expect_log

__all__ = ["directly_follows", "end_activities", "rework", "start_activities", "variants"]

ARROW = " → "
_MOST_CELLS = 1 << 22
_KINDS = 5  # bits that tell kinds of repeated steps apart


def variants(log: EventLog) -> pd.DataFrame:
    """Return the ways that cases took, the most frequent first, those that are as frequent as they first come.

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
    codes, durations_s = variant_codes(log), case_durations_s(log)
    cases = np.flatnonzero(codes >= 0)
    if len(cases) < len(codes):
        codes, durations_s = codes[cases], durations_s[cases]
    columns = figures(codes, durations_s, int(codes.max(initial=-1)) + 1, count="cases")
    # The codes rise as their ways first come.
    is_first = np.ones(len(codes), dtype=bool)
    np.greater(codes[1:], np.maximum.accumulate(codes)[:-1], out=is_first[1:])
    first = cases[is_first]
    order = np.argsort(-columns["cases"], kind="stable")
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


def _text(array: pa.Array) -> pd.Series:
    return pd.Series(array.to_pandas(types_mapper=lambda _: pd.StringDtype(na_value=np.nan)))


def variant_names(log: EventLog, cases: NDArray[np.intp]) -> pd.Series:
    """Return the ways of some cases as text."""
    begins, sizes = log.offsets[cases], np.diff(log.offsets)[cases]
    until = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.arange(until[-1]) + np.repeat(begins - until[:-1], sizes)
    size = len(log.activities)
    codes = log.activity_codes[rows]
    codes[until[1:][np.diff(until) > 0] - 1] += size  # the last of a way has no arrow behind it
    names = pa.array([*(f"{name}{ARROW}" for name in log.activities), *log.activities], type=pa.large_string())
    _, starts, text = names.take(pa.array(codes)).buffers()
    # The names stand side by side in memory, so that a way is what lies between its ends.
    ends = np.frombuffer(starts, dtype=np.int64, count=len(rows) + 1)[until]
    return _text(pa.Array.from_buffers(pa.large_string(), len(cases), [None, pa.py_buffer(ends), text]))


def variant_codes(log: EventLog) -> NDArray[np.int64]:
    """Return for each case a number that cases of the same way share, in order of first use; -1 for one without steps.

    The codes of a case's activities are bytes in a row, in the log's own memory, and Arrow tells such strings of
    bytes apart: by a hash, and where hashes meet by the bytes themselves.
    """
    codes = log.steps["activity"].cat.codes.to_numpy()
    data, offsets = pa.py_buffer(np.ascontiguousarray(codes)), pa.py_buffer(log.offsets * codes.itemsize)
    ways = pa.Array.from_buffers(pa.large_binary(), len(log), [None, offsets, data]).dictionary_encode()
    found: NDArray[np.int64] = ways.indices.to_numpy().astype(np.int64)
    empty = np.diff(log.offsets) == 0
    if empty.any():  # they have a code of their own
        none = found[empty.argmax()]
        found[found > none] -= 1
        found[empty] = -1
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
    expect_log(log, "directly_follows")
    codes, present, counts = _pairs(log)
    size, names = max(len(log.activities), 1), np.asarray(log.activities)
    gaps = gaps_s(log, slice(None, -1), slice(1, None))
    columns = figures(codes, gaps, len(present) + 1, counts=counts)
    if calendar is not None:
        begun, ended = moments_s(log.steps["completed"])[:-1], begins_s(log)[1:]
        work = figures(codes, work_between(calendar, begun, ended), len(present) + 1, counts=counts)
        columns["working_mean_s"] = work["mean_s"]
    sources, targets = names[present // size].astype("str"), names[present % size].astype("str")
    order = np.lexsort((targets, sources, -counts[:-1]))
    table = {"source": pd.Series(sources[order], dtype="str"), "target": pd.Series(targets[order], dtype="str")}
    return pd.DataFrame(table | {name: values[order] for name, values in columns.items()})


def _pairs(log: EventLog) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each step but the last which pair it begins, the pairs, and how often each occurs.

    The last step of a case begins none, and has a number of its own: one more than the pairs.
    """
    size, activities = max(len(log.activities), 1), log.activity_codes
    height = max(len(activities) - 1, 0)
    lasts = log.offsets[1:-1] - 1
    lasts = lasts[(lasts >= 0) & (lasts < height) & (np.diff(lasts, prepend=-1) > 0)]
    if size * size > _MOST_CELLS:
        pairs = activities[:-1].astype(np.int64) * size + activities[1:]
        pairs[lasts] = np.iinfo(np.int64).max
        codes, found = pd.factorize(pairs)
        rank = np.argsort(found)
        order = np.empty(len(found), dtype=np.int32)
        order[rank] = np.arange(len(found))
        present = found[rank][: len(found) - bool(len(lasts))]
        counts = np.zeros(len(present) + 1, dtype=np.int64)
        np.add(counts[: len(found)], np.bincount(order[codes]), out=counts[: len(found)])
        return order[codes], present, counts
    pairs = np.empty(height, dtype=np.int32)
    counts = np.zeros(size * size + 1, dtype=np.int64)
    for part in parts(height, max(1 << 15, size * size)):
        np.add(activities[:-1][part] * np.int32(size), activities[1:][part], out=pairs[part])
        counts += np.bincount(pairs[part], minlength=len(counts))
    counts -= np.bincount(pairs[lasts], minlength=len(counts))
    pairs[lasts] = size * size
    present = np.flatnonzero(counts[:-1])
    order = np.full(len(counts), len(present), dtype=np.int32)
    order[present] = np.arange(len(present))
    for part in parts(height):
        np.take(order, pairs[part], out=pairs[part], mode="clip")
    return pairs, present, np.append(counts[present], len(lasts))


def start_activities(log: EventLog) -> pd.DataFrame:
    """Return the activities that cases begin with: ``activity``, ``cases``, ``share``; the most frequent first."""
    expect_log(log, "start_activities")
    return _ends(log, log.offsets[:-1][np.diff(log.offsets) > 0])


def end_activities(log: EventLog) -> pd.DataFrame:
    """Return the activities that cases end with: ``activity``, ``cases``, ``share``; the most frequent first."""
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
    figures = _repeats(log)
    again, known, same, second, loop = (np.arange(1 << _KINDS) >> bit & 1 == 1 for bit in range(_KINDS))
    counts = {
        "count": figures.sum(axis=0),
        "cases": figures[~again].sum(axis=0),
        "cases_repeated": figures[second].sum(axis=0),
        "repeats": figures[again].sum(axis=0),
        "self_loops": figures[loop].sum(axis=0),
        "same_resource": figures[same].sum(axis=0),
        "other_resource": figures[known & ~same].sum(axis=0),
    }
    table = pd.DataFrame({"activity": np.asarray(log.activities), **counts})
    table.insert(4, "share_repeated", table["cases_repeated"] / np.maximum(table["cases"], 1))
    table = table[table["count"] > 0]
    return table.sort_values(["repeats", "activity"], ascending=[False, True], ignore_index=True)


def _repeats(log: EventLog) -> NDArray[np.int64]:
    """Return a count of steps by kind and activity.

    The bits of a kind: done again in its case; by a known resource, as the time before; by the same; the second time;
    directly after itself. A part of whole cases at a time: sorted by activity alone, as 8 or 16 bits by radix, its
    steps of the same activity and case stand side by side, in the order of time. What is compared of a step (case,
    activity, resource) is moved as one number.
    """
    size = max(len(log.activities), 1)
    figures = np.zeros(size << _KINDS, dtype=np.int64)
    who_bits, what_bits = len(log.resources).bit_length(), (size - 1).bit_length()
    counted = np.uint16 if size << _KINDS <= 1 << 16 else np.int64
    for part in _whole_cases(log, max(1 << 16, size)):
        activities = log.activity_codes[part]
        cases = log.case_codes[part] - log.case_codes[part.start]
        bits = int(cases[-1]).bit_length() + who_bits + what_bits
        whole = np.uint32 if bits <= 32 else np.uint64  # noqa: PLR2004
        order = np.argsort(activities.astype(_narrow(size)), kind="stable")
        steps = cases.astype(whole)
        steps <<= what_bits
        steps |= activities.view(np.uint32)
        steps <<= who_bits
        if who_bits:
            steps |= (log.resource_codes[part] + 1).view(np.uint32)  # 0 is nobody known
        steps = steps[order]
        changed = steps[1:] ^ steps[:-1]
        again = changed >> who_bits == 0
        known = steps & ((1 << who_bits) - 1) != 0
        known = again & known[1:] & known[:-1]
        rows: NDArray[Any] = order.astype(np.uint16 if len(order) <= 1 << 16 else np.int64)
        kinds = np.zeros(len(order), dtype=np.uint8)
        later = kinds[1:]
        later |= again & (rows[1:] - rows[:-1] == 1)
        later += later  # a place to the left, which NumPy does faster so than by a shift
        later |= again
        later[1:] ^= again[1:] & again[:-1]
        for bits_of in (known & (changed == 0), known, again):
            later += later
            later |= bits_of
        steps >>= who_bits
        steps &= (1 << what_bits) - 1
        keys = steps.astype(counted)
        keys <<= _KINDS
        keys |= kinds
        figures += np.bincount(keys, minlength=size << _KINDS)
    return figures.reshape(size, 1 << _KINDS).T[:, : len(log.activities)]


def _narrow(size: int) -> type[np.integer[Any]]:
    """Return the least type of so many codes: NumPy sorts 8 and 16 bits by radix."""
    return np.uint8 if size <= 1 << 8 else np.uint16 if size <= 1 << 16 else np.int32


def _whole_cases(log: EventLog, height: int) -> Iterator[slice]:
    """Yield slices that cover the rows, each of about so many and of whole cases."""
    begin = 0
    while begin < len(log.case_codes):
        end = int(log.offsets[np.searchsorted(log.offsets, begin + height, side="right") - 1])
        if end <= begin:  # a case of its own
            end = int(log.offsets[np.searchsorted(log.offsets, begin, side="right")])
        yield slice(begin, end)
        begin = end
