"""Which way cases went at each choice, as far as the order of their steps tells."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["branch_shares", "skips_of"]

_BEGIN, _END = "\0begin", "\0end"
_LOOPS = frozenset({"for_each", "while"})
_SILENT = frozenset({"start", "end", "exclusive", "parallel", "inclusive", "event"})


def branch_shares(workflow: Workflow, log: EventLog) -> dict[str, dict[str, float]]:
    """Return the probability of each target of each exclusive gateway that splits.

    Parameters
    ----------
    workflow
        Whose steps the log has.
    log
        Its steps are taken in the order of the log.

    Returns
    -------
    dict
        By gateway and target, as `Scenario` takes it. Targets are as likely as each other where the log never passes
        the gateway.

    Notes
    -----
    A gateway is passed when a step from before it is followed, in its case, by one from behind it; the succession is
    counted for the target that leads to it by the fewest nodes. Steps of parallel branches hide some of these, not
    one branch more than another.
    """
    counts = _successions(log)
    graph = _flat(workflow, {loop for loop, count in _skips(workflow, counts).items() if count})
    found = {}
    for gateway, data in graph.nodes(data=True):
        targets = list(dict.fromkeys(graph.successors(gateway)))
        if data.get("kind") != "exclusive" or len(targets) < 2:  # noqa: PLR2004 -- one way is no choice
            continue
        before = set(_visible(graph, [gateway], graph.predecessors))
        behind: dict[str, tuple[int, str]] = {}
        for target in targets:
            for name, steps in _visible(graph, [target], graph.successors).items():
                behind[name] = min(behind.get(name, (steps, target)), (steps, target))
        taken = dict.fromkeys(targets, 0.0)
        for (source, follower), count in counts.items():
            if source in before and follower in behind:
                taken[behind[follower][1]] += count
        total = sum(taken.values())
        found[gateway] = {name: count / total if total else 1 / len(targets) for name, count in taken.items()}
    return found


def skips_of(workflow: Workflow, log: EventLog) -> dict[str, int]:
    """Return how often cases passed each for-each and while without going around once.

    Notes
    -----
    Such a visit leaves no trace of its own; but two steps that follow each other and have no other way from one to the
    other than past the loop tell of it.

    Examples
    --------
    >>> import orchkit as ok
    >>> again = ok.repeat_while("x", [ok.task("call")], name="c")
    >>> calls = ok.workflow("calls", [ok.task("open"), again, ok.task("end")])
    >>> steps = pd.DataFrame({"case_id": list("11122"), "activity": ["open", "call", "end", "open", "end"]})
    >>> steps["completed"] = pd.date_range("2024-05-06T09:00Z", periods=5, freq="h")
    >>> skips_of(calls, ok.EventLog(steps))
    {'c': 1}
    """
    return _skips(workflow, _successions(log))


def _skips(workflow: Workflow, counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    frames = workflow.to_frames()
    loops = [str(row["node"]) for row in frames.nodes.to_dict("records") if row["kind"] in _LOOPS]
    graph = _flat(workflow, set(loops), goes_around=True)
    found = {}
    for loop in loops:
        inside, after = (
            [name for name in graph.successors(loop) if graph.edges[loop, name]["is_skip"] is way]
            for way in (False, True)
        )
        entered, behind = (set(_visible(graph, names, graph.successors)) for names in (inside, after))
        before = set(_visible(graph, [loop], graph.predecessors))
        around = graph.copy()
        around.remove_edges_from([(loop, name) for name in after])
        found[loop] = sum(
            count
            for (source, follower), count in counts.items()
            if source in before
            and follower in behind - entered
            and follower not in _visible(around, _from(around, source), around.successors)
        )
    return found


def _from(graph: nx.DiGraph[str], step: str) -> list[str]:
    """Return the nodes that come next after a step, or first of all."""
    if step == _BEGIN:
        return [name for name in graph if not graph.in_degree(name)]
    return list(graph.successors(step))


def _flat(workflow: Workflow, passed: Container[str], *, goes_around: bool = False) -> nx.DiGraph[str]:
    """Return the graph with scopes opened: into their first nodes, and out of their last; past some loops as well.

    With ``goes_around``, the last nodes of those loops also lead to their first.
    """
    frames = workflow.to_frames()
    nodes, flows = frames.nodes, frames.flows
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from((row["node"], {"kind": row["kind"]}) for row in nodes.to_dict("records"))
    graph.add_edges_from(zip(flows["source"], flows["target"], strict=True), is_skip=False)
    scopes = nodes["scope"] if "scope" in nodes else pd.Series(index=nodes.index, dtype="str")
    inside = {str(scope): list(part["node"]) for scope, part in nodes.groupby(scopes)}
    # Outer scopes first: what follows a scope is handed on to the last nodes of those inside it.
    outer = dict(zip(nodes["node"], scopes, strict=True))
    for scope, names in sorted(inside.items(), key=lambda one: _depth(one[0], outer)):
        own = graph.subgraph(names)
        entries = [name for name in names if not own.in_degree(name)]
        exits = [name for name in names if not own.out_degree(name)]
        after = list(graph.successors(scope))
        graph.remove_edges_from([(scope, target) for target in after])
        graph.add_edges_from(((scope, name) for name in entries), is_skip=False)
        graph.add_edges_from(((name, target) for name in exits for target in after), is_skip=False)
        if scope in passed:
            graph.add_edges_from(((scope, target) for target in after), is_skip=True)
            if goes_around:
                graph.add_edges_from(((name, entry) for name in exits for entry in entries), is_skip=False)
        graph.nodes[scope]["kind"] = "exclusive-scope"
    for name, data in graph.nodes(data=True):
        data["silent"] = data["kind"] in _SILENT or name in inside
    return graph


def _depth(scope: str, outer: Mapping[str, str | None]) -> int:
    depth, around = 0, outer.get(scope)
    while isinstance(around, str) and around:
        depth, around = depth + 1, outer.get(around)
    return depth


def _visible(graph: nx.DiGraph[str], start: list[str], onward: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """Return the first steps that are met on each way, and after how many nodes; the ends of the way too."""
    found: dict[str, int] = {}
    seen, level, distance = set(start), start, 0
    while level:
        following = []
        for name in level:
            if not graph.nodes[name]["silent"]:
                found.setdefault(name, distance)
                continue
            beyond = list(onward(name))
            if not beyond:
                found.setdefault(_END if graph.nodes[name]["kind"] == "end" else _BEGIN, distance)
            following += [other for other in beyond if other not in seen]
            seen.update(beyond)
        level, distance = following, distance + 1
    return found


def _successions(log: EventLog) -> dict[tuple[str, str], int]:
    names = np.array([*log.activities, _BEGIN, _END], dtype=object)
    codes, cases = log.activity_codes.astype(np.int64), log.case_codes
    is_first = np.diff(cases, prepend=-1) != 0
    before = np.where(is_first, len(names) - 2, np.roll(codes, 1))
    last = np.flatnonzero(np.diff(cases, append=-1) != 0)
    pairs = np.concatenate([before * len(names) + codes, codes[last] * len(names) + len(names) - 1])
    keys, counts = np.unique(pairs, return_counts=True)
    return {
        (str(names[key // len(names)]), str(names[key % len(names)])): int(count)
        for key, count in zip(keys, counts, strict=True)
    }
