"""Where cases only go forward, all is reckoned task by task: the log is that of the interpreter, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.simulation import replications
from orchkit.simulation.forward import go_forward, route_of
from orchkit.simulation.kernel.layout import FOREVER
from orchkit.simulation.lowering import lower

TIMES = st.sampled_from(
    (
        ok.constant(0),
        ok.constant(60),
        ok.constant(90),
        ok.exponential(70),
        ok.exponential(400),
        ok.uniform(0, 200),
        ok.gamma(2, 30),
        ok.categorical({0.0: 0.5, 30.0: 0.5}),
    )
)
ARRIVALS = st.sampled_from(
    (
        ok.exponential(40),
        ok.constant(30),
        ok.constant(0),
        ok.categorical({0.0: 0.7, 60.0: 0.3}),
        ok.Profile(tuple(60.0 + hour for hour in range(168))),
        ok.ArrivalTimes((0.0, 0.0, 5.0, 5.0, 5.0, 60.0, 61.5, 200.0)),
    )
)


@st.composite
def queues(draw):
    """Return a workflow of tasks and choices, and a scenario; each role serves one task, some tasks have none."""
    names, roles, branching, durations, resources = (f"n{number}" for number in count()), count(), {}, {}, {}

    def task():
        name = next(names)
        role = f"role{next(roles)}" if draw(st.booleans()) else None
        if role is not None:
            resources[role] = draw(st.sampled_from((1, 2, 3, 20)))
        durations[name] = draw(TIMES)
        return ok.task(name, role=role)

    def steps(depth, least):
        return [block(depth) for _ in range(draw(st.integers(least, 3)))]

    def block(depth):
        if depth == 0 or draw(st.integers(0, 2)):
            return task()
        name = next(names)
        ways = [[task(), *steps(depth - 1, 0)] for _ in range(draw(st.integers(1, 2)))]
        other = [task(), *steps(depth - 1, 0)]
        if draw(st.booleans()):
            branching[name] = {way[0].node.name: 0.5 / len(ways) for way in ways}
            branching[name][other[0].node.name] = 0.5
        return ok.choice(*(ok.when(f"x == {at}", way) for at, way in enumerate(ways)), ok.otherwise(other), name=name)

    workflow = ok.workflow("queues", steps(2, 1))
    attributes = {"x": ok.categorical({0: 0.4, 1: 0.3, 2: 0.3})}
    return workflow, ok.Scenario(
        draw(ARRIVALS), durations, resources=resources, branching=branching, attributes=attributes
    )


def both(monkeypatch, workflow, scenario, **settings):
    """Return the log as it is, and as the interpreter of events makes it."""
    found = replications.simulate_quietly(workflow, scenario, **settings)
    with monkeypatch.context() as patch:
        patch.setattr(replications, "route_of", lambda _: None)
        return found, replications.simulate_quietly(workflow, scenario, **settings)


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found.steps, expected.steps, check_exact=True)
    pd.testing.assert_frame_equal(found.cases, expected.cases, check_exact=True)
    pd.testing.assert_frame_equal(found.availability, expected.availability, check_exact=True)
    for name in ("case_codes", "activity_codes", "resource_codes", "offsets"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.filterwarnings("ignore:simulate. no case arrives after the warm-up")
@settings(max_examples=60)
@given(queues(), st.integers(0, 2**31), st.data())
def test_the_log_is_that_of_the_interpreter(given_queues, seed, data):
    workflow, scenario = given_queues
    more = data.draw(st.sampled_from(({}, {"replications": 2}, {"warm_up": "10 min"})))
    if data.draw(st.booleans()):
        more = {**more, "until": data.draw(st.sampled_from(("0 s", "61.5 s", "1 h")))}
    if "until" not in more or data.draw(st.booleans()) or scenario.arrivals == ok.constant(0):
        more = {**more, "cases": data.draw(st.sampled_from((1, 7, 120)))}
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_same(*both(monkeypatch, workflow, scenario, seed=seed, progress=False, **more))


def lined_up(count=1, **more):
    workflow = ok.workflow("line", [ok.task("serve", role="clerk")])
    return workflow, ok.Scenario(ok.exponential(1), {"serve": ok.exponential(0.8 * count)}, {"clerk": count}, **more)


@pytest.mark.parametrize("count", [1, 3, 16, 17, 60])
def test_any_number_of_resources_serves_in_the_same_order(monkeypatch, count):
    assert_same(*both(monkeypatch, *lined_up(count), cases=3_000, seed=count))


def test_cases_that_overtake_each_other_far_and_wide_are_lined_up_again(monkeypatch):
    workflow = ok.workflow("wide", [ok.task("think"), ok.task("serve", role="clerk"), ok.task("ship", role="packer")])
    durations = {"think": ok.exponential("2 h"), "serve": ok.exponential(0.8), "ship": ok.exponential(1.5)}
    scenario = ok.Scenario(ok.exponential(1), durations, {"clerk": 1, "packer": 2})

    assert_same(*both(monkeypatch, workflow, scenario, cases=5_000))


def test_a_choice_before_and_behind_a_single_task(monkeypatch):
    nothing = ok.choice(ok.when("x > 0", []), ok.otherwise([]), name="before")
    behind = ok.choice(ok.when("x > 1", []), ok.otherwise([]), name="behind")
    workflow = ok.workflow("one", [nothing, ok.task("serve", role="clerk"), behind])
    scenario = ok.Scenario(
        ok.exponential(1), {"serve": ok.gamma(2, 0.3)}, {"clerk": 1}, attributes={"x": ok.uniform(0, 2)}
    )

    assert_same(*both(monkeypatch, workflow, scenario, cases=2_000))
    assert_same(*both(monkeypatch, workflow, scenario, until="20 min", warm_up="1 min"))


def test_many_cases_are_taken_in_parts(monkeypatch):
    monkeypatch.setattr("orchkit.simulation.forward._AT_ONCE", 700)

    assert_same(*both(monkeypatch, *lined_up(3), cases=3_000))
    assert_same(*both(monkeypatch, *lined_up(20), until="40 min"))


def test_more_cases_than_can_be_lined_up_are_left_to_events(monkeypatch):
    monkeypatch.setattr("orchkit.simulation.forward._MOST", 100)

    assert_same(*both(monkeypatch, *lined_up(), until="10 min"))
    assert_same(*both(monkeypatch, *lined_up(), cases=1_000))


def test_what_is_told_by_events_alone_is_left_to_them():
    workflow, scenario = lined_up()
    parallel = ok.workflow("p", [ok.parallel([ok.task("a")], [ok.task("b")])])
    shared = ok.workflow("s", [ok.task("a", role="clerk"), ok.task("b", role="clerk")])
    two = {"a": "1 min", "b": "1 min"}
    clerk = ok.Resource(1, discipline="lifo")
    others = (
        (parallel, ok.Scenario("1 min", two)),
        (shared, ok.Scenario("3 min", two, {"clerk": 1})),
        (workflow, replace(scenario, failures={"serve": 0.1})),
        (workflow, replace(scenario, patience={"serve": "1 min"})),
        (workflow, replace(scenario, resources={"clerk": clerk})),
        (workflow, replace(scenario, resources={"clerk": ok.Resource(1, calendar=ok.office_hours())})),
        (ok.workflow("t", [ok.task("serve", role="clerk", timeout="1 min")]), scenario),
    )

    assert route_of(lower(workflow, scenario)) is not None
    assert [route_of(lower(*other)) for other in others] == [None] * len(others)


def test_events_of_one_moment_whose_order_cannot_be_told_are_left_to_the_kernel():
    ways = ok.choice(ok.when("x", [ok.task("a")]), ok.otherwise([ok.task("b")]), name="w")
    workflow = ok.workflow("merge", [ways, ok.task("serve", role="clerk")])
    durations = {"a": "1 min", "b": "1 min", "serve": "1 s"}
    scenario = ok.Scenario(ok.constant(0), durations, {"clerk": 1}, branching={"w": {"a": 0.5, "b": 0.5}})
    lowered = lower(workflow, scenario)

    assert go_forward(lowered, route_of(lowered), 0, 7, 10, FOREVER, None) is None
    assert len(ok.simulate(workflow, scenario, cases=10)) == 10
