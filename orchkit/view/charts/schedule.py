"""What a case did and when, one row per step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from xml.etree import ElementTree as ET

import pandas as pd

from orchkit.analysis.failure import attempt_chains
from orchkit.errors import LogError, nearest
from orchkit.log import EventLog, expect_log
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Wait
from orchkit.units import format_duration
from orchkit.view.canvas import HEADING, add, draw_heading, draw_icon, draw_sign, finished, page, pair, titled, write
from orchkit.view.charts.axes import AXIS, draw_axis, duration_ticks
from orchkit.view.legend import ROW
from orchkit.view.picture import Drawing
from orchkit.view.scene import NAME_SIZE, NOTE_SIZE
from orchkit.view.text import clean, shorten, text_width
from orchkit.view.theme import look_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from orchkit.model.definition import Workflow
    from orchkit.view.canvas import Point

__all__ = ["SteppedRun", "gantt"]

_PAD, _PLOT, _ROW, _BAR, _BESIDE = 14.0, 620.0, 26.0, 14.0, 210.0
_SIGN = 16.0
_NAME = 34  # characters of a name


class SteppedRun(Protocol):
    """What `gantt` needs of a run."""

    @property
    def case_id(self) -> str:
        """The user's key."""

    @property
    def workflow(self) -> Workflow:
        """The definition that the run keeps."""

    def steps(self) -> pd.DataFrame:
        """Return its steps, with the columns of an event log's."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A try of a step, in seconds since the first moment of the case; ``end_s`` is missing where it is open."""

    number: int
    status: str
    enabled_s: float
    start_s: float
    end_s: float
    error: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    """A step with its attempts; ``undoes`` names what it compensates."""

    name: str
    attempts: tuple[_Attempt, ...]
    undoes: str = ""
    is_wait: bool = False

    @property
    def first_s(self) -> float:
        first = self.attempts[0]
        return min(moment for moment in (first.enabled_s, first.start_s, first.end_s) if not math.isnan(moment))


def gantt(thing: EventLog | SteppedRun, case_id: str | None = None, *, max_rows: int = 60) -> Drawing:
    """Draw what a case did and when: one row per step, with its waits, attempts, failures and compensations.

    A dashed line is waiting for the start, or for the next attempt. A bar is an attempt: its color and the sign at its
    end say how it ended. An arrow back beside a name marks a step that undoes another.

    Parameters
    ----------
    thing
        A run, or a log.
    case_id
        Which case of the log; not needed if it has only one.
    max_rows
        How many steps are drawn, the first ones.

    Raises
    ------
    LogError
        There is no such case, or it has no steps.

    Examples
    --------
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": "o1", "activity": ["ship", "ship"], "attempt": [1, 2], "status": ["FAILED", "COMPLETED"],
    ...     "started": ["2024-05-06T09:00Z", "2024-05-06T09:05Z"],
    ...     "completed": ["2024-05-06T09:01Z", "2024-05-06T09:10Z"], "error_type": ["HTTP 503", None],
    ... }))
    >>> print(gantt(log))
    Case o1: 1 step in 10m, from 2024-05-06 09:00:00 UTC
    ship, after 0s: attempt 1, 1m, ✗ failed (HTTP 503); attempt 2, 5m, ✓ completed
    """
    if isinstance(thing, EventLog):
        case_id = _chosen(thing, case_id)
        steps, waits = thing.steps[(thing.steps["case_id"] == case_id).to_numpy()], frozenset[str]()
        steps = _one_replication(steps)
    else:
        if not hasattr(thing, "workflow") or not callable(getattr(thing, "steps", None)):
            expect_log(thing, "charts.gantt")
        case_id, steps = thing.case_id, thing.steps()
        waits = frozenset(node.name for node in all_nodes(thing.workflow) if isinstance(node, Wait))
    if not len(steps):
        message = f"charts.gantt: case {case_id!r} has no steps yet."
        raise LogError(message)
    begin = steps[["enabled", "started", "completed"]].min().min()
    rows = _rows(steps, begin, waits)
    moments = steps[["enabled", "started", "completed"]].max()
    longest_s = (moments.max() - begin).total_seconds()
    number = "1 step" if len(rows) == 1 else f"{len(rows):,} steps"
    said = f"{number} in {format_duration(longest_s)}, from {begin:%Y-%m-%d %H:%M:%S} UTC"
    if len(rows) > max_rows:
        said += f"; the first {max_rows:,} are drawn"
    rows = rows[:max_rows]
    title = f"Case {clean(shorten(case_id))}"
    text = "\n".join([f"{title}: {said}", *(_told(row) for row in rows)])
    return Drawing(f"{title}: {said}", text, _drawn(title, said, rows, longest_s))


def _chosen(log: EventLog, case_id: str | None) -> str:
    known = list(dict.fromkeys(log.cases["case_id"]))
    if case_id is None:
        if len(known) == 1:
            return str(known[0])
        say = " Say which one: charts.gantt(log, case_id)." if known else ""
        message = f"charts.gantt: the log has {len(known):,} cases.{say}"
        raise LogError(message)
    if case_id not in known:
        message = f"charts.gantt: the log has no case {case_id!r}.{nearest(str(case_id), known)}"
        raise LogError(message)
    return case_id


def _one_replication(steps: pd.DataFrame) -> pd.DataFrame:
    replications = steps["replication"]
    return steps if replications.isna().all() else steps[(replications == replications.min()).to_numpy()]


def _rows(steps: pd.DataFrame, begin: pd.Timestamp, waits: frozenset[str]) -> list[_Row]:
    """Return the steps in the order in which they began."""
    case = EventLog(steps.assign(workflow=None, replication=None))
    steps = case.steps
    undoes = steps["compensates"] if "compensates" in steps else pd.Series("", index=steps.index)
    found: dict[int, list[_Attempt]] = {}
    about: dict[int, tuple[str, str]] = {}
    for row, chain, undone in zip(steps.to_dict("records"), attempt_chains(case).tolist(), undoes, strict=True):
        found.setdefault(chain, []).append(_attempt(row, begin))
        about[chain] = str(row["activity"]), undone if isinstance(undone, str) else ""
    rows = []
    for chain, tries in found.items():
        name, undone = about[chain]
        rows.append(_Row(name, tuple(tries), undone, name in waits))
    return sorted(rows, key=lambda row: row.first_s)


def _attempt(row: Mapping[Hashable, Any], begin: pd.Timestamp) -> _Attempt:
    enabled, started, completed = (
        float("nan") if pd.isna(moment) else (moment - begin).total_seconds()
        for moment in (pd.Timestamp(row[name]) for name in ("enabled", "started", "completed"))
    )
    error, message = (str(row[name]) if isinstance(row[name], str) else "" for name in ("error_type", "error_message"))
    return _Attempt(int(row["attempt"]), str(row["status"]), enabled, started, completed, error, message)


# Words.


def _told(row: _Row) -> str:
    tries = "; ".join(_tried(attempt, len(row.attempts)) for attempt in row.attempts)
    undoes = f", undoes {clean(shorten(row.undoes))}" if row.undoes else ""
    return f"{clean(shorten(row.name))}{undoes}, after {format_duration(row.first_s)}: {tries}"


def _tried(attempt: _Attempt, of: int) -> str:
    look = look_of(attempt.status)
    number = f"attempt {attempt.number}, " if of > 1 else ""
    took = f"{format_duration(attempt.end_s - attempt.start_s)}, " if attempt.end_s >= attempt.start_s else ""
    error = f" ({clean(shorten(attempt.error))})" if attempt.error else ""
    return f"{number}{took}{look.sign} {look.word}{error}"


def _beside(row: _Row) -> str:
    """Return what stands behind the last bar: how long it took, and the last error."""
    last = row.attempts[-1]
    took = last.end_s - row.attempts[0].start_s
    words = [format_duration(took)] if took >= 0 else []
    tries = len(row.attempts)
    words += [f"{tries} attempts"] if tries > 1 else []
    words += [clean(shorten(attempt.error, 24)) for attempt in row.attempts[-1:] if attempt.error]
    return ", ".join(words)


# The drawing.


def _drawn(title: str, said: str, rows: Sequence[_Row], longest_s: float) -> str:
    names = [clean(shorten(row.name, _NAME)) for row in rows]
    left = _PAD + max(text_width(name, NAME_SIZE) for name in names) + 34
    scale = _PLOT / longest_s if longest_s > 0 else 0.0
    height = _ROW * len(rows)
    top = _PAD + HEADING
    statuses = dict.fromkeys(_shown(row, attempt) for row in rows for attempt in row.attempts)
    width = max(left + _PLOT + _BESIDE, text_width(said, NAME_SIZE) + 2 * _PAD)
    svg = page(f"{title}: {said}", width, top + height + AXIS + ROW + _PAD)
    draw_heading(svg, title, said, (_PAD, _PAD))
    draw_axis(svg, duration_ticks(longest_s), (left, top), scale, height)
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        middle = top + _ROW * (number + 0.5)
        element = titled(svg, "step", clean(row.name), _tip(row))
        if row.undoes:
            draw_icon(element, "undo", (left - 14, middle), 13, "undone")
        elif row.is_wait:
            draw_icon(element, "clock", (left - 14, middle), 13, "held")
        write(element, name, (left - 26, middle + 4), text_anchor="end")
        _draw_row(element, row, left, scale, middle, longest_s)
    _draw_key(svg, list(statuses), (left, top + height + AXIS + ROW / 2 + 2))
    return finished(svg)


def _draw_key(svg: ET.Element, statuses: Sequence[str], at: Point) -> None:
    """Say what the signs and the dashes mean."""
    x, y = at
    key = ET.SubElement(svg, "g", {"class": "legend"})
    for status in statuses:
        word = "undid a step" if status == "COMPENSATED" else look_of(status).word
        draw_sign(key, status, (x + 8, y))
        write(key, word, (x + 20, y + 4), size=NOTE_SIZE, paint="soft")
        x += text_width(word, NOTE_SIZE) + 36
    add(key, "path", stroke="held", d=f"M{pair((x, y))}h22", stroke_width=1.6, stroke_dasharray="2 3")
    write(key, "waiting", (x + 28, y + 4), size=NOTE_SIZE, paint="soft")


def _shown(row: _Row, attempt: _Attempt) -> str:
    """Return the status that an attempt is shown with: a step that undoes another has, once it is done, undone it."""
    return "COMPENSATED" if row.undoes and attempt.status == "COMPLETED" else attempt.status


def _tip(row: _Row) -> str:
    messages = [f"{attempt.number}: {attempt.message}" for attempt in row.attempts if attempt.message]
    return clean("\n".join([_told(row), *(shorten(message, 300) for message in messages[:5])]))


def _draw_row(element: ET.Element, row: _Row, left: float, scale: float, middle: float, longest_s: float) -> None:
    before_s = row.attempts[0].enabled_s
    right = left
    for attempt in row.attempts:
        start_s = attempt.end_s if math.isnan(attempt.start_s) else attempt.start_s
        if math.isnan(start_s):  # it waits for its start
            start_s = longest_s
        if not math.isnan(before_s) and start_s > before_s:
            line = f"M{pair((left + before_s * scale, middle))}H{left + start_s * scale:.2f}"
            add(element, "path", stroke="held", d=line, stroke_width=1.6, stroke_dasharray="2 3")
        end_s = longest_s if math.isnan(attempt.end_s) else attempt.end_s
        status = _shown(row, attempt)
        paint = "held" if row.is_wait and status == "COMPLETED" else look_of(status).paint
        x, width = left + start_s * scale, max((end_s - start_s) * scale, 2.5)
        bar = add(
            element, "rect", fill=f"{paint}-tint", stroke=paint, x=x, y=middle - _BAR / 2, width=width, height=_BAR
        )
        bar.attrib |= {"rx": "3", "stroke-width": "1.4"}
        right = x + width
        draw_sign(element, status, (right, middle))
        before_s = end_s
    write(element, _beside(row), (right + _SIGN - 4, middle + 3.7), size=NOTE_SIZE, paint="soft")
