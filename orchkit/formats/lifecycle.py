"""Start and complete events of XES's lifecycle, folded into steps that have a start and an end."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.columns import coded, microseconds

__all__ = ["LIFECYCLE", "fold"]

LIFECYCLE = "lifecycle:transition"
_KEYS = ("case:concept:name", "concept:name", "concept:instance")
_ENABLES = ("schedule", "assign", "reassign")
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
    and a start the oldest open ``schedule``: first in, first out. An end without a start stays a step without
    ``started``, unless one stands beside it (``start_timestamp``); what never ends stays open. ``suspend``, ``resume``
    while open and the like are dropped.
    """
    transition = coded(frame[LIFECYCLE])
    names = [*(str(name).lower() for name in transition.cat.categories), "complete"]
    codes = transition.cat.codes.to_numpy()  # -1, none, is the last name
    known = np.array([name in {*_ENABLES, "start", *_ENDS} for name in names])[codes]
    notes = []
    if not known.all():
        dropped = ", ".join(sorted({names[code] for code in np.unique(codes[~known])}))
        notes.append(f"{int((~known).sum()):,} events were dropped: no start or end of a step ({dropped})")
    group = _groups(
        [frame[name] for name in ("case:concept:name", "concept:name", "concept:instance") if name in frame]
    )
    time = microseconds(frame["time:timestamp"])
    order = np.argsort(group, kind="stable")
    if ((time[order][1:] < time[order][:-1]) & (group[order][1:] == group[order][:-1])).any():
        order = np.lexsort((time, group))
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

    steps = frame.iloc[order[rows]].reset_index(drop=True)
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
