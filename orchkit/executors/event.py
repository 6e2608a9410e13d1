"""Event tasks: an event is published, for runs that wait for it and for workflows that it starts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from orchkit.errors import WorkflowError
from orchkit.executors.base import Attempt, settings_problem
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["EventExecutor"]


class Publish(Protocol):
    """What publishes: the engine."""

    def __call__(self, event: str, payload: Any, message_id: str, source: tuple[str, str]) -> int:  # noqa: ANN401
        """Publish an event, once for each message id, and return how many runs took it."""
        ...


class EventExecutor:
    """Publishes the event ``settings.event`` with ``settings.payload``; the result is how many runs took it.

    Workflows that only know each other's events are choreographed so. A step publishes once, however often it is
    attempted: its idempotency key is the id of the message. The runs that it starts belong to the trace of its own.
    """

    def __init__(self, publish: Publish | None = None) -> None:
        self.publish = publish

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=["event"], known={"event", "payload"})

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the publication, bound to its event."""
        if self.publish is None:
            message = f"Task {attempt.task.name!r} publishes an event, which only an engine can."
            raise WorkflowError(message, node=attempt.task.name)
        settings = render(dict(attempt.task.settings), attempt.names)
        source = (attempt.run_id, attempt.step_id)
        return functools.partial(
            self.publish, str(settings["event"]), settings.get("payload"), attempt.idempotency_key, source
        )
