"""A workflow as two frames, or as a graph, and back; all by way of its canonical form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchkit.errors import WorkflowError, nearest
from orchkit.model.nodes import Call, End, ForEach, Gateway, Saga, Scope, Start, Task, Wait, While
from orchkit.model.records import Record, canonical_json

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["FLOW_COLUMNS", "NODE_COLUMNS", "Frames", "frames_of", "graph_of", "record_of_frames", "record_of_graph"]

NODE_COLUMNS = (
    "node",
    "kind",
    "scope",
    "description",
    "executor",
    "role",
    "timeout_s",
    "output",
    "settings",
    "options",
)
FLOW_COLUMNS = ("source", "target", "condition", "kind", "scope")

_SCOPES = ("scope", "for_each", "while", "saga")
_CLASSES = (Start, End, Task, Gateway, Wait, Scope, ForEach, While, Saga, Call)
_FIELDS = {field.name for cls in _CLASSES for field in fields(cls)} - {"name", "nodes", "flows"} | {"wait"}
_ATTRIBUTE = "orchkit"


@dataclass(frozen=True, slots=True)
class Frames:
    """The two tables of a workflow.

    Attributes
    ----------
    nodes
        One row per node: ``node`` (its name), ``kind``, ``scope`` (the scope that it is in; none at the top),
        ``description``, ``executor``, ``role``, ``timeout_s``, ``output``, ``settings`` (the executor's, a dict) and
        ``options`` (all else that differs from its default, a dict by field of the node).
    flows
        One row per flow: ``source``, ``target``, ``condition``, ``kind`` (normal, error or timeout), ``scope``.
    """

    nodes: pd.DataFrame
    flows: pd.DataFrame

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield the two, so that ``nodes, flows = workflow.to_frames()``."""
        yield self.nodes
        yield self.flows


def _walk(record: Record, scope: str | None = None) -> Iterator[tuple[str | None, list[Record], list[Record]]]:
    """Yield each graph of a workflow: the scope's name, its nodes, its flows."""
    nodes = record.get("nodes", [])
    yield scope, nodes, record.get("flows", [])
    for node in nodes:
        if node["kind"] in _SCOPES:
            yield from _walk(node, node["name"])


def _own(node: Record) -> Record:
    """Return a node's record without what is in other rows."""
    return {key: value for key, value in node.items() if key not in ("nodes", "flows")}


def _about(record: Record) -> Record:
    """Return what a workflow says beside its two tables."""
    return {key: value for key, value in record.items() if key not in ("nodes", "flows")}


def frames_of(record: Record) -> Frames:
    """Return the two tables of a canonical form."""
    node_rows, flow_rows = [], []
    for scope, nodes, flows in _walk(record):
        for node in nodes:
            own = _own(node)
            row = {"node": own.pop("name"), "kind": own.pop("kind"), "scope": scope}
            row |= {key: own.pop(key, None) for key in NODE_COLUMNS[3:-2]}
            node_rows.append(row | {"settings": own.pop("settings", {}), "options": own})
        flow_rows += [
            {
                "source": flow["source"],
                "target": flow["target"],
                "condition": flow.get("condition"),
                "kind": flow.get("kind", "normal"),
                "scope": scope,
            }
            for flow in flows
        ]
    text = pd.StringDtype(na_value=float("nan"))
    frames = Frames(
        pd.DataFrame(node_rows, columns=list(NODE_COLUMNS)).astype(
            {**dict.fromkeys(NODE_COLUMNS[:-2], text), "timeout_s": "float64"},
        ),
        pd.DataFrame(flow_rows, columns=list(FLOW_COLUMNS)).astype(text),
    )
    for frame in frames:
        frame.attrs[_ATTRIBUTE] = canonical_json(_about(record))
    return frames


def record_of_frames(nodes: pd.DataFrame, flows: pd.DataFrame, name: str | None = None) -> Record:
    """Return the canonical form of two tables; what is not in them is in the ``attrs`` of the first."""
    known = {*NODE_COLUMNS, *_FIELDS}
    for column in nodes.columns:
        if column not in known:
            message = f"nodes: there is no column {column!r}.{nearest(str(column), known)}"
            raise WorkflowError(message)
    for column in flows.columns:
        if column not in FLOW_COLUMNS:
            message = f"flows: there is no column {column!r}.{nearest(str(column), FLOW_COLUMNS)}"
            raise WorkflowError(message)
    node_records = []
    for row in _rows(nodes, required=("node",), where="nodes"):
        options = _mapping(row.pop("options", {}), "options")
        settings = _mapping(row.pop("settings", {}), "settings")
        if settings:
            row["settings"] = settings
        node_records.append({"name": row.pop("node"), **row, **options})
    flow_records = list(_rows(flows, required=("source", "target"), where="flows"))
    about = json.loads(nodes.attrs.get(_ATTRIBUTE, "{}"))
    return _nested(_named(about, name), node_records, flow_records)


def _named(about: Record, name: str | None) -> Record:
    return {**about, "workflow": name or about.get("workflow") or "workflow"}


def _rows(frame: pd.DataFrame, *, required: tuple[str, ...], where: str) -> Iterator[Record]:
    for column in required:
        if column not in frame.columns:
            message = f"{where}: the column {column!r} is missing."
            raise WorkflowError(message)
    for position, row in enumerate(frame.to_dict("records")):
        values = {str(column): _scalar(value) for column, value in row.items() if not _is_missing(value)}
        for column in ("node", "source", "target", "scope"):
            if column in values:
                values[column] = str(values[column])  # a CSV file makes a number of "7"
        for column in required:
            if column not in values:
                message = f"{where}: row {position} has no {column!r}."
                raise WorkflowError(message)
        yield values


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _scalar(value: Any) -> Any:  # noqa: ANN401 -- what a cell holds
    """Return a numpy scalar as Python's."""
    return value.item() if hasattr(value, "item") else value


def _mapping(value: object, column: str) -> Record:
    """Return a dict, also from the JSON text that it becomes in a CSV or Excel file."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, Mapping):
        message = f"nodes: {column} must be a dict, or its JSON text."
        raise WorkflowError(message)
    return dict(value)


def _nested(about: Record, nodes: list[Record], flows: list[Record]) -> Record:
    """Put the nodes and flows, each with its ``scope``, into their scopes."""
    scopes: dict[str | None, Record] = {None: {**about, "nodes": [], "flows": []}}
    for node in nodes:
        if node.get("kind") in _SCOPES:
            scopes[str(node["name"])] = node
    places = [(record, record.pop("scope", None)) for record in nodes]
    for node, scope in places:
        _graph_at(scopes, scope).setdefault("nodes", []).append(node)
    for flow in flows:
        _graph_at(scopes, flow.pop("scope", None)).setdefault("flows", []).append(flow)
    _refuse_circles(places)
    return scopes[None]


def _graph_at(scopes: dict[str | None, Record], scope: Any) -> Record:  # noqa: ANN401 -- what a cell holds
    if scope not in scopes:
        known = [str(name) for name in scopes if name is not None]
        message = f"There is no scope {scope!r}.{nearest(str(scope), known)}"
        raise WorkflowError(message)
    return scopes[scope]


def _refuse_circles(places: list[tuple[Record, str | None]]) -> None:
    around = {str(node["name"]): scope for node, scope in places}
    for name in around:
        seen: set[str] = set()
        scope: str | None = name
        while scope is not None:
            if scope in seen:
                message = f"The scope {scope!r} is inside itself."
                raise WorkflowError(message, node=scope)
            seen.add(scope)
            scope = around.get(scope)


def graph_of(record: Record) -> nx.MultiDiGraph[str]:
    """Return the graph of a canonical form."""
    import networkx as nx  # noqa: PLC0415 -- 0.1 s to import, on use

    about = _about(record)
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=about.pop("workflow"), **about)
    order = 0
    for scope, nodes, flows in _walk(record):
        for node in nodes:
            own = _own(node)
            graph.add_node(own.pop("name"), scope=scope, **own)
        for flow in flows:
            attributes = {"condition": flow.get("condition"), "kind": flow.get("kind", "normal"), "scope": scope}
            graph.add_edge(flow["source"], flow["target"], **attributes, order=order)
            order += 1
    return graph


def record_of_graph(graph: nx.Graph[Any], name: str | None = None) -> Record:
    """Return the canonical form of a graph; what is not in its nodes and edges is in its attributes."""
    if not graph.is_directed():
        raise WorkflowError("A workflow's graph is directed: give a networkx.DiGraph or MultiDiGraph.")
    about = dict(graph.graph)
    about = _named(about, name or about.pop("name", None))
    nodes = [{"name": str(name), **_present(attributes)} for name, attributes in graph.nodes(data=True)]
    edges = sorted(graph.edges(data=True), key=lambda edge: edge[2].get("order", float("inf")))
    flows = [
        {
            "source": str(source),
            "target": str(target),
            **{key: value for key, value in _present(attributes).items() if key in ("condition", "kind", "scope")},
        }
        for source, target, attributes in edges
    ]
    return _nested(about, nodes, flows)


def _present(attributes: Mapping[str, Any]) -> Record:
    return {key: value for key, value in attributes.items() if value is not None}
