"""Executors do a task's work: functions, requests, commands, statements, messages, notebooks, robots, models."""

from orchkit.executors.base import Attempt, TaskExecutor
from orchkit.executors.classify import failure_of
from orchkit.executors.http import HttpExecutor
from orchkit.executors.python import PythonExecutor
from orchkit.executors.standard import standard_executors

__all__ = ["Attempt", "HttpExecutor", "PythonExecutor", "TaskExecutor", "failure_of", "standard_executors"]
