"""How often loops went around, and how long waits took, from a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.spans import moments_s
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import ForEach, Scope, Task, Wait, While
from orchkit.model.states import StepStatus
from orchkit.simulation.distributions import Distribution, constant
from orchkit.simulation.families import best_family
from orchkit.simulation.routes import skips_of
from orchkit.simulation.scenario import Loop, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.model.nodes import Node

__all__ = ["loops_of", "responses_of"]

_KEPT = 500  # values of an empirical distribution


def loops_of(workflow: Workflow, log: EventLog) -> dict[str, Loop]:
    """Return how often each for-each and while went around.

    Notes
    -----
    The steps of a case that follow one another and belong to the loop are one visit of it; it went around as often as
    the task that occurs most in it. Visits without any iteration are those of `skips_of`.

    Examples
    --------
    >>> import pandas as pd
    >>> import orchkit as ok
    >>> calls = ok.workflow("calls", [ok.repeat_while("open", [ok.task("call")], name="calling"), ok.task("close")])
    >>> steps = pd.DataFrame({"case_id": "1", "activity": ["call", "call", "call", "close"]})
    >>> steps["completed"] = pd.date_range("2024-05-06T09:00Z", periods=4, freq="h")
    >>> loops_of(calls, ok.EventLog(steps))["calling"].items.mean
    3.0
    """
    names = np.asarray(log.activities)
    found, skipped = {}, skips_of(workflow, log)
    for node in all_nodes(workflow):
        if not isinstance(node, ForEach | While):
            continue
        inside = {task.name for task in _tasks(node, is_inner=True)}
        own = {task.name for task in _tasks(node, is_inner=False)} or inside
        rounds = _rounds(log, np.isin(names, list(inside)), np.isin(names, list(own)))
        counts = np.concatenate([np.zeros(skipped.get(node.name, 0), dtype=np.int64), rounds])
        if len(counts):
            found[node.name] = Loop(_counted(counts))
    return found


def responses_of(workflow: Workflow, log: EventLog) -> dict[str, Response]:
    """Return when what each wait waits for came, where the log has the waits themselves."""
    steps = log.steps
    began = moments_s(steps["started"])
    began = np.where(np.isnan(began), moments_s(steps["enabled"]), began)
    waited, status = moments_s(steps["completed"]) - began, steps["status"].astype("str").to_numpy()
    names = np.asarray(log.activities)[log.activity_codes]
    found = {}
    for node in all_nodes(workflow):
        if not isinstance(node, Wait):
            continue
        rows = (names == node.name) & ~np.isnan(waited)
        came = rows & (status == StepStatus.COMPLETED)
        if came.any():
            ended = came.sum() + (rows & (status == StepStatus.FAILED)).sum()
            found[node.name] = Response(best_family(waited[came]).distribution, fails=float(1 - came.sum() / ended))
    return found


def _tasks(scope: Scope, *, is_inner: bool) -> Iterator[Task]:
    """Return the tasks of a scope; those of loops within it too, if asked for."""
    waiting: list[Node] = list(scope.nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Task):
            yield node
        elif isinstance(node, Scope) and (is_inner or not isinstance(node, ForEach | While)):
            waiting += node.nodes


def _rounds(log: EventLog, inside: NDArray[np.bool_], own: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each visit of a loop how often its most frequent task occurs."""
    first = log.steps["attempt"].to_numpy() == 1
    rows = np.flatnonzero(first)
    codes, cases = log.activity_codes[rows].astype(np.int64), log.case_codes[rows].astype(np.int64)
    within = inside[codes]
    begins = within & ((np.diff(cases, prepend=-1) != 0) | ~np.concatenate([[False], within[:-1]]))
    visits = np.cumsum(begins)
    kept = within & own[codes]
    if not kept.any():
        return np.array([], dtype=np.int64)
    keys, counts = np.unique(visits[kept] * len(own) + codes[kept], return_counts=True)
    most = np.zeros(int(visits[-1]) + 1, dtype=np.int64)
    np.maximum.at(most, keys // len(own), counts)
    return most[most > 0]


def _counted(counts: NDArray[np.int64]) -> Distribution:
    if counts.min() == counts.max():
        return constant(float(counts[0]))
    shares = (np.arange(_KEPT) + 0.5) / _KEPT
    values = counts if len(counts) <= _KEPT else np.quantile(counts, shares, method="inverted_cdf")
    return Distribution("empirical", values=tuple(float(value) for value in np.sort(values)))
