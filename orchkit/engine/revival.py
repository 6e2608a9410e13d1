"""The core's part in decisions about runs that have ended badly: they are folded from the store, and go on."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchkit.engine.inputs import checked_inputs
from orchkit.engine.messages import Active, DiscardRun, MigrateRun, ReplayRun
from orchkit.engine.recovery import MIGRATED, Folded, fold, parent_of
from orchkit.errors import RunError, RunNotFound
from orchkit.events import ChildEnded, DiscardAsked, Kind, Record, ReplayAsked, StartChild
from orchkit.machine import advance
from orchkit.migration import migrated, problems_of
from orchkit.model.definition import Workflow
from orchkit.model.states import RunStatus

if TYPE_CHECKING:
    from orchkit.engine.core import Core

__all__ = ["Revival"]

_FAILED = (RunStatus.FAILED, RunStatus.DEAD_LETTERED)


class Revival:
    """Takes runs that have ended up again.

    A called run goes on with its caller: whichever of a chain is replayed, the outermost that failed goes on, its call
    begins again, and with it the run that was called.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._definitions: dict[str, Workflow] = {}
        self._asked: ReplayRun | None = None

    def replay(self, message: ReplayRun) -> None:
        """Let a run go on, or the outermost of its callers that failed with it."""
        self._asked = message
        named = self._ended(message.run_id)
        self._refuse(named.active, message)
        active = named.active
        if message.workflow is not None and message.workflow != active.workflow:
            self._move(active, message, message.workflow)
        if not message.from_start:
            active = self._caller(active)
        if active.run_id == message.run_id:
            self._go_on(active, message.variables, from_start=message.from_start)
        else:
            self._go_on(active, {}, from_start=False)

    def discard(self, message: DiscardRun) -> None:
        """Give a dead letter up."""
        active = self._ended(message.run_id).active
        transition = advance(active.workflow, active.state, DiscardAsked(message.reason, message.by))
        if not transition.records:
            text = f"Run {message.run_id!r} is {active.state.status}: only a dead letter can be discarded."
            raise RunError(text, run_id=message.run_id)
        for record in transition.records:
            self._core._row(active, record)

    def child(self, run_id: str, command: StartChild) -> bool:
        """Let a called run go on that its caller calls once more; tell whether there is one."""
        asked = self._asked
        found = next(self._core.reader.stored_runs([run_id]), None)
        if found is None or asked is None:
            return False
        active = self._ended(run_id).active
        status = active.state.status
        if status is RunStatus.COMPLETED:
            parent = active.parent
            if parent is not None:
                self._core._agenda.append((parent[0], ChildEnded(parent[1], status, active.state.variables)))
            return True
        inputs = _inputs(found[1][0].payload)
        changed = {name: value for name, value in command.inputs.items() if inputs.get(name) != value}
        mended = {**changed, **(asked.variables if asked.run_id == run_id else {})}
        if status in _FAILED:
            self._go_on(active, mended, from_start=False)
        else:
            self._go_on(active, {**inputs, **mended}, from_start=True)
        return True

    def _move(self, active: Active, message: ReplayRun, new: Workflow) -> None:
        """Put a run that has ended badly into another version, before it goes on."""
        problems = problems_of(active.workflow, new, active.state)
        if message.from_start:
            problems = [] if active.workflow.name == new.name else problems
        if problems:
            text = f"Run {active.run_id!r} cannot go on in version {new.version!r}: {' '.join(problems)}"
            raise RunError(text, run_id=active.run_id)
        if message.from_start:  # nothing of what was is taken over
            active.state.graves, active.state.letters = {}, ()
        payload = self._take_over(active, new, message.reason)
        payload |= {"anew": True} if message.from_start else {}
        self._core._row(active, Record(Kind.DECISION, MIGRATED, payload=payload, resource=message.by))

    def _caller(self, active: Active) -> Active:
        """Return the outermost run that failed with this one."""
        while active.parent is not None and active.parent[0] not in self._core.active:
            above = self._ended(active.parent[0]).active
            if above.state.status not in _FAILED:
                break
            active = above
        return active

    def _refuse(self, active: Active, message: ReplayRun) -> None:
        status = active.state.status
        if status is RunStatus.COMPLETED or (status not in _FAILED and not message.from_start):
            hint = "" if status is RunStatus.COMPLETED else " It can be started again: from_start=True."
            text = f"Run {message.run_id!r} is {status}: only failed and dead-lettered runs can be retried.{hint}"
            raise RunError(text, run_id=message.run_id)

    def _go_on(self, active: Active, variables: Mapping[str, Any], *, from_start: bool) -> None:
        core, asked = self._core, self._asked
        if from_start:
            variables = checked_inputs(active.workflow, {**self._first_inputs(active.run_id), **variables})
        event = ReplayAsked(
            variables, from_start, None if asked is None else asked.by, None if asked is None else asked.reason
        )
        transition = advance(active.workflow, active.state, event)
        core.timers = [timer for timer in core.timers if timer[2] != active.run_id]
        heapq.heapify(core.timers)
        core.active[active.run_id] = active
        core.unsettled.add(active.run_id)
        core._apply(active, transition)

    def migrate(self, message: MigrateRun) -> list[str]:
        """Let a run go on in another version; return what is in the way of it, where that is all that is asked."""
        core, new = self._core, message.workflow
        active = core.active.get(message.run_id)
        if active is None:
            active = self._ended(message.run_id).active
        problems = problems_of(active.workflow, new, active.state)
        if active.state.finished is not None:
            problems = ["The run has ended: engine.retry(run, to=…) lets it go on in another version."]
        if message.is_preview:
            return problems
        if problems:
            text = f"Run {message.run_id!r} cannot go on in version {new.version!r}: {' '.join(problems)}"
            raise RunError(text, run_id=message.run_id)
        if active.workflow != new:
            payload = self._take_over(active, new, message.reason)
            core._row(active, Record(Kind.DECISION, MIGRATED, payload=payload, resource=message.by))
            core._work.touched[active.run_id] = active
            core.attempts.unpark()
        return []

    def _take_over(self, active: Active, new: Workflow, reason: str | None) -> dict[str, Any]:
        """Put a run into another version, and return what the history keeps of it."""
        old = active.workflow
        self._core._save_definition(new)
        active.state = migrated(old, new, active.state)
        active.workflow = new
        self._core.plans.moved[active.run_id] = new.digest
        payload = {"from": old.digest, "to": new.digest, "version": new.version}
        return payload if reason is None else {**payload, "reason": reason}

    def _definition(self, digest: str) -> Workflow:
        if digest not in self._definitions:
            self._definitions[digest] = Workflow.from_json(self._core.reader.definition(digest))
        return self._definitions[digest]

    def _first_inputs(self, run_id: str) -> dict[str, Any]:
        _, rows = next(self._core.reader.stored_runs([run_id]))
        return dict(_inputs(rows[0].payload))

    def _ended(self, run_id: str) -> Folded:
        core = self._core
        found = None if run_id in core.active else next(core.reader.stored_runs([run_id]), None)
        if found is None and run_id not in core.active:
            message = f"There is no run {run_id!r}: engine.runs() lists them."
            raise RunNotFound(message, run_id=run_id)
        folded = None
        if found is not None and run_id not in core.unsettled:
            row, rows = found
            folded = fold(self._definition(row.digest), rows, parent_of(row), self._definition)
        if folded is None or folded.active.state.finished is None:
            message = f"Run {run_id!r} has not ended: there is nothing to decide."
            raise RunError(message, run_id=run_id)
        core._saved.add(folded.active.workflow.digest)
        return folded


def _inputs(payload: str | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(payload or "{}").get("inputs", {})
    return found
