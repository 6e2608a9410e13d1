"""The engine's process of the demo: it may be killed at any time, and started again.

It alone opens the store. What it has done it tells on standard output, a line of JSON ten times a second at most; it
ends when all cases have ended, or when its standard input is closed, so that it does not outlive who started it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence

import sample_processes
from orchkit.demo.progress import Progress
from orchkit.engine import Engine
from orchkit.model.states import RunStatus
from sample_processes import handlers
from sample_processes.callbacks import Callbacks

__all__ = ["main"]

_TICK_S = 0.1
_CONCURRENCY = 100


def _progress(engine: Engine) -> Progress:
    statuses = engine.runs(limit=None)["status"]
    return Progress(len(statuses), sum(RunStatus(status).is_final for status in statuses))


def _tell(engine: Engine) -> None:
    sys.stdout.write(f"{_progress(engine).to_line()}\n")
    sys.stdout.flush()


def _tell_until(stopped: threading.Event, engine: Engine) -> None:
    while not stopped.wait(_TICK_S):
        _tell(engine)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the orders through order to cash, or go on where the last process was stopped."""
    parser = argparse.ArgumentParser(prog="python -m orchkit.demo.worker", description="The engine of the demo.")
    parser.add_argument("store", help="the DuckDB file")
    parser.add_argument("--systems", required=True, help="where the systems listen")
    parser.add_argument("--callback-port", type=int, required=True, help="where to listen for the vendor's calls")
    parser.add_argument("--orders", type=int, default=500, help="how many (default: 500)")
    options = parser.parse_args(arguments)
    names = ("crm", "erp", "warehouse", "billing", "mail", "vendor")
    systems = {name: f"{options.systems}/{name}" for name in names}
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with Callbacks(options.callback_port) as callbacks:
        systems["callbacks"] = callbacks.url
        with Engine(options.store, handlers, systems=systems) as engine:
            callbacks.deliver_to(engine)
            _tell(engine)
            stopped = threading.Event()
            telling = threading.Thread(target=_tell_until, args=(stopped, engine))
            telling.start()
            try:
                orders = sample_processes.orders().head(options.orders)
                workflow = sample_processes.workflow("order_to_cash")
                engine.run_many(workflow, orders, concurrency=_CONCURRENCY, progress=False)
            finally:
                stopped.set()
                telling.join()
            _tell(engine)


if __name__ == "__main__":
    main()
