"""Commands that open a store's engine: runs are started, retried, cancelled.

While such a command runs, all runs of the store that have not ended go on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from orchkit.cli_output import assignments, handlers_of, show
from orchkit.engine import Engine, Run
from orchkit.engine.dead_letters import dead_letters as read_dead_letters
from orchkit.errors import HandlerNotFound, InputError, RunNotFound
from orchkit.model import read_workflow
from orchkit.model.states import RunStatus
from orchkit.store import Store

__all__ = ["add_commands"]

StoreFile = Annotated[Path, typer.Argument(help="A store, DuckDB.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per row.")]
Handlers = Annotated[str | None, typer.Option(help="The functions of Python tasks: a .py file, or a module's name.")]
Assigned = Annotated[list[str], typer.Option("--set", help="A variable and its value, JSON or text: amount=7.")]
Patience = Annotated[str, typer.Option(help="How long to wait for the end of the run.")]
Decider = Annotated[str | None, typer.Option(help="Who decides; by default the user of this machine.")]

_COLUMNS = ["activity", "attempt", "status", "started", "completed", "error_class", "error_message"]


def run(
    file: Annotated[Path, typer.Argument(help="A workflow, YAML.", exists=True, dir_okay=False)],
    *,
    store: Annotated[
        Path | None, typer.Option(help="The store, created if it does not exist; by default in memory.")
    ] = None,
    case: Annotated[str | None, typer.Option(help="The case; the same case is not run twice.")] = None,
    set_: Assigned = [],
    inputs: Annotated[Path | None, typer.Option(help="A JSON file with the inputs.", exists=True)] = None,
    handlers: Handlers = None,
    timeout: Patience = "10 min",
    as_json: AsJson = False,
) -> None:
    """Run a workflow and show its steps; the exit code is 1 if it does not complete."""
    given = {} if inputs is None else json.loads(inputs.read_text(encoding="utf-8"))
    if not isinstance(given, dict):
        message = f"{inputs} must hold an object, variables and their values."
        raise InputError(message)
    with Engine(store, handlers_of(handlers)) as engine:
        started = engine.start(read_workflow(file), {**given, **assignments(set_)}, case_id=case)
        _finish(engine, started, timeout, as_json=as_json)


def dead_letters(
    store: StoreFile,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="Also runs that failed without being dead-lettered.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the runs that have used up their retries and wait for a decision."""
    with Store(store) as opened:
        found = read_dead_letters(opened, failed=failed)
    show(f"Dead letters of {store}", found, as_json=as_json)


def retry(
    store: StoreFile,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its case.")],
    *,
    set_: Assigned = [],
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Start from the beginning, not from the step that failed.")
    ] = False,
    handlers: Handlers = None,
    by: Decider = None,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    timeout: Patience = "10 min",
    as_json: AsJson = False,
) -> None:
    """Continue a run that has failed, with mended variables; the exit code is 1 if it does not complete."""
    with Engine(store, handlers_of(handlers)) as engine:
        again = engine.retry(_named(engine, run_id), assignments(set_), from_start=from_start, by=by, reason=reason)
        _finish(engine, again, timeout, as_json=as_json)


def discard(
    store: StoreFile,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its case.")],
    *,
    reason: Annotated[str, typer.Option(help="Why.")],
    by: Decider = None,
) -> None:
    """Give up a dead letter."""
    with Engine(store) as engine:
        found = _named(engine, run_id)
        engine.discard(found, reason, by=by)
        typer.echo(f"{found.case_id}: {found.status}")


def cancel(
    store: StoreFile,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its case.")],
    *,
    reason: Annotated[str, typer.Option(help="Why.")] = "cancelled",
    handlers: Handlers = None,
    timeout: Patience = "10 min",
) -> None:
    """Cancel a run; sagas are compensated first."""
    with Engine(store, handlers_of(handlers)) as engine:
        found = _named(engine, run_id)
        engine.cancel(found, reason)
        _wait(engine, found, timeout)
        typer.echo(f"{found.case_id}: {found.status}")


def _named(engine: Engine, name: str) -> Run:
    """Return the run of an id, or of a case that has only one."""
    runs = engine.runs(None)
    found = runs[(runs["run_id"] == name) | (runs["case_id"] == name)]["run_id"].tolist()
    if len(found) != 1:
        some = f"{len(found)} runs: {', '.join(found)}" if found else "no run"
        message = f"{name!r} names {some}. orchkit runs lists them: give the id of one."
        raise RunNotFound(message, run_id=name)
    return engine.get(found[0])


def _finish(engine: Engine, run: Run, timeout: str, *, as_json: bool) -> None:
    _wait(engine, run, timeout)
    show(f"{run.case_id}: {run.status}", run.steps()[_COLUMNS], as_json=as_json)
    if run.status is not RunStatus.COMPLETED:
        if run.error is not None:
            typer.echo(f"orchkit: {run.status} at {run.error.node!r}: {run.error.message}", err=True)
        raise typer.Exit(1)


def _wait(engine: Engine, run: Run, timeout: str) -> None:
    for (parked, _), problem in engine.parked.items():
        if parked == run.id:
            message = f"{problem} The run waits for it in the store: give it with --handlers file.py."
            raise HandlerNotFound(message)
    try:
        run.wait(timeout)
    except TimeoutError:
        typer.echo(f"orchkit: the run has not ended within {timeout}; it goes on when the store is opened.", err=True)


def add_commands(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command()(run)
    app.command(name="dead-letters")(dead_letters)
    app.command()(retry)
    app.command()(discard)
    app.command()(cancel)
