"""Python tasks: handlers are plain or async functions that take variables by parameter name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from orchkit.errors import HandlerNotFound, PermanentError, WorkflowError, nearest
from orchkit.executors.base import Attempt
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["Handler", "Handlers", "PythonExecutor", "Signature", "handlers_by_name", "signature_of"]

Handler = Callable[..., Any]
Handlers = Mapping[str, Handler] | Iterable[Handler] | ModuleType


def handlers_by_name(handlers: Handlers | None) -> dict[str, Handler]:
    """Return handlers by name, from a mapping, functions or a module.

    Examples
    --------
    >>> handlers_by_name([len])["len"]("four")
    4
    """
    if handlers is None:
        return {}
    if isinstance(handlers, Mapping):
        found = dict(handlers)
    elif isinstance(handlers, ModuleType):
        found = {
            name: value
            for name, value in vars(handlers).items()
            if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == handlers.__name__
        }
    elif not isinstance(handlers, Iterable) or isinstance(handlers, str):
        message = f"Handlers are a list of functions, a mapping from name, or a module, not {handlers!r}."
        raise WorkflowError(message)
    else:
        # mypy keeps the module type, which isinstance has excluded.
        found = {_own_name(handler): handler for handler in cast("Iterable[Handler]", handlers)}
    for name, handler in found.items():
        if not callable(handler):
            message = f"The handler of {name!r} is {handler!r}, which cannot be called."
            raise WorkflowError(message)
    return found


def _own_name(handler: Handler) -> str:
    name = getattr(handler, "__name__", "<lambda>")
    if name == "<lambda>":
        message = f"{handler!r} has no name of its own: give handlers as a mapping, name to function."
        raise WorkflowError(message)
    return str(name)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler takes: parameters that it must be given, others, and whether it takes all variables."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    takes_all: bool


@functools.lru_cache(maxsize=4096)
def signature_of(handler: Handler) -> Signature:
    """Return what a handler takes, by name; nothing where Python does not tell."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return Signature((), (), takes_all=False)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Signature(
        tuple(p.name for p in named if p.default is p.empty),
        tuple(p.name for p in named if p.default is not p.empty),
        takes_all=any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


class PythonExecutor:
    """Calls the handler named by ``settings.handler``, or else by the task.

    A handler gets the variables that its parameters name. ``idempotency_key``, ``attempt``, ``case_id``,
    ``run_id``, ``heartbeat`` and ``error`` may be taken as well; ``settings.arguments`` gives others.
    """

    def __init__(self, handlers: Handlers | None = None) -> None:
        self.handlers = handlers_by_name(handlers)

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        name = _name_of(task)
        if name in self.handlers:
            return None
        hint = nearest(name, self.handlers) or " Pass it: Engine(handlers=[…])."
        return HandlerNotFound(f"Task {task.name!r} has no handler {name!r}.{hint}")

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the handler, bound to its arguments."""
        problem = self.problem_with(attempt.task)
        if problem is not None:
            raise problem
        handler = self.handlers[_name_of(attempt.task)]
        return functools.partial(handler, **_arguments(handler, attempt))


def _name_of(task: Task) -> str:
    return str(task.settings.get("handler", task.name))


def _arguments(handler: Handler, attempt: Attempt) -> dict[str, Any]:
    signature = signature_of(handler)
    given = attempt.task.settings.get("arguments")
    if given is not None:
        chosen = {name: render(value, attempt.names) for name, value in given.items()}
    elif signature.takes_all:
        chosen = dict(attempt.variables)
    else:
        chosen = {}
    about = {
        "idempotency_key": attempt.idempotency_key,
        "attempt": attempt.attempt,
        "case_id": attempt.case_id,
        "run_id": attempt.run_id,
        "heartbeat": attempt.heartbeat,
    }
    for name in (*signature.required, *signature.optional):
        if name in chosen:
            continue
        if name in attempt.variables:
            chosen[name] = attempt.variables[name]
        elif name in about:
            chosen[name] = about[name]
        elif name in signature.required:
            hint = nearest(name, attempt.variables)
            message = f"The handler of {attempt.task.name!r} takes {name!r}, but there is no such variable.{hint}"
            raise PermanentError(message)
    # A handler may change what it gets; the state of the run must not change with it.
    return {name: _copied(value) for name, value in chosen.items()}


def _copied(value: Any) -> Any:  # noqa: ANN401 -- a JSON value
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
