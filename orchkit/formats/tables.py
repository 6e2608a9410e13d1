"""Tables of events, CSV and Parquet: which column is which is guessed, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from orchkit.columns import STEP_COLUMNS, XES_NAMES
from orchkit.errors import LogError, nearest
from orchkit.formats.moments import zoned

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
        One row per event or step.
    columns
        From the names of a log (``case_id``, ``activity``, ``completed``, …) to those of the frame; the rest is
        guessed from usual names.
    timezone
        The zone of times that have none; such times are refused without it.
    time_format
        How times are written, as ``strptime`` has it; ISO 8601 without it.
    """
    unnamed = [name for name in frame.index.names if name is not None and name not in frame]
    notes = [f"the index {name!r} was taken for a column" for name in unnamed]
    if unnamed:
        frame = frame.reset_index(level=unnamed)
    labels, guessed = _labels(frame, dict(columns or {}))
    notes += [f"column {label!r} was taken for {name}" for name, label in guessed.items()]
    frame = frame.rename(columns=labels)
    _expect(frame)
    for name in _TIMES:
        label = name if name in frame else XES_NAMES.get(name, name)
        if label in frame:
            frame[label] = zoned(frame[label], timezone, time_format, notes)
    for name in ("case_id", "activity"):
        label = name if name in frame else XES_NAMES[name]
        if label in frame and frame[label].isna().any():
            notes.append(f"{int(frame[label].isna().sum()):,} rows without {name} were dropped")
            frame = frame[frame[label].notna()]
    return frame, notes


def _expect(frame: pd.DataFrame) -> None:
    """Refuse a table in which no column is known to be one that every log needs."""
    for name in ("case_id", "activity", "completed"):
        if name not in frame and XES_NAMES[name] not in frame:
            labels = [str(label) for label in frame]
            message = (
                f"No column of the table was taken for {name}.{nearest(name, labels)} Say which one is: "
                f"read_log(…, columns={{{name!r}: …}}). Its columns: {', '.join(map(repr, labels)) or 'none'}."
            )
            raise LogError(message)


def _labels(frame: pd.DataFrame, mapping: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the log's name of each column that has one, and what was guessed, the other way around."""
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        message = f"The table has two columns called {twice!r}. Drop or rename one."
        raise LogError(message)
    for name, label in mapping.items():
        if name not in STEP_COLUMNS:
            message = f"columns: a log has no column {name!r}.{nearest(name, STEP_COLUMNS)}"
            raise LogError(message)
        if label not in frame:
            message = f"columns: the file has no column {label!r}.{nearest(label, [str(n) for n in frame])}"
            raise LogError(message)
    if len(set(mapping.values())) < len(mapping):
        label = next(label for label in mapping.values() if [*mapping.values()].count(label) > 1)
        message = f"columns: {label!r} is named for two columns of the log. Copy it under a second name first."
        raise LogError(message)
    guessed = _guess(frame, mapping)
    labels = {label: name for name, label in (guessed | mapping).items()}
    for name, label in labels.items():
        if label in frame and name != label:
            message = f"columns: the file has a column {label!r} besides {name!r}. Drop or rename one."
            raise LogError(message)
    return labels, guessed


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
