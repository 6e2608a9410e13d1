"""Versions: what differs between two of them, as a table and drawn."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from orchkit.model.definition import Workflow

__all__ = ["Diff", "diff"]

_COLUMNS = ["change", "what", "name", "field", "old", "new"]
_SIGNS = {"added": "+", "removed": "\N{MINUS SIGN}", "changed": "\N{PLUS-MINUS SIGN}"}
_INSIDE = ("nodes", "flows")

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Diff:
    """The differences between two versions; true if there are any. It draws itself, with a sign before each change.

    Attributes
    ----------
    old, new
        The versions.
    table
        ``change`` (added, removed, changed), ``what`` (node, flow, workflow), ``name``, ``field``, ``old``, ``new``.
    """

    old: Workflow
    new: Workflow
    table: pd.DataFrame = field(repr=False)

    def __bool__(self) -> bool:
        return not self.table.empty

    @property
    def workflow(self) -> Workflow:
        """Both versions in one: a plus sign before what is added, a minus sign before what is removed, or both."""
        record = {"workflow": f"{self.old.name} {self.old.version} to {self.new.version}"}
        return Workflow.from_record({**record, **_merged(self.old.to_record(), self.new.to_record())})

    def _repr_mimebundle_(
        self,
        include: Container[str] | None = None,
        exclude: Container[str] | None = None,
    ) -> dict[str, Any]:
        from orchkit.view.diagram import draw  # noqa: PLC0415 -- a value may draw itself

        return draw(self.workflow)._repr_mimebundle_(include, exclude)


def diff(old: Workflow, new: Workflow) -> Diff:
    """Return what differs between two versions of a workflow.

    Examples
    --------
    >>> from orchkit.model.patterns import task, workflow
    >>> one = workflow("order", [task("pay"), task("ship", timeout="5 min")])
    >>> two = workflow("order", [task("pay"), task("check"), task("ship", timeout="1 min")], version="2")
    >>> found = diff(one, two).table
    >>> found[["change", "what", "name", "field"]].query("what == 'node'").fillna("").values.tolist()
    [['added', 'node', 'check', ''], ['changed', 'node', 'ship', 'timeout_s']]
    """
    rows = [*_workflow_rows(old.to_record(), new.to_record())]
    before, after = dict(_nodes(old.to_record())), dict(_nodes(new.to_record()))
    rows += _rows("node", before, after)
    rows += _rows("flow", dict(_flows(old.to_record())), dict(_flows(new.to_record())))
    return Diff(old, new, pd.DataFrame(rows, columns=_COLUMNS, dtype=object))


def _workflow_rows(old: Record, new: Record) -> Iterator[list[Any]]:
    skip = (*_INSIDE, "workflow")
    for key in dict.fromkeys((*old, *new)):
        if key not in skip and old.get(key) != new.get(key):
            change = "added" if key not in old else "removed" if key not in new else "changed"
            yield [change, "workflow", new["workflow"], key, _said(old.get(key)), _said(new.get(key))]


def _rows(what: str, old: Mapping[str, Record], new: Mapping[str, Record]) -> Iterator[list[Any]]:
    for name in dict.fromkeys((*new, *old)):
        if name not in old:
            yield ["added", what, name, None, None, None]
        elif name not in new:
            yield ["removed", what, name, None, None, None]
        else:
            for key in dict.fromkeys((*old[name], *new[name])):
                before, after = old[name].get(key), new[name].get(key)
                if before != after:
                    yield ["changed", what, name, key, _said(before), _said(after)]


def _said(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _nodes(record: Record) -> Iterator[tuple[str, Record]]:
    for node in record.get("nodes", ()):
        yield node["name"], {key: value for key, value in node.items() if key not in _INSIDE}
        yield from _nodes(node)


def _flows(record: Record) -> Iterator[tuple[str, Record]]:
    for flow in record.get("flows", ()):
        kind = flow.get("kind", "normal")
        arrow = "->" if kind == "normal" else f"-{kind}->"
        yield f"{flow['source']} {arrow} {flow['target']}", {"condition": flow.get("condition")}
    for node in record.get("nodes", ()):
        yield from _flows(node)


# Both in one -------------------------------------------------------------------------


def _merged(old: Record, new: Record) -> dict[str, Any]:
    """Return the nodes and flows of both graphs, each changed one with its sign."""
    before = {node["name"]: node for node in old.get("nodes", ())}
    after = {node["name"]: node for node in new.get("nodes", ())}
    names = {name: _signed(name, _sign(before.get(name), after.get(name))) for name in (*before, *after)}
    nodes = []
    for name in dict.fromkeys((*after, *before)):
        node = dict(after.get(name) or before[name])
        if "nodes" in node:
            empty: Record = {}
            same = before.get(name, empty).get("kind") == after.get(name, empty).get("kind")
            pair = (before.get(name, empty), after.get(name, empty)) if same else (node, node)
            node |= _merged(*pair)
        nodes.append({**node, "name": names[name], "compensate": None})
    return {"nodes": nodes, "flows": list(_both(old.get("flows", ()), new.get("flows", ()), names))}


def _both(old: Iterable[Record], new: Iterable[Record], names: Mapping[str, str]) -> Iterator[Record]:
    def key(flow: Record) -> tuple[str, str, str]:
        return flow["source"], flow["target"], flow.get("kind", "normal")

    before, after = {key(flow): flow for flow in old}, {key(flow): flow for flow in new}
    for place in dict.fromkeys((*after, *before)):
        flow = after.get(place) or before[place]
        change = _sign(before.get(place), after.get(place))
        told = flow.get("condition")
        if change is not None:
            told = _signed(told or ("no longer" if change == "removed" else "new"), change)
        found = {**flow, "source": names[place[0]], "target": names[place[1]]}
        yield {**found, "condition": told} if told else found


def _sign(old: Record | None, new: Record | None) -> str | None:
    if old is None or new is None:
        return "added" if old is None else "removed"
    keys = {key for key in (*old, *new) if key not in _INSIDE}
    return "changed" if any(old.get(key) != new.get(key) for key in keys) else None


def _signed(text: str, change: str | None) -> str:
    return text if change is None else f"{_SIGNS[change]} {text}"
