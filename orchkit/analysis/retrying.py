"""Where the attempts of steps are not as the retry policy has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.analysis.alignment import DeviationKind
from orchkit.columns import ENDED_CASES
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import End, Scope, Task
from orchkit.model.states import ErrorClass, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.model.retry import Retry

__all__ = ["Misretry", "misretries"]

_RETRYABLE = (ErrorClass.TRANSIENT.value, ErrorClass.TIMEOUT.value)
_FOR_GOOD = (ErrorClass.PERMANENT.value, ErrorClass.PARTIAL.value)
# What clocks of one machine may differ by, and timestamps be rounded to.
_LEEWAY_S = 0.001
_STOPS = (StepStatus.FAILED.value, StepStatus.CANCELLED.value)


@dataclass(frozen=True, slots=True)
class Misretry:
    """An attempt that should not be there, or should not be the last; by row of ``log.cases`` and of ``log.steps``."""

    case: int
    row: int
    kind: DeviationKind


@dataclass(slots=True)
class _Attempt:
    """A row, with times in seconds; NaN where one is missing."""

    row: int
    number: int
    status: str
    error: str
    began: float
    ended: float
    replays: int


def misretries(workflow: Workflow, log: EventLog, chosen: NDArray[np.bool_]) -> list[Misretry]:
    """Return the attempts of the chosen cases that are not as the policies have it.

    Attempts belong together by ``step_id``, if there is one; else a failure is followed by the first row of its
    activity with the next number that begins after it. That a step was not tried again is said only of cases that have
    ended, and where nothing else stopped or failed meanwhile that may be why.
    """
    tasks = {node.name: node for node in all_nodes(workflow) if isinstance(node, Task)}
    names = [str(name) for name in log.activities]
    known = np.array([*(name in tasks for name in names), False])[log.activity_codes]
    failed = (log.steps["status"] == StepStatus.FAILED).to_numpy()
    cases = np.unique(log.case_codes[chosen[log.case_codes] & known & failed])
    if not len(cases):
        return []
    table = _table(log, np.flatnonzero(np.isin(log.case_codes, cases)))
    rules = _Rules(workflow, tasks)
    status = log.cases["status"].astype("str").to_numpy()
    resolution_s = _resolution_s(log)
    found: list[Misretry] = []
    for _, run in table.groupby(["case", "run"], sort=False):
        case = int(run["case"].iloc[0])
        judge = _Judge(rules, str(status[case]), run, resolution_s)
        found.extend(Misretry(case, row, kind) for row, kind in judge.verdicts())
    return found


def _table(log: EventLog, rows: NDArray[np.intp]) -> pd.DataFrame:
    steps = log.steps.iloc[rows]
    times = {name: steps[name].to_numpy(dtype="M8[us]") for name in ("enabled", "started", "completed")}
    seconds_of = {
        name: np.where(np.isnat(values), np.nan, values.view(np.int64) / 1e6) for name, values in times.items()
    }
    began = np.where(np.isnan(seconds_of["started"]), seconds_of["enabled"], seconds_of["started"])
    return pd.DataFrame(
        {
            "row": rows,
            "case": log.case_codes[rows],
            "run": steps["run_id"].astype("str").fillna("").to_numpy(),
            "name": steps["activity"].astype("str").to_numpy(),
            "step": steps["step_id"].astype("str").fillna("").to_numpy(),
            "number": steps["attempt"].to_numpy(),
            "status": steps["status"].astype("str").to_numpy(),
            "error": steps["error_class"].astype("str").fillna("").to_numpy(),
            "type": steps["error_type"].astype("str").fillna("").to_numpy(),
            "began": began,
            "ended": seconds_of["completed"],
            "replays": steps["replays"].fillna(0).to_numpy() if "replays" in steps else 0,
        }
    )


def _resolution_s(log: EventLog) -> float:
    """Return what times may be off by: a second, where all are whole seconds."""
    columns = (log.steps[name].dropna().to_numpy(dtype="M8[us]") for name in ("started", "completed"))
    return _LEEWAY_S if any((times.view(np.int64) % 1_000_000).any() for times in columns) else 1.0


@dataclass(slots=True)
class _Rules:
    """The policies of a workflow, and what may end a step that has not been tried often enough."""

    workflow: Workflow
    tasks: dict[str, Task]

    def policy(self, name: str) -> Retry:
        return self.tasks[name].retry or self.workflow.retry

    def error_class(self, name: str, error: str, kind: str) -> str:
        return self.tasks[name].error_class_for(kind) or error

    def delay_s(self, name: str, attempt: int) -> tuple[float, float]:
        """Return the least and the most that the policy waits after an attempt."""
        policy = self.policy(name)
        delay_s = replace(policy, jitter=0.0).delay_s(attempt)
        return delay_s * (1 - policy.jitter), delay_s * (1 + policy.jitter)

    def ends_unseen(self) -> bool:
        """Whether steps may be stopped by what leaves no row: a scope that takes too long, an end that ends all."""
        nodes = list(all_nodes(self.workflow))
        return any(
            (isinstance(node, Scope) and node.timeout_s is not None)
            or (isinstance(node, End) and (node.terminate or node.error is not None))
            or (isinstance(node, Task) and node.deadline_s is not None)
            for node in nodes
        )


@dataclass(slots=True)
class _Judge:
    """Judges the attempts of a run."""

    rules: _Rules
    status: str
    run: pd.DataFrame
    leeway_s: float

    def verdicts(self) -> Iterator[tuple[int, DeviationKind]]:
        """Yield the rows of ``log.steps`` that deviate."""
        own = self.run[self.run["name"].isin(list(self.rules.tasks))]
        for (name, _), rows in own.groupby(["name", "step"], sort=False):
            listed = [_Attempt(*values) for values in _tuples(rows, self.rules, str(name))]
            for attempts in _chains(listed, partial(self.may_follow, str(name))):
                yield from self.judged(str(name), attempts)

    def judged(self, name: str, attempts: Sequence[_Attempt]) -> Iterator[tuple[int, DeviationKind]]:
        policy, before = self.rules.policy(name), 0
        for one, other in zip(attempts, [*attempts[1:], None], strict=True):
            number = one.number - before
            if one.status != StepStatus.FAILED:
                continue
            if other is None:
                if one.error in _RETRYABLE and number < policy.max_attempts and self.wanted(name, one, number):
                    yield one.row, DeviationKind.NOT_RETRIED
            elif other.replays != one.replays:  # somebody decided on it
                before = one.number
            elif one.error in _FOR_GOOD:
                yield other.row, DeviationKind.RETRIED_FOR_NOTHING
            elif number >= policy.max_attempts:
                yield other.row, DeviationKind.RETRIED_TOO_OFTEN
            elif other.began - one.ended < self.rules.delay_s(name, number)[0] - self.leeway_s:
                yield other.row, DeviationKind.RETRIED_TOO_EARLY

    def may_follow(self, name: str, one: _Attempt, other: _Attempt) -> bool:
        """Whether the policy has an attempt after another."""
        if one.error in _FOR_GOOD or one.number >= self.rules.policy(name).max_attempts:
            return False
        return other.began - one.ended >= self.rules.delay_s(name, one.number)[0] - self.leeway_s

    def wanted(self, name: str, last: _Attempt, number: int) -> bool:
        """Whether nothing is there that may have ended the step without another attempt."""
        if self.status not in ENDED_CASES or self.status == RunStatus.CANCELLED or self.rules.ends_unseen():
            return False
        until = last.ended + self.rules.delay_s(name, number)[1]
        others = self.run[self.run["row"] != last.row]
        # What begins when an attempt ends comes of it, unless that took no time at all.
        after = (others["began"] >= last.ended) if last.began < last.ended else (others["began"] > last.ended)
        meanwhile = (others["ended"] >= last.began) & (others["ended"] <= until) & ~after | others["began"].isna()
        if self.status != RunStatus.COMPLETED and meanwhile.any():
            return False
        stopped = others["status"].isin(_STOPS)
        stopped &= (others["ended"] <= until) & ~after | others["ended"].isna()
        return not stopped.any()


def _tuples(rows: pd.DataFrame, rules: _Rules, name: str) -> Iterator[tuple[Any, ...]]:
    columns = ("row", "number", "status", "error", "type", "began", "ended", "replays")
    for row, number, status, error, kind, began, ended, replays in zip(*(rows[each] for each in columns), strict=True):
        if not np.isnan(ended):
            yield int(row), int(number), status, rules.error_class(name, error, kind), began, ended, int(replays)


def _chains(attempts: list[_Attempt], may_follow: Callable[[_Attempt, _Attempt], bool]) -> list[list[_Attempt]]:
    """Return attempts that follow each other, each chain in order.

    Steps that no identifier tells apart may be those of several passes: of the failures that an attempt may have come
    after, it is taken to come after one that the policy lets it, if there is one.
    """
    chains: list[list[_Attempt]] = []
    for attempt in attempts:
        attempt.began = attempt.ended if np.isnan(attempt.began) else attempt.began
    for attempt in sorted(attempts, key=lambda each: (each.number, each.began)):
        before = [
            chain
            for chain in chains
            if chain[-1].number + 1 == attempt.number
            and chain[-1].status == StepStatus.FAILED
            and chain[-1].ended <= attempt.began
        ]
        if before:
            next((chain for chain in before if may_follow(chain[-1], attempt)), before[0]).append(attempt)
        else:
            chains.append([attempt])
    return chains
