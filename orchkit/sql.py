"""A log's frames as DuckDB reads them, without a copy of what they hold, and its answers as pandas has such things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from orchkit.columns import NAT
from orchkit.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["asked"]

_LONGEST = 2_000
_SETTINGS = "SET TimeZone = 'UTC'; SET lock_configuration = true"
_DAY_US = 86_400_000_000
_SPAN = np.dtype([("months", "i4"), ("days", "i4"), ("nanoseconds", "i8")])  # as Arrow lays an interval out


def asked(tables: Mapping[str, pd.DataFrame], query: str) -> pd.DataFrame:
    """Return what DuckDB answers on tables, which it reads where they lie; it reads and writes nothing else.

    Raises
    ------
    LogError
        DuckDB does not take the query.
    """
    if not isinstance(query, str):
        message = f"sql takes a query as text, not {type(query).__name__}."
        raise LogError(message)
    import duckdb  # noqa: PLC0415 -- a heavy library, for those who ask

    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as connection:
        for name, frame in tables.items():
            connection.register(name, _arrow(frame))
        connection.execute(_SETTINGS)
        try:
            answer = connection.sql(query)
            return pd.DataFrame() if answer is None else _frame(answer.to_arrow_table())
        except duckdb.Error as error:
            message = f"sql: {str(error)[:_LONGEST]}"
            raise LogError(message) from None


def _arrow(frame: pd.DataFrame) -> pa.Table:
    """Return a frame as Arrow has it: on the same memory, but for a bit a row where values are missing."""
    return pa.Table.from_arrays([_column(frame[name]) for name in frame], names=[str(name) for name in frame])


def _column(column: pd.Series) -> pa.Array:
    try:
        return pa.array(column, from_pandas=True)
    except pa.ArrowException:  # values of several kinds
        return pa.array(column.map(str, na_action="ignore"), type=pa.string(), from_pandas=True)


def _frame(table: pa.Table) -> pd.DataFrame:
    """Return an answer as a frame: of two columns with one name, the second has another."""
    columns: dict[str, pd.Series] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        number = 1
        free = name
        while free in columns:
            free = f"{name}_{number}"
            number += 1
        columns[free] = _series(column)
    return pd.DataFrame(columns)


def _series(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif pa.types.is_decimal(kind):  # what sums of whole numbers are, and no library of figures takes
        column = _whole(column) if kind.scale == 0 else column.cast(pa.float64())
    elif pa.types.is_interval(kind):
        return _lengths(column)
    if column.null_count and (pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)):
        return pd.Series(column.to_pandas(types_mapper=_NULLABLE.get))
    return pd.Series(column.to_pandas(date_as_object=False))


_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.float64())


def _lengths(column: pa.ChunkedArray) -> pd.Series:
    """Return differences of times as such; what has months has no length, and stays as it is."""
    if not len(column):
        return pd.Series([], dtype="m8[us]")
    array = column.combine_chunks()
    spans = np.frombuffer(array.buffers()[1], dtype=_SPAN)[array.offset : array.offset + len(array)]
    is_missing = array.is_null().to_numpy(zero_copy_only=False)
    if (spans["months"][~is_missing] != 0).any():
        return pd.Series(column.to_pandas())
    lengths = spans["days"].astype(np.int64) * _DAY_US + spans["nanoseconds"] // 1000
    return pd.Series(np.where(is_missing, NAT, lengths).view("m8[us]"))
