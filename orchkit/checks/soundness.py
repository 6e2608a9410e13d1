"""Soundness: whether every run can come to an end, whatever its splits decide.

A graph is sound when from all that it can reach an end can still be reached, no token is left behind, no flow ever
holds two tokens, and every node can begin (van der Aalst, 1997, with several ends that each take tokens). It is judged
with the machine's own token game. An error that nothing catches fails the run: that is no fault of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orchkit.checks.blame import Blame, of_deadlock, of_fault, of_no_end
from orchkit.checks.exploration import Exploration, Move, Outcome, explore
from orchkit.checks.folding import Core, core_of, graph_of
from orchkit.checks.traces import replay, texts
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Scope
from orchkit.tokens import Fault, Net, net_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchkit.model.nodes import Flow, Node

__all__ = ["BUDGET", "Soundness", "Verdict", "soundness", "soundness_of_graph"]

BUDGET = 100_000


class Verdict(StrEnum):
    """The answer."""

    SOUND = "sound"
    UNSOUND = "unsound"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Soundness:
    """Whether a workflow is sound, and if not, why. True if it is sound.

    Attributes
    ----------
    verdict
        Sound, unsound or undecided.
    reason
        Why it is not sound.
    trace
        The shortest run to the fault: starts, activities in the order of their ends, decisions as
        ``node -> target``.
    split, join
        The nodes to blame, if there are any.
    node
        Where the fault shows.
    scope
        The scope whose graph has the fault; None for the workflow's own graph.
    """

    verdict: Verdict
    reason: str = ""
    trace: tuple[str, ...] = ()
    split: str | None = None
    join: str | None = None
    node: str | None = None
    scope: str | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.SOUND

    def __str__(self) -> str:
        if self.verdict is Verdict.SOUND:
            return "sound"
        way = f" Trace: {', '.join(self.trace)}." if self.trace else ""
        return f"{self.verdict}: {self.reason}{way}"


def soundness(workflow: Workflow, *, budget: int = BUDGET) -> Soundness:
    """Return whether a workflow and the scopes in it are sound: the first answer that is not, unsound before undecided.

    Parameters
    ----------
    workflow
        The workflow.
    budget
        How many states of the tokens may be looked at, for each graph that does not consist of blocks.

    Examples
    --------
    >>> from orchkit.model.nodes import End, Flow, Gateway, GatewayKind, Start, Task
    >>> either = Gateway(name="either", kind=GatewayKind.EXCLUSIVE)
    >>> both = Gateway(name="both", kind=GatewayKind.PARALLEL)
    >>> nodes = (Start(name="start"), either, Task(name="pack"), Task(name="bill"), both, End(name="end"))
    >>> flows = ["start either", "either pack", "either bill", "pack both", "bill both", "both end"]
    >>> answer = soundness(Workflow("order", nodes, tuple(Flow(*flow.split()) for flow in flows)))
    >>> answer.verdict.value, answer.split, answer.join, answer.trace
    ('unsound', 'either', 'both', ('start', 'either -> pack', 'pack'))
    """
    found = [answer for answer in _answers(workflow, budget) if not answer]
    found.sort(key=lambda answer: answer.verdict is not Verdict.UNSOUND)
    return found[0] if found else Soundness(Verdict.SOUND)


def _answers(workflow: Workflow, budget: int) -> Iterator[Soundness]:
    yield soundness_of_graph(workflow.nodes, workflow.flows, budget=budget)
    for node in all_nodes(workflow):
        if isinstance(node, Scope):
            yield soundness_of_graph(node.nodes, node.flows, scope=node.name, budget=budget)


def soundness_of_graph(
    nodes: tuple[Node, ...],
    flows: tuple[Flow, ...],
    *,
    scope: str | None = None,
    budget: int = BUDGET,
) -> Soundness:
    """Return whether one graph is sound; the scopes in it count as activities."""
    if not nodes:
        return Soundness(Verdict.SOUND, scope=scope)
    net = net_of(nodes, flows)
    if not net.starts:
        return Soundness(Verdict.UNSOUND, "Nothing begins: the graph has no start.", node=nodes[0].name, scope=scope)
    lost = _unreached(net, frozenset())
    graph = graph_of(net, exact=False) if not lost else None
    if graph is not None and graph.fold().is_proven():
        return Soundness(Verdict.SOUND, scope=scope)
    return _explored(net, scope, budget)


def _explored(net: Net, scope: str | None, budget: int) -> Soundness:
    graph = graph_of(net, exact=True)
    core = core_of(graph.fold()) if graph is not None else None
    found = explore(core.net, core.costs, budget=budget) if core is not None else explore(net, {}, budget=budget)
    if found.outcome is Outcome.BUDGET:
        reason = f"The graph does not consist of blocks, and more than {budget:,} states of its tokens are possible."
        return Soundness(Verdict.UNDECIDED, reason, scope=scope)
    if found.outcome is Outcome.SOUND:
        return _alive(net, core, found, scope)
    path, fault = found.path, found.fault
    if core is not None:
        played = replay(core, net, path)
        path, fault = played.moves, played.fault
    blame = _blame(net, found.outcome, path, fault)
    return Soundness(
        Verdict.UNSOUND,
        blame.reason,
        texts(net, path),
        None if blame.split is None else net.nodes[blame.split].name,
        None if blame.join is None else net.nodes[blame.join].name,
        net.nodes[blame.node].name,
        scope,
    )


def _blame(net: Net, outcome: Outcome, path: tuple[Move, ...], fault: Fault | None) -> Blame:
    if outcome is Outcome.FAULT and fault is not None:
        return of_fault(net, path, fault)
    if outcome is Outcome.DEADLOCK:
        return of_deadlock(net, path)
    return of_no_end(net, path)


def _alive(net: Net, core: Core | None, found: Exploration, scope: str | None) -> Soundness:
    """Return unsound where a node can never begin, though every run comes to an end."""
    if core is None:
        idle = frozenset(flow for flow in range(len(net.flows)) if not found.moved >> flow & 1)
    else:
        waiting = (join for join in core.joins if not any(found.moved >> flow & 1 for flow in core.net.outgoing[join]))
        idle = frozenset(flow for join in waiting for flow in net.outgoing[core.joins[join]])
    dead = _unreached(net, idle)
    if not dead:
        return Soundness(Verdict.SOUND, scope=scope)
    names = ", ".join(repr(net.nodes[node].name) for node in dead)
    return Soundness(Verdict.UNSOUND, f"Can never begin: {names}.", node=net.nodes[dead[0]].name, scope=scope)


def _unreached(net: Net, idle: frozenset[int]) -> list[int]:
    """Return the nodes that no way leads to without these flows."""
    seen: set[int] = set()
    stack = list(net.starts)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            flows = (*net.outgoing[node], *net.on_error[node], *net.on_timeout[node])
            stack.extend(net.target[flow] for flow in flows if flow not in idle)
    return [number for number in range(len(net.nodes)) if number not in seen]
