"""How the parts of a scenario are shown: as they are written, without what is not said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any

__all__ = ["brief", "listed", "mapped"]

_MANY, _FEW = 8, 3


def brief(value: Any) -> str:  # noqa: ANN401 -- any dataclass of a scenario
    """Return a dataclass as it is written, without the fields that have their defaults.

    Examples
    --------
    >>> from orchkit.simulation.scenario import Resource
    >>> brief(Resource(2, cost_per_hour=30))
    'Resource(count=2, cost_per_hour=30)'
    """
    shown = []
    for field in fields(value):
        item = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.init and item != default:
            shown.append(f"{field.name}={_shown(item)}")
    return f"{type(value).__name__}({', '.join(shown)})"


def _shown(item: object) -> str:
    if isinstance(item, list | tuple):
        return listed(item)
    return repr(item.value if isinstance(item, StrEnum) else item)


def listed(values: Iterable[Any]) -> str:
    """Return a list as it is written; of a long one, how many there are.

    Examples
    --------
    >>> listed([1, 2]), listed(range(100))
    ('[1, 2]', '[0, 1, 2, … 100 in all]')
    """
    known = list(values)
    if len(known) <= _MANY:
        return repr(known)
    return f"[{', '.join(map(repr, known[:_FEW]))}, … {len(known)} in all]"


def mapped(pairs: Iterable[tuple[Any, Any]]) -> str:
    """Return pairs as a mapping is written; of a long one, how many there are."""
    shown = [f"{key!r}: {value!r}" for key, value in pairs]
    more = f", … {len(shown)} in all" if len(shown) > _MANY else ""
    return f"{{{', '.join(shown[:_FEW] if more else shown)}{more}}}"
