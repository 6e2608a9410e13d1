"""A scenario from a log: what the past says about arrivals, durations, people, branches and failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.distances import distances
from orchkit.analysis.spans import moments_s
from orchkit.errors import ScenarioError
from orchkit.log import EventLog, expect_log
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.simulation.calendars import Calendar
from orchkit.simulation.delays import delays_of, on_duty
from orchkit.simulation.distributions import Distribution, exponential
from orchkit.simulation.families import Family, best_family
from orchkit.simulation.loops import loops_of, responses_of
from orchkit.simulation.presence import calendar_of, count_of, roles_of, week_hour
from orchkit.simulation.replications import simulate_quietly
from orchkit.simulation.routes import branch_shares
from orchkit.simulation.scenario import Failure, Profile, Resource, Scenario

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow

__all__ = ["Fit", "fit", "split_by_time"]

_HOUR_S, _WEEK_H = 3600.0, 168
_ENOUGH_WEEKS = 2.0
_ABSOLUTE = ("absolute_event", "case_arrival")  # the past lies elsewhere on the clock


@dataclass(frozen=True, slots=True)
class Fit:
    """A scenario, and how well it foretells the cases that were held out.

    Attributes
    ----------
    scenario
        For `simulate`.
    families
        A row a task: ``activity, family, mean_s, distance_s, count``.
    goodness
        `distances` between the cases held out and as many simulated ones: ``distance, value, past, unit``. ``past`` is
        the distance between the cases held out and those before: a simulation can hardly be nearer. It is missing
        where the clock is compared, since the two lie at different times. The simulation is looked at until the end of
        the log, as the cases were. Empty where none were held out.
    held_out
        The last cases by time.
    """

    scenario: Scenario
    families: pd.DataFrame = field(repr=False)
    goodness: pd.DataFrame = field(repr=False)
    held_out: EventLog = field(repr=False)

    def _repr_html_(self) -> str:
        return str(self.families.to_html(index=False)) + str(self.goodness.to_html(index=False))


def fit(workflow: Workflow, log: EventLog, *, train: float = 0.7, seed: int = 0) -> Fit:
    """Estimate a scenario from a log, and try it on the cases that it has not seen.

    Parameters
    ----------
    workflow
        What the log's cases went through; its tasks have the names of the log's activities.
    log
        With starts and ends of steps.
    train
        The share of cases, the first by their start, from which the scenario is estimated; the rest is held out.
    seed
        Of the simulation for the goodness of fit.

    Returns
    -------
    Fit
        ``.scenario`` goes to `simulate`.

    Raises
    ------
    ScenarioError
        Too few cases, or a task that the log does not have.

    Notes
    -----
    Arrivals are a Poisson process with a rate for each hour of the week, or, of less than two weeks, exponential. The
    people of a role are those who did its tasks, each counted where they work most. Its hours of duty are
    those of the week in which somebody of the role is at work in at least a tenth of the weeks; its count is the 95th
    percentile of the people at work in such an hour. A duration is the part of a step within its role's hours, and its
    family that with the least 1-Wasserstein distance to the sample (see ``families``).

    What goes by between steps and is no queue is a delay, by the step before and in the hours of the role (see
    ``delays``). Where the log does not say when steps could begin, a gap during which the resource was at another step
    may be a queue or not: both are simulated, and what comes nearer to the log's cycle times is taken. A loop goes
    around as often as its steps follow one another; a wait takes as long as it did. A branch's probability is its
    share of the direct successions in the log that pass the gateway; the failure rate of a task is that of its
    attempts, by class. What one cannot see in a log (priorities, batches, patience) is not estimated.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk")])
    >>> truth = ok.Scenario(ok.exponential("30 min"), {"check": ok.uniform("5 min", "15 min")}, {"clerk": 1})
    >>> found = fit(order, ok.simulate(order, truth, cases=2_000, seed=3))
    >>> found.families[["activity", "family"]].values.tolist(), found.scenario.resources["clerk"].count
    ([['check', 'uniform']], 1)
    """
    expect_log(log, "fit")
    seen, held_out = split_by_time(log, train)
    roles = roles_of(workflow, seen)
    calendars = {role: calendar_of(seen, rows) for role, rows in roles.items()}
    families = _families(workflow, seen, calendars)
    resources = {
        role: Resource(count_of(seen, rows, calendars[role]), calendar=calendars[role]) for role, rows in roles.items()
    }
    scenario = Scenario(
        arrivals=_arrivals(seen),
        durations={name: family.distribution for name, family in families.items()},
        resources=resources,
        branching=branch_shares(workflow, seen),
        failures=_failures(workflow, seen),
        loops=loops_of(workflow, seen),
        waits=responses_of(workflow, seen),
        start=_first(seen),
    )
    scenario = _with_delays(workflow, scenario, seen, calendars, seed)
    scenario = replace(scenario, start=_first(held_out if len(held_out) else seen))
    table = pd.DataFrame(
        [
            (name, one.distribution.family, one.distribution.mean, one.distance_s, one.count)
            for name, one in families.items()
        ],
        columns=["activity", "family", "mean_s", "distance_s", "count"],
    )
    return Fit(scenario, table, _goodness(workflow, scenario, seen, held_out, seed), held_out)


def _with_delays(
    workflow: Workflow, scenario: Scenario, seen: EventLog, calendars: Mapping[str, Calendar | None], seed: int
) -> Scenario:
    """Return the scenario with the delays that bring its cycle times nearest to those of the log."""
    recorded = seen.steps["enabled"].notna().any()
    tried = [
        replace(scenario, delays=delays_of(workflow, seen, calendars, less_busy=less_busy))
        for less_busy in ((False,) if recorded else (True, False))
    ]
    if len(tried) == 1 or not tried[-1].delays:
        return tried[-1]
    away = [
        _cycle_distance(seen, simulate_quietly(workflow, one, cases=len(seen), seed=seed, progress=False))
        for one in tried
    ]
    return tried[int(np.argmin(away))]


def _cycle_distance(log: EventLog, other: EventLog) -> float:
    found = distances(log, other).set_index("distance")["value"]
    return float(found["cycle_time"])


def _goodness(workflow: Workflow, scenario: Scenario, seen: EventLog, held_out: EventLog, seed: int) -> pd.DataFrame:
    """Return the distances of the cases held out to as many simulated ones, and beside them to those of the past."""
    if not len(held_out):
        return pd.DataFrame({"distance": [], "value": [], "past": [], "unit": []})
    table = distances(held_out, _observed(workflow, scenario, held_out, seed))
    past = distances(held_out, seen)["value"].where(~table["distance"].isin(_ABSOLUTE))
    table.insert(2, "past", past)
    return table


def _observed(workflow: Workflow, scenario: Scenario, log: EventLog, seed: int) -> EventLog:
    """Simulate as many cases as a log has, and look at them as long as the log does."""
    last_s = max(float(np.nanmax(moments_s(log.steps[name]))) for name in ("started", "completed"))
    until = last_s - scenario.start.timestamp()
    simulated = simulate_quietly(workflow, scenario, cases=len(log), until=until, seed=seed, progress=False)
    steps = simulated.steps
    if log.cases["completed"].isna().any() or steps["completed"].notna().all():
        return simulated
    # A log that knows no open cases takes what it has seen of them for the whole.
    return EventLog(steps[steps["completed"].notna()])


def split_by_time(log: EventLog, share: float) -> tuple[EventLog, EventLog]:
    """Return the first cases by their start, and the rest.

    Raises
    ------
    ScenarioError
        The share is not above 0 and at most 1, or the log has fewer than two cases with a start.
    """
    started = moments_s(log.cases["started"])
    known = np.flatnonzero(~np.isnan(started))
    if not 0 < share <= 1 or len(known) < 2:  # noqa: PLR2004 -- a time between cases needs two
        message = f"fit: train must be above 0 and at most 1 (is {share!r}), of two cases or more (are {len(known)})."
        raise ScenarioError(message)
    order = known[np.argsort(started[known], kind="stable")]
    size = max(2, round(len(order) * share))
    return _part(log, order[:size]), _part(log, order[size:])


def _part(log: EventLog, places: NDArray[np.intp]) -> EventLog:
    chosen = np.zeros(len(log), dtype=bool)
    chosen[places] = True
    return EventLog(log.steps[chosen[log.case_codes]], log.cases[chosen])


def _first(log: EventLog) -> datetime:
    moment: datetime = log.cases["started"].min().floor("h").to_pydatetime()
    return moment.astimezone(UTC)


def _arrivals(log: EventLog) -> Profile | Distribution:
    started = np.sort(moments_s(log.cases["started"]))
    span_h = (started[-1] - started[0]) / _HOUR_S
    if span_h < _ENOUGH_WEEKS * _WEEK_H:
        return exponential(max((started[-1] - started[0]) / (len(started) - 1), 1e-3))
    first, last = int(started[0] // _HOUR_S), int(started[-1] // _HOUR_S)
    exposed = np.bincount(week_hour(np.arange(first, last + 1)), minlength=_WEEK_H)
    counts = np.bincount(week_hour((started // _HOUR_S).astype(np.int64)), minlength=_WEEK_H)
    return Profile(tuple(float(rate) for rate in counts / exposed))


def _families(workflow: Workflow, log: EventLog, calendars: Mapping[str, Calendar | None]) -> dict[str, Family]:
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    done = log.steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED]).to_numpy()
    known = done & ~np.isnan(started) & ~np.isnan(completed)
    names = {name: code for code, name in enumerate(log.activities)}
    found = {}
    for node in all_nodes(workflow):
        if not isinstance(node, Task):
            continue
        rows = known & (log.activity_codes == names.get(node.name, -1))
        if not rows.any():
            message = (
                f"fit: the log has no completed step of the task {node.name!r} with a start and an end. "
                f"Activities of the log: {', '.join(log.activities[:10])}."
            )
            raise ScenarioError(message, node=node.name)
        calendar = calendars.get(node.role or "")
        found[node.name] = best_family(_worked(calendar, started[rows], completed[rows]))
    return found


def _worked(
    calendar: Calendar | None, started: NDArray[np.float64], completed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the part of each step within the hours of duty; all of it where it lies wholly outside."""
    lengths: NDArray[np.float64] = np.maximum(completed - started, 0.0)
    if calendar is None:
        return lengths
    worked = on_duty(calendar, started, completed)
    return np.where(worked > 0, worked, lengths)


def _failures(workflow: Workflow, log: EventLog) -> dict[str, tuple[Failure, ...]]:
    steps = log.steps
    tried = steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED, StepStatus.FAILED])
    failed = steps["status"] == StepStatus.FAILED
    tasks = {node.name for node in all_nodes(workflow) if isinstance(node, Task)}
    attempts = steps[tried]["activity"].astype("str").value_counts()
    kinds = {str(kind) for kind in ErrorClass} - {str(ErrorClass.CANCELLED)}
    rows = steps[failed].astype({"activity": "str"})
    rows["kind"] = rows["error_class"].astype("str").where(rows["error_class"].isin(kinds), str(ErrorClass.TRANSIENT))
    found: dict[str, tuple[Failure, ...]] = {}
    for pair, count in rows.value_counts(["activity", "kind"]).sort_index().items():
        name, kind = (str(part) for part in (pair if isinstance(pair, tuple) else (pair,)))
        if name in tasks:
            found[name] = (*found.get(name, ()), Failure(float(count / attempts[name]), error=ErrorClass(kind)))
    return found
