"""How many cases are still open after what time, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from orchkit.analysis.limits import limit_s as limit_of
from orchkit.analysis.service_levels import survival as survival_table
from orchkit.errors import LogError
from orchkit.log import EventLog, expect_log
from orchkit.model.definition import Workflow
from orchkit.units import Duration, format_duration
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import PAINTS, WIDTH, chart_of, name_of, rows_of, series, time_unit
from orchkit.view.charts.nothing import no_chart
from orchkit.view.figures import share_text
from orchkit.view.theme import LIGHT

__all__ = ["survival"]

_HEIGHT = 280
_POINTS = 120  # of a curve, at most: more cannot be told apart
_CUT = 0.995  # the last cases would stretch the axis for all others


def survival(logs: EventLog | Mapping[str, EventLog], *, sla: Workflow | Duration | None = None) -> Chart:
    """Draw the share of cases that are still open after a given time, with its 95 % interval.

    Open cases count as long as they are known (the Kaplan-Meier estimate): were they left out, the process would look
    quicker than it is.

    Parameters
    ----------
    logs
        A log, or several by name.
    sla
        Longest acceptable duration, or the workflow that says so: a line, and the share of cases
        that are still open then.

    Raises
    ------
    LogError
        Of several logs, one in which no case has ended.

    Notes
    -----
    Kaplan and Meier, Nonparametric estimation from incomplete observations, J. Am. Stat. Assoc. 53 (1958). The
    interval is Greenwood's, on the scale of log(-log).

    Examples
    --------
    >>> begun = pd.Timestamp("2024-05-06T09:00Z")
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["1", "2", "3", "4"], "activity": "check", "started": begun,
    ...     "completed": [begun + pd.Timedelta(minutes=minutes) for minutes in (10, 20, 60)] + [pd.NaT],
    ... }))
    >>> print(survival(log, sla="30 min"))
    Cases still open: 4 cases, 1 of them open, half ended after 20m, 50% still open after 30m
    """
    named = dict(logs) if isinstance(logs, Mapping) else {"": logs}
    for log in named.values():
        expect_log(log, "charts.survival")
    tables = {name: survival_table(log) for name, log in named.items()}
    if not any(len(table) for table in tables.values()):
        return no_chart("Cases still open", "no case of the log has ended")
    for name, table in tables.items():
        if not len(table):
            message = f"charts.survival: no case of the log{f' {name!r}' if name else ''} has ended."
            raise LogError(message)
    limit_s = None if sla is None else limit_of(sla)
    sayings = {name: _said(named[name], table, limit_s) for name, table in tables.items()}
    longest = max(_shown_until(table) for table in tables.values())
    unit = time_unit(longest)
    curves = pd.concat([_curve(table, name, longest, unit.seconds) for name, table in tables.items()])
    drawing = _drawn(curves, list(tables), unit.name, None if limit_s is None else limit_s / unit.seconds)
    said = "; ".join(f"{name_of(name)}: {words}" if name else words for name, words in sayings.items())
    only = sayings.get("", "") if len(tables) == 1 else ""
    text = "" if only else "\n".join(f"{name_of(name)}: {words}" for name, words in sayings.items())
    return chart_of(drawing, "Cases still open", f"Cases still open: {said}", subtitle=only, text=text)


def _shown_until(table: pd.DataFrame) -> float:
    few = table.loc[table["share_open"] <= 1 - _CUT, "duration_s"]
    return float(few.min() if len(few) else table["duration_s"].max())


def _curve(table: pd.DataFrame, name: str, longest_s: float, unit_s: float) -> pd.DataFrame:
    """Return the curve from time 0, with one row per step, thinned where there are more than can be seen."""
    table = table[table["duration_s"] <= longest_s]
    if len(table) > _POINTS:
        table = table.iloc[np.unique(np.linspace(0, len(table) - 1, _POINTS).astype(int))]
    first = pd.DataFrame({"duration_s": [0.0], "share_open": [1.0], "low": [1.0], "high": [1.0]})
    curve = pd.concat([first, table[list(first)]], ignore_index=True)
    says = [
        f"{name_of(name) + ': ' if name else ''}{share_text(share)} still open after {format_duration(at)}"
        for at, share in zip(curve["duration_s"], curve["share_open"], strict=True)
    ]
    at = curve["duration_s"] / unit_s
    return curve.assign(at=at, log=name_of(name), says=says).drop(columns="duration_s")


def _drawn(curves: pd.DataFrame, names: list[str], unit: str, limit: float | None) -> Any:  # noqa: ANN401 -- any of Altair's layers
    colors, dashes, _ = series(names)
    several = len(names) > 1
    data = rows_of(curves)
    x = alt.X("at:Q", title=f"time since the start ({unit})", scale=alt.Scale(zero=True, nice=False))
    y = alt.Y("share_open:Q", title="share still open", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    legend = alt.Legend(title=None, symbolType="stroke", symbolOpacity=1) if several else None
    color = alt.Color("log:N", scale=colors, legend=legend)
    band = (
        alt.Chart(data)
        .mark_area(interpolate="step-after", opacity=0.22)
        .encode(x=x, y=alt.Y("low:Q", title="share still open"), y2="high:Q", color=color, detail="log:N")
    )
    line = (
        alt.Chart(data)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(x=x, y=y, color=color, strokeDash=alt.StrokeDash("log:N", scale=dashes, legend=legend))
    )
    # A point at every step would hide the line: it is only for the mouse and the screen reader.
    points = (
        alt.Chart(data)
        .mark_point(opacity=0, filled=True, size=40)
        .encode(x=x, y=y, color=color, tooltip="says:N", description="says:N")
    )
    layers = [band, line, points]
    if limit is not None:
        rule = pd.DataFrame({"at": [limit], "says": [f"SLA: {limit:.3g} {unit}"]})
        layers.append(
            alt.Chart(rows_of(rule))
            .mark_rule(color=LIGHT["text"], strokeDash=[6, 3], strokeWidth=1.5)
            .encode(x=x, tooltip="says:N", description="says:N")
        )
        layers.append(
            alt.Chart(rows_of(rule))
            .mark_text(align="left", dx=5, dy=8, color=LIGHT["text"], fontSize=11)
            .encode(x=x, y=alt.value(0), text="says:N")
        )
    if not several:
        for layer in layers[:3]:
            layer.encoding.color = alt.value(PAINTS[0])
    return alt.layer(*layers).properties(width=WIDTH, height=_HEIGHT)


def _said(log: EventLog, table: pd.DataFrame, limit_s: float | None) -> str:
    half = table.loc[table["share_open"] <= 0.5, "duration_s"]  # noqa: PLR2004 -- the median
    cases = "1 case" if len(log) == 1 else f"{len(log):,} cases"
    open_cases = len(log) - int(table["ended"].sum())
    parts = [cases]
    if open_cases:
        parts.append(f"{open_cases:,} of them open")
    parts.append(f"half ended after {format_duration(float(half.min()))}" if len(half) else "fewer than half ended")
    if limit_s is not None:
        until = table.loc[table["duration_s"] <= limit_s, "share_open"]
        share = float(until.iloc[-1]) if len(until) else 1.0
        parts.append(f"{share_text(share)} still open after {format_duration(limit_s)}")
    return ", ".join(parts)
