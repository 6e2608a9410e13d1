"""The columns of a log, and how a user's frame becomes them: the edge where logs are parsed, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.errors import LogError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "CASE_COLUMNS",
    "CASE_PREFIX",
    "ENDED_CASES",
    "OPEN_STEPS",
    "STEP_COLUMNS",
    "UTC",
    "XES_NAMES",
    "coded",
    "parse_cases",
    "parse_steps",
]

CASE_COLUMNS = ("case_id", "workflow", "version", "started", "completed", "status", "replication")
"""Columns of ``log.cases``; attributes of the case follow."""

STEP_COLUMNS = (
    "case_id",
    "activity",
    "enabled",
    "started",
    "completed",
    "status",
    "attempt",
    "role",
    "resource",
    "error_class",
    "error_type",
    "error_message",
    "cost",
    "run_id",
    "step_id",
    "workflow",
    "version",
    "replication",
)
"""Columns of ``log.steps``; attributes of the step follow."""

UTC = pd.DatetimeTZDtype("us", "UTC")
"""Microseconds: what DuckDB holds too."""

# The values of orchkit.model.states, which this layer does not know; a test compares them.
OPEN_STEPS = frozenset({"PENDING", "RUNNING", "WAITING", "RETRYING", "COMPENSATING"})
STEP_STATUSES = OPEN_STEPS | {"COMPLETED", "FAILED", "SKIPPED", "CANCELLED", "COMPENSATED"}
ENDED_CASES = frozenset({"COMPLETED", "FAILED", "COMPENSATED", "CANCELLED", "DEAD_LETTERED"})
CASE_STATUSES = ENDED_CASES | {"PENDING", "RUNNING", "WAITING", "COMPENSATING"}

_STEP_CODES = {name: code for code, name in enumerate(sorted(STEP_STATUSES))}
_CASE_CODES = {name: code for code, name in enumerate(sorted(CASE_STATUSES))}

XES_NAMES = {
    "case_id": "case:concept:name",
    "activity": "concept:name",
    "completed": "time:timestamp",
    "started": "start_timestamp",
    "resource": "org:resource",
    "role": "org:role",
    "cost": "cost:total",
}
"""IEEE 1849, and ``start_timestamp``, which pm4py adds for logs with intervals."""

CASE_PREFIX = "case:"

_REQUIRED = ("case_id", "activity", "completed")

# What other tools call the required columns: for the hint of an error, never guessed.
_KNOWN_AS = {
    "case_id": ("case", "caseid", "trace", "trace id", "run id", "id"),
    "activity": ("event", "task", "step", "node", "activity name", "name"),
    "completed": (
        "timestamp",
        "time",
        "complete",
        "complete timestamp",
        "end",
        "end time",
        "finished",
        "date",
    ),
}

# A time of day with its offset at the end: a bare date's "-31" is none.
_OFFSET = r"[:T ]\d{2}(?:[.,]\d+)?\s*(?:[zZ]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)\s*$"


def parse_steps(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with all of ``STEP_COLUMNS``, typed, then the attributes; the rows keep their order."""
    _check_frame(frame, "steps")
    labels = {name: name for name in STEP_COLUMNS if name in frame}
    labels |= {name: xes for name, xes in XES_NAMES.items() if xes in frame and name not in frame}
    _check_required(frame, "steps", [name for name in _REQUIRED if name not in labels])
    frame = frame.reset_index(drop=True)
    absent = pd.Series(np.nan, index=frame.index)
    steps = {name: parse(frame[labels[name]] if name in labels else absent) for name, parse in _PARSERS.items()}
    for name in ("case_id", "activity"):
        _check_rows(steps[name].isna(), "steps", f"no {labels[name]}")
    untimed = steps["completed"].isna() & steps["started"].isna() & steps["enabled"].isna()
    _check_rows(untimed, "steps", f"no time: an open step without {labels['completed']} needs started or enabled")
    reached = np.where(steps["completed"].notna(), 2, np.where(steps["started"].notna(), 1, 0))
    default = np.array([_STEP_CODES[name] for name in ("PENDING", "RUNNING", "COMPLETED")])[reached]
    steps["status"] = _statuses(steps["status"], _STEP_CODES, default)
    return pd.concat([pd.DataFrame(steps), frame.drop(columns=list(labels.values()))], axis="columns")


def parse_cases(frame: pd.DataFrame) -> pd.DataFrame:
    """Return those of ``CASE_COLUMNS`` that are there, typed, then the attributes; the rows keep their order."""
    _check_frame(frame, "cases")
    frame = frame.rename(columns=_case_name).reset_index(drop=True)
    _check_frame(frame, "cases")
    _check_required(frame, "cases", [] if "case_id" in frame else ["case_id"])
    cases = {name: _PARSERS[name](frame[name]) for name in CASE_COLUMNS if name in frame}
    _check_rows(cases["case_id"].isna(), "cases", "no case_id")
    if "status" in cases:
        cases["status"] = _statuses(cases["status"], _CASE_CODES)
    texts = {name: column.astype("str") for name, column in cases.items() if _PARSERS[name] is coded}
    return pd.concat([pd.DataFrame(cases | texts), frame.drop(columns=list(cases))], axis="columns")


def _case_name(label: Hashable) -> Hashable:
    """Return the name of a column of cases: XES writes ``case:``, and its traces have a ``concept:name``."""
    if not isinstance(label, str):
        return label
    name = label.removeprefix(CASE_PREFIX)
    return "case_id" if name == XES_NAMES["activity"] else name


def _check_frame(frame: pd.DataFrame, what: str) -> None:
    if not isinstance(frame, pd.DataFrame):
        message = f"{what} must be a pandas DataFrame, not {type(frame).__name__}."
        raise LogError(message)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        message = f"{what} has two columns called {twice!r}. Drop or rename one."
        raise LogError(message)


def _check_required(frame: pd.DataFrame, what: str, missing: Sequence[str]) -> None:
    if not missing:
        return
    name, labels = missing[0], [str(label) for label in frame]
    plain = {label.lower().replace("_", " ").strip(): label for label in labels}
    known = [plain[other] for other in (name.replace("_", " "), *_KNOWN_AS[name]) if other in plain]
    hint = f" Did you mean {known[0]!r}?" if known else nearest(name, labels)
    rename = f"{hint} Then rename it with {what}.rename(columns=…)." if hint else ""
    has = ", ".join(repr(label) for label in labels) or "none"
    message = f"{what} has no column {name!r} (in XES: {XES_NAMES[name]!r}).{rename} Its columns: {has}."
    raise LogError(message)


def _check_rows(faulty: pd.Series[bool], what: str, fault: str) -> None:
    if faulty.any():
        count, first = int(faulty.sum()), int(faulty.argmax())
        message = f"{what}: {count:,} rows have {fault} (the first is row {first}, from 0). Fill or drop them."
        raise LogError(message)


def coded(column: pd.Series) -> pd.Series:
    """Return a column as text with integer codes: a categorical, its categories sorted."""
    try:
        codes, values = pd.factorize(column)
    except TypeError:
        message = f"Column {column.name!r} must hold text or numbers, not {type(column.dropna().iloc[0]).__name__}."
        raise LogError(message) from None
    if not isinstance(values.dtype, pd.StringDtype):
        values = pd.Index([_name(value) for value in values], dtype="str")
    order, categories = pd.factorize(values, sort=True)
    recoded = np.append(order, -1)[codes]  # a missing value has the code -1: the last element
    return pd.Series(pd.Categorical.from_codes(recoded, categories=pd.Index(categories, dtype="str")))


def _name(value: object) -> str:
    # pandas turns integer identifiers with a gap into floats.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _text(column: pd.Series) -> pd.Series:
    if column.isna().all():
        return pd.Series(np.nan, index=column.index, dtype="str")
    return coded(column).astype("str") if column.dtype.kind == "f" else column.astype("str")


def _statuses(column: pd.Series, known: Mapping[str, int], default: NDArray[np.int64] | int = -1) -> pd.Series:
    """Return statuses from a coded column of any case, where missing the one that has the code ``default``."""
    names = [str(name).upper() for name in column.cat.categories]
    for name in names:
        if name not in known:
            message = f"{name!r} is not a status.{nearest(name, known)} Known: {', '.join(known)}."
            raise LogError(message)
    codes = np.array([*(known[name] for name in names), -1])[column.cat.codes]
    categories = pd.Index(list(known), dtype="str")
    filled = pd.Categorical.from_codes(np.where(codes < 0, default, codes), categories=categories)
    return pd.Series(filled.remove_unused_categories())


def _time(column: pd.Series) -> pd.Series:
    """Return timestamps in UTC; those without a time zone are refused, for any guess would be silent."""
    if column.isna().all():
        return pd.Series(pd.NaT, index=column.index, dtype=UTC)
    is_text = pd.api.types.infer_dtype(column) == "string"
    if is_text:
        naive = not column.astype("str").str.contains(_OFFSET, na=True).all()
    elif column.dtype == object:
        naive = any(getattr(value, "tzinfo", None) is None for value in column.dropna())
    elif hasattr(column, "dt") and hasattr(column.dt, "tz"):
        naive = column.dt.tz is None
    else:
        message = (
            f"Column {column.name!r} holds {column.dtype}, not timestamps. "
            "Seconds since 1970 become some with pd.to_datetime(column, unit='s', utc=True)."
        )
        raise LogError(message)
    if naive:
        message = (
            f"Column {column.name!r} has timestamps without a time zone. Say which one they are in: "
            "pd.to_datetime(column).dt.tz_localize('UTC'), or a zone such as 'Europe/Berlin'."
        )
        raise LogError(message)
    try:
        parsed = pd.to_datetime(column, utc=True, format="ISO8601" if is_text else None)
    except (ValueError, TypeError) as error:
        message = f"Column {column.name!r} must hold timestamps, as text in ISO 8601 with an offset: {error}"
        raise LogError(message) from None
    return parsed.astype(UTC)


def _number(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column).astype("float64")
    except (ValueError, TypeError) as error:
        message = f"Column {column.name!r} must hold numbers: {error}."
        raise LogError(message) from None


def _attempt(column: pd.Series) -> pd.Series:
    number = _number(column).fillna(1)
    if ((number < 1) | (number % 1 != 0)).any():
        message = f"Column {column.name!r} must hold whole numbers from 1."
        raise LogError(message)
    return number.astype("int32")


def _replication(column: pd.Series) -> pd.Series:
    number = _number(column)
    if ((number < 0) | (number % 1 > 0)).any():
        message = f"Column {column.name!r} must hold whole numbers from 0."
        raise LogError(message)
    return number.astype("Int64")


_PARSERS: dict[str, Callable[[pd.Series], pd.Series]] = {
    **dict.fromkeys(STEP_COLUMNS, coded),
    **dict.fromkeys(("enabled", "started", "completed"), _time),
    **dict.fromkeys(("error_message", "step_id"), _text),
    "attempt": _attempt,
    "cost": _number,
    "replication": _replication,
}
