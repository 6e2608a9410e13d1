"""Which way cases went at each choice, as far as the order of their steps tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["branch_shares"]

_BEGIN, _END = "\0begin", "\0end"
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
    graph = _flat(workflow)
    counts = _successions(log)
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


def _flat(workflow: Workflow) -> nx.DiGraph[str]:
    """Return the graph with scopes opened: into their first nodes, and out of their last."""
    frames = workflow.to_frames()
    nodes, flows = frames.nodes, frames.flows
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from((row["node"], {"kind": row["kind"]}) for row in nodes.to_dict("records"))
    graph.add_edges_from(zip(flows["source"], flows["target"], strict=True))
    scopes = nodes["scope"] if "scope" in nodes else pd.Series(index=nodes.index, dtype="str")
    inside = {str(scope): list(part["node"]) for scope, part in nodes.groupby(scopes)}
    for scope, names in inside.items():
        own = graph.subgraph(names)
        entries = [name for name in names if not own.in_degree(name)]
        exits = [name for name in names if not own.out_degree(name)]
        after = list(graph.successors(scope))
        graph.add_edges_from((scope, name) for name in entries)
        graph.add_edges_from((name, target) for name in exits for target in after)
        graph.remove_edges_from([(scope, target) for target in after])
        graph.nodes[scope]["kind"] = "exclusive-scope"
    for name, data in graph.nodes(data=True):
        data["silent"] = data["kind"] in _SILENT or name in inside
    return graph


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
