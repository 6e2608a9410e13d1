"""The command line: ``orchkit demo``, ``orchkit check FILE``, ``orchkit draw FILE -o out.svg``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import orchkit
from orchkit.checks import check as check_workflow
from orchkit.errors import OrchkitError
from orchkit.model import read_workflow
from orchkit.view.diagram import draw as draw_workflow

__all__ = ["app", "main"]

app = typer.Typer(
    name="orchkit",
    help="Model, check, run and read back business processes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_WRONG_USE = 2

WorkflowFile = Annotated[Path, typer.Argument(help="A workflow, YAML.", exists=True, dir_okay=False)]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 -- typer gives it so
    if wanted:
        typer.echo(orchkit.__version__)
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Model, check, run and read back business processes."""


@app.command()
def check(file: WorkflowFile) -> None:
    """Check a workflow; the exit code is 1 where there are errors."""
    report = check_workflow(read_workflow(file))
    typer.echo(str(report))
    if not report:
        raise typer.Exit(1)


@app.command()
def draw(
    file: WorkflowFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="An .svg, .png, .html, .dot or .txt file; without it, text.")
    ] = None,
) -> None:
    """Draw a workflow."""
    diagram = draw_workflow(read_workflow(file))
    if output is None:
        typer.echo(diagram.text)
    else:
        typer.echo(diagram.save(output))


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where store, books, notebook and page are written.")] = Path(
        "demo-output"
    ),
    orders: Annotated[int, typer.Option(help="How many orders.", min=2, max=500)] = 500,
    faults: Annotated[str, typer.Option(help="How bad the systems' day is: none, default or harsh.")] = "default",
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
) -> None:
    """Run the main job: orders with faults and a crash, checked against the systems' books.

    The exit code is 0 only where the books balance.
    """
    from orchkit.demo.main_job import run_demo  # noqa: PLC0415 -- the other commands need no engine

    outcome = run_demo(output, orders=orders, faults=faults, seed=seed)
    if not outcome.balances:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; an error of orchkit is a message, not a traceback."""
    try:
        app()
    except OrchkitError as error:
        typer.echo(f"orchkit: {error}", err=True)
        sys.exit(_WRONG_USE)


if __name__ == "__main__":
    main()
