"""The core's part in what people do: work items are offered, claimed, escalated, completed.

A step that waits for a person is PENDING until somebody claims it, and RUNNING from then on, so that a log says how
long it lay, how long it took, and who did it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchkit.engine.messages import Active, ClaimItem, CompleteItem, Item, ReleaseItem
from orchkit.errors import ExpressionError, WorkItemNotFound, WorkItemTaken
from orchkit.events import Failure, Kind, Record, StepCompleted, StepFailed, StepStarted
from orchkit.executors.human import checked_form
from orchkit.model.definition import Workflow
from orchkit.model.expressions import render
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.run_state import Mode, Step
from orchkit.turn import expect
from orchkit.units import seconds

if TYPE_CHECKING:
    from orchkit.engine.core import Core
    from orchkit.engine.recovery import Row

__all__ = ["DUE", "HUMAN", "TIMEOUT", "Offer", "People", "item_of_row"]

HUMAN = "human"
DUE, TIMEOUT = "item due", "item timeout"
CLAIMED, RELEASED, ESCALATED, OVERDUE = "CLAIMED", "RELEASED", "ESCALATED", "OVERDUE"


@dataclass(frozen=True, slots=True)
class Offer:
    """An open work item, with the step and the variables that it is about."""

    active: Active
    step: Step
    item: Item
    variables: Mapping[str, Any]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the task."""
        task = self.active.workflow.node(self.step.node)
        return task.settings if isinstance(task, Task) else {}

    @property
    def assignee(self) -> str | None:
        """Who alone may claim it; anybody of the role if nobody is named."""
        return str(self.rendered(self.settings["assignee"])) if "assignee" in self.settings else None

    def rendered(self, template: Any) -> Any:  # noqa: ANN401 -- a JSON value
        """Return the value of a template; where it has none, what is wrong: an item is shown all the same."""
        run = {"id": self.active.run_id, "case_id": self.active.case_id, "workflow": self.active.workflow.name}
        try:
            return render(template, {"run": run, **self.variables})
        except ExpressionError as error:
            return f"({error.message})"


class People:
    """Work items of the runs in memory."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def offer(self, active: Active, step_id: str, task: Task) -> None:
        """Offer a step to people, or take up an offer after a restart."""
        core = self._core
        item = active.items.setdefault(step_id, Item(core._now, task.role))
        if task.timeout_s is not None:
            core._set_timer(item.created + task.timeout_s, active.run_id, step_id, TIMEOUT)
        if "due" in task.settings and not item.late:
            core._set_timer(item.created + seconds(task.settings["due"]), active.run_id, step_id, DUE)

    def offers(self) -> list[Offer]:
        """Return what is open."""
        return [
            Offer(active, active.state.steps[step_id], item, active.state.variables_of(step_id))
            for active in self._core.active.values()
            for step_id, item in active.items.items()
            if step_id in active.state.steps
        ]

    def claim(self, message: ClaimItem) -> None:
        """Give an item to somebody; who comes second is refused."""
        active, step, item = self._found(message.run_id, message.step_id, message.by)
        if item.by is None:
            self._refuse_others(active, step, item, message)
            self._take(active, step, item, message.by)

    def release(self, message: ReleaseItem) -> None:
        """Offer an item again."""
        active, step, item = self._found(message.run_id, message.step_id, message.by)
        if item.by is not None:
            active.items[step.id] = replace(item, by=None)
            self._note(active, step, RELEASED, message.by)

    def complete(self, message: CompleteItem) -> None:
        """End an item, with data or a failure; who has not claimed it does so by this."""
        active, step, item = self._found(message.run_id, message.step_id, message.by)
        task = expect(active.workflow.node(step.node), Task)
        if message.failure is None:
            checked_form(task, message.data)
        if item.by is None:
            self._refuse_others(active, step, item, message)
            self._take(active, step, item, message.by)
            self._core._drain()
        active.doers[step.id] = message.by
        del active.items[step.id]
        ended = (
            StepCompleted(step.id, message.data) if message.failure is None else StepFailed(step.id, message.failure)
        )
        self._core._agenda.append((active.run_id, ended))

    def withdraw(self, active: Active) -> None:
        """Take items back whose run does not want them any more."""
        for step_id in list(active.items):
            step = active.state.steps.get(step_id)
            if step is None:
                del active.items[step_id]
            elif (
                step.status is StepStatus.RUNNING
                and step.kind is Kind.TASK
                and active.state.instances[step.instance].mode is not Mode.RUNNING
            ):
                del active.items[step_id]
                failure = Failure(ErrorClass.PERMANENT, "Withdrawn", "The run does not need it any more.")
                self._core._agenda.append((active.run_id, StepFailed(step_id, failure)))

    def fire(self, active: Active, step_id: str, purpose: str) -> None:
        """Let an item be overdue, or time out."""
        core = self._core
        item, step = active.items.get(step_id), active.state.steps[step_id]
        task = expect(active.workflow.node(step.node), Task)
        limit_s = task.timeout_s if purpose == TIMEOUT else seconds(task.settings.get("due", 0))
        if item is None or limit_s is None or item.created + limit_s > core._now:
            return  # of an earlier attempt
        if purpose == DUE:
            role = task.settings.get("escalate_to")
            active.items[step_id] = replace(item, late=True, role=role or item.role)
            self._note(active, step, ESCALATED if role else OVERDUE, None, {"role": role} if role else None)
            return
        if step.status is not StepStatus.RUNNING:
            core._agenda.append((active.run_id, StepStarted(step_id)))
        del active.items[step_id]
        failure = Failure(ErrorClass.TIMEOUT, "Timeout", f"Nobody has done it within {task.timeout_s} s.")
        core._agenda.append((active.run_id, StepFailed(step_id, failure)))

    def _refuse_others(self, active: Active, step: Step, item: Item, message: ClaimItem | CompleteItem) -> None:
        """Refuse whoever an item is not meant for: another person, until it is escalated, and another role."""
        by, roles = message.by, message.roles
        if roles is not None and item.role is not None and item.role not in roles:
            has = f"has {' and '.join(map(repr, roles))}" if roles else "has no role"
            text = f"Work item {step.node!r} of case {active.case_id!r} is for the role {item.role!r}; {by!r} {has}."
            raise WorkItemTaken(text, run_id=active.run_id)
        wanted = Offer(active, step, item, active.state.variables_of(step.id)).assignee
        if wanted is not None and wanted != by and not item.late:
            text = f"Work item {step.node!r} of case {active.case_id!r} is meant for {wanted!r}."
            raise WorkItemTaken(text, run_id=active.run_id)

    def _take(self, active: Active, step: Step, item: Item, by: str) -> None:
        active.items[step.id] = replace(item, by=by)
        self._note(active, step, CLAIMED, by)
        if step.status is not StepStatus.RUNNING:
            active.doers[step.id] = by
            self._core._agenda.append((active.run_id, StepStarted(step.id)))

    def _found(self, run_id: str, step_id: str, by: str) -> tuple[Active, Step, Item]:
        active = self._core.active.get(run_id)
        item = None if active is None else active.items.get(step_id)
        if active is None or item is None or step_id not in active.state.steps:
            text = f"There is no open work item {run_id}/{step_id}: it has ended, or does not exist."
            raise WorkItemNotFound(text, run_id=run_id)
        step = active.state.steps[step_id]
        if item.by is not None and item.by != by:
            text = f"Work item {step.node!r} of case {active.case_id!r} has been claimed by {item.by!r}."
            raise WorkItemTaken(text, run_id=run_id)
        return active, step, item

    def _note(
        self, active: Active, step: Step, status: str, by: str | None, payload: Mapping[str, Any] | None = None
    ) -> None:
        attempt = step.attempt + (step.status is StepStatus.RETRYING)
        self._core._row(active, Record(Kind.WORK_ITEM, status, step.node, step.id, attempt, None, payload, by))


def item_of_row(workflow: Workflow, row: Row, payload: Mapping[str, Any], item: Item | None) -> Item | None:
    """Return what a row of the history makes of a step's work item."""
    if row.kind == Kind.WORK_ITEM:
        item = item or Item(row.occurred_at / 1e6)
        match row.status:
            case "CLAIMED":
                return replace(item, by=row.resource)
            case "RELEASED":
                return replace(item, by=None)
            case _:
                return replace(item, late=True, role=payload.get("role", item.role))
    node = workflow.node(row.node) if row.node is not None else None
    if not isinstance(node, Task) or node.executor != HUMAN:
        return None
    match row.status:
        case "PENDING":
            return Item(row.occurred_at / 1e6, node.role)
        case "RETRYING":
            return Item(row.occurred_at / 1e6 + payload.get("delay_s", 0.0), node.role)
        case "RUNNING":
            return item or Item(row.occurred_at / 1e6, node.role)
        case _:
            return None
