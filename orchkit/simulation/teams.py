"""Teams: who works together, where a workflow names no roles; told by who does what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Task

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["teams_of"]

_ALIKE = 0.5  # cosine of two tasks by who does them, from which on one team does both
_KNOWN = 0.5  # of a task's steps that must say who did them


def teams_of(workflow: Workflow, log: EventLog) -> dict[str, str]:
    """Return the team of each task that has no role in the workflow, and people in the log.

    Notes
    -----
    Where the log has a role for a task's steps, that is its team. Other tasks are of one team where the same people do
    them: joint activities, after Song and van der Aalst, "Towards comprehensive support for organizational mining"
    (Decision Support Systems, 2008).

    Examples
    --------
    >>> import pandas as pd
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check"), ok.task("decide"), ok.task("ship")])
    >>> steps = pd.DataFrame({"case_id": list("111222"), "activity": ["check", "decide", "ship"] * 2})
    >>> steps["resource"] = ["Ann", "Ann", "Cid", "Bob", "Ann", "Cid"]
    >>> steps["completed"] = pd.date_range("2024-05-06T09:00Z", periods=6, freq="h")
    >>> teams_of(order, ok.EventLog(steps))
    {'check': 'team_1', 'decide': 'team_1', 'ship': 'team_2'}
    """
    nodes = [node for node in all_nodes(workflow) if isinstance(node, Task)]
    taken = {node.role for node in nodes if node.role}
    free = {node.name for node in nodes if node.role is None}
    counts = np.zeros((len(log.activities), len(log.resources)))
    with_people = log.resource_codes >= 0
    np.add.at(counts, (log.activity_codes[with_people], log.resource_codes[with_people]), 1)
    steps = np.bincount(log.activity_codes, minlength=len(log.activities))
    codes = [
        code for code, name in enumerate(log.activities) if name in free and counts[code].sum() > _KNOWN * steps[code]
    ]
    found = {str(log.activities[code]): role for code in codes if (role := _role(log, code))}
    codes = [code for code in codes if str(log.activities[code]) not in found]
    groups: nx.Graph[int] = nx.Graph()
    groups.add_nodes_from(codes)
    lengths = np.sqrt((counts**2).sum(axis=1))
    for place, one in enumerate(codes):
        for other in codes[place + 1 :]:
            if counts[one] @ counts[other] >= _ALIKE * lengths[one] * lengths[other]:
                groups.add_edge(one, other)
    teams = sorted(nx.connected_components(groups), key=lambda team: (-steps[list(team)].sum(), min(team)))
    names = (name for number in range(1, len(teams) + len(taken) + 1) if (name := f"team_{number}") not in taken)
    for name, team in zip(names, teams, strict=False):
        found |= {str(log.activities[code]): name for code in sorted(team)}
    return found


def _role(log: EventLog, code: int) -> str | None:
    """Return the role that a task's steps have most often."""
    roles = log.steps["role"][log.activity_codes == code].dropna()
    return str(roles.mode().iloc[0]) if len(roles) else None
