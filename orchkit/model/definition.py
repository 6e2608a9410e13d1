"""Workflow: the definition, pure data."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from orchkit.errors import WorkflowError, nearest
from orchkit.model.durations import duration_s
from orchkit.model.nodes import Activity, Flow, Node, Scope, Task
from orchkit.model.records import (
    Record,
    canonical_json,
    checked_fields,
    checked_records,
    checked_text,
    flow_from_record,
    flow_record,
    node_from_record,
    node_record,
    retry_from_record,
    values_record,
)
from orchkit.model.retry import Retry
from orchkit.model.tables import Frames, frames_of, graph_of, record_of_frames, record_of_graph
from orchkit.units import Duration

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    import networkx as nx
    import pandas as pd

__all__ = ["Alert", "Trigger", "Workflow", "all_nodes", "check_kind"]

_SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: a condition on the workflow's metrics over a window, such as ``failure_rate > 10%``.

    ``window`` is a duration, kept in seconds; ``severity`` is ``info``, ``warning`` or ``critical``.

    Examples
    --------
    >>> Alert("high_failure_rate", "failure_rate > 10%", window="15 min").window
    900.0
    """

    name: str
    condition: str
    window: Duration = 900.0
    severity: str = "warning"

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", duration_s(self.window, f"alert {self.name!r}: window"))
        if self.severity not in _SEVERITIES:
            known = ", ".join(_SEVERITIES)
            hint = nearest(str(self.severity), _SEVERITIES)
            message = f"alert {self.name!r}: severity is one of {known}, not {self.severity!r}.{hint}"
            raise WorkflowError(message)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts runs: its kind (``schedule``, ``webhook``, ``event`` …) and its settings.

    Examples
    --------
    >>> Trigger("event", {"event": "placed", "match": "event.total > 0", "case": "${event.id}"}).kind
    'event'
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, eq=False)
class Workflow:
    """A workflow: nodes and flows, with what a run of it needs to know.

    Two workflows are equal when their canonical forms are, that is, when their digests are.

    Parameters
    ----------
    name, version
        Given by the author.
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
            keep(self, "sla", duration_s(self.sla, f"workflow {self.name!r}: sla"))
        index: dict[str, Node] = {}
        _index_graph(self.nodes, self.flows, index, where=f"workflow {self.name!r}")
        keep(self, "_index", index)
        try:
            text = canonical_json(self.to_record()).encode()
        except (TypeError, ValueError, RecursionError) as error:
            message = f"Workflow {self.name!r} holds what is not a JSON value: {error}"
            raise WorkflowError(message) from None
        keep(self, "digest", hashlib.sha256(text).hexdigest()[:16])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workflow) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} version {self.version}: {len(self._index)} nodes, digest {self.digest}>"

    def node(self, name: str) -> Node:
        """Return the node with this name, in any scope.

        Raises
        ------
        WorkflowError
            There is no such node.
        """
        try:
            return self._index[name]
        except KeyError:
            message = f"There is no node {name!r} in workflow {self.name!r}.{nearest(name, self._index)}"
            raise WorkflowError(message, node=name) from None

    def called(self, name: str) -> Workflow | None:
        """Return the definition of a workflow that this one calls, or None if it is not known."""
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
        """Return the workflow that a canonical form defines.

        Raises
        ------
        WorkflowError
            An unknown field, a value of the wrong type.
        """
        known = ("workflow", *(field.name for field in fields(cls) if field.init and field.name != "name"))
        for key in record:
            if key not in known:
                message = f"A workflow has no {key!r}.{nearest(str(key), known)} Known: {', '.join(known)}."
                raise WorkflowError(message)
        name = checked_text(record.get("workflow"), "workflow")
        values: Record = {
            key: checked_text(record[key], f"workflow {name!r}: {key}")
            for key in ("version", "description")
            if key in record
        }
        for key in ("inputs", "waive", "retry"):
            values[key] = record.get(key, {})
            if not isinstance(values[key], Mapping):
                message = f"workflow {name!r}: {key} must be a mapping, not {values[key]!r}."
                raise WorkflowError(message)
        values["retry"] = retry_from_record(values["retry"])
        many = {
            key: checked_records(record.get(key, ()), f"workflow {name!r}: {key}")
            for key in ("nodes", "flows", "triggers", "alerts", "workflows")
        }
        return cls(
            name,
            nodes=tuple(node_from_record(item) for item in many["nodes"]),
            flows=tuple(flow_from_record(item) for item in many["flows"]),
            triggers=tuple(Trigger(**checked_fields(item, Trigger, "a trigger")) for item in many["triggers"]),
            alerts=tuple(Alert(**checked_fields(item, Alert, "an alert")) for item in many["alerts"]),
            workflows=tuple(cls.from_record(item) for item in many["workflows"]),
            sla=record.get("sla"),
            **values,
        )

    def _repr_mimebundle_(
        self,
        include: Container[str] | None = None,
        exclude: Container[str] | None = None,
    ) -> dict[str, Any]:
        from orchkit.view.diagram import draw  # noqa: PLC0415 -- a value may draw itself, and only that looks up

        return draw(self)._repr_mimebundle_(include, exclude)

    def to_json(self) -> str:
        """Return the canonical form as text; its hash is the digest."""
        return canonical_json(self.to_record())

    @classmethod
    def from_json(cls, text: str) -> Workflow:
        """Return the workflow that the text of a canonical form defines.

        Raises
        ------
        WorkflowError
            Not JSON, or not a workflow.
        """
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            message = f"This is not the JSON of a workflow: {error}"
            raise WorkflowError(message) from None
        if not isinstance(record, dict):
            message = f"This is not the JSON of a workflow: expected an object, not {type(record).__name__}."
            raise WorkflowError(message)
        return cls.from_record(record)

    def to_frames(self) -> Frames:
        """Return the two tables: one row per node, one row per flow; see `Frames` for the columns.

        Examples
        --------
        >>> nodes, _ = Workflow("w", nodes=(Task(name="pay", role="clerk"), Task(name="ship"))).to_frames()
        >>> nodes[["node", "kind", "role"]]
           node  kind   role
        0   pay  task  clerk
        1  ship  task    NaN
        """
        return frames_of(self.to_record())

    @classmethod
    def from_frames(
        cls,
        nodes: pd.DataFrame,
        flows: pd.DataFrame,
        name: str | None = None,
        **values: Any,  # noqa: ANN401 -- the constructor's
    ) -> Workflow:
        """Return the workflow that two tables define.

        Parameters
        ----------
        nodes
            Needs the column ``node``; a row without ``kind`` is a task. Any field of a node may be a column.
        flows
            Needs the columns ``source`` and ``target``.
        name, **values
            What is not in the tables: ``version``, ``inputs`` … Frames of `to_frames` carry them in ``attrs``.

        Raises
        ------
        WorkflowError
            An unknown column, a missing one, a value of the wrong type, a scope that is not there.

        Examples
        --------
        >>> import pandas as pd
        >>> nodes = pd.DataFrame({"node": ["pay", "ship"]})
        >>> Workflow.from_frames(nodes, pd.DataFrame({"source": ["pay"], "target": ["ship"]}), "order").flows
        (Flow(source='pay', target='ship', condition=None, kind=<FlowKind.NORMAL: 'normal'>),)
        """
        return replace(cls.from_record(record_of_frames(nodes, flows, name)), **values)

    @property
    def graph(self) -> nx.MultiDiGraph[str]:
        """The graph of all nodes, those in scopes included.

        Nodes have the attributes ``kind``, ``scope`` (None at the top) and the fields that differ from their
        defaults; edges have ``condition``, ``kind``, ``scope`` and ``order``.
        """
        return graph_of(self.to_record())

    @classmethod
    def from_graph(cls, graph: nx.Graph[Any], name: str | None = None, **values: Any) -> Workflow:  # noqa: ANN401
        """Return the workflow that a directed graph defines: that of `graph`, or one made by hand.

        A node without ``kind`` is a task; edges need no attribute.

        Raises
        ------
        WorkflowError
            Not directed, an unknown attribute of a node, a value of the wrong type, a scope that is not there.

        Examples
        --------
        >>> import networkx as nx
        >>> Workflow.from_graph(nx.path_graph(["pay", "ship"], create_using=nx.DiGraph), "order")
        <Workflow 'order' version 1: 2 nodes, digest ...>
        """
        return replace(cls.from_record(record_of_graph(graph, name)), **values)


def _index_graph(nodes: Iterable[Node], flows: Iterable[Flow], index: dict[str, Node], where: str) -> None:
    """Enter the nodes of a graph and its scopes; refuse duplicates and flows to nowhere."""
    here: set[str] = set()
    for node in nodes:
        _enter(node, index, where)
        undo = node.compensate if isinstance(node, Activity) else None
        if isinstance(undo, Task) and index.get(undo.name) != undo:  # two tasks may share one
            _enter(undo, index, where)
        here.add(node.name)
        if isinstance(node, Scope):
            _index_graph(node.nodes, node.flows, index, where=f"scope {node.name!r}")
    for flow in flows:
        for end in (flow.source, flow.target):
            if end not in here:
                way = f"{flow.source!r} -> {flow.target!r}"
                message = f"A flow of {where} goes {way}, but there is no node {end!r} in it.{nearest(end, here)}"
                raise WorkflowError(message, node=end)


def _enter(node: Node, index: dict[str, Node], where: str) -> None:
    if not node.name:
        message = f"A node of {where} has no name."
        raise WorkflowError(message)
    if node.name in index:
        message = f"Two nodes are called {node.name!r}: names are unique in the whole workflow."
        raise WorkflowError(message, node=node.name)
    index[node.name] = node


def all_nodes(workflow: Workflow) -> Iterator[Node]:
    """Yield every node, those inside scopes and the compensations included.

    Examples
    --------
    >>> [node.name for node in all_nodes(Workflow("w", nodes=(Task(name="a"),)))]
    ['a']
    """
    yield from workflow._index.values()


def check_kind(thing: object, verb: str) -> None:
    """Raise where something else than a workflow is given to a verb.

    Raises
    ------
    WorkflowError
        It says what to give.
    """
    if not isinstance(thing, Workflow):
        message = f"{verb} takes a workflow, not {type(thing).__name__}: read_workflow(path) gives one."
        raise WorkflowError(message)
