"""Answers as frames, and queries that only read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pandas as pd

from orchkit.errors import QueryError

__all__ = ["Parameters", "answer", "check_reads", "frame_of"]

Parameters = Sequence[Any] | Mapping[str, Any] | None

_ZONED = " WITH TIME ZONE"
_TEXTS = ("VARCHAR", "JSON")
_READS = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})
_HARMLESS_PRAGMA = re.compile(
    r"\s*PRAGMA\s+(table_info|show_tables|storage_info|database_size|version)\b", re.IGNORECASE
)


def frame_of(cursor: duckdb.DuckDBPyConnection, query: str, parameters: Parameters = None) -> pd.DataFrame:
    """Return what a query gives; timestamps are in UTC.

    Examples
    --------
    >>> cursor = duckdb.connect()
    >>> frame_of(cursor, "SELECT 7 AS seq, make_timestamptz(0) AS occurred_at").dtypes.astype(str).to_dict()
    {'seq': 'int32', 'occurred_at': 'datetime64[us, UTC]'}
    """
    relation = cursor.sql(query, params=parameters)
    types = [str(kind) for kind in relation.types]
    if any(_ZONED in kind for kind in types):
        # DuckDB's own conversion of zoned timestamps calls what pandas 3 deprecates, and needs pytz inside of lists.
        names = ", ".join(f"c{number}" for number in range(len(types)))
        casts = ", ".join(f"CAST(c{number} AS {kind.replace(_ZONED, '')})" for number, kind in enumerate(types))
        query = f"SELECT {casts} FROM (\n{query}\n) AS answer({names})"  # noqa: S608 -- the query may only read
        frame = cursor.execute(query, parameters).df()
        frame.columns = pd.Index(relation.columns)
    else:
        frame = relation.df()
    for number, kind in enumerate(types):
        if kind == "TIMESTAMP" + _ZONED:
            frame.isetitem(number, frame.iloc[:, number].dt.tz_localize("UTC"))
        elif kind in _TEXTS:  # where all are missing, DuckDB says object
            frame.isetitem(number, frame.iloc[:, number].astype("str").array)
    return frame


def answer(cursor: duckdb.DuckDBPyConnection, query: str, parameters: Parameters = None) -> pd.DataFrame:
    """Return the answer to a user's query, which may only read.

    Raises
    ------
    QueryError
        It would change something, is not one statement, or DuckDB cannot answer it.
    """
    try:
        statements = cursor.extract_statements(query)
        check_reads(statements)
        return frame_of(cursor, statements[0].query, parameters)
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        message = f"DuckDB cannot answer: {error}"
        raise QueryError(message) from error
    except (duckdb.TransactionException, duckdb.PermissionException) as error:
        message = f"sql() only reads the store: {error}"
        raise QueryError(message) from error


def check_reads(statements: Sequence[duckdb.Statement]) -> None:
    """Refuse what is not one statement that reads."""
    if len(statements) != 1:
        message = f"sql() takes one statement, not {len(statements)}: ask one after the other."
        raise QueryError(message)
    statement = statements[0]
    if statement.type in _READS or _HARMLESS_PRAGMA.match(statement.query):
        return
    kind = statement.type.name.replace("_", " ")
    message = (
        f"sql() only reads, so {kind} is refused: SELECT, WITH, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN and "
        "PRAGMA table_info('history') are answered. Take the frame, and change that."
    )
    raise QueryError(message)
