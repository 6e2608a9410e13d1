"""How much a workflow allows that a log never does: escaping edges.

From Muñoz-Gama and Carmona, "A Fresh Look at Precision in Process Conformance" (2010), on aligned traces as Adriansyah,
Muñoz-Gama, Carmona, van Dongen and van der Aalst have it in "Measuring precision of modeled behavior" (2015).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchkit.analysis.alignment import BudgetSpentError

if TYPE_CHECKING:
    from orchkit.analysis.alignment import Aligner, Asks
    from orchkit.analysis.moves import Outcome

__all__ = ["precision_of"]

Events = tuple[tuple[str, "Outcome"], ...]


def precision_of(aligner: Aligner, traces: Iterable[tuple[Events, Asks, int]]) -> tuple[int, int] | None:
    """Return how many steps the workflow allowed, and how many of these were taken by some case; None for unknown.

    Both are summed over every step of every case: in the state that it had come to, the activities that the workflow
    allows next, and those of them that a case did next which had come the same way.

    Parameters
    ----------
    aligner
        Of a game in which no expression fails: what a failure of one would allow is no choice.
    traces
        Those that the workflow allows, with what was asked for, each with the number of its cases.
    """
    ways: dict[tuple[int, tuple[str, Outcome], Asks], int] = {}
    counts: dict[int, int] = defaultdict(int)
    children: dict[int, set[str]] = defaultdict(set)
    states: dict[int, frozenset[int]] = {}
    roots: dict[Asks, int] = {}
    allowed = taken = 0
    try:
        for events, asked, number in traces:
            if asked not in roots:
                roots[asked] = len(states)
                states[roots[asked]] = aligner.begin(asked=asked)
            place = roots[asked]
            for event in events:
                key = (place, event, asked)
                following = ways.get(key)
                if following is None:
                    after = aligner.replayed(states[place], event, asked=asked)
                    if not after:
                        break
                    following = ways[key] = len(states)
                    states[following] = after
                counts[place] += number
                children[place].add(event[0])
                place = following
        for place, count in counts.items():
            names = {name for state in states[place] for name in aligner.game.within_reach(state)}
            allowed += count * len(names | children[place])
            taken += count * len(children[place])
    except BudgetSpentError:
        return None
    return allowed, taken
