"""For-each loops that tolerate a share of failures: how many items there are is settled by a failure.

A log does not tell how many items a loop had. A run is played with as many as there can be, so that every failure is
tolerated; before what may be a failure, it is also played with so few that one more is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from orchkit.analysis.positions import Played
from orchkit.analysis.skeleton import begins_a_pass
from orchkit.model.nodes import ForEach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchkit.analysis.positions import Open
    from orchkit.run_state import Loop, Step

__all__ = ["fails_now", "loop_without", "narrowed"]


def narrowed(run: Played, step: Step, most_items: int) -> Iterator[tuple[Played, str]]:
    """Yield the run with so few items in a loop around a step that its next failure is too many, and the loop."""
    parent = run.state.instances[step.instance].parent
    while parent is not None:
        around = run.state.steps[parent]
        if around.loop is not None and len(around.loop.items) == most_items:
            few = _most_for(run.workflow.node(around.node), around.loop.failed, most_items)
            if around.loop.next - _waiting(run, around) <= few < most_items:
                yield _with_loop(run, around, replace(around.loop, items=around.loop.items[:few])), around.id
        parent = run.state.instances[around.instance].parent


def fails_now(run: Played, loop: str) -> bool:
    """Whether a loop that was narrowed fails, or is over."""
    step = run.state.steps.get(loop)
    return step is None or step.loop is None or step.loop.stopped


def loop_without(run: Played, waiting: Sequence[Open]) -> Played | None:
    """Return the run with a loop that has no more items than have begun; None where other passes still go on."""
    first = waiting[0].step
    step = run.state.steps[run.state.instances[first.instance].parent or ""]
    loop = step.loop
    if loop is None or loop.active != len(waiting) or loop.stopped or step.failure is not None:
        return None
    return _with_loop(run, step, replace(loop, closed=True))


def _waiting(run: Played, loop: Step) -> int:
    """Return how many passes of a loop have not begun."""
    steps, passes = run.state.steps.values(), run.state.instances
    return sum(begins_a_pass(each.node) and passes[each.instance].parent == loop.id for each in steps)


def _most_for(node: object, failed: int, most: int) -> int:
    """Return how many items a loop has at most that does not tolerate one more failure than these."""
    share = _share_of(node)
    if share is None:
        return most
    return next((size for size in range(most, 0, -1) if int(share * size / 100 + 1e-9) <= failed), 0)


def _share_of(node: object) -> float | None:
    if not isinstance(node, ForEach) or not isinstance(node.tolerated_failures, str):
        return None
    try:
        return float(node.tolerated_failures.strip().rstrip("%"))
    except ValueError:  # the loop fails at its first failure
        return None


def _with_loop(run: Played, step: Step, loop: Loop) -> Played:
    state, step = run.state.copy(), step.copy()
    step.loop = loop
    state.steps[step.id] = step
    return replace(run, state=state)
