"""The command line: models, stores and the demo from a shell.

Exit codes: 0 all is well; 1 there are errors in a workflow, a run did not complete, an alert fires, or the demo's books
do not balance; 2 wrong use, or an error that the message explains. Commands that show a frame take ``--json``: a line a
row.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

import orchkit
from orchkit.analysis import failures as read_failures
from orchkit.analysis import metrics as read_metrics
from orchkit.checks import check as check_workflow
from orchkit.cli_decisions import add_decisions
from orchkit.cli_operations import add_commands
from orchkit.cli_output import show as show_frame
from orchkit.cli_service import add_service_commands
from orchkit.errors import OrchkitError, RunNotFound
from orchkit.log import EventLog
from orchkit.model import Workflow, read_workflow
from orchkit.operations import backtest, log_lines
from orchkit.store import Store
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
_PAIR = 2

WorkflowFile = Annotated[Path, typer.Argument(help="A workflow, YAML.", exists=True, dir_okay=False)]

StoreFile = Annotated[Path, typer.Argument(help="A store, DuckDB.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per row.")]


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
    """Check a workflow; the exit code is 1 if it has errors."""
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
    faults: Annotated[str, typer.Option(help="How often the systems fail: none, default or harsh.")] = "default",
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
) -> None:
    """Run the main job: orders with faults and a crash, checked against the systems' books.

    The exit code is 0 only if the books balance.
    """
    from orchkit.demo.main_job import run_demo  # noqa: PLC0415 -- the other commands need no engine

    outcome = run_demo(output, orders=orders, faults=faults, seed=seed)
    if not outcome.balances:
        raise typer.Exit(1)


@app.command()
def runs(
    store: StoreFile,
    *,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow's.")] = None,
    status: Annotated[str | None, typer.Option(help="Only runs with this status, such as FAILED.")] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the runs of a store."""
    with Store(store) as opened:
        found = opened.runs()
    for column, wanted in (("workflow", workflow), ("status", None if status is None else status.upper())):
        if wanted is not None:
            found = found[found[column] == wanted]
    columns = ["run_id", "case_id", "workflow", "status", "started_at", "ended_at", "error_message"]
    show_frame(f"Runs of {store}", found[columns].head(limit), as_json=as_json)


@app.command()
def show(
    store: StoreFile, run: Annotated[str, typer.Argument(help="A run's id, or its case.")], *, as_json: AsJson = False
) -> None:
    """Show the steps of a run, one row per attempt."""
    with Store(store) as opened:
        found = opened.runs()
        found = found[(found["run_id"] == run) | (found["case_id"] == run)]
        if found.empty:
            message = f"{store} has no run and no case {run!r}: orchkit runs {store} lists them."
            raise RunNotFound(message, run_id=run)
        steps = [opened.log_frames(run_id=run_id).steps for run_id in found["run_id"]]
    columns = ["workflow", "activity", "attempt", "status", "started", "completed", "error_class", "error_message"]
    show_frame(f"{run}: {', '.join(found['status'])}", pd.concat(steps)[columns], as_json=as_json)


@app.command()
def metrics(store: StoreFile, *, as_json: AsJson = False) -> None:
    """Show the figures of a store's workflows: rates, durations, queues."""
    show_frame("Metrics", read_metrics(_log(store)), as_json=as_json)


@app.command()
def failures(store: StoreFile, *, as_json: AsJson = False) -> None:
    """Show what fails in a store, the most harmful first."""
    show_frame("Failures", read_failures(_log(store)).drop(columns=["first_seen", "last_seen"]), as_json=as_json)


@app.command()
def alerts(
    store: StoreFile,
    *,
    firing: Annotated[
        bool, typer.Option("--firing", help="Only alerts that still hold at the end of the history.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show when the alerts of a store's workflows fired; the exit code is 1 if one still does."""
    with Store(store) as opened:
        names = opened.sql("SELECT DISTINCT workflow FROM definitions ORDER BY workflow")["workflow"]
        found = [
            backtest(Workflow.from_json(opened.latest_definition(name) or ""), _log_of(opened, name)) for name in names
        ]
    shown = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["resolved"])
    if firing:
        shown = shown[shown["resolved"].isna()]
    show_frame(f"Alerts of {store}", shown, as_json=as_json)
    if shown["resolved"].isna().any():
        raise typer.Exit(1)


@app.command()
def lines(store: StoreFile, *, after: Annotated[int, typer.Option(help="Only after this seq.")] = 0) -> None:
    """Print one JSON object for each step that has ended, a line each."""
    with Store(store) as opened:
        for line in log_lines(opened, after=after):
            typer.echo(line)


@app.command()
def backup(store: StoreFile, target: Annotated[Path, typer.Argument(help="A new file.")]) -> None:
    """Copy a store; if an engine has it open, use engine.backup(target)."""
    with Store(store) as opened:
        typer.echo(opened.backup(target))


@app.command()
def export(
    store: StoreFile, folder: Annotated[Path, typer.Argument(help="Where steps.parquet and cases.parquet go.")]
) -> None:
    """Write the event log of a store as two Parquet files, steps and cases."""
    log = _log(store)
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in (("steps", log.steps), ("cases", log.cases)):
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        typer.echo(folder / f"{name}.parquet")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def report(
    context: typer.Context,
    notebook: Annotated[Path, typer.Argument(help="A notebook.", exists=True, dir_okay=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it; by default beside the notebook.")
    ] = None,
    to: Annotated[str, typer.Option(help="html (one file that needs no others) or ipynb.")] = "html",
) -> None:
    """Run a notebook and write what it shows; parameters are given as -p NAME VALUE, each value JSON or text."""
    from orchkit.operations.notebooks import run_notebook  # noqa: PLC0415 -- the other commands need no notebook
    from orchkit.view.pages import as_html  # noqa: PLC0415

    if to not in ("html", "ipynb"):
        message = f"--to is html or ipynb, not {to!r}."
        raise typer.BadParameter(message)
    target = output or notebook.with_name(f"{notebook.stem}-report.{to}")
    executed = target if to == "ipynb" else target.with_suffix(".ipynb")
    run_notebook(notebook, executed, _parameters(context.args))
    if to == "html":
        as_html(executed, target)
    typer.echo(target)


def _parameters(words: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    while words:
        option, *words = words
        if option not in ("-p", "--parameter") or len(words) < _PAIR:
            message = f"{option!r} is not understood here: a parameter is -p NAME VALUE."
            raise typer.BadParameter(message)
        name, text, *words = words
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _log(store: Path) -> EventLog:
    with Store(store) as opened:
        return _log_of(opened)


def _log_of(store: Store, workflow: str | None = None) -> EventLog:
    frames = store.log_frames(workflow)
    return EventLog(frames.steps, frames.cases)


add_commands(app)
add_decisions(app)
add_service_commands(app)


def main() -> None:
    """Run the command line; an error of orchkit is a message, not a traceback."""
    try:
        app()
    except OrchkitError as error:
        typer.echo(f"orchkit: {error}", err=True)
        sys.exit(_WRONG_USE)


if __name__ == "__main__":
    main()
