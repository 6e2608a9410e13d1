"""Commands about what waits for people, and what starts by itself: work items, schedules, dead messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from orchkit.cli_output import assignments, handlers_of, show
from orchkit.engine import Engine
from orchkit.errors import InputError
from orchkit.model import read_workflow

__all__ = ["add_decisions"]

StoreFile = Annotated[Path, typer.Argument(help="A store, DuckDB.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per row.")]
Handlers = Annotated[str | None, typer.Option(help="The functions of Python tasks: a .py file, or a module's name.")]
Item = Annotated[str, typer.Argument(metavar="ITEM", help="A work item's id, as list shows it.")]
Person = Annotated[str, typer.Option("--by", help="Who does it.")]
Decider = Annotated[str | None, typer.Option(help="Who decides; by default the user of this machine.")]
Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="A schedule's name.")]
Letter = Annotated[str, typer.Argument(metavar="MESSAGE", help="A message's id, as list shows it.")]

_ITEMS = ["item_id", "case_id", "workflow", "task", "title", "role", "claimed_by", "created", "due", "overdue"]

items = typer.Typer(help="Work items: what waits for a person.", no_args_is_help=True)
schedules = typer.Typer(help="Schedules: what starts at fixed times.", no_args_is_help=True)
messages = typer.Typer(help="Dead messages: what came over a queue and could not be taken.", no_args_is_help=True)


# Work items ----------------------------------------------------------------------


@items.command("list")
def list_items(
    store: StoreFile,
    *,
    role: Annotated[str | None, typer.Option(help="Only this role's.")] = None,
    by: Annotated[str | None, typer.Option(help="Only items that this person has claimed or is assigned to.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the open work items; with --json also their data and forms."""
    with Engine(store) as engine:
        found = engine.work_items(role, by=by)
    show(f"Work items of {store}", found if as_json else found[_ITEMS], as_json=as_json)


@items.command()
def claim(
    store: StoreFile,
    item: Item,
    *,
    by: Person,
    role: Annotated[
        list[str], typer.Option(help="A role of that person; the item must be for one of their roles.")
    ] = [],
) -> None:
    """Claim a work item."""
    with Engine(store) as engine:
        engine.claim(item, by=by, roles=role or None)
    typer.echo(f"{item} is {by}'s.")


@items.command()
def release(store: StoreFile, item: Item, *, by: Person) -> None:
    """Give a work item back."""
    with Engine(store) as engine:
        engine.release(item, by=by)
    typer.echo(f"{item} is offered again.")


@items.command("complete")
def complete_item(
    store: StoreFile,
    item: Item,
    *,
    by: Person,
    set_: Annotated[list[str], typer.Option("--set", help="An answer of the form: approved=true.")] = [],
    handlers: Handlers = None,
) -> None:
    """Complete a work item with the answers to its form; its run continues until it has to wait again."""
    with Engine(store, handlers_of(handlers)) as engine:
        engine.complete_item(item, assignments(set_), by=by)
        typer.echo(f"{item} is done.")


@items.command()
def reject(
    store: StoreFile,
    item: Item,
    *,
    by: Person,
    reason: Annotated[str, typer.Option(help="Why.")],
    handlers: Handlers = None,
) -> None:
    """Refuse a work item: its step fails for good."""
    with Engine(store, handlers_of(handlers)) as engine:
        engine.reject(item, reason, by=by)
    typer.echo(f"{item} is refused.")


# Schedules -----------------------------------------------------------------------


@schedules.command("list")
def list_schedules(store: StoreFile, *, as_json: AsJson = False) -> None:
    """List the schedules, with when each starts next."""
    with Engine(store) as engine:
        found = engine.schedules()
    show(f"Schedules of {store}", found, as_json=as_json)


@schedules.command("add")
def add_schedule(
    store: Annotated[Path, typer.Argument(help="The store, created if it does not exist.", dir_okay=False)],
    file: Annotated[Path, typer.Argument(help="A workflow, YAML.", exists=True, dir_okay=False)],
    *,
    name: Annotated[str | None, typer.Option(help="Its name, the workflow's if none is given.")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", help='As in a file: cron="30 2 * * *", every="5 min", overlap=queue.')
    ] = [],
    handlers: Handlers = None,
    by: Decider = None,
) -> None:
    """Add or change a schedule; its runs start while an engine has the store open."""
    with Engine(store, handlers_of(handlers)) as engine:
        found = engine.schedule(read_workflow(file), name, by=by, **assignments(set_))
    typer.echo(f"{found.name}: {found.when}")


def _schedule_command(verb: str, method: str, told: str, help_: str) -> None:
    def command(store: StoreFile, name: Name, *, handlers: Handlers = None, by: Decider = None) -> None:
        with Engine(store, handlers_of(handlers)) as engine:
            getattr(engine, method)(name, by=by)
        typer.echo(f"{name} {told}.")

    schedules.command(verb, help=help_)(command)


_schedule_command("pause", "pause_schedule", "is paused", "Pause a schedule: it starts no runs until it is resumed.")
_schedule_command("resume", "resume_schedule", "goes on", "Resume a schedule from now on.")
_schedule_command("delete", "unschedule", "is deleted", "Delete a schedule; runs that it started continue.")
_schedule_command("trigger", "trigger", "has started a run", "Start a run of a schedule now.")


# Dead messages -------------------------------------------------------------------


@messages.command("list")
def list_messages(store: StoreFile, *, as_json: AsJson = False) -> None:
    """List the messages that could not be taken."""
    with Engine(store) as engine:
        found = engine.dead_messages()
    show(f"Dead messages of {store}", found, as_json=as_json)


@messages.command()
def replay(
    store: StoreFile,
    message: Letter,
    *,
    payload: Annotated[str | None, typer.Option(help="A mended one, JSON.")] = None,
    handlers: Handlers = None,
    by: Decider = None,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
) -> None:
    """Take a dead message again, mended if need be."""
    given: dict[str, Any] = {}
    if payload is not None:
        try:
            given["payload"] = json.loads(payload)
        except ValueError as error:
            text = f"--payload is not JSON: {error}."
            raise InputError(text) from None
    with Engine(store, handlers_of(handlers)) as engine:
        taken = engine.replay_message(message, **given, by=by, reason=reason)
    typer.echo(f"{message}: {taken} runs took it.")


@messages.command("discard")
def discard_message(
    store: StoreFile, message: Letter, *, reason: Annotated[str, typer.Option(help="Why.")], by: Decider = None
) -> None:
    """Give up a dead message."""
    with Engine(store) as engine:
        engine.discard_message(message, reason, by=by)
    typer.echo(f"{message} is discarded.")


def add_decisions(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.add_typer(items, name="work-items")
    app.add_typer(schedules, name="schedules")
    app.add_typer(messages, name="messages")
