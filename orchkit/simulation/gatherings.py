"""Batches, from a log: steps of several cases that one resource begins and ends at the same moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moments_s
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Task
from orchkit.simulation.scenario import Batch

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["batches_of"]

_MOST = 0.5  # of a task's steps that must have been done together
_ENOUGH = 10  # batches
_SOME = 0.05  # of the batches, that a size must have to be one


def batches_of(workflow: Workflow, log: EventLog) -> dict[str, Batch]:
    """Return how each task is batched of which most steps are done together with others.

    Notes
    -----
    Done together are steps of different cases that have the same resource, start and end, and take time (simultaneous
    batch processing, after Martin, Swennen, Depaire, Jans, Caris and Vanhoof, "Retrieving batch organisation of work
    insights from event logs", Decision Support Systems, 2017). The size is the largest that one of twenty batches has;
    where smaller ones are as frequent, they waited for others no longer than the median of their first one's wait.

    Examples
    --------
    >>> import orchkit as ok
    >>> bread = ok.workflow("bread", [ok.task("knead"), ok.task("bake", role="oven")])
    >>> truth = ok.Scenario("5 min", {"knead": "1 min", "bake": "10 min"}, {"oven": 1}, batches={"bake": 6})
    >>> batches_of(bread, ok.simulate(bread, truth, cases=100, seed=1))
    {'bake': Batch(size=6)}
    """
    steps = log.steps
    started, completed = moments_s(steps["started"]), moments_s(steps["completed"])
    enabled = moments_s(steps["enabled"])
    rows = (log.resource_codes >= 0) & (completed > started) & (steps["attempt"].to_numpy() == 1)
    names = np.asarray(log.activities).astype(str)
    tasks = {node.name for node in all_nodes(workflow) if isinstance(node, Task)}
    frame = pd.DataFrame(
        {
            "task": names[log.activity_codes],
            "who": log.resource_codes,
            "started": started,
            "completed": completed,
            "case": log.case_codes,
            "waited": started - enabled,
        }
    )[rows]
    groups = frame.groupby(["task", "who", "started", "completed"], sort=False)
    together = groups.agg(size=("case", "nunique"), waited=("waited", "max")).reset_index()
    found = {}
    for task, own in together.groupby("task"):
        sizes = own["size"].to_numpy()
        joined = sizes[sizes > 1]
        if str(task) not in tasks or len(joined) < _ENOUGH or joined.sum() < _MOST * sizes.sum():
            continue
        values, counts = np.unique(sizes, return_counts=True)
        size = int(values[counts >= min(_SOME * len(sizes), counts.max())].max())
        smaller = own["waited"][sizes < size].dropna()
        is_timed = len(smaller) >= max(2, _SOME * len(sizes))
        found[str(task)] = Batch(size, float(smaller.median()) if is_timed else None)
    return found
