"""What stands for a chart where there is nothing to see: a part of a log may be empty, and a notebook goes on."""

from __future__ import annotations

import altair as alt

from orchkit.view.canvas import draw_heading, finished, page
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import WIDTH, chart_of
from orchkit.view.picture import Drawing
from orchkit.view.scene import NAME_SIZE
from orchkit.view.text import text_width

__all__ = ["no_chart", "no_drawing"]

_PAD, _HEIGHT = 12.0, 44.0


def no_chart(title: str, why: str) -> Chart:
    """Return a chart that has a title and says why there is nothing else.

    Examples
    --------
    >>> print(no_chart("Failures", "nothing failed"))
    Failures: nothing failed
    """
    empty = alt.Chart(alt.InlineData(values=[{}])).mark_point(opacity=0).properties(width=WIDTH, height=1)
    return chart_of(empty, title, f"{title}: {why}", subtitle=why)


def no_drawing(title: str, why: str) -> Drawing:
    """Return a drawing that has a title and says why there is nothing else."""
    label = f"{title}: {why}"
    svg = page(label, text_width(why, NAME_SIZE) + 2 * _PAD, _HEIGHT + _PAD)
    draw_heading(svg, title, why, (_PAD, _PAD))
    return Drawing(label, label, finished(svg))
