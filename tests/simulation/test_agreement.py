"""The same draws through the machine in virtual time and through the kernel give the same trace."""

from __future__ import annotations

import pytest

import orchkit as ok
from orchkit.model import ForEach, Gateway, GatewayKind, Scope, Task, Wait, While
from orchkit.model.definition import all_nodes
from orchkit.model.nodes import FlowKind
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.kernel.draws import mix
from orchkit.simulation.kernel.loop import begin, run
from orchkit.simulation.lowering import lower
from orchkit.simulation.memory import Memory
from tests.semantics.table import table
from tests.simulation.reference import World


def scenario_for(workflow, fails):
    """Return a scenario that says all that a workflow needs."""
    called = [workflow]
    for one in called:
        called += one.workflows
    nodes = {node.name: node for one in called for node in all_nodes(one)}
    graphs = [one.flows for one in called]
    graphs += [node.flows for node in nodes.values() if isinstance(node, Scope)]
    branching = {}
    for flows in graphs:
        for name in {flow.source for flow in flows}:
            node, own = nodes[name], [flow for flow in flows if flow.source == name]
            for kind in (FlowKind.NORMAL, FlowKind.ERROR):
                some = [flow.target for flow in own if flow.kind is kind]
                conditional = any(flow.condition for flow in own if flow.kind is kind)
                choice = isinstance(node, Gateway) and node.kind in (GatewayKind.EXCLUSIVE, GatewayKind.INCLUSIVE)
                if some and (conditional or (choice and len(some) > 1)):
                    shares = dict.fromkeys(some, 1 / len(set(some)))
                    branching[name] = {**branching.get(name, {}), **shares}
    tasks = [node for node in nodes.values() if isinstance(node, Task)]
    return ok.Scenario(
        arrivals=ok.ArrivalTimes((0.0,)),
        durations={task.name: ok.uniform(0.1, 2.9) for task in tasks},
        failures={task.name: (ok.Failure(fails / 2), ok.Failure(fails / 2, "permanent")) for task in tasks},
        branching=branching,
        waits={
            node.name: ok.Response(ok.uniform(0.5, 9), fails=0.0 if node.kind == "timer" else fails / 2)
            for node in nodes.values()
            if isinstance(node, Wait)
        },
        loops={
            node.name: ok.Loop(ok.uniform(0, 4), skip=0.2, exit=0.2)
            for node in nodes.values()
            if isinstance(node, ForEach | While)
        },
    )


def kernel_trace(lowered, seed):
    memory = Memory(lowered, 4_096, trace=20_000)
    m = memory.m
    m[at.M_CASE_LIMIT], m[at.M_UNTIL], m[at.M_KEY] = 1, at.FOREVER, seed
    begin(lowered.program, m, lowered.numbers)
    assert run(lowered.program, m, lowered.numbers, 100_000, 4_096) == 0
    rows = m[m[at.M_TRACE] :][: at.TRACE_WIDTH * m[at.M_TRACE_COUNT]].reshape(-1, at.TRACE_WIDTH)
    trace = []
    for now, kind, status, node, *_ in rows.tolist():
        name = at.KIND_NAMES[kind]
        trace.append(
            (now, name, at.STATUS_NAMES[status], None if name in ("run", "cancel") else lowered.nodes[node][0])
        )
    assert m[at.M_STEPS_LIVE] == 0 or m[at.M_LIVE] == 1
    return trace


CASES = [case for case in table() if not any(isinstance(n, While) for n in all_nodes(case.workflow))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}: {case.name}")
def test_kernel_does_what_the_machine_does(case):
    workflow = case.workflow
    for seed, fails in ((1, 0.0), (2, 0.3), (3, 0.6), (4, 0.6), (5, 0.2), (6, 0.4)):
        scenario = scenario_for(workflow, fails)
        try:
            lowered = lower(workflow, scenario)
        except ok.ScenarioError as error:
            pytest.skip(str(error))
        key = mix(seed + 0x5851F42D4C957F)
        expected = World(workflow, scenario, lowered, key, int(lowered.program[at.P_START])).play()

        assert kernel_trace(lowered, seed) == expected
