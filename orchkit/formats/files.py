"""Reading and writing a log: the format is told by the end of the name."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from orchkit.columns import STEP_COLUMNS, XES_NAMES, coded
from orchkit.errors import LogError, nearest
from orchkit.formats.delimited import read_delimited, typed, write_delimited
from orchkit.formats.lifecycle import LIFECYCLE, fold
from orchkit.formats.objects import ObjectLog, flatten, objects_of
from orchkit.formats.ocel import read_json, write_json
from orchkit.formats.ocel_sqlite import read_sqlite, write_sqlite
from orchkit.formats.strangers import set_apart
from orchkit.formats.tables import named, read_parquet, write_parquet
from orchkit.formats.xes import read_events, write_events
from orchkit.log import LIFECYCLES, EventLog, expect_log

__all__ = ["read_log", "read_objects", "write_log", "write_objects"]

_ENDINGS = (
    *(".xes", ".xes.gz", ".csv", ".csv.gz", ".parquet"),
    *(".json", ".json.gz", ".jsonocel", ".jsonocel.gz", ".sqlite", ".sqlite3", ".db"),
)
_OBJECTS = {"json": "json", "jsonocel": "json", "sqlite": "sqlite", "sqlite3": "sqlite", "db": "sqlite"}
_TIMES = (XES_NAMES["completed"], XES_NAMES["started"], "enabled")


def read_log(
    source: str | Path | pd.DataFrame,
    *,
    lifecycle: Literal["fold", "keep"] = "fold",
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    time_format: str | None = None,
    encoding: str | None = None,
    object_type: str | None = None,
) -> EventLog:
    """Return the event log of a file or frame; ``log.notes`` says what was guessed, repaired or dropped.

    Parameters
    ----------
    source
        A file of XES (``.xes``, ``.xes.gz``), a table (``.csv``, ``.csv.gz``, ``.parquet``), OCEL 2.0 (``.json``,
        ``.jsonocel``, ``.json.gz``, ``.sqlite``, ``.db``), or a frame with one row per event.
    lifecycle
        ``"fold"``: the events of ``lifecycle:transition`` (schedule, start, complete, …) become steps with
        ``enabled``, ``started`` and ``completed``. ``"keep"``: each event is a step of its own.
    columns
        For tables: from a log's names to the file's, ``{"case_id": "Order", "completed": "Finished at"}``. What is
        not given is guessed from usual names.
    timezone
        The zone of times that have none. Without it, those of a table are refused, and those of XES read as UTC.
    time_format
        For tables: how times are written, as ``strptime`` has it (``"%d.%m.%Y %H:%M"``), or what they count: ``"s"``,
        ``"ms"``, ``"us"`` or ``"ns"`` since 1970, or ``"excel"``, days since 1899-12-30. Without it, ISO 8601, or how
        all of a column can be read, if that is one way.
    encoding
        For CSV: its encoding; if not given, UTF-8, UTF-16 by its first bytes, and else Windows-1252.
    object_type
        For OCEL: the objects that are the cases (see `flatten`).

    Raises
    ------
    LogError
        The file is no event log, is damaged, or would unpack or expand without end.

    Examples
    --------
    >>> import pandas as pd
    >>> log = read_log(pd.DataFrame({
    ...     "Case ID": ["o1", "o1"],
    ...     "Activity": ["check", "ship"],
    ...     "Timestamp": ["2024-05-06T09:00Z", "2024-05-06T11:00+01:00"],
    ... }))
    >>> log.notes
    ("column 'Case ID' was taken for case_id", "column 'Activity' was taken for activity",
     "column 'Timestamp' was taken for completed")
    """
    if lifecycle not in ("fold", "keep"):
        message = f"lifecycle is 'fold' or 'keep', not {lifecycle!r}."
        raise LogError(message)
    if isinstance(source, pd.DataFrame):
        frame, notes = named(source, columns, timezone, time_format)
    elif not isinstance(source, str | PathLike):
        message = f"read_log takes the path of a file, or a DataFrame, not {type(source).__name__}."
        raise LogError(message)
    else:
        path = Path(source).expanduser()
        kind = _kind_of(path)
        if kind in _OBJECTS:
            return flatten(read_objects(path), object_type)
        frame, notes = _read(path, kind, columns, (timezone, time_format), encoding)
    frame = set_apart(frame, columns or {}, notes)
    frame, dropped = _complete(frame)
    notes += dropped
    late = _out_of_order(frame)
    if late:
        notes.append(f"{late:,} events were earlier than the event before them in their case, and were sorted by time")
    if LIFECYCLE in frame and "status" not in frame and lifecycle == "fold" and len(frame):
        frame, folded = fold(frame.rename(columns={name: XES_NAMES[name] for name in XES_NAMES if name in frame}))
        notes += folded
    log = EventLog(frame)
    backwards = int((log.steps["started"] > log.steps["completed"]).sum())
    if backwards:
        notes.append(f"{backwards:,} steps end before they start; their times are kept")
    return log.with_notes(notes)


def write_log(log: EventLog, path: str | Path) -> None:
    """Write a log to a file, in the format that the ending of its name says: any that `read_log` reads.

    `read_log` gives the same log back. Cases without steps and columns without a value are not written; a file of OCEL
    gets no open steps, and one type of objects, ``case``.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_log(log, Path(folder) / "orders.csv")
    ...     len(read_log(Path(folder) / "orders.csv"))
    2
    """
    expect_log(log, "write_log")
    path = Path(path).expanduser()
    kind = _kind(path)
    if kind in _OBJECTS:
        write_objects(objects_of(log), path)
    elif kind == "xes":
        write_events(log, path)
    elif kind == "csv":
        write_delimited(log.to_xes_names(), path)
    else:
        write_parquet(log.to_xes_names(), path)


def read_objects(path: str | Path) -> ObjectLog:
    """Return the object-centric log of a file of OCEL 2.0: JSON, plain or gz, or SQLite.

    `flatten` makes an event log of it, with the objects of one type as cases.

    Raises
    ------
    LogError
        The file is not of that form, or is damaged; ``notes`` of the log say what was repaired or dropped.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ...     "resource": ["Ann", "Ben", "Ann"],
    ... }))
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_log(log, Path(folder) / "orders.jsonocel")
    ...     read_objects(Path(folder) / "orders.jsonocel")
    ObjectLog: 3 events of 2 objects (2 case)
    """
    path = Path(path).expanduser()
    kind = _OBJECTS.get(_kind_of(path))
    if kind is None:
        message = f"{path.name!r} is not a file of OCEL. Read it with read_log."
        raise LogError(message)
    return read_json(path) if kind == "json" else read_sqlite(path)


def write_objects(log: ObjectLog, path: str | Path) -> None:
    """Write an object-centric log as OCEL 2.0: ``.json``, ``.jsonocel``, either with ``.gz``, ``.sqlite``, ``.db``."""
    path = Path(path).expanduser()
    kind = _OBJECTS.get(_kind(path))
    if kind is None:
        message = f"{path.name!r} does not end as a file of OCEL: use .jsonocel or .sqlite."
        raise LogError(message)
    if kind == "json":
        write_json(log, path)
    else:
        write_sqlite(log, path)


def _read(
    path: Path, kind: str, columns: Mapping[str, str] | None, times: tuple[str | None, str | None], encoding: str | None
) -> tuple[pd.DataFrame, list[str]]:
    if kind == "xes":
        return read_events(path, times[0])
    if kind == "parquet":
        return named(read_parquet(path), columns, *times)
    texts, looks, notes = read_delimited(path, encoding)
    frame, guessed = named(texts, columns, *times)
    known = {*STEP_COLUMNS, *XES_NAMES.values()}
    return typed(frame, {name: look for name, look in looks.items() if name not in known}), notes + guessed


def _kind_of(path: Path) -> str:
    """Return the kind of a file that is there."""
    if path.is_dir():
        logs = [name for name in _names_in(path) if name.lower().endswith(_ENDINGS)]
        hint = f" Say which file of it: {', '.join(map(repr, logs[:5]))}." if logs else " There is no log in it."
        message = f"{str(path)!r} is a folder.{hint}"
        raise LogError(message)
    kind = _kind(path)
    if not path.is_file():
        is_address = "://" in str(path) or str(path).startswith(("http:", "https:"))
        near = nearest(path.name, _names_in(path.parent))
        hint = " Addresses are not read: download the file first." if is_address else near
        message = f"There is no file {str(path)!r}.{hint}"
        raise LogError(message)
    return kind


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir())
    except OSError:
        return []


def _kind(path: Path) -> str:
    name = path.name.lower()
    ending = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
    if ending is None:
        hint = nearest(path.suffix, _ENDINGS)
        message = f"{path.name!r}: no known format.{hint} Known: {', '.join(_ENDINGS)}."
        raise LogError(message)
    return ending.split(".")[1]


def _out_of_order(frame: pd.DataFrame) -> int:
    """Return how many rows complete before the row ahead of them in the same case."""
    case, time = (
        next((name for name in names if name in frame), None)
        for names in (("case_id", XES_NAMES["case_id"]), ("completed", XES_NAMES["completed"]))
    )
    if case is None or time is None or not isinstance(frame[time].dtype, pd.DatetimeTZDtype):
        return 0
    codes = coded(frame[case]).cat.codes.to_numpy()
    moments = frame[time].dt.tz_localize(None).to_numpy()
    if (codes[1:] < codes[:-1]).any():  # cases mingle
        order = np.argsort(codes, kind="stable")
        codes, moments = codes[order], moments[order]
    return int(((moments[1:] < moments[:-1]) & (codes[1:] == codes[:-1])).sum())


def _complete(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that name an activity and a time, and how many do not."""
    notes = []
    activity = XES_NAMES["activity"]
    if activity in frame and frame[activity].isna().any():
        notes.append(f"{int(frame[activity].isna().sum()):,} events without {activity} were dropped")
        frame = frame[frame[activity].notna()]
    times = [name for name in (*_TIMES, "started", "completed") if name in frame]
    untimed = frame[times].isna().all(axis="columns")
    if times and untimed.any():
        notes.append(f"{int(untimed.sum()):,} events without a time were dropped")
        frame = frame[~untimed]
    if "status" in frame and LIFECYCLE in frame and _says_no_more(frame[["status", LIFECYCLE]]):
        frame = frame.drop(columns=LIFECYCLE)
    return frame.reset_index(drop=True), notes


def _says_no_more(frame: pd.DataFrame) -> bool:
    """Tell whether transitions are those that a log of our own is written with, for its statuses."""
    pairs = frame.drop_duplicates().itertuples(index=False)
    return all(LIFECYCLES.get(str(status).upper()) == transition for status, transition in pairs)
