"""The core's part in what starts runs by itself: deployed workflows, their schedules, and events that start runs.

All of it is in the history, under ids of its own: a schedule's rows say what it is, and what became of each moment at
which it was due, in the same commit as the run that was started. A run's case is made of the schedule and the moment,
so that a moment has one run, whatever happens.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchkit.engine.doors import RECEIPT, Door, doors_of
from orchkit.engine.inputs import checked_inputs
from orchkit.engine.messages import AddSchedule, ChangeSchedule, Deploy, Note, Publish, StartRun, run_id_of
from orchkit.engine.subscriptions import EVENT, SCHEDULE, Subscription, asked_of, check_triggers, subjects_of
from orchkit.engine.values import as_json
from orchkit.errors import ExpressionError, InputError, ScheduleNotFound, nearest
from orchkit.events import CancelAsked
from orchkit.model.definition import Workflow
from orchkit.model.expressions import render
from orchkit.model.schedule import CatchUp, Overlap, Schedule
from orchkit.store import HistoryRow, StoredRow

if TYPE_CHECKING:
    from orchkit.engine.core import Core

__all__ = ["KINDS", "Plan", "Plans"]

DEPLOYMENT = "deployment"
DECISION = "decision"
KINDS = (SCHEDULE, DEPLOYMENT, EVENT, DECISION, RECEIPT)
_GRACE_S = 60.0
_AT_ONCE = 1_000


@dataclass(slots=True)
class Plan:
    """A schedule at work: ``cursor`` is the last moment that is dealt with, ``due`` the next one."""

    schedule: Schedule
    workflow: Workflow
    cursor: float
    deployed: bool = False
    paused: bool = False
    due: float | None = None
    serial: int = 0
    queue: deque[float] = field(default_factory=deque)
    running: set[str] = field(default_factory=set)
    last: float | None = None


class Plans:
    """Schedules, deployed workflows and subscriptions of an engine."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.plans: dict[str, Plan] = {}
        self.current: dict[str, Workflow] = {}
        self.moved: dict[str, str] = {}  # by run: the digest of the version that it has migrated to
        self._subscriptions: dict[str, list[tuple[Workflow, Subscription]]] = {}
        self._owners: dict[str, str] = {}
        self._seen: set[bytes] = set()
        self._heap: list[tuple[float, int, str]] = []
        self._serial = 0

    # Time ------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """Return when the next run of a schedule starts."""
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fire(self, now: float) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._is_live(entry):
                plan = self.plans[entry[2]]
                self._fall_due(plan, now)
                self._aim(plan)
                self._core._drain()

    def _is_live(self, entry: tuple[float, int, str]) -> bool:
        plan = self.plans.get(entry[2])
        return plan is not None and plan.serial == entry[1] and not plan.paused

    def _aim(self, plan: Plan) -> None:
        """Look for the next moment of a schedule."""
        self._serial += 1
        plan.serial = self._serial
        plan.due = None if plan.paused else plan.schedule.next_due(plan.cursor)
        if plan.due is not None:
            heapq.heappush(self._heap, (plan.schedule.start_at(plan.due), plan.serial, plan.schedule.name))

    def _fall_due(self, plan: Plan, now: float) -> None:
        schedule, due = plan.schedule, plan.due
        if due is None:
            return
        if now - schedule.start_at(due) > _GRACE_S and schedule.catch_up is not CatchUp.ALL:
            due = self._pass_over(plan, due, now)
        count = 0
        while due is not None and schedule.start_at(due) <= now and count < _AT_ONCE:
            plan.cursor = due
            self._begin(plan, due)
            due = schedule.next_due(due)
            count += 1

    def _pass_over(self, plan: Plan, due: float, now: float) -> float | None:
        """Leave out what was due while nobody was there; return what is left to start."""
        schedule = plan.schedule
        last = schedule.last_due(now)
        while last is not None and last > due and schedule.start_at(last) > now:
            last = schedule.last_due(last - 1e-3)
        last = max(due, last or due)
        wanted = schedule.catch_up is CatchUp.LAST or now - schedule.start_at(last) <= _GRACE_S
        before = schedule.last_due(last - 1e-3) if wanted else last
        if before is not None and before >= due:
            plan.cursor = before
            self._note(plan, "SKIPPED", {"from": due, "due": before, "reason": "nobody was there"})
        return last if wanted else schedule.next_due(last)

    # Starts ----------------------------------------------------------------------

    def _begin(self, plan: Plan, due: float) -> None:
        """Start the run that is due, unless an earlier one is in its way."""
        plan.running = {run_id for run_id in plan.running if run_id in self._core.active}
        if plan.running or plan.queue:
            match plan.schedule.overlap:
                case Overlap.SKIP:
                    self._note(plan, "SKIPPED", {"due": due, "reason": "overlap"})
                    return
                case Overlap.QUEUE:
                    plan.queue.append(due)
                    self._note(plan, "QUEUED", {"due": due})
                    return
                case Overlap.CANCEL:
                    text = f"{plan.schedule.name} starts again."
                    self._core._agenda.extend((run_id, CancelAsked(text)) for run_id in sorted(plan.running))
                case Overlap.ALLOW:
                    pass
        self._start(plan, due)

    def _start(self, plan: Plan, due: float) -> None:
        schedule = plan.schedule
        told = _iso(due)
        case = f"{schedule.name}@{told}"
        run_id = run_id_of(plan.workflow.name, case)
        try:
            inputs = render(dict(schedule.inputs), {"schedule": {"name": schedule.name, "due": told}})
            inputs = checked_inputs(plan.workflow, inputs)
        except (ExpressionError, InputError) as error:
            self._note(plan, "REFUSED", {"due": due, "reason": error.message})
            return
        self._note(plan, "STARTED", {"due": due, "run": run_id})
        plan.last = due
        plan.running.add(run_id)
        self._owners[run_id] = schedule.name
        self._core.start_once(StartRun(run_id, case, plan.workflow, inputs))

    @property
    def subjects(self) -> dict[str, str]:
        """The subjects of queues that the deployed workflows listen to, each with the event that its messages are."""
        found: dict[str, str] = {}
        for workflow in list(self.current.values()):
            found |= subjects_of(workflow)
        return found

    def ended(self, run_id: str) -> None:
        """Start what waited for the end of a run."""
        plan = self.plans.get(self._owners.pop(run_id, ""))
        if plan is None:
            return
        plan.running.discard(run_id)
        if plan.queue and not plan.running and not plan.paused:
            self._start(plan, plan.queue.popleft())

    # Doors -----------------------------------------------------------------------

    def doors(self, name: str) -> list[Door]:
        """Return the doors of a name that the workflows which were deployed have for webhooks."""
        listed = list(self.current.values())  # at once: another thread asks
        return [door for workflow in listed for door in doors_of(workflow) if door.event and door.name == name]

    # Decisions -------------------------------------------------------------------

    def listed(self) -> list[list[Any]]:
        """Return one row per schedule; see `orchkit.Engine.schedules`."""
        return [
            [
                plan.schedule.name,
                plan.workflow.name,
                plan.workflow.version,
                plan.schedule.when,
                plan.schedule.overlap.value,
                plan.schedule.catch_up.value,
                plan.paused,
                plan.last,
                plan.due,
                sum(run_id in self._core.active for run_id in plan.running),
                len(plan.queue),
            ]
            for plan in self.plans.values()
        ]

    def add(self, message: AddSchedule) -> str:
        """Add a schedule, or change one."""
        self._put(message.schedule, message.workflow, message.by, deployed=False)
        return message.schedule.name

    def _put(self, schedule: Schedule, workflow: Workflow, by: str | None, *, deployed: bool) -> None:
        now = self._core._now
        old = self.plans.get(schedule.name)
        same = old is not None and (old.schedule.cron, old.schedule.every, old.schedule.time_zone) == (
            schedule.cron,
            schedule.every,
            schedule.time_zone,
        )
        if schedule.every is not None and schedule.first is None:  # an interval is counted from when it is told
            first = old.schedule.first if same and old is not None else now
            schedule = replace(schedule, first=first)
        plan = Plan(schedule, workflow, old.cursor if same and old is not None else now, deployed)
        if old is not None:
            plan.paused, plan.queue, plan.running, plan.last = old.paused, old.queue, old.running, old.last
        self._core._save_definition(workflow)
        self.plans[schedule.name] = plan
        payload = {"schedule": schedule.to_settings(), "cursor": plan.cursor, "deployed": deployed}
        self._note(plan, "CREATED", payload, by)
        self._aim(plan)

    def change(self, message: ChangeSchedule) -> None:
        """Pause, resume, delete, or start a schedule now."""
        plan = self.plans.get(message.name)
        if plan is None:
            hint = nearest(message.name, self.plans)
            text = f"There is no schedule {message.name!r}.{hint} engine.schedules() lists them."
            raise ScheduleNotFound(text)
        match message.status:
            case "STARTED":
                self._start(plan, self._core._now)
                return
            case "PAUSED":
                plan.paused = True
            case "RESUMED":
                plan.paused, plan.cursor = False, max(plan.cursor, self._core._now)
            case _:
                del self.plans[message.name]
        self._note(plan, message.status, {}, message.by)
        self._aim(plan)
        if message.status == "RESUMED" and plan.queue and not plan.running:
            self._start(plan, plan.queue.popleft())

    def deploy(self, message: Deploy) -> bool:
        """Make a version the current one of its workflow, and its triggers those that count."""
        workflow = message.workflow
        if self.current.get(workflow.name) == workflow:
            return False
        schedules, _ = check_triggers(workflow)
        self._core._save_definition(workflow)
        self._write(DEPLOYMENT, workflow.name, workflow, "DEPLOYED", {"version": workflow.version}, message.by)
        self._subscribe(workflow)
        names = {schedule.name for schedule in schedules}
        for name, plan in list(self.plans.items()):
            if plan.deployed and plan.workflow.name == workflow.name and name not in names:
                self.change(ChangeSchedule(name, "DELETED", message.by))
        for schedule in schedules:
            self._put(schedule, workflow, message.by, deployed=True)
        return True

    def _subscribe(self, workflow: Workflow) -> None:
        old = self.current.get(workflow.name)
        if old is not None:
            for event, listed in self._subscriptions.items():
                self._subscriptions[event] = [each for each in listed if each[0].name != workflow.name]
        self.current[workflow.name] = workflow
        for subscription in check_triggers(workflow)[1]:
            self._subscriptions.setdefault(subscription.event, []).append((workflow, subscription))

    # Events ----------------------------------------------------------------------

    def is_known(self, message: Publish) -> bool:
        """Return whether an event was published before, by its id."""
        return message.message_id is not None and _short(message.message_id) in self._seen

    def refuse(self, message: Publish, *, is_awaited: bool) -> None:
        """Refuse an event that a trigger cannot take, or that nobody takes.

        Raises
        ------
        InputError
            It says why.
        """
        listed = self._subscriptions.get(message.name, ())
        for workflow, subscription in listed:
            try:
                asked_of(workflow, subscription, message)
            except (ExpressionError, InputError) as error:
                text = f"The workflow {workflow.name!r} cannot take the event {message.name!r}: {error.message}"
                raise InputError(text) from None
        if not listed and not is_awaited:
            text = f"Nobody takes the event {message.name!r}: no trigger has it, and no run waits for it now."
            raise InputError(text)

    def start_by(self, message: Publish) -> list[str]:
        """Start the runs that an event starts; the same case has one run."""
        started = []
        for workflow, subscription in self._subscriptions.get(message.name, ()):
            try:
                asked = asked_of(workflow, subscription, message)
            except (ExpressionError, InputError) as error:
                payload = {"event": message.name, "reason": error.message}
                self._write(EVENT, message.message_id or message.name, workflow, "REFUSED", payload, None)
                continue
            if asked is None:
                continue
            case, inputs = asked
            case = case or f"{message.name}@{_iso(self._core._now)}"
            run_id = run_id_of(workflow.name, case)
            if self._core.start_once(StartRun(run_id, case, workflow, inputs, trace=message.trace, span=message.span)):
                started.append(run_id)
        return started

    def published(self, message: Publish, started: list[str], continued: list[str]) -> None:
        """Keep that an event was published, and what came of it."""
        if message.message_id is None:
            return
        payload: dict[str, Any] = {"event": message.name, "id": message.message_id, "output": message.payload}
        payload |= {"started": started, "continued": continued}
        if message.source is not None:
            payload["source"] = "/".join(message.source)
        if message.is_named:
            payload["named"] = True
            self._seen.add(_short(message.message_id))
        self._write(EVENT, message.message_id, None, "PUBLISHED", payload, None, message.trace)

    # History ---------------------------------------------------------------------

    def note(self, message: Note) -> None:
        """Keep what belongs to no run."""
        told = (message.status, message.payload, message.by)
        self._write(message.kind, message.name, None, *told, called=message.workflow)

    def _note(self, plan: Plan, status: str, payload: Mapping[str, Any], by: str | None = None) -> None:
        self._write(SCHEDULE, plan.schedule.name, plan.workflow, status, payload, by)

    def _write(
        self,
        kind: str,
        name: str,
        workflow: Workflow | None,
        status: str,
        payload: Mapping[str, Any],
        by: str | None,
        trace: str | None = None,
        called: str = "",
    ) -> None:
        core = self._core
        row = HistoryRow(
            run_id_of(kind, name),
            name,
            called if workflow is None else workflow.name,
            "" if workflow is None else workflow.digest,
            None,
            None,
            kind,
            status,
            0,
            int(core._now * 1e6),
            resource=by,
            trace_id=trace,
            payload=core.redact.text(as_json(payload)),
        )
        core._work.batch.rows.append(row)

    def load(self, rows: Iterable[StoredRow]) -> None:
        """Take up what the history tells, by ``seq``."""
        definitions: dict[str, Workflow] = {}

        def workflow_of(row: StoredRow) -> Workflow:
            if row.digest not in definitions:
                definitions[row.digest] = Workflow.from_json(self._core.reader.definition(row.digest))
                self._core._saved.add(row.digest)
            return definitions[row.digest]

        for row in rows:
            payload = json.loads(row.payload or "{}")
            match row.kind:
                case "schedule":
                    self._fold(row, payload, workflow_of)
                case "deployment":
                    self._subscribe(workflow_of(row))
                case "decision":
                    if "to" in payload:
                        self.moved[row.run_id] = payload["to"]
                case "receipt":
                    self._core.doors.remember(payload, row.occurred_at / 1e6)
                case _ if payload.get("named"):
                    self._seen.add(_short(payload["id"]))
                case _:
                    pass
        for plan in self.plans.values():
            plan.running = {run_id for run_id in plan.running if run_id in self._core.active}
            self._owners |= dict.fromkeys(plan.running, plan.schedule.name)
            self._aim(plan)

    def resume(self) -> None:
        """Start what had waited for runs that ended while nobody was there."""
        for plan in self.plans.values():
            if plan.queue and not plan.running and not plan.paused:
                self._start(plan, plan.queue.popleft())

    def _fold(self, row: StoredRow, payload: Mapping[str, Any], workflow_of: Any) -> None:  # noqa: ANN401 -- a function
        if row.status == "CREATED":
            old = self.plans.get(row.case_id)
            schedule = Schedule.from_settings(payload["schedule"], row.case_id)
            plan = Plan(schedule, workflow_of(row), payload["cursor"], payload["deployed"])
            if old is not None:
                plan.paused, plan.queue, plan.running, plan.last = old.paused, old.queue, old.running, old.last
            self.plans[row.case_id] = plan
            return
        found = self.plans.get(row.case_id)
        if found is None:
            return
        if "due" in payload:
            found.cursor = max(found.cursor, payload["due"])
        match row.status:
            case "PAUSED":
                found.paused = True
            case "RESUMED":
                found.paused, found.cursor = False, max(found.cursor, row.occurred_at / 1e6)
            case "DELETED":
                del self.plans[row.case_id]
            case "QUEUED":
                found.queue.append(payload["due"])
            case "STARTED":
                found.last = payload["due"]
                found.running.add(payload["run"])
                if found.queue and found.queue[0] == payload["due"]:
                    found.queue.popleft()
            case "REFUSED" if found.queue and found.queue[0] == payload["due"]:
                found.queue.popleft()
            case _:
                pass


def _short(message_id: str) -> bytes:
    return hashlib.blake2b(message_id.encode(errors="surrogatepass"), digest_size=12).digest()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
