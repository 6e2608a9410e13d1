"""Numbers beyond all reason end in an error that names its place, and long queues in good time."""

from __future__ import annotations

import pytest

import orchkit as ok

SERVE = ok.workflow("serve", [ok.task("serve", role="clerk")])
ONE_MINUTE_A_WEEK = ok.Resource(1, calendar=ok.Calendar({"mon": "09:00-09:01"}))


@pytest.mark.parametrize("resource", [1, ONE_MINUTE_A_WEEK])
@pytest.mark.parametrize("duration", [1e12, 1e300, ok.weibull(0.001, 1), ok.exponential(1e15)])
def test_work_that_takes_thousands_of_years_is_named(duration, resource):
    scenario = ok.Scenario(10, {"serve": duration}, {"clerk": resource})

    with pytest.raises(ok.ScenarioError, match="beyond the year 9999, at 'serve'"):
        ok.simulate(SERVE, scenario, cases=5)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"until": 1e300}, "simulate: until: 1e[+]300 are thousands of years"),
        ({"until": "-5"}, "simulate: until: '-5' is not a duration"),
        ({"until": "5 mins ago"}, "simulate: until: '5 mins ago' is not a duration"),
        ({"cases": 5, "warm_up": -1}, "simulate: warm_up: -1 is not a duration"),
    ],
)
def test_a_time_that_makes_no_sense_is_named(more, says):
    with pytest.raises(ok.ScenarioError, match=says):
        ok.simulate(SERVE, ok.Scenario(10, {"serve": 1}), **more)


def test_a_warm_up_that_takes_all_is_a_warning():
    with pytest.warns(ok.ScenarioWarning, match="no case arrives after the warm-up [(]'1 h'[)]"):
        log = ok.simulate(SERVE, ok.Scenario(10, {"serve": 1}), cases=5, warm_up="1 h")

    assert len(log) == 0


def test_arrivals_that_hardly_ever_come_are_refused():
    with pytest.raises(ok.ScenarioError, match="not one case comes in a century"):
        ok.Profile([1e-12] * 168)


def test_who_finds_somebody_idle_interrupts_nobody():
    # Both clerks are at work when "first" ends; the case goes on with the one that it leaves, not with the other's.
    first = [ok.task("first", role="clerk"), ok.task("then", role="clerk")]
    ways = ok.parallel(first, [ok.task("low", role="clerk")])
    scenario = ok.Scenario(
        ok.ArrivalTimes((0.0,)),
        {"first": 2, "then": 3, "low": 9},
        {"clerk": ok.Resource(2, discipline="preemptive")},
        priorities={"first": 2, "then": 2, "low": 1},
    )

    log = ok.simulate(ok.workflow("ways", [ways]), scenario, cases=1)

    served = dict(zip(log.steps["activity"], log.steps["resource"], strict=True))
    assert served == {"first": "clerk_1", "then": "clerk_1", "low": "clerk_2"}


def test_arrivals_that_take_thousands_of_years_end_or_are_none():
    scenario = ok.Scenario(1e17, {"serve": 1})

    assert len(ok.simulate(SERVE, scenario, until="3650 d")) == 0
    with pytest.raises(ok.ScenarioError, match="beyond the year 9999"):
        ok.simulate(SERVE, scenario, cases=20)
