"""Start and complete events of XES's lifecycle, folded into steps that have a start and an end."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.columns import CASE_PREFIX, coded, microseconds

__all__ = ["LIFECYCLE", "fold"]

LIFECYCLE = "lifecycle:transition"
_KEYS = ("case:concept:name", "concept:name", "concept:instance")
_TIMES = ("time:timestamp", "start_timestamp", "enabled")
_SCHEDULE, _ASSIGNS = "schedule", ("assign", "reassign")
_ENABLES = (_SCHEDULE, *_ASSIGNS)
_ENDS = {
    "complete": "COMPLETED",
    "manualskip": "SKIPPED",
    "autoskip": "SKIPPED",
    "ate_abort": "FAILED",
    "pi_abort": "CANCELLED",
    "withdraw": "CANCELLED",
}


def fold(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per step from one row per event, and what that cost.

    Within a case and activity (and ``concept:instance``, where the file has it) an end closes the oldest open start,
    and a start the oldest open ``schedule``: first in, first out. An ``assign`` of what was scheduled, and a
    ``reassign`` of what is open, begin no step of their own. An end without a start stays a step without ``started``,
    unless one stands beside it (``start_timestamp``); what never ends stays open. ``suspend``, ``resume`` and the like
    are dropped. An attribute that the end does not have is the start's, else that of what came before.
    """
    transition = coded(frame[LIFECYCLE])
    names = [*(str(name).strip().lower() or "complete" for name in transition.cat.categories), "complete"]
    codes = transition.cat.codes.to_numpy()  # -1, none, is the last name
    known = np.array([name in {*_ENABLES, "start", *_ENDS} for name in names])[codes]
    group = _groups([frame[name] for name in _KEYS if name in frame])
    time = microseconds(frame["time:timestamp"])
    order = np.argsort(group, kind="stable")
    if ((time[order][1:] < time[order][:-1]) & (group[order][1:] == group[order][:-1])).any():
        order = np.lexsort((time, group))
    notes = []
    order = order[known[order]]
    known[order[_goes_on(group[order], codes[order], names)]] = False
    if not known.all():
        dropped = ", ".join(sorted({names[code] for code in np.unique(codes[~known])}))
        notes.append(f"{int((~known).sum()):,} events were dropped: no start or end of a step ({dropped})")
        order = order[known[order]]
    kind = codes[order]
    enables, starts, ends = (
        np.array([name in wanted for name in names])[kind] for wanted in (_ENABLES, ("start",), _ENDS)
    )
    started_at = _pair(group[order], starts, ends)
    enabled_at = _pair(group[order], enables, starts)
    free = enables.copy()
    free[enabled_at[enabled_at >= 0]] = False
    direct = _pair(group[order], free, ends & (started_at < 0))

    begun = np.where(ends, started_at, np.where(starts, np.arange(len(order)), -1))
    waited = np.where(begun >= 0, enabled_at[begun], direct)
    waited = np.where(enables, np.arange(len(order)), waited)
    used = np.zeros(len(order), dtype=bool)
    used[started_at[started_at >= 0]] = True
    used[direct[direct >= 0]] = True
    used[enabled_at[enabled_at >= 0]] = True
    rows = np.sort(np.flatnonzero(ends | ~used))

    steps = _filled(frame, order[rows], [np.where(at[rows] < 0, -1, order[at[rows]]) for at in (begun, waited)], notes)
    moments = frame["time:timestamp"].iloc[order].reset_index(drop=True)
    for name, at in (("start_timestamp", begun), ("enabled", waited)):
        found = _at(moments, at[rows])
        steps[name] = found.fillna(steps[name]) if name in steps else found
    steps["time:timestamp"] = steps["time:timestamp"].where(ends[rows])
    statuses = np.array([_ENDS.get(name, "RUNNING" if name == "start" else "PENDING") for name in names], dtype=object)
    steps["status"] = pd.Categorical(statuses)[kind[rows]]
    unstarted = int((ends[rows] & steps["start_timestamp"].isna()).sum())
    notes.append(f"{len(frame):,} events were folded into {len(steps):,} steps; {unstarted:,} of them have no start")
    still = int((~ends[rows]).sum())
    if still:
        notes.append(f"{still:,} steps never end in the log and stay open")
    return steps.drop(columns=LIFECYCLE), notes


def _goes_on(group: NDArray[np.int64], codes: NDArray[np.integer], names: list[str]) -> NDArray[np.bool_]:
    """Tell which events assign what is open already: rows that are sorted by group, then in time."""
    found = np.zeros(len(group), dtype=bool)
    is_assign = np.array([name in _ASSIGNS for name in names])[codes]
    rows = np.flatnonzero(np.isin(group, group[is_assign]))
    last, enabled, assigned, running = -1, 0, 0, 0
    for row, own, code in zip(rows.tolist(), group[rows].tolist(), codes[rows].tolist(), strict=True):
        if own != last:
            last, enabled, assigned, running = own, 0, 0, 0
        name = names[code]
        if name == _SCHEDULE:
            enabled += 1
        elif name in _ASSIGNS:
            found[row] = assigned < enabled if name == "assign" else enabled + running > 0
            enabled += not found[row]
            assigned = min(assigned + 1, enabled)
        elif running and name != "start":
            running -= 1
        else:  # it takes up, or ends, what waits
            enabled, assigned = max(enabled - 1, 0), max(assigned - 1, 0)
            running += name == "start"
    return found


def _filled(
    frame: pd.DataFrame, rows: NDArray[np.intp], before: list[NDArray[np.intp]], notes: list[str]
) -> pd.DataFrame:
    """Return some rows of a frame; what a row does not have is taken from those before it, -1 for none."""
    steps = frame.iloc[rows].reset_index(drop=True)
    lost = {}
    for name in frame:
        if name in {*_KEYS, *_TIMES, LIFECYCLE} or str(name).startswith(CASE_PREFIX):
            continue
        differs = 0
        for at in before:
            other = _at(frame[name], at)
            absent = steps[name].isna() & other.notna()
            if absent.any():
                steps[name] = steps[name].where(~absent, other)
            differs += int((other.notna() & (_plain(other) != _plain(steps[name]))).sum())
        if differs:
            lost[name] = differs
    if lost:
        listed = ", ".join(f"{name} {count:,}" for name, count in lost.items())
        notes.append(f"values that differ from those of the step's end were dropped ({listed})")
    return steps


def _plain(column: pd.Series) -> pd.Series:
    """Return values that can be compared: of a column that may hold anything, their texts."""
    return column.astype("str") if column.dtype == object else column


def _groups(columns: list[pd.Series]) -> NDArray[np.int64]:
    """Return a number for each row that rows with the same values share; the numbers are dense."""
    group = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        categorical = coded(column).cat
        group = group * (len(categorical.categories) + 1) + categorical.codes.to_numpy() + 1
        group, _ = pd.factorize(group)
    return group


def _pair(group: NDArray[np.int64], opens: NDArray[np.bool_], closes: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return for each row that closes the row that it closes, the oldest open one of its group, else -1."""
    found = np.full(len(group), -1, dtype=np.intp)
    if not len(group):
        return found
    begins = np.ones(len(group), dtype=bool)
    begins[1:] = group[1:] != group[:-1]
    rank = np.cumsum(begins) - 1

    def within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count up in each group anew."""
        running = np.cumsum(counts)
        counted: NDArray[np.int64] = running - (running - counts)[begins][rank]
        return counted

    depth = within(opens.astype(np.int64) - closes)
    # Each group lies far below the one before, so that the lowest so far begins anew with it.
    lowered = depth - rank * (len(group) + 1)
    lowest = np.minimum(np.minimum.accumulate(lowered) + rank * (len(group) + 1), 0)
    # A close on an empty queue is where the lowest depth falls: it closes nothing.
    matched = closes & (lowest == np.where(begins, 0, np.roll(lowest, 1)))
    opened, closed = np.flatnonzero(opens), np.flatnonzero(matched)
    before: NDArray[np.int64] = np.cumsum(opens) - opens  # how many opened in earlier rows
    found[closed] = opened[before[begins][rank[closed]] + within(matched.astype(np.int64))[closed] - 1]
    return found


def _at(moments: pd.Series, rows: NDArray[np.intp]) -> pd.Series:
    if not len(moments):
        return moments
    return moments.take(np.maximum(rows, 0)).reset_index(drop=True).where(rows >= 0)
