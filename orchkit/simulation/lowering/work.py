"""Tasks and waits: how long they take, how they fail, who does them."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchkit.errors import ScenarioError
from orchkit.model.definition import Workflow
from orchkit.model.nodes import Task, Wait, WaitKind
from orchkit.model.states import ErrorClass
from orchkit.simulation.distributions import Distribution, constant
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.lowering.numbers import Numbers
from orchkit.simulation.lowering.staff import Staff
from orchkit.simulation.scenario import Scenario
from orchkit.units import seconds

__all__ = ["Work", "micros"]

_CLASSES = {
    ErrorClass.TRANSIENT: at.TRANSIENT,
    ErrorClass.PERMANENT: at.PERMANENT,
    ErrorClass.PARTIAL: at.PARTIAL,
    ErrorClass.TIMEOUT: at.TIMED_OUT,
}


@dataclass(slots=True)
class Work:
    """What a scenario says about tasks and waits.

    Attributes
    ----------
    failures
        One row per way to fail.
    types
        Types of errors, by code.
    demands
        Of tasks that need several at once: pairs of a role and how many.
    """

    scenario: Scenario
    numbers: Numbers
    staff: Staff
    failures: list[list[int]] = field(default_factory=list)
    types: list[str] = field(default_factory=lambda: list(at.TYPE_NAMES))
    demands: list[int] = field(default_factory=list)

    def lower_task(self, workflow: Workflow, task: Task, row: list[int]) -> None:
        """Fill the row of a task."""
        row[at.N_KIND] = at.TASK
        row[at.N_TIMEOUT], row[at.N_DEADLINE] = micros(task.timeout_s), micros(task.deadline_s)
        policy = self.scenario.retries.get(task.name) or task.retry or workflow.retry
        row[at.N_ATTEMPTS] = policy.max_attempts
        row[at.N_RETRY] = len(self.numbers.numbers)
        self.numbers.numbers += [float(policy.initial_delay), float(policy.max_delay), policy.multiplier, policy.jitter]  # type: ignore[arg-type]
        work = self.scenario.durations.get(task.name)
        if work is None:
            message = (
                f"task {task.name!r} has no duration. Add it to the scenario: "
                f"durations={{{task.name!r}: ok.exponential('5 min')}}, or '0s' if it takes no time."
            )
            raise ScenarioError(message, node=task.name)
        row[at.N_WORK] = self.numbers.distribution(work, f"durations: {task.name}")
        self._lower_demands(task, row)
        if work.family == "by_resource" and work.otherwise is None:
            self._check_people(task, work, row[at.N_POOL])
        batch = self.scenario.batches.get(task.name)
        if batch is not None:
            row[at.N_BATCH] = batch.size
            row[at.N_BATCH_WAIT] = -1 if batch.max_wait is None else micros(seconds(batch.max_wait))
        for part, position in (("patience", at.N_PATIENCE), ("setups", at.N_SETUP), ("priorities", at.N_PRIORITY)):
            value = getattr(self.scenario, part).get(task.name)
            if value is not None:
                row[position] = self.numbers.distribution(value, f"{part}: {task.name}")
        ways = self.scenario.failures.get(task.name, ())
        row[at.N_FAILURES], row[at.N_FAILURE_COUNT] = len(self.failures), len(ways)
        for way in ways:
            error = _CLASSES[task.error_class_for(way.type) or way.error]
            code = error | (self._type_code(way.type) << at.TYPE_SHIFT)
            after = -1 if way.after is None else self.numbers.distribution(way.after, f"failures: {task.name}")
            self.failures.append([code, after, self.numbers.number(way.probability)])
        row[at.N_TIMEOUT_CLASS] = _CLASSES[task.error_class_for("Timeout") or ErrorClass.TIMEOUT]

    def _check_people(self, task: Task, work: Distribution, pool: int) -> None:
        """Refuse a duration by resource that says nothing of somebody who may do the task."""
        role = self.staff.pools[pool][0] if pool >= 0 else None
        left = [name for owner, name in self.staff.units if owner == role and name not in work.parts]
        if left or role is None:
            who = repr(left[0]) if left else "nobody in particular"
            message = (
                f"durations: {task.name}: how long does it take if {who} does it? Give by_resource an otherwise=…."
            )
            raise ScenarioError(message, node=task.name)

    def _lower_demands(self, task: Task, row: list[int]) -> None:
        needed = self.scenario.requires.get(task.name, {} if task.role is None else {task.role: 1})
        limited = [
            (self.staff.pool_of(role), count) for role, count in needed.items() if role in self.scenario.resources
        ]
        row[at.N_POOL] = limited[0][0] if limited else -1
        if sum(count for _, count in limited) > 1:
            row[at.N_DEMANDS], row[at.N_DEMAND_COUNT] = len(self.demands), len(limited)
            self.demands += [value for pair in limited for value in pair]

    def lower_wait(self, wait: Wait, row: list[int]) -> None:
        """Fill the row of a wait."""
        row[at.N_KIND] = at.WAIT
        response = self.scenario.waits.get(wait.name)
        if response is None:
            if wait.kind is WaitKind.TIMER and wait.duration_s is not None:
                row[at.N_WORK] = self.numbers.distribution(constant(wait.duration_s), wait.name)
                return
            given = self.scenario.durations.get(wait.name)
            if given is not None:
                row[at.N_WORK] = self.numbers.distribution(given, wait.name)
                return
            message = (
                f"wait {wait.name!r}: when does the {wait.kind} come? Add it to the scenario: "
                f"waits={{{wait.name!r}: ok.exponential('1 h')}}."
            )
            raise ScenarioError(message, node=wait.name)
        row[at.N_WORK] = self.numbers.distribution(response.after, f"waits: {wait.name}")
        if response.never:
            row[at.N_NEVER] = self.numbers.number(response.never)
        if response.fails:
            row[at.N_FAILS] = self.numbers.number(response.fails)

    def _type_code(self, name: str) -> int:
        if name not in self.types:
            self.types.append(name)
        return self.types.index(name)


def micros(duration_s: float | None) -> int:
    """Return seconds as microseconds; -1 for none."""
    return -1 if duration_s is None else round(duration_s * at.MICRO)
