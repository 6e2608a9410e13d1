"""Many simulations with a question: a table over assumptions, and the cheapest staffing that meets a target."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, is_dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.analysis.kpis import Figures, figures, mean_interval
from orchkit.errors import ScenarioError, nearest
from orchkit.simulation.progress import Bar
from orchkit.simulation.replications import simulate_quietly
from orchkit.simulation.scenario import Resource, Scenario
from orchkit.simulation.several import several
from orchkit.simulation.targets import Target, read_target

if TYPE_CHECKING:
    from orchkit.model.definition import Workflow
    from orchkit.units import Duration

__all__ = ["Staffing", "staff", "sweep", "with_setting"]

_WEEK_H = 168.0
_LONG_S = 2.0


def sweep(  # noqa: PLR0913 -- the words of simulate, and what is varied
    workflow: Workflow,
    scenario: Scenario,
    settings: Mapping[str, Iterable[Any]],
    *,
    cases: int | None = None,
    until: Duration | None = None,
    replications: int = 10,
    warm_up: Duration = 0,
    seed: int = 0,
    sla: Duration | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Simulate each combination of settings and return its key figures.

    Parameters
    ----------
    workflow, scenario
        What is simulated.
    settings
        By path within the scenario (``resources.clerk``, ``resources.clerk.cost_per_hour``, ``durations.check``,
        ``branching.in_stock``, ``arrivals``) the values to try.
    cases, until, replications, warm_up, seed, executor
        As for `simulate`. All combinations use the same random draws.
    sla
        As for `kpis`; by default the scenario's, else the workflow's.
    progress
        Whether to show a progress bar; None: only if it takes long. Ctrl-C ends the sweep and leaves nothing behind.

    Returns
    -------
    DataFrame
        One row per combination and figure: a column for each setting, then
        ``kpi, value, standard_error, low, high, unit`` as in `kpis`.

    Raises
    ------
    ScenarioError
        A setting that the scenario does not have, or nothing to try.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk")])
    >>> today = ok.Scenario(ok.exponential("10 min"), {"check": ok.exponential("9 min")}, {"clerk": 1})
    >>> table = sweep(order, today, {"resources.clerk": [1, 2]}, cases=200, replications=3)
    >>> waits = table[table["kpi"] == "waiting_time"].set_index("resources.clerk")["value"]
    >>> bool(waits[1] > waits[2])
    True
    """
    tried = _to_try("sweep", settings, "{'resources.clerk': [1, 2, 3]}")
    combinations = [dict(zip(tried, values, strict=True)) for values in itertools.product(*tried.values())]
    scenarios = [_with_settings(scenario, combination) for combination in combinations]
    trial = _Trial(workflow, sla, cases, until, replications, warm_up, seed, executor)
    tables = []
    bar = Bar(scenarios, unit="scenario", delay=0 if progress else _LONG_S, disable=progress is False)
    for combination, changed in zip(combinations, bar, strict=True):
        found = trial.run(changed)
        tables.append(_table(found).assign(**{path: [value] * len(found.units) for path, value in combination.items()}))
    table = pd.concat(tables, ignore_index=True)
    return table[[*tried, *(name for name in table if name not in tried)]]


def _to_try(verb: str, given: Mapping[str, Iterable[Any]], example: str) -> dict[str, list[Any]]:
    """Return what is to be tried, as lists."""
    if not isinstance(given, Mapping):
        message = f"{verb}: give what to try by name, {example}, not {given!r}."
        raise ScenarioError(message)
    tried = {}
    for name, values in given.items():
        listed = several(values)
        if listed is None:
            message = f"{verb}: {name}: give a list of what to try, {example}, not {values!r}."
            raise ScenarioError(message)
        if not listed:
            message = f"{verb}: there is nothing to try for {name!r}. Give at least one value."
            raise ScenarioError(message)
        tried[name] = listed
    return tried


def _sla(workflow: Workflow, scenario: Scenario) -> Duration | None:
    return scenario.sla if scenario.sla is not None else workflow.sla


@dataclass(frozen=True, slots=True)
class _Trial:
    """What all simulations of a study have in common."""

    workflow: Workflow
    sla: Duration | None
    cases: int | None
    until: Duration | None
    replications: int
    warm_up: Duration
    seed: int
    executor: Executor | None

    def run(self, scenario: Scenario) -> Figures:
        """Return the figures of a scenario, by replication."""
        log = simulate_quietly(
            self.workflow,
            scenario,
            cases=self.cases,
            until=self.until,
            replications=self.replications,
            warm_up=self.warm_up,
            seed=self.seed,
            executor=self.executor,
            progress=False,
        )
        return figures(log, self.sla if self.sla is not None else _sla(self.workflow, scenario))


def _table(found: Figures) -> pd.DataFrame:
    rows = []
    for name, unit in found.units.items():
        value, error, half = mean_interval(found.table[name].to_numpy(dtype=float))
        rows.append((name, value, error, value - half, value + half, unit))
    return pd.DataFrame(rows, columns=["kpi", "value", "standard_error", "low", "high", "unit"])


def with_setting(scenario: Scenario, path: str, value: object) -> Scenario:
    """Return a scenario with another value at a path such as ``resources.clerk``; the count, for a role.

    Of a role with members, the first of them are there; who is there beside all of them has their calendars, in turn.

    Examples
    --------
    >>> today = Scenario(resources={"clerk": Resource(2, cost_per_hour=30)})
    >>> with_setting(today, "resources.clerk", 3).resources["clerk"]
    Resource(count=3, cost_per_hour=30)
    """
    changed = _changed(scenario, path.split("."), value, path)
    if not isinstance(changed, Scenario):
        raise TypeError(path)
    return changed


def _with_settings(scenario: Scenario, settings: Mapping[str, object]) -> Scenario:
    for path, value in settings.items():
        scenario = with_setting(scenario, path, value)
    return scenario


def _changed(owner: Any, path: list[str], value: object, whole: str) -> object:  # noqa: ANN401 -- any part
    if not path:
        if isinstance(owner, Resource) and isinstance(value, Integral) and not isinstance(value, bool):
            return _with_count(owner, int(value), whole.rpartition(".")[2])
        return value
    first, *rest = path
    if isinstance(owner, Mapping):
        # Names of nodes may have dots.
        name = next((".".join(path[:size]) for size in range(len(path), 0, -1) if ".".join(path[:size]) in owner), "")
        if not name and rest:
            message = f"{whole!r}: the scenario has no {first!r} there.{nearest(first, owner)}"
            raise ScenarioError(message)
        name = name or first
        left = path[name.count(".") + 1 :]
        return {**owner, name: _changed(owner.get(name), left, value, whole)}
    if isinstance(owner, tuple) and len(owner) == 1:  # the one way to fail
        return (_changed(owner[0], path, value, whole),)
    names = [part.name for part in fields(owner) if part.init] if is_dataclass(owner) else []
    if first not in names:
        message = f"{whole!r}: the scenario has no {first!r} there.{nearest(first, names)}"
        raise ScenarioError(message)
    return replace(owner, **{first: _changed(getattr(owner, first), rest, value, whole)})


def _with_count(resource: Resource, count: int, role: str) -> Resource:
    """Return a role with so many people: the first of its members, then more with their calendars, in turn."""
    names, calendars = list(resource.members), list(resource.members.values())
    if not names:
        return replace(resource, count=count)
    if count < 1:
        return Resource(count)  # which says what is wrong
    numbers = itertools.count(len(names) + 1)
    while len(names) < count:
        name = f"{role}_{next(numbers)}"
        if name not in names:
            names.append(name)
    return replace(resource, members=dict(zip(names[:count], itertools.cycle(calendars), strict=False)))


@dataclass(frozen=True, slots=True)
class Staffing:
    """The cheapest staffing that meets a target, and what was tried.

    Attributes
    ----------
    scenario
        The scenario with that staffing.
    counts
        How many of each role.
    cost_per_week
        What the hours on duty cost; the number of people, if no role has a cost.
    evidence
        One row per staffing that was tried: a column for each role, ``cost_per_week``, ``value`` of the target's
        figure, ``low, high`` (95 %), ``met``, ``tried_for``: ``everybody`` (the most of each role), ``<role> alone``
        (how few of this role are enough, with the most of all others) or ``by cost`` (from the cheapest on).
    target
        As it was given.
    """

    scenario: Scenario
    counts: Mapping[str, int]
    cost_per_week: float
    evidence: pd.DataFrame = field(repr=False)
    target: str

    def _repr_html_(self) -> str:
        return str(self.evidence.to_html(index=False))


def staff(  # noqa: PLR0913 -- the words of simulate, and what is looked for
    workflow: Workflow,
    scenario: Scenario,
    *,
    target: str,
    roles: Mapping[str, Iterable[int]] | None = None,
    most: int = 20,
    cases: int | None = None,
    until: Duration | None = None,
    replications: int = 10,
    warm_up: Duration = 0,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Staffing:
    """Find the cheapest staffing that meets a target.

    Parameters
    ----------
    workflow, scenario
        What is simulated.
    target
        A figure of `kpis`, ``<`` or ``>`` (``<=``, ``>=``), and its limit: ``"p95(cycle_time) < 2 h"``,
        ``"mean(waiting_time) < 10 min"``, ``"sla_breach_rate < 5%"``, ``"throughput > 12"``. Percentiles are of
        ``cycle_time``, ``waiting_time`` and ``processing_time``; a bare name is the mean.
    roles
        The counts to try for each role; by default 1 to ``most`` of each role of the scenario.
    most
        The largest count of a role that is tried, if ``roles`` does not say.
    cases, until, replications, warm_up, seed, executor, progress
        As for `sweep`.

    Returns
    -------
    Staffing
        A staffing meets the target when the whole 95 % interval over the replications does: one that only seems to by
        luck is not taken.

    Raises
    ------
    ScenarioError
        The target cannot be read, or no staffing meets it: the message says how near the best one came.

    Notes
    -----
    More people are assumed never to worsen times, queues, throughput, and rates of breaches and errors. So each role is
    first cut down alone, with all others there: below what it needs then, nothing is tried. The rest is tried in the
    order of cost, so that the first staffing that meets the target is the cheapest; one with no more of any role than
    one that missed is passed over. For other figures (how busy a role is, what a case costs) nothing is assumed: all
    staffings are tried, from the cheapest on.

    If a role has members, a count takes the first of them; people beyond all members have the members' calendars, in
    turn. The cost is that of the hours on duty in a week (people x cost per hour x hours per week). All staffings use
    the same random draws.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk")])
    >>> today = ok.Scenario(ok.exponential("10 min"), {"check": ok.exponential("9 min")}, {"clerk": 1})
    >>> found = staff(order, today, target="mean(waiting_time) < 5 min", cases=500, replications=5)
    >>> found.counts
    {'clerk': 2}
    """
    aim = read_target(target)
    given = roles if roles is not None else dict.fromkeys(scenario.resources, range(1, most + 1))
    ranges = {
        role: sorted({_counted(count, role) for count in counts})
        for role, counts in _to_try("staff", given, "{'clerk': range(1, 6)}").items()
    }
    for role in ranges:
        if role not in scenario.resources:
            message = f"staff: the scenario has no role {role!r}.{nearest(role, scenario.resources)}"
            raise ScenarioError(message)
    if not ranges:
        message = "staff: the scenario has no resources whose count could change. Give it some: resources={'clerk': 1}."
        raise ScenarioError(message)
    trial = _Trial(workflow, None, cases, until, replications, warm_up, seed, executor)
    with Bar(unit="staffing", delay=0 if progress else _LONG_S, disable=progress is False) as bar:
        search = _Search(scenario, aim, trial, bar)
        found = search.cheapest(ranges)
    if found is not None:
        evidence = pd.DataFrame(search.rows)
        return Staffing(_staffed(scenario, found), found, _cost(scenario, found), evidence, target)
    best = min(search.rows, key=lambda row: row["value"] if aim.is_most else -row["value"])
    near = ", ".join(f"{role} {best[role]}" for role in ranges)
    message = (
        f"staff: no staffing meets {target!r}. The nearest ({near}) has {best['value']:.6g}. "
        "Try more people, or another target."
    )
    raise ScenarioError(message)


def _counted(count: object, role: str) -> int:
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        message = f"staff: {role}: a count is a whole number from 1, not {count!r}."
        raise ScenarioError(message)
    return int(count)


@dataclass(slots=True)
class _Search:
    """Staffings that were tried, and what they showed."""

    scenario: Scenario
    aim: Target
    trial: _Trial
    bar: Any
    rows: list[dict[str, Any]] = field(default_factory=list)
    missed: list[dict[str, int]] = field(default_factory=list)

    def cheapest(self, ranges: Mapping[str, list[int]]) -> dict[str, int] | None:
        """Return the cheapest staffing that meets the target; None where none does."""
        most = {role: counts[-1] for role, counts in ranges.items()}
        if not self.aim.gains_by_people:
            return next((counts for counts in self._by_cost(ranges) if self.meets(counts, "by cost")), None)
        if not self.meets(most, "everybody"):
            return None
        # With all others there, a role needs so many at least; fewer cannot do with fewer others either.
        least = {role: self._least(role, counts, most) for role, counts in ranges.items()}
        left = {role: [count for count in counts if count >= least[role]] for role, counts in ranges.items()}
        for counts in self._by_cost(left):
            is_worse = any(all(counts[role] <= worse[role] for role in ranges) for worse in self.missed)
            if not is_worse and self.meets(counts, "by cost"):
                return counts
        return most

    def _by_cost(self, ranges: Mapping[str, list[int]]) -> list[dict[str, int]]:
        return sorted(
            (dict(zip(ranges, counts, strict=True)) for counts in itertools.product(*ranges.values())),
            key=lambda counts: (_cost(self.scenario, counts), sum(counts.values())),
        )

    def _least(self, role: str, counts: list[int], most: Mapping[str, int]) -> int:
        low, high = 0, len(counts) - 1
        while low < high:
            middle = (low + high) // 2
            if self.meets({**most, role: counts[middle]}, f"{role} alone"):
                high = middle
            else:
                low = middle + 1
        return counts[low]

    def meets(self, counts: dict[str, int], tried_for: str) -> bool:
        """Simulate a staffing, keep what it shows, and tell whether it meets the target."""
        for row in self.rows:
            if all(row[role] == count for role, count in counts.items()):
                return bool(row["met"])
        value, _, half = mean_interval(self.aim.values(self.trial.run(_staffed(self.scenario, counts))))
        half = 0.0 if np.isnan(half) else half
        is_met = self.aim.is_met(value - half, value + half)
        figures_of = {"cost_per_week": _cost(self.scenario, counts), "value": value, "low": value - half}
        self.rows.append({**counts, **figures_of, "high": value + half, "met": is_met, "tried_for": tried_for})
        self.bar.update()
        if not is_met:
            self.missed.append(counts)
        return is_met


def _staffed(scenario: Scenario, counts: Mapping[str, int]) -> Scenario:
    return _with_settings(scenario, {f"resources.{role}": count for role, count in counts.items()})


def _cost(scenario: Scenario, counts: Mapping[str, int]) -> float:
    """Return what a week on duty costs; the number of people, where nothing costs."""
    is_free = not any(scenario.resources[role].cost_per_hour for role in counts)
    total = 0.0
    for role, count in counts.items():
        resource = _with_count(scenario.resources[role], count, role)
        calendars = [own or resource.calendar for own in resource.members.values()] or [resource.calendar] * count
        hours = sum(_WEEK_H if calendar is None else calendar.hours_per_week for calendar in calendars)
        total += count if is_free else resource.cost_per_hour * hours
    return total
