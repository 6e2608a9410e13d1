"""OCEL 2.0 as a relational database in one SQLite file."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.columns import UTC
from orchkit.errors import LogError
from orchkit.formats.objects import ObjectLog
from orchkit.formats.ocel import Grouped, Parts, moment_texts, tuples, uncollected

__all__ = ["read_sqlite", "write_sqlite"]

_DECLARED = {"string": "TEXT", "time": "TIMESTAMP", "integer": "INTEGER", "float": "REAL", "boolean": "BOOLEAN"}
_TABLES = ("event", "object", "event_object", "event_map_type", "object_map_type")
_OWN = ("ocel_id", "ocel_time", "ocel_changed_field")


@uncollected()
def read_sqlite(path: Path) -> ObjectLog:
    """Return the object-centric log of an SQLite file, which is opened for reading only.

    What the file computes (views, virtual tables, tables with generated columns) is not looked at.

    Raises
    ------
    LogError
        No SQLite file, or without the tables of OCEL 2.0.
    """
    parts = Parts(path.name)
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            _take(connection, parts, path)
    except sqlite3.Error as error:
        message = f"{path.name} cannot be read as SQLite: {error}"
        raise LogError(message) from None
    return parts.log()


def _take(connection: sqlite3.Connection, parts: Parts, path: Path) -> None:
    # A view may have rows without end, a virtual table may be anything: only what is stored is read.
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    names = [name for (name,) in connection.execute(query).fetchall()]
    tables = {name for name in names if not _is_computed(connection, name)}
    for name in _TABLES:
        if name not in tables:
            message = f"{path.name} is not OCEL 2.0: it has no table {name!r}."
            raise LogError(message)
    types = dict(connection.execute("SELECT ocel_id, ocel_type FROM event"))
    parts.objects = [(str(a), str(b)) for a, b in connection.execute("SELECT ocel_id, ocel_type FROM object")]
    parts.relations = _relations(connection, "SELECT ocel_event_id, ocel_object_id, ocel_qualifier FROM event_object")
    if "object_object" in tables:
        query = "SELECT ocel_source_id, ocel_target_id, ocel_qualifier FROM object_object"
        parts.object_relations = _relations(connection, query)
    seen = set()
    for name, short in connection.execute("SELECT ocel_type, ocel_type_map FROM event_map_type").fetchall():
        kinds, rows = _rows(connection, f"event_{short}", tables, path)
        parts.event_types[str(name)] = kinds
        for row in rows:
            key = str(row["ocel_id"])
            if types.get(row["ocel_id"]) != name or key in seen:
                continue
            seen.add(key)
            parts.events.append((key, str(name), row["ocel_time"]))
            parts.event_values += [(key, a, row[a]) for a in kinds if row[a] is not None]
    place = {str(key): at for at, key in enumerate(types)}
    parts.events.sort(key=lambda event: place[event[0]])  # as they stand in the log, not type by type
    lost = len(types) - len(seen)
    if lost:
        parts.notes.append(f"{lost:,} events have no row in the table of their type and were dropped")
    for name, short in connection.execute("SELECT ocel_type, ocel_type_map FROM object_map_type").fetchall():
        kinds, rows = _rows(connection, f"object_{short}", tables, path)
        parts.object_types[str(name)] = kinds
        for row in rows:
            changed = row.get("ocel_changed_field")
            for a in kinds:
                if row[a] is not None and changed in {None, "", a}:
                    parts.object_values.append((str(row["ocel_id"]), a, row.get("ocel_time"), row[a]))


def _is_computed(connection: sqlite3.Connection, table: str) -> bool:
    """Tell whether a table has a column that is not stored but worked out, and may be of any size."""
    columns = connection.execute(f"PRAGMA table_xinfo({_name(table)})").fetchall()
    return any(column[-1] > 1 for column in columns)


def _relations(connection: sqlite3.Connection, query: str) -> list[tuple[str, str, str]]:
    return [(str(a), str(b), "" if c is None else str(c)) for a, b, c in connection.execute(query)]


def _rows(
    connection: sqlite3.Connection, table: str, tables: set[str], path: Path
) -> tuple[dict[str, str], list[dict[str, object]]]:
    if table not in tables:
        message = f"{path.name} is not OCEL 2.0: a map names the table {table!r}, which is not there."
        raise LogError(message)
    columns = connection.execute(f"PRAGMA table_info({_name(table)})").fetchall()
    names = [column[1] for column in columns]
    kinds = {column[1]: _kind(column[2]) for column in columns if column[1] not in _OWN}
    rows = connection.execute(f"SELECT * FROM {_name(table)}").fetchall()  # noqa: S608 -- the name is quoted
    return kinds, [dict(zip(names, row, strict=True)) for row in rows]


def _kind(declared: str) -> str:
    text = declared.upper()
    for kind, part in (("time", "TIME"), ("time", "DATE"), ("boolean", "BOOL"), ("integer", "INT")):
        if part in text:
            return kind
    return "float" if any(part in text for part in ("REAL", "FLOA", "DOUB", "NUM", "DEC")) else "string"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_sqlite(log: ObjectLog, path: Path) -> None:
    """Write an object-centric log as an SQLite file; one that is there is replaced."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"  # a file that is not whole is of no use
            "CREATE TABLE event (ocel_id TEXT PRIMARY KEY, ocel_type TEXT);"
            "CREATE TABLE object (ocel_id TEXT PRIMARY KEY, ocel_type TEXT);"
            "CREATE TABLE event_object (ocel_event_id TEXT, ocel_object_id TEXT, ocel_qualifier TEXT);"
            "CREATE TABLE object_object (ocel_source_id TEXT, ocel_target_id TEXT, ocel_qualifier TEXT);"
            "CREATE TABLE event_map_type (ocel_type TEXT PRIMARY KEY, ocel_type_map TEXT);"
            "CREATE TABLE object_map_type (ocel_type TEXT PRIMARY KEY, ocel_type_map TEXT);"
        )
        connection.executemany("INSERT INTO event VALUES (?, ?)", tuples(log.events[["event_id", "activity"]]))
        connection.executemany("INSERT INTO object VALUES (?, ?)", tuples(log.objects))
        connection.executemany("INSERT INTO event_object VALUES (?, ?, ?)", tuples(log.relations))
        connection.executemany("INSERT INTO object_object VALUES (?, ?, ?)", tuples(log.object_relations))
        _write_events(connection, log)
        _write_objects(connection, log)


def _tables(connection: sqlite3.Connection, prefix: str, types: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Create a table a type, under a name that SQLite tells apart, and return the names."""
    taken: set[str] = set()
    found = {}
    for name, attributes in types.items():
        for attribute in attributes:
            if attribute.lower() in _OWN or [a.lower() for a in attributes].count(attribute.lower()) > 1:
                message = f"{name!r}: SQLite cannot tell the column {attribute!r} from another. Write JSON instead."
                raise LogError(message)
        short = plain = re.sub(r"\W+", "", name.title(), flags=re.ASCII) or "Type"
        number = 1
        while short.lower() in taken or f"{prefix}_{short}".lower() in {*_TABLES, "object_object"}:
            number += 1
            short = f"{plain}{number}"
        taken.add(short.lower())
        found[name] = f"{prefix}_{short}"
        own = ["ocel_id TEXT", "ocel_time TIMESTAMP", *(["ocel_changed_field TEXT"] if prefix == "object" else [])]
        columns = [*own, *(f"{_name(a)} {_DECLARED[kind]}" for a, kind in attributes.items())]
        connection.execute(f"CREATE TABLE {_name(found[name])} ({', '.join(columns)})")
        connection.execute(f"INSERT INTO {prefix}_map_type VALUES (?, ?)", (name, short))  # noqa: S608 -- one of two
    return found


def _write_events(connection: sqlite3.Connection, log: ObjectLog) -> None:
    tables = _tables(connection, "event", log.event_types)
    values = Grouped(log.event_values, "event_id", log.events["event_id"])
    heads = {"ocel_id": log.events["event_id"], "ocel_time": pd.Series(moment_texts(log.events["time"]).to_pylist())}
    _insert(connection, tables, log.events["activity"], heads, values.frame, values.owners)


def _write_objects(connection: sqlite3.Connection, log: ObjectLog) -> None:
    tables = _tables(connection, "object", log.object_types)
    grouped = Grouped(log.object_values, "object_id", log.objects["object_id"])
    values, owners = grouped.frame.reset_index(drop=True), grouped.owners
    since = values["time"].groupby(owners).min().reindex(range(len(log.objects))).fillna(pd.Timestamp(0, tz="UTC"))
    # The first row of an object has what holds from its beginning; each later one says what changed.
    is_first = values["time"] == since.take(owners).set_axis(values.index)
    is_first &= ~values.assign(owner=owners).duplicated(["owner", "attribute", "time"])
    ids, types = log.objects["object_id"], log.objects["object_type"]
    heads = {"ocel_id": ids, "ocel_time": pd.Series(moment_texts(since.astype(UTC)).to_pylist())}
    _insert(connection, tables, types, heads, values[is_first], owners[is_first])
    changes, owners = values[~is_first], owners[~is_first]
    texts = pd.Series(moment_texts(changes["time"]).to_pylist(), dtype="str")
    heads = {"ocel_id": ids.take(owners), "ocel_time": texts, "ocel_changed_field": changes["attribute"]}
    _insert(connection, tables, types.take(owners), heads, changes, np.arange(len(changes)))


def _insert(
    connection: sqlite3.Connection,
    tables: Mapping[str, str],
    types: pd.Series,
    heads: Mapping[str, pd.Series],
    values: pd.DataFrame,
    owners: NDArray[np.intp],
) -> None:
    """Insert rows, each into the table of its type, with the values that it owns, by the place of the row."""
    names = types.to_numpy(dtype=object)
    rows_of = _places(names)
    place = np.empty(len(names), dtype=np.intp)
    columns: dict[str, dict[str, list[Any]]] = {}
    for name, rows in rows_of.items():
        place[rows] = np.arange(len(rows))
        columns[name] = {key: held.iloc[rows].tolist() for key, held in heads.items()}
    attributes = values["attribute"].to_numpy(dtype=object)
    for name, own in _places(names[owners]).items():
        for attribute, rows in _places(attributes[own]).items():
            cells: NDArray[Any] = np.empty(len(rows_of[name]), dtype=object)
            cells[place[owners[own[rows]]]] = _cells(values["value"].iloc[own[rows]])
            columns[name][attribute] = cells.tolist()
    for name, held in columns.items():
        into = f"{_name(tables[name])} ({', '.join(map(_name, held))})"
        marks = ", ".join("?" * len(held))
        connection.executemany(f"INSERT INTO {into} VALUES ({marks})", zip(*held.values(), strict=True))  # noqa: S608


def _places(names: NDArray[Any]) -> dict[str, NDArray[np.intp]]:
    """Return where each of the names is."""
    codes, known = pd.factorize(names)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(1, len(known)))
    return dict(zip(known.tolist(), np.split(order, bounds), strict=False))


def _cells(values: pd.Series) -> list[object]:
    kinds = set(map(type, values))
    if kinds == {pd.Timestamp}:
        return list(moment_texts(pd.to_datetime(values, utc=True)).to_pylist())
    return values.tolist() if kinds <= {str, int} else [_cell(value) for value in values]


def _cell(value: object) -> object:
    if isinstance(value, pd.Timestamp):
        return value.tz_convert("UTC").isoformat().replace("+00:00", "Z")
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool):
        return int(plain)
    return str(plain) if isinstance(plain, float) and not math.isfinite(plain) else plain
