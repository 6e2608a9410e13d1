"""The rules for scopes: the passes of loops, the ends of passes, sagas that undo what they have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchkit.decisions import Question, QuestionKind
from orchkit.errors import ExpressionError
from orchkit.events import (
    Failure,
    Finish,
    Kind,
    Record,
    RunStep,
    SetTimer,
    TimerPurpose,
)
from orchkit.model.nodes import Activity, ForEach, Saga, Task, While
from orchkit.model.states import ErrorClass, RunStatus, StepStatus
from orchkit.run_state import Frame, Grave, Instance, Letter, Loop, Mode, Step, Undo
from orchkit.steps import about, bury, close, enter, fail, fail_pass, remember, stop, succeed
from orchkit.turn import Turn, expect, expression_failure

__all__ = ["look_again", "redo", "undone"]


def look_again(turn: Turn) -> None:
    """Do what the turn's agenda holds: until nothing more happens by itself."""
    while turn.agenda and turn.state.finished is None:
        due = turn.agenda.popleft()
        if isinstance(due, int):
            if due in turn.state.instances:
                _look_at_pass(turn, turn.instance(due))
        elif due in turn.state.steps:
            _look_at_step(turn, turn.step(due))


def _look_at_pass(turn: Turn, instance: Instance) -> None:
    """See whether a pass has ended, or is stuck."""
    if instance.open or instance.mode is Mode.UNDOING:
        return
    if instance.mode is Mode.RUNNING and instance.marking:
        net = turn.net_of(instance)
        joins = sorted({net.nodes[net.target[flow]].name for flow in net.held_flows(instance.marking)})
        text = f"Tokens wait at {', '.join(map(repr, joins))}, and nothing runs that could release them."
        fail_pass(turn, instance, Failure(ErrorClass.PERMANENT, "Deadlock", text, joins[0]))
    elif instance.mode is Mode.FAILING and isinstance(turn.scope_of(instance), Saga):
        _begin_undo(turn, instance)
    else:
        _end_pass(turn, instance)


def _look_at_step(turn: Turn, step: Step) -> None:
    """Go on with what was left to the agenda: a step that could not begin, a loop."""
    if step.status is StepStatus.FAILED:
        fail(turn, step, expect(step.failure, Failure))
    else:
        _next_passes(turn, step, expect(step.loop, Loop))


# Ends of passes ------------------------------------------------------------------


def _end_pass(turn: Turn, instance: Instance) -> None:
    del turn.state.instances[instance.key]
    if instance.mode is Mode.FAILING:
        own = isinstance(turn.scope_of(instance), ForEach)
        turn.state.graves[instance.key] = Grave(instance, turn.state.frames[instance.frame] if own else None)
    for lost in instance.lost if instance.mode is Mode.UNDOING else ():  # what is undone is not taken up again
        bury(turn, lost.step.id)
    if instance.parent is None:
        _finish(turn, instance.failure)
        return
    step = turn.step(instance.parent)
    if instance.undo:  # what a saga in a saga has done is the outer one's to undo
        undo = [replace(item, within=(*item.within, step.id)) for item in instance.undo]
        remember(turn, turn.instance(step.instance), *undo)
    failure = instance.failure
    if step.loop is not None:
        _pass_ended(turn, step, step.loop, instance)
    elif failure is not None and step.failure is not None:  # the scope was stopped for a reason of its own
        _end_scope(turn, step, replace(step.failure, compensated=failure.compensated))
    else:
        _end_scope(turn, step, failure)


def _end_scope(turn: Turn, step: Step, failure: Failure | None, output: object = None) -> None:
    """Go on after a scope, when nothing runs inside."""
    if failure is None:
        bury(turn, step.id)
        payload = {"output": output} if isinstance(turn.node_of(step), ForEach) else None
        turn.become(step, StepStatus.COMPLETED, payload=payload)
        succeed(turn, step, output)
    elif step.status is StepStatus.COMPENSATING:
        turn.become(step, StepStatus.COMPENSATED if failure.compensated else StepStatus.FAILED, failure=failure)
        fail(turn, step, failure)
    elif failure.error_class is ErrorClass.CANCELLED:
        turn.become(step, StepStatus.CANCELLED)
        close(turn, step)
    else:
        turn.become(step, StepStatus.FAILED, failure=failure)
        fail(turn, step, failure)


def _finish(turn: Turn, failure: Failure | None) -> None:
    failure = failure or turn.state.undone_badly
    if failure is None:
        status = RunStatus.COMPLETED
    elif turn.state.undone_badly is not None:
        status = RunStatus.DEAD_LETTERED
    elif failure.error_class is ErrorClass.CANCELLED:
        status = RunStatus.CANCELLED
    elif failure.compensated:
        status = RunStatus.COMPENSATED
    elif failure.exhausted:
        status = RunStatus.DEAD_LETTERED
    else:
        status = RunStatus.FAILED
    if status not in (RunStatus.FAILED, RunStatus.DEAD_LETTERED):
        turn.state.graves = {}
    turn.state.finished = Finish(status, failure)
    payload = {"variables": dict(turn.state.variables)}
    turn.records.append(Record(Kind.RUN, status, failure=failure, payload=payload))
    turn.commands.append(turn.state.finished)


# Loops ---------------------------------------------------------------------------


def _next_passes(turn: Turn, step: Step, loop: Loop) -> None:
    """Begin the passes of a loop that may begin now; end the loop when none is left."""
    node = turn.node_of(step)
    frame = turn.state.instances[step.instance].frame
    try:
        if isinstance(node, While):
            _next_iteration(turn, step, loop, node, frame)
        else:
            _next_items(turn, step, loop, expect(node, ForEach), frame)
    except ExpressionError as error:
        stop(turn, step, expression_failure(error, step.node))
    if loop.active == 0:
        _end_loop(turn, step, loop, node)


def _next_iteration(turn: Turn, step: Step, loop: Loop, node: While, frame: int) -> None:
    if loop.stopped or loop.active or not turn.ask(QuestionKind.REPEAT, node, frame):
        return
    if loop.next >= node.max_iterations:
        text = f"{node.condition!r} still holds after {node.max_iterations} iterations (max_iterations)."
        step.failure = Failure(ErrorClass.PERMANENT, "TooManyIterations", text, step.node)
        return
    loop.next += 1
    loop.active += 1
    enter(turn, node.name, parent=step.id, frame=frame, index=loop.next)


def _next_items(turn: Turn, step: Step, loop: Loop, node: ForEach, frame: int) -> None:
    while not (loop.closed or loop.stopped) and loop.next < len(loop.items) and loop.active < max(1, node.concurrency):
        position = loop.next
        mine = {node.item: loop.items[position]}
        if node.name not in turn.program.exits_after and _holds(turn, QuestionKind.EXIT, node, frame, mine):
            loop.closed = True
            return
        loop.next += 1
        if _holds(turn, QuestionKind.SKIP, node, frame, mine):
            passed = Step(f"{step.id}/{position}", step.node, Kind.SCOPE, step.instance, StepStatus.SKIPPED)
            turn.note(passed, payload={"pass": position})
            continue
        loop.active += 1
        own = turn.serial()
        turn.state.frames[own] = Frame(frame, mine)
        enter(turn, node.name, parent=step.id, frame=own, index=loop.next)


def _holds(turn: Turn, kind: QuestionKind, node: ForEach, frame: int, mine: Mapping[str, Any]) -> bool:
    """Return whether the condition of a for-each holds for an item."""
    if (node.exit_when if kind is QuestionKind.EXIT else node.continue_when) is None:
        return False
    return bool(turn.decide(Question(kind, node, {**turn.state.variables_in(frame), **mine})))


def _pass_ended(turn: Turn, step: Step, loop: Loop, instance: Instance) -> None:
    """Note the end of a pass of a loop."""
    node = turn.node_of(step)
    loop.active -= 1
    if isinstance(node, ForEach):
        try:
            _item_ended(turn, step, loop, node, instance)
        except ExpressionError as error:
            stop(turn, step, expression_failure(error, step.node))
    elif instance.failure is not None:
        loop.stopped = True
        compensated = instance.failure.compensated
        step.failure = instance.failure if step.failure is None else replace(step.failure, compensated=compensated)
    _next_passes(turn, step, loop)


def _item_ended(turn: Turn, step: Step, loop: Loop, node: ForEach, instance: Instance) -> None:
    position = instance.index - 1
    mine = turn.state.frames.pop(instance.frame)
    failure = instance.failure
    if failure is None:
        loop.results[position] = {name: value for name, value in mine.values.items() if name != node.item}
        if node.name in turn.program.exits_after and not loop.closed:
            loop.closed = _holds(turn, QuestionKind.EXIT, node, expect(mine.outer, int), mine.values)
    elif failure.error_class is not ErrorClass.CANCELLED:
        loop.failed += 1
        first = loop.first_failure or failure
        loop.first_failure = replace(
            first,
            exhausted=first.exhausted or failure.exhausted,
            compensated=first.compensated and failure.compensated,
        )
        if step.failure is None and loop.failed > _tolerated(node, len(loop.items)):
            text = f"{loop.failed} of {len(loop.items)} items failed; the first: {first.message or first.type}"
            partial = replace(loop.first_failure, error_class=ErrorClass.PARTIAL, type="ItemsFailed", message=text)
            stop(turn, step, replace(partial, node=step.node))


def _tolerated(node: ForEach, items: int) -> int:
    allowed = node.tolerated_failures
    if not isinstance(allowed, str):
        return allowed
    try:
        return int(float(allowed.strip().rstrip("%")) * items / 100 + 1e-9)
    except ValueError:
        message = f"for_each {node.name!r}: tolerated_failures is a count or a share such as '10%', not {allowed!r}."
        raise ExpressionError(message) from None


def _end_loop(turn: Turn, step: Step, loop: Loop, node: Activity) -> None:
    if step.failure is not None:
        _end_scope(turn, step, step.failure)
    elif isinstance(node, ForEach):
        _end_scope(turn, step, None, [loop.results.get(position) for position in range(len(loop.items))])
    else:
        _end_scope(turn, step, None)


# Compensation --------------------------------------------------------------------


def _begin_undo(turn: Turn, instance: Instance) -> None:
    instance.mode = Mode.UNDOING
    turn.become(turn.step(expect(instance.parent, str)), StepStatus.COMPENSATING, failure=instance.failure)
    _undo_next(turn, instance)


def undone(turn: Turn, step: Step, failure: Failure | None = None) -> None:
    """Go on after a compensation has succeeded, or failed for good."""
    instance = turn.instance(step.instance)
    undo, instance.undo = instance.undo[-1], instance.undo[:-1]
    del turn.state.steps[step.id]
    if failure is not None:
        instance.undone_badly = True
        turn.state.undone_badly = turn.state.undone_badly or failure
        turn.state.letters = (*turn.state.letters, Letter(replace(undo, again=step), instance.failure))
    _undo_next(turn, instance)


def _undo_next(turn: Turn, instance: Instance) -> None:
    while instance.undo:
        undo = instance.undo[-1]
        task = expect(turn.workflow.node(undo.node), Activity).compensate
        if isinstance(task, Task):
            _open_compensation(turn, instance, undo, task)
            return
        passed = Step(undo.step_id, undo.node, Kind.COMPENSATION, instance.key, StepStatus.SKIPPED)
        reason = f"{undo.node} cannot be undone (compensate: none)"
        turn.note(passed, payload={"of": undo.step_id, "reason": reason})
        instance.undo = instance.undo[:-1]
    if instance.failure is not None and (instance.parent is not None or instance.undone_badly):
        instance.failure = replace(instance.failure, compensated=not instance.undone_badly)
    _end_pass(turn, instance)


def redo(turn: Turn, letters: Sequence[Letter], failure: Failure | None) -> None:
    """Carry out again the compensations that have failed for good, in a pass of their own at the end of the run."""
    instance = turn.add_instance("", None, 0, 0)
    instance.mode, instance.failure = Mode.UNDOING, failure
    instance.undo = tuple(letter.undo for letter in reversed(letters))
    _undo_next(turn, instance)


def _open_compensation(turn: Turn, instance: Instance, undo: Undo, task: Task) -> None:
    if undo.again is None:
        step = turn.add_step(task.name, Kind.COMPENSATION, StepStatus.PENDING, instance.key)
        turn.note(step, payload=about(turn, step))
        turn.commands.append(RunStep(step.id))
    else:
        step = turn.take_back(replace(undo.again, instance=instance.key, before=undo.again.attempt))
        turn.become(step, StepStatus.RETRYING, payload={"delay_s": 0.0})
        turn.commands.append(SetTimer(step.id, TimerPurpose.RETRY, 0.0))
    step.variables = undo.variables
    if task.deadline_s is not None:
        turn.commands.append(SetTimer(step.id, TimerPurpose.DEADLINE, task.deadline_s))
