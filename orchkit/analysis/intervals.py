"""Spans of time: how much of a period something was on, for many periods at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Spans", "spans", "sums_by"]


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans by group, merged where they overlap: the time that is covered, not the sum of the lengths.

    Attributes
    ----------
    groups, starts_s, ends_s
        Of each span, sorted by group and start; spans of one group do not touch.
    origin_s, width_s
        Of the axis on which the groups stand one behind the other.
    """

    groups: NDArray[np.int64]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    origin_s: float
    width_s: float

    def within(
        self, groups: NDArray[np.int64], begins_s: NDArray[np.float64], ends_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how many seconds of each period its group's spans cover."""
        return self._until(groups, ends_s) - self._until(groups, begins_s)

    def total_s(self, count: int) -> NDArray[np.float64]:
        """Return the seconds that the spans of each of ``count`` groups cover."""
        return sums_by(self.groups, self.ends_s - self.starts_s, count)

    def _until(self, groups: NDArray[np.int64], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(self.groups):
            return np.zeros(len(groups))
        lengths = self.ends_s - self.starts_s
        before = np.concatenate([[0.0], np.cumsum(lengths)])
        clipped = np.clip(times_s - self.origin_s, 0, self.width_s)
        axis = self.groups * (self.width_s + 1) + self.starts_s - self.origin_s
        last = np.searchsorted(axis, groups * (self.width_s + 1) + clipped, side="right") - 1
        held = np.maximum(last, 0)
        inside = np.clip(clipped + self.origin_s - self.starts_s[held], 0, lengths[held])
        # What stands before the group's own first span belongs to other groups.
        first = before[np.searchsorted(self.groups, groups, side="left")]
        is_own = (last >= 0) & (self.groups[held] == groups)
        return np.where(is_own, before[held] + inside - first, 0.0)


def spans(groups: NDArray[np.int64], starts_s: NDArray[np.float64], ends_s: NDArray[np.float64]) -> Spans:
    """Return spans from the starts and ends of each, in any order; empty ones count for nothing.

    Examples
    --------
    >>> import numpy as np
    >>> busy = spans(np.array([0, 0, 1]), np.array([0.0, 5.0, 0.0]), np.array([10.0, 20.0, 4.0]))
    >>> busy.total_s(2).tolist()
    [20.0, 4.0]
    >>> busy.within(np.array([0, 1]), np.array([15.0, 2.0]), np.array([30.0, 30.0])).tolist()
    [5.0, 2.0]
    """
    keep = ends_s > starts_s
    groups, starts_s, ends_s = groups[keep].astype(np.int64), starts_s[keep], ends_s[keep]
    if not len(groups):
        return Spans(groups, starts_s, ends_s, 0.0, 0.0)
    order = np.lexsort((starts_s, groups))
    groups, starts_s, ends_s = groups[order], starts_s[order], ends_s[order]
    origin, width = float(starts_s.min()), float(ends_s.max() - starts_s.min())
    shift = groups * (width + 1) - origin
    reach = np.maximum.accumulate(ends_s + shift)
    is_first = np.concatenate([[True], starts_s[1:] + shift[1:] > reach[:-1]])
    first = np.flatnonzero(is_first)
    ends = np.maximum.reduceat(ends_s, first)
    return Spans(groups[first], starts_s[first], ends, origin, width)


def sums_by(
    groups: NDArray[np.int64] | NDArray[np.int32], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Return the sum of the values of each of ``count`` groups."""
    return np.bincount(groups, weights=values, minlength=count).astype(np.float64)
