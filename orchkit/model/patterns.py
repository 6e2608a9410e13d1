"""The patterns as builders: verbs that give blocks, and `workflow`, which lowers blocks to nodes and flows.

A list of blocks is a sequence; a block alone may stand for a list of one. The YAML form has the same blocks under
the same names.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from orchkit.errors import ExpressionError, WorkflowError, nearest
from orchkit.model.blocks import Block, Branch, Choice, Inside, Parallel, Step, definitions_in, lower
from orchkit.model.definition import Alert, Trigger, Workflow
from orchkit.model.expressions import parse
from orchkit.model.nodes import (
    Activity,
    Call,
    End,
    Flow,
    FlowKind,
    ForEach,
    Node,
    Saga,
    Scope,
    Task,
    Wait,
    WaitKind,
    While,
)
from orchkit.model.records import retry_from_record
from orchkit.model.retry import Retry
from orchkit.units import Duration, seconds

__all__ = [
    "call",
    "choice",
    "end",
    "flows_of",
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

Steps = Block | Node | Iterable[Block | Node]
Flows = Iterable[Flow | str]

_ARROW = re.compile(r"\s+-(?:(error|timeout)-)?>\s+")


class _About(TypedDict, total=False):
    """What every node may say."""

    description: str
    waive: Mapping[str, str]


class _Outcome(_About, total=False):
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


def task(  # noqa: PLR0913 -- a task says much, each by name
    name: str,
    *,
    python: str | Mapping[str, Any] | None = None,
    http: Mapping[str, Any] | None = None,
    executor: str = "python",
    settings: Mapping[str, Any] | None = None,
    role: str | None = None,
    retry: Retry | Mapping[str, Any] | None = None,
    deadline: Duration | None = None,
    heartbeat: Duration | None = None,
    retry_on: Iterable[str] = (),
    fail_on: Iterable[str] = (),
    idempotency_key: str | None = None,
    **outcome: Unpack[_Outcome],
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
    executor, settings
        Any other executor, and what it needs.
    role
        Who may do it.
    retry
        Instead of the workflow's.
    deadline, heartbeat
        Of all attempts; between two signs of life.
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
    if sum((python is not None, http is not None, executor != "python" or settings is not None)) > 1:
        message = f"{where}: give one of python, http, or executor with settings."
        raise WorkflowError(message, node=name)
    if http is not None:
        executor, settings = "http", http
    elif python is not None:
        settings = {"handler": python} if isinstance(python, str) else python
    return _step(
        where,
        Task,
        {
            "name": _name(name, "task"),
            "executor": executor,
            "settings": copy.deepcopy(dict(settings or {})),
            "role": role,
            "retry": _retry(retry),
            "deadline_s": _duration(deadline, f"{where}: deadline"),
            "heartbeat_s": _duration(heartbeat, f"{where}: heartbeat"),
            "retry_on": _texts(retry_on),
            "fail_on": _texts(fail_on),
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
    return Branch(parse(condition).text, _blocks(steps))


def otherwise(steps: Steps = ()) -> Branch:
    """Return the branch that is taken when no other is."""
    return Branch(None, _blocks(steps))


def choice(*branches: Branch, name: str = "", **about: Unpack[_About]) -> Choice:
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


def parallel(*branches: Steps, name: str = "", **about: Unpack[_About]) -> Parallel:
    """Return a block that takes all its branches at once and goes on when all have ended.

    Examples
    --------
    >>> block = parallel(task("update_crm"), [task("pick"), task("pack")])
    >>> [node.name for node in workflow("w", [block]).nodes]
    ['start', 'parallel_1', 'update_crm', 'pick', 'pack', 'parallel_1_end', 'end']
    """
    return Parallel(name=name, branches=tuple(_blocks(branch) for branch in branches), **about)


def scope(
    steps: Steps = (),
    *,
    name: str = "",
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    **outcome: Unpack[_Outcome],
) -> Step:
    """Return a scope: steps (or a free graph of ``nodes`` and ``flows``) with a timeout or error path of their own."""
    return _scope(Scope, "scope", {"name": name}, _inside(steps, nodes, flows), outcome)


def saga(
    steps: Steps = (),
    *,
    name: str = "",
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    **outcome: Unpack[_Outcome],
) -> Step:
    """Return a scope that undoes what it has done, in reverse order, when one of its steps fails for good."""
    return _scope(Saga, "saga", {"name": name}, _inside(steps, nodes, flows), outcome)


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
    **outcome: Unpack[_Outcome],
) -> Step:
    """Return a scope that runs once for each item.

    Parameters
    ----------
    items
        An expression that gives a list.
    steps
        What is done with an item.
    item
        Variable that holds it.
    name
        Of the node.
    concurrency
        Items at once.
    continue_when, exit_when
        Expressions: skip the item; begin no more.
    tolerated_failures
        How many items may fail: a count, or a share such as ``"10%"``.
    nodes, flows
        A free graph instead of steps.
    **outcome
        As for `task`.
    """
    values = {
        "name": name,
        "items": parse(items).text,
        "item": _name(item, "for_each: item"),
        "concurrency": concurrency,
        "continue_when": _expression(continue_when),
        "exit_when": _expression(exit_when),
        "tolerated_failures": tolerated_failures,
    }
    return _scope(ForEach, "for_each", values, _inside(steps, nodes, flows), outcome)


def repeat_while(
    condition: str,
    steps: Steps = (),
    *,
    name: str = "",
    max_iterations: int = 1_000,
    nodes: Iterable[Step | Node] | None = None,
    flows: Flows = (),
    **outcome: Unpack[_Outcome],
) -> Step:
    """Return a scope that runs as long as the condition holds, asked before each pass."""
    values = {"name": name, "condition": parse(condition).text, "max_iterations": max_iterations}
    return _scope(While, "repeat_while", values, _inside(steps, nodes, flows), outcome)


def call(
    workflow: str | Workflow,  # noqa: A002, RUF100 -- the word of the YAML form
    *,
    name: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    **outcome: Unpack[_Outcome],
) -> Step:
    """Return a call of another workflow: its name, or its definition, which is then embedded."""
    called = workflow if isinstance(workflow, str) else workflow.name
    values = {"name": name or called, "workflow": called, "inputs": copy.deepcopy(dict(inputs or {}))}
    step = _step(f"call {called!r}", Call, values, outcome)
    return step if isinstance(workflow, str) else replace(step, definition=workflow)


def wait_for(
    *,
    callback: str | None = None,
    event: str | None = None,
    timer: Duration | None = None,
    match: str | None = None,
    name: str = "",
    **outcome: Unpack[_Outcome],
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
    subject, duration_s = callback or event, None
    kind = WaitKind.CALLBACK if callback is not None else WaitKind.EVENT
    if timer is not None:
        kind = WaitKind.TIMER
        subject, duration_s = _timer(timer)
    values = {
        "name": name or callback or event or "",
        "kind": kind,
        "subject": subject,
        "match": _expression(match),
        "duration_s": duration_s,
    }
    return _step("wait_for", Wait, values, outcome, word="timer")


def end(
    name: str = "",
    *,
    terminate: bool = False,
    error: str | None = None,
    **about: Unpack[_About],
) -> Step:
    """Return an end: of this path, with ``terminate`` of the whole scope, with ``error`` a failure of it."""
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
        The author's.
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
    inside = _inside(steps, nodes, flows)
    lowered_nodes, lowered_flows = lower(inside)
    embedded = dict.fromkeys((*workflows, *definitions_in(inside)))
    return Workflow(
        name,
        nodes=lowered_nodes,
        flows=lowered_flows,
        version=version,
        description=description,
        inputs=inputs or {},
        retry=_retry(retry) or Retry(),
        sla=_duration(sla, f"workflow {name!r}: sla"),
        triggers=tuple(triggers),
        alerts=tuple(alerts),
        waive=waive or {},
        workflows=tuple(embedded),
    )


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


# Parts ---------------------------------------------------------------------------


def _blocks(steps: Steps) -> tuple[Block, ...]:
    if isinstance(steps, Block | Node):
        return (_block(steps),)
    if isinstance(steps, str | Mapping) or not isinstance(steps, Iterable):
        message = f"Steps are blocks such as task('ship') or a list of them, not {steps!r}."
        raise WorkflowError(message)
    return tuple(_block(item) for item in steps)


def _block(item: object) -> Block:
    if isinstance(item, Block):
        return item
    if isinstance(item, Node):
        return Step(node=item)
    message = f"A step is a block such as task('ship') or parallel(…), not {item!r}."
    raise WorkflowError(message)


def _inside(steps: Steps, nodes: Iterable[Step | Node] | None, flows: Flows) -> Inside:
    blocks = _blocks(steps)
    free_flows = tuple(
        flow for item in flows for flow in (flows_of(item) if isinstance(item, str) else [item])
    )
    if nodes is None:
        if free_flows:
            message = "Flows need nodes: give steps, or nodes and flows."
            raise WorkflowError(message)
        return Inside(steps=blocks)
    if blocks:
        message = "Give steps, or nodes and flows, not both."
        raise WorkflowError(message)
    free = []
    for block in (_block(item) for item in nodes):
        if not isinstance(block, Step):
            message = "A choice or a parallel is made of several nodes: put it in a scope, or write its gateways."
            raise WorkflowError(message)
        if block.on_error or block.on_timeout is not None or block.substitute:
            name = block.node.name
            message = f"{name!r}: in a free graph write the path as a flow: '{name} -error-> …', '{name} -timeout-> …'."
            raise WorkflowError(message, node=name)
        free.append(block)
    return Inside(nodes=tuple(free), flows=free_flows)


def _scope(cls: type[Scope], word: str, values: dict[str, Any], inside: Inside, outcome: _Outcome) -> Step:
    return replace(_step(word, cls, values, outcome), inside=inside)


def _step(where: str, cls: type[Activity], values: dict[str, Any], outcome: _Outcome, word: str = "") -> Step:
    """Return a block of one activity, with the paths that its outcomes take."""
    unknown = set(outcome) - _Outcome.__annotations__.keys()
    if unknown:
        name = min(unknown)
        message = f"{where} has no {name!r}.{nearest(name, (*values, *_Outcome.__annotations__))}"
        raise TypeError(message)
    fallback = outcome.get("fallback")
    substitute = _block(fallback) if isinstance(fallback, Step | Node) else None
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
        timeout_s=_duration(outcome.get("timeout"), f"{where}: timeout"),
        fallback=copy.deepcopy(fallback) if substitute is None else None,
        compensate=_compensation(where, outcome.get("compensate")),
        alert=outcome.get("alert"),
    )
    return Step(
        node=node,
        word=word or where,
        on_error=on_error,
        on_timeout=None if on_timeout is None else _blocks(on_timeout),
        substitute=substitute,
    )


def _error_paths(on_error: Steps | Sequence[Branch] | None) -> tuple[Branch, ...]:
    if on_error is None:
        return ()
    if isinstance(on_error, Branch):
        return (on_error,)
    if isinstance(on_error, Sequence) and on_error and all(isinstance(item, Branch) for item in on_error):
        return tuple(on_error)
    return (otherwise(on_error),)


def _compensation(where: str, value: Step | Task | str | None) -> Task | str | None:
    if value is None or value == "none":
        return value
    if isinstance(value, str):
        return Task(name=value)
    step = _block(value)
    if not (isinstance(step, Step) and isinstance(step.node, Task)):
        message = f"{where}: compensate is a task, the name of one, or 'none'."
        raise WorkflowError(message)
    if step.on_error or step.on_timeout is not None or step.substitute or step.node.compensate is not None:
        message = f"{where}: a compensation has no paths and no compensation of its own."
        raise WorkflowError(message, node=step.node.name)
    return step.node


def _name(name: str, where: str) -> str:
    if not isinstance(name, str) or not name:
        message = f"{where}: a name is text, not {name!r}."
        raise WorkflowError(message)
    return name


def _expression(text: str | None) -> str | None:
    return None if text is None else parse(text).text


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(str(value) for value in values)


def _retry(retry: Retry | Mapping[str, Any] | None) -> Retry | None:
    return retry_from_record(retry) if isinstance(retry, Mapping) else retry


def _duration(duration: Duration | None, where: str) -> float | None:
    try:
        return None if duration is None else seconds(duration)
    except ValueError as error:
        message = f"{where}: {error}"
        raise WorkflowError(message) from None


def _timer(timer: Duration) -> tuple[str | None, float | None]:
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
