"""Load: whether what arrives can be done by those who are there, reckoned from means before anything is simulated."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchkit.model.nodes import Call, ForEach, Gateway, GatewayKind, Scope, Task, While
from orchkit.simulation.distributions import Distribution
from orchkit.simulation.scenario import Profile, Scenario
from orchkit.tokens import has_choice, net_of

if TYPE_CHECKING:
    from orchkit.model.definition import Workflow
    from orchkit.simulation.calendars import Calendar
    from orchkit.tokens import Net

__all__ = ["Overload", "ScenarioWarning", "overloads", "warn_of_overload"]

_WEEK_S = 168 * 3600.0
_ROUNDS = 200
_FEW = 1e-9


class ScenarioWarning(UserWarning):
    """A scenario that can be simulated, but hardly is what was meant."""


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
    times the mean of its duration and of its attempts. Where conditions decide, or a mean is not known, a task is
    passed over, as is one whose cases give up waiting: what is reckoned is at most the load.
    """
    rate = _rate(scenario)
    if rate is None:
        return []
    work: dict[str, float] = {}
    for task, visits in _visits(workflow, scenario):
        for role, seconds in _needed(workflow, scenario, task).items():
            work[role] = work.get(role, 0.0) + visits * seconds
    found = []
    for role, per_case_s in work.items():
        resource = scenario.resources[role]
        if resource.queue_limit is not None:  # who finds it full does not wait
            continue
        calendars = list(resource.members.values()) or [None] * resource.count
        available_h = sum(_hours(calendar or resource.calendar) for calendar in calendars)
        one = Overload(role, rate * per_case_s * _WEEK_S / 3600, available_h)
        if one.offered_h >= one.available_h * (1 - 1e-9):
            found.append(one)
    return found


def warn_of_overload(workflow: Workflow, scenario: Scenario) -> None:
    """Warn of each role that has more to do than it can."""
    for one in overloads(workflow, scenario):
        warnings.warn(str(one), ScenarioWarning, stacklevel=4)


def _hours(calendar: Calendar | None) -> float:
    return _WEEK_S / 3600 if calendar is None else calendar.hours_per_week


def _rate(scenario: Scenario) -> float | None:
    """Return how many cases arrive in a second; None where they are counted, or come all at once."""
    match scenario.arrivals:
        case Profile(per_hour):
            return sum(per_hour) / len(per_hour) / 3600
        case Distribution() as between if between.mean > 0:
            return 1 / between.mean
        case _:
            return None


def _needed(workflow: Workflow, scenario: Scenario, task: Task) -> dict[str, float]:
    """Return the seconds of work that a visit of a task takes, of each role."""
    duration = scenario.durations.get(task.name)
    if (
        duration is None
        or task.name in scenario.patience
        or duration.family in ("by_attribute", "by_resource", "by_previous")
    ):
        return {}
    failing = [way for way in scenario.failures.get(task.name, ()) if way.probability > 0]
    share = sum(way.probability for way in failing)
    mean = (1 - share) * duration.mean
    mean += sum(way.probability * (duration if way.after is None else way.after).mean for way in failing)
    again = sum(way.probability for way in failing if way.error in ("transient", "timeout"))
    most = (task.retry or workflow.retry).max_attempts
    attempts = sum(again**number for number in range(most)) if again < 1 else float(most)
    batch = scenario.batches.get(task.name)
    together = 1 if batch is None else batch.size
    needed = scenario.requires.get(task.name, {} if task.role is None else {task.role: 1})
    if task.timeout_s is not None:
        mean = min(mean, task.timeout_s)
    return {role: count * mean * attempts / together for role, count in needed.items() if role in scenario.resources}


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
    """Return how often the graph inside a scope is gone through, on average, at least."""
    if not isinstance(scope, ForEach | While):
        return 1.0
    loop = scenario.loops.get(scope.name)
    if loop is None:
        items = getattr(scope, "items", "")
        own = scenario.attributes.get(str(items))
        return own.mean if own is not None and own.mean == own.mean else 0.0
    if loop.items is None:
        return 0.0 if loop.repeat is None else loop.repeat / (1 - loop.repeat) if loop.repeat < 1 else math.inf
    return 0.0 if loop.exit else loop.items.mean * (1 - loop.skip)


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
    """Yield the normal flows of a node with the probability that a token takes them; of conditions, none."""
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
        elif isinstance(node, Gateway) and node.kind is GatewayKind.EVENT:
            yield flow, 1 / len(flows)
