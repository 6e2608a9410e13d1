"""Readiness rules: what a careful reviewer asks before a workflow goes live."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchkit.checks.levels import Level, enclosing, tasks_of
from orchkit.checks.rulebook import found
from orchkit.errors import ExpressionError
from orchkit.model.expressions import names_in, texts_in
from orchkit.model.nodes import Activity, Call, ForEach, Saga, Scope, Task, Wait, WaitKind
from orchkit.units import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchkit.checks.readings import Reading
    from orchkit.checks.report import Issue
    from orchkit.checks.variables import Parameters
    from orchkit.executors.python import Signature
    from orchkit.model.definition import Workflow
    from orchkit.model.retry import Retry

__all__ = ["readiness_issues"]

# Executors that ask another system over a network.
_NETWORK = frozenset({"http", "sql", "email", "ai"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
# What the same request does not overcome later (RFC 9110); all else may be worth another attempt.
_HOPELESS = frozenset({"400", "401", "403", "404", "405", "410", "413", "415", "422"})
_ADDRESS = re.compile(
    r"\b(?P<kind>(?:https?|ftp|amqps?|nats|smtps?|postgres(?:ql)?|mysql|mssql|oracle)(?:\+\w+)?://)"
    r"(?:(?P<who>[^\s/@]*)@)?(?P<host>[^\s$/{@?]+)",
    re.IGNORECASE,
)
_SECRET = re.compile(r"(?:^|[._-])(?:authorization|password|passwd|secret|token|api[_-]?key|x-api-key)$", re.IGNORECASE)
_HTTP_KEY = "idempotency-key"
_OPERANDS = 4
_COMPUTING = frozenset({"sum", "min", "max", "round", "abs", "sorted"})


def readiness_issues(
    workflow: Workflow,
    levels: Sequence[Level],
    readings: Sequence[Reading],
    parameters: Parameters,
) -> Iterator[Issue]:
    """Yield what is missing before a workflow goes live; ``parameters`` as for `variable_issues`."""
    if not workflow.description.strip():
        yield found("description", "", "The workflow does not say what it is for.")
    if not workflow.alerts and any(isinstance(node, Task) for level in levels for node in level.net.nodes):
        yield found("alert", "", "The workflow has no alerts: nobody hears when its tasks fail.", "Add one to alerts.")
    for level in levels:
        planned = _planned(level)
        for number, node in enumerate(level.net.nodes):
            if isinstance(node, Task | Call | Wait):
                if number in planned:
                    yield from _errors(level, node)
                yield from _compensation(level, node)
            if isinstance(node, Wait) and _is_endless(level, node):
                yield found("timeout", node.name, f"It may wait for ever for the {node.kind.value}.")
        for task, undone in tasks_of(level):
            yield from _of_task(workflow, level, task, undone, parameters)
    yield from _business_logic(readings)


def _of_task(
    workflow: Workflow,
    level: Level,
    task: Task,
    undone: Activity | None,
    parameters: Parameters,
) -> Iterator[Issue]:
    if not task.description.strip():
        yield found("description", task.name, "It does not say what it is for.")
    if workflow.alerts and task.alert is None:
        yield found("alert", task.name, "No alert watches it.")
    if task.timeout_s is None and task.deadline_s is None and task.heartbeat_s is None:
        yield found("timeout", task.name, "An attempt of it may last for ever.")
    yield from _retry(task, task.retry or workflow.retry, own=task.retry is not None)
    yield from _idempotency(level, task, undone, parameters)
    yield from _coupling(task)


# Failures ------------------------------------------------------------------------


def _errors(level: Level, node: Activity) -> Iterator[Issue]:
    if isinstance(node, Wait):
        timed = node.kind is not WaitKind.TIMER and node.timeout_s is not None
        if not timed or level.net.on_timeout[level.net.index[node.name]]:
            return
    if not _is_caught(level, node) and not any(_deals_with_failure(outer, scope) for outer, scope in _around(level)):
        what = "timeout" if isinstance(node, Wait) else "failure"
        yield found("errors_handled", node.name, f"Nothing deals with its {what}: the run ends there.")


def _planned(level: Level) -> set[int]:
    """Return the nodes that are reached when all goes well; what else there is deals with a failure itself."""
    net = level.net
    seen = set(net.starts)
    stack = list(seen)
    while stack:
        for flow in net.outgoing[stack.pop()]:
            if net.target[flow] not in seen:
                seen.add(net.target[flow])
                stack.append(net.target[flow])
    return seen


def _is_caught(level: Level, node: Activity) -> bool:
    return node.fallback is not None or bool(level.net.on_error[level.net.index[node.name]])


def _around(level: Level) -> Iterator[tuple[Level, Scope]]:
    """Yield the scopes around a graph, each with the graph that it is a node of."""
    at = level
    while at.scope is not None and at.outer is not None:
        yield at.outer, at.scope
        at = at.outer


def _deals_with_failure(outer: Level, scope: Scope) -> bool:
    tolerant = isinstance(scope, ForEach) and scope.tolerated_failures not in (0, "0", "0%")
    return tolerant or isinstance(scope, Saga) or _is_caught(outer, scope)


def _compensation(level: Level, node: Activity) -> Iterator[Issue]:
    if node.compensate is not None or isinstance(node, Wait) or (isinstance(node, Task) and not _may_write(node)):
        return
    for _, scope in _around(level):
        if isinstance(scope, Saga):
            yield found("compensation", node.name, f"When the saga {scope.name!r} fails, nothing undoes it.")
            return
        if scope.compensate is not None:
            return


def _may_write(task: Task) -> bool:
    """Whether a task may change something; False only where its settings tell."""
    settings = task.settings
    match task.executor:
        case "http":
            body = any(key in settings for key in ("json", "data", "content"))
            return str(settings.get("method", "POST" if body else "GET")).upper() not in _READS
        case "sql":
            return not str(settings.get("query", "")).lstrip().upper().startswith(("SELECT", "WITH", "VALUES"))
        case "ai":
            return False
        case _:
            return True


def _retry(task: Task, retry: Retry, *, own: bool) -> Iterator[Issue]:
    initial_s, longest_s = seconds(retry.initial_delay), seconds(retry.max_delay)
    whose = "" if own else " (the workflow's policy)"
    if task.executor in _NETWORK:
        if retry.max_attempts == 1:
            yield found("retry_policy", task.name, f"It goes over a network, and is tried only once{whose}.")
        elif initial_s == 0 or longest_s == 0:
            message = f"It tries {retry.max_attempts} times without a delay between them{whose}."
            yield found("retry_policy", task.name, message, "Give it an initial_delay.")
        hopeless = sorted(_HOPELESS & set(task.retry_on))
        if hopeless and task.executor == "http":
            yield found(
                "retry_policy", task.name, f"It retries on {', '.join(hopeless)}, which another attempt does not cure."
            )
    if retry.max_attempts > 1 and initial_s > longest_s and own:
        yield found(
            "retry_policy",
            task.name,
            f"Its initial_delay ({initial_s:g} s) is longer than its max_delay ({longest_s:g} s).",
        )
    if task.deadline_s is not None:
        waits_s = sum(retry.delay_s(attempt) for attempt in range(1, min(retry.max_attempts, 1_000)))
        if waits_s > task.deadline_s:
            message = (
                f"The delays between its {retry.max_attempts} attempts sum up to {waits_s:g} s, "
                f"longer than its deadline of {task.deadline_s:g} s{whose}."
            )
            yield found("retry_policy", task.name, message)


def _is_endless(level: Level, wait: Wait) -> bool:
    """Whether a wait may last for ever, with no other behind the same event gateway that ends by itself."""
    net = level.net
    rivals = (net.nodes[number] for number in net.open_nodes(net.rivals[net.index[wait.name]]))
    timed = (isinstance(rival, Wait) and _ends(rival) for rival in rivals)
    return not _ends(wait) and not any(timed)


def _ends(wait: Wait) -> bool:
    return wait.kind is WaitKind.TIMER or wait.timeout_s is not None


# Effects -------------------------------------------------------------------------


def _idempotency(level: Level, task: Task, undone: Activity | None, parameters: Parameters) -> Iterator[Issue]:
    if not _may_write(task):
        return
    for place, key in _keys(task):
        try:
            names = names_in(key)
        except ExpressionError:
            continue  # said elsewhere
        loop = next((scope for scope in enclosing(level) if isinstance(scope, ForEach)), None)
        if not names:
            yield found(
                "idempotency", task.name, f"Its {place} is the same for every case: only the first has an effect."
            )
        elif loop is not None and "run" not in names and not set(names) & _set_in(level, loop):
            yield found("idempotency", task.name, f"Its {place} is the same for every item of {loop.name!r}.")
    if task.executor == "sql":
        query = str(task.settings.get("query", "")).upper()
        if query.lstrip().startswith("INSERT") and "CONFLICT" not in query and "EXISTS" not in query:
            message = "An INSERT that is tried twice may be done twice."
            yield found(
                "idempotency", task.name, message, "Insert a key such as ${run.step_id}, ON CONFLICT DO NOTHING."
            )
    signature = parameters.get(task.name)
    has_effect = undone is not None or isinstance(task.compensate, Task)
    if signature is not None and has_effect and not _takes(signature, "idempotency_key"):
        message = "It has an effect, may be tried again, and its handler takes no idempotency_key."
        yield found("idempotency", task.name, message, "Take idempotency_key, and pass it on to where the effect is.")


def _takes(signature: Signature, name: str) -> bool:
    return signature.takes_all or name in signature.required or name in signature.optional


def _keys(task: Task) -> Iterator[tuple[str, str]]:
    """Yield the idempotency keys that a task gives itself."""
    if task.idempotency_key is not None:
        yield "idempotency_key", task.idempotency_key
    headers = task.settings.get("headers")
    if task.executor == "http" and isinstance(headers, Mapping):
        for name, value in headers.items():
            if str(name).lower() == _HTTP_KEY:
                yield f"header {name}", str(value)


def _set_in(level: Level, loop: ForEach) -> set[str]:
    """Return the variables that a pass of a loop sets."""
    names = {loop.item}
    at: Level | None = level
    while at is not None:
        names.update(node.output_name for node in at.net.nodes if isinstance(node, Activity))
        if at.scope is loop:
            break
        at = at.outer
    return names


# Design --------------------------------------------------------------------------


def _coupling(task: Task) -> Iterator[Issue]:
    for where, text in texts_in(task.settings or {}):
        address = _ADDRESS.search(text)
        if address is not None:
            who = address["who"] or ""
            yield found(
                "coupling", task.name, f"settings.{where} holds the address {address['kind']}{address['host']}."
            )
            if ":" in who and "${" not in who:
                yield found("literal_secret", task.name, f"settings.{where} holds a password.")
        elif task.executor == "email" and where == "host" and "${" not in text:
            yield found("coupling", task.name, f"settings.{where} holds the address {text}.")
        if _SECRET.search(where) and text.strip() and "${" not in text:
            yield found("literal_secret", task.name, f"settings.{where} holds what looks like a secret.")


def _business_logic(readings: Sequence[Reading]) -> Iterator[Issue]:
    for reading in readings:
        for expression in reading.expressions:
            computes = _what_computes(expression.tree)
            if computes:
                message = f"{reading.place} {computes}: {expression.text!r}."
                yield found("business_logic", reading.node, message)
                break


def _what_computes(tree: ast.expr) -> str:
    """Return what makes an expression more than a question; empty where it is one.

    Examples
    --------
    >>> _what_computes(ast.parse("order.total * 1.19", mode="eval").body)
    'computes'
    >>> _what_computes(ast.parse("qty <= stock and not blocked", mode="eval").body)
    ''
    """
    operands = 0
    for node in ast.walk(tree):
        match node:
            case ast.BinOp():
                return "computes"
            case ast.ListComp() | ast.GeneratorExp():
                return "goes through a list"
            case ast.IfExp():
                return "decides"
            case ast.Call(func=ast.Name(id=name)) if name in _COMPUTING:
                return "computes"
            case ast.BoolOp():
                operands += len(node.values) - 1
    return f"weighs {operands + 1} conditions" if operands + 1 >= _OPERANDS else ""
