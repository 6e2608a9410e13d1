"""What commands print, and what they read from words: frames, assignments, handlers."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchkit.errors import InputError

__all__ = ["assignments", "handlers_of", "show"]


def show(title: str, frame: pd.DataFrame, *, as_json: bool) -> None:
    """Print a frame as a table, or as a line of JSON a row."""
    if as_json:
        text = frame.to_json(orient="records", lines=True, date_format="iso")
        typer.echo("" if frame.empty else text, nl=False)  # pandas writes an empty line for no rows
        return
    table = Table(title=title, title_justify="left")
    for column in frame:
        table.add_column(str(column), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_cell(value)) for value in row))
    Console().print(table)


def _cell(value: object) -> str:
    match value:
        case pd.Timestamp():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case float() if not pd.isna(value):
            return f"{value:.4g}"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return "" if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]  # a cell


def assignments(words: Iterable[str]) -> dict[str, Any]:
    """Return the variables of words such as ``amount=7`` or ``order={"id": 1}``: JSON, or else text.

    Examples
    --------
    >>> assignments(["amount=7", "name=Ada"])
    {'amount': 7, 'name': 'Ada'}
    """
    found = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or not name:
            message = f"{word!r} is not a variable and its value, such as amount=7."
            raise InputError(message)
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def handlers_of(name: str | None) -> ModuleType | None:
    """Return the module with the functions of Python tasks, from a file or by its name.

    Raises
    ------
    InputError
        There is no such file or module.
    """
    if name is None:
        return None
    if not name.endswith(".py"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            message = f"There is no module {name!r} with handlers: {error}."
            raise InputError(message) from None
    path = Path(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        message = f"There is no file {name!r} with handlers."
        raise InputError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
