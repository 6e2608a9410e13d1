"""Same seed, same log, byte for byte, wherever the replications run; and what is interrupted leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pyarrow as pa
import pytest

import orchkit as ok

ORDER = ok.workflow(
    "order",
    [
        ok.task("check", role="clerk", retry=ok.Retry(max_attempts=3, initial_delay="1 min")),
        ok.choice(ok.when("x", [ok.task("ship", role="packer")]), ok.otherwise([ok.task("reject", role="clerk")])),
    ],
)
TODAY = ok.Scenario(
    ok.exponential("12 min"),
    {"check": ok.lognormal("8 min", "6 min"), "ship": ok.gamma(2, "10 min"), "reject": "2 min"},
    {"clerk": ok.Resource(2, calendar=ok.office_hours()), "packer": 2},
    branching={"choice_1": {"ship": 0.8, "reject": 0.2}},
    failures={"check": ok.Failure(0.1)},
)


def content(executor=None):
    """Return every byte of a log."""
    log = ok.simulate(ORDER, TODAY, cases=200, replications=6, seed=11, executor=executor, progress=False)
    sink = pa.BufferOutputStream()
    for frame in (log.steps, log.cases, log.availability):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def expected():
    return content()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_threads_give_the_same_log(expected, count):
    with ThreadPoolExecutor(count) as executor:
        assert content(executor) == expected


def test_processes_give_the_same_log(expected):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert content(executor) == expected


@pytest.mark.filterwarnings("ignore")  # what its libraries say about themselves is not about us
def test_a_dask_cluster_of_two_processes_gives_the_same_log(expected, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert content(client.get_executor()) == expected
        assert len(client.scheduler_info()["workers"]) == 2


def test_a_sweep_over_workers_is_the_same_table():
    settings = {"resources.packer": [1, 2]}
    with ThreadPoolExecutor(2) as executor:
        tables = [
            ok.sweep(ORDER, TODAY, settings, cases=50, replications=2, executor=one, progress=False)
            for one in (None, executor)
        ]
    assert tables[0].equals(tables[1])


CHILD = """
import os, signal, sys, tempfile, threading, time
import orchkit as ok

order = ok.workflow("order", [ok.task("check", role="clerk")])
today = ok.Scenario(ok.exponential("10 min"), {"check": ok.exponential("9 min")}, {"clerk": 1})
ok.simulate(order, today, cases=10, progress=False)
before, threads = set(os.listdir(tempfile.gettempdir())), set(threading.enumerate())
told = []

def interrupt(*_):
    told.append(time.monotonic())
    raise KeyboardInterrupt

signal.signal(signal.SIGINT, interrupt)
timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
try:
    timer.start()
    WORK
except KeyboardInterrupt:
    took = time.monotonic() - told[0]
timer.join()
deadline = time.monotonic() + 30
while set(threading.enumerate()) - threads and time.monotonic() < deadline:
    time.sleep(0.01)
left = [thread.name for thread in set(threading.enumerate()) - threads]
print(round(took, 2), left, sorted(set(os.listdir(tempfile.gettempdir())) - before))
log = ok.simulate(order, today, cases=10, progress=False)
print(len(log))
"""


@pytest.mark.parametrize(
    "work",
    [
        "ok.simulate(order, today, cases=900, replications=1_000_000)",
        "ok.simulate(order, today, until='900000 d', seed=1)",
        "ok.sweep(order, today, {'resources.clerk': [1] * 5_000}, cases=50_000, replications=2)",
        "ok.staff(order, today, target='cycle_time < 1 min', roles={'clerk': range(1, 5_000)}, cases=50_000)",
    ],
    ids=lambda work: work.split("(")[0],
)
def test_what_is_interrupted_stops_within_a_second_and_leaves_nothing(work, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for _ in range(3):  # a second may pass while others have the processor, but not each time
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(CHILD).replace("WORK", work)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env=environment,
        )

        assert ran.returncode == 0, ran.stderr[-2000:]
        first, second = ran.stdout.splitlines()
        took, left = first.split(" ", 1)
        assert left == "[] []"
        assert second == "10"
        if float(took) < 1:
            break
    assert float(took) < 1
    assert signal.getsignal(signal.SIGINT) is not None


def test_long_work_shows_its_progress(capsys):
    ok.simulate(ORDER, TODAY, cases=50, replications=3, progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "replication" in shown

    ok.simulate(ORDER, TODAY, cases=50, replications=3, progress=False)
    assert capsys.readouterr().err == ""
