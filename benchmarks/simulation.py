"""Simulated steps per second, beside SimPy.

``python benchmarks/simulation.py [--peer PYTHON]`` prints medians: an M/M/3 queue at load 0.8 with
100,000 cases, through the public API and with the log kept, beside SimPy run by another interpreter (one of an
environment that has it); a workflow with a choice, parallel paths, retries, two roles and calendars; memory; the
first call of a fresh process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import orchkit as ok
from orchkit.simulation.kernel.layout import ROW_WIDTH

CASES = 100_000
SIMPY = """
import random, time, simpy
def case(env, servers, log, number):
    arrived = env.now
    with servers.request() as request:
        yield request
        started = env.now
        yield env.timeout(random.expovariate(1 / 2.4))
    log.append((number, arrived, started, env.now))
def source(env, servers, log, count):
    for number in range(count):
        yield env.timeout(random.expovariate(1.0))
        env.process(case(env, servers, log, number))
begun = time.perf_counter()
env = simpy.Environment()
log = []
env.process(source(env, simpy.Resource(env, 3), log, %d))
env.run()
print(time.perf_counter() - begun)
"""
FIRST = """
import time
begun = time.perf_counter()
import orchkit as ok
queue = ok.workflow("queue", [ok.task("serve", role="clerk")])
today = ok.Scenario(arrivals="1s", durations={"serve": "2s"}, resources={"clerk": 3})
ok.simulate(queue, today, cases=100)
print(time.perf_counter() - begun)
"""


def queue() -> tuple[ok.Workflow, ok.Scenario]:
    """Return M/M/3 at load 0.8."""
    durations = {"serve": ok.exponential(2.4)}
    scenario = ok.Scenario(arrivals=ok.exponential(1), durations=durations, resources={"clerk": 3})
    return ok.workflow("queue", [ok.task("serve", role="clerk")]), scenario


def mixed() -> tuple[ok.Workflow, ok.Scenario]:
    """Return a workflow with a choice, parallel paths, retries, two roles and calendars."""
    workflow = ok.workflow(
        "mixed",
        [
            ok.task("a", role="clerk"),
            ok.choice(
                ok.when("x", [ok.task("b", role="clerk")]), ok.otherwise([ok.task("c", role="packer")]), name="w"
            ),
            ok.parallel([ok.task("d", role="packer")], [ok.task("e")]),
            ok.task("f", retry=ok.Retry(max_attempts=3)),
        ],
    )
    hours = ok.Calendar({"mon-sun": ["06:00-14:00", "14:30-22:00"]})
    scenario = ok.Scenario(
        arrivals=ok.exponential("5 min"),
        durations={name: ok.exponential("10 min") for name in "abcdef"},
        resources={role: ok.Resource(8, calendar=hours) for role in ("clerk", "packer")},
        branching={"w": {"b": 0.5, "c": 0.5}},
        failures={"f": 0.1},
    )
    return workflow, scenario


def median_of(run: object, repeats: int = 7) -> float:
    """Return the median of the seconds that a call takes."""
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()  # type: ignore[operator]
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="an interpreter that has SimPy")
    peer = parser.parse_args().peer
    first = [float(subprocess.run([sys.executable, "-c", FIRST], capture_output=True, check=True).stdout) for _ in "12"]
    print(f"first call of a fresh process, import included, compiled before: {min(first):.2f} s")
    workflow, scenario = queue()
    own = median_of(lambda: ok.simulate(workflow, scenario, cases=CASES))
    print(f"M/M/3, {CASES:,} cases, log kept: {own * 1e3:.0f} ms, {CASES / own / 1e6:.2f} million steps/s")
    if peer is None:
        print("SimPy: skipped, no --peer")
    else:
        code = [peer, "-c", SIMPY % CASES]
        theirs = statistics.median(
            float(subprocess.run(code, capture_output=True, check=True).stdout) for _ in range(3)
        )
        print(f"SimPy: {theirs * 1e3:.0f} ms; orchkit is {theirs / own:.0f} times as fast")
    workflow, scenario = mixed()
    steps = len(ok.simulate(workflow, scenario, cases=CASES).steps)
    own = median_of(lambda: ok.simulate(workflow, scenario, cases=CASES), 3)
    print(f"choice, parallel, retries, two roles, calendars: {steps / own / 1e6:.2f} million steps/s, log included")
    print(f"memory of the kernel: {8 * ROW_WIDTH} bytes a step, besides the log's columns")


if __name__ == "__main__":
    main()
