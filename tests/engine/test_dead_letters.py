from __future__ import annotations

import random
from collections import Counter

import pytest

import orchkit as ok
from orchkit.executors import PythonExecutor
from orchkit.testing import FaultyExecutor, VirtualClock
from orchkit.testing.worlds import random_workflow

ONCE = ok.Retry(max_attempts=1)


class Shop:
    """A system that is down, until it is mended."""

    def __init__(self):
        self.down = True
        self.asked = Counter()

    def ship(self, address, idempotency_key):
        self.asked[idempotency_key] += 1
        if self.down and address != "Rome":
            raise ok.TransientError("no answer")
        return f"sent to {address}"


@pytest.fixture
def shop():
    return Shop()


ORDER = ok.workflow("order", [ok.task("ship", retry={"max_attempts": 2, "initial_delay": "1 s"})])


def test_a_dead_letter_says_what_failed_and_with_which_input(shop):
    with ok.Engine(handlers=[shop.ship], clock=VirtualClock()) as engine:
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        engine.run(ORDER, {"address": "Rome"}, case_id="A-2")
        (row,) = engine.dead_letters().to_dict("records")

    assert (row["case_id"], row["workflow"], row["node"], row["attempts"]) == ("A-1", "order", "ship", 2)
    assert (row["error_class"], row["error_type"], row["error_message"]) == ("transient", "TransientError", "no answer")
    assert (row["inputs"], str(row["since"])[:19]) == ({"address": "Oslo"}, "2027-01-01 00:00:01")


def test_a_replayed_run_goes_on_under_its_id_with_new_attempts_and_the_same_key(shop):
    with ok.Engine(handlers=[shop.ship], clock=VirtualClock()) as engine:
        run = engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        shop.down = False
        again = engine.retry(run, by="Ada", reason="mended").wait()

        assert (again.id, again.status) == (run.id, "COMPLETED")
        assert run.steps()[["attempt", "status"]].values.tolist() == [[1, "FAILED"], [2, "FAILED"], [3, "COMPLETED"]]
        assert list(shop.asked.values()) == [3]
        decided = run.history().query("kind == 'decision'")
        assert decided[["status", "resource"]].values.tolist() == [["REPLAYED", "Ada"]]
        assert engine.log().cases["status"].tolist() == ["COMPLETED"]


def test_a_run_from_the_start_gets_new_steps_and_mended_inputs(shop):
    with ok.Engine(handlers=[shop.ship]) as engine:
        workflow = ok.workflow("order", [ok.task("ship", retry=ONCE)], inputs={"address": {"type": "string"}})
        run = engine.run(workflow, {"address": "Oslo"})
        engine.retry(run, {"address": "Rome"}, from_start=True).wait()

        assert (run.status, run.variables["ship"]) == ("COMPLETED", "sent to Rome")
        assert run.steps()["step_id"].nunique() == 2
        with pytest.raises(ok.RunError, match="is COMPLETED"):
            engine.retry(run)


def test_what_is_refused_changes_nothing(shop):
    with ok.Engine(handlers=[shop.ship]) as engine:
        inputs = {"address": {"type": "string"}}
        run = engine.run(ok.workflow("order", [ok.task("ship", retry=ONCE)], inputs=inputs), {"address": "Oslo"})
        rows = len(run.history())

        with pytest.raises(ok.InputError, match="adress"):
            engine.retry(run, {"adress": "Rome"}, from_start=True)
        with pytest.raises(ok.RunNotFound):
            engine.retry("nobody")
        with pytest.raises(ok.RunNotFound):
            engine.discard("nobody", "why not")
        waiting = engine.start(ok.workflow("w", [ok.wait_for(callback="x")]))
        with pytest.raises(ok.RunError, match="has not ended"):
            engine.retry(waiting)
        engine.cancel(waiting)
        with pytest.raises(ok.RunError, match="only a dead letter"):
            engine.discard(waiting.wait(), "why not")
        assert len(run.history()) == rows


def test_many_are_decided_at_once_and_the_refused_do_not_hold_up_the_others(shop):
    with ok.Engine(handlers=[shop.ship], clock=VirtualClock()) as engine:
        for case in range(6):
            engine.run(ORDER, {"address": "Oslo"}, case_id=str(case))
        ids = engine.dead_letters()["run_id"].tolist()
        shop.down = False
        found = engine.retry_many([*ids[:3], "nobody"], by="Ada")
        for run_id in ids[:3]:
            engine.wait(run_id)
        gone = engine.discard_many(ids[3:5], "too late", by="Ada")

        assert found["accepted"].tolist() == [True, True, True, False]
        assert "There is no run 'nobody'" in found["problem"].tolist()[-1]
        assert gone["accepted"].all()
        assert engine.dead_letters()["run_id"].tolist() == ids[5:]
        assert engine.runs()["status"].value_counts().to_dict() == {"COMPLETED": 3, "FAILED": 2, "DEAD_LETTERED": 1}


def test_a_called_run_and_its_callers_are_one_dead_letter(shop):
    deliver = ok.workflow("deliver", [ok.task("ship", retry=ONCE)])
    order = ok.workflow("order", [ok.call(deliver, inputs={"address": "${address}"}), ok.task("close")])
    with ok.Engine(handlers={"ship": shop.ship, "close": lambda: "closed"}) as engine:
        run = engine.run(order, {"address": "Oslo"}, case_id="A-1")
        (row,) = engine.dead_letters().to_dict("records")
        child = engine.runs().query("workflow == 'deliver'")["run_id"].item()
        engine.retry(child, {"address": "Rome"})
        run.wait()

        assert (row["run_id"], row["node"], row["error_message"]) == (run.id, "deliver/ship", "no answer")
        assert (run.status, run.variables["deliver"]["ship"]) == ("COMPLETED", "sent to Rome")
        assert len(engine.runs()) == 2


def test_mended_inputs_of_the_caller_reach_the_run_that_it_calls(shop):
    deliver = ok.workflow("deliver", [ok.task("ship", retry=ONCE)])
    order = ok.workflow("order", [ok.call(deliver, inputs={"address": "${address}"})])
    with ok.Engine(handlers=[shop.ship]) as engine:
        run = engine.run(order, {"address": "Oslo"})
        engine.retry(run, {"address": "Rome"}).wait()

        assert run.variables["deliver"]["ship"] == "sent to Rome"


def test_an_item_is_mended_where_its_pass_sees_it():
    def pack(line):
        if line == "?":
            raise ok.PermanentError("what is it?")
        return line.upper()

    workflow = ok.workflow("w", [ok.for_each("lines", [ok.task("pack")], item="line", name="packed", concurrency=2)])
    with ok.Engine(handlers=[pack]) as engine:
        run = engine.run(workflow, {"lines": ["a", "?", "c"]})
        assert run.status == "FAILED"
        engine.retry(run, {"line": "b"}).wait()

        assert run.variables["packed"] == [{"pack": "A"}, {"pack": "B"}, {"pack": "C"}]
        assert "line" not in run.variables


def test_a_replay_survives_a_restart_and_old_timers_do_not_count(tmp_path):
    clock = VirtualClock(skip=False)
    workflow = ok.workflow(
        "w",
        [
            ok.parallel(
                ok.task("ship", retry=ONCE), ok.wait_for(callback="paid", timeout="1 h", on_timeout=[ok.task("remind")])
            )
        ],
    )
    down = [True]

    def ship():
        if down:
            raise ok.TransientError("no answer")
        return "sent"

    handlers = {"ship": ship, "remind": lambda: "reminded"}
    with ok.Engine(tmp_path / "s.duckdb", handlers, clock=clock) as engine:
        run = engine.run(workflow, case_id="A")
        assert run.status == "DEAD_LETTERED"
        clock.advance("50 min")
        down.clear()
        engine.retry(run)
    with ok.Engine(tmp_path / "s.duckdb", handlers, clock=clock) as engine:
        run = engine.find("w", "A")
        clock.advance("20 min")
        assert run.status == "WAITING"
        clock.advance("41 min")
        run.wait("30 s")
        assert (run.status, run.variables["remind"], run.variables["ship"]) == ("COMPLETED", "reminded", "sent")


def by_fault(engine):
    """Return the dead letters that are there because of a fault; others fail each time, such as endless loops."""
    letters = engine.dead_letters(failed=True)
    return letters[letters["error_message"].str.contains("made-up")]


@pytest.mark.parametrize("seed", range(6))
def test_random_workflows_that_failed_are_replayed_to_their_end(seed, tmp_path):
    rng = random.Random(seed)
    workflows = [random_workflow(rng, f"w{number}") for number in range(5)]
    path = tmp_path / "s.duckdb"

    class Whatever(PythonExecutor):
        def problem_with(self, _task):
            return None

        def prepare(self, attempt):
            return lambda: rng.randrange(6) if attempt.task.output == "n" else attempt.step_id

    def engine_of(share):
        faulty = FaultyExecutor(Whatever(), transient=share, permanent=share / 3, seed=seed)
        return ok.Engine(path, executors={"python": faulty}, clock=VirtualClock())

    inputs = {"n": 3, "items": [1, 2, 3]}
    with engine_of(0.3) as engine:
        runs = [engine.start(workflow, inputs, case_id=str(n)) for workflow in workflows for n in range(4)]
        for run in runs:
            run.wait("30 s")
        letters = engine.dead_letters(failed=True)
    with engine_of(0.3) as engine:  # some fail again, some are cut off by the end of this engine
        engine.retry_many(letters["run_id"])
        for run_id in letters["run_id"][::2]:
            engine.wait(run_id, "30 s")
    with engine_of(0.0) as engine:
        for run in runs:
            engine.wait(run.id, "30 s")
        for _ in range(4):  # a step after a replayed one may have been given up too, and a saga's compensation
            found = engine.retry_many(by_fault(engine)["run_id"])
            assert found["accepted"].all(), found["problem"].tolist()
            for run_id in found["run_id"]:
                engine.wait(run_id, "30 s")
        left = by_fault(engine)
        statuses = Counter(engine.runs()["status"])
        steps = engine.log().steps
        opened = engine.sql("SELECT run_id, step_id FROM history WHERE kind = 'task' AND status = 'COMPLETED'")

    assert left.empty
    assert set(statuses) <= {"COMPLETED", "COMPENSATED", "FAILED", "CANCELLED"}
    assert letters.shape[0] > 0
    assert not opened.duplicated().any()
    assert (steps.groupby(["run_id", "step_id"])["attempt"].max() >= 1).all()
