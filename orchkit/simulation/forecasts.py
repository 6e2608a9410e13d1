"""Forecasts: what becomes of the cases that are in flight now, and of those that arrive meanwhile."""

from __future__ import annotations

from collections.abc import Container
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moment_s, moments_s
from orchkit.errors import ScenarioError
from orchkit.events import Kind
from orchkit.log import EventLog
from orchkit.model.states import RunStatus
from orchkit.simulation.load import overloads
from orchkit.simulation.replay import replayed
from orchkit.simulation.replications import simulate_quietly
from orchkit.simulation.scenario import expect_scenario
from orchkit.simulation.sources import in_flight
from orchkit.units import Duration, format_duration, seconds
from orchkit.view.html import table_bundle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow
    from orchkit.simulation.flight import InFlight
    from orchkit.simulation.scenario import Scenario
    from orchkit.simulation.sources import Source

__all__ = ["Forecast", "forecast"]

_BEYOND = 0.025  # of the futures, on either side of an interval
_MOMENTS = 97  # of a day: one every quarter of an hour
_LEAVES = frozenset({Kind.TASK, Kind.WAIT, Kind.CALL, Kind.COMPENSATION})


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast: what becomes of the cases in flight, and of those that arrive.

    Intervals hold what will happen with a probability of 95 %, provided that the scenario is true.

    Attributes
    ----------
    now
        The moment from which it looks ahead.
    horizon_s
        How far it looks ahead.
    sla_s
        Longest acceptable duration of a case; None if there is no limit.
    summary
        One row per figure: ``figure, value, low, high, unit``. The value is the mean of the replications.
    cases
        One row per case in flight: ``case_id, started, age_s, at`` (the steps that are open), ``completed_low,
        completed_median, completed_high`` (missing: later than the horizon), ``done_share`` (the probability that it
        ends within the horizon), ``failed_share`` (that it does so other than completed); with an SLA also ``due`` and
        ``late_share`` (the probability that it is not done when due; missing where that is beyond the horizon).
    backlog
        One row per moment: ``time``; ``in_flight, low, high``: all cases in flight; ``open_now, open_now_low,
        open_now_high``: those of them that are in flight now.
    log
        The simulated log, from now on.
    notes
        What could not be taken over, or contradicts the scenario, one sentence each.
    """

    now: datetime
    horizon_s: float
    sla_s: float | None
    summary: pd.DataFrame = field(repr=False)
    cases: pd.DataFrame = field(repr=False)
    backlog: pd.DataFrame = field(repr=False)
    log: EventLog = field(repr=False)
    notes: tuple[str, ...] = ()

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, Any]:
        count = len(self.cases)
        caption = (
            f"Forecast from {self.now:%Y-%m-%d %H:%M} UTC for {format_duration(self.horizon_s)}: "
            f"{count} {'case' if count == 1 else 'cases'} in flight"
        )
        return table_bundle(self.summary, caption, note=" ".join(self.notes), include=include, exclude=exclude)


def forecast(  # noqa: PLR0913 -- the words of a forecast
    source: Source,
    workflow: Workflow,
    scenario: Scenario,
    horizon: Duration,
    *,
    replications: int = 200,
    sla: Duration | None = None,
    now: datetime | str | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Forecast:
    """Return what becomes of the cases that are in flight, and of those that arrive meanwhile.

    Parameters
    ----------
    source
        An engine: its live runs, in the states that they are in now. Or a log: its open cases, at its last moment.
    workflow, scenario
        As for `simulate`. Without arrivals, no other cases come.
    horizon
        How far it looks ahead.
    replications, seed, executor, progress
        As for `simulate`.
    sla
        Longest acceptable duration of a case; by default the scenario's, then the workflow's.
    now
        For a log, the moment up to which it tells what happened; by default its last event. Give a later one if nothing
        has happened since: the forecast then knows that.

    Returns
    -------
    Forecast
        ``summary, cases, backlog`` are frames; it shows itself as its summary.

    Raises
    ------
    ScenarioError
        The scenario does not say what is needed, or nothing is in flight and nothing arrives.

    Notes
    -----
    The rest of an attempt or a wait is drawn given the time that has passed: a draw of its whole duration that is not
    longer than that is drawn again, as is whether it fails. If the scenario thinks the time that has passed impossible,
    the step is assumed to end at once, and a note says so. Whoever is at work continues; if more are at work than the
    scenario has, the latest wait, first in line.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk")])
    >>> today = ok.Scenario(ok.exponential("10 min"), {"check": ok.exponential("9 min")}, {"clerk": 1})
    >>> until_now = ok.simulate(order, today, until="2 days", seed=7)
    >>> ahead = forecast(until_now, order, today, "8 h", sla="2 h")
    >>> ahead.summary["figure"].tolist()[:4]
    ['in_flight_now', 'arrivals', 'ended', 'in_flight_at_end']
    >>> bool(ahead.cases["done_share"].between(0, 1).all())
    True
    """
    expect_scenario(scenario, "forecast")
    flight = _flight(source, workflow, now)
    if not flight.cases and scenario.arrivals is None:
        message = f"forecast: no case of {workflow.name!r} is in flight, and the scenario has no arrivals."
        raise ScenarioError(message)
    horizon_s = seconds(horizon)
    limit = sla if sla is not None else scenario.sla if scenario.sla is not None else workflow.sla
    sla_s = None if limit is None else seconds(limit)
    log = simulate_quietly(
        workflow,
        scenario,
        until=horizon_s,
        replications=replications,
        seed=seed,
        in_flight=flight,
        executor=executor,
        progress=progress,
    )
    ends = _Ends(log, flight, replications)
    grid = np.linspace(flight.now_s, flight.now_s + horizon_s, _MOMENTS)
    backlog = _backlog(ends, grid)
    notes = (*log.notes, *(str(one) for one in overloads(workflow, scenario)))
    return Forecast(
        datetime.fromtimestamp(0, UTC) + timedelta(seconds=flight.now_s),
        horizon_s,
        sla_s,
        _summary(ends, backlog, sla_s, grid[-1]),
        _cases(ends, flight, sla_s, grid[-1]),
        pd.DataFrame({"time": _moments(grid), **_columns(backlog)}),
        log,
        notes,
    )


def _flight(source: Source, workflow: Workflow, now: datetime | str | None) -> InFlight:
    if now is None:
        if isinstance(source, EventLog) and not len(source.steps):
            message = "forecast: the log has no steps, which would tell what time it is. Give now='2025-01-09T12:00Z'."
            raise ScenarioError(message)
        return in_flight(source, workflow)
    if not isinstance(source, EventLog):
        message = f"forecast: now is for logs only; {type(source).__name__} knows what time it is. Leave it out."
        raise ScenarioError(message)
    return replayed(source, workflow, moment_s(now))


class _Ends:
    """When cases end, in each replication: those in flight now as a table, the others as a list.

    Attributes
    ----------
    own
        One row per replication, one column per case that is in flight now; infinite where it has not ended by the
        horizon.
    failed
        The same: whether it ended other than completed.
    started
        Of the cases in flight.
    replication, arrived, ended
        Of the cases that arrive meanwhile.
    """

    def __init__(self, log: EventLog, flight: InFlight, replications: int) -> None:
        cases = log.cases
        names = {case.case_id: place for place, case in enumerate(flight.cases)}
        place = cases["case_id"].map(names).fillna(-1).to_numpy(dtype=np.int64)
        ended = moments_s(cases["completed"])
        ended[np.isnan(ended)] = np.inf
        number = cases["replication"].to_numpy(dtype=np.int64)
        is_own = place >= 0
        self.own = np.full((replications, len(names)), np.inf)
        self.own[number[is_own], place[is_own]] = ended[is_own]
        self.failed = np.zeros(self.own.shape, dtype=bool)
        lost = (cases["status"] != RunStatus.COMPLETED).to_numpy() & ~np.isinf(ended)
        self.failed[number[is_own], place[is_own]] = lost[is_own]
        self.started = np.array([case.started_s for case in flight.cases])
        self.now = flight.now_s
        self.replication, self.arrived, self.ended = (
            values[~is_own] for values in (number, moments_s(cases["started"]), ended)
        )
        self.count = replications

    def by_replication(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return how many of the cases that arrive are chosen, in each replication."""
        return np.bincount(self.replication[chosen], minlength=self.count).astype(np.float64)


def _backlog(ends: _Ends, grid: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the cases in flight: one row per replication, one column per moment."""
    own = np.stack([(ends.own > moment).sum(axis=1) for moment in grid], axis=1).astype(np.float64)
    change = np.zeros((ends.count, len(grid) + 1))
    for times, step in ((ends.arrived, 1.0), (ends.ended, -1.0)):
        place = ends.replication * (len(grid) + 1) + np.searchsorted(grid, times)
        change += step * np.bincount(place, minlength=change.size).reshape(change.shape)
    return {"in_flight": own + np.cumsum(change, axis=1)[:, :-1], "open_now": own}


def _columns(backlog: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    found: dict[str, NDArray[np.float64]] = {}
    for name, values in backlog.items():
        before = "" if name == "in_flight" else f"{name}_"
        low, high = _interval(values)
        found |= {name: values.mean(axis=0), f"{before}low": low, f"{before}high": high}
    return found


def _interval(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two values between which another replication would lie with a probability of 95 %.

    Of n values in order, another one comes before the k-th with a probability of k / (n + 1), and after the last but
    k - 1 with the same, whatever their distribution is.
    """
    ordered = np.sort(values, axis=0)
    place = max(1, int(_BEYOND * (len(values) + 1)))
    return ordered[place - 1], ordered[-place]


def _summary(ends: _Ends, backlog: dict[str, NDArray[np.float64]], sla_s: float | None, horizon: float) -> pd.DataFrame:
    arrived = ends.by_replication(np.ones(len(ends.replication), dtype=bool))
    done = np.isfinite(ends.own).sum(axis=1) + ends.by_replication(np.isfinite(ends.ended))
    in_flight = backlog["in_flight"]
    rows = [
        ("in_flight_now", np.full(ends.count, float(ends.own.shape[1])), "cases"),
        ("arrivals", arrived, "cases"),
        ("ended", done.astype(np.float64), "cases"),
        ("in_flight_at_end", in_flight[:, -1], "cases"),
        ("in_flight_most", in_flight.max(axis=1), "cases"),
    ]
    if ends.own.size:
        rows.append(("done_share_of_now", np.isfinite(ends.own).mean(axis=1), "share"))
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            left = np.quantile(ends.own, share, axis=1, method="higher") - ends.now
            rows.append((f"remaining_time_{name}", left, "s"))
    if sla_s is not None:
        due, late = ends.started + sla_s, ends.arrived + sla_s
        soon, later = (due > ends.now) & (due <= horizon), late <= horizon
        rows += [
            ("sla_breaches_so_far", np.full(ends.count, float((due <= ends.now).sum())), "cases"),
            ("sla_breaches_of_now", ((ends.own > due) & soon).sum(axis=1).astype(np.float64), "cases"),
            ("sla_breaches_of_new", ends.by_replication((ends.ended > late) & later), "cases"),
        ]
    table = [(name, *_spread(values), unit) for name, values, unit in rows]
    return pd.DataFrame(table, columns=["figure", "value", "low", "high", "unit"])


def _spread(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean and interval; missing where they lie beyond the horizon."""
    low, high = _interval(values)
    value = values.mean() if np.isfinite(values).all() else np.median(values)
    return tuple(float(one) if np.isfinite(one) else float("nan") for one in (value, low, high))  # type: ignore[return-value]  # three


def _cases(ends: _Ends, flight: InFlight, sla_s: float | None, horizon: float) -> pd.DataFrame:
    data: dict[str, Any] = {
        "case_id": pd.Series([case.case_id for case in flight.cases], dtype="str"),
        "started": _moments(ends.started),
        "age_s": ends.now - ends.started,
        "at": pd.Series(
            [
                ", ".join(
                    dict.fromkeys(
                        step.node for run in case.runs for step in run.state.steps.values() if step.kind in _LEAVES
                    )
                )
                for case in flight.cases
            ],
            dtype="str",
        ),
    }
    low, high = _interval(ends.own)
    middle = np.quantile(ends.own, 0.5, axis=0, method="higher")
    for name, moments in (("low", low), ("median", middle), ("high", high)):
        data[f"completed_{name}"] = _moments(moments)
    data["done_share"] = np.isfinite(ends.own).mean(axis=0)
    data["failed_share"] = ends.failed.mean(axis=0)
    if sla_s is not None:
        due = ends.started + sla_s
        late = (ends.own > due).mean(axis=0)
        data["due"] = _moments(due)
        data["late_share"] = np.where(due <= horizon, late, np.nan)
    return pd.DataFrame(data)


def _moments(times_s: NDArray[np.float64]) -> pd.Series:
    known = np.isfinite(times_s)
    whole = np.round(np.where(known, times_s, 0) * 1e6).astype(np.int64).astype("M8[us]")
    whole[~known] = np.datetime64("NaT")
    return pd.Series(whole).dt.tz_localize("UTC")
