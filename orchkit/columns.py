"""The columns of a log, and how a user's frame becomes them: the edge where logs are parsed, once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from orchkit.errors import LogError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "CASE_COLUMNS",
    "CASE_PREFIX",
    "ENDED_CASES",
    "NAT",
    "OPEN_STEPS",
    "STEP_COLUMNS",
    "UTC",
    "XES_NAMES",
    "coded",
    "complete_steps",
    "microseconds",
    "missing",
    "moments_of",
    "names_of",
    "of_pandas",
    "parse",
    "parse_cases",
    "parse_steps",
    "text_of",
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

NAT = np.iinfo(np.int64).min
"""A missing time among microseconds."""

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
    """Return those of ``STEP_COLUMNS`` that are there, typed, and the status, then the attributes, row for row."""
    _check_frame(frame, "steps")
    labels = {name: name for name in STEP_COLUMNS if name in frame}
    labels |= {name: xes for name, xes in XES_NAMES.items() if xes in frame and name not in frame}
    _check_required(frame, "steps", [name for name in _REQUIRED if name not in labels])
    if not isinstance(frame.index, pd.RangeIndex) or frame.index.start or frame.index.step != 1:
        frame = frame.reset_index(drop=True)
    steps = {name: _PARSERS[name](frame[labels[name]]) for name in STEP_COLUMNS if name in labels}
    for name in ("case_id", "activity"):
        _check_rows(steps[name].isna(), "steps", f"no {labels[name]}")
    steps["status"] = _step_statuses(steps, labels["completed"])
    attributes = {name: frame[name] for name in frame if name not in set(labels.values())}
    return pd.DataFrame(steps | attributes, index=frame.index, copy=False)


def parse(name: str, column: pd.Series) -> pd.Series:
    """Return one of the columns of a log, typed."""
    return _PARSERS[name](column)


def complete_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """Return parsed steps with all of ``STEP_COLUMNS``, those that were not there with missing values."""
    held: dict[object, pd.Series] = {}  # what is missing is held once: pandas copies a column when it is changed
    columns = {}
    for name in STEP_COLUMNS:
        if name not in steps and _PARSERS[name] not in held:
            held[_PARSERS[name]] = _absent(name, steps.index)
        columns[name] = steps[name] if name in steps else held[_PARSERS[name]].copy(deep=False)
    return pd.DataFrame(columns | {name: steps[name] for name in steps if name not in columns}, copy=False)


def missing(kind: type[str] | pd.api.extensions.ExtensionDtype | str, index: pd.Index) -> pd.Series:
    """Return a column of missing values; of text without the time that pandas takes for a row each."""
    if kind is not str:
        return pd.Series(pd.NaT if isinstance(kind, pd.DatetimeTZDtype) else np.nan, index=index, dtype=kind)
    return text_of(pa.nulls(len(index), pa.large_string())).set_axis(index)


def text_of(array: pa.Array) -> pd.Series:
    """Return text as pandas holds it, on the same memory."""
    return pd.Series(array.to_pandas(types_mapper=lambda _: pd.StringDtype(na_value=np.nan)))


def names_of(column: pd.Series, rows: NDArray[np.intp]) -> pd.Series:
    """Return the text of a coded column at some rows."""
    codes = column.cat.codes.to_numpy()[rows]
    names = pa.array(column.cat.categories, type=pa.large_string())
    return text_of(names.take(pa.array(codes, mask=codes < 0)))


def microseconds(times: pd.Series) -> NDArray[np.int64]:
    """Return the memory of a column of times: microseconds since 1970 in UTC, ``NAT`` where one is missing."""
    view: NDArray[np.int64] = times.to_numpy(dtype="M8[us]").view(np.int64)
    return view


def _absent(name: str, index: pd.Index) -> pd.Series:
    parse = _PARSERS[name]
    if parse is coded:
        codes = np.full(len(index), -1, dtype=np.int8)
        return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index([], dtype="str")), index=index)
    if parse is _attempt:
        return pd.Series(np.ones(len(index), dtype=np.int32), index=index, copy=False)
    if parse is _replication:
        return pd.Series(pd.array(np.zeros(len(index), dtype=np.int64)), index=index).mask(np.ones(len(index), bool))
    kinds: dict[object, Any] = {_time: UTC, _text: str, _number: "float64"}
    return missing(kinds[parse], index)


def _step_statuses(steps: Mapping[str, pd.Series], label: str) -> pd.Series:
    """Return the statuses: where one is missing, by the times that are there."""
    shape = len(steps["completed"])
    open_ones = microseconds(steps["completed"]) == NAT
    default: NDArray[np.int64] | int = _STEP_CODES["COMPLETED"]
    if open_ones.any():
        times = {name: steps[name].notna().to_numpy() for name in ("started", "enabled") if name in steps}
        begun, enabled = (times.get(name, np.zeros(shape, dtype=bool)) for name in ("started", "enabled"))
        untimed = pd.Series(open_ones & ~begun & ~enabled)
        _check_rows(untimed, "steps", f"no time: an open step without {label} needs started or enabled")
        reached = np.where(~open_ones, 2, np.where(begun, 1, 0))
        default = np.array([_STEP_CODES[name] for name in ("PENDING", "RUNNING", "COMPLETED")])[reached]
    if "status" not in steps and isinstance(default, int):
        return pd.Series(pd.Categorical.from_codes(np.zeros(shape, np.int8), pd.Index(["COMPLETED"], dtype="str")))
    given = steps["status"] if "status" in steps else _absent("status", pd.RangeIndex(shape))
    return _statuses(given, _STEP_CODES, default)


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
    """Return a column as text with integer codes: a categorical, its categories sorted, each of them used."""
    codes, values = _factorized(column)
    is_text = isinstance(values.dtype, pd.StringDtype)
    if not is_text:
        values = pd.Index([_name(value) for value in values], dtype="str")
    if is_text or values.is_unique:
        rank = pc.array_sort_indices(pa.array(values, type=pa.large_string())).to_numpy()
        categories = values.take(rank)
        order = np.empty(len(rank) + 1, dtype=np.int32)
        order[rank] = np.arange(len(rank), dtype=np.int32)
    else:
        found, categories = pd.factorize(values, sort=True)
        order = np.append(found, -1).astype(np.int32)
    order[-1] = -1  # a missing value has the code -1: the last element
    narrow = next(kind for kind in (np.int8, np.int16, np.int32) if len(categories) <= np.iinfo(kind).max)
    recoded = order.astype(narrow)[codes]
    return pd.Series(pd.Categorical.from_codes(recoded, categories=pd.Index(categories, dtype="str"), validate=False))


def _factorized(column: pd.Series) -> tuple[NDArray[np.integer[Any]], pd.Index]:
    """Return codes (-1: missing) and the values that occur, in any order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
        used = np.flatnonzero(np.bincount(codes.astype(np.int64) + 1, minlength=len(values) + 1)[1:])
        if len(used) == len(values):
            return codes, values
        compact = np.full(len(values) + 1, -1, dtype=np.int32)
        compact[used] = np.arange(len(used))
        return compact[codes], values.take(used)
    if isinstance(column.dtype, pd.StringDtype):
        found = pa.array(column, type=pa.large_string(), from_pandas=True).dictionary_encode()
        found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        if isinstance(found, pa.DictionaryArray):
            names = pd.Index(found.dictionary.to_pandas(), dtype="str")
            return found.indices.fill_null(-1).to_numpy(zero_copy_only=False), names
    try:
        codes, values = pd.factorize(column)
    except TypeError:
        faulty = next(value for value in column.dropna() if not isinstance(value, Hashable))
        message = f"Column {column.name!r} must hold text or numbers, not {type(faulty).__name__}."
        raise LogError(message) from None
    return codes, pd.Index(values)


def _name(value: object) -> str:
    # pandas turns integer identifiers with a gap into floats; some writers of Parquet leave texts as bytes.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if text.isascii() else text.encode(errors="replace").decode()  # half a surrogate pair is no text


def _text(column: pd.Series) -> pd.Series:
    if column.isna().all():
        return missing(str, column.index)
    return coded(column).astype("str") if column.dtype.kind == "f" else column.astype("str")


def _statuses(column: pd.Series, known: Mapping[str, int], default: NDArray[np.int64] | int = -1) -> pd.Series:
    """Return statuses from a coded column of any case, where missing the one that has the code ``default``."""
    names = [str(name).upper() for name in column.cat.categories]
    for name in names:
        if name not in known:
            message = f"{name!r} is not a status.{nearest(name, known)} Known: {', '.join(known)}."
            raise LogError(message)
    codes = np.array([*(known[name] for name in names), -1])[column.cat.codes]
    filled = np.where(codes < 0, default, codes)
    used = np.flatnonzero(np.bincount(filled + 1, minlength=len(known) + 1)[1:])
    compact = np.full(len(known) + 1, -1, dtype=np.int8)
    compact[used] = np.arange(len(used))
    categories = pd.Index(list(known), dtype="str").take(used)
    return pd.Series(pd.Categorical.from_codes(compact[filled], categories=categories))


def of_pandas(column: pd.Series) -> pd.Series:
    """Return a column that Arrow holds as pandas holds its like; any other as it is."""
    if not isinstance(column.dtype, pd.ArrowDtype):
        return column
    return pd.Series(pa.array(column.array).to_pandas().array, index=column.index, name=column.name)


def _time(column: pd.Series) -> pd.Series:
    """Return timestamps in UTC; those without a time zone are refused, for any guess would be silent."""
    column = of_pandas(column)
    if column.dtype == UTC:
        return column
    if column.isna().all():
        return pd.Series(pd.NaT, index=column.index, dtype=UTC)
    if isinstance(column.dtype, pd.StringDtype) and (moments := moments_of(column)) is not None:
        return moments
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


def moments_of(texts: pd.Series) -> pd.Series | None:
    """Return the times that texts of ISO 8601 say, None unless each is whole, with its offset, and of microseconds."""
    try:
        moments = pa.array(texts, type=pa.large_string(), from_pandas=True).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return None
    return pd.Series(moments.to_pandas().astype(UTC).array, index=texts.index, name=texts.name)


def _number(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.StringDtype):
        try:
            cast = pa.array(column, type=pa.large_string(), from_pandas=True).cast(pa.float64())
            numbers = cast.to_numpy(zero_copy_only=False)
            if np.isnan(numbers).sum() == column.isna().sum():
                return pd.Series(numbers, index=column.index, name=column.name)
        except pa.ArrowInvalid:
            pass  # pandas knows more ways to write a number, and says what is none
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
