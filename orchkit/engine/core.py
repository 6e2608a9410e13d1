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

from orchkit.engine.attempts import Attempts
from orchkit.engine.doors import Doors
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
    Receive,
    ReleaseItem,
    ReplayRun,
    Settings,
    StartRun,
    Work,
    run_id_of,
)
from orchkit.engine.people import DUE, TIMEOUT, People
from orchkit.engine.plans import Plans
from orchkit.engine.revival import Revival
from orchkit.engine.rows import history_row
from orchkit.engine.waits import Waits
from orchkit.errors import RunError, RunNotFound, WorkflowError
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
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.machine import Transition, advance, start
from orchkit.model.definition import Workflow
from orchkit.model.states import ErrorClass, RunStatus, StepStatus
from orchkit.run_state import State
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
        self.unsettled: set[str] = set()  # begun, and not durable yet
        self.draining = False
        self.revival = Revival(self)
        self.people = People(self)
        self.waits = Waits(self)
        self.attempts = Attempts(self)
        self.plans = Plans(self)
        self.doors = Doors(self)
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
            Receive: self.doors.receive,
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
        self.attempts.fill()
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
        return not self.attempts.running

    def _take(self, message: Message, known: set[str]) -> Any:  # noqa: ANN401 -- the message's answer
        match message:
            case Outcome():
                self.attempts.ended(message)
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
                self.attempts.unpark()
            case _:
                return self._others[type(message)](message)
        return None

    def _found(self, run_id: str) -> Active:
        active = self.active.get(run_id)
        if active is None:
            message = f"Run {run_id!r} is not active: it has ended, or does not exist."
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
                    if _is_past(command, transition, active):
                        continue
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
                    self.attempts.repeat(active, step.id)
            self._drain()
        self.plans.resume()
        self._fire_timers()
        self.attempts.fill()
        self._work.batch.rows = [row for row in self._work.batch.rows if row is not None]
        return self._work

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
                self.attempts.start(active, step_id)
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

    # Events, children, ends ----------------------------------------------------

    def _publish(self, message: Publish) -> int:
        if self.plans.is_known(message):
            return 0
        if message.is_strict:
            self.plans.refuse(message, is_awaited=self.waits.is_awaited(message))
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
        self.attempts.parked.pop((active.run_id, step_id), None)
        self.attempts.release(active.run_id, step_id)
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
                self.attempts.fire(active, step_id, purpose, attempt)
            else:
                self._agenda.append((run_id, TimerFired(step_id, TimerPurpose(purpose))))
            self._drain()


def _is_past(command: SetTimer | OpenWait, transition: Transition, active: Active) -> bool:
    """Whether a timer was for a retry that has been: it would let the next one come before its time."""
    if not isinstance(command, SetTimer) or command.purpose is not TimerPurpose.RETRY:
        return False
    then = transition.state.steps.get(command.step_id)
    return then is None or then.attempt != active.state.steps[command.step_id].attempt


def _child_id(run_id: str, step_id: str) -> str:
    return run_id_of(run_id, step_id)
