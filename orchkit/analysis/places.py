"""Places in a trace: how far it has been followed, where steps that ended at the same moment have no order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchkit.analysis.game import Game
    from orchkit.analysis.traces import Trace

__all__ = ["Place", "beyond", "candidates", "taken_at"]

# How far a step that ended at the moment of others may be taken before them.
_TIED = 16

# Steps of the trace before, and those taken before their turn, as bits.
Place = tuple[int, int]


def taken_at(place: Place) -> int:
    """Return how many steps have been taken."""
    return place[0] + place[1].bit_count()


def beyond(place: Place, index: int) -> Place:
    """Return the place in a trace after a step was taken."""
    position, taken = place
    taken |= 1 << (index - position)
    while taken & 1:
        taken >>= 1
        position += 1
    return position, taken


def candidates(game: Game, trace: Trace, place: Place, state: int) -> Iterator[int]:
    """Yield which steps may be the next one.

    Steps that ended at the same moment have no order of their own, if both were open.
    """
    position, taken = place
    yield position
    events, ties = trace.events, trace.ties
    if position + 1 == len(events) or not ties[position + 1]:
        return
    names, waiting = game.within_reach(state), [events[position][0]]
    for index in range(position + 1, min(position + _TIED, len(events))):
        if not ties[index] or waiting.count(waiting[-1]) > names.count(waiting[-1]):
            return
        if not taken >> (index - position) & 1:
            yield index
            waiting.append(events[index][0])
