"""Whether a trace can be replayed as it is, where a run may be in very many states: the most promising way first."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from orchkit.analysis.moves import End
from orchkit.analysis.places import Place, beyond, candidates

if TYPE_CHECKING:
    from orchkit.analysis.alignment import Budget
    from orchkit.analysis.game import Game
    from orchkit.analysis.moves import Move
    from orchkit.analysis.traces import Trace

__all__ = ["follows"]

# What weighs as much as so many steps: a turn of which the log knows nothing, and an open step that never ends.
_UNSEEN = 2
_STUCK = {End.COMPLETED: 12, End.OTHERWISE: 4, End.OPEN: 0}


def follows(game: Game, trace: Trace, budget: Budget) -> bool:
    """Return whether a trace can be replayed as it is.

    One way is followed as far as it goes, and the others only where it ends: what a log does not show, such as passes
    side by side that each may have come to their end, is not tried unless it is needed.

    Raises
    ------
    BudgetSpentError
        None is found within the budget.
    """
    return _Following(game, trace, budget).finds_an_end()


@dataclass(slots=True)
class _Following:
    game: Game
    trace: Trace
    budget: Budget
    places: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    seen: set[tuple[Place, int]] = field(default_factory=set)
    weight: int = 0
    # A promise, the lower the better; of equal ones, what was found last goes on first.
    ways: list[tuple[int, int, Place, int, int]] = field(default_factory=list)

    def finds_an_end(self) -> bool:
        """Return whether some way leads to an end as the trace's."""
        for position, (name, _) in enumerate(self.trace.events):
            self.places[name].append(position)
        count, self.weight = len(self.trace.events), _STUCK[self.trace.end]
        self.note((0, 0), self.game.begin(), 0)
        while self.ways:
            _, _, place, state, unseen = heappop(self.ways)
            self.budget.spend()
            if place[0] == count and self.game.ends(state, self.trace.end):
                return True
            self.go_on(place, state, unseen)
        return False

    def go_on(self, place: Place, state: int, unseen: int) -> None:
        """Note where a state leads to."""
        game, events = self.game, self.trace.events
        moves: list[tuple[Move, Place, int]] = [(None, place, unseen + 1)]
        if place[0] < len(events):
            ahead = candidates(game, self.trace, place, state)
            moves += [(events[index], beyond(place, index), unseen) for index in ahead]
        # A run that is cancelled does little more.
        moves += [(what, place, unseen + len(events) - place[0]) for what in self.trace.asked]
        for move, following, weight in moves:
            self.note(following, game.at_once(state, move), weight)
        self.note(place, game.begun_early(state), unseen + 1)
        if any(game.gives_up(state, move) for move, _, _ in moves):
            self.note(place, game.begun(state), unseen + 1)

    def note(self, place: Place, states: Iterable[int], unseen: int) -> None:
        """Note states to go on with, but for those that are known."""
        for state in states:
            if (place, state) not in self.seen:
                self.seen.add((place, state))
                stuck = self.weight * self.stuck(place[0], self.game.open_names(state))
                promise = _UNSEEN * unseen + stuck - place[0]
                heappush(self.ways, (promise, -len(self.seen), place, state, unseen))

    def stuck(self, position: int, names: tuple[str, ...]) -> int:
        """Return how many open steps will not end in the trace, nor are given up as far as the log tells."""
        count = 0
        for name in set(names):
            places = self.places.get(name, ())
            left = len(places) - bisect_left(places, position)
            count += max(0, names.count(name) - left - self.trace.given_up.count(name))
        return count
