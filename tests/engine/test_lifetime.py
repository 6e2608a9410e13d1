"""How engines begin, live beside others, are interrupted, and end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import duckdb
import pandas as pd
import pytest

import orchkit as ok
from orchkit.engine.threads import Threads
from orchkit.executors import PythonExecutor
from orchkit.store import Store
from orchkit.testing import VirtualClock


def test_an_engine_in_another_process_is_named_with_how_to_read_meanwhile(tmp_path):
    path = tmp_path / "state.duckdb"
    program = "import sys, orchkit as ok\nengine = ok.Engine(sys.argv[1])\nprint('open', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ok.StoreLocked) as told:
            ok.Engine(path)
        other.stdin.close()

    assert f"in use by process {other.pid} (" in str(told.value)
    assert "to read while it runs, ask that engine" in str(told.value)
    with ok.Engine(path) as engine:
        assert engine.runs().empty


def test_a_second_engine_of_this_process_says_so_and_the_first_one_goes_on(tmp_path):
    path = tmp_path / "state.duckdb"
    with ok.Engine(path, handlers={"a": lambda: 1}) as engine:
        with pytest.raises(ok.StoreLocked, match=rf"already open in this process \({os.getpid()}\)"):
            ok.Engine(path)

        assert engine.run(ok.workflow("w", [ok.task("a")])).status == "COMPLETED"


@pytest.fixture
def interrupts():
    """Ctrl-C as in a notebook, also where whoever started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_run_many_that_is_interrupted_goes_on_with_the_same_call(tmp_path):
    calls = []

    def work(n):
        calls.append(n)
        if len(calls) == 30:
            os.kill(os.getpid(), signal.SIGINT)

    workflow = ok.workflow("w", [ok.task("work")])
    cases = pd.DataFrame({"case_id": range(300), "n": range(300)})
    with ok.Engine(tmp_path / "state.duckdb", handlers=[work], limits={"python": 4}) as engine:
        with pytest.raises(KeyboardInterrupt):
            engine.run_many(workflow, cases, concurrency=8, progress=False)
        outcomes = engine.run_many(workflow, cases, concurrency=8, progress=False)

    assert outcomes["status"].tolist() == ["COMPLETED"] * 300
    assert sorted(calls) == list(range(300))


def test_closing_lets_an_attempt_end_and_begins_nothing_new(tmp_path):
    path = tmp_path / "state.duckdb"
    begun, hold = threading.Event(), threading.Event()

    def first():
        begun.set()
        hold.wait(30)

    workflow = ok.workflow("w", [ok.task("first"), ok.task("then")])
    calls = []
    engine = ok.Engine(path, handlers={"first": first, "then": lambda: calls.append("then")})
    run = engine.start(workflow, case_id="A")
    assert begun.wait(30)
    closing = threading.Thread(target=engine.close)
    closing.start()
    while not engine._loop.is_closing:
        time.sleep(0)
    with pytest.raises(ok.EngineClosed):
        engine.start(workflow, case_id="B")
    hold.set()
    closing.join(30)

    assert not closing.is_alive()
    assert calls == []
    with ok.Engine(path, handlers={"first": lambda: None, "then": lambda: calls.append("then")}) as again:
        history = again.find("w", "A").wait("30 s").history()
    assert calls == ["then"]
    assert history[history["node"] == "first"]["status"].tolist() == ["RUNNING", "COMPLETED"]
    assert run.id == history["run_id"][0]


@pytest.mark.usefixtures("interrupts")
def test_closing_that_is_interrupted_gives_the_file_up_all_the_same(tmp_path):
    path = tmp_path / "state.duckdb"
    begun, hold = threading.Event(), threading.Event()

    def work():
        begun.set()
        hold.wait(30)

    engine = ok.Engine(path, handlers=[work])
    engine.start(ok.workflow("w", [ok.task("work")]), case_id="A")
    assert begun.wait(30)
    interrupting = threading.Thread(target=interrupt_in, args=["join", threading.get_ident()])
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        engine.close()
    hold.set()

    with ok.Engine(path, handlers=[work]) as again:
        assert again.find("w", "A").wait("30 s").status == "COMPLETED"


def interrupt_in(name, ident):
    """Press Ctrl-C once a thread is in a function of `threading`."""
    while True:
        frame = sys._current_frames()[ident]
        while frame is not None and frame.f_code.co_filename == threading.__file__:
            if frame.f_code.co_name == name:
                os.kill(os.getpid(), signal.SIGINT)
                return
            frame = frame.f_back
        time.sleep(0.001)


def test_an_engine_that_cannot_begin_gives_the_file_up(tmp_path):
    before = set(threading.enumerate())
    path = tmp_path / "state.duckdb"
    with ok.Engine(path) as engine:
        engine.start(ok.workflow("w", [ok.wait_for(callback="go")]), case_id="A")
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE definitions SET document = '{}'")

    with pytest.raises(ok.WorkflowError):
        ok.Engine(path)

    left = {thread for thread in threading.enumerate() if thread.name.startswith("orchkit")} - before
    assert left == set()
    with Store(path) as store:
        assert len(store.runs()) == 1


def test_closing_tells_whoever_waits_that_the_run_goes_on_later():
    engine = ok.Engine()
    run = engine.start(ok.workflow("w", [ok.wait_for(callback="go")]))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.wait)
        engine.close()
        with pytest.raises(ok.EngineClosed, match="goes on when the file is opened again"):
            waiting.result(30)


def test_an_engine_leaves_no_thread_and_the_collector_as_it_was():
    before, threshold = set(threading.enumerate()), gc.get_threshold()

    async def double(x):
        return x * 2

    with ok.Engine(handlers=[double]) as engine, ok.Engine(handlers={"one": lambda: 1}) as other:
        assert gc.get_threshold()[0] == max(threshold[0], 10_000)
        engine.run(ok.workflow("w", [ok.task("double")]), {"x": 2})
        other.run(ok.workflow("w", [ok.task("one")]))

    assert gc.get_threshold() == threshold
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(30)
    assert not any(thread.is_alive() for thread in left)


def test_many_runs_wait_for_long_and_cost_nothing_meanwhile(tmp_path):
    path = tmp_path / "state.duckdb"
    workflow = ok.workflow("w", [ok.wait_for(timer="90 days", name="quarter")])
    clock = VirtualClock("2027-01-01T00:00:00+00:00", skip=False)
    with ok.Engine(path, clock=clock) as engine:
        runs = [engine.start(workflow, case_id=str(number)) for number in range(50)]
        commits = engine.commits
        assert {run.status for run in runs} == {"WAITING"}
        assert engine.commits == commits

    with ok.Engine(path, clock=VirtualClock("2027-01-31T00:00:00+00:00")) as engine:
        for number in range(50):
            engine.find("w", str(number)).wait("30 s")
        ended = engine.runs()["ended_at"]
    assert set(ended.dt.strftime("%Y-%m-%d")) == {"2027-04-01"}


def test_a_limit_by_executor_bounds_its_attempts_and_leaves_others_alone():
    lock, running, peak, others = threading.Lock(), 0, 0, threading.Event()

    def narrow():
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        others.wait(30)
        with lock:
            running -= 1

    def wide():
        others.set()

    workflow = ok.workflow("w", [ok.parallel(ok.task("narrow", executor="slow"), ok.task("wide"))])
    slow = PythonExecutor({"narrow": narrow})
    with ok.Engine(handlers=[wide], executors={"slow": slow}, limits={"slow": 1}) as engine:
        outcomes = engine.run_many(workflow, pd.DataFrame(index=range(12)), progress=False)

    assert set(outcomes["status"]) == {"COMPLETED"}
    assert peak == 1


def test_an_event_goes_to_the_runs_whose_match_fits_its_payload():
    wait = ok.wait_for(event="paid", match="event.order == order.id", name="payment")
    workflow = ok.workflow("w", [wait])
    with ok.Engine(clock=VirtualClock()) as engine:
        runs = {key: engine.start(workflow, {"order": {"id": key}}, case_id=key) for key in ("A", "B")}

        assert engine.publish("paid", {"order": "C"}) == 0
        assert engine.publish("paid", "another shape") == 0
        assert engine.publish("refunded", {"order": "A"}) == 0
        assert engine.publish("paid", {"order": "A", "amount": 7}) == 1
        assert runs["A"].wait("30 s").variables["payment"] == {"order": "A", "amount": 7}
        assert runs["B"].status == "WAITING"


def test_every_verb_has_an_awaitable_twin_that_leaves_the_loop_free():
    workflow = ok.workflow("w", [ok.wait_for(callback="go"), ok.wait_for(event="news", name="news")])

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        with ok.Engine() as engine:
            done = await engine.start_async(workflow, case_id="done")
            await engine.complete_async(done, "go")
            assert await engine.publish_async("news", 1) == 1
            await done.wait_async("30 s")
            failed = await engine.start_async(workflow, case_id="failed")
            await engine.fail_async(failed, "go", "no")
            await failed.wait_async("30 s")
            cancelled = await engine.start_async(workflow, case_id="cancelled")
            await engine.cancel_async(cancelled, "no longer wanted")
            await cancelled.wait_async("30 s")
            late = await engine.start_async(workflow, case_id="late")
            with pytest.raises(TimeoutError):
                await late.wait_async("1 ms")
            ticking.cancel()
            return ticks > 10, [str(run.status) for run in (done, failed, cancelled, late)]

    assert asyncio.run(main()) == (True, ["COMPLETED", "FAILED", "CANCELLED", "WAITING"])


# Threads ---------------------------------------------------------------------------


def test_jobs_that_wait_get_a_thread_each_up_to_the_limit():
    threads, together = Threads(4), threading.Barrier(5)
    for _ in range(4):
        threads.put(lambda: together.wait(30))

    together.wait(30)
    threads.close()


def test_short_jobs_are_all_done_once_whatever_the_threads_do():
    threads, done, seen = Threads(16), threading.Semaphore(0), []

    def job(number):
        seen.append(number)
        done.release()

    for number in range(5_000):
        threads.put(lambda number=number: job(number))
    for _ in range(5_000):
        assert done.acquire(timeout=30)
    threads.close()

    assert sorted(seen) == list(range(5_000))


def test_after_closing_nothing_is_begun():
    threads, seen = Threads(1), []
    threads.close()
    threads.put(lambda: seen.append(1))

    assert seen == []


def test_who_asks_an_engine_that_breaks_is_told_and_does_not_wait():
    class Broken:
        def now(self):
            raise ZeroDivisionError("the clock is broken")

    async def ask(engine):
        return await asyncio.wait_for(engine.publish_async("paid"), 30)

    with ok.Engine(clock=Broken()) as engine:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="the clock is broken"):
                asyncio.run(ask(engine))
