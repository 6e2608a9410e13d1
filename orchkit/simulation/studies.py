"""Many simulations with a question: a table over assumptions, and the cheapest staffing that meets a target."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from orchkit.analysis.kpis import Figures, figures, mean_interval
from orchkit.errors import ScenarioError, nearest
from orchkit.simulation.scenario import Resource, Scenario
from orchkit.simulation.simulate import simulate
from orchkit.units import Duration, seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow

__all__ = ["Staffing", "staff", "sweep", "with_setting"]

_WEEK_H = 168.0
_LONG_S = 2.0
_TARGET = re.compile(
    r"\s*(?:(?P<of>mean|p\d{1,2})\s*\(\s*(?P<inner>[\w.]+)\s*\)|(?P<plain>[\w.]+))\s*(?P<sign><=|>=|<|>)\s*(?P<limit>.+?)\s*"
)


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
        As for `simulate`. All combinations see the same luck.
    sla
        As for `kpis`; by default the scenario's.
    progress
        Whether a bar is shown; None for: when it takes long. Ctrl-C ends the sweep and leaves nothing behind.

    Returns
    -------
    DataFrame
        A row a combination and figure: a column for each setting, then ``kpi, value, standard_error, low, high, unit``
        as in `kpis`.

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
    tried = {path: list(values) for path, values in settings.items()}
    for path, values in tried.items():
        if not values:
            message = f"sweep: there is nothing to try for {path!r}. Give at least one value."
            raise ScenarioError(message)
    combinations = [dict(zip(tried, values, strict=True)) for values in itertools.product(*tried.values())]
    scenarios = [_with_settings(scenario, combination) for combination in combinations]
    limit = sla if sla is not None else scenario.sla
    tables = []
    delay = 0 if progress else _LONG_S
    for combination, changed in zip(
        combinations,
        tqdm(scenarios, unit="scenario", delay=delay, disable=progress is False),
        strict=True,
    ):
        log = simulate(
            workflow,
            changed,
            cases=cases,
            until=until,
            replications=replications,
            warm_up=warm_up,
            seed=seed,
            executor=executor,
            progress=False,
        )
        found = figures(log, None if limit is None else seconds(limit))
        tables.append(_table(found).assign(**{path: [value] * len(found.units) for path, value in combination.items()}))
    table = pd.concat(tables, ignore_index=True)
    return table[[*tried, *(name for name in table if name not in tried)]]


def _table(found: Figures) -> pd.DataFrame:
    rows = []
    for name, unit in found.units.items():
        value, error, half = mean_interval(found.table[name].to_numpy(dtype=float))
        rows.append((name, value, error, value - half, value + half, unit))
    return pd.DataFrame(rows, columns=["kpi", "value", "standard_error", "low", "high", "unit"])


def with_setting(scenario: Scenario, path: str, value: object) -> Scenario:
    """Return a scenario with another value at a path such as ``resources.clerk``; the count, for a role.

    Examples
    --------
    >>> today = Scenario(resources={"clerk": Resource(2, cost_per_hour=30)})
    >>> with_setting(today, "resources.clerk", 3).resources["clerk"]
    Resource(count=3, calendar=None, cost_per_hour=30, ...)
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
        if isinstance(owner, Resource) and isinstance(value, int) and not isinstance(value, bool):
            return replace(owner, count=value, members={})
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
    names = [part.name for part in fields(owner) if part.init] if is_dataclass(owner) else []
    if first not in names:
        message = f"{whole!r}: the scenario has no {first!r} there.{nearest(first, names)}"
        raise ScenarioError(message)
    return replace(owner, **{first: _changed(getattr(owner, first), rest, value, whole)})


@dataclass(frozen=True, slots=True)
class Staffing:
    """The cheapest staffing that meets a target, and what was tried.

    Attributes
    ----------
    scenario
        With that staffing.
    counts
        By role.
    cost_per_week
        Of the hours on duty; heads, where no role has a cost.
    evidence
        A row a staffing that was tried, the columns: a role each, ``cost_per_week``, ``value`` of the target's figure,
        ``low, high`` (95 %), ``met``.
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


@dataclass(frozen=True, slots=True)
class _Target:
    name: str
    percent: float | None
    is_most: bool
    limit: float

    def values(self, found: Figures) -> NDArray[np.float64]:
        """Return the figure of each replication."""
        if self.percent is None:
            if self.name not in found.table:
                message = f"target: there is no figure {self.name!r}.{nearest(self.name, list(found.units))}"
                raise ScenarioError(message)
            return found.table[self.name].to_numpy(dtype=float)
        columns = {"cycle_time": "cycle_s", "waiting_time": "waiting_s", "processing_time": "processing_s"}
        if self.name not in columns:
            message = f"target: percentiles are of {', '.join(columns)}, not of {self.name!r}."
            raise ScenarioError(message)
        measures = found.measures
        ended = measures.cases["ended"].to_numpy() > 0
        by_replication = measures.cases[columns[self.name]][ended].groupby(measures.replications[ended])
        return by_replication.quantile(self.percent / 100).to_numpy(dtype=float)

    def is_met(self, low: float, high: float) -> bool:
        """Tell whether the whole interval is on the right side."""
        return high < self.limit if self.is_most else low > self.limit


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
        A figure of `kpis` and its limit: ``"p95(cycle_time) < 2 h"``, ``"mean(waiting_time) < 10 min"``,
        ``"sla_breach_rate < 5%"``, ``"throughput > 12"``.
    roles
        The counts to try for each role; by default 1 to ``most`` of each role of the scenario.
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
    Staffings are tried in the order of their cost, so that the first one that meets the target is the cheapest. More
    people are taken never to be worse: a staffing with no more of any role than one that misses the target by its whole
    interval is passed over. The cost is that of the hours on duty in a week (count x cost per hour x hours per week).

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk")])
    >>> today = ok.Scenario(ok.exponential("10 min"), {"check": ok.exponential("9 min")}, {"clerk": 1})
    >>> found = staff(order, today, target="mean(waiting_time) < 5 min", cases=500, replications=5)
    >>> found.counts
    {'clerk': 2}
    """
    aim = _read_target(target)
    ranges = {
        role: sorted(counts)
        for role, counts in (roles or dict.fromkeys(scenario.resources, range(1, most + 1))).items()
    }
    for role in ranges:
        if role not in scenario.resources:
            message = f"staff: the scenario has no role {role!r}.{nearest(role, scenario.resources)}"
            raise ScenarioError(message)
    if not ranges:
        message = "staff: the scenario has no resources whose count could change. Give it some: resources={'clerk': 1}."
        raise ScenarioError(message)
    staffings = sorted(
        (dict(zip(ranges, counts, strict=True)) for counts in itertools.product(*ranges.values())),
        key=lambda counts: (_cost(scenario, counts), sum(counts.values())),
    )
    rows: list[dict[str, Any]] = []
    missed: list[dict[str, int]] = []
    bar = tqdm(unit="staffing", delay=0 if progress else _LONG_S, disable=progress is False)
    with bar:
        for counts in staffings:
            if any(all(counts[role] <= worse[role] for role in ranges) for worse in missed):
                continue
            changed = _with_settings(scenario, {f"resources.{role}": count for role, count in counts.items()})
            log = simulate(
                workflow,
                changed,
                cases=cases,
                until=until,
                replications=replications,
                warm_up=warm_up,
                seed=seed,
                executor=executor,
                progress=False,
            )
            bar.update()
            found = figures(log, None if scenario.sla is None else seconds(scenario.sla))
            value, _, half = mean_interval(aim.values(found))
            half = 0.0 if np.isnan(half) else half
            is_met = aim.is_met(value - half, value + half)
            cost = _cost(scenario, counts)
            rows.append(
                {
                    **counts,
                    "cost_per_week": cost,
                    "value": value,
                    "low": value - half,
                    "high": value + half,
                    "met": is_met,
                }
            )
            if is_met:
                return Staffing(changed, counts, cost, pd.DataFrame(rows), target)
            if (value - half > aim.limit) if aim.is_most else (value + half < aim.limit):
                missed.append(counts)
    best = min(rows, key=lambda row: row["value"] if aim.is_most else -row["value"])
    near = ", ".join(f"{role} {best[role]}" for role in ranges)
    message = (
        f"staff: no staffing meets {target!r}. The nearest ({near}) has {best['value']:.6g}. "
        "Try more people, or another target."
    )
    raise ScenarioError(message)


def _read_target(text: str) -> _Target:
    found = _TARGET.fullmatch(text)
    if found is None:
        message = f"target: {text!r} cannot be read. Write a figure and its limit: 'p95(cycle_time) < 2 h'."
        raise ScenarioError(message)
    name = found["plain"] or found["inner"]
    percent = float(found["of"][1:]) if found["of"] and found["of"] != "mean" else None
    return _Target(name, percent, found["sign"].startswith("<"), _limit(found["limit"], text))


def _limit(limit: str, text: str) -> float:
    try:
        return float(limit[:-1]) / 100 if limit.endswith("%") else float(limit)
    except ValueError:
        pass
    try:
        return seconds(limit)
    except ValueError as error:
        message = f"target: {text!r}: {error}"
        raise ScenarioError(message) from None


def _cost(scenario: Scenario, counts: Mapping[str, int]) -> float:
    """Return what a week on duty costs; the number of people, where nothing costs."""
    is_free = not any(scenario.resources[role].cost_per_hour for role in counts)
    total = 0.0
    for role, count in counts.items():
        resource = scenario.resources[role]
        hours = _WEEK_H if resource.calendar is None else resource.calendar.hours_per_week
        total += count if is_free else count * resource.cost_per_hour * hours
    return total
