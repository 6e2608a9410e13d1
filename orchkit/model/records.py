"""The canonical form: nodes, flows and workflows as plain JSON values, and back.

Only what differs from its default is written, keys are sorted when it is hashed, so that the digest of a
definition does not change when orchkit learns a new field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from orchkit.errors import WorkflowError, nearest
from orchkit.model.nodes import (
    Call,
    End,
    Flow,
    FlowKind,
    ForEach,
    Gateway,
    GatewayKind,
    Node,
    NodeBase,
    Saga,
    Scope,
    Start,
    Task,
    Wait,
    WaitKind,
    While,
    kind_of,
)
from orchkit.model.retry import Retry

__all__ = ["canonical_json", "flow_from_record", "flow_record", "node_from_record", "node_record", "retry_from_record"]

Record = dict[str, Any]

_CLASSES: dict[str, type[NodeBase]] = {
    "start": Start,
    "end": End,
    "task": Task,
    "wait": Wait,
    "scope": Scope,
    "for_each": ForEach,
    "while": While,
    "saga": Saga,
    "call": Call,
    **{kind.value: Gateway for kind in GatewayKind},
}


def canonical_json(value: object) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def values_record(value: Any, *, skip: tuple[str, ...] = ()) -> Record:  # noqa: ANN401 -- a dataclass
    """Return the fields of a dataclass that differ from their defaults."""
    record: Record = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name in skip or not field.init or item == _default(field):
            continue
        record[field.name] = _plain(item)
    return record


def _default(field: Any) -> object:  # noqa: ANN401 -- a dataclasses.Field
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _plain(item: object) -> object:
    match item:
        case NodeBase():
            return node_record(item)
        case Flow():
            return flow_record(item)
        case Retry():
            return values_record(item)
        case tuple() | list():
            return [_plain(part) for part in item]
        case dict():
            return {str(key): _plain(part) for key, part in item.items()}
        case _:
            return item


def node_record(node: NodeBase) -> Record:
    """Return a node as JSON values: ``name``, ``kind`` and the fields that differ from their defaults.

    Examples
    --------
    >>> node_record(Task(name="ship", timeout_s=30.0))
    {'name': 'ship', 'kind': 'task', 'timeout_s': 30.0}
    """
    skip = ("name", "kind") if isinstance(node, Gateway) else ("name",)
    record = values_record(node, skip=skip)
    if isinstance(node, Wait):
        record["wait"] = record.pop("kind").value
    return {"name": node.name, "kind": kind_of(node), **record}


def node_from_record(record: Record) -> Node:
    """Return the node of a record.

    Raises
    ------
    WorkflowError
        An unknown kind or field.

    Examples
    --------
    >>> node_from_record({"name": "ship", "kind": "task", "timeout_s": 30.0})
    Task(name='ship', description='', waive={}, output=None, timeout_s=30.0, ...)
    """
    values = dict(record)
    name, kind = str(values.pop("name", "")), str(values.pop("kind", "task"))
    cls = _CLASSES.get(kind)
    if cls is None:
        message = f"node {name!r}: there is no kind {kind!r}.{nearest(kind, _CLASSES)}"
        raise WorkflowError(message, node=name)
    if cls is Gateway:
        values["kind"] = GatewayKind(kind)
    if cls is Wait:
        values["kind"] = WaitKind(values.pop("wait", "timer"))
    known = {field.name for field in fields(cls)}
    for key in values:
        if key not in known:
            message = f"node {name!r}: a {kind} has no {key!r}.{nearest(key, known)}"
            raise WorkflowError(message, node=name)
    if "retry" in values:
        values["retry"] = retry_from_record(values["retry"])
    if isinstance(values.get("compensate"), dict):
        values["compensate"] = node_from_record(values["compensate"])
    if "nodes" in values:
        values["nodes"] = tuple(node_from_record(item) for item in values["nodes"])
    if "flows" in values:
        values["flows"] = tuple(flow_from_record(item) for item in values["flows"])
    for key in ("retry_on", "fail_on"):
        if key in values:
            values[key] = tuple(str(item) for item in values[key])
    try:
        return cls(name=name, **values)  # type: ignore[return-value]  # the table holds the union's members
    except TypeError as error:
        message = f"node {name!r}: {error}"
        raise WorkflowError(message, node=name) from error


def retry_from_record(record: Mapping[str, Any]) -> Retry:
    """Return the policy of a record.

    Raises
    ------
    WorkflowError
        An unknown field, or a value that makes no sense.

    Examples
    --------
    >>> retry_from_record({"max_attempts": 5, "initial_delay": "2s"}).initial_delay
    2.0
    """
    known = [field.name for field in fields(Retry)]
    for key in record:
        if key not in known:
            message = f"retry: there is no {key!r}.{nearest(str(key), known)} Known: {', '.join(known)}."
            raise WorkflowError(message)
    try:
        return Retry(**record)
    except WorkflowError:
        raise
    except (TypeError, ValueError) as error:
        message = f"retry: {error}"
        raise WorkflowError(message) from error


def flow_record(flow: Flow) -> Record:
    """Return a flow as JSON values.

    Examples
    --------
    >>> flow_record(Flow("pay", "ship", "total > 0"))
    {'source': 'pay', 'target': 'ship', 'condition': 'total > 0'}
    """
    return {key: str(value) for key, value in values_record(flow).items()}


def flow_from_record(record: Record) -> Flow:
    """Return the flow of a record.

    Examples
    --------
    >>> flow_from_record({"source": "pay", "target": "ship"})
    Flow(source='pay', target='ship', condition=None, kind=<FlowKind.NORMAL: 'normal'>)
    """
    condition = record.get("condition")
    return Flow(
        str(record["source"]),
        str(record["target"]),
        None if condition is None else str(condition),
        FlowKind(record.get("kind", "normal")),
    )
