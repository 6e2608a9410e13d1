from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import orchkit as ok

DAY = pd.Timestamp("2024-05-06T09:00Z")


def at(minute):
    return DAY + pd.Timedelta(minutes=minute)


def log_of(*rows):
    """Return a log of steps: case, started minute, completed minute (None: open), status."""
    frame = pd.DataFrame(rows, columns=["case_id", "started", "completed", "status"])
    for name in ("started", "completed"):
        frame[name] = pd.to_datetime([None if pd.isna(minute) else at(minute) for minute in frame[name]], utc=True)
    return ok.EventLog(frame.assign(activity="ship"))


def episodes(condition, log, window="15m"):
    found = ok.backtest([ok.Alert("a", condition, window=window)], log)
    minutes = [(found[name] - DAY).dt.total_seconds().to_numpy() / 60 for name in ("fired", "resolved")]
    return [
        (float(fired), None if np.isnan(resolved) else float(resolved), float(worst))
        for fired, resolved, worst in zip(*minutes, found["worst"], strict=True)
    ]


def test_a_rate_fires_when_it_passes_the_limit_and_resolves_when_the_failure_leaves_the_window():
    log = log_of(("1", 0, 1, "COMPLETED"), ("2", 0, 2, "FAILED"), ("3", 3, 40, "COMPLETED"))

    assert episodes("failure_rate > 10%", log) == [(2.0, 17.0, 1.0)]


def test_other_cases_that_complete_bring_a_rate_down():
    done = [(f"{n}", 0, 3 + n / 100, "COMPLETED") for n in range(9)]
    log = log_of(("x", 0, 2, "FAILED"), *done, ("z", 0, 60, "COMPLETED"))

    assert episodes("failure_rate > 10%", log)[0][:2] == (2.0, 3.08)


def test_a_step_that_takes_too_long_fires_while_it_is_under_way():
    log = log_of(("1", 0, 50, "COMPLETED"), ("2", 60, 100, "COMPLETED"), ("3", 100, 130, "COMPLETED"))

    ((fired, resolved, worst), (second, *_)) = episodes("step_duration > 30m", log)

    assert (round(fired, 3), resolved, worst) == (30.0, 65.0, 3000.0)
    assert round(second, 3) == 90.0


def test_long_steps_that_follow_one_another_are_one_episode():
    log = log_of(("1", 0, 50, "COMPLETED"), ("2", 30, 100, "COMPLETED"), ("3", 0, 300, "RUNNING"))

    ((fired, resolved, worst),) = episodes("step_duration > 40m", log)

    assert (round(fired, 3), resolved, worst) == (40.0, None, 18_000.0)


def test_a_step_that_hangs_fires_and_stays():
    log = log_of(("1", 0, None, "RUNNING"), ("2", 0, 45, "COMPLETED"))

    ((fired, resolved, worst),) = episodes("step_duration > 30m", log)

    assert (round(fired, 3), resolved, worst) == (30.0, None, 2700.0)


def test_nothing_fires_where_nothing_happens():
    log = log_of(("1", 0, 1, "COMPLETED"))

    assert episodes("failure_rate > 0%", log) == []
    assert episodes("dead_letters >= 1", log) == []


def test_failures_and_active_cases_are_counted():
    log = log_of(("1", 0, 10, "FAILED"), ("2", 5, 12, "FAILED"), ("3", 11, 60, "COMPLETED"))

    assert episodes("failures >= 2", log) == [(12.0, 25.0, 2.0)]
    assert episodes("active >= 2", log) == [(5.0, 10.0, 2.0), (11.0, 12.0, 2.0)]


def test_the_alerts_of_a_workflow_are_judged_on_its_own_cases():
    workflow = ok.read_workflow("""
workflow: order
steps: [{task: ship}]
alerts:
  - name: high_failure_rate
    condition: failure_rate > 10%
    window: 15m
    severity: warning
  - name: workflow_stuck
    condition: step_duration > 30m
    severity: critical
""")

    def ship():
        raise ok.PermanentError("no")

    with ok.Engine(handlers=[ship]) as engine:
        engine.run(workflow, case_id="1")
        found = ok.backtest(workflow, engine.log())

    assert found[["alert", "severity", "workflow", "worst"]].to_numpy().tolist() == [
        ["high_failure_rate", "warning", "order", 1.0]
    ]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("failure_rat > 10%", "there is no metric 'failure_rat'. Did you mean 'failure_rate'?"),
        ("failure_rate is high", "is not a condition such as"),
        ("step_duration > soon", "'soon'"),
        ("step_duration < 5m", "the longest one, which can only be compared with > and >="),
        ("queue_depth > many", "could not convert"),
    ],
)
def test_a_condition_that_makes_no_sense_is_told(condition, message):
    with pytest.raises(ok.WorkflowError, match=message):
        ok.backtest([ok.Alert("a", condition)], log_of(("1", 0, 1, "COMPLETED")))


def test_rates_agree_with_counting_by_hand_at_every_moment():
    random = np.random.default_rng(7)
    rows = [(str(n), 0, float(random.integers(0, 200)), random.choice(["FAILED", "COMPLETED"])) for n in range(80)]
    log = log_of(*rows)
    found = episodes("failure_rate > 60%", log, window="7m")
    last = max(minute for _, _, minute, _ in rows)
    for minute in np.arange(0, last, 0.5):
        inside = [status for _, _, ended, status in rows if minute - 7 < ended <= minute]
        holds = bool(inside) and inside.count("FAILED") / len(inside) > 0.6
        fires = any(fired <= minute and (resolved is None or minute < resolved) for fired, resolved, _ in found)
        assert holds == fires, minute


def test_a_condition_about_a_role_looks_at_its_steps_alone():
    log = log_of(("1", 0, 10, "COMPLETED"), ("2", 5, 12, "COMPLETED"), ("3", 6, 60, "COMPLETED"))
    staffed = ok.EventLog(log.steps.assign(role=["clerk", "clerk", "driver"]))

    assert episodes("busy(clerk) >= 2", staffed) == [(5.0, 10.0, 2.0)]
    assert episodes("busy >= 3", staffed) == [(6.0, 10.0, 3.0)]
    with pytest.raises(ok.WorkflowError, match="a role can be given for busy, queue_depth, step_duration, error_rate"):
        episodes("arrivals(clerk) > 3", staffed)
