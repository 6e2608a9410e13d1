"""Workflow: the definition, pure data."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchkit.errors import WorkflowError, nearest
from orchkit.model.nodes import Flow, Node, NodeBase, Scope, Task
from orchkit.model.records import (
    Record,
    canonical_json,
    flow_from_record,
    flow_record,
    node_from_record,
    node_record,
    values_record,
)
from orchkit.model.retry import Retry
from orchkit.units import Duration, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Alert", "Trigger", "Workflow", "all_nodes"]


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition on the workflow's metrics, such as ``failure_rate > 10%``, over a window.

    ``window`` is a duration, kept in seconds; ``severity`` is ``info``, ``warning`` or ``critical``.
    """

    name: str
    condition: str
    window: Duration = 900.0
    severity: str = "warning"

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", seconds(self.window))


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts runs: its kind (``schedule``, ``webhook``, ``event`` …) and its settings."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, eq=False)
class Workflow:
    """A workflow: nodes and flows, with what a run of it needs to know.

    Two workflows are equal when their canonical forms are, that is, when their digests are.

    Parameters
    ----------
    name, version
        The author's.
    nodes, flows
        The two tables. Names of nodes are unique in the whole workflow, scopes included.
    description
        For people.
    inputs
        JSON Schema by input variable.
    retry
        Default policy of the tasks.
    sla
        Longest acceptable duration of a run; kept in seconds.
    triggers, alerts
        What starts runs, what raises an alarm.
    waive
        Rules of ``check`` that do not apply here, each with the reason.
    workflows
        Definitions of the workflows that it calls.

    Raises
    ------
    WorkflowError
        A duplicate name, a flow to nowhere.

    Examples
    --------
    >>> from orchkit.model.nodes import End, Start
    >>> order = Workflow(
    ...     "order",
    ...     nodes=(Start(name="start"), Task(name="ship"), End(name="end")),
    ...     flows=(Flow("start", "ship"), Flow("ship", "end")),
    ... )
    >>> order.node("ship").executor
    'python'
    >>> order == Workflow.from_record(order.to_record())
    True
    """

    name: str
    nodes: tuple[Node, ...] = ()
    flows: tuple[Flow, ...] = ()
    version: str = "1"
    description: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    sla: Duration | None = None
    triggers: tuple[Trigger, ...] = ()
    alerts: tuple[Alert, ...] = ()
    waive: Mapping[str, str] = field(default_factory=dict)
    workflows: tuple[Workflow, ...] = ()
    digest: str = field(init=False, default="")
    _index: dict[str, Node] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if not self.name:
            message = "A workflow needs a name."
            raise WorkflowError(message)
        for name in ("nodes", "flows", "triggers", "alerts", "workflows"):
            keep(self, name, tuple(getattr(self, name)))
        for name in ("inputs", "waive"):
            keep(self, name, copy.deepcopy(dict(getattr(self, name))))
        if self.sla is not None:
            keep(self, "sla", seconds(self.sla))
        index: dict[str, Node] = {}
        _index_graph(self.nodes, self.flows, index, where=f"workflow {self.name!r}")
        keep(self, "_index", index)
        text = canonical_json(self.to_record())
        keep(self, "digest", hashlib.sha256(text.encode()).hexdigest()[:16])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workflow) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} version {self.version}: {len(self._index)} nodes, digest {self.digest}>"

    def node(self, name: str) -> Node:
        """Return the node of a name, in whatever scope it is.

        Raises
        ------
        WorkflowError
            No such node.
        """
        try:
            return self._index[name]
        except KeyError:
            message = f"There is no node {name!r} in workflow {self.name!r}.{nearest(name, self._index)}"
            raise WorkflowError(message, node=name) from None

    def called(self, name: str) -> Workflow | None:
        """Return the definition of a workflow that this one calls, or None where it is not known."""
        if name == self.name:
            return self
        return next((workflow for workflow in self.workflows if workflow.name == name), None)

    def to_record(self) -> Record:
        """Return the canonical form, JSON values."""
        record: Record = {"workflow": self.name, "version": self.version}
        record |= values_record(
            self,
            skip=("name", "version", "nodes", "flows", "retry", "triggers", "alerts", "workflows"),
        )
        if self.retry != Retry():
            record["retry"] = values_record(self.retry)
        record["nodes"] = [node_record(node) for node in self.nodes]
        record["flows"] = [flow_record(flow) for flow in self.flows]
        for name in ("triggers", "alerts"):
            if getattr(self, name):
                record[name] = [values_record(item) for item in getattr(self, name)]
        if self.workflows:
            record["workflows"] = [workflow.to_record() for workflow in self.workflows]
        return record

    @classmethod
    def from_record(cls, record: Record) -> Workflow:
        """Return the workflow of a canonical form."""
        return cls(
            name=record["workflow"],
            nodes=tuple(node_from_record(item) for item in record.get("nodes", ())),
            flows=tuple(flow_from_record(item) for item in record.get("flows", ())),
            retry=Retry(**record.get("retry", {})),
            triggers=tuple(Trigger(**item) for item in record.get("triggers", ())),
            alerts=tuple(Alert(**item) for item in record.get("alerts", ())),
            workflows=tuple(cls.from_record(item) for item in record.get("workflows", ())),
            **{key: record[key] for key in ("version", "description", "inputs", "sla", "waive") if key in record},
        )

    def to_json(self) -> str:
        """Return the canonical form as text; its hash is the digest."""
        return canonical_json(self.to_record())

    @classmethod
    def from_json(cls, text: str) -> Workflow:
        """Return the workflow of a canonical form as text."""
        return cls.from_record(json.loads(text))


def _index_graph(nodes: Iterable[NodeBase], flows: Iterable[Flow], index: dict[str, Node], where: str) -> None:
    """Enter the nodes of a graph and its scopes; refuse duplicates and flows to nowhere."""
    here: set[str] = set()
    for node in nodes:
        inner = [node, node.compensate] if isinstance(getattr(node, "compensate", None), Task) else [node]
        for item in inner:
            if not item.name:
                message = f"A node of {where} has no name."
                raise WorkflowError(message)
            if item.name in index and (item is node or index[item.name] != item):  # a compensation may be shared
                message = f"Two nodes are called {item.name!r}: names are unique in the whole workflow."
                raise WorkflowError(message, node=item.name)
            index[item.name] = item  # type: ignore[assignment]  # members of the union, seen as their base
        here.add(node.name)
        if isinstance(node, Scope):
            _index_graph(node.nodes, node.flows, index, where=f"scope {node.name!r}")
    for flow in flows:
        for end in (flow.source, flow.target):
            if end not in here:
                message = f"A flow of {where} goes {flow.source!r} -> {flow.target!r}, but there is no node {end!r} in it.{nearest(end, here)}"
                raise WorkflowError(message, node=end)


def all_nodes(workflow: Workflow) -> Iterator[Node]:
    """Yield every node, those inside scopes and the compensations included.

    Examples
    --------
    >>> [node.name for node in all_nodes(Workflow("w", nodes=(Task(name="a"),)))]
    ['a']
    """
    yield from workflow._index.values()
