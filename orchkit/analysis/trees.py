"""The inductive miner: a log becomes a tree of blocks, cut by cut.

The infrequent variant (IMf) of Leemans, Fahland and van der Aalst (2014), with the fall-throughs of that paper. With a
noise of zero every step keeps all traces, so that the tree can replay the whole log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchkit.analysis.cuts import Cut, FlatTraces, Operator, Traces, find_cut, follows_of, split

# Beyond so many activities, one is not tried after the other.
_MANY = 64

__all__ = ["Block", "Leaf", "Tree", "may_be_empty", "mine"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """An activity; None for nothing at all. ``count`` is how often the log comes here."""

    activity: int | None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """An operator over parts; the first part of a loop is its body."""

    operator: Operator
    parts: tuple[Tree, ...]
    count: int = 0


Tree = Leaf | Block


def mine(traces: Traces, noise: float = 0.0) -> Tree:
    """Return the tree of a log.

    Parameters
    ----------
    traces
        How often each trace occurs.
    noise
        From 0 to 1: what is rarer than this share of its most frequent alternative may be left out.

    Examples
    --------
    >>> tree = mine({(0, 1, 2): 8, (0, 2, 1): 7})
    >>> tree.operator.value, [getattr(part, "operator", part) for part in tree.parts]
    ('sequence', [Leaf(activity=0, count=15), <Operator.PARALLEL: 'parallel'>])
    """
    count = sum(traces.values())
    activities = {activity for trace in traces for activity in trace}
    if not activities:
        return Leaf(None, count)
    empty = traces.get((), 0)
    if empty:
        rest = {trace: number for trace, number in traces.items() if trace}
        if empty < noise * count:
            return mine(rest, noise)
        return _block(Operator.CHOICE, [mine(rest, noise), Leaf(None, empty)], count)
    if len(activities) == 1:
        leaf = _single(traces, next(iter(activities)), noise)
        if leaf is not None:
            return leaf
    follows = follows_of(traces)
    cut = find_cut(follows)
    if cut is None and noise > 0:
        cut = find_cut(follows.without_rare(noise))
    if cut is not None:
        parts = [mine(part, noise) for part in split(traces, cut)]
        return _loop(parts, count) if cut.operator is Operator.LOOP else _block(cut.operator, parts, count)
    return _fall_through(traces, sorted(activities), count, noise)


def _single(traces: Traces, activity: int, noise: float) -> Leaf | None:
    """Return the leaf of a log of one activity that occurs once a trace, or nearly so."""
    count = sum(traces.values())
    once = traces.get((activity,), 0)
    return Leaf(activity, count) if once == count or once > (1 - noise) * count else None


def _block(operator: Operator, parts: Iterable[Tree], count: int) -> Tree:
    """Return a block, flat: a sequence in a sequence is one, and so for choices and parallels."""
    flat: list[Tree] = []
    for part in parts:
        if isinstance(part, Block) and part.operator is operator and operator is not Operator.LOOP:
            flat.extend(part.parts)
        elif operator in (Operator.CHOICE, Operator.LOOP) or not _is_nothing(part):
            flat.append(part)
    if operator is Operator.CHOICE:
        nothing = sum(part.count for part in flat if _is_nothing(part))
        flat = [part for part in flat if not _is_nothing(part)]
        if nothing:
            flat.append(Leaf(None, nothing))
    if len(flat) == 1:
        return replace(flat[0], count=count)
    return Block(operator, tuple(flat), count) if flat else Leaf(None, count)


def _is_nothing(tree: Tree) -> bool:
    return isinstance(tree, Leaf) and tree.activity is None


def may_be_empty(tree: Tree) -> bool:
    """Whether a tree can be gone through without doing anything."""
    match tree:
        case Leaf():
            return tree.activity is None
        case Block(Operator.CHOICE):
            return any(may_be_empty(part) for part in tree.parts)
        case Block(Operator.LOOP):
            return may_be_empty(tree.parts[0])
        case _:
            return all(may_be_empty(part) for part in tree.parts)


def _loop(parts: list[Tree], count: int) -> Tree:
    """Return a loop.

    One that may go round without doing anything has no end. Where it can, it is written as the optional loop of the
    same ways that each do something.
    """
    body, *redo = parts
    if not may_be_empty(body) or not all(_is_nothing(part) for part in redo):
        return Block(Operator.LOOP, tuple(parts), count)
    ways = _doing_something(body)
    if ways is None:
        return Block(Operator.LOOP, tuple(parts), count)
    once = _block(Operator.CHOICE, ways, sum(way.count for way in ways))
    return _block(Operator.CHOICE, [Block(Operator.LOOP, (once, *redo), count), Leaf(None, 1)], count)


def _doing_something(tree: Tree) -> list[Tree] | None:
    """Return trees, any number of which in any order do what any number of passes of this one do; None for unknown."""
    if not may_be_empty(tree):
        return [tree]
    if isinstance(tree, Leaf):
        return []
    parts = tree.parts
    leaves = all(isinstance(way, Leaf) for part in parts for way in _ways(part))
    if tree.operator is Operator.PARALLEL and not leaves:
        return None
    found: list[Tree] = []
    for part in parts[:1] if tree.operator is Operator.LOOP else parts:
        ways = _doing_something(part)
        if ways is None:
            return None
        found.extend(ways)
    if tree.operator is Operator.LOOP:
        return found if all(_is_nothing(part) for part in parts[1:]) else None
    return found


def _ways(tree: Tree) -> tuple[Tree, ...]:
    return tree.parts if isinstance(tree, Block) and tree.operator is Operator.CHOICE else (tree,)


def _fall_through(traces: Traces, activities: list[int], count: int, noise: float) -> Tree:
    """Return the tree of a log that no cut fits: the most precise of what always fits."""
    many = len(activities) > _MANY
    once = _once_each(traces) if len(activities) > 1 else []
    if once:
        return _beside(traces, once if many else once[:1], count, noise)
    flat = FlatTraces.of(traces)
    for activity in activities if 1 < len(activities) <= _MANY else ():
        if find_cut(flat.follows(without=activity)) is not None:
            return _beside(traces, [activity], count, noise)
    follows = follows_of(traces)
    for before in (follows.ends.keys(), set(activities)):
        again = _unrolled(traces, set(follows.starts), set(before))
        if sum(again.values()) > count:
            return _loop([mine(again, noise), Leaf(None, sum(again.values()) - count)], count)
    each: Counter[int] = Counter()
    for trace, number in traces.items():
        for activity in trace:
            each[activity] += number
    total = sum(each.values())
    body = _block(Operator.CHOICE, [Leaf(activity, each[activity]) for activity in activities], total)
    return _block(Operator.LOOP, [body, Leaf(None, total - count)], count)


def _once_each(traces: Traces) -> list[int]:
    """Return the activities that every trace has once, sorted."""
    total: Counter[int] = Counter()
    present: Counter[int] = Counter()
    for trace in traces:
        total.update(trace)
        present.update(set(trace))
    return [each for each in sorted(total) if total[each] == present[each] == len(traces)]


def _beside(traces: Traces, apart: list[int], count: int, noise: float) -> Tree:
    """Return a tree in which some activities run beside all else, each for itself."""
    rest = {name for trace in traces for name in trace} - set(apart)
    cut = Cut(Operator.PARALLEL, (*(frozenset([activity]) for activity in apart), *([frozenset(rest)] if rest else [])))
    return _block(Operator.PARALLEL, [mine(part, noise) for part in split(traces, cut)], count)


def _unrolled(traces: Traces, starts: set[int], before: set[int]) -> Counter[tuple[int, ...]]:
    """Return the traces cut where a start comes again after one of ``before``."""
    found: Counter[tuple[int, ...]] = Counter()
    for trace, number in traces.items():
        begin = 0
        for position in range(1, len(trace)):
            if trace[position] in starts and trace[position - 1] in before:
                found[trace[begin:position]] += number
                begin = position
        found[trace[begin:]] += number
    return found
