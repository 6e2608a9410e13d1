"""The names that a scenario uses, held against those of the workflow."""

from __future__ import annotations

from collections.abc import Iterable

from orchkit.errors import ScenarioError, nearest
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Activity, ForEach, Gateway, Scope, Task, Wait, While
from orchkit.simulation.scenario import Scenario

__all__ = ["check_names"]


def check_names(workflow: Workflow, scenario: Scenario, others: Iterable[Workflow] = ()) -> None:
    """Refuse a scenario that names what is not in the workflow.

    Raises
    ------
    ScenarioError
        It names the part of the scenario, and the nearest name there is.
    """
    nodes = {node.name: node for one in _all_workflows(workflow, *others) for node in all_nodes(one)}
    wanted: dict[str, type | tuple[type, ...]] = {
        "durations": (Task, Wait),
        "failures": Task,
        "retries": Task,
        "delays": Task,
        "patience": Task,
        "batches": Task,
        "setups": Task,
        "priorities": Task,
        "requires": Task,
        "waits": Wait,
        "loops": (ForEach, While),
        "branching": (Gateway, Activity),
    }
    for part, kinds in wanted.items():
        fitting = [name for name, node in nodes.items() if isinstance(node, kinds)]
        for name in getattr(scenario, part):
            if name not in fitting:
                what = "no node" if name not in nodes else "another kind of node, not one that this is for"
                message = f"{part}: {name!r} is {what} of {workflow.name!r}.{nearest(name, fitting)}"
                raise ScenarioError(message, node=name)
    for name in scenario.by_clock:
        if name not in scenario.delays:
            message = (
                f"by_clock: {name!r} has no delay.{nearest(name, scenario.delays)} Give it one: delays={{{name!r}: …}}."
            )
            raise ScenarioError(message, node=name)
    _check_ways(workflow, scenario, others)
    for node in nodes.values():
        if isinstance(node, Activity) and isinstance(node.compensate, Task) and node.compensate.name in scenario.delays:
            undo = node.compensate.name
            message = f"delays: {undo!r} undoes {node.name!r}: a compensation begins at once and has no delay."
            raise ScenarioError(message, node=undo)
    roles = {node.role for node in nodes.values() if isinstance(node, Task) and node.role is not None}
    _check_requires(scenario, roles)
    roles |= {role for needed in scenario.requires.values() for role in needed}
    for role in scenario.resources:
        if role not in roles:
            hint = nearest(role, roles) or f" Roles of its tasks: {', '.join(sorted(roles)) or 'none'}."
            message = f"resources: no task of {workflow.name!r} has the role {role!r}.{hint}"
            raise ScenarioError(message)


def _check_ways(workflow: Workflow, scenario: Scenario, others: Iterable[Workflow]) -> None:
    """Refuse shares of ways that no flow goes."""
    ways: dict[str, set[str]] = {}
    for one in _all_workflows(workflow, *others):
        inner = (flow for node in all_nodes(one) if isinstance(node, Scope) for flow in node.flows)
        for flow in (*one.flows, *inner):
            ways.setdefault(flow.source, set()).add(flow.target)
    for name, shares in scenario.branching.items():
        for target in shares:
            if target not in ways.get(name, ()):
                hint = nearest(target, ways.get(name, ()))
                message = f"branching: {name}: no flow leads from it to {target!r}.{hint}"
                raise ScenarioError(message, node=name)


def _check_requires(scenario: Scenario, roles: set[str]) -> None:
    for name, needed in scenario.requires.items():
        for role, count in needed.items():
            if role not in scenario.resources and role not in roles:
                hint = nearest(role, [*scenario.resources, *roles])
                message = f"requires: {name}: nobody has the role {role!r}.{hint} Add it to the scenario's resources."
                raise ScenarioError(message, node=name)
            if role in scenario.resources and count > scenario.resources[role].count:
                there = scenario.resources[role].count
                message = f"requires: {name}: it needs {count} of {role!r} at once, and there are {there}."
                raise ScenarioError(message, node=name)


def _all_workflows(*workflows: Workflow) -> list[Workflow]:
    found: dict[str, Workflow] = {}
    waiting = list(workflows)
    while waiting:
        one = waiting.pop()
        if one.digest not in found:
            found[one.digest] = one
            waiting += one.workflows
    return list(found.values())
