"""What conformance says of attempts."""

from __future__ import annotations

import pandas as pd

import orchkit as ok
from orchkit.testing import VirtualClock
from tests.analysis.written_logs import faulty_world

PAY = ok.workflow(
    "pay",
    [
        ok.task("charge", retry=ok.Retry(max_attempts=3, initial_delay="10s", multiplier=2, jitter=0.1)),
        ok.task("receipt"),
    ],
)


def paid(*attempts, **columns):
    """A case: the attempts of charge, each with start, end and error class, then a receipt."""
    rows = [
        {"activity": "charge", "attempt": number, "started": began, "completed": ended, "error_class": error}
        for number, (began, ended, error) in enumerate(attempts, start=1)
    ]
    rows.append({"activity": "receipt", "attempt": 1, "started": 200.0, "completed": 201.0, "error_class": None})
    frame = pd.DataFrame(rows).assign(case_id="c1", **columns)
    frame["status"] = ["COMPLETED" if done else "FAILED" for done in frame["error_class"].isna()]
    for name in ("started", "completed"):
        frame[name] = pd.to_datetime(frame[name], unit="s", utc=True)
    return ok.EventLog(frame, pd.DataFrame({"case_id": ["c1"], "status": ["COMPLETED"]}))


def deviations(workflow, log):
    found = ok.conformance(workflow, log).deviations
    return found[["position", "activity", "kind", "row"]].to_numpy().tolist()


def test_attempts_that_come_when_the_policy_has_them_follow_it():
    log = paid((0, 1, "transient"), (10.5, 11, "timeout"), (30, 31, None))

    found = ok.conformance(PAY, log)

    assert (found.fitness, len(found.deviations)) == (1.0, 0)


def test_an_attempt_more_than_the_policy_has_is_said():
    log = paid((0, 1, "transient"), (11, 12, "transient"), (32, 33, "transient"), (80, 81, None))

    assert deviations(PAY, log) == [[0, "charge", "retried too often", 3]]
    assert ok.conformance(PAY, log).fitness == 0.75


def test_attempts_against_the_policy_are_counted_by_step_and_drawn():
    log = paid((0, 1, "transient"), (2, 3, "transient"), (5, 6, None))

    found = ok.conformance(PAY, log)

    assert found.by_step[["activity", "followed", "against_policy"]].to_numpy().tolist() == [
        ["charge", 1, 2],
        ["receipt", 1, 0],
    ]
    assert "2 against the policy" in found._repr_mimebundle_(include=["image/svg+xml"])["image/svg+xml"]


def test_an_attempt_after_a_permanent_error_is_said():
    log = paid((0, 1, "permanent"), (20, 21, None))

    assert ["charge", "retried after a permanent error", 1] in [row[1:] for row in deviations(PAY, log)]


def test_an_attempt_before_its_delay_is_said():
    # The second delay is 20 s, give or take a tenth.
    assert deviations(PAY, paid((0, 1, "transient"), (11, 12, "transient"), (29.5, 31, None))) == [
        [0, "charge", "retried too early", 2]
    ]
    assert deviations(PAY, paid((0, 1, "transient"), (11, 12, "transient"), (30.5, 31, None))) == []


def test_delays_beyond_all_numbers_end_at_the_longest():
    # The 29th delay would be 1e12 ** 28 seconds, which no float is.
    steep = ok.Retry(max_attempts=30, initial_delay="1s", multiplier=1e12, max_delay="2s", jitter=0)
    workflow = ok.workflow("pay", [ok.task("charge", retry=steep), ok.task("receipt")])
    failed = [(3 * number, 3 * number + 1, "transient") for number in range(29)]

    assert deviations(workflow, paid(*failed, (87, 88, None))) == []
    assert deviations(workflow, paid(*failed, (86.5, 88, None))) == [[0, "charge", "retried too early", 29]]


def test_a_step_that_is_given_up_though_the_policy_has_more_attempts_is_said():
    mended = ok.workflow("pay", [ok.task("charge", on_error=[ok.task("call")]), ok.task("receipt")])
    steps = paid((0, 1, "transient")).steps
    call = steps.iloc[:1].assign(activity="call", status="COMPLETED", error_class=None)
    call = call.assign(started=call["completed"], completed=call["completed"] + pd.Timedelta("1 s"))
    cases = pd.DataFrame({"case_id": ["c1"], "status": ["COMPLETED"]})
    log = ok.EventLog(pd.concat([steps, call]), cases)

    assert deviations(mended, log) == [[0, "charge", "not retried", 0]]
    # A case that goes on may still try again; one whose step has no further attempt need not.
    assert deviations(mended, ok.EventLog(log.steps, cases.assign(status="RUNNING"))) == []
    once = ok.workflow(
        "pay", [ok.task("charge", on_error=[ok.task("call")], retry=ok.Retry(max_attempts=1)), ok.task("receipt")]
    )
    assert deviations(once, log) == []


def test_an_attempt_that_a_replay_gave_is_none_too_many():
    luck = iter([False, False, False, True])

    def charge():
        if not next(luck):
            raise ok.TransientError("busy")

    handlers = {"charge": charge, "receipt": lambda: None}
    with ok.Engine(handlers=handlers, clock=VirtualClock()) as engine:
        run = engine.run(PAY, {}, case_id="c1")
        engine.retry(run, reason="the bank is back").wait()
        log = engine.log()

    assert log.steps["replays"].tolist() == [0, 0, 0, 1, 1]
    assert deviations(PAY, log) == []
    # Without the replay, the same attempts are one too many.
    steps = log.steps.drop(columns="replays")
    assert [row[2] for row in deviations(PAY, ok.EventLog(steps, log.cases))] == ["retried too often"]


def test_a_retry_after_a_crash_waits_as_long_as_its_policy_has_it():
    workflows, log = faulty_world(40)

    for workflow in workflows:
        assert ok.conformance(workflow, log).deviations.to_numpy().tolist() == []
