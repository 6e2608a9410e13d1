"""The bare machine in virtual time: the world that a case of the table describes, and nothing else."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Command,
    DiscardAsked,
    Event,
    Failure,
    Finish,
    OpenWait,
    Record,
    ReplayAsked,
    RunStep,
    SetTimer,
    StartChild,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
)
from orchkit.machine import Transition, advance, start
from orchkit.model import Workflow
from orchkit.model.expressions import evaluate
from orchkit.model.nodes import Task, WaitKind
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.run_state import State
from tests.semantics.table import NEVER, Case, Row, phrases

# The moment at which every case begins.
EPOCH = datetime.fromisoformat("2027-01-01T00:00:00+00:00").timestamp()


@dataclass(slots=True)
class _Run:
    """A run in the world: the case's own, or a child's."""

    workflow: Workflow
    prefix: str
    parent: tuple[_Run, str] | None
    state: State = field(default_factory=State)
    waits: dict[str, OpenWait] = field(default_factory=dict)
    children: dict[str, _Run] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Played:
    """What came out of a case."""

    status: str
    error: str | None
    moments: list[str]
    variables: dict[str, object]
    state: State
    transitions: list[tuple[Event | None, Transition]]


def play(case: Case) -> Played:
    """Return what the machine makes of a case."""
    return _World(case).play()


class _World:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.now = 0.0
        self.serial = 0
        self.due: list[tuple[float, int, _Run, str | None, Callable[[], None]]] = []
        self.agenda: deque[tuple[_Run, Event]] = deque()
        self.visits: dict[str, dict[str, int]] = {}
        self.moments: list[list[tuple[str, Row]]] = []
        self.transitions: list[tuple[Event | None, Transition]] = []
        self.root = _Run(case.workflow, "", None)

    def play(self) -> Played:
        for event in self.case.events:
            self.at(event["at"], self.root, None, lambda event=event: self.happens(event))
        self.moments.append([])
        self.begin(self.root, dict(self.case.inputs), "case")
        self.drain()
        while self.due and (self.root.state.finished is None or self.case.decides_after(self.now)):
            self.now, _, run, step_id, then = heapq.heappop(self.due)
            self.refuse_ties(run, step_id)
            self.moments.append([])
            then()
            self.drain()
        finished = self.root.state.finished
        failure = None if finished is None else finished.failure
        return Played(
            str(self.root.state.status),
            None if failure is None else f"{failure.type} at {failure.node}" if failure.node else failure.type,
            self.lines(),
            changes(self.case, self.root.state.variables),
            self.root.state,
            self.transitions,
        )

    def lines(self) -> list[str]:
        """Return the trace, a line a moment in which something was recorded."""
        rows = [row for moment in self.moments for row in moment]
        said = iter(phrases(row for _, row in rows))
        lines = []
        for moment in self.moments:
            words = [f"{prefix}{next(said)}" for prefix, row in moment if phrases([row])]
            if words:
                lines.append("; ".join(words))
        return lines

    # Time --------------------------------------------------------------------

    def at(self, moment: float, run: _Run, step_id: str | None, then: Callable[[], None]) -> None:
        if moment < NEVER:
            self.serial += 1
            heapq.heappush(self.due, (max(moment, self.now), self.serial, run, step_id, then))

    def refuse_ties(self, run: _Run, step_id: str | None) -> None:
        """Refuse a case whose trace would depend on who comes first in one moment."""
        if self.case.ties or not self.due or self.due[0][0] > self.now:
            return
        _, _, other, other_id, _ = self.due[0]
        live = [each for each, of in ((step_id, run), (other_id, other)) if each is None or each in of.state.steps]
        if len(live) > 1:
            message = f"{self.case.name}: {step_id} and {other_id} happen at the same moment, {self.now}"
            raise ValueError(message)

    # Runs --------------------------------------------------------------------

    def begin(self, run: _Run, inputs: dict[str, object], run_id: str) -> None:
        self.took(run, None, start(run.workflow, inputs, run_id=run_id))

    def go(self, run: _Run, event: Event) -> None:
        if run.state.finished is None or isinstance(event, ReplayAsked | DiscardAsked):
            self.took(run, event, advance(run.workflow, run.state, event))

    def took(self, run: _Run, event: Event | None, transition: Transition) -> None:
        run.state = transition.state
        if run is self.root:
            self.transitions.append((event, transition))
        self.moments[-1].extend((run.prefix, row_of(record, run.prefix)) for record in transition.records)
        for command in transition.commands:
            self.carry_out(run, command)

    def drain(self) -> None:
        while self.agenda:
            self.go(*self.agenda.popleft())

    def carry_out(self, run: _Run, command: Command) -> None:
        match command:
            case RunStep(step_id):
                self.run_step(run, step_id)
            case SetTimer(step_id, purpose, delay_s, until_s):
                moment = self.now + delay_s if until_s is None else until_s - EPOCH
                self.at(moment, run, step_id, lambda: self.go(run, TimerFired(step_id, purpose)))
            case OpenWait(step_id):
                run.waits[step_id] = command
            case StartChild(step_id, name, inputs):
                self.start_child(run, step_id, name, dict(inputs))
            case StopStep(step_id):
                run.waits.pop(step_id, None)
                if step_id in run.children:
                    self.agenda.append((run.children[step_id], CancelAsked("given up")))
            case Finish(status, failure) if run.parent is not None:
                parent, step_id = run.parent
                self.agenda.append((parent, ChildEnded(step_id, status, run.state.variables, failure)))

    def run_step(self, run: _Run, step_id: str) -> None:
        if step_id not in run.state.steps:
            return
        self.go(run, StepStarted(step_id))
        step = run.state.steps[step_id]
        visits = self.visits.setdefault(run.prefix + step.node, {})
        outcome = self.case.outcome(step.node, visits.setdefault(step_id, len(visits) + 1), step.attempt)
        task = run.workflow.node(step.node)
        assert isinstance(task, Task)
        if task.timeout_s is not None and outcome.takes > task.timeout_s:
            event: Event = StepFailed(
                step_id, Failure(ErrorClass.TIMEOUT, "Timeout", f"No outcome within {task.timeout_s} s.")
            )
            self.at(self.now + task.timeout_s, run, step_id, lambda: self.go(run, event))
        else:
            event = (
                StepCompleted(step_id, outcome.value)
                if outcome.failure is None
                else StepFailed(step_id, outcome.failure)
            )
            self.at(self.now + outcome.takes, run, step_id, lambda: self.go(run, event))

    def start_child(self, run: _Run, step_id: str, name: str, inputs: dict[str, object]) -> None:
        if step_id in run.children:  # called once more by a replay
            self.agenda.append((run.children[step_id], ReplayAsked()))
            return
        called = run.workflow.called(name)
        if called is None:
            failure = Failure(ErrorClass.PERMANENT, "UnknownWorkflow")
            self.agenda.append((run, ChildEnded(step_id, RunStatus.FAILED, failure=failure)))
            return
        child = _Run(called, f"{run.prefix}{run.state.steps[step_id].node}/", (run, step_id))
        run.children[step_id] = child
        self.begin(child, inputs, f"case/{step_id}")

    # What comes from outside ---------------------------------------------------

    def happens(self, event: dict[str, object]) -> None:
        match event:
            case {"replay": variables, **more}:
                self.forget()
                inputs = {**self.case.inputs, **variables} if more.get("from_start") else variables
                self.go(self.root, ReplayAsked(inputs, bool(more.get("from_start"))))
            case {"discard": reason}:
                self.go(self.root, DiscardAsked(str(reason)))
            case {"cancel": reason}:
                self.go(self.root, CancelAsked(str(reason)))
            case {"callback": name, "error": kind, **more}:
                failure = Failure(ErrorClass(more.get("class", "permanent")), str(kind))
                for step_id in self.waiting(WaitKind.CALLBACK, name)[:1]:
                    self.go(self.root, StepFailed(step_id, failure))
            case {"callback": name, **more}:
                for step_id in self.waiting(WaitKind.CALLBACK, name)[:1]:
                    self.go(self.root, CallbackReceived(step_id, more.get("value")))
            case {"event": name, **more}:
                for step_id in self.waiting(WaitKind.EVENT, name):
                    if self.matches(step_id, more.get("value")):
                        self.go(self.root, CallbackReceived(step_id, more.get("value")))

    def forget(self) -> None:
        """Forget the timers and outcomes of runs that have ended: a replay sets its own."""
        self.due = [due for due in self.due if due[3] is None and due[2] is self.root]
        heapq.heapify(self.due)

    def waiting(self, kind: WaitKind, subject: object) -> list[str]:
        open_waits = self.root.waits.items()
        return [
            step_id
            for step_id, wait in open_waits
            if wait.kind is kind and wait.subject == subject and step_id in self.root.state.steps
        ]

    def matches(self, step_id: str, value: object) -> bool:
        match = self.root.waits[step_id].match
        return match is None or bool(evaluate(match, {**self.root.state.variables_of(step_id), "event": value}))


def changes(case: Case, variables: Mapping[str, object]) -> dict[str, object]:
    """Return the variables that are not null, and not as they came in."""
    missing = object()
    return {
        name: value
        for name, value in variables.items()
        if value is not None and value != case.inputs.get(name, missing)
    }


def row_of(record: Record, prefix: str = "") -> Row:
    """Return a record of the machine as a row of the table's."""
    return Row(
        record.kind,
        record.status,
        record.node,
        None if record.step_id is None else prefix + record.step_id,
        record.attempt,
        None if record.failure is None else record.failure.error_class.value,
        record.payload or {},
    )
