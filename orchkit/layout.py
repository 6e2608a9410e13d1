"""How a log lies in memory: rows sorted by case and time, and one row per case derived from its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.columns import (
    CASE_COLUMNS,
    CASE_PREFIX,
    ENDED_CASES,
    NAT,
    OPEN_STEPS,
    UTC,
    coded,
    microseconds,
    missing,
    names_of,
)
from orchkit.errors import LogError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COUNT",
    "KEY",
    "case_keys",
    "derive_cases",
    "ended",
    "fill_steps",
    "first_rows",
    "join",
    "overlay",
    "sorted_order",
    "split",
]

KEY = ("case_id", "workflow", "replication")
"""What tells cases apart, and sorts them."""

# Columns that live while the cases are joined; no user calls theirs so.
_GIVEN, COUNT = " as given", " steps"
_LATEST = np.iinfo(np.int64).max
_HALF = 16
_TIMES = ("enabled", "started", "completed")
_LAST_STATUSES = ("FAILED", "COMPENSATED", "CANCELLED")


def case_keys(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return a number for each row that tells apart the cases and sorts them by ``KEY``."""
    keys = rows["case_id"].cat.codes.to_numpy().astype(np.int64)
    for name in KEY[1:]:
        if name not in rows:
            continue
        column = rows[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, size = column.cat.codes.to_numpy(), len(column.cat.categories)
        else:
            codes, values = pd.factorize(column, sort=True)
            size = len(values)
        keys = keys * (size + 1) + codes + 1
    return keys


def sorted_order(rows: pd.DataFrame, keys: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """Return the order by case, completion (open steps last) and start; ties stay as they are; None if it is so.

    Most logs are in order within their cases, and only the cases are not sorted, or mingle: then one stable sort by
    case is enough.
    """
    completed = microseconds(rows["completed"])
    completed = np.where(completed == NAT, _LATEST, completed) if (completed == NAT).any() else completed
    began = _began(rows)
    order = _by_case(keys)
    if order is None:
        if _rises(keys, completed, began):
            return None
    elif _rises(keys[order], completed[order], None if began is None else began[order]):
        return order
    order = np.argsort(completed if began is None else began, kind="stable")
    if began is not None:
        order = order[np.argsort(completed[order], kind="stable")]
    return _stable(keys, order)


def _began(rows: pd.DataFrame) -> NDArray[np.int64] | None:
    """Return when steps started, else could, else completed; None where all that is known is the completion."""
    if "started" not in rows and "enabled" not in rows:
        return None
    began = microseconds(rows["completed"])
    for name in ("enabled", "started"):
        if name in rows:
            times = microseconds(rows[name])
            began = np.where(times == NAT, began, times)
    return began


def _by_case(keys: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """Return the stable order by key, None where the keys rise already."""
    if (keys[1:] >= keys[:-1]).all():
        return None
    blocks = first_rows(keys)
    held = keys[blocks]
    by_key = np.argsort(held, kind="stable")
    if (np.diff(held[by_key]) > 0).all():  # each case in one piece: the pieces are sorted, not the rows
        lengths = np.diff(blocks, append=len(keys))[by_key]
        shifts = blocks[by_key] - (np.cumsum(lengths) - lengths)
        moved: NDArray[np.intp] = np.arange(len(keys)) + np.repeat(shifts, lengths)
        return moved
    return _stable(keys, np.arange(len(keys)))


def _stable(keys: NDArray[np.int64], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return an order by key, of equal ones as they were."""
    while True:  # NumPy sorts 16 bits by radix
        order = order[np.argsort((keys[order] & 0xFFFF).astype(np.uint16), kind="stable")]
        keys = keys >> _HALF
        if not keys.any():
            return order


def _rises(keys: NDArray[np.int64], completed: NDArray[np.int64], began: NDArray[np.int64] | None) -> bool:
    same = keys[1:] == keys[:-1]
    falls = completed[1:] < completed[:-1]
    if began is not None:
        falls |= (completed[1:] == completed[:-1]) & (began[1:] < began[:-1])
    return not (falls & same).any()


def first_rows(keys: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the rows at which another key begins."""
    begins = np.ones(len(keys), dtype=bool)
    begins[1:] = keys[1:] != keys[:-1]
    return np.flatnonzero(begins)


def split(rows: pd.DataFrame, starts: NDArray[np.intp]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the steps without the columns ``case:…``, and the cases with them: the first value that each case has."""
    names = [name for name in rows if str(name).startswith(CASE_PREFIX)]
    if not names:
        return rows, None
    keys = {name: rows[name].take(starts).reset_index(drop=True) for name in KEY if name in rows}
    own = {name: _first_known(rows[name], starts).reset_index(drop=True) for name in names}
    return rows.drop(columns=names), pd.DataFrame(keys | own, copy=False)


def _first_known(column: pd.Series, starts: NDArray[np.intp]) -> pd.Series:
    found = column.take(starts)
    if not found.isna().any():
        return found
    known = np.flatnonzero(column.notna().to_numpy())
    firsts = starts.copy()
    cases = np.searchsorted(starts, known, side="right") - 1
    firsts[cases[::-1]] = known[::-1]  # of several, the first is written last
    return column.take(firsts)


def derive_cases(rows: pd.DataFrame, starts: NDArray[np.intp]) -> pd.DataFrame:
    """Return ``CASE_COLUMNS`` and the number of steps as the steps tell; ``completed`` even where one is open."""
    lengths = np.diff(starts, append=len(rows))
    index = pd.RangeIndex(len(starts))
    texts = {
        name: names_of(rows[name], starts) if name in rows else missing(str, index)
        for name in ("case_id", "workflow", "version")
    }
    times = [microseconds(rows[name]) for name in _TIMES if name in rows]
    firsts = [np.where(time == NAT, _LATEST, time) if (time == NAT).any() else time for time in times]
    begun, done = np.full(len(starts), _LATEST), np.full(len(starts), NAT)
    if len(starts):
        begun = np.minimum.reduce([np.minimum.reduceat(time, starts) for time in firsts])
        done = np.maximum.reduce([np.maximum.reduceat(time, starts) for time in times])
    table = pd.DataFrame(texts)
    table["started"], table["completed"] = _timestamps(begun), _timestamps(done)
    table["status"] = _case_statuses(rows["status"], starts, starts + lengths - 1)
    if "replication" in rows:
        table["replication"] = rows["replication"].take(starts).set_axis(index)
    else:
        table["replication"] = missing("Int64", index)
    return table[[*CASE_COLUMNS]].assign(**{COUNT: lengths})


def _case_statuses(steps: pd.Series, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> pd.Series:
    codes, names = steps.cat.codes.to_numpy(), steps.cat.categories
    shown = np.array([name if name in _LAST_STATUSES else "COMPLETED" for name in names], dtype=object)
    found = shown[codes[ends]] if len(ends) else np.array([], dtype=object)
    opens = np.array([name in OPEN_STEPS for name in names], dtype=bool)
    if opens.any() and len(ends):
        found[np.logical_or.reduceat(opens[codes], starts)] = "RUNNING"
    return pd.Series(found, dtype="str")


def ended(table: pd.DataFrame) -> pd.DataFrame:
    """Return the cases with ``completed`` only where the status says that they ended."""
    return table.assign(completed=table["completed"].where(table["status"].isin(ENDED_CASES)))


def overlay(derived: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Return the cases as the columns ``case:…`` of their first steps say, row for row, else as derived."""
    names = {name: f"{name}{_GIVEN}" for name in given if name in derived}
    return _given(pd.concat([derived, given.rename(columns=names)], axis="columns"))


def join(derived: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Return the cases as given, filled from those derived, sorted by ``KEY``."""
    on = ["case_id", *(name for name in KEY[1:] if name in given and derived[name].notna().any())]
    twice = given.duplicated(on)
    if twice.any():
        case = given["case_id"][twice].iloc[0]
        message = f"cases has {case!r} twice. Keep one row, or tell them apart by a column workflow in cases and steps."
        raise LogError(message)
    table = _given(derived.merge(given, how="outer", on=on, suffixes=("", _GIVEN), validate="m:1"))
    table[COUNT] = table[COUNT].fillna(0).astype("int64")
    return table.sort_values(list(KEY), kind="stable", na_position="first", ignore_index=True)


def _given(table: pd.DataFrame) -> pd.DataFrame:
    for name in ("case_id", "workflow", "version", "replication", "started", "status"):
        if name + _GIVEN in table:
            table[name] = table.pop(name + _GIVEN).fillna(table[name])
    table = ended(table)
    if "completed" + _GIVEN in table:
        table["completed"] = table.pop("completed" + _GIVEN).fillna(table["completed"])
    return table[[*CASE_COLUMNS, *(name for name in table if name not in CASE_COLUMNS)]]


def fill_steps(rows: pd.DataFrame, table: pd.DataFrame, sizes: NDArray[np.int64]) -> pd.DataFrame:
    """Return the steps with what only the cases knew: workflow, version, replication."""
    known = [name for name in ("workflow", "version", "replication") if table[name].notna().any()]
    for name in known:
        if rows[name].isna().all():
            values = table[name] if name == "replication" else coded(table[name])
            rows[name] = values.take(np.repeat(np.arange(len(sizes)), sizes)).reset_index(drop=True)
    return rows


def _timestamps(moments: NDArray[np.int64]) -> pd.Series:
    return pd.Series(moments.view("M8[us]")).dt.tz_localize("UTC").astype(UTC)
