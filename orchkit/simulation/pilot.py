"""Pilot: a few cases of a scenario, played with nobody to wait for, to see how much work a case makes.

What a case does is known beforehand only where shares decide all of it. Conditions over attributes, retries that run
out, timeouts, sagas and free loops are easier played than reckoned.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.spans import moments_s
from orchkit.errors import ScenarioError
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Activity, Call, FlowKind, ForEach, Gateway, GatewayKind, Scope, Task, Wait, While
from orchkit.simulation.distributions import Distribution, constant
from orchkit.tokens import has_choice, net_of

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.model.nodes import Flow, Node
    from orchkit.simulation.scenario import Scenario

__all__ = ["Work", "all_workflows", "is_reckoned", "needs", "work_of"]

_FIRST, _MOST, _STEPS = 8, 1_000, 40_000
_SURE = 2.6  # standard errors, of 99 % on both sides


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of work that a case makes, by role.

    Attributes
    ----------
    mean_s
        Over the cases that were played.
    least_s
        The lower end of its 99 % interval.
    """

    mean_s: float
    least_s: float


def is_reckoned(workflow: Workflow, scenario: Scenario) -> bool:
    """Return whether shares and means tell how much work a case makes, so that nothing has to be played."""
    graphs = [(workflow.nodes, workflow.flows)]
    seen = {workflow.digest}
    while graphs:
        nodes, flows = graphs.pop()
        if any(flow.kind is not FlowKind.NORMAL for flow in flows) or not _is_shared(nodes, flows, scenario):
            return False
        for node in nodes:
            if not _is_plain(node, scenario):
                return False
            if isinstance(node, Scope):
                graphs.append((node.nodes, node.flows))
            if isinstance(node, Call):
                called = workflow.called(node.workflow)
                if called is not None and called.digest not in seen:
                    seen.add(called.digest)
                    graphs.append((called.nodes, called.flows))
    return True


def _is_shared(nodes: tuple[Node, ...], flows: tuple[Flow, ...], scenario: Scenario) -> bool:
    net = net_of(nodes, flows)
    return all(
        node.name in scenario.branching
        for number, node in enumerate(net.nodes)
        if has_choice(net, number) or any(net.flows[flow].condition is not None for flow in net.outgoing[number])
    )


def _is_plain(node: Node, scenario: Scenario) -> bool:
    if isinstance(node, Activity) and (node.timeout_s is not None or isinstance(node.compensate, Task)):
        return False
    match node:
        case Task(name=name):
            duration = scenario.durations.get(name)
            composed = duration is not None and duration.family == "by_attribute"
            return node.deadline_s is None and name not in scenario.failures and not composed
        case Wait(name=name):
            response = scenario.waits.get(name)
            return response is None or not (response.never or response.fails)
        case ForEach(name=name) | While(name=name):
            loop = scenario.loops.get(name)
            return loop is not None and not (loop.exit or loop.skip)
        case Gateway():
            return node.kind is not GatewayKind.EVENT
        case _:
            return True


def needs(scenario: Scenario, task: Task) -> dict[str, float]:
    """Return how much of each role's time a second of a task's work takes; nothing where those who wait may leave."""
    if task.name in scenario.patience:
        return {}
    batch = scenario.batches.get(task.name)
    together = 1 if batch is None else batch.size
    needed: Mapping[str, int] = scenario.requires.get(task.name, {} if task.role is None else {task.role: 1})
    return {role: count / together for role, count in needed.items() if role in scenario.resources}


def work_of(workflow: Workflow, scenario: Scenario) -> dict[str, Work]:
    """Return how much work of each role a case makes; nothing where no case can be played."""
    alone = replace(
        scenario,
        resources={},
        requires={},
        patience={},
        batches={},
        setups={},
        priorities={},
        delays={},
        by_clock=(),
        durations={name: _least(duration) for name, duration in scenario.durations.items()},
    )
    try:
        log = _played(workflow, alone, _FIRST)
        count = min(_MOST, _FIRST * _STEPS // max(1, len(log.case_codes)))
        log = _played(workflow, alone, count) if count > _FIRST else log
    except ScenarioError:  # the simulation itself says what is wrong
        return {}
    lengths = np.nan_to_num(moments_s(log.steps["completed"]) - moments_s(log.steps["started"]))
    tasks = {node.name: node for one in all_workflows(workflow) for node in all_nodes(one) if isinstance(node, Task)}
    by_role: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for code, name in enumerate(log.activities):
        rows = log.activity_codes == code
        for role, share in needs(scenario, tasks[name]).items() if name in tasks else ():
            work = np.bincount(log.case_codes[rows], lengths[rows] * share, minlength=len(log))
            by_role[role] = by_role.get(role, np.zeros(len(log))) + work
    return {
        role: Work(float(work.mean()), float(work.mean() - _SURE * work.std() / len(work) ** 0.5))
        for role, work in by_role.items()
    }


def _played(workflow: Workflow, scenario: Scenario, cases: int) -> EventLog:
    from orchkit.simulation.replications import simulate_quietly  # noqa: PLC0415 -- which asks for the load itself

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return simulate_quietly(workflow, scenario, cases=cases, progress=False)


def _least(duration: Distribution) -> Distribution:
    """Return a distribution without resources: of whoever is quickest."""
    parts = [*duration.parts.values(), *([duration.otherwise] if duration.otherwise is not None else [])]
    if duration.family == "by_resource":
        return constant(min(_least(part).mean for part in parts))
    return replace(
        duration,
        parts={key: _least(part) for key, part in duration.parts.items()},
        otherwise=None if duration.otherwise is None else _least(duration.otherwise),
    )


def all_workflows(workflow: Workflow) -> Iterator[Workflow]:
    """Yield a workflow, and those that it calls."""
    seen, waiting = set[str](), [workflow]
    while waiting:
        one = waiting.pop()
        if one.digest not in seen:
            seen.add(one.digest)
            waiting += one.workflows
            yield one
