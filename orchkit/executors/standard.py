"""The executors that every engine has, by name."""

from __future__ import annotations

from orchkit.executors.ai import AiExecutor
from orchkit.executors.base import TaskExecutor
from orchkit.executors.email import EmailExecutor
from orchkit.executors.event import EventExecutor
from orchkit.executors.http import HttpExecutor
from orchkit.executors.human import HumanExecutor
from orchkit.executors.notebook import NotebookExecutor
from orchkit.executors.python import Handlers, PythonExecutor
from orchkit.executors.queue import QueueExecutor
from orchkit.executors.robot import RobotExecutor
from orchkit.executors.shell import ShellExecutor
from orchkit.executors.sql import SqlExecutor

__all__ = ["standard_executors"]


def standard_executors(handlers: Handlers | None = None) -> dict[str, TaskExecutor]:
    """Return new executors by name; what they need beyond the core is imported when a task needs it.

    Examples
    --------
    >>> sorted(standard_executors())
    ['ai', 'email', 'event', 'http', 'human', 'notebook', 'python', 'queue', 'robot', 'shell', 'sql']
    """
    return {
        "python": PythonExecutor(handlers),
        "http": HttpExecutor(),
        "shell": ShellExecutor(),
        "sql": SqlExecutor(),
        "email": EmailExecutor(),
        "notebook": NotebookExecutor(),
        "robot": RobotExecutor(),
        "ai": AiExecutor(),
        "human": HumanExecutor(),
        "event": EventExecutor(),
        "queue": QueueExecutor(),
    }
