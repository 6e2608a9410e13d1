"""What goes by between steps: simulated, and found again in a log."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import ScenarioError
from orchkit.simulation.clocks import by_clock

OFFER = ok.workflow(
    "offer",
    [
        ok.task("send", role="clerk"),
        ok.repeat_while("open", [ok.task("call", role="clerk")], name="calling"),
        ok.wait_for(callback="signed", name="signed"),
        ok.task("close", role="clerk"),
    ],
)
TRUTH = ok.Scenario(
    ok.exponential("2 h"),
    {"send": "5 min", "call": "5 min", "close": "10 min"},
    {"clerk": ok.Resource(3, calendar=ok.office_hours())},
    delays={"call": ok.by_previous({"send": ok.exponential("16 h"), "call": "2 h"}), "close": ok.uniform("1 h", "3 h")},
    loops={"calling": ok.Loop(ok.empirical([1, 1, 3]))},
    waits={"signed": ok.Response(ok.exponential("1 h"), fails=0.0)},
)


def gaps_h(log, source, target):
    steps = log.steps[["case_id", "activity", "enabled", "completed"]].astype({"activity": "str"})
    before = steps.shift()
    own = (steps["case_id"] == before["case_id"]) & (before["activity"] == source) & (steps["activity"] == target)
    return ((steps["enabled"] - before["completed"])[own]).dt.total_seconds() / 3600


def test_a_delay_goes_by_in_the_hours_of_the_role_before_the_step_is_enabled():
    steps = [ok.task("send", role="clerk"), ok.task("close", role="clerk")]
    scenario = ok.Scenario(
        ok.ArrivalTimes((9 * 3600.0,)),  # a Monday, 9:00
        {"send": "1 h", "close": "1 h"},
        {"clerk": ok.Resource(1, calendar=ok.office_hours())},
        delays={"send": "5 h", "close": "8 h"},
    )

    log = ok.simulate(ok.workflow("offer", steps), scenario, cases=1)

    rows = log.steps.set_index("activity")
    assert str(rows.loc["send", "enabled"]) == "2025-01-06 14:00:00+00:00"
    assert str(rows.loc["close", "enabled"]) == "2025-01-07 15:00:00+00:00"
    assert rows.loc["close", "wait_contention_s"] == rows.loc["close", "wait_calendar_s"] == 0


def test_a_delay_by_the_clock_goes_by_at_night_and_the_step_begins_when_somebody_is_back():
    steps = [ok.task("send", role="clerk"), ok.task("close", role="clerk")]
    scenario = ok.Scenario(
        ok.ArrivalTimes((9 * 3600.0,)),  # a Monday, 9:00
        {"send": "1 h", "close": "1 h"},
        {"clerk": ok.Resource(1, calendar=ok.office_hours())},
        delays={"send": "1 h", "close": "12 h"},
        by_clock=["close"],
    )

    log = ok.simulate(ok.workflow("offer", steps), scenario, cases=1)

    rows = log.steps.set_index("activity")
    assert str(rows.loc["send", "enabled"]) == "2025-01-06 10:00:00+00:00"
    assert str(rows.loc["close", "enabled"]) == "2025-01-06 23:00:00+00:00"
    assert str(rows.loc["close", "started"]) == "2025-01-07 09:00:00+00:00"
    assert rows.loc["close", "wait_calendar_s"] == 10 * 3600
    assert ok.read_scenario(ok.write_scenario(scenario)) == scenario


def test_what_goes_by_the_clock_has_a_delay():
    with pytest.raises(ScenarioError, match="by_clock: 'cal' has no delay. Did you mean 'call'"):
        ok.simulate(OFFER, dataclasses.replace(TRUTH, by_clock=["cal"]), cases=1)
    with pytest.raises(ScenarioError, match="by_clock: give a list of tasks that have delays, not 'call'"):
        ok.Scenario(delays={"call": "1 h"}, by_clock="call")


@pytest.mark.parametrize("column", ["enabled", "cost"], ids=["not told when ready", "told when ready"])
def test_delays_by_the_clock_are_found_in_a_log(column):
    steps = [ok.task("send", role="clerk"), ok.task("close", role="clerk")]
    truth = ok.Scenario(
        ok.exponential("90 min"),
        {"send": ok.exponential("5 min"), "close": ok.exponential("9 min")},
        {"clerk": ok.Resource(2, calendar=ok.office_hours())},
        delays={"close": ok.exponential("30 h")},
        by_clock=["close"],
    )
    log = ok.simulate(ok.workflow("offer", steps), truth, cases=800, seed=3, progress=False)
    told = ok.EventLog(log.steps.drop(columns=[column, *log.steps.filter(like="wait_")]), log.cases)

    found = ok.fit(ok.workflow("offer", steps), told, train=1).scenario

    assert found.by_clock == ("close",)
    assert found.delays["close"].parts["send"].mean == pytest.approx(30 * 3600, rel=0.08)
    on_duty = ok.simulate(
        ok.workflow("offer", steps), dataclasses.replace(truth, by_clock=[]), cases=800, seed=3, progress=False
    )
    assert by_clock(on_duty, {"close": ok.office_hours()}) == {}


def test_a_delay_goes_by_in_the_hours_of_anybody_of_the_role():
    early, late = ok.Calendar({"mon": "08:00-10:00"}), ok.Calendar({"mon": "10:00-20:00"})
    scenario = ok.Scenario(
        ok.ArrivalTimes((9 * 3600.0,)),  # a Monday, 9:00
        {"send": "1 h"},
        {"clerk": ok.Resource(members={"Ann": early, "Bob": late})},
        delays={"send": "5 h"},
    )

    log = ok.simulate(ok.workflow("offer", [ok.task("send", role="clerk")]), scenario, cases=1)

    assert str(log.steps["enabled"][0]) == "2025-01-06 14:00:00+00:00"


def test_a_delay_depends_on_the_task_before():
    # Without a calendar, so that it is the time on the clock.
    scenario = ok.Scenario(
        "1 h",
        {"a": 60, "b": 60},
        delays={"b": ok.by_previous({"a": "2 h", "b": "3 h"})},
        loops={"again": 2},
    )
    workflow = ok.workflow("w", [ok.task("a"), ok.repeat_while("x", [ok.task("b")], name="again")])

    log = ok.simulate(workflow, scenario, cases=3)

    assert gaps_h(log, "a", "b").tolist() == [2.0] * 3
    assert gaps_h(log, "b", "b").tolist() == [3.0] * 3
    first = log.steps["enabled"][log.steps["activity"] == "a"]
    assert list(first) == list(log.cases["started"])


def test_a_scenario_with_delays_is_written_and_read():
    text = ok.write_scenario(TRUTH)

    assert ok.read_scenario(text) == TRUTH


@pytest.mark.parametrize(
    ("delays", "message"),
    [
        ({"cal": "1 h"}, "delays: 'cal' is no node"),
        ({"call": ok.by_previous({"sen": "1 h"})}, "delays: call: there is no step 'sen'. Did you mean 'send'"),
    ],
)
def test_a_delay_of_no_task_is_refused(delays, message):
    scenario = dataclasses.replace(TRUTH, delays=delays)
    with pytest.raises(ScenarioError) as found:
        ok.simulate(OFFER, scenario, cases=1)
    assert message in str(found.value)


def test_a_fit_finds_delays_loops_and_waits_again():
    log = ok.simulate(OFFER, TRUTH, cases=1_500, seed=4, progress=False)

    found = ok.fit(OFFER, log, seed=4).scenario

    assert found.delays["call"].parts["send"].mean == pytest.approx(16 * 3600, rel=0.1)
    assert found.delays["call"].parts["call"].mean == pytest.approx(2 * 3600, rel=0.02)
    assert found.delays["close"].otherwise.mean == pytest.approx(2 * 3600, rel=0.1)
    assert "send" not in found.delays
    assert found.loops["calling"].items.mean == pytest.approx(5 / 3, rel=0.05)
    assert found.waits["signed"].after.mean == pytest.approx(3600, rel=0.1)
    assert found.waits["signed"].fails == 0


def test_a_log_that_does_not_say_when_steps_could_begin_is_fitted_to_its_cycle_times():
    log = ok.simulate(OFFER, TRUTH, cases=1_500, seed=4, progress=False)
    blind = ok.EventLog(log.steps.drop(columns="enabled")[["case_id", "activity", "started", "completed", "resource"]])

    fitted = ok.fit(OFFER, blind, seed=4)
    again = ok.simulate(OFFER, fitted.scenario, cases=1_500, seed=5, progress=False)

    hours = [ok.cycle_times(one)["cycle_s"].mean() / 3600 for one in (log, again)]
    assert hours[1] == pytest.approx(hours[0], rel=0.2)


def test_a_simulation_is_looked_at_as_long_as_the_cases_held_out_were():
    log = ok.simulate(OFFER, TRUTH, cases=400, seed=4, progress=False)

    goodness = ok.fit(OFFER, log, seed=4).goodness.set_index("distance")

    assert goodness["past"].isna().sum() == 2
    assert pd.isna(goodness.loc["case_arrival", "past"])
    assert goodness.loc["cycle_time", "value"] < 20
