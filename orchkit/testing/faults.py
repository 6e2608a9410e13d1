"""Deterministic faults: the real engine's core and store, with virtual time and made-up luck.

A seed chooses a few random workflows, and at every event whether an attempt succeeds, fails, hangs, or the process
crashes: before its rows are durable, after, or halfway through its effects. After each crash the state is folded
from the history, as after a real one. Then the invariants are checked:

- nothing acknowledged is lost: each start that was confirmed has a run, each end that was told is in the store;
- no step completes twice;
- no attempt begins before its intent is durable, and all attempts of a step have one idempotency key;
- every saga that did not complete ends compensated, in reverse order of completion, or its run in the dead letters;
- the history, folded, gives the state that the core has;
- every run ends.

``python -m orchkit.testing.faults --seeds 10000`` explores as many seeds as one likes.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchkit.engine.core import Core
from orchkit.engine.messages import (
    CancelRun,
    CompleteWait,
    Dispatch,
    Ended,
    Message,
    Outcome,
    Settings,
    StartRun,
    Work,
    run_id_of,
)
from orchkit.engine.recovery import fold
from orchkit.errors import TransientError, WaitNotFound
from orchkit.events import Failure
from orchkit.executors import Attempt, PythonExecutor
from orchkit.model import Workflow
from orchkit.model.nodes import ForEach, Node, Saga, Scope, Task, WaitKind, While
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.store import Batch, HistoryRow, Store
from orchkit.testing.worlds import Effects, random_workflow

__all__ = ["Crash", "CrashingStore", "Report", "explore", "main"]

_START = 1_800_000_000.0
_LIMIT = 20_000


class Crash(BaseException):
    """The process dies here."""


class CrashingStore:
    """A store that crashes: before a commit, or right after it, before anyone has heard of it."""

    def __init__(self, store: Store, rng: random.Random, probability: float) -> None:
        self.store = store
        self.rng = rng
        self.probability = probability
        self.rows: list[Any] = []
        self.crashes = 0

    def append(self, batch: Batch) -> None:
        """Make rows durable, or crash."""
        luck = self.rng.random()
        if luck < self.probability:
            self.crashes += 1
            raise Crash
        if batch:
            self.store.append(batch)
            self.rows.extend(batch.rows)
        if luck < 2 * self.probability:
            self.crashes += 1
            raise Crash


class _Anything(PythonExecutor):
    """Runs every task: the world decides how it ends."""

    def problem_with(self, task: Task) -> None:
        """Find nothing wrong with any task."""
        del task


@dataclass(frozen=True, slots=True)
class Report:
    """What a seed has shown; ``violations`` is empty where the invariants hold."""

    seed: int
    runs: int
    steps: int
    crashes: int
    statuses: dict[str, int]
    violations: tuple[str, ...]


@dataclass(order=True, slots=True)
class _Due:
    moment: float
    serial: int
    message: Message = field(compare=False)
    dies_with_process: bool = field(compare=False)


class _World:
    """One seed: the core, its store, the attempts under way, and clients that ask again until they are answered."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = _START
        self.store = Store(None)
        self.crashing = CrashingStore(self.store, self.rng, self.rng.choice([0.0, 0.01, 0.05, 0.1]))
        self.settings = Settings({"python": _Anything()}, limits=self.rng.choice([{}, {"clerk": 1}, {"*": 2}]))
        self.effects = Effects()
        self.keys: dict[tuple[str, str], str] = {}
        self.answered: set[tuple[str, str]] = set()
        self.agenda: list[_Due] = []
        self.serial = 0
        self.told: dict[str, RunStatus] = {}
        self.confirmed: set[str] = set()
        self.violations: list[str] = []
        self.workflows = [random_workflow(self.rng, f"w{number}") for number in range(self.rng.randint(1, 2))]
        self.core = Core(self.settings, self.store)
        for number in range(self.rng.randint(1, 4)):
            chosen = self.rng.choice(self.workflows)
            case = f"case-{number}"
            inputs = {"n": self.rng.randint(0, 9), "items": list(range(self.rng.randint(0, 3)))}
            self.later(self.rng.random() * 5, StartRun(run_id_of(chosen.name, case), case, chosen, inputs))
            if self.rng.random() < 0.15:
                self.later(5 + self.rng.random() * 60, CancelRun(run_id_of(chosen.name, case)))

    def later(self, delay_s: float, message: Message, *, dies: bool = False) -> None:
        self.serial += 1
        heapq.heappush(self.agenda, _Due(self.now + delay_s, self.serial, message, dies))

    def run(self) -> None:
        for _ in range(_LIMIT):
            due = self.core.next_timer()
            moments = [moment for moment in (due, self.agenda[0].moment if self.agenda else None) if moment is not None]
            if not moments:
                return
            self.now = max(self.now, min(moments))
            batch = []
            while self.agenda and self.agenda[0].moment <= self.now:
                batch.append(heapq.heappop(self.agenda))
            try:
                self.turn(batch)
            except Crash:
                self.crashed(batch)
        self.violations.append(f"no end after {_LIMIT} events")

    def turn(self, batch: Sequence[_Due]) -> None:
        work = self.core.handle([item.message for item in batch], self.now)
        self.crashing.append(work.batch)
        for position, item in enumerate(batch):
            answer = work.answers.get(position)
            if isinstance(item.message, StartRun):
                self.confirmed.add(item.message.run_id)
            elif isinstance(answer, WaitNotFound):
                self.violations.append(f"callback refused: {answer}")
        self.carry_out(work)
        if self.rng.random() < 0.05:
            self.compare_with_history()

    def carry_out(self, work: Work) -> None:
        for effect in work.effects:
            if self.rng.random() < self.crashing.probability / 2:
                self.crashing.crashes += 1
                raise Crash
            if isinstance(effect, Dispatch):
                self.begin(effect.attempt)
            elif isinstance(effect, Ended):
                self.told[effect.run_id] = effect.finish.status
        for active in work.touched.values():
            for step_id, wait in active.waits.items():
                if wait.kind is WaitKind.CALLBACK and (active.run_id, step_id) not in self.answered:
                    self.answered.add((active.run_id, step_id))
                    if self.rng.random() < 0.8:
                        self.later(self.rng.random() * 5_000, CompleteWait(active.run_id, wait.subject, {"ok": True}))

    def begin(self, attempt: Attempt) -> None:
        """Let the world decide how an attempt ends."""
        place = (attempt.run_id, attempt.step_id)
        if self.keys.setdefault(place, attempt.idempotency_key) != attempt.idempotency_key:
            self.violations.append(f"{place} has two idempotency keys")
        wanted = (attempt.run_id, attempt.step_id, attempt.attempt)
        if not any(
            (row.run_id, row.step_id, row.attempt) == wanted and row.status == "RUNNING" for row in self.crashing.rows
        ):
            self.violations.append(f"{wanted} began before its intent was durable")
        self.effects.begun.append(wanted)
        luck = self.rng.random()
        failure = None
        if luck < 0.2:
            failure = Failure(ErrorClass.TRANSIENT, TransientError.__name__, "busy")
        elif luck < 0.26:
            failure = Failure(ErrorClass.PERMANENT, "PermanentError", "no")
        elif luck < 0.3 and attempt.task.timeout_s is not None:
            return  # it hangs: the attempt's timeout ends it
        if failure is None or self.rng.random() < 0.3:
            self.effects.carry_out(attempt)
        output = self.rng.randint(0, 9)
        delay_s = self.rng.choice([0.0, 0.1, 1.0, 40.0]) * self.rng.random()
        self.later(delay_s, Outcome(attempt.run_id, attempt.step_id, attempt.attempt, failure, output), dies=True)

    def crashed(self, batch: Iterable[_Due]) -> None:
        """Start anew from the store; what ran is gone, clients that were not answered ask again."""
        self.agenda = [item for item in [*self.agenda, *batch] if not item.dies_with_process]
        for item in self.agenda:
            item.moment = max(item.moment, self.now + self.rng.random())
        heapq.heapify(self.agenda)
        while True:
            try:
                self.recover()
            except Crash:
                continue
            return

    def recover(self) -> None:
        self.core = Core(self.settings, self.store)
        found = []
        for row, rows in self.store.open_runs():
            parent = None if not row.parent_step else tuple(row.parent_step.split("/", 1))
            folded = fold(Workflow.from_json(self.store.definition(row.digest)), rows, parent)  # type: ignore[arg-type]  # two parts
            self.core.adopt(folded.active, folded.transitions, self.now)
            found.append(row.run_id)
        work = self.core.resume(found, self.now)
        self.crashing.append(work.batch)
        self.carry_out(work)

    # Invariants ------------------------------------------------------------------

    def compare_with_history(self) -> None:
        for row, rows in self.store.open_runs():
            active = self.core.active.get(row.run_id)
            if active is None:
                self.violations.append(f"run {row.run_id} is open in the store and unknown to the core")
                continue
            folded = fold(active.workflow, rows).active
            if folded.state != active.state:
                self.violations.append(f"run {row.run_id}: the history folds to another state")

    def check(self) -> None:
        rows = self.crashing.rows
        final = {row.run_id: row.status for row in rows if row.kind == "run" and RunStatus(row.status).is_final}
        for run_id in self.confirmed:
            if run_id not in final:
                self.violations.append(f"run {run_id} was confirmed and has no end")
        for run_id, status in self.told.items():
            if final.get(run_id) != status:
                self.violations.append(f"run {run_id} was told to be {status} and is {final.get(run_id)}")
        ends = Counter(row.run_id for row in rows if row.kind == "run" and RunStatus(row.status).is_final)
        completed = Counter(
            (row.run_id, row.step_id)
            for row in rows
            if row.status == "COMPLETED" and row.kind in ("task", "compensation")
        )
        self.violations.extend(f"run {run_id} ended {count} times" for run_id, count in ends.items() if count > 1)
        self.violations.extend(f"step {key} completed {count} times" for key, count in completed.items() if count > 1)
        self.check_sagas(final)
        if self.core.active:
            self.violations.append(f"runs did not end: {sorted(self.core.active)}")

    def check_sagas(self, final: Mapping[str, str]) -> None:
        """Check that what completed in a saga that failed was undone, in reverse order, or its run dead-lettered."""
        homes = {workflow.name: _sagas_of(workflow) for workflow in self.workflows}
        by_run: dict[str, list[HistoryRow]] = defaultdict(list)
        for row in self.crashing.rows:
            by_run[row.run_id].append(row)
        for run_id, rows in by_run.items():
            self.check_compensations(run_id, rows, final.get(run_id))
            for saga, steps in _undone(rows, homes.get(rows[0].workflow, {})).items():
                places = [place for place, row in enumerate(rows) if row.status == "COMPLETED" and row.step_id in steps]
                order = [step_id for place in reversed(places) if (step_id := rows[place].step_id)]
                if order != steps:
                    self.violations.append(f"{run_id}: {saga} was undone in the order {steps}, not {order}")

    def check_compensations(self, run_id: str, rows: Sequence[HistoryRow], final: str | None) -> None:
        """Check that a compensation that failed for good led to the dead letters."""
        last = {row.step_id: row.status for row in rows if row.kind == "compensation"}
        if "FAILED" in last.values() and final != RunStatus.DEAD_LETTERED:
            self.violations.append(f"{run_id}: a compensation failed for good, and the run is {final}")


def _undone(rows: Iterable[HistoryRow], homes: Mapping[str, str]) -> dict[str, list[str]]:
    """Return, by saga, the steps that were undone, in that order."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        told = json.loads(row.payload or "{}")
        if row.kind == "compensation" and row.status == "RUNNING" and "of" in told:
            saga = homes.get(told["of"].split("#")[0])
            if saga and told["of"] not in found[saga]:
                found[saga].append(told["of"])
    return found


def _sagas_of(workflow: Workflow) -> dict[str, str]:
    """Return, for each node that is visited once, the saga around it."""
    found: dict[str, str] = {}

    def visit(nodes: Iterable[Node], saga: str) -> None:
        for node in nodes:
            found[node.name] = saga
            if isinstance(node, Scope) and not isinstance(node, ForEach | While):
                visit(node.nodes, node.name if isinstance(node, Saga) else saga)

    visit(workflow.nodes, "")
    return found


def explore(seed: int) -> Report:
    """Explore one seed.

    Examples
    --------
    >>> explore(1).violations
    ()
    """
    world = _World(seed)
    try:
        world.run()
        world.compare_with_history()
        world.check()
    finally:
        world.store.close()
    rows = world.crashing.rows
    statuses = Counter(row.status for row in rows if row.kind == "run" and RunStatus(row.status).is_final)
    return Report(
        seed=seed,
        runs=len(world.confirmed),
        steps=len({(row.run_id, row.step_id) for row in rows if row.step_id}),
        crashes=world.crashing.crashes,
        statuses=dict(statuses),
        violations=tuple(world.violations),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore seeds, print what they showed, and return 1 where an invariant broke."""
    parser = argparse.ArgumentParser(prog="python -m orchkit.testing.faults", description="Deterministic faults.")
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    options = parser.parse_args(arguments)
    total: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        report = explore(seed)
        total.update(runs=report.runs, steps=report.steps, crashes=report.crashes, broken=bool(report.violations))
        statuses.update(report.statuses)
        for violation in report.violations:
            print(f"seed {seed}: {violation}")
    print(
        f"{options.seeds} seeds: {total['runs']} runs, {total['steps']} steps, {total['crashes']} crashes, "
        f"{dict(sorted(statuses.items()))}; {total['broken']} seeds broke an invariant",
    )
    return 1 if total["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
