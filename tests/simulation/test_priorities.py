"""Who goes first, and who works how fast, where the scenario says so in unusual ways."""

from __future__ import annotations

import pytest

import orchkit as ok


def test_a_priority_below_0_is_after_all_that_have_none():
    workflow = ok.workflow(
        "two", [ok.parallel([ok.task("first", role="r")], [ok.task("bulk", role="r")], [ok.task("plain", role="r")])]
    )
    scenario = ok.Scenario(
        ok.ArrivalTimes([0]),
        dict.fromkeys(("first", "bulk", "plain"), 10),
        {"r": ok.Resource(1, discipline="priority")},
        priorities={"bulk": -1},
    )

    log = ok.simulate(workflow, scenario)

    assert log.steps.sort_values("started")["activity"].tolist() == ["first", "plain", "bulk"]


def test_a_name_in_two_roles_is_as_fast_in_both():
    workflow = ok.workflow("two", [ok.task("a", role="x"), ok.task("b", role="y")])
    ann, slow = ok.Resource(members={"Ann": None}), ok.by_resource({"Ann": 5}, otherwise=60)
    scenario = ok.Scenario(ok.ArrivalTimes([0]), {"a": slow, "b": slow}, {"x": ann, "y": ann})

    with pytest.warns(ok.ScenarioWarning, match="'Ann' is a member of x and of y: these are simulated as 2 people"):
        steps = ok.simulate(workflow, scenario).steps

    assert (steps["completed"] - steps["started"]).dt.total_seconds().tolist() == [5, 5]


def test_a_retry_that_the_deadline_cuts_short_has_waited_for_its_delay_only():
    retry = ok.Retry(max_attempts=5, initial_delay=4, multiplier=1, jitter=0)
    workflow = ok.workflow("late", [ok.task("try", role="r", deadline="20 s", retry=retry)])
    scenario = ok.Scenario(ok.ArrivalTimes([0]), {"try": 7}, {"r": 1}, failures={"try": 1.0})

    steps = ok.simulate(workflow, scenario).steps

    # 0 to 7, 11 to 18, and 2 s of the next delay
    assert steps["wait_retry_s"].tolist() == [0, 4, 2]
    assert steps["wait_contention_s"].tolist() == [0, 0, 0]
