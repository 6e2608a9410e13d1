"""Whether the cases of a log follow a workflow: optimal alignments on the machine's own token game."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.discovery import visits_of
from orchkit.errors import WorkflowError
from orchkit.model.nodes import Scope, Wait
from orchkit.model.states import RunStatus, StepStatus
from orchkit.tokens import Net, exits, net_of, settle_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.tokens import Settled

__all__ = ["Conformance", "DeviationKind", "conformance"]

# The marking of a case that has failed for good: what still ends may end, and nothing has to.
_FAILED = -1


class DeviationKind(StrEnum):
    """How a case leaves the workflow."""

    SKIPPED = "skipped"
    INSERTED = "inserted"
    OUT_OF_ORDER = "out of order"


@dataclass(frozen=True, slots=True, repr=False)
class Conformance:
    """How well a log follows a workflow.

    Attributes
    ----------
    fitness
        From 0 to 1: one less the deviations of a case, over the most that there could be (all its steps inserted,
        the shortest way through the workflow skipped); the mean of the cases that were decided.
    cases, fitting
        Cases that were decided, and those without a deviation.
    deviations
        A row each: ``case_id``, ``position`` (the steps of the case that lie before it), ``activity`` and ``kind``:
        ``skipped`` (the workflow asks for it), ``inserted`` (the workflow does not allow it there) or
        ``out of order`` (both: it was done, elsewhere).
    undecided
        ``case_id`` of the cases for which the budget was spent.
    """

    fitness: float
    cases: int
    fitting: int
    deviations: pd.DataFrame
    undecided: tuple[str, ...]

    def __repr__(self) -> str:
        text = f"fitness {self.fitness:.4f}: {self.fitting:,} of {self.cases:,} cases follow the workflow"
        if self.undecided:
            text += f"; {len(self.undecided):,} are undecided"
        return f"<Conformance {text}>"


def conformance(workflow: Workflow, log: EventLog, *, budget: int = 20_000) -> Conformance:
    """Return how well the cases of a log follow a workflow, and where they do not.

    Parameters
    ----------
    workflow
        Of one graph: tasks, waits, calls, gateways, error and timeout paths.
    log
        Of any origin. The attempts of a step count once. A step that failed goes along its error or timeout path;
        where it has none, the case has failed and need not go on, nor need one that is still open.
    budget
        States that the search may look at for each variant; cases of a variant that needs more are undecided.

    Returns
    -------
    Conformance
        Fitness and deviations; of several ways to explain a case, one with the fewest deviations.

    Raises
    ------
    WorkflowError
        The workflow has a scope: a loop, a saga, a plain scope. Their passes are not followed.

    Notes
    -----
    Optimal alignments (Adriansyah, 2014) with a cost of one for each deviation, found variant by variant. A wait that
    the log never names passes unseen.

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
    <Conformance fitness 0.8333: 1 of 2 cases follow the workflow>
    >>> conformance(order, log).deviations
      case_id  position activity     kind
    0      o2         1     ship  skipped
    """
    scope = next((node for node in workflow.nodes if isinstance(node, Scope)), None)
    if scope is not None:
        message = (
            f"conformance follows workflows of one graph, and {scope.name!r} has a graph of its own inside. "
            "Compare with ok.discover(log), or take the steps of the scope out of the log and the workflow."
        )
        raise WorkflowError(message, node=scope.name)
    game = _Game(net_of(workflow.nodes, workflow.flows), frozenset(str(name) for name in log.activities))
    case_ids = log.cases["case_id"].tolist()
    shortest = game.align((), must_end=True, budget=budget)
    least = 0 if shortest is None else len(shortest)
    rows: list[tuple[str, int, str, str]] = []
    fits: list[float] = []
    undecided: list[str] = []
    for (trace, must_end), members in _variants(log).items():
        found = game.align(trace, must_end=must_end, budget=budget)
        if found is None:
            undecided.extend(case_ids[case] for case in members)
            continue
        most = len(trace) + (least if must_end else 0)
        fits.extend([1 - len(found) / most if most else 1.0] * len(members))
        named = _named(found)
        rows.extend((case_ids[case], *deviation) for case in members for deviation in named)
    deviations = pd.DataFrame(rows, columns=["case_id", "position", "activity", "kind"])
    deviations = deviations.sort_values(["case_id", "position"], kind="stable", ignore_index=True)
    fitness = float(np.mean(fits)) if fits else float("nan")
    fitting = sum(fit == 1.0 for fit in fits)
    return Conformance(fitness, len(fits), fitting, deviations, tuple(sorted(undecided)))


Trace = tuple[tuple[str, bool], ...]


def _variants(log: EventLog) -> dict[tuple[Trace, bool], list[int]]:
    """Return the cases of each variant: what was done, whether it failed, and whether the case has to end."""
    kept = visits_of(log)
    names = log.steps["activity"].astype("str").to_numpy()[kept].tolist()
    failed = (log.steps["status"] == StepStatus.FAILED).to_numpy()[kept].tolist()
    offsets = np.concatenate([[0], np.cumsum(kept)])[log.offsets].tolist()
    must_end = (log.cases["status"] == RunStatus.COMPLETED).tolist()
    found: dict[tuple[Trace, bool], list[int]] = defaultdict(list)
    steps = list(zip(names, failed, strict=True))
    for case, ends in enumerate(must_end):
        found[tuple(steps[offsets[case] : offsets[case + 1]]), ends].append(case)
    return found


def _named(found: list[tuple[int, str, DeviationKind]]) -> list[tuple[int, str, str]]:
    """Return deviations, those that were both inserted and skipped as one that is out of order."""
    skipped = [item for item in found if item[2] is DeviationKind.SKIPPED]
    named = []
    for position, activity, kind in found:
        if kind is DeviationKind.INSERTED:
            twin = next((item for item in skipped if item[1] == activity), None)
            if twin is not None:
                skipped.remove(twin)
                kind = DeviationKind.OUT_OF_ORDER  # noqa: PLW2901 -- it is what both are
            named.append((position, activity, kind.value))
    return sorted([*named, *((position, activity, kind.value) for position, activity, kind in skipped)])


@dataclass(slots=True)
class _Game:
    """The token game of one workflow, its moves remembered."""

    net: Net
    seen: frozenset[str]
    _moves: dict[tuple[int, int, bool], frozenset[int]] = field(default_factory=dict)

    def begin(self) -> frozenset[int]:
        return frozenset(self._markings(settle_all(self.net, 0, None)))

    def after(self, marking: int, node: int, *, failed: bool) -> frozenset[int]:
        """Return the markings that the end of a node may lead to."""
        key = (marking, node, failed)
        if key not in self._moves:
            self._moves[key] = frozenset(self._after(marking, node, failed=failed))
        return self._moves[key]

    def _after(self, marking: int, node: int, *, failed: bool) -> Iterator[int]:
        net = self.net
        rest = marking & ~net.open_bit(node) & ~net.rivals[node]
        exceptional = {(flow,) for flow in (*net.on_error[node], *net.on_timeout[node])}
        ways = [way for way in exits(net, node) if (way in exceptional) == failed]
        if failed:
            yield _FAILED  # no path of its own, or none whose condition holds
            fallback = getattr(net.nodes[node], "fallback", None)
            ways += [] if fallback is None else [way for way in exits(net, node) if way not in exceptional]
        for way in ways:
            yield from self._markings(settle_all(net, rest, way))

    @staticmethod
    def _markings(all_settled: Iterator[Settled]) -> Iterator[int]:
        for settled in all_settled:
            if settled.fault is None:
                is_error = settled.terminated is not None and settled.marking != 0
                yield _FAILED if is_error else settled.marking

    def align(self, trace: Trace, *, must_end: bool, budget: int) -> list[tuple[int, str, DeviationKind]] | None:
        """Return the fewest deviations that explain a trace; None when the budget is spent."""
        net = self.net
        start = (0, None)
        best: dict[tuple[int, int | None], int] = {start: 0}
        came: dict[tuple[int, int | None], tuple[tuple[int, int | None], str, DeviationKind | None]] = {}
        todo: deque[tuple[tuple[int, int | None], int]] = deque([(start, 0)])
        while todo:
            state, cost = todo.popleft()
            if best[state] < cost:
                continue
            budget -= 1
            if budget < 0:
                return None
            position, marking = state
            if position == len(trace) and marking is not None and (marking in (0, _FAILED) or not must_end):
                return _way_back(came, state)
            for following, name, kind in self._steps(trace, position, marking, net):
                total = cost + (kind is not None)
                if total < best.get(following, total + 1):
                    best[following] = total
                    came[following] = (state, name, kind)
                    (todo.append if kind else todo.appendleft)((following, total))
        return None

    def _steps(
        self, trace: Trace, position: int, marking: int | None, net: Net
    ) -> Iterator[tuple[tuple[int, int | None], str, DeviationKind | None]]:
        if marking is None:
            yield from (((position, first), "", None) for first in self.begin())
            return
        if position < len(trace):
            name, failed = trace[position]
            if marking == _FAILED:
                yield (position + 1, marking), name, None
                return
            node = net.index.get(name)
            if node is not None and marking & net.open_bit(node):
                for after in self.after(marking, node, failed=failed):
                    yield (position + 1, after), name, None
            yield (position + 1, marking), name, DeviationKind.INSERTED
        if marking == _FAILED:
            return
        for node in net.open_nodes(marking):
            name = net.nodes[node].name
            unseen = isinstance(net.nodes[node], Wait) and name not in self.seen
            for failed in (False, True) if unseen else (False,):
                for after in self.after(marking, node, failed=failed):
                    yield (position, after), name, None if unseen else DeviationKind.SKIPPED


def _way_back(
    came: dict[tuple[int, int | None], tuple[tuple[int, int | None], str, DeviationKind | None]],
    state: tuple[int, int | None],
) -> list[tuple[int, str, DeviationKind]]:
    found = []
    while state in came:
        state, name, kind = came[state]
        if kind is not None:
            found.append((state[0], name, kind))
    return found[::-1]
