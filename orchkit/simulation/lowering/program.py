"""The program: all that was lowered, in one array of integers and one of floats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchkit.errors import ScenarioError, nearest
from orchkit.model.definition import Workflow
from orchkit.simulation.distributions import Distribution, exponential
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.lowering.conditions import Conditions, Unknown, supports
from orchkit.simulation.lowering.graphs import Graphs, Name
from orchkit.simulation.lowering.names import check_names
from orchkit.simulation.lowering.numbers import Numbers
from orchkit.simulation.lowering.staff import Staff, moment_us
from orchkit.simulation.lowering.work import Work
from orchkit.simulation.scenario import ArrivalTimes, Profile, Resource, Scenario

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lowered", "lower"]


@dataclass(slots=True)
class Lowered:
    """A program, and the names of what it numbers.

    Attributes
    ----------
    program, numbers
        The kernel's ``p`` and ``d``.
    nodes
        Name of each, its role, and what it undoes.
    units
        Role and name of each resource.
    pools
        Role, resource and number of its first unit.
    attributes
        The number of each attribute.
    kinds
        The types of the values of an attribute, where there are few.
    places
        The number of each graph and of its first flow, by digest of the workflow and name of the scope.
    others
        For each role, where and how many those are in whose queues steps wait that need it too.
    helpers
        By node, what those who are needed beside the first cost: per hour, and per step.
    """

    program: NDArray[np.int64]
    numbers: NDArray[np.float64]
    nodes: list[Name]
    types: list[str]
    units: list[tuple[str, str]]
    pools: list[tuple[str, Resource, int]]
    unit_calendars: list[int]
    pool_calendars: list[int]
    attributes: dict[str, int]
    kinds: dict[str, set[type]]
    texts: list[str | None]
    node_pools: NDArray[np.int64]
    places: dict[tuple[str, str], tuple[int, int]]
    others: list[tuple[int, int]]
    helpers: NDArray[np.float64]


def lower(
    workflow: Workflow,
    scenario: Scenario,
    others: Iterable[Workflow] = (),
    known: Sequence[Mapping[str, object]] = (),
) -> Lowered:
    """Return the program of a workflow under a scenario.

    Parameters
    ----------
    workflow, scenario
        What is simulated.
    others
        Workflows that cases in flight go through, such as its older versions.
    known
        The attributes of the cases in flight, by name.

    Raises
    ------
    ScenarioError
        The scenario names what is not in the workflow, or does not say what the simulation needs to know.
    """
    others = list(others)
    check_names(workflow, scenario, others)
    staff = Staff(scenario)
    staff.lower_resources()
    numbers = Numbers(staff.units)
    numbers.add_attributes(scenario.attributes)
    graphs = Graphs(scenario, numbers, Work(scenario, numbers, staff))
    for one in (workflow, *others):
        graphs.lower_workflow(one)
    for position, named in enumerate(graphs.names):
        if graphs.nodes[position][at.N_KIND] in (at.TASK, at.WAIT, at.CALL) and named.undoes is None:
            numbers.tasks.setdefault(named.name, []).append(position)
    for task, delay in scenario.delays.items():
        number = numbers.distribution(delay, f"delays: {task}")
        for position in numbers.tasks[task]:
            graphs.nodes[position][at.N_DELAY] = number
            graphs.nodes[position][at.N_DELAY_CLOCK] = int(task in scenario.by_clock)
    return _put_together(scenario, graphs, _conditions(scenario, graphs, known), known)


def _mark_plain(graphs: Graphs) -> None:
    """Note which tasks only wait for a resource in the order of arrival, are worked on, and pass their token on."""
    work, pools = graphs.work, [pool for _, pool, _ in graphs.work.staff.pools]
    absent = (at.N_UNDO, at.N_DEADLINE, at.N_DELAY, at.N_PATIENCE, at.N_PRIORITY)
    extra = (at.N_CHOICE, at.N_RIVAL_COUNT)
    for row in graphs.nodes:
        pool = pools[row[at.N_POOL]] if row[at.N_POOL] >= 0 else None
        row[at.N_PLAIN] = int(
            row[at.N_KIND] == at.TASK
            and not work.demands
            and all(row[place] == -1 for place in absent)
            and not any(row[place] for place in extra)
            and row[at.N_BATCH] <= 1
            and (pool is None or (pool.discipline == "fifo" and pool.queue_limit is None))
        )


def _conditions(scenario: Scenario, graphs: Graphs, known: Sequence[Mapping[str, object]]) -> Conditions:
    """Translate the expressions that the scenario leaves to the workflow."""
    errors = (at.CLASS_NAMES[1:], graphs.work.types, [one.name for one in graphs.names])
    conditions = Conditions(graphs.numbers, supports(scenario.attributes, known), errors)
    for one in graphs.pending:
        try:
            one.row[one.place] = conditions.add(one.text, one.node, size=one.size, of_error=one.of_error)
        except Unknown as error:
            if one.otherwise:
                what, _, how = one.otherwise.partition(": ")
                message = (
                    f"{one.node!r}: {what}? Add it to the scenario: {how}; or give what {one.text!r} reads: "
                    f"attributes={{{error.name!r}: …}}.{nearest(error.name, scenario.attributes)}"
                )
                raise ScenarioError(message, node=one.node) from None
    return conditions


def _put_together(
    scenario: Scenario, graphs: Graphs, conditions: Conditions, known: Sequence[Mapping[str, object]]
) -> Lowered:
    numbers, work, staff = graphs.numbers, graphs.work, graphs.work.staff
    header = [0] * at.P_HEADER
    start_us = moment_us(scenario.start)
    header[at.P_START] = start_us
    _mark_plain(graphs)
    arrivals = _arrivals(scenario, numbers, header)
    calendars, spans = staff.lower_calendars(start_us)
    program = [*header]
    tables = (
        (at.P_NODES, graphs.nodes),
        (at.P_FLOWS, graphs.flows),
        (at.P_GRAPHS, graphs.graphs),
        (at.P_FAILURES, work.failures),
    )
    for place, table in tables:
        program[place] = len(program)
        program += [value for row in table for value in row]
    program[at.P_LISTS] = len(program)
    program += graphs.lists
    if arrivals:
        program[at.P_ARRIVALS] = len(program)
        program += arrivals
    program[at.P_CALENDARS] = len(program)
    first = len(program) + at.C_WIDTH * len(calendars)
    for row in calendars:
        row[at.C_SPANS] += first
        row[at.C_HOURS] += first
        program += row
    program += spans
    program[at.P_CODE] = len(program)
    program += conditions.code
    program[at.P_ATTRIBUTES], program[at.P_ATTRIBUTE_COUNT] = len(program), len(numbers.drawn)
    program += numbers.drawn
    program[at.P_DEMANDS] = len(program)
    program += work.demands
    others, helpers = _joint(graphs)
    places = []
    for pools in others:
        places.append((len(program), len(pools)))
        program += pools
    if any(known):
        program[at.P_KNOWN], program[at.P_KNOWN_CASES] = len(numbers.numbers), len(known)
        numbers.numbers += [
            numbers.value(case[name]) if name in case else float("nan") for case in known for name in numbers.attributes
        ]
    program[at.P_NODE_COUNT] = len(graphs.nodes)
    program[at.P_HELD] = at.I_HELD + max(graph[at.G_HELD_COUNT] for graph in graphs.graphs)
    program[at.P_DEPTH] = len(graphs.graphs) + 1
    program[at.P_DISTRIBUTIONS] = len(numbers.numbers)
    floats = [*numbers.numbers, *(value for row in numbers.distributions for value in row)]
    return Lowered(
        np.array(program, dtype=np.int64),
        np.array(floats, dtype=np.float64),
        graphs.names,
        work.types,
        staff.units,
        staff.pools,
        staff.unit_calendars,
        staff.pool_calendars,
        numbers.attributes,
        {name: {*map(type, values)} for name, values in conditions.attributes.items() if values is not None},
        numbers.texts,
        np.array([row[at.N_POOL] for row in graphs.nodes], dtype=np.int64),
        graphs.places,
        places,
        helpers,
    )


def _arrivals(scenario: Scenario, numbers: Numbers, header: list[int]) -> list[int]:
    """Note in the header how cases arrive; return the moments, where they are given."""
    match scenario.arrivals:
        case Distribution():
            header[at.P_ARRIVALS] = numbers.distribution(scenario.arrivals, "arrivals")
        case ArrivalTimes(after_s):
            header[at.P_ARRIVAL_KIND], header[at.P_ARRIVAL_COUNT] = 1, len(after_s)
            return [round(moment * at.MICRO) for moment in after_s]
        case Profile(per_hour):
            header[at.P_ARRIVAL_KIND], header[at.P_ARRIVALS] = 2, len(numbers.numbers)
            numbers.numbers += [rate / 3_600 / at.MICRO for rate in per_hour]
            header[at.P_ARRIVAL_COUNT] = numbers.distribution(exponential(1), "arrivals")
        case _:
            message = "arrivals: when do cases arrive? Add it to the scenario: arrivals=ok.exponential('12 min')."
            raise ScenarioError(message)
    return []


def _joint(graphs: Graphs) -> tuple[list[list[int]], NDArray[np.float64]]:
    """Return, for each role, those in whose queues steps wait that need it too; and what helpers of a node cost."""
    work, staff = graphs.work, graphs.work.staff
    others: list[list[int]] = [[] for _ in staff.pools]
    helpers = np.zeros((max(1, len(graphs.nodes)), 2))
    for node, row in enumerate(graphs.nodes):
        first, count = row[at.N_DEMANDS], row[at.N_DEMAND_COUNT]
        pairs = [work.demands[first + 2 * place : first + 2 * place + 2] for place in range(count)]
        for place, (pool, needed) in enumerate(pairs):
            if place and row[at.N_POOL] not in others[pool]:
                others[pool].append(row[at.N_POOL])
            resource = staff.pools[pool][1]
            beside = needed - (place == 0)
            helpers[node] += (beside * resource.cost_per_hour, beside * resource.cost_per_step)
    return others, helpers
