"""Load: whether what arrives can be done by those who are there, reckoned from means before anything is simulated."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchkit.model.nodes import Call, ForEach, Gateway, GatewayKind, Scope, Task, While
from orchkit.simulation.distributions import Distribution
from orchkit.simulation.pilot import Work, all_workflows, is_reckoned, needs, work_of
from orchkit.simulation.scenario import Profile, Resource, Scenario
from orchkit.tokens import has_choice, net_of

if TYPE_CHECKING:
    from orchkit.model.definition import Workflow
    from orchkit.simulation.calendars import Calendar
    from orchkit.tokens import Net

__all__ = ["Overload", "ScenarioWarning", "overloads", "rate_of", "warn_of_oddities"]

_WEEK_S = 168 * 3600.0
_ROUNDS = 200
_FEW = 1e-9


class ScenarioWarning(UserWarning):
    """A scenario can be simulated, but is hardly what was meant."""


@dataclass(frozen=True, slots=True)
class Overload:
    """A role that has more to do than it can.

    Attributes
    ----------
    offered_h, available_h
        Hours of work that arrive in a week on average, and hours of duty of all of its resources.
    """

    role: str
    offered_h: float
    available_h: float

    def __str__(self) -> str:
        share = self.offered_h / self.available_h
        return (
            f"resources: {self.role}: {self.offered_h:.4g} hours of work arrive in a week, and there are "
            f"{self.available_h:.4g} hours of duty ({share:.0%}): the queue grows as long as cases arrive. "
            "Give it more people or hours, or fewer cases."
        )


def overloads(workflow: Workflow, scenario: Scenario) -> list[Overload]:
    """Return the roles whose offered load is as great as their capacity, or greater.

    Notes
    -----
    The load is the rate of arrivals, times how often a case visits each task (by the scenario's branching and loops),
    times the mean of its duration. Where more than shares decide (conditions over attributes, failures and what
    follows from them, timeouts, sagas), some cases are played with nobody to wait for, and a role is named only where
    its load is too great beyond doubt. A task whose cases give up waiting is passed over.
    """
    rate = rate_of(scenario)
    if rate is None or not scenario.resources:
        return []
    per_week = rate * _WEEK_S / 3600
    available = {
        role: _available_h(resource)
        for role, resource in scenario.resources.items()
        if resource.queue_limit is None  # who finds it full does not wait
    }
    limits = {role: hours / per_week for role, hours in available.items()}
    return [
        Overload(role, work.mean_s * per_week, available[role])
        for role, work in _work(workflow, scenario, limits).items()
        if role in available and work.least_s * per_week >= available[role] * (1 - 1e-9)
    ]


def _available_h(resource: Resource) -> float:
    calendars = list(resource.members.values()) or [None] * resource.count
    return sum(_hours(calendar or resource.calendar) for calendar in calendars)


def _work(workflow: Workflow, scenario: Scenario, limits: Mapping[str, float]) -> dict[str, Work]:
    """Return the work of each role that a case makes; nothing where it is below the limits in any case."""
    if is_reckoned(workflow, scenario):
        return {role: Work(total, total) for role, total in _sums(workflow, scenario).items()}
    is_bounded = not any(duration.family == "by_resource" for duration in scenario.durations.values())
    if is_bounded and is_reckoned(workflow, replace(scenario, failures={})):  # at most, all attempts are made
        most = _sums(workflow, scenario)
        if all(total < limits.get(role, math.inf) for role, total in most.items()):
            return {}
    return work_of(workflow, scenario)


def _sums(workflow: Workflow, scenario: Scenario) -> dict[str, float]:
    """Return the work of each role that a case makes; where attempts fail, as many as there may be."""
    attempts = max(one.retry.max_attempts for one in all_workflows(workflow))
    sums: dict[str, float] = {}
    for task, visits in _visits(workflow, scenario):
        duration, ways = scenario.durations.get(task.name), scenario.failures.get(task.name, ())
        if duration is None or duration.family == "by_resource":
            continue
        work_s = max([duration.mean, *(way.after.mean for way in ways if way.after is not None)])
        if ways:
            work_s *= attempts if task.retry is None else task.retry.max_attempts
        for role, share in needs(scenario, task).items():
            sums[role] = sums.get(role, 0.0) + visits * share * work_s
    return sums


def warn_of_oddities(workflow: Workflow, scenario: Scenario) -> None:
    """Warn of each name that is in several roles, and of each role that has more to do than it can."""
    for message in (*_doubles(scenario), *map(str, overloads(workflow, scenario))):
        warnings.warn(message, ScenarioWarning, stacklevel=4)


def _doubles(scenario: Scenario) -> Iterator[str]:
    roles: dict[str, list[str]] = {}
    for role, resource in scenario.resources.items():
        for name in resource.members:
            roles.setdefault(name, []).append(role)
    for name, several in roles.items():
        if len(several) > 1:
            yield (
                f"resources: {name!r} is a member of {' and of '.join(several)}: these are simulated as {len(several)} "
                "people, who work at the same time. Give the tasks of both one role, or name each person once."
            )


def _hours(calendar: Calendar | None) -> float:
    return _WEEK_S / 3600 if calendar is None else calendar.hours_per_week


def rate_of(scenario: Scenario) -> float | None:
    """Return how many cases arrive in a second; None where they are counted, or come all at once."""
    match scenario.arrivals:
        case Profile(per_hour):
            return sum(per_hour) / len(per_hour) / 3600
        case Distribution() as between if between.mean > 0:
            return 1 / between.mean
        case _:
            return None


# How often a case visits a task -------------------------------------------------------


def _visits(workflow: Workflow, scenario: Scenario) -> Iterator[tuple[Task, float]]:
    yield from _visits_in(workflow, net_of(workflow.nodes, workflow.flows), 1.0, scenario)


def _visits_in(workflow: Workflow, net: Net, times: float, scenario: Scenario) -> Iterator[tuple[Task, float]]:
    """Yield how often each task of a graph, and of those inside, is visited."""
    visits = _node_visits(net, scenario)
    for number, node in enumerate(net.nodes):
        often = visits[number] * times
        if isinstance(node, Task):
            yield node, often
        elif isinstance(node, Call):
            called = workflow.called(node.workflow)
            if called is not None and often > 0:
                yield from _visits_in(called, net_of(called.nodes, called.flows), often, scenario)
        elif isinstance(node, Scope):
            yield from _visits_in(workflow, net_of(node.nodes, node.flows), often * _rounds(node, scenario), scenario)


def _rounds(scope: Scope, scenario: Scenario) -> float:
    """Return how often the graph inside a scope is gone through, on average."""
    if not isinstance(scope, ForEach | While):
        return 1.0
    loop = scenario.loops[scope.name]
    if loop.items is None:
        return 0.0 if loop.repeat is None else loop.repeat / (1 - loop.repeat) if loop.repeat < 1 else math.inf
    return loop.items.mean


def _node_visits(net: Net, scenario: Scenario) -> list[float]:
    """Return how often each node of a graph is visited in a pass: what flows in, again and again, until it is still."""
    visits = [0.0] * len(net.nodes)
    arriving = [0.0] * len(net.nodes)
    for start in net.starts:
        arriving[start] += 1.0
    for _ in range(_ROUNDS):
        moving, arriving = arriving, [0.0] * len(net.nodes)
        if not any(amount > _FEW for amount in moving):
            break
        for number, amount in enumerate(moving):
            if amount <= 0:
                continue
            node = net.nodes[number]
            # A join lets go on as often as its flows bring tokens, together.
            is_join = isinstance(node, Gateway) and node.kind is GatewayKind.PARALLEL
            count = len(net.incoming[number]) if is_join else 1
            passed = amount / max(1, count)
            visits[number] += passed
            for flow, share in _shares(net, number, scenario):
                arriving[net.target[flow]] += passed * share
    return visits


def _shares(net: Net, number: int, scenario: Scenario) -> Iterator[tuple[int, float]]:
    """Yield the normal flows of a node with the probability that a token takes them."""
    flows = net.outgoing[number]
    node = net.nodes[number]
    given: Mapping[str, float] | None = scenario.branching.get(node.name)
    seen: set[str] = set()
    for flow in flows:
        target = net.flows[flow].target
        if not has_choice(net, number) and net.flows[flow].condition is None:
            yield flow, 1.0
        elif given is not None:
            share = given.get(target)
            if share is None:
                share = max(0.0, 1 - sum(given.values())) if target not in seen else 0.0
            yield flow, share if target not in seen else 0.0
            seen.add(target)
