"""The engine's core: from messages to rows and effects. No threads, no clock, no waiting.

The shell (`orchkit.engine.engine`) feeds it messages and the time, makes its rows durable, and only then carries
out its effects: intent before effect. Tests drive the same core in virtual time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from orchkit.engine.messages import (
    Active,
    AddSchedule,
    CancelRun,
    ChangeSchedule,
    ClaimItem,
    CompleteItem,
    CompleteWait,
    Deploy,
    DiscardRun,
    Dispatch,
    Ended,
    HandlersAdded,
    Heartbeat,
    ListItems,
    ListPlans,
    Message,
    MigrateRun,
    Note,
    Outcome,
    Publish,
    ReleaseItem,
    ReplayRun,
    Settings,
    StartRun,
    Work,
    run_id_of,
)
from orchkit.engine.people import DUE, HUMAN, TIMEOUT, People
from orchkit.engine.plans import Plans
from orchkit.engine.revival import Revival
from orchkit.engine.rows import history_row
from orchkit.engine.slots import WHOLE, Slots
from orchkit.engine.waits import Waits
from orchkit.errors import ExpressionError, RunError, RunNotFound, WorkflowError, nearest
from orchkit.events import (
    CancelAsked,
    ChildEnded,
    Event,
    Failure,
    Finish,
    Kind,
    OpenWait,
    Record,
    RunStep,
    SetTimer,
    StartChild,
    State,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.executors import Attempt, TaskExecutor
from orchkit.machine import Transition, advance, start
from orchkit.model.definition import Workflow
from orchkit.model.expressions import render
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass, RunStatus, StepStatus
from orchkit.store import DefinitionRow, Redactor, RunRow, StoredRow
from orchkit.trace_context import span_of, trace_of

__all__ = ["Core"]


class _Reader(Protocol):
    """What the core reads of the store."""

    def known_runs(self, run_ids: list[str]) -> Mapping[str, RunRow]: ...
    def latest_definition(self, name: str) -> str | None: ...
    def definition(self, digest: str) -> str: ...
    def stored_runs(self, run_ids: Sequence[str]) -> Iterator[tuple[RunRow, list[StoredRow]]]: ...


class Core:
    """Runs in memory, and what the world's messages make of them."""

    def __init__(self, settings: Settings, reader: _Reader) -> None:
        self.settings = settings
        self.reader = reader
        self.redact = Redactor(settings.secrets)
        self.active: dict[str, Active] = {}
        self.timers: list[tuple[float, int, str, str, str, int]] = []
        self.slots = Slots(settings.limits)
        self.parked: dict[tuple[str, str], Exception] = {}
        self.unsettled: set[str] = set()  # begun, and not durable yet
        self.draining = False
        self.running: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}
        self.revival = Revival(self)
        self.people = People(self)
        self.waits = Waits(self)
        self.plans = Plans(self)
        self._others: Mapping[type, Callable[[Any], Any]] = {
            ReplayRun: self.revival.replay,
            DiscardRun: self.revival.discard,
            ClaimItem: self.people.claim,
            ReleaseItem: self.people.release,
            CompleteItem: self.people.complete,
            ListItems: lambda _: None,
            ListPlans: lambda _: None,
            Note: self.plans.note,
            MigrateRun: self.revival.migrate,
            AddSchedule: self.plans.add,
            ChangeSchedule: self.plans.change,
            Deploy: self.plans.deploy,
        }
        self._saved: set[str] = set()
        self._timer_serial = 0
        self._now = 0.0
        self._work = Work()
        self._agenda: deque[tuple[str, Event]] = deque()

    # A turn ------------------------------------------------------------------

    def handle(self, messages: Iterable[Message], now: float) -> Work:
        """Return the work that messages, and the timers that are due, make.

        Parameters
        ----------
        messages
            In order of arrival.
        now
            The present time, in seconds since the epoch.
        """
        self._now, self._work = now, Work()
        listed = list(messages)
        starts = [message.run_id for message in listed if isinstance(message, StartRun)]
        # Looked at before the store: a run may end in this very turn, or have ended in one that is not durable yet.
        fresh = {run_id for run_id in starts if run_id in self.active or run_id in self.unsettled}
        fresh |= set(self.reader.known_runs([run_id for run_id in starts if run_id not in fresh]) if starts else ())
        for position, message in enumerate(listed):
            try:
                self._work.answers[position] = self._take(message, fresh)
            except (RunError, WorkflowError) as error:
                self._work.answers[position] = error
            self._drain()
        self._fire_timers()
        self._fill_slots()
        for position, message in enumerate(listed):
            if isinstance(message, ListItems):  # told as it is after the turn
                self._work.answers[position] = self.people.offers()
            elif isinstance(message, ListPlans):
                self._work.answers[position] = self.plans.listed()
        work = self._work
        work.batch.rows = [row for row in work.batch.rows if row is not None]
        return work

    def next_timer(self) -> float | None:
        """Return when the next timer, or run of a schedule, is due, or None."""
        due, planned = self._next_timer(), self.plans.next_due()
        return planned if due is None else due if planned is None else min(due, planned)

    def _next_timer(self) -> float | None:
        while self.timers and not self._is_live(self.timers[0]):
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else None

    @property
    def is_idle(self) -> bool:
        """Whether no attempt is running."""
        return not self.running

    def _take(self, message: Message, known: set[str]) -> Any:  # noqa: ANN401 -- the message's answer
        match message:
            case Outcome():
                self._outcome(message)
            case StartRun():
                if message.run_id not in self.active and message.run_id not in known:
                    self._start(message)
                    known.add(message.run_id)
                return message.run_id
            case Heartbeat():
                active = self.active.get(message.run_id)
                if active is not None and message.step_id in active.beats:
                    active.beats[message.step_id] = self._now
            case CompleteWait():
                self.waits.complete(message)
            case Publish():
                return self._publish(message)
            case CancelRun():
                self._agenda.append((self._found(message.run_id).run_id, CancelAsked(message.reason)))
            case HandlersAdded():
                self._unpark()
            case _:
                return self._others[type(message)](message)
        return None

    def _found(self, run_id: str) -> Active:
        active = self.active.get(run_id)
        if active is None:
            message = f"Run {run_id!r} is not active: it has ended, or never was."
            raise RunNotFound(message, run_id=run_id)
        return active

    def _drain(self) -> None:
        while self._agenda:
            run_id, event = self._agenda.popleft()
            active = self.active.get(run_id)
            if active is not None:
                self._apply(active, advance(active.workflow, active.state, event))

    # Runs --------------------------------------------------------------------

    def _start(self, message: StartRun) -> None:
        workflow = message.workflow
        self._save_definition(workflow)
        active = Active(message.run_id, message.case_id, workflow, State(), message.parent)
        above = None if message.parent is None else self.active.get(message.parent[0])
        active.trace = message.trace or (trace_of(message.run_id) if above is None else above.trace)
        self.active[message.run_id] = active
        self.unsettled.add(message.run_id)
        parent = None if message.parent is None else "/".join(message.parent)
        self._work.batch.runs.append(
            RunRow(
                message.run_id,
                message.case_id,
                workflow.name,
                workflow.digest,
                workflow.version,
                parent,
                int(self._now * 1e6),
            ),
        )
        active.began[""] = self._now
        begun = start(workflow, message.inputs, run_id=message.run_id)
        span = message.span
        if above is not None and message.parent is not None and message.parent[1] in above.state.steps:
            span = span_of(*message.parent, above.state.steps[message.parent[1]].attempt)
        # The history tells all, so that the table of runs can be made from it.
        told = {name: value for name, value in (("parent", parent), ("parent_span", span)) if value is not None}
        if told:
            first, *rest = begun.records
            begun = replace(begun, records=[replace(first, payload={**(first.payload or {}), **told}), *rest])
        self._apply(active, begun)

    def start_once(self, message: StartRun) -> bool:
        """Start a run unless there is one of its id; tell whether it was started."""
        run_id = message.run_id
        if run_id in self.active or run_id in self.unsettled or self.reader.known_runs([run_id]):
            return False
        self._start(message)
        return True

    def _save_definition(self, workflow: Workflow) -> None:
        if workflow.digest in self._saved:
            return
        self._saved.add(workflow.digest)
        self._work.batch.definitions.append(
            DefinitionRow(workflow.digest, workflow.name, workflow.version, workflow.to_json(), int(self._now * 1e6)),
        )

    def adopt(self, active: Active, transitions: Iterable[tuple[float, Transition]], now: float) -> None:
        """Take over a run from its history: what its commands still mean is set up again.

        Parameters
        ----------
        active
            The run, with its state folded from the history.
        transitions
            What the folding gave, each with the time of its event.
        now
            The present time.
        """
        self._now, self._work = now, Work()
        self.active[active.run_id] = active
        self._saved.add(active.workflow.digest)
        for then, transition in transitions:
            self._now = then
            for command in transition.commands:
                if isinstance(command, SetTimer | OpenWait) and command.step_id in active.state.steps:
                    self._carry_out(active, command)

    def resume(self, run_ids: Iterable[str], now: float) -> Work:
        """Begin again what the runs that were adopted had begun or were about to begin."""
        self._now, self._work = now, Work()
        for run_id in run_ids:
            active = self.active.get(run_id)
            if active is None:
                continue
            for step in list(active.state.steps.values()):
                if step.status is StepStatus.PENDING:
                    self._carry_out(active, RunStep(step.id))
                elif step.status is StepStatus.RUNNING and step.kind in (Kind.TASK, Kind.COMPENSATION):
                    self._run_again(active, step.id)
            self._drain()
        self.plans.resume()
        self._fire_timers()
        self._fill_slots()
        self._work.batch.rows = [row for row in self._work.batch.rows if row is not None]
        return self._work

    def _run_again(self, active: Active, step_id: str) -> None:
        """Repeat the attempt that a crash cut off: its outcome is not known."""
        step = active.state.steps[step_id]
        task = active.workflow.node(step.node)
        assert isinstance(task, Task)  # noqa: S101 -- only tasks have attempts
        if self._is_parked(active, step_id, task):
            return
        if task.executor == HUMAN:
            self.people.offer(active, step_id, task)
            return
        keys = self.slots.keys(task)
        if not self.slots.take(keys):
            self.slots.queue.append((active.run_id, step_id, keys))
            return
        self._row(
            active, Record(step.kind, StepStatus.RUNNING, step.node, step_id, step.attempt, payload={"resumed": True})
        )
        self._dispatch(active, step_id, task, keys)

    def _unpark(self) -> None:
        """Try again the steps whose handler was missing."""
        waiting, self.parked = list(self.parked), {}
        for run_id, step_id in waiting:
            active = self.active.get(run_id)
            if active is None or step_id not in active.state.steps:
                continue
            if active.state.steps[step_id].status is StepStatus.RUNNING:
                self._run_again(active, step_id)
            else:
                self._carry_out(active, RunStep(step_id))

    def _row(self, active: Active, record: Record) -> None:
        self._work.batch.rows.append(history_row(active, record, self._now, self.redact))

    def _apply(self, active: Active, transition: Transition) -> None:
        active.state = transition.state
        self._work.touched[active.run_id] = active
        for record in transition.records:
            self._row(active, record)
        for command in transition.commands:
            self._carry_out(active, command)
        if active.items:
            self.people.withdraw(active)

    # Commands ----------------------------------------------------------------

    def _carry_out(self, active: Active, command: Any) -> None:  # noqa: ANN401 -- a Command
        match command:
            case RunStep(step_id):
                self._run_step(active, step_id)
            case SetTimer(step_id, purpose, delay_s, until_s):
                due = until_s if until_s is not None else self._now + delay_s
                self._set_timer(due, active.run_id, step_id, purpose.value)
            case OpenWait():
                self.waits.open(active, command)
            case StartChild():
                self._start_child(active, command)
            case StopStep(step_id):
                self._stop(active, step_id)
            case Finish():
                self._finish(active, command)

    def _run_step(self, active: Active, step_id: str) -> None:
        step = active.state.steps.get(step_id)
        if step is None or self.draining:
            return
        task = active.workflow.node(step.node)
        assert isinstance(task, Task)  # noqa: S101 -- only tasks are run
        if self._is_parked(active, step_id, task):
            return
        if task.executor == HUMAN:
            self.people.offer(active, step_id, task)
            return
        keys = self.slots.keys(task)
        if self.slots.take(keys):
            self._begin(active, step_id, task, keys)
        else:
            self.slots.queue.append((active.run_id, step_id, keys))

    def _is_parked(self, active: Active, step_id: str, task: Task) -> bool:
        executor = self.settings.executors.get(task.executor)
        problem = executor.problem_with(task) if executor is not None else _no_executor(task, self.settings.executors)
        if problem is None:
            return False
        self.parked[active.run_id, step_id] = problem
        return True

    def _begin(self, active: Active, step_id: str, task: Task, keys: tuple[str, ...]) -> None:
        transition = advance(active.workflow, active.state, StepStarted(step_id))
        self._drop_pending(active.run_id, step_id)
        self._apply(active, transition)
        self._dispatch(active, step_id, task, keys)

    def _drop_pending(self, run_id: str, step_id: str) -> None:
        """Leave out the PENDING row of a step that starts in the same commit."""
        rows = self._work.batch.rows
        for position in range(len(rows) - 1, max(-1, len(rows) - 12), -1):
            row = rows[position]
            if row is not None and row.step_id == step_id and row.run_id == run_id and row.status == "PENDING":
                rows[position] = None  # type: ignore[call-overload]  # taken out when the turn ends
                return

    def _dispatch(self, active: Active, step_id: str, task: Task, keys: tuple[str, ...]) -> None:
        step = active.state.steps[step_id]
        variables = active.state.variables_of(step_id)
        active.began[step_id] = self._now
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
            systems=self.settings.systems,
            secrets=self.settings.secrets,
        )
        self._work.effects.append(Dispatch(attempt))
        if task.timeout_s is not None:
            self._set_timer(self._now + task.timeout_s, active.run_id, step_id, "attempt", step.attempt)
        if task.heartbeat_s is not None:
            active.beats[step_id] = self._now
            self._set_timer(self._now + task.heartbeat_s, active.run_id, step_id, "heartbeat", step.attempt)

    def _key(self, active: Active, step_id: str, task: Task, variables: Mapping[str, Any]) -> str:
        if task.idempotency_key is not None:
            run = {"id": active.run_id, "case_id": active.case_id, "workflow": active.workflow.name, "step_id": step_id}
            try:
                return str(render(task.idempotency_key, {"systems": self.settings.systems, "run": run, **variables}))
            except ExpressionError:
                pass  # checks tell of it; the step's own key keeps attempts together all the same
        return f"{active.run_id}:{step_id}"

    def _outcome(self, outcome: Outcome) -> None:
        self._release(outcome.run_id, outcome.step_id, outcome.attempt)
        active = self.active.get(outcome.run_id)
        step = None if active is None else active.state.steps.get(outcome.step_id)
        if active is None or step is None or step.attempt != outcome.attempt or step.status is not StepStatus.RUNNING:
            return  # too late: it had timed out or was given up
        if outcome.failure is None:
            event: Event = StepCompleted(outcome.step_id, outcome.output)
        else:
            event = StepFailed(outcome.step_id, outcome.failure)
        self._agenda.append((outcome.run_id, event))

    def _release(self, run_id: str, step_id: str, attempt: int | None = None) -> None:
        """Free what an attempt holds; one that hangs holds nothing once it has been given up."""
        held = self.running.get((run_id, step_id))
        if held is not None and attempt in (None, held[0]):
            del self.running[run_id, step_id]
            self.slots.release(held[1])

    def _fill_slots(self) -> None:
        """Begin what queues, first come first served among those whose limits have room."""
        if not self.slots.queue or self.draining:
            return
        still: deque[tuple[str, str, tuple[str, ...]]] = deque()
        full: set[str] = set()
        while self.slots.queue:
            run_id, step_id, keys = entry = self.slots.queue.popleft()
            active = self.active.get(run_id)
            step = None if active is None else active.state.steps.get(step_id)
            if active is None or step is None:
                continue
            if full.intersection(keys) or not self.slots.take(keys):
                still.append(entry)
                full.update(key for key in keys if self.slots.used[key] >= self.slots.limits[key])
                if WHOLE in full:
                    break
                continue
            task = active.workflow.node(step.node)
            assert isinstance(task, Task)  # noqa: S101 -- only tasks queue
            if step.status is StepStatus.RUNNING:
                self.slots.release(keys)
                self._run_again(active, step_id)
            else:
                self._begin(active, step_id, task, keys)
            self._drain()
        still.extend(self.slots.queue)
        self.slots.queue = still

    # Events, children, ends ----------------------------------------------------

    def _publish(self, message: Publish) -> int:
        if self.plans.is_known(message):
            return 0
        taken = self.waits.publish(message)
        started = self.plans.start_by(message)
        self.plans.published(message, started, taken)
        return len(taken) + len(started)

    def _start_child(self, active: Active, command: StartChild) -> None:
        workflow = active.workflow.called(command.workflow)
        if workflow is None:
            text = self.reader.latest_definition(command.workflow)
            workflow = None if text is None else Workflow.from_json(text)
        if workflow is None:
            name = command.workflow
            message = f"There is no workflow {name!r}: embed it, or keep {name}.yaml beside the caller."
            failure = Failure(
                ErrorClass.PERMANENT, "UnknownWorkflow", message, active.state.steps[command.step_id].node
            )
            self._agenda.append((active.run_id, ChildEnded(command.step_id, RunStatus.FAILED, failure=failure)))
            return
        child = _child_id(active.run_id, command.step_id)
        if active.state.steps[command.step_id].attempt > 1 and self.revival.child(child, command):
            return
        self._start(StartRun(child, active.case_id, workflow, command.inputs, (active.run_id, command.step_id)))

    def _stop(self, active: Active, step_id: str) -> None:
        self.waits.close(active, step_id)
        self.parked.pop((active.run_id, step_id), None)
        self._release(active.run_id, step_id)
        child = _child_id(active.run_id, step_id)
        if child in self.active:
            self._agenda.append((child, CancelAsked("The caller has given it up.")))

    def _finish(self, active: Active, finish: Finish) -> None:
        del self.active[active.run_id]
        self.plans.ended(active.run_id)
        self.waits.close_all(active)
        variables = active.state.variables
        self._work.effects.append(Ended(active.run_id, finish, variables))
        if active.parent is not None:
            run_id, step_id = active.parent
            self._agenda.append((run_id, ChildEnded(step_id, finish.status, variables, finish.failure)))

    # Timers ------------------------------------------------------------------

    def _set_timer(self, due: float, run_id: str, step_id: str, purpose: str, attempt: int = 0) -> None:
        self._timer_serial += 1
        heapq.heappush(self.timers, (due, self._timer_serial, run_id, step_id, purpose, attempt))

    def _is_live(self, timer: tuple[float, int, str, str, str, int]) -> bool:
        _, _, run_id, step_id, purpose, attempt = timer
        active = self.active.get(run_id)
        step = None if active is None else active.state.steps.get(step_id)
        if step is None:
            return False
        match purpose:
            case "retry":
                return step.status is StepStatus.RETRYING
            case "attempt" | "heartbeat":
                return step.status is StepStatus.RUNNING and step.attempt == attempt
            case _:
                return True

    def _fire_timers(self) -> None:
        if not self.draining:
            self.plans.fire(self._now)
        while True:
            due = self._next_timer()
            if due is None or due > self._now:
                return
            _, _, run_id, step_id, purpose, attempt = heapq.heappop(self.timers)
            active = self.active[run_id]
            if purpose in (DUE, TIMEOUT):
                self.people.fire(active, step_id, purpose)
            elif purpose in ("attempt", "heartbeat"):
                self._attempt_timer(active, step_id, purpose, attempt)
            else:
                self._agenda.append((run_id, TimerFired(step_id, TimerPurpose(purpose))))
            self._drain()

    def _attempt_timer(self, active: Active, step_id: str, purpose: str, attempt: int) -> None:
        task = active.workflow.node(active.state.steps[step_id].node)
        assert isinstance(task, Task)  # noqa: S101 -- only tasks have attempts
        if purpose == "attempt":
            failure = Failure(ErrorClass.TIMEOUT, "Timeout", f"No outcome within {task.timeout_s} s.")
        else:
            due = active.beats[step_id] + (task.heartbeat_s or 0.0)
            if due > self._now:
                self._set_timer(due, active.run_id, step_id, "heartbeat", attempt)
                return
            failure = Failure(ErrorClass.TIMEOUT, "HeartbeatLost", f"No heartbeat for {task.heartbeat_s} s.")
        self._release(active.run_id, step_id)
        self._agenda.append((active.run_id, StepFailed(step_id, failure)))


def _child_id(run_id: str, step_id: str) -> str:
    return run_id_of(run_id, step_id)


def _no_executor(task: Task, executors: Mapping[str, TaskExecutor]) -> Exception:
    message = f"Task {task.name!r}: there is no executor {task.executor!r}.{nearest(task.executor, executors)}"
    return RunNotFound(message)
