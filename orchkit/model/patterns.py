"""The patterns as builders: verbs that give blocks, and `workflow`, which lowers blocks to nodes and flows.

A list of blocks is a sequence; a block alone may stand for a list of one. The YAML form has the same blocks under
the same names.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Unpack

from orchkit.errors import WorkflowError
from orchkit.model.blocks import Branch, Choice, Parallel, Step, definitions_in, lower
from orchkit.model.building import (
    About,
    Flows,
    Outcome,
    Steps,
    blocks_of,
    duration_of,
    expression_of,
    inside_of,
    name_of,
    retry_of,
    scope_of,
    step_of,
    texts_of,
    timer_of,
)
from orchkit.model.definition import Alert, Trigger, Workflow
from orchkit.model.expressions import parse
from orchkit.model.nodes import Call, End, ForEach, Node, Saga, Scope, Task, Wait, WaitKind, While
from orchkit.model.retry import Retry
from orchkit.units import Duration

__all__ = [
    "call",
    "choice",
    "end",
    "for_each",
    "otherwise",
    "parallel",
    "repeat_while",
    "saga",
    "scope",
    "task",
    "wait_for",
    "when",
    "workflow",
]


def task(  # noqa: PLR0913 -- a task says much, each by name
    name: str,
    *,
    python: str | Mapping[str, Any] | None = None,
    http: Mapping[str, Any] | None = None,
    queue: Mapping[str, Any] | None = None,
    executor: str = "python",
    settings: Mapping[str, Any] | None = None,
    role: str | None = None,
    retry: Retry | Mapping[str, Any] | None = None,
    deadline: Duration | None = None,
    heartbeat: Duration | None = None,
    retry_on: Iterable[str] = (),
    fail_on: Iterable[str] = (),
    idempotency_key: str | None = None,
    **outcome: Unpack[Outcome],
) -> Step:
    """Return a block of one task.

    Parameters
    ----------
    name
        Unique in the workflow; the handler's name as well, unless ``python`` names another.
    python
        Name of the Python handler, or its settings (``handler``, ``arguments``).
    http
        Settings of the HTTP executor: ``method``, ``url``, ``json`` …
    queue
        Settings of a message to be sent: ``url``, ``subject``, ``body`` …
    executor, settings
        Any other executor, and what it needs.
    role
        Who may do it.
    retry
        A retry policy instead of the workflow's.
    deadline, heartbeat
        The longest time for all attempts together; the longest time between two heartbeats of the handler.
    retry_on, fail_on
        Names of exceptions, or HTTP codes, that are transient or permanent here.
    idempotency_key
        A template.
    **outcome
        ``output``, ``timeout``, ``fallback``, ``compensate``, ``alert``, ``on_error``, ``on_timeout``,
        ``description``, ``waive``: see the node `Task`.

    Examples
    --------
    >>> task("ship", http={"method": "POST", "url": "/shipments"}, timeout="30s").node.timeout_s
    30.0
    """
    where = f"task {name!r}"
    other = executor != "python" or settings is not None
    if sum((python is not None, http is not None, queue is not None, other)) > 1:
        message = f"{where}: give one of python, http, queue, or executor with settings."
        raise WorkflowError(message, node=name)
    if http is not None:
        executor, settings = "http", http
    elif queue is not None:
        executor, settings = "queue", queue
    elif python is not None:
        settings = {"handler": python} if isinstance(python, str) else python
    return step_of(
        where,
        Task,
        {
            "name": name_of(name, "task"),
            "executor": executor,
            "settings": copy.deepcopy(dict(settings or {})),
            "role": role,
            "retry": retry_of(retry),
            "deadline_s": duration_of(deadline, f"{where}: deadline"),
            "heartbeat_s": duration_of(heartbeat, f"{where}: heartbeat"),
            "retry_on": texts_of(retry_on),
            "fail_on": texts_of(fail_on),
            "idempotency_key": idempotency_key,
        },
        outcome,
    )


def when(condition: str, steps: Steps = ()) -> Branch:
    """Return a branch that is taken when its condition is the first to hold.

    Examples
    --------
    >>> when("qty > stock", task("reorder")).condition
    'qty > stock'
    """
    return Branch(parse(condition).text, blocks_of(steps))


def otherwise(steps: Steps = ()) -> Branch:
    """Return the branch that is taken when no other is.

    Examples
    --------
    >>> block = choice(when("qty > stock", task("reorder")), otherwise(task("ship")))
    >>> [(flow.target, flow.condition) for flow in workflow("w", [block]).flows if flow.source == "choice_1"]
    [('reorder', 'qty > stock'), ('ship', None)]
    """
    return Branch(None, blocks_of(steps))


def choice(*branches: Branch, name: str = "", **about: Unpack[About]) -> Choice:
    """Return a block that takes one of its branches.

    Without `otherwise` there is no default, which `check` reports.

    Examples
    --------
    >>> block = choice(when("qty > stock", task("reorder")), otherwise(task("ship")))
    >>> [node.name for node in workflow("w", [block]).nodes]
    ['start', 'choice_1', 'reorder', 'ship', 'choice_1_end', 'end']
    """
    for branch in branches:
        if not isinstance(branch, Branch):
            message = f"choice: a branch is when(condition, steps) or otherwise(steps), not {branch!r}."
            raise WorkflowError(message)
    if sum(branch.condition is None for branch in branches) > 1:
        message = "choice: there can be only one otherwise."
        raise WorkflowError(message)
    return Choice(name=name, branches=branches, **about)


def parallel(*branches: Steps, name: str = "", **about: Unpack[About]) -> Parallel:
    """Return a block that takes all its branches at once and goes on when all have ended.

    Examples
    --------
    >>> block = parallel(task("update_crm"), [task("pick"), task("pack")])
    >>> [node.name for node in workflow("w", [block]).nodes]
    ['start', 'parallel_1', 'update_crm', 'pick', 'pack', 'parallel_1_end', 'end']
    """
    return Parallel(name=name, branches=tuple(blocks_of(branch) for branch in branches), **about)


def scope(
    steps: Steps = (),
    *,
    name: str = "",
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    **outcome: Unpack[Outcome],
) -> Step:
    """Return a scope: steps (or a free graph of ``nodes`` and ``flows``) with a timeout or error path of their own.

    Examples
    --------
    >>> scope([task("pick"), task("pack")], name="prepare", timeout="1 h").node.timeout_s
    3600.0
    """
    return scope_of(Scope, "scope", {"name": name}, inside_of(steps, nodes, flows), outcome)


def saga(
    steps: Steps = (),
    *,
    name: str = "",
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    **outcome: Unpack[Outcome],
) -> Step:
    """Return a scope that undoes what it has done, in reverse order, when one of its steps fails for good.

    Examples
    --------
    >>> trip = saga([task("book_hotel", compensate="cancel_hotel"), task("book_flight")], name="trip")
    >>> workflow("trips", [trip]).node("book_hotel").compensate.name
    'cancel_hotel'
    """
    return scope_of(Saga, "saga", {"name": name}, inside_of(steps, nodes, flows), outcome)


def for_each(  # noqa: PLR0913 -- a loop says much, each by name
    items: str,
    steps: Steps = (),
    *,
    item: str = "item",
    name: str = "",
    concurrency: int = 1,
    continue_when: str | None = None,
    exit_when: str | None = None,
    tolerated_failures: int | str = 0,
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    **outcome: Unpack[Outcome],
) -> Step:
    """Return a scope that runs once for each item.

    Parameters
    ----------
    items
        An expression that gives a list.
    steps
        What is done with each item.
    item
        The variable that holds it.
    name
        Of the node.
    concurrency
        How many items at once.
    continue_when, exit_when
        Expressions: if one holds, skip the item, or begin no more items.
    tolerated_failures
        How many items may fail: a count, or a share such as ``"10%"``.
    nodes, flows
        A free graph instead of steps.
    **outcome
        As for `task`.

    Examples
    --------
    >>> lines = for_each("order.lines", [task("pick"), task("pack")], item="line", concurrency=4)
    >>> [node.name for node in workflow("order", [lines]).nodes]
    ['start', 'for_each_1', 'end']
    """
    values = {
        "name": name,
        "items": parse(items).text,
        "item": name_of(item, "for_each: item"),
        "concurrency": concurrency,
        "continue_when": expression_of(continue_when),
        "exit_when": expression_of(exit_when),
        "tolerated_failures": tolerated_failures,
    }
    return scope_of(ForEach, "for_each", values, inside_of(steps, nodes, flows), outcome)


def repeat_while(
    condition: str,
    steps: Steps = (),
    *,
    name: str = "",
    max_iterations: int = 1_000,
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    **outcome: Unpack[Outcome],
) -> Step:
    """Return a scope that is repeated as long as the condition holds; it is evaluated before each pass.

    Examples
    --------
    >>> repeat_while("not paid", [task("remind")], name="dunning", max_iterations=3).node.max_iterations
    3
    """
    values = {"name": name, "condition": parse(condition).text, "max_iterations": max_iterations}
    return scope_of(While, "repeat_while", values, inside_of(steps, nodes, flows), outcome)


def call(
    workflow: str | Workflow,
    *,
    name: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    **outcome: Unpack[Outcome],
) -> Step:
    """Return a call of another workflow, given by its name, or by its definition, which is then embedded.

    Examples
    --------
    >>> call("billing", inputs={"amount": "order.amount"}).node.workflow
    'billing'
    """
    called = workflow if isinstance(workflow, str) else workflow.name
    values = {"name": name or called, "workflow": called, "inputs": copy.deepcopy(dict(inputs or {}))}
    step = step_of(f"call {called!r}", Call, values, outcome)
    return step if isinstance(workflow, str) else replace(step, definition=workflow)


def wait_for(
    *,
    callback: str | None = None,
    event: str | None = None,
    timer: Duration | None = None,
    match: str | None = None,
    name: str = "",
    **outcome: Unpack[Outcome],
) -> Step:
    """Return a wait for a callback, an event or a time.

    Parameters
    ----------
    callback, event
        Its name, which is also the node's unless ``name`` is given. The result is what comes with it.
    timer
        A duration, or an expression that gives one or a date and time.
    match
        For an event: an expression over the variables and ``event``.
    name
        Of the node.
    **outcome
        As for `task`.

    Examples
    --------
    >>> wait_for(callback="carrier_confirmation", timeout="2 days").node.timeout_s
    172800.0
    """
    if sum(value is not None for value in (callback, event, timer)) != 1:
        message = "wait_for: give one of callback, event or timer."
        raise WorkflowError(message)
    if match is not None and event is None:
        message = "wait_for: match belongs to an event."
        raise WorkflowError(message)
    subject, timer_s = callback or event, None
    kind = WaitKind.CALLBACK if callback is not None else WaitKind.EVENT
    if timer is not None:
        kind = WaitKind.TIMER
        subject, timer_s = timer_of(timer)
    values = {
        "name": name or callback or event or "",
        "kind": kind,
        "subject": subject,
        "match": expression_of(match),
        "duration_s": timer_s,
    }
    return step_of("wait_for", Wait, values, outcome, word="timer")


def end(
    name: str = "",
    *,
    terminate: bool = False,
    error: str | None = None,
    **about: Unpack[About],
) -> Step:
    """Return an end: of this path, with ``terminate`` of the whole scope, with ``error`` a failure of it.

    Examples
    --------
    >>> end("rejected", error="Rejected").node.error
    'Rejected'
    """
    return Step(node=End(name=name, terminate=terminate, error=error, **about), word="end")


def workflow(  # noqa: PLR0913 -- a workflow says much, each by name
    name: str,
    steps: Steps = (),
    *,
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    version: str = "1",
    description: str = "",
    inputs: Mapping[str, Any] | None = None,
    retry: Retry | Mapping[str, Any] | None = None,
    sla: Duration | None = None,
    triggers: Iterable[Trigger] = (),
    alerts: Iterable[Alert] = (),
    waive: Mapping[str, str] | None = None,
    workflows: Iterable[Workflow] = (),
) -> Workflow:
    """Return the workflow of steps, or of a free graph.

    Parameters
    ----------
    name, version, description
        Given by the author.
    steps
        Blocks, in sequence.
    nodes, flows
        Instead of steps: a graph. A flow is a `Flow`, or a chain such as ``"a -> b -> c"`` or ``"a -error-> b"``.
    inputs
        JSON Schema by input variable.
    retry
        Default policy of the tasks.
    sla
        Longest acceptable duration of a run.
    triggers, alerts, waive, workflows
        See `Workflow`.

    Raises
    ------
    WorkflowError
        A duplicate name, a flow to nowhere, a value that makes no sense.

    Examples
    --------
    >>> order = workflow("order", [task("validate"), task("ship", on_error=[task("escalate")])])
    >>> [(flow.source, flow.target, flow.kind.value) for flow in order.flows][2:4]
    [('ship', 'escalate', 'error'), ('ship', 'ship_join', 'normal')]
    """
    inside = inside_of(steps, nodes, flows)
    lowered_nodes, lowered_flows = lower(inside)
    embedded = dict.fromkeys((*workflows, *definitions_in(inside)))
    return Workflow(
        name,
        nodes=lowered_nodes,
        flows=lowered_flows,
        version=version,
        description=description,
        inputs=inputs or {},
        retry=retry_of(retry) or Retry(),
        sla=duration_of(sla, f"workflow {name!r}: sla"),
        triggers=tuple(triggers),
        alerts=tuple(alerts),
        waive=waive or {},
        workflows=tuple(embedded),
    )
