"""Start and complete events of XES's lifecycle, folded into steps that have a start and an end."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["LIFECYCLE", "fold"]

LIFECYCLE = "lifecycle:transition"
_ENABLES, _STARTS = ("schedule", "assign", "reassign"), ("start", "resume")
_ENDS = {
    "complete": "COMPLETED",
    "manualskip": "SKIPPED",
    "autoskip": "SKIPPED",
    "ate_abort": "FAILED",
    "pi_abort": "CANCELLED",
    "withdraw": "CANCELLED",
}


def fold(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return a row a step from a row an event, and what that cost.

    Within a case and activity (and ``concept:instance``, where the file has it) an end closes the oldest open start,
    and a start the oldest open ``schedule``: first in, first out. An end without a start stays a step without
    ``started``; what never ends stays open. ``suspend``, ``resume`` while open and the like are dropped.
    """
    transition = frame[LIFECYCLE].astype("str").str.lower().fillna("complete")
    known = transition.isin([*_ENABLES, "start", *_ENDS]).to_numpy()
    notes = []
    if not known.all():
        names = ", ".join(sorted(set(transition[~known])))
        notes.append(f"{int((~known).sum()):,} events were dropped: no start or end of a step ({names})")
    keys = ["case:concept:name", "concept:name", *(["concept:instance"] if "concept:instance" in frame else [])]
    group: NDArray[np.int64] = (
        frame.groupby(keys, observed=True, sort=False, dropna=False).ngroup().to_numpy().astype(np.int64)
    )
    time = frame["time:timestamp"].to_numpy()
    order = np.lexsort((time, group))
    order = order[known[order]]
    kind = transition.to_numpy()[order]
    enables, starts, ends = np.isin(kind, _ENABLES), kind == "start", np.isin(kind, list(_ENDS))
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
    steps["start_timestamp"] = _at(moments, begun[rows])
    steps["enabled"] = _at(moments, waited[rows])
    steps["time:timestamp"] = steps["time:timestamp"].where(ends[rows])
    steps["status"] = np.select(
        [ends[rows], starts[rows]], [pd.Series(kind[rows]).map(_ENDS).fillna(""), "RUNNING"], "PENDING"
    )
    unstarted = int((ends & (started_at < 0)).sum())
    notes.append(f"{len(frame):,} events were folded into {len(steps):,} steps; {unstarted:,} of them have no start")
    still = int((~ends[rows]).sum())
    if still:
        notes.append(f"{still:,} steps never end in the log and stay open")
    return steps.drop(columns=LIFECYCLE), notes


def _pair(group: NDArray[np.int64], opens: NDArray[np.bool_], closes: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return for each row that closes the row that it closes, the oldest open one of its group, else -1."""
    change = pd.Series(opens.astype(np.int64) - closes)
    depth = change.groupby(group, sort=False).cumsum()
    lowest = depth.groupby(group, sort=False).cummin().clip(upper=0)
    # A close on an empty queue is where the lowest depth falls: it closes nothing.
    before = lowest.groupby(group, sort=False).shift(fill_value=0)
    matched = closes & (lowest == before).to_numpy()
    found = np.full(len(group), -1, dtype=np.intp)
    opened, closed = np.flatnonzero(opens), np.flatnonzero(matched)
    if len(closed):
        ranked = pd.Series(1, index=range(len(group)))
        close_rank = ranked[matched].groupby(group[matched], sort=False).cumcount().to_numpy()
        first = np.searchsorted(group[opened], group[closed])  # the groups rise
        found[closed] = opened[first + close_rank]
    return found


def _at(moments: pd.Series, rows: NDArray[np.intp]) -> pd.Series:
    if not len(moments):
        return moments
    return moments.take(np.maximum(rows, 0)).reset_index(drop=True).where(rows >= 0)
