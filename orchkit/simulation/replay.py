"""The open cases of a log, replayed on the machine: in which state each of them is.

A log says what was done, not how gateways decided. So the machine is asked with every answer that its questions may
have, and the first answers with which all steps of a case could be done, in their order, are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.columns import CASE_COLUMNS, ENDED_CASES
from orchkit.errors import ScenarioError
from orchkit.events import Kind, StepStarted
from orchkit.machine import advance, start
from orchkit.model.states import StepStatus
from orchkit.run_state import State
from orchkit.simulation.flight import InFlight, OpenCase, OpenRun, OpenStep
from orchkit.simulation.paths import ATTEMPTED, Finder, Oracle, Path, Row, Run, World, apply, carry_out

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow

__all__ = ["replayed"]

_MOST_NAMED = 3


def replayed(log: EventLog, workflow: Workflow, now_s: float | None = None) -> InFlight:
    """Return the open cases of a log at its last moment, each in the state that its steps have led to.

    Parameters
    ----------
    log
        A case is open where its status says so; a step, where it has not completed.
    workflow
        Whose cases they are; cases of other workflows are passed over.
    now_s
        Until when the log tells what happened; by default until the last thing that did.

    Raises
    ------
    ScenarioError
        Something happened later.

    Notes
    -----
    Cases whose steps the workflow does not allow are left out; the notes name them.
    """
    steps, cases = log.steps, log.cases
    moments = [steps[name].max() for name in ("enabled", "started", "completed")]
    moments += [cases[name].max() for name in ("started", "completed")]
    known = [moment for moment in moments if not pd.isna(moment)]
    last_s = max(known).timestamp() if known else 0.0
    now_s = last_s if now_s is None else now_s
    if now_s < last_s:
        message = (
            f"forecast: now ({pd.Timestamp(now_s, unit='s')}) is before the last moment of the log "
            f"({pd.Timestamp(last_s, unit='s')}): give a log that ends there, or a later moment."
        )
        raise ScenarioError(message)
    is_open = ~cases["status"].isin(ENDED_CASES)
    is_own = cases["workflow"].isna() | (cases["workflow"] == workflow.name)
    chosen = np.flatnonzero((is_open & is_own).to_numpy())
    columns = _Columns(log)
    attributes = [name for name in cases.columns if name not in CASE_COLUMNS]
    started = _seconds(cases["started"])
    values = {name: cases[name].astype("object").where(cases[name].notna(), None).to_numpy() for name in attributes}
    case_ids = cases["case_id"].to_numpy(dtype="object")
    finder = Finder(workflow)
    found, left_out = [], []
    for place in chosen:
        case_id = str(case_ids[place])
        rows = columns.rows(log.offsets[place], log.offsets[place + 1])
        rows = [row for row in rows if row.activity in finder.known]
        path = finder.path_of(rows)
        if path is None:
            left_out.append(case_id)
            continue
        begun_s = now_s if np.isnan(started[place]) else float(started[place])
        given = {name: column[place] for name, column in values.items() if column[place] is not None}
        found.append(_walk(finder, rows, path, OpenCase(case_id, begun_s, (), attributes=given)))
    return InFlight(now_s, tuple(found), _notes(left_out, workflow))


def _notes(left_out: Sequence[str], workflow: Workflow) -> tuple[str, ...]:
    if not left_out:
        return ()
    named = ", ".join(left_out[:_MOST_NAMED]) + (", …" if len(left_out) > _MOST_NAMED else "")
    what = "1 open case was" if len(left_out) == 1 else f"{len(left_out)} open cases were"
    return (f"{what} left out, whose steps {workflow.name!r} does not allow in their order: {named}.",)


# Rows ----------------------------------------------------------------------------


class _Columns:
    """The columns of a log's steps, as plain values."""

    def __init__(self, log: EventLog) -> None:
        steps = log.steps
        self.columns: dict[str, np.ndarray[Any, np.dtype[Any]]] = {
            name: steps[name].astype("object").where(steps[name].notna(), None).to_numpy()
            for name in ("activity", "status", "resource", "error_class", "error_type")
        }
        self.columns |= {name: _seconds(steps[name]) for name in ("enabled", "started", "completed")}

    def rows(self, begin: int, end: int) -> list[Row]:
        """Return the attempts of a case, in the order of the log: of their ends, open ones last."""
        return [
            Row(**{name: column[at] for name, column in self.columns.items()}) for at in range(int(begin), int(end))
        ]


def _seconds(times: pd.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = times.to_numpy(dtype="datetime64[us]", na_value=np.datetime64("NaT"))
    return np.where(np.isnat(values), nan, values.astype(np.int64) / 1e6)


# The way, once it is known -----------------------------------------------------------


def _walk(finder: Finder, rows: Sequence[Row], path: Path, case: OpenCase) -> OpenCase:
    """Return a case in the state to which its steps lead, with the times of what is open."""
    world = World([Run(finder.workflow, State())])
    most = finder.most_items(rows)
    times: list[dict[str, OpenStep]] = []
    visits: Counter[tuple[str, str]] = Counter()
    moment, last = case.started_s, None
    for place, choices in path:
        oracle = Oracle(choices, most)
        if place < 0:
            seen = carry_out(world, 0, start(finder.workflow, {}, decide=oracle), oracle)
        else:
            moment = rows[place].completed
            last = _ends(world, rows[place]) or last
            seen = apply(world, rows[place], oracle) or []
        _time(world, moment, times, visits)
        for transition in seen:
            for record in transition.records:
                if record.status == StepStatus.RETRYING and record.payload is not None:
                    _retry_later(times, str(record.step_id), moment, float(record.payload["delay_s"]))
    _match(world, [row for row in rows if np.isnan(row.completed)], times)
    live = [number for number, run in enumerate(world.runs) if run.state.finished is None]
    live = [number for number in live if _is_wanted(world, number)]
    runs = []
    for number in live:
        run = world.runs[number]
        known = {step_id: times[number][step_id] for step_id in run.state.steps}
        parent = None if run.parent is None else (live.index(run.parent[0]), run.parent[1])
        runs.append(OpenRun(run.workflow, run.state, known, parent, is_counted=False))
    return replace(case, runs=tuple(runs), visits=dict(visits), last=last)


def _ends(world: World, row: Row) -> tuple[str, str] | None:
    """Return the workflow and the node of a step that ends well; None for what fails, or compensates."""
    place = world.opened(row)
    if place is None or row.status != StepStatus.COMPLETED or place[1].kind is Kind.COMPENSATION:
        return None
    return world.runs[place[0]].workflow.digest, row.activity


def _is_wanted(world: World, number: int) -> bool:
    """Return whether a run's caller still waits for it."""
    run = world.runs[number]
    if run.parent is None:
        return True
    to, step_id = run.parent
    caller = world.runs[to]
    return caller.state.finished is None and step_id in caller.state.steps and _is_wanted(world, to)


def _time(world: World, moment: float, times: list[dict[str, OpenStep]], visits: Counter[tuple[str, str]]) -> None:
    """Note when the steps opened that were not open before."""
    times += [{} for _ in range(len(world.runs) - len(times))]
    for run, mine in zip(world.runs, times, strict=True):
        for step in run.state.steps.values():
            if step.id not in mine:
                visits[run.workflow.digest, step.node] += 1
                begins = nan if step.kind in ATTEMPTED else moment
                visit = visits[run.workflow.digest, step.node]
                mine[step.id] = OpenStep(visit, moment, moment, begins, is_enabled=step.kind not in ATTEMPTED)


def _retry_later(times: list[dict[str, OpenStep]], step_id: str, moment: float, delay_s: float) -> None:
    for mine in times:
        if step_id in mine:
            mine[step_id] = replace(mine[step_id], enabled_s=moment, started_s=nan, due_s=moment + delay_s)


def _match(world: World, open_rows: Sequence[Row], times: list[dict[str, OpenStep]]) -> None:
    """Take over what the log says of steps that are open."""
    taken: set[tuple[int, str]] = set()
    for row in open_rows:
        for number, run in enumerate(world.runs):
            step = next(
                (
                    step
                    for step in run.state.steps.values()
                    if step.node == row.activity and step.kind is not Kind.SCOPE and (number, step.id) not in taken
                ),
                None,
            )
            if step is None:
                continue
            taken.add((number, step.id))
            told = times[number][step.id]
            if not np.isnan(row.enabled):
                opened = min(told.opened_s, row.enabled)
                told = replace(told, enabled_s=row.enabled, opened_s=opened, is_enabled=True)
            if not np.isnan(row.started):
                told = replace(told, started_s=row.started, resource=row.resource)
                if step.kind in ATTEMPTED and step.status is not StepStatus.RUNNING:
                    run.state = advance(run.workflow, run.state, StepStarted(step.id)).state
            times[number][step.id] = told
            break
