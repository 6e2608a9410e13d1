"""Commands about the service: it is started, and its tokens are made, listed, revoked."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from orchkit.cli_output import handlers_of, show
from orchkit.errors import InputError
from orchkit.operations import consume
from orchkit.service.limits import Limits
from orchkit.service.roles import Role
from orchkit.service.service import Service
from orchkit.store import Store

__all__ = ["add_service_commands"]

StoreFile = Annotated[Path, typer.Argument(help="A store, DuckDB.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per row.")]
Pairs = Annotated[list[str], typer.Option()]

tokens = typer.Typer(help="Tokens: who may ask the service of a store.", no_args_is_help=True)


def serve(  # noqa: PLR0913 -- an option each
    store: Annotated[Path, typer.Argument(help="The store, DuckDB; created if it does not exist.", dir_okay=False)],
    workflows: Annotated[
        Path | None, typer.Argument(help="A folder: its *.yaml are deployed, its handlers.py has their functions.")
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.", min=0, max=65_535)] = 8321,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow a --host other than loopback; nothing is encrypted.")
    ] = False,
    allow_host: Annotated[
        list[str], typer.Option(help="Another host name that it answers to, such as a proxy's.")
    ] = [],
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Refuse to deploy workflows over HTTP.")] = False,
    rate: Annotated[float, typer.Option(help="Requests per second with one token, in the long run.", min=0.1)] = 1_000,
    max_body: Annotated[int, typer.Option(help="The largest body of a request, in bytes.", min=1_024)] = 1 << 20,
    queue: Annotated[
        str | None, typer.Option(help="A NATS server whose messages are triggers: nats://host:4222.")
    ] = None,
    handlers: Annotated[
        str | None, typer.Option(help="The functions, if they are elsewhere: a .py file, or a module.")
    ] = None,
    system: Annotated[list[str], typer.Option(help="A system and its URL: crm=https://crm.example.")] = [],
    secret: Annotated[
        list[str], typer.Option(help="A secret and the environment variable with it: crm=CRM_TOKEN.")
    ] = [],
) -> None:
    """Serve a store's engine over HTTP until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    secrets = {name: _environment(variable) for name, variable in _pairs("--secret", secret)}
    with Service(
        store,
        workflows,
        handlers_of(handlers),
        host=host,
        port=port,
        allow_remote=allow_remote,
        allow_hosts=allow_host,
        limits=Limits(body_bytes=max_body, requests_per_s=rate, burst=max(1, int(2 * rate))),
        deploys=not no_deploy,
        systems=dict(_pairs("--system", system)),
        secrets=secrets,
    ) as service:
        if allow_remote:
            typer.echo(f"Others on the network can reach {service.url}, and nothing is encrypted.", err=True)
        if service.token is not None:
            typer.echo(f"The first token, for an admin. It is shown only this once:\n{service.token}")
        with contextlib.ExitStack() as listening:
            if queue is not None:  # the server may come later than we do
                listening.enter_context(consume(service.engine, queue, patience=None))
            typer.echo(f"Serving {store} at {service.url}")
            stop.wait()
        typer.echo("Stopping.", err=True)


@tokens.command("create")
def create_token(
    store: StoreFile,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    *,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.READ,
) -> None:
    """Make a token and show it, only this once."""
    from orchkit.service.tokens import StoreKeeper, Tokens  # noqa: PLC0415 -- the other commands need none

    with Store(store) as opened:
        typer.echo(Tokens(StoreKeeper(opened)).create(name, role, by=_user()))


@tokens.command("list")
def list_tokens(store: StoreFile, *, as_json: AsJson = False) -> None:
    """List the tokens, by name; their texts are not kept."""
    from orchkit.service.tokens import StoreKeeper, Tokens  # noqa: PLC0415 -- as above

    with Store(store) as opened:
        found = Tokens(StoreKeeper(opened)).listed()
    rows = [[one.id, one.name, one.role.value, one.created, one.revoked] for one in found]
    frame = pd.DataFrame(rows, columns=["token", "name", "role", "created", "revoked"])
    frame["created"] = pd.to_datetime(frame["created"].astype("float64"), unit="s", utc=True)
    show(f"Tokens of {store}", frame, as_json=as_json)


@tokens.command("revoke")
def revoke_token(store: StoreFile, token: Annotated[str, typer.Argument(help="A token's id.")]) -> None:
    """Revoke a token."""
    from orchkit.service.tokens import StoreKeeper, Tokens  # noqa: PLC0415 -- as above

    with Store(store) as opened:
        Tokens(StoreKeeper(opened)).revoke(token, by=_user(), keep_admin=False)
    typer.echo(f"{token} is revoked.")


def _user() -> str:
    from orchkit.engine.who import user  # noqa: PLC0415

    return user()


def _pairs(option: str, words: Iterable[str]) -> Iterable[tuple[str, str]]:
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name or not value:
            message = f"{option} takes a name and a value, such as crm=…, not {word!r}."
            raise InputError(message)
        yield name, value


def _environment(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        message = f"There is no environment variable {variable!r} for the secret."
        raise InputError(message)
    return value


def add_service_commands(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command()(serve)
    app.add_typer(tokens, name="token")
