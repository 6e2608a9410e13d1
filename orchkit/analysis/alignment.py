"""How a trace goes with a workflow: the fewest steps that were left out or put in."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from orchkit.analysis.game import Done, End

if TYPE_CHECKING:
    from orchkit.analysis.game import Game, Outcome
    from orchkit.analysis.traces import Trace

__all__ = ["Aligner", "Budget", "BudgetSpentError", "Deviation", "DeviationKind"]

# How far a step that ended at the moment of others may be taken before them.
_TIED = 16
_LOOK_AT_CLOCK = 64


class DeviationKind(StrEnum):
    """How a case leaves the workflow."""

    SKIPPED = "skipped"
    INSERTED = "inserted"
    OUT_OF_ORDER = "out of order"


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

    def renew(self) -> None:
        """Begin another search."""
        self.left = self.states
        if time.monotonic() > self.until:
            self.left = 0

    def spend(self) -> None:
        """Pay for a state."""
        self.left -= 1
        if self.left < 0 or (self.left % _LOOK_AT_CLOCK == 0 and time.monotonic() > self.until):
            raise BudgetSpentError


# Steps of the trace before, those taken before their turn (as bits), the state of the run.
Place = tuple[int, int, int]
# Where a place was reached from; and the deviation on the way, None where there is none.
Origin = tuple[Place | None, Deviation | None]


@dataclass(slots=True)
class Aligner:
    """Aligns traces with one game; what it has learned of the game serves the next trace.

    Parameters
    ----------
    game
        The workflow's.
    budget
        For each trace.
    """

    game: Game
    budget: Budget
    _sets: dict[tuple[frozenset[int], tuple[str, Outcome], bool], frozenset[int]] = field(default_factory=dict)
    _begin: dict[bool, frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.game.spend = self.budget.spend

    def fits(self, trace: Trace) -> bool:
        """Return whether the trace can be replayed as it is: every state is kept that the run may be in.

        Raises
        ------
        BudgetSpentError
            There are too many.
        """
        self.budget.renew()
        cancels = trace.end is End.CANCELLED
        if cancels not in self._begin:
            self._begin[cancels] = self._closed(self.game.begin(), cancels=cancels)
        states = self._begin[cancels]
        for event in trace.events:
            key = (states, event, cancels)
            if key not in self._sets:
                following = (after for state in states for after in self.game.after(state, *event))
                self._sets[key] = self._closed(following, cancels=cancels)
            states = self._sets[key]
            if not states:
                return False
        return any(self.game.ends(state, trace.end) for state in states)

    def _closed(self, states: Iterable[int], *, cancels: bool) -> frozenset[int]:
        """Return the states that are reached from some with nothing to be seen."""
        found = set(states)
        todo = list(found)
        while todo:
            state = todo.pop()
            self.budget.spend()
            for following in (*self.game.unseen(state), *(self.game.cancelled(state) if cancels else ())):
                if following not in found:
                    found.add(following)
                    todo.append(following)
        return frozenset(found)

    def align(self, trace: Trace) -> list[Deviation]:
        """Return the fewest deviations that explain a trace.

        Raises
        ------
        BudgetSpentError
            They are not found within the budget.
        """
        if self.fits(trace):
            return []
        self.budget.renew()
        best: dict[Place, int] = {}
        came: dict[Place, Origin] = {}
        todo: list[tuple[int, int, int, Place]] = []
        least = self._least(trace)
        order = 0
        for state in self.game.begin():
            place = (0, 0, state)
            best[place], came[place] = 0, (None, None)
            heappush(todo, (least[0], 0, order := order + 1, place))
        while todo:
            estimate, _, _, place = heappop(todo)
            cost = best[place]
            if cost + least[place[0]] < estimate:
                continue
            self.budget.spend()
            if place[0] == len(trace.events) and self.game.ends(place[2], trace.end):
                return _way_back(came, place)
            for following, deviation in self._moves(trace, place):
                total = cost + (deviation is not None)
                if total < best.get(following, total + 1):
                    best[following], came[following] = total, (place, deviation)
                    heappush(todo, (total + least[following[0]], -following[0], order := order + 1, following))
        raise BudgetSpentError  # no run of this workflow ends as the case did

    def shortest(self, end: End) -> int:
        """Return the fewest steps that a run has which ends so."""
        from orchkit.analysis.traces import Trace  # noqa: PLC0415 -- it is made of what is here

        return len(self.align(Trace((), (), end)))

    def _least(self, trace: Trace) -> list[int]:
        """Return for each place in a trace the deviations that are sure to come: names that the workflow has not."""
        known = self.game.names
        least = [0]
        for name, _ in reversed(trace.events):
            least.append(least[-1] + (name not in known))
        return least[::-1]

    def _moves(self, trace: Trace, place: Place) -> Iterator[tuple[Place, Deviation | None]]:
        position, taken, state = place
        game = self.game
        for index in self._candidates(trace, place):
            beyond = _beyond(position, taken, index)
            for after in game.after(state, *trace.events[index]):
                yield (*beyond, after), None
        for after in game.unseen(state):
            yield (position, taken, after), None
        if trace.end is End.CANCELLED:
            for after in game.cancelled(state):
                yield (position, taken, after), None
        if position < len(trace.events):
            beyond = _beyond(position, taken, position)
            yield (*beyond, state), Deviation(position, trace.events[position][0], DeviationKind.INSERTED)
        for name in dict.fromkeys(game.open_names(state)):
            for after in game.after(state, name, Done()):
                yield (position, taken, after), Deviation(position, name, DeviationKind.SKIPPED)

    def _candidates(self, trace: Trace, place: Place) -> Iterator[int]:
        """Yield which events may be the next one.

        Steps that ended at the same moment have no order of their own, if both were open.
        """
        position, taken, state = place
        if position == len(trace.events):
            return
        yield position
        waiting = Counter({trace.events[position][0]: 1})
        for index in range(position + 1, min(position + _TIED, len(trace.events))):
            if not trace.ties[index]:
                return
            if taken >> (index - position) & 1:
                continue
            if waiting - Counter(self.game.open_names(state)):
                return
            yield index
            waiting[trace.events[index][0]] += 1


def _beyond(position: int, taken: int, index: int) -> tuple[int, int]:
    """Return the place in a trace after an event was taken."""
    taken |= 1 << (index - position)
    while taken & 1:
        taken >>= 1
        position += 1
    return position, taken


def _way_back(came: dict[Place, Origin], place: Place) -> list[Deviation]:
    found = []
    origin: Place | None = place
    while origin is not None:
        origin, deviation = came[origin]
        if deviation is not None:
            found.append(deviation)
    return found[::-1]
