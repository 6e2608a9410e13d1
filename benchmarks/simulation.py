"""Simulated steps per second, beside SimPy, Ciw and Cimba; memory a step; the first call of a fresh process.

``python benchmarks/simulation.py [--peer PYTHON]``, where PYTHON is an interpreter of an environment with the peers.
All figures are medians, and of processor time where nothing else is said, so that others at work on the machine do not
count; ratios are of figures taken in turns. An M/M/3 queue at load 0.8 with 100,000 cases, through the public API and
with the log kept; a workflow with a choice, parallel paths, retries, two roles and calendars.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orchkit as ok
from orchkit.simulation.kernel.layout import FOREVER
from orchkit.simulation.lowering import lower
from orchkit.simulation.running import Task, replication

CASES = 100_000
PEERS = Path(__file__).with_name("simulation_peers.py")
FIRST = """
import time
import orchkit as ok
queue = ok.workflow("queue", [ok.task("serve", role="clerk")])
today = ok.Scenario(arrivals="1s", durations={"serve": "2s"}, resources={"clerk": 3})
ok.simulate(queue, today, cases=100)
print(time.process_time())
"""
MEMORY = """
import sys
sys.path.insert(0, %r)
import orchkit as ok
from simulation import mixed
def peak():
    with open("/proc/self/status") as status:  # what getrusage says begins with the peak of the parent
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
ok.simulate(*mixed(), cases=1_000)
before = peak()
log = ok.simulate(*mixed(), cases=%d)
steps = len(log.steps)
own = [log.case_codes, log.activity_codes, log.resource_codes, log.offsets]
columns = log.steps.memory_usage(index=False).sum() + log.cases.memory_usage(index=False).sum()
print(steps, peak() - before, int(columns) + sum(array.nbytes for array in own))
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


def median_of(run: Callable[[], object], repeats: int = 7) -> float:
    """Return the median of the processor seconds that a call takes."""
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        run()
        found.append(time.process_time() - begun)
    return statistics.median(found)


def child(code: str, *arguments: str, python: str = sys.executable) -> list[float]:
    """Return the numbers that another process prints."""
    command = [python, "-c", code] if not arguments else [python, code, *arguments]
    return [float(text) for text in subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()]


def compare(peer: str | None) -> None:
    """Print how long the queue takes, here and by the peers."""
    workflow, scenario = queue()
    median_of(lambda: ok.simulate(workflow, scenario, cases=CASES))  # memory is there, and stays
    own, theirs = [], {}
    for name in ("simpy", "ciw", "cimba") if peer else ("alone",):
        own.append(median_of(lambda: ok.simulate(workflow, scenario, cases=CASES)))
        if peer:
            theirs[name] = child(str(PEERS), name, str(CASES), python=peer)[0]
    found = statistics.median(own)
    for name, seconds in theirs.items():
        print(f"{name}: {seconds * 1e3:.0f} ms; orchkit is {seconds / found:.1f} times as fast")
    print(f"M/M/3, {CASES:,} cases, log kept: {found * 1e3:.0f} ms, {CASES / found / 1e6:.2f} million steps/s a core")
    if peer is None:
        print("SimPy, Ciw, Cimba: skipped, no --peer")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="an interpreter that has SimPy, Ciw and Cimba")
    parser.add_argument("--steps", type=int, default=10_000_000, help="of the larger of two runs that measure memory")
    given = parser.parse_args()
    first = statistics.median(child(FIRST)[0] for _ in range(4))
    print(f"first call of a fresh process, import included, compiled before: {first:.2f} s of processor")
    compare(given.peer)
    workflow, scenario = mixed()
    task = Task(lower(workflow, scenario), CASES, FOREVER, 0)
    kernel, whole, steps = [], [], 0
    for _ in range(5):
        kernel.append(median_of(lambda: replication(task, 0), 1))
        begun = time.process_time()
        steps = len(ok.simulate(workflow, scenario, cases=CASES).case_codes)
        whole.append(time.process_time() - begun)
    alone, logged = (steps / statistics.median(found) / 1e6 for found in (kernel, whole))
    print("choice, parallel, retries, two roles, calendars, in million steps/s a core:")
    print(f"  {alone:.2f} by the kernel alone, {logged:.2f} through the API with the log")
    for wanted in (given.steps // 10, given.steps):
        code = MEMORY % (str(Path(__file__).parent), round(wanted / 5.2))
        count, peak, columns = child(code)
        print(
            f"memory of {count:,.0f} steps: {peak / count:.0f} bytes a step at the peak, "
            f"of these {columns / count:.0f} the log's columns, {(peak - columns) / count:.0f} besides"
        )


if __name__ == "__main__":
    main()
