"""`simulate`: a workflow, a scenario, and a log of what would happen."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from numbers import Integral
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from orchkit.errors import ScenarioError
from orchkit.model.definition import Workflow, check_kind
from orchkit.simulation.distributions import Distribution, constant
from orchkit.simulation.forward import route_of
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.known import Replication
from orchkit.simulation.load import ScenarioWarning, rate_of, warn_of_oddities
from orchkit.simulation.lowering import lower
from orchkit.simulation.output import log_of, with_names
from orchkit.simulation.resumption import outlasted_notes, resumption
from orchkit.simulation.running import Task, replication
from orchkit.simulation.scenario import Scenario, expect_scenario
from orchkit.simulation.sources import in_flight as open_cases
from orchkit.units import Duration, seconds

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.simulation.flight import InFlight
    from orchkit.simulation.sources import Source

__all__ = ["simulate", "simulate_quietly"]

_LONG_S = 2.0
_AT_ONCE = 512  # replications that are handed to an executor ahead
_MOST_CASES = 1_000_000_000


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
    """Simulate a workflow in a scenario, and return the log of what would happen.

    Parameters
    ----------
    workflow
        The definition, as it runs in production.
    scenario
        What is assumed about the world around it.
    cases
        How many cases arrive in each replication; the simulation goes on until all have ended.
    until
        How long the simulation lasts; cases in flight then are open in the log. Give ``cases``, ``until``, or both.
    replications
        How often the simulation is repeated, with other random draws.
    warm_up
        Cases that arrive within this time are left out of the log, and key figures are of the time after it.
    seed
        The same seed gives the same log, byte for byte, on whatever executor. Two scenarios with the same seed use the
        same random draws, so that they can be compared in pairs.
    in_flight
        A warm start: an engine, whose live runs go on from the state that they are in now; or a log, whose open cases
        go on from its last moment. The simulation begins at that moment, not at the scenario's ``start``; other cases
        arrive as well, unless the scenario has no arrivals. ``cases`` counts those that arrive.
    executor
        Any of ``concurrent.futures``, or of Dask (``client.get_executor()``), for the replications. By default threads,
        since the kernel does not hold the GIL.
    progress
        Whether to show a progress bar; None: only if it takes long.

    Raises
    ------
    ScenarioError
        The scenario does not say what is needed, or names what does not exist; or a case never ends.

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
    """Return the log of what would happen, without warnings: for code that simulates many scenarios."""
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
    task = Task(
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


def _replicate(task: Task, count: int, executor: Executor | None, progress: bool | None) -> list[Replication]:  # noqa: FBT001
    stopped = threading.Event()
    if count == 1 and executor is None:
        return [replication(task, 0, stopped)]
    own = (stopped,) if executor is None else ()
    found: dict[int, Replication] = {}
    running: dict[Future[Replication], int] = {}
    ended: SimpleQueue[Future[Replication]] = SimpleQueue()
    numbers = iter(range(count))
    with ThreadPoolExecutor() if executor is None else nullcontext(executor) as pool:

        def begin(how_many: int) -> None:
            for number in islice(numbers, how_many):
                future = pool.submit(replication, task, number, *own)
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
