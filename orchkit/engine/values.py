"""Values on their way to the store: whatever handlers return becomes JSON, or a clear error."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from orchkit.errors import PermanentError

__all__ = ["as_json", "plain"]

# Made once: json.dumps with options makes an encoder each time.
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_PLAIN = frozenset({str, int, bool, type(None)})


def as_json(value: object) -> str:
    """Return JSON text.

    Examples
    --------
    >>> as_json({"b": [1, None]})
    '{"b":[1,null]}'
    """
    return _ENCODER.encode(value)


def plain(value: object) -> Any:  # noqa: ANN401 -- a JSON value
    """Return a value as JSON knows it, sharing nothing with the original.

    Tuples and sets become lists, dates ISO text, decimals text, dataclasses and rows mappings, NumPy's and pandas'
    values their plain ones.

    Raises
    ------
    PermanentError
        A value that JSON does not have: NaN, an infinity, an object.

    Examples
    --------
    >>> plain({"due": dt.date(2027, 1, 31), "lines": (1, 2)})
    {'due': '2027-01-31', 'lines': [1, 2]}
    """
    if type(value) in _PLAIN:
        return value
    try:
        return _plain(value)
    except RecursionError:
        message = "The result refers to itself, or is nested too deep, so it cannot be kept as JSON."
        raise PermanentError(message) from None


def _plain(value: object) -> Any:  # noqa: ANN401, C901 -- one case a line
    match value:
        case enum.Enum():
            return _plain(value.value)
        case bool() | None:
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            if math.isfinite(value):
                return float(value)
            message = f"The result holds {value}, which JSON does not have: return None instead."
            raise PermanentError(message)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case decimal.Decimal() | uuid.UUID() | PurePath():
            return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    for method in ("to_dict", "tolist", "isoformat"):
        convert = getattr(value, method, None)
        if callable(convert) and not isinstance(value, type):
            # A frame gives its rows.
            frame = method == "to_dict" and hasattr(value, "columns")
            return _plain(convert(orient="records") if frame else convert())
    kind = type(value).__name__
    message = f"The result holds a {kind}, which cannot be kept as JSON: return dicts, lists, text and numbers."
    raise PermanentError(message)
