"""Human tasks: work items, which people claim and complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchkit.errors import InputError, WorkflowError
from orchkit.executors.base import Attempt, settings_problem
from orchkit.model.nodes import Task
from orchkit.units import seconds

__all__ = ["HumanExecutor", "checked_form"]

_SETTINGS = frozenset({"form", "title", "instructions", "data", "assignee", "due", "escalate_to"})


class HumanExecutor:
    """Offers a work item to people; the result is what they fill in.

    Settings: ``form`` (a JSON Schema that the data must meet), ``title``, ``instructions``, ``data`` (what is shown)
    and ``assignee`` (the only one who may claim it until it is overdue), all templates but the form; ``due`` (a
    duration from the offer on, after which the item is overdue) and ``escalate_to`` (the role that has it then). The
    task's ``role`` is who may do it. Its ``timeout`` counts from the offer on. See `orchkit.Engine.work_items`.
    """

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be offered, or None."""
        problem = settings_problem(task, known=_SETTINGS)
        if problem is not None:
            return problem
        where = f"Task {task.name!r} (human)"
        try:
            if "due" in task.settings:
                seconds(task.settings["due"])
        except ValueError as error:
            return WorkflowError(f"{where}: due: {error}", node=task.name)
        return _form_problem(task, where)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Refuse: people do this, not a worker."""
        message = f"Task {attempt.task.name!r} is a person's: engine.work_items() lists it."
        raise WorkflowError(message, node=attempt.task.name)


def _form_problem(task: Task, where: str) -> WorkflowError | None:
    form = task.settings.get("form")
    if form is None:
        return None
    import jsonschema  # noqa: PLC0415 -- heavy: its checkers of formats build grammars

    if not isinstance(form, Mapping):
        return WorkflowError(f"{where}: form must be a JSON Schema, not {form!r}.", node=task.name)
    try:
        jsonschema.Draft202012Validator.check_schema(form)
    except jsonschema.SchemaError as error:
        return WorkflowError(f"{where}: form is not a JSON Schema: {error.message}", node=task.name)
    return None


def checked_form(task: Task, data: Any) -> Any:  # noqa: ANN401 -- JSON
    """Return the data of a form, which must meet its schema.

    Raises
    ------
    InputError
        It does not; the text says where.

    Examples
    --------
    >>> form = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
    >>> checked_form(Task(name="approve", executor="human", settings={"form": form}), {"approved": True})
    {'approved': True}
    """
    form = task.settings.get("form")
    if form is None:
        return data
    import jsonschema  # noqa: PLC0415 -- as above
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    error = best_match(jsonschema.Draft202012Validator(form).iter_errors(data))
    if error is not None:
        where = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in error.absolute_path)
        message = f"Form of {task.name!r}{where}: {error.message}"
        raise InputError(message, node=task.name)
    return data
