"""A log at a glance: how much, when, how it ended, what was done most."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moments_s
from orchkit.columns import ENDED_CASES
from orchkit.units import format_duration
from orchkit.view.canvas import add, digits, draw_sign, finished, page, write
from orchkit.view.picture import Picture
from orchkit.view.scene import NAME_SIZE, NOTE_SIZE
from orchkit.view.text import clean, shorten, text_width, wrap
from orchkit.view.theme import LOOKS, look_of

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from orchkit.log import EventLog

__all__ = ["Overview", "overview"]

_WIDTH, _PAD, _GAP = 760.0, 16.0, 28.0
_LEFT = 356.0  # of the right half
_BINS, _CHART = 60, 92.0
_DAY_S = 86_400.0
_PARTS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 43_200.0, _DAY_S, 7 * _DAY_S)
_TOP, _ROW = 7, 19.0
_NAME = 148.0  # of an activity


@dataclass(frozen=True, slots=True)
class Overview(Picture):
    """A log at a glance.

    Attributes
    ----------
    label
        What the log is, in a line.
    text
        The same as text.
    facts
        Pairs of a name and a figure.
    statuses
        How many cases have each status, the most pressing first.
    starts, part
        How many cases started in each of the equal parts of the period, and how long these are; empty where nothing
        is known.
    period
        The first start and the last.
    activities
        The most frequent ones, each with its steps.
    more
        How many activities there are besides.
    notes
        What whoever reads the log should know.
    """

    label: str = field()
    text: str = field(repr=False)
    facts: tuple[tuple[str, str], ...] = field(repr=False)
    statuses: tuple[tuple[str, int], ...] = field(repr=False)
    starts: tuple[int, ...] = field(repr=False)
    part: str = field(repr=False)
    period: tuple[str, str] = field(repr=False)
    activities: tuple[tuple[str, int], ...] = field(repr=False)
    more: int = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    def to_svg(self) -> str:
        """Return the drawing as an ``svg`` element."""
        notes = [line for note in self.notes for line in wrap(note, _WIDTH - 2 * _PAD, NOTE_SIZE, is_name=False)]
        rows = max(1, len(self.activities) + bool(self.more))
        left = _CHART + 62.0 + _ROW * max((row for *_, row in self._standings()), default=0)
        below = 96.0 + max(left, 20.0 + _ROW * rows)
        svg = page(self.label, _WIDTH, below + 15.0 * len(notes) + (_PAD if notes else 4.0))
        write(svg, shorten(self.label, 100), (_PAD, 28), size=14, font_weight="bold")
        self._draw_facts(svg)
        self._draw_starts(svg, 96.0)
        self._draw_activities(svg, 96.0)
        for number, line in enumerate(notes):
            write(svg, line, (_PAD, below + 12 + 15.0 * number), size=NOTE_SIZE, paint="soft")
        return finished(svg)

    def _draw_facts(self, svg: ET.Element) -> None:
        x = _PAD
        for name, figure in self.facts:
            write(svg, figure, (x, 58), size=17)
            write(svg, name, (x, 74), size=NOTE_SIZE, paint="soft")
            x += max(text_width(figure, 17), text_width(name, NOTE_SIZE)) + 22

    def _draw_starts(self, svg: ET.Element, top: float) -> None:
        """Draw the cases over time as bars that touch, and below how they stand."""
        width = _LEFT - _GAP - _PAD
        write(svg, "cases started", (_PAD, top + 10), size=NOTE_SIZE, paint="soft", font_weight="bold")
        floor = top + 22 + _CHART
        if self.starts:
            most = max(self.starts)
            step = width / len(self.starts)
            heights = [(_CHART - 6) * count / most for count in self.starts]
            path = "".join(f"V{digits(floor - tall)}h{digits(step)}" for tall in heights)
            add(svg, "path", fill="active-tint", stroke="active", d=f"M{_PAD} {digits(floor)}{path}V{digits(floor)}")
            if len(self.starts) > 1:
                peak = f"at most {most:,} in {self.part}"
                write(svg, peak, (_PAD + width, top + 10), size=NOTE_SIZE, paint="soft", text_anchor="end")
        else:
            write(svg, "none", (_PAD, floor - 6), paint="soft")
        add(svg, "path", stroke="border", d=f"M{_PAD} {digits(floor)}H{digits(_PAD + width)}")
        write(svg, self.period[0], (_PAD, floor + 14), size=NOTE_SIZE, paint="soft")
        write(svg, self.period[1], (_PAD + width, floor + 14), size=NOTE_SIZE, paint="soft", text_anchor="end")
        for status, label, left, row in self._standings():
            y = floor + 33 + _ROW * row
            draw_sign(svg, status, (left + 8, y))
            write(svg, label, (left + 21, y + 4), size=NOTE_SIZE)

    def _standings(self) -> list[tuple[str, str, float, int]]:
        """Return how many cases have each status in words, with the left edge and the row of each."""
        placed, x, row = [], _PAD, 0
        for status, count in self.statuses:
            label = f"{count:,} {look_of(status).word}"
            width = 33 + text_width(label, NOTE_SIZE)
            if x > _PAD and x + width > _LEFT - _GAP:
                x, row = _PAD, row + 1
            placed.append((status, label, x, row))
            x += width
        return placed

    def _draw_activities(self, svg: ET.Element, top: float) -> None:
        write(svg, "steps by activity", (_LEFT, top + 10), size=NOTE_SIZE, paint="soft", font_weight="bold")
        room = _WIDTH - _PAD - _LEFT - _NAME - 52
        y = top + 22
        for name, count in self.activities:
            write(svg, wrap(name, _NAME, NAME_SIZE, lines=1)[0], (_LEFT, y + 12))
            long = max(1.0, room * count / self.activities[0][1])
            add(
                svg,
                "rect",
                fill="active-tint",
                stroke="active",
                x=_LEFT + _NAME + 8,
                y=y + 2,
                width=long,
                height=12,
                rx=2,
            )
            write(svg, f"{count:,}", (_LEFT + _NAME + 14 + long, y + 12), size=NOTE_SIZE)
            y += _ROW
        if self.more:
            word = "activity" if self.more == 1 else "activities"
            write(svg, f"… {self.more:,} more {word}", (_LEFT, y + 12), size=NOTE_SIZE, paint="soft")


def overview(log: EventLog) -> Overview:
    """Return a log at a glance.

    Examples
    --------
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1"], "activity": ["check", "ship"], "workflow": "order",
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-07T10:00Z"],
    ... }))
    >>> found = overview(log)
    >>> found.label, found.facts[:2], found.activities
    ('Event log of order', (('cases', '1'), ('steps', '2')), (('check', 1), ('ship', 1)))
    """
    cases, steps = log.cases, log.steps
    counts = cases["status"].value_counts()
    order = [status for status in LOOKS if status in counts] + [str(each) for each in counts.index if each not in LOOKS]
    ended = int(cases["status"].isin(ENDED_CASES).sum())
    facts = [("cases", f"{len(log):,}"), ("steps", f"{len(steps):,}"), ("activities", f"{len(log.activities):,}")]
    if len(log.resources):
        facts.append(("resources", f"{len(log.resources):,}"))
    if ended:
        facts.append(("of the ended completed", f"{counts.get('COMPLETED', 0) / ended:.1%}"))
    replications = cases["replication"].nunique()
    if replications > 1:
        facts.append(("replications", f"{replications:,}"))
    begun = cases["started"].dropna()
    starts, part = _histogram(begun)
    median_s = float((cases["completed"] - cases["started"]).dt.total_seconds().median())
    if not math.isnan(median_s):
        facts.append(("median duration", format_duration(float(f"{median_s:.3g}"))))
    numbers = np.bincount(log.activity_codes, minlength=len(log.activities))
    most = np.argsort(-numbers, kind="stable")[:_TOP]
    workflows = ", ".join(map(str, cases["workflow"].dropna().unique()))
    return Overview(
        clean(f"Event log of {workflows}" if workflows else "Event log"),
        repr(log),
        tuple(facts),
        tuple((status, int(counts[status])) for status in order),
        starts,
        part,
        _days(begun),
        tuple((clean(log.activities[code]), int(numbers[code])) for code in most),
        len(numbers) - len(most),
        tuple(map(clean, log.notes)),
    )


def _histogram(times: pd.Series) -> tuple[tuple[int, ...], str]:
    """Return how many times lie in each of some equal parts, such as hours or days, and how long one is."""
    if times.empty:
        return (), ""
    since_s = moments_s(times)
    span_s = since_s.max() - since_s.min()
    part_s = next((each for each in _PARTS_S if span_s / each < _BINS), math.ceil(span_s / _BINS / _DAY_S) * _DAY_S)
    places = np.floor(since_s / part_s).astype(np.int64)
    counts = np.bincount(places - places.min())
    return tuple(map(int, counts)), format_duration(part_s)


def _days(times: pd.Series) -> tuple[str, str]:
    """Return the first and the last of some times, as exactly as it takes to tell them apart."""
    if times.empty:
        return "", ""
    first, last = times.min(), times.max()
    form = "%Y-%m-%d" if (last - first) >= pd.Timedelta("1D") else "%Y-%m-%d %H:%M"
    return f"{first:{form}}", f"{last:{form}}"
