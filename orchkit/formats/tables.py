"""Tables of events, CSV and Parquet: which column is which is guessed, and said."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from orchkit.columns import STEP_COLUMNS, UTC, XES_NAMES
from orchkit.errors import LogError, nearest

__all__ = ["named", "read_parquet", "write_parquet"]

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


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the rows of a Parquet file."""
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError, KeyError) as error:
        message = f"{path.name} cannot be read as a table: {error}"
        raise LogError(message) from None


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write rows as Parquet."""
    try:
        frame.to_parquet(path, index=False)
    except (ValueError, TypeError) as error:
        message = f"{path.name}: Parquet holds one type a column: {error}. Make it one, such as text."
        raise LogError(message) from None


def named(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    time_format: str | None = None,
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
    time_format
        How times are written, as ``strptime`` has it; ISO 8601 without it.
    """
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        message = f"The table has two columns called {twice!r}. Drop or rename one."
        raise LogError(message)
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
            frame[label] = _zoned(frame[label], timezone, time_format, notes)
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


def _zoned(column: pd.Series, timezone: str | None, time_format: str | None, notes: list[str]) -> pd.Series:
    """Return times in UTC; offsets may differ from row to row, times without one need ``timezone``."""
    if column.isna().all():
        return pd.Series(pd.NaT, index=column.index, dtype=UTC)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        in_utc: pd.Series = column.dt.tz_convert("UTC").astype(UTC)
        return in_utc
    if column.dtype.kind in "iuf":
        message = (
            f"Column {column.name!r} holds numbers, not times. Seconds since 1970 become some with "
            "pd.to_datetime(column, unit='s', utc=True)."
        )
        raise LogError(message)
    texts = column if column.dtype.kind == "M" else column.astype("str").str.strip()
    bare = column.notna()
    if time_format is not None:
        bare &= "%z" not in time_format
    elif column.dtype.kind != "M":
        has_zone = texts.str.contains(r"(?:[zZ]|UTC|GMT|[+-]\d\d(?::?\d\d)?)$", na=False)
        bare &= ~has_zone | texts.str.len().le(len("2024-05-06"))
    _check_readable(texts[column.notna()], time_format)
    if bare.any() and timezone is None:
        message = (
            f"Column {column.name!r} has {int(bare.sum()):,} times without a time zone. "
            "Say which one they are in: read_log(…, timezone='UTC') or 'Europe/Berlin'."
        )
        raise LogError(message)
    how = time_format or "ISO8601"
    parsed = pd.Series(pd.NaT, index=column.index, dtype=UTC)
    if bare.any():
        local = pd.to_datetime(texts[bare], format=None if column.dtype.kind == "M" else how)
        parsed[bare] = _localized(local, str(timezone), notes).astype(UTC)
        notes.append(f"{int(bare.sum()):,} times of {column.name} were read as {timezone}")
    aware = column.notna() & ~bare
    if aware.any():
        parsed[aware] = pd.to_datetime(texts[aware], utc=True, format=how).astype(UTC)
    return parsed


def _check_readable(texts: pd.Series, time_format: str | None) -> None:
    if texts.dtype.kind == "M":
        return
    unread = pd.to_datetime(texts, utc=True, format=time_format or "ISO8601", errors="coerce").isna()
    if not unread.any():
        return
    example = str(texts[unread].iloc[0])
    way = f"as {time_format!r}" if time_format else "in ISO 8601 (2024-05-06T09:00:00+02:00)"
    hint = "" if time_format else " Say how they are written: read_log(…, time_format='%d.%m.%Y %H:%M')."
    message = f"Column {texts.name!r}: {int(unread.sum()):,} times are not written {way}, the first {example!r}.{hint}"
    raise LogError(message)


def _localized(local: pd.Series, timezone: str, notes: list[str]) -> pd.Series:
    """Return local times in UTC: what the clock shows twice is the second time, what it skips is moved forward."""
    try:
        strict = local.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        message = f"There is no time zone {timezone!r}.{nearest(timezone, zoneinfo.available_timezones())}"
        raise LogError(message) from None
    odd = int((strict.isna() & local.notna()).sum())
    if odd:
        notes.append(f"{odd:,} times lie in the hour when the clocks change; of two the later was taken")
    zoned: pd.Series = local.dt.tz_localize(timezone, ambiguous=False, nonexistent="shift_forward").dt.tz_convert("UTC")
    return zoned
