"""What docs/operate.md says to do when something breaks: each section of it has its test here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import orchkit as ok

PAGE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
ORDER = ok.workflow("order", [ok.task("pay"), ok.wait_for(callback="packed"), ok.task("ship")])

HOLD = """
import sys, time, orchkit as ok
engine = ok.Engine(sys.argv[1], handlers={"pay": lambda: "paid", "ship": lambda: "sent"})
order = ok.workflow("order", [ok.task("pay"), ok.wait_for(callback="packed"), ok.task("ship")])
for case in range(3):
    engine.start(order, case_id=str(case))
print("open", flush=True)
time.sleep(60)
"""
SERVE = """
import sys, time, orchkit as ok
service = ok.Service(sys.argv[1], port=0)
service.engine.deploy(ok.workflow("order", [ok.wait_for(callback="packed")]))
print(service.url, service.token, flush=True)
time.sleep(60)
"""
FILL = """
import resource, signal, sys, orchkit as ok
from orchkit.errors import StoreFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
work = ok.workflow("w", [ok.task("work"), ok.wait_for(callback="go_on")])
engine = ok.Engine(sys.argv[1], handlers={"work": lambda text: text})
engine.start(work, {"text": "x"}, case_id="first")
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
try:
    for case in range(1_000):
        engine.start(work, {"text": str(case) * 50_000}, case_id=str(case))
        print(case, flush=True)
except StoreFull as error:
    print("full", flush=True)
engine.close("0 s")
"""


class Systems:
    """What is asked: it looks at idempotency keys."""

    def __init__(self):
        self.done = {}
        self.down = False

    def pay(self, idempotency_key):
        return self.done.setdefault(idempotency_key, "paid")

    def ship(self, idempotency_key):
        if self.down:
            raise ok.TransientError("no answer")
        return self.done.setdefault(idempotency_key, "sent")


@pytest.fixture
def systems():
    return Systems()


@pytest.fixture
def handlers(systems):
    return [systems.pay, systems.ship]


def finish(engine, cases):
    for case in cases:
        run = engine.find("order", case)
        if not run.status.is_final:
            engine.complete(run, "packed")
            run.wait("30 s")


def test_each_section_of_the_page_has_its_test():
    part = PAGE[PAGE.index("## When something breaks") :]
    sections = [title.lower().replace(" ", "_") for title in re.findall(r"(?m)^### (.+)$", part)]

    assert [title for title in sections if f"test_{title}" not in globals()] == []
    assert len(sections) == 8


def test_an_engine_was_killed(tmp_path, handlers):
    path = tmp_path / "s.duckdb"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        process.kill()
    with ok.Engine(path, handlers[:1]) as engine:
        finish_waits = [engine.find("order", str(case)) for case in range(3)]
        for run in finish_waits:
            engine.complete(run, "packed")
        while len(engine.parked) < 3:
            pass
        engine.add_handlers(handlers[1:])
        assert [run.wait("30 s").status for run in finish_waits] == ["COMPLETED"] * 3


def test_the_store_is_locked(tmp_path, handlers):
    path = tmp_path / "s.duckdb"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        with pytest.raises(ok.StoreLocked, match=str(process.pid)):
            ok.Engine(path, handlers)
        process.kill()
    with ok.Engine(path, handlers) as engine:
        copy = engine.backup(tmp_path / "copy.duckdb")
        with ok.Engine(copy, handlers) as other:
            assert len(other.runs()) == len(engine.runs()) == 3


def test_the_store_is_full(tmp_path):
    path = tmp_path / "s.duckdb"
    told = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    *acknowledged, last = told.stdout.split()

    assert last == "full", told.stdout + told.stderr
    with ok.Engine(path, handlers={"work": lambda text: text}) as engine:
        known = set(engine.runs(None)["case_id"])
        assert {"first", *acknowledged} <= known
        for case in known:
            engine.complete(engine.find("w", case), "go_on")
            assert engine.find("w", case).wait("30 s").status == "COMPLETED"


def test_the_service_is_down(tmp_path):
    def asked(url, token):
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            started = client.post("/v1/runs", json={"workflow": "order", "case_id": "A-1"})
            told = client.post("/v1/events", json={"event": "seen", "message_id": "m-1"})
            path = f"/v1/runs/{started.json()['run_id']}/callbacks/complete"
            done = client.post(path, json={"callback": "packed"})
        return started.status_code, told.status_code, done.status_code

    command, tokens, found = [sys.executable, "-c", SERVE, str(tmp_path / "s.duckdb")], [], []
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            url, token = process.stdout.readline().split()
            tokens.append(token)
            found.append(asked(url, tokens[0]))
            process.kill()

    assert tokens[1] == "None"
    assert found == [(201, 200, 204), (200, 200, 409)]


def test_the_store_is_damaged(tmp_path, handlers):
    path = tmp_path / "s.duckdb"
    with ok.Engine(path, handlers) as engine:
        engine.start(ORDER, case_id="1")
        backup = engine.backup(tmp_path / "backup.duckdb")
    whole = path.read_bytes()
    path.write_bytes(b"?" * 4096 + whole[4096:])
    with pytest.raises(ok.StoreCorrupt):
        ok.Engine(path, handlers)
    path.rename(tmp_path / "kept")
    shutil.copy(backup, path)
    with ok.Engine(path, handlers) as engine:
        finish(engine, ["1"])
        assert engine.find("order", "1").status == "COMPLETED"


def test_the_store_is_lost(tmp_path, handlers, systems):
    path = tmp_path / "s.duckdb"
    with ok.Engine(path, handlers) as engine:
        for case in "12":
            engine.start(ORDER, case_id=case)
        finish(engine, "1")
        backup = engine.backup(tmp_path / "backup.duckdb")
        engine.start(ORDER, case_id="3")
        finish(engine, "23")
    done = dict(systems.done)
    path.unlink()
    shutil.copy(backup, path)
    with ok.Engine(path, handlers) as engine:
        for case in "123":
            engine.start(ORDER, case_id=case)
        finish(engine, "123")
        assert engine.runs()["status"].tolist() == ["COMPLETED"] * 3

    assert systems.done == done
    assert len(done) == 6


def test_a_system_was_down_for_hours(handlers, systems):
    once = ok.workflow("order", [ok.task("pay"), ok.task("ship", retry={"max_attempts": 1})])
    systems.down = True
    with ok.Engine(handlers=handlers) as engine:
        for case in range(5):
            engine.run(once, case_id=str(case))
        letters = engine.dead_letters()
        systems.down = False
        engine.retry(letters["run_id"][0], by="Ada").wait("30 s")
        engine.retry_many(letters["run_id"][1:], by="Ada")
        for run_id in letters["run_id"]:
            engine.wait(run_id, "30 s")
        assert engine.runs()["status"].tolist() == ["COMPLETED"] * 5
        assert engine.dead_letters().empty


def test_runs_go_wrong_because_of_a_mistake_in_the_workflow_or_a_handler(systems):
    undone = []
    saga = ok.saga([ok.task("pay", compensate=ok.task("pay_back"))], name="trip")
    wrong = ok.workflow("order", [saga, ok.wait_for(callback="packed"), ok.task("shop", retry={"max_attempts": 1})])
    right = ok.workflow("order", [saga, ok.wait_for(callback="packed"), ok.task("ship")], version="2")
    stays = ok.workflow("order", [saga, ok.wait_for(callback="packed"), ok.task("shop", python="ship")], version="3")

    def shop():
        raise ok.PermanentError("there is no shop")

    handlers = {"pay": systems.pay, "ship": systems.ship, "shop": shop, "pay_back": lambda: undone.append(1)}
    with ok.Engine(handlers=handlers) as engine:
        failed, waits = engine.start(wrong, case_id="1"), engine.start(wrong, case_id="2")
        engine.complete(failed, "packed")
        assert failed.wait("30 s").status == "FAILED"
        engine.deploy(right)
        engine.retry(failed, to=stays, by="Ada").wait("30 s")
        engine.migrate(waits, right, by="Ada")
        engine.complete(waits, "packed")
        other = engine.start(wrong, case_id="3")
        engine.cancel(other)
        other.wait("30 s")
        engine.retry(other, from_start=True, to=right, by="Ada")
        engine.complete(other, "packed")
        for run in (waits, other):
            engine.wait(run.id, "30 s")
        assert engine.runs()["status"].tolist() == ["COMPLETED"] * 3
