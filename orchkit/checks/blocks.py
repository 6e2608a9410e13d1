"""What a reduced edge stands for: a block with one way in and one way out, and how a token gets through it.

A token may go through a block at once (gateways only), or take time in it. Which of the two is possible, and the least
number of completions that it takes when it takes time, is known of each block; so is a plan: the decisions of one way
through. Traces through a reduced graph are written out with these plans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NOTHING", "Block", "Decision", "Shape", "activities", "plan"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A node sends tokens along these flows: the choice of a gateway, or the outcome of an activity."""

    node: int
    flows: tuple[int, ...]


class Shape(Enum):
    """How a block is made of its parts."""

    NOTHING = auto()
    DECISION = auto()
    ACTIVITY = auto()
    SEQUENCE = auto()
    ALL = auto()
    ONE = auto()
    LOOP = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block.

    Attributes
    ----------
    shape
        How it is made of its parts. A loop's are its body and the way back.
    instant, timed
        Whether a token may go through at once; whether it may take time.
    cost
        Least number of completions on a way that takes time; infinite if there is none.
    first, second
        Its parts.
    decision
        Of a decision.
    nodes
        Of an activity: the node; behind an event gateway: the waits that compete.
    patient
        A token that goes through at once may have to wait in it until all else has settled: two tokens of one instant
        would meet in it.
    """

    shape: Shape
    instant: bool
    timed: bool
    cost: float
    first: Block | None = None
    second: Block | None = None
    decision: Decision | None = None
    nodes: tuple[int, ...] = ()
    patient: bool = False

    @property
    def parts(self) -> tuple[Block, Block]:
        """The two parts of a composed block."""
        if self.first is None or self.second is None:
            message = f"{self.shape} has no parts"
            raise AssertionError(message)
        return self.first, self.second


NOTHING = Block(Shape.NOTHING, instant=True, timed=False, cost=math.inf)


def decide(node: int, flows: tuple[int, ...]) -> Block:
    """Return the block in which a node sends tokens along these flows."""
    return Block(Shape.DECISION, instant=True, timed=False, cost=math.inf, decision=Decision(node, flows))


def work(*nodes: int) -> Block:
    """Return the block of an activity, or of competing waits."""
    return Block(Shape.ACTIVITY, instant=False, timed=True, cost=1, nodes=nodes)


def sequence(first: Block, second: Block) -> Block:
    """Return one block after another."""
    if first.shape is Shape.NOTHING:
        return second
    if second.shape is Shape.NOTHING:
        return first
    return _both(Shape.SEQUENCE, first, second)


def both(first: Block, second: Block) -> Block:
    """Return two blocks side by side, both of which a token goes through."""
    return _both(Shape.ALL, first, second)


def _both(shape: Shape, first: Block, second: Block) -> Block:
    cost = min(
        first.cost + (0 if second.instant else second.cost),
        second.cost + (0 if first.instant else first.cost),
    )
    instant, timed = first.instant and second.instant, first.timed or second.timed
    return Block(shape, instant, timed, cost, first, second, patient=first.patient or second.patient)


def either(first: Block, second: Block) -> Block:
    """Return two blocks side by side, one of which a token goes through."""
    instant, timed = first.instant or second.instant, first.timed or second.timed
    cost, patient = min(first.cost, second.cost), first.patient or second.patient
    return Block(Shape.ONE, instant, timed, cost, first, second, patient=patient)


def loop(body: Block, back: Block) -> Block | None:
    """Return the body, done once or more often, with the way back in between.

    None where a token could go round without taking time: that is a circle without end, not a block.
    """
    if body.instant and back.instant:
        return None
    cost = min(body.cost, back.cost if body.instant else math.inf)
    patient = body.patient or back.patient
    return Block(Shape.LOOP, body.instant, timed=True, cost=cost, first=body, second=back, patient=patient)


def joined(block: Block) -> Block:
    """Return a block with the inclusive join behind it, which decides when all else has settled."""
    return replace(block, patient=True) if block.instant else block


def activities(block: Block) -> Iterator[int]:
    """Yield the activities in a block."""
    stack = [block]
    while stack:
        top = stack.pop()
        yield from top.nodes
        stack.extend(part for part in (top.second, top.first) if part is not None)


def plan(block: Block, *, timed: bool) -> Iterator[Decision]:
    """Yield the decisions on a cheapest way through a block, in the order of each node's visits.

    Parameters
    ----------
    block
        The block.
    timed
        Whether the way takes time.
    """
    stack = [(block, timed)]
    while stack:
        top, slow = stack.pop()
        match top.shape:
            case Shape.DECISION if top.decision is not None:
                yield top.decision
            case Shape.SEQUENCE | Shape.ALL:
                one, two = _speeds(*top.parts, timed=slow)
                stack.extend(((top.parts[1], two), (top.parts[0], one)))
            case Shape.ONE:
                stack.append((_cheaper(*top.parts, timed=slow), slow))
            case Shape.LOOP:
                body, back = top.parts
                if slow and body.cost > back.cost and body.instant:
                    stack.extend(((body, False), (back, True), (body, False)))
                else:
                    stack.append((body, slow))
            case _:
                continue


def _speeds(first: Block, second: Block, *, timed: bool) -> tuple[bool, bool]:
    """Return which of two blocks, both gone through, take time on the cheapest way."""
    if not timed:
        return False, False
    by_first = first.cost + (0 if second.instant else second.cost)
    by_second = second.cost + (0 if first.instant else first.cost)
    if by_first <= by_second:
        return True, not second.instant
    return not first.instant, True


def _cheaper(first: Block, second: Block, *, timed: bool) -> Block:
    if timed:
        return first if first.cost <= second.cost else second
    return first if first.instant else second
