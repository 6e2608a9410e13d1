"""What the kernel wrote, as an event log: typed columns, sorted by case, none of them copied again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from orchkit.columns import UTC
from orchkit.held import Held
from orchkit.log import AVAILABILITY_COLUMNS, EventLog
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.known import Known, Replication, known_of
from orchkit.simulation.rows import room_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow
    from orchkit.simulation.lowering import Lowered

__all__ = ["log_of", "with_names"]

_TEXT = pd.StringDtype("pyarrow", na_value=np.nan)
_HALF = 0.5  # text is coded as its number and a half


def log_of(workflow: Workflow, program: Lowered, parts: list[Replication], warm_up_us: int) -> EventLog:
    """Return the log of replications; their rows are let go as soon as they are in its columns."""
    from orchkit.simulation.kernel.columns import fill  # noqa: PLC0415 -- compiles, or reads it

    count = len(parts)
    cases = known_of(program, parts, warm_up_us)
    columns = _Columns(int(cases.offsets[-1]), program, cases.used, cases.attempts, count)
    busy = np.zeros((count, max(1, len(program.units))), dtype=np.int64)
    begun = [min(int(program.program[at.P_START]) + warm_up_us, part.now) for part in parts]
    staff = _staff(program)
    cursor = cases.offsets[:-1].copy()
    index = np.empty(0, dtype=np.int64) if cases.index is None else cases.index
    for position, part in enumerate(parts):
        where = (part.rows, part.open_rows, count, position, index, cursor)
        fill(program.program, *where, *columns.arrays, *staff, busy[position], begun[position], part.now)
        busy[position, : len(part.helped)] += part.helped
        parts[position] = replace(part, rows=part.rows[:0].copy(), open_rows=part.open_rows[:0].copy())
        del part, where
    ends = [(part.number, part.key, begin, part.now) for part, begin in zip(parts, begun, strict=True)]
    identifiers = Held(lambda: _identifiers(cases.count // count))
    codes = columns.numbers[0]
    if not cases.is_whole:
        codes = np.repeat(np.arange(len(cases.offsets) - 1, dtype=np.int32), np.diff(cases.offsets))
    return EventLog.from_codes(
        (codes.view(), columns.numbers[1].view(), columns.numbers[2].view()),
        cases.offsets,
        lambda: _steps(workflow, columns, identifiers.get()),
        lambda: _cases(workflow, program, ends, cases, identifiers.get()),
        lambda: _availability(program, ends, busy),
    )


def _staff(program: Lowered) -> tuple[NDArray[Any], ...]:
    """Return what the kernel asks of roles and resources."""
    pools = program.pools
    return (
        program.node_pools,
        np.array([number for number, (_, res, _) in enumerate(pools) for _ in range(res.count)] or [0]),
        np.array(program.unit_calendars or [-1], dtype=np.int64),
        np.array(program.pool_calendars or [-1], dtype=np.int64),
        np.array([[res.cost_per_hour, res.cost_per_step] for _, res, _ in pools] or [[0.0, 0.0]], dtype=np.float64),
        program.helpers,
        np.array([res.at_shift_end == "pause" for _, res, _ in pools] or [False], dtype=np.int64),
        np.zeros(2 * len(program.unit_calendars) + 2 * len(program.pool_calendars), dtype=np.int64),
    )


def with_names(log: EventLog, names: Sequence[str]) -> EventLog:
    """Return a log whose first cases were in flight, by their own names; those that arrived are ``new_1`` and so on."""
    steps, cases = log.steps, log.cases
    known = cases["case_id"].astype("str").to_list()
    prefix = "new_"
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    numbers = {text: int(text) - 1 for text in {*known, *steps["case_id"].cat.categories}}
    width = max((len(text) for text in numbers), default=1)
    texts = {
        text: names[number] if number < len(names) else f"{prefix}{number - len(names) + 1:0{width}}"
        for text, number in numbers.items()
    }
    steps["case_id"] = steps["case_id"].cat.rename_categories(texts)
    cases["case_id"] = [texts[text] for text in known]
    return EventLog(steps, cases, availability=log.availability)


class _Columns:
    """The columns that the kernel fills, and the names behind their codes; what is not written takes no memory."""

    def __init__(
        self, length: int, program: Lowered, used: NDArray[np.int64], attempts: int, replications: int
    ) -> None:
        self.length = length
        times, numbers, codes = np.split(room_for(7 * length).view(np.uint8), [24 * length, 40 * length])
        self.times = times.view(np.int64).reshape(3, length)  # enabled, started, completed
        self.numbers = numbers.view(np.int32).reshape(4, length)  # case, activity, resource, attempt
        self.codes = codes[: 10 * length].view(np.int16).reshape(5, length)  # role, status, class, type, what it undoes
        self.floats = np.zeros((7, length), dtype=np.float64)  # cost; waits: contention, calendar, …
        self.replications = np.zeros(length, dtype=np.int64)
        nodes = program.nodes
        named: dict[str, tuple[Sequence[str | None], NDArray[np.int64]]] = {
            "activity": ([node.name for node in nodes], used[0]),
            "role": ([node.role for node in nodes], used[0]),
            "status": (at.STATUS_NAMES, used[2]),
            "error_class": ([None, *at.CLASS_NAMES[1:]], used[3]),
            "error_type": (program.types, used[4]),
            "compensates": ([node.undoes for node in nodes], used[0]),
            "resource": ([None, *(name for _, name in program.units)], used[1]),
        }
        self.tables = np.full((len(named), used.shape[1]), -1, dtype=np.int32)
        self.texts: dict[str, list[str]] = {}
        for (column, (names, counts)), table in zip(named.items(), self.tables, strict=True):
            is_used = counts[: len(names)] > 0
            texts = sorted({name for name, some in zip(names, is_used, strict=True) if some and name is not None})
            place: dict[str | None, int] = {name: code for code, name in enumerate(texts)}
            table[: len(names)] = [place.get(name, -1) for name in names]
            self.texts[column] = texts
        # What has one value in all rows need not be written.
        kinds = (
            ("status", len(self.texts["status"]) > 1),
            ("attempt", attempts > 1),
            ("error", bool(self.texts["error_class"])),
            ("compensates", bool(self.texts["compensates"])),
            ("replication", replications > 1),
        )
        self.varied = frozenset(name for name, varies in kinds if varies)
        self._bits = sum(1 << bit for bit, (_, varies) in enumerate(kinds) if varies)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What the kernel writes and reads."""
        return self.times, self.floats, self.numbers, self.codes, self.replications, self._bits, self.tables

    @property
    def attempts(self) -> NDArray[np.int32]:
        """The numbers of attempts."""
        return self.numbers[3] if "attempt" in self.varied else np.ones(self.length, dtype=np.int32)

    def named(self, column: str) -> pd.Categorical:
        """Return one of the columns of names."""
        codes: NDArray[np.integer]
        match column:
            case "activity" | "resource":
                codes = self.numbers[1 if column == "activity" else 2]
            case "role":
                codes = self.codes[0]
            case "status":
                codes = self.codes[1] if "status" in self.varied else np.zeros(self.length, dtype=np.int8)
            case "compensates":
                codes = self.codes[4]
            case _:
                is_held = "error" in self.varied
                place = 2 if column == "error_class" else 3
                codes = self.codes[place] if is_held else np.full(self.length, -1, dtype=np.int8)
        return _categorical(codes, self.texts[column])


def _categorical(codes: NDArray[np.integer], texts: Sequence[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(texts), dtype=_TEXT), validate=False)


def _texts(data: bytes | NDArray[np.uint8], places: NDArray[np.int64]) -> pd.arrays.ArrowStringArray:
    """Return texts that follow each other in memory."""
    found = pa.LargeStringArray.from_buffers(len(places) - 1, pa.py_buffer(places), pa.py_buffer(data))
    return pd.arrays.ArrowStringArray(pa.chunked_array([found]), dtype=_TEXT)  # type: ignore[call-arg]  # newer than its stub


def _identifiers(numbers: int) -> pd.Index:
    """Return the identifiers of cases, which sort as their numbers do."""
    from orchkit.simulation.kernel.columns import write_numbers  # noqa: PLC0415 -- compiled

    width = len(str(numbers))
    texts = np.empty((numbers, width), dtype=np.uint8)
    write_numbers(width, texts)
    return pd.Index(_texts(texts, np.arange(0, (numbers + 1) * width, width)), copy=False)


def _times(values: NDArray[np.int64]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(values, dtype=UTC, copy=False)


def _nothing(length: int) -> pd.arrays.ArrowStringArray:
    return pd.arrays.ArrowStringArray(pa.chunked_array([pa.nulls(length, pa.large_string())]), dtype=_TEXT)  # type: ignore[call-arg]  # as above


def _steps(workflow: Workflow, columns: _Columns, identifiers: pd.Index) -> pd.DataFrame:
    length = columns.length
    none = np.zeros(length, dtype=np.int8)
    # Identifiers are numbers, so they are unique; to see that takes longer than all else here.
    unique = pd.CategoricalDtype._from_fastpath(identifiers, ordered=False)  # type: ignore[attr-defined]
    enabled, started, completed = (_times(column) for column in columns.times)
    data = {
        "case_id": pd.Categorical.from_codes(columns.numbers[0], dtype=unique, validate=False),
        "activity": columns.named("activity"),
        "enabled": enabled,
        "started": started,
        "completed": completed,
        "status": columns.named("status"),
        "attempt": columns.attempts,
        "role": columns.named("role"),
        "resource": columns.named("resource"),
        "error_class": columns.named("error_class"),
        "error_type": columns.named("error_type"),
        "error_message": _nothing(length),
        "cost": columns.floats[0],
        "run_id": _categorical(none - 1, []),
        "step_id": _nothing(length),
        "workflow": _categorical(none, [workflow.name][:length]),
        "version": _categorical(none, [workflow.version][:length]),
        "replication": pd.arrays.IntegerArray(columns.replications, np.zeros(length, dtype=bool)),
    }
    causes = ("contention", "calendar", "batching", "priority", "retry", "dependency")
    waits = {f"wait_{cause}_s": columns.floats[1 + number] for number, cause in enumerate(causes)}
    undone = {"compensates": columns.named("compensates")} if "compensates" in columns.varied else {}
    return pd.DataFrame({**data, **waits, **undone}, copy=False)


def _cases(
    workflow: Workflow,
    program: Lowered,
    ends: Sequence[tuple[int, int, int, int]],
    known_cases: Known,
    identifiers: pd.Index,
) -> pd.DataFrame:
    """Return one row per case of the log; of each replication there are its number, its key, and from when to when."""
    from orchkit.simulation.kernel.columns import attribute  # noqa: PLC0415 -- compiled

    count = len(ends)
    arrived, ended, status = known_cases.arrived, known_cases.ended, known_cases.status
    if known_cases.is_whole or known_cases.index is None:
        chosen, ids = np.arange(len(status)), identifiers
    else:
        chosen = np.flatnonzero(known_cases.index >= 0)
        arrived, ended, status = arrived[chosen], ended[chosen], status[chosen]
        ids = identifiers.take(chosen // count)
    total = len(chosen)
    known = np.flatnonzero(np.bincount(status, minlength=len(at.STATUS_NAMES)))
    table = np.zeros(len(at.STATUS_NAMES), dtype=np.int8)
    table[known] = np.arange(len(known))
    data = {
        "case_id": ids.array,
        "workflow": _repeated(workflow.name, total),
        "version": _repeated(workflow.version, total),
        "started": _times(arrived),
        "completed": _times(ended),
        "status": _categorical(table[status], [at.STATUS_NAMES[code] for code in known]),
        "replication": pd.arrays.IntegerArray(chosen % count, np.zeros(total, dtype=bool)),
    }
    keys = np.array([key for _, key, _, _ in ends], dtype=np.int64)
    for name, number in program.attributes.items():
        values = np.empty(total, dtype=np.float64)
        attribute(program.program, program.numbers, number, keys, chosen, values)
        data[name] = _values(values, name, program)
    return pd.DataFrame(data, copy=False)


def _values(values: NDArray[np.float64], name: str, program: Lowered) -> pd.Series | NDArray[Any]:
    """Return the values of an attribute as the scenario gives them: texts, whole numbers, truths, or several."""
    kinds = program.kinds.get(name)
    if kinds is None or not len(values):
        return values
    if kinds <= {str, type(None)}:
        texts = pd.array(program.texts, dtype=_TEXT)
        return pd.Series(texts.take(values.astype(np.int64)))
    if kinds in ({bool}, {int}):
        return values.astype(np.bool_ if kinds == {bool} else np.int64)
    is_text = (values % 1 == _HALF) & (values < len(program.texts))
    mixed = values.astype(object)
    mixed[is_text] = np.array([*program.texts, None], dtype=object)[values[is_text].astype(np.int64)]
    return pd.Series(mixed)


def _repeated(text: str, count: int) -> pd.arrays.ArrowStringArray:
    data = text.encode()
    return _texts(data * count, np.arange(count + 1) * len(data))


def _availability(
    program: Lowered,
    ends: Sequence[tuple[int, int, int, int]],
    busy: NDArray[np.int64],
) -> pd.DataFrame:
    """Return who was there; of each replication there are its number, its key, and from when to when."""
    from orchkit.simulation.kernel.columns import on_duty  # noqa: PLC0415 -- compiled

    p = program.program
    calendars = np.array(program.unit_calendars, dtype=np.int64)
    open_us = np.zeros(len(calendars), dtype=np.int64)
    rows = []
    for position, (number, _, begun, now) in enumerate(ends):
        on_duty(p, calendars, begun, now, open_us)
        for role, resource, first in program.pools:
            rows += [
                (
                    number,
                    role,
                    program.units[unit][1],
                    resource.count,
                    float(open_us[unit]) / at.MICRO,
                    busy[position, unit] / at.MICRO,
                    (now - begun) / at.MICRO,
                    now,
                    resource.cost_per_hour,
                    resource.cost_per_step,
                )
                for unit in range(first, first + resource.count)
            ]
    table = pd.DataFrame(rows, columns=list(AVAILABILITY_COLUMNS))
    return table.assign(until=_times(table["until"].to_numpy(dtype=np.int64)))
