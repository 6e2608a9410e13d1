"""The properties of nodes and flows as fields of a form, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchkit.errors import WorkflowError
from orchkit.executors.standard import standard_executors
from orchkit.model.expressions import parse
from orchkit.model.nodes import (
    Activity,
    Call,
    End,
    Flow,
    FlowKind,
    ForEach,
    Gateway,
    GatewayKind,
    Node,
    Task,
    Wait,
    WaitKind,
    While,
)
from orchkit.model.retry import Retry
from orchkit.units import format_duration, seconds

__all__ = ["fields_of", "flow_fields", "flow_value_of", "value_of"]

_RETRY = "retry."


@dataclass(frozen=True, slots=True)
class _Field:
    """One property: how it is called, what it takes, and how it is read."""

    name: str
    label: str
    kind: str = "text"
    read: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    hint: str = ""


def _expression(text: str) -> str:
    return parse(text).text


def _flag(text: str) -> bool:
    return text == "true"


def _share(text: str) -> int | str:
    return text if text.endswith("%") else int(text)


def _duration(name: str, label: str, hint: str = "such as 5 min") -> _Field:
    return _Field(name, label, "duration", seconds, hint=hint)


_ACTIVITY = (
    _duration("timeout_s", "timeout"),
    _Field("output", "variable of the result"),
    _Field("compensate", "compensation", hint="a task that undoes this in a saga; none: it cannot be undone"),
    _Field("fallback", "fallback (JSON)", "json", json.loads, hint="stands in for the result when it fails for good"),
)
_FIELDS: dict[type[Any], tuple[_Field, ...]] = {
    Task: (
        _Field("executor", "executor", "choice"),
        _Field("settings", "settings (JSON)", "json", json.loads),
        _Field("role", "role"),
        _Field(f"{_RETRY}max_attempts", "attempts", "number", int, hint="blank: as the workflow says"),
        _Field(f"{_RETRY}initial_delay", "first delay", "duration", hint="such as 1 s"),
        _Field(f"{_RETRY}multiplier", "times after each", "number", float),
        _Field(f"{_RETRY}max_delay", "longest delay", "duration"),
        _Field(f"{_RETRY}jitter", "jitter", "number", float, hint="0.1: ten percent"),
        *_ACTIVITY,
    ),
    Wait: (
        _Field("kind", "waits for", "choice", WaitKind, tuple(WaitKind)),
        _Field("subject", "name of callback or event"),
        _Field("match", "match", "expression", _expression, hint="for an event: an expression over event"),
        _duration("duration_s", "duration of a timer"),
        *_ACTIVITY[:2],
    ),
    ForEach: (
        _Field("items", "for each of", "expression", _expression),
        _Field("item", "as"),
        _Field("concurrency", "at once", "number", int),
        _Field("continue_when", "skip when", "expression", _expression),
        _Field("exit_when", "end when", "expression", _expression),
        _Field("tolerated_failures", "tolerated failures", "text", _share, hint="a count, or a share such as 10%"),
        *_ACTIVITY[:1],
    ),
    While: (
        _Field("condition", "as long as", "expression", _expression),
        _Field("max_iterations", "at most", "number", int),
        *_ACTIVITY[:1],
    ),
    Call: (
        _Field("workflow", "workflow"),
        _Field("inputs", "inputs (JSON)", "json", json.loads),
        *_ACTIVITY,
    ),
    Gateway: (_Field("kind", "kind", "choice", GatewayKind, tuple(GatewayKind)),),
    End: (
        _Field("terminate", "ends the whole scope", "flag", _flag),
        _Field("error", "fails with", hint="a message"),
    ),
}
_FLOW = (
    _Field("condition", "condition", "expression", _expression, hint="blank on an exclusive split: the default"),
    _Field("kind", "taken on", "choice", FlowKind, tuple(FlowKind)),
)


def fields_of(node: Node) -> list[dict[str, Any]]:
    """Return the fields of a node's form, each with its text now."""
    own = _own(node)
    described = _Field("description", "description")
    return [{"name": "name", "label": "name", "kind": "text", "value": node.name, "choices": [], "hint": ""}] + [
        _shown(field, _value(node, field)) for field in (described, *own)
    ]


def flow_fields(flow: Flow) -> list[dict[str, Any]]:
    """Return the fields of a flow's form."""
    return [_shown(field, getattr(flow, field.name)) for field in _FLOW]


def value_of(node: Node, name: str, text: str) -> dict[str, Any]:
    """Return the values of a node that a field's text stands for.

    Raises
    ------
    WorkflowError
        The text is no such value.
    """
    field = next((field for field in (_Field("description", ""), *_own(node)) if field.name == name), None)
    if field is None:
        message = f"{node.name!r} has no {name!r}."
        raise WorkflowError(message, node=node.name)
    if name.startswith(_RETRY) and isinstance(node, Task):
        return {"retry": _retry(node, name.removeprefix(_RETRY), _read(field, text, node.name))}
    if name == "compensate":
        return {"compensate": _compensation(node, text)}
    value = _read(field, text, node.name)
    if value is None and not _may_be_none(node, name):
        default = {"description": "", "settings": {}, "inputs": {}, "tolerated_failures": 0, "concurrency": 1}
        if name not in default:
            message = f"{node.name!r}: {field.label} is needed."
            raise WorkflowError(message, node=node.name)
        value = default[name]
    return {name: value}


def flow_value_of(flow: Flow, name: str, text: str) -> dict[str, Any]:
    """Return the value of a flow that a field's text stands for; as for `value_of`."""
    field = next(field for field in _FLOW if field.name == name)
    return {name: _read(field, text, f"{flow.source} -> {flow.target}")}


def _own(node: Node) -> tuple[_Field, ...]:
    found = _FIELDS.get(type(node), _ACTIVITY[:1] if isinstance(node, Activity) else ())
    executors = tuple(standard_executors())
    return tuple(replace(field, choices=executors) if field.name == "executor" else field for field in found)


def _value(node: Node, field: _Field) -> Any:  # noqa: ANN401 -- a field of a node
    if field.name.startswith(_RETRY):
        retry = getattr(node, "retry", None)
        return None if retry is None else getattr(retry, field.name.removeprefix(_RETRY))
    value = getattr(node, field.name)
    return value.name if isinstance(value, Task) else value


def _shown(field: _Field, value: Any) -> dict[str, Any]:  # noqa: ANN401 -- a field of a node
    if value is None:
        text = ""
    elif field.kind == "json":
        text = "" if value == {} else json.dumps(dict(value) if isinstance(value, Mapping) else value, indent=2)
    elif field.kind == "duration":
        text = format_duration(seconds(value))
    elif field.kind == "flag":
        text = "true" if value else "false"
    else:
        text = str(value)
    shown = {"name": field.name, "label": field.label, "kind": field.kind, "value": text, "hint": field.hint}
    return {**shown, "choices": [str(choice) for choice in field.choices]}


def _read(field: _Field, text: str, where: str) -> Any:  # noqa: ANN401 -- a field of a node
    if not text.strip():
        return None
    try:
        return field.read(text.strip())
    except (ValueError, TypeError) as error:
        message = f"{where}: {field.label}: {error}"
        raise WorkflowError(message, node=where) from error


def _retry(node: Task, part: str, value: Any) -> Retry | None:  # noqa: ANN401 -- a field of a policy
    if value is None and node.retry is None:
        return None
    if value is None:
        return None if part == "max_attempts" else replace(node.retry, **{part: getattr(Retry(), part)})  # type: ignore[type-var]
    return replace(node.retry or Retry(), **{part: value})


def _compensation(node: Node, text: str) -> Task | str | None:
    name = text.strip()
    if not name or name == "none":
        return name or None
    now = getattr(node, "compensate", None)
    return replace(now, name=name) if isinstance(now, Task) else Task(name=name)


def _may_be_none(node: Node, name: str) -> bool:
    field = type(node).__dataclass_fields__[name]
    return field.default is None
