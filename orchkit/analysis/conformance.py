"""Whether the cases of a log follow a workflow, and where they do not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from math import isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.analysis.alignment import Asks, Budget, BudgetSpentError, Deviation, DeviationKind, aligned
from orchkit.analysis.deciding import Decider
from orchkit.analysis.moves import Asked
from orchkit.analysis.precision import Events, precision_of
from orchkit.analysis.retrying import Misretry, misretries
from orchkit.analysis.skeleton import names_of, waits_of
from orchkit.analysis.traces import Variant, variants_of, visits_of
from orchkit.log import expect_log
from orchkit.model.definition import Workflow, all_nodes, check_kind
from orchkit.model.nodes import Task
from orchkit.units import Duration, seconds

if TYPE_CHECKING:
    from collections.abc import Container

    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["Conformance", "conformance"]

_FOR_PRECISION = 300_000  # states
_OF_STEPS = (DeviationKind.SKIPPED, DeviationKind.INSERTED, DeviationKind.OUT_OF_ORDER)
_COLUMNS = ["case_id", "position", "activity", "kind", "row", "workflow", "replication"]


@dataclass(frozen=True, slots=True, repr=False)
class Conformance:
    """How well a log follows a workflow.

    Attributes
    ----------
    workflow
        The definition.
    fitness
        From 0 to 1: for each case, 1 minus its deviations divided by the most that there could be (all its steps
        inserted, the shortest way through the workflow skipped, the attempts that are against a policy); the mean of
        the cases that were decided.
    precision
        From 0 to 1: of the activities that the workflow allows next, in all states that cases came to, the share that
        some case did next. Low if the workflow allows much that never happens; missing if the budget ran out.
    cases, fitting
        How many cases were decided, and how many of them have no deviation.
    deviations
        One row per deviation: ``case_id``, ``position`` (how many steps of the case come before it), ``activity``,
        ``kind``, ``row`` (in ``log.steps``; missing for a step that was skipped), ``workflow`` and ``replication`` of
        the case. A kind is ``skipped`` (the workflow requires the step), ``inserted`` (the workflow does not allow it
        there) or ``out of order`` (both: it was done, but elsewhere); or, of attempts, ``retried too often``,
        ``retried too early``, ``retried after a permanent error`` (each at the attempt that should not be there yet, or
        at all) or ``not retried`` (at the last attempt).
    by_case
        One row per case: ``case_id, workflow, replication, fitness, deviations``; missing if undecided.
    by_step
        One row per activity: ``activity, followed, skipped, inserted, out_of_order``, counts of visits.
    undecided
        ``case_id`` of the cases that were not decided within the budget.
    """

    workflow: Workflow
    fitness: float
    precision: float
    cases: int
    fitting: int
    deviations: pd.DataFrame
    by_case: pd.DataFrame
    by_step: pd.DataFrame
    undecided: tuple[str, ...]

    def __repr__(self) -> str:
        text = f"fitness {self.fitness:.4f}: {self.fitting:,} of {self.cases:,} cases follow the workflow"
        text += "" if isnan(self.precision) else f"; precision {self.precision:.4f}"
        if self.undecided:
            text += f"; {len(self.undecided):,} are undecided"
        return f"<Conformance {text}>"

    def _repr_mimebundle_(
        self,
        include: Container[str] | None = None,
        exclude: Container[str] | None = None,
    ) -> dict[str, Any]:
        from orchkit.view.diagram import draw  # noqa: PLC0415 -- a value may draw itself, and only that looks up

        bundle = dict(draw(self.workflow, self)._repr_mimebundle_(include, exclude))
        if "text/html" in bundle:
            bundle["text/html"] = f"<p>{escape(repr(self)[1:-1])}</p>{bundle['text/html']}"
        return bundle | ({"text/plain": repr(self)} if "text/plain" in bundle else {})


def conformance(
    workflow: Workflow, log: EventLog, *, budget: int = 1_000_000, time_limit: Duration = "60s"
) -> Conformance:
    """Return how well the cases of a log follow a workflow, and where they do not.

    Parameters
    ----------
    workflow
        Any workflow: scopes, loops, sagas, calls, error and timeout paths, all gateways.
    log
        Any event log. If it has cases of this workflow, by name, only these are checked, with those of the workflows
        that it calls; else all are. The attempts of a step count once; what was cancelled or is open does not. A case
        that failed, was cancelled or is open need not have come to the workflow's end, but what a failure brings about
        (an error path, a compensation) has to be there.
    budget
        States that the search may look at for each variant; cases of a variant that needs more are undecided.
    time_limit
        For the whole. What is not decided by then is undecided, the most frequent variants last.

    Returns
    -------
    Conformance
        Fitness and deviations; of several ways to explain a case, one with the fewest deviations. Runs in which an
        expression has no value, or a scope takes too long, are tried as far as a fifth of the budget goes.

    Notes
    -----
    The machine itself is played (`orchkit.machine`), with every answer to what it asks about data: a log does not tell
    the variables. First the trace is replayed as it is; if that is not possible, an optimal alignment (Adriansyah,
    2014) is searched, at a cost of one for each step that is skipped or inserted, once for each variant. Steps that
    ended at the same instant have no order, where both were open. A wait that the log never names passes unseen, unless
    an engine or a simulator wrote it, which name all.

    The attempts of a step are checked against its retry policy, if the log has statuses and error classes. A delay may
    be shorter by the policy's jitter; an attempt after a replay of the run (``replays`` in an engine's log) is not one
    too many. That a step was not tried again is only said where nothing in the log may have stopped it.

    Examples
    --------
    >>> import pandas as pd
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check"), ok.task("ship")])
    >>> log = ok.EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> conformance(order, log)
    <Conformance fitness 0.8333: 1 of 2 cases follow the workflow; precision 1.0000>
    >>> conformance(order, log).deviations[["case_id", "position", "activity", "kind"]]
      case_id  position activity     kind
    0      o2         1     ship  skipped
    """
    check_kind(workflow, "conformance")
    expect_log(log, "conformance")
    until = Budget(budget, time.monotonic() + seconds(time_limit))
    found = _Found(log)
    for definition, chosen in _parts(workflow, log):
        _decide(definition, log, chosen, until, found)
    return found.conformance(workflow)


def _parts(workflow: Workflow, log: EventLog) -> Iterator[tuple[Workflow, NDArray[np.bool_]]]:
    """Yield the workflow and those it calls, each with the cases that are its own."""
    names = log.cases["workflow"].astype("str").to_numpy()
    own = names == workflow.name
    if not own.any():
        yield workflow, np.ones(len(names), dtype=bool)
        return
    todo, seen = [workflow], {workflow.name}
    while todo:
        definition = todo.pop()
        yield definition, names == definition.name
        called = [each for each in definition.workflows if each.name not in seen]
        seen.update(each.name for each in called)
        todo += called


def _decide(workflow: Workflow, log: EventLog, chosen: NDArray[np.bool_], budget: Budget, found: _Found) -> None:
    tasks = {node.name: node for node in all_nodes(workflow) if isinstance(node, Task)}

    def attempts_of(name: str) -> int | None:
        task = tasks.get(name)
        return None if task is None else (task.retry or workflow.retry).max_attempts

    variants = variants_of(log, chosen, attempts_of)
    if not variants:
        return
    seen = frozenset(name for variant in variants for name, _ in variant.trace.events)
    if _names_waits(log, chosen):
        seen |= waits_of(workflow)
    inner = names_of(workflow, within=True) - names_of(workflow)
    longest = max(len(variant.trace.events) for variant in variants)
    decider = Decider(workflow, seen, bool(inner & seen), longest + 1, budget)
    attempts = misretries(workflow, log, chosen)
    faulty = {each.case for each in attempts}
    followed: list[tuple[Events, Asks, int]] = []
    for variant in variants:
        trace = variant.trace
        try:
            deviations = decider.deviations(trace)
            weighs = bool(deviations) or any(case in faulty for case, _ in variant.members)
            shortest = decider.shortest(trace.end) if weighs else 0
        except BudgetSpentError:
            found.leave(variant)
            continue
        followed.append((aligned(trace, deviations), trace.asked - {Asked.REPLAY}, len(variant.members)))
        found.add(variant, deviations, shortest)
    budget.renew(_FOR_PRECISION)
    found.add_attempts(attempts)
    found.weigh(precision_of(decider.plain, followed))


def _names_waits(log: EventLog, chosen: NDArray[np.bool_]) -> bool:
    """Whether all steps are an engine's or a simulator's, which have a row for each wait that was visited."""
    rows = chosen[log.case_codes]
    written = log.steps["run_id"].notna() | log.steps["replication"].notna()
    return bool(written.to_numpy()[rows].all())


class _Found:
    """What has been found so far."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.rows: list[tuple[int, int, str, str, int | None]] = []
        self.fits: dict[int, float] = {}
        self.counts: dict[int, int] = {}
        self.shares: dict[int, tuple[int, int]] = {}
        self.undecided: set[int] = set()
        self.steps: dict[str, Counter[str]] = {}
        self.allowed = self.taken = 0.0

    def add(self, variant: Variant, deviations: list[Deviation], shortest: int) -> None:
        """Take in what explains a variant."""
        trace, number = variant.trace, len(variant.members)
        most = len(trace.events) + shortest
        fit = 1 - len(deviations) / most if most else 1.0
        named = _named(deviations)
        for name, count in Counter(name for name, _ in trace.events).items():
            self.steps.setdefault(name, Counter())["followed"] += count * number
        for _, name, kind in named:
            counts = self.steps.setdefault(name, Counter())
            counts[kind.value] += number
            counts["followed"] -= number if kind is not DeviationKind.SKIPPED else 0
        for case, rows in variant.members:
            # A case of several runs fits as well as its worst.
            if fit <= self.fits.get(case, 1.0):
                self.fits[case] = fit
                self.shares[case] = (len(deviations), most)
            self.counts[case] = self.counts.get(case, 0) + len(named)
            self.rows.extend(
                (case, position, name, kind.value, None if kind is DeviationKind.SKIPPED else rows[position])
                for position, name, kind in named
            )

    def add_attempts(self, found: list[Misretry]) -> None:
        """Take in the attempts that are against a policy."""
        if not found:
            return
        activities, visits = self.log.steps["activity"], visits_of(self.log)
        before: NDArray[np.int64] = np.cumsum(visits) - visits
        for each in found:
            position = int(before[each.row] - before[np.searchsorted(self.log.case_codes, each.case)])
            self.rows.append((each.case, position, str(activities.iloc[each.row]), each.kind.value, each.row))
        for case, count in Counter(each.case for each in found).items():
            if case in self.fits:
                deviations, most = self.shares[case]
                self.fits[case] = max(0.0, 1 - (deviations + count) / (most + count))
                self.counts[case] += count

    def leave(self, variant: Variant) -> None:
        """Note that a variant could not be decided."""
        self.undecided.update(case for case, _ in variant.members)

    def weigh(self, counts: tuple[int, int] | None) -> None:
        """Take in how many steps a workflow allowed, and how many were taken; unknown of one, it is so of all."""
        allowed, taken = counts or (nan, nan)
        self.allowed += allowed
        self.taken += taken

    def conformance(self, workflow: Workflow) -> Conformance:
        """Return it all."""
        about = self.log.cases[["case_id", "workflow", "replication"]]
        asked = sorted({*self.fits, *self.undecided})
        decided = [case for case in asked if case not in self.undecided]
        by_case = about.iloc[asked].reset_index(drop=True)
        by_case["fitness"] = [self.fits[case] if case not in self.undecided else np.nan for case in asked]
        counts = [self.counts[case] if case not in self.undecided else None for case in asked]
        by_case["deviations"] = pd.array(counts, dtype="Int64")
        rows = sorted(row for row in self.rows if row[0] not in self.undecided)
        deviations = about.iloc[[row[0] for row in rows]].reset_index(drop=True)
        for place, name in enumerate(("position", "activity", "kind"), start=1):
            deviations[name] = pd.Series([row[place] for row in rows], dtype="int64" if place == 1 else "str")
        deviations["row"] = pd.array([row[4] for row in rows], dtype="Int64")
        fits = by_case["fitness"].dropna()
        kinds = [kind.value for kind in _OF_STEPS]
        by_step = pd.DataFrame(
            [[name, *(counts[kind] for kind in ("followed", *kinds))] for name, counts in sorted(self.steps.items())],
            columns=["activity", "followed", *(kind.replace(" ", "_") for kind in kinds)],
        )
        attempts = Counter(row[2] for row in rows if row[3] not in kinds)
        by_step["against_policy"] = [attempts[name] for name in by_step["activity"]]
        return Conformance(
            workflow,
            float(fits.mean()) if len(fits) else float("nan"),
            self.taken / self.allowed if self.allowed else float("nan"),
            len(decided),
            int((fits == 1.0).sum()),
            deviations[_COLUMNS],
            by_case,
            by_step,
            tuple(about["case_id"].iloc[sorted(self.undecided)].astype("str")),
        )


def _named(found: list[Deviation]) -> list[tuple[int, str, DeviationKind]]:
    """Return deviations, those that were both inserted and skipped as one that is out of order."""
    skipped = [each for each in found if each.kind is DeviationKind.SKIPPED]
    named: list[tuple[int, str, DeviationKind]] = []
    for each in found:
        if each.kind is DeviationKind.INSERTED:
            twin = next((other for other in skipped if other.name == each.name), None)
            if twin is not None:
                skipped.remove(twin)
            kind = each.kind if twin is None else DeviationKind.OUT_OF_ORDER
            named.append((each.position, each.name, kind))
    named += [(each.position, each.name, each.kind) for each in skipped]
    return sorted(named, key=lambda row: row[:2])
