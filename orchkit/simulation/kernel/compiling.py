"""How functions of the kernel are compiled: once, for the types that their arguments' names say, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import float64, int64, njit

__all__ = ["compiled"]

_TYPES = {
    "p": int64[::1],
    "m": int64[::1],
    "d": float64[::1],
    **dict.fromkeys(("u", "z", "shape", "seconds"), float64),
}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of the program ``p``, the memory ``m``, the numbers ``d`` and integers.

    The signature is given, not inferred from calls: else each literal argument would cost a version of its own.
    """
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    signature = tuple(_TYPES.get(name, int64) for name in names)
    made: Callable[..., Any] = njit(signature, nogil=True, cache=True, error_model="numpy")(function)
    return made
