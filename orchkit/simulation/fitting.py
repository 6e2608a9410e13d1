"""A scenario from a log: what the past says about arrivals, durations, people, branches and failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.distances import distances
from orchkit.analysis.spans import case_durations_s, moments_s
from orchkit.errors import ScenarioError
from orchkit.log import EventLog, expect_log
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Task
from orchkit.model.states import StepStatus
from orchkit.simulation.calendars import Calendar
from orchkit.simulation.decided import attributes_in, decided_by
from orchkit.simulation.delays import delays_of, worked
from orchkit.simulation.differences import durations_of
from orchkit.simulation.families import Family, best_family
from orchkit.simulation.load import overloads
from orchkit.simulation.loops import loops_of, responses_of
from orchkit.simulation.lowering import lower
from orchkit.simulation.presence import Crew, crew_of, roles_of
from orchkit.simulation.rates import arrivals_in
from orchkit.simulation.repeats import failures_of, retry_notes
from orchkit.simulation.replications import simulate_quietly
from orchkit.simulation.routes import branch_shares
from orchkit.simulation.scenario import Resource, Scenario
from orchkit.simulation.starts import with_starts
from orchkit.simulation.teams import teams_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow

__all__ = ["Fit", "fit", "split_by_time"]

_MOST = 0.95
_AS_MANY_BEFORE = 3  # times the cases held out: enough that as many arrive after those that came before
_SPARE = 0.1  # a role that is busy all the time has a queue without end
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
        the log, as the cases were, and begins before them, so that they do not find all idle. Empty where none were
        held out.
    held_out
        The last cases by time.
    notes
        What was taken for granted, or not found, a sentence each.
    """

    scenario: Scenario = field(repr=False)
    families: pd.DataFrame = field(repr=False)
    goodness: pd.DataFrame = field(repr=False)
    held_out: EventLog = field(repr=False)
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return str(self.families.to_html(index=False)) + str(self.goodness.to_html(index=False)) + notes


def fit(workflow: Workflow, log: EventLog, *, train: float = 0.7, seed: int = 0) -> Fit:
    """Estimate a scenario from a log, and try it on the cases that it has not seen.

    Parameters
    ----------
    workflow
        What the log's cases went through; its tasks have the names of the log's activities.
    log
        With starts and ends of steps. Where it has ends only, starts are guessed (see ``notes`` of what is returned).
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
    Arrivals are a Poisson process with as much of the week's shape as the cases tell, or have a family of their own
    (see ``rates``). The people of a role are those who did its tasks, each counted where they work most; where they
    work in different hours, they are shifts with hours of their own (see ``presence``, ``hours``). A duration is the
    part of a step within the hours of who did it, and its family that with the least 1-Wasserstein distance to the
    sample (see ``families``), by resource where people differ (see ``differences``).

    What goes by between steps and is no queue is a delay, by the step before and in the hours of the role (see
    ``delays``). Where the log does not say when steps could begin, a gap during which the resource was at another step
    may be a queue or not: both are simulated, and what comes nearer to the log's cycle times is taken. A loop goes
    around as often as its steps follow one another; a wait takes as long as it did. A branch's probability is its
    share of the direct successions in the log that pass the gateway; the failure rate of a task is that of its
    attempts, by class. Attributes of the log's cases are drawn as whole rows; where a gateway's own conditions over
    them give the shares that were counted (to 5 %), the conditions decide. Tasks without a role in the workflow are
    given to teams, by who does them (see ``teams``). Where more work arrives than a role can do, it gets more people,
    if that brings cycle times nearer to the log's than a queue that grows. What one cannot see in a log (priorities,
    batches, patience) is not estimated.

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
    log, notes = with_starts(log)
    seen, held_out = split_by_time(log, train)
    teams = teams_of(workflow, seen)
    by_task = {**_roles(workflow), **teams}
    crews = {role: crew_of(seen, rows) for role, rows in roles_of(by_task, seen).items()}
    calendars = {task: crews[role].calendar for task, role in by_task.items() if role in crews}
    worked_s = _worked(seen, crews, calendars)
    families = _families(workflow, seen, worked_s)
    durations, named = durations_of(seen, families, by_task, crews, worked_s)
    scenario = Scenario(
        arrivals=arrivals_in(_begun(seen)),
        durations=durations,
        resources={role: crew.as_resource(role, seen.resources, by_name=role in named) for role, crew in crews.items()},
        requires={task: {team: 1} for task, team in teams.items() if team in crews},
        branching=branch_shares(workflow, seen),
        attributes=attributes_in(seen),
        failures=failures_of(workflow, seen),
        loops=loops_of(workflow, seen),
        waits=responses_of(workflow, seen),
        start=_first(seen),
    )
    scenario = _with_conditions(workflow, scenario)
    scenario, raised = _nearest(workflow, scenario, seen, calendars, seed)
    scenario = replace(scenario, start=_first(held_out if len(held_out) else seen))
    table = pd.DataFrame(
        [
            (name, one.distribution.family, one.distribution.mean, one.distance_s, one.count)
            for name, one in families.items()
        ],
        columns=["activity", "family", "mean_s", "distance_s", "count"],
    )
    goodness = _goodness(workflow, scenario, seen, held_out, seed)
    return Fit(scenario, table, goodness, held_out, (*notes, *raised, *retry_notes(workflow, seen)))


def _roles(workflow: Workflow) -> dict[str, str]:
    return {node.name: node.role for node in all_nodes(workflow) if isinstance(node, Task) and node.role}


def _with_conditions(workflow: Workflow, scenario: Scenario) -> Scenario:
    """Return the scenario without the shares of choices that the attributes decide."""
    decided = decided_by(workflow, scenario.attributes, scenario.branching)
    shares = {name: own for name, own in scenario.branching.items() if name not in decided}
    changed = replace(scenario, branching=shares)
    try:
        lower(workflow, changed)
    except ScenarioError:  # a condition that the kernel cannot tell from such attributes
        return scenario
    return changed


def _nearest(
    workflow: Workflow, scenario: Scenario, seen: EventLog, calendars: Mapping[str, Calendar | None], seed: int
) -> tuple[Scenario, list[str]]:
    """Return the scenario with the delays and hands that bring its cycle times nearest to the log's, and notes.

    Where the log does not say when steps could begin, a gap may be a queue or a delay; where more work arrives than
    those at work can do, there may be more people than were seen, or a queue that grew in the log as well.
    """
    recorded = seen.steps["enabled"].notna().any()
    queues = (False,) if recorded else (True, False)
    delays = [delays_of(workflow, seen, calendars, less_busy=less_busy) for less_busy in queues]
    resources, notes = _raised(workflow, scenario)
    tried = [replace(scenario, delays=one) for place, one in enumerate(delays) if one not in delays[:place]]
    if notes:
        tried += [replace(one, resources=resources) for one in tried]
    if len(tried) == 1:
        return tried[0], []
    away = [
        _cycle_distance(seen, simulate_quietly(workflow, one, cases=len(seen), seed=seed, progress=False))
        for one in tried
    ]
    best = tried[int(np.nanargmin(away))] if not np.isnan(away).all() else tried[-1]
    return best, notes if best.resources is resources else []


def _raised(workflow: Workflow, scenario: Scenario) -> tuple[dict[str, Resource], list[str]]:
    """Return the resources with as many people as their work needs, and a note of each role that had too few."""
    resources, notes = dict(scenario.resources), []
    for one in overloads(workflow, scenario):
        had = resources[one.role]
        count = math.ceil(had.count * one.offered_h / one.available_h * (1 + _SPARE))
        more = {f"{one.role}_{number}": None for number in range(had.count + 1, count + 1)} if had.members else {}
        resources[one.role] = replace(had, count=count, members={**had.members, **more})
        notes.append(
            f"{one.role}: {had.count} were seen at work at a time, whose hours would not do for the work of the log "
            f"({one.offered_h:.4g} h a week, of {one.available_h:.4g}): {count} are assumed."
        )
    return resources, notes


def _cycle_distance(log: EventLog, other: EventLog) -> float:
    found = distances(log, other).set_index("distance")["value"]
    return float(found["cycle_time"])


def _goodness(workflow: Workflow, scenario: Scenario, seen: EventLog, held_out: EventLog, seed: int) -> pd.DataFrame:
    """Return the distances of the cases held out to as many simulated ones, and beside them to those of the past."""
    if not len(held_out):
        return pd.DataFrame({"distance": [], "value": [], "past": [], "unit": []})
    table = distances(held_out, _observed(workflow, scenario, seen, held_out, seed))
    past = distances(held_out, seen)["value"].where(~table["distance"].isin(_ABSOLUTE))
    table.insert(2, "past", past)
    return table


def _observed(workflow: Workflow, scenario: Scenario, seen: EventLog, log: EventLog, seed: int) -> EventLog:
    """Simulate as many cases as a log has, and look at them as long as the log does.

    So that they do not find all idle, others arrive before, for as long as most cases took in the past.
    """
    first_s, last_s = scenario.start.timestamp(), max(_last_s(log, name) for name in ("started", "completed"))
    lengths = case_durations_s(seen)
    before_s = float(np.quantile(lengths[~np.isnan(lengths)], _MOST)) if (~np.isnan(lengths)).any() else 0.0
    before_s = min(before_s, float(np.ptp(_begun(log))))
    simulated = simulate_quietly(
        workflow,
        replace(scenario, start=scenario.start - timedelta(seconds=before_s)),
        cases=len(log) * _AS_MANY_BEFORE,
        until=last_s - first_s + before_s,
        warm_up=before_s,
        seed=seed,
        progress=False,
    )
    order = np.argsort(moments_s(simulated.cases["started"]), kind="stable")
    simulated = _part(simulated, order[: len(log)])
    steps = simulated.steps
    if log.cases["completed"].isna().any() or steps["completed"].notna().all():
        return simulated
    # A log that knows no open cases takes what it has seen of them for the whole.
    return EventLog(steps[steps["completed"].notna()])


def _last_s(log: EventLog, name: str) -> float:
    times = moments_s(log.steps[name])
    return float(times[~np.isnan(times)].max(initial=-np.inf))


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


def _begun(log: EventLog) -> NDArray[np.float64]:
    started = moments_s(log.cases["started"])
    return started[~np.isnan(started)]


def _families(workflow: Workflow, log: EventLog, worked_s: NDArray[np.float64]) -> dict[str, Family]:
    known = ~np.isnan(worked_s)
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
        found[node.name] = best_family(worked_s[rows])
    return found


def _worked(log: EventLog, crews: Mapping[str, Crew], calendars: Mapping[str, Calendar | None]) -> NDArray[np.float64]:
    """Return how long each step that was done took of the hours of who did it; missing where that is not known."""
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    is_done = log.steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED]).to_numpy()
    done = is_done & ~np.isnan(started) & ~np.isnan(completed)
    own = {int(code): shift.calendar for crew in crews.values() for shift in crew.shifts for code in shift.people}
    of_task = {code: calendars.get(str(name)) for code, name in enumerate(log.activities)}
    lengths = np.full(len(started), np.nan)
    pairs = log.activity_codes.astype(np.int64) * (len(log.resources) + 1) + log.resource_codes + 1
    hours: dict[Calendar | None, list[int]] = {}
    for pair in np.unique(pairs[done]).tolist():
        activity, resource = divmod(pair, len(log.resources) + 1)
        calendar = own.get(resource - 1, of_task[activity])
        hours.setdefault(calendar, []).append(pair)
    for calendar, found in hours.items():
        rows = done & np.isin(pairs, found)
        lengths[rows] = worked(calendar, started[rows], completed[rows])
    return lengths
