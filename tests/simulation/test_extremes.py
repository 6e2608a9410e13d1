"""Numbers beyond all reason end in an error that names its place, and long queues in good time."""

from __future__ import annotations

import numpy as np
import pandas as pd
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


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: ok.Calendar({"mon": "09:00-17:00"}, timezone=None),
            "timezone is a name such as 'Europe/Berlin', not None",
        ),
        (lambda: ok.Distribution(["exponential"], (5,)), "A distribution has the name of a family"),
        (lambda: ok.Distribution("exponential", ("a",)), "exponential: parameters are numbers"),
        (lambda: ok.categorical({"a": int}), "categorical: a is a number"),
    ],
)
def test_what_is_no_number_and_no_name_is_refused_where_it_is_written(make, says):
    with pytest.raises(ok.ScenarioError, match=says):
        make()


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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"durations": {"serve": ok.categorical({"quick": 1})}},
            "durations: serve: categorical: 'quick' is not a duration",
        ),
        ({"durations": {"serve": ok.categorical({-5: 1})}}, "durations: serve: categorical: -5 is not a duration"),
        ({"durations": {"serve": ok.by_attribute("x", {1: 5})}}, "'serve': a case has a value for which by_attribute"),
        ({"delays": {"serve": ok.by_attribute("y", {1: 5})}}, "'serve': a case has a value for which by_attribute"),
        ({"durations": {"serve": ok.by_resource({"clerk_1": 5})}}, "how long does it take if 'clerk_2' does it[?]"),
        ({"durations": {"serve": np.timedelta64(5, "s")}}, "durations: serve: .* is not a duration"),
        ({"arrivals": ok.categorical({"a": 1})}, "arrivals: categorical: 'a' is not a duration"),
        ({"arrivals": ok.by_resource({"clerk_1": 5})}, "arrivals cannot depend on"),
        ({"requires": {"{serve}": {"clerk": 1}}}, "requires: '{serve}' is no node"),
        ({"branching": {"serve": {"pack": 1}}}, "branching: serve: no flow leads from it to 'pack'"),
        ({"attributes": {"x": ok.by_attribute("x", {1: 2})}}, "attributes: x: it can only depend on"),
        ({"attributes": 5}, "attributes: give an entry a name, a table with one row per case, or a log, not 5"),
        (
            {"attributes": {"x": pd.Series([1, 2])}},
            "attributes: x: give one value, or a distribution such as ok.empirical",
        ),
        ({"attributes": {"x": 10**400}}, "attributes: x: a whole number of more than 300 digits"),
        ({"start": "1969-12-31T00:00:00+00:00"}, "start: the year is between 1970 and 9900, not 1969"),
        ({"sla": ok.exponential(5)}, "sla is one duration, not a distribution [(]exponential[)]"),
    ],
)
def test_what_would_be_taken_for_something_else_is_refused(change, says):
    given = {"arrivals": 10, "durations": {"serve": 1}, "resources": {"clerk": 2}}
    given["attributes"] = {"x": ok.categorical({1: 0.5, 2: 0.5}), "y": ok.uniform(0, 2)}

    with pytest.raises(ok.ScenarioError, match=says):
        ok.simulate(SERVE, ok.Scenario(**{**given, **change}), cases=5)


@pytest.mark.parametrize(
    ("arguments", "more", "says"),
    [
        ((SERVE, {"serve": 5}), {"cases": 5}, "simulate takes a scenario, .* not dict"),
        (("serve", None), {"cases": 5}, "simulate takes a workflow, not str"),
        ((SERVE, ok.Scenario(10, {"serve": 1})), {"cases": 5, "executor": 3}, "executor is one of concurrent.futures"),
        ((SERVE, ok.Scenario(10, {"serve": 1})), {"cases": 5, "in_flight": 3}, "in_flight: give an engine"),
        ((SERVE, ok.Scenario(10, {"serve": 1})), {"cases": 10**12}, "1,000,000,000,000 cases would arrive in all"),
        ((SERVE, ok.Scenario(0.001, {"serve": 1})), {"until": "2000 d"}, "172,800,000,000 cases would arrive in all"),
        ((SERVE, ok.Scenario(10, {"serve": 1})), {"cases": 5, "seed": "lucky"}, "seed must be a whole number"),
    ],
)
def test_what_cannot_be_simulated_is_said(arguments, more, says):
    with pytest.raises(ok.OrchkitError, match=says):
        ok.simulate(*arguments, **more)
