"""What holds several values: any list, tuple, set, array or column, but neither a text nor a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["several"]


def several(value: Any) -> list[Any] | None:  # noqa: ANN401 -- whatever was given
    """Return the values that something holds; None where it holds none.

    Examples
    --------
    >>> several(range(3)), several("abc"), several(5)
    ([0, 1, 2], None, None)
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return None
    try:
        return list(value)
    except TypeError:  # an array without a dimension says that it can be iterated over
        return None
