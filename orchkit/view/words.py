"""What a picture says about a node in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, assert_never

from orchkit.model.nodes import (
    Activity,
    Call,
    End,
    ForEach,
    Gateway,
    Node,
    Saga,
    Scope,
    Start,
    Task,
    Wait,
    WaitKind,
    While,
)
from orchkit.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchkit.view.scene import Standing

__all__ = ["describe", "is_generated", "name_beside", "scope_note", "what"]

_GENERATED = re.compile(
    r"(?:.*_)?(?:start|end|join|split)(?:_\d+)?"
    r"|(?:choice|parallel|exclusive|inclusive|event|gateway|timer|wait_for|for_each|repeat_while|while|saga|scope)(?:_\d+)?",
)


def is_generated(name: str) -> bool:
    """Say whether a name that is not a task's only repeats what the form of the node says.

    Examples
    --------
    >>> is_generated("choice_2_end"), is_generated("in_stock")
    (True, False)
    """
    return _GENERATED.fullmatch(name) is not None


def name_beside(node: Node) -> str:
    """Return what stands beside a circle or a diamond; nothing where a name would say no more than the form.

    Examples
    --------
    >>> name_beside(Wait(name="timer_1", kind=WaitKind.TIMER, duration_s=3600.0)), name_beside(Start(name="start"))
    ('1h', '')
    """
    if not is_generated(node.name):
        return node.name
    if isinstance(node, Wait):
        return node.subject or format_duration(node.duration_s or 0.0)
    return ""


def what(node: Node) -> str:
    """Return what a node is, in a few words.

    Examples
    --------
    >>> what(Task(name="ship", executor="http", role="clerk"))
    'http task for clerk'
    """
    match node:
        case Task():
            return f"{node.executor} task" + (f" for {node.role}" if node.role else "")
        case Gateway():
            return f"{node.kind} gateway"
        case Wait():
            return _wait(node)
        case Call():
            return f"call of workflow {node.workflow}"
        case Scope():
            return _scope(node)
        case Start():
            return "start"
        case End():
            return _end(node)
        case _:
            assert_never(node)


def _end(node: End) -> str:
    if node.error is not None:
        return "error end"
    return "end that cancels what is still open" if node.terminate else "end"


def _wait(node: Wait) -> str:
    if node.kind is WaitKind.TIMER:
        return f"wait of {node.subject or format_duration(node.duration_s or 0.0)}"
    match = f" where {node.match}" if node.match else ""
    return f"wait for the {node.kind} {node.subject or node.name}{match}"


def _scope(node: Scope) -> str:
    note = scope_note(node)
    match node:
        case Saga():
            return "saga: undoes its steps when one fails"
        case ForEach() | While():
            return f"loop: {note}"
        case _:
            return "scope"


def scope_note(node: Scope) -> str:
    """Return how often a scope runs what is inside, or nothing for once.

    Examples
    --------
    >>> scope_note(ForEach(name="lines", items="order.items", concurrency=4))
    'each item in order.items, 4 at once'
    """
    match node:
        case ForEach():
            at_once = f", {node.concurrency} at once" if node.concurrency > 1 else ""
            return f"each {node.item} in {node.items}{at_once}"
        case While():
            return f"while {node.condition}"
        case Saga():
            return "saga"
        case _:
            return ""


def describe(node: Node, standing: Standing | None = None) -> str:
    """Return all that a picture knows about a node, a line each.

    Examples
    --------
    >>> print(describe(Task(name="ship", timeout_s=30.0, compensate="none")))
    ship
    python task
    timeout 30s
    cannot be undone
    """
    lines = [node.name, node.description, what(node), *_details(node)]
    if standing:
        lines.append(f"status: {standing.words}")
    return "\n".join(line for line in lines if line)


def _details(node: Node) -> Iterator[str]:
    if isinstance(node, End) and node.error:
        yield f"error: {node.error}"
    if not isinstance(node, Activity):
        return
    if node.timeout_s is not None:
        yield f"timeout {format_duration(node.timeout_s)}"
    if isinstance(node, Task) and node.deadline_s is not None:
        yield f"deadline {format_duration(node.deadline_s)}"
    if isinstance(node, Task) and node.retry is not None:
        yield f"{node.retry.max_attempts} attempts"
    if node.fallback is not None:
        yield f"when it fails: {node.fallback}"
    if isinstance(node.compensate, str):
        yield "cannot be undone"
    elif node.compensate is not None:
        yield f"undone by {node.compensate.name}"
