from __future__ import annotations

import threading

import duckdb
import pandas as pd
import pytest

import orchkit as ok
from orchkit.store.schema import PRIMARY
from orchkit.testing import VirtualClock


def test_a_run_goes_on_where_it_was_when_the_file_is_opened_again(tmp_path):
    path = tmp_path / "state.duckdb"
    workflow = ok.workflow("w", [ok.task("first"), ok.wait_for(callback="go"), ok.task("last")])
    calls = []
    handlers = {"first": lambda: calls.append("first"), "last": lambda go: calls.append(go)}
    with ok.Engine(path, handlers=handlers) as engine:
        run = engine.start(workflow, case_id="A")
        wait_until_waiting(run)

    with ok.Engine(path, handlers=handlers) as engine:
        again = engine.find("w", "A")
        assert again.id == run.id
        again.complete("go", "went on")
        assert again.wait("30 s").status == "COMPLETED"

    assert calls == ["first", "went on"]


def test_a_timer_that_was_due_meanwhile_fires_at_once(tmp_path):
    path = tmp_path / "state.duckdb"
    workflow = ok.workflow("w", [ok.wait_for(timer="1 h", name="pause")])
    with ok.Engine(path, clock=VirtualClock("2027-01-01T00:00:00+00:00", skip=False)) as engine:
        engine.start(workflow, case_id="A")

    with ok.Engine(path, clock=VirtualClock("2027-01-01T02:00:00+00:00", skip=False)) as engine:
        assert engine.find("w", "A").wait("30 s").status == "COMPLETED"


def test_a_timer_keeps_what_is_left_of_it(tmp_path):
    path = tmp_path / "state.duckdb"
    workflow = ok.workflow("w", [ok.wait_for(timer="1 h", name="pause")])
    with ok.Engine(path, clock=VirtualClock("2027-01-01T00:00:00+00:00", skip=False)) as engine:
        engine.start(workflow, case_id="A")

    clock = VirtualClock("2027-01-01T00:40:00+00:00")
    with ok.Engine(path, clock=clock) as engine:
        engine.find("w", "A").wait("30 s")

    assert clock.now() == pytest.approx(VirtualClock("2027-01-01T01:00:00+00:00").now())


def test_a_chosen_branch_is_not_chosen_again(tmp_path):
    path = tmp_path / "state.duckdb"
    chosen = ok.choice(ok.when("n > 5", ok.wait_for(callback="high")), ok.otherwise(ok.wait_for(callback="low")))
    with ok.Engine(path) as engine:
        run = engine.start(ok.workflow("w", [chosen]), {"n": 9}, case_id="A")
        wait_until_waiting(run)

    with ok.Engine(path) as engine:
        again = engine.find("w", "A")
        again.complete("high", 1)
        assert again.wait("30 s").variables["high"] == 1


def test_without_its_handler_a_run_waits_and_goes_on_when_it_comes(tmp_path):
    path = tmp_path / "state.duckdb"
    begun, hold = threading.Event(), threading.Event()

    def slow():
        begun.set()
        hold.wait(30)

    workflow = ok.workflow("w", [ok.task("slow"), ok.task("then")])
    engine = ok.Engine(path, handlers={"slow": slow, "then": lambda: 2})
    engine.start(workflow, case_id="A")
    assert begun.wait(30)
    engine.close(timeout="0s")
    hold.set()

    with ok.Engine(path) as reader:
        run = reader.find("w", "A")
        assert run.status == "RUNNING"
        reader.add_handlers({"slow": lambda: 1, "then": lambda: 2})
        assert run.wait("30 s").status == "COMPLETED"


def test_run_many_takes_up_where_it_was(tmp_path):
    path = tmp_path / "state.duckdb"
    workflow = ok.workflow("w", [ok.task("count")])
    calls = []
    cases = pd.DataFrame({"case_id": range(20), "n": range(20)})
    with ok.Engine(path, handlers={"count": lambda n: calls.append(n)}) as engine:
        engine.run_many(workflow, cases.head(10), progress=False)

    with ok.Engine(path, handlers={"count": lambda n: calls.append(n)}) as engine:
        outcomes = engine.run_many(workflow, cases, progress=False)

    assert outcomes["status"].tolist() == ["COMPLETED"] * 20
    assert sorted(calls) == list(range(20))


def test_an_early_callback_survives_a_restart(tmp_path):
    path = tmp_path / "state.duckdb"
    begun, hold = threading.Event(), threading.Event()

    def slow():
        begun.set()
        hold.wait(30)

    workflow = ok.workflow("w", [ok.task("slow"), ok.wait_for(callback="go")])
    engine = ok.Engine(path, handlers=[slow])
    run = engine.start(workflow, case_id="A")
    assert begun.wait(30)
    run.complete("go", "early")
    engine.close(timeout="0s")
    hold.set()

    with ok.Engine(path, handlers={"slow": lambda: None}) as again:
        assert again.find("w", "A").wait("30 s").variables["go"] == "early"


def test_whatever_is_derived_from_the_history_is_made_again_from_it(tmp_path):
    path = tmp_path / "state.duckdb"
    clock = VirtualClock("2027-01-01T00:00:00+00:00", skip=False)
    child = ok.workflow("child", [ok.task("add_one"), ok.wait_for(callback="go")])
    parent = ok.workflow("parent", [ok.call(child, inputs={"x": "${x}"}), ok.task("last")])
    handlers = {"add_one": lambda x: x + 1, "last": lambda: "done", "boom": lambda: 1 / 0}

    def told(engine):
        runs = engine.runs(None)
        states = {each.run_id: (each.state, each.parent) for each in engine.in_flight()}
        handles = [engine.get(run_id) for run_id in runs["run_id"]]
        waits = {name: sorted(active.waits) for name, active in engine._core.active.items()}
        return (
            runs.to_dict("records"),
            states,
            [(run.status, run.variables, run.error, run.workflow) for run in handles],
            [run.history().to_dict("records") for run in handles],
            engine.log().cases.to_dict("records"),
            waits,
            engine._core.next_timer(),
            engine.sql("SELECT * EXCLUDE (seq) FROM runs ORDER BY run_id").to_dict("records"),
        )

    with ok.Engine(path, handlers=handlers, clock=clock) as engine:
        engine.start(parent, {"x": 1}, case_id="A")
        engine.start(ok.workflow("pause", [ok.wait_for(timer="1 h", name="pause")]), case_id="A")
        engine.run(ok.workflow("broken", [ok.task("boom")]), {"n": [1, 2]}, case_id="B")
        engine.start(ok.workflow("paid", [ok.wait_for(event="paid", match="event.n == n")]), {"n": 3}, case_id="C")
        wait_until_waiting(engine.find("parent", "A"))
        wait_until_waiting(engine.get(engine.runs()["run_id"][0]))
        before = told(engine)

    with duckdb.connect(path) as connection:
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        for table in tables - PRIMARY:
            connection.execute(f"DROP TABLE {table}")

    with ok.Engine(path, handlers=handlers, clock=VirtualClock("2027-01-01T00:00:00+00:00", skip=False)) as engine:
        assert repr(told(engine)) == repr(before)
        inner = engine.runs().set_index("workflow").loc["child", "run_id"]
        engine.complete(inner, "go", 7)
        assert engine.find("parent", "A").wait("30 s").variables["last"] == "done"
        assert engine.publish("paid", {"n": 3}) == 1


def test_two_engines_on_one_file_are_refused(tmp_path):
    path = tmp_path / "state.duckdb"
    with ok.Engine(path), pytest.raises(ok.StoreLocked, match=r"state\.duckdb"):
        ok.Engine(path)


def wait_until_waiting(run):
    pause = threading.Event()
    for _ in range(15_000):
        if run.status == "WAITING":
            return
        pause.wait(0.002)
    message = f"the run is {run.status}"
    raise AssertionError(message)
