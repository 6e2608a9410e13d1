"""How long cases take, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.analysis.limits import limit_s as limit_of
from orchkit.analysis.times import cycle_times as cycle_time_table
from orchkit.errors import LogError
from orchkit.log import EventLog, expect_log
from orchkit.model.definition import Workflow
from orchkit.units import Duration
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import DASHES, WIDTH, chart_of, name_of, panel_title, rows_of, time_unit
from orchkit.view.charts.nothing import no_chart
from orchkit.view.theme import LIGHT

__all__ = ["cycle_times"]

_BINS = 40
_CUT = 0.995  # what lies beyond is gathered in the last bar: a single case must not flatten all others
_HIGH = 0.95
_HEIGHTS = (220, 110)


def cycle_times(logs: EventLog | Mapping[str, EventLog], *, sla: Workflow | Duration | None = None) -> Chart:
    """Draw how long cases took: a histogram with median and 95th percentile.

    Parameters
    ----------
    logs
        A log, or several by name: one below the other, on one axis.
    sla
        Longest acceptable duration, or the workflow that says so: a line, and the share of cases beyond it.

    Raises
    ------
    LogError
        Of several logs, one in which no case has ended.

    Examples
    --------
    >>> import pandas as pd
    >>> begun = pd.Timestamp("2024-05-06T09:00Z")
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["1", "2", "3"], "activity": "check", "started": begun,
    ...     "completed": [begun + pd.Timedelta(minutes=minutes) for minutes in (10, 20, 60)],
    ... }))
    >>> cycle_times(log, sla="30 min")
    <Chart: Cycle times: 3 cases, median 20 min, p95 56 min, 33% beyond 30 min>
    """
    named = dict(logs) if isinstance(logs, Mapping) else {"": logs}
    for log in named.values():
        expect_log(log, "charts.cycle_times")
    found = {name: cycle_time_table(log)["cycle_s"].dropna().to_numpy() for name, log in named.items()}
    if not any(len(values) for values in found.values()):
        return no_chart("Cycle times", "no case of the log has ended")
    for name, values in found.items():
        if not len(values):
            message = f"charts.cycle_times: no case of the log{f' {name!r}' if name else ''} has ended."
            raise LogError(message)
    limit_s = None if sla is None else limit_of(sla)
    unit = time_unit(max(float(np.quantile(values, _CUT)) for values in found.values()))
    sayings = {name: _said(values, limit_s, unit.name, unit.seconds) for name, values in found.items()}
    top = max(max(float(np.quantile(values, _CUT)) for values in found.values()) / unit.seconds, 1e-9)
    edges = np.linspace(0.0, top, _BINS + 1)
    panels = [
        _panel(values / unit.seconds, edges, unit.name, None if limit_s is None else limit_s / unit.seconds).properties(
            width=WIDTH,
            height=_HEIGHTS[len(found) > 1],
            **({"title": panel_title(f"{name_of(name)}: {sayings[name]}")} if name else {}),
        )
        for name, values in found.items()
    ]
    drawing = panels[0] if len(panels) == 1 else alt.vconcat(*panels)
    text = "\n".join(f"{name_of(name) or 'cases'}: {said}" for name, said in sayings.items())
    whole = "; ".join(f"{name_of(name)}: {said}" if name else said for name, said in sayings.items())
    only = sayings.get("", "") if len(found) == 1 else ""
    return chart_of(drawing, "Cycle times", f"Cycle times: {whole}", subtitle=only, text="" if only else text)


def _panel(values: NDArray[np.float64], edges: NDArray[np.float64], unit: str, limit: float | None) -> Any:  # noqa: ANN401 -- any of Altair's layers
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    bars = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "share": counts / len(values), "cases": counts})
    bars["says"] = [
        f"{low:.3g} to {high:.3g} {unit}: {count:,} {'case' if count == 1 else 'cases'}"
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    bars = bars[bars["cases"] > 0]
    marks = [("median", float(np.median(values))), ("p95", float(np.quantile(values, _HIGH)))]
    if limit is not None:
        marks.append(("SLA", limit))
    lines = pd.DataFrame(
        [(name, min(at, edges[-1]), f"{name}: {at:.3g} {unit}") for name, at in marks],
        columns=["mark", "at", "says"],
    )
    histogram = (
        alt.Chart(rows_of(bars))
        .mark_bar(fill=LIGHT["active-tint"], stroke=LIGHT["active"], strokeWidth=1)
        .encode(
            x=alt.X("low:Q", title=f"cycle time ({unit})", scale=alt.Scale(domain=[0, float(edges[-1])], nice=False)),
            x2="high:Q",
            y=alt.Y("share:Q", title="share of cases", axis=alt.Axis(format="%", tickCount=5)),
            y2=alt.datum(0),
            tooltip="says:N",
            description="says:N",
        )
    )
    dashes = alt.Scale(domain=[name for name, _ in marks], range=DASHES[: len(marks)])
    rules = (
        alt.Chart(rows_of(lines))
        .mark_rule(color=LIGHT["text"], strokeWidth=1.5)
        .encode(
            x="at:Q",
            strokeDash=alt.StrokeDash("mark:N", scale=dashes, legend=alt.Legend(title=None, symbolType="stroke")),
            tooltip="says:N",
            description="says:N",
        )
    )
    return alt.layer(histogram, rules)


def _said(values_s: NDArray[np.float64], limit_s: float | None, unit: str, size_s: float) -> str:
    median, high = float(np.median(values_s)) / size_s, float(np.quantile(values_s, _HIGH)) / size_s
    said = f"{len(values_s):,} cases, median {median:.3g} {unit}, p95 {high:.3g} {unit}"
    if limit_s is None:
        return said
    late = float((values_s > limit_s).mean())
    return f"{said}, {late:.0%} beyond {limit_s / size_s:.3g} {unit}"
