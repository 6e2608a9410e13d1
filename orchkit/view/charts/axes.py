"""Axes of time for pictures that are drawn without Altair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pandas as pd

from orchkit.units import format_duration
from orchkit.view.canvas import add, pair, write
from orchkit.view.scene import NOTE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchkit.view.canvas import Point

__all__ = ["AXIS", "Tick", "date_ticks", "draw_axis", "duration_ticks"]

AXIS = 24.0
"""The height of an axis below a plot."""

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_STEPS = (
    *(digit * 10.0**power for power in range(-6, 1) for digit in (1, 2, 5)),
    *(digit * 10.0 for digit in (1, 1.5, 3)),
    *(digit * _MINUTE for digit in (1, 2, 5, 10, 15, 30)),
    *(digit * _HOUR for digit in (1, 2, 3, 6, 12)),
    *(digit * _DAY for digit in (1, 2, 7, 14, 28, 70, 140, 364, 728)),
)
_DATES = (
    ("s", 1.0, "%H:%M:%S"),
    ("2s", 2.0, "%H:%M:%S"),
    ("5s", 5.0, "%H:%M:%S"),
    ("15s", 15.0, "%H:%M:%S"),
    ("30s", 30.0, "%H:%M:%S"),
    ("min", _MINUTE, "%H:%M"),
    ("5min", 5 * _MINUTE, "%H:%M"),
    ("15min", 15 * _MINUTE, "%H:%M"),
    ("30min", 30 * _MINUTE, "%H:%M"),
    ("h", _HOUR, "%H:%M"),
    ("3h", 3 * _HOUR, "%d %b %H:%M"),
    ("6h", 6 * _HOUR, "%d %b %H:%M"),
    ("12h", 12 * _HOUR, "%d %b %H:%M"),
    ("D", _DAY, "%d %b"),
    ("2D", 2 * _DAY, "%d %b"),
    ("W-MON", 7 * _DAY, "%d %b"),
    ("MS", 30 * _DAY, "%b %Y"),
    ("QS", 91 * _DAY, "%b %Y"),
    ("YS", 365 * _DAY, "%Y"),
    *((f"{years}YS", years * 365 * _DAY, "%Y") for years in (5, 10, 20, 50)),
)


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in seconds from its begin, and its words."""

    at_s: float
    words: str


def duration_ticks(longest_s: float, most: int = 8) -> list[Tick]:
    """Return ticks for an axis from 0 to ``longest_s``, at round durations.

    Examples
    --------
    >>> [tick.words for tick in duration_ticks(300.0, 4)]
    ['0s', '2m', '4m']
    """
    step = next((step for step in _STEPS if longest_s / step <= most), longest_s or 1.0)
    return [Tick(number * step, format_duration(number * step)) for number in range(int(longest_s / step + 1e-9) + 1)]


def date_ticks(first: pd.Timestamp, last: pd.Timestamp, most: int = 8) -> list[Tick]:
    """Return ticks for an axis of dates, at round moments in UTC.

    Examples
    --------
    >>> days = date_ticks(pd.Timestamp("2024-05-06T09:00Z"), pd.Timestamp("2024-05-09T10:00Z"))
    >>> [tick.words for tick in days], days[0].at_s
    (['06 May 12:00', '07 May 00:00', '07 May 12:00', '08 May 00:00', '08 May 12:00', '09 May 00:00'], 10800.0)
    """
    span = (last - first).total_seconds()
    freq, _, words = next((step for step in _DATES if span / step[1] <= most), _DATES[-1])
    # From a day before, so that hours begin at midnight; what comes too early is left out.
    moments = pd.date_range(first.normalize() - pd.Timedelta(days=1), last, freq=freq)
    return [Tick((moment - first).total_seconds(), moment.strftime(words)) for moment in moments if moment >= first]


def draw_axis(parent: ET.Element, ticks: Sequence[Tick], corner: Point, scale: float, height: float) -> None:
    """Draw a grid over a plot, and the words of the ticks below it.

    Parameters
    ----------
    parent
        Where to draw.
    ticks
        From `duration_ticks` or `date_ticks`.
    corner
        The upper left corner of the plot.
    scale
        Pixels a second.
    height
        Of the plot.
    """
    left, top = corner
    for tick in ticks:
        x = left + tick.at_s * scale
        add(parent, "path", stroke="idle-tint", d=f"M{pair((x, top))}v{height:.2f}", stroke_width=1)
        at = (x, top + height + 15)
        write(parent, tick.words, at, size=NOTE_SIZE, paint="soft", text_anchor="middle")
