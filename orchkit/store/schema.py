"""The tables, and how a file of an older version becomes one of this version. Forward only."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from orchkit.errors import StoreCorrupt, StoreTooNew

__all__ = ["MIGRATIONS", "PRIMARY", "SCHEMA_VERSION", "migrate", "rebuild"]

# Derived from the history. An index on run_id would cost every commit; the store keeps a filter in memory instead.
# `seq` is where the run's history begins, so that a reader can skip all that is older.
_RUNS = """
    CREATE TABLE IF NOT EXISTS runs (
        seq BIGINT NOT NULL,
        run_id VARCHAR NOT NULL,
        case_id VARCHAR NOT NULL,
        workflow VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        version VARCHAR,
        parent_step VARCHAR,
        started_at TIMESTAMPTZ NOT NULL
    )
"""

_FIRST = (
    "CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL)",
    """
    CREATE TABLE definitions (
        digest VARCHAR PRIMARY KEY,
        workflow VARCHAR NOT NULL,
        version VARCHAR,
        document JSON NOT NULL,
        created_at TIMESTAMPTZ NOT NULL
    )
    """,
    _RUNS,
    """
    CREATE TABLE history (
        seq BIGINT NOT NULL,
        run_id VARCHAR NOT NULL,
        case_id VARCHAR NOT NULL,
        workflow VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        step_id VARCHAR,
        node VARCHAR,
        kind VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        attempt INTEGER NOT NULL,
        occurred_at TIMESTAMPTZ NOT NULL,
        duration_s DOUBLE,
        resource VARCHAR,
        error_class VARCHAR,
        error_type VARCHAR,
        error_message VARCHAR,
        trace_id VARCHAR,
        span_id VARCHAR,
        payload JSON
    )
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""The statements that lead from each version to the next; the first ones make an empty database a store."""

SCHEMA_VERSION = len(MIGRATIONS)


PRIMARY = frozenset({"history", "definitions", "meta"})
"""The tables that hold what nothing else does: what happened, the definitions that it refers to, the version."""

# A run's first row says all but the version of its definition.
_LOST_RUNS = """
    INSERT INTO runs (seq, run_id, case_id, workflow, digest, version, parent_step, started_at)
    WITH lost AS (
        SELECT run_id, min(seq) AS seq FROM history WHERE kind = 'run' GROUP BY run_id
    )
    SELECT h.seq, h.run_id, h.case_id, h.workflow, h.digest, d.version, h.payload ->> '$.parent', h.occurred_at
    FROM lost ANTI JOIN runs USING (run_id) JOIN history AS h USING (seq) LEFT JOIN definitions AS d USING (digest)
    ORDER BY h.seq
"""


def rebuild(connection: duckdb.DuckDBPyConnection) -> None:
    """Enter again what a derived table has lost and the history tells.

    Examples
    --------
    >>> connection = duckdb.connect()
    >>> migrate(connection)
    >>> _ = connection.execute("DROP TABLE runs")
    >>> rebuild(connection)
    >>> connection.execute("SELECT count(*) FROM runs").fetchall()
    [(0,)]
    """
    connection.execute(_RUNS)
    connection.execute(_LOST_RUNS)


def migrate(
    connection: duckdb.DuckDBPyConnection,
    path: str | None = None,
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
) -> None:
    """Bring a database to the last version, each step in a transaction of its own.

    Parameters
    ----------
    connection
        To a store of this or an older version, or to an empty database.
    path
        Its file, for the errors.
    migrations
        The statements that lead from each version to the next.

    Raises
    ------
    StoreTooNew
        A newer orchkit wrote it.
    StoreCorrupt
        A database of something else.

    Examples
    --------
    >>> connection = duckdb.connect()
    >>> migrate(connection)
    >>> connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    ('1',)
    """
    version = _version(connection, path)
    if version > len(migrations):
        message = (
            f"{path} was written by a newer orchkit: its schema is version {version}, this orchkit knows versions up "
            f"to {len(migrations)}. Upgrade with pip install --upgrade orchkit-notebooks; the file was not touched."
        )
        raise StoreTooNew(message, path=path)
    for number, statements in enumerate(migrations[version:], version + 1):
        connection.begin()
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", [str(number)])
            connection.commit()
        except duckdb.Error:
            connection.rollback()
            raise


def _version(connection: duckdb.DuckDBPyConnection, path: str | None) -> int:
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables:
        return 0
    query = "SELECT value FROM meta WHERE key = 'schema_version'"
    rows = connection.execute(query).fetchall() if {"meta", "history"} <= tables else []
    if not rows or not str(rows[0][0]).isdigit():
        message = f"{path} is a DuckDB database, but not a store of orchkit: choose another path, or a new one."
        raise StoreCorrupt(message, path=path)
    return int(rows[0][0])
