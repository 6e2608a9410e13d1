"""A scenario from a log: what the past says about arrivals, durations, people, branches and failures."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.distances import distances
from orchkit.analysis.spans import moments_s
from orchkit.errors import ScenarioError, nearest
from orchkit.log import EventLog, expect_log
from orchkit.model.definition import all_nodes, check_kind
from orchkit.model.nodes import Task
from orchkit.model.states import StepStatus
from orchkit.simulation.admission import known_steps, one_replication
from orchkit.simulation.calendars import Calendar, zone_of
from orchkit.simulation.choices import shares_of
from orchkit.simulation.clocks import by_clock
from orchkit.simulation.decided import attributes_in, decided_by
from orchkit.simulation.delays import delays_of, worked
from orchkit.simulation.differences import durations_of
from orchkit.simulation.families import Family, best_family
from orchkit.simulation.gatherings import batches_of
from orchkit.simulation.load import overloads
from orchkit.simulation.loops import loops_of, responses_of
from orchkit.simulation.lowering import lower
from orchkit.simulation.nameless import with_people
from orchkit.simulation.presence import Crew, crew_of, roles_of
from orchkit.simulation.rates import arrivals_in
from orchkit.simulation.repeats import failures_of, retries_of
from orchkit.simulation.replications import simulate_quietly
from orchkit.simulation.scenario import Resource, Scenario
from orchkit.simulation.starts import with_starts, without_starts
from orchkit.simulation.teams import teams_of
from orchkit.simulation.trial import arrived_s, goodness_of, split_by_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow

__all__ = ["Fit", "fit"]

_NAMED = 5
_CLEARLY = 1.25
_SPARE = 0.1  # a role that is busy all the time has a queue without end


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted scenario, and how well it predicts the cases that were held out.

    Attributes
    ----------
    scenario
        The scenario, for `simulate`.
    families
        One row per task: ``activity, family, mean_s, distance_s, count``.
    goodness
        The `distances` between the cases held out and as many simulated ones: ``distance, value, past, unit``. ``past``
        is the distance between the cases held out and those before: a simulation can hardly come nearer. It is missing
        for distances that compare clock times, since the two lie at different times. The simulation begins before the
        cases held out, so that they do not find all resources idle, and is observed until the end of the log. Empty if
        no cases were held out.
    held_out
        The last cases by time.
    notes
        What was assumed, or not found, one sentence each.
    """

    scenario: Scenario = field(repr=False)
    families: pd.DataFrame = field(repr=False)
    goodness: pd.DataFrame = field(repr=False)
    held_out: EventLog = field(repr=False)
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return str(self.families.to_html(index=False)) + str(self.goodness.to_html(index=False)) + notes


def fit(workflow: Workflow, log: EventLog, *, train: float = 0.7, seed: int = 0, timezone: str = "UTC") -> Fit:
    """Estimate a scenario from a log, and test it on cases that were held out.

    Parameters
    ----------
    workflow
        What the log's cases went through; its tasks have the names of the log's activities.
    log
        With starts and ends of steps. If it has only ends, starts are guessed, and ``notes`` of the result say how.
    train
        The share of cases, the first by their start, from which the scenario is estimated; the rest is held out.
    seed
        Of the simulation for the goodness of fit.
    timezone
        In which people have their hours, such as ``"Europe/Rome"``: where the clock is changed, these are not the same
        in UTC all year. (The week of arrivals is one of UTC.)

    Returns
    -------
    Fit
        ``.scenario`` goes to `simulate`.

    Raises
    ------
    ScenarioError
        Too few cases, a task that the log does not have, or no such time zone.

    Notes
    -----
    Arrivals are a Poisson process with as much of the week's shape as the cases support, or a distribution of the time
    between cases (see ``rates``). The people of a role are those who did its tasks, each counted where they work most;
    where they work in different hours, they are shifts with hours of their own (see ``presence``, ``hours``); somebody
    who does several steps at a time counts as so many people. If the log names nobody, there are as many as were ever
    at work at a time (see ``nameless``). A duration is the part of a step within the hours of the resource that did it.
    Its family is the one with the least 1-Wasserstein distance to the sample (see ``families``), by resource where
    people differ (see ``differences``).

    Time between steps that is not spent in a queue is a delay, which depends on the step before and passes in the hours
    of the role (see ``delays``), or by the clock if many steps begin as soon as somebody is back (see ``clocks``). Time
    after a step was enabled counts as queueing; if the log does not say when a step was enabled, so does the time
    during which its resource was still at another step. It counts as delay after all if a simulation shows that cycle
    times are then clearly nearer to the log's. A loop repeats as often as its steps follow one another; a wait takes as
    long as it did. The probability of a branch is its share when the cases are played through the workflow (see
    ``choices``). The failure rate of a task is that of its attempts, by class; retries follow the workflow, unless
    those of the log differ (see ``repeats``). Attributes of the log's cases are drawn as whole rows; where a gateway's
    own conditions over them give the shares that were counted (to 5 %), the conditions decide. Tasks without a role in
    the workflow are given to teams, by who does them (see ``teams``). If more work arrives than a role can do, the role
    gets more people, provided that this brings cycle times nearer to the log's than a growing queue does. Steps that
    one resource begins and ends together are batches (see ``gatherings``). What a log does not show (priorities,
    patience) is not estimated.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk")])
    >>> truth = ok.Scenario(ok.exponential("30 min"), {"check": ok.uniform("5 min", "15 min")}, {"clerk": 1})
    >>> found = fit(order, ok.simulate(order, truth, cases=2_000, seed=3))
    >>> found.families[["activity", "family"]].values.tolist(), found.scenario.resources["clerk"].count
    ([['check', 'uniform']], 1)
    """
    check_kind(workflow, "fit")
    zone_of(timezone, "fit")
    guessed = without_starts(one_replication(expect_log(log, "fit")))
    log, starts = with_starts(log)
    known, passed_over = known_steps(workflow, log)
    seen, _ = split_by_time(known, train)
    _, held_out = split_by_time(log, train)
    roles = {node.name: node.role for node in all_nodes(workflow) if isinstance(node, Task) and node.role}
    seen, nameless = with_people(seen, roles)
    teams = teams_of(workflow, seen)
    by_task = {**roles, **teams}
    nameless = {teams.get(name, name) for name in nameless}
    crews = _crews(seen, by_task, guessed, nameless, set(roles.values()), timezone)
    calendars = {task: crews[role].calendar for task, role in by_task.items() if role in crews}
    worked_s = _worked(seen, crews, calendars)
    families, borrowed = _families(workflow, known, seen, worked_s)
    durations, named = durations_of(seen, families, by_task, crews, worked_s)
    retries, retried = retries_of(workflow, seen)
    scenario = Scenario(
        arrivals=arrivals_in(arrived_s(seen)),
        durations=durations,
        resources={role: crew.as_resource(role, seen.resources, by_name=role in named) for role, crew in crews.items()},
        requires={task: {team: 1} for task, team in teams.items() if team in crews},
        branching=shares_of(workflow, seen),
        attributes=attributes_in(seen),
        failures=failures_of(workflow, seen),
        retries=retries,
        batches=batches_of(workflow, seen),
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
    goodness, short = goodness_of(workflow, scenario, seen, held_out, seed)
    notes = (*starts, *passed_over, *_hands(crews, nameless), *borrowed, *raised, *retried, *short)
    return Fit(scenario, table, goodness, held_out, notes)


def _crews(
    log: EventLog,
    by_task: Mapping[str, str],
    guessed: Container[str],
    nameless: Container[str],
    said: Container[str],
    timezone: str,
) -> dict[str, Crew]:
    """Return the people of each role; a team that nobody names, and has no hours, may as well be a machine."""
    roles = roles_of(by_task, log)
    found = {
        role: crew_of(log, rows, guessed, is_nameless=role in nameless, timezone=timezone)
        for role, rows in roles.items()
    }
    return {role: crew for role, crew in found.items() if role not in nameless or role in said or crew.calendar}


def _hands(crews: Mapping[str, Crew], nameless: Container[str]) -> list[str]:
    """Return notes of who is not named, and of who does several steps at a time."""
    notes = []
    if unknown := sorted(role for role in crews if role in nameless):
        notes.append(
            f"The log does not say who {', '.join(unknown[:_NAMED])}{' …' if len(unknown) > _NAMED else ''} are: as "
            "many are assumed as were ever at work at a time, in the hours in which somebody was."
        )
    people = {role: sum(len(shift.people) for shift in crew.shifts) for role, crew in crews.items()}
    several = [role for role, crew in crews.items() if role not in nameless and crew.count > people[role]]
    return notes + [
        f"{role}: people were seen to do several steps at a time: {people[role]} count as {crews[role].count}."
        for role in several
    ]


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

    A gap before a step may be a queue or a delay, also after the moment at which the log says that it was enabled: who
    would take it may not be meant to do so at once. Where more work arrives than those at work can do, there may be
    more people than were seen, or a queue that grew in the log as well.
    """
    ways = [(True, False), (False, False)]
    if seen.steps["enabled"].notna().any():
        ways.insert(0, (True, True))
    tried: list[Scenario] = []
    clocks = by_clock(seen, calendars)
    for ready in (clocks, {}) if clocks else ({},):
        for less_busy, until_enabled in ways:
            delays = delays_of(
                workflow, seen, calendars, less_busy=less_busy, until_enabled=until_enabled, by_clock=ready
            )
            if not seen.steps["enabled"].notna().any():  # steps wait for each other, and nothing tells since when
                delays = {task: own for task, own in delays.items() if task not in scenario.batches}
            one = replace(scenario, delays=delays, by_clock=tuple(task for task in ready if task in delays))
            if one not in tried:
                tried.append(one)
    resources, notes = _raised(workflow, scenario)
    if notes:
        tried += [replace(one, resources=resources) for one in tried]
    if len(tried) == 1:
        return tried[0], []
    away = [
        _cycle_distance(seen, simulate_quietly(workflow, one, cases=len(seen), seed=seed, progress=False))
        for one in tried
    ]
    # What the log tells is left only for what is clearly nearer.
    best = tried[min(range(len(tried)), key=lambda place: away[place] * (_CLEARLY if place else 1))]
    return best, notes if best.resources == resources else []


def _raised(workflow: Workflow, scenario: Scenario) -> tuple[dict[str, Resource], list[str]]:
    """Return the resources with as many people as their work needs, and a note of each role that had too few."""
    resources, notes = dict(scenario.resources), []
    for one in overloads(workflow, scenario):
        had = resources[one.role]
        count = math.ceil(had.count * one.offered_h / one.available_h * (1 + _SPARE))
        more = {f"{one.role}_{number}": None for number in range(had.count + 1, count + 1)} if had.members else {}
        resources[one.role] = replace(had, count=count, members={**had.members, **more})
        notes.append(
            f"{one.role}: {had.count} were seen at work at a time, and their hours are too few for the work of the log "
            f"({one.offered_h:.4g} h a week, of {one.available_h:.4g}): {count} are assumed."
        )
    return resources, notes


def _cycle_distance(log: EventLog, other: EventLog) -> float:
    found = distances(log, other).set_index("distance")["value"]
    return float(found.fillna(0)["cycle_time"])


def _first(log: EventLog) -> datetime:
    moment: datetime = log.cases["started"].min().floor("h").to_pydatetime()
    return moment.astimezone(UTC)


def _families(
    workflow: Workflow, log: EventLog, seen: EventLog, worked_s: NDArray[np.float64]
) -> tuple[dict[str, Family], list[str]]:
    """Return the family of each task, and a note of each that only the cases held out have."""
    known = ~np.isnan(worked_s)
    names = {name: code for code, name in enumerate(seen.activities)}
    found, notes = dict[str, Family](), []
    for node in all_nodes(workflow):
        if not isinstance(node, Task):
            continue
        lengths = worked_s[known & (seen.activity_codes == names.get(node.name, -1))]
        if not len(lengths):
            lengths = _lengths(log, node.name)
            notes.append(f"{node.name}: the first cases do not have it; how long it takes is what the last ones say.")
        if not len(lengths):
            names_seen = [str(name) for name in log.activities]
            hint = "" if node.name in names_seen else nearest(node.name, names_seen)
            message = (
                f"fit: the log has no completed step of the task {node.name!r} with a start and an end. "
                f"Activities of the log: {', '.join(names_seen[:10])}.{hint} "
                "Give the task the name of its activity, or fit a workflow without it."
            )
            raise ScenarioError(message, node=node.name)
        found[node.name] = best_family(lengths)
    return found, notes


def _lengths(log: EventLog, activity: str) -> NDArray[np.float64]:
    steps = log.steps[(log.steps["activity"] == activity) & (log.steps["status"] == StepStatus.COMPLETED)]
    lengths = moments_s(steps["completed"]) - moments_s(steps["started"])
    return np.maximum(lengths[~np.isnan(lengths)], 0.0)


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
