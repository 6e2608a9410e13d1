"""Where the runs of a game stand: a run with those that it called, its open steps, and what tells runs apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchkit.analysis.skeleton import COUNTED
from orchkit.events import Failure, Kind
from orchkit.model.nodes import Activity, ForEach, Node, While
from orchkit.run_state import Instance, Mode, State, Step

if TYPE_CHECKING:
    from orchkit.model.definition import Workflow

__all__ = ["Key", "Open", "Played", "leaves_of", "steps_of"]


@dataclass(frozen=True, slots=True)
class Played:
    """A run, and those that it called, by the step that called."""

    workflow: Workflow
    state: State
    children: dict[str, Played]

    def with_child(self, step_id: str, child: Played) -> Played:
        """Return the run with another child of a step."""
        return Played(self.workflow, self.state, {**self.children, step_id: child})


@dataclass(frozen=True, slots=True)
class Open:
    """A step that is open, and how to play on there."""

    run: Played
    step: Step
    path: tuple[str, ...]

    @property
    def node(self) -> Activity:
        """The node that the step visits."""
        node = self.run.workflow.node(self.step.node)
        assert isinstance(node, Activity)  # noqa: S101 -- nothing else opens
        return node

    @property
    def child(self) -> Played | None:
        """The run that the step called, where it is played."""
        return self.run.children.get(self.step.id)

    @property
    def is_unwanted(self) -> bool:
        """Whether the pass around it only waits for what still runs."""
        mode = self.run.state.instances[self.step.instance].mode
        return mode is not Mode.RUNNING and self.step.kind is not Kind.COMPENSATION


def steps_of(run: Played, path: tuple[str, ...] = ()) -> Iterator[Open]:
    """Yield the open steps of a run and of those that it called."""
    for step in run.state.steps.values():
        yield Open(run, step, path)
    for step_id, child in run.children.items():
        yield from steps_of(child, (*path, step_id))


def leaves_of(run: Played) -> Iterator[Open]:
    """Yield the open steps that are no scopes."""
    return (each for each in steps_of(run) if each.step.kind is not Kind.SCOPE)


@dataclass(slots=True)
class Key:
    """What tells runs apart that go on differently; no loop has more items than ``most_items``."""

    run: Played
    replays: bool
    most_items: int
    steps: dict[int, list[Step]] = field(default_factory=dict)
    passes: dict[str | None, list[Instance]] = field(default_factory=dict)

    def of_run(self) -> tuple[Any, ...]:
        """Return what tells the run apart."""
        state = self.run.state
        if state.finished is not None and not self.replays:
            return ("finished", state.finished.status, _about(state.finished.failure))
        for step in state.steps.values():
            self.steps.setdefault(step.instance, []).append(step)
        for instance in state.instances.values():
            self.passes.setdefault(instance.parent, []).append(instance)
        return (
            *(self.of_pass(each) for each in self.passes.get(None, ())),
            state.cancelling,
            state.undone_badly is not None,
            *self.left_behind(),
        )

    def left_behind(self) -> Iterator[object]:
        """Yield what a replay begins with."""
        state = self.run.state
        if self.replays:
            yield None if state.finished is None else (state.finished.status, _about(state.finished.failure))
            yield tuple(self.of_pass(grave.instance) for _, grave in sorted(state.graves.items()))
            yield tuple((letter.undo.node, _about(letter.cause)) for letter in state.letters)

    def of_pass(self, instance: Instance) -> tuple[Any, ...]:
        """Return what tells a pass through a graph apart."""
        lost = tuple((each.done, self.of_step(each.step)) for each in instance.lost) if self.replays else ()
        return (
            instance.scope,
            instance.marking,
            instance.mode.value,
            _about(instance.failure),
            instance.undone_badly,
            tuple((undo.node, _names(self.run.state, undo.within)) for undo in instance.undo),
            tuple(sorted((self.of_step(step) for step in self.steps.get(instance.key, ())), key=repr)),
            (instance.held, instance.unbegun, instance.over, *lost) if self.replays else (),
        )

    def of_step(self, step: Step) -> tuple[Any, ...]:
        """Return what tells an open step apart."""
        child = self.run.children.get(step.id)
        return (
            step.node,
            step.kind.value,
            step.status.value,
            _about(step.failure),
            None if step.loop is None else self.progress(self.run.workflow.node(step.node), step),
            tuple(sorted((self.of_pass(each) for each in self.passes.get(step.id, ())), key=repr)),
            None if child is None else Key(child, self.replays, self.most_items).of_run(),
        )

    def progress(self, node: Node, step: Step) -> tuple[Any, ...]:
        """Return what tells apart how far a loop has come."""
        loop = step.loop
        assert loop is not None  # noqa: S101 -- who asks has looked
        counted = isinstance(node, While) and node.max_iterations <= COUNTED
        # Of as many items as there can be, more are left than a case has steps.
        few = (
            isinstance(node, ForEach) and isinstance(node.tolerated_failures, str) and len(loop.items) < self.most_items
        )
        return (
            loop.active,
            loop.failed,
            loop.closed,
            loop.stopped,
            _about(loop.first_failure),
            loop.next if counted or few else None,
            len(loop.items) if few else None,
        )


def _about(failure: Failure | None) -> tuple[str, bool, bool] | None:
    return None if failure is None else (failure.error_class.value, failure.exhausted, failure.compensated)


def _names(state: State, step_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(state.steps[step_id].node for step_id in step_ids if step_id in state.steps)
