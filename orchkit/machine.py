"""The semantics of workflows: one machine, pure and deterministic.

``start`` and ``advance`` take a state and an event and return a `Transition`: the new state, the commands to
carry out, and the records of what changed. No clock, no input or output, no randomness. The engine feeds it from
the world, recovery folds histories through it, soundness explores the same token game (`orchkit.tokens`).

An event that comes too late (its step has ended) changes nothing: the transition has no records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from orchkit.decisions import Decide, Question, QuestionKind, answer
from orchkit.errors import ExpressionError
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Command,
    Event,
    Failure,
    Finish,
    Frame,
    Instance,
    Kind,
    Loop,
    Mode,
    OpenWait,
    Record,
    RunStep,
    SetTimer,
    StartChild,
    State,
    Step,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
    Undo,
)
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.expressions import parse
from orchkit.model.nodes import (
    Activity,
    Call,
    End,
    ForEach,
    Gateway,
    GatewayKind,
    Node,
    Saga,
    Scope,
    Task,
    Wait,
    WaitKind,
    While,
)
from orchkit.model.retry import Retry
from orchkit.model.states import ErrorClass, RunStatus, StepStatus, next_status
from orchkit.tokens import FaultKind, Net, Settled, begin, net_of, settle

__all__ = ["Transition", "advance", "start"]

_RETRYABLE = (ErrorClass.TRANSIENT, ErrorClass.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Transition:
    """What a turn of the machine gives.

    Attributes
    ----------
    state
        The new state; the old one is untouched.
    commands
        To carry out once the records are durable, in order.
    records
        What changed, in order; the first one is the event itself.
    """

    state: State
    commands: list[Command]
    records: list[Record]


def start(
    workflow: Workflow,
    inputs: Mapping[str, Any] | None = None,
    *,
    run_id: str = "",
    decide: Decide = answer,
) -> Transition:
    """Begin a run.

    Parameters
    ----------
    workflow
        The definition.
    inputs
        The first variables, JSON values.
    run_id
        Seeds the jitter of retries.
    decide
        Answers the machine's questions; by default from the definition's expressions.

    Examples
    --------
    >>> from orchkit.model.nodes import End, Flow, Start
    >>> one = Workflow("one", (Start(name="s"), Task(name="ship"), End(name="e")), (Flow("s", "ship"), Flow("ship", "e")))
    >>> first = start(one, {"order": 7})
    >>> first.commands
    [RunStep(step_id='ship#1')]
    >>> running = advance(one, first.state, StepStarted("ship#1"))
    >>> done = advance(one, running.state, StepCompleted("ship#1", "sent"))
    >>> done.commands[0].status.value, dict(done.state.variables)
    ('COMPLETED', {'order': 7, 'ship': 'sent'})
    """
    turn = _Turn(workflow, State(run_id=run_id), decide)
    variables = dict(inputs or {})
    turn.state.frames[0] = Frame(None, variables)
    turn.record(Kind.RUN, RunStatus.RUNNING, payload={"inputs": variables, "version": workflow.version})
    turn.enter("", parent=None, frame=0)
    return turn.done()


def advance(workflow: Workflow, state: State, event: Event, *, decide: Decide = answer) -> Transition:
    """Return what an event makes of a state; see `start` for an example."""
    turn = _Turn(workflow, state.copy(), decide)
    if state.finished is None:
        turn.take(event)
    return turn.done()


@dataclass(frozen=True, slots=True, eq=False)
class _Program:
    """What the machine looks up of a workflow."""

    nets: Mapping[str, Net]
    exits_after: frozenset[str]  # for-each scopes whose exit_when reads what a pass sets


@lru_cache(maxsize=1024)
def _program(workflow: Workflow) -> _Program:
    nets = {"": net_of(workflow.nodes, workflow.flows)}
    after = set()
    for node in all_nodes(workflow):
        if isinstance(node, Scope):
            nets[node.name] = net_of(node.nodes, node.flows)
        if isinstance(node, ForEach) and node.exit_when is not None:
            try:
                names = set(parse(node.exit_when).names)
            except ExpressionError:
                continue  # reported when it is evaluated
            if names & _outputs(node.nodes):
                after.add(node.name)
    return _Program(nets, frozenset(after))


def _outputs(nodes: Sequence[Node]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Activity):
            found.add(node.output_name)
        if isinstance(node, Scope) and not isinstance(node, ForEach):
            found |= _outputs(node.nodes)
    return found


class _Turn:
    """One turn: a working copy of the state, whose entries are copied when they are first changed."""

    def __init__(self, workflow: Workflow, state: State, decide: Decide) -> None:
        self.workflow = workflow
        self.program = _program(workflow)
        self.state = state
        self.decide = decide
        self.commands: list[Command] = []
        self.records: list[Record] = []
        self.agenda: deque[int] = deque()
        self.owned: set[int | str] = set()

    def done(self) -> Transition:
        while self.agenda and self.state.finished is None:
            self.look_at(self.agenda.popleft())
        return Transition(self.state, self.commands, self.records)

    # The working copy --------------------------------------------------------

    def step(self, step_id: str) -> Step:
        step = self.state.steps[step_id]
        if step_id not in self.owned:
            self.owned.add(step_id)
            step = self.state.steps[step_id] = step.copy()
        return step

    def instance(self, key: int) -> Instance:
        instance = self.state.instances[key]
        if key not in self.owned:
            self.owned.add(key)
            instance = self.state.instances[key] = instance.copy()
        return instance

    def serial(self) -> int:
        self.state.serial += 1
        return self.state.serial

    def node_of(self, step: Step) -> Activity:
        node = self.workflow.node(step.node)
        assert isinstance(node, Activity)  # noqa: S101 -- only activities are opened
        return node

    def set_variable(self, frame: int, name: str, value: object) -> None:
        old = self.state.frames[frame]
        self.state.frames[frame] = Frame(old.outer, {**old.values, name: value})

    def record(
        self,
        kind: Kind,
        status: str,
        step: Step | None = None,
        *,
        node: str | None = None,
        failure: Failure | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        if step is None:
            self.records.append(Record(kind, status, node, None, 0, failure, payload))
        else:
            self.records.append(Record(kind, status, step.node, step.id, step.attempt, failure, payload))

    def ask(self, kind: QuestionKind, node: Node | Activity, frame: int, **more: Any) -> Any:  # noqa: ANN401 -- JSON
        return self.decide(Question(kind, node, self.state.variables_in(frame), **more))

    # Events ------------------------------------------------------------------

    def take(self, event: Event) -> None:
        if isinstance(event, CancelAsked):
            self.cancel(event)
            return
        if event.step_id not in self.state.steps:
            return
        step = self.step(event.step_id)
        match event:
            case StepStarted():
                self.started(step)
            case StepCompleted() if step.status is StepStatus.RUNNING and step.kind in (Kind.TASK, Kind.COMPENSATION):
                self.completed(step, event.output)
            case StepFailed() if step.status is StepStatus.RUNNING and step.kind in (Kind.TASK, Kind.COMPENSATION):
                self.attempt_failed(step, event.failure)
            case CallbackReceived() if step.status is StepStatus.WAITING:
                self.completed(step, event.payload)
            case ChildEnded() if step.kind is Kind.CALL:
                self.child_ended(step, event)
            case TimerFired():
                self.timer_fired(step, event.purpose)
            case _:
                return

    def started(self, step: Step) -> None:
        if step.status is StepStatus.RETRYING:
            step.attempt += 1
        elif step.status is not StepStatus.PENDING:
            return
        step.status = next_status(step.status, StepStatus.RUNNING)
        self.record(step.kind, step.status, step, payload=self.about(step))

    def about(self, step: Step) -> Mapping[str, Any] | None:
        """Return what a row says about a step that opens: its role, its pass, what it compensates."""
        node = self.workflow.node(step.node)
        about: dict[str, Any] = {}
        if isinstance(node, Task) and node.role is not None:
            about["role"] = node.role
        instance = self.state.instances[step.instance]
        if step.kind is Kind.COMPENSATION:
            about["of"] = instance.undo[-1].step_id
        elif instance.index:
            about["pass"] = instance.index - 1
        return about or None

    def completed(self, step: Step, output: object) -> None:
        step.status = next_status(step.status, StepStatus.COMPLETED)
        self.record(step.kind, step.status, step, payload={"output": output})
        if step.kind is Kind.COMPENSATION:
            self.undone(step)
        else:
            self.succeed(step, output)

    def attempt_failed(self, step: Step, failure: Failure) -> None:
        node = self.workflow.node(step.node)
        assert isinstance(node, Task)  # noqa: S101 -- only tasks have attempts
        failure = replace(failure, error_class=_class_for(node, failure), node=step.node)
        step.status = next_status(step.status, StepStatus.FAILED)
        policy = node.retry or self.workflow.retry
        instance = self.state.instances[step.instance]
        retryable = failure.error_class in _RETRYABLE
        wanted = step.kind is Kind.COMPENSATION or instance.mode is Mode.RUNNING
        again = retryable and wanted and step.attempt < policy.max_attempts
        if retryable and not again:
            failure = replace(failure, exhausted=True)
        self.record(step.kind, step.status, step, failure=failure)
        if again:
            self.retry(step, policy, failure)
        elif step.kind is Kind.COMPENSATION:
            self.instance(step.instance).undone_badly = True
            self.state.undone_badly = True
            self.undone(step)
        else:
            self.fail(step, failure)

    def retry(self, step: Step, policy: Retry, failure: Failure) -> None:
        delay_s = max(policy.delay_s(step.attempt, f"{self.state.run_id}:{step.id}"), failure.retry_after_s)
        step.status = next_status(step.status, StepStatus.RETRYING)
        self.record(step.kind, step.status, step, payload={"delay_s": delay_s})
        self.commands.append(SetTimer(step.id, TimerPurpose.RETRY, delay_s))

    def timer_fired(self, step: Step, purpose: TimerPurpose) -> None:
        match purpose:
            case TimerPurpose.RETRY:
                if step.status is StepStatus.RETRYING:
                    self.commands.append(RunStep(step.id))
            case TimerPurpose.TIMER:
                if step.status is StepStatus.WAITING:
                    self.completed(step, None)
            case TimerPurpose.TIMEOUT | TimerPurpose.DEADLINE:
                self.timed_out(step, purpose)

    def timed_out(self, step: Step, purpose: TimerPurpose) -> None:
        node = self.node_of(step)
        if purpose is TimerPurpose.DEADLINE:
            failure = Failure(ErrorClass.TIMEOUT, "DeadlineExceeded", "All attempts together took too long.", step.node)
        else:
            failure = Failure(ErrorClass.TIMEOUT, "Timeout", f"No outcome within {node.timeout_s} s.", step.node)
        if step.kind in (Kind.SCOPE, Kind.CALL):
            if step.failure is None and step.status is StepStatus.RUNNING:
                self.record(Kind.TIMER, StepStatus.COMPLETED, step, payload={"purpose": purpose.value})
                step.failure = failure
                self.stop(step, failure)
            return
        step.status = StepStatus.FAILED
        self.record(step.kind, step.status, step, failure=failure)
        self.commands.append(StopStep(step.id))
        self.fail(step, failure)

    def child_ended(self, step: Step, event: ChildEnded) -> None:
        if self.state.instances[step.instance].mode is not Mode.RUNNING:
            self.record(step.kind, StepStatus.CANCELLED, step)
            self.close(step)
        elif event.status is RunStatus.COMPLETED and step.failure is None:
            self.completed(step, dict(event.variables))
        else:
            cause = event.failure or Failure(ErrorClass.PERMANENT, "ChildFailed", f"The called run ended {event.status}.")
            failure = step.failure or replace(cause, node=step.node, compensated=False)
            step.status = StepStatus.FAILED
            self.record(step.kind, step.status, step, failure=failure)
            self.fail(step, failure)

    def cancel(self, event: CancelAsked) -> None:
        if self.state.cancelling:
            return
        self.state.cancelling = True
        self.record(Kind.CANCEL, RunStatus.CANCELLED, payload={"reason": event.reason})
        root = next(key for key, instance in self.state.instances.items() if instance.parent is None)
        self.fail_instance(self.instance(root), Failure(ErrorClass.CANCELLED, "Cancelled", event.reason))

    # Outcomes ----------------------------------------------------------------

    def succeed(self, step: Step, output: object, *, undoable: bool = True) -> None:
        """Go on after a node: keep its result, remember it for a saga, send tokens along its flows."""
        node = self.node_of(step)
        instance = self.instance(step.instance)
        if not isinstance(node, Scope) or isinstance(node, ForEach):
            self.set_variable(instance.frame, node.output_name, output)
        if undoable and node.compensate is not None:
            self.remember(instance, Undo(step.id, step.node, self.state.variables_in(instance.frame)))
        net = self.program.nets[instance.scope]
        self.leave(step, net.outgoing[net.index[step.node]])

    def fail(self, step: Step, failure: Failure) -> None:
        """Go on after a node has failed for good: its fallback, its error path, or up."""
        instance = self.instance(step.instance)
        if instance.mode is not Mode.RUNNING:
            self.close(step)
            return
        node = self.node_of(step)
        try:
            if node.fallback is not None and not self.state.cancelling:
                variables = {**self.state.variables_in(instance.frame), "error": failure.as_variable()}
                output = self.decide(Question(QuestionKind.TEXT, node, variables, template=node.fallback))
                self.record(step.kind, StepStatus.COMPLETED, step, payload={"output": output, "fallback": True})
                self.succeed(step, output, undoable=False)
                return
            flow = self.way_out(step, instance, failure)
        except ExpressionError as error:
            failure, flow = _expression_failure(error, step.node), None
        if flow is not None:
            self.set_variable(instance.frame, "error", failure.as_variable())
            self.leave(step, (flow,))
        else:
            self.close(step)
            self.fail_instance(instance, failure)

    def way_out(self, step: Step, instance: Instance, failure: Failure) -> int | None:
        """Return the timeout or error flow that this failure takes."""
        net = self.program.nets[instance.scope]
        number = net.index[step.node]
        if failure.error_class is ErrorClass.TIMEOUT and net.on_timeout[number]:
            return net.on_timeout[number][0]
        flows = net.on_error[number]
        if not flows:
            return None
        if all(net.flows[flow].condition is None for flow in flows):
            return flows[0]
        variables = {**self.state.variables_in(instance.frame), "error": failure.as_variable()}
        chosen = self.split(net, net.nodes[number], flows, variables, exclusive=True)
        return flows[chosen[0]] if chosen else None

    def split(
        self,
        net: Net,
        node: Node,
        flows: Sequence[int],
        variables: Mapping[str, Any],
        *,
        exclusive: bool = False,
    ) -> list[int]:
        """Decide a split, and record the decision."""
        asked: Node = Gateway(name=node.name, kind=GatewayKind.EXCLUSIVE) if exclusive else node
        question = Question(QuestionKind.SPLIT, asked, variables, flows=tuple(net.flows[flow] for flow in flows))
        chosen = list(self.decide(question))
        targets = [net.flows[flows[position]].target for position in chosen]
        self.record(Kind.GATEWAY, StepStatus.COMPLETED, node=node.name, payload={"decision": chosen, "to": targets})
        return chosen

    # Tokens ------------------------------------------------------------------

    def close(self, step: Step) -> None:
        """Take a step out of the state, without a token."""
        instance = self.instance(step.instance)
        del self.state.steps[step.id]
        if step.kind is not Kind.COMPENSATION:
            net = self.program.nets[instance.scope]
            number = net.index[step.node]
            instance.open.pop(number, None)
            instance.marking &= ~net.open_bit(number)
        self.agenda.append(instance.key)

    def leave(self, step: Step, flows: Sequence[int]) -> None:
        """Take a step out of the state and send tokens along these flows."""
        instance = self.instance(step.instance)
        net = self.program.nets[instance.scope]
        self.close(step)
        if instance.mode is not Mode.RUNNING:
            return
        rivals = net.rivals[net.index[step.node]] & instance.marking
        for number in list(net.open_nodes(rivals)):
            self.give_up(self.step(instance.open[number]))
        number = net.index[step.node]
        optional = [flow for flow in flows if net.flows[flow].condition is not None]
        try:
            if optional and flows is net.outgoing[number]:
                chosen = self.split(net, net.nodes[number], optional, self.state.variables_in(instance.frame))
                taken = {optional[position] for position in chosen}
                flows = [flow for flow in flows if net.flows[flow].condition is None or flow in taken]
            self.settled(instance, net, settle(net, instance.marking, flows, self.chooser(instance, net)))
        except ExpressionError as error:
            self.fail_instance(instance, _expression_failure(error, error.node or step.node))

    def chooser(self, instance: Instance, net: Net) -> Any:  # noqa: ANN401 -- a Choose
        def choose(number: int, flows: tuple[int, ...]) -> list[int]:
            node = net.nodes[number]
            try:
                chosen = self.split(net, node, flows, self.state.variables_in(instance.frame))
            except ExpressionError as error:
                error.node = node.name
                raise
            return [flows[position] for position in chosen]

        return choose

    def settled(self, instance: Instance, net: Net, settled: Settled) -> None:
        if settled.fault is not None:
            node = net.nodes[settled.fault.node].name
            self.fail_instance(instance, _fault_failure(settled.fault.kind, node))
            return
        instance.marking = settled.marking
        if settled.terminated is not None:
            end = net.nodes[settled.terminated]
            assert isinstance(end, End)  # noqa: S101 -- only ends terminate
            self.terminate(instance, end)
            return
        for number in settled.opened:
            if instance.mode is Mode.RUNNING:
                self.open(instance, net, number)
            else:
                instance.marking &= ~net.open_bit(number)
        self.agenda.append(instance.key)

    def terminate(self, instance: Instance, end: End) -> None:
        if end.error is None:
            self.drain(instance, Mode.ENDING)
            return
        try:
            text = str(self.ask(QuestionKind.TEXT, end, instance.frame, template=end.error))
        except ExpressionError as error:
            self.fail_instance(instance, _expression_failure(error, end.name))
            return
        self.fail_instance(instance, Failure(ErrorClass.PERMANENT, "ErrorEnd", text, end.name))

    # Opening -----------------------------------------------------------------

    def enter(self, scope: str, *, parent: str | None, frame: int, index: int = 0) -> None:
        """Begin a pass through a graph."""
        key = self.serial() if parent is not None else 0
        instance = Instance(key, scope, parent, frame, index=index)
        self.state.instances[key] = instance
        self.owned.add(key)
        net = self.program.nets[scope]
        try:
            self.settled(instance, net, begin(net, self.chooser(instance, net)))
        except ExpressionError as error:
            self.fail_instance(instance, _expression_failure(error, error.node or scope))

    def open(self, instance: Instance, net: Net, number: int) -> None:
        node = net.nodes[number]
        step = Step(f"{node.name}#{self.serial()}", node.name, Kind.TASK, instance.key, StepStatus.PENDING)
        self.state.steps[step.id] = step
        self.owned.add(step.id)
        instance.open[number] = step.id
        match node:
            case Task():
                self.record(step.kind, step.status, step, payload=self.about(step))
                if node.deadline_s is not None:
                    self.commands.append(SetTimer(step.id, TimerPurpose.DEADLINE, node.deadline_s))
                self.commands.append(RunStep(step.id))
            case Wait():
                self.open_wait(step, node, instance)
            case Call():
                self.open_call(step, node, instance)
            case Scope():
                self.open_scope(step, node, instance)
            case _:
                message = f"{node!r} cannot be opened"
                raise AssertionError(message)
        if not isinstance(node, Task) and node.timeout_s is not None and step.id in self.state.steps:
            self.commands.append(SetTimer(step.id, TimerPurpose.TIMEOUT, node.timeout_s))

    def open_wait(self, step: Step, node: Wait, instance: Instance) -> None:
        step.kind, step.status = Kind.WAIT, StepStatus.WAITING
        payload: dict[str, Any] = {"for": node.kind.value}
        try:
            if node.kind is WaitKind.TIMER:
                delay = self.ask(QuestionKind.DELAY, node, instance.frame)
                until_s = delay.timestamp() if isinstance(delay, datetime) else None
                delay_s = 0.0 if isinstance(delay, datetime) else float(delay)
                command: Command = SetTimer(step.id, TimerPurpose.TIMER, delay_s, until_s)
                payload |= {"delay_s": delay_s} if until_s is None else {"until_s": until_s}
            else:
                subject = str(self.ask(QuestionKind.TEXT, node, instance.frame, template=node.subject or node.name))
                command = OpenWait(step.id, node.kind, subject, node.match)
                payload["subject"] = subject
        except ExpressionError as error:
            self.record(step.kind, step.status, step, payload=payload)
            self.refuse(step, error)
            return
        self.record(step.kind, step.status, step, payload=payload)
        self.commands.append(command)

    def open_call(self, step: Step, node: Call, instance: Instance) -> None:
        step.kind, step.status = Kind.CALL, StepStatus.RUNNING
        self.record(step.kind, step.status, step, payload={"workflow": node.workflow})
        try:
            inputs = self.ask(QuestionKind.TEXT, node, instance.frame, template=node.inputs)
        except ExpressionError as error:
            self.refuse(step, error)
            return
        self.commands.append(StartChild(step.id, node.workflow, inputs))

    def refuse(self, step: Step, error: ExpressionError) -> None:
        """Fail a step that could not even begin."""
        failure = _expression_failure(error, step.node)
        step.status = StepStatus.FAILED
        self.record(step.kind, step.status, step, failure=failure)
        self.fail(step, failure)

    # Scopes ------------------------------------------------------------------

    def open_scope(self, step: Step, node: Scope, instance: Instance) -> None:
        step.kind, step.status = Kind.SCOPE, StepStatus.RUNNING
        self.record(step.kind, step.status, step, payload={"scope": type(node).__name__.lower()})
        if isinstance(node, ForEach | While):
            step.loop = Loop()
            try:
                if isinstance(node, ForEach):
                    step.loop.items = list(self.ask(QuestionKind.ITEMS, node, instance.frame))
            except ExpressionError as error:
                self.refuse(step, error)
                return
            self.next_passes(step)
        else:
            self.enter(node.name, parent=step.id, frame=instance.frame)

    def next_passes(self, step: Step) -> None:
        """Begin the passes of a loop that may begin now; end the loop when none is left."""
        node, loop = self.node_of(step), step.loop
        assert loop is not None  # noqa: S101 -- only loops come here
        frame = self.state.instances[step.instance].frame
        try:
            if isinstance(node, While):
                self.next_iteration(step, node, loop, frame)
            elif isinstance(node, ForEach):
                self.next_items(step, node, loop, frame)
        except ExpressionError as error:
            loop.closed = True
            loop.first_failure = loop.first_failure or _expression_failure(error, step.node)
            step.failure = step.failure or loop.first_failure
            self.stop(step, step.failure)
        if step.id in self.state.steps and loop.active == 0:
            self.end_loop(step, node, loop)

    def next_iteration(self, step: Step, node: While, loop: Loop, frame: int) -> None:
        if loop.closed or loop.active or not self.ask(QuestionKind.REPEAT, node, frame):
            return
        if loop.next >= node.max_iterations:
            text = f"{node.condition!r} still holds after {node.max_iterations} iterations (max_iterations)."
            step.failure = Failure(ErrorClass.PERMANENT, "TooManyIterations", text, step.node)
            return
        loop.next += 1
        loop.active += 1
        self.enter(node.name, parent=step.id, frame=frame, index=loop.next)

    def next_items(self, step: Step, node: ForEach, loop: Loop, frame: int) -> None:
        while not loop.closed and loop.next < len(loop.items) and loop.active < max(1, node.concurrency):
            position = loop.next
            item = loop.items[position]
            own = self.serial()
            self.state.frames[own] = Frame(frame, {node.item: item})
            if node.name not in self.program.exits_after and self.ask(QuestionKind.EXIT, node, own):
                loop.closed = True
                del self.state.frames[own]
                return
            loop.next += 1
            if self.ask(QuestionKind.SKIP, node, own):
                passed = Step(f"{step.id}/{position}", step.node, Kind.SCOPE, step.instance, StepStatus.SKIPPED)
                self.record(passed.kind, passed.status, passed, payload={"pass": position})
                del self.state.frames[own]
                continue
            loop.active += 1
            self.enter(node.name, parent=step.id, frame=own, index=position + 1)

    def end_loop(self, step: Step, node: Activity, loop: Loop) -> None:
        if step.failure is not None:
            self.end_scope(step, step.failure)
        elif isinstance(node, ForEach):
            self.end_scope(step, None, [loop.results.get(position) for position in range(len(loop.items))])
        else:
            self.end_scope(step, None)

    def pass_ended(self, step: Step, instance: Instance, failure: Failure | None) -> None:
        """Note the end of a pass of a loop."""
        node, loop = self.node_of(step), step.loop
        assert loop is not None  # noqa: S101 -- only loops come here
        loop.active -= 1
        if isinstance(node, While):
            step.failure = step.failure or failure
            loop.closed = loop.closed or failure is not None
        elif isinstance(node, ForEach):
            try:
                self.item_ended(step, node, loop, instance, failure)
            except ExpressionError as error:
                step.failure = step.failure or _expression_failure(error, step.node)
                self.stop(step, step.failure)
        self.next_passes(step)

    def item_ended(self, step: Step, node: ForEach, loop: Loop, instance: Instance, failure: Failure | None) -> None:
        position = instance.index - 1
        values = self.state.frames[instance.frame].values
        if failure is None:
            loop.results[position] = {name: value for name, value in values.items() if name != node.item}
        elif failure.error_class is not ErrorClass.CANCELLED:
            loop.failed += 1
            loop.first_failure = loop.first_failure or failure
        seen = self.state.variables_in(instance.frame)
        del self.state.frames[instance.frame]
        if failure is None and node.name in self.program.exits_after and not loop.closed:
            loop.closed = bool(self.decide(Question(QuestionKind.EXIT, node, seen)))
        if step.failure is None and loop.failed > _tolerated(node, len(loop.items)):
            first = loop.first_failure
            assert first is not None  # noqa: S101 -- something failed
            text = f"{loop.failed} of {len(loop.items)} items failed; the first: {first.message or first.type}"
            step.failure = replace(first, error_class=ErrorClass.PARTIAL, type="ItemsFailed", message=text, node=step.node)
            loop.closed = True
            self.stop(step, step.failure)

    def end_scope(self, step: Step, failure: Failure | None, output: object = None) -> None:
        """Go on after a scope, when nothing runs inside."""
        if self.state.instances[step.instance].mode is not Mode.RUNNING:
            undone = failure is not None and failure.compensated
            self.record(step.kind, StepStatus.COMPENSATED if undone else StepStatus.CANCELLED, step)
            self.close(step)
        elif failure is None:
            node = self.node_of(step)
            payload = {"output": output} if isinstance(node, ForEach) else None
            self.record(step.kind, StepStatus.COMPLETED, step, payload=payload)
            self.succeed(step, output)
        else:
            status = StepStatus.COMPENSATED if step.status is StepStatus.COMPENSATING else StepStatus.FAILED
            if step.status is StepStatus.COMPENSATING and not failure.compensated:
                status = StepStatus.FAILED
            self.record(step.kind, status, step, failure=failure)
            self.fail(step, failure)

    # Ends --------------------------------------------------------------------

    def look_at(self, key: int) -> None:
        """See whether a pass has ended, or is stuck."""
        if key not in self.state.instances:
            return
        instance = self.instance(key)
        if instance.mode is Mode.UNDOING:
            return
        if instance.open:
            return
        if instance.mode is Mode.RUNNING and instance.marking:
            net = self.program.nets[instance.scope]
            joins = sorted({net.nodes[net.target[flow]].name for flow in net.held_flows(instance.marking)})
            text = f"Deadlock: tokens wait at {', '.join(map(repr, joins))}, and nothing runs that could release them."
            self.fail_instance(instance, Failure(ErrorClass.PERMANENT, "Deadlock", text, joins[0]))
            return
        if instance.mode is Mode.FAILING and isinstance(self.scope_of(instance), Saga):
            self.begin_undo(instance)
            return
        self.end_instance(instance)

    def scope_of(self, instance: Instance) -> Node | None:
        return self.workflow.node(instance.scope) if instance.scope else None

    def end_instance(self, instance: Instance) -> None:
        del self.state.instances[instance.key]
        if instance.parent is None:
            self.finish(instance.failure)
            return
        step = self.step(instance.parent)
        if instance.undo:  # what a saga in a saga has done is the outer one's to undo
            self.remember(self.instance(step.instance), *instance.undo)
        if step.loop is not None:
            self.pass_ended(step, instance, instance.failure)
        else:
            failure = instance.failure
            if failure is not None and step.failure is not None:
                failure = replace(step.failure, compensated=failure.compensated)
            self.end_scope(step, failure)

    def finish(self, failure: Failure | None) -> None:
        if failure is None:
            status = RunStatus.COMPLETED
        elif self.state.undone_badly:
            status = RunStatus.DEAD_LETTERED
        elif failure.error_class is ErrorClass.CANCELLED:
            status = RunStatus.CANCELLED
        elif failure.compensated:
            status = RunStatus.COMPENSATED
        elif failure.exhausted:
            status = RunStatus.DEAD_LETTERED
        else:
            status = RunStatus.FAILED
        self.state.finished = Finish(status, failure)
        payload = {"variables": dict(self.state.variables)}
        self.record(Kind.RUN, status, failure=failure, payload=payload)
        self.commands.append(self.state.finished)

    def fail_instance(self, instance: Instance, failure: Failure) -> None:
        """Fail a pass for good: what runs may end, all else is given up."""
        if instance.mode not in (Mode.RUNNING, Mode.ENDING):
            return
        instance.failure = failure
        self.drain(instance, Mode.FAILING)

    def drain(self, instance: Instance, mode: Mode) -> None:
        instance.mode = mode
        net = self.program.nets[instance.scope]
        for flow in list(net.held_flows(instance.marking)):
            instance.marking &= ~(1 << flow)
        for step_id in list(instance.open.values()):
            self.give_up(self.step(step_id))
        self.agenda.append(instance.key)

    def give_up(self, step: Step) -> None:
        """Stop a step whose outcome is not wanted any more; an attempt that runs is awaited."""
        if step.kind in (Kind.SCOPE, Kind.CALL):
            self.stop(step, Failure(ErrorClass.CANCELLED, "Cancelled", "The scope around it has ended.", step.node))
        elif step.status is not StepStatus.RUNNING:
            step.status = next_status(step.status, StepStatus.CANCELLED)
            self.record(step.kind, step.status, step)
            self.commands.append(StopStep(step.id))
            self.close(step)

    def stop(self, step: Step, failure: Failure) -> None:
        """Fail what runs inside a scope or a call; the step ends when that has ended."""
        if step.kind is Kind.CALL:
            self.commands.append(StopStep(step.id))
            return
        if step.loop is not None:
            step.loop.closed = True
            step.failure = step.failure or failure
        for key, inner in list(self.state.instances.items()):
            if inner.parent == step.id:
                self.fail_instance(self.instance(key), replace(failure, error_class=ErrorClass.CANCELLED))

    # Compensation ------------------------------------------------------------

    def remember(self, instance: Instance, *undo: Undo) -> None:
        """Keep completed steps in the nearest saga around."""
        while not isinstance(self.scope_of(instance), Saga):
            if instance.parent is None:
                return
            instance = self.instance(self.state.steps[instance.parent].instance)
        instance.undo = (*instance.undo, *undo)

    def begin_undo(self, instance: Instance) -> None:
        instance.mode = Mode.UNDOING
        saga = self.step(instance.parent or "")
        saga.status = StepStatus.COMPENSATING
        self.record(saga.kind, saga.status, saga, failure=instance.failure)
        self.undo_next(instance)

    def undo_next(self, instance: Instance) -> None:
        while instance.undo:
            undo = instance.undo[-1]
            node = self.workflow.node(undo.node)
            assert isinstance(node, Activity)  # noqa: S101 -- only activities are remembered
            if isinstance(node.compensate, Task):
                name = node.compensate.name
                step = Step(f"{name}#{self.serial()}", name, Kind.COMPENSATION, instance.key, StepStatus.PENDING)
                step.variables = undo.variables
                self.state.steps[step.id] = step
                self.owned.add(step.id)
                self.record(step.kind, step.status, step, payload=self.about(step))
                self.commands.append(RunStep(step.id))
                return
            passed = Step(undo.step_id, undo.node, Kind.COMPENSATION, instance.key, StepStatus.SKIPPED)
            reason = f"{undo.node} cannot be undone (compensate: none)"
            self.record(passed.kind, passed.status, passed, payload={"of": undo.step_id, "reason": reason})
            instance.undo = instance.undo[:-1]
        failure = instance.failure
        if failure is not None:
            instance.failure = replace(failure, compensated=not instance.undone_badly)
        self.end_instance(instance)

    def undone(self, step: Step) -> None:
        """Go on after a compensation, whether it succeeded or not."""
        instance = self.instance(step.instance)
        instance.undo = instance.undo[:-1]
        del self.state.steps[step.id]
        self.undo_next(instance)


def _class_for(task: Task, failure: Failure) -> ErrorClass:
    """Apply a task's own ``fail_on`` and ``retry_on`` to an error's class."""
    if failure.type in task.fail_on:
        return ErrorClass.PERMANENT
    if failure.type in task.retry_on:
        return ErrorClass.TRANSIENT
    return failure.error_class


def _tolerated(node: ForEach, items: int) -> int:
    allowed = node.tolerated_failures
    if isinstance(allowed, str):
        return int(float(allowed.strip().rstrip("%")) * items / 100 + 1e-9)
    return allowed


def _expression_failure(error: ExpressionError, node: str) -> Failure:
    return Failure(ErrorClass.PERMANENT, "ExpressionError", error.message, node)


def _fault_failure(kind: FaultKind, node: str) -> Failure:
    text = {
        FaultKind.UNSAFE: f"A second token reached {node!r}, which is still busy with the first one.",
        FaultKind.NO_FLOW: f"No condition of {node!r} holds, and it has no default flow.",
        FaultKind.LIVELOCK: f"The gateways around {node!r} send the token in a circle without end.",
    }[kind]
    name = {FaultKind.UNSAFE: "UnsafeWorkflow", FaultKind.NO_FLOW: "NoFlow", FaultKind.LIVELOCK: "Livelock"}[kind]
    return Failure(ErrorClass.PERMANENT, name, text, node)
