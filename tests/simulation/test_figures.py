"""Key figures of a simulation against hand calculation."""

from __future__ import annotations

import pytest

import orchkit as ok

SERVE = ok.workflow("serve", [ok.task("serve", role="clerk", retry=ok.Retry(max_attempts=1))])


def figures(log):
    return ok.kpis(log).set_index("kpi")["value"]


@pytest.mark.filterwarnings("ignore::orchkit.ScenarioWarning")
def test_what_is_still_at_work_or_waits_at_the_end_counts():
    # Cases come at 10, 20 … 100, each is 20 s of work; it is over at 105 s.
    log = ok.simulate(SERVE, ok.Scenario(10, {"serve": 20}, {"clerk": 1}), until=105)

    found = figures(log)
    assert log.availability["busy_s"].tolist() == [95.0]
    assert found["utilization.clerk"] == pytest.approx(95 / 105)
    # 0, 10, 20, 30 and 40 s of those that began, 45, 35, 25, 15 and 5 s of those that did not.
    assert found["queue_length"] == pytest.approx(225 / 105)
    assert found["queue_length_max"] == 5


@pytest.mark.parametrize("warm_up", [0, 50])
def test_figures_are_of_the_time_after_the_warm_up(warm_up):
    # A case comes every 10 s and is 5 s of work for both.
    scenario = ok.Scenario(10, {"serve": 5}, {"clerk": 1, "helper": 1}, requires={"serve": {"clerk": 1, "helper": 1}})

    log = ok.simulate(SERVE, scenario, until=102, warm_up=warm_up)

    found = figures(log)
    lasted = 102 - warm_up
    # From 10 s on, each ten seconds have five of work; the last case is at work since 100 s.
    worked = 45 + 2 if not warm_up else 25 + 2
    assert log.availability["period_s"].tolist() == [lasted, lasted]
    assert log.availability["busy_s"].tolist() == [worked, worked]
    assert found["utilization.clerk"] == found["utilization.helper"] == pytest.approx(worked / lasted)
    assert found["throughput"] == pytest.approx(3600 * (9 if not warm_up else 5) / lasted)


def test_work_on_cases_of_the_warm_up_is_work():
    # The only case comes at 10 s, and is at work until 40 s.
    scenario = ok.Scenario(ok.ArrivalTimes((10.0, 60.0)), {"serve": 30}, {"clerk": 1})

    log = ok.simulate(SERVE, scenario, until=90, warm_up=20)

    assert log.availability[["busy_s", "available_s"]].to_numpy().tolist() == [[20.0 + 30.0, 70.0]]


def test_it_lasts_until_the_end_that_was_asked_for():
    log = ok.simulate(SERVE, ok.Scenario(ok.ArrivalTimes((0.0,)), {"serve": 30}, {"clerk": 1}), until=120)

    assert figures(log)["utilization.clerk"] == 0.25


def test_who_gives_up_has_waited():
    # The second comes at 10 s, and has had enough 15 s later.
    scenario = ok.Scenario(ok.ArrivalTimes((0.0, 10.0)), {"serve": 40}, {"clerk": 1}, patience={"serve": 15})

    found = figures(ok.simulate(SERVE, scenario, cases=2))

    assert found["waiting_time"] == found["waiting_time.contention"] == 7.5
    assert found["queue_length"] == 15 / 40


def test_who_is_interrupted_and_out_of_time_has_no_clerk_to_give_back():
    # "low" is interrupted at 2 s and gives up at 8 s; its clerk is with "high" until 12 s.
    retry = ok.Retry(max_attempts=1)
    low = ok.task("low", role="clerk", deadline=8, retry=retry, on_timeout=[ok.task("sorry")])
    ways = ok.parallel([low], [ok.task("high", role="clerk")], [ok.task("last", role="clerk")])
    scenario = ok.Scenario(
        ok.ArrivalTimes((0.0,)),
        {"low": 10, "high": 10, "last": 5, "sorry": 0},
        {"clerk": ok.Resource(1, discipline="preemptive")},
        priorities={"high": 2},
        delays={"high": 2, "last": 9},
    )

    log = ok.simulate(ok.workflow("ways", [ways]), scenario, cases=1)

    steps = log.steps.set_index("activity")
    ended = (steps["completed"] - log.cases["started"][0]).dt.total_seconds()
    assert ended.to_dict() == {"low": 8.0, "sorry": 8.0, "high": 12.0, "last": 17.0}
    assert log.availability["busy_s"].tolist() == [2.0 + 10.0 + 5.0]


@pytest.mark.filterwarnings("ignore::orchkit.ScenarioWarning")
def test_where_nobody_is_served_all_wait():
    # The first case is served all the time; of those after the warm-up, at 30, 40 … 100 s, none is.
    log = ok.simulate(SERVE, ok.Scenario(10, {"serve": 1_000}, {"clerk": 1}), until=100, warm_up=25)

    found = figures(log)
    assert found["utilization.clerk"] == 1
    assert found["queue_length"] == pytest.approx((70 + 60 + 50 + 40 + 30 + 20 + 10) / 75)
    assert found["queue_length_max"] == 7


@pytest.mark.parametrize("more", [{"patience": {"do": "1 d"}}, {"batches": {"do": ok.Batch(2, max_wait="1 d")}}, {}])
@pytest.mark.parametrize("until", [None, "20 h", "3 d"])
def test_what_nobody_waits_for_any_more_does_not_make_a_simulation_longer(more, until):
    done = ok.saga(
        [ok.task("do", role="clerk", deadline="2 d"), ok.wait_for(callback="told", timeout="5 d")], timeout="9 d"
    )
    workflow = ok.workflow("one", [done])
    scenario = ok.Scenario(ok.ArrivalTimes([0, 0]), {"do": "1 h"}, {"clerk": 1}, waits={"told": "1 h"}, **more)

    log = ok.simulate(workflow, scenario, cases=2, until=until)

    hours = 2 if "batches" in more else 3
    assert log.availability["period_s"].tolist() == [hours * 3600]
    assert ok.kpis(log).set_index("kpi")["value"]["throughput"] == pytest.approx(2 / hours)
