"""Durable rows per second: the bare group commit, for rows in groups of 1, 10, 100 and 1,000.

``python benchmarks/store.py [--rows N]`` prints medians; with ``--rows 1000000`` also what a long life costs: pauses,
memory, the size of the file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

from orchkit.store import Batch, GroupWriter, HistoryRow, RunRow, Store

GROUPS = (1, 10, 100, 1_000)
START = 1_700_000_000_000_000
MEGABYTE = 1 << 20


def rows(count: int, first: int) -> list[HistoryRow]:
    """Return rows as the engine writes them, no two alike."""
    return [
        HistoryRow(
            f"{number * 2654435761 % 2**64:016x}",
            f"A-{number}",
            "order_to_cash",
            "0123456789abcdef",
            f"ship#{number % 9}",
            "ship",
            "task",
            "COMPLETED",
            1,
            START + number,
            0.25,
            payload=f'{{"output":{{"shipment":{number},"carrier":"DHL","sent":true}}}}',
        )
        for number in range(first, first + count)
    ]


def commit_each(store: Store, size: int, repeats: int) -> list[float]:
    """Return the seconds of each of the appends of ``size`` rows."""
    seconds = []
    for number in range(repeats):
        batch = Batch(rows=rows(size, number * size))
        begun = time.perf_counter()
        store.append(batch)
        seconds.append(time.perf_counter() - begun)
    return seconds


def group_commit(store: Store, size: int, clients: int, repeats: int) -> tuple[float, int]:
    """Return rows per second and commits, with clients that each wait for their ``size`` rows before the next."""
    with GroupWriter(store) as writer:

        def client(number: int) -> None:
            durable = threading.Semaphore(0)
            for turn in range(repeats):
                writer.submit(Batch(rows=rows(size, (number * repeats + turn) * size)), lambda _: durable.release())
                durable.acquire()

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return clients * repeats * size / (time.perf_counter() - begun), writer.commits


def memory_mb() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / MEGABYTE


def long_life(folder: Path, count: int) -> None:
    """Append many rows in groups of 1,000 and print what it costs as the file grows."""
    path = folder / "long.duckdb"
    with Store(path) as store:
        seconds: list[float] = []
        for first in range(0, count, 1_000):
            batch = Batch(
                rows=rows(1_000, first), runs=[_run(number) for number in range(first // 10, first // 10 + 100)]
            )
            begun = time.perf_counter()
            store.append(batch)
            seconds.append(time.perf_counter() - begun)
            if (first + 1_000) % (count // 5) == 0:
                recent = seconds[-count // 5_000 :]
                print(
                    f"{first + 1_000:>11,} rows: {count / 5 / sum(recent):>9,.0f} rows/s, longest commit "
                    f"{max(recent) * 1e3:>4.0f} ms, {memory_mb():>4.0f} MB memory, "
                    f"{path.stat().st_size / MEGABYTE:>4.0f} MB file",
                )
        begun = time.perf_counter()
        store.known_runs(["nowhere"])
        unknown = time.perf_counter() - begun
        begun = time.perf_counter()
        store.known_runs([_run(7).run_id])
        print(
            f"known_runs: {unknown * 1e6:.0f} µs for one that is not there, "
            f"{(time.perf_counter() - begun) * 1e3:.1f} ms for one"
        )
    begun = time.perf_counter()
    with Store(path) as store:
        opened = time.perf_counter() - begun
        begun = time.perf_counter()
        runs_open = sum(1 for _ in store.open_runs())
        print(f"opened in {opened:.2f} s; {runs_open:,} open runs read in {time.perf_counter() - begun:.2f} s")
        begun = time.perf_counter()
        frames = store.log_frames()
        print(f"log_frames: {len(frames.steps):,} steps in {time.perf_counter() - begun:.2f} s")


def _run(number: int) -> RunRow:
    return RunRow(
        rows(1, number)[0].run_id, f"A-{number}", "order_to_cash", "0123456789abcdef", "1", None, START + number
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=0, help="rows of a long life")
    count = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("Store.append, one commit a group:")
        for size in GROUPS:
            with Store(folder / f"{size}.duckdb") as store:
                seconds = commit_each(store, size, max(20, min(300, 20_000 // size)))
                median = statistics.median(seconds)
                print(f"{size:>6,} rows: {median * 1e3:6.2f} ms a commit, {size / median:>9,.0f} rows/s")
        print("GroupWriter, clients that each wait for their 3 rows:")
        for clients in (1, 10, 100):
            with Store(folder / f"clients{clients}.duckdb") as store:
                rate, commits = group_commit(store, 3, clients, max(20, 600 // clients))
                print(f"{clients:>6,} clients: {rate:>9,.0f} rows/s in {commits} commits")
        if count:
            long_life(folder, count)


if __name__ == "__main__":
    main()
