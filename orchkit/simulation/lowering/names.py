"""The names that a scenario uses, held against those of the workflow."""

from __future__ import annotations

from collections.abc import Iterable

from orchkit.errors import ScenarioError, nearest
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Activity, ForEach, Gateway, Task, Wait, While
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
    roles = {node.role for node in nodes.values() if isinstance(node, Task) and node.role is not None}
    for role in scenario.resources:
        if role not in roles:
            hint = nearest(role, roles) or f" Roles of its tasks: {', '.join(sorted(roles)) or 'none'}."
            message = f"resources: no task of {workflow.name!r} has the role {role!r}.{hint}"
            raise ScenarioError(message)
    for part in ("batches", "requires"):
        if getattr(scenario, part):
            message = f"{part}: this version does not simulate them yet; leave {part} out."
            raise ScenarioError(message)


def _all_workflows(*workflows: Workflow) -> list[Workflow]:
    found: dict[str, Workflow] = {}
    waiting = list(workflows)
    while waiting:
        one = waiting.pop()
        if one.digest not in found:
            found[one.digest] = one
            waiting += one.workflows
    return list(found.values())
