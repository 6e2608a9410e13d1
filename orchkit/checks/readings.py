"""Readings: every expression of a workflow, with where it stands and what it can see there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from orchkit.checks.levels import Level
from orchkit.errors import ExpressionError
from orchkit.model.expressions import Expression, expressions_in, parse, texts_in
from orchkit.model.nodes import Activity, Call, End, FlowKind, ForEach, Task, Wait, WaitKind, While

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchkit.model.nodes import Flow, Node

__all__ = ["SETTINGS_NAMES", "Moment", "Reading", "of_level"]

# What settings of tasks see beside the variables: see `orchkit.executors.Attempt.names`.
SETTINGS_NAMES = frozenset({"systems", "secrets", "run"})
_KEY_NAMES = SETTINGS_NAMES - {"secrets"}


class Moment(Enum):
    """When an expression is evaluated: it says which variables are there."""

    BEFORE = auto()  # when the node begins
    AFTER = auto()  # when it has ended well
    FAILED = auto()  # when it has failed for good
    UNDO = auto()  # when it is compensated
    PASS = auto()  # before a pass of a for-each, with its item
    PASSED = auto()  # after a pass of a for-each


@dataclass(frozen=True, slots=True)
class Reading:
    """An expression, or a template with several.

    Attributes
    ----------
    level, number
        The graph, and the number of the node in it whose variables are seen.
    node
        Name of the node that an issue is about.
    place
        Where it stands: ``"condition"``, ``"settings.url"`` …
    text
        As written.
    moment
        When it is evaluated.
    expressions
        Parsed; none where that fails.
    extra
        Names that it sees beside the variables.
    problem
        Why it cannot be parsed.
    """

    level: Level
    number: int
    node: str
    place: str
    text: str
    moment: Moment
    expressions: tuple[Expression, ...] = ()
    extra: frozenset[str] = frozenset()
    problem: str = ""


def of_level(level: Level) -> Iterator[Reading]:
    """Yield the readings of one graph."""
    for number, node in enumerate(level.net.nodes):
        yield from _of_node(level, number, node)
    for flow in level.net.flows:
        if flow.condition is not None:
            yield _of_flow(level, flow, flow.condition)


def _of_flow(level: Level, flow: Flow, condition: str) -> Reading:
    number = level.net.index[flow.source]
    failed = flow.kind is not FlowKind.NORMAL
    moment = Moment.FAILED if failed else Moment.AFTER
    return _expression(level, number, f"condition of the flow to {flow.target!r}", condition, moment)


def _of_node(level: Level, number: int, node: Node) -> Iterator[Reading]:
    match node:
        case End(error=text) if text is not None:
            yield from _templates(level, number, "error", text, Moment.BEFORE)
        case Task():
            yield from _of_task(level, number, node, Moment.BEFORE)
        case Wait():
            yield from _of_wait(level, number, node)
        case Call():
            yield from _templates(level, number, "inputs", node.inputs, Moment.BEFORE)
        case ForEach():
            yield _expression(level, number, "for_each", node.items, Moment.BEFORE)
            if node.continue_when is not None:
                yield _expression(level, number, "continue_when", node.continue_when, Moment.PASS)
            if node.exit_when is not None:
                yield _expression(level, number, "exit_when", node.exit_when, Moment.PASSED)
        case While():
            yield _expression(level, number, "repeat_while", node.condition, Moment.BEFORE)
    if isinstance(node, Activity):
        if node.fallback is not None:
            yield from _templates(level, number, "fallback", node.fallback, Moment.FAILED)
        if isinstance(node.compensate, Task):
            yield from _of_task(level, number, node.compensate, Moment.UNDO)


def _of_task(level: Level, number: int, task: Task, moment: Moment) -> Iterator[Reading]:
    settings: Mapping[str, Any] = task.settings or {}
    if task.executor == "python":  # the rest is for the executor itself
        settings = {"arguments": settings["arguments"]} if "arguments" in settings else {}
    for where, text in texts_in(settings):
        yield _template(level, number, f"settings.{where}", text, moment, node=task.name, extra=SETTINGS_NAMES)
    if task.idempotency_key is not None:
        key = task.idempotency_key
        yield _template(level, number, "idempotency_key", key, moment, node=task.name, extra=_KEY_NAMES)


def _of_wait(level: Level, number: int, wait: Wait) -> Iterator[Reading]:
    if wait.kind is not WaitKind.TIMER:
        yield from _templates(level, number, wait.kind.value, wait.subject or wait.name, Moment.BEFORE)
    elif wait.duration_s is None and wait.subject:
        yield _expression(level, number, "timer", wait.subject, Moment.BEFORE)
    if wait.match is not None:
        yield _expression(level, number, "match", wait.match, Moment.BEFORE, extra=frozenset({"event"}))


def _expression(
    level: Level,
    number: int,
    place: str,
    text: str,
    moment: Moment,
    *,
    extra: frozenset[str] = frozenset(),
) -> Reading:
    node = level.net.nodes[number].name
    try:
        return Reading(level, number, node, place, text, moment, (parse(text),), extra)
    except ExpressionError as error:
        return Reading(level, number, node, place, text, moment, (), extra, error.message)


def _templates(level: Level, number: int, place: str, value: object, moment: Moment) -> Iterator[Reading]:
    for where, text in texts_in(value):
        yield _template(level, number, f"{place}.{where}" if where else place, text, moment)


def _template(
    level: Level,
    number: int,
    place: str,
    text: str,
    moment: Moment,
    *,
    node: str = "",
    extra: frozenset[str] = frozenset(),
) -> Reading:
    node = node or level.net.nodes[number].name
    try:
        return Reading(level, number, node, place, text, moment, expressions_in(text), extra)
    except ExpressionError as error:
        return Reading(level, number, node, place, text, moment, (), extra, error.message)
