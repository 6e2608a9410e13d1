"""Rules about what starts runs: settings that make no sense, moments that never come, names that are not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchkit.checks.rulebook import found
from orchkit.errors import ExpressionError, WorkflowError, nearest
from orchkit.model.expressions import names_in, parse
from orchkit.model.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchkit.checks.report import Issue
    from orchkit.model.definition import Trigger, Workflow

__all__ = ["trigger_issues"]

_SCHEDULE = "schedule"
# Of each kind, the settings that it knows, and the one of them that it cannot do without.
_KINDS = {
    "manual": ((), None),
    "event": (("event", "name", "match", "case", "inputs"), "event"),
    "queue": (("subject", "event", "match", "case", "inputs"), "subject"),
    "webhook": (("name", "secret", "event", "callback", "match", "case", "inputs"), "secret"),
}


def trigger_issues(workflow: Workflow) -> Iterator[Issue]:
    """Yield what is wrong with the triggers of a workflow."""
    for number, trigger in enumerate(workflow.triggers):
        where = f"Trigger {number + 1} ({trigger.kind})"
        if trigger.kind == _SCHEDULE:
            yield from _of_schedule(workflow, trigger, where)
        elif trigger.kind in _KINDS:
            yield from _of_event(workflow, trigger, where)
        else:
            known = [_SCHEDULE, *_KINDS]
            hint = nearest(trigger.kind, known) or f" Known: {', '.join(known)}."
            yield found("unknown_trigger", "", f"{where}: orchkit has no trigger of the kind {trigger.kind!r}.{hint}")


def _of_schedule(workflow: Workflow, trigger: Trigger, where: str) -> Iterator[Issue]:
    try:
        schedule = Schedule.from_settings(trigger.settings, workflow.name)
    except (WorkflowError, TypeError) as error:
        yield found("bad_trigger", "", f"{where}: {error}")
        return
    if schedule.next_due(0.0) is None:
        yield found("never_due", "", f"{where}: no run is ever due by {schedule.when}.")
    yield from _inputs(workflow, schedule.inputs, {"schedule"}, where)


def _of_event(workflow: Workflow, trigger: Trigger, where: str) -> Iterator[Issue]:
    known, required = _KINDS[trigger.kind]
    settings = trigger.settings
    for name in settings:
        if name not in known:
            yield found("bad_trigger", "", f"{where}: there is no setting {name!r}.{nearest(str(name), known)}")
    if required is not None and required not in settings and not (required == "event" and "name" in settings):
        yield found("bad_trigger", "", f"{where}: the setting {required!r} is missing.")
    if trigger.kind == "manual" or "callback" in settings:
        return
    if settings.get("match") is not None:
        try:
            yield from _strangers(parse(str(settings["match"])).names, {"event"}, f"{where}: match")
        except ExpressionError as error:
            yield found("bad_trigger", "", f"{where}: match: {error.message}")
    if settings.get("case") is not None:
        yield from _names(settings["case"], {"event"}, f"{where}: case")
    # Where nothing is mapped, the input `event` is the payload.
    yield from _inputs(workflow, settings.get("inputs") or {"event": "${event}"}, {"event"}, where)


def _inputs(workflow: Workflow, given: object, seen: set[str], where: str) -> Iterator[Issue]:
    """Yield templates that read what is not there, inputs that the workflow has not, and those that it misses."""
    if not isinstance(given, Mapping):
        yield found("bad_trigger", "", f"{where}: inputs is a mapping from input to value.")
        return
    for name, value in given.items():
        yield from _names(value, seen, f"{where}: inputs.{name}")
        if workflow.inputs and name not in workflow.inputs:
            hint = nearest(str(name), workflow.inputs) or f" Inputs: {', '.join(workflow.inputs)}."
            yield found("trigger_inputs", "", f"{where}: the workflow has no input {name!r}.{hint}")
    for name, schema in workflow.inputs.items():
        if name not in given and not (isinstance(schema, Mapping) and "default" in schema):
            yield found("trigger_inputs", "", f"{where}: the input {name!r} is missing, and has no default.")


def _names(value: Any, seen: set[str], where: str) -> Iterator[Issue]:  # noqa: ANN401 -- a JSON value
    try:
        yield from _strangers(names_in(value), seen, where)
    except ExpressionError as error:
        yield found("bad_trigger", "", f"{where}: {error.message}")


def _strangers(names: tuple[str, ...] | frozenset[str], seen: set[str], where: str) -> Iterator[Issue]:
    for name in sorted(set(names) - seen):
        yield found("bad_trigger", "", f"{where} reads {name!r}; it sees only {' and '.join(sorted(seen))}.")
