"""Scenarios that make no sense, or cannot be served: an error or a warning that names the place, and never a hang."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

import orchkit as ok
from orchkit.simulation.load import overloads

ORDER = ok.workflow("order", [ok.task("check", role="clerk"), ok.task("ship")])
TODAY = ok.Scenario(ok.exponential("10 min"), {"check": ok.exponential("9 min"), "ship": "1 h"}, {"clerk": 1})


def test_load_that_cannot_be_served_is_a_warning_with_its_numbers():
    busy = replace(TODAY, arrivals="5 min", resources={"clerk": ok.Resource(2, calendar=ok.office_hours())})

    with pytest.warns(ok.ScenarioWarning) as caught:
        log = ok.simulate(ORDER, busy, until="2 days")

    (message,) = [str(one.message) for one in caught]
    assert message == (
        "resources: clerk: 302.4 hours of work arrive in a week, and there are 80 hours of duty (378%): "
        "the queue grows as long as cases arrive. Give it more people or hours, or fewer cases."
    )
    assert caught[0].filename == __file__
    assert (log.cases["status"] == "RUNNING").sum() > 300


def test_cases_that_come_faster_than_they_are_served_all_end_when_they_are_counted():
    with pytest.warns(ok.ScenarioWarning):
        log = ok.simulate(ORDER, replace(TODAY, arrivals="1 min"), cases=200)

    assert (log.cases["status"] == "COMPLETED").all()


@pytest.mark.parametrize(
    ("change", "offered_h"),
    [
        ({"arrivals": "9 min"}, 168),  # as much as there is
        ({"arrivals": ok.Profile((15,) * 40 + (5,) * 128)}, 0.15 * (600 + 640)),
        ({"requires": {"check": {"clerk": 2}}, "resources": {"clerk": 2}, "arrivals": "8 min"}, 168 * 9 / 8 * 2),
        ({"resources": {"clerk": ok.Resource(members={"Ann": ok.office_hours()})}}, 151.2),
        ({"batches": {"check": 3}, "arrivals": "3 min"}, 168),
        ({"arrivals": "9.001 min"}, None),
        ({"batches": {"check": 3}}, None),
        ({"arrivals": ok.ArrivalTimes((0, 0, 0))}, None),
    ],
)
def test_load_is_what_arrives_in_a_week(change, offered_h):
    workflow = ok.workflow(
        "order", ORDER.nodes and [ok.task("check", role="clerk"), ok.task("ship")], retry=ok.Retry(3)
    )

    found = overloads(workflow, replace(TODAY, **change))

    assert [one.offered_h for one in found] == ([] if offered_h is None else [pytest.approx(offered_h)])


PLAYED = """
workflow: order
retry: {max_attempts: 3, initial_delay: 1 s}
steps:
  - task: ask
  - choice:
      - when: amount > 100 and country == "DE"
        steps: [{task: approve, role: clerk}]
      - otherwise: [{task: accept}]
    name: which
  - for_each: lines
    name: each
    steps: [{task: pick, role: packer}]
  - {task: pay, timeout: 10 min, retry: {max_attempts: 1}, on_timeout: [{task: remind, role: caller}]}
  - saga:
      - {task: book, compensate: {task: unbook, role: agent}}
      - {task: fly}
    name: trip
"""
TASKS = ("ask", "approve", "accept", "pick", "pay", "remind", "book", "unbook", "fly")


@pytest.mark.parametrize(
    ("role", "change", "share"),
    [
        ("clerk", {}, 2 * 0.25),  # two hours for a quarter of the cases, one an hour
        ("clerk", {"failures": {"ask": ok.Failure(0.5, "permanent")}}, 2 * 0.25 * 0.5),
        ("clerk", {"durations": {"approve": ok.by_attribute("country", {"DE": "4 h"}, otherwise="1 min")}}, 4 * 0.25),
        ("packer", {}, 2 * 3),
        ("packer", {"attributes": {"lines": ok.categorical({1: 0.5, 2: 0.5})}}, 2 * 1.5),
        (
            "packer",
            {"failures": {"pick": ok.Failure(0.5, after="1 h")}},
            1.5 * 1.75 * 2.640625,
        ),
        ("caller", {"durations": {"pay": ok.exponential("10 min")}}, 2 * 0.36788),
        ("agent", {"failures": {"fly": ok.Failure(0.25, "permanent")}}, 2 * 0.25),
    ],
)
def test_load_that_only_a_played_case_can_tell_is_played(role, change, share):
    scenario = ok.Scenario(
        "1 h",
        {**dict.fromkeys(TASKS, "2 h"), "pay": "5 min", **change.get("durations", {})},
        {role: ok.Resource(calendar=ok.Calendar({"mon": "00:00-01:00"}))},
        attributes={
            "amount": ok.categorical({50: 0.5, 150: 0.5}),
            "country": ok.categorical({"DE": 0.5, "US": 0.5}),
            "lines": 3,
            **change.get("attributes", {}),
        },
        failures=change.get("failures", {}),
    )

    (found,) = overloads(ok.read_workflow(PLAYED), scenario)

    assert (found.role, found.available_h) == (role, 1)
    assert found.offered_h == pytest.approx(168 * share, rel=0.12)


def test_a_load_that_conditions_and_failures_take_away_is_no_warning():
    workflow = ok.read_workflow(PLAYED)
    scenario = ok.Scenario(
        "1 h",
        dict.fromkeys(TASKS, "5 min"),
        {"clerk": 1},
        attributes={"amount": ok.categorical({50: 0.9, 150: 0.1}), "country": "DE", "lines": 0},
    )
    busy = replace(scenario, durations={**scenario.durations, "approve": "9 h"})

    assert overloads(workflow, busy) == []
    assert len(overloads(workflow, replace(busy, durations={**busy.durations, "approve": "13 h"}))) == 1


@pytest.mark.parametrize(("retries", "share"), [(1, 1.0), (3, 1.75)])
def test_attempts_that_fail_are_work_as_well(retries, share):
    workflow = ok.workflow("order", [ok.task("check", role="clerk", retry=ok.Retry(retries))])
    scenario = ok.Scenario("1 h", {"check": "1 h"}, {"clerk": 1}, failures={"check": ok.Failure(0.5)})

    found = overloads(workflow, replace(scenario, arrivals="0.9 h"))

    assert [one.offered_h for one in found] == [pytest.approx(168 / 0.9 * share, rel=0.05)]


def test_load_follows_branches_joins_loops_and_calls():
    pick = ok.workflow("pick", [ok.task("take", role="packer")])
    workflow = ok.workflow(
        "order",
        [
            ok.choice(
                ok.when("a", [ok.task("x", role="clerk")]), ok.otherwise([ok.task("y", role="clerk")]), name="which"
            ),
            ok.parallel([ok.task("p", role="clerk")], [ok.task("q")]),
            ok.for_each("lines", [ok.call("pick")], item="line", name="each"),
            ok.task("z", role="clerk"),
        ],
        workflows=[pick],
    )
    scenario = ok.Scenario(
        "1 h",
        {"x": "1 h", "y": "2 h", "p": "10 min", "q": "1 h", "take": "30 min", "z": "20 min"},
        {"clerk": 1, "packer": 1},
        branching={"which": {"x": 0.75, "y": 0.25}},
        loops={"each": 3},
    )

    found = {one.role: one.offered_h / 168 for one in overloads(workflow, scenario)}

    assert found == pytest.approx({"clerk": 0.75 + 0.5 + 1 / 6 + 1 / 3, "packer": 1.5})


def test_rework_counts_as_often_as_it_comes():
    text = """
workflow: rework
nodes: {s: start, work: {task: {role: clerk}}, ok: exclusive, e: end}
flows:
  - s -> work -> ok
  - {ok -> e: done}
  - ok -> work
"""
    scenario = ok.Scenario("1 h", {"work": "30 min"}, {"clerk": 1}, branching={"ok": {"e": 0.25, "work": 0.75}})

    (found,) = overloads(ok.read_workflow(text), scenario)

    assert found.offered_h == pytest.approx(2 * 168)


def test_no_warning_where_all_can_be_done():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ok.simulate(ORDER, TODAY, cases=20)


def test_case_that_goes_around_without_end_is_an_error_that_says_where():
    text = """
workflow: rework
nodes: {s: start, work: task, ok: exclusive, e: end}
flows:
  - s -> work -> ok
  - {ok -> e: done}
  - ok -> work
"""
    scenario = ok.Scenario("1 h", {"work": "0 s"}, branching={"ok": {"e": 0, "work": 1}})

    with pytest.raises(ok.ScenarioError, match="no case ends any more; one has been at '(work|ok)'") as caught:
        ok.simulate(ok.read_workflow(text), scenario, cases=2)

    assert caught.value.node in ("work", "ok")


def test_cases_without_time_between_them_are_to_be_counted():
    with pytest.raises(ok.ScenarioError, match="no time goes by between cases"):
        ok.simulate(ORDER, replace(TODAY, arrivals="0 s"), until="1 h")

    assert len(ok.simulate(ORDER, replace(TODAY, arrivals="0 s", resources={}), cases=3)) == 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ok.Scenario(durations={"check": -5}), "durations: check: "),
        (lambda: ok.Scenario(durations={"check": "-5 min"}), "durations: check: "),
        (lambda: ok.Scenario(branching={"which": {"a": 1.5}}), "branching: which: a is between 0 and 1"),
        (lambda: ok.Scenario(batches={"check": 0}), "batch: size must be a whole number from 1"),
        (lambda: ok.Resource(members={}, count=0), "count must be a whole number from 1"),
        (lambda: ok.Calendar({"mon": []}), "it never opens"),
    ],
)
def test_nonsense_is_refused_where_it_is_written(make, says):
    with pytest.raises(ok.ScenarioError, match=says):
        make()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"branching": {"which": {"a": 0.3, "b": 0.3}}}, "branching: which: the probabilities sum to 0.6, not to 1"),
        ({"branching": {"which": {"a": 0.3, "bee": 0.7}}}, "no flow leads from it to 'bee'"),
        ({"resources": {"clark": 1}}, "no task of 'order' has the role 'clark'. Did you mean 'clerk'"),
        (
            {
                "resources": {
                    "clerk": ok.Resource(
                        1, calendar=ok.Calendar({"mon": "09:00-10:00"}, absences=[("2020-01-01", "2090-01-01")])
                    )
                }
            },
            "resources: clerk: calendar: an absence or holiday is more than 40 years ahead",
        ),
    ],
)
def test_what_does_not_fit_the_workflow_is_named(change, says):
    workflow = ok.workflow(
        "order",
        [
            ok.task("check", role="clerk"),
            ok.choice(ok.when("x", [ok.task("a")]), ok.otherwise([ok.task("b")]), name="which"),
        ],
    )
    scenario = ok.Scenario(
        "1 h", dict.fromkeys(("check", "a", "b"), "1 min"), {"clerk": 1}, branching={"which": {"a": 0.5, "b": 0.5}}
    )

    with pytest.raises(ok.ScenarioError, match=says):
        ok.simulate(workflow, replace(scenario, **change), cases=1)
