"""Shell tasks: one command, without a shell between."""

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from orchkit.errors import PermanentError, TransientError
from orchkit.executors.base import Attempt, settings_problem
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["ShellExecutor"]

_SETTINGS = frozenset({"command", "cwd", "env", "input", "parse", "transient_codes"})
_MAX_TEXT = 1_000_000
_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


class ShellExecutor:
    """Runs the command of a task's settings; the result has ``code``, ``stdout`` and ``stderr``.

    Settings: ``command`` (a list of words, or a text that is split as a shell would, before values are filled in, so
    that a value is never more than a word), ``cwd``, ``env`` (added to the engine's), ``input`` (text), ``parse``
    (``json``: the result is what the command wrote), ``transient_codes`` (default 75, EX_TEMPFAIL). Another exit code
    than 0 is permanent. The command and its children are killed at the task's timeout. The variable
    ``ORCHKIT_IDEMPOTENCY_KEY`` is the same for every attempt.
    """

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=["command"], known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the command, ready to be run."""
        settings = dict(attempt.task.settings)
        given = settings.pop("command")
        words = shlex.split(given) if isinstance(given, str) else list(given)
        settings = dict(render(settings, attempt.names))
        command = [str(word) for word in render(words, attempt.names)]
        own = {"ORCHKIT_IDEMPOTENCY_KEY": attempt.idempotency_key}
        env = {str(key): str(value) for key, value in settings.get("env", {}).items()}
        return functools.partial(_run, command, {**os.environ, **env, **own}, settings, attempt.task.timeout_s)


def _run(command: list[str], env: Mapping[str, str], settings: Mapping[str, Any], timeout_s: float | None) -> Any:  # noqa: ANN401 -- JSON
    try:
        process = subprocess.Popen(  # noqa: S603 -- the author of the workflow says what is run
            command,
            cwd=settings.get("cwd"),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        message = f"{command[0]} cannot be run: {error.strerror}."
        raise PermanentError(message) from error
    try:
        out, err = process.communicate(settings.get("input"), timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        message = f"{command[0]} took longer than {timeout_s} s."
        raise TimeoutError(message) from error
    finally:
        _kill(process)
    if process.returncode:
        message = f"{command[0]} ended with code {process.returncode}: {(err or out).strip()[-500:]}"
        again = settings.get("transient_codes", [_TRY_AGAIN])
        raise TransientError(message) if process.returncode in again else PermanentError(message)
    if settings.get("parse") == "json":
        try:
            return json.loads(out)
        except ValueError as error:
            message = f"{command[0]} wrote no JSON: {error}"
            raise PermanentError(message) from error
    return {"code": 0, "stdout": out[:_MAX_TEXT], "stderr": err[:_MAX_TEXT]}


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a command that still runs, with all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
