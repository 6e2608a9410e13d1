"""The rules for nodes: how tokens open them, what follows an outcome, how what is open is given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchkit.decisions import Question, QuestionKind
from orchkit.errors import ExpressionError
from orchkit.events import (
    Command,
    Failure,
    Kind,
    OpenWait,
    Record,
    RunStep,
    SetTimer,
    StartChild,
    StopStep,
    TimerPurpose,
)
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
    kind_of,
)
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.run_state import Instance, Loop, Lost, Mode, Step, Undo
from orchkit.tokens import FaultKind, Net, Settled, begin, settle
from orchkit.turn import Turn, expect, expression_failure

__all__ = [
    "about",
    "bury",
    "close",
    "enter",
    "fail",
    "fail_pass",
    "go_on",
    "keep",
    "remember",
    "reopen",
    "stop",
    "succeed",
    "unpack",
]

_VISITS_LIMIT = 1_000
_FIRST = {
    Task: (Kind.TASK, StepStatus.PENDING),
    Wait: (Kind.WAIT, StepStatus.WAITING),
    Call: (Kind.CALL, StepStatus.RUNNING),
}
_FAULTS = {
    FaultKind.UNSAFE: ("UnsafeWorkflow", "A second token reached {!r}, which is still busy with the first one."),
    FaultKind.NO_FLOW: ("NoFlow", "No condition of {!r} holds, and it has no default flow."),
    FaultKind.LIVELOCK: (
        "Livelock",
        "The token goes around {!r} in a circle without end, and nothing there takes time.",
    ),
}


# Outcomes ------------------------------------------------------------------------


def succeed(turn: Turn, step: Step, output: object) -> None:
    """Go on after a node that has done its work: keep what it gave, send tokens along its flows."""
    keep(turn, step, output)
    go_on(turn, step)


def keep(turn: Turn, step: Step, output: object) -> None:
    """Keep the result of a node, and remember it for a saga."""
    node = turn.node_of(step)
    instance = turn.instance(step.instance)
    if isinstance(node, ForEach) or not isinstance(node, Scope):
        turn.set_variable(instance.frame, node.output_name, output)
    if node.compensate is not None:
        remember(turn, instance, Undo(step.id, step.node, turn.state.variables_in(instance.frame)))


def remember(turn: Turn, instance: Instance, *undo: Undo) -> None:
    """Keep what was done in a pass for the nearest saga around it.

    What undoes a scope as a whole takes the place of what undoes the steps inside.
    """
    path: list[str] = []
    while not isinstance(turn.scope_of(instance), Saga):
        if instance.parent is None:
            return
        path.append(instance.parent)
        instance = turn.instance(turn.state.steps[instance.parent].instance)
    wholes = {item.step_id for item in undo}
    kept = [item for item in instance.undo if wholes.isdisjoint(item.within)]
    instance.undo = (*kept, *(replace(item, within=(*item.within, *path)) for item in undo))


def go_on(turn: Turn, step: Step) -> None:
    """Take a step out of the state and send tokens along its flows, the implicit split decided."""
    instance = turn.instance(step.instance)
    net = turn.net_of(instance)
    number = net.index[step.node]
    flows: Sequence[int] = net.outgoing[number]
    optional = [flow for flow in flows if net.flows[flow].condition is not None]
    if not optional or instance.mode is not Mode.RUNNING:
        _leave(turn, step, flows)
        return
    try:
        chosen = _split(turn, net.nodes[number], net, optional, turn.state.variables_in(instance.frame))
    except ExpressionError as error:
        _lose(turn, instance, step)
        close(turn, step)
        fail_pass(turn, instance, expression_failure(error, step.node))
        return
    flows = [flow for flow in flows if flow in chosen or net.flows[flow].condition is None]
    if flows:
        _leave(turn, step, flows)
    else:
        _lose(turn, instance, step)
        close(turn, step)
        fail_pass(turn, instance, _fault_failure(FaultKind.NO_FLOW, step.node))


def fail(turn: Turn, step: Step, failure: Failure) -> None:
    """Go on after a node has failed for good: its fallback, its timeout or error path, or up."""
    instance = turn.instance(step.instance)
    if instance.mode is not Mode.RUNNING:
        close(turn, step)
        return
    node = turn.node_of(step)
    seen = {**turn.state.variables_in(instance.frame), "error": failure.as_variable()}
    flow = None
    try:
        if node.fallback is not None:
            output = turn.decide(Question(QuestionKind.TEXT, node, seen, template=node.fallback))
            turn.become(step, StepStatus.COMPLETED, payload={"output": output, "fallback": True})
            turn.set_variable(instance.frame, node.output_name, output)
            bury(turn, step.id)
            go_on(turn, step)
            return
        flow = _way_out(turn, step, instance, failure, seen)
    except ExpressionError as error:
        failure = expression_failure(error, step.node)
    if flow is None:
        _lose(turn, instance, step, done=False)
        close(turn, step)
        fail_pass(turn, instance, failure)
    else:
        bury(turn, step.id)
        turn.set_variable(instance.frame, "error", failure.as_variable())
        _leave(turn, step, (flow,), done=False)


def _way_out(turn: Turn, step: Step, instance: Instance, failure: Failure, seen: Mapping[str, Any]) -> int | None:
    """Return the timeout or error flow that this failure takes."""
    net = turn.net_of(instance)
    number = net.index[step.node]
    if failure.error_class is ErrorClass.TIMEOUT and net.on_timeout[number]:
        return net.on_timeout[number][0]
    flows = net.on_error[number]
    if all(net.flows[flow].condition is None for flow in flows):
        return flows[0] if flows else None
    # The first that holds: as an exclusive gateway in the node's place would decide.
    chosen = _split(turn, Gateway(name=step.node, kind=GatewayKind.EXCLUSIVE), net, flows, seen)
    return chosen[0] if chosen else None


def _split(turn: Turn, node: Node, net: Net, flows: Sequence[int], seen: Mapping[str, Any]) -> list[int]:
    """Decide a split, and record the decision."""
    question = Question(QuestionKind.SPLIT, node, seen, flows=tuple(net.flows[flow] for flow in flows))
    try:
        decision = list(turn.decide(question))
    except ExpressionError as error:
        failure = expression_failure(error, node.name)
        turn.records.append(
            Record(Kind.GATEWAY, StepStatus.FAILED, node.name, failure=failure, payload={"decision": None}),
        )
        error.node = node.name
        raise
    chosen = [flows[position] for position in decision]
    payload = {"decision": decision, "to": [net.flows[flow].target for flow in chosen]}
    turn.records.append(Record(Kind.GATEWAY, StepStatus.COMPLETED, node.name, payload=payload))
    return chosen


# Tokens --------------------------------------------------------------------------


def enter(turn: Turn, scope: str, *, parent: str | None, frame: int, index: int = 0) -> None:
    """Begin a pass through a graph."""
    unpack(turn, turn.add_instance(scope, parent, frame, index))


def unpack(turn: Turn, instance: Instance) -> None:
    """Open what a pass begins with."""
    net = turn.net_of(instance)
    try:
        settled = begin(net, lambda number, ways: _choose(turn, instance, net, number, ways))
    except ExpressionError as error:
        instance.unbegun = True
        fail_pass(turn, instance, expression_failure(error, error.node or instance.scope))
        return
    _settled(turn, instance, net, settled, None)


def close(turn: Turn, step: Step, *, done: bool = False) -> None:
    """Take a step out of the state, without a token."""
    instance = turn.instance(step.instance)
    del turn.state.steps[step.id]
    if instance.mode is Mode.FAILING:
        _lose(turn, instance, step, done=done)
    if step.kind is not Kind.COMPENSATION:
        net = turn.net_of(instance)
        number = net.index[step.node]
        del instance.open[number]
        instance.marking &= ~net.open_bit(number)
    turn.agenda.append(instance.key)


def _lose(turn: Turn, instance: Instance, step: Step | None, *, done: bool = True) -> None:
    """Note that a pass fails where the tokens of a step, or of its start, should have gone on."""
    if step is None:
        instance.unbegun = True
    else:
        instance = turn.instance(instance.key)
        instance.lost = (*instance.lost, Lost(step, done))


def bury(turn: Turn, step_id: str) -> None:
    """Forget the failed passes of a scope whose failure has been dealt with."""
    if not turn.state.graves:
        return
    for key in [key for key, grave in turn.state.graves.items() if grave.instance.parent == step_id]:
        for lost in turn.state.graves.pop(key).instance.lost:
            bury(turn, lost.step.id)


def _leave(turn: Turn, step: Step, flows: Sequence[int], *, done: bool = True) -> None:
    """Take a step out of the state and send tokens along these flows."""
    instance = turn.instance(step.instance)
    close(turn, step, done=done)
    if instance.mode is not Mode.RUNNING:
        return
    net = turn.net_of(instance)
    for rival in net.open_nodes(net.rivals[net.index[step.node]] & instance.marking):
        _give_up(turn, turn.step(instance.open[rival]))
    try:
        settled = settle(net, instance.marking, flows, lambda number, ways: _choose(turn, instance, net, number, ways))
    except ExpressionError as error:
        _lose(turn, instance, step, done=done)
        fail_pass(turn, instance, expression_failure(error, error.node or step.node))
        return
    _settled(turn, instance, net, settled, Lost(step, done))


def _choose(turn: Turn, instance: Instance, net: Net, number: int, flows: Sequence[int]) -> list[int]:
    return _split(turn, net.nodes[number], net, flows, turn.state.variables_in(instance.frame))


def _settled(turn: Turn, instance: Instance, net: Net, settled: Settled, left: Lost | None) -> None:
    """Take over what the token game gave: open nodes, or end the pass; ``left`` is where the tokens came from."""

    def give_up(failure: Failure) -> None:
        _lose(turn, instance, None if left is None else left.step, done=left is not None and left.done)
        fail_pass(turn, instance, failure)

    if settled.fault is not None:
        give_up(_fault_failure(settled.fault.kind, net.nodes[settled.fault.node].name))
        return
    if settled.terminated is not None:
        failure = _terminate(turn, instance, expect(net.nodes[settled.terminated], End))
        if failure is not None:
            give_up(failure)
        return
    for number in settled.opened:
        visits = turn.visits[instance.key, number] = turn.visits.get((instance.key, number), 0) + 1
        if visits > _VISITS_LIMIT:
            give_up(_fault_failure(FaultKind.LIVELOCK, net.nodes[number].name))
            return
    instance.marking = settled.marking
    for number in settled.opened:
        _open(turn, instance, net, number)
    turn.agenda.append(instance.key)


def _terminate(turn: Turn, instance: Instance, end: End) -> Failure | None:
    """End a pass at its end; return the failure where it is an error's."""
    if end.error is None:
        _drain(turn, instance, Mode.ENDING)
        return None
    try:
        text = str(turn.ask(QuestionKind.TEXT, end, instance.frame, end.error))
    except ExpressionError as error:
        return expression_failure(error, end.name)
    return Failure(ErrorClass.PERMANENT, "ErrorEnd", text, end.name)


def _fault_failure(kind: FaultKind, node: str) -> Failure:
    name, text = _FAULTS[kind]
    return Failure(ErrorClass.PERMANENT, name, text.format(node), node)


# Opening -------------------------------------------------------------------------


def _open(turn: Turn, instance: Instance, net: Net, number: int) -> None:
    """Begin a visit of a node.

    What fails at once, and the passes of a loop, are left to the agenda: only then is all open that this
    settling opens, and a jump back does not nest.
    """
    node = expect(net.nodes[number], Activity)
    kind, status = _FIRST.get(type(node), (Kind.SCOPE, StepStatus.RUNNING))
    step = turn.add_step(node.name, kind, status, instance.key)
    instance.open[number] = step.id
    _begin_visit(turn, step, node, instance)


def reopen(turn: Turn, step: Step) -> None:
    """Begin a visit once more: a further attempt of the same step."""
    node = turn.node_of(step)
    step.failure = None
    if isinstance(node, Task):
        step.before = step.attempt
        turn.become(step, StepStatus.RETRYING, payload={"delay_s": 0.0})
        if node.deadline_s is not None:
            turn.commands.append(SetTimer(step.id, TimerPurpose.DEADLINE, node.deadline_s))
        turn.commands.append(SetTimer(step.id, TimerPurpose.RETRY, 0.0))
        return
    step.attempt += 1
    step.status = _FIRST.get(type(node), (Kind.SCOPE, StepStatus.RUNNING))[1]
    _begin_visit(turn, step, node, turn.instance(step.instance))


def _begin_visit(turn: Turn, step: Step, node: Activity, instance: Instance) -> None:
    try:
        match node:
            case Task():
                _open_task(turn, step, node)
            case Wait():
                _open_wait(turn, step, node, instance)
            case Call():
                _open_call(turn, step, node, instance)
            case Scope():
                _open_scope(turn, step, node, instance)
    except ExpressionError as error:
        refuse(turn, step, expression_failure(error, node.name))
        return
    if node.timeout_s is not None and step.kind is not Kind.TASK:  # an attempt's is its executor's
        turn.commands.append(SetTimer(step.id, TimerPurpose.TIMEOUT, node.timeout_s))


def _open_task(turn: Turn, step: Step, node: Task) -> None:
    turn.note(step, payload=about(turn, step))
    if node.deadline_s is not None:
        turn.commands.append(SetTimer(step.id, TimerPurpose.DEADLINE, node.deadline_s))
    turn.commands.append(RunStep(step.id))


def about(turn: Turn, step: Step) -> Mapping[str, Any] | None:
    """Return what a row says about a task that opens or begins an attempt: its role, its pass, what it compensates."""
    node = turn.workflow.node(step.node)
    found: dict[str, Any] = {}
    if isinstance(node, Task) and node.role is not None:
        found["role"] = node.role
    instance = turn.state.instances[step.instance]
    if step.kind is Kind.COMPENSATION:
        found["of"] = instance.undo[-1].step_id
    elif instance.index:
        found["pass"] = instance.index - 1
    return found or None


def _open_wait(turn: Turn, step: Step, node: Wait, instance: Instance) -> None:
    payload: dict[str, Any] = {"for": node.kind.value}
    try:
        if node.kind is WaitKind.TIMER:
            due = turn.ask(QuestionKind.DELAY, node, instance.frame)
            if isinstance(due, datetime):
                command: Command = SetTimer(step.id, TimerPurpose.TIMER, 0.0, due.timestamp())
                payload["until_s"] = due.timestamp()
            else:
                command = SetTimer(step.id, TimerPurpose.TIMER, float(due))
                payload["delay_s"] = float(due)
        else:
            subject = str(turn.ask(QuestionKind.TEXT, node, instance.frame, node.subject or node.name))
            command = OpenWait(step.id, node.kind, subject, node.match)
            payload["subject"] = subject
    finally:  # a wait whose expression has no value was reached all the same
        turn.note(step, payload=payload)
    turn.commands.append(command)


def _open_call(turn: Turn, step: Step, node: Call, instance: Instance) -> None:
    turn.note(step, payload={"workflow": node.workflow})
    inputs = turn.ask(QuestionKind.TEXT, node, instance.frame, node.inputs)
    turn.commands.append(StartChild(step.id, node.workflow, inputs))


def _open_scope(turn: Turn, step: Step, node: Scope, instance: Instance) -> None:
    turn.note(step, payload={"scope": kind_of(node)})
    if step.loop is not None:  # a replay takes it up where it was
        turn.agenda.append(step.id)
    elif any(inner.parent == step.id for inner in turn.state.instances.values()):
        return
    elif isinstance(node, ForEach):
        step.loop = Loop(list(turn.ask(QuestionKind.ITEMS, node, instance.frame)))
        turn.agenda.append(step.id)
    elif isinstance(node, While):
        step.loop = Loop()
        turn.agenda.append(step.id)
    else:
        enter(turn, node.name, parent=step.id, frame=instance.frame)


def refuse(turn: Turn, step: Step, failure: Failure) -> None:
    """Fail a step that could not even begin."""
    step.failure = failure
    turn.become(step, StepStatus.FAILED, failure=failure)
    turn.agenda.append(step.id)


# Giving up -----------------------------------------------------------------------


def fail_pass(turn: Turn, instance: Instance, failure: Failure) -> None:
    """Fail a pass for good: attempts that run may end, all else in it is given up."""
    if instance.mode in (Mode.RUNNING, Mode.ENDING):
        instance.failure = failure
        _drain(turn, instance, Mode.FAILING)


def stop(turn: Turn, step: Step, failure: Failure) -> None:
    """Fail what runs inside a scope or a call; the step ends when that has ended."""
    if step.kind is Kind.CALL:
        turn.commands.append(StopStep(step.id))
        return
    if step.loop is not None:
        step.loop.stopped = True
        step.failure = step.failure or failure
    for key in [key for key, inner in turn.state.instances.items() if inner.parent == step.id]:
        fail_pass(turn, turn.instance(key), replace(failure, error_class=ErrorClass.CANCELLED))


def _drain(turn: Turn, instance: Instance, mode: Mode) -> None:
    instance.over = instance.mode is Mode.ENDING
    instance.mode = mode
    net = turn.net_of(instance)
    for flow in net.held_flows(instance.marking):
        instance.held |= 1 << flow
        instance.marking &= ~(1 << flow)
    for step_id in list(instance.open.values()):
        _give_up(turn, turn.step(step_id))
    turn.agenda.append(instance.key)


def _give_up(turn: Turn, step: Step) -> None:
    """Stop a step whose outcome is not wanted any more; an attempt that runs is awaited."""
    if step.status is StepStatus.FAILED:  # it could not even begin, and has not been dealt with
        close(turn, step)
    elif step.kind in (Kind.SCOPE, Kind.CALL):
        stop(turn, step, Failure(ErrorClass.CANCELLED, "Cancelled", "The scope around it has ended.", step.node))
    elif step.status is not StepStatus.RUNNING:
        turn.become(step, StepStatus.CANCELLED)
        turn.commands.append(StopStep(step.id))
        close(turn, step)
