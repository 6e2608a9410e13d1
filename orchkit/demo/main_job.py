"""`run_demo`: from placed orders to a page that says what became of them, with a crash in the middle."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import sample_processes
from orchkit.analysis import failures, metrics
from orchkit.demo.processes import Worker, free_port, running_systems
from orchkit.demo.report import notebook_path, run_notebook
from orchkit.demo.tables import failure_table, frame_table, metric_table
from orchkit.engine import Engine
from orchkit.errors import OrchkitError
from orchkit.view.pages import as_html
from sample_processes.audit import HISTORY, audit
from sample_processes.books import read_books, read_requests

__all__ = ["Outcome", "run_demo"]

_LIMIT_S = 300.0
_WIDTH = 120  # where the output is no terminal
_NOTEBOOK = "main_job"
_STORE, _BOOKS = "orders.duckdb", "books.sqlite"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo has shown.

    Attributes
    ----------
    under_way
        Runs that were under way when the engine was killed.
    statuses
        How many runs ended in each state.
    differences
        What does not add up between books and history: ``case_id``, ``rule``, ``found``.
    page
        The executed notebook as HTML.
    seconds
        How long each phase took.
    """

    under_way: int
    statuses: dict[str, int]
    differences: pd.DataFrame
    page: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def balances(self) -> bool:
        """Whether books and history tell the same."""
        return self.differences.empty


class _Watch:
    """Measures phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class _Found:
    """What is read back when all processes have ended."""

    metrics: pd.DataFrame
    failures: pd.DataFrame
    statuses: dict[str, int]
    repeated: int
    requests: int
    faults: int
    effects: int
    differences: pd.DataFrame


def run_demo(
    output: Path, *, orders: int = 500, faults: str = "default", seed: int = 0, console: Console | None = None
) -> Outcome:
    """Run the main job, print what it shows, and return it.

    Parameters
    ----------
    output
        A folder, created if it does not exist: for the store, the books, the notebook and its page. What the last demo
        has left there is replaced.
    orders
        How many of the 500.
    faults
        How bad the systems' day is: ``"none"``, ``"default"`` or ``"harsh"``.
    seed
        Of the faults.
    console
        Where to print.

    Raises
    ------
    OrchkitError
        A process did not do its part.
    """
    console = console or Console(width=None if sys.stdout.isatty() else _WIDTH)
    _clear(output)
    watch = _Watch()
    under_way = _run_orders(output, orders, faults, seed, console, watch)
    with watch.phase("metrics and audit"):
        found = _read_back(output)
    with watch.phase("notebook and page"):
        page = _write_page(output)
    _print(console, found, page, watch.seconds)
    return Outcome(under_way, found.statuses, found.differences, page, watch.seconds)


def _clear(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for name in (_STORE, _BOOKS, _NOTEBOOK):
        for path in output.glob(f"{name}*"):
            path.unlink()


# Run ----------------------------------------------------------------------------------------------


def _run_orders(output: Path, orders: int, faults: str, seed: int, console: Console, watch: _Watch) -> int:
    """Run the orders, with a crash in the middle, and return how many were under way then."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with running_systems(output / _BOOKS, faults, seed) as url, Progress(*columns, console=console) as bar:
        show = partial(bar.update, bar.add_task("orders", total=orders))
        arguments = [str(output / _STORE), "--systems", url, "--orders", str(orders)]
        arguments += ["--callback-port", str(free_port())]
        with watch.phase("first process, killed"):
            under_way = _run_and_kill(arguments, orders, show)
        console.print(f"SIGKILL: the engine's process is dead, with {under_way} orders under way. Starting it again.")
        with watch.phase("second process, to the end"):
            _run_to_end(arguments, show)
    return under_way


def _run_and_kill(arguments: list[str], orders: int, show: Callable[..., None]) -> int:
    with Worker(arguments, _LIMIT_S) as worker:
        for progress in worker:
            show(completed=progress.ended)
            if progress.started >= orders / 2 and progress.under_way:
                worker.kill()
                worker.wait()
                return progress.under_way
    message = "The engine's process ended before it could be killed. What it wrote stands above."
    raise OrchkitError(message)


def _run_to_end(arguments: list[str], show: Callable[..., None]) -> None:
    with Worker(arguments, _LIMIT_S) as worker:
        for progress in worker:
            show(completed=progress.ended)
        code = worker.wait()
    if code:
        message = f"The engine's process ended with exit code {code}. What it wrote stands above."
        raise OrchkitError(message)


# Read back ----------------------------------------------------------------------------------------


def _read_back(output: Path) -> _Found:
    """Read store and books, when nobody writes to them any more."""
    books, requests = read_books(output / _BOOKS), read_requests(output / _BOOKS)
    with Engine(output / _STORE) as engine:
        log, statuses = engine.log(), engine.runs(limit=None)["status"]
        history = engine.sql(HISTORY)
        again = engine.sql("select count(*) as n from history where payload->>'resumed' = 'true'")["n"][0]
    return _Found(
        metrics=metrics(log),
        failures=failures(log),
        statuses={str(status): int(count) for status, count in statuses.value_counts().items()},
        repeated=int(again),
        effects=len(books),
        faults=int((requests["fault"] != "none").sum()),
        requests=len(requests),
        differences=audit(books, history, sample_processes.workflow("order_to_cash")),
    )


def _write_page(output: Path) -> Path:
    notebook, page = output / f"{_NOTEBOOK}.ipynb", output / f"{_NOTEBOOK}.html"
    places = {"store_path": str((output / _STORE).absolute()), "books_path": str((output / _BOOKS).absolute())}
    run_notebook(notebook_path(_NOTEBOOK), notebook, places)
    as_html(notebook, page)
    return page


# Print --------------------------------------------------------------------------------------------


def _print(console: Console, found: _Found, page: Path, seconds: dict[str, float]) -> None:
    console.print(metric_table(found.metrics), failure_table(found.failures))
    ends = ", ".join(f"{count} {status}" for status, count in sorted(found.statuses.items()))
    console.print(f"Runs: {ends}. {found.requests} requests met {found.faults} faults.")
    console.print(f"{found.repeated} attempts were cut off by the crash and repeated under their idempotency keys.")
    if found.differences.empty:
        console.print(f"Books and history agree on all {found.effects} effects.", style="bold green")
    else:
        console.print(f"Books and history differ {len(found.differences)} times:", style="bold red")
        console.print(frame_table("Differences", found.differences))
    console.print(f"The notebook, executed: {page}", soft_wrap=True)
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in seconds.items())
    console.print(f"{sum(seconds.values()):.1f} s: {phases}.")
