"""Notebook tasks: a notebook with parameters, through papermill."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from orchkit.errors import PermanentError, nearest
from orchkit.executors.base import Attempt, settings_problem
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["NotebookExecutor", "check_parameters", "run_parameterized"]

_SETTINGS = frozenset({"path", "output", "parameters", "kernel"})
_JSON = "application/json"


class NotebookExecutor:
    """Runs a notebook; the result has ``output`` (the file with the outputs) and ``result``.

    Settings: ``path``, ``output`` (default: beside it, with the case and the attempt in its name), ``parameters``,
    ``kernel``. ``result`` is the last JSON that a cell displays (``display(JSON({…}))``), or null. Parameters that the
    notebook does not have are refused before anything runs; an error in a cell is permanent.
    """

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=["path"], known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the notebook, ready to be run."""
        settings = dict(render(dict(attempt.task.settings), attempt.names))
        path = Path(str(settings["path"]))
        name = f"{path.stem}-{attempt.run_id}-{attempt.attempt}.ipynb"
        output = Path(str(settings.get("output") or path.with_name(name)))
        timeout_s = attempt.task.timeout_s
        return functools.partial(
            run_parameterized, path, output, settings.get("parameters", {}), settings.get("kernel"), timeout_s
        )


def check_parameters(path: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that a notebook does not have.

    Raises
    ------
    PermanentError
        There is no such notebook, or it has no such parameter.
    """
    import papermill  # noqa: PLC0415 -- heavy

    if not path.is_file():
        message = f"There is no notebook {path}."
        raise PermanentError(message)
    _check_notebook(path)
    known = papermill.inspect_notebook(str(path))
    for name in parameters:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none: it has no cell with the tag 'parameters'"
            message = f"{path.name} has no parameter {name!r}.{nearest(name, known)} It has {listed}."
            raise PermanentError(message)


def _check_notebook(path: Path) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kernel = found["metadata"]["kernelspec"]["name"]
        problem = "" if isinstance(found["cells"], list) and isinstance(kernel, str) else "it has no list of cells"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        hint = "Open it in JupyterLab, choose a kernel and save it."
        message = f"{path.name} is not a notebook that can be run ({problem}). {hint}"
        raise PermanentError(message)


def run_parameterized(
    path: Path,
    output: Path,
    parameters: Mapping[str, Any],
    kernel: str | None = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Run a notebook with parameters that it has; return ``output`` and ``result``.

    Raises
    ------
    PermanentError
        There is no such file, a parameter is not the notebook's, or a cell failed: the output has all up to there.
    """
    import papermill  # noqa: PLC0415 -- heavy

    check_parameters(path, parameters)
    output.parent.mkdir(parents=True, exist_ok=True)
    work = functools.partial(
        papermill.execute_notebook,
        str(path),
        str(output),
        parameters=dict(parameters),
        kernel_name=kernel,
        progress_bar=False,
        execution_timeout=timeout_s,
    )
    try:
        # A thread of its own: the one that asks may have a running event loop, as in a notebook.
        with ThreadPoolExecutor(1) as thread:
            notebook = thread.submit(_with_loop, work).result()
    except papermill.PapermillExecutionError as error:
        message = f"Cell {error.exec_count} of {path.name} failed: {error.ename}: {error.evalue} ({output})"
        raise PermanentError(message) from error
    return {"output": str(output), "result": _result(notebook.cells)}


def _with_loop(work: Callable[[], Any]) -> Any:  # noqa: ANN401 -- what the work gives
    """Do work that leaves an event loop behind in its thread, and close that."""
    from jupyter_core.utils import ensure_event_loop  # noqa: PLC0415 -- heavy

    try:
        return work()
    finally:
        ensure_event_loop().close()


def _result(cells: list[Any]) -> Any:  # noqa: ANN401 -- JSON
    shown = [
        output["data"][_JSON] for cell in cells for output in cell.get("outputs", ()) if _JSON in output.get("data", {})
    ]
    return json.loads(json.dumps(shown[-1])) if shown else None
