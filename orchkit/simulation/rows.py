"""Memory for what the kernel writes: rows in one array that grows, and long arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Rows", "room_for"]

_FEW = 1 << 14
_LEAP = 64
_SMALL, _LARGE_PAGE = 1 << 17, 1 << 18  # integers
_MOST_AT_ONCE = 1 << 22  # integers: the system moves an array of 32 MB without copying it


class Rows:
    """Rows of integers, to which rows are added.

    Memory that is not written yet takes no space, so a short array becomes as long as is expected; a long one grows
    by an eighth, and is not copied.
    """

    def __init__(self, width: int) -> None:
        self._rows = np.empty((0, width), dtype=np.int64)
        self._count = 0

    def add(self, rows: NDArray[np.int64], expected: int = 0) -> None:
        """Add rows; there may be as many as ``expected`` in the end."""
        count = self._count + len(rows)
        if count > len(self._rows):
            self._grow(count, expected)
        self._rows[self._count : count] = rows
        self._count = count

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count

    def take(self) -> NDArray[np.int64]:
        """Return the rows, without a copy."""
        return self._rows[: self._count]

    def _grow(self, count: int, expected: int) -> None:
        have, width = self._rows.shape
        if self._rows.size < _MOST_AT_ONCE:
            grown = np.empty((max(count, 2 * have, _FEW, min(expected, _LEAP * count)), width), dtype=np.int64)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        else:
            self._rows.resize((max(count, have + have // 8), width), refcheck=False)


def room_for(count: int) -> NDArray[np.int64]:
    """Return memory for integers, for which the system has larger pages: to get many small ones takes long."""
    if count < _SMALL:
        return np.empty(count, dtype=np.int64)
    # NumPy asks for large pages from 4 MB on; they begin at multiples of their size, and the last one is whole.
    held = np.empty(count + 2 * _LARGE_PAGE, dtype=np.int64)
    first = -held.ctypes.data // 8 % _LARGE_PAGE
    return held[first : first + count]
