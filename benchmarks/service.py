"""The service under load, on loopback: starts and callbacks a second, their 99th percentile, and what it takes at rest.

``python benchmarks/service.py`` starts ``orchkit serve`` as a process of its own and asks it over ``--connections``
(50) kept open, for ``--seconds`` (20, at most 60): each starts a run of one no-op Python step, and waits until the run
is acknowledged. Beside it, in turn, as many threads call ``engine.start`` in a process that has the engine itself.

Then the service is killed with SIGKILL in the middle of the same load, and started again: each start that it has
acknowledged is looked for, and has to end.

``--rest`` measures instead how ``--runs`` (10,000) that wait for a callback and ``--schedules`` (1,000) lie in an
engine that is served: memory, processor time while nothing happens, and how soon a callback is answered, one after the
other and over all connections at once.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

import orchkit as ok

WORKFLOWS = {
    "noop": "workflow: noop\nsteps: [{task: step}]\n",
    "parcel": "workflow: parcel\nsteps: [{wait_for: {callback: carrier}}]\n",
}
HANDLERS = "def step():\n    return None\n"
LONGEST_S = 60
_STANDING = "SELECT run_id, last(status ORDER BY seq) FROM history WHERE kind = 'run' GROUP BY run_id"


class Served:
    """``orchkit serve`` in a folder, on a free port; its token, where it was made before."""

    def __init__(self, folder: Path, token: str = "") -> None:
        command = [sys.executable, "-m", "orchkit.cli", "serve", "state.duckdb", "workflows", "--port", "0"]
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout
        atexit.register(self.process.kill)
        self.url, self.token = "", token
        for line in self.process.stdout:
            self.token = line.strip() if line.startswith("ok_") else self.token
            if line.startswith("Serving"):
                self.url = line.split()[-1]
                break
        else:
            message = f"orchkit serve ended: {self.process.wait()}"
            raise SystemExit(message)
        self.seconds_to_start = time.perf_counter() - begun

    def client(self) -> httpx.Client:
        """Return a client that asks as the first admin."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=60)

    def end(self, number: int) -> None:
        """Send a signal, and wait for the process to end."""
        self.process.send_signal(number)
        self.process.wait(60)

    def used_s(self) -> float:
        """Return the processor time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return the memory that it holds."""
        line = next(x for x in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if "VmRSS" in x)
        return int(line.split()[1]) / 1024


@dataclass
class Answers:
    """What was answered: the seconds that each took, the identifiers of what was started, the other statuses."""

    seconds: list[float] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def line(self, elapsed_s: float) -> str:
        """Return rate and percentiles, in words."""
        found = statistics.quantiles(self.seconds, n=100)
        return (
            f"{len(self.seconds) / elapsed_s:>8,.0f} a second   median {found[49] * 1e3:>6.1f} ms"
            f"   p99 {found[98] * 1e3:>6.1f} ms   {len(self.seconds):,} answered, {len(self.refused)} refused"
        )


async def ask(url: str, token: str, requests: Iterator[tuple[str, dict[str, object]]], answers: Answers) -> None:
    """Send requests over one connection, each when the one before is answered, until it breaks or there are no more."""
    place = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
    except OSError:
        return
    try:
        for path, body in requests:
            content = json.dumps(body).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            begun = time.perf_counter()
            writer.write(head.encode() + content)
            told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(told.partition("content-length:")[2].split("\r\n")[0] or 0)
            content = await reader.readexactly(size)
            status = int(told.split()[1])
            if status not in {200, 201, 204}:
                answers.refused.append(status)
                continue
            answers.seconds.append(time.perf_counter() - begun)
            if content:
                answers.runs.append(json.loads(content)["run_id"])
    except (OSError, asyncio.IncompleteReadError):
        return  # the service was killed
    finally:
        writer.close()


async def load(served: Served, connections: int, requests: Iterator[tuple[str, dict[str, object]]]) -> Answers:
    """Send requests over so many connections, and return what was answered.

    Each has a token of its own, since a token may not ask more than 1,000 times a second.
    """
    with served.client() as client:
        made = [client.post("/v1/tokens", json={"name": f"load {n}", "role": "operate"}) for n in range(connections)]
    answers = Answers()
    await asyncio.gather(*(ask(served.url, one.json()["token"], requests, answers) for one in made))
    return answers


def starts(seconds: float, first: int = 0) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield starts of new cases for so long."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        yield "/v1/runs", {"workflow": "noop", "case_id": str(first)}
        first += 1


def own_rate(folder: Path, threads: int, seconds: float) -> Answers:
    """Return how soon an engine of this process acknowledges starts, asked by so many threads."""
    answers, noop = Answers(), ok.read_workflow(WORKFLOWS["noop"])
    with ok.Engine(folder / "own.duckdb", handlers={"step": lambda: None}) as engine:
        engine.deploy(noop)
        until = time.perf_counter() + seconds

        def begin(number: int) -> None:
            case = 0
            while time.perf_counter() < until:
                begun = time.perf_counter()
                engine.start("noop", case_id=f"{number}-{case}")
                answers.seconds.append(time.perf_counter() - begun)
                case += 1

        workers = [threading.Thread(target=begin, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return answers


def under_load(folder: Path, connections: int, seconds: float) -> None:
    """Print the rate of starts beside the engine's own, and what a kill in the middle loses."""
    served = Served(folder)
    print(f"orchkit serve answers after {served.seconds_to_start:.1f} s")
    begun = time.perf_counter()
    answers = asyncio.run(load(served, connections, starts(seconds)))
    elapsed_s = time.perf_counter() - begun
    print(f"starts over HTTP, {connections} connections   {answers.line(elapsed_s)}")
    served_rate = len(answers.seconds) / elapsed_s
    own = own_rate(folder, connections, seconds / 2)
    print(f"engine.start, {connections} threads           {own.line(seconds / 2)}")
    print(f"over HTTP, {served_rate / (len(own.seconds) / (seconds / 2)):.2f} times the engine's own rate")

    killer = threading.Timer(seconds / 4, served.process.send_signal, [signal.SIGKILL])
    killer.start()
    told = asyncio.run(load(served, connections, starts(seconds / 2, first=10_000_000)))
    killer.join()
    served.process.wait(60)
    served = Served(folder, served.token)
    acknowledged, status = set(told.runs), dict[str, str]()
    until = time.perf_counter() + LONGEST_S
    with served.client() as client:
        while not status or (set(status.values()) != {"COMPLETED"} and time.perf_counter() < until):
            answer = client.post("/v1/sql", json={"query": _STANDING})
            if answer.is_error:
                raise SystemExit(answer.text)
            status = {run: state for run, state in answer.json()["rows"] if run in acknowledged}
    served.end(signal.SIGTERM)
    lost = len(acknowledged - status.keys())
    print(
        f"killed with SIGKILL after {len(told.runs):,} acknowledged starts: {lost} lost, "
        f"{sum(state == 'COMPLETED' for state in status.values()):,} of the others COMPLETED; "
        f"it answers again after {served.seconds_to_start:.1f} s"
    )


def at_rest(folder: Path, connections: int, runs: int, schedules: int) -> None:
    """Print what many waiting runs and schedules take, and how soon a callback is answered among them."""
    parcel = ok.read_workflow(WORKFLOWS["parcel"])
    with ok.Engine(folder / "state.duckdb", handlers={"step": lambda: None}) as engine:
        engine.deploy(parcel)

        async def begin() -> list[str]:
            started = await asyncio.gather(*(engine.start_async("parcel", case_id=str(case)) for case in range(runs)))
            return [run.id for run in started]

        waiting = asyncio.run(begin())
        engine.deploy(ok.read_workflow(WORKFLOWS["noop"]))
        for number in range(schedules):
            engine.schedule("noop", f"nightly-{number}", cron=f"{number % 60} 3 * * *", time_zone="Europe/Paris")
    served = Served(folder)
    print(f"{runs:,} waiting runs and {schedules:,} schedules are there again after {served.seconds_to_start:.1f} s")
    time.sleep(2)
    used, resting_s = served.used_s(), 10
    time.sleep(resting_s)
    share = (served.used_s() - used) / resting_s
    print(f"at rest: {served.memory_mb():.0f} MB, {share:.1%} of a core")

    def callbacks(those: list[str]) -> Iterator[tuple[str, dict[str, object]]]:
        for run in those:
            yield f"/v1/runs/{run}/callbacks/complete", {"callback": "carrier", "payload": {"signed_by": "Ada"}}

    half = min(2_000, runs // 2)
    for count, those in ((1, waiting[:half]), (connections, waiting[half:])):
        begun = time.perf_counter()
        answers = asyncio.run(load(served, count, callbacks(those)))
        print(f"callbacks, {count:>2} at once   {answers.line(time.perf_counter() - begun)}")
    served.end(signal.SIGTERM)


def main() -> None:
    """Measure, in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rest", action="store_true")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--schedules", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "workflows").mkdir()
        (folder / "workflows" / "handlers.py").write_text(HANDLERS)
        for workflow, text in WORKFLOWS.items():
            (folder / "workflows" / f"{workflow}.yaml").write_text(text)
        if given.rest:
            at_rest(folder, given.connections, given.runs, given.schedules)
        else:
            under_load(folder, given.connections, min(given.seconds, LONGEST_S))


if __name__ == "__main__":
    main()
