"""The folder of a service: its workflows, and the functions of their Python tasks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from orchkit.engine import Engine
from orchkit.errors import InputError
from orchkit.model import Workflow, read_workflow

__all__ = ["deploy_files", "handlers_in", "workflows_in"]

_HANDLERS = "handlers.py"
_LAST = """
SELECT digest FROM history WHERE kind = 'deployment' AND case_id = ? AND resource = ? ORDER BY seq DESC LIMIT 1
"""


def workflows_in(folder: Path) -> dict[str, Workflow]:
    """Return the workflows of a folder's ``*.yaml``, by the name of the file.

    Raises
    ------
    InputError
        There is no such folder, or two files hold a workflow of the same name.
    WorkflowFileError
        A file that cannot be read.
    """
    if not folder.is_dir():
        message = f"There is no folder {str(folder)!r} with workflows."
        raise InputError(message)
    found = {path.name: read_workflow(path) for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".yml")}
    names: dict[str, str] = {}
    for file, workflow in found.items():
        first = names.setdefault(workflow.name, file)
        if first != file:
            message = f"{folder}: {first} and {file} both hold the workflow {workflow.name!r}: rename one."
            raise InputError(message)
    return found


def handlers_in(folder: Path) -> ModuleType | None:
    """Return the module ``handlers.py`` of a folder, or None if there is none.

    Raises
    ------
    InputError
        It cannot be loaded.
    """
    path = folder / _HANDLERS
    spec = importlib.util.spec_from_file_location("handlers", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        message = f"{path} cannot be loaded: {type(error).__name__}: {error}"
        raise InputError(message) from error
    return module


def deploy_files(engine: Engine, workflows: dict[str, Workflow]) -> None:
    """Make the files' workflows the current ones.

    A file that is what it was when it was last deployed does nothing: a version that was deployed over HTTP meanwhile
    stays the current one.
    """
    for file, workflow in workflows.items():
        by = f"file {file}"
        last = engine.sql(_LAST, [workflow.name, by])["digest"].tolist()
        if last != [workflow.digest]:
            engine.deploy(workflow, by=by)
