"""Cuts of a directly-follows graph: the four ways in which a log may be made of smaller ones.

From Leemans, Fahland and van der Aalst, "Discovering Block-Structured Process Models from Event Logs: A Constructive
Approach" (2013), section 4, and "… Containing Infrequent Behaviour" (2014), which splits logs that a cut does not
fit exactly. A log here is a multiset of traces of integers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cut", "FlatTraces", "Follows", "Operator", "Traces", "find_cut", "follows_of", "split"]

# Up to here a table of all sums is quicker than sorting the keys.
_DENSE = 1_000_000

Traces = Mapping[tuple[int, ...], int]


class Operator(StrEnum):
    """How the parts of a block go together."""

    CHOICE = "choice"
    SEQUENCE = "sequence"
    PARALLEL = "parallel"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Follows:
    """A directly-follows graph, counted.

    Attributes
    ----------
    activities
        All of them.
    pairs
        How often the second follows the first directly.
    starts, ends
        How often a trace begins, and ends, with an activity.
    """

    activities: frozenset[int]
    pairs: Mapping[tuple[int, int], int]
    starts: Mapping[int, int]
    ends: Mapping[int, int]

    def without_rare(self, noise: float) -> Follows:
        """Return the graph without what is rarer than this share of the most frequent way on from an activity."""
        most: Counter[int] = Counter(self.ends)
        for (source, _), count in self.pairs.items():
            most[source] = max(most[source], count)
        first, last = max(self.starts.values(), default=0), max(self.ends.values(), default=0)
        return Follows(
            self.activities,
            {pair: count for pair, count in self.pairs.items() if count >= noise * most[pair[0]]},
            {activity: count for activity, count in self.starts.items() if count >= noise * first},
            {activity: count for activity, count in self.ends.items() if count >= noise * last},
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """An operator and its parts, in order; the first part of a loop is its body, the others lead back to it."""

    operator: Operator
    parts: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class FlatTraces:
    """Traces end to end: what asks for many directly-follows graphs of the same traces reads them from here."""

    codes: NDArray[np.int64]
    numbers: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, traces: Traces) -> FlatTraces:
        """Return traces end to end."""
        lengths = np.fromiter((len(trace) for trace in traces), dtype=np.int64, count=len(traces))
        codes = np.fromiter((activity for trace in traces for activity in trace), dtype=np.int64, count=lengths.sum())
        numbers = np.repeat(np.arange(len(traces)), lengths)
        counts = np.fromiter(traces.values(), dtype=np.int64, count=len(traces))
        return cls(codes, numbers, counts)

    def follows(self, without: int | None = None) -> Follows:
        """Return the directly-follows graph, as if an activity had not been there."""
        kept = slice(None) if without is None else self.codes != without
        codes, numbers = self.codes[kept], self.numbers[kept]
        if not len(codes):
            return Follows(frozenset(), {}, {}, {})
        weights = self.counts[numbers]
        width = int(codes.max()) + 1
        first = np.diff(numbers, prepend=-1) != 0
        last = np.append(first[1:], True)
        within = ~first[1:]
        keys = (codes[:-1] * width + codes[1:])[within]
        pairs = _sums(keys, weights[1:][within])
        return Follows(
            frozenset(np.flatnonzero(np.bincount(codes)).tolist()),
            {divmod(key, width): count for key, count in pairs.items()},
            _sums(codes[first], weights[first]),
            _sums(codes[last], weights[last]),
        )


def _sums(keys: NDArray[np.int64], weights: NDArray[np.int64]) -> dict[int, int]:
    if keys.max(initial=0) < _DENSE:
        sums = np.bincount(keys, weights)
        values = np.flatnonzero(np.bincount(keys))
        sums = sums[values]
    else:
        values, places = np.unique(keys, return_inverse=True)
        sums = np.bincount(places, weights)
    return dict(zip(values.tolist(), sums.astype(np.int64).tolist(), strict=True))


def follows_of(traces: Traces) -> Follows:
    """Return the directly-follows graph of traces."""
    return FlatTraces.of(traces).follows()


def find_cut(follows: Follows) -> Cut | None:
    """Return the first cut that fits, in the order choice, sequence, parallel, loop; None where none does.

    Examples
    --------
    >>> find_cut(follows_of({(0, 1, 3): 5, (0, 2, 3): 5}))
    Cut(operator=<Operator.SEQUENCE: 'sequence'>, parts=(frozenset({0}), frozenset({1, 2}), frozenset({3})))
    """
    if len(follows.activities) < 2:  # noqa: PLR2004 -- a cut has two parts
        return None
    for operator, parts_of in _CUTS.items():
        parts = parts_of(follows)
        if len(parts) > 1:
            return Cut(operator, tuple(parts))
    return None


def _components(activities: Iterable[int], pairs: Iterable[tuple[int, int]]) -> list[frozenset[int]]:
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(sorted(activities))
    graph.add_edges_from(pairs)
    return sorted((frozenset(part) for part in nx.connected_components(graph)), key=min)


def _choice(follows: Follows) -> list[frozenset[int]]:
    return _components(follows.activities, follows.pairs)


def _sequence(follows: Follows) -> list[frozenset[int]]:
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(sorted(follows.activities))
    graph.add_edges_from(follows.pairs)
    reach = {activity: nx.descendants(graph, activity) for activity in graph}
    # Those that reach one another both ways or neither way stand in one part.
    together = (
        (one, other)
        for one in graph
        for other in graph
        if one < other and (other in reach[one]) == (one in reach[other])
    )
    parts = _components(graph, together)
    before = {part: len({other for one in part for other in reach[one]} - part) for part in parts}
    return sorted(parts, key=lambda part: -before[part])


def _parallel(follows: Follows) -> list[frozenset[int]]:
    pairs = follows.pairs
    ordered = sorted(follows.activities)
    apart = (
        (one, other)
        for one in ordered
        for other in ordered
        if one < other and not ((one, other) in pairs and (other, one) in pairs)
    )
    parts = _components(ordered, apart)
    whole = [part for part in parts if part & follows.starts.keys() and part & follows.ends.keys()]
    others = [part for part in parts if part not in whole]
    if not whole:
        return []
    # A part that cannot begin or end by itself goes with one that can.
    return sorted([whole[0].union(*others), *whole[1:]], key=min)


def _loop(follows: Follows) -> list[frozenset[int]]:
    starts, ends, pairs = follows.starts.keys(), follows.ends.keys(), follows.pairs
    body = frozenset(starts | ends)
    if not body:
        return []
    rest = follows.activities - body
    redo = _components(rest, ((one, other) for one, other in pairs if one in rest and other in rest))
    kept = [part for part in redo if _leads_back(part, starts, ends, pairs)]
    body = body.union(*(part for part in redo if part not in kept))
    return [body, *kept] if kept else []


def _leads_back(
    part: frozenset[int], starts: Collection[int], ends: Collection[int], pairs: Collection[tuple[int, int]]
) -> bool:
    """Whether a part is entered only from ends and left only to starts: from all of them, and to all of them."""
    entered = {(one, other) for one, other in pairs if one not in part and other in part}
    left = {(one, other) for one, other in pairs if one in part and other not in part}
    if any(one not in ends for one, _ in entered) or any(other not in starts for _, other in left):
        return False
    first, last = {other for _, other in entered}, {one for one, _ in left}
    return all((end, activity) in entered for end in ends for activity in first) and all(
        (activity, start) in left for start in starts for activity in last
    )


_CUTS = {
    Operator.CHOICE: _choice,
    Operator.SEQUENCE: _sequence,
    Operator.PARALLEL: _parallel,
    Operator.LOOP: _loop,
}


def split(traces: Traces, cut: Cut) -> list[Counter[tuple[int, ...]]]:
    """Return the traces of each part. What does not fit the cut is left out, as little as can be."""
    logs: list[Counter[tuple[int, ...]]] = [Counter() for _ in cut.parts]
    part_of = {activity: number for number, part in enumerate(cut.parts) for activity in part}
    for trace, count in traces.items():
        for number, piece in _PIECES[cut.operator](trace, part_of, len(logs)):
            logs[number][piece] += count
    return logs


Piece = tuple[int, tuple[int, ...]]


def _of_choice(trace: tuple[int, ...], part_of: Mapping[int, int], parts: int) -> list[Piece]:
    counts = [0] * parts
    for activity in trace:
        counts[part_of[activity]] += 1
    best = counts.index(max(counts))
    return [(best, tuple(activity for activity in trace if part_of[activity] == best))]


def _of_parallel(trace: tuple[int, ...], part_of: Mapping[int, int], parts: int) -> list[Piece]:
    return [(number, tuple(activity for activity in trace if part_of[activity] == number)) for number in range(parts)]


def _of_sequence(trace: tuple[int, ...], part_of: Mapping[int, int], parts: int) -> list[Piece]:
    numbers = [part_of[activity] for activity in trace]
    if all(one <= other for one, other in pairwise(numbers)):
        return _of_parallel(trace, part_of, parts)
    # The longest run of activities whose parts do not go back stays: best[n] ends in part n.
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())] * parts
    for position, number in enumerate(numbers):
        length, kept = max(best[: number + 1], key=lambda found: found[0])
        best[number] = (length + 1, (*kept, position))
    kept = max(best, key=lambda found: found[0])[1]
    return _of_parallel(tuple(trace[position] for position in kept), part_of, parts)


def _of_loop(trace: tuple[int, ...], part_of: Mapping[int, int], _: int) -> list[Piece]:
    pieces: list[Piece] = []
    for activity in trace:
        number = part_of[activity]
        if pieces and pieces[-1][0] == number:
            pieces[-1] = (number, (*pieces[-1][1], activity))
            continue
        if number and (not pieces or pieces[-1][0]):
            pieces.append((0, ()))
        pieces.append((number, (activity,)))
    if not pieces or pieces[-1][0]:
        pieces.append((0, ()))
    return pieces


_PIECES = {
    Operator.CHOICE: _of_choice,
    Operator.SEQUENCE: _of_sequence,
    Operator.PARALLEL: _of_parallel,
    Operator.LOOP: _of_loop,
}
