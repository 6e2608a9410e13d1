"""What is in flight: cases that have begun and not ended, as a simulation takes them up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import nan
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from orchkit.model.definition import Workflow
    from orchkit.run_state import State

__all__ = ["InFlight", "OpenCase", "OpenRun", "OpenStep", "open_steps"]

_OPENING = frozenset({"PENDING", "RUNNING", "WAITING"})
_STEPS = frozenset({"task", "wait", "scope", "call", "compensation"})


@dataclass(frozen=True, slots=True)
class OpenStep:
    """What is known of a step that is open.

    Attributes
    ----------
    visit
        The how-manieth visit of its node in the case.
    opened_s, enabled_s, started_s
        When the step opened; when this attempt could begin, and did (NaN: it waits). Seconds since 1970.
    resource
        Who does it.
    due_s
        When its retry or timer is due, where that is known.
    is_enabled
        Whether it is known that it could begin: else it may still be delayed.
    """

    visit: int
    opened_s: float
    enabled_s: float
    started_s: float = nan
    resource: str | None = None
    due_s: float | None = None
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run of a case: the machine's state, and what is known of its open steps.

    Attributes
    ----------
    parent
        The run that called it, by its position among those of the case, and the step there; None for the case's own.
    is_counted
        Whether the number of items of its loops is known.
    """

    workflow: Workflow
    state: State
    steps: Mapping[str, OpenStep]
    parent: tuple[int, str] | None = None
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case that has begun and not ended.

    Attributes
    ----------
    runs
        Its own first, then those that it called.
    visits
        How often each node was visited, by digest of the workflow and name.
    attributes
        What is known of the case, by dotted name.
    last
        The step that ended last: the digest of its workflow, and its node.
    """

    case_id: str
    started_s: float
    runs: tuple[OpenRun, ...]
    visits: Mapping[tuple[str, str], int] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    last: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class InFlight:
    """The cases in flight at a moment.

    Attributes
    ----------
    now_s
        Seconds since 1970.
    notes
        What could not be taken over, one sentence each.
    """

    now_s: float
    cases: tuple[OpenCase, ...]
    notes: tuple[str, ...] = ()


class Changed(Protocol):
    """A row of a history: how the state of a step changed."""

    @property
    def step_id(self) -> str | None: ...
    @property
    def node(self) -> str | None: ...
    @property
    def kind(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def occurred_at(self) -> int: ...
    @property
    def resource(self) -> str | None: ...
    @property
    def payload(self) -> str | None: ...


def open_steps(rows: Iterable[Changed], state: State, visits: Counter[str]) -> dict[str, OpenStep]:
    """Return what a history says of the steps that are open, and count the visits of nodes.

    Parameters
    ----------
    rows
        Of one run, in order.
    state
        What they have made of it.
    visits
        By node; counted on.
    """
    found: dict[str, OpenStep] = {}
    for row in rows:
        if row.step_id is None or row.node is None or row.kind not in _STEPS:
            continue
        moment = row.occurred_at / 1e6
        if row.step_id not in found:
            if row.status not in _OPENING:
                continue
            visits[row.node] += 1
            found[row.step_id] = OpenStep(visits[row.node], moment, moment)
        step = found[row.step_id]
        match row.status:
            case "RUNNING":
                found[row.step_id] = replace(step, started_s=moment, resource=row.resource)
            case "WAITING":
                told = json.loads(row.payload) if row.payload else {}
                due = told.get("until_s", moment + told["delay_s"] if "delay_s" in told else None)
                found[row.step_id] = replace(step, started_s=moment, due_s=due)
            case "RETRYING":
                due = moment + json.loads(row.payload or "{}").get("delay_s", 0.0)
                found[row.step_id] = replace(step, enabled_s=moment, started_s=nan, due_s=due)
            case _:
                pass
    return {step_id: step for step_id, step in found.items() if step_id in state.steps}
