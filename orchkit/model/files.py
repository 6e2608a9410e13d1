"""Workflows as files: YAML, or JSON in the canonical form."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

from orchkit.errors import WorkflowError, WorkflowFileError, nearest
from orchkit.model.definition import Workflow, check_kind
from orchkit.model.located import MAX_CHARACTERS, locate
from orchkit.model.reader import new_budget, read_definition
from orchkit.model.writer import workflow_values
from orchkit.model.yaml_text import Tall, to_yaml

__all__ = ["read_workflow", "write_workflow"]

# How a workflow may be written, the best form first: the first that reads back as the same one is taken.
_FORMS = (
    workflow_values,
    partial(workflow_values, names=True),
    partial(workflow_values, steps=False),
    lambda workflow: Tall(workflow.to_record()),
)


def read_workflow(source: str | Path) -> Workflow:
    """Return the workflow of a YAML file, or of a text.

    Parameters
    ----------
    source
        A path; or the text itself, if it has a line break or begins with a brace. A file whose name ends with ``.json``
        holds the canonical form (`Workflow.to_json`). A called workflow that the file does not hold is read from
        ``<its name>.yaml`` beside it, if there is one.

    Raises
    ------
    WorkflowFileError
        The first fault, with path, line, column, what is expected and the nearest valid name. Aliases, tags, more
        than 10 MB and nesting deeper than 50 are refused.

    Examples
    --------
    >>> order = read_workflow('''
    ... workflow: order
    ... steps:
    ...   - task: validate
    ...   - parallel: [{task: update_crm}, {task: notify_warehouse}]
    ... ''')
    >>> [node.name for node in order.nodes]
    ['start', 'validate', 'parallel_1', 'update_crm', 'notify_warehouse', 'parallel_1_end', 'end']
    """
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return _read_text(source)
    if not isinstance(source, str | os.PathLike):
        message = f"Expected the path of a workflow's file, or its text, not {type(source).__name__}."
        raise WorkflowFileError(message)
    return _read_file(Path(source), (), new_budget())


def _read_text(text: str) -> Workflow:
    return read_definition(locate(text), lambda _name, _chain: None, (), new_budget())


def _read_file(path: Path, chain: tuple[str, ...], budget: list[int]) -> Workflow:
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        text = _checked_json(text, path)

    def find(name: str, around: tuple[str, ...]) -> Workflow | None:
        beside = path.parent / f"{name}.yaml"
        is_name = Path(name).name == name  # not a path that leads elsewhere
        return _read_file(beside, around, budget) if is_name and beside.is_file() else None

    return read_definition(locate(text, str(path)), find, chain, budget)


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CHARACTERS:
            message = f"The file is larger than {MAX_CHARACTERS // 1_000_000} MB: is it a workflow?"
            raise WorkflowFileError(message, path=str(path))
        raw = path.read_bytes()
    except FileNotFoundError:
        names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        message = f"There is no such file.{nearest(path.name, names)} A text instead of a path has a line break in it."
        raise WorkflowFileError(message, path=str(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"The file cannot be read: {reason}."
        raise WorkflowFileError(message, path=str(path)) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        message = f"The file is not UTF-8: byte 0x{raw[error.start]:02x}. Save it as UTF-8."
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise WorkflowFileError(message, path=str(path), line=line, column=column) from None


def _checked_json(text: str, path: Path) -> str:
    """Return a JSON text as one that YAML reads as well: it allows no tabs between values."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        message = f"This is not JSON: {error.msg}."
        raise WorkflowFileError(message, path=str(path), line=error.lineno, column=error.colno) from None
    except (RecursionError, ValueError) as error:
        message = f"This JSON cannot be read: {error}."
        raise WorkflowFileError(message, path=str(path)) from None
    return text.replace("\t", " ")


def write_workflow(workflow: Workflow, path: str | Path | None = None) -> str:
    """Return the YAML of a workflow, and write it to a file if a path is given.

    The text reads back as an equal workflow. It has steps where the graph consists of blocks, nodes and flows
    elsewhere, and the canonical form for what neither can say.

    Parameters
    ----------
    workflow
        What to write.
    path
        The file is replaced as a whole or not at all. With the suffix ``.json`` the canonical form is written.

    Raises
    ------
    WorkflowError
        It is nested too deep to be read back.
    WorkflowFileError
        The file cannot be written.

    Examples
    --------
    >>> from orchkit.model.patterns import task, workflow
    >>> print(write_workflow(workflow("order", [task("validate"), task("ship", timeout="5 min")])))
    workflow: order
    version: "1"
    steps:
      - task: validate
      - task: ship
        timeout: 5m
    <BLANKLINE>
    """
    check_kind(workflow, "write_workflow")
    as_json = path is not None and Path(path).suffix.lower() == ".json"
    text = json.dumps(workflow.to_record(), indent=2, ensure_ascii=False) + "\n" if as_json else _yaml_of(workflow)
    if path is not None:
        _replace(Path(path), text)
    return text


def _yaml_of(workflow: Workflow) -> str:
    reason = "no form reads back as the same workflow"
    for form in _FORMS:
        text = to_yaml(form(workflow))
        try:
            if _read_text(text) == workflow:
                return text
        except WorkflowError as error:
            reason = error.message
    message = f"Workflow {workflow.name!r} cannot be written as YAML: {reason}"
    raise WorkflowError(message)


def _replace(path: Path, text: str) -> None:
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        message = f"The file cannot be written: {error.strerror or error}."
        raise WorkflowFileError(message, path=str(path)) from error
