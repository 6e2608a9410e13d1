"""Scenarios beside each other, as pictures: the differences with their intervals, and figures over assumptions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from orchkit.errors import RenderError, nearest
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import WIDTH, chart_of, name_of, panel_title, rows_of, series, time_unit
from orchkit.view.theme import LIGHT

__all__ = ["differences", "sweeps"]

_FIGURES = (
    "cycle_time",
    "cycle_time_p95",
    "waiting_time",
    "processing_time",
    "cost",
    "throughput",
    "completion_rate",
    "error_rate",
    "sla_breach_rate",
    "queue_length",
)
_ROW = 26  # pixels a figure
_SETTINGS = 2  # that one plot can show
_AROUND = 0.08


def differences(comparison: pd.DataFrame, figures: Iterable[str] | None = None) -> Chart:
    """Draw by how much scenarios differ from the first: each figure's change, with its 95 % interval.

    Parameters
    ----------
    comparison
        What `compare` returns.
    figures
        Names of figures, in their order; by default the common ones and all utilizations.

    Raises
    ------
    RenderError
        The table has none of these figures, or is not of `compare`.

    Notes
    -----
    A filled dot: the interval excludes 0, so that the difference is hardly luck. A hollow one: it may be. Changes are
    in percent of the first scenario; figures that were 0 there are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> found = pd.DataFrame({
    ...     "scenario": "two clerks", "measure": "kpi", "name": ["cycle_time"], "before": [100.0], "after": [80.0],
    ...     "difference": [-20.0], "low": [-25.0], "high": [-15.0], "effect_size": [-1.0], "unit": "s",
    ...     "method": "paired",
    ... })
    >>> print(differences(found))
    Changes with 95 % intervals: two clerks
    two clerks: cycle_time -20 % (-25 to -15)
    """
    needed = {"scenario", "measure", "name", "before", "difference", "low", "high"}
    if not isinstance(comparison, pd.DataFrame) or not needed <= set(comparison):
        message = "charts.differences takes what compare returns: a frame with its columns."
        raise RenderError(message)
    kpis = comparison[comparison["measure"] == "kpi"]
    names = _figures_of(kpis, figures)
    kept = kpis[kpis["name"].isin(names) & (kpis["before"].abs() > 0)]
    if kept.empty:
        message = "charts.differences: nothing to draw: no figure whose first value is other than 0."
        raise RenderError(message)
    table = _changes(kept)
    text = "\n".join(f"{name}: {said}" for name, said in zip(table["scenario"], table["says"], strict=True))
    reach = table[["change", "low", "high"]]
    domain = [min(float(reach.min().min()), 0.0), max(float(reach.max().max()), 0.0)]
    order = [name_of(name) for name in names if name in set(kept["name"])]
    scenarios = list(dict.fromkeys(table["scenario"]))
    panels = [
        _intervals(table[table["scenario"] == name], order, domain).properties(
            width=WIDTH,
            height=_ROW * len(order),
            **({"title": panel_title(name)} if len(scenarios) > 1 else {}),
        )
        for name in scenarios
    ]
    drawing = panels[0] if len(panels) == 1 else alt.vconcat(*panels)
    label = f"Changes with 95 % intervals: {', '.join(scenarios)}"
    subtitle = "in percent of the first scenario, with 95 % intervals"
    title = "What changes" if len(scenarios) > 1 else f"What changes: {scenarios[0]}"
    return chart_of(drawing, title, label, subtitle=subtitle, text=text)


def _figures_of(kpis: pd.DataFrame, figures: Iterable[str] | None) -> list[str]:
    """Return the names of the figures to draw; by default the common ones and all utilizations."""
    there = list(dict.fromkeys(kpis["name"].astype(str)))
    if figures is None:
        common = [name for name in _FIGURES if name in there]
        return common + [name for name in there if name.startswith("utilization.")]
    names = list(figures)
    for name in names:
        if name not in there:
            message = f"charts.differences: there is no figure {name!r}.{nearest(name, there)}"
            raise RenderError(message)
    return names


def _changes(kept: pd.DataFrame) -> pd.DataFrame:
    """Return each difference in percent of the first scenario, with its interval and how it is told."""
    scale = 100 / kept["before"].abs()
    table = pd.DataFrame(
        {
            "scenario": kept["scenario"].map(name_of),
            "figure": kept["name"].map(name_of),
            "change": kept["difference"] * scale,
            "low": kept["low"] * scale,
            "high": kept["high"] * scale,
        }
    )
    sure = (table["low"] > 0) | (table["high"] < 0)
    table["sure"] = np.where(sure, "interval excludes 0", "may be luck")
    columns = [table[name].tolist() for name in ("figure", "change", "low", "high")]
    table["says"] = [
        f"{name} {change:+.3g} %" + (f" ({low:+.3g} to {high:+.3g})" if low == low else "")  # noqa: PLR0124 -- not NaN
        for name, change, low, high in zip(*columns, strict=True)
    ]
    return table


def _intervals(table: pd.DataFrame, order: list[str], domain: list[float]) -> Any:  # noqa: ANN401 -- any of Altair's layers
    data = rows_of(table)
    y = alt.Y("figure:N", title=None, sort=order, axis=alt.Axis(grid=True, labelLimit=240))
    x = alt.X("change:Q", title="change (%)", scale=alt.Scale(domain=domain, nice=True), axis=alt.Axis(tickCount=8))
    zero = alt.Chart(rows_of(pd.DataFrame({"at": [0.0]}))).mark_rule(color=LIGHT["text"]).encode(x="at:Q")
    lines = alt.Chart(data).mark_rule(color=LIGHT["active"], strokeWidth=2)
    known = ["interval excludes 0", "may be luck"]
    dots = alt.Chart(data).mark_point(size=70, stroke=LIGHT["active"], strokeWidth=2, fillOpacity=1)
    fills = alt.Scale(domain=known, range=[LIGHT["active"], LIGHT["page"]])
    return alt.layer(
        zero,
        lines.encode(x="low:Q", x2="high:Q", y=y),
        dots.encode(x=x, y=y, fill=alt.Fill("sure:N", scale=fills, title=None), tooltip="says:N", description="says:N"),
    )


def sweeps(table: pd.DataFrame, figure: str = "cycle_time") -> Chart:
    """Draw a figure over the settings of a sweep, with 95 % intervals.

    Parameters
    ----------
    table
        What `sweep` returns, with one or two settings: the first along the axis, a line for each value of the second.
    figure
        A name in its column ``kpi``.

    Raises
    ------
    RenderError
        The table has no such figure, or more settings than a plot can show.

    Examples
    --------
    >>> import pandas as pd
    >>> tried = pd.DataFrame({
    ...     "resources.clerk": [1, 2], "kpi": "cycle_time", "value": [600.0, 240.0], "standard_error": [5.0, 2.0],
    ...     "low": [590.0, 236.0], "high": [610.0, 244.0], "unit": "s",
    ... })
    >>> print(sweeps(tried))
    cycle_time over resources.clerk
    resources.clerk 1: 10 min (9.83 to 10.2)
    resources.clerk 2: 4 min (3.93 to 4.07)
    """
    if not isinstance(table, pd.DataFrame) or not {"kpi", "value"} <= set(table):
        message = "charts.sweeps takes what sweep returns: a frame with its columns."
        raise RenderError(message)
    settings = [str(name) for name in table.columns[: list(table.columns).index("kpi")]]
    rows = table[table["kpi"] == figure]
    if rows.empty:
        message = f"charts.sweeps: there is no figure {figure!r}.{nearest(figure, list(dict.fromkeys(table['kpi'])))}"
        raise RenderError(message)
    if not 0 < len(settings) <= _SETTINGS:
        message = f"charts.sweeps shows one or two settings, not {len(settings)}: choose rows of the table first."
        raise RenderError(message)
    unit = str(rows["unit"].iloc[0])
    divisor = 1.0
    if unit == "s":
        readable = time_unit(float(rows["value"].abs().max()))
        unit, divisor = readable.name, readable.seconds
    given = rows[settings[0]]
    is_number = pd.api.types.is_numeric_dtype(given.infer_objects().dtype)
    drawn = pd.DataFrame({"x": given.infer_objects() if is_number else given.map(name_of)})
    drawn["series"] = rows[settings[1]].map(name_of) if len(settings) > 1 else ""
    for name in ("value", "low", "high"):
        drawn[name] = rows[name] / divisor
    columns = [drawn[name].tolist() for name in ("x", "series", "value", "low", "high")]
    drawn["says"] = [
        f"{settings[0]} {at}"
        + (f", {settings[1]} {of}" if of else "")
        + f": {value:.3g} {unit}"
        + (f" ({low:.3g} to {high:.3g})" if low == low else "")  # noqa: PLR0124 -- not NaN
        for at, of, value, low, high in zip(*columns, strict=True)
    ]
    drawing = _lines(drawn, settings, f"{figure} ({unit})", is_number=is_number).properties(width=WIDTH, height=240)
    label = f"{figure} over {' and '.join(settings)}"
    return chart_of(drawing, label, label, subtitle="mean and 95 % interval", text="\n".join(drawn["says"]))


def _lines(table: pd.DataFrame, settings: list[str], axis: str, *, is_number: bool) -> Any:  # noqa: ANN401 -- any of Altair's layers
    data = rows_of(table)
    if is_number:
        low, high = float(table["x"].min()), float(table["x"].max())
        room = (high - low) * _AROUND or 1.0
        whole = bool((table["x"] % 1 == 0).all())
        ticks = alt.Axis(tickMinStep=1, format="d") if whole else alt.Axis()
        scale = alt.Scale(domain=[low - room, high + room], nice=False, zero=False)
        x = alt.X("x:Q", title=settings[0], scale=scale, axis=ticks)
    else:
        x = alt.X("x:O", title=settings[0], sort=None, axis=alt.Axis(labelAngle=0))
    y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=True))
    names = list(dict.fromkeys(table["series"]))
    color, dash, shape = series(names)
    legend = alt.Legend(title=settings[1], symbolType="stroke") if len(settings) > 1 else None
    paint = alt.Color("series:N", scale=color, legend=legend)
    bars = alt.Chart(data).mark_rule(strokeWidth=2).encode(x=x, y=alt.Y("low:Q", title=axis), y2="high:Q", color=paint)
    lines = (
        alt.Chart(data)
        .mark_line()
        .encode(x=x, y=y, color=paint, strokeDash=alt.StrokeDash("series:N", scale=dash, legend=legend))
    )
    dots = (
        alt.Chart(data)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=x,
            y=y,
            color=paint,
            shape=alt.Shape("series:N", scale=shape, legend=None),
            tooltip="says:N",
            description="says:N",
        )
    )
    return alt.layer(bars, lines, dots)
