"""What starts runs from outside: the triggers of a workflow that are events, messages of a queue among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from orchkit.engine.doors import WEBHOOK, doors_of, settings_of_event
from orchkit.engine.inputs import checked_inputs
from orchkit.engine.messages import Publish
from orchkit.errors import WorkflowError, nearest
from orchkit.model.definition import Trigger, Workflow
from orchkit.model.expressions import parse, render
from orchkit.model.schedule import Schedule

__all__ = ["EVENT", "SCHEDULE", "Subscription", "asked_of", "check_triggers", "subjects_of"]

SCHEDULE, EVENT, QUEUE = "schedule", "event", "queue"


@dataclass(frozen=True, slots=True)
class Subscription:
    """An event that starts runs: of which the expression ``match`` holds over ``event``; the others are templates."""

    event: str
    match: str | None = None
    case: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str) -> Subscription:
        """Return the subscription of a trigger's settings."""
        known = [each.name for each in fields(cls)]
        for key in settings:
            if key not in known:
                message = (
                    f"{where}: an event trigger has no {key!r}.{nearest(str(key), known)} Known: {', '.join(known)}."
                )
                raise WorkflowError(message)
        if not isinstance(settings.get("event"), str):
            message = f"{where}: an event trigger needs the event's name: {{event: {{event: order_placed}}}}."
            raise WorkflowError(message)
        if settings.get("match") is not None:
            parse(str(settings["match"]))
        return cls(**settings)


def check_triggers(workflow: Workflow) -> tuple[list[Schedule], list[Subscription]]:
    """Return the schedules and subscriptions among a workflow's triggers; other kinds are others' business.

    Raises
    ------
    WorkflowError
        Settings that make no sense.
    """
    schedules: list[Schedule] = []
    subscriptions = []
    for trigger in workflow.triggers:
        where = f"workflow {workflow.name!r}"
        if trigger.kind == SCHEDULE:
            number = len(schedules)
            schedules.append(Schedule.from_settings(trigger.settings, workflow.name + (f"-{number}" if number else "")))
        elif trigger.kind == EVENT:
            subscriptions.append(Subscription.from_settings(_named(trigger), where))
        elif trigger.kind == WEBHOOK:
            settings = settings_of_event(trigger.settings) if list(doors_of(workflow)) else None
            if settings is not None:
                subscriptions.append(Subscription.from_settings(settings, where))
        elif trigger.kind == QUEUE:
            subscriptions.append(Subscription.from_settings(_heard(trigger, where), where))
    return schedules, subscriptions


def subjects_of(workflow: Workflow) -> dict[str, str]:
    """Return the subjects of queues among a workflow's triggers, each with the event that its messages are.

    Examples
    --------
    >>> trigger = Trigger("queue", {"subject": "orders.*", "event": "order"})
    >>> subjects_of(Workflow("order", triggers=(trigger,)))
    {'orders.*': 'order'}
    """
    queues = [trigger for trigger in workflow.triggers if trigger.kind == QUEUE]
    heard = [(trigger, _heard(trigger, f"workflow {workflow.name!r}")) for trigger in queues]
    return {str(trigger.settings["subject"]): str(settings["event"]) for trigger, settings in heard}


def _heard(trigger: Trigger, where: str) -> Mapping[str, Any]:
    """Return the settings of the event that the messages of a queue are: one of the subject's name by default."""
    settings = dict(trigger.settings)
    subject = settings.pop("subject", None)
    if not isinstance(subject, str) or not subject:
        message = (
            f"{where}: a queue trigger needs the subject that it listens to: {{queue: {{subject: orders.placed}}}}."
        )
        raise WorkflowError(message)
    settings.setdefault("event", subject)
    return settings


def _named(trigger: Trigger) -> Mapping[str, Any]:
    """Return the settings; an event's name may stand as ``name``."""
    settings = dict(trigger.settings)
    if "name" in settings:
        settings["event"] = settings.pop("name")
    return settings


def asked_of(
    workflow: Workflow, subscription: Subscription, message: Publish
) -> tuple[str | None, dict[str, Any]] | None:
    """Return the case and the inputs of the run that an event starts; None where it does not match."""
    seen = {"event": message.payload}
    if subscription.match is not None and not parse(subscription.match).evaluate(seen):
        return None
    case = message.message_id if subscription.case is None else str(render(subscription.case, seen))
    return case, checked_inputs(workflow, render(dict(subscription.inputs) or {"event": "${event}"}, seen))
