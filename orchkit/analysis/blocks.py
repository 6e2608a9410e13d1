"""Throughput, queues and utilization by blocks of time: how much what belongs to a whole period varies in one log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.intervals import spans
from orchkit.analysis.measures import CaseMeasures
from orchkit.analysis.spans import moments_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["Blocks", "blocks_of", "load_within"]

_COUNT, _LEAST = 20, 8  # of blocks: of any length, and of whole weeks or days
_WEEK_S, _DAY_S = 604_800.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Blocks:
    """Figures of blocks of time: each figure is the mean of its blocks, by their length.

    Attributes
    ----------
    lengths_s
        Of each block.
    figures
        By name, one value a block.
    """

    lengths_s: NDArray[np.float64]
    figures: dict[str, NDArray[np.float64]]


def blocks_of(log: EventLog, measures: CaseMeasures) -> Blocks:
    """Return throughput, queue lengths and utilizations by block of time.

    Blocks are whole weeks or, where there are fewer than eight, whole days; in less than eight days, twentieths.
    """
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    ended = moments_s(log.cases["completed"])[measures.cases["completed"].to_numpy() > 0]
    waits, leaves = measures.waits_s, measures.leaves_s
    known = ~np.isnan(leaves)
    begins = np.concatenate([(leaves - waits)[known], completed[~np.isnan(completed)]])
    ends = np.concatenate([leaves[known], completed[~np.isnan(completed)]])
    if not len(begins) or ends.max() <= begins.min():
        return Blocks(np.zeros(0), {})
    edges = _edges(float(begins.min()), float(ends.max()))
    lengths = np.diff(edges)
    figures = {"throughput": np.histogram(ended, edges)[0] / lengths * 3600}
    roles = log.steps["role"].astype("object").to_numpy()
    queued = known & (waits > 0)
    if "waiting_s" in measures.cases:
        figures["queue_length"] = load_within((leaves - waits)[queued], leaves[queued], edges) / lengths
    for role in log.steps["role"].cat.categories:
        own = roles == role
        if "waiting_s" in measures.cases:
            rows = own & queued
            load = load_within((leaves - waits)[rows], leaves[rows], edges)
            figures[f"queue_length.{role}"] = load / lengths
        rows = own & ~np.isnan(started) & ~np.isnan(completed) & (log.resource_codes >= 0)
        if rows.any():
            codes = log.resource_codes[rows].astype(np.int64)
            busy = spans(codes, started[rows], completed[rows])
            share = load_within(busy.starts_s, busy.ends_s, edges) / lengths / len(np.unique(codes))
            figures[f"utilization.{role}"] = share
    return Blocks(lengths, figures)


def load_within(
    starts_s: NDArray[np.float64], ends_s: NDArray[np.float64], edges_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how many seconds of spans lie between each edge and the next, all spans together.

    Examples
    --------
    >>> load_within(np.array([0.0, 5.0]), np.array([10.0, 20.0]), np.array([0.0, 10.0, 20.0])).tolist()
    [15.0, 10.0]
    """
    return np.asarray(np.diff(_until(starts_s, edges_s) - _until(ends_s, edges_s)), dtype=np.float64)


def _until(times_s: NDArray[np.float64], edges_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each edge the seconds that have gone by since each of the times before it, together."""
    # Seen from the first edge, so that sums of microseconds keep their digits.
    times, edges = np.sort(times_s) - edges_s[0], edges_s - edges_s[0]
    before = np.searchsorted(times, edges)
    sums = np.concatenate([[0.0], np.cumsum(times)])
    return np.asarray(before * edges - sums[before], dtype=np.float64)


def _edges(first_s: float, last_s: float) -> NDArray[np.float64]:
    for width in (_WEEK_S, _DAY_S):
        count = int((last_s - first_s) // width)
        if count >= _LEAST:
            # What is left over goes to the last block: part of a week is not like the others.
            return np.asarray([*(first_s + width * np.arange(count)), last_s], dtype=np.float64)
    return np.linspace(first_s, last_s, _COUNT + 1)
