from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.testing import VirtualClock
from tests.simulation.test_agreement import scenario_for

ROOT = Path(__file__).parents[2]
START = pd.Timestamp("2025-03-03T09:00Z")
SERVE = ok.workflow("queue", [ok.task("serve", role="clerk")])


def minutes(*moments):
    return [None if moment is None else START + pd.Timedelta(minutes=moment) for moment in moments]


def open_log(rows, cases=None):
    """Return a log: rows of case, activity, enabled, started and completed, in minutes (None: not yet)."""
    frame = pd.DataFrame(rows, columns=["case_id", "activity", "enabled", "started", "completed"])
    for name in ("enabled", "started", "completed"):
        frame[name] = pd.to_datetime(pd.Series(minutes(*frame[name].replace({np.nan: None}))), utc=True)
    return ok.EventLog(frame, cases)


def left_s(ahead, column="completed_median"):
    return ((ahead.cases[column] - pd.Timestamp(ahead.now)).dt.total_seconds() / 60).round(6).tolist()


def test_constant_work_ends_when_what_is_left_is_done():
    log = open_log([("a", "serve", 0, 0, None), ("b", "serve", 4, None, None)])
    scenario = ok.Scenario(durations={"serve": "10 min"}, resources={"clerk": 1})

    ahead = ok.forecast(log, SERVE, scenario, "1 h", replications=3)

    assert ahead.now == START + pd.Timedelta(minutes=4)
    assert left_s(ahead) == [6, 16]
    assert ahead.cases["at"].tolist() == ["serve", "serve"]
    assert ahead.cases["age_s"].tolist() == [240, 0]


@pytest.mark.parametrize(
    ("durations", "left"),
    [
        (ok.exponential("10 min"), 10.0),  # it has no memory
        (ok.uniform("0 min", "12 min"), 4.0),  # uniform between 4 and 12, less 4
        (ok.empirical(["1 min", "5 min", "9 min"]), 3.0),  # 5 or 9, less 4
        # Erlang of 2 stages of 5 min: E[T - t | T > t] = 5 (2 + t/5) / (1 + t/5) for t = 4.
        (ok.erlang(2, "10 min"), 5 * 2.8 / 1.8),
    ],
)
def test_what_is_left_of_work_is_what_it_is_given_what_has_passed(durations, left):
    rows = [(f"case {number:02}", "serve", 0, 0, None) for number in range(40)]
    log = open_log([*rows, ("late", "serve", 4, None, None)])
    scenario = ok.Scenario(durations={"serve": durations}, resources={"clerk": 40})

    found = ok.simulate(SERVE, scenario, in_flight=log, replications=400, seed=3)

    steps = found.steps[found.steps["case_id"] != "late"]
    rest = (steps["completed"] - log.steps["enabled"].max()).dt.total_seconds() / 60
    half = 2.58 * rest.std() / len(rest) ** 0.5
    assert abs(rest.mean() - left) < half
    assert half < 0.03 * left


def test_whether_an_attempt_fails_depends_on_how_long_it_has_lasted():
    # Half of all fail, after a minute; at four minutes none of those that are still at work will.
    log = open_log([("a", "serve", 0, 0, None), ("b", "serve", 4, 4, None)])
    failure = ok.Failure(0.5, "permanent", after="1 min")
    scenario = ok.Scenario(durations={"serve": "10 min"}, failures={"serve": failure})

    ahead = ok.forecast(log, SERVE, scenario, "1 h", replications=400, seed=1)

    assert ahead.cases["failed_share"][0] == 0
    assert 0.42 < ahead.cases["failed_share"][1] < 0.58


def test_cases_that_wait_are_served_one_after_another():
    rows = [("a", "serve", 0, 0, None), *((name, "serve", 1, None, None) for name in "bcd")]
    scenario = ok.Scenario(durations={"serve": ok.exponential("10 min")}, resources={"clerk": 1})

    ahead = ok.forecast(open_log(rows), SERVE, scenario, "10 h", replications=2_000, seed=2)

    # The k-th of them is done after k exponential times of service.
    ended = ahead.log.cases.groupby("case_id")["completed"]
    mean = (ended.mean() - pd.Timestamp(ahead.now)).dt.total_seconds() / 600
    assert [abs(mean[name] - k) < 2.6 * (k / 2_000) ** 0.5 for k, name in enumerate("abcd", 1)] == [True] * 4


def test_breaches_to_come_are_told_from_those_that_have_been():
    log = open_log([("late", "serve", 0, 50, None), ("soon", "serve", 30, 50, None), ("fine", "serve", 60, None, None)])
    scenario = ok.Scenario(durations={"serve": "30 min"}, resources={"clerk": 2}, sla="45 min")

    ahead = ok.forecast(log, SERVE, scenario, "2 h", replications=2)

    figures = ahead.summary.set_index("figure")["value"]
    # At 60 min: "late" was due at 45 and "soon" at 75, both end at 80; "fine" is due at 105 and ends at 110.
    assert left_s(ahead) == [50, 20, 20]
    assert ahead.cases["late_share"].tolist() == [1, 1, 1]
    assert figures["sla_breaches_so_far"] == 1
    assert figures["sla_breaches_of_now"] == 2
    assert figures["in_flight_at_end"] == 0


def test_backlog_is_what_arrives_and_is_there_less_what_ends():
    log = open_log([("a", "serve", 0, 0, None), ("b", "serve", 5, None, None)])
    scenario = ok.Scenario(ok.ArrivalTimes((60, 120, 6_000)), durations={"serve": "10 min"}, resources={"clerk": 1})

    ahead = ok.forecast(log, SERVE, scenario, "96 min", replications=2)

    # From minute 5 on: a ends after 5, b after 15, those that arrive after 1 and 2 after 25 and 35.
    assert ahead.backlog["in_flight"].tolist()[:37:5] == [2, 3, 3, 2, 2, 1, 1, 0]
    assert ahead.backlog["open_now"].tolist()[:16:5] == [2, 1, 1, 0]
    assert len(ahead.backlog) == 97
    assert ahead.summary.set_index("figure")["value"]["arrivals"] == 2


def test_what_lasts_longer_than_the_scenario_thinks_possible_is_said():
    log = open_log([("a", "serve", 0, 0, None), ("b", "serve", 30, None, None)])

    ahead = ok.forecast(log, SERVE, ok.Scenario(durations={"serve": "10 min"}), "1 h", replications=2)

    assert left_s(ahead) == [0, 10]
    assert "serve (1)" in ahead.notes[0]
    assert "serve (1)" in ahead._repr_mimebundle_()["text/html"]


def test_more_at_work_than_the_scenario_has_wait_first_in_line():
    log = open_log([(name, "serve", 0, start, None) for name, start in (("a", 0), ("b", 2), ("c", 4))])
    scenario = ok.Scenario(durations={"serve": "10 min"}, resources={"clerk": 2})

    ahead = ok.forecast(log, SERVE, scenario, "1 h", replications=2)

    # At 4: a has 6 left, b 8, and c waits with its 10 until a is done.
    assert left_s(ahead) == [6, 8, 16]


def test_off_duty_time_does_not_count_as_work():
    office = ok.Calendar({"mon-fri": "09:00-17:00"})
    steps = pd.DataFrame(
        {
            "case_id": ["a", "b"],
            "activity": ["serve", "serve"],
            "enabled": ["2025-03-03T16:00Z", "2025-03-03T20:00Z"],
            "started": ["2025-03-03T16:00Z", None],
            "completed": [None, None],
        }
    )
    scenario = ok.Scenario(durations={"serve": "3 h"}, resources={"clerk": ok.Resource(2, calendar=office)})

    ahead = ok.forecast(ok.EventLog(steps), SERVE, scenario, "1 day", replications=1)

    assert ahead.now.isoformat() == "2025-03-03T20:00:00+00:00"
    assert ahead.cases["completed_median"].dt.hour.tolist() == [11, 12]
    assert ahead.cases["completed_median"].dt.day.tolist() == [4, 4]


def test_a_case_that_the_workflow_does_not_allow_is_left_out_and_named():
    workflow = ok.workflow("order", [ok.task("check"), ok.task("ship")])
    log = open_log([("a", "ship", 0, 0, 1), ("a", "check", 1, 1, None), ("b", "check", 1, 1, None)])

    ahead = ok.forecast(log, workflow, ok.Scenario(durations={"check": "1 h", "ship": "1 h"}), "3 h", replications=1)

    assert ahead.cases["case_id"].tolist() == ["b"]
    assert ahead.notes == ("1 open case was left out, whose steps 'order' does not allow in their order: a.",)


def test_nothing_in_flight_and_nothing_to_come_is_an_error():
    log = open_log([("a", "serve", 0, 0, 1)])

    with pytest.raises(ok.ScenarioError, match="no case of 'queue' is in flight"):
        ok.forecast(log, SERVE, ok.Scenario(durations={"serve": "1 h"}), "3 h")


SAMPLES = sorted((ROOT / "sample_processes").glob("*.yaml"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_open_cases_of_a_log_are_taken_up_with_the_steps_that_are_open(path):
    workflow = ok.read_workflow(path)
    scenario = replace(scenario_for(workflow, 0.1), arrivals=ok.exponential(0.5))
    log = ok.simulate(workflow, scenario, until=15, seed=4)
    still = log.steps[log.steps["completed"].isna()]

    ahead = ok.forecast(log, workflow, replace(scenario, arrivals=None), "1 h", replications=2)

    assert ahead.notes == ()
    assert len(ahead.cases) == (log.cases["status"] == "RUNNING").sum() > 0
    expected = still.groupby("case_id", observed=True)["activity"].agg(lambda names: set(names))
    found = {case: set(at.split(", ")) for case, at in zip(ahead.cases["case_id"], ahead.cases["at"], strict=True)}
    assert found == expected.to_dict()


# From an engine ------------------------------------------------------------------


def wait_until(condition):
    for _ in range(2_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError


@pytest.fixture
def clock():
    return VirtualClock("2027-01-01T00:00:00+00:00", skip=False)


def test_live_runs_go_on_from_the_states_that_they_are_in(clock):
    def pay():
        raise ok.TransientError("not yet")

    retry = ok.Retry(max_attempts=3, initial_delay="1 h", max_delay="1 h", jitter=0)
    workflow = ok.workflow(
        "order",
        [
            ok.task("check"),
            ok.parallel(
                [ok.wait_for(callback="answer", timeout="5 h", fallback="none")],
                [ok.task("pay", retry=retry)],
                [ok.wait_for(timer="3 h", name="pause")],
            ),
            ok.task("ship"),
        ],
    )
    scenario = ok.Scenario(
        durations={"check": "1 min", "pay": "10 min", "ship": "20 min"}, waits={"answer": ok.Response("1 h", never=1)}
    )
    with ok.Engine(handlers={"check": lambda: 1, "pay": pay, "ship": lambda: 2}, clock=clock) as engine:
        run = engine.start(workflow, case_id="A-1")
        wait_until(lambda: run.node_statuses.get("pay") == "RETRYING")
        clock.advance("30 min")

        ahead = ok.forecast(engine, workflow, scenario, "8 h", replications=2)
        steps = ahead.log.steps[ahead.log.steps["replication"] == 0].set_index("activity")

        assert ahead.cases["at"].tolist() == ["answer, pay, pause"]
        assert ahead.now.isoformat() == "2027-01-01T00:30:00+00:00"
        assert str(steps["completed"]["pause"]) == "2027-01-01 03:00:00+00:00"
        assert str(steps["started"]["pay"]) == "2027-01-01 01:00:00+00:00"
        assert steps["attempt"]["pay"] == 2
        assert str(steps["completed"]["answer"]) == "2027-01-01 05:00:00+00:00"
        assert ahead.cases["completed_median"].astype("str").tolist() == ["2027-01-01 05:20:00+00:00"]
        engine.cancel(run)


def test_engine_and_its_log_give_the_same_forecast(clock):
    workflow = ok.workflow(
        "order",
        [
            ok.choice(ok.when("size > 1", [ok.task("big")]), ok.otherwise([ok.task("small")]), name="which"),
            ok.wait_for(callback="answer"),
            ok.task("ship", role="packer"),
        ],
    )
    scenario = ok.Scenario(
        durations={"big": "2 h", "small": "1 h", "ship": "30 min"},
        waits={"answer": "4 h"},
        branching={"which": {"big": 0.5, "small": 0.5}},
        resources={"packer": 1},
    )
    with ok.Engine(handlers={"big": lambda: 1, "small": lambda: 1, "ship": lambda: 1}, clock=clock) as engine:
        runs = [engine.start(workflow, {"size": number}, case_id=f"A-{number}") for number in range(4)]
        wait_until(lambda: all(run.node_statuses.get("answer") == "WAITING" for run in runs))

        from_engine = ok.forecast(engine, workflow, scenario, "8 h", replications=2)
        from_log = ok.forecast(engine.log(), workflow, scenario, "8 h", replications=2)

        assert left_s(from_engine) == [240 + 30 * place for place in range(1, 5)]
        pd.testing.assert_frame_equal(from_engine.cases, from_log.cases)
        for run in runs:
            engine.cancel(run)


def test_called_runs_and_loops_go_on_where_they_are(clock):
    pick = ok.workflow("pick", [ok.wait_for(callback="picked"), ok.task("pack")])
    workflow = ok.workflow(
        "order",
        [ok.for_each("lines", [ok.call("pick")], item="line", name="each"), ok.task("ship")],
        workflows=[pick],
    )
    scenario = ok.Scenario(durations={"pack": "10 min", "ship": "30 min"}, waits={"picked": "1 h"}, loops={"each": 99})
    with ok.Engine(handlers={"pack": lambda: 1, "ship": lambda: 1}, clock=clock) as engine:
        run = engine.start(workflow, {"lines": [1, 2, 3]}, case_id="A-1")
        wait_until(lambda: len(engine.runs()) == 2)
        wait_until(lambda: len(engine.in_flight()) == 2)
        clock.advance("20 min")

        ahead = ok.forecast(engine, workflow, scenario, "8 h", replications=2)

        # Of three items, known to the engine: 40 + 10 min are left of the first; 70 each of the others; 30 for ship.
        assert left_s(ahead) == [220]
        engine.cancel(run)


@pytest.mark.parametrize(
    ("delay", "left"),
    [
        (ok.constant("1 h"), 40.0),  # of which 20 min have passed
        (ok.uniform("10 min", "50 min"), 15.0),  # uniform between 20 and 50, less 20
        (ok.by_previous({"check": "1 h"}, otherwise="2 h"), 40.0),
        (ok.constant("5 min"), 0.0),  # it waits for a resource by now
    ],
)
def test_a_delay_that_had_begun_goes_on(delay, left):
    workflow = ok.workflow("order", [ok.task("check"), ok.task("serve", role="clerk")])
    rows = [("a", "check", 0, 0, 10), ("b", "check", 30, None, None)]
    scenario = ok.Scenario(
        durations={"check": "1 d", "serve": "10 min"}, resources={"clerk": 1}, delays={"serve": delay}
    )
    cases = pd.DataFrame({"case_id": ["a", "b"], "status": "RUNNING"})

    found = ok.simulate(workflow, scenario, in_flight=open_log(rows, cases), replications=400, seed=2)

    serve = found.steps[(found.steps["case_id"] == "a") & (found.steps["activity"] == "serve")]
    ahead = (serve["started"] - START).dt.total_seconds() / 60 - 30
    assert ahead.mean() == pytest.approx(left, abs=0 if ahead.std() < 1e-9 else 2.6 * ahead.std() / 20)


def test_a_delay_by_the_clock_that_had_begun_goes_on_at_night():
    workflow = ok.workflow("order", [ok.task("check"), ok.task("serve", role="clerk")])
    rows = [("a", "check", 0, 0, 10), ("b", "check", 30, None, None)]
    scenario = ok.Scenario(
        durations={"check": "1 d", "serve": "10 min"},
        resources={"clerk": ok.Resource(calendar=ok.office_hours())},
        delays={"serve": "20 h"},
        by_clock=["serve"],
    )
    cases = pd.DataFrame({"case_id": ["a", "b"], "status": "RUNNING"})

    found = ok.simulate(workflow, scenario, in_flight=open_log(rows, cases))

    serve = found.steps[(found.steps["case_id"] == "a") & (found.steps["activity"] == "serve")]
    assert (serve["enabled"] - START).tolist() == [pd.Timedelta("20 h 10 min")]
    assert (serve["started"] - START).tolist() == [pd.Timedelta("24 h")]


def test_a_log_that_tells_that_nothing_has_happened_since_is_taken_at_its_word():
    log = open_log([("a", "serve", 0, 0, None), ("b", "serve", 4, None, None)])
    scenario = ok.Scenario(durations={"serve": "10 min"}, resources={"clerk": 1})

    ahead = ok.forecast(log, SERVE, scenario, "1 h", replications=2, now="2025-03-03T09:07Z")

    assert left_s(ahead) == [3, 13]
    with pytest.raises(ok.ScenarioError, match="is before the last moment of the log"):
        ok.forecast(log, SERVE, scenario, "1 h", now="2025-03-03T09:00Z")
    with pytest.raises(ok.ScenarioError, match="now is for logs only"), ok.Engine() as engine:
        ok.forecast(engine, SERVE, scenario, "1 h", now="2025-03-03T09:00Z")


def test_what_cannot_be_forecast_is_said():
    nothing = ok.EventLog(open_log([("a", "serve", 0, 0, None)]).steps.iloc[:0])
    with pytest.raises(ok.ScenarioError, match="the log has no steps, which would tell what time it is. Give now="):
        ok.forecast(nothing, SERVE, QUEUE, "1 h")
    found = ok.fit(SERVE, ok.simulate(SERVE, QUEUE, cases=20, progress=False), train=1)
    with pytest.raises(ok.ScenarioError, match="forecast takes a scenario, .* not Fit. Give its .scenario."):
        ok.forecast(nothing, SERVE, found, "1 h")


QUEUE = ok.Scenario(ok.exponential("10 min"), {"serve": ok.exponential("7 min")}, {"clerk": 1})


def holding(cuts, replications, scenario=QUEUE, workflow=SERVE):
    """Return how often intervals held what happened: of each case's end, and of the cases in flight at the end."""
    ends, backlog = [], []
    for number in range(cuts):
        now_h = 60 + 7.3 * (number % 11)
        until_now, later = (
            ok.simulate(workflow, scenario, until=f"{hours} h", seed=number, progress=False)
            for hours in (now_h, now_h + 12)
        )
        now = pd.Timestamp(scenario.start) + pd.Timedelta(hours=now_h, seconds=1)
        ahead = ok.forecast(
            until_now, workflow, scenario, "12 h", replications=replications, seed=number, now=now, progress=False
        )
        happened = later.cases.assign(case_id=later.cases["case_id"].astype("int64")).set_index("case_id")["completed"]
        beyond = now + pd.Timedelta("24 h")  # any moment after the horizon
        own = happened[ahead.cases["case_id"].astype("int64")].fillna(beyond).to_numpy()
        low, high = (ahead.cases[f"completed_{name}"].fillna(beyond) for name in ("low", "high"))
        ends += ((low <= own) & (own <= high)).tolist()
        at_end = ahead.summary.set_index("figure").loc["in_flight_at_end"]
        backlog.append(at_end["low"] <= happened.isna().sum() <= at_end["high"])
    return ends, backlog


@pytest.mark.slow
def test_intervals_hold_what_happens_in_95_of_100_forecasts():
    office = ok.workflow("order", [ok.task("check", role="clerk"), ok.task("serve", role="clerk")])
    waits = ok.Scenario(
        ok.exponential("40 min"),
        {"check": ok.gamma(2, "5 min"), "serve": ok.exponential("20 min")},
        {"clerk": ok.Resource(2, calendar=ok.Calendar({"mon-sun": "06:00-22:00"}))},
        delays={"serve": ok.exponential("4 h")},
    )
    for ends, backlog in (holding(100, 200), holding(60, 200, waits, office)):
        # Cases of one forecast share its luck, so that they count as fewer.
        assert np.mean(ends) == pytest.approx(0.95, abs=0.03)
        assert np.mean(backlog) >= 0.95 - 2.6 * (0.95 * 0.05 / len(backlog)) ** 0.5


def test_intervals_hold_what_happens():
    ends, backlog = holding(12, 39)

    assert np.mean(ends) > 0.8
    assert np.mean(backlog) > 0.8
