"""What a trace deviates in.

Runs in which expressions have values and scopes end in time are looked at first, then those in which they do not: there
are many more of them, and few cases need them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchkit.analysis.alignment import Aligner, BudgetSpentError
from orchkit.analysis.game import Game
from orchkit.analysis.moves import Asked, End
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import Activity, FlowKind, ForEach, Scope

if TYPE_CHECKING:
    from orchkit.analysis.alignment import Budget, Deviation
    from orchkit.analysis.traces import Trace
    from orchkit.model.definition import Workflow

__all__ = ["Decider"]

# The share of a budget that goes to runs in which expressions have no value and scopes take too long.
_SHARE = 5


@dataclass(slots=True)
class Decider:
    """Finds the deviations of the traces of a log.

    Parameters
    ----------
    workflow
        The definition.
    seen, within, most_items
        As `Game` has them.
    budget
        For each trace.
    """

    workflow: Workflow
    seen: frozenset[str]
    within: bool
    most_items: int
    budget: Budget
    plain: Aligner = field(init=False)
    full: Aligner = field(init=False)
    replayer: Aligner = field(init=False)
    catches: bool = field(init=False)
    _shortest: dict[End, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plain = self.aligner(may_fail=False)
        self.full = self.aligner()
        self.replayer = self.aligner(replays=True)
        self.catches = _catches(self.workflow)

    def aligner(self, *, may_fail: bool = True, replays: bool = False) -> Aligner:
        """Return what aligns traces with one kind of runs."""
        game = Game(self.workflow, self.seen, self.within, self.most_items, replays=replays, may_fail=may_fail)
        return Aligner(game, self.budget)

    def deviations(self, trace: Trace) -> list[Deviation]:
        """Return the fewest deviations that explain a trace.

        Raises
        ------
        BudgetSpentError
            They are not found within the budget; or there are none, since no run of the workflow ends so.
        """
        asked = replace(trace, asked=trace.asked - {Asked.REPLAY})
        if self.plain.fits(asked):
            return []
        # An expression without a value is a failure: of a run that came to its end, one that something made up for.
        fails = self.catches or trace.end is End.OTHERWISE
        if fails and self.may_fit(self.full, asked):
            return []
        if asked != trace and self.may_fit(self.replayer, trace):
            return []
        found = self.plain.align(asked)
        if fails and len(found) > 1:
            with suppress(BudgetSpentError):
                found = self.full.align(asked, below=len(found), share=_SHARE)
        return found

    def shortest(self, end: End) -> int:
        """Return the fewest steps that a run has which ends so."""
        if end not in self._shortest:
            self._shortest[end] = self.plain.shortest(end)
        return self._shortest[end]

    def may_fit(self, aligner: Aligner, trace: Trace) -> bool:
        """Return whether the trace is found to fit."""
        with suppress(BudgetSpentError):
            return aligner.fits(trace, share=_SHARE)
        return False


def _catches(workflow: Workflow) -> bool:
    """Whether a run goes on after a failure."""
    todo, seen = [workflow], {workflow.name}
    while todo:
        one = todo.pop()
        nodes = list(all_nodes(one))
        flows = [*one.flows, *(flow for node in nodes if isinstance(node, Scope) for flow in node.flows)]
        if any(flow.kind is not FlowKind.NORMAL for flow in flows):
            return True
        if any(
            isinstance(node, ForEach) or (isinstance(node, Activity) and node.fallback is not None) for node in nodes
        ):
            return True
        called = [each for each in one.workflows if each.name not in seen]
        seen.update(each.name for each in called)
        todo += called
    return False
