"""Lowering: a workflow and a scenario as the program of the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from orchkit.errors import ScenarioError, nearest
from orchkit.model.definition import Workflow, all_nodes
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
    WaitKind,
    While,
)
from orchkit.model.states import ErrorClass
from orchkit.simulation.distributions import Distribution, constant, exponential
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.kernel.draws import FAMILY_CODES
from orchkit.simulation.scenario import ArrivalTimes, Profile, Resource, Scenario
from orchkit.tokens import has_choice, net_of
from orchkit.turn import program_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.simulation.calendars import Calendar
    from orchkit.tokens import Net

__all__ = ["Lowered", "lower"]

_CLASSES = {
    ErrorClass.TRANSIENT: at.TRANSIENT,
    ErrorClass.PERMANENT: at.PERMANENT,
    ErrorClass.PARTIAL: at.PARTIAL,
    ErrorClass.TIMEOUT: at.TIMED_OUT,
}
_GATEWAYS = {
    GatewayKind.EXCLUSIVE: at.XOR,
    GatewayKind.PARALLEL: at.AND,
    GatewayKind.INCLUSIVE: at.OR,
    GatewayKind.EVENT: at.EVENT,
}
_MOST_WAYS = 62
_DISCIPLINES = ("fifo", "lifo", "priority", "preemptive", "shortest")


@dataclass(slots=True)
class Lowered:
    """A program, and the names of what it numbers.

    Attributes
    ----------
    program, numbers
        The kernel's ``p`` and ``d``.
    nodes
        Name and role of each node.
    units
        Role and name of each resource.
    pools
        Role, resource and number of its first unit.
    attributes
        Name and distribution of each attribute.
    """

    program: NDArray[np.int64]
    numbers: NDArray[np.float64]
    nodes: list[tuple[str, str | None]]
    types: list[str]
    units: list[tuple[str, str]]
    pools: list[tuple[str, Resource, int]]
    unit_calendars: list[int]
    attributes: dict[str, int]
    texts: list[str]
    node_pools: NDArray[np.int64]


def lower(workflow: Workflow, scenario: Scenario) -> Lowered:
    """Return the program of a workflow under a scenario.

    Raises
    ------
    ScenarioError
        The scenario names what is not in the workflow, or does not say what the simulation needs to know.
    """
    return _Lowering(workflow, scenario).lower()


@dataclass(slots=True)
class _Lowering:
    workflow: Workflow
    scenario: Scenario
    nodes: list[list[int]] = field(default_factory=list)
    names: list[tuple[str, str | None]] = field(default_factory=list)
    flows: list[list[int]] = field(default_factory=list)
    graphs: list[list[int]] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)
    failures: list[list[int]] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    distributions: list[list[float]] = field(default_factory=list)
    known: dict[object, int] = field(default_factory=dict)
    attributes: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=lambda: list(at.TYPE_NAMES))
    units: list[tuple[str, str]] = field(default_factory=list)
    pools: list[tuple[str, Resource, int]] = field(default_factory=list)
    unit_calendars: list[int] = field(default_factory=list)
    calendars: list[Calendar] = field(default_factory=list)
    called: dict[str, int] = field(default_factory=dict)

    def lower(self) -> Lowered:
        self.check_names()
        for name, distribution in self.scenario.attributes.items():
            self.attributes[name] = self.distribution(distribution, f"attributes: {name}")
        self.lower_resources()
        self.lower_workflow(self.workflow)
        return self.put_together()

    # What the scenario names -----------------------------------------------------

    def all_workflows(self) -> list[Workflow]:
        found: dict[str, Workflow] = {}
        waiting = [self.workflow]
        while waiting:
            one = waiting.pop()
            if one.digest not in found:
                found[one.digest] = one
                waiting += one.workflows
        return list(found.values())

    def check_names(self) -> None:
        nodes = {node.name: node for one in self.all_workflows() for node in all_nodes(one)}
        wanted: dict[str, type | tuple[type, ...]] = {
            "durations": (Task, Wait),
            "failures": Task,
            "patience": Task,
            "batches": Task,
            "setups": Task,
            "priorities": Task,
            "requires": Task,
            "waits": Wait,
            "loops": (ForEach, While),
            "branching": (Gateway, Activity),
        }
        for part, kinds in wanted.items():
            fitting = [name for name, node in nodes.items() if isinstance(node, kinds)]
            for name in getattr(self.scenario, part):
                if name not in fitting:
                    what = "no node" if name not in nodes else "another kind of node, not one that this is for"
                    message = f"{part}: {name!r} is {what} of {self.workflow.name!r}.{nearest(name, fitting)}"
                    raise ScenarioError(message, node=name)
        roles = {node.role for node in nodes.values() if isinstance(node, Task) and node.role is not None}
        for role in self.scenario.resources:
            if role not in roles:
                hint = nearest(role, roles) or f" Roles of its tasks: {', '.join(sorted(roles)) or 'none'}."
                message = f"resources: no task of {self.workflow.name!r} has the role {role!r}.{hint}"
                raise ScenarioError(message)
        for part in ("batches", "requires"):
            if getattr(self.scenario, part):
                message = f"{part}: this version does not simulate them yet; leave {part} out."
                raise ScenarioError(message)

    # Distributions ---------------------------------------------------------------

    def number(self, value: float) -> int:
        self.numbers.append(float(value))
        return len(self.numbers) - 1

    def value(self, value: object) -> float:
        """Return a value of an attribute as a number; text by its code."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value)
        if text not in self.texts:
            self.texts.append(text)
        return float(self.texts.index(text)) + 0.5  # no number that an analyst would write

    def distribution(self, d: Distribution, where: str) -> int:
        """Return the number of a distribution."""
        key = (d.family, d.parameters, d.values, d.weights)
        if not d.parts and d.otherwise is None and key in self.known:
            return self.known[key]
        row = [float(FAMILY_CODES[d.family]), *d.parameters]
        if d.family in ("empirical", "categorical"):
            values = [self.value(value) for value in d.values]
            row += [float(len(self.numbers)), float(len(values))]
            self.numbers += values
            self.numbers += [float(share) for share in np.cumsum(d.weights)]
        elif d.family in ("by_attribute", "by_resource"):
            row += self.composed(d, where)
        number = len(self.distributions)
        self.distributions.append(row + [0.0] * (at.D_WIDTH - len(row)))
        if not d.parts and d.otherwise is None:
            self.known[key] = number
        return number

    def composed(self, d: Distribution, where: str) -> list[float]:
        attribute = 0
        if d.family == "by_attribute":
            if d.of not in self.attributes:
                hint = nearest(d.of, self.attributes)
                message = f"{where}: there is no attribute {d.of!r}.{hint} Add it to the scenario's attributes."
                raise ScenarioError(message)
            attribute = self.attributes[d.of]
            keys = [self.value(key) for key in d.parts]
        else:
            units = {name: number for number, (_, name) in enumerate(self.units)}
            for key in d.parts:
                if key not in units:
                    message = f"{where}: there is no resource {key!r}.{nearest(str(key), units)}"
                    raise ScenarioError(message)
            keys = [float(units[str(key)]) for key in d.parts]
        other = d.otherwise or next(iter(d.parts.values()))
        parts = [self.distribution(part, where) for part in d.parts.values()]
        first = len(self.numbers)
        for key, part in zip(keys, parts, strict=True):
            self.numbers += [key, float(part)]
        return [float(first), float(len(keys)), float(attribute), float(self.distribution(other, where))]

    # Resources -------------------------------------------------------------------

    def lower_resources(self) -> None:
        for role, resource in self.scenario.resources.items():
            self.pools.append((role, resource, len(self.units)))
            members = resource.members or {f"{role}_{number + 1}": None for number in range(resource.count)}
            for name, own in members.items():
                self.units.append((role, str(name)))
                self.unit_calendars.append(self.calendar(own or resource.calendar))

    def calendar(self, calendar: Calendar | None) -> int:
        if calendar is None:
            return -1
        for number, known in enumerate(self.calendars):
            if known == calendar:
                return number
        self.calendars.append(calendar)
        return len(self.calendars) - 1

    # Graphs ----------------------------------------------------------------------

    def lower_workflow(self, workflow: Workflow) -> int:
        if workflow.digest in self.called:
            return self.called[workflow.digest]
        number = self.called[workflow.digest] = len(self.graphs)
        self.lower_graph(workflow, net_of(workflow.nodes, workflow.flows), is_saga=False)
        return number

    def lower_graph(self, workflow: Workflow, net: Net, *, is_saga: bool) -> int:
        number = len(self.graphs)
        graph = [0] * at.G_WIDTH
        self.graphs.append(graph)
        first = len(self.nodes)
        for node in net.nodes:
            self.nodes.append(_blank(number))
            self.names.append((node.name, node.role if isinstance(node, Task) else None))
        base = len(self.flows)
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
        graph[at.G_STARTS], graph[at.G_START_COUNT] = self.listed(starts), len(starts)
        graph[at.G_FIRST], graph[at.G_SAGA] = first, int(is_saga)
        graph[at.G_OR_JOINS], graph[at.G_OR_COUNT] = self.listed([*joins, *held]), len(joins)
        graph[at.G_HELD_COUNT] = len(held)
        for position in range(len(net.nodes)):
            self.lower_node(workflow, net, position, first, base)
        return number

    def listed(self, values: Iterable[int]) -> int:
        begin = len(self.lists)
        self.lists += values
        return begin

    def lower_node(self, workflow: Workflow, net: Net, position: int, first: int, base: int) -> None:
        node, row = net.nodes[position], self.nodes[first + position]
        outgoing = net.outgoing[position]
        if len(outgoing) > _MOST_WAYS or len(net.incoming[position]) > _MOST_WAYS:
            message = f"{node.name!r} has more than {_MOST_WAYS} flows on one side; split it into two nodes."
            raise ScenarioError(message, node=node.name)
        row[at.N_OUT], row[at.N_OUT_COUNT] = self.listed(base + flow for flow in outgoing), len(outgoing)
        match node:
            case Start():
                row[at.N_KIND] = at.START
            case End():
                row[at.N_KIND] = at.END
                row[at.N_END] = 1 if node.terminate else 2 if node.error is not None else 0
            case Gateway():
                row[at.N_KIND] = _GATEWAYS[node.kind]
                if has_choice(net, position):
                    row[at.N_CHOICE] = 1
                    self.shares(net, node.name, outgoing, base, exclusive=node.kind is GatewayKind.EXCLUSIVE)
            case _:
                self.lower_activity(workflow, net, position, first, base)

    def lower_activity(self, workflow: Workflow, net: Net, position: int, first: int, base: int) -> None:
        node, row = net.nodes[position], self.nodes[first + position]
        assert isinstance(node, Activity)  # noqa: S101 -- all other kinds have been dealt with
        outgoing = net.outgoing[position]
        optional = [flow for flow in outgoing if net.flows[flow].condition is not None]
        if optional:
            row[at.N_CHOICE] = 1
            self.shares(net, node.name, outgoing, base, exclusive=False)
        errors = net.on_error[position]
        row[at.N_ERROR], row[at.N_ERROR_COUNT] = self.listed(base + flow for flow in errors), len(errors)
        if any(net.flows[flow].condition is not None for flow in errors):
            row[at.N_ERROR_CHOICE] = 1
            self.shares(net, node.name, errors, base, exclusive=True)
        if net.on_timeout[position]:
            row[at.N_ON_TIMEOUT] = base + net.on_timeout[position][0]
        rivals = [first + rival - len(net.flows) for rival in _bits(net.rivals[position])]
        row[at.N_RIVALS], row[at.N_RIVAL_COUNT] = self.listed(rivals), len(rivals)
        row[at.N_TIMEOUT] = _micros(node.timeout_s)
        row[at.N_FALLBACK] = int(node.fallback is not None)
        if node.compensate is not None:
            row[at.N_UNDO] = -2
            if isinstance(node.compensate, Task):
                row[at.N_UNDO] = len(self.nodes)
                self.nodes.append(_blank(-1))
                self.names.append((node.compensate.name, node.compensate.role))
                self.lower_task(workflow, node.compensate, self.nodes[-1])
        match node:
            case Task():
                self.lower_task(workflow, node, row)
            case Wait():
                self.lower_wait(node, row)
            case Call():
                row[at.N_KIND] = at.CALL
                called = workflow.called(node.workflow)
                if called is None:
                    message = f"call {node.name!r}: there is no workflow {node.workflow!r} to simulate."
                    raise ScenarioError(message, node=node.name)
                row[at.N_INNER] = self.lower_workflow(called)
            case Scope():
                self.lower_scope(workflow, node, row)

    def lower_task(self, workflow: Workflow, task: Task, row: list[int]) -> None:
        row[at.N_KIND] = at.TASK
        row[at.N_TIMEOUT], row[at.N_DEADLINE] = _micros(task.timeout_s), _micros(task.deadline_s)
        policy = task.retry or workflow.retry
        row[at.N_ATTEMPTS] = policy.max_attempts
        row[at.N_RETRY] = len(self.numbers)
        self.numbers += [float(policy.initial_delay), float(policy.max_delay), policy.multiplier, policy.jitter]  # type: ignore[arg-type]
        work = self.scenario.durations.get(task.name)
        if work is None:
            message = (
                f"task {task.name!r} has no duration. Add it to the scenario: "
                f"durations={{{task.name!r}: ok.exponential('5 min')}}, or '0s' where it takes no time."
            )
            raise ScenarioError(message, node=task.name)
        row[at.N_WORK] = self.distribution(work, f"durations: {task.name}")
        row[at.N_POOL] = next((n for n, (role, _, _) in enumerate(self.pools) if role == task.role), -1)
        for part, position in (("patience", at.N_PATIENCE), ("setups", at.N_SETUP), ("priorities", at.N_PRIORITY)):
            value = getattr(self.scenario, part).get(task.name)
            if value is not None:
                row[position] = self.distribution(value, f"{part}: {task.name}")
        ways = self.scenario.failures.get(task.name, ())
        row[at.N_FAILURES], row[at.N_FAILURE_COUNT] = len(self.failures), len(ways)
        for way in ways:
            code = _class_of(task, way.type, _CLASSES[way.error]) | (self.type_code(way.type) << at.TYPE_SHIFT)
            after = -1 if way.after is None else self.distribution(way.after, f"failures: {task.name}")
            self.failures.append([code, after, self.number(way.probability)])
        row[at.N_TIMEOUT_CLASS] = _class_of(task, "Timeout", at.TIMED_OUT)

    def type_code(self, name: str) -> int:
        if name not in self.types:
            self.types.append(name)
        return self.types.index(name)

    def lower_wait(self, wait: Wait, row: list[int]) -> None:
        row[at.N_KIND] = at.WAIT
        response = self.scenario.waits.get(wait.name)
        if response is None:
            if wait.kind is WaitKind.TIMER and wait.duration_s is not None:
                row[at.N_WORK] = self.distribution(constant(wait.duration_s), wait.name)
                return
            given = self.scenario.durations.get(wait.name)
            if given is not None:
                row[at.N_WORK] = self.distribution(given, wait.name)
                return
            message = (
                f"wait {wait.name!r}: when does the {wait.kind} come? Add it to the scenario: "
                f"waits={{{wait.name!r}: ok.exponential('1 h')}}."
            )
            raise ScenarioError(message, node=wait.name)
        row[at.N_WORK] = self.distribution(response.after, f"waits: {wait.name}")
        if response.never:
            row[at.N_NEVER] = self.number(response.never)
        if response.fails:
            row[at.N_FAILS] = self.number(response.fails)

    def lower_scope(self, workflow: Workflow, scope: Scope, row: list[int]) -> None:
        kinds = {ForEach: at.FOREACH, While: at.WHILE, Saga: at.SAGA}
        row[at.N_KIND] = kinds.get(type(scope), at.SCOPE)
        if isinstance(scope, ForEach | While):
            loop = self.scenario.loops.get(scope.name)
            if loop is None or (isinstance(scope, ForEach) and loop.items is None):
                what = "items" if isinstance(scope, ForEach) else "iterations"
                message = f"{scope.name!r}: how many {what}? Add it to the scenario: loops={{{scope.name!r}: 3}}."
                raise ScenarioError(message, node=scope.name)
            if loop.items is not None:
                row[at.N_ITERATIONS] = self.distribution(loop.items, f"loops: {scope.name}")
            else:
                row[at.N_REPEAT] = self.number(loop.repeat or 0.0)
            row[at.N_CONCURRENCY] = scope.max_iterations if isinstance(scope, While) else max(1, scope.concurrency)
            if isinstance(scope, ForEach):
                row[at.N_TOLERATED] = _tolerated(scope)
                if scope.continue_when is not None:
                    row[at.N_SKIP] = self.number(loop.skip)
                if scope.exit_when is not None:
                    row[at.N_EXIT] = self.number(loop.exit)
                    row[at.N_EXIT_AFTER] = int(scope.name in program_of(workflow).exits_after)
        row[at.N_INNER] = self.lower_graph(workflow, net_of(scope.nodes, scope.flows), is_saga=isinstance(scope, Saga))

    def shares(self, net: Net, name: str, flows: Sequence[int], base: int, *, exclusive: bool) -> None:
        """Give the flows of a choice their probabilities."""
        targets = [net.flows[flow].target for flow in flows]
        given = self.scenario.branching.get(name)
        wanted = targets if exclusive else [t for t, f in zip(targets, flows, strict=True) if net.flows[f].condition]
        example = ", ".join(f"{target!r}: {1 / len(wanted):.2g}" for target in wanted)
        if given is None:
            message = f"{name!r}: which way do cases go? Add it to the scenario: branching={{{name!r}: {{{example}}}}}."
            raise ScenarioError(message, node=name)
        found = [given.get(target) for target in targets]
        if exclusive:
            missing = [position for position, share in enumerate(found) if share is None]
            total = sum(share for share in found if share is not None)
            if len(missing) == 1:
                found[missing[0]] = 1 - total
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
            self.flows[base + flow][at.F_SHARE] = self.number(value)

    # All together ------------------------------------------------------------------

    def put_together(self) -> Lowered:
        scenario = self.scenario
        header = [0] * at.P_HEADER
        start_us = _moment(scenario.start)
        arrivals: list[int] = []
        header[at.P_START] = start_us
        match scenario.arrivals:
            case Distribution():
                header[at.P_ARRIVALS] = self.distribution(scenario.arrivals, "arrivals")
            case ArrivalTimes():
                arrivals = [round(moment * at.MICRO) for moment in scenario.arrivals.after_s]
                header[at.P_ARRIVAL_KIND], header[at.P_ARRIVAL_COUNT] = 1, len(arrivals)
            case Profile():
                header[at.P_ARRIVAL_KIND], header[at.P_ARRIVALS] = 2, len(self.numbers)
                self.numbers += [rate / 3_600 / at.MICRO for rate in scenario.arrivals.per_hour]
                header[at.P_ARRIVAL_COUNT] = self.distribution(exponential(1), "arrivals")
            case _:
                message = "arrivals: when do cases arrive? Add it to the scenario: arrivals=ok.exponential('12 min')."
                raise ScenarioError(message)
        calendars, spans = self.lower_calendars(start_us)
        program = [*header]
        tables = (
            (at.P_NODES, self.nodes),
            (at.P_FLOWS, self.flows),
            (at.P_GRAPHS, self.graphs),
            (at.P_FAILURES, self.failures),
        )
        for place, table in tables:
            program[place] = len(program)
            program += [value for row in table for value in row]
        program[at.P_LISTS] = len(program)
        program += self.lists
        if arrivals:
            program[at.P_ARRIVALS] = len(program)
            program += arrivals
        program[at.P_CALENDARS] = len(program)
        first = len(program) + at.C_WIDTH * len(calendars)
        for row in calendars:
            row[at.C_SPANS] += first
            program += row
        program += spans
        program[at.P_NODE_COUNT] = len(self.nodes)
        program[at.P_HELD] = at.I_HELD + max(graph[at.G_HELD_COUNT] for graph in self.graphs)
        program[at.P_DEPTH] = len(self.graphs) + 1
        program[at.P_DISTRIBUTIONS] = len(self.numbers)
        numbers = [*self.numbers, *(value for row in self.distributions for value in row)]
        return Lowered(
            np.array(program, dtype=np.int64),
            np.array(numbers, dtype=np.float64),
            self.names,
            self.types,
            self.units,
            self.pools,
            self.unit_calendars,
            self.attributes,
            self.texts,
            np.array([row[at.N_POOL] for row in self.nodes], dtype=np.int64),
        )

    def lower_calendars(self, start_us: int) -> tuple[list[list[int]], list[int]]:
        rows, spans = [], list[int]()
        for calendar in self.calendars:
            days = [datetime.combine(day, datetime.min.time(), self.scenario.start.tzinfo) for day in calendar.holidays]
            latest = max([self.scenario.start, *days, *(back for _, back in calendar.absences)])
            base = self.scenario.start - timedelta(days=7)
            period = timedelta(days=364 * ((latest - base).days // 364 + 1))
            found = calendar.intervals(base, base + period)
            if not found:
                message = "calendar: holidays and absences leave no time at all: it never opens."
                raise ScenarioError(message)
            base_us, done = start_us - 7 * 86_400 * at.MICRO, 0
            row = [len(spans), len(found), base_us, round(period.total_seconds() * at.MICRO), 0]
            for opens, closes in found:
                begin, end = _moment(opens) - base_us, _moment(closes) - base_us
                spans += [begin, end, done]
                done += end - begin
            row[at.C_WORK] = done
            rows.append(row)
        return rows, spans


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
    )
    for place in unset:
        row[place] = -1
    return row


def _class_of(task: Task, kind: str, given: int) -> int:
    """Return the class of a failure by the task's own ``fail_on`` and ``retry_on``."""
    if kind in task.fail_on:
        return at.PERMANENT
    return at.TRANSIENT if kind in task.retry_on else given


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


def _micros(duration_s: float | None) -> int:
    return -1 if duration_s is None else round(duration_s * at.MICRO)


def _moment(moment: datetime) -> int:
    return round(moment.timestamp()) * at.MICRO + moment.microsecond


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _local(mask: int, flows: Sequence[int]) -> int:
    return sum(1 << position for position, flow in enumerate(flows) if mask >> flow & 1)
