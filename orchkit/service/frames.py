"""From frames to what JSON has."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

__all__ = ["history_records", "jsonable", "plain_cell", "records"]


def records(frame: pd.DataFrame, columns: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return a mapping a row: what is missing is None, and times are texts.

    Examples
    --------
    >>> records(pd.DataFrame({"at": [pd.Timestamp("2027-01-31", tz="UTC")], "value": [float("nan")]}))
    [{'at': '2027-01-31T00:00:00+00:00', 'value': None}]
    """
    names = list(frame.columns if columns is None else columns)
    lists = [[plain_cell(value) for value in frame[name].tolist()] for name in names]
    return [dict(zip(map(str, names), values, strict=True)) for values in zip(*lists, strict=True)]


def history_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a mapping a row of the history, with the payload's value."""
    found = records(frame)
    for row in found:
        row["payload"] = None if row["payload"] is None else json.loads(row["payload"])
    return found


def plain_cell(value: Any) -> Any:  # noqa: ANN401 -- a cell
    """Return a value of a frame as JSON has it."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value


def jsonable(value: Any) -> Any:  # noqa: ANN401 -- what Arrow gives
    """Return a value of an Arrow table as JSON has it: what JSON lacks is text, and no number is None.

    Examples
    --------
    >>> jsonable({"at": dt.date(2027, 1, 31), "sum": decimal.Decimal("7"), "raw": b"ab", "no": float("inf")})
    {'at': '2027-01-31', 'sum': 7, 'raw': '6162', 'no': None}
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case decimal.Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case Mapping():
            return {str(name): jsonable(item) for name, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
        case _:
            return str(value)
