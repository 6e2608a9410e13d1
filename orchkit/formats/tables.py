"""Tables of events, CSV and Parquet: which column is which is guessed, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from orchkit.columns import CASE_PREFIX, STEP_COLUMNS, XES_NAMES, coded
from orchkit.errors import LogError, nearest
from orchkit.formats.guesses import guessed_columns, guessed_formats, joined_halves
from orchkit.formats.moments import zoned

__all__ = ["differing", "named", "read_parquet", "write_parquet"]

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
        How times are written, as ``strptime`` has it. Without it, ISO 8601, or what all of them can be read as, if
        that is one thing.
    """
    unnamed = [name for name in frame.index.names if name is not None and name not in frame]
    notes = [f"the index {name!r} was taken for a column" for name in unnamed]
    if unnamed:
        frame = frame.reset_index(level=unnamed)
    labels, guessed = _labels(frame, dict(columns or {}))
    notes += [f"column {label!r} was taken for {name}" for name, label in guessed.items()]
    _expect(frame, labels)
    frame = frame.rename(columns=labels)
    called = {name: label for label, name in labels.items()}
    if "completed" in guessed and time_format is None:
        frame, joined = joined_halves(frame, "completed", called["completed"])
        notes += joined
    times = [name if name in frame else XES_NAMES.get(name, name) for name in _TIMES]
    times = [label for label in times if label in frame]
    formats = [time_format] * len(times) if time_format else guessed_formats([frame[label] for label in times])
    for label, how in zip(times, formats, strict=True):
        frame[label] = zoned(frame[label], timezone, how, notes, called.get(label, label))
        if how is not None and time_format is None:
            notes.append(f"times of {label} were read as {how!r}")
    for name in ("case_id", "activity"):
        label = name if name in frame else XES_NAMES[name]
        if label in frame and frame[label].isna().any():
            notes.append(f"{int(frame[label].isna().sum()):,} rows without {name} were dropped")
            frame = frame[frame[label].notna()]
    notes += differing(frame, "case_id" if "case_id" in frame else XES_NAMES["case_id"], CASE_PREFIX)
    return frame, notes


def differing(frame: pd.DataFrame, key: str, prefix: str = "") -> list[str]:
    """Return a note on attributes of cases that have several values in a case: the first is kept."""
    cases = coded(frame[key]).cat.codes.to_numpy().astype(np.int64)
    lost = {}
    for name in frame:
        if name != key and str(name).startswith(prefix):
            try:
                codes = coded(frame[name]).cat.codes.to_numpy()
            except LogError:  # lists and the like, which an attribute may be
                continue
            known = codes >= 0
            values = pd.unique(cases[known] << 32 | codes[known])
            again = len(values) - len(pd.unique(cases[known]))
            if again:
                lost[str(name).removeprefix(prefix)] = again
    told = ", ".join(f"{name} {count:,}" for name, count in lost.items())
    return [f"values of cases that have another before were dropped ({told})"] if told else []


def _expect(frame: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """Refuse a table in which no column is known to be one that every log needs."""
    for name in ("case_id", "activity", "completed"):
        if name not in {*frame, *labels.values()} and XES_NAMES[name] not in frame:
            free = [str(label) for label in frame if label not in labels]
            only_begun = next(
                (label for label, one in labels.items() if one == "started" and name == "completed"), None
            )
            hint = f" Did you mean {only_begun!r}?" if only_begun else nearest(name, free)
            its = ", ".join(repr(str(label)) for label in frame) or "none"
            message = (
                f"No column of the table was taken for {name}.{hint} Say which one is: "
                f"read_log(…, columns={{{name!r}: …}}). Its columns: {its}."
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
    guessed = guessed_columns(frame, mapping)
    labels = {label: name for name, label in (guessed | mapping).items()}
    for name, label in labels.items():
        if label in frame and name != label:
            message = f"columns: the file has a column {label!r} besides {name!r}. Drop or rename one."
            raise LogError(message)
    return labels, guessed
