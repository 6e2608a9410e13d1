"""How often tasks fail, and when they are tried again, from a log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.spans import moments_s
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Task
from orchkit.model.retry import Retry
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.simulation.scenario import Failure
from orchkit.units import seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["failures_of", "retries_of"]

_ENOUGH = 10
_APART = 2.0  # times the policy's delay, or the other way round, from which on it is another
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


def retries_of(workflow: Workflow, log: EventLog) -> tuple[dict[str, Retry], list[str]]:
    """Return the policy of each task that the log tries again otherwise than the workflow says, and a note of each.

    Notes
    -----
    The log's delay is the mean of the shortest half of the gaps between an attempt's end and the next one's start, so
    that waiting for a resource does not count. A task has a policy of its own where the first delay is half the
    workflow's or less, or twice as long or more, or where the log has more attempts.

    Examples
    --------
    >>> import orchkit as ok
    >>> slow = ok.workflow("w", [ok.task("pay", retry=ok.Retry(max_attempts=4, initial_delay="1 h", max_delay="1 d"))])
    >>> hasty = ok.workflow("w", [ok.task("pay", retry=ok.Retry(max_attempts=2, initial_delay="1 s"))])
    >>> log = ok.simulate(slow, ok.Scenario("1 d", {"pay": "1 min"}, failures={"pay": 0.5}), cases=500, seed=3)
    >>> found = retries_of(hasty, log)[0]["pay"]
    >>> found.max_attempts, round(found.initial_delay / 3600), round(found.multiplier), retries_of(slow, log)[0]
    (4, 1, 2, {})
    """
    steps = log.steps
    attempt, status = steps["attempt"].to_numpy(), steps["status"].astype("str").to_numpy()
    is_again = (
        (np.diff(log.case_codes, prepend=-1) == 0)
        & (np.diff(log.activity_codes.astype(np.int64), prepend=-1) == 0)
        & (np.diff(attempt, prepend=0) == 1)
        & (np.roll(status, 1) == StepStatus.FAILED)
    )
    gaps = moments_s(steps["started"]) - np.roll(moments_s(steps["completed"]), 1)
    found, notes = dict[str, Retry](), []
    for node in all_nodes(workflow):
        if not isinstance(node, Task) or node.name not in log.activities:
            continue
        own = log.activity_codes == list(log.activities).index(node.name)
        rows = own & is_again & ~np.isnan(gaps)
        policy = node.retry or workflow.retry
        delays: list[float] = []
        while (rows & (attempt == len(delays) + 2)).sum() >= _ENOUGH:
            delays.append(_shortest_half(gaps[rows & (attempt == len(delays) + 2)]))
        most = int(attempt[own].max(initial=1))
        if not delays or not (_is_apart(delays[0], seconds(policy.initial_delay)) or most > policy.max_attempts):
            continue
        found[node.name] = _policy(delays, max(most, policy.max_attempts), policy)
        notes.append(
            f"{node.name}: the log tries again after {delays[0]:.4g} s, {most} attempts at most; the workflow's "
            f"policy says {seconds(policy.initial_delay):.4g} s and {policy.max_attempts}. The scenario retries as "
            "the log does."
        )
    return found, notes


def _shortest_half(gaps: NDArray[np.float64]) -> float:
    """Return the mean of the half that lies closest together."""
    ordered, size = np.sort(np.maximum(gaps, 0.0)), (len(gaps) + 1) // 2
    begin = int(np.argmin(ordered[size - 1 :] - ordered[: len(ordered) - size + 1]))
    return float(ordered[begin : begin + size].mean())


def _is_apart(seen_s: float, said_s: float) -> bool:
    """Return whether two delays differ by so much that it matters."""
    less, more = sorted((max(seen_s, _LEAST_S), max(said_s, _LEAST_S)))
    return more > _APART * less


def _policy(delays: list[float], attempts: int, policy: Retry) -> Retry:
    """Return the policy that has such delays, one after the other."""
    first = delays[0]
    multiplier = max(1.0, delays[1] / first) if len(delays) > 1 and first > 0 else policy.multiplier
    longest = first * multiplier ** max(attempts - 2, 0)
    is_cut = len(delays) > 2 and delays[-1] < longest / _APART  # noqa: PLR2004 -- a third delay tells whether they grow
    longest = delays[-1] if is_cut else max(longest, seconds(policy.max_delay))
    return replace(
        policy, max_attempts=attempts, initial_delay=first, max_delay=max(longest, first), multiplier=multiplier
    )
