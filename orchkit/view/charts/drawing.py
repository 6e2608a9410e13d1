"""What every chart is made with: one look, data that is safe to draw, axes of time in a unit that reads well."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from orchkit.view.charts.chart import Chart
from orchkit.view.text import clean, shorten, text_width
from orchkit.view.theme import FONT, LIGHT

__all__ = [
    "DASHES",
    "PAINTS",
    "SHAPES",
    "WIDTH",
    "TimeUnit",
    "chart_of",
    "name_of",
    "panel_title",
    "rows_of",
    "series",
    "time_unit",
]

WIDTH = 560
"""Of a plot, in pixels."""

# A series has a paint, a dash and a shape of its own, so that color is never the only signal.
PAINTS = [LIGHT[name] for name in ("active", "failed", "done", "undone", "held", "idle")]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [1, 3]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]

_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0))
_ENOUGH = 2.0  # of a unit, before it is used
_LONGEST_NAME, _LONGEST_LINE, _NARROWEST = 60, 1_000, 160.0

_CONFIG: dict[str, Any] = {
    "background": LIGHT["page"],
    "font": FONT,
    "padding": 12,
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "color": LIGHT["text"],
        "subtitleColor": LIGHT["soft"],
        "fontSize": 14,
        "subtitleFontSize": 12,
        "subtitlePadding": 4,
        "offset": 12,
    },
    "axis": {
        "labelColor": LIGHT["soft"],
        "titleColor": LIGHT["text"],
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 11,
        "labelLimit": 220,
        "gridColor": LIGHT["idle-tint"],
        "domainColor": LIGHT["border"],
        "tickColor": LIGHT["border"],
    },
    "header": {"labelColor": LIGHT["text"], "titleColor": LIGHT["text"], "labelFontSize": 12, "labelAnchor": "start"},
    "legend": {
        "labelColor": LIGHT["text"],
        "titleColor": LIGHT["soft"],
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "symbolSize": 120,
        "symbolStrokeWidth": 2,
        "labelLimit": 220,
        "orient": "top",
    },
    "text": {"color": LIGHT["text"], "font": FONT},
    "rule": {"color": LIGHT["soft"]},
    "range": {"category": PAINTS, "symbol": SHAPES},
    "line": {"color": PAINTS[0], "strokeWidth": 2},
    "point": {"color": PAINTS[0], "size": 60},
    "bar": {"color": PAINTS[0]},
    "area": {"color": PAINTS[0]},
    "rect": {"color": PAINTS[0]},
    "tick": {"color": PAINTS[0]},
}


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """A unit in which durations read well: its name, and how many seconds it has."""

    name: str
    seconds: float


def time_unit(longest_s: float) -> TimeUnit:
    """Return the unit for an axis of durations up to ``longest_s``.

    Examples
    --------
    >>> time_unit(90).name, time_unit(5_400).name, time_unit(400_000).name
    ('s', 'min', 'days')
    """
    fitting = [(name, size) for name, size in _UNITS if longest_s >= _ENOUGH * size]
    return TimeUnit(*(fitting[-1] if fitting else _UNITS[0]))


def name_of(name: object) -> str:
    """Return a name out of data as it is drawn: on one line, not endless, without what no picture may hold."""
    text = shorten(clean(name), _LONGEST_NAME)
    # What is wider than an axis, Vega cuts, maybe in the middle of a character that takes two of its units.
    while any(char > "\uffff" for char in text) and text_width(text, 12) > _NARROWEST:
        text = f"{text.removesuffix('…')[:-1]}…"
    return text


def rows_of(frame: pd.DataFrame) -> alt.InlineData:
    """Return a frame as a chart's data: times in UTC, missing values as null, text cleaned and kept short.

    Fields need their types in the encoding (``"wait:Q"``), and names without dots and brackets. A column ``says`` is
    what a mark tells a mouse (``tooltip="says:N"``) and a screen reader (``description="says:N"``).
    """
    table: dict[str, pd.Series] = {}
    for name in frame:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            values = column.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        elif pd.api.types.is_bool_dtype(column.dtype):
            values = column.map({True: "yes", False: "no"})
        elif pd.api.types.is_numeric_dtype(column.dtype):
            values = column.astype("float64").where(np.isfinite(column.to_numpy(dtype=float, na_value=np.nan)))
        else:
            values = column.map(name_of, na_action="ignore")
        table[str(name)] = values.astype(object).where(values.notna(), None)
    records = pd.DataFrame(table).to_dict(orient="records")
    return alt.InlineData(values=[{str(name): value for name, value in record.items()} for record in records])


def series(names: list[str]) -> tuple[alt.Scale, alt.Scale, alt.Scale]:
    """Return the scales of color, dash and shape for series, the first of each for the first name."""
    names = [name_of(name) for name in names]
    return (
        alt.Scale(domain=names, range=[PAINTS[at % len(PAINTS)] for at in range(len(names))]),
        alt.Scale(domain=names, range=[DASHES[at % len(DASHES)] for at in range(len(names))]),
        alt.Scale(domain=names, range=[SHAPES[at % len(SHAPES)] for at in range(len(names))]),
    )


def panel_title(text: str) -> alt.TitleParams:
    """Return the title of one of several panels, less prominent than the chart's."""
    return alt.TitleParams(clean(text), fontSize=12, fontWeight="normal", offset=6, frame="group")


def chart_of(drawing: alt.TopLevelMixin, title: str, label: str, *, subtitle: str = "", text: str = "") -> Chart:
    """Return Altair's drawing in the house's look.

    Parameters
    ----------
    drawing
        Of Altair, without title and configuration.
    title, subtitle
        Above it.
    label
        What is drawn and what it shows, in a sentence: the alternative text.
    text
        The figures as text.
    """
    specification = drawing.to_dict()
    specification.pop("config", None)
    heading = {"text": name_of(title), **({"subtitle": clean(subtitle)} if subtitle else {})}
    return Chart(
        json.dumps({"title": heading, **specification, "config": _CONFIG}),
        _line(label),
        "\n".join(map(_line, text.splitlines())),
    )


def _line(text: str) -> str:
    """Return a line of text as a notebook keeps it: not endless, whatever the names in the data."""
    line = clean(text)
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
