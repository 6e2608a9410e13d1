"""The semantics of workflows: one machine, pure and deterministic.

``start`` and ``advance`` take a state and an event and return a `Transition`: the new state, the commands to
carry out, and the records of what changed. No clock, no input or output, no randomness. The engine feeds it from
the world, recovery folds histories through it, soundness explores the same token game (`orchkit.tokens`).

An event that comes too late (its step has ended) changes nothing: the transition has no records.

Here is what each event does; what follows from it is in `orchkit.steps` (nodes and tokens) and `orchkit.scopes`
(loops, sagas, ends) and `orchkit.replay` (what has ended badly goes on), which work on the copy of the state in
`orchkit.turn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchkit.decisions import Decide, answer
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Command,
    DiscardAsked,
    Event,
    Failure,
    Kind,
    Record,
    ReplayAsked,
    RunStep,
    SetTimer,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.model.definition import Workflow
from orchkit.model.nodes import ForEach, Task, Wait, WaitKind
from orchkit.model.retry import Retry
from orchkit.model.states import ErrorClass, RunStatus, StepStatus
from orchkit.replay import discard, replay
from orchkit.run_state import Frame, Mode, State, Step
from orchkit.scopes import look_again, undone
from orchkit.steps import about, enter, fail, fail_pass, keep, stop, succeed
from orchkit.turn import Turn, expect

__all__ = ["Transition", "advance", "start"]

_ATTEMPTED = (Kind.TASK, Kind.COMPENSATION)
_StepEvent = StepStarted | StepCompleted | StepFailed | TimerFired | CallbackReceived | ChildEnded
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
    >>> nodes = (Start(name="s"), Task(name="ship"), End(name="e"))
    >>> one = Workflow("one", nodes, (Flow("s", "ship"), Flow("ship", "e")))
    >>> first = start(one, {"order": 7})
    >>> first.commands
    [RunStep(step_id='ship#1')]
    >>> running = advance(one, first.state, StepStarted("ship#1"))
    >>> done = advance(one, running.state, StepCompleted("ship#1", "sent"))
    >>> done.commands[0].status.value, dict(done.state.variables)
    ('COMPLETED', {'order': 7, 'ship': 'sent'})
    """
    turn = Turn(workflow, State(run_id=run_id), decide)
    variables = dict(inputs or {})
    turn.state.frames[0] = Frame(None, variables)
    payload = {"inputs": variables, "version": workflow.version}
    turn.records.append(Record(Kind.RUN, RunStatus.RUNNING, payload=payload))
    enter(turn, "", parent=None, frame=0)
    return _done(turn)


def advance(workflow: Workflow, state: State, event: Event, *, decide: Decide = answer) -> Transition:
    """Return what an event makes of a state; see `start` for an example."""
    turn = Turn(workflow, state.copy(), decide)
    match event:
        case ReplayAsked():
            replay(turn, event)
        case DiscardAsked():
            discard(turn, event)
        case _ if turn.state.finished is None:
            _take(turn, event)
        case _:
            pass
    return _done(turn)


def _done(turn: Turn) -> Transition:
    look_again(turn)
    return Transition(turn.state, turn.commands, turn.records)


def _take(turn: Turn, event: _StepEvent | CancelAsked) -> None:
    """Do what an event says, unless it comes too late or does not fit its step."""
    if isinstance(event, CancelAsked):
        _cancel(turn, event)
        return
    if event.step_id not in turn.state.steps:
        return
    step = turn.step(event.step_id)
    match event:
        case StepStarted() if step.status in (StepStatus.PENDING, StepStatus.RETRYING):
            _started(turn, step)
        case StepCompleted() if step.status is StepStatus.RUNNING and step.kind in _ATTEMPTED:
            _completed(turn, step, event.output)
        case StepFailed() if step.status is StepStatus.RUNNING and step.kind in _ATTEMPTED:
            _attempt_failed(turn, step, event.failure)
        case CallbackReceived() if step.kind is Kind.WAIT:
            _completed(turn, step, event.payload)
        case StepFailed() if step.kind is Kind.WAIT:
            _wait_failed(turn, step, event.failure)
        case ChildEnded() if step.kind is Kind.CALL:
            _child_ended(turn, step, event)
        case TimerFired():
            _timer_fired(turn, step, event.purpose)
        case _:
            pass


# Attempts ------------------------------------------------------------------------


def _started(turn: Turn, step: Step) -> None:
    if step.status is StepStatus.RETRYING:
        step.attempt += 1
    turn.become(step, StepStatus.RUNNING, payload=about(turn, step))


def _completed(turn: Turn, step: Step, output: object) -> None:
    turn.become(step, StepStatus.COMPLETED, payload={"output": output})
    if step.kind is Kind.COMPENSATION:
        undone(turn, step)
    else:
        succeed(turn, step, output)


def _attempt_failed(turn: Turn, step: Step, failure: Failure) -> None:
    task = expect(turn.workflow.node(step.node), Task)
    error_class = task.error_class_for(failure.type) or _own_class(failure)
    failure = replace(failure, error_class=error_class, node=step.node)
    policy = task.retry or turn.workflow.retry
    retryable = failure.error_class in _RETRYABLE
    wanted = step.kind is Kind.COMPENSATION or turn.state.instances[step.instance].mode is Mode.RUNNING
    again = retryable and wanted and step.attempt - step.before < policy.max_attempts
    if retryable and not again:
        failure = replace(failure, exhausted=True)
    asked = {"retry_after_s": failure.retry_after_s} if failure.retry_after_s else None
    turn.become(step, StepStatus.FAILED, failure=failure, payload=asked)
    if again:
        _retry(turn, step, policy, failure)
    else:
        _failed_for_good(turn, step, failure)


def _retry(turn: Turn, step: Step, policy: Retry, failure: Failure) -> None:
    delay_s = max(policy.delay_s(step.attempt - step.before, f"{turn.state.run_id}:{step.id}"), failure.retry_after_s)
    turn.become(step, StepStatus.RETRYING, payload={"delay_s": delay_s})
    turn.commands.append(SetTimer(step.id, TimerPurpose.RETRY, delay_s))


def _wait_failed(turn: Turn, step: Step, failure: Failure) -> None:
    """Fail a wait, which has no further attempt, because who was to call back says so."""
    failure = replace(failure, error_class=_own_class(failure), node=step.node)
    turn.become(step, StepStatus.FAILED, failure=failure)
    fail(turn, step, failure)


def _failed_for_good(turn: Turn, step: Step, failure: Failure) -> None:
    if step.kind is Kind.COMPENSATION:
        undone(turn, step, failure)
    else:
        fail(turn, step, failure)


def _own_class(failure: Failure) -> ErrorClass:
    """Return the class of a failure from outside: only the machine cancels, what gave up out there has failed."""
    return ErrorClass.PERMANENT if failure.error_class is ErrorClass.CANCELLED else failure.error_class


# Timers, children, cancel --------------------------------------------------------


def _timer_fired(turn: Turn, step: Step, purpose: TimerPurpose) -> None:
    match purpose:
        case TimerPurpose.RETRY:
            if step.status is StepStatus.RETRYING:
                turn.commands.append(RunStep(step.id))
        case TimerPurpose.TIMER:
            if step.kind is Kind.WAIT and expect(turn.node_of(step), Wait).kind is WaitKind.TIMER:
                _completed(turn, step, None)
        case TimerPurpose.DEADLINE:
            if step.kind in _ATTEMPTED:
                text = "All attempts together took too long."
                _out_of_time(turn, step, Failure(ErrorClass.TIMEOUT, "DeadlineExceeded", text, step.node))
        case TimerPurpose.TIMEOUT:
            if step.kind not in _ATTEMPTED:
                text = f"No outcome within {turn.node_of(step).timeout_s} s."
                _out_of_time(turn, step, Failure(ErrorClass.TIMEOUT, "Timeout", text, step.node))


def _out_of_time(turn: Turn, step: Step, failure: Failure) -> None:
    if step.kind in (Kind.SCOPE, Kind.CALL):
        if step.failure is None and not _is_failing(turn, step):
            payload = {"purpose": TimerPurpose.TIMEOUT.value}
            record = Record(Kind.TIMER, StepStatus.COMPLETED, step.node, step.id, step.attempt, payload=payload)
            turn.records.append(record)
            step.failure = failure
            stop(turn, step, failure)
        return
    turn.become(step, StepStatus.FAILED, failure=failure)
    turn.commands.append(StopStep(step.id))
    _failed_for_good(turn, step, failure)


def _is_failing(turn: Turn, step: Step) -> bool:
    """Return whether a scope already fails for another reason, and only waits for what still runs in it."""
    if isinstance(turn.node_of(step), ForEach):  # one item's failure is not yet the loop's
        return False
    passes = [instance for instance in turn.state.instances.values() if instance.parent == step.id]
    return any(instance.mode in (Mode.FAILING, Mode.UNDOING) for instance in passes)


def _child_ended(turn: Turn, step: Step, event: ChildEnded) -> None:
    output = dict(event.variables)
    done = event.status is RunStatus.COMPLETED
    if done and step.failure is None:
        _completed(turn, step, output)
        return
    failure = step.failure or _child_failure(step, event)
    payload: dict[str, Any] = {"status": event.status.value}
    if done:  # too late, but done: a saga has to undo it
        payload["output"] = output
        keep(turn, step, output)
    if turn.state.instances[step.instance].mode is Mode.RUNNING:
        turn.become(step, StepStatus.FAILED, failure=failure, payload=payload)
    else:
        turn.become(step, StepStatus.CANCELLED, payload=payload)
    fail(turn, step, failure)


def _child_failure(step: Step, event: ChildEnded) -> Failure:
    text = f"The called run ended {event.status}."
    cause = event.failure or Failure(ErrorClass.PERMANENT, "ChildFailed", text)
    exhausted = event.status is RunStatus.DEAD_LETTERED
    return replace(cause, error_class=_own_class(cause), node=step.node, exhausted=exhausted, compensated=False)


def _cancel(turn: Turn, event: CancelAsked) -> None:
    if turn.state.cancelling:
        return
    turn.state.cancelling = True
    turn.records.append(Record(Kind.CANCEL, RunStatus.CANCELLED, payload={"reason": event.reason}))
    fail_pass(turn, turn.instance(0), Failure(ErrorClass.CANCELLED, "Cancelled", event.reason))
