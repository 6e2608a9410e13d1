"""`simulate`: a workflow, a scenario, and a log of what would happen."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from numbers import Integral
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from orchkit.errors import ScenarioError
from orchkit.model.definition import Workflow, check_kind
from orchkit.simulation.distributions import Distribution, constant
from orchkit.simulation.forward import Route, go_forward, route_of
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.known import Replication
from orchkit.simulation.load import ScenarioWarning, rate_of, warn_of_oddities
from orchkit.simulation.lowering import Lowered, lower
from orchkit.simulation.output import log_of, with_names
from orchkit.simulation.resumption import Resumption, outlasted_notes, resumption
from orchkit.simulation.rows import Rows
from orchkit.simulation.scenario import Scenario, expect_scenario
from orchkit.simulation.sources import in_flight as open_cases
from orchkit.units import Duration, seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.simulation.flight import InFlight
    from orchkit.simulation.sources import Source

__all__ = ["simulate", "simulate_quietly"]

_EVENTS_AT_ONCE = 200_000
_MARGIN = 4_096
_CHUNK = 1 << 13
_MOST_RESTARTS = 8
_LONG_S = 2.0
_AT_ONCE = 512  # replications that are handed to an executor ahead
_MOST_CASES = 1_000_000_000
_LONGEST_STILL = 100  # times so many events without the end of any case
_DISCIPLINES = ("fifo", "lifo", "priority", "preemptive", "shortest")


def simulate(  # noqa: PLR0913 -- the words of a simulation
    workflow: Workflow,
    scenario: Scenario,
    *,
    cases: int | None = None,
    until: Duration | None = None,
    replications: int = 1,
    warm_up: Duration = 0,
    seed: int = 0,
    in_flight: Source | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> EventLog:
    """Return the log of what would happen.

    Parameters
    ----------
    workflow
        The definition, as it runs in production.
    scenario
        What is assumed about the world around it.
    cases
        How many cases arrive in each replication; the simulation goes on until all have ended.
    until
        How long the simulation goes on; cases in flight then are open in the log. One of both is needed.
    replications
        How often it is repeated, with other luck.
    warm_up
        Cases that arrive within this time are left out of the log, and key figures are of the time after it.
    seed
        The same seed gives the same log, byte for byte, whoever computes it. Two scenarios with one seed see the same
        luck, so that they can be compared in pairs.
    in_flight
        A warm start: an engine, whose live runs go on from the state that they are in now; or a log, whose open cases
        go on from its last moment. The simulation begins at that moment, not at the scenario's ``start``; other cases
        arrive as well, unless the scenario has no arrivals. ``cases`` counts those that arrive.
    executor
        Any of ``concurrent.futures``, or of Dask (``client.get_executor()``), for the replications. By default threads,
        since the kernel does not hold the GIL.
    progress
        Whether a bar is shown; None for: when it takes long.

    Raises
    ------
    ScenarioError
        The scenario does not say what is needed, or names what is not there; or a case goes around without end.

    Warns
    -----
    ScenarioWarning
        A role has more to do than it can: its queue grows as long as cases arrive. Or a name is a member of several
        roles; or all cases arrive in the warm-up.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("check", role="clerk"), ok.task("ship")])
    >>> today = ok.Scenario(
    ...     arrivals=ok.exponential("12 min"),
    ...     durations={"check": ok.exponential("9 min"), "ship": "30 min"},
    ...     resources={"clerk": 1},
    ... )
    >>> log = simulate(order, today, cases=100, seed=7)
    >>> len(log), list(log.activities)
    (100, ['check', 'ship'])
    """
    log = _simulate(
        workflow,
        scenario,
        warn_of_oddities,
        cases=cases,
        until=until,
        replications=replications,
        warm_up=warm_up,
        seed=seed,
        in_flight=in_flight,
        executor=executor,
        progress=progress,
    )
    if not len(log) and seconds(warm_up):
        message = f"simulate: no case arrives after the warm-up ({warm_up!r}). Give more cases, or a longer time."
        warnings.warn(message, ScenarioWarning, stacklevel=2)
    return log


def simulate_quietly(workflow: Workflow, scenario: Scenario, **settings: Any) -> EventLog:  # noqa: ANN401 -- as `simulate`
    """Return the log of what would happen, without a word of warning: for who simulates many scenarios."""
    return _simulate(workflow, scenario, lambda *_: None, **settings)


def _simulate(  # noqa: PLR0913 -- the words of a simulation
    workflow: Workflow,
    scenario: Scenario,
    warn: Callable[[Workflow, Scenario], None],
    *,
    cases: int | None = None,
    until: Duration | None = None,
    replications: int = 1,
    warm_up: Duration = 0,
    seed: int = 0,
    in_flight: Source | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> EventLog:
    check_kind(workflow, "simulate")
    expect_scenario(scenario, "simulate")
    if executor is not None and not hasattr(executor, "submit"):
        message = f"simulate: executor is one of concurrent.futures, ProcessPoolExecutor(), not {executor!r}."
        raise ScenarioError(message)
    flight = None if in_flight is None else open_cases(in_flight, workflow)
    if flight is not None:
        scenario, cases = _begun(scenario, flight, cases)
    if cases is None and until is None and not hasattr(scenario.arrivals, "after_s"):
        message = "simulate: say how many cases (cases=1_000), or for how long (until='30 days')."
        raise ScenarioError(message)
    if cases is None and isinstance(scenario.arrivals, Distribution) and scenario.arrivals.mean == 0:
        message = "arrivals: no time goes by between cases, so that they never end: say how many (cases=1_000)."
        raise ScenarioError(message)
    cases = None if cases is None else _whole(cases, "cases", 1 if flight is None else 0)
    replications, seed = _whole(replications, "replications", 1), _whole(seed, "seed", None)
    runs = () if flight is None else (run for case in flight.cases for run in case.runs)
    known = () if flight is None else [case.attributes for case in flight.cases]
    _check_size(scenario, cases, until, replications)
    program = lower(workflow, scenario, {run.workflow.digest: run.workflow for run in runs}.values(), known)
    warn(workflow, scenario)
    resumed = None if flight is None else resumption(flight, program)
    before = 0 if resumed is None else len(resumed.cases)
    begun_us = int(program.program[at.P_START])
    until_us = at.FOREVER if until is None else begun_us + _micros(until, "until")
    task = _Task(
        program,
        at.FOREVER if cases is None else cases + before,
        until_us,
        seed,
        _micros(warm_up, "warm_up"),
        resumed,
        None if resumed is not None else route_of(program),
    )
    parts = _replicate(task, replications, executor, progress)
    log = log_of(workflow, program, parts, task.warm_up)
    if flight is None or resumed is None:
        return log
    outlasted = np.logical_or.reduce([part.outlasted for part in parts])
    notes = (*flight.notes, *outlasted_notes(resumed, program, outlasted))
    return with_names(log, resumed.names).with_notes(notes)


def _check_size(scenario: Scenario, cases: int | None, until: Duration | None, replications: int) -> None:
    """Refuse more cases than any memory has room for."""
    rate = rate_of(scenario)
    coming = math.inf if cases is None else cases
    if until is not None and rate is not None:
        coming = min(coming, rate * _micros(until, "until") / at.MICRO)
    if math.isfinite(coming) and coming * replications > _MOST_CASES:
        message = (
            f"simulate: {coming * replications:,.0f} cases would arrive in all, of which no memory holds the log: "
            f"at most {_MOST_CASES:,} do. Give fewer cases or replications, or a shorter time."
        )
        raise ScenarioError(message)


def _whole(value: object, name: str, least: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or (least is not None and value < least):
        limit = "" if least is None else f" from {least}"
        message = f"simulate: {name} must be a whole number{limit}, not {value!r}."
        raise ScenarioError(message)
    return int(value)


def _micros(duration: Duration, name: str) -> int:
    try:
        found = round(seconds(duration) * at.MICRO)
    except ValueError as error:
        message = f"simulate: {name}: {error}"
        raise ScenarioError(message) from None
    if found > at.LATEST:
        message = f"simulate: {name}: {duration!r} are thousands of years."
        raise ScenarioError(message)
    return found


def _begun(scenario: Scenario, flight: InFlight, cases: int | None) -> tuple[Scenario, int | None]:
    """Return a scenario that begins where the cases in flight are; without arrivals, none but these."""
    start = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(flight.now_s * at.MICRO))
    if scenario.arrivals is None:
        return replace(scenario, start=start, arrivals=constant(0)), 0
    return replace(scenario, start=start), cases


@dataclass(frozen=True, slots=True)
class _Task:
    """What is the same for all replications."""

    program: Lowered
    cases: int
    until: int
    seed: int
    warm_up: int = 0
    resumed: Resumption | None = None
    route: Route | None = None

    def key_of(self, number: int) -> int:
        """Return what the draws of a replication are made of."""
        return (self.seed * 0x9E3779B97F4A7C1 + (number + 1) * 0x2545F4914F6CDD1) % (1 << 62)


def _replicate(task: _Task, count: int, executor: Executor | None, progress: bool | None) -> list[Replication]:  # noqa: FBT001
    stopped = threading.Event()
    if count == 1 and executor is None:
        return [_replication(task, 0, stopped)]
    own = (stopped,) if executor is None else ()
    found: dict[int, Replication] = {}
    running: dict[Future[Replication], int] = {}
    ended: SimpleQueue[Future[Replication]] = SimpleQueue()
    numbers = iter(range(count))
    with ThreadPoolExecutor() if executor is None else nullcontext(executor) as pool:

        def begin(how_many: int) -> None:
            for number in islice(numbers, how_many):
                future = pool.submit(_replication, task, number, *own)
                running[future] = number
                future.add_done_callback(ended.put)

        try:
            from orchkit.simulation.progress import Bar  # noqa: PLC0415 -- tqdm, only where many are computed

            with Bar(
                total=count, unit="replication", delay=0 if progress else _LONG_S, disable=progress is False
            ) as bar:
                begin(_AT_ONCE)  # of a million, few wait in line, so that an interrupt finds little to take back
                while running:
                    future = ended.get()
                    found[running.pop(future)] = future.result()
                    bar.update()
                    begin(1)
        except BaseException:
            stopped.set()
            for future in running:
                future.cancel()
            raise
    return [found[number] for number in range(count)]


def _replication(task: _Task, number: int, stopped: threading.Event | None = None) -> Replication:
    """Return one replication; where memory runs out within an event, it is begun again with more."""
    if task.route is not None:
        forward = go_forward(task.program, task.route, number, task.key_of(number), task.cases, task.until, stopped)
        if forward is not None:
            return _lasting(task, forward)
    margin = _MARGIN
    for _ in range(_MOST_RESTARTS):
        found = _attempt(task, number, margin, stopped)
        if found is not None:
            return _lasting(task, found)
        margin *= 8
    message = "simulate: one moment of a case needs more memory than there is. Does a loop go around without end?"
    raise ScenarioError(message)


def _lasting(task: _Task, found: Replication) -> Replication:
    """Return a replication that lasts as long as was asked for, even where nothing is left to happen.

    Raises
    ------
    ScenarioError
        It goes on for thousands of years.
    """
    if found.now >= at.LATEST:
        rows = found.rows[found.rows[:, 3] >= at.LATEST] if len(found.rows) else found.rows
        rows = rows if len(rows) else found.open_rows
        where = f", at {task.program.nodes[int(rows[0, 0]) & 0xFFFFFF].name!r}" if len(rows) else ""
        message = (
            f"simulate: it goes on beyond the year 9999{where}. "
            "Is what this takes, or the time between arrivals, in the unit that was meant? A number is seconds."
        )
        raise ScenarioError(message)
    return replace(found, now=max(found.now, task.until)) if task.until < at.FOREVER <= task.cases else found


def _attempt(task: _Task, number: int, margin: int, stopped: threading.Event | None) -> Replication | None:
    from orchkit.simulation.kernel.loop import begin, run  # noqa: PLC0415 -- compiles, or reads what was compiled

    program = task.program
    p, d = program.program, program.numbers
    resumed = task.resumed
    memory = Memory(program, margin, room=0 if resumed is None else resumed.room)
    memory.m[at.M_CASE_LIMIT], memory.m[at.M_UNTIL] = task.cases, min(task.until, at.LATEST)
    memory.m[at.M_KEY] = task.key_of(number)
    memory.m[at.M_WARM] = int(p[at.P_START]) + task.warm_up
    outlasted = np.zeros(0, dtype=np.bool_) if resumed is None else _take_up(program, memory, resumed)
    begin(p, memory.m, d)
    rows, ended = Rows(at.ROW_WIDTH), Rows(at.ENDED_WIDTH)
    known = task.cases < at.FOREVER
    state, still = 1, 0
    while state:
        if stopped is not None and stopped.is_set():
            message = "interrupted"
            raise KeyboardInterrupt(message)
        state = run(p, memory.m, d, _EVENTS_AT_ONCE, margin)
        if state == 3:  # noqa: PLR2004 -- as the kernel says
            if memory.m[at.M_UNKNOWN]:
                raise _unknown(program, int(memory.m[at.M_UNKNOWN]) - 1)
            return None
        over = memory.drain(at.M_ENDED, at.M_ENDED_COUNT, at.ENDED_WIDTH)
        still = 0 if len(over) else still + 1
        if still > _LONGEST_STILL + 2 * int(memory.m[at.M_STEPS_LIVE]) // _EVENTS_AT_ONCE:
            raise _endless(program, memory)
        ended.add(over, task.cases if known else 0)
        fresh = memory.drain(at.M_ROWS, at.M_ROW_COUNT, at.ROW_WIDTH)
        share = task.cases / max(1, len(ended)) if known else 0
        rows.add(fresh, int(1.02 * (len(rows) + len(fresh)) * share))
        if state == 2:  # noqa: PLR2004
            memory.grow(margin)
    if known and len(ended) == task.cases:  # whatever is still to come, such as a deadline, concerns nobody
        memory.m[at.M_NOW] = memory.m[at.M_ACTED]
    return Replication(
        number,
        rows.take(),
        ended.take(),
        *memory.open_rows(),
        memory.now,
        int(memory.m[at.M_KEY]),
        outlasted,
        memory.helped(),
    )


def _unknown(program: Lowered, number: int) -> ScenarioError:
    node = program.nodes[number].name
    message = (
        f"simulate: {node!r}: a case has a value for which by_attribute says nothing. Give it an otherwise=…, "
        "for all values that it does not name."
    )
    return ScenarioError(message, node=node)


def _endless(program: Lowered, memory: Memory) -> ScenarioError:
    """Return the error about cases that go on and on; it names where they are most often."""
    m, width = memory.m, memory.widths[at.M_CASES][0]
    visits = m[m[at.M_CASES] :][: width * m[at.M_CASE_COUNT]].reshape(-1, width)[:, at.K_VISITS :].max(axis=0)
    node = program.nodes[int(visits.argmax())].name
    message = (
        f"simulate: no case ends any more; one has been at {node!r} {visits.max():,} times. "
        "Is there a way out of the loop that it is in, with a probability above 0?"
    )
    return ScenarioError(message, node=node)


def _take_up(program: Lowered, memory: Memory, resumed: Resumption) -> NDArray[np.bool_]:
    """Let cases in flight go on; tell which of their steps have taken longer than the scenario thinks possible."""
    from orchkit.simulation.kernel.resuming import OUTLASTED, resume  # noqa: PLC0415 -- compiles, or reads it

    resumed.put_into(memory)
    plan = resumed.plan.copy()
    resume(program.program, memory.m, program.numbers, plan)
    marked: NDArray[np.bool_] = plan[2::3] == OUTLASTED
    return marked


class Memory:
    """The kernel's memory, and how it grows.

    Attributes
    ----------
    m
        One array; the tables in it can be given more rows between events.
    """

    def __init__(self, program: Lowered, margin: int, trace: int = 0, room: int = 0) -> None:
        self.program = program
        p = program.program
        held, nodes, depth = int(p[at.P_HELD]), int(p[at.P_NODE_COUNT]), int(p[at.P_DEPTH])
        self.widths = {
            at.M_HEAP: (3, at.M_HEAP_SIZE, at.M_HEAP_COUNT),
            at.M_STEPS: (at.S_WIDTH, at.M_STEP_SIZE, at.M_STEP_COUNT),
            at.M_PASSES: (held, at.M_PASS_SIZE, at.M_PASS_COUNT),
            at.M_UNDOS: (at.U_WITHIN + depth, at.M_UNDO_SIZE, at.M_UNDO_COUNT),
            at.M_CASES: (at.K_VISITS + nodes, at.M_CASE_SIZE, at.M_CASE_COUNT),
        }
        sizes = dict.fromkeys(self.widths, 2 * margin + room)
        sizes[at.M_CASES] = 2 * _CHUNK + room
        self.fixed = {
            at.M_STACK: 4 * 4 * margin,
            at.M_AGENDA: 3 * 4 * margin,
            at.M_COMMANDS: 4 * 4 * margin,
            at.M_MESSAGES: 5 * 4 * margin,
            at.M_TOKENS: 2 * 4 * margin,
            at.M_OPENED: 2 * (nodes + 1),
            at.M_ROWS: at.ROW_WIDTH * max(_CHUNK, 4 * margin),
            at.M_ENDED: at.ENDED_WIDTH * max(_CHUNK, 4 * margin),
            at.M_POOLS: at.Q_WIDTH * max(1, len(program.pools)),
            at.M_UNITS: at.R_WIDTH * max(1, len(program.units)),
            at.M_BATCHES: 3 * nodes,
            at.M_SPANS: 2 * (1 + max((*program.unit_calendars, *program.pool_calendars), default=-1)),
            at.M_TRACE: at.TRACE_WIDTH * trace,
        }
        self.m = np.zeros(0, dtype=np.int64)
        self.lengths: dict[int, int] = {}
        self._lay_out(sizes)
        m = self.m
        m[at.M_STACK_SIZE] = m[at.M_AGENDA_SIZE] = 4 * margin
        m[at.M_ROW_SIZE] = m[at.M_ENDED_SIZE] = max(_CHUNK, 4 * margin)
        m[at.M_TRACE_SIZE] = trace
        for place in (at.M_STEP_FREE, at.M_PASS_FREE, at.M_UNDO_FREE, at.M_CASE_FREE):
            m[place] = -1
        self._staff()

    @property
    def now(self) -> int:
        """The kernel's time."""
        return int(self.m[at.M_NOW])

    def _lay_out(self, sizes: dict[int, int]) -> None:
        old, new = self.m, np.zeros(0, dtype=np.int64)
        place, places = at.M_HEADER, {}
        for table, length in self.fixed.items():
            places[table] = (place, length)
            place += length
        for table, (width, _, _) in self.widths.items():
            places[table] = (place, width * sizes[table])
            place += width * sizes[table]
        new = np.zeros(place, dtype=np.int64)
        if len(old):
            new[: at.M_HEADER] = old[: at.M_HEADER]
            for table, (begin, length) in places.items():
                before = int(old[table])
                kept = min(length, self.lengths[table])
                new[begin : begin + kept] = old[before : before + kept]
        self.lengths = {table: length for table, (_, length) in places.items()}
        for table, (begin, _) in places.items():
            new[table] = begin
        for table, (_, size, _) in self.widths.items():
            new[size] = sizes[table]
        self.m = new

    def grow(self, margin: int) -> None:
        """Double the tables that are nearly full."""
        sizes = {table: int(self.m[size]) for table, (_, size, _) in self.widths.items()}
        for table, (_, size, count) in self.widths.items():
            used = max(int(self.m[count]), int(self.m[at.M_STEPS_LIVE]) if table == at.M_STEPS else 0)
            if used + margin >= self.m[size] or (table == at.M_CASES and used + 2 >= self.m[size]):
                sizes[table] *= 2
        if any(sizes[table] != self.m[size] for table, (_, size, _) in self.widths.items()):
            self._lay_out(sizes)

    def drain(self, table: int, count: int, width: int) -> NDArray[np.int64]:
        """Take the rows out of a table; they are there until the kernel goes on."""
        begin, rows = int(self.m[table]), int(self.m[count])
        self.m[count] = 0
        return self.m[begin : begin + rows * width].reshape(rows, width)

    def open_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the steps that are still open, as rows of the log, and the cases in flight."""
        m, held = self.m, int(self.program.program[at.P_HELD])
        width = self.widths[at.M_CASES][0]
        cases = m[m[at.M_CASES] :][: width * m[at.M_CASE_COUNT]].reshape(-1, width)
        steps = m[m[at.M_STEPS] :][: at.S_WIDTH * m[at.M_STEP_COUNT]].reshape(-1, at.S_WIDTH)
        passes = m[m[at.M_PASSES] :][: held * m[at.M_PASS_COUNT]].reshape(-1, held)
        live = steps[(steps[:, at.S_STATUS] >= 0) & (steps[:, at.S_KIND] != at.K_SCOPE)]
        # What is still delayed is not enabled, and has no time yet.
        live = live[live[:, at.S_UNIT] != at.DELAYED]
        numbers = cases[passes[live[:, at.S_PASS], at.I_CASE], at.K_NUMBER]
        rows = np.full((len(live), 2, at.ROW_WIDTH), -1, dtype=np.int64)
        rows[:, 0, 0] = (numbers << 24) | live[:, at.S_NODE]
        rows[:, 0, 1:3] = live[:, [at.S_ENABLED, at.S_STARTED]]
        rows[:, 0, 3] = np.where(live[:, at.S_PAUSED] >= 0, -2 - live[:, at.S_PAUSED], -1)
        packed = (live[:, at.S_UNIT] + 1) | (live[:, at.S_STATUS] << 24) | (live[:, at.S_ATTEMPT] << 32)
        rows[:, 0, 4] = packed | (1 << at.ROW_MORE)
        rows[:, 1, 0] = live[:, at.S_ENABLED] - live[:, at.S_SINCE]
        rows[:, 1, 1] = np.maximum(live[:, at.S_READY] - live[:, at.S_ENABLED], 0)
        rows[:, 1, 2] = live[:, at.S_OVERTAKEN]
        rows[:, 1, 3] = live[:, at.S_GATHERED]
        rows[:, 1, 4] = np.where(live[:, at.S_LEADER], at.TOGETHER, live[:, at.S_AWAY])
        flying = cases[cases[:, at.K_NUMBER] >= 0] if len(cases) else cases
        return rows.reshape(-1, at.ROW_WIDTH), np.ascontiguousarray(flying[:, [at.K_NUMBER, at.K_ARRIVED]])

    def helped(self) -> NDArray[np.int64]:
        """Return how long each resource was at work beside another that a step needed at once."""
        from orchkit.simulation.kernel.columns import on_duty  # noqa: PLC0415 -- compiles, or reads it

        m, program = self.m, self.program
        units = m[m[at.M_UNITS] :][: at.R_WIDTH * len(program.units)].reshape(-1, at.R_WIDTH)
        found = units[:, at.R_HELPED].copy()
        for unit, row in enumerate(units):
            step = m[m[at.M_STEPS] :][at.S_WIDTH * row[at.R_STEP] :]
            if row[at.R_STEP] >= 0 and step[at.S_UNIT] != unit:  # it helps now
                pauses = m[m[at.M_POOLS] :][at.Q_WIDTH * row[at.R_POOL] + at.Q_PAUSE]
                calendar = row[[at.R_CALENDAR]] if pauses else np.array([-1])
                since = min(max(row[at.R_BUSY], m[at.M_WARM]), self.now)
                on_duty(program.program, calendar, since, self.now, own := np.zeros(1, dtype=np.int64))
                found[unit] += own[0]
        return found

    def _staff(self) -> None:
        m = self.m
        for number, (_, resource, first) in enumerate(self.program.pools):
            q = int(m[at.M_POOLS]) + at.Q_WIDTH * number
            m[q + at.Q_FIRST], m[q + at.Q_COUNT] = first, resource.count
            m[q + at.Q_CALENDAR] = self.program.pool_calendars[number]
            m[q + at.Q_IDLE], m[q + at.Q_IDLE_LAST], m[q + at.Q_IDLE_COUNT] = (
                first,
                first + resource.count - 1,
                resource.count,
            )
            m[q + at.Q_HEAD] = m[q + at.Q_TAIL] = -1
            m[q + at.Q_DISCIPLINE] = _DISCIPLINES.index(resource.discipline)
            m[q + at.Q_LIMIT] = -1 if resource.queue_limit is None else resource.queue_limit
            m[q + at.Q_PAUSE] = int(resource.at_shift_end == "pause")
            m[q + at.Q_OTHERS], m[q + at.Q_OTHER_COUNT] = self.program.others[number]
            for unit in range(first, first + resource.count):
                r = int(m[at.M_UNITS]) + at.R_WIDTH * unit
                m[r + at.R_NEXT] = unit + 1 if unit + 1 < first + resource.count else -1
                m[r + at.R_CALENDAR], m[r + at.R_STEP], m[r + at.R_POOL] = self.program.unit_calendars[unit], -1, number
                m[r + at.R_ALSO] = -1
