"""Turns of the machine in the game of a workflow: a run, and those that it called, after some events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchkit.analysis.positions import Played
from orchkit.analysis.tolerance import fails_now
from orchkit.decisions import Decide
from orchkit.events import (
    CancelAsked,
    Event,
    RunStep,
    SetTimer,
    StartChild,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.machine import Transition, advance, start
from orchkit.model.definition import Workflow

__all__ = ["Player", "fails_at", "in_place"]

# Calls inside of calls that are followed.
_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Player:
    """Plays the machine with answers to its questions; ``within``: the steps of called runs are played as well."""

    decide: Decide
    within: bool

    def started(self, workflow: Workflow, depth: int = 0) -> Played:
        """Return a run that has just started, in so many others that called."""
        return self._carried_out(workflow, start(workflow, decide=self.decide), {}, depth)

    def played(self, run: Played, path: Sequence[str], events: Iterable[Event]) -> Played:
        """Return a run after events in the run that was called along a path."""
        if path:
            inner = self.played(run.children[path[0]], path[1:], events)
            return run.with_child(path[0], inner)
        for event in events:
            transition = advance(run.workflow, run.state, event, decide=self.decide)
            run = self._carried_out(run.workflow, transition, run.children, 0)
        return run

    def _carried_out(
        self, workflow: Workflow, transition: Transition, children: Mapping[str, Played], depth: int
    ) -> Played:
        """Carry out commands: every attempt begins at once; so does a child that is played with its caller."""
        state, children = transition.state, dict(children)
        for command in transition.commands:
            match command:
                case RunStep(step_id) if step_id in state.steps:
                    state = advance(workflow, state, StepStarted(step_id)).state
                case SetTimer(step_id, TimerPurpose.RETRY) if step_id in state.steps:  # a replay gives another attempt
                    late = advance(workflow, state, TimerFired(step_id, TimerPurpose.RETRY))
                    state = advance(workflow, late.state, StepStarted(step_id)).state
                case StartChild(step_id, name) if self.within and depth < _DEPTH and step_id in state.steps:
                    called = workflow.called(name)
                    if called is not None:
                        children[step_id] = self.started(called, depth + 1)
                case StopStep(step_id) if step_id in children:
                    children[step_id] = self.played(children[step_id], (), [CancelAsked()])
                case _:
                    pass
        return Played(workflow, state, {step_id: run for step_id, run in children.items() if step_id in state.steps})


def _at(run: Played, path: Sequence[str]) -> Played:
    """Return the run that was called along a path; where it is over, the last that is not."""
    for step_id in path:
        if step_id not in run.children:
            break
        run = run.children[step_id]
    return run


def fails_at(path: Sequence[str], loop: str, run: Played) -> bool:
    """Return whether a loop fails in the run that was called along a path."""
    return fails_now(_at(run, path), loop)


def in_place(run: Played, path: Sequence[str], other: Played) -> Played:
    """Return a run with another in the place of the one that was called along a path."""
    if not path:
        return other
    return run.with_child(path[0], in_place(run.children[path[0]], path[1:], other))
