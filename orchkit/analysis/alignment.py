"""How a trace goes with a workflow: the fewest steps that were left out or put in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from orchkit.analysis.following import follows
from orchkit.analysis.moves import Asked, Done, End
from orchkit.analysis.places import Place, beyond, candidates, taken_at

if TYPE_CHECKING:
    from orchkit.analysis.game import Game
    from orchkit.analysis.moves import Outcome
    from orchkit.analysis.traces import Trace

__all__ = ["Aligner", "Asks", "Budget", "BudgetSpentError", "Deviation", "DeviationKind", "aligned"]

_LOOK_AT_CLOCK = 1_000
# A turn of the machine takes as long as looking at so many states.
_TURN = 20
# So many states go on together before one is followed by itself.
_TOGETHER = 20_000
# The share of a budget that goes to the length of the shortest run.
_SHARE = 5


class DeviationKind(StrEnum):
    """How a case deviates from the workflow."""

    SKIPPED = "skipped"
    INSERTED = "inserted"
    OUT_OF_ORDER = "out of order"
    RETRIED_TOO_OFTEN = "retried too often"
    RETRIED_TOO_EARLY = "retried too early"
    RETRIED_FOR_NOTHING = "retried after a permanent error"
    NOT_RETRIED = "not retried"


@dataclass(frozen=True, slots=True)
class Deviation:
    """A step that is not as the workflow has it.

    Attributes
    ----------
    position
        The steps of the case that lie before it.
    name
        Of the step.
    kind
        Skipped or inserted.
    """

    position: int
    name: str
    kind: DeviationKind


class BudgetSpentError(Exception):
    """A search would take longer than it may."""


@dataclass(slots=True)
class Budget:
    """How long searches may take: states for each, and the moment by which all must be done."""

    states: int
    until: float = float("inf")
    left: int = 0
    unseen: int = 0

    def renew(self, most: int | None = None) -> None:
        """Begin another search, of so many states at most."""
        self.left = self.states if most is None else min(most, self.states)
        if time.monotonic() > self.until:
            self.left = 0

    def spend(self, states: int = 1) -> None:
        """Pay for states."""
        self.left -= states
        self.unseen += states
        if self.unseen > _LOOK_AT_CLOCK:
            self.unseen = 0
            if time.monotonic() > self.until:
                raise BudgetSpentError
        if self.left < 0:
            raise BudgetSpentError


Asks = frozenset[Asked]
# The states that a run may be in, by place.
Layer = dict[Place, set[int]]


@dataclass(slots=True)
class Aligner:
    """Aligns traces with one game; what it has learned of the game serves the next trace.

    Parameters
    ----------
    game
        The workflow's.
    budget
        For each trace.

    Notes
    -----
    All states that a run may be in after so many steps of the trace, at a cost of so many deviations, are kept
    together, and go on together: first those of no deviation, then those of one, of two. What was reached at a lower
    cost is not reached again. It is the search of Dijkstra on the product of trace and workflow, a set at a time.
    """

    game: Game
    budget: Budget
    _after: dict[tuple[str, Outcome, Asks], dict[int, frozenset[int]]] = field(default_factory=dict)
    _skips: dict[tuple[int, Asks], frozenset[int]] = field(default_factory=dict)
    _closures: dict[tuple[int, Asks], frozenset[int]] = field(default_factory=dict)
    _replayed: dict[tuple[frozenset[int], tuple[str, Outcome], Asks], frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.game.spend = lambda: self.budget.spend(_TURN)

    def fits(self, trace: Trace, share: int = 1) -> bool:
        """Return whether the trace can be replayed as it is; only so large a share of the budget is for it.

        All states that the run may be in go on together, which is quick for the next trace too; where they are too
        many, one way after the other does.

        Raises
        ------
        BudgetSpentError
            It is not known within the budget.
        """
        self.budget.renew(_TOGETHER)
        with suppress(BudgetSpentError):
            return self._fits_in_order(trace)
        self.budget.renew(self.budget.states // share)
        return follows(self.game, trace, self.budget)

    def _fits_in_order(self, trace: Trace) -> bool:
        asked = trace.asked
        states = self.begin(asked=asked)
        for event in trace.events:
            states = self.replayed(states, event, asked=asked)
            if not states:
                return False
        return any(self.game.ends(state, trace.end) for state in states)

    def align(self, trace: Trace, *, below: int | None = None, share: int = 1) -> list[Deviation]:
        """Return the fewest deviations that explain a trace, and fewer than a number if there is one.

        Raises
        ------
        BudgetSpentError
            They are not found within the budget; or there are none, since no run of the workflow ends so.
        """
        self.budget.renew(self.budget.states // share)
        search = _Search(self, trace)
        layer: Layer = {(0, 0): set(self.begin(asked=trace.asked))}
        while below is None or len(search.layers) < below:
            end = search.spread(layer)
            if end is not None:
                return search.way_back(end)
            if not search.layers[-1]:
                break
            layer = search.deviated()
        raise BudgetSpentError

    def shortest(self, end: End) -> int:
        """Return the fewest steps that a run has which ends so.

        Where there are too many ways to look at, open steps end in the order of their names.
        """
        from orchkit.analysis.traces import Trace  # noqa: PLC0415 -- it is made of what is here

        with suppress(BudgetSpentError):
            return len(self.align(Trace((), (), end), share=_SHARE))
        self.budget.renew()
        count, states, seen = 0, set(self.begin(asked=frozenset())), set[int]()
        while not any(self.game.ends(state, end) for state in states):
            seen |= states
            first = ((state, next(iter(self.game.within_reach(state)), None)) for state in states)
            after = (self.go(state, name, Done(), asked=frozenset()) for state, name in first if name is not None)
            states = set().union(*after) - seen
            count += 1
            if not states:
                raise BudgetSpentError
        return count

    # Moves of sets -------------------------------------------------------------

    def begin(self, *, asked: Asks) -> frozenset[int]:
        """Return the states in which a run may be before its first step has ended."""
        return frozenset().union(*(self._closure(state, asked=asked) for state in self.game.begin()))

    def replayed(self, states: frozenset[int], event: tuple[str, Outcome], *, asked: Asks) -> frozenset[int]:
        """Return the states in which a run may be after a step."""
        key = (states, event, asked)
        found = self._replayed.get(key)
        if found is None:
            self.budget.spend(len(states))
            found = frozenset().union(*(self.go(state, *event, asked=asked) for state in states))
            self._replayed[key] = found
        return found

    def after(self, name: str, outcome: Outcome, *, asked: Asks) -> dict[int, frozenset[int]]:
        """Return what is known of where the end of a step leads to, by state."""
        return self._after.setdefault((name, outcome, asked), {})

    def go(self, state: int, name: str, outcome: Outcome, *, asked: Asks) -> frozenset[int]:
        """Return the states after a step has ended, and after all that may go on unseen."""
        known = self.after(name, outcome, asked=asked)
        found = known.get(state)
        if found is None:
            after = self.game.after(state, name, outcome)
            found = frozenset().union(*(self._closure(following, asked=asked) for following in after))
            known[state] = found
        return found

    def skip(self, state: int, *, asked: Asks) -> frozenset[int]:
        """Return the states after any step was skipped."""
        found = self._skips.get((state, asked))
        if found is None:
            names = self.game.within_reach(state)
            found = frozenset().union(*(self.go(state, name, Done(), asked=asked) for name in names))
            self._skips[state, asked] = found
        return found

    def _closure(self, state: int, *, asked: Asks) -> frozenset[int]:
        key = (state, asked)
        found = self._closures.get(key)
        if found is None:
            reached, todo = {state}, [state]
            while todo:
                current = todo.pop()
                self.budget.spend()
                fresh = {
                    *self.game.unseen(current),
                    *(each for what in asked for each in self.game.asked(current, what)),
                }
                fresh -= reached
                reached |= fresh
                todo += fresh
            found = self._closures[key] = frozenset(reached)
        return found


@dataclass(slots=True)
class _Search:
    """The search for one trace: a layer for each number of deviations."""

    aligner: Aligner
    trace: Trace
    layers: list[Layer] = field(default_factory=list)
    reached: Layer = field(default_factory=dict)

    def spread(self, layer: Layer) -> int | None:
        """Let states go on with the trace as far as they can, and keep them; return one that ends as the case did."""
        count = len(self.trace.events)
        steps: list[Layer] = [{} for _ in range(count + 1)]
        for place, states in layer.items():
            steps[taken_at(place)][place] = states
        kept: Layer = {}
        self.layers.append(kept)
        for done, places in enumerate(steps):
            for place, found in places.items():
                known = self.reached.setdefault(place, set())
                states = found - known
                if states:
                    self.aligner.budget.spend(len(states))
                    known |= states
                    kept[place] = states
                    if done < count:
                        self.step(place, states, steps[done + 1])
        game, last = self.aligner.game, kept.get((count, 0), ())
        return min((state for state in last if game.ends(state, self.trace.end)), default=None)

    def step(self, place: Place, states: set[int], following: Layer) -> None:
        """Let states take the next event, or one that is as likely to be the next."""
        position = place[0]
        event = self.trace.events[position]
        target = following.setdefault(beyond(place, position), set())
        known = self.aligner.after(*event, asked=self.trace.asked)
        for state in states:
            after = known.get(state)
            target |= self.go(state, *event) if after is None else after
        if position + 1 < len(self.trace.ties) and self.trace.ties[position + 1]:
            for state in states:
                for index in self.candidates(place, state):
                    after = self.go(state, *self.trace.events[index])
                    following.setdefault(beyond(place, index), set()).update(after)

    def deviated(self) -> Layer:
        """Return where one more deviation leads from the last layer."""
        found: Layer = {}
        for place, states in self.layers[-1].items():
            here = found.setdefault(place, set())
            for state in states:
                here |= self.aligner.skip(state, asked=self.trace.asked)
            if place[0] < len(self.trace.events):
                found.setdefault(beyond(place, place[0]), set()).update(states)
        return found

    def go(self, state: int, name: str, outcome: Outcome) -> frozenset[int]:
        return self.aligner.go(state, name, outcome, asked=self.trace.asked)

    def candidates(self, place: Place, state: int) -> Iterator[int]:
        return candidates(self.aligner.game, self.trace, place, state)

    # The way that was found ----------------------------------------------------

    def way_back(self, state: int) -> list[Deviation]:
        """Return the deviations on a way to a state: each as late as can be."""
        place: Place = (len(self.trace.events), 0)
        cost = len(self.layers) - 1
        found: list[Deviation] = []
        while cost or place != (0, 0):
            before = self.deviation_before(cost, place, state) if cost else None
            if before is None:
                place, state = self.step_before(cost, place, state)
            else:
                deviation, place, state = before
                found.append(deviation)
                cost -= 1
        return found[::-1]

    def deviation_before(self, cost: int, place: Place, state: int) -> tuple[Deviation, Place, int] | None:
        """Return the deviation that led to a state, if one did: a step skipped, or one inserted."""
        former = self.layers[cost - 1]
        for origin in sorted(former.get(place, ())):
            for name in self.aligner.game.within_reach(origin):
                if state in self.go(origin, name, Done()):
                    return Deviation(place[0], name, DeviationKind.SKIPPED), place, origin
        for other, states in former.items():
            if other[0] < len(self.trace.events) and beyond(other, other[0]) == place and state in states:
                return Deviation(other[0], self.trace.events[other[0]][0], DeviationKind.INSERTED), other, state
        return None

    def step_before(self, cost: int, place: Place, state: int) -> tuple[Place, int]:
        """Return the place and the state from which a step of the trace led here."""
        done = taken_at(place) - 1
        for other, states in self.layers[cost].items():
            for origin in sorted(states) if taken_at(other) == done else ():
                for index in self.candidates(other, origin):
                    if beyond(other, index) == place and state in self.go(origin, *self.trace.events[index]):
                        return other, origin
        message = "no way leads to a state that was reached"
        raise AssertionError(message)


def aligned(trace: Trace, deviations: list[Deviation]) -> tuple[tuple[str, Outcome], ...]:
    """Return what a case would have done without its deviations."""
    inserted = {each.position for each in deviations if each.kind is DeviationKind.INSERTED}
    skipped: dict[int, list[tuple[str, Outcome]]] = {}
    for each in deviations:
        if each.kind is DeviationKind.SKIPPED:
            skipped.setdefault(each.position, []).append((each.name, Done()))
    events: list[tuple[str, Outcome]] = []
    for position in range(len(trace.events) + 1):
        events += skipped.get(position, ())
        if position < len(trace.events) and position not in inserted:
            events.append(trace.events[position])
    return tuple(events)
