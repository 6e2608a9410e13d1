"""Tables of events, CSV and Parquet: which column is which is guessed, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from orchkit.columns import STEP_COLUMNS, UTC, XES_NAMES
from orchkit.errors import LogError, nearest

__all__ = ["named", "read_table", "write_table"]

_KNOWN_AS = {
    "case_id": ("case id", "case", "caseid", "trace id", "trace", "case key", "run id", "order id"),
    "activity": ("activity", "activity name", "event", "task", "step", "action"),
    "completed": ("completed", "complete timestamp", "end time", "end timestamp", "timestamp", "time", "end", "date"),
    "started": ("started", "start time", "start timestamp", "start"),
    "resource": ("resource", "user", "agent", "originator", "performer"),
    "role": ("role", "group", "department"),
    "cost": ("cost", "costs"),
}
_TIMES = ("enabled", "started", "completed")


def read_table(path: Path) -> pd.DataFrame:
    """Return the rows of a CSV or Parquet file."""
    try:
        if ".parquet" in path.suffixes:
            return pd.read_parquet(path)
        return pd.read_csv(path, sep=None, engine="python", dtype={"case_id": "str", "case:concept:name": "str"})
    except (ValueError, OSError, pd.errors.ParserError) as error:
        message = f"{path.name} cannot be read as a table: {error}"
        raise LogError(message) from None


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write rows as CSV or Parquet, by the end of the name."""
    if ".parquet" in path.suffixes:
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%S.%f%z")


def named(
    frame: pd.DataFrame, columns: Mapping[str, str] | None = None, timezone: str | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame under the names of a log, its times in UTC, and what was guessed or dropped.

    Parameters
    ----------
    frame
        A row an event or a step.
    columns
        From the names of a log (``case_id``, ``activity``, ``completed``, …) to those of the frame; the rest is
        guessed from usual names.
    timezone
        The zone of times that have none; such times are refused without it.
    """
    mapping = dict(columns or {})
    for name, label in mapping.items():
        if name not in STEP_COLUMNS:
            message = f"columns: a log has no column {name!r}.{nearest(name, STEP_COLUMNS)}"
            raise LogError(message)
        if label not in frame:
            message = f"columns: the file has no column {label!r}.{nearest(label, [str(n) for n in frame])}"
            raise LogError(message)
    guessed = _guess(frame, mapping)
    labels = {label: name for name, label in (guessed | mapping).items()}
    notes = [f"column {label!r} was taken for {name}" for name, label in guessed.items()]
    frame = frame.rename(columns=labels)
    for name in _TIMES:
        label = name if name in frame else XES_NAMES.get(name, name)
        if label in frame:
            frame[label] = _zoned(frame[label], timezone, notes)
    for name in ("case_id", "activity"):
        label = name if name in frame else XES_NAMES[name]
        if label in frame and frame[label].isna().any():
            notes.append(f"{int(frame[label].isna().sum()):,} rows without {name} were dropped")
            frame = frame[frame[label].notna()]
    return frame, notes


def _guess(frame: pd.DataFrame, mapping: Mapping[str, str]) -> dict[str, str]:
    plain = {str(label).lower().replace("_", " ").replace(":", " ").strip(): str(label) for label in frame}
    taken, guessed = set(mapping.values()), dict[str, str]()
    for name, usual in _KNOWN_AS.items():
        if name in mapping or name in frame or XES_NAMES[name] in frame:
            continue
        found = next((plain[other] for other in usual if other in plain and plain[other] not in taken), None)
        if found is not None:
            guessed[name] = found
            taken.add(found)
    return guessed


def _zoned(column: pd.Series, timezone: str | None, notes: list[str]) -> pd.Series:
    """Return times in UTC; offsets may differ from row to row, times without one need ``timezone``."""
    if column.isna().all():
        return pd.Series(pd.NaT, index=column.index, dtype=UTC)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        in_utc: pd.Series = column.dt.tz_convert("UTC").astype(UTC)
        return in_utc
    texts = column if column.dtype.kind == "M" else column.astype("str")
    bare = column.notna()
    if column.dtype.kind != "M":
        bare &= ~texts.str.contains(r"(?:[zZ]|UTC|[+-]\d\d(?::?\d\d)?)\s*$", na=False) | texts.str.len().le(
            len("2024-05-06")
        )
    if bare.any() and timezone is None:
        message = (
            f"Column {column.name!r} has {int(bare.sum()):,} times without a time zone. "
            "Say which one they are in: read_log(…, timezone='UTC') or 'Europe/Berlin'."
        )
        raise LogError(message)
    try:
        parsed = pd.Series(pd.NaT, index=column.index, dtype=UTC)
        if bare.any():
            local = pd.to_datetime(texts[bare], format=None if column.dtype.kind == "M" else "ISO8601")
            zoned = local.dt.tz_localize(timezone, ambiguous=False, nonexistent="shift_forward")
            parsed[bare] = zoned.dt.tz_convert("UTC").astype(UTC)
            notes.append(f"{int(bare.sum()):,} times of {column.name} were read as {timezone}")
        aware = column.notna() & ~bare
        if aware.any():
            parsed[aware] = pd.to_datetime(texts[aware], utc=True, format="ISO8601").astype(UTC)
    except (ValueError, TypeError) as error:
        message = f"Column {column.name!r} must hold timestamps in ISO 8601: {error}"
        raise LogError(message) from None
    return parsed
