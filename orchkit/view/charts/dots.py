"""One dot per step: what happened when, in every case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moments_s
from orchkit.analysis.times import dotted_chart as dot_table
from orchkit.errors import LogError
from orchkit.log import EventLog, expect_log
from orchkit.units import format_duration
from orchkit.view.canvas import HEADING, add, draw_heading, finished, page, titled, write
from orchkit.view.charts.axes import AXIS, Tick, date_ticks, draw_axis, duration_ticks
from orchkit.view.charts.nothing import no_drawing
from orchkit.view.legend import ROW
from orchkit.view.picture import Drawing
from orchkit.view.scene import NOTE_SIZE
from orchkit.view.text import clean, shorten, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["dotted_chart"]

_PAD, _WIDTH, _HEIGHT, _LEFT = 14.0, 860.0, 420.0, 58.0
_CELL = 3.0  # pixels of a dot: what falls on the same one is drawn once
_CUT = 0.995  # of the dots: the last ones would stretch the axis for all others
_ROWS = 1_000  # more than the plot has
_NAMED = 8
_FEW = 3_000  # dots, which are drawn larger

# Paints that stand out from the page and from each other, each with marks of its own: how long, how wide, how ended.
_MARKS = (
    ("active", "h.01", 3.2, "round"),
    ("failed", "h.01", 3.2, "square"),
    ("done", "m-1.6 0h3.2", 1.6, "butt"),
    ("undone", "m0 -1.8v3.6", 1.6, "butt"),
    ("held", "m-1.3 -1.3l2.6 2.6", 1.5, "butt"),
    ("alarm", "m-1.3 1.3l2.6 -2.6", 1.5, "butt"),
    ("pace-1", "h.01", 2.2, "round"),
    ("text", "h.01", 1.6, "square"),
    ("pace-0", "h.01", 2.0, "round"),  # all others
)


@dataclass(frozen=True, slots=True)
class _Layer:
    """The dots of an activity, in pixels of the plot."""

    name: str
    count: int
    mark: tuple[str, str, float, str]
    points: NDArray[np.floating]


def dotted_chart(log: EventLog, *, x: Literal["time", "since_start"] = "time") -> Drawing:
    """Draw one dot per step, one line per case: cases in the order of their starts from top to bottom.

    Slanting edges show how cases arrive, gaps when nobody works, columns what happens to many cases at once. The most
    frequent activities have a color and a mark of their own. Dots that fall on the same place are drawn once.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    x
        ``"time"``, or ``"since_start"``: the time since the case began.

    Raises
    ------
    LogError
        Another ``x``.

    Notes
    -----
    Song and van der Aalst, Supporting process mining by showing events at a glance, WITS 2007.

    Examples
    --------
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> print(dotted_chart(log))
    Dotted chart: 3 steps of 2 cases, from 2024-05-06 09:00 to 2024-05-06 11:00 UTC
    check: 2 steps
    ship: 1 step
    """
    expect_log(log, "charts.dotted_chart")
    if x not in {"time", "since_start"}:
        message = f"charts.dotted_chart: x is 'time' or 'since_start', not {x!r}."
        raise LogError(message)
    table = dot_table(log)
    if not len(table):
        return no_drawing("Dotted chart", "the log has no steps")
    first, last = table["time"].min(), table["time"].max()
    steps = "1 step" if len(table) == 1 else f"{len(table):,} steps"
    cases = "1 case" if len(log) == 1 else f"{len(log):,} cases"
    said = f"{steps} of {cases}, from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    if x == "time":
        offsets = moments_s(table["time"]) - first.timestamp()
        longest, ticks = float(offsets.max()), date_ticks(first, last)
    else:
        offsets = table["since_start_s"].to_numpy()
        longest = float(np.quantile(offsets, _CUT))
        beyond = int((offsets > longest).sum())
        said += f"; {beyond:,} of them after more than {format_duration(longest)} are not drawn" if beyond else ""
        ticks = duration_ticks(longest)
    layers = _layers(log, table, offsets, longest)
    text = [
        f"{layer.name}: {'1 step' if layer.count == 1 else format(layer.count, ',') + ' steps'}" for layer in layers
    ]
    label = f"Dotted chart: {said}"
    return Drawing(label, "\n".join([label, *text]), _drawn(label, said, layers, ticks, longest, len(log)))


def _layers(log: EventLog, table: pd.DataFrame, offsets: NDArray[np.float64], longest: float) -> list[_Layer]:
    """Return the dots by activity, the most frequent first, the rare ones together."""
    counts = np.bincount(log.activity_codes, minlength=len(log.activities))
    order = np.argsort(-counts, kind="stable")[: (counts > 0).sum()]
    named = order if len(order) <= _NAMED + 1 else order[:_NAMED]
    across = offsets / longest * _WIDTH if longest > 0 else np.full(len(offsets), _WIDTH / 2)
    down = (table["case"].to_numpy() + 0.5) / len(log) * _HEIGHT
    cells = np.round(across / _CELL).astype(np.int64) * _ROWS + np.round(down / _CELL).astype(np.int64)
    inside = offsets <= longest
    layers = []
    for place, code in enumerate(named):
        found = inside & (log.activity_codes == code)
        points = _points(cells[found])
        layers.append(_Layer(clean(shorten(log.activities[code], 30)), int(counts[code]), _MARKS[place], points))
    rest = order[len(named) :]
    if len(rest):
        found = inside & np.isin(log.activity_codes, rest)
        points = _points(cells[found])
        layers.append(_Layer(f"{len(rest):,} more activities", int(counts[rest].sum()), _MARKS[-1], points))
    return layers


def _points(cells: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return where the dots stand, those on one place once."""
    once = np.unique(cells)
    return np.column_stack([once // _ROWS, once % _ROWS]) * _CELL


def _drawn(label: str, said: str, layers: Sequence[_Layer], ticks: Sequence[Tick], longest: float, cases: int) -> str:
    left, top = _PAD + _LEFT, _PAD + HEADING + 12
    rows = _key_rows(layers)
    height = top + _HEIGHT + AXIS + ROW * len(rows) + _PAD
    width = max(left + _WIDTH + 40, text_width(said, 12.0) + 2 * _PAD)
    svg = page(label, width, height)
    draw_heading(svg, "Dotted chart", said, (_PAD, _PAD))
    draw_axis(svg, ticks, (left, top), _WIDTH / longest if longest > 0 else 0.0, _HEIGHT)
    for number in sorted({max(round(share * cases), 1) for share in (0.0, 0.25, 0.5, 0.75, 1.0)}):
        y = top + (number / cases if number > 1 else 0.0) * _HEIGHT
        add(svg, "path", stroke="idle-tint", d=f"M{left:g} {y:g}h{_WIDTH:g}", stroke_width=1)
        write(svg, f"{number:,}", (left - 8, y + 4), size=NOTE_SIZE, paint="soft", text_anchor="end")
    write(svg, "case", (left - 8, top - 10), size=NOTE_SIZE, paint="soft", text_anchor="end")
    zoom = 2.0 if sum(len(layer.points) for layer in layers) < _FEW else 1.0
    for layer in reversed(layers):  # the frequent ones on top: the others are specks
        element = titled(svg, "dots", layer.name, f"{layer.name}: {layer.count:,}")
        paint, move, size, cap = layer.mark
        path = "".join(f"M{(left + x) / zoom:g} {(top + y) / zoom:g}{move}" for x, y in layer.points)
        dots = add(element, "path", stroke=paint, d=path, stroke_width=size, stroke_linecap=cap)
        if zoom > 1:
            dots.set("transform", f"scale({zoom:g})")
    y = top + _HEIGHT + AXIS + ROW / 2 + 2
    for row in rows:
        x = left
        for layer in row:
            paint, move, size, cap = layer.mark
            mark = add(svg, "path", stroke=paint, d=f"M{x + 4:g} {y:g}{move}", stroke_width=size, stroke_linecap=cap)
            mark.set("transform", f"translate({-x - 4:g} {-y:g}) scale(2)")
            write(svg, layer.name, (x + 12, y + 4), size=NOTE_SIZE, paint="soft")
            x += text_width(layer.name, NOTE_SIZE) + 28
        y += ROW
    return finished(svg)


def _key_rows(layers: Sequence[_Layer]) -> list[list[_Layer]]:
    rows: list[list[_Layer]] = [[]]
    room = 0.0
    for layer in layers:
        width = text_width(layer.name, NOTE_SIZE) + 28
        if room + width > _WIDTH and rows[-1]:
            rows.append([])
            room = 0.0
        rows[-1].append(layer)
        room += width
    return rows
