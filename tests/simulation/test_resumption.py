"""A state of the machine, taken up by the kernel, goes on as it would have in the machine."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

import orchkit as ok
from orchkit.machine import start
from orchkit.model import While
from orchkit.model.definition import all_nodes
from orchkit.simulation.flight import InFlight, OpenCase, OpenRun, open_steps
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.kernel.draws import mix
from orchkit.simulation.kernel.loop import run
from orchkit.simulation.kernel.resuming import resume
from orchkit.simulation.lowering import lower
from orchkit.simulation.memory import Memory
from orchkit.simulation.resumption import resumption
from tests.semantics.table import table
from tests.simulation.reference import World
from tests.simulation.test_agreement import scenario_for


class Row(NamedTuple):
    run: Any
    step_id: str | None
    node: str | None
    kind: str
    status: str
    occurred_at: int
    resource: str | None
    payload: str | None


class Watched(World):
    """A world that is stopped after so many events, with the history of its runs."""

    def __init__(self, *about, stop_after):
        super().__init__(*about)
        self.stop_after, self.history, self.runs = stop_after, [], [self.root]

    def note(self, run, record):
        super().note(run, record)
        payload = None
        if record.status == "RETRYING":
            due = self.delay(record.node, run.visits[record.step_id], record.attempt)
            payload = json.dumps({"delay_s": due / at.MICRO})
        self.history.append(
            Row(run, record.step_id, record.node, record.kind.value, str(record.status), self.now, None, payload)
        )

    def took(self, run, transition):
        if run not in self.runs:
            self.runs.append(run)
        super().took(run, transition)

    def play_until_stopped(self):
        self.took(self.root, start(self.root.workflow, {}, decide=self.decide))
        self.deliver()
        while self.heap and self.stop_after:
            self.stop_after -= 1
            self.now, _, then = heapq.heappop(self.heap)
            then()
            self.deliver()

    def play_on(self):
        done = len(self.trace)
        while self.heap:
            self.now, _, then = heapq.heappop(self.heap)
            then()
            self.deliver()
        return self.trace[done:]

    def in_flight(self):
        live = [one for one in self.runs if one.state.finished is None]
        visits, runs = {}, []
        for one in live:
            steps = open_steps([row for row in self.history if row.run is one], one.state, Counter())
            for step_id in steps:  # the world counts visits over all runs of a case
                steps[step_id] = replace(steps[step_id], visit=one.visits[step_id])
            parent = None if one.parent is None else (live.index(one.parent[0]), one.parent[1])
            runs.append(OpenRun(one.workflow, one.state, steps, parent))
            visits |= {(one.workflow.digest, name): count for name, count in self.counts.items()}
        return InFlight(self.now / 1e6, (OpenCase("1", self.now / 1e6, tuple(runs), visits),))


def resumed_trace(lowered, flight, seed):
    found = resumption(flight, lowered)
    memory = Memory(lowered, 4_096, trace=20_000, room=len(found.steps))
    m = memory.m
    found.put_into(memory)
    m[at.M_CASE_LIMIT], m[at.M_UNTIL], m[at.M_KEY] = 1, at.FOREVER, seed
    lowered.program[at.P_START] = round(flight.now_s * 1e6)
    plan = found.plan.copy()
    resume(lowered.program, m, lowered.numbers, plan)
    assert run(lowered.program, m, lowered.numbers, 100_000, 4_096) == 0
    rows = m[m[at.M_TRACE] :][: at.TRACE_WIDTH * m[at.M_TRACE_COUNT]].reshape(-1, at.TRACE_WIDTH)
    trace = []
    for now, kind, status, node, *_ in rows.tolist():
        name = at.KIND_NAMES[kind]
        trace.append(
            (now, name, at.STATUS_NAMES[status], None if name in ("run", "cancel") else lowered.nodes[node][0])
        )
    return trace


CASES = [case for case in table() if not any(isinstance(n, While) for n in all_nodes(case.workflow))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}: {case.name}")
def test_kernel_goes_on_where_the_machine_stopped(case):
    workflow = case.workflow
    for seed, fails in ((1, 0.0), (2, 0.3), (3, 0.6), (5, 0.2)):
        scenario = scenario_for(workflow, fails)
        try:
            lowered = lower(workflow, scenario)
        except ok.ScenarioError as error:
            pytest.skip(str(error))
        key, begins = mix(seed + at.CASE_KEY), int(lowered.program[at.P_START])
        for stop_after in (0, 1, 2, 3, 5, 8):
            world = Watched(workflow, scenario, lowered, key, begins, stop_after=stop_after)
            world.play_until_stopped()
            if world.root.state.finished is not None:
                break
            flight = world.in_flight()

            assert resumed_trace(lowered, flight, seed) == world.play_on(), (seed, stop_after)
