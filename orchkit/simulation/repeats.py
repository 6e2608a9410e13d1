"""How often tasks fail, and when they are tried again, from a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.spans import moments_s
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.simulation.scenario import Failure
from orchkit.units import seconds

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["failures_of", "retry_notes"]

_ENOUGH = 10
_APART = 2.0  # times the policy's delay, or the other way round, that are worth a word
_LEAST_S = 1.0


def failures_of(workflow: Workflow, log: EventLog) -> dict[str, tuple[Failure, ...]]:
    """Return the failures of each task, by class: their share of its attempts."""
    steps = log.steps
    tried = steps["status"].isin([StepStatus.COMPLETED, StepStatus.COMPENSATED, StepStatus.FAILED])
    failed = steps["status"] == StepStatus.FAILED
    tasks = {node.name for node in all_nodes(workflow) if isinstance(node, Task)}
    attempts = steps[tried]["activity"].astype("str").value_counts()
    kinds = {str(kind) for kind in ErrorClass} - {str(ErrorClass.CANCELLED)}
    rows = steps[failed].astype({"activity": "str"})
    rows["kind"] = rows["error_class"].astype("str").where(rows["error_class"].isin(kinds), str(ErrorClass.TRANSIENT))
    found: dict[str, tuple[Failure, ...]] = {}
    for pair, count in rows.value_counts(["activity", "kind"]).sort_index().items():
        name, kind = (str(part) for part in (pair if isinstance(pair, tuple) else (pair,)))
        if name in tasks:
            found[name] = (*found.get(name, ()), Failure(float(count / attempts[name]), error=ErrorClass(kind)))
    return found


def retry_notes(workflow: Workflow, log: EventLog) -> list[str]:
    """Return a sentence for each task that the log tries again much sooner or later than its policy says.

    A simulation retries as the workflow says, not as the log did: where the two differ, the workflow is to be mended.
    """
    steps = log.steps
    begun = np.fmin(moments_s(steps["enabled"]), moments_s(steps["started"]))
    begun = np.fmax(begun, moments_s(steps["started"]))
    ended = moments_s(steps["completed"])
    status = steps["status"].astype("str").to_numpy()
    again = (
        (np.diff(log.case_codes, prepend=-1) == 0)
        & (np.diff(log.activity_codes.astype(np.int64), prepend=-1) == 0)
        & (steps["attempt"].to_numpy() == 2)  # noqa: PLR2004 -- the first retry, whose delay the policy gives at once
        & (np.roll(status, 1) == StepStatus.FAILED)
    )
    gaps = begun - np.roll(ended, 1)
    notes = []
    for node in all_nodes(workflow):
        if not isinstance(node, Task) or node.name not in log.activities:
            continue
        mine = gaps[again & (log.activity_codes == list(log.activities).index(node.name)) & ~np.isnan(gaps)]
        policy = node.retry or workflow.retry
        if len(mine) < _ENOUGH or policy.max_attempts < 2:  # noqa: PLR2004 -- no second attempt
            continue
        seen, said = float(np.median(mine)), seconds(policy.initial_delay)
        if max(seen, _LEAST_S) > _APART * max(said, _LEAST_S) or max(said, _LEAST_S) > _APART * max(seen, _LEAST_S):
            notes.append(
                f"{node.name}: the log tries again after {seen:.4g} s (median), the workflow's policy after "
                f"{said:.4g} s. Simulations follow the workflow."
            )
    return notes
