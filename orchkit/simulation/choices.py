"""Which way cases went at each choice, told by playing them through the workflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from orchkit.analysis.alignment import Aligner, Budget, BudgetSpentError, aligned
from orchkit.analysis.game import AT_ONCE, Game
from orchkit.analysis.moves import End, Move
from orchkit.analysis.skeleton import names_of
from orchkit.analysis.traces import variants_of
from orchkit.decisions import Decide, Question, QuestionKind
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import FlowKind, Gateway, GatewayKind, Task
from orchkit.simulation.routes import branch_shares

if TYPE_CHECKING:
    from orchkit.analysis.moves import Outcome
    from orchkit.analysis.positions import Played
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["shares_of"]

_STATES, _ALL_STATES = 100_000, 10_000_000  # that may be looked at for a variant, and for all of them
_FEWEST = 0.5  # of the cases that must have been played

Decision = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A node, the targets of the flows that it chose from, and those that it took."""


def shares_of(workflow: Workflow, log: EventLog) -> dict[str, dict[str, float]]:
    """Return the probability of each way at each node with a choice, as `Scenario` takes it.

    Notes
    -----
    Each variant is aligned with the workflow (as `conformance` does it), and what it would be without its deviations is
    played: of the ways on which it could go, one with the fewest decisions; these are counted, as often as the variant
    occurs. Where a choice is never come to, or less than half of the cases could be played in so many states, the
    direct successions of steps decide (`branch_shares`).

    Examples
    --------
    >>> import pandas as pd
    >>> import orchkit as ok
    >>> ways = ok.choice(ok.when("good", [ok.task("ship")]), ok.otherwise([]), name="which")
    >>> order = ok.workflow("order", [ok.task("check"), ways, ok.task("close")])
    >>> names = ["check", "ship", "close", "check", "close", "check", "close"]
    >>> steps = pd.DataFrame({"case_id": list("1112233"), "activity": names})
    >>> steps["completed"] = pd.date_range("2024-05-06T09:00Z", periods=7, freq="h")
    >>> {name: round(share, 2) for name, share in shares_of(order, ok.EventLog(steps))["which"].items()}
    {'ship': 0.33, 'which_end': 0.67}
    """
    found = branch_shares(workflow, log)
    decisions, share_played = _decisions(workflow, log)
    if share_played < _FEWEST:
        return found
    exclusive = {
        node.name for node in all_nodes(workflow) if isinstance(node, Gateway) and node.kind is GatewayKind.EXCLUSIVE
    }
    visits: Counter[str] = Counter()
    taken: dict[str, Counter[str]] = {}
    for (node, targets, chosen), count in decisions.items():
        visits[node] += count
        own = taken.setdefault(node, Counter(dict.fromkeys(targets, 0)))
        own.update(dict.fromkeys(chosen, count))
    for node, counts in taken.items():
        total = sum(counts.values()) if node in exclusive else visits[node]
        if total:
            found[node] = {target: count / total for target, count in counts.items()}
    return found


def _decisions(workflow: Workflow, log: EventLog) -> tuple[Counter[Decision], float]:
    """Return how often each decision was taken, and the share of the cases that could be played."""
    tasks = {node.name: node for node in all_nodes(workflow) if isinstance(node, Task)}

    def attempts_of(name: str) -> int | None:
        return (tasks[name].retry or workflow.retry).max_attempts if name in tasks else None

    variants = variants_of(log, np.ones(len(log), dtype=bool), attempts_of)
    seen = frozenset(name for variant in variants for name, _ in variant.trace.events)
    inner = names_of(workflow, within=True) - names_of(workflow)
    longest = max((len(variant.trace.events) for variant in variants), default=0)
    game = _Ledger(workflow, seen, within=bool(inner & seen), most_items=longest + 1, may_fail=False, one_by_one=False)
    budget = _Purse(_STATES)
    aligner = Aligner(game, budget)
    found: Counter[Decision] = Counter()
    played = 0
    for variant in variants:
        if budget.spent > _ALL_STATES:
            break
        try:
            deviations = [] if aligner.fits(variant.trace) else aligner.align(variant.trace)
            events = aligned(variant.trace, deviations)
            budget.renew()
            way = game.way(events, variant.trace.end)
        except BudgetSpentError:
            way = None
        if way is not None:
            played += len(variant.members)
            for decision in way:
                found[decision] += len(variant.members)
    return found, played / max(1, sum(len(variant.members) for variant in variants))


class _Purse(Budget):
    """A budget that knows what all searches have spent."""

    spent = 0

    def spend(self, states: int = 1) -> None:
        self.spent += states
        super().spend(states)


class _Ledger(Game):
    """A game that knows with which decisions one state led to another."""

    def __init__(self, *settings: Any, **others: Any) -> None:  # noqa: ANN401 -- as `Game`
        self._at: object = None
        self._told: list[Decision] = []
        self._ways: dict[tuple[object, int], tuple[Decision, ...]] = {}
        super().__init__(*settings, **others)

    def way(self, events: Iterable[tuple[str, Outcome]], end: End) -> list[Decision] | None:
        """Return the decisions on the way of a case that has so many of them least; None where it cannot be played."""
        layers = [self._spread({state: (len(self._ways["begin", state]), -1, None) for state in self.begin()})]
        for name, outcome in events:
            layer: _Layer = {}
            for state, (cost, _, _) in layers[-1].items():
                self._reach(layer, state, cost, (name, outcome))
            layers.append(self._spread(layer))
        last = [(cost, state) for state, (cost, _, _) in layers[-1].items() if self.ends(state, end)]
        if not last:
            return None
        state, found = min(last)[1], list[Decision]()
        for layer in reversed(layers):
            is_unseen = True
            while is_unseen:
                _, before, move = layer[state]
                found += self._ways.get(("begin" if before < 0 else (before, move, AT_ONCE), state), ())
                is_unseen = before >= 0 and move is None
                state = before
        return found

    def _spread(self, layer: _Layer) -> _Layer:
        """Add what runs may go on to unseen."""
        todo = list(layer)
        while todo:
            state = todo.pop()
            todo += self._reach(layer, state, layer[state][0], None)
        return layer

    def _reach(self, layer: _Layer, state: int, cost: int, move: Move) -> list[int]:
        """Note which states a move reaches in fewer decisions than before; return these."""
        better = []
        for other in self.at_once(state, move):
            total = cost + len(self._ways.get(((state, move, AT_ONCE), other), ()))
            if other not in layer or total < layer[other][0]:
                layer[other] = (total, state, move)
                better.append(other)
        return better

    def _known(self, key: object, find: Callable[[], Iterable[int]]) -> tuple[int, ...]:
        self._at = key
        return super()._known(key, find)

    def _turns(self, turn: Callable[[Decide], Played], keep: Callable[[Played], bool] | None = None) -> Iterator[int]:
        def told(decide: Decide) -> Played:
            self._told = []
            return turn(lambda question: self._heard(question, decide(question)))

        for number in super()._turns(told, keep):
            way = (self._at, number)
            if way not in self._ways or len(self._told) < len(self._ways[way]):
                self._ways[way] = tuple(self._told)
            yield number

    def _heard(self, question: Question, answer: Any) -> Any:  # noqa: ANN401 -- depends on the question
        flows = question.flows
        if question.kind is QuestionKind.SPLIT and flows[0].kind is not FlowKind.ERROR:
            is_exclusive = isinstance(question.node, Gateway) and question.node.kind is not GatewayKind.INCLUSIVE
            targets = tuple(flow.target for flow in flows if is_exclusive or flow.condition is not None)
            chosen = tuple(flows[place].target for place in answer)
            self._told.append((question.node.name, targets, tuple(name for name in chosen if name in targets)))
        return answer


_Layer = dict[int, tuple[int, int, Move]]
"""States, with the decisions so far, the state before (-1: none), and the move from it."""
