"""Random workflows: any graph at all, and such as are made of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count
from typing import Any

from hypothesis import strategies as st

from orchkit import model as ok

EXPRESSIONS = (
    "qty > stock",
    'order.country == "US"',
    "not done",
    "order.items",
    "true",
    "'it''s'",
    "a[0]['b: c'] # d",
    "{'a': [1, 2]}.a",
    "len(items) > 3 and total <= 10.5",
    "1",
)
ODD_NAMES = (
    "a -> b",
    "a -error-> b",
    "no",
    "null",
    "true",
    "1",
    "1e5",
    " padded ",
    "x: y",
    "#1",
    "- dash",
    "{b}",
    "[c]",
    "Größe",
    "受注",
    'say "hi"',
    "it's",
    "back\\slash",
    "two\nlines",
    "tab\there",
    "choice_1",
    "choice_1_end",
    "start",
    "end",
    "ship_join",
    "k" * 1_100,
    "\x85\u2028\ufeff",
    "😀",
)

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(ODD_NAMES),
    st.lists(st.text("abc ", min_size=1, max_size=9), min_size=12, max_size=30).map(" ".join),
    st.lists(st.text("ab: #-", max_size=9), min_size=2, max_size=4).map("\n".join),
)
expressions = st.one_of(st.sampled_from(EXPRESSIONS), st.text(max_size=8))
valid_expressions = st.sampled_from(("qty > stock", 'order.country == "US"', "not done", "total <= 10.5"))
durations = st.one_of(st.sampled_from((0.0, 0.5, 1.0, 90.0, 3_600.0, 172_800.0)), st.floats(0, 1e9), st.integers(0, 99))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(
    st.sampled_from(("method", "url", "json", "handler", "arguments")) | texts, json_values, max_size=3
)
retries = st.builds(
    ok.Retry,
    max_attempts=st.integers(1, 9),
    initial_delay=durations,
    max_delay=durations,
    multiplier=st.floats(1, 10),
    jitter=st.floats(0, 1),
)
alerts = st.builds(ok.Alert, texts, texts, window=durations, severity=st.sampled_from(("info", "warning", "critical")))
triggers = st.builds(ok.Trigger, texts, json_objects)


def _names() -> st.SearchStrategy[Iterator[str]]:
    """Names without end, each once: odd ones first."""
    odd = st.sampled_from(ODD_NAMES) | st.text(min_size=1, max_size=9)
    return st.lists(odd, unique=True, max_size=12).map(
        lambda names: chain(names, (name for name in (f"node_{number}" for number in count()) if name not in names)),
    )


def _some(draw: st.DrawFn, values: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Draw a few of these values: most nodes say little."""
    keys = draw(st.lists(st.sampled_from(sorted(values)), unique=True, max_size=3))
    return {key: draw(values[key]) for key in keys}


_ABOUT = {"description": texts, "waive": st.dictionaries(texts, texts, max_size=2)}
_OUTCOME = _ABOUT | {
    "output": texts,
    "timeout_s": durations,
    "fallback": json_values,
    "alert": texts,
}
_TASK = _OUTCOME | {
    "executor": st.sampled_from(("python", "http", "robot", "")),
    "settings": json_objects,
    "role": texts,
    "retry": retries,
    "deadline_s": durations,
    "heartbeat_s": durations,
    "retry_on": st.lists(texts, max_size=2).map(tuple),
    "fail_on": st.lists(texts, max_size=2).map(tuple),
    "idempotency_key": texts,
}
_FOR_EACH = _OUTCOME | {
    "item": texts,
    "concurrency": st.integers(1, 9),
    "continue_when": expressions,
    "exit_when": expressions,
    "tolerated_failures": st.one_of(st.integers(0, 9), st.just("10%"), texts),
}


def _task(draw: st.DrawFn, names: Iterator[str]) -> ok.Task:
    values = _some(draw, _TASK)
    undo = draw(st.sampled_from((None, None, "none", "task")))
    if undo == "task":
        undo = ok.Task(name=next(names), **_some(draw, _TASK))
    return ok.Task(name=next(names), compensate=undo, **values)


def _node(draw: st.DrawFn, names: Iterator[str], depth: int) -> ok.Node:
    kinds = ["task", "task", "task", "end", "gateway", "wait", "call"]
    kinds += ["scope", "saga", "for_each", "while"] if depth else []
    match draw(st.sampled_from(kinds)):
        case "task":
            return _task(draw, names)
        case "end":
            return ok.End(name=next(names), **_some(draw, _ABOUT | {"terminate": st.booleans(), "error": texts}))
        case "gateway":
            kind = draw(st.sampled_from(list(ok.GatewayKind)))
            return ok.Gateway(name=next(names), kind=kind, **_some(draw, _ABOUT))
        case "wait":
            more = {"subject": texts | expressions, "match": expressions, "duration_s": durations}
            kind = draw(st.sampled_from(list(ok.WaitKind)))
            return ok.Wait(name=next(names), kind=kind, **_some(draw, _OUTCOME | more))
        case "call":
            return ok.Call(name=next(names), workflow=draw(texts), **_some(draw, _OUTCOME | {"inputs": json_objects}))
        case kind:
            return _scope(draw, names, depth, kind)


def _scope(draw: st.DrawFn, names: Iterator[str], depth: int, kind: str) -> ok.Node:
    name = next(names)
    nodes, flows = _graph(draw, names, depth - 1)
    match kind:
        case "for_each":
            values = _some(draw, _FOR_EACH)
            return ok.ForEach(name=name, items=draw(expressions), nodes=nodes, flows=flows, **values)
        case "while":
            values = _some(draw, _OUTCOME | {"max_iterations": st.integers(1, 99)})
            return ok.While(name=name, condition=draw(expressions), nodes=nodes, flows=flows, **values)
        case _:
            cls = ok.Saga if kind == "saga" else ok.Scope
            return cls(name=name, nodes=nodes, flows=flows, **_some(draw, _OUTCOME))


def _graph(draw: st.DrawFn, names: Iterator[str], depth: int) -> tuple[tuple[ok.Node, ...], tuple[ok.Flow, ...]]:
    nodes: list[ok.Node] = [ok.Start(name=next(names), **_some(draw, _ABOUT))] if draw(st.booleans()) else []
    nodes += [_node(draw, names, depth) for _ in range(draw(st.integers(0, 4)))]
    if not nodes:
        return (), ()
    ends = st.sampled_from([node.name for node in nodes])
    kinds = st.sampled_from((ok.FlowKind.NORMAL, ok.FlowKind.NORMAL, *ok.FlowKind))
    flows = st.builds(ok.Flow, ends, ends, st.none() | expressions, kinds)
    return tuple(nodes), tuple(draw(st.lists(flows, max_size=6)))


@st.composite
def workflows(draw: st.DrawFn, depth: int = 2, calls: int = 1) -> ok.Workflow:
    """Return any workflow that can be made, sound or not."""
    nodes, flows = _graph(draw, draw(_names()), depth)
    more = {
        "version": texts,
        "description": texts,
        "inputs": st.dictionaries(texts, json_values, max_size=2),
        "retry": retries,
        "sla": durations,
        "triggers": st.lists(triggers, max_size=2).map(tuple),
        "alerts": st.lists(alerts, max_size=2).map(tuple),
        "waive": st.dictionaries(texts, texts, max_size=2),
    }
    if calls:
        more["workflows"] = st.lists(workflows(depth=0, calls=0), max_size=2).map(tuple)
    return ok.Workflow(draw(texts.filter(bool)), nodes=nodes, flows=flows, **_some(draw, more))


def _steps(draw: st.DrawFn, names: Iterator[str], depth: int, least: int = 0) -> list[Any]:
    return [_block(draw, names, depth) for _ in range(draw(st.integers(least, 3)))]


def _block(draw: st.DrawFn, names: Iterator[str], depth: int) -> Any:
    kinds = ["task", "task", "wait"]
    kinds += ["choice", "parallel", "for_each", "repeat_while", "saga", "scope", "paths"] if depth else []
    match draw(st.sampled_from(kinds)):
        case "task":
            return ok.task(next(names), timeout=draw(st.none() | durations))
        case "wait":
            return ok.wait_for(callback=next(names))
        case "choice":
            conditions = draw(st.lists(valid_expressions, min_size=1, max_size=2))
            branches = [ok.when(condition, _steps(draw, names, depth - 1)) for condition in conditions]
            return ok.choice(*branches, ok.otherwise(_steps(draw, names, depth - 1)))
        case "parallel":
            return ok.parallel(*(_steps(draw, names, depth - 1, 1) for _ in range(draw(st.integers(1, 3)))))
        case "for_each":
            return ok.for_each("order.items", _steps(draw, names, depth - 1), concurrency=draw(st.integers(1, 3)))
        case "repeat_while":
            return ok.repeat_while(draw(valid_expressions), _steps(draw, names, depth - 1))
        case "saga":
            return ok.saga(_steps(draw, names, depth - 1))
        case "scope":
            return ok.scope(_steps(draw, names, depth - 1), name=draw(st.just("") | st.just(next(names))))
        case _:
            paths = draw(st.lists(st.sampled_from(("on_error", "on_timeout")), unique=True, min_size=1))
            return ok.task(next(names), timeout="5s", **{path: _steps(draw, names, depth - 1) for path in paths})


@st.composite
def block_workflows(draw: st.DrawFn, depth: int = 2) -> ok.Workflow:
    """Return a workflow made of blocks; no branch ends early, so that it is sound."""
    names = (f"node_{number}" for number in count())
    return ok.workflow("blocks", _steps(draw, names, depth))
