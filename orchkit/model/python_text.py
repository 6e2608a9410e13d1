"""A workflow as the Python that builds it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchkit.model.definition import Workflow
from orchkit.model.files import read_workflow, write_workflow
from orchkit.model.writer import workflow_values
from orchkit.model.yaml_text import to_yaml

__all__ = ["write_python"]

_WIDTH = 100
_BODIES = ("steps", "choice", "parallel", "saga", "scope")
_NAMED = {"as": "item"}

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call: its arguments, each with its keyword or None."""

    name: str
    arguments: tuple[tuple[str | None, Any], ...]


def write_python(workflow: Workflow) -> str:
    """Return Python that builds the workflow with the builders of ``ok``, ready for a cell.

    Where its graph is not made of blocks, the Python reads it from YAML.

    Examples
    --------
    >>> from orchkit.model.patterns import otherwise, choice, task, when, workflow
    >>> print(write_python(workflow("order", [task("check"), choice(when("check", [task("ship")]), otherwise([]))])))
    import orchkit as ok
    <BLANKLINE>
    order = ok.workflow(
        "order", [ok.task("check"), ok.choice(ok.when("check", [ok.task("ship")]), ok.otherwise([]))]
    )
    """
    name = workflow.name if workflow.name.isidentifier() and workflow.name != "ok" else "workflow"
    for names in (False, True):
        values = workflow_values(workflow, names=names)
        if not _is_free(values) and read_workflow(to_yaml(values)) == workflow:
            return f"import orchkit as ok\n\n{name} = {_code(_workflow(values), 0, len(name) + 3)}\n"
    text = write_workflow(workflow).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'import orchkit as ok\n\n{name} = ok.read_workflow("""\n{text}""")\n'


def _is_free(values: Any) -> bool:  # noqa: ANN401 -- values of YAML
    """Tell whether there is a graph of nodes and flows anywhere inside."""
    if isinstance(values, Mapping):
        return "nodes" in values or any(_is_free(values[key]) for key in _inside(values))
    return isinstance(values, list) and any(map(_is_free, values))


def _inside(values: Values) -> Iterable[str]:
    paths = ("steps", "choice", "parallel", "saga", "scope", "otherwise", "on_error", "on_timeout", "workflows")
    return [key for key in paths if isinstance(values.get(key), list)]


def _workflow(values: Values) -> _Call:
    given: dict[str, Any] = dict(values)
    name, steps, version = given.pop("workflow"), given.pop("steps"), given.pop("version")
    more = {} if version == "1" else {"version": version}
    if "triggers" in given:
        given["triggers"] = [_trigger(trigger) for trigger in given["triggers"]]
    if "alerts" in given:
        given["alerts"] = [_call("ok.Alert", **alert) for alert in given["alerts"]]
    if "workflows" in given:
        given["workflows"] = [_workflow(inner) for inner in given["workflows"]]
    return _call("ok.workflow", name, _steps(steps), **more, **given)


def _trigger(trigger: object) -> _Call:
    if isinstance(trigger, Mapping):
        ((kind, settings),) = trigger.items()
        return _call("ok.Trigger", kind, settings)
    return _call("ok.Trigger", trigger)


def _steps(steps: Sequence[Values]) -> list[_Call]:
    return [_step(step) for step in steps]


def _step(step: Values) -> _Call:  # noqa: C901 -- a kind of block each
    given: dict[str, Any] = {_NAMED.get(key, key): value for key, value in step.items()}
    for path in ("on_error", "on_timeout"):
        if path in given:
            given[path] = [_branch(one) if {"when", "otherwise"} & one.keys() else _step(one) for one in given[path]]
    if isinstance(given.get("compensate"), Mapping):
        given["compensate"] = _step(given["compensate"])
    if isinstance(given.get("fallback"), Mapping) and "task" in given["fallback"]:
        given["fallback"] = _step(given["fallback"])
    if "choice" in given:
        return _call("ok.choice", *map(_branch, given.pop("choice")), **given)
    if "parallel" in given:
        arms = [_steps(arm if isinstance(arm, list) else [arm]) for arm in given.pop("parallel")]
        return _call("ok.parallel", *arms, **given)
    if "wait_for" in given:
        return _call("ok.wait_for", **_step_values(given["wait_for"]))
    for kind in ("saga", "scope"):
        if kind in given:
            first = given.pop(kind)
            steps = first if isinstance(first, list) else given.pop("steps")
            named = {"name": first} if isinstance(first, str) else {}
            return _call(f"ok.{kind}", _steps(steps), **named, **given)
    for kind in ("for_each", "repeat_while"):
        if kind in given:
            return _call(f"ok.{kind}", given.pop(kind), _steps(given.pop("steps")), **given)
    for kind in ("task", "call", "end"):
        if kind in given:
            return _call(f"ok.{kind}", given.pop(kind), **given)
    message = f"There is no builder for {sorted(step)}."
    raise AssertionError(message)


def _step_values(values: Values) -> dict[str, Any]:
    """Return the keyword arguments of a wait, whose paths hold steps too."""
    call = _step({"task": "", **values})
    return {name: value for name, value in call.arguments if name is not None}


def _branch(branch: Values) -> _Call:
    if "otherwise" in branch:
        return _call("ok.otherwise", _steps(branch["otherwise"]))
    return _call("ok.when", branch["when"], _steps(branch["steps"]))


def _call(name: str, /, *arguments: Any, **named: Any) -> _Call:  # noqa: ANN401 -- values
    return _Call(name, (*((None, value) for value in arguments), *named.items()))


# Text ----------------------------------------------------------------------------


def _code(value: Any, indent: int, used: int = 0) -> str:  # noqa: ANN401 -- values
    """Return the code of a value, over several lines where one does not hold it."""
    flat = _flat(value)
    if indent + used + len(flat) <= _WIDTH or not isinstance(value, _Call | list | tuple | Mapping):
        return flat
    inner = indent + 4
    pad, end = " " * inner, " " * indent
    if isinstance(value, Mapping):
        lines = [f"{pad}{_flat(key)}: {_code(item, inner, len(_flat(key)) + 2)},\n" for key, item in value.items()]
        return "{\n" + "".join(lines) + end + "}"
    parts = value.arguments if isinstance(value, _Call) else [(None, item) for item in value]
    opening, closing = (f"{value.name}(", ")") if isinstance(value, _Call) else ("[", "]")
    joined = ", ".join(_argument(name, _flat(item)) for name, item in parts)
    if isinstance(value, _Call) and inner + len(joined) <= _WIDTH:
        return f"{opening}\n{pad}{joined}\n{end}{closing}"
    lines = [f"{pad}{_argument(name, _code(item, inner, len(name or '') + 2))},\n" for name, item in parts]
    return opening + "\n" + "".join(lines) + end + closing


def _argument(name: str | None, code: str) -> str:
    return code if name is None else f"{name}={code}"


def _flat(value: Any) -> str:  # noqa: ANN401 -- values
    match value:
        case _Call():
            return f"{value.name}({', '.join(_argument(name, _flat(item)) for name, item in value.arguments)})"
        case str():
            return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_flat, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{_flat(key)}: {_flat(item)}" for key, item in value.items()) + "}"
        case _:
            return repr(value)
