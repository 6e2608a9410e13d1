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
    leader = {activity: activity for activity in activities}

    def led(activity: int) -> int:
        while leader[activity] != activity:
            leader[activity] = activity = leader[leader[activity]]
        return activity

    for one, other in pairs:
        first, second = led(one), led(other)
        if first != second:
            leader[first] = second
    parts: dict[int, set[int]] = {}
    for activity in leader:
        parts.setdefault(led(activity), set()).add(activity)
    return sorted((frozenset(part) for part in parts.values()), key=min)


def _choice(follows: Follows) -> list[frozenset[int]]:
    return _components(follows.activities, follows.pairs)


def _sequence(follows: Follows) -> list[frozenset[int]]:
    members, rounds = _rounds(follows)
    if len(members) == 1:
        return [frozenset(members[0])]
    order = list(nx.lexicographical_topological_sort(rounds, key=lambda part: members[part][0]))
    bits = {part: 1 << place for place, part in enumerate(order)}
    reach: dict[int, int] = {}
    for part in reversed(order):
        reach[part] = 0
        for other in rounds.successors(part):
            reach[part] |= reach[other] | bits[other]
    # A cut goes where all before it reach all behind it: so they stand in any topological order.
    parts: list[set[int]] = [set()]
    common = behind = (1 << len(order)) - 1
    for part in order:
        parts[-1].update(members[part])
        behind &= ~bits[part]
        common &= reach[part]
        if behind and not behind & ~common:
            parts.append(set())
    return [frozenset(part) for part in parts]


def _rounds(follows: Follows) -> tuple[list[list[int]], nx.DiGraph[int]]:
    """Return the activities that reach one another both ways, in order, and how these parts follow each other."""
    from scipy.sparse import csr_array  # noqa: PLC0415 -- half a second, on use
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    ordered = np.array(sorted(follows.activities))
    ends = np.searchsorted(ordered, np.array(list(follows.pairs), dtype=np.int64).reshape(-1, 2)).T
    graph = csr_array((np.ones(len(follows.pairs)), tuple(ends)), shape=(len(ordered), len(ordered)))
    count, part_of = connected_components(graph, connection="strong")
    members: list[list[int]] = [[] for _ in range(count)]
    for activity, part in zip(ordered.tolist(), part_of.tolist(), strict=True):
        members[part].append(activity)
    rounds: nx.DiGraph[int] = nx.DiGraph()
    rounds.add_nodes_from(range(count))
    sources, targets = part_of[ends].astype(np.int64)
    pairs = np.unique((sources * count + targets)[sources != targets])
    rounds.add_edges_from(divmod(pair, count) for pair in pairs.tolist())
    return members, rounds


def _parallel(follows: Follows) -> list[frozenset[int]]:
    pairs = follows.pairs
    ordered = sorted(follows.activities)
    place = {activity: number for number, activity in enumerate(ordered)}
    beside = [0] * len(ordered)  # those that follow an activity and are followed by it
    for one, other in pairs:
        if (other, one) in pairs:
            beside[place[one]] |= 1 << place[other]
    parts = []
    left = (1 << len(ordered)) - 1
    while left:
        todo = [(left & -left).bit_length() - 1]
        left &= left - 1
        part = set()
        while todo:
            number = todo.pop()
            part.add(ordered[number])
            apart = left & ~beside[number]
            left &= ~apart
            todo += _places(apart)
        parts.append(frozenset(part))
    whole = [part for part in parts if part & follows.starts.keys() and part & follows.ends.keys()]
    others = [part for part in parts if part not in whole]
    if not whole:
        return []
    # A part that cannot begin or end by itself goes with one that can.
    return sorted([whole[0].union(*others), *whole[1:]], key=min)


def _places(bits: int) -> list[int]:
    """Return where an integer has ones."""
    array = np.frombuffer(bits.to_bytes((bits.bit_length() + 7) // 8, "little"), dtype=np.uint8)
    found: list[int] = np.flatnonzero(np.unpackbits(array, bitorder="little")).tolist()
    return found


def _loop(follows: Follows) -> list[frozenset[int]]:
    starts, ends, pairs = follows.starts.keys(), follows.ends.keys(), follows.pairs
    body = frozenset(starts | ends)
    if not body:
        return []
    rest = follows.activities - body
    redo = _components(rest, ((one, other) for one, other in pairs if one in rest and other in rest))
    number_of = {activity: number for number, part in enumerate(redo) for activity in part}
    entered: list[set[tuple[int, int]]] = [set() for _ in redo]
    left: list[set[tuple[int, int]]] = [set() for _ in redo]
    for one, other in pairs:
        source, target = number_of.get(one), number_of.get(other)
        if target is not None and source != target:
            entered[target].add((one, other))
        if source is not None and source != target:
            left[source].add((one, other))
    kept = [
        number
        for number in range(len(redo))
        if _is_whole(entered[number], ends, {other for _, other in entered[number]})
        and _is_whole(left[number], {one for one, _ in left[number]}, starts)
    ]
    leads_back = frozenset(kept)
    body = body.union(*(part for number, part in enumerate(redo) if number not in leads_back))
    return [body, *(redo[number] for number in kept)] if kept else []


def _is_whole(pairs: set[tuple[int, int]], sources: Collection[int], targets: Collection[int]) -> bool:
    """Whether pairs lead from each of some activities to each of others, and from and to no more."""
    return len(pairs) == len(sources) * len(targets) and all(
        one in sources and other in targets for one, other in pairs
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
    if not trace:
        return [(0, ())] if parts else []
    counts = Counter(part_of[activity] for activity in trace)
    best = min(counts, key=lambda number: (-counts[number], number))
    return [(best, tuple(activity for activity in trace if part_of[activity] == best))]


def _of_parallel(trace: tuple[int, ...], part_of: Mapping[int, int], parts: int) -> list[Piece]:
    pieces: list[list[int]] = [[] for _ in range(parts)]
    for activity in trace:
        pieces[part_of[activity]].append(activity)
    return [(number, tuple(piece)) for number, piece in enumerate(pieces)]


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
