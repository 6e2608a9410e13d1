"""Structure rules: the shape of each graph, whether its flows can be taken, whether what is named is there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orchkit.checks.levels import Level
from orchkit.checks.rulebook import found
from orchkit.errors import ExpressionError
from orchkit.model.expressions import parse
from orchkit.model.nodes import Activity, End, Flow, FlowKind, Gateway, GatewayKind, Wait
from orchkit.tokens import has_choice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchkit.checks.readings import Reading
    from orchkit.checks.report import Issue

__all__ = ["constant", "structure_issues"]

_SPLITS = (GatewayKind.EXCLUSIVE, GatewayKind.INCLUSIVE)


def constant(text: str) -> bool | None:
    """Return whether a condition always holds or never does; None where that depends on variables.

    Examples
    --------
    >>> constant("1 > 2"), constant("'a' in 'abc'"), constant("qty > 2")
    (False, True, None)
    """
    try:
        expression = parse(text)
        return None if expression.names else bool(expression.evaluate({}))
    except ExpressionError:
        return None


def structure_issues(levels: Sequence[Level], readings: Sequence[Reading]) -> Iterator[Issue]:
    """Yield what is wrong with the graphs of a workflow, and with its expressions as such."""
    for level in levels:
        yield from _of_graph(level)
        for number in range(len(level.net.nodes)):
            yield from _of_node(level, number)
        for flow, many in Counter(level.net.flows).items():
            if many > 1:
                message = f"{many} flows to {flow.target!r} are the same."
                yield found("duplicate_flow", flow.source, message)
    yield from _similar_names(levels)
    for reading in readings:
        yield from _of_reading(reading)


# Graphs --------------------------------------------------------------------------


def _of_graph(level: Level) -> Iterator[Issue]:
    net = level.net
    where = "" if level.scope is None else level.scope.name
    if not net.nodes:
        yield found("empty", where, "There is nothing in it.")
    elif not net.starts:
        yield found("no_start", where, "There is no start, and something leads to each node: nothing can begin.")
    else:
        seen = _from_starts(level)
        for number, node in enumerate(net.nodes):
            if number not in seen:
                yield found("unreachable", node.name, "No way from a start leads here.")


def _from_starts(level: Level) -> set[int]:
    net = level.net
    seen = set(net.starts)
    stack = list(net.starts)
    while stack:
        node = stack.pop()
        for flow in (*net.outgoing[node], *net.on_error[node], *net.on_timeout[node]):
            if net.target[flow] not in seen:
                seen.add(net.target[flow])
                stack.append(net.target[flow])
    return seen


def _similar_names(levels: Sequence[Level]) -> Iterator[Issue]:
    first: dict[str, str] = {}
    for level in levels:
        for node in level.net.nodes:
            plain = "".join(letter for letter in node.name.casefold() if letter.isalnum())
            other = first.setdefault(plain, node.name)
            if plain and other != node.name:
                yield found("similar_names", node.name, f"Its name is nearly that of {other!r}.")


# Nodes ---------------------------------------------------------------------------


def _of_node(level: Level, number: int) -> Iterator[Issue]:
    net = level.net
    node = net.nodes[number]
    leaving = len(net.outgoing[number])
    match node:
        case End():
            yield from (_never(net.flows[flow], "nothing goes on after an end") for flow in net.outgoing[number])
        case Gateway():
            yield from _of_gateway(level, number, node)
        case _:
            if not leaving and any(isinstance(other, End) for other in net.nodes):
                yield found("dead_end", node.name, "The path stops here, without an end.")
    if isinstance(node, Activity):
        yield from _of_outcomes(level, number, node)
    else:
        for flow in (*net.on_error[number], *net.on_timeout[number]):
            yield _never(net.flows[flow], f"{node.name!r} does no work that could fail or time out")
        if not has_choice(net, number):
            for flow in net.outgoing[number]:
                if net.flows[flow].condition is not None and not isinstance(node, End):
                    yield _ignored(net.flows[flow], "all flows that leave it are taken")


def _of_gateway(level: Level, number: int, node: Gateway) -> Iterator[Issue]:
    net = level.net
    flows = [net.flows[flow] for flow in net.outgoing[number]]
    if not flows:
        yield found("dead_end", node.name, "The gateway leads nowhere.")
    elif len(flows) == 1 and len(net.incoming[number]) <= 1 and flows[0].condition is None:
        yield found("one_way_gateway", node.name, "It has one way in and one way out.")
    if node.kind in _SPLITS:
        yield from _of_split(node.name, flows, exclusive=node.kind is GatewayKind.EXCLUSIVE)
    elif node.kind is GatewayKind.EVENT and len(flows) > 1:
        for flow in net.outgoing[number]:
            target = net.nodes[net.target[flow]]
            if not isinstance(target, Wait):
                yield found("event_gateway", node.name, f"It leads to {target.name!r}, which does not wait.")


def _of_split(name: str, flows: Sequence[Flow], *, exclusive: bool) -> Iterator[Issue]:
    conditions = [flow.condition for flow in flows]
    fixed = [None if condition is None else constant(condition) for condition in conditions]
    if flows and None not in conditions and True not in fixed:
        yield found("missing_default", name, "Each of its flows has a condition; where none holds, the run fails.")
    default = ""
    for place, (flow, holds) in enumerate(zip(flows, fixed, strict=True)):
        if flow.condition is None:
            if default:
                yield _never(flow, f"the flow to {default!r} is the default already")
            elif True in fixed:
                yield _never(flow, "another condition always holds")
            default = default or flow.target
        elif exclusive and True in fixed[:place]:
            yield _never(flow, "a condition before it always holds")
        elif exclusive and flow.condition in conditions[:place]:
            yield _never(flow, "the same condition stands before it")
        elif holds is not None and not (exclusive and holds and place == len(flows) - 1):
            yield _fixed(flow.source, f"The condition of the flow to {flow.target!r}", flow.condition, holds=holds)


def _of_outcomes(level: Level, number: int, node: Activity) -> Iterator[Issue]:
    """Yield the flows of an activity that no outcome takes."""
    net = level.net
    normal = [net.flows[flow] for flow in net.outgoing[number]]
    for flow in normal:
        holds = None if flow.condition is None else constant(flow.condition)
        if flow.condition is not None and holds is not None:
            yield _fixed(node.name, f"The condition of the flow to {flow.target!r}", flow.condition, holds=holds)
    if normal and all(flow.condition is not None and not constant(flow.condition) for flow in normal):
        yield found("missing_default", node.name, "Each of its flows has a condition; where none holds, the run fails.")
    errors = [net.flows[flow] for flow in net.on_error[number]]
    timeouts = [net.flows[flow] for flow in net.on_timeout[number]]
    if node.fallback is not None:
        yield from (_never(flow, "the fallback comes first") for flow in (*errors, *timeouts))
        return
    yield from (issue for issue in _of_split(node.name, errors, exclusive=True) if issue.rule != "missing_default")
    yield from (_never(flow, f"a timeout leads to {timeouts[0].target!r} already") for flow in timeouts[1:])
    yield from (_ignored(flow, "a timeout takes its path") for flow in timeouts if flow.condition is not None)


def _never(flow: Flow, reason: str) -> Issue:
    kind = "" if flow.kind is FlowKind.NORMAL else f"{flow.kind.value} "
    return found("never_taken", flow.source, f"The {kind}flow to {flow.target!r} is never taken: {reason}.")


def _ignored(flow: Flow, reason: str) -> Issue:
    message = f"The condition {flow.condition!r} of the flow to {flow.target!r} is not evaluated: {reason}."
    return found("condition_ignored", flow.source, message)


# Expressions ---------------------------------------------------------------------


def _of_reading(reading: Reading) -> Iterator[Issue]:
    if reading.problem:
        yield found("bad_expression", reading.node, f"{reading.place}: {reading.problem}")
        return
    for expression in reading.expressions:
        if not expression.names:
            try:
                value = expression.evaluate({})
            except ExpressionError as error:
                yield found("bad_expression", reading.node, f"{reading.place} has no value: {error.message}")
                continue
            if reading.place in ("repeat_while", "continue_when", "exit_when", "match"):
                yield _fixed(reading.node, reading.place, expression.text, holds=bool(value))


def _fixed(node: str, place: str, text: str, *, holds: bool) -> Issue:
    return found("constant_condition", node, f"{place} {'always' if holds else 'never'} holds: {text!r}.")
