"""A DuckDB database, in a file or in memory: opened, read through cursors, closed; its errors said in our words."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from orchkit.errors import StoreCorrupt, StoreError, StoreFull, StoreTooNew
from orchkit.store.files import Claim, check_place, claim, locked_error, no_store_error, wal_of
from orchkit.store.schema import migrate, rebuild

__all__ = ["Database", "store_error"]

_Settings = dict[str, str | bool | int | float | list[str]]
_SETTINGS: _Settings = {
    # A query is worked on by the thread that asks: no others are woken for a commit of a few rows.
    "threads": 1,
    # What is read stays inside: no files, no variables of whoever asks.
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    # A commit that crosses this takes the log into the file meanwhile: 0.1 s or so every 60,000 rows.
    "checkpoint_threshold": "16MB",
}
# Beyond it, sorts and groups go to disk. In memory there is no disk, and DuckDB's own limit holds.
_MEMORY = "25%"
# What may be set although the configuration is locked, and is set by `trim` alone: a query may only read.
_UNLOCKED: _Settings = {"memory_limit": _MEMORY, "allowed_configs": ["memory_limit"]}
# How long readers that are interrupted may take to end, and how often they are told.
_PATIENCE_S, _AGAIN_S = 5.0, 0.02
# Of the blocks of the file, what is kept once nobody reads: what is written lately, and the ends of the columns.
_CACHE = 16 << 20
_HELD = """
    SELECT sum(memory_usage_bytes)::BIGINT, coalesce(sum(memory_usage_bytes) FILTER (tag = 'BASE_TABLE'), 0)::BIGINT
    FROM duckdb_memory()
"""
_HEADERS_SIZE = 3 * 4096

_FULL = ("No space left on device", "File too large", "quota exceeded", "There is not enough space on the disk")
_TOO_NEW = ("newer version of DuckDB", "storage version number")
_CORRUPT = (
    "Corrupt",
    "Could not read enough bytes",
    "Failure while replaying WAL",
    "INTERNAL Error",
    "Serialization Error",
    "checksum",
    "not a valid DuckDB database",
)
_TABLES = ("definitions", "runs", "history")
_ROWS_AT_ONCE = 100_000
_DENIED = ("Permission denied", "Read-only file system", "Operation not permitted")


def store_error(error: duckdb.Error, path: Path | None) -> StoreError:
    """Return DuckDB's error as one that says what to do."""
    text = str(error).split("\n\nStack Trace", 1)[0]
    name = str(path) if path is not None else "The store in memory"
    if path is not None and "Could not set lock on file" in text:
        return locked_error(path, text)
    if any(sign in text for sign in _FULL):
        message = (
            f"There is no space left for {name}. What was acknowledged is kept, the last batch may be missing: make "
            f"room (the log {name}.wal needs some too), then open the store again. DuckDB says: {text}"
        )
        return StoreFull(message, path=name)
    if any(sign in text for sign in _TOO_NEW):
        message = (
            f"{name} was written by a newer DuckDB than {duckdb.__version__}: pip install --upgrade duckdb. {text}"
        )
        return StoreTooNew(message, path=name)
    if any(sign in text for sign in _CORRUPT):
        message = (
            f"{name} cannot be read as a store: it is damaged, or another kind of file. Nothing was changed. Keep it, "
            "put back a copy from before (with its .wal, if there is one), or choose another path. "
            f"DuckDB says: {text}"
        )
        return StoreCorrupt(message, path=name)
    if any(sign in text for sign in _DENIED):
        message = f"{name} cannot be written: mend the permissions of file and folder. DuckDB says: {text}"
        return StoreError(message, path=name)
    return StoreError(f"{name}: {text}", path=name)


class Database:
    """An open database that is a store.

    Parameters
    ----------
    path
        Its file, created if it does not exist; None for memory.

    Raises
    ------
    StoreError
        And its kinds: the file is locked, damaged, of a newer version, or cannot be made.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._claim: Claim | None = None
        self._guard = threading.Condition()  # told when a cursor is released
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._root: duckdb.DuckDBPyConnection | None = None
        try:
            self._open()
        except duckdb.Error as error:
            self.close()
            raise store_error(error, path) from error
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if self.path is None:
            self._root = _connect(None)
            migrate(self._root)
            return
        if not check_place(self.path):
            _make(self.path)
        self._claim = claim(self.path)
        self._root = _connect(self.path)
        _check_kind(self._root, self.path)
        _check_size(self._root, self.path)
        migrate(self._root, str(self.path))
        rebuild(self._root)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own, which `release` or `close` closes."""
        with self._guard:
            if self._root is None:
                name = self.path or "in memory"
                message = f"The store {name} has been closed: open it again with Store(path) or Engine(path)."
                raise StoreError(message, path=None if self.path is None else str(self.path))
            cursor = self._root.cursor()
            self._cursors.add(cursor)
            return cursor

    def release(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Close a cursor."""
        with self._guard:  # together: `close` interrupts those that are listed, and one that is closed cannot be
            self._cursors.discard(cursor)
            cursor.close()
            self._guard.notify_all()

    @contextlib.contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a cursor that sees one state of the database and cannot change it."""
        cursor = self.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield cursor
        except duckdb.Error as error:
            raise store_error(error, self.path) from error
        finally:
            self.release(cursor)

    def trim(self, keep: int = _CACHE) -> None:
        """Drop what DuckDB caches of the file's blocks, where it is more than so many bytes and nobody reads.

        By itself DuckDB keeps every block that was written or read, up to a quarter of the machine's memory.
        """
        with self._guard:
            if self.path is None or self._root is None or len(self._cursors) > 1:  # one of them writes
                return
            total, cached = self._root.execute(_HELD).fetchall()[0]
            if cached <= keep:
                return
            with contextlib.suppress(duckdb.OutOfMemoryException):  # it has dropped what it could
                self._root.execute(f"SET GLOBAL memory_limit = '{(total - cached + keep // 2) // 1024} KiB'")
            self._root.execute(f"SET GLOBAL memory_limit = '{_MEMORY}'")

    def copy_to(self, target: Path) -> None:
        """Write one state of the database to a new file; who writes and reads here is not held up.

        Raises
        ------
        StoreError
            There is something at the target, or it cannot be written.
        """
        if target.exists():
            message = f"{target} is there already: a copy is only written to a new file."
            raise StoreError(message, path=str(target))
        draft = target.with_name(f".{target.name}.{os.getpid()}.copy")
        try:
            copy = _connect(draft)
            try:
                migrate(copy, str(target))
                with self.reading() as cursor:
                    for table in _TABLES:
                        rows = cursor.sql(f"SELECT * FROM {table}")  # noqa: S608 -- ours
                        copy.register("rows_of", rows.to_arrow_reader(_ROWS_AT_ONCE))
                        copy.execute(f"INSERT INTO {table} SELECT * FROM rows_of")  # noqa: S608
                        copy.unregister("rows_of")
            finally:
                copy.close()
            os.link(draft, target)
            _sync(target.parent)
        except duckdb.Error as error:
            raise store_error(error, target) from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            message = f"{target} cannot be written ({error.strerror}): mend the folder, or choose another."
            raise StoreError(message, path=str(target)) from error
        finally:
            draft.unlink(missing_ok=True)
            wal_of(draft).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the database and give up its file; what still reads is interrupted."""
        with self._guard:
            root, self._root = self._root, None
            # A cursor in a call cannot be closed by another thread: its reader is interrupted, and gives it back. Once
            # may be too early, when the reader has not begun yet.
            deadline = time.monotonic() + _PATIENCE_S
            while self._cursors and time.monotonic() < deadline:
                for cursor in self._cursors:
                    cursor.interrupt()
                self._guard.wait(_AGAIN_S)
        if root is not None:
            root.close()
        if self._claim is not None:
            self._claim.release()
            self._claim = None


def _connect(path: Path | None) -> duckdb.DuckDBPyConnection:
    unlocked = {} if path is None else _UNLOCKED
    connection = duckdb.connect(":memory:" if path is None else str(path), config={**_SETTINGS, **unlocked})
    # Whatever the machine's time zone, and only once its extension is there.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


def _make(path: Path) -> None:
    """Make a store beside its place and put it there whole, so that no crash leaves half of one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        connection = _connect(draft)
        try:
            migrate(connection, str(path))
        finally:
            connection.close()
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(draft, path)
        _sync(path.parent)
    except OSError as error:
        message = f"{path} cannot be created ({error.strerror}): mend the folder's permissions, or choose another path."
        raise StoreError(message, path=str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
        wal_of(draft).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make a new entry of a folder outlast a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _check_kind(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Find a path that DuckDB has not opened as a database: it reads data files, by their ending, into memory."""
    found = connection.execute("SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
    row = next(iter(found.fetchall()), None)
    if row is None or row[0] is None or Path(row[0]) != path:
        raise no_store_error(path)


def _check_size(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Find a file that has lost its end: DuckDB would notice only when it reads there."""
    # Free blocks do not count: those at the end are cut off by a checkpoint, and are in the total all the same.
    rows = connection.execute("SELECT block_size, used_blocks FROM pragma_database_size()").fetchall()
    wanted = _HEADERS_SIZE + sum(size * blocks for size, blocks in rows)
    size = path.stat().st_size
    if size < wanted:
        message = (
            f"{path} is damaged: it has lost its end ({size:,} of {wanted:,} bytes are there). Nothing was changed. "
            "Put back a copy from before, with its .wal if there is one."
        )
        raise StoreCorrupt(message, path=str(path))
