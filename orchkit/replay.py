"""The rules for what is decided about runs that have ended badly: they go on, or are given up.

A pass that fails keeps what it loses: the tokens that waited at joins, and the steps that close while it fails. So a
replay brings the passes back as they were: what has completed since stays done and sends its tokens on; what failed, or
was given up, gets a further attempt. A saga that has been undone begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchkit.events import DiscardAsked, Failure, Finish, Kind, Record, ReplayAsked
from orchkit.model.nodes import ForEach
from orchkit.model.states import TRANSITIONS_OF_RUNS, ErrorClass, RunStatus, StepStatus
from orchkit.run_state import Frame, Grave, Instance, Letter, Mode
from orchkit.run_state import Step as OpenStep
from orchkit.scopes import redo
from orchkit.steps import enter, go_on, reopen, unpack
from orchkit.turn import Turn

__all__ = ["DISCARDED", "REPLAYED", "discard", "replay"]

REPLAYED, DISCARDED = "REPLAYED", "DISCARDED"
_FAILED = (RunStatus.FAILED, RunStatus.DEAD_LETTERED)


def replay(turn: Turn, event: ReplayAsked) -> None:
    """Let a run go on that has ended badly; nothing happens where it has not."""
    state = turn.state
    finished = state.finished
    if finished is None or RunStatus.RUNNING not in TRANSITIONS_OF_RUNS[finished.status]:
        return
    if not event.from_start and finished.status not in _FAILED:
        return
    told = {"variables": dict(event.variables), "from_start": event.from_start or None, "reason": event.reason}
    payload = {name: value for name, value in told.items() if value is not None}
    turn.records.append(Record(Kind.DECISION, REPLAYED, payload=payload, resource=event.by))
    turn.records.append(Record(Kind.RUN, RunStatus.RUNNING))
    state.finished, state.cancelling = None, False
    if event.from_start:
        _begin_again(turn, event.variables)
    elif state.letters:
        _redo(turn, finished.failure, event.variables)
    else:
        _take_up(turn, event.variables)


def discard(turn: Turn, event: DiscardAsked) -> None:
    """Give a dead letter up: the run has failed, and nobody is asked any more."""
    finished = turn.state.finished
    if finished is None or finished.status is not RunStatus.DEAD_LETTERED:
        return
    failure = finished.failure
    turn.records.append(Record(Kind.DECISION, DISCARDED, payload={"reason": event.reason}, resource=event.by))
    payload = {"variables": dict(turn.state.variables)}
    turn.records.append(Record(Kind.RUN, RunStatus.FAILED, failure=failure, payload=payload))
    turn.state.finished = Finish(RunStatus.FAILED, failure)


def _begin_again(turn: Turn, inputs: Mapping[str, Any]) -> None:
    """Begin the run anew; its serial goes on, so that no step has the id of an older one."""
    state = turn.state
    state.steps, state.instances, state.graves, state.letters = {}, {}, {}, ()
    state.undone_badly = None
    state.frames = {0: Frame(None, dict(inputs))}
    enter(turn, "", parent=None, frame=0)


def _redo(turn: Turn, failure: Failure | None, mended: Mapping[str, Any]) -> None:
    """Carry out again what could not be undone."""
    letters, turn.state.letters = turn.state.letters, ()
    turn.state.undone_badly = None
    if failure is not None and any(_is_same(failure, letter) for letter in letters):
        failure = replace(failure, compensated=True)  # unless a compensation fails once more
    letters = tuple(
        replace(letter, undo=replace(letter.undo, variables={**letter.undo.variables, **mended})) for letter in letters
    )
    redo(turn, letters, failure)


def _is_same(failure: Failure, letter: Letter) -> bool:
    """Return whether the run failed because of this saga's failure."""
    cause = letter.cause
    if cause is None:
        return False
    return failure.type == "ItemsFailed" or (failure.type, failure.message) == (cause.type, cause.message)


# From where it failed --------------------------------------------------------------


def _take_up(turn: Turn, mended: Mapping[str, Any]) -> None:
    """Bring all failed passes back, and let what is in them go on."""
    graves, turn.state.graves = dict(sorted(turn.state.graves.items())), {}
    todo: list[tuple[OpenStep, bool]] = []
    for grave in graves.values():
        todo += _bring_back(turn, grave)
    _mend(turn, [step for step, done in todo if not done], mended)
    for step, done in todo:
        if not done:
            if step.loop is not None:
                _take_up_loop(turn, step, graves)
            reopen(turn, turn.step(step.id))
    for step, done in todo:
        if done and step.id in turn.state.steps:
            go_on(turn, turn.step(step.id))
    for key, grave in graves.items():
        if grave.instance.unbegun and key in turn.state.instances:
            unpack(turn, turn.instance(key))
        turn.agenda.append(key)


def _bring_back(turn: Turn, grave: Grave) -> list[tuple[OpenStep, bool]]:
    """Put a pass back with its open steps, and return these, each with whether it is done."""
    old = grave.instance
    instance = turn.take_back(
        Instance(old.key, old.scope, old.parent, old.frame, index=old.index, mode=Mode.RUNNING, undo=old.undo)
    )
    if grave.frame is not None:
        turn.state.frames[old.frame] = grave.frame
    if old.over or old.unbegun:
        return []
    net = turn.net_of(instance)
    instance.marking = old.held
    found = []
    for lost in old.lost:
        step = turn.take_back(lost.step)
        number = net.index[step.node]
        instance.open[number] = step.id
        instance.marking |= net.open_bit(number)
        found.append((step, lost.done))
    return found


def _take_up_loop(turn: Turn, step: OpenStep, graves: Mapping[int, Grave]) -> None:
    """Let a loop go on with the passes that are back."""
    loop = step.loop
    if loop is None:
        return
    back = [grave.instance for grave in graves.values() if grave.instance.parent == step.id]
    loop.active, loop.stopped = len(back), False
    if isinstance(turn.node_of(step), ForEach):
        failures = [instance.failure for instance in back]
        loop.failed -= sum(
            failure is not None and failure.error_class is not ErrorClass.CANCELLED for failure in failures
        )
        loop.first_failure = loop.first_failure if loop.failed else None


def _mend(turn: Turn, steps: list[OpenStep], mended: Mapping[str, Any]) -> None:
    """Set variables where the steps that failed see them: in the innermost pass that has them, or else in the run."""
    failed = [step for step in steps if step.status is StepStatus.FAILED and step.kind is not Kind.SCOPE]
    places = {turn.state.instances[step.instance].frame for step in failed} or {0}
    for name, value in mended.items():
        for place in places:
            frame: int | None = place
            while frame is not None and name not in turn.state.frames[frame].values:
                frame = turn.state.frames[frame].outer
            turn.set_variable(frame or 0, name, value)
