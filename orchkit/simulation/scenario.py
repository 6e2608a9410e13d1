"""Scenario: what a simulation assumes about the world around a workflow.

Not part of the workflow: an assumption must not change the version that a durable run is pinned to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from numbers import Integral, Real
from typing import Any

import pandas as pd

from orchkit.errors import ScenarioError, nearest
from orchkit.log import EventLog
from orchkit.model.retry import Retry
from orchkit.model.states import ErrorClass
from orchkit.simulation.arrivals import ArrivalTimes, Profile, arrivals_of
from orchkit.simulation.attributes import as_attribute, attributes_of
from orchkit.simulation.brief import brief
from orchkit.simulation.calendars import Calendar
from orchkit.simulation.distributions import (
    Distribution,
    Drawn,
    as_constant,
    as_distribution,
    as_numbers,
    as_signed,
)
from orchkit.simulation.several import several
from orchkit.units import Duration

__all__ = [
    "ArrivalTimes",
    "Batch",
    "Discipline",
    "Failure",
    "Loop",
    "Profile",
    "Resource",
    "Response",
    "Scenario",
    "arrivals_of",
    "expect_scenario",
]

_INFINITE = 1e300  # what cannot be reckoned with
_FOREVER_S = 1e11  # 3,000 years
_FIRST_YEAR, _LAST_YEAR = 1970, 9900
_MOST = 1_000_000  # people, or cases at once: more of a role is better left unlimited


class Discipline(StrEnum):
    """Who is served next."""

    FIFO = "fifo"
    LIFO = "lifo"
    PRIORITY = "priority"
    PREEMPTIVE = "preemptive"
    SHORTEST = "shortest"


@dataclass(frozen=True, slots=True)
class Resource:
    """Who does the work of a role: how many, when, in which order they serve, what they cost.

    Parameters
    ----------
    count
        How many there are; they are called ``<role>_1``, ``<role>_2`` …, unless ``members`` names them.
    calendar
        When all of them are on duty; None for always.
    cost_per_hour, cost_per_step
        In any currency; hours are those at work.
    discipline
        ``fifo``, ``lifo``, ``priority``, ``preemptive`` (priority that interrupts) or ``shortest``. Priorities come
        from the scenario's ``priorities``; the greater number goes first. Work that was interrupted continues later
        from where it was, while its timeout goes on; nobody is interrupted off duty.
    queue_limit
        How many steps may wait; a step that finds the queue full fails with ``QueueFull``. None for no limit.
    members
        Instead of ``count``: resources by name, each with its calendar (None for that in ``calendar``). A name that is
        in two roles is two people.
    at_shift_end
        ``pause``: work stops, and continues when the calendar opens again. ``finish``: work that was begun is finished.

    Examples
    --------
    >>> from orchkit.simulation.calendars import office_hours
    >>> clerks = Resource(2, calendar=office_hours("Europe/Berlin"), cost_per_hour=40)
    >>> clerks.count, clerks.calendar.hours_per_week
    (2, 40.0)
    """

    count: int = 1
    calendar: Calendar | None = None
    cost_per_hour: float = 0.0
    cost_per_step: float = 0.0
    discipline: Discipline = Discipline.FIFO
    queue_limit: int | None = None
    members: Mapping[str, Calendar | None] = field(default_factory=dict, hash=False)
    at_shift_end: str = "pause"

    __repr__ = brief

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if not isinstance(self.members, Mapping):
            message = f"resource: members has a calendar (or None) by name, not {self.members!r}."
            raise ScenarioError(message)
        if self.members:
            keep(self, "count", len(self.members))
        keep(self, "count", _whole(self.count, 1, "resource: count must be"))
        if self.calendar is not None and not isinstance(self.calendar, Calendar):
            message = f"resource: calendar is an ok.Calendar, or None for always, not {self.calendar!r}."
            raise ScenarioError(message)
        for name, calendar in self.members.items():
            if calendar is not None and not isinstance(calendar, Calendar):
                message = f"resource: members: {name}: give an ok.Calendar, or None for the role's, not {calendar!r}."
                raise ScenarioError(message)
        keep(self, "discipline", _member(Discipline, self.discipline, "resource: discipline"))
        for name in ("cost_per_hour", "cost_per_step"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or value < 0 or not value < _INFINITE:
                message = f"resource: {name} must be finite and not negative, not {value!r}."
                raise ScenarioError(message)
        if self.queue_limit is not None:
            keep(self, "queue_limit", _whole(self.queue_limit, 0, "resource: queue_limit must be"))
        if self.at_shift_end not in ("pause", "finish"):
            message = f"resource: at_shift_end is 'pause' or 'finish', not {self.at_shift_end!r}."
            raise ScenarioError(message)


@dataclass(frozen=True, slots=True)
class Failure:
    """How often an attempt of a task fails, and how.

    Parameters
    ----------
    probability
        The probability that an attempt fails.
    error
        The class: ``transient`` (the workflow's retries apply), ``permanent``, ``partial`` or ``timeout``.
    type
        Name of the exception or HTTP code, for ``retry_on``, ``fail_on`` and conditions; by default that of the class.
    after
        How long a failing attempt takes; None for as long as one that succeeds.

    Examples
    --------
    >>> Failure(0.02, error="permanent", type="402").error.value
    'permanent'
    """

    probability: float
    error: ErrorClass = ErrorClass.TRANSIENT
    type: str = ""
    after: Distribution | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        keep = object.__setattr__
        error = _member(ErrorClass, self.error, "failure: error")
        if error is ErrorClass.CANCELLED:
            message = "failure: error is transient, permanent, partial or timeout; only who stops a run cancels."
            raise ScenarioError(message)
        keep(self, "error", error)
        _probability(self.probability, "failure: probability")
        if self.after is not None:
            keep(self, "after", as_numbers(self.after, "failure: after"))
        if not self.type:
            keep(self, "type", "Timeout" if error is ErrorClass.TIMEOUT else f"{error.value.capitalize()}Error")


@dataclass(frozen=True, slots=True)
class Response:
    """When the callback or event comes that a wait waits for.

    Parameters
    ----------
    after
        How long it takes, from the moment when the wait opens.
    never
        Probability that it does not come at all; then the wait's timeout decides, or another wait that it competes
        with.
    fails
        Probability that the callback reports a failure.

    Examples
    --------
    >>> Response("2 h", never=0.1).after.mean
    7200.0
    """

    after: Distribution
    never: float = 0.0
    fails: float = 0.0

    __repr__ = brief

    def __post_init__(self) -> None:
        object.__setattr__(self, "after", as_numbers(self.after, "response: after"))
        _probability(self.never, "response: never")
        _probability(self.fails, "response: fails")


@dataclass(frozen=True, slots=True)
class Loop:
    """How often a loop repeats.

    Parameters
    ----------
    items
        For a for-each: how many items there are (rounded); None takes the number from the attributes. For a while: how
        many iterations.
    repeat
        For a while, instead of ``items``: the probability of one more iteration.
    skip, exit
        For a for-each with ``continue_when`` or ``exit_when``: the probability that an item is skipped, or is the last.

    Examples
    --------
    >>> Loop(repeat=0.2).repeat
    0.2
    """

    items: Distribution | None = None
    repeat: float | None = None
    skip: float = 0.0
    exit: float = 0.0

    __repr__ = brief

    def __post_init__(self) -> None:
        if self.items is not None:
            object.__setattr__(self, "items", as_numbers(self.items, "loop: items"))
        elif self.repeat is None and not self.skip and not self.exit:
            message = "loop: say how many items there are (items), or how likely one more iteration is (repeat)."
            raise ScenarioError(message)
        for name in ("repeat", "skip", "exit"):
            value = getattr(self, name)
            if value is not None:
                _probability(value, f"loop: {name}")


@dataclass(frozen=True, slots=True)
class Batch:
    """A task that is done for several cases at once.

    Parameters
    ----------
    size
        How many cases are done together.
    max_wait
        The longest time that the first one waits for others; None for no limit.

    Notes
    -----
    A batch counts as one in the queue of its role, and a full queue turns the whole batch away. It takes as long as its
    first step would, and it ends, fails or is interrupted as a whole; a step that is tried again joins another batch.
    Deadlines and patience belong to each step; patience counts from when the step began to wait for the others. A step
    that gives up leaves the rest of the batch as it is, waiting or at work; the resource is free again when no step is
    left.

    Examples
    --------
    >>> Batch(12, max_wait="1 h").size
    12
    """

    size: int
    max_wait: Duration | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _whole(self.size, 1, "batch: size must be"))
        if self.max_wait is not None:
            object.__setattr__(self, "max_wait", min(as_constant(self.max_wait, "batch: max_wait"), _FOREVER_S))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a simulation assumes. Wherever a distribution is expected, a duration stands for a constant one.

    Parameters
    ----------
    arrivals
        Time between cases, a `Profile` of the week, or `ArrivalTimes`.
    durations
        By task (compensations included): how long the work of an attempt takes.
    resources
        By role: a `Resource`, or how many. A role without an entry is unlimited.
    branching
        By node with a choice: the probability of each target of its flows (for an inclusive gateway: of each flow,
        independently). Without an entry, the workflow's own conditions decide. They read the ``attributes`` and, on
        error flows, ``error.class``, ``error.type`` and ``error.node``.
    attributes
        By name (``order.country``), what a case's attribute is drawn from: a distribution of numbers, a `categorical`,
        or one value. Or a table with one row per case, from which whole rows are drawn (see `attributes_of`). For a
        list, the number of its items is enough.
    failures
        By task: a `Failure`, several, or the probability of a transient one.
    retries
        By task: a `Retry` instead of the workflow's policy, if production retries differently.
    waits
        By wait: a `Response`, or the time until the callback or event comes; for a timer its time, if the workflow
        gives none.
    loops
        By for-each or while: a `Loop`, or how many items (iterations). Without an entry, the ``attributes`` tell how
        many items a for-each has, and whether it skips an item or ends.
    delays
        By task: how long it cannot begin yet after the step before, such as the time until a customer answers. The
        delay passes in the hours of the task's role and keeps nobody busy; the step is enabled when it is over. It may
        depend on the step before: `by_previous`.
    patience
        By task: a step that has waited this long for a resource gives up, as if the task had timed out.
    batches
        By task: a `Batch`, or its size.
    setups
        By task: the time that a resource needs before it begins, if its last work was another task.
    priorities
        By task: a number, or a distribution `by_attribute`; greater goes first. Without an entry it is 0.
    requires
        By task: how many of each role it takes at once, instead of one of its own role. The step waits until all of
        them are free at the same time and holds none of them meanwhile, so that other steps can be served. Its work
        follows the calendar of the first role. It interrupts others only if that gives it all that it needs;
        interrupted, it gives all back.
    start
        When the simulation begins, with a time zone.
    sla
        Longest acceptable duration of a case; None for the workflow's.
    by_clock
        Tasks whose ``delays`` pass by the clock, and not in the hours of the role: a customer answers at night as well.

    Examples
    --------
    >>> from orchkit.simulation.distributions import exponential, triangular
    >>> today = Scenario(
    ...     arrivals=exponential("12 min"),
    ...     durations={"check": triangular("2 min", "5 min", "9 min"), "ship": "30 min"},
    ...     resources={"clerk": 2},
    ... )
    >>> today.durations["ship"].mean, today.resources["clerk"].count
    (1800.0, 2)
    """

    arrivals: Distribution | Profile | ArrivalTimes | Duration | None = None
    durations: Mapping[str, Distribution] = field(default_factory=dict, hash=False)
    resources: Mapping[str, Resource] = field(default_factory=dict, hash=False)
    branching: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    attributes: Mapping[str, Distribution] = field(default_factory=dict, hash=False)
    failures: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict, hash=False)
    retries: Mapping[str, Retry] = field(default_factory=dict, hash=False)
    waits: Mapping[str, Response] = field(default_factory=dict, hash=False)
    loops: Mapping[str, Loop] = field(default_factory=dict, hash=False)
    delays: Mapping[str, Distribution] = field(default_factory=dict, hash=False)
    patience: Mapping[str, Distribution] = field(default_factory=dict, hash=False)
    batches: Mapping[str, Batch] = field(default_factory=dict, hash=False)
    setups: Mapping[str, Distribution] = field(default_factory=dict, hash=False)
    priorities: Mapping[str, Distribution] = field(default_factory=dict, hash=False)
    requires: Mapping[str, Mapping[str, int]] = field(default_factory=dict, hash=False)
    start: datetime = datetime(2025, 1, 6, tzinfo=UTC)
    sla: Duration | None = None
    by_clock: tuple[str, ...] = ()

    __repr__ = brief

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if self.arrivals is not None and not isinstance(self.arrivals, Profile | ArrivalTimes):
            keep(self, "arrivals", as_numbers(self.arrivals, "arrivals"))
            if self.arrivals.parts:  # type: ignore[union-attr]  # it is one now
                message = "arrivals cannot depend on an attribute or a resource. Give one distribution."
                raise ScenarioError(message)
        given: Any = self.attributes
        if not isinstance(given, Mapping | EventLog | pd.DataFrame):
            message = f"attributes: give an entry a name, a table with one row per case, or a log, not {given!r}."
            raise ScenarioError(message)
        given = given if isinstance(given, Mapping) else attributes_of(given)
        keep(self, "attributes", _each(given, "attributes", as_attribute))
        for name in ("durations", "delays", "patience", "setups"):
            keep(self, name, _each(getattr(self, name), name, as_numbers))
        keep(self, "priorities", _each(self.priorities, "priorities", _as_priority))
        keep(self, "resources", _each(self.resources, "resources", _as_resource))
        keep(self, "failures", _each(self.failures, "failures", _as_failures))
        keep(self, "retries", _each(self.retries, "retries", _as_retry))
        keep(self, "waits", _each(self.waits, "waits", _as_response))
        keep(self, "loops", _each(self.loops, "loops", _as_loop))
        keep(self, "batches", _each(self.batches, "batches", _as_batch))
        keep(self, "branching", _each(self.branching, "branching", _as_shares))
        keep(self, "requires", _each(self.requires, "requires", _as_counts))
        for node, shares in self.branching.items():
            for target, share in shares.items():
                _probability(share, f"branching: {node}: {target}")
        start = _moment(self.start)
        if start.tzinfo is None:
            message = "start: the moment needs a time zone, such as 2025-01-06T00:00:00+00:00."
            raise ScenarioError(message)
        if not _FIRST_YEAR < start.year <= _LAST_YEAR:
            message = f"start: the year is between {_FIRST_YEAR} and {_LAST_YEAR}, not {start.year}."
            raise ScenarioError(message)
        keep(self, "start", start)
        is_list = isinstance(self.by_clock, Iterable) and not isinstance(self.by_clock, str)
        if not is_list or not all(isinstance(name, str) for name in self.by_clock):
            message = f"by_clock: give a list of tasks that have delays, not {self.by_clock!r}."
            raise ScenarioError(message)
        keep(self, "by_clock", tuple(self.by_clock))
        if self.sla is not None:
            keep(self, "sla", as_constant(self.sla, "sla"))


def expect_scenario(scenario: object, verb: str) -> None:
    """Refuse what is no scenario, such as a fit, which has one.

    Raises
    ------
    ScenarioError
        It is something else.
    """
    if not isinstance(scenario, Scenario):
        hint = " Give its .scenario." if isinstance(getattr(scenario, "scenario", None), Scenario) else ""
        kind = type(scenario).__name__
        message = f"{verb} takes a scenario, ok.Scenario(…) or ok.read_scenario(path), not {kind}.{hint}"
        raise ScenarioError(message)


def _moment(value: object) -> datetime:
    try:
        start = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        start = None
    if not isinstance(start, datetime):
        message = f"start: {value!r} is not a time such as 2025-01-06T00:00:00+00:00."
        raise ScenarioError(message)
    return start


def _each(given: Mapping[str, Any], what: str, convert: Any) -> dict[str, Any]:  # noqa: ANN401 -- any field's
    if not isinstance(given, Mapping):
        message = f"{what}: give an entry a name, not {given!r}."
        raise ScenarioError(message)
    converted = {}
    for name, value in given.items():
        try:
            converted[str(name)] = convert(value, f"{what}: {name}")
        except ScenarioError as error:
            if str(name) in error.message.split(":")[1:2] or error.message.startswith(f"{what}: {name}"):
                raise
            message = f"{what}: {name}: {error.message}"
            raise ScenarioError(message, node=str(name)) from None
    return converted


def _as_resource(value: Resource | int, _: str) -> Resource:
    return value if isinstance(value, Resource) else Resource(value)


def _as_failures(value: Failure | float | Iterable[Failure], where: str) -> tuple[Failure, ...]:
    if isinstance(value, Failure):
        return (value,)
    listed: list[Any] = several(value) or [value]
    failures = tuple(one if isinstance(one, Failure) else Failure(one) for one in listed)
    if sum(failure.probability for failure in failures) > 1 + 1e-9:
        message = f"{where}: the probabilities sum to more than 1."
        raise ScenarioError(message)
    return failures


def _as_shares(value: Mapping[str, float], where: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        message = f"{where}: give the probability of each target, {{'ship': 0.9, 'reorder': 0.1}}, not {value!r}."
        raise ScenarioError(message)
    return dict(value)


def _as_counts(value: Mapping[str, int] | Iterable[str], where: str) -> dict[str, int]:
    roles = list(value) if isinstance(value, Mapping) else several(value)
    if roles is None:
        message = f"{where}: give the roles that are needed at once, {{'surgeon': 1, 'nurse': 2}}, not {value!r}."
        raise ScenarioError(message)
    if not all(isinstance(role, str) for role in roles):
        message = f"{where}: a role has a name, not {next(role for role in roles if not isinstance(role, str))!r}."
        raise ScenarioError(message)
    counts = dict(value) if isinstance(value, Mapping) else dict.fromkeys(roles, 1)
    return {
        role: _whole(count, 1, f"{where}: {role}: how many are needed at once is") for role, count in counts.items()
    }


def _as_priority(value: Drawn, where: str) -> Distribution:
    return as_numbers(as_signed(value, where), where, -math.inf)


def _as_retry(value: Retry, where: str) -> Retry:
    if not isinstance(value, Retry):
        message = f"{where}: give an ok.Retry, such as ok.Retry(max_attempts=3, initial_delay='1 min'), not {value!r}."
        raise ScenarioError(message)
    return value


def _as_response(value: Response | Drawn, where: str) -> Response:
    return value if isinstance(value, Response) else Response(as_distribution(value, where))


def _as_loop(value: Loop | Drawn, where: str) -> Loop:
    return value if isinstance(value, Loop) else Loop(as_distribution(value, where))


def _as_batch(value: Batch | int, _: str) -> Batch:
    return value if isinstance(value, Batch) else Batch(value)


def _whole(value: object, least: int, what: str) -> int:
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else -1
    if not least <= number <= _MOST:
        most = f" to {_MOST:,}" if number > _MOST else ""
        message = f"{what} a whole number from {least}{most}, not {value!r}."
        raise ScenarioError(message)
    return number


def _probability(value: object, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or value < 0 or not value <= 1:
        message = f"{where} is between 0 and 1, not {value!r}."
        raise ScenarioError(message)


def _member(cls: type[StrEnum], value: object, where: str) -> StrEnum:
    try:
        return cls(str(value))
    except ValueError:
        message = f"{where} is one of {', '.join(cls)}, not {value!r}.{nearest(str(value), list(cls))}"
        raise ScenarioError(message) from None
