"""A scenario from a log: what the past says about arrivals, durations, people, branches and failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.distances import distances
from orchkit.analysis.intervals import spans
from orchkit.analysis.measures import seconds_of
from orchkit.errors import ScenarioError
from orchkit.log import EventLog
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.simulation.calendars import DAYS, Calendar
from orchkit.simulation.distributions import Distribution, exponential
from orchkit.simulation.families import Family, best_family
from orchkit.simulation.routes import branch_shares
from orchkit.simulation.scenario import Failure, Profile, Resource, Scenario
from orchkit.simulation.simulate import simulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow

__all__ = ["Fit", "fit", "split_by_time"]

_HOUR_S, _WEEK_H, _DAY_H, _EPOCH_H = 3600.0, 168, 24, 72
_OPEN_IN = 0.1  # an hour of the week is one of duty where a role is at work in this share of its weeks
_ENOUGH_WEEKS = 2.0
_MOST_AT_ONCE = 0.95


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
        `distances` between the cases held out and as many simulated ones: ``distance, value, unit``. Empty where none
        were held out.
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
    people of a role are those who did its tasks, each counted where they work most. Its hours of duty are those of the
    week in which somebody of the role is at work in at least a tenth of the weeks; its count is the 95th percentile of
    the people at work in such an hour. A duration is the part of a step within its role's hours, and its family that
    with the least 1-Wasserstein distance to the sample (see ``families``). A branch's probability is its share of the
    direct successions in the log that pass the gateway; the failure rate of a task is that of its attempts, by class.
    What one cannot see in a log (priorities, batches, patience) is not estimated.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk")])
    >>> truth = ok.Scenario(ok.exponential("30 min"), {"check": ok.uniform("5 min", "15 min")}, {"clerk": 1})
    >>> found = fit(order, ok.simulate(order, truth, cases=2_000, seed=3))
    >>> found.families[["activity", "family"]].values.tolist(), found.scenario.resources["clerk"].count
    ([['check', 'uniform']], 1)
    """
    seen, held_out = split_by_time(log, train)
    roles = _roles(workflow, seen)
    calendars = {role: _calendar(seen, rows) for role, rows in roles.items()}
    families = _families(workflow, seen, calendars)
    resources = {
        role: Resource(_count(seen, rows, calendars[role]), calendar=calendars[role]) for role, rows in roles.items()
    }
    scenario = Scenario(
        arrivals=_arrivals(seen),
        durations={name: family.distribution for name, family in families.items()},
        resources=resources,
        branching=branch_shares(workflow, seen),
        failures=_failures(workflow, seen),
        start=_first(held_out if len(held_out) else seen),
    )
    table = pd.DataFrame(
        [
            (name, one.distribution.family, one.distribution.mean, one.distance_s, one.count)
            for name, one in families.items()
        ],
        columns=["activity", "family", "mean_s", "distance_s", "count"],
    )
    goodness = pd.DataFrame({"distance": [], "value": [], "unit": []})
    if len(held_out):
        goodness = distances(held_out, simulate(workflow, scenario, cases=len(held_out), seed=seed))
    return Fit(scenario, table, goodness, held_out)


def split_by_time(log: EventLog, share: float) -> tuple[EventLog, EventLog]:
    """Return the first cases by their start, and the rest.

    Raises
    ------
    ScenarioError
        The share is not above 0 and at most 1, or the log has fewer than two cases with a start.
    """
    started = seconds_of(log.cases["started"])
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
    started = np.sort(seconds_of(log.cases["started"]))
    span_h = (started[-1] - started[0]) / _HOUR_S
    if span_h < _ENOUGH_WEEKS * _WEEK_H:
        return exponential(max((started[-1] - started[0]) / (len(started) - 1), 1e-3))
    first, last = int(started[0] // _HOUR_S), int(started[-1] // _HOUR_S)
    exposed = np.bincount(_week_hour(np.arange(first, last + 1)), minlength=_WEEK_H)
    counts = np.bincount(_week_hour((started // _HOUR_S).astype(np.int64)), minlength=_WEEK_H)
    return Profile(tuple(float(rate) for rate in counts / exposed))


def _week_hour(hours: NDArray[np.int64]) -> NDArray[np.int64]:
    return (hours + _EPOCH_H) % _WEEK_H


def _roles(workflow: Workflow, log: EventLog) -> dict[str, NDArray[np.bool_]]:
    """Return the steps of each role of the workflow, by those who work in it most."""
    by_task = {node.name: node.role for node in all_nodes(workflow) if isinstance(node, Task) and node.role}
    roles = sorted(set(by_task.values()))
    codes = np.array([roles.index(by_task[name]) if name in by_task else -1 for name in log.activities], dtype=np.int64)
    of_step = codes[log.activity_codes]
    known = (of_step >= 0) & (log.resource_codes >= 0)
    counts = np.zeros((len(log.resources), len(roles)))
    np.add.at(counts, (log.resource_codes[known], of_step[known]), 1)
    home = counts.argmax(axis=1) if roles else np.zeros(len(log.resources), dtype=np.int64)
    return {
        role: known & (home[log.resource_codes] == place)
        for place, role in enumerate(roles)
        if (known & (home[log.resource_codes] == place)).any()
    }


def _presence(log: EventLog, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the hours (since 1970) in which each resource began or ended a step: ``hour, resource``."""
    parts = []
    for name in ("started", "completed"):
        times = seconds_of(log.steps[name])
        there = rows & ~np.isnan(times)
        parts.append(pd.DataFrame({"hour": times[there] // _HOUR_S, "resource": log.resource_codes[there]}))
    return pd.concat(parts).drop_duplicates().astype(np.int64)


def _calendar(log: EventLog, rows: NDArray[np.bool_]) -> Calendar | None:
    """Return the hours of the week in which a role is at work; None for all of them, or too short a log."""
    hours = _presence(log, rows)["hour"].unique()
    weeks = (hours.max() - hours.min()) / _WEEK_H
    if weeks < _ENOUGH_WEEKS:
        return None
    share = np.bincount(_week_hour(hours), minlength=_WEEK_H) / np.ceil(weeks)
    is_open = share >= _OPEN_IN
    if is_open.all() or not is_open.any():
        return None
    return Calendar(
        {
            DAYS[day]: list(_day_spans(is_open.reshape(7, _DAY_H)[day]))
            for day in range(7)
            if is_open.reshape(7, _DAY_H)[day].any()
        }
    )


def _day_spans(is_open: NDArray[np.bool_]) -> Iterator[str]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_open.astype(int), [0]])))
    for begin, end in edges.reshape(-1, 2):
        yield f"{begin:02d}:00-{end:02d}:00"


def _count(log: EventLog, rows: NDArray[np.bool_], calendar: Calendar | None) -> int:
    present = _presence(log, rows)
    per_hour = present.groupby("hour")["resource"].nunique()
    if calendar is None:
        return int(present["resource"].nunique())
    return max(1, round(float(per_hour.quantile(_MOST_AT_ONCE))))


def _families(workflow: Workflow, log: EventLog, calendars: Mapping[str, Calendar | None]) -> dict[str, Family]:
    started, completed = seconds_of(log.steps["started"]), seconds_of(log.steps["completed"])
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
    begin = datetime.fromtimestamp(float(started.min()), UTC)
    end = datetime.fromtimestamp(float(completed.max()), UTC) + timedelta(seconds=1)
    duty = calendar.intervals(begin, end)
    groups = np.zeros(len(duty), dtype=np.int64)
    opens = spans(groups, np.array([a.timestamp() for a, _ in duty]), np.array([b.timestamp() for _, b in duty]))
    worked = opens.within(np.zeros(len(started), dtype=np.int64), started, completed)
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
