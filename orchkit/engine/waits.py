"""The core's part in waits: callbacks, which may come before their wait opens, and events, for those that wait now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from orchkit.engine.messages import Active, CompleteWait, Publish
from orchkit.errors import ExpressionError, WaitNotFound, nearest
from orchkit.events import (
    CallbackReceived,
    Event,
    Failure,
    Kind,
    OpenWait,
    Record,
    StepFailed,
)
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.expressions import parse
from orchkit.model.nodes import Wait, WaitKind

if TYPE_CHECKING:
    from orchkit.engine.core import Core

__all__ = ["Waits"]


class Waits:
    """Who waits for what. A timer's wait is the core's own business."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_event: dict[str, set[tuple[str, str]]] = {}

    def open(self, active: Active, command: OpenWait) -> None:
        """Open a wait; what came before it completes it at once."""
        active.waits[command.step_id] = command
        if command.kind is WaitKind.EVENT:
            self._by_event.setdefault(command.subject, set()).add((active.run_id, command.step_id))
        elif active.mailbox.get(command.subject):
            payload = active.mailbox[command.subject].popleft()
            self._core._agenda.append((active.run_id, _outcome(command.step_id, payload)))

    def close(self, active: Active, step_id: str) -> None:
        """Close a wait, if it is one."""
        wait = active.waits.pop(step_id, None)
        if wait is not None and wait.kind is WaitKind.EVENT:
            self._forget(wait.subject, active.run_id, step_id)

    def close_all(self, active: Active) -> None:
        """Close the waits of a run that has ended."""
        for step_id in list(active.waits):
            self.close(active, step_id)

    def complete(self, message: CompleteWait) -> None:
        """Complete a callback, or keep it, durably, until its wait opens.

        Raises
        ------
        RunNotFound, WaitNotFound
            There is no such run, or it has no such callback.
        """
        active = self._core._found(message.run_id)
        content = message.failure or message.payload
        for step_id, wait in active.waits.items():
            live = step_id in active.state.steps and wait.kind is WaitKind.CALLBACK
            if live and message.name in (wait.subject, active.state.steps[step_id].node):
                self._core._agenda.append((active.run_id, _outcome(step_id, content)))
                return
        names = _callbacks_of(active.workflow)
        if message.name not in names and not any("${" in name for name in names):
            hint = nearest(message.name, names)
            text = f"Run {message.run_id!r} of {active.workflow.name!r} has no callback {message.name!r}.{hint}"
            raise WaitNotFound(text, run_id=message.run_id)
        active.mailbox.setdefault(message.name, deque()).append(content)
        payload = {"subject": message.name, "output": message.payload}
        self._core._row(active, Record(Kind.CALLBACK, "RECEIVED", payload=payload, failure=message.failure))

    def is_awaited(self, message: Publish) -> bool:
        """Return whether a run waits for an event now."""
        for run_id, step_id in self._by_event.get(message.name, ()):
            active = self._core.active.get(run_id)
            if active is not None and step_id in active.state.steps and _matches(active, step_id, message.payload):
                return True
        return False

    def publish(self, message: Publish) -> list[str]:
        """Give an event to the runs that wait for it, and return them."""
        taken: list[str] = []
        for run_id, step_id in sorted(self._by_event.get(message.name, ())):
            active = self._core.active.get(run_id)
            if active is None or step_id not in active.state.steps:
                self._forget(message.name, run_id, step_id)
            elif _matches(active, step_id, message.payload):
                self._core._agenda.append((run_id, CallbackReceived(step_id, message.payload)))
                taken.append(run_id)
        return taken

    def _forget(self, event: str, run_id: str, step_id: str) -> None:
        waiting = self._by_event.get(event)
        if waiting is not None:
            waiting.discard((run_id, step_id))
            if not waiting:  # a name may be made of a case's id, and there are many of those
                del self._by_event[event]


def _matches(active: Active, step_id: str, payload: Any) -> bool:  # noqa: ANN401 -- JSON
    match = active.waits[step_id].match
    if match is None:
        return True
    try:
        return bool(parse(match).evaluate({**active.state.variables_of(step_id), "event": payload}))
    except ExpressionError:
        return False  # an event of another shape is not the one that is waited for


def _outcome(step_id: str, content: Any) -> Event:  # noqa: ANN401 -- JSON, or a Failure
    if isinstance(content, Failure):
        return StepFailed(step_id, content)
    return CallbackReceived(step_id, content)


def _callbacks_of(workflow: Workflow) -> list[str]:
    return [
        name
        for node in all_nodes(workflow)
        if isinstance(node, Wait) and node.kind is WaitKind.CALLBACK
        for name in {node.subject or node.name, node.name}
    ]
