"""Who is at work and who waits, over time, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.analysis.blocks import load_within
from orchkit.analysis.intervals import spans
from orchkit.analysis.measures import case_measures
from orchkit.analysis.spans import Hours, moments_s, work_between
from orchkit.errors import LogError
from orchkit.log import EventLog, expect_log
from orchkit.units import Duration, seconds
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import WIDTH, chart_of, panel_title, rows_of
from orchkit.view.charts.nothing import no_chart
from orchkit.view.theme import LIGHT

__all__ = ["queues", "utilization"]

_UNNAMED = "(no role)"
_WIDTHS_S = (60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 7 * 86_400, 28 * 86_400, 364 * 86_400)
_BUCKETS = 150  # about so many are told apart on a plot
_MOST = 8  # roles that are drawn
_HEIGHTS = (200, 90)
_BAND = (5.0, 95.0)


@dataclass(frozen=True, slots=True)
class _Course:
    """A figure by role and bucket of time: one row per replication, one column per bucket."""

    edges_s: NDArray[np.float64]
    by_role: Mapping[str, NDArray[np.float64]]


def utilization(
    log: EventLog, *, every: Duration | None = None, calendar: Hours | Mapping[str, Hours | None] | None = None
) -> Chart:
    """Draw which share of each role's people is at work, over time.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. With replications: their mean, and a band that holds nine
        of ten of them.
    every
        Over how long each value is averaged; by default about 150 values over the log.
    calendar
        When work is done, of all roles or by role. Without one, a step counts from its start to its end, nights and
        weekends in between included.

    Notes
    -----
    A role has as many people as the simulation says; of other logs, as many as ever worked in it. The share is of all
    people, on duty or not, so that nights are seen.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["1", "2"], "activity": "check", "role": "clerk", "resource": ["Ann", "Bob"],
    ...     "started": ["2024-05-06T09:00Z", "2024-05-06T09:00Z"],
    ...     "completed": ["2024-05-06T10:00Z", "2024-05-06T09:30Z"],
    ... }))
    >>> print(utilization(log, every="30 min"))
    Utilization over time, by 30 min
    clerk: 75% on average, 100% at most
    """
    expect_log(log, "charts.utilization")
    steps = log.steps
    started, completed = moments_s(steps["started"]), moments_s(steps["completed"])
    known = (log.resource_codes >= 0) & ~np.isnan(started) & ~np.isnan(completed)
    if not known.any():
        return no_chart("Utilization over time", "no step of the log has a resource, a start and an end")
    names, replications = _replications(log)
    roles = _roles(log)
    edges = _edges(started[known], completed[known], every)
    by_role = {}
    for role in _ranked(roles[known], (completed - started)[known]):
        own = known & (roles == role)
        busy = spans(replications[own] * len(log.resources) + log.resource_codes[own], started[own], completed[own])
        owner = busy.groups // len(log.resources)
        people = _heads(log, role) or len(np.unique(log.resource_codes[own]))
        hours = calendar.get(role) if isinstance(calendar, Mapping) else calendar
        by_role[role] = _course(owner, busy.starts_s, busy.ends_s, edges, len(names), hours) / people
    course = _Course(edges, by_role)
    text = "\n".join(
        f"{role}: {values.mean():.0%} on average, {values.mean(axis=0).max():.0%} at most"
        for role, values in by_role.items()
    )
    return _drawn(course, "Utilization over time", "share at work", "%", text, len(set(roles[known])))


def queues(log: EventLog, *, every: Duration | None = None) -> Chart:
    """Draw how many steps wait for each role, over time.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. If it does not say when steps were enabled, that is
        estimated as in `kpis`. With replications: their mean, and a band that holds nine of ten of them.
    every
        Over how long each value is averaged; by default about 150 values over the log.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["1", "2"], "activity": "check", "role": "clerk", "enabled": "2024-05-06T09:00Z",
    ...     "started": ["2024-05-06T09:00Z", "2024-05-06T10:00Z"],
    ...     "completed": ["2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> print(queues(log, every="1 h"))
    Queue lengths over time, by 1 h
    clerk: 0.5 on average, 1 at most
    """
    expect_log(log, "charts.queues")
    completed = moments_s(log.steps["completed"])
    measures = case_measures(log, None, None)
    waits, leaves = measures.waits_s, measures.leaves_s
    known = ~np.isnan(leaves)
    if not known.any():
        return no_chart("Queue lengths over time", "no step of the log has a start, so that nothing is known to wait")
    names, replications = _replications(log)
    roles = _roles(log)
    edges = _edges((leaves - waits)[known], np.fmax(completed, leaves)[known], every)
    by_role = {}
    for role in _ranked(roles[known], waits[known]):
        own = known & (roles == role)
        by_role[role] = _course(replications[own], (leaves - waits)[own], leaves[own], edges, len(names))
    course = _Course(edges, by_role)
    text = "\n".join(
        f"{role}: {values.mean():.3g} on average, {values.mean(axis=0).max():.3g} at most"
        for role, values in by_role.items()
    )
    return _drawn(course, "Queue lengths over time", "steps waiting", "", text, len(set(roles[known])))


def _replications(log: EventLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the replications, and by step the position of its own."""
    given = log.cases["replication"].fillna(-1).to_numpy(dtype=np.int64)
    names, places = np.unique(given, return_inverse=True)
    return names, places.astype(np.int64)[log.case_codes]


def _roles(log: EventLog) -> NDArray[np.object_]:
    roles: NDArray[np.object_] = log.steps["role"].astype("object").fillna(_UNNAMED).to_numpy()
    return roles


def _ranked(roles: NDArray[np.object_], weights_s: NDArray[np.float64]) -> list[str]:
    """Return the roles that are drawn, the most loaded first."""
    sums = pd.Series(weights_s).groupby(pd.Series(roles), sort=True).sum().sort_values(ascending=False, kind="stable")
    return [str(role) for role in sums.index[:_MOST]]


def _heads(log: EventLog, role: str) -> int:
    known = log.availability
    own = known[known["role"].astype("str") == role]
    return int(own["resource_count"].max()) if len(own) else 0


def _edges(begins_s: NDArray[np.float64], ends_s: NDArray[np.float64], every: Duration | None) -> NDArray[np.float64]:
    first, last = float(begins_s.min()), float(ends_s.max())
    wanted = (last - first) / _BUCKETS
    width = seconds(every) if every is not None else next((w for w in _WIDTHS_S if w >= wanted), _WIDTHS_S[-1])
    if width <= 0:
        message = f"charts: every must be above 0, not {every!r}."
        raise LogError(message)
    begin = np.floor(first / width) * width
    edges: NDArray[np.float64] = begin + width * np.arange(max(int(np.ceil((last - begin) / width)), 1) + 1)
    return edges


def _course(
    groups: NDArray[np.int64],
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    edges_s: NDArray[np.float64],
    count: int,
    calendar: Hours | None = None,
) -> NDArray[np.float64]:
    """Return how many spans are open on average in each bucket, one row per group; only in a calendar's hours."""
    found, widths = np.zeros((count, len(edges_s) - 1)), np.diff(edges_s)
    if calendar is not None:
        # Seconds of work take the place of seconds: what lies off duty has no length.
        starts_s, ends_s, edges_s = (_worked(calendar, edges_s[0], times) for times in (starts_s, ends_s, edges_s))
    for group in range(count):
        own = groups == group
        found[group] = load_within(starts_s[own], ends_s[own], edges_s) / widths
    return found


def _worked(calendar: Hours, origin_s: float, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    return work_between(calendar, np.full(len(times_s), origin_s), times_s)


def _drawn(course: _Course, title: str, axis: str, unit: str, text: str, roles: int) -> Chart:
    begins = pd.to_datetime(course.edges_s[:-1], unit="s", utc=True)
    ends = pd.to_datetime(course.edges_s[1:], unit="s", utc=True)
    panels = []
    for role, values in course.by_role.items():
        mean = values.mean(axis=0)
        low, high = np.percentile(values, _BAND, axis=0)
        table = pd.DataFrame({"begin": begins, "end": ends, "mean": mean, "low": low, "high": high})
        table["says"] = [
            f"{str(begin)[:16]}: {value:.0%}" if unit else f"{str(begin)[:16]}: {value:.3g}"
            for begin, value in zip(begins, mean, strict=True)
        ]
        panels.append(
            _panel(table, axis, unit, is_band=len(values) > 1).properties(
                width=WIDTH,
                height=_HEIGHTS[len(course.by_role) > 1],
                **({"title": panel_title(role)} if len(course.by_role) > 1 else {}),
            )
        )
    drawing = panels[0] if len(panels) == 1 else alt.vconcat(*panels).resolve_scale(x="shared")
    width = _words(float(course.edges_s[1] - course.edges_s[0]))
    several = next(iter(course.by_role.values())).shape[0]
    notes = [f"averages by {width}"]
    notes += [f"mean of {several} replications, the band holds nine of ten"] if several > 1 else []
    notes += [f"the {_MOST} most loaded of {roles} roles"] if roles > _MOST else []
    heading = title if len(panels) > 1 else f"{title}: {next(iter(course.by_role))}"
    return chart_of(drawing, heading, f"{title}, by {width}", subtitle="; ".join(notes), text=text)


def _panel(table: pd.DataFrame, axis: str, unit: str, *, is_band: bool) -> Any:  # noqa: ANN401 -- any of Altair's layers
    data = rows_of(table)
    x = alt.X("begin:T", scale=alt.Scale(type="utc"), title=None, axis=alt.Axis(labelOverlap=True, tickCount=8))
    ticks = alt.Axis(format=unit, tickCount=4) if unit else alt.Axis(tickCount=4)
    most = float(table["high"].max())
    scale = alt.Scale(domain=[0, max(most, 1.0) if unit else most or 1.0])
    y = alt.Y("mean:Q", title=axis, axis=ticks, scale=scale)
    layers = []
    if is_band:
        band = alt.Chart(data).mark_area(interpolate="step-after", color=LIGHT["active-tint"])
        layers.append(band.encode(x=x, y=alt.Y("low:Q", title=axis), y2="high:Q"))
    layers.append(alt.Chart(data).mark_line(interpolate="step-after", strokeWidth=1.5).encode(x=x, y=y))
    # What a mouse finds: a column as wide as the bucket.
    finder = alt.Chart(data).mark_rect(opacity=0)
    layers.append(finder.encode(x=x, x2="end:T", tooltip="says:N", description="says:N"))
    return alt.layer(*layers)


def _words(width_s: float) -> str:
    for name, size in (("week", 7 * 86_400), ("day", 86_400), ("h", 3600), ("min", 60)):
        if width_s >= size and width_s % size == 0:
            count = round(width_s / size)
            return f"{count} {name}s" if count > 1 and len(name) > len("min") else f"{count} {name}"
    return f"{width_s:g} s"
