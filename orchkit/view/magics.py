"""Magics: ``%load_ext orchkit`` gives ``%%workflow``, ``%runs`` and ``%run_workflow``."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from orchkit.engine import Engine, Run
from orchkit.errors import OrchkitError, nearest
from orchkit.model import Workflow, read_workflow

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load"]


def load(shell: Any) -> None:  # noqa: ANN401 -- IPython's shell
    """Give a shell the magics."""

    def workflow(line: str, cell: str) -> Workflow:
        """Read the YAML of the cell into a variable: ``%%workflow order``.

        The first line ``workflow: …`` may be left out: the variable's name is then the workflow's.
        """
        name = line.strip()
        if not name.isidentifier():
            message = f"%%workflow takes the name of a variable, such as %%workflow order, not {name!r}."
            raise UsageError(message)
        has_name = any(row.startswith(("workflow:", '"workflow"', "{")) for row in cell.splitlines())
        # The name goes on the first line, so that the lines of an error are those of the cell.
        text = cell if has_name else f"workflow: {name}\n{cell}"
        try:
            found = read_workflow(text if text.endswith("\n") else text + "\n")
        except OrchkitError as error:
            raise UsageError(_at_line(error, 0 if has_name else 1)) from None
        shell.user_ns[name] = found
        return found

    def runs(line: str) -> pd.DataFrame:
        """Show the newest runs of an engine: ``%runs [engine] [how many]``."""
        words = line.split()
        limit = int(words.pop()) if words and words[-1].isdigit() else 20
        return _engine(shell, words[0] if words else None).runs(limit)

    def run_workflow(line: str) -> Run:
        """Run a workflow and show the run: ``%run_workflow order country=US amount=3``.

        Values are JSON, or text where they are none; ``case=…`` is the case, ``engine=…`` names the engine.
        """
        words = shlex.split(line)
        if not words:
            message = "%run_workflow takes a workflow and its inputs: %run_workflow order country=US"
            raise UsageError(message)
        found = _value(shell, words[0], Workflow, "workflow")
        inputs = dict(_input(word) for word in words[1:])
        engine, case = inputs.pop("engine", None), inputs.pop("case", None)
        try:
            return _engine(shell, engine).run(found, inputs, case_id=None if case is None else str(case))
        except OrchkitError as error:
            raise UsageError(str(error)) from None

    shell.register_magic_function(workflow, magic_kind="cell")
    shell.register_magic_function(runs, magic_kind="line")
    shell.register_magic_function(run_workflow, magic_kind="line")


def _at_line(error: OrchkitError, added: int) -> str:
    """Return the error, its line counted from the top of the cell below the magic."""
    line, column = getattr(error, "line", None), getattr(error, "column", None)
    if line is None:
        return str(error)
    where = f"{line}:{column}: " if column is not None else f"{line}: "
    return f"line {max(line - added, 1)}, column {column}: {str(error).removeprefix(where)}"


def _input(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals or not name.isidentifier():
        message = f"%run_workflow: an input is name=value, not {word!r}."
        raise UsageError(message)
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _engine(shell: Any, name: str | None) -> Engine:  # noqa: ANN401 -- IPython's shell
    if name is not None:
        named: Engine = _value(shell, name, Engine, "engine")
        return named
    found = [key for key, value in shell.user_ns.items() if isinstance(value, Engine) and not key.startswith("_")]
    if len(found) == 1:
        only: Engine = shell.user_ns[found[0]]
        return only
    told = "There is no engine here: engine = ok.Engine()." if not found else f"Which engine: {', '.join(found)}?"
    raise UsageError(told)


def _value(shell: Any, name: str, kind: type[Any], what: str) -> Any:  # noqa: ANN401 -- IPython's shell
    value = shell.user_ns.get(name)
    if isinstance(value, kind):
        return value
    known = [key for key, other in shell.user_ns.items() if isinstance(other, kind) and not key.startswith("_")]
    message = f"There is no {what} in a variable {name!r}.{nearest(name, known)}"
    raise UsageError(message)
