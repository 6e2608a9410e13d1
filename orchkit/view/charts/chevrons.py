"""The ways that cases took, as rows of chevrons."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from orchkit.analysis.control_flow import ARROW, variant_codes
from orchkit.analysis.control_flow import variants as variant_table
from orchkit.log import EventLog, expect_log
from orchkit.units import format_duration
from orchkit.view.canvas import HEADING, add, draw_heading, finished, page, pair, titled, write
from orchkit.view.charts.nothing import no_drawing
from orchkit.view.figures import count_text, share_text
from orchkit.view.picture import Drawing
from orchkit.view.scene import NAME_SIZE, NOTE_SIZE
from orchkit.view.text import clean, shorten, text_width
from orchkit.view.theme import HUES

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import pandas as pd

    from orchkit.view.canvas import Point

__all__ = ["paths_of", "variants"]

_PAD, _WIDTH, _LEFT = 14.0, 1_080.0, 208.0
_HEIGHT, _GAP, _TIP, _ROW_GAP = 22.0, 4.0, 8.0, 14.0
_NAME = 24  # characters of a chevron's name
_LINES = 3  # of chevrons, for one way
_BAR = 96.0


def variants(log: EventLog, *, max_rows: int = 12) -> Drawing:
    """Draw the ways that cases took, the most frequent first: one chevron per step, with their share and mean duration.

    A step that is repeated at once is one chevron with a number. A color stands for an activity of the most frequent;
    the names are always there.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    max_rows
        How many ways are drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> print(variants(log))
    Variants: 2 ways of 2 cases, 2 of them drawn, 100% of the cases
    50%, 1 case, mean 1h: check → ship
    50%, 1 case, mean 0s: check
    """
    expect_log(log, "charts.variants")
    table = variant_table(log)
    if not len(table):
        return no_drawing("Variants", "the log has no steps")
    shown = table.head(max_rows)
    share = float(shown["cumulative_share"].iloc[-1])
    ways = "1 way" if len(table) == 1 else f"{len(table):,} ways"
    cases = "1 case" if len(log) == 1 else f"{len(log):,} cases"
    label = f"Variants: {ways} of {cases}, {len(shown)} of them drawn, {share_text(share)} of the cases"
    paths = paths_of(log, shown)
    lines = [label]
    for row, path in zip(shown.to_dict("records"), paths, strict=True):
        taken = "1 case" if row["cases"] == 1 else f"{row['cases']:,} cases"
        lines.append(f"{share_text(row['share'])}, {taken}{_mean(row['mean_s'])}: {_written(path)}")
    return Drawing(label, "\n".join(lines), _drawn(label, log, shown, paths))


def paths_of(log: EventLog, shown: pd.DataFrame) -> list[list[tuple[str, int]]]:
    """Return for each way its activities in their order; with each, how often it came at once."""
    codes = variant_codes(log)
    found, first, counts = np.unique(codes, return_index=True, return_counts=True)
    frequent = first[(found >= 0) & (counts >= shown["cases"].min())]
    names = np.asarray(log.activities)
    ways = [names[log.activity_codes[log.offsets[case] : log.offsets[case + 1]]] for case in frequent]
    by_words = {ARROW.join(way): way for way in ways}
    return [[(str(name), len(list(same))) for name, same in groupby(by_words[words])] for words in shown["variant"]]


def _mean(mean_s: float) -> str:
    return "" if np.isnan(mean_s) else f", mean {format_duration(mean_s)}"


def _written(path: Sequence[tuple[str, int]]) -> str:
    words = [clean(shorten(name)) + (f" x{times}" if times > 1 else "") for name, times in path[:60]]
    more = [f"… {len(path) - 60} more"] if len(path) > 60 else []  # noqa: PLR2004 -- as many as are written
    return ARROW.join([*words, *more])


def _drawn(label: str, log: EventLog, shown: pd.DataFrame, paths: Sequence[list[tuple[str, int]]]) -> str:
    counts = np.bincount(log.activity_codes, minlength=len(log.activities))
    frequent = [str(log.activities[code]) for code in np.argsort(-counts, kind="stable")[:HUES]]
    paints = {name: f"hue-{number}" for number, name in enumerate(frequent)}
    rows = [_wrapped(path) for path in paths]
    tops = np.cumsum([0.0, *(len(row) * (_HEIGHT + _GAP) - _GAP + _ROW_GAP for row in rows)])
    widest = max(x + width for row in rows for line in row for x, width, _, _ in line)
    subtitle = label.partition(": ")[2]
    width = max(_LEFT + widest, text_width(subtitle, NAME_SIZE)) + 2 * _PAD
    svg = page(label, width, HEADING + float(tops[-1]) - _ROW_GAP + 2 * _PAD)
    draw_heading(svg, "Variants", subtitle, (_PAD, _PAD))
    body = ET.SubElement(svg, "g", {"transform": f"translate({_PAD:g} {HEADING + _PAD:g})"})
    largest = float(shown["share"].max())
    for top, record, row, path in zip(tops, shown.to_dict("records"), rows, paths, strict=False):
        element = titled(
            body,
            "variant",
            "",
            f"{record['cases']:,} cases, {share_text(record['share'])}: {shorten(_written(path), 800)}",
        )
        _draw_figures(element, record["share"] / largest, record, float(top))
        for number, line in enumerate(row):
            for x, width, text, name in line:
                at = (_LEFT + x, float(top) + number * (_HEIGHT + _GAP))
                _draw_chevron(element, at, width, text, paints.get(name, "box"))
    return finished(svg)


_Chevron = tuple[float, float, str, str]  # left edge, width, words, activity


def _wrapped(path: Sequence[tuple[str, int]]) -> list[list[_Chevron]]:
    """Return lines of chevrons; what does not fit into the last one is a number."""
    lines: list[list[_Chevron]] = [[]]
    x = 0.0
    for place, (name, times) in enumerate(path):
        text = clean(shorten(name, _NAME)) + (f" x{times}" if times > 1 else "")
        width = text_width(text, NOTE_SIZE) + 2 * _TIP + 8
        left = len(path) - place
        spare = 70.0 if len(lines) == _LINES and left > 1 else 0.0  # for the number of those left out
        if x and x + width + spare > _WIDTH - _LEFT:
            if len(lines) == _LINES:
                more = f"… {left:,} more"
                lines[-1].append((x, text_width(more, NOTE_SIZE) + 2 * _TIP + 8, more, ""))
                return lines
            lines.append([])
            x = 0.0
        lines[-1].append((x, width, text, name))
        x += width + _GAP - _TIP / 2
    return lines


def _draw_figures(element: ET.Element, length: float, record: Mapping[Hashable, Any], top: float) -> None:
    """Draw the share as a bar, and write it, the number of cases and the mean duration."""
    bar = max(_BAR * length, 2)
    add(element, "rect", fill="active-tint", x=0, y=top, width=_BAR, height=_HEIGHT, rx=3)
    add(element, "rect", fill="level-4", stroke="active", x=0, y=top, width=bar, height=_HEIGHT, rx=3)
    at = (6.0 if bar > _BAR / 2 else bar + 6, top + _HEIGHT / 2 + 4)
    write(element, share_text(record["share"]), at, size=NOTE_SIZE, font_weight="bold")
    cases = "1 case" if record["cases"] == 1 else f"{count_text(record['cases'])} cases"
    write(element, cases, (_BAR + 8, top + 9), size=NOTE_SIZE)
    if not np.isnan(record["mean_s"]):
        mean = f"mean {format_duration(record['mean_s'])}"
        write(element, mean, (_BAR + 8, top + 21), size=NOTE_SIZE, paint="soft")


def _draw_chevron(element: ET.Element, at: Point, width: float, text: str, paint: str) -> None:
    (x, y), right, middle = at, at[0] + width, at[1] + _HEIGHT / 2
    corners = (
        (x, y),
        (right - _TIP, y),
        (right, middle),
        (right - _TIP, y + _HEIGHT),
        (x, y + _HEIGHT),
        (x + _TIP, middle),
    )
    add(element, "polygon", fill=paint, stroke="line", points=" ".join(map(pair, corners)), stroke_width=0.8)
    write(element, text, (x + width / 2 + 1, middle + 3.7), size=NOTE_SIZE, text_anchor="middle")
