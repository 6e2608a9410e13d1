"""Every error that orchkit raises, one tree.

::

    OrchkitError
    ├── WorkflowError (ValueError)          a definition that makes no sense
    │   ├── WorkflowFileError               … in a file: path, line, column
    │   ├── ExpressionError                 an expression that cannot be parsed or evaluated
    │   └── InputError                      an input that does not fit, such as that of a run
    ├── UnsafeWorkflowError                 a second token reached a node that is still busy
    ├── InvalidTransitionError (RuntimeError)   a state change that the table of states forbids
    ├── CheckError (ValueError)             a report with errors, raised on request
    ├── TaskError                           what a handler raises to say how an error is meant
    │   ├── TransientError                  worth another attempt
    │   ├── PermanentError                  fail at once
    │   └── PartialError                    some items failed
    ├── RunError (RuntimeError)             a run that cannot do what was asked of it
    │   ├── RunNotFound (KeyError)
    │   ├── RunFailed                       a run ended in another state than COMPLETED
    │   ├── ScheduleNotFound (KeyError)
    │   ├── MessageNotFound (KeyError)      no dead message of that id
    │   ├── WaitNotFound (KeyError)         no open callback of that name
    │   ├── WorkItemNotFound (KeyError)     no open work item of that id
    │   └── WorkItemTaken                   somebody else has claimed it
    ├── HandlerNotFound (KeyError)          a Python task without its function
    ├── EngineClosed (RuntimeError)
    ├── LogError (ValueError)               a frame that is not an event log
    ├── ScenarioError (ValueError)          assumptions that make no sense, or do not fit the workflow
    ├── StoreError (OSError)                the DuckDB file
    │   ├── StoreLocked                     another process owns it
    │   ├── StoreFull                       no space left
    │   ├── StoreCorrupt                    not a readable store
    │   └── StoreTooNew                     written by a newer orchkit
    ├── ServiceError (ConnectionError)      a service that cannot be reached, or refuses a request
    ├── QueryError (ValueError)             SQL that is refused, or that DuckDB cannot answer
    ├── SecretError (ValueError)            a secret that cannot be used, or not be kept out of texts
    ├── SignatureError (ValueError)         a signature that is missing, stale, forged or replayed
    ├── RenderError (RuntimeError)          Graphviz is missing, failed or took too long
    └── MissingExtraError (ImportError)     an optional library is not installed
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CheckError",
    "EngineClosed",
    "ExpressionError",
    "HandlerNotFound",
    "InputError",
    "InvalidTransitionError",
    "LogError",
    "MessageNotFound",
    "MissingExtraError",
    "OrchkitError",
    "PartialError",
    "PermanentError",
    "QueryError",
    "RenderError",
    "RunError",
    "RunFailed",
    "RunNotFound",
    "ScenarioError",
    "ScheduleNotFound",
    "SecretError",
    "ServiceError",
    "SignatureError",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreTooNew",
    "TaskError",
    "TransientError",
    "UnsafeWorkflowError",
    "WaitNotFound",
    "WorkItemNotFound",
    "WorkItemTaken",
    "WorkflowError",
    "WorkflowFileError",
    "nearest",
]


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint such as ``" Did you mean 'ship'?"``, or nothing where no name is near.

    Examples
    --------
    >>> nearest("shp", ["ship", "pay"])
    " Did you mean 'ship'?"
    >>> nearest("zzz", ["ship", "pay"])
    ''
    """
    found = difflib.get_close_matches(name, [str(known) for known in names], n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


class OrchkitError(Exception):
    """Base of all errors of orchkit."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        # KeyError would show the repr of its argument.
        return self.message


class WorkflowError(OrchkitError, ValueError):
    """A definition makes no sense; ``node`` names the place, if there is one."""

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class WorkflowFileError(WorkflowError):
    """A fault in a workflow file, with ``path``, ``line`` and ``column`` (both from 1)."""

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
        node: str | None = None,
    ) -> None:
        where = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{where}: {message}" if where else message, node=node)
        self.path, self.line, self.column = path, line, column


class ExpressionError(WorkflowError):
    """An expression cannot be parsed or evaluated; ``offset`` is the position in its text, from 0, if known."""

    def __init__(self, message: str, *, node: str | None = None, offset: int | None = None) -> None:
        super().__init__(message, node=node)
        self.offset = offset


class InputError(WorkflowError):
    """An input does not fit, such as that of a run to its workflow."""


class UnsafeWorkflowError(OrchkitError, RuntimeError):
    """A second token reached a node or a flow that still holds one."""


class InvalidTransitionError(OrchkitError, RuntimeError):
    """A change of state that is not in the table of legal transitions."""


class CheckError(OrchkitError, ValueError):
    """The check of a workflow found errors; the message lists them."""


class TaskError(OrchkitError):
    """What a handler raises to say how an error is meant."""


class TransientError(TaskError):
    """Worth another attempt; ``retry_after_s`` is the least delay that the target asked for."""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermanentError(TaskError):
    """Another attempt will not help: fail at once."""


class PartialError(TaskError):
    """Some items failed; ``failed`` holds them."""

    def __init__(self, message: str = "", *, failed: Iterable[object] = ()) -> None:
        super().__init__(message)
        self.failed = tuple(failed)


class RunError(OrchkitError, RuntimeError):
    """A run cannot do what was asked of it."""

    def __init__(self, message: str, *, run_id: str | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunNotFound(RunError, KeyError):
    """There is no run with that id."""


class RunFailed(RunError):
    """A run ended in another state than COMPLETED."""


class WaitNotFound(RunError, KeyError):
    """There is no open callback with that name."""


class ScheduleNotFound(RunError, KeyError):
    """There is no schedule with that name."""


class MessageNotFound(RunError, KeyError):
    """There is no dead message with that id."""


class WorkItemNotFound(RunError, KeyError):
    """There is no open work item with that id."""


class WorkItemTaken(RunError):
    """Somebody else has claimed the work item."""


class HandlerNotFound(OrchkitError, KeyError):
    """A Python task has no function."""


class EngineClosed(OrchkitError, RuntimeError):
    """The engine has been closed; nothing was accepted."""


class LogError(OrchkitError, ValueError):
    """Data is not an event log, or a log cannot answer what it was asked."""


class ScenarioError(OrchkitError, ValueError):
    """Assumptions make no sense, or do not fit the workflow; ``node`` names the place, if there is one."""

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class StoreError(OrchkitError, OSError):
    """The store cannot be used; ``path`` is its file."""

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class StoreLocked(StoreError):
    """Another process, or another engine of this one, owns the file."""


class StoreFull(StoreError):
    """There is no space left for the file."""


class StoreCorrupt(StoreError):
    """The file is not a store that can be read."""


class StoreTooNew(StoreError):
    """The file was written by a newer orchkit."""


class ServiceError(OrchkitError, ConnectionError):
    """A service cannot be reached, or refuses a request; ``status`` is HTTP's, ``kind`` the type of problem."""

    def __init__(self, message: str, *, status: int | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class QueryError(OrchkitError, ValueError):
    """A query is refused because it would change something, or DuckDB cannot answer it."""


class SecretError(OrchkitError, ValueError):
    """A secret that cannot be used, or not be kept out of texts."""


class SignatureError(OrchkitError, ValueError):
    """A signature that is not taken; ``reason`` is one of `orchkit.operations.signatures.Reason`."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class RenderError(OrchkitError, RuntimeError):
    """Graphviz is missing, failed or took too long."""


class MissingExtraError(OrchkitError, ImportError):
    """An optional library is not installed; the text names the extra."""
