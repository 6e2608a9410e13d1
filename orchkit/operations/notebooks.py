"""Notebooks with parameters: run, checked first, and recorded where an engine is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchkit.engine import Engine, Run
from orchkit.errors import InputError, PermanentError
from orchkit.executors.notebook import check_parameters, run_parameterized
from orchkit.model import task
from orchkit.model import workflow as workflow_of

__all__ = ["NotebookRun", "run_notebook"]


@dataclass(frozen=True, slots=True)
class NotebookRun:
    """A notebook that was run.

    Attributes
    ----------
    output
        The notebook's file with the outputs of its cells.
    result
        The last JSON that a cell displayed, or None.
    run
        The run in the engine's history, if an engine was given.
    """

    output: Path
    result: Any
    run: Run | None = None


def run_notebook(
    path: str | Path,
    output: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    engine: Engine | None = None,
    case_id: str | None = None,
) -> NotebookRun:
    """Run a notebook with parameters, and return its result.

    Parameters
    ----------
    path
        The notebook. It is not changed.
    output
        Where to write the notebook with its outputs; by default beside it, with ``-run`` after its name.
    parameters
        Values for the cell with the tag ``parameters``. One that the notebook does not have is refused before anything
        runs.
    engine
        Records the execution: as a run of a workflow of the notebook's name, with one task.
    case_id
        Of that run. Without one, each execution is a case of its own.

    Raises
    ------
    InputError
        The notebook does not have such a parameter.
    PermanentError
        There is no such notebook, or a cell failed: the output has all up to there.
    RunFailed
        The same, if an engine records it.
    """
    source = Path(path)
    target = Path(output) if output is not None else source.with_name(f"{source.stem}-run.ipynb")
    values = dict(parameters or {})
    try:
        check_parameters(source, values)
    except PermanentError as error:
        if source.is_file():
            raise InputError(str(error)) from error
        raise
    if engine is None:
        found = run_parameterized(source, target, values)
        return NotebookRun(target, found["result"])
    name = "".join(char if char.isalnum() else "_" for char in source.stem)
    settings = {"path": "${path}", "output": "${output}", "parameters": "${parameters}"}
    notebook = workflow_of(name, [task("notebook", executor="notebook", settings=settings)])
    inputs = {"path": str(source), "output": str(target), "parameters": values}
    run = engine.run(notebook, inputs, case_id=case_id).raise_for_status()
    return NotebookRun(target, run.variables["notebook"]["result"], run)
