"""What is to come, as a picture."""

from __future__ import annotations

import altair as alt
import pandas as pd

from orchkit.errors import RenderError
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import WIDTH, chart_of, rows_of
from orchkit.view.theme import LIGHT

__all__ = ["backlog"]

_HEIGHT = 220
_ALL, _NOW = "all cases", "in flight now"


def backlog(table: pd.DataFrame) -> Chart:
    """Draw how many cases will be in flight from now on: all of them, and of them those in flight now.

    Parameters
    ----------
    table
        The ``backlog`` of a `Forecast`. The bands hold 95 % of its replications.

    Raises
    ------
    RenderError
        It is another frame.

    Examples
    --------
    >>> import pandas as pd
    >>> ahead = pd.DataFrame({
    ...     "time": pd.to_datetime(["2024-05-06T09:00Z", "2024-05-06T10:00Z"]),
    ...     "in_flight": [5.0, 6.0], "low": [5, 4], "high": [5, 9],
    ...     "open_now": [5.0, 1.0], "open_now_low": [5, 0], "open_now_high": [5, 3],
    ... })
    >>> print(backlog(ahead))
    Backlog from 2024-05-06 09:00 to 2024-05-06 10:00 UTC
    all cases: 5 now, 6 (4 to 9) at the end
    in flight now: 5 now, 1 (0 to 3) at the end
    """
    names = {"in_flight": ("low", "high"), "open_now": ("open_now_low", "open_now_high")}
    if not isinstance(table, pd.DataFrame) or not {"time", *names} <= set(table) or table.empty:
        message = "charts.backlog takes the backlog of a forecast, a frame with its columns and some rows."
        raise RenderError(message)
    parts = [
        pd.DataFrame({"time": table["time"], "of": label, "value": table[name], "low": table[low], "high": table[high]})
        for (name, (low, high)), label in zip(names.items(), (_ALL, _NOW), strict=True)
    ]
    ends = [f"{part['of'].iloc[0]}: {part['value'].iloc[0]:.3g} now, " + _span(part.iloc[-1]) for part in parts]
    label = f"Backlog from {table['time'].iloc[0]:%Y-%m-%d %H:%M} to {table['time'].iloc[-1]:%Y-%m-%d %H:%M} UTC"
    drawing = _drawn(pd.concat(parts, ignore_index=True)).properties(width=WIDTH, height=_HEIGHT)
    return chart_of(
        drawing, "Backlog to come", label, subtitle="mean, and 95 % of the replications", text="\n".join(ends)
    )


def _drawn(table: pd.DataFrame) -> alt.LayerChart:
    """Return bands and lines over time, and points that tell their figures."""
    columns = [table[name] for name in ("time", "of", "value", "low", "high")]
    says = [
        f"{at:%Y-%m-%d %H:%M}, {of}: {value:.3g} ({low:.3g} to {high:.3g})"
        for at, of, value, low, high in zip(*columns, strict=True)
    ]
    data = rows_of(table.assign(says=says))
    x = alt.X("time:T", scale=alt.Scale(type="utc"), title=None, axis=alt.Axis(labelOverlap=True, tickCount=8))
    y = alt.Y("value:Q", title="cases in flight", scale=alt.Scale(domain=[0, float(table["high"].max()) or 1.0]))
    kinds = [_ALL, _NOW]
    tints = alt.Scale(domain=kinds, range=[LIGHT["active-tint"], LIGHT["failed-tint"]])
    paints = alt.Scale(domain=kinds, range=[LIGHT["active"], LIGHT["failed"]])
    dashes = alt.Scale(domain=kinds, range=[[1, 0], [6, 3]])
    legend = alt.Legend(title=None, symbolType="stroke")
    low, fill = alt.Y("low:Q", title="cases in flight"), alt.Fill("of:N", scale=tints, legend=None)
    stroke = alt.Stroke("of:N", scale=paints, legend=legend)
    dash = alt.StrokeDash("of:N", scale=dashes, legend=legend)
    bands = alt.Chart(data).mark_area(opacity=0.8).encode(x=x, y=low, y2="high:Q", fill=fill)
    lines = alt.Chart(data).mark_line().encode(x=x, y=y, stroke=stroke, strokeDash=dash)
    finder = alt.Chart(data).mark_point(opacity=0, size=120).encode(x=x, y=y, tooltip="says:N", description="says:N")
    layers: alt.LayerChart = alt.layer(bands, lines, finder).resolve_scale(fill="independent")
    return layers


def _span(row: pd.Series) -> str:
    return f"{row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g}) at the end"
