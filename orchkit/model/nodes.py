"""Nodes and flows: the two tables that a workflow is made of.

A node is a frozen value. Durations are kept as float seconds (suffix ``_s``); the builders in
``orchkit.model.patterns`` and the YAML form take ``"5 min"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchkit.model.retry import Retry
from orchkit.model.states import ErrorClass

__all__ = [
    "Activity",
    "Call",
    "End",
    "Flow",
    "FlowKind",
    "ForEach",
    "Gateway",
    "GatewayKind",
    "Node",
    "NodeBase",
    "Saga",
    "Scope",
    "Start",
    "Task",
    "Wait",
    "WaitKind",
    "While",
    "kind_of",
]

Settings = Mapping[str, Any]


def _empty() -> Settings:
    return {}


class FlowKind(StrEnum):
    """What makes a token take a flow."""

    NORMAL = "normal"
    ERROR = "error"
    TIMEOUT = "timeout"


class GatewayKind(StrEnum):
    """How a gateway joins and splits."""

    EXCLUSIVE = "exclusive"
    PARALLEL = "parallel"
    INCLUSIVE = "inclusive"
    EVENT = "event"


class WaitKind(StrEnum):
    """What a wait waits for."""

    CALLBACK = "callback"
    EVENT = "event"
    TIMER = "timer"


@dataclass(frozen=True, slots=True)
class Flow:
    """A directed edge.

    Attributes
    ----------
    source, target
        Names of nodes of the same scope.
    condition
        An expression. On an exclusive or inclusive split, the flow without one is the default.
        On an error flow it is evaluated with ``error`` (``node, class, type, message``).
    kind
        Normal, or taken when the source fails for good or times out.
    """

    source: str
    target: str
    condition: str | None = None
    kind: FlowKind = FlowKind.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBase:
    """What all nodes have.

    Attributes
    ----------
    name
        Unique in the whole workflow, scopes included.
    description
        For people.
    waive
        Rules of ``check`` that do not apply here, each with the reason.
    """

    name: str
    description: str = ""
    waive: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(NodeBase):
    """Where a run, or a pass through a scope, begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End(NodeBase):
    """Where a token ends.

    Attributes
    ----------
    terminate
        Ends the whole scope: what is still open in it is cancelled.
    error
        Fails the scope for good with this message (a template).
    """

    terminate: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway(NodeBase):
    """A join, a split, or both.

    The flows that leave an exclusive gateway are tried in order; the first whose condition holds is
    taken. An inclusive one takes all that hold. The flow without a condition is taken when no other
    is. The flows of an event gateway lead to waits; the first that ends wins.
    """

    kind: GatewayKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity(NodeBase):
    """What tasks, waits, scopes and calls have: they begin, take time and have an outcome.

    Attributes
    ----------
    output
        Variable that gets the result; None for the node's name.
    timeout_s
        Of an attempt of a task; of the whole of a wait, a scope or a call.
    fallback
        A JSON value (a template) that stands in for the result when the node fails for good: graceful
        degradation. None for no fallback.
    compensate
        The task that undoes this one in a saga; the text ``"none"`` says that it cannot be undone.
    alert
        Name of the alert, among the workflow's, that watches this node.
    """

    output: str | None = None
    timeout_s: float | None = None
    fallback: Any = field(default=None, hash=False)
    compensate: Task | str | None = None
    alert: str | None = None

    @property
    def output_name(self) -> str:
        """The variable that gets the result."""
        return self.output or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Activity):
    """The atomic node that does work.

    Attributes
    ----------
    executor
        Name of the executor: ``"python"``, ``"http"`` …
    settings
        What the executor needs, JSON values with templates. Python: ``handler`` (default: the task's
        name) and ``arguments`` (default: variables by parameter name).
    role
        Who may do it.
    retry
        None for the workflow's default.
    deadline_s
        Of all attempts together.
    heartbeat_s
        A handler that takes ``heartbeat`` must call it at least this often.
    retry_on, fail_on
        Names of exceptions, or HTTP codes as text, that are transient or permanent here.
    idempotency_key
        A template; None for one made from run and step.
    """

    executor: str = "python"
    settings: Settings = field(default_factory=_empty, hash=False)
    role: str | None = None
    retry: Retry | None = None
    deadline_s: float | None = None
    heartbeat_s: float | None = None
    retry_on: tuple[str, ...] = ()
    fail_on: tuple[str, ...] = ()
    idempotency_key: str | None = None

    def error_class_for(self, error_type: str) -> ErrorClass | None:
        """Return the class that ``fail_on`` and ``retry_on`` give to a type of error; None where neither names it.

        Examples
        --------
        >>> task = Task(name="ship", retry_on=("404",), fail_on=("Timeout",))
        >>> [task.error_class_for(error_type) for error_type in ("404", "Timeout", "500")]
        [<ErrorClass.TRANSIENT: 'transient'>, <ErrorClass.PERMANENT: 'permanent'>, None]
        """
        if error_type in self.fail_on:
            return ErrorClass.PERMANENT
        return ErrorClass.TRANSIENT if error_type in self.retry_on else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Activity):
    """Waits for a callback, an event or a time.

    Attributes
    ----------
    kind
        Callback, event or timer.
    subject
        Name of the callback or event. For a timer: an expression that gives seconds, a duration or an
        ISO date and time; or None with ``duration_s``.
    match
        For an event: an expression over the variables and ``event``; None takes any event of the name.
    duration_s
        Of a timer.
    """

    kind: WaitKind
    subject: str | None = None
    match: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope(Activity):
    """A node with a graph inside, which is run once.

    Attributes
    ----------
    nodes, flows
        The graph inside.
    """

    nodes: tuple[Node, ...] = ()
    flows: tuple[Flow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEach(Scope):
    """Runs its graph once for each item. The result is a list: per item, the variables that it set.

    Each pass has variables of its own: the item, and what the pass sets; it reads those outside.

    Attributes
    ----------
    items
        An expression that gives a list.
    item
        Variable that holds the item of a pass.
    concurrency
        Passes at once.
    continue_when
        An expression, evaluated before a pass begins: the item is skipped.
    exit_when
        An expression: no more passes begin. Evaluated before a pass begins, and also after each
        where it reads a variable that the pass sets.
    tolerated_failures
        How many passes may fail: a count, or a share as text (``"10%"``).
    """

    items: str
    item: str = "item"
    concurrency: int = 1
    continue_when: str | None = None
    exit_when: str | None = None
    tolerated_failures: int | str = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class While(Scope):
    """Runs its graph as long as the condition holds when a pass would begin.

    Attributes
    ----------
    condition
        An expression.
    max_iterations
        The loop fails for good when it would begin one more.
    """

    condition: str
    max_iterations: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga(Scope):
    """A scope that undoes what it has done when one of its steps fails for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Activity):
    """Runs another workflow as a child.

    Attributes
    ----------
    workflow
        Its name.
    inputs
        Its inputs, templates. The result is its variables.
    """

    workflow: str
    inputs: Settings = field(default_factory=_empty, hash=False)


Node = Start | End | Task | Gateway | Wait | Scope | ForEach | While | Saga | Call


def kind_of(node: NodeBase) -> str:
    """Return the kind of a node as text, such as ``"task"``, ``"exclusive"`` or ``"for_each"``.

    Examples
    --------
    >>> kind_of(Gateway(name="g", kind=GatewayKind.PARALLEL)), kind_of(Task(name="ship"))
    ('parallel', 'task')
    """
    match node:
        case Gateway():
            return node.kind.value
        case ForEach():
            return "for_each"
        case While():
            return "while"
        case _:
            return type(node).__name__.lower()
