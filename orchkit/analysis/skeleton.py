"""What is left of a workflow without its data: one attempt a step, and of loops only whether they go on.

Each pass of a for-each begins by a turn of its own, after a wait that no log has: else one turn would have as many
outcomes as the decisions of all passes together. There are always passes that may begin; when such a wait fails, the
pass is over, and with the last of them the loop.
"""

from __future__ import annotations

from dataclasses import replace

from orchkit.analysis.answers import GOES_ON, GOES_ON_OR_FAILS, MAY_FAIL, NEVER_FAILS
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Activity, End, Flow, FlowKind, ForEach, Node, Scope, Start, Task, Wait, WaitKind, While
from orchkit.model.retry import Retry

__all__ = ["COUNTED", "begins_a_pass", "names_of", "skeleton_of", "waits_of"]

COUNTED = 100
"""Iterations are counted where the author allows no more; beyond, nobody counts on them."""

_UNLIMITED = 10**9
_BEGINS, _OVER = "\0begins", "\0over"  # no names of steps in a log


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


def waits_of(workflow: Workflow) -> frozenset[str]:
    """Return the names of a workflow's waits."""
    return frozenset(node.name for node in all_nodes(workflow) if isinstance(node, Wait))


def begins_a_pass(name: str) -> bool:
    """Whether a wait is no wait, but a pass that has not begun."""
    return name.endswith(_BEGINS)


def skeleton_of(workflow: Workflow, most_open: int, *, one_by_one: bool) -> Workflow:
    """Return the workflow as it is played; no loop has more than ``most_open`` passes at a time."""
    return replace(
        workflow,
        nodes=tuple(_bare(node, most_open, one_by_one=one_by_one) for node in workflow.nodes),
        retry=Retry(max_attempts=1),
        workflows=tuple(skeleton_of(called, most_open, one_by_one=one_by_one) for called in workflow.workflows),
    )


def _bare(node: Node, most_open: int, *, one_by_one: bool) -> Node:
    if isinstance(node, Activity) and isinstance(node.compensate, Task):
        node = replace(node, compensate=_bare_task(node.compensate))
    if isinstance(node, Scope):
        node = replace(node, nodes=tuple(_bare(inner, most_open, one_by_one=one_by_one) for inner in node.nodes))
    match node:
        case Task():
            return _bare_task(node)
        case ForEach():
            asks = node.continue_when is not None or node.exit_when is not None
            node = replace(node, continue_when=None, exit_when=MAY_FAIL if asks else NEVER_FAILS)
            node = replace(node, concurrency=min(node.concurrency, most_open))
            return _one_by_one(node) if one_by_one else node
        case While() if node.max_iterations > COUNTED:
            return replace(node, max_iterations=_UNLIMITED)
        case _:
            return node


def _bare_task(task: Task) -> Task:
    return replace(task, retry=Retry(max_attempts=1), fail_on=(), retry_on=())


def _one_by_one(loop: ForEach) -> ForEach:
    """Return a loop each pass of which begins with a wait."""
    starts = [node.name for node in loop.nodes if isinstance(node, Start)]
    if len(starts) != 1:
        return loop
    begins = Wait(name=f"{loop.name}{_BEGINS}", kind=WaitKind.TIMER, duration_s=0.0)
    over = End(name=f"{loop.name}{_OVER}")
    flows = (Flow(begins.name, each.target) if each.source == starts[0] else each for each in loop.flows)
    added = (Flow(starts[0], begins.name), Flow(begins.name, over.name, kind=FlowKind.ERROR))
    exits = GOES_ON_OR_FAILS if loop.exit_when == MAY_FAIL else GOES_ON
    return replace(loop, nodes=(*loop.nodes, begins, over), flows=(*added, *flows), exit_when=exits)
