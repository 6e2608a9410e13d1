"""What an executor is given and what it must be able to do."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchkit.errors import MissingExtraError, WorkflowError, nearest
from orchkit.model.nodes import Task
from orchkit.trace_context import span_of, traceparent

__all__ = ["Attempt", "TaskExecutor", "extra", "settings_problem"]


def _no_heartbeat() -> None:
    """Do nothing: nobody listens."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a step.

    Attributes
    ----------
    task
        The node.
    run_id, case_id, workflow, step_id, attempt
        Which try of what; ``attempt`` counts from 1.
    variables
        What the step sees; not to be changed.
    idempotency_key
        The same for every attempt and after every recovery.
    systems, secrets
        Base URLs and secrets by name, for settings such as ``${systems.crm}``.
    heartbeat
        To be called by long work at least every ``task.heartbeat_s``.
    trace_id
        Of the trace that the run belongs to.
    """

    task: Task
    run_id: str
    case_id: str
    workflow: str
    step_id: str
    attempt: int
    variables: Mapping[str, Any]
    idempotency_key: str
    systems: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    heartbeat: Callable[[], None] = _no_heartbeat
    trace_id: str = ""

    @property
    def traceparent(self) -> str | None:
        """The header that says on whose behalf this is done, as W3C has it."""
        return traceparent(self.trace_id, span_of(self.run_id, self.step_id, self.attempt)) if self.trace_id else None

    @property
    def names(self) -> dict[str, Any]:
        """The names that expressions in settings see: variables, ``systems``, ``secrets`` and ``run``."""
        run = {"id": self.run_id, "case_id": self.case_id, "workflow": self.workflow, "step_id": self.step_id}
        return {"systems": self.systems, "secrets": self.secrets, "run": run, **self.variables}


class TaskExecutor(Protocol):
    """Does the work of tasks."""

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        ...

    def prepare(self, attempt: Attempt) -> Callable[[], Any] | Callable[[], Awaitable[Any]]:
        """Return the work, bound to its arguments; a coroutine function's runs on the engine's event loop."""
        ...


def settings_problem(task: Task, *, required: Iterable[str] = (), known: Iterable[str]) -> WorkflowError | None:
    """Return what is wrong with the names of a task's settings, or None.

    Examples
    --------
    >>> task = Task(name="tell", executor="email", settings={"too": "ada@example.org"})
    >>> print(settings_problem(task, known={"to", "subject"}))
    Task 'tell' (email): unknown setting 'too'. Did you mean 'to'? Known: subject, to.
    """
    where = f"Task {task.name!r} ({task.executor})"
    names = sorted(known)
    for name in task.settings:
        if name not in names:
            hint = nearest(name, names)
            message = f"{where}: unknown setting {name!r}.{hint} Known: {', '.join(names)}."
            return WorkflowError(message, node=task.name)
    for name in required:
        if name not in task.settings:
            return WorkflowError(f"{where} has no setting {name!r}.", node=task.name)
    return None


def extra(module: str, name: str) -> Any:  # noqa: ANN401 -- a module
    """Import an optional library.

    Parameters
    ----------
    module
        What to import.
    name
        The extra that installs it.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        message = f"{module} is not installed: pip install 'orchkit-notebooks[{name}]'."
        raise MissingExtraError(message) from error
