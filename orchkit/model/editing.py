"""Changes to a workflow, each a function from one to the next: what an editor does when it is clicked.

Nodes are named; names are unique in the whole workflow, so that a node in a scope needs no path.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any

from orchkit.errors import WorkflowError, nearest
from orchkit.model.blocks import Inside, lower
from orchkit.model.definition import Workflow
from orchkit.model.nodes import (
    Call,
    End,
    Flow,
    FlowKind,
    ForEach,
    Gateway,
    GatewayKind,
    Node,
    Saga,
    Scope,
    Start,
    Task,
    Wait,
    WaitKind,
    While,
)
from orchkit.model.outline import outline

__all__ = [
    "PATTERNS",
    "blank",
    "change",
    "change_flow",
    "connect",
    "disconnect",
    "insert",
    "node_names",
    "remove",
    "rename",
]

PATTERNS = ("task", "choice", "parallel", "for_each", "repeat_while", "saga", "wait", "call", "end")

Graph = tuple[tuple[Node, ...], tuple[Flow, ...]]
# Nodes and flows, the node that is entered first, and the one that is left last, if any.
_Placed = tuple[tuple[Node, ...], tuple[Flow, ...], str, str | None]


def blank(name: str = "workflow") -> Workflow:
    """Return a workflow of a start and an end."""
    return Workflow(name, nodes=(Start(name="start"), End(name="end")), flows=(Flow("start", "end"),))


def node_names(workflow: Workflow) -> list[str]:
    """Return the names of all nodes, those in scopes and compensations too."""
    return list(_names(workflow.nodes))


def insert(workflow: Workflow, pattern: str, *, after: str | None = None, before: str | None = None) -> Workflow:
    """Return the workflow with a pattern put in.

    Parameters
    ----------
    workflow
        It is not changed.
    pattern
        One of ``PATTERNS``.
    after, before
        With both, the pattern is put on the flow between them; with ``after``, on the first flow that leaves it. In a
        scope, it is put at its end. With neither, at the end of the workflow.

    Raises
    ------
    WorkflowError
        There is no such pattern, node or flow.

    Examples
    --------
    >>> order = insert(insert(blank("order"), "task"), "choice", after="task_1")
    >>> [node.name for node in order.nodes]
    ['start', 'task_1', 'choice_1', 'task_2', 'task_3', 'choice_1_end', 'end']
    """
    if pattern not in PATTERNS:
        message = f"There is no pattern {pattern!r}.{nearest(pattern, PATTERNS)}"
        raise WorkflowError(message)
    taken = set(node_names(workflow))
    if after is not None and before is None and isinstance(workflow.node(after), Scope):
        graph = _put(_graph_of(workflow.node(after)), pattern, None, None, taken)
        return change(workflow, after, _graph=_ordered(graph, after))
    place = after or before
    if place is None:
        graph = _put((workflow.nodes, workflow.flows), pattern, None, None, taken)
        return _with_graph(workflow, _ordered(graph))
    return _edit(workflow, place, lambda graph: _put(graph, pattern, after, before, taken))


def connect(workflow: Workflow, source: str, target: str, condition: str | None = None) -> Workflow:
    """Return the workflow with a flow more.

    Raises
    ------
    WorkflowError
        One of the nodes is not there, they are in different scopes, or the flow is there already.
    """
    workflow.node(target)

    def add(graph: Graph) -> Graph:
        nodes, flows = graph
        if target not in {node.name for node in nodes}:
            message = f"{source!r} and {target!r} are in different scopes: flows do not cross a scope's frame."
            raise WorkflowError(message, node=source)
        if any((flow.source, flow.target) == (source, target) for flow in flows):
            message = f"There is a flow from {source!r} to {target!r} already."
            raise WorkflowError(message, node=source)
        return nodes, (*flows, Flow(source, target, condition))

    return _edit(workflow, source, add)


def disconnect(workflow: Workflow, source: str, target: str) -> Workflow:
    """Return the workflow without the flows from one node to another."""

    def drop(graph: Graph) -> Graph:
        nodes, flows = graph
        return nodes, tuple(flow for flow in flows if (flow.source, flow.target) != (source, target))

    return _edit(workflow, source, drop)


def change_flow(workflow: Workflow, source: str, target: str, **values: Any) -> Workflow:  # noqa: ANN401 -- fields of a flow
    """Return the workflow with other ``condition`` or ``kind`` of a flow."""

    def put(graph: Graph) -> Graph:
        nodes, flows = graph
        return nodes, tuple(
            replace(flow, **values) if (flow.source, flow.target) == (source, target) else flow for flow in flows
        )

    return _edit(workflow, source, put)


def rename(workflow: Workflow, node: str, name: str) -> Workflow:
    """Return the workflow with another name for a node; its flows go along.

    Raises
    ------
    WorkflowError
        Another node has the name, or it is empty.
    """
    if name == node:
        return workflow
    if not name.strip():
        message = "A node needs a name."
        raise WorkflowError(message, node=node)
    if name in node_names(workflow):
        message = f"There is a node {name!r} already: names are unique in the whole workflow."
        raise WorkflowError(message, node=node)

    def put(graph: Graph) -> Graph:
        nodes, flows = graph
        moved = {node: name}
        return (
            tuple(replace(one, name=name) if one.name == node else one for one in nodes),
            tuple(
                replace(flow, source=moved.get(flow.source, flow.source), target=moved.get(flow.target, flow.target))
                for flow in flows
            ),
        )

    return _edit(workflow, node, put)


def remove(workflow: Workflow, node: str) -> Workflow:
    """Return the workflow without a node; who led to it leads to where it led."""

    def drop(graph: Graph) -> Graph:
        nodes, flows = graph
        coming = [flow for flow in flows if flow.target == node and flow.source != node]
        going = [flow for flow in flows if flow.source == node and flow.target != node and flow.kind is FlowKind.NORMAL]
        kept = [flow for flow in flows if node not in (flow.source, flow.target)]
        there = {(flow.source, flow.target) for flow in kept}
        for flow in coming:
            for onward in going:
                bridge = replace(flow, target=onward.target)
                if (bridge.source, bridge.target) not in there and bridge.source != bridge.target:
                    kept.append(bridge)
                    there.add((bridge.source, bridge.target))
        return tuple(one for one in nodes if one.name != node), tuple(kept)

    return _edit(workflow, node, drop)


def change(workflow: Workflow, node: str, *, _graph: Graph | None = None, **values: Any) -> Workflow:  # noqa: ANN401 -- fields
    """Return the workflow with other values of a node.

    Raises
    ------
    WorkflowError
        Nodes of its kind have no such value.

    Examples
    --------
    >>> change(insert(blank(), "task"), "task_1", role="clerk").node("task_1").role
    'clerk'
    """
    known = {field.name for field in fields(workflow.node(node))} - {"name", "nodes", "flows"}
    for value in values:
        if value not in known:
            message = f"{node!r} has no {value!r}.{nearest(value, known)}"
            raise WorkflowError(message, node=node)
    more: dict[str, Any] = {} if _graph is None else {"nodes": _graph[0], "flows": _graph[1]}

    def put(graph: Graph) -> Graph:
        nodes, flows = graph
        return tuple(replace(one, **values, **more) if one.name == node else one for one in nodes), flows

    return _edit(workflow, node, put)


# Graphs --------------------------------------------------------------------------


def _edit(workflow: Workflow, name: str, edit: Callable[[Graph], Graph]) -> Workflow:
    """Return the workflow with the graph changed that holds a node."""
    workflow.node(name)  # refuses what is not there
    found = _edit_inside((workflow.nodes, workflow.flows), name, edit)
    if found is None:
        message = f"{name!r} is a compensation: change the node that it belongs to."
        raise WorkflowError(message, node=name)
    return _with_graph(workflow, found)


def _edit_inside(graph: Graph, name: str, edit: Callable[[Graph], Graph], scope: str = "") -> Graph | None:
    nodes, flows = graph
    if any(node.name == name for node in nodes):
        return _ordered(edit(graph), scope)
    for position, node in enumerate(nodes):
        if isinstance(node, Scope):
            inner = _edit_inside(_graph_of(node), name, edit, node.name)
            if inner is not None:
                changed = replace(node, nodes=inner[0], flows=inner[1])
                return (*nodes[:position], changed, *nodes[position + 1 :]), flows
    return None


def _ordered(graph: Graph, scope: str = "") -> Graph:
    """Return the graph in the order that blocks give it, where it is made of blocks: so it is written as blocks."""
    nodes, flows = graph
    blocks = outline(nodes, flows, scope)
    if blocks is None:
        return graph
    made, arrows = lower(Inside(steps=blocks))
    prefix = f"{scope}_" if scope else ""
    named = {"start": f"{prefix}start", "end": f"{prefix}end"}
    names = [named.get(node.name, node.name) for node in made]
    if len(names) != len(nodes) or set(names) != {node.name for node in nodes}:
        return graph
    wanted = [
        replace(flow, source=named.get(flow.source, flow.source), target=named.get(flow.target, flow.target))
        for flow in arrows
    ]
    by_name = {node.name: node for node in nodes}
    same = len(wanted) == len(flows) and set(wanted) == set(flows)
    return tuple(by_name[name] for name in names), tuple(wanted) if same else flows


def _graph_of(node: Node) -> Graph:
    return (node.nodes, node.flows) if isinstance(node, Scope) else ((), ())


def _with_graph(workflow: Workflow, graph: Graph) -> Workflow:
    return replace(workflow, nodes=graph[0], flows=graph[1])


def _names(nodes: Iterable[Node]) -> Iterator[str]:
    for node in nodes:
        yield node.name
        if isinstance(node, Scope):
            yield from _names(node.nodes)
        compensate = getattr(node, "compensate", None)
        if isinstance(compensate, Task):
            yield compensate.name


# Patterns ------------------------------------------------------------------------


def _put(graph: Graph, pattern: str, after: str | None, before: str | None, taken: set[str]) -> Graph:
    """Return the graph with a pattern on one of its flows."""
    nodes, flows = graph
    made, inner, first, last = _pattern(pattern, taken)
    place = _flow(nodes, flows, after, before)
    if place is None:  # a graph without flows, or a node that nothing leaves
        lead = [Flow(after, first)] if after is not None else []
        return (*nodes, *made), (*flows, *lead, *inner)
    onward = () if last is None else (Flow(last, place.target),)
    at = flows.index(place)
    led = replace(place, target=first)
    return (*nodes, *made), (*flows[:at], led, *inner, *onward, *flows[at + 1 :])


def _flow(nodes: tuple[Node, ...], flows: tuple[Flow, ...], after: str | None, before: str | None) -> Flow | None:
    if after is not None and before is not None:
        found = next((flow for flow in flows if (flow.source, flow.target) == (after, before)), None)
        if found is None:
            message = f"There is no flow from {after!r} to {before!r}."
            raise WorkflowError(message, node=after)
        return found
    if after is not None:
        return next((flow for flow in flows if flow.source == after and flow.kind is FlowKind.NORMAL), None)
    if before is not None:
        return next((flow for flow in flows if flow.target == before), None)
    ends = {node.name for node in nodes if isinstance(node, End)}
    return next((flow for flow in reversed(flows) if flow.target in ends), flows[-1] if flows else None)


def _pattern(pattern: str, taken: set[str]) -> _Placed:
    """Return the nodes and flows of a pattern, and where one enters and leaves it."""
    fresh = partial(_fresh, taken)
    match pattern:
        case "task":
            return _one(Task(name=fresh("task")))
        case "wait":
            name = fresh("callback")
            return _one(Wait(name=name, kind=WaitKind.CALLBACK, subject=name))
        case "call":
            return _one(Call(name=fresh("call"), workflow="other"))
        case "end":
            return _one(End(name=fresh("end")))
        case "for_each":
            return _one(ForEach(items="items", **_inside(fresh("for_each"), Task(name=fresh("task")))))
        case "repeat_while":
            return _one(While(condition="condition", **_inside(fresh("repeat_while"), Task(name=fresh("task")))))
        case "saga":
            undone = Task(name=fresh("task"), compensate=Task(name=fresh("undo")))
            return _one(Saga(**_inside(fresh("saga"), undone, Task(name=fresh("task")))))
        case "choice":
            return _split(GatewayKind.EXCLUSIVE, fresh(pattern), [fresh("task"), fresh("task")])
        case _:
            return _split(GatewayKind.PARALLEL, fresh(pattern), [fresh("task"), fresh("task")])


def _fresh(taken: set[str], word: str) -> str:
    """Return a name that is not taken, and take it."""
    name = next(f"{word}_{number}" for number in itertools.count(1) if f"{word}_{number}" not in taken)
    taken.add(name)
    return name


def _one(node: Node) -> _Placed:
    return (node,), (), node.name, None if isinstance(node, End) else node.name


def _inside(name: str, *tasks: Task) -> dict[str, Any]:
    """Return the name and the graph of a scope with these tasks in sequence."""
    names = [f"{name}_start", *(task.name for task in tasks), f"{name}_end"]
    nodes: tuple[Node, ...] = (Start(name=names[0]), *tasks, End(name=names[-1]))
    return {"nodes": nodes, "flows": tuple(map(Flow, names, names[1:])), "name": name}


def _split(kind: GatewayKind, split: str, arms: list[str]) -> _Placed:
    """Return a split and its join, with a task on each of two ways between them."""
    join = f"{split}_end"
    conditions = ["condition", None] if kind is GatewayKind.EXCLUSIVE else [None, None]
    nodes: tuple[Node, ...] = (
        Gateway(name=split, kind=kind),
        *(Task(name=arm) for arm in arms),
        Gateway(name=join, kind=kind),
    )
    flows = (
        *(Flow(split, arm, condition) for arm, condition in zip(arms, conditions, strict=True)),
        *(Flow(arm, join) for arm in arms),
    )
    return nodes, flows, split, join
