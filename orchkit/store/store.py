"""The store: appends batches, reads what they tell."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchkit.errors import StoreError
from orchkit.store import queries
from orchkit.store.bounded import Bounds, bounded_answer
from orchkit.store.database import Database, store_error
from orchkit.store.queries import FailedFrames, LogFrames
from orchkit.store.reading import Parameters, answer, frame_of
from orchkit.store.rows import Batch, DefinitionRow, HistoryRow, RunRow, StoredRow
from orchkit.store.tables import history_table

__all__ = ["Store"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OCCURRED_AT = HistoryRow._fields.index("occurred_at")
# An appender hands on its rows in chunks of 2,048: what fits into one is a commit by itself.
_ONE_CHUNK = 2_000
# From here on a statement over an Arrow table is faster than an appender: it takes a quarter of the time that is spent
# under Python's lock, and the same time outside of it.
_MANY = 100
# So many rows are about two of DuckDB's checkpoints, after which it holds the blocks that they wrote.
_ROWS_BETWEEN_TRIMS = 100_000


class Store:
    """History, runs and definitions in one DuckDB file that this process owns.

    One thread appends (`orchkit.store.GroupWriter`), any thread reads.

    Parameters
    ----------
    path
        The file, created if it does not exist; None for a store in memory.

    Raises
    ------
    StoreLocked
        Another process, or another engine of this one, owns the file.
    StoreCorrupt
        The file is damaged, or something else than a store.
    StoreTooNew
        A newer orchkit wrote it.
    StoreFull
        There is no space left.
    StoreError
        The file cannot be made or opened.

    Examples
    --------
    >>> row = HistoryRow("r1", "A-1", "order", "d1", "ship#1", "ship", "task", "COMPLETED", 1, 1_700_000_000_000_000)
    >>> with Store() as store:
    ...     store.append(Batch(rows=[row], runs=[RunRow("r1", "A-1", "order", "d1", "1", None, 1_700_000_000_000_000)]))
    ...     store.history("r1")[["seq", "node", "status"]].to_dict("records")
    [{'seq': 1, 'node': 'ship', 'status': 'COMPLETED'}]
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = None if path is None or str(path) == ":memory:" else _real(path)
        self._database = Database(self._path)
        self._writing = threading.Lock()
        self._appenders: dict[str, duckdb.Appender] = {}
        self._rows_since_trim = 0
        self._writer = self._database.cursor()
        try:
            self._appenders = {name: self._writer.appender(name) for name in ("history", "runs", "definitions")}
            self._next_seq, self._digests, self._seen = self._load()
        except duckdb.Error as error:
            self.close()
            raise store_error(error, self._path) from error

    @property
    def path(self) -> Path | None:
        """The file; None in memory."""
        return self._path

    @property
    def last_seq(self) -> int:
        """The ``seq`` of the last row of the history that is durable; 0 if there is none."""
        return self._next_seq - 1

    # Writing -----------------------------------------------------------------

    def append(self, batch: Batch) -> None:
        """Make a batch durable in one commit, or raise and store none of it.

        The rows get their ``seq`` in order. Definitions that are stored already are passed over.

        Raises
        ------
        StoreFull
            There is no space left; what was acknowledged is kept.
        StoreError
            It could not be written. Where the error came with the commit itself, the batch may be there when
            the file is opened again.
        """
        if not batch:
            return
        with self._writing:
            if not self._appenders:
                raise self._closed()
            try:
                self._append(batch, _as_it_is)
            except (duckdb.InvalidInputException, UnicodeEncodeError) as error:
                self._undo()
                if isinstance(error, duckdb.Error) and "surrogate" not in str(error):
                    raise store_error(error, self._path) from error
                self._again(batch)
            except duckdb.Error as error:
                self._undo()
                raise store_error(error, self._path) from error
            self._next_seq += len(batch.rows)
            self._digests.update(row.digest for row in batch.definitions)
            self._seen.add(row.run_id for row in batch.runs)
            self._rows_since_trim += len(batch.rows)
            if self._rows_since_trim >= _ROWS_BETWEEN_TRIMS:
                self._rows_since_trim = 0
                self._database.trim()

    def _again(self, batch: Batch) -> None:
        """Append a batch that holds text which is no Unicode: half of a surrogate pair."""
        try:
            self._append(batch, _well_formed)
        except duckdb.Error as error:
            self._undo()
            raise store_error(error, self._path) from error

    def _append(self, batch: Batch, mend: Any) -> None:  # noqa: ANN401 -- a function on text
        fresh = {row.digest: row for row in batch.definitions if row.digest not in self._digests}
        if not fresh and not batch.runs and len(batch.rows) <= _ONE_CHUNK:
            self._append_history(batch.rows, mend)
            return
        self._writer.begin()
        if fresh:
            self._flush("definitions", [mend(_definition_tuple(row)) for row in fresh.values()])
        if batch.runs:
            self._flush("runs", [mend(_run_tuple(row, self._next_seq)) for row in batch.runs])
        if batch.rows:
            self._append_history(batch.rows, mend)
        self._writer.commit()

    def _append_history(self, rows: Sequence[HistoryRow], mend: Any) -> None:  # noqa: ANN401 -- a function on text
        if len(rows) < _MANY or mend is not _as_it_is:
            self._flush("history", [mend(row) for row in _history_tuples(rows, self._next_seq)])
            return
        self._writer.register("arriving", history_table(rows, self._next_seq))
        self._writer.execute("INSERT INTO history SELECT * FROM arriving")
        self._writer.unregister("arriving")

    def _flush(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        appender = self._appenders[table]
        appender.append_rows(rows)
        appender.flush()

    def _undo(self) -> None:
        """Forget what a failed append has left behind."""
        try:
            for appender in self._appenders.values():
                appender.clear()
            self._writer.rollback()
            self._writer.unregister("arriving")
        except duckdb.Error:  # there was no transaction, or the database has given up: nothing of it will be stored
            return

    # Reading -----------------------------------------------------------------

    def known_runs(self, run_ids: Sequence[str]) -> dict[str, RunRow]:
        """Return those of the runs that are stored. Runs that are not cost next to nothing."""
        candidates = self._seen.candidates(run_ids)
        if not candidates:
            return {}
        with self._database.reading() as cursor:
            return queries.known_runs(cursor, candidates)

    def definition(self, digest: str) -> str:
        """Return the canonical JSON of a definition.

        Raises
        ------
        StoreError
            It is not stored.
        """
        document = self._document("digest = ?", digest)
        if document is None:
            message = f"The store has no definition of the digest {digest!r}: no run was started with it."
            raise StoreError(message, path=self._name)
        return document

    def latest_definition(self, workflow: str) -> str | None:
        """Return the canonical JSON of the definition of a workflow that was stored last."""
        return self._document("workflow = ?", workflow)

    def _document(self, condition: str, value: str) -> str | None:
        query = f"SELECT document FROM definitions WHERE {condition} ORDER BY created_at DESC, rowid DESC LIMIT 1"  # noqa: S608 -- ours
        with self._database.reading() as cursor:
            row = cursor.execute(query, [value]).fetchone()
        return None if row is None else str(row[0])

    def open_runs(self) -> Iterator[tuple[RunRow, list[StoredRow]]]:
        """Yield each run that has not ended with its history by ``seq``, in the order of their start."""
        with self._database.reading() as cursor:
            yield from queries.open_runs(cursor)

    def stored_runs(self, run_ids: Sequence[str]) -> Iterator[tuple[RunRow, list[StoredRow]]]:
        """Yield those of the runs that are stored, each with its history by ``seq``."""
        with self._database.reading() as cursor:
            yield from queries.stored_runs(cursor, run_ids)

    def plan_rows(self, kinds: Sequence[str]) -> list[StoredRow]:
        """Return the rows of kinds that belong to no run, by ``seq``."""
        with self._database.reading() as cursor:
            return queries.plan_rows(cursor, kinds)

    def failed_steps(self, statuses: Sequence[str]) -> FailedFrames:
        """Return the runs that have ended in one of the statuses, and what failed in them.

        Returns
        -------
        FailedFrames
            ``runs``: ``run_id, case_id, workflow, version, parent_step, since, error_class, error_type, error_message,
            inputs`` (JSON text); ``steps``: ``run_id, step_id, node, kind, attempts, error_class, error_type,
            error_message``, the steps whose last outcome is FAILED, the last one first.
        """
        with self._database.reading() as cursor:
            return queries.failed_steps(cursor, statuses)

    def history(self, run_id: str) -> pd.DataFrame:
        """Return the history of a run, ordered by ``seq``: all columns of the table, ``payload`` as JSON text."""
        with self._database.reading() as cursor:
            return queries.history(cursor, run_id)

    def runs(self, limit: int | None = None) -> pd.DataFrame:
        """Return one row per run, the newest first.

        Returns
        -------
        DataFrame
            ``run_id, case_id, workflow, version, digest, status, started_at, ended_at, error_class, error_type,
            error_message``.
        """
        with self._database.reading() as cursor:
            return queries.runs(cursor, limit)

    def runs_page(
        self,
        *,
        workflow: str | None = None,
        case_id: str | None = None,
        statuses: Sequence[str] | None = None,
        before: tuple[int, int] | None = None,
        limit: int = 100,
    ) -> pd.DataFrame:
        """Return one row per run that is of a workflow, a case and a status, the newest first.

        Parameters
        ----------
        workflow, case_id, statuses
            What is looked for; all where nothing is given.
        before
            ``seq, place`` of the last row of the page before.
        limit
            Rows at most.

        Returns
        -------
        DataFrame
            The columns of `runs`, then ``seq, place``.
        """
        with self._database.reading() as cursor:
            return queries.runs_page(cursor, workflow, case_id, statuses, before, limit)

    def rows_after(
        self, seq: int, *, run_id: str | None = None, workflow: str | None = None, limit: int = 1_000
    ) -> pd.DataFrame:
        """Return the rows of the history after a ``seq``, of one run or workflow or of all: the table's columns."""
        with self._database.reading() as cursor:
            return queries.rows_after(cursor, seq, run_id, workflow, limit)

    def table(self, query: str, parameters: Parameters = None, bounds: Bounds | None = None) -> pa.Table:
        """Return the answer to a query as an Arrow table, within bounds; see `sql`.

        Raises
        ------
        QueryError
            As for `sql`; or the answer takes longer, or is larger, than the bounds allow.
        """
        with self._database.reading() as cursor:
            return bounded_answer(cursor, query, parameters, bounds or Bounds())

    def run_outcomes(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Return a row for each of the runs that is stored, in the order asked for.

        Returns
        -------
        DataFrame
            ``run_id, case_id, workflow, status, started_at, ended_at, duration_s, error_node, error_class, error_type,
            error_message, variables``; the last one is JSON text.
        """
        with self._database.reading() as cursor:
            return queries.outcomes(cursor, run_ids)

    def log_frames(
        self,
        workflow: str | None = None,
        *,
        run_id: str | None = None,
        since: datetime | None = None,
        scopes: bool = False,
    ) -> LogFrames:
        """Return what an event log is made of.

        Parameters
        ----------
        workflow, run_id
            Only this workflow's runs, only this run.
        since
            Leaves out the runs that ended before this time.
        scopes
            Whether scopes have rows too, not only tasks, waits, calls and compensations.

        Returns
        -------
        LogFrames
            ``steps``, one row per attempt (``replays``: how often the run had been replayed before it, where some run
            was), and ``cases``, one row per case and workflow, with a column for each scalar of the
            inputs: ``customer``, ``order.country``. One that has the name of a column of the log is called
            ``inputs.status``, and the like.
        """
        with self._database.reading() as cursor:
            return queries.log_frames(functools.partial(frame_of, cursor), workflow, run_id, since, scopes=scopes)

    def sql(self, query: str, parameters: Parameters = None) -> pd.DataFrame:
        """Return the answer to a query, which may only read, and only the store.

        Parameters
        ----------
        query
            One statement: SELECT, WITH, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN.
        parameters
            For the ``?`` or ``$name`` in it.

        Raises
        ------
        QueryError
            It would change something, or DuckDB cannot answer it.

        Examples
        --------
        >>> with Store() as store:
        ...     store.sql("SELECT count(*) AS rows FROM history WHERE status = ?", ["FAILED"])
           rows
        0     0
        """
        with self._database.reading() as cursor:
            return answer(cursor, query, parameters)

    def backup(self, target: str | Path) -> Path:
        """Write one state of the store to a new file, while runs go on, and return its path.

        Raises
        ------
        StoreError
            There is something at the target, or it cannot be written.
        """
        path = _real(target)
        self._database.copy_to(path)
        return path

    # Opening and closing -------------------------------------------------------

    def close(self) -> None:
        """Close the file and give it up. Closing twice does nothing."""
        with self._writing:
            self._appenders = {}
            self._database.release(self._writer)
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self._path or 'in memory'}>"

    @property
    def _name(self) -> str | None:
        return None if self._path is None else str(self._path)

    def _closed(self) -> StoreError:
        message = f"The store {self._path or 'in memory'} has been closed; nothing was written."
        return StoreError(message, path=self._name)

    def _load(self) -> tuple[int, set[str], _Seen]:
        # To the last row of each answer: one that is half read keeps its transaction open, and that all old blocks.
        ((next_seq,),) = self._writer.execute("SELECT coalesce(max(seq), 0) + 1 FROM history").fetchall()
        digests = {digest for (digest,) in self._writer.execute("SELECT digest FROM definitions").fetchall()}
        seen = _Seen()
        self._writer.execute("SELECT run_id FROM runs")
        while rows := self._writer.fetchmany(_Seen.LIMIT):
            seen.add(run_id for (run_id,) in rows)
        return next_seq, digests, seen


class _Seen:
    """Which runs may be stored: eight bytes a run instead of an index that every commit would have to keep."""

    LIMIT = 65_536

    def __init__(self) -> None:
        self._old: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._new: set[int] = set()

    def add(self, run_ids: Iterable[str]) -> None:
        self._new.update(map(hash, run_ids))
        if len(self._new) >= self.LIMIT:
            # In this order, so that another thread never misses one.
            self._old = np.union1d(self._old, np.fromiter(self._new, dtype=np.int64))
            self._new = set()

    def candidates(self, run_ids: Sequence[str]) -> list[str]:
        """Return the runs that may be stored: all that are, and hardly any other."""
        new, old = self._new, self._old
        hashes = [hash(run_id) for run_id in run_ids]
        if len(old):
            places = np.minimum(np.searchsorted(old, np.array(hashes, dtype=np.int64)), len(old) - 1)
            at_places = old[places].tolist()
        else:
            at_places = [None] * len(hashes)
        return [
            run_id for run_id, key, found in zip(run_ids, hashes, at_places, strict=True) if key == found or key in new
        ]


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(Path(path).expanduser()))


def _timestamp(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _history_tuples(rows: Sequence[HistoryRow], first_seq: int) -> Iterator[tuple[Any, ...]]:
    then, timestamp = 0, _EPOCH
    for seq, row in enumerate(rows, first_seq):
        if row.occurred_at != then:  # the rows of a turn share it
            then, timestamp = row.occurred_at, _timestamp(row.occurred_at)
        yield (seq, *row[:_OCCURRED_AT], timestamp, *row[_OCCURRED_AT + 1 :])


def _run_tuple(row: RunRow, seq: int) -> tuple[Any, ...]:
    return (seq, *row[:-1], _timestamp(row.started_at))


def _definition_tuple(row: DefinitionRow) -> tuple[Any, ...]:
    return (*row[:-1], _timestamp(row.created_at))


def _as_it_is(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row


def _well_formed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row whose text is Unicode: two halves of a surrogate pair are joined, a lone one becomes U+FFFD."""
    return tuple(
        value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value
        for value in row
    )
