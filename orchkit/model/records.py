"""The canonical form: nodes, flows and workflows as plain JSON values, and back.

Only what differs from its default is written, keys are sorted when it is hashed, so that the digest of a
definition does not change when orchkit learns a new field.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any, TypeVar

from orchkit.errors import WorkflowError, nearest
from orchkit.model.durations import duration_s
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

__all__ = [
    "Record",
    "canonical_json",
    "checked_fields",
    "checked_records",
    "checked_text",
    "flow_from_record",
    "flow_record",
    "node_from_record",
    "node_record",
    "retry_from_record",
    "values_record",
]

Record = dict[str, Any]
_Kind = TypeVar("_Kind", bound=StrEnum)

_Class = (
    type[Start]
    | type[End]
    | type[Task]
    | type[Gateway]
    | type[Wait]
    | type[Scope]
    | type[ForEach]
    | type[While]
    | type[Saga]
    | type[Call]
)
_CLASSES: dict[str, _Class] = {
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
        record[field.name] = float(item) if field.name.endswith("_s") and isinstance(item, int) else _plain(item)
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
        case Mapping():
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


def node_from_record(record: Mapping[str, Any]) -> Node:
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
    name = checked_text(record.get("name", ""), "a node: name")
    kind = checked_text(record.get("kind", "task"), f"node {name!r}: kind")
    cls = _CLASSES.get(kind)
    if cls is None:
        message = f"node {name!r}: there is no kind {kind!r}.{nearest(kind, _CLASSES)}"
        raise WorkflowError(message, node=name)
    values = {key: value for key, value in record.items() if key not in ("name", "kind") and value is not None}
    if cls is Wait:
        values["kind"] = _member(WaitKind, values.pop("wait", None), f"node {name!r}: wait")
    known = {field.name for field in fields(cls)} - {"name", "kind"}
    for key, value in values.items():
        if key not in known and not (cls is Wait and key == "kind"):
            message = f"node {name!r}: a {kind} has no {key!r}.{nearest(key, known)}"
            raise WorkflowError(message, node=name)
        values[key] = _converted(key, value, name)
    if cls is Gateway:
        values["kind"] = GatewayKind(kind)
    required = {field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING}
    for key in sorted(required - {"name"} - values.keys()):
        message = f"node {name!r}: a {kind} needs {key!r}."
        raise WorkflowError(message, node=name)
    return cls(name=name, **values)


# What a field's value must be, and what the message says that it is.
_TEXT, _FLAG, _WHOLE, _NUMBER = (str,), (bool,), (int,), (int, float)
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("description", "output", "alert", "executor", "role", "idempotency_key"), (_TEXT, "text")),
    **dict.fromkeys(("subject", "match", "items", "item", "condition", "workflow"), (_TEXT, "text")),
    **dict.fromkeys(("continue_when", "exit_when", "error"), (_TEXT, "text")),
    **dict.fromkeys(("timeout_s", "deadline_s", "heartbeat_s", "duration_s"), (_NUMBER, "seconds")),
    **dict.fromkeys(("concurrency", "max_iterations"), (_WHOLE, "a whole number")),
    **dict.fromkeys(("settings", "inputs", "waive"), ((Mapping,), "a mapping")),
    **dict.fromkeys(("retry_on", "fail_on", "nodes", "flows"), ((list, tuple), "a list")),
    "retry": ((Mapping,), "a mapping"),
    "compensate": ((str, Mapping), "a task's record or 'none'"),
    "terminate": (_FLAG, "true or false"),
    "tolerated_failures": ((int, str), "a count or a share"),
}


def _converted(key: str, value: Any, node: str) -> Any:  # noqa: ANN401 -- any field's value
    """Return a field's value from its JSON value."""
    types, expected = _TYPES.get(key, ((object,), ""))
    fits: bool = isinstance(value, types)
    if not fits or (isinstance(value, bool) and not {bool, object} & set(types)):
        message = f"node {node!r}: {key} must be {expected}, not {value!r}."
        raise WorkflowError(message, node=node)
    match key:
        case "retry":
            return retry_from_record(value)
        case "compensate" if isinstance(value, Mapping):
            return node_from_record(value)
        case "nodes":
            return tuple(node_from_record(item) for item in checked_records(value, f"node {node!r}: nodes"))
        case "flows":
            return tuple(flow_from_record(item) for item in checked_records(value, f"node {node!r}: flows"))
        case "retry_on" | "fail_on":
            return tuple(str(item) for item in value)
        case "waive":
            return {str(rule): checked_text(reason, f"node {node!r}: waive: {rule}") for rule, reason in value.items()}
        case _ if key.endswith("_s"):
            return duration_s(value, f"node {node!r}: {key}")
        case _:
            return copy.deepcopy(value)


def checked_text(value: object, where: str) -> str:
    """Return a text, or raise a `WorkflowError` that begins with ``where``."""
    if not isinstance(value, str):
        message = f"{where} must be text, not {value!r}."
        raise WorkflowError(message)
    return value


def checked_records(value: object, where: str) -> list[Record]:
    """Return a list of mappings, or raise a `WorkflowError` that begins with ``where``."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
        message = f"{where} must be a list of mappings."
        raise WorkflowError(message)
    return [dict(item) for item in value]


def checked_fields(record: Mapping[str, Any], cls: type, where: str) -> Record:
    """Return a record whose keys are fields of a dataclass, those without a default among them."""
    known = [field.name for field in fields(cls)]
    for key in record:
        if key not in known:
            message = f"{where}: there is no {key!r}.{nearest(str(key), known)} Known: {', '.join(known)}."
            raise WorkflowError(message)
    for field in fields(cls):
        if field.default is MISSING and field.default_factory is MISSING and field.name not in record:
            message = f"{where}: {field.name} is missing."
            raise WorkflowError(message)
    return dict(record)


def _member(cls: type[_Kind], value: object, where: str) -> _Kind:
    try:
        return cls(str(value))
    except ValueError:
        known = ", ".join(cls)
        message = f"{where} must be one of {known}, not {value!r}.{nearest(str(value), list(cls))}"
        raise WorkflowError(message) from None


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
    return Retry(**checked_fields(record, Retry, "retry"))


def flow_record(flow: Flow) -> Record:
    """Return a flow as JSON values.

    Examples
    --------
    >>> flow_record(Flow("pay", "ship", "total > 0"))
    {'source': 'pay', 'target': 'ship', 'condition': 'total > 0'}
    """
    return {key: str(value) for key, value in values_record(flow).items()}


def flow_from_record(record: Mapping[str, Any]) -> Flow:
    """Return the flow of a record.

    Examples
    --------
    >>> flow_from_record({"source": "pay", "target": "ship"})
    Flow(source='pay', target='ship', condition=None, kind=<FlowKind.NORMAL: 'normal'>)
    """
    values = checked_fields({key: value for key, value in record.items() if value is not None}, Flow, "a flow")
    where = f"flow {values['source']!r} -> {values['target']!r}"
    kind = _member(FlowKind, values.pop("kind", FlowKind.NORMAL), f"{where}: kind")
    return Flow(**{key: checked_text(value, f"{where}: {key}") for key, value in values.items()}, kind=kind)
