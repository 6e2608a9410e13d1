"""What the builders of `orchkit.model.patterns` are made of: their arguments become blocks and typed values."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from orchkit.errors import ExpressionError, WorkflowError, nearest
from orchkit.model.blocks import Block, Branch, Inside, Step
from orchkit.model.durations import duration_s
from orchkit.model.expressions import parse
from orchkit.model.nodes import Call, Flow, FlowKind, ForEach, Node, Saga, Scope, Task, Wait, While
from orchkit.model.records import retry_from_record
from orchkit.model.retry import Retry
from orchkit.units import Duration, seconds

__all__ = [
    "About",
    "Flows",
    "Outcome",
    "Steps",
    "blocks_of",
    "duration_of",
    "expression_of",
    "flows_of",
    "inside_of",
    "name_of",
    "retry_of",
    "scope_of",
    "step_of",
    "texts_of",
    "timer_of",
]

Activities = type[Task] | type[Wait] | type[Scope] | type[ForEach] | type[While] | type[Saga] | type[Call]
Steps = Block | Node | Iterable[Block | Node]
Flows = Iterable[Flow | str]

_ARROW = re.compile(r"\s+-(?:(error|timeout)-)?>\s+")


class About(TypedDict, total=False):
    """What every node may say."""

    description: str
    waive: Mapping[str, str]


class Outcome(About, total=False):
    """What every activity may say.

    ``output`` names the variable of the result; ``timeout`` is a duration; ``fallback`` a JSON value that stands in
    for the result, or a task that gives it; ``compensate`` the task that undoes this (or its name), or ``"none"``;
    ``on_error`` and ``on_timeout`` are steps (or, for errors, a list of `when` and `otherwise` over ``error``).
    """

    output: str | None
    timeout: Duration | None
    fallback: Any
    compensate: Step | Task | str | None
    alert: str | None
    on_error: Steps | Sequence[Branch] | None
    on_timeout: Steps | None


def flows_of(chain: str, condition: str | None = None) -> list[Flow]:
    """Return the flows of a chain: ``"a -> b -> c"``; ``-error->`` and ``-timeout->`` give the other kinds.

    Raises
    ------
    WorkflowError
        No arrow, a name that is missing, a condition on more than one arrow.

    Examples
    --------
    >>> [(flow.source, flow.target, flow.kind.value) for flow in flows_of("a -> b -error-> c")]
    [('a', 'b', 'normal'), ('b', 'c', 'error')]
    """
    first, *rest = _ARROW.split(chain.strip())
    kinds, names = rest[::2], [first, *rest[1::2]]
    if not kinds or not all(names):
        message = f"{chain!r} is not a flow: write 'a -> b', 'a -> b -> c', 'a -error-> b' or 'a -timeout-> b'."
        raise WorkflowError(message)
    if condition is not None and len(kinds) > 1:
        message = f"{chain!r}: a condition belongs to one arrow, and here are {len(kinds)}."
        raise WorkflowError(message)
    return [
        Flow(source, target, condition, FlowKind(kind or "normal"))
        for source, target, kind in zip(names, names[1:], kinds, strict=False)
    ]


def blocks_of(steps: Steps) -> tuple[Block, ...]:
    """Return steps as blocks."""
    if isinstance(steps, Block | Node):
        return (_block_of(steps),)
    if isinstance(steps, str | Mapping) or not isinstance(steps, Iterable):
        message = f"Steps are blocks such as task('ship') or a list of them, not {steps!r}."
        raise WorkflowError(message)
    return tuple(_block_of(item) for item in steps)


def _block_of(item: object) -> Block:
    if isinstance(item, Block):
        return item
    if isinstance(item, Node):
        return Step(node=item)
    message = f"A step is a block such as task('ship') or parallel(…), not {item!r}."
    raise WorkflowError(message)


def inside_of(steps: Steps, nodes: Iterable[Step | Node] | None, flows: Flows) -> Inside:
    """Return what a scope holds: steps, or a free graph."""
    blocks = blocks_of(steps)
    free_flows = tuple(flow for item in flows for flow in (flows_of(item) if isinstance(item, str) else [item]))
    if nodes is None:
        if free_flows:
            message = "Flows need nodes: give steps, or nodes and flows."
            raise WorkflowError(message)
        return Inside(steps=blocks)
    if blocks:
        message = "Give steps, or nodes and flows, not both."
        raise WorkflowError(message)
    free = []
    for block in (_block_of(item) for item in nodes):
        if not isinstance(block, Step):
            message = "A choice or a parallel is made of several nodes: put it in a scope, or write its gateways."
            raise WorkflowError(message)
        if block.on_error or block.on_timeout is not None or block.substitute:
            name = block.node.name
            message = f"{name!r}: in a free graph write the path as a flow: '{name} -error-> …', '{name} -timeout-> …'."
            raise WorkflowError(message, node=name)
        free.append(block)
    return Inside(nodes=tuple(free), flows=free_flows)


def scope_of(cls: Activities, word: str, values: dict[str, Any], inside: Inside, outcome: Outcome) -> Step:
    """Return a block of one scope."""
    return replace(step_of(word, cls, values, outcome), inside=inside)


def step_of(where: str, cls: Activities, values: dict[str, Any], outcome: Outcome, word: str = "") -> Step:
    """Return a block of one activity, with the paths that its outcomes take."""
    unknown = set(outcome) - Outcome.__annotations__.keys()
    if unknown:
        name = min(unknown)
        message = f"{where} has no {name!r}.{nearest(name, (*values, *Outcome.__annotations__))}"
        raise TypeError(message)
    fallback = outcome.get("fallback")
    substitute = _block_of(fallback) if isinstance(fallback, Step | Node) else None
    if substitute is not None and not (isinstance(substitute, Step) and isinstance(substitute.node, Task)):
        message = f"{where}: a fallback is a JSON value or a task."
        raise WorkflowError(message)
    on_error = _error_paths(outcome.get("on_error"))
    if substitute is not None and any(branch.condition is None for branch in on_error):
        message = f"{where}: give on_error or a task as fallback, not both."
        raise WorkflowError(message)
    on_timeout = outcome.get("on_timeout")
    node = cls(
        **values,
        description=outcome.get("description", ""),
        waive=dict(outcome.get("waive", {})),
        output=outcome.get("output"),
        timeout_s=duration_of(outcome.get("timeout"), f"{where}: timeout"),
        fallback=copy.deepcopy(fallback) if substitute is None else None,
        compensate=_compensation(where, outcome.get("compensate")),
        alert=outcome.get("alert"),
    )
    return Step(
        node=node,
        word=word or where,
        on_error=on_error,
        on_timeout=None if on_timeout is None else blocks_of(on_timeout),
        substitute=substitute,
    )


def _error_paths(on_error: Steps | Sequence[Branch] | None) -> tuple[Branch, ...]:
    if on_error is None:
        return ()
    if isinstance(on_error, Branch):
        return (on_error,)
    if isinstance(on_error, Sequence):
        branches = [item for item in on_error if isinstance(item, Branch)]
        if branches and len(branches) == len(on_error):
            return tuple(branches)
        return (Branch(None, tuple(_block_of(item) for item in on_error)),)
    return (Branch(None, blocks_of(on_error)),)


def _compensation(where: str, value: Step | Task | str | None) -> Task | str | None:
    if value is None or value == "none":
        return value
    if isinstance(value, str):
        return Task(name=value)
    step = _block_of(value)
    if not (isinstance(step, Step) and isinstance(step.node, Task)):
        message = f"{where}: compensate is a task, the name of one, or 'none'."
        raise WorkflowError(message)
    if step.on_error or step.on_timeout is not None or step.substitute or step.node.compensate is not None:
        message = f"{where}: a compensation has no paths and no compensation of its own."
        raise WorkflowError(message, node=step.node.name)
    return step.node


def name_of(name: str, where: str) -> str:
    """Return a name, or raise."""
    if not isinstance(name, str) or not name:
        message = f"{where}: a name is text, not {name!r}."
        raise WorkflowError(message)
    return name


def expression_of(text: str | None) -> str | None:
    """Return the text of an expression that can be parsed."""
    return None if text is None else parse(text).text


def texts_of(values: Iterable[str]) -> tuple[str, ...]:
    """Return texts, or one, as a tuple."""
    return (values,) if isinstance(values, str) else tuple(str(value) for value in values)


def retry_of(retry: Retry | Mapping[str, Any] | None) -> Retry | None:
    """Return a policy, or that of a mapping."""
    return retry_from_record(retry) if isinstance(retry, Mapping) else retry


def duration_of(duration: Duration | None, where: str) -> float | None:
    """Return a duration in seconds, if any."""
    return None if duration is None else duration_s(duration, where)


def timer_of(timer: Duration) -> tuple[str | None, float | None]:
    """Return a timer's expression or its duration in seconds."""
    try:
        return None, seconds(timer)
    except ValueError as error:
        if not isinstance(timer, str):
            message = f"wait_for: timer: {error}"
            raise WorkflowError(message) from None
    try:
        return parse(timer).text, None
    except ExpressionError:
        message = f"wait_for: {timer!r} is neither a duration ('90s', '5 min', '2 days') nor an expression."
        raise WorkflowError(message) from None
