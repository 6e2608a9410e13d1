"""The event log: two tables, cases and steps.

Whatever wrote it (an engine, a simulation, a file), a log has one shape, so that every verb of analysis reads
every log. The shape is fixed once, on construction; nothing is checked again inside.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.columns import (
    CASE_COLUMNS,
    CASE_PREFIX,
    ENDED_CASES,
    STEP_COLUMNS,
    XES_NAMES,
    complete_steps,
    parse_cases,
    parse_steps,
)
from orchkit.errors import LogError
from orchkit.held import Held
from orchkit.layout import (
    COUNT,
    KEY,
    case_keys,
    derive_cases,
    ended,
    fill_steps,
    first_rows,
    join,
    overlay,
    sorted_order,
    split,
)
from orchkit.sql import asked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.view.html import Bundle

__all__ = ["AVAILABILITY_COLUMNS", "CASE_COLUMNS", "LIFECYCLES", "STEP_COLUMNS", "EventLog", "expect_log"]

AVAILABILITY_COLUMNS = (
    "replication",
    "role",
    "resource",
    "resource_count",
    "available_s",
    "busy_s",
    "period_s",
    "until",
    "cost_per_hour",
    "cost_per_step",
)
"""Columns of ``log.availability``."""

_LIFECYCLE = "lifecycle:transition"
LIFECYCLES = {
    "PENDING": "schedule",
    "RUNNING": "start",
    "COMPENSATING": "start",
    "WAITING": "suspend",
    "RETRYING": "suspend",
    "COMPLETED": "complete",
    "COMPENSATED": "complete",
    "FAILED": "ate_abort",
    "CANCELLED": "pi_abort",
    "SKIPPED": "autoskip",
}
"""What XES calls the statuses of steps."""


@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class EventLog:
    """An event log: cases and their steps, sorted and coded once, on construction.

    Parameters
    ----------
    steps
        One row per attempt. ``case_id``, ``activity`` and ``completed`` are required; ``completed`` is missing if a
        step is still open, and then ``started`` or ``enabled`` is required. The other columns of ``STEP_COLUMNS`` are
        added if they are missing: ``attempt`` is 1, ``status`` is COMPLETED, RUNNING or PENDING by the times that are
        given, the rest are missing values of their type. All other columns are attributes, kept at the end. XES's names
        (``case:concept:name``, ``concept:name``, ``time:timestamp``, ``start_timestamp``, ``org:resource``,
        ``org:role``, ``cost:total``) are recognized, and the other columns that begin with ``case:`` go to the cases,
        unless ``cases`` is given.
    cases
        One row per case: ``case_id`` is required, and ``workflow`` if a ``case_id`` went through several. Missing
        columns are derived from the steps; other columns are attributes of the case. Cases without steps are kept.
    availability
        When resources were on duty: one row per resource and replication, as a simulation writes it (see
        `orchkit.simulation`). Empty for other logs.

    Attributes
    ----------
    case_codes, activity_codes, resource_codes
        An integer for each row of ``steps``: the row in ``cases``, the position in ``activities`` and in
        ``resources`` (-1: none).
    offsets
        One more than there are cases: the steps of case ``i`` are the rows ``offsets[i]`` to
        ``offsets[i + 1]``.
    notes
        What a reader guessed, repaired or dropped, one sentence each.

    Raises
    ------
    LogError
        The frame is not an event log: a required column or value is missing, a timestamp has no time zone, a
        status is unknown, a case occurs twice.

    Notes
    -----
    A case is identified by ``case_id``, ``workflow`` and ``replication`` together: an order may go through two
    workflows, and each replication of a simulation counts its cases anew. Cases are sorted by these; steps by case,
    then ``completed`` (open ones last), then ``started``. Steps of a case at the same instant keep the order in which
    they were given. ``len(log)`` is the number of cases.

    Timestamps must have a time zone or an offset, and are held in UTC, in microseconds. Identifiers and names
    become text; in ``steps``, text that repeats is held as categoricals. A case whose status is not given is
    RUNNING while a step is open, else FAILED, COMPENSATED or CANCELLED where its last step is, else COMPLETED.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o2", "o1", "o1"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:30Z", "2024-05-06T10:00Z", "2024-05-06T09:00Z"],
    ... }))
    >>> len(log), list(log.activities)
    (2, ['check', 'ship'])
    >>> print(log.steps[["case_id", "activity", "status", "attempt"]])
      case_id activity     status  attempt
    0      o1    check  COMPLETED        1
    1      o1     ship  COMPLETED        1
    2      o2    check  COMPLETED        1
    >>> log.offsets.tolist()
    [0, 2, 3]
    """

    case_codes: NDArray[np.int32]
    activity_codes: NDArray[np.int32]
    resource_codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    _steps: Held[pd.DataFrame]
    _cases: Held[pd.DataFrame]
    _availability: Held[pd.DataFrame | None]
    notes: tuple[str, ...]

    def __init__(
        self,
        steps: pd.DataFrame,
        cases: pd.DataFrame | None = None,
        *,
        availability: pd.DataFrame | None = None,
    ) -> None:
        rows = parse_steps(steps)
        keys = case_keys(rows)
        order = sorted_order(rows, keys)
        if order is not None:
            rows, keys = rows.take(order).set_axis(pd.RangeIndex(len(order))), keys[order]
        starts = first_rows(keys)
        rows, attributes = split(rows, starts)
        table = derive_cases(rows, starts)
        if cases is not None:
            table = join(table, parse_cases(cases))
        elif attributes is not None:
            table = overlay(table, parse_cases(attributes))
        else:
            table = ended(table)
        sizes = table.pop(COUNT).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        _set(self, fill_steps(complete_steps(rows), table, sizes), table, offsets, availability)

    @classmethod
    def from_coded(
        cls,
        steps: pd.DataFrame,
        cases: pd.DataFrame,
        offsets: NDArray[np.int64],
        availability: pd.DataFrame | None = None,
    ) -> EventLog:
        """Return a log from frames that are already in the form of this class: typed, coded, sorted.

        Nothing is checked, parsed or copied: this is for code that makes such columns, like the simulator.

        Parameters
        ----------
        steps, cases
            With all of ``STEP_COLUMNS`` and ``CASE_COLUMNS``, typed and in the order of the class's notes.
        offsets
            The steps of case ``i`` are the rows ``offsets[i]`` to ``offsets[i + 1]``.
        availability
            As in the constructor.
        """
        log = object.__new__(cls)
        _set(log, steps, cases, offsets, availability)
        return log

    @classmethod
    def from_codes(
        cls,
        codes: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
        offsets: NDArray[np.int64],
        steps: Callable[[], pd.DataFrame],
        cases: Callable[[], pd.DataFrame],
        availability: Callable[[], pd.DataFrame],
    ) -> EventLog:
        """Return a log from its codes; its frames are made when somebody asks for them.

        Parameters
        ----------
        codes
            ``case_codes``, ``activity_codes`` and ``resource_codes``.
        offsets
            As in `from_coded`.
        steps, cases, availability
            Functions that make the frames, in the form that `from_coded` takes. Each is called once at most, in any
            thread.
        """
        log = object.__new__(cls)
        _put(log, codes, offsets, Held(steps), Held(cases), Held(availability))
        return log

    def with_notes(self, notes: Iterable[str]) -> EventLog:
        """Return the same log, sharing its memory, with other ``notes``."""
        log = copy(self)
        object.__setattr__(log, "notes", tuple(notes))
        return log

    @property
    def steps(self) -> pd.DataFrame:
        """The steps, one row per attempt; changing the frame does not change the log."""
        return self._steps.get().copy(deep=False)

    @property
    def cases(self) -> pd.DataFrame:
        """The cases, a row each; changing the frame does not change the log."""
        return self._cases.get().copy(deep=False)

    @property
    def availability(self) -> pd.DataFrame:
        """When resources were on duty; empty if nothing is known. Changing the frame does not change the log."""
        known = self._availability.get()
        if known is None:
            return pd.DataFrame({name: [] for name in AVAILABILITY_COLUMNS})
        return known.copy(deep=False)

    @property
    def activities(self) -> pd.Index:
        """The names of activities, by code."""
        return self._steps.get()["activity"].cat.categories

    @property
    def resources(self) -> pd.Index:
        """The names of resources, by code."""
        return self._steps.get()["resource"].cat.categories

    def sql(self, query: str) -> pd.DataFrame:
        """Return DuckDB's answer to a query on the tables ``steps`` and ``cases``, read in the log's own memory.

        A query can change nothing: no file is opened or written, and the log's tables are views. In the answer, names
        are text, sums of whole numbers are whole numbers, and the difference of two times is a timedelta.

        Raises
        ------
        LogError
            DuckDB does not take the query.

        Examples
        --------
        >>> import pandas as pd
        >>> log = EventLog(pd.DataFrame({
        ...     "case_id": ["o1", "o1"], "activity": ["check", "check"],
        ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z"],
        ... }))
        >>> log.sql("select activity, count(*) as steps from steps group by activity")
          activity  steps
        0    check      2
        """
        return asked({"steps": self._steps.get(), "cases": self._cases.get()}, query)

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.offsets) - 1

    def to_xes_names(self) -> pd.DataFrame:
        """Return the steps under the column names of XES, with each case's columns as ``case:…``.

        Columns without a value are left out, as are cases without steps. ``EventLog`` takes the frame back, with
        ``lifecycle:transition`` as an attribute.

        Examples
        --------
        >>> import pandas as pd
        >>> log = EventLog(pd.DataFrame({
        ...     "case_id": ["o1"], "activity": ["check"], "completed": ["2024-05-06T09:00Z"], "resource": ["Ann"],
        ... }))
        >>> list(log.to_xes_names())[:5]
        ['case:concept:name', 'concept:name', 'time:timestamp', 'lifecycle:transition', 'org:resource']
        """
        first = [
            XES_NAMES["case_id"],
            XES_NAMES["activity"],
            XES_NAMES["completed"],
            _LIFECYCLE,
            XES_NAMES["resource"],
        ]
        known, all_steps = self._cases.get(), self._steps.get()
        own = [name for name in known if name not in (*KEY, "version")]
        cases = known[own].add_prefix(CASE_PREFIX).take(self.case_codes).reset_index(drop=True)
        steps = all_steps.drop(columns=[*XES_NAMES.values(), *cases], errors="ignore").rename(columns=XES_NAMES)
        if _LIFECYCLE not in steps:
            steps[_LIFECYCLE] = steps["status"].map(LIFECYCLES)
        steps = steps[[*first, *(name for name in steps if name not in first)]]
        named = pd.concat([steps, cases], axis="columns")
        return named.drop(columns=[name for name in named if name not in first and named[name].isna().all()])

    def __repr__(self) -> str:
        return "EventLog\n" + self._summary().to_string(header=False)

    def _repr_mimebundle_(self, include: Container[str] | None = None, exclude: Container[str] | None = None) -> Bundle:
        from orchkit.view.overview import overview  # noqa: PLC0415 -- a value may draw itself

        return overview(self)._repr_mimebundle_(include, exclude)

    def _summary(self) -> pd.DataFrame:
        counts = {
            "cases": len(self),
            "steps": len(self.case_codes),
            "activities": len(self.activities),
            "resources": len(self.resources),
        }
        lines = {name: f"{count:,}" for name, count in counts.items()}
        times = self._steps.get()[["enabled", "started", "completed"]]
        first, last = times.min().min(), times.max().max()
        lines["period"] = "" if pd.isna(first) else f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
        ended = self._cases.get()["status"].isin(ENDED_CASES).sum()
        completed = (self._cases.get()["status"] == "COMPLETED").sum()
        lines["completed"] = f"{completed / ended:.1%} of {ended:,} ended cases" if ended else "no case has ended"
        workflows = self._cases.get()["workflow"].dropna().unique()
        if len(workflows):
            lines["workflows"] = ", ".join(workflows)
        for number, note in enumerate(self.notes):
            lines["notes" if not number else " " * number] = note
        return pd.DataFrame({"": lines})


def expect_log(value: object, verb: str) -> EventLog:
    """Return the value where it is a log: the first line of a verb, for whom anything may be passed.

    Raises
    ------
    LogError
        It is something else; what to pass is said.

    Examples
    --------
    >>> expect_log("orders.csv", "variants")
    Traceback (most recent call last):
    orchkit.errors.LogError: variants takes an event log, not str. Read the file first: ok.read_log('orders.csv').
    """
    if isinstance(value, EventLog):
        return value
    match value:
        case pd.DataFrame():
            hint = " Make one of it: ok.read_log(frame), or ok.EventLog(frame) where the columns have a log's names."
        case str() | PathLike():
            hint = f" Read the file first: ok.read_log({str(value)!r})."
        case Mapping() | list() | tuple() if value and all(
            isinstance(one, EventLog) for one in (value.values() if isinstance(value, Mapping) else value)
        ):
            hint = " It holds several: ask each, or ok.compare."
        case _:
            hint = " A log comes from ok.read_log, ok.simulate, run.log or engine.log."
    message = f"{verb} takes an event log, not {type(value).__name__}.{hint}"
    raise LogError(message)


def _set(
    log: EventLog,
    steps: pd.DataFrame,
    cases: pd.DataFrame,
    offsets: NDArray[np.int64],
    availability: pd.DataFrame | None,
) -> None:
    case_codes = np.repeat(np.arange(len(cases), dtype=np.int32), np.diff(offsets))
    activities, resources = (steps[name].cat.codes.to_numpy().astype(np.int32) for name in ("activity", "resource"))
    held = (Held.of(steps), Held.of(cases), Held.of(availability))
    _put(log, (case_codes, activities, resources), offsets, *held)


def _put(
    log: EventLog,
    codes: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
    offsets: NDArray[np.int64],
    *held: Held[Any],
) -> None:
    put = object.__setattr__  # how a frozen dataclass with its own __init__ sets its fields
    for name, array in zip(("case_codes", "activity_codes", "resource_codes"), codes, strict=True):
        put(log, name, _locked(array))
    put(log, "offsets", _locked(offsets))
    for name, one in zip(("_steps", "_cases", "_availability"), held, strict=True):
        put(log, name, one)
    put(log, "notes", ())


def _locked(array: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int32] | NDArray[np.int64]:
    array.setflags(write=False)
    return array
