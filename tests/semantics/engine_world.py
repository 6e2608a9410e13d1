"""The engine's core in virtual time: the same world, but its messages, timers, rows and effects are the engine's."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable

from orchkit.engine.core import Core
from orchkit.engine.messages import (
    CancelRun,
    CompleteWait,
    DiscardRun,
    Dispatch,
    Ended,
    Message,
    Outcome,
    Publish,
    ReplayRun,
    Settings,
    StartRun,
    Work,
)
from orchkit.events import Failure
from orchkit.model.nodes import WaitKind
from orchkit.model.states import ErrorClass
from orchkit.store import HistoryRow, RunRow, StoredRow
from tests.semantics.table import NEVER, Case, Row, phrases
from tests.semantics.world import EPOCH, Played, changes


class _Anything:
    """An executor that takes every task; the world says what comes of it."""

    def problem_with(self, _task):
        return None

    def prepare(self, _attempt):
        raise AssertionError


class _Kept:
    """What the core reads back: all that it has written."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRow] = {}
        self.rows: list[HistoryRow] = []
        self.definitions: dict[str, str] = {}

    def keep(self, work: Work) -> None:
        self.runs |= {run.run_id: run for run in work.batch.runs}
        self.rows += work.batch.rows
        self.definitions |= {each.digest: each.document for each in work.batch.definitions}

    def known_runs(self, run_ids):
        return {run_id: self.runs[run_id] for run_id in run_ids if run_id in self.runs}

    def latest_definition(self, _name):
        return None

    def definition(self, digest):
        return self.definitions[digest]

    def stored_runs(self, run_ids):
        for run_id in run_ids:
            if run_id in self.runs:
                yield self.runs[run_id], [StoredRow(0, *row) for row in self.rows if row.run_id == run_id]


class EngineWorld:
    """A case, played by the core of an engine."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.now = 0.0
        self.serial = 0
        self.due: list[tuple[float, int, Callable[[], list[Message]]]] = []
        self.visits: dict[str, dict[str, int]] = {}
        self.moments: list[list[tuple[str, Row]]] = []
        self.prefixes = {"case": ""}
        self.ended: Ended | None = None
        executors = dict.fromkeys(("python", "http"), _Anything())
        self.kept = _Kept()
        self.core = Core(Settings(executors), self.kept)

    def play(self) -> Played:
        """Return what the engine makes of the case."""
        for event in self.case.events:
            self.at(event["at"], lambda event=event: self.happens(event))
        self.take([StartRun("case", "case", self.case.workflow, dict(self.case.inputs))])
        while self.ended is None or self.case.decides_after(self.now):
            timer = self.core.next_timer()
            timer_at = NEVER if timer is None else timer - EPOCH
            told_at = self.due[0][0] if self.due else NEVER
            if min(timer_at, told_at) >= NEVER:
                break
            self.now = max(self.now, min(timer_at, told_at))
            messages = heapq.heappop(self.due)[2]() if told_at <= timer_at else []
            self.take(messages)
        return self.played()

    def played(self) -> Played:
        if self.ended is None:
            state = self.core.active["case"].state
            status, failure, variables = str(state.status), None, state.variables
        else:
            status, failure = str(self.ended.finish.status), self.ended.finish.failure
            variables = dict(self.ended.variables)
            status = next(row.status for row in reversed(self.kept.rows) if (row.run_id, row.kind) == ("case", "run"))
        error = None if failure is None else f"{failure.type} at {failure.node}" if failure.node else failure.type
        return Played(status, error, self.lines(), changes(self.case, variables), None, [])

    def lines(self) -> list[str]:
        rows = [row for moment in self.moments for row in moment]
        said = iter(phrases(row for _, row in rows))
        lines = []
        for moment in self.moments:
            words = [f"{prefix}{next(said)}" for prefix, row in moment if phrases([row])]
            if words:
                lines.append("; ".join(words))
        return lines

    def at(self, moment: float, then: Callable[[], list[Message]]) -> None:
        if moment < NEVER:
            self.serial += 1
            heapq.heappush(self.due, (max(moment, self.now), self.serial, then))

    def take(self, messages: list[Message]) -> None:
        self.took(self.core.handle(messages, EPOCH + self.now))

    def took(self, work: Work) -> None:
        self.kept.keep(work)
        self.core.unsettled.clear()
        for run in work.batch.runs:
            if run.parent_step is not None:
                parent, step_id = run.parent_step.split("/", 1)
                self.prefixes[run.run_id] = f"{self.prefixes[parent]}{step_id.rsplit('#', 1)[0]}/"
        self.moments.append([(self.prefixes[row.run_id], row_of(row, self.prefixes)) for row in work.batch.rows])
        for effect in work.effects:
            if isinstance(effect, Dispatch):
                self.dispatched(effect)
            elif effect.run_id == "case":
                self.ended = effect
        if "case" in self.core.active:
            self.ended = None

    def dispatched(self, effect: Dispatch) -> None:
        attempt = effect.attempt
        place = self.prefixes[attempt.run_id] + attempt.task.name
        visits = self.visits.setdefault(place, {})
        visit = visits.setdefault(attempt.step_id, len(visits) + 1)
        outcome = self.case.outcome(attempt.task.name, visit, attempt.attempt)
        told = Outcome(attempt.run_id, attempt.step_id, attempt.attempt, outcome.failure, outcome.value)
        self.at(self.now + outcome.takes, lambda: [told])

    def happens(self, event: dict[str, object]) -> list[Message]:
        match event:
            case {"replay": variables, **more}:
                return [ReplayRun("case", variables, bool(more.get("from_start")))]
            case {"discard": reason}:
                return [DiscardRun("case", str(reason))]
            case {"cancel": reason}:
                return [CancelRun("case", str(reason))]
            case {"callback": name, "error": kind, **more}:
                failure = Failure(ErrorClass(more.get("class", "permanent")), str(kind))
                return [CompleteWait("case", str(name), failure=failure)] if self.waits_for(name) else []
            case {"callback": name, **more}:
                return [CompleteWait("case", str(name), more.get("value"))] if self.waits_for(name) else []
            case {"event": name, **more}:
                return [Publish(str(name), more.get("value"))]
        raise AssertionError(event)

    def waits_for(self, name: object) -> bool:
        """Return whether a callback is open: the table's world has no letter box for one that comes early."""
        active = self.core.active["case"]
        return any(
            wait.kind is WaitKind.CALLBACK and wait.subject == name and step_id in active.state.steps
            for step_id, wait in active.waits.items()
        )


def row_of(row: HistoryRow, prefixes: dict[str, str]) -> Row:
    """Return a row of the history as a row of the table's."""
    step_id = None if row.step_id is None else prefixes[row.run_id] + row.step_id
    payload = {} if row.payload is None else json.loads(row.payload)
    return Row(row.kind, row.status, row.node, step_id, row.attempt, row.error_class, payload)
