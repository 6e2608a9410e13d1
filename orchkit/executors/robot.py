"""Robot tasks: a Robot Framework suite as a bot."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchkit.errors import PermanentError
from orchkit.executors.base import Attempt, extra, settings_problem
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["RobotExecutor"]

_SETTINGS = frozenset({"suite", "variables", "test", "output"})
_WRONG_USE = 250  # Robot Framework: codes up to 250 count failures, above are faults of the call


class RobotExecutor:
    """Runs a suite in a process of its own; the result has ``passed``, ``failed``, ``log`` and ``report``.

    Settings: ``suite`` (a file or folder), ``variables`` (a mapping), ``test`` (only this one), ``output`` (the folder
    for ``log.html``, ``report.html`` and ``output.xml``; each attempt gets a folder of its own in it). A failed test is
    a permanent error that names the test and says where the log is. The extra ``robot`` installs what it needs.
    """

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=["suite"], known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the bot, ready to go."""
        settings = dict(render(dict(attempt.task.settings), attempt.names))
        folder = Path(str(settings.get("output") or tempfile.gettempdir()))
        name = f"{attempt.run_id}-{attempt.step_id.replace('#', '-')}-{attempt.attempt}"
        return functools.partial(_run, settings, folder / name, attempt.task.timeout_s)


def _run(settings: Mapping[str, Any], folder: Path, timeout_s: float | None) -> dict[str, Any]:
    robot = extra("robot.api", "robot")
    suite = Path(str(settings["suite"]))
    if not suite.exists():
        message = f"There is no suite {suite}."
        raise PermanentError(message)
    command = [sys.executable, "-m", "robot", "--outputdir", str(folder), "--consolecolors", "off"]
    for key, value in dict(settings.get("variables", {})).items():
        command += ["--variable", f"{key}:{value}"]
    if "test" in settings:
        command += ["--test", str(settings["test"])]
    try:
        ended = subprocess.run(  # noqa: S603 -- the author of the workflow says what is run
            [*command, str(suite)], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f"{suite} took longer than {timeout_s} s."
        raise TimeoutError(message) from error
    if ended.returncode > _WRONG_USE:
        message = f"{suite} could not be run: {(ended.stderr or ended.stdout).strip()[-500:]}"
        raise PermanentError(message)
    tests = list(robot.ExecutionResult(folder / "output.xml").suite.all_tests)
    failed = [test for test in tests if test.status == "FAIL"]
    if failed:
        message = f"{len(failed)} of {len(tests)} failed; {failed[0].name}: {failed[0].message} ({folder / 'log.html'})"
        raise PermanentError(message)
    found = {"log": str(folder / "log.html"), "report": str(folder / "report.html")}
    return {"passed": sum(test.status == "PASS" for test in tests), "failed": 0, **found}
