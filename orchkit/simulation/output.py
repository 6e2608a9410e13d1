"""What the kernel wrote, as an event log: typed columns, sorted by case, none of them copied again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from orchkit.log import EventLog
from orchkit.simulation.kernel import layout as at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow
    from orchkit.simulation.lowering import Lowered

__all__ = ["Replication", "log_of", "with_names"]

_TEXT = pd.StringDtype("pyarrow", na_value=np.nan)
_HALF = 0.5  # text is coded as its number and a half


@dataclass(frozen=True, slots=True)
class Replication:
    """What the kernel wrote in one replication.

    Attributes
    ----------
    rows, open_rows
        Attempts that have ended, in the order of their ends; those that have not.
    ended, flying
        Cases that have ended (number, arrival, end and status); those in flight (number, arrival).
    now
        When it was over.
    key
        What its draws are made of.
    outlasted
        By row of the plan of a warm start: whether what has passed is longer than the scenario thinks possible.
    """

    number: int
    rows: NDArray[np.int64]
    ended: NDArray[np.int64]
    open_rows: NDArray[np.int64]
    flying: NDArray[np.int64]
    now: int
    key: int
    outlasted: NDArray[np.bool_]


def log_of(workflow: Workflow, program: Lowered, parts: Sequence[Replication], warm_up_us: int) -> EventLog:
    """Return the log of replications."""
    from orchkit.simulation.kernel.columns import by_case, fill  # noqa: PLC0415 -- compiles, or reads what was compiled

    p = program.program
    count = len(parts)
    first = int(p[at.P_START]) + warm_up_us if warm_up_us else -at.FOREVER
    numbers = max((int(part.ended[:, 0].max(initial=-1)) for part in parts), default=-1)
    numbers = 1 + max(numbers, *(int(part.flying[:, 0].max(initial=-1)) for part in parts))
    # A case is known by its number and replication; cases are sorted by both.
    arrived = np.full(numbers * count, -at.FOREVER, dtype=np.int64)
    ended = np.full(numbers * count, np.iinfo(np.int64).min, dtype=np.int64)
    status = np.full(numbers * count, at.RUNNING, dtype=np.int8)
    for position, part in enumerate(parts):
        at_end = part.ended[:, 0] * count + position
        arrived[at_end] = part.ended[:, 1]
        ended[at_end] = part.ended[:, 2] >> 4
        status[at_end] = part.ended[:, 2] & 15
        arrived[part.flying[:, 0] * count + position] = part.flying[:, 1]
    kept = arrived >= first if warm_up_us else arrived > -at.FOREVER
    index = np.cumsum(kept) - 1
    index[~kept] = -1
    total = int(kept.sum())
    sizes = [len(part.rows) + len(part.open_rows) for part in parts]
    order = np.empty((sum(sizes), 2), dtype=np.int64)
    offsets = np.zeros(total + 1, dtype=np.int64)
    rows = [array for part in parts for array in (part.rows, part.open_rows)]
    by_case(tuple(rows), count, index, offsets, order)
    length = int(offsets[-1])

    columns = _Columns(length)
    unit_pools = np.array([number for number, (_, res, _) in enumerate(program.pools) for _ in range(res.count)] or [0])
    costs = np.array([[res.cost_per_hour, res.cost_per_step] for _, res, _ in program.pools] or [[0.0, 0.0]])
    pauses = np.array([res.at_shift_end == "pause" for _, res, _ in program.pools] or [False])
    busy = np.zeros((count, max(1, len(program.units))), dtype=np.int64)
    calendars = np.array(program.unit_calendars or [-1], dtype=np.int64)
    firsts = np.array([first_unit for _, _, first_unit in program.pools] or [0], dtype=np.int64)
    fill(
        p,
        tuple(rows),
        order[:length],
        columns.integers,
        columns.floats,
        columns.small,
        program.node_pools,
        unit_pools,
        calendars,
        firsts,
        costs,
        pauses,
        busy,
    )
    cases_frame = _cases(workflow, program, parts, kept, arrived, ended, status)
    case_rows = np.repeat(np.flatnonzero(kept), np.diff(offsets))
    steps = _steps(workflow, program, columns, case_rows // count, case_rows % count, numbers)
    availability = _availability(program, parts, busy, calendars)
    return EventLog.from_coded(steps, cases_frame, offsets, availability)


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
    """The columns that the kernel fills."""

    def __init__(self, length: int) -> None:
        self.integers = np.empty((3, length), dtype=np.int64)  # enabled, started, completed
        self.floats = np.empty((6, length), dtype=np.float64)  # cost; waits: contention, calendar, …
        self.small = np.empty((6, length), dtype=np.int32)  # node, status, attempt, unit, class, type


def _identifiers(numbers: int) -> pd.Index:
    """Return the identifiers of cases, which sort as their numbers do."""
    texts = pc.utf8_lpad(pc.cast(pa.array(np.arange(1, numbers + 1)), pa.large_string()), len(str(numbers)), "0")
    return pd.Index(pd.arrays.ArrowStringArray(pa.chunked_array([texts]), dtype=_TEXT))  # type: ignore[call-arg]  # newer than its stub


def _coded(codes: NDArray[np.integer], names: Sequence[str | None]) -> pd.Categorical:
    """Return a categorical of those names that occur, sorted; names may repeat, None is missing."""
    used = np.bincount(codes + 1, minlength=len(names) + 1)[1:] > 0  # the first is what is missing
    texts = sorted({name for name, is_used in zip(names, used, strict=True) if is_used and name is not None})
    place = {name: number for number, name in enumerate(texts)}
    table = np.array([*(place.get(name, -1) if name is not None else -1 for name in names), -1], dtype=np.int32)
    return pd.Categorical.from_codes(table[codes], categories=pd.Index(texts, dtype=_TEXT), validate=False)


def _times(values: NDArray[np.int64]) -> pd.Series:
    return pd.Series(values.view("M8[us]"), copy=False).dt.tz_localize("UTC")


def _steps(
    workflow: Workflow,
    program: Lowered,
    columns: _Columns,
    cases: NDArray[np.int64],
    replications: NDArray[np.int64],
    numbers: int,
) -> pd.DataFrame:
    length = len(cases)
    node, status, attempt, unit, kind, error = columns.small
    nothing = pd.Series(np.nan, index=pd.RangeIndex(length), dtype=_TEXT)
    none = np.zeros(length, dtype=np.int8)
    name, version = _coded(none, [workflow.name]), _coded(none, [workflow.version])
    identifiers = pd.Categorical.from_codes(cases.astype(np.int32), categories=_identifiers(numbers), validate=False)
    enabled, started, completed = (_times(column) for column in columns.integers)
    data = {
        "case_id": identifiers,
        "activity": _coded(node, [named.name for named in program.nodes]),
        "enabled": enabled,
        "started": started,
        "completed": completed,
        "status": _coded(status, at.STATUS_NAMES),
        "attempt": attempt,
        "role": _coded(node, [named.role for named in program.nodes]),
        "resource": _coded(unit, [name for _, name in program.units] or [None]),
        "error_class": _coded(kind, [None, *at.CLASS_NAMES[1:]]),
        "error_type": _coded(np.where(kind > 0, error, -1), program.types),
        "error_message": nothing,
        "cost": columns.floats[0],
        "run_id": _coded(none - 1, [None]),
        "step_id": nothing,
        "workflow": name,
        "version": version,
        "replication": pd.arrays.IntegerArray(replications, np.zeros(length, dtype=bool)),
    }
    causes = ("contention", "calendar", "batching", "priority", "retry")
    waits = {f"wait_{cause}_s": columns.floats[1 + number] for number, cause in enumerate(causes)}
    undoes = _coded(node, [named.undoes for named in program.nodes])
    undone = {"compensates": undoes} if len(undoes.categories) else {}
    return pd.DataFrame({**data, **waits, **undone}, copy=False)


def _cases(
    workflow: Workflow,
    program: Lowered,
    parts: Sequence[Replication],
    kept: NDArray[np.bool_],
    arrived: NDArray[np.int64],
    ended: NDArray[np.int64],
    status: NDArray[np.int8],
) -> pd.DataFrame:
    from orchkit.simulation.kernel.columns import attribute  # noqa: PLC0415 -- compiled

    count = len(parts)
    chosen = np.flatnonzero(kept)
    numbers = len(kept) // count
    identifiers = _identifiers(numbers)
    ids = identifiers if count == 1 and len(chosen) == numbers else identifiers.take(chosen // count)
    total = len(chosen)
    table = pd.Index([*at.STATUS_NAMES], dtype=_TEXT)
    data = {
        "case_id": ids.array,
        "workflow": pd.array(_repeated(workflow.name, total), dtype=_TEXT),
        "version": pd.array(_repeated(workflow.version, total), dtype=_TEXT),
        "started": _times(arrived[chosen]),
        "completed": _times(ended[chosen]),
        "status": pd.Categorical.from_codes(
            status[chosen], categories=table, validate=False
        ).remove_unused_categories(),
        "replication": pd.arrays.IntegerArray(chosen % count, np.zeros(total, dtype=bool)),
    }
    keys = np.array([part.key for part in parts], dtype=np.int64)
    for name, number in program.attributes.items():
        values = attribute(program.program, program.numbers, number, keys, chosen)
        is_text = bool(program.texts) and bool((values % 1 == _HALF).all())
        data[name] = _named(values, program.texts) if is_text else values
    return pd.DataFrame(data, copy=False)


def _named(values: NDArray[np.float64], texts: Sequence[str]) -> pd.Series:
    return pd.Series(_coded(values.astype(np.int64), texts)).astype(_TEXT)


def _repeated(text: str, count: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(pa.scalar(text, pa.large_string()), count)])


def _availability(
    program: Lowered,
    parts: Sequence[Replication],
    busy: NDArray[np.int64],
    calendars: NDArray[np.int64],
) -> pd.DataFrame:
    from orchkit.simulation.kernel.columns import on_duty  # noqa: PLC0415 -- compiled

    p = program.program
    start = int(p[at.P_START])
    rows = []
    for position, part in enumerate(parts):
        open_us = on_duty(p, calendars, start, part.now)
        for role, resource, first in program.pools:
            rows += [
                (
                    part.number,
                    role,
                    program.units[unit][1],
                    resource.count,
                    float(open_us[unit]) / at.MICRO,
                    busy[position, unit] / at.MICRO,
                    (part.now - start) / at.MICRO,
                    resource.cost_per_hour,
                    resource.cost_per_step,
                )
                for unit in range(first, first + resource.count)
            ]
    names = (
        "replication",
        "role",
        "resource",
        "resource_count",
        "available_s",
        "busy_s",
        "period_s",
        "cost_per_hour",
        "cost_per_step",
    )
    return pd.DataFrame(rows, columns=list(names))
