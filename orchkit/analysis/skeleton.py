"""What is left of a workflow without its data: one attempt a step, and of loops only whether they go on."""

from __future__ import annotations

from dataclasses import replace

from orchkit.analysis.answers import MAY_FAIL, NEVER_FAILS
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Activity, ForEach, Node, Scope, Task, While
from orchkit.model.retry import Retry

__all__ = ["COUNTED", "names_of", "skeleton_of"]

COUNTED = 100
"""Iterations are counted where the author allows no more; beyond, nobody counts on them."""

_UNLIMITED = 10**9


def names_of(workflow: Workflow, *, within: bool = False) -> frozenset[str]:
    """Return the names that steps of a workflow have in a log, and of those that it calls."""
    todo, seen, names = [workflow], {workflow.name}, set[str]()
    while todo:
        current = todo.pop()
        names.update(
            node.name for node in all_nodes(current) if isinstance(node, Activity) and not isinstance(node, Scope)
        )
        called = [each for each in current.workflows if within and each.name not in seen]
        seen.update(each.name for each in called)
        todo += called
    return frozenset(names)


def skeleton_of(workflow: Workflow) -> Workflow:
    """Return the workflow as it is played."""
    return replace(
        workflow,
        nodes=tuple(_bare(node) for node in workflow.nodes),
        retry=Retry(max_attempts=1),
        workflows=tuple(skeleton_of(called) for called in workflow.workflows),
    )


def _bare(node: Node) -> Node:
    if isinstance(node, Activity) and isinstance(node.compensate, Task):
        node = replace(node, compensate=_bare_task(node.compensate))
    if isinstance(node, Scope):
        node = replace(node, nodes=tuple(_bare(inner) for inner in node.nodes))
    match node:
        case Task():
            return _bare_task(node)
        case ForEach():
            asks = node.continue_when is not None or node.exit_when is not None
            return replace(node, continue_when=None, exit_when=MAY_FAIL if asks else NEVER_FAILS)
        case While() if node.max_iterations > COUNTED:
            return replace(node, max_iterations=_UNLIMITED)
        case _:
            return node


def _bare_task(task: Task) -> Task:
    return replace(task, retry=Retry(max_attempts=1), fail_on=(), retry_on=())
