"""Traces: how a run comes to a fault, told in the nodes of the workflow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchkit.checks.blocks import Decision, plan
from orchkit.checks.exploration import Move, after
from orchkit.tokens import Fault, Net, Settled, alternatives, begin, exits, has_choice, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchkit.checks.folding import Core

__all__ = ["Replay", "replay", "texts"]


@dataclass(frozen=True, slots=True)
class Replay:
    """A path through a folded net, written out in the net itself.

    Attributes
    ----------
    moves
        One for each activity that ends, after one for the beginning.
    fault
        The fault that it ends with, if that is one of the tokens.
    """

    moves: tuple[Move, ...]
    fault: Fault | None


class _Player:
    """Plays the net with decisions that were made in advance."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.ahead: dict[int, deque[tuple[int, ...]]] = {}
        self.decided: dict[int, tuple[int, ...]] = {}
        self.moves: list[Move] = []
        self.marking = 0
        self.fault: Fault | None = None

    def plan(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            self.ahead.setdefault(decision.node, deque()).append(decision.flows)

    def choose(self, node: int, _: tuple[int, ...]) -> tuple[int, ...]:
        if node not in self.decided:
            ahead = self.ahead.get(node)
            self.decided[node] = ahead.popleft() if ahead else next(alternatives(self.net, node))
        return self.decided[node]

    def note(self, node: int | None, flows: tuple[int, ...], settled: Settled) -> None:
        self.decided = {}
        self.marking = settled.marking
        self.fault = settled.fault
        self.moves.append(Move(node, flows, tuple(settled.moved), settled.marking))

    def begin(self) -> None:
        self.note(None, (), begin(self.net, self.choose))

    def end_one_of(self, nodes: frozenset[int]) -> None:
        """Let one of these activities end: one whose outcome has been decided."""
        candidates = [node for node in self.net.open_nodes(self.marking) if node in nodes]
        node = next((node for node in candidates if self.ahead.get(node)), candidates[0])
        ahead = self.ahead.get(node)
        flows = ahead.popleft() if ahead else next(exits(self.net, node))
        self.note(node, flows, settle(self.net, after(self.net, self.marking, node), flows, self.choose))


def replay(core: Core, net: Net, path: Sequence[Move]) -> Replay:
    """Write a path through the core of a net out in the net."""
    player = _Player(net)
    for move in path:
        player.plan(_decisions(core, move))
        if move.node is None:
            player.begin()
            continue
        for _ in range(core.costs[move.node]):
            player.end_one_of(core.works[move.node])
            if player.fault is not None:
                break
    return Replay(tuple(player.moves), player.fault)


def _decisions(core: Core, move: Move) -> Iterable[Decision]:
    moved = tuple(dict.fromkeys(move.moved))
    heads: dict[int, list[int]] = {}
    for flow in moved:
        if flow in core.heads:
            head = core.heads[flow]
            heads.setdefault(head.node, []).extend(head.flows)
    for node, flows in heads.items():
        yield Decision(node, tuple(flows))
    for flow in moved:
        if flow in core.ways:
            block, timed = core.ways[flow]
            yield from plan(block, timed=timed)


def texts(net: Net, moves: Sequence[Move]) -> tuple[str, ...]:
    """Return a trace as texts: the starts, the activities in the order of their ends, and every decision.

    A decision, of a gateway or of an activity with several outcomes, is written ``node -> target``.
    """
    told: list[str] = []
    for move in moves:
        if move.node is None:
            told.extend(net.nodes[start].name for start in net.starts)
        else:
            told.append(_text(net, move.node, move.flows, always=False))
        told.extend(_text(net, node, flows, always=True) for node, flows in decisions(net, move))
    return tuple(told)


def decisions(net: Net, move: Move) -> list[tuple[int, tuple[int, ...]]]:
    """Return what gateways decided in a move, in order."""
    made: dict[int, dict[int, None]] = {}
    for flow in move.moved:
        node = net.source[flow]
        if has_choice(net, node):
            made.setdefault(node, {})[flow] = None
    return [(node, tuple(flows)) for node, flows in made.items()]


def _text(net: Net, node: int, flows: tuple[int, ...], *, always: bool) -> str:
    name = net.nodes[node].name
    outcomes = exits(net, node)
    if not always and (next(outcomes, None) is None or next(outcomes, None) is None):
        return name
    targets = ", ".join(net.flows[flow].target for flow in flows)
    return f"{name} -> {targets or 'nothing'}"
