"""Quantiles by group in linear time: values are counted into bins, and only the bins that matter are sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["quantiles"]

_PART = 1 << 15
# A bin is a stretch of numbers with the same sign, exponent and first digits as 32-bit floats.
_FINEST, _COARSEST = 18, 26
_MOST_BINS = 1 << 20
_FEW, _SHORT = 1 << 14, 1 << 10
_SIGN = np.int32(0x7FFFFFFF)


def quantiles(
    codes: NDArray[np.integer[Any]], values: NDArray[np.float64], sizes: NDArray[np.int64], shares: Sequence[float]
) -> list[NDArray[np.float64]]:
    """Return for each share a value a group, interpolated between neighbors as NumPy and pandas do.

    Parameters
    ----------
    codes, values
        Of each row: its group, and a number, none missing.
    sizes
        How many rows each group has; where it has none, its quantiles are missing.
    shares
        Of the rows of the group, between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> median, p95 = quantiles(
    ...     np.array([0, 1, 0, 0]), np.array([3.0, 7.0, 1.0, 2.0]), np.array([3, 1]), (0.5, 0.95)
    ... )
    >>> median.tolist(), p95.tolist()
    ([2.0, 7.0], [2.9, 7.0])
    """
    groups = np.flatnonzero(sizes)
    ends = np.cumsum(sizes)[groups]
    places = [(sizes[groups] - 1) * share for share in shares]
    below = [ends - sizes[groups] + np.floor(place).astype(np.int64) for place in places]
    above = [np.minimum(row + 1, ends - 1) for row in below]
    held = _at(codes, values, sizes, np.concatenate([*below, *above])).reshape(2, len(shares), -1)
    found = []
    for place, low, high in zip(places, held[0], held[1], strict=True):
        figure = np.full(len(sizes), np.nan)
        figure[groups] = low + (high - low) * (place - np.floor(place))
        found.append(figure)
    return found


def _at(
    codes: NDArray[np.integer[Any]], values: NDArray[np.float64], sizes: NDArray[np.int64], ranks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what stands at these ranks if the rows were sorted by group and value."""
    bins = _bins(codes, values, len(sizes)) if len(values) > _FEW else None
    if bins is None:
        sorted_rows: NDArray[np.float64] = values[np.lexsort((values, codes))][ranks]
        return sorted_rows
    counts = np.bincount(bins)
    until = np.cumsum(counts)
    of_rank = (
        np.repeat(np.arange(len(counts)), counts)[ranks]
        if len(ranks) << 6 > len(bins)
        else np.searchsorted(until, ranks, side="right")
    )
    wanted = np.zeros(len(counts), dtype=bool)
    wanted[of_rank] = True
    rows = np.concatenate(
        [np.flatnonzero(wanted[bins[at : at + _PART]]) + at for at in range(0, len(bins), _PART)] or [of_rank[:0]]
    )
    kept = np.where(wanted, counts, 0)
    held = _sorted(np.cumsum(wanted)[bins[rows]] - 1, values[rows], counts[wanted])
    # A rank's place in its bin is the same among the rows that were kept.
    found: NDArray[np.float64] = held[ranks - (until - counts)[of_rank] + (np.cumsum(kept) - kept)[of_rank]]
    return found


def _sorted(
    codes: NDArray[np.integer[Any]], values: NDArray[np.float64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the values sorted by group, then value; groups that hold one value many times cost nothing."""
    if len(sizes) > 1 << 16:
        return values[np.lexsort((values, codes))]
    held = values[np.argsort(codes.astype(np.uint16), kind="stable")]  # NumPy sorts 16 bits by radix
    begins = np.cumsum(sizes) - sizes
    varied = np.minimum.reduceat(held, begins) < np.maximum.reduceat(held, begins) if len(sizes) else sizes > 0
    if varied.sum() <= _SHORT:
        for begin, size in zip(begins[varied], sizes[varied], strict=True):
            held[begin : begin + size].sort()
        return held
    rows = np.flatnonzero(np.repeat(varied, sizes))
    some = held[rows]
    held[rows] = some[np.lexsort((some, np.repeat(np.arange(len(sizes))[varied], sizes[varied])))]
    return held


def _bins(codes: NDArray[np.integer[Any]], values: NDArray[np.float64], size: int) -> NDArray[np.int32] | None:
    """Return bins that rise with group and value, None where there are too many groups for it."""
    ends = _ordered(np.array([values.min(), values.max()]))
    for shift in range(_FINEST, _COARSEST + 1):
        low, high = (int(end) >> shift for end in ends)
        width = high - low + 1
        if width * size <= min(_MOST_BINS, 2 * len(values)):
            break
    else:
        return None
    bins = np.empty(len(values), dtype=np.int32)
    for at in range(0, len(values), _PART):
        part = slice(at, at + _PART)
        place = _ordered(values[part]) >> shift
        place -= low
        place += codes[part].astype(np.int32, copy=False) * np.int32(width)
        bins[part] = place
    return bins


def _ordered(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return whole numbers that rise as the values do."""
    with np.errstate(over="ignore"):
        bits = values.astype(np.float32).view(np.int32)
    return bits ^ ((bits >> 31) & _SIGN)
