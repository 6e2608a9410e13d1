"""The core's part in attempts: begun as limits allow, given up when they take too long, repeated after a crash."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchkit.engine.messages import Active, Dispatch, Outcome
from orchkit.engine.people import HUMAN
from orchkit.engine.slots import WHOLE, Slots
from orchkit.errors import ExpressionError, RunNotFound, nearest
from orchkit.events import (
    Event,
    Failure,
    Record,
    RunStep,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from orchkit.executors import Attempt, TaskExecutor
from orchkit.machine import advance
from orchkit.model.expressions import render
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.turn import expect

if TYPE_CHECKING:
    from orchkit.engine.core import Core

__all__ = ["Attempts"]


class Attempts:
    """What is being done, what queues for a free slot, and what is parked until its handler comes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.slots = Slots(core.settings.limits)
        self.parked: dict[tuple[str, str], Exception] = {}
        self.running: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}

    def start(self, active: Active, step_id: str) -> None:
        """Begin a step, or queue it where a limit is reached."""
        step = active.state.steps.get(step_id)
        if step is None or self._core.draining:
            return
        task = expect(active.workflow.node(step.node), Task)
        if self._is_parked(active, step_id, task):
            return
        if task.executor == HUMAN:
            self._core.people.offer(active, step_id, task)
            return
        keys = self.slots.keys(task)
        if self.slots.take(keys):
            self._begin(active, step_id, task, keys)
        else:
            self.slots.queue.append((active.run_id, step_id, keys))

    def repeat(self, active: Active, step_id: str) -> None:
        """Repeat the attempt that a crash cut off: its outcome is not known."""
        step = active.state.steps[step_id]
        task = expect(active.workflow.node(step.node), Task)
        if self._is_parked(active, step_id, task):
            return
        if task.executor == HUMAN:
            self._core.people.offer(active, step_id, task)
            return
        keys = self.slots.keys(task)
        if not self.slots.take(keys):
            self.slots.queue.append((active.run_id, step_id, keys))
            return
        self._core._row(
            active, Record(step.kind, StepStatus.RUNNING, step.node, step_id, step.attempt, payload={"resumed": True})
        )
        self._dispatch(active, step_id, task, keys)

    def unpark(self) -> None:
        """Try again the steps whose handler was missing."""
        waiting, self.parked = list(self.parked), {}
        for run_id, step_id in waiting:
            active = self._core.active.get(run_id)
            if active is None or step_id not in active.state.steps:
                continue
            if active.state.steps[step_id].status is StepStatus.RUNNING:
                self.repeat(active, step_id)
            else:
                self._core._carry_out(active, RunStep(step_id))

    def ended(self, outcome: Outcome) -> None:
        """Take the outcome of an attempt, unless it is too late."""
        self.release(outcome.run_id, outcome.step_id, outcome.attempt)
        active = self._core.active.get(outcome.run_id)
        step = None if active is None else active.state.steps.get(outcome.step_id)
        if active is None or step is None or step.attempt != outcome.attempt or step.status is not StepStatus.RUNNING:
            return  # too late: it had timed out or was given up
        if outcome.failure is None:
            event: Event = StepCompleted(outcome.step_id, outcome.output)
        else:
            event = StepFailed(outcome.step_id, outcome.failure)
        self._core._agenda.append((outcome.run_id, event))

    def release(self, run_id: str, step_id: str, attempt: int | None = None) -> None:
        """Free what an attempt holds; one that hangs holds nothing once it has been given up."""
        held = self.running.get((run_id, step_id))
        if held is not None and attempt in (None, held[0]):
            del self.running[run_id, step_id]
            self.slots.release(held[1])

    def fill(self) -> None:
        """Begin what queues, first come first served among those whose limits have room."""
        if not self.slots.queue or self._core.draining:
            return
        still: deque[tuple[str, str, tuple[str, ...]]] = deque()
        full: set[str] = set()
        while self.slots.queue:
            run_id, step_id, keys = entry = self.slots.queue.popleft()
            active = self._core.active.get(run_id)
            step = None if active is None else active.state.steps.get(step_id)
            if active is None or step is None:
                continue
            if full.intersection(keys) or not self.slots.take(keys):
                still.append(entry)
                full.update(key for key in keys if self.slots.used[key] >= self.slots.limits[key])
                if WHOLE in full:
                    break
                continue
            task = expect(active.workflow.node(step.node), Task)
            if step.status is StepStatus.RUNNING:
                self.slots.release(keys)
                self.repeat(active, step_id)
            else:
                self._begin(active, step_id, task, keys)
            self._core._drain()
        still.extend(self.slots.queue)
        self.slots.queue = still

    def fire(self, active: Active, step_id: str, purpose: str, attempt: int) -> None:
        """Give up an attempt that takes too long or is silent."""
        task = expect(active.workflow.node(active.state.steps[step_id].node), Task)
        if purpose == "attempt":
            failure = Failure(ErrorClass.TIMEOUT, "Timeout", f"No outcome within {task.timeout_s} s.")
        else:
            due = active.beats[step_id] + (task.heartbeat_s or 0.0)
            if due > self._core._now:
                self._core._set_timer(due, active.run_id, step_id, "heartbeat", attempt)
                return
            failure = Failure(ErrorClass.TIMEOUT, "HeartbeatLost", f"No heartbeat for {task.heartbeat_s} s.")
        self.release(active.run_id, step_id)
        self._core._agenda.append((active.run_id, StepFailed(step_id, failure)))

    def _is_parked(self, active: Active, step_id: str, task: Task) -> bool:
        executor = self._core.settings.executors.get(task.executor)
        problem = (
            executor.problem_with(task) if executor is not None else _no_executor(task, self._core.settings.executors)
        )
        if problem is None:
            return False
        self.parked[active.run_id, step_id] = problem
        return True

    def _begin(self, active: Active, step_id: str, task: Task, keys: tuple[str, ...]) -> None:
        transition = advance(active.workflow, active.state, StepStarted(step_id))
        self._drop_pending(active.run_id, step_id)
        self._core._apply(active, transition)
        self._dispatch(active, step_id, task, keys)

    def _drop_pending(self, run_id: str, step_id: str) -> None:
        """Leave out the PENDING row of a step that starts in the same commit."""
        rows = self._core._work.batch.rows
        for position in range(len(rows) - 1, max(-1, len(rows) - 12), -1):
            row = rows[position]
            if row is not None and row.step_id == step_id and row.run_id == run_id and row.status == "PENDING":
                rows[position] = None  # type: ignore[call-overload]  # taken out when the turn ends
                return

    def _dispatch(self, active: Active, step_id: str, task: Task, keys: tuple[str, ...]) -> None:
        step = active.state.steps[step_id]
        variables = active.state.variables_of(step_id)
        active.began[step_id] = self._core._now
        self.running[active.run_id, step_id] = step.attempt, keys
        attempt = Attempt(
            task=task,
            run_id=active.run_id,
            case_id=active.case_id,
            workflow=active.workflow.name,
            step_id=step_id,
            attempt=step.attempt,
            variables=variables,
            idempotency_key=self._key(active, step_id, task, variables),
            trace_id=active.trace or "",
            systems=self._core.settings.systems,
            secrets=self._core.settings.secrets,
        )
        self._core._work.effects.append(Dispatch(attempt))
        if task.timeout_s is not None:
            self._core._set_timer(self._core._now + task.timeout_s, active.run_id, step_id, "attempt", step.attempt)
        if task.heartbeat_s is not None:
            active.beats[step_id] = self._core._now
            self._core._set_timer(self._core._now + task.heartbeat_s, active.run_id, step_id, "heartbeat", step.attempt)

    def _key(self, active: Active, step_id: str, task: Task, variables: Mapping[str, Any]) -> str:
        if task.idempotency_key is not None:
            run = {"id": active.run_id, "case_id": active.case_id, "workflow": active.workflow.name, "step_id": step_id}
            try:
                return str(
                    render(task.idempotency_key, {"systems": self._core.settings.systems, "run": run, **variables})
                )
            except ExpressionError:
                pass  # checks tell of it; the step's own key keeps attempts together all the same
        return f"{active.run_id}:{step_id}"


def _no_executor(task: Task, executors: Mapping[str, TaskExecutor]) -> Exception:
    message = f"Task {task.name!r}: there is no executor {task.executor!r}.{nearest(task.executor, executors)}"
    return RunNotFound(message)
