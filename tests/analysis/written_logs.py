"""Logs that an engine or a simulator wrote, of workflows of every kind."""

from __future__ import annotations

from dataclasses import replace

import orchkit as ok
from orchkit.simulation import simulate
from orchkit.store import Batch, Store
from orchkit.testing import faults
from tests.semantics.engine_world import EngineWorld
from tests.simulation.test_agreement import scenario_for


class _Recorded(EngineWorld):
    """The world of the table, whose rows are kept."""

    def __init__(self, case):
        self.batch = Batch()
        super().__init__(case)

    def took(self, work):
        self.batch.extend(work.batch)
        super().took(work)


def engine_log_of_table(case):
    """Return what the engine writes when a case of the table of semantics happens."""
    world = _Recorded(case)
    world.play()
    with Store() as store:
        store.append(world.batch)
        frames = store.log_frames()
    return ok.EventLog(frames.steps, frames.cases)


def simulated_log(workflow, fails, seed, cases=20):
    """Return what the simulator writes of a workflow whose steps fail that often."""
    scenario = replace(scenario_for(workflow, fails), arrivals=ok.exponential("1 min"))
    return simulate(workflow, scenario, cases=cases, seed=seed)


def faulty_world(seed):
    """Return random workflows, and the log of an engine that ran them while it crashed."""
    world = faults._World(seed)
    try:
        world.run()
        frames = world.store.log_frames()
    finally:
        world.store.close()
    return world.workflows, ok.EventLog(frames.steps, frames.cases)
