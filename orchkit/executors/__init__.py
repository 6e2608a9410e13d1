"""Executors do a task's work: Python functions and HTTP calls."""

from orchkit.executors.base import Attempt, TaskExecutor
from orchkit.executors.classify import failure_of
from orchkit.executors.http import HttpExecutor
from orchkit.executors.python import PythonExecutor

__all__ = ["Attempt", "HttpExecutor", "PythonExecutor", "TaskExecutor", "failure_of"]
