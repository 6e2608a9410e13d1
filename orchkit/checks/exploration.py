"""Exploration of a net: every marking that can be reached, cheapest first, until a fault shows or the budget ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from orchkit.tokens import Fault, Net, Settled, exits, settle_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Exploration", "Move", "Outcome", "after", "explore"]

# What a terminate or error end leaves: nothing goes on.
_OVER = -1


class Outcome(StrEnum):
    """What an exploration found."""

    SOUND = "sound"
    FAULT = "fault"
    DEADLOCK = "deadlock"
    NO_END = "no end"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Move:
    """An activity ends along some flows, and the tokens settle.

    Attributes
    ----------
    node
        The activity; None for the beginning.
    flows
        Those that it sends tokens along.
    moved
        All flows that a token went along in the settling.
    marking
        The marking after it.
    """

    node: int | None
    flows: tuple[int, ...]
    moved: tuple[int, ...]
    marking: int


@dataclass(frozen=True, slots=True)
class Exploration:
    """What was found, and how a run gets there."""

    outcome: Outcome
    path: tuple[Move, ...] = ()
    fault: Fault | None = None
    moved: int = 0  # bits of the flows that a token went along, somewhere


def after(net: Net, marking: int, node: int) -> int:
    """Return the marking that the end of an activity leaves, before its tokens go on."""
    return marking & ~(net.open_bit(node) | net.rivals[node])


def explore(net: Net, costs: Mapping[int, int], *, budget: int) -> Exploration:
    """Play a net in all ways.

    Parameters
    ----------
    net
        The net.
    costs
        What the end of an activity counts; 1 where it is not named. The fault that is reported is a cheapest one.
    budget
        How many settlings may be looked at.
    """
    return _Explorer(net, costs, budget).run()


class _Explorer:
    def __init__(self, net: Net, costs: Mapping[int, int], budget: int) -> None:
        self.net = net
        self.costs = costs
        self.budget = budget
        self.heap: list[tuple[int, int, int | None, Move, Fault | None]] = []
        self.best: dict[int, int] = {}
        self.before: dict[int, tuple[int | None, Move]] = {}
        self.edges: list[tuple[int, int]] = []
        self.order = 0
        self.moved = 0

    def run(self) -> Exploration:
        if not self.push(None, 0, None, (), settle_all(self.net, 0, None)):
            return Exploration(Outcome.BUDGET)
        done: set[int] = set()
        while self.heap:
            cost, _, origin, move, fault = heappop(self.heap)
            marking = move.marking
            if fault is not None:
                return Exploration(Outcome.FAULT, (*self.path(origin), move), fault)
            if marking in done:
                continue
            done.add(marking)
            if marking <= 0:
                continue
            nodes = list(self.net.open_nodes(marking))
            if not nodes:
                return Exploration(Outcome.DEADLOCK, self.path(marking))
            for node in nodes:
                rest = after(self.net, marking, node)
                more = cost + self.costs.get(node, 1)
                for flows in exits(self.net, node):
                    if not self.push(marking, more, node, flows, settle_all(self.net, rest, flows)):
                        return Exploration(Outcome.BUDGET)
        return self.verdict()

    def push(
        self,
        origin: int | None,
        cost: int,
        node: int | None,
        flows: tuple[int, ...],
        settlings: Iterator[Settled],
    ) -> bool:
        """Note what may come next; return whether the budget allows it."""
        for settled in settlings:
            self.budget -= 1
            if self.budget < 0:
                return False
            self.order += 1
            marking = _OVER if settled.terminated is not None else settled.marking
            move = Move(node, flows, tuple(settled.moved), marking)
            if settled.fault is not None:
                heappush(self.heap, (cost, self.order, origin, move, settled.fault))
                continue
            for flow in settled.moved:
                self.moved |= 1 << flow
            if origin is not None:
                self.edges.append((origin, marking))
            if marking not in self.best or cost < self.best[marking]:
                self.best[marking] = cost
                self.before[marking] = (origin, move)
                heappush(self.heap, (cost, self.order, origin, move, None))
        return True

    def path(self, marking: int | None) -> tuple[Move, ...]:
        """Return a cheapest way to a marking."""
        moves: list[Move] = []
        while marking is not None:
            marking, move = self.before[marking]
            moves.append(move)
        return tuple(reversed(moves))

    def verdict(self) -> Exploration:
        """Return the answer when all markings have been seen: whether each of them can still come to an end."""
        sources: dict[int, list[int]] = {}
        for origin, marking in self.edges:
            sources.setdefault(marking, []).append(origin)
        ending = {marking for marking in (0, _OVER) if marking in self.best}
        stack: list[int] = list(ending)
        while stack:
            for origin in sources.get(stack.pop(), ()):
                if origin not in ending:
                    ending.add(origin)
                    stack.append(origin)
        stuck = [marking for marking in self.best if marking not in ending]
        if stuck:
            first = min(stuck, key=lambda marking: self.best[marking])
            return Exploration(Outcome.NO_END, self.path(first))
        return Exploration(Outcome.SOUND, moved=self.moved)
