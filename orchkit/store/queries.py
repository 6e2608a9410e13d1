"""What the store is asked: runs, steps and cases, computed from the history."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import duckdb
import pandas as pd

from orchkit.columns import CASE_COLUMNS, CASE_PREFIX, XES_NAMES
from orchkit.store.reading import frame_of
from orchkit.store.rows import RunRow, StoredRow
from orchkit.store.statements import (
    CASES,
    FAILED_RUNS,
    FAILED_STEPS,
    HISTORY,
    KIND_ROWS,
    KNOWN_RUNS,
    OPEN_ROWS,
    OPEN_RUNS,
    ROWS_AFTER,
    RUN_OUTCOMES,
    RUNS,
    RUNS_PAGE,
    STEPS,
)

__all__ = [
    "FailedFrames",
    "LogFrames",
    "failed_steps",
    "history",
    "known_runs",
    "log_frames",
    "open_runs",
    "outcomes",
    "plan_rows",
    "rows_after",
    "runs",
    "runs_page",
    "stored_runs",
]

_ROWS_AT_ONCE = 10_000
_MOST_ATTRIBUTES = 200
_INT64 = 2**63
_ATTRIBUTE_TYPES = (str, int, float, bool)

_ATTEMPTED = ("task", "wait", "call", "compensation")


@dataclass(frozen=True, slots=True)
class LogFrames:
    """What an event log is made of: one row per attempt, one row per case."""

    steps: pd.DataFrame
    cases: pd.DataFrame


@dataclass(frozen=True, slots=True)
class FailedFrames:
    """One row per run that has ended badly, and one row per step that failed in it."""

    runs: pd.DataFrame
    steps: pd.DataFrame


def known_runs(cursor: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> dict[str, RunRow]:
    """Return those of the runs that are stored."""
    found = map(_run_row, cursor.execute(KNOWN_RUNS, [list(run_ids)]).fetchall())
    return {row.run_id: row for row in found}


def open_runs(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[RunRow, list[StoredRow]]]:
    """Yield the runs that have not ended, in the order of their start, each with its history."""
    found = cursor.execute(OPEN_RUNS).fetchall()
    if not found:
        return
    runs_by_id = {row[0]: _run_row(row) for row in found}
    cursor.execute(OPEN_ROWS, [list(runs_by_id), len(runs_by_id), found[0][-1]])
    for run_id, rows in groupby(_stored_rows(cursor), lambda row: row.run_id):
        yield runs_by_id[run_id], list(rows)


def stored_runs(cursor: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> Iterator[tuple[RunRow, list[StoredRow]]]:
    """Yield those of the runs that are stored, each with its history."""
    found = known_runs(cursor, run_ids)
    cursor.execute(OPEN_ROWS, [list(found), len(found), 0])
    for run_id, rows in groupby(_stored_rows(cursor), lambda row: row.run_id):
        yield found[run_id], list(rows)


def plan_rows(cursor: duckdb.DuckDBPyConnection, kinds: Sequence[str]) -> list[StoredRow]:
    """Return the rows of some kinds."""
    cursor.execute(KIND_ROWS, [list(kinds)])
    return list(_stored_rows(cursor))


def failed_steps(cursor: duckdb.DuckDBPyConnection, statuses: Sequence[str]) -> FailedFrames:
    """Return the runs that have ended in one of the statuses, and the steps whose last outcome is a failure."""
    runs = frame_of(cursor, FAILED_RUNS, [list(statuses)])
    return FailedFrames(runs, frame_of(cursor, FAILED_STEPS, [runs["run_id"].tolist()]))


def _stored_rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[StoredRow]:
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield from map(StoredRow._make, rows)


def _run_row(row: Sequence[Any]) -> RunRow:
    run_id, case_id, workflow, digest, version, parent_step, started_at, *_ = row
    return RunRow(run_id, case_id, workflow, digest, version, parent_step, started_at)


def history(cursor: duckdb.DuckDBPyConnection, run_id: str) -> pd.DataFrame:
    """Return all rows of a run."""
    return frame_of(cursor, HISTORY, [run_id, run_id])


def runs(cursor: duckdb.DuckDBPyConnection, limit: int | None) -> pd.DataFrame:
    """Return one row per run, the newest first."""
    return frame_of(cursor, RUNS, [limit])


def runs_page(
    cursor: duckdb.DuckDBPyConnection,
    workflow: str | None,
    case_id: str | None,
    statuses: Sequence[str] | None,
    before: tuple[int, int] | None,
    limit: int,
) -> pd.DataFrame:
    """Return one row per run that is of a workflow, a case and a status, the newest first, from a place on."""
    seq, place = before or (_INT64 - 1, _INT64 - 1)
    wanted = None if statuses is None else list(statuses)
    first = limit if wanted is None else None
    return frame_of(cursor, RUNS_PAGE, [workflow, case_id, seq, seq, place, first, wanted, wanted, limit])


def rows_after(
    cursor: duckdb.DuckDBPyConnection, seq: int, run_id: str | None, workflow: str | None, limit: int
) -> pd.DataFrame:
    """Return the rows of the history after a place."""
    return frame_of(cursor, ROWS_AFTER, [seq, run_id, workflow, limit])


def outcomes(cursor: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> pd.DataFrame:
    """Return a row for each of the runs that is stored, in the order asked for."""
    wanted = list(dict.fromkeys(run_ids))
    return frame_of(cursor, RUN_OUTCOMES, [wanted, len(wanted)])


def log_frames(
    ask: Callable[[str, list[Any]], pd.DataFrame],
    workflow: str | None = None,
    run_id: str | None = None,
    since: datetime | None = None,
    *,
    scopes: bool = False,
) -> LogFrames:
    """Return the attempts and the cases, of all runs, of a workflow's, or of one; without those that ended before.

    ``ask`` gives the answer to a query, here or from far away.
    """
    kinds = [*_ATTEMPTED, "scope"] if scopes else [*_ATTEMPTED]
    steps = ask(STEPS, [workflow, run_id, since, since, kinds])
    if not steps["compensates"].notna().any():
        steps = steps.drop(columns="compensates")
    if not steps["replays"].any():
        steps = steps.drop(columns="replays")
    return LogFrames(steps, _with_attributes(ask(CASES, [workflow, run_id, since, since])))


# Attributes of cases -------------------------------------------------------------


def _with_attributes(cases: pd.DataFrame) -> pd.DataFrame:
    """Put a column for each scalar of the inputs in the place of their JSON."""
    records = [_attributes(text) for text in cases.pop("inputs")]
    counts = Counter(name for record in records for name in record)
    names = {name for name, _ in counts.most_common(_MOST_ATTRIBUTES)}
    ordered = [name for name in counts if name in names]
    columns = {_column(name): _series([record.get(name) for record in records]) for name in ordered}
    return pd.concat([cases, pd.DataFrame(columns, index=cases.index)], axis="columns")


def _attributes(text: object) -> dict[str, Any]:
    """Return the scalars of inputs, one level deep: ``order.country``."""
    inputs = json.loads(text) if isinstance(text, str) else None
    if not isinstance(inputs, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, Mapping):
            for inner, scalar in value.items():
                if isinstance(scalar, _ATTRIBUTE_TYPES):
                    found.setdefault(f"{name}.{inner}", scalar)
        elif isinstance(value, _ATTRIBUTE_TYPES):
            found[name] = value
    return found


def _series(values: list[Any]) -> pd.Series:
    """Return a column; whole numbers stay whole where some are missing."""
    whole = all(value is None or (type(value) is int and abs(value) < _INT64) for value in values)
    return pd.Series(values, dtype="Int64" if whole and None in values else None)


def _column(name: str) -> str:
    """Return a name that no column of a log has."""
    taken = name in (*CASE_COLUMNS, "run_id", *XES_NAMES.values()) or name.startswith((CASE_PREFIX, "inputs."))
    return f"inputs.{name}" if taken else name
