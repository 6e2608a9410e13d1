"""Figures of values by group in linear time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchkit.native import Kernel

__all__ = ["by_flow", "by_group"]

_BINS, _MICROSECONDS, _AWAY = 2048, 1e6, 1 << 20
_KEYS, _FLOATS, _COUNTS = np.uint64, np.float64, np.int64
_KINDS = (_FLOATS, int, _COUNTS, _FLOATS, _COUNTS, _KEYS, _KEYS, _COUNTS, _COUNTS, _KEYS, _KEYS)
_GROUPED = Kernel("orchkit.analysis.kernel", "grouped", (np.int32, _FLOATS, _KEYS, int, int, *_KINDS))
_FLOWS = Kernel(
    "orchkit.analysis.kernel",
    "flows",
    (np.int32, np.int64, int, int, np.int32, np.int64, np.int64, int, *_KINDS),
)
Figures = tuple[NDArray[np.int64], NDArray[np.float64], list[NDArray[np.float64]]]


def by_group(
    codes: NDArray[np.integer[Any]], values: NDArray[np.float64], size: int, shares: Sequence[float]
) -> Figures:
    """Return how many known values each group has, their sum, and for each share a value a group.

    The values of shares are interpolated between neighbors, as NumPy and pandas do, and missing for a group without
    known values.

    Parameters
    ----------
    codes, values
        Of each row: its group, from 0, and a number, which may be missing.
    size
        How many groups there are.
    shares
        Of the rows of a group, between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> counts, sums, (median, p95) = by_group(
    ...     np.array([0, 1, 0, 0]), np.array([3.0, 7.0, 1.0, 2.0]), 2, (0.5, 0.95)
    ... )
    >>> counts.tolist(), sums.tolist(), median.tolist(), p95.tolist()
    ([3, 1], [6.0, 7.0], [2.0, 7.0], [2.9, 7.0])
    """
    codes = np.ascontiguousarray(codes, dtype=np.int32)
    values = np.ascontiguousarray(values)
    room = _room(len(values), np.zeros(size, dtype=np.int64), shares)
    if _GROUPED(codes, values, values.view(_KEYS), len(values), size, *room):
        message = f"codes of groups must lie between 0 and {size - 1}"
        raise IndexError(message)
    below, above = (ends.view(_FLOATS).reshape(size, len(shares)) for ends in room[-2:])
    return _between(room, below, above)


def by_flow(
    activities: NDArray[np.int32],
    offsets: NDArray[np.int64],
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    order: NDArray[np.int32],
    counts: NDArray[np.int64],
    shares: Sequence[float],
) -> Figures:
    """Return as `by_group` the seconds from each step to the next of its case, by the pair of their activities.

    Parameters
    ----------
    activities, offsets
        As a log has them.
    times
        When each step was completed, and when it began, in microseconds.
    order, counts
        The group of each pair, and how many steps each group has.
    shares
        As in `by_group`.
    """
    room = _room(int(counts.sum()), counts.copy(), shares)
    size = math.isqrt(len(order))
    _FLOWS(activities, offsets, len(offsets) - 1, size, order, *times, len(counts), *room)
    below, above = (_seconds(ends.view(_FLOATS)).reshape(-1, len(shares)) for ends in room[-2:])
    counts, sums, found = _between(room, below, above)
    return counts, sums / _MICROSECONDS, found


def _seconds(found: NDArray[np.float64]) -> NDArray[np.float64]:
    return (found - np.copysign(_AWAY, found)) / _MICROSECONDS


def _room(length: int, counts: NDArray[np.int64], shares: Sequence[float]) -> tuple[Any, ...]:
    """Return what a kernel writes to."""
    held, some = np.empty(length, dtype=_KEYS), np.empty(length, dtype=_KEYS)
    size, bins = len(counts), np.empty((2, _BINS), dtype=_COUNTS)
    found = np.zeros((2, size * len(shares)), dtype=_KEYS)
    wanted = (np.array(shares, dtype=_FLOATS), len(shares))
    return (*wanted, counts, np.empty(size), np.empty(size, dtype=_COUNTS), held, some, *bins, *found)


def _between(room: tuple[Any, ...], below: NDArray[np.float64], above: NDArray[np.float64]) -> Figures:
    shares, _, counts, sums = room[:4]
    found = below.copy()
    groups, shares_of = np.nonzero(below != above)  # most groups of few values have none
    places = (counts[groups] - 1) * shares[shares_of]
    low, high = below[groups, shares_of], above[groups, shares_of]
    with np.errstate(invalid="ignore"):  # neighbors may both be infinite
        found[groups, shares_of] = low + (high - low) * (places - np.floor(places))
    found[counts == 0] = np.nan
    return counts, sums, list(found.T)
