from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import threading

import pandas as pd
import pytest

import orchkit as ok
from orchkit.testing import VirtualClock


def statuses(run, *, kind="task"):
    history = run.history()
    return [f"{row.node}:{row.status}" for row in history[history["kind"] == kind].itertuples()]


def chain(*names, **more):
    return ok.workflow("chain", [ok.task(name) for name in names], **more)


def add_one(x):
    return x + 1


async def double(add_one):
    await asyncio.sleep(0)
    return add_one * 2


@pytest.fixture
def engine():
    with ok.Engine(handlers=[add_one, double], clock=VirtualClock()) as engine:
        yield engine


def test_plain_and_async_handlers_pass_variables_by_name(engine):
    run = engine.run(chain("add_one", "double"), {"x": 4}, case_id="A")

    assert run.status == "COMPLETED"
    assert dict(run.variables) == {"x": 4, "add_one": 5, "double": 10}
    assert statuses(run) == ["add_one:RUNNING", "add_one:COMPLETED", "double:RUNNING", "double:COMPLETED"]


def test_the_same_case_started_twice_is_one_run(engine):
    first = engine.run(chain("add_one"), {"x": 1}, case_id="A")
    second = engine.run(chain("add_one"), {"x": 99}, case_id="A")

    assert second == first
    assert second.variables["add_one"] == 2
    assert len(engine.runs()) == 1


def test_starting_one_case_from_many_threads_runs_it_once(engine):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: engine.run(chain("add_one"), {"x": 1}, case_id="A"), range(32)))

    assert {run.id for run in runs} == {runs[0].id}
    assert statuses(runs[0]) == ["add_one:RUNNING", "add_one:COMPLETED"]


def test_a_step_alone_takes_two_commits(engine):
    before = engine.commits
    engine.run(chain("add_one"), {"x": 1})

    assert engine.commits - before == 2


def test_transient_errors_are_retried_and_permanent_ones_not():
    attempts = []

    def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise ok.TransientError("busy")
        return len(attempts)

    def broken():
        raise ok.PermanentError("no such customer")

    with ok.Engine(handlers=[flaky, broken], clock=VirtualClock()) as engine:
        good = engine.run(ok.workflow("good", [ok.task("flaky")]))
        bad = engine.run(ok.workflow("bad", [ok.task("broken")]))

    assert good.id != bad.id
    assert len(attempts) == 3


def test_a_failed_run_says_where_and_why():
    def broken():
        raise ok.PermanentError("no such customer")

    with ok.Engine(handlers=[broken]) as engine:
        run = engine.run(ok.workflow("bad", [ok.task("broken")]), case_id="A")

        assert run.status == "FAILED"
        assert (run.error.node, run.error.type, run.error.message) == ("broken", "PermanentError", "no such customer")
        with pytest.raises(ok.RunFailed, match="case 'A' ended FAILED at 'broken': PermanentError: no such customer"):
            run.raise_for_status()


def test_exhausted_retries_lead_to_the_dead_letters():
    def busy():
        raise ok.TransientError("busy")

    with ok.Engine(handlers=[busy], clock=VirtualClock()) as engine:
        run = engine.run(ok.workflow("w", [ok.task("busy", retry={"max_attempts": 2})]))

        assert run.status == "DEAD_LETTERED"
        assert statuses(run) == ["busy:RUNNING", "busy:FAILED", "busy:RETRYING", "busy:RUNNING", "busy:FAILED"]


def test_every_attempt_has_the_same_idempotency_key():
    keys = []

    def charge(idempotency_key, attempt):
        keys.append(idempotency_key)
        if attempt < 3:
            raise ConnectionError("reset")

    with ok.Engine(handlers=[charge], clock=VirtualClock()) as engine:
        engine.run(ok.workflow("w", [ok.task("charge")]))

    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_an_idempotency_key_may_name_the_run_and_its_case():
    workflow = ok.workflow("w", [ok.task("charge", idempotency_key="${run.case_id}/${run.step_id}/${n}")])
    with ok.Engine(handlers={"charge": lambda idempotency_key: idempotency_key}) as engine:
        assert engine.run(workflow, {"n": 3}, case_id="A").variables["charge"] == "A/charge#1/3"
    assert [issue.message for issue in ok.check(workflow) if "reads 'run'" in issue.message] == []


def test_a_handler_cannot_change_the_state_of_the_run_through_its_arguments():
    def spoil(order):
        order["total"] = -1
        return order["total"]

    with ok.Engine(handlers=[spoil]) as engine:
        run = engine.run(ok.workflow("w", [ok.task("spoil")]), {"order": {"total": 5}})

        assert run.variables["order"] == {"total": 5}
        assert run.variables["spoil"] == -1


def test_a_result_that_is_not_json_fails_with_a_reason():
    with ok.Engine(handlers={"odd": object, "nan": lambda: float("nan")}) as engine:
        odd = engine.run(ok.workflow("odd", [ok.task("odd")]))
        nan = engine.run(ok.workflow("nan", [ok.task("nan")]))

        assert "cannot be kept as JSON" in odd.error.message
        assert "return None instead" in nan.error.message


def test_a_missing_handler_is_refused_at_the_start_with_the_nearest_name(engine):
    with pytest.raises(ok.HandlerNotFound, match="no handler 'add_onee'. Did you mean 'add_one'"):
        engine.start(chain("add_onee"))


def test_inputs_are_checked():
    workflow = ok.workflow("w", [ok.task("add_one")], inputs={"x": {"type": "integer"}, "y": {"default": 3}})
    with ok.Engine(handlers=[add_one]) as engine:
        with pytest.raises(ok.InputError, match="requires the input 'x'"):
            engine.start(workflow)
        with pytest.raises(ok.InputError, match="no input 'z'"):
            engine.start(workflow, {"x": 1, "z": 1})
        with pytest.raises(ok.InputError, match="Input x: 'one' is not of type 'integer'"):
            engine.start(workflow, {"x": "one"})

        assert dict(engine.run(workflow, {"x": 1}).variables) == {"x": 1, "y": 3, "add_one": 2}


def test_days_of_timers_pass_at_once_in_virtual_time():
    clock = VirtualClock("2027-01-01T00:00:00+00:00")
    with ok.Engine(clock=clock) as engine:
        run = engine.run(ok.workflow("w", [ok.wait_for(timer="2 days", name="pause")]))

        assert run.status == "COMPLETED"
    assert clock.now() == pytest.approx(1_798_761_600 + 2 * 86_400)


def test_a_callback_completes_its_wait():
    with ok.Engine() as engine:
        run = engine.start(ok.workflow("w", [ok.wait_for(callback="decision")]), case_id="A")

        assert run.status == "WAITING"
        engine.complete(run, "decision", {"approved": True})
        assert run.wait("30 s").variables["decision"] == {"approved": True}


def test_a_callback_that_comes_before_its_wait_is_kept():
    begun, go_on = threading.Event(), threading.Event()

    def slow():
        begun.set()
        go_on.wait(30)

    with ok.Engine(handlers=[slow]) as engine:
        run = engine.start(ok.workflow("w", [ok.task("slow"), ok.wait_for(callback="decision")]))
        assert begun.wait(30)
        run.complete("decision", "early")
        go_on.set()

        assert run.wait("30 s").variables["decision"] == "early"


def test_a_failed_callback_fails_its_wait():
    with ok.Engine() as engine:
        run = engine.start(ok.workflow("w", [ok.wait_for(callback="decision")]))
        run.fail("decision", "the vendor has closed")

        assert run.wait("30 s").status == "FAILED"
        assert run.error.message == "the vendor has closed"


def test_an_unknown_callback_or_run_is_refused():
    with ok.Engine() as engine:
        run = engine.start(ok.workflow("w", [ok.wait_for(callback="decision")]))
        with pytest.raises(ok.WaitNotFound, match="no callback 'decison'. Did you mean 'decision'"):
            run.complete("decison")
        with pytest.raises(ok.RunNotFound):
            engine.complete("nobody", "decision")
        with pytest.raises(ok.RunNotFound):
            engine.get("nobody")


def test_an_event_reaches_every_run_that_waits_for_it_and_matches():
    workflow = ok.workflow("w", [ok.wait_for(event="paid", match="event.order == order")])
    with ok.Engine() as engine:
        runs = [engine.start(workflow, {"order": order}, case_id=str(order)) for order in (1, 2)]

        assert engine.publish("paid", {"order": 2, "cents": 100}) == 1
        assert runs[1].wait("30 s").variables["paid"] == {"order": 2, "cents": 100}
        assert runs[0].status == "WAITING"


def test_cancel_compensates_a_saga_first():
    workflow = ok.workflow(
        "w",
        [ok.saga([ok.task("book", compensate=ok.task("unbook")), ok.wait_for(callback="ok")], name="trip")],
    )
    with ok.Engine(handlers={"book": lambda: 1, "unbook": lambda: None}) as engine:
        run = engine.start(workflow)
        until(lambda: run.status == "WAITING")
        run.cancel("the customer has called")

        assert run.wait("30 s").status == "CANCELLED"
        assert statuses(run, kind="compensation") == ["unbook:RUNNING", "unbook:COMPLETED"]


def test_a_called_workflow_is_a_run_of_its_own():
    child = ok.workflow("child", [ok.task("add_one")])
    with ok.Engine(handlers=[add_one]) as engine:
        run = engine.run(ok.workflow("parent", [ok.call(child, inputs={"x": "${n}"})]), {"n": 6}, case_id="A")

        assert run.variables["child"] == {"x": 6, "add_one": 7}
        assert sorted(engine.runs()["workflow"]) == ["child", "parent"]


def test_a_limit_by_role_bounds_the_attempts_at_once():
    lock, running, peak, two = threading.Lock(), 0, 0, threading.Barrier(2)

    def work():
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        two.wait(30)
        with lock:
            running -= 1

    workflow = ok.workflow("w", [ok.task("work", role="clerk")])
    with ok.Engine(handlers=[work], limits={"clerk": 2}) as engine:
        outcomes = engine.run_many(workflow, pd.DataFrame(index=range(30)), progress=False)

    assert outcomes["status"].unique().tolist() == ["COMPLETED"]
    assert peak == 2


def test_an_attempt_that_takes_too_long_times_out_and_its_late_outcome_is_ignored():
    begun, release, clock = threading.Event(), threading.Event(), VirtualClock(skip=False)

    def slow(attempt):
        if attempt == 1:
            begun.set()
            release.wait(30)
        return attempt

    with ok.Engine(handlers=[slow], clock=clock) as engine:
        policy = {"max_attempts": 2, "initial_delay": "0s", "jitter": 0}
        run = engine.start(ok.workflow("w", [ok.task("slow", timeout="1 min", retry=policy)]))
        assert begun.wait(30)
        clock.advance("1 min")
        run.wait("30 s")
        release.set()

        assert run.variables["slow"] == 2
        assert statuses(run) == [
            "slow:RUNNING",
            "slow:FAILED",
            "slow:RETRYING",
            "slow:RUNNING",
            "slow:COMPLETED",
        ]


def test_a_lost_heartbeat_fails_the_attempt():
    release = threading.Event()

    def silent(heartbeat):
        heartbeat()
        release.wait(30)

    with ok.Engine(handlers=[silent]) as engine:
        run = engine.run(ok.workflow("w", [ok.task("silent", heartbeat="50 ms", retry={"max_attempts": 1})]))
        release.set()

        assert run.error.type == "HeartbeatLost"


def test_run_many_gives_a_row_a_case_in_order_and_rejects_bad_inputs():
    workflow = ok.workflow("w", [ok.task("add_one")], inputs={"x": {"type": "integer"}})
    cases = pd.DataFrame({"case_id": ["c", "a", "b"], "x": [1, "two", 3]})
    with ok.Engine(handlers=[add_one]) as engine:
        outcomes = engine.run_many(workflow, cases, progress=False)
        again = engine.run_many(workflow, cases, progress=False)

    assert outcomes["case_id"].tolist() == ["c", "a", "b"]
    assert outcomes["status"].tolist() == ["COMPLETED", "REJECTED", "COMPLETED"]
    assert again["run_id"].tolist()[0] == outcomes["run_id"].tolist()[0]
    assert "is not of type 'integer'" in outcomes["error_message"][1]


def test_awaitable_twins_work_in_a_running_loop():
    async def main():
        with ok.Engine(handlers=[add_one]) as engine:
            run = await engine.run_async(chain("add_one"), {"x": 1})
            waiting = await engine.start_async(ok.workflow("w", [ok.wait_for(callback="go")]))
            await engine.complete_async(waiting, "go", 5)
            await waiting.wait_async("30 s")
            many = await engine.run_many_async(chain("add_one"), pd.DataFrame({"x": [1, 2]}))
            return run.variables["add_one"], waiting.variables["go"], many["status"].tolist()

    assert asyncio.run(main()) == (2, 5, ["COMPLETED", "COMPLETED"])


def test_the_log_the_history_and_sql_tell_the_same(engine):
    run = engine.run(chain("add_one", "double"), {"x": 4}, case_id="A")
    log = engine.log()

    assert log.steps["activity"].tolist() == ["add_one", "double"]
    assert log.cases["status"].tolist() == ["COMPLETED"]
    assert run.steps()["status"].tolist() == ["COMPLETED", "COMPLETED"]
    found = engine.sql("SELECT count(*) AS n FROM history WHERE run_id = ?", [run.id])
    assert found["n"].tolist() == [len(run.history())]


def test_sql_cannot_write(engine):
    engine.run(chain("add_one"), {"x": 4}, case_id="A")
    with pytest.raises(ok.OrchkitError, match=r"(?i)read"):
        engine.sql("DELETE FROM history")

    assert len(engine.history(engine.find("chain", "A").id)) > 0


def test_secrets_reach_the_handler_and_never_the_store():
    def call_out(token):
        raise ok.PermanentError(f"refused {token}")

    workflow = ok.workflow(
        "w",
        [ok.task("call_out", python={"handler": "call_out", "arguments": {"token": "${secrets.crm_token}"}})],
    )
    with ok.Engine(handlers=[call_out], secrets={"crm_token": "s3cr3t-t0k3n"}) as engine:
        run = engine.run(workflow)

        assert run.error.message == "refused ***"
        everything = engine.sql("SELECT * FROM history").to_csv() + engine.sql("SELECT * FROM definitions").to_csv()
        assert "s3cr3t-t0k3n" not in everything


def test_a_closed_engine_says_so():
    engine = ok.Engine(handlers=[add_one])
    engine.close()
    engine.close()
    with pytest.raises(ok.EngineClosed, match="closed"):
        engine.start(chain("add_one"), {"x": 1})


@pytest.mark.parametrize("steps", [["add_one"], []])
def test_a_case_started_again_while_it_ends_still_runs_once(steps):
    for _ in range(12):
        with ok.Engine(handlers=[add_one]) as engine, concurrent.futures.ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: engine.run(chain(*steps), {"x": 1}, case_id="A"), range(32)))
            assert statuses(runs[0], kind="run") == ["nan:RUNNING", "nan:COMPLETED"]


def test_inputs_and_cases_of_another_kind_are_refused_in_words(engine):
    with pytest.raises(ok.InputError, match="Inputs are a mapping from variable to value, not str."):
        engine.run(chain("add_one"), "x=1")
    with pytest.raises(ok.InputError, match="Cases are a DataFrame, one row per case, not list"):
        engine.run_many(chain("add_one"), [{"x": 1}], progress=False)


def test_inputs_that_json_does_not_have_are_refused_and_reject_a_case_of_many(engine):
    with pytest.raises(ok.InputError, match="not JSON values: there is nan, which JSON does not have: give"):
        engine.run(chain("add_one"), {"x": [float("nan")]})

    cases = pd.DataFrame({"case_id": ["A", "B"], "x": [object(), 1]})
    outcomes = engine.run_many(chain("add_one"), cases, progress=False)
    assert outcomes["status"].tolist() == ["REJECTED", "COMPLETED"]


@pytest.mark.parametrize("handlers", [5, "work"])
def test_handlers_of_another_kind_are_refused_in_words(handlers):
    with pytest.raises(ok.WorkflowError, match="a list of functions, a mapping from name, or a module"):
        ok.Engine(handlers=handlers)


@pytest.mark.parametrize("verb", [ok.check, ok.write_workflow])
def test_what_is_no_workflow_is_refused_with_where_one_comes_from(verb):
    with pytest.raises(ok.WorkflowError, match=r"read_workflow\(path\) gives one"):
        verb(None)
    with pytest.raises(ok.WorkflowFileError, match="Expected the path of a workflow's file, or its text, not int"):
        ok.read_workflow(5)


def test_a_run_of_a_closed_engine_still_shows_itself():
    with ok.Engine(handlers=[add_one]) as engine:
        run = engine.run(chain("add_one"), {"x": 1}, case_id="A")

    shown = run._repr_mimebundle_()

    assert list(shown) == ["text/plain"]
    assert "case A" in shown["text/plain"]
    assert "closed" in shown["text/plain"]


def test_a_script_that_does_not_close_its_engine_ends_at_once_and_in_silence():
    script = """
import orchkit as ok
engine = ok.Engine(handlers={"quick": dict})
engine.run(ok.workflow("one", [ok.task("quick")]), case_id="A")
engine.start(ok.workflow("two", [ok.wait_for(callback="answer")]), case_id="B")
"""

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def until(condition, timeout_s=30.0):
    """Await a condition; the pause is how often it is looked at."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.002)):
        if condition():
            return
        pause.wait(0.002)
    message = "the condition did not come true"
    raise AssertionError(message)
