"""Answers within bounds, for queries that come from elsewhere: so many seconds, rows and bytes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from orchkit.errors import QueryError
from orchkit.store.reading import Parameters, check_reads

__all__ = ["Bounds", "bounded_answer"]

_AGAIN_S = 0.05
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an answer may be: seconds to find it, rows, bytes as Arrow."""

    seconds: float = 10.0
    rows: int = 100_000
    size: int = 64 << 20


def bounded_answer(cursor: duckdb.DuckDBPyConnection, query: str, parameters: Parameters, bounds: Bounds) -> pa.Table:
    """Return the answer to a user's query, which may only read.

    Raises
    ------
    QueryError
        It would change something, is not one statement, DuckDB cannot answer it, or the answer is out of bounds.

    Examples
    --------
    >>> bounded_answer(duckdb.connect(), "SELECT 7 AS seq", None, Bounds()).to_pylist()
    [{'seq': 7}]
    >>> bounded_answer(duckdb.connect(), "FROM range(20)", None, Bounds(rows=10))
    Traceback (most recent call last):
    orchkit.errors.QueryError: The answer has more than 10 rows: add a LIMIT, or ask for less.
    """
    try:
        with _deadline(cursor, bounds.seconds):
            statements = cursor.extract_statements(query)
            check_reads(statements)
            reader = cursor.sql(statements[0].query, params=parameters).to_arrow_reader(_ROWS_AT_ONCE)
            return pa.Table.from_batches(_within(reader, bounds), reader.schema)
    except duckdb.InterruptException:
        raise _late(bounds) from None
    except (duckdb.PermissionException, duckdb.TransactionException) as error:
        raise QueryError("A query reads the tables of the store: no files, no network, no changes.") from error
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise QueryError("The answer takes too much memory: ask for less.") from error
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow's reader gives DuckDB's errors as OSError
        if "INTERRUPT" in str(error):
            raise _late(bounds) from None
        message = f"DuckDB cannot answer: {error}"
        raise QueryError(message) from error


def _late(bounds: Bounds) -> QueryError:
    return QueryError(f"The answer has taken longer than {bounds.seconds:g} s: ask for less.")


def _within(reader: pa.RecordBatchReader, bounds: Bounds) -> Iterator[pa.RecordBatch]:
    rows = size = 0
    for batch in reader:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > bounds.rows:
            message = f"The answer has more than {bounds.rows:,} rows: add a LIMIT, or ask for less."
            raise QueryError(message)
        if size > bounds.size:
            message = f"The answer has more than {bounds.size:,} bytes: ask for less."
            raise QueryError(message)
        yield batch


@contextlib.contextmanager
def _deadline(cursor: duckdb.DuckDBPyConnection, patience_s: float) -> Iterator[None]:
    """Interrupt what a cursor does once its time is up: again and again, for once may fall between two steps."""
    done, guard = threading.Event(), threading.Lock()

    def interrupt() -> None:
        wait_s = patience_s
        while not done.wait(wait_s):
            with guard:  # a cursor that is closed cannot be interrupted
                if not done.is_set():
                    cursor.interrupt()
            wait_s = _AGAIN_S

    thread = threading.Thread(target=interrupt, name="orchkit-deadline", daemon=True)
    thread.start()
    try:
        yield
    finally:
        with guard:
            done.set()
        thread.join()
