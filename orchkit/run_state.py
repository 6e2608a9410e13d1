"""The state of a run, as the machine keeps it: passes through graphs, open steps, variables."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchkit.events import Failure, Finish, Kind
from orchkit.model.states import RunStatus, StepStatus

__all__ = [
    "Frame",
    "Grave",
    "Instance",
    "Letter",
    "Loop",
    "Lost",
    "Mode",
    "State",
    "Step",
    "Undo",
]


class Mode(StrEnum):
    """What an instance of a graph is doing."""

    RUNNING = "running"
    ENDING = "ending"  # a terminate end was reached
    FAILING = "failing"  # waits for what still runs
    UNDOING = "undoing"  # a saga compensates


@dataclass(slots=True)
class Loop:
    """Progress of a for-each or while scope.

    ``closed``: no more passes by its condition; ``stopped``: none because it fails.
    """

    items: list[Any] = field(default_factory=list)
    results: dict[int, Any] = field(default_factory=dict)
    next: int = 0
    active: int = 0
    failed: int = 0
    closed: bool = False
    first_failure: Failure | None = None
    stopped: bool = False

    def copy(self) -> Loop:
        """Return a copy that can be changed."""
        return Loop(
            self.items,
            dict(self.results),
            self.next,
            self.active,
            self.failed,
            self.closed,
            self.first_failure,
            self.stopped,
        )


@dataclass(slots=True)
class Step:
    """A visit of a node that has no outcome yet; ``before`` attempts do not count, for a replay gave new ones."""

    id: str
    node: str
    kind: Kind
    instance: int
    status: StepStatus
    attempt: int = 1
    loop: Loop | None = None
    failure: Failure | None = None
    variables: Mapping[str, Any] | None = None
    before: int = 0

    def copy(self) -> Step:
        """Return a copy that can be changed."""
        loop = None if self.loop is None else self.loop.copy()
        return Step(
            self.id,
            self.node,
            self.kind,
            self.instance,
            self.status,
            self.attempt,
            loop,
            self.failure,
            self.variables,
            self.before,
        )


@dataclass(frozen=True, slots=True)
class Lost:
    """A step that closed in a pass that was failing: ``done`` or not, its tokens went nowhere."""

    step: Step
    done: bool


@dataclass(frozen=True, slots=True)
class Undo:
    """A completed step that a saga may have to compensate.

    Attributes
    ----------
    variables
        Those of the moment when it completed.
    within
        The scopes between it and the saga, by step id.
    again
        The compensation that has failed for good and is replayed.
    """

    step_id: str
    node: str
    variables: Mapping[str, Any]
    within: tuple[str, ...] = ()
    again: Step | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A compensation that failed for good, and the failure of the saga that it belongs to."""

    undo: Undo
    cause: Failure | None


@dataclass(slots=True)
class Instance:
    """One pass through a graph: of the run itself, or of a scope.

    Attributes
    ----------
    held, lost
        Of a pass that fails: the tokens that waited at joins, and the steps that closed since. A replay begins there.
    unbegun
        Not even its first nodes could be opened.
    over
        It was ending when it was given up: there is nothing to replay in it.
    """

    key: int
    scope: str
    parent: str | None
    frame: int
    marking: int = 0
    open: dict[int, str] = field(default_factory=dict)
    index: int = 0
    mode: Mode = Mode.RUNNING
    failure: Failure | None = None
    undo: tuple[Undo, ...] = ()
    undone_badly: bool = False
    held: int = 0
    lost: tuple[Lost, ...] = ()
    unbegun: bool = False
    over: bool = False

    def copy(self) -> Instance:
        """Return a copy that can be changed."""
        return Instance(
            self.key,
            self.scope,
            self.parent,
            self.frame,
            self.marking,
            dict(self.open),
            self.index,
            self.mode,
            self.failure,
            self.undo,
            self.undone_badly,
            self.held,
            self.lost,
            self.unbegun,
            self.over,
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """Variables; a pass of a for-each has its own, and reads those outside."""

    outer: int | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Grave:
    """A pass that has failed, and its variables: what a replay brings back."""

    instance: Instance
    frame: Frame | None = None


@dataclass(slots=True)
class State:
    """The state of a run. Treat it as a value: the machine returns a new one.

    Attributes
    ----------
    run_id
        Of the run; part of the seed of its jitter.
    steps
        What is open, by step id.
    instances, frames
        Passes through graphs, and their variables.
    serial
        The last number that was given to a step, pass or frame.
    undone_badly
        The first compensation that failed for good: the run goes to the dead letters, however it ends.
    finished
        How the run ended, or None.
    graves
        Passes that have failed, by key, until their failure is dealt with.
    letters
        Compensations that have failed for good.
    """

    run_id: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    instances: dict[int, Instance] = field(default_factory=dict)
    frames: dict[int, Frame] = field(default_factory=dict)
    serial: int = 0
    cancelling: bool = False
    undone_badly: Failure | None = None
    finished: Finish | None = None
    graves: dict[int, Grave] = field(default_factory=dict)
    letters: tuple[Letter, ...] = ()

    def copy(self) -> State:
        """Return a copy whose tables can be changed (their entries are shared)."""
        return State(
            self.run_id,
            dict(self.steps),
            dict(self.instances),
            dict(self.frames),
            self.serial,
            self.cancelling,
            self.undone_badly,
            self.finished,
            dict(self.graves),
            self.letters,
        )

    @property
    def status(self) -> RunStatus:
        """The state of the run, seen from its steps."""
        return self.status_while(frozenset())

    def status_while(self, idling: Container[str]) -> RunStatus:
        """Return the state of the run while some of its steps, by id, have nobody at work on them."""
        if self.finished is not None:
            return self.finished.status
        if any(instance.mode is Mode.UNDOING for instance in self.instances.values()):
            return RunStatus.COMPENSATING
        idle = (StepStatus.WAITING, StepStatus.RETRYING)
        leaves = [step for step in self.steps.values() if step.kind is not Kind.SCOPE]
        if leaves and all(step.status in idle or step.kind is Kind.CALL or step.id in idling for step in leaves):
            return RunStatus.WAITING
        return RunStatus.RUNNING

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables of the run."""
        return self.frames[0].values if self.frames else {}

    def variables_in(self, frame: int) -> Mapping[str, Any]:
        """Return the variables that are seen in a frame."""
        found = self.frames[frame]
        if found.outer is None:
            return found.values
        return {**self.variables_in(found.outer), **found.values}

    def variables_of(self, step_id: str) -> Mapping[str, Any]:
        """Return the variables that a step sees."""
        step = self.steps[step_id]
        if step.variables is not None:
            return step.variables
        return self.variables_in(self.instances[step.instance].frame)

    def open_steps(self, kinds: Iterable[Kind]) -> list[Step]:
        """Return the open steps of these kinds."""
        wanted = frozenset(kinds)
        return [step for step in self.steps.values() if step.kind in wanted]
