"""Graphs: nodes and flows as rows of integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from orchkit.errors import ScenarioError
from orchkit.model.definition import Workflow
from orchkit.model.nodes import (
    Activity,
    Call,
    End,
    ForEach,
    Gateway,
    GatewayKind,
    Saga,
    Scope,
    Start,
    Task,
    Wait,
    While,
)
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.lowering.numbers import Numbers
from orchkit.simulation.lowering.work import Work, micros
from orchkit.simulation.scenario import Scenario
from orchkit.tokens import has_choice, net_of
from orchkit.turn import program_of

if TYPE_CHECKING:
    from orchkit.tokens import Net

__all__ = ["Graphs", "Pending"]

_GATEWAYS = {
    GatewayKind.EXCLUSIVE: at.XOR,
    GatewayKind.PARALLEL: at.AND,
    GatewayKind.INCLUSIVE: at.OR,
    GatewayKind.EVENT: at.EVENT,
}
_MOST_WAYS = 62


class Name(NamedTuple):
    """What a node is called in the log: its name, its role, and the node that it undoes."""

    name: str
    role: str | None = None
    undoes: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An expression that is translated when all else has been lowered: only then all types of errors are known.

    Attributes
    ----------
    node, text
        Whose expression.
    row, place
        Where its code is noted.
    size, of_error
        Whether the number of items is wanted; whether it may read ``error``.
    otherwise
        What the scenario could say instead; empty where it need not say anything.
    """

    node: str
    text: str
    row: list[int]
    place: int
    size: bool = False
    of_error: bool = False
    otherwise: str = ""


@dataclass(slots=True)
class Graphs:
    """The rows of all graphs of a workflow and of those that it calls.

    Attributes
    ----------
    names
        Of each node.
    lists
        Lists of nodes and flows that the rows refer to.
    called
        The graph of each workflow, by digest.
    places
        The number of each graph and of its first flow, by digest of the workflow and name of the scope.
    """

    scenario: Scenario
    numbers: Numbers
    work: Work
    nodes: list[list[int]] = field(default_factory=list)
    names: list[Name] = field(default_factory=list)
    flows: list[list[int]] = field(default_factory=list)
    graphs: list[list[int]] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)
    called: dict[str, int] = field(default_factory=dict)
    places: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)

    def lower_workflow(self, workflow: Workflow) -> int:
        """Return the number of a workflow's graph; it is lowered once, however often it is called."""
        if workflow.digest in self.called:
            return self.called[workflow.digest]
        number = self.called[workflow.digest] = len(self.graphs)
        self._lower_graph(workflow, net_of(workflow.nodes, workflow.flows), "", is_saga=False)
        return number

    def _lower_graph(self, workflow: Workflow, net: Net, scope: str, *, is_saga: bool) -> int:
        number = len(self.graphs)
        graph = [0] * at.G_WIDTH
        self.graphs.append(graph)
        first = len(self.nodes)
        for node in net.nodes:
            self.nodes.append(_blank(number))
            self.names.append(Name(node.name, node.role if isinstance(node, Task) else None))
        base = len(self.flows)
        self.places[workflow.digest, scope] = number, base
        held: list[int] = []
        for flow in range(len(net.flows)):
            condition = -1 if net.flows[flow].condition is None else 1
            self.flows.append([first + net.target[flow], -1, 0, condition, -1])
        joins = []
        for position, node in enumerate(net.nodes):
            row = self.nodes[first + position]
            row[at.N_IN_COUNT] = len(net.incoming[position])
            is_join = isinstance(node, Gateway) and node.kind in (GatewayKind.PARALLEL, GatewayKind.INCLUSIVE)
            if is_join and len(net.incoming[position]) > 1:
                row[at.N_HELD] = len(held)
                for flow in net.incoming[position]:
                    self.flows[base + flow][at.F_HELD] = len(held)
                    held.append(first + position)
            if position in net.joins:
                joins.append(first + position)
                row[at.N_REACH] = len(self.lists)
                self.lists += [_local(reach, net.incoming[position]) for reach in net.joins[position]]
        starts = []
        for start in net.starts:
            starts.append(len(self.flows))
            self.flows.append([first + start, -1, 0, -1, -1])
        graph[at.G_STARTS], graph[at.G_START_COUNT] = self._listed(starts), len(starts)
        graph[at.G_FIRST], graph[at.G_SAGA] = first, int(is_saga)
        graph[at.G_OR_JOINS], graph[at.G_OR_COUNT] = self._listed([*joins, *held]), len(joins)
        graph[at.G_HELD_COUNT] = len(held)
        for position in range(len(net.nodes)):
            self._lower_node(workflow, net, position, first, base)
        return number

    def _lower_node(self, workflow: Workflow, net: Net, position: int, first: int, base: int) -> None:
        node, row = net.nodes[position], self.nodes[first + position]
        outgoing = net.outgoing[position]
        if len(outgoing) > _MOST_WAYS or len(net.incoming[position]) > _MOST_WAYS:
            message = f"{node.name!r} has more than {_MOST_WAYS} flows on one side; split it into two nodes."
            raise ScenarioError(message, node=node.name)
        row[at.N_OUT], row[at.N_OUT_COUNT] = self._listed(base + flow for flow in outgoing), len(outgoing)
        match node:
            case Start():
                row[at.N_KIND] = at.START
            case End():
                row[at.N_KIND] = at.END
                row[at.N_END] = 1 if node.terminate else 2 if node.error is not None else 0
            case Gateway():
                row[at.N_KIND] = _GATEWAYS[node.kind]
                if has_choice(net, position):
                    exclusive = node.kind is GatewayKind.EXCLUSIVE
                    row[at.N_CHOICE] = self._choice(net, node.name, outgoing, base, exclusive=exclusive)
            case _:
                self._lower_activity(workflow, net, position, first, base)

    def _lower_activity(self, workflow: Workflow, net: Net, position: int, first: int, base: int) -> None:
        node, row = net.nodes[position], self.nodes[first + position]
        assert isinstance(node, Activity)  # noqa: S101 -- all other kinds have been dealt with
        outgoing = net.outgoing[position]
        optional = [flow for flow in outgoing if net.flows[flow].condition is not None]
        if optional:
            row[at.N_CHOICE] = self._choice(net, node.name, outgoing, base, exclusive=False)
        errors = net.on_error[position]
        row[at.N_ERROR], row[at.N_ERROR_COUNT] = self._listed(base + flow for flow in errors), len(errors)
        if any(net.flows[flow].condition is not None for flow in errors):
            row[at.N_ERROR_CHOICE] = self._choice(net, node.name, errors, base, exclusive=True, of_error=True)
        if net.on_timeout[position]:
            row[at.N_ON_TIMEOUT] = base + net.on_timeout[position][0]
        rivals = [first + rival - len(net.flows) for rival in _bits(net.rivals[position])]
        row[at.N_RIVALS], row[at.N_RIVAL_COUNT] = self._listed(rivals), len(rivals)
        row[at.N_TIMEOUT] = micros(node.timeout_s)
        row[at.N_FALLBACK] = int(node.fallback is not None)
        if node.compensate is not None:
            row[at.N_UNDO] = -2
            if isinstance(node.compensate, Task):
                row[at.N_UNDO] = len(self.nodes)
                self.nodes.append(_blank(-1))
                self.names.append(Name(node.compensate.name, node.compensate.role, node.name))
                self.work.lower_task(workflow, node.compensate, self.nodes[-1])
        match node:
            case Task():
                self.work.lower_task(workflow, node, row)
            case Wait():
                self.work.lower_wait(node, row)
            case Call():
                row[at.N_KIND] = at.CALL
                called = workflow.called(node.workflow)
                if called is None:
                    message = f"call {node.name!r}: there is no workflow {node.workflow!r} to simulate."
                    raise ScenarioError(message, node=node.name)
                row[at.N_INNER] = self.lower_workflow(called)
            case Scope():
                self._lower_scope(workflow, node, row)

    def _lower_scope(self, workflow: Workflow, scope: Scope, row: list[int]) -> None:
        kinds = {ForEach: at.FOREACH, While: at.WHILE, Saga: at.SAGA}
        row[at.N_KIND] = kinds.get(type(scope), at.SCOPE)
        if isinstance(scope, ForEach | While):
            self._lower_loop(workflow, scope, row)
        net = net_of(scope.nodes, scope.flows)
        row[at.N_INNER] = self._lower_graph(workflow, net, scope.name, is_saga=isinstance(scope, Saga))

    def _lower_loop(self, workflow: Workflow, scope: ForEach | While, row: list[int]) -> None:
        loop, name = self.scenario.loops.get(scope.name), scope.name
        row[at.N_CONCURRENCY] = scope.max_iterations if isinstance(scope, While) else max(1, scope.concurrency)
        if loop is not None and loop.items is not None:
            row[at.N_ITERATIONS] = self.numbers.distribution(loop.items, f"loops: {name}")
        elif isinstance(scope, While):
            if loop is None or loop.repeat is None:
                message = f"{name!r}: how many iterations? Add it to the scenario: loops={{{name!r}: 3}}."
                raise ScenarioError(message, node=name)
            row[at.N_REPEAT] = self.numbers.number(loop.repeat)
        else:
            otherwise = f"how many items are there: loops={{{name!r}: 3}}"
            self.pending.append(Pending(name, scope.items, row, at.N_ITEMS_CODE, size=True, otherwise=otherwise))
        if isinstance(scope, While):
            return
        row[at.N_TOLERATED] = _tolerated(scope)
        row[at.N_EXIT_AFTER] = int(name in program_of(workflow).exits_after)
        for text, what, share, code in (
            (scope.continue_when, "skip", at.N_SKIP, at.N_SKIP_CODE),
            (scope.exit_when, "exit", at.N_EXIT, at.N_EXIT_CODE),
        ):
            if text is None:
                continue
            given = 0.0 if loop is None else float(getattr(loop, what))
            row[share] = self.numbers.number(given)
            if not given:
                otherwise = "" if loop is not None else f"how often: loops={{{name!r}: ok.Loop({what}=0.1)}}"
                self.pending.append(Pending(name, text, row, code, otherwise=otherwise))

    def _choice(
        self, net: Net, name: str, flows: Sequence[int], base: int, *, exclusive: bool, of_error: bool = False
    ) -> int:
        """Return how a choice is made: by shares where the scenario has them, else by the conditions of its flows."""
        given = self.scenario.branching.get(name)
        targets = dict.fromkeys(net.flows[flow].target for flow in flows)
        if not exclusive:
            targets = dict.fromkeys(net.flows[flow].target for flow in flows if net.flows[flow].condition is not None)
        conditional = [flow for flow in flows if net.flows[flow].condition is not None]
        example = ", ".join(f"{target!r}: {1 / len(targets):.2g}" for target in targets)
        if given is not None and (not of_error or given.keys() & targets.keys()):
            self._shares(net, name, flows, base, exclusive=exclusive)
            return at.BY_SHARES
        if not conditional:
            message = f"{name!r}: which way do cases go? Add it to the scenario: branching={{{name!r}: {{{example}}}}}."
            raise ScenarioError(message, node=name)
        for flow in conditional:
            text = net.flows[flow].condition or ""
            otherwise = f"which way do cases go: branching={{{name!r}: {{{example}}}}}"
            row = self.flows[base + flow]
            self.pending.append(Pending(name, text, row, at.F_SHARE, of_error=of_error, otherwise=otherwise))
        return at.BY_CONDITIONS

    def _shares(self, net: Net, name: str, flows: Sequence[int], base: int, *, exclusive: bool) -> None:
        """Give the flows of a choice their probabilities."""
        targets = [net.flows[flow].target for flow in flows]
        given = self.scenario.branching[name]
        wanted = (
            list(dict.fromkeys(targets))
            if exclusive
            else [t for t, f in zip(targets, flows, strict=True) if net.flows[f].condition]
        )
        example = ", ".join(f"{target!r}: {1 / len(wanted):.2g}" for target in wanted)
        found = [given.get(target) for target in targets]
        if exclusive:
            # Several flows may lead to one target; its share is that of all of them, and the first one takes it.
            missing = [target for target in wanted if given.get(target) is None]
            total = sum(share for target, share in given.items() if target in wanted)
            if len(missing) == 1:
                found[targets.index(missing[0])] = 1 - total
            elif abs(total - 1) > 1e-6:  # noqa: PLR2004 -- as much as ten rounded shares may be off
                message = f"branching: {name}: the probabilities sum to {total:g}, not to 1: {example} would."
                raise ScenarioError(message, node=name)
            if total > 1 + 1e-6:
                message = f"branching: {name}: the probabilities sum to {total:g}, not to 1."
                raise ScenarioError(message, node=name)
        elif any(given.get(target) is None for target in wanted):
            message = f"branching: {name}: each flow with a condition needs its probability: {{{example}}}."
            raise ScenarioError(message, node=name)
        seen: set[str] = set()
        for flow, target, share in zip(flows, targets, found, strict=True):
            value = share if share is not None and not (exclusive and target in seen) else 0.0
            seen.add(target)
            self.flows[base + flow][at.F_SHARE] = self.numbers.number(value)

    def _listed(self, values: Iterable[int]) -> int:
        begin = len(self.lists)
        self.lists += values
        return begin


def _blank(graph: int) -> list[int]:
    row = [0] * at.N_WIDTH
    row[at.N_GRAPH] = graph
    unset = (
        at.N_ON_TIMEOUT,
        at.N_INNER,
        at.N_TIMEOUT,
        at.N_DEADLINE,
        at.N_UNDO,
        at.N_WORK,
        at.N_POOL,
        at.N_ITERATIONS,
        at.N_REPEAT,
        at.N_SKIP,
        at.N_EXIT,
        at.N_HELD,
        at.N_PRIORITY,
        at.N_PATIENCE,
        at.N_SETUP,
        at.N_NEVER,
        at.N_FAILS,
        at.N_ITEMS_CODE,
        at.N_SKIP_CODE,
        at.N_EXIT_CODE,
        at.N_DELAY,
    )
    for place in unset:
        row[place] = -1
    return row


def _tolerated(scope: ForEach) -> int:
    """Return a count; a share as a negative number of millionths, less one."""
    allowed = scope.tolerated_failures
    if not isinstance(allowed, str):
        return allowed
    try:
        return -1 - round(float(allowed.strip().rstrip("%")) * 10_000)
    except ValueError:
        message = f"for_each {scope.name!r}: tolerated_failures is a count or a share such as '10%', not {allowed!r}."
        raise ScenarioError(message, node=scope.name) from None


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _local(mask: int, flows: Sequence[int]) -> int:
    return sum(1 << position for position, flow in enumerate(flows) if mask >> flow & 1)
