"""The workflow's own conditions, over the attributes of simulated cases."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.model.expressions import evaluate


def choice_of(condition):
    return ok.workflow(
        "order",
        [ok.choice(ok.when(condition, [ok.task("yes")]), ok.otherwise([ok.task("no")]), name="which")],
    )


ATTRIBUTES = {
    "order.country": ok.categorical({"US": 0.4, "DE": 0.4, "": 0.2}),
    "order.amount": ok.uniform(0, 200),
    "order.rush": ok.categorical({True: 0.5, False: 0.5}),
    "order.lines": ok.categorical({0: 0.2, 1: 0.3, 4: 0.5}),
    "rate": ok.uniform(0, 3),
    "note": ok.categorical({None: 0.5, "fragile": 0.5}),
}


def nested(row):
    found = {}
    for name, value in row.items():
        owner, _, key = name.rpartition(".")
        is_missing = value is None or (isinstance(value, float) and math.isnan(value))
        (found.setdefault(owner, {}) if owner else found)[key] = None if is_missing else value
    return found


def way_of(expression, row):
    try:
        return "yes" if evaluate(expression, nested(row)) else "no"
    except ok.ExpressionError:
        return None


def ways_taken(expression, count=120):
    scenario = ok.Scenario("1 min", durations={"yes": 1, "no": 1}, attributes=ATTRIBUTES)
    log = ok.simulate(choice_of(expression), scenario, cases=count, seed=5)
    taken = dict(zip(log.steps["case_id"].astype(str), log.steps["activity"].astype(str), strict=True))
    rows = log.cases[list(ATTRIBUTES)].astype(object).to_dict("records")
    found = [taken.get(case) for case in log.cases["case_id"]]
    return found, [way_of(expression, row) for row in rows], log


@pytest.mark.parametrize(
    "expression",
    [
        'order.country == "US"',
        'order.country == "US" and order.amount > 100',
        "order.amount > 100 or order.rush",
        "not order.rush and order.amount * rate >= 150.5",
        "100 <= order.amount < 150",
        'order["country"] in ["US", "FR"]',
        'lower(order.country) == "us" and order.lines > 0',
        "order.amount / order.lines > 50",
        'get(order, "country") != "DE"',
        "note == null",
        'note == "fragile" and order.country < "E"',
        "order.country",
        "max(order.amount, 100) > rate * 60 if order.rush else abs(rate - 1) < 0.5",
        "round(order.amount) % 7 == 3 or int(rate) == 2",
        "order.amount // 50 == 2 or -rate < -2.5",
        "rate ** 2 > 4 and order.amount - order.lines * 20 > 0",
        'order.amount == "x" or rate > 1',
        "len(order.country) == 2",
        "order.country > 3",
        "sum([order.lines, order.rush]) > 1",
    ],
)
def test_condition_goes_the_way_that_the_language_says(expression):
    taken, expected, log = ways_taken(expression)

    assert taken == expected
    assert (log.cases["status"] == "FAILED").tolist() == [way is None for way in expected]


NUMBERS = st.one_of(
    st.sampled_from(["order.amount", "rate", "order.lines", "order.rush", "3", "0.5", "-2", "100"]),
)


def expressions():
    def numeric(inner):
        return st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join).map("({})".format),
            inner.map("abs({})".format),
            inner.map("round({})".format),
            inner.map("int({})".format),
            st.tuples(inner, inner).map(lambda two: f"min({two[0]}, {two[1]})"),
            st.tuples(inner, inner, inner).map(lambda all_: f"({all_[0]} if {all_[1]} else {all_[2]})"),
        )

    number = st.recursive(NUMBERS, numeric, max_leaves=4)
    compared = st.tuples(number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number).map(" ".join)
    text = st.sampled_from(['order.country == "US"', 'order.country in ["DE", ""]', "note == null", "order.country"])

    def logical(inner):
        return st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join).map("({})".format),
            inner.map("not ({})".format),
        )

    return st.recursive(st.one_of(compared, text, number), logical, max_leaves=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expressions())
def test_kernel_and_language_agree_on_any_condition(expression):
    taken, expected, _ = ways_taken(expression, count=40)

    assert taken == expected


def test_an_attribute_that_is_not_given_is_named_with_what_to_add():
    scenario = ok.Scenario("1 min", durations={"yes": 1, "no": 1}, attributes={"order.county": "US"})

    with pytest.raises(ok.ScenarioError) as caught:
        ok.simulate(choice_of('order.country == "US"'), scenario, cases=1)

    assert caught.value.node == "which"
    assert str(caught.value) == (
        "'which': which way do cases go? Add it to the scenario: branching={'which': {'yes': 0.5, 'no': 0.5}}; "
        "or give what 'order.country == \"US\"' reads: attributes={'order.country': …}. Did you mean 'order.county'?"
    )


def test_what_needs_few_values_says_so():
    scenario = ok.Scenario("1 min", durations={"yes": 1, "no": 1}, attributes={"rate": ok.uniform(0, 1)})

    with pytest.raises(ok.ScenarioError, match="is not arithmetic, and what it reads is not one of few values"):
        ok.simulate(choice_of('str(rate) == "1"'), scenario, cases=1)


def test_shares_come_before_conditions():
    scenario = ok.Scenario(
        "1 min", durations={"yes": 1, "no": 1}, attributes={"big": True}, branching={"which": {"yes": 0, "no": 1}}
    )

    log = ok.simulate(choice_of("big"), scenario, cases=10)

    assert set(log.steps["activity"]) == {"no"}


def test_rows_of_a_table_are_drawn_whole():
    table = pd.DataFrame({"country": ["US", "DE", "FR"], "amount": [10, 200, 30], "vip": [True, False, None]})
    scenario = ok.Scenario("1 min", durations={"yes": 1, "no": 1}, attributes=table)

    log = ok.simulate(choice_of('country == "DE" and amount > 100'), scenario, cases=3_000, seed=2)

    cases = log.cases.drop_duplicates(["country", "amount"]).sort_values("amount")
    assert cases[["country", "amount"]].to_numpy().tolist() == [["US", 10], ["FR", 30], ["DE", 200]]
    assert (log.cases["country"].eq("DE").to_numpy() == log.steps["activity"].eq("yes").to_numpy()).all()
    assert 900 < (log.cases["country"] == "DE").sum() < 1_100
    assert ok.Scenario(attributes=log).attributes["amount"].mean == pytest.approx(80, rel=0.05)


def test_durations_and_branches_follow_the_same_attribute():
    scenario = ok.Scenario(
        "1 min",
        durations={"yes": ok.by_attribute("kind", {"a": "1 min", "b": "2 min"}), "no": "3 min"},
        attributes={"kind": ok.categorical({"a": 0.3, "b": 0.3, "c": 0.4})},
    )

    log = ok.simulate(choice_of('kind != "c"'), scenario, cases=500, seed=2)

    lasted = (log.steps["completed"] - log.steps["started"]).dt.total_seconds().to_numpy()
    assert (lasted == log.cases["kind"].map({"a": 60.0, "b": 120.0, "c": 180.0}).to_numpy()).all()


def test_attributes_that_depend_on_another_are_drawn_so():
    scenario = ok.Scenario(
        "1 min",
        durations={"yes": 1, "no": 1},
        attributes={
            "amount": ok.by_attribute("country", {"US": ok.uniform(0, 10)}, otherwise=ok.uniform(20, 30)),
            "country": ok.categorical({"US": 0.5, "DE": 0.5}),
        },
    )

    log = ok.simulate(choice_of("amount > 15"), scenario, cases=300, seed=2)

    assert ((log.cases["amount"] > 15) == (log.cases["country"] == "DE")).all()
    assert (log.steps["activity"].eq("yes").to_numpy() == log.cases["country"].eq("DE").to_numpy()).all()


def test_two_attributes_of_one_distribution_are_independent():
    both = {"a": ok.uniform(0, 1), "b": ok.uniform(0, 1)}
    scenario = ok.Scenario("1 min", durations={"yes": 1, "no": 1}, attributes=both)

    cases = ok.simulate(choice_of("a > b"), scenario, cases=2_000, seed=2).cases

    assert abs(cases["a"].corr(cases["b"])) < 0.06


def test_number_of_items_and_the_end_of_a_loop_are_told_by_attributes():
    workflow = ok.workflow(
        "order",
        [ok.for_each("order.lines", [ok.task("pick")], item="line", name="each", continue_when="small and urgent")],
    )
    scenario = ok.Scenario(
        "1 min",
        durations={"pick": 1},
        attributes={"order.lines": ok.categorical({0: 0.3, 2: 0.4, 5: 0.3}), "small": False, "urgent": True},
    )

    log = ok.simulate(workflow, scenario, cases=400, seed=2)
    listed = ok.simulate(
        workflow, replace(scenario, attributes={**scenario.attributes, "order.lines": [1, 2, 3]}), cases=4
    )

    assert (
        log.steps.groupby("case_id").size().reindex(log.cases["case_id"], fill_value=0).to_numpy()
        == log.cases["order.lines"]
    ).all()
    assert len(listed.steps) == 12


def test_what_an_item_needs_is_asked_for():
    workflow = ok.workflow(
        "order", [ok.for_each("lines", [ok.task("pick")], item="line", name="each", exit_when="line.blocked")]
    )
    scenario = ok.Scenario("1 min", durations={"pick": 1}, attributes={"lines": 3})

    with pytest.raises(
        ok.ScenarioError, match=r"how often\? Add it to the scenario: loops={'each': ok.Loop\(exit=0.1\)}"
    ):
        ok.simulate(workflow, scenario, cases=1)

    log = ok.simulate(workflow, replace(scenario, loops={"each": ok.Loop(exit=1)}), cases=2)
    assert len(log.steps) == 0


def test_inclusive_and_implicit_splits_take_all_that_hold():
    text = """
workflow: review
nodes:
  {s: start, v: inclusive, a: task, b: task, c: task, j: inclusive, t: task, x: task, y: task, e: end, f: end}
flows:
  - s -> v
  - {v -> a: size > 1}
  - {v -> b: size > 2}
  - v -> c
  - a -> j
  - b -> j
  - c -> j
  - j -> t
  - {t -> x: size == 2}
  - t -> y
  - x -> e
  - y -> f
"""
    workflow = ok.read_workflow(text)
    scenario = ok.Scenario(
        "1 min", durations=dict.fromkeys("abctxy", 1), attributes={"size": ok.categorical({1: 0.3, 2: 0.3, 3: 0.4})}
    )

    log = ok.simulate(workflow, scenario, cases=100, seed=3)

    done = log.steps.groupby("case_id", observed=True)["activity"].agg(lambda names: "".join(sorted(names)))
    assert done.to_numpy().tolist() == [{1: "cty", 2: "atxy", 3: "abty"}[size] for size in log.cases["size"]]


def test_error_flows_are_taken_by_what_went_wrong():
    text = """
workflow: order
retry: {max_attempts: 1}
nodes: {s: start, pay: task, later: task, ask: task, e: end, f: end, g: end}
flows:
  - s -> pay -> e
  - {pay -error-> later: error.type == "Busy" and error.node == "pay"}
  - pay -error-> ask
  - later -> f
  - ask -> g
"""
    workflow = ok.read_workflow(text)
    scenario = ok.Scenario(
        "1 min",
        durations=dict.fromkeys(("pay", "later", "ask"), 1),
        failures={"pay": (ok.Failure(0.3, "permanent", type="Busy"), ok.Failure(0.3, "permanent", type="Refused"))},
    )

    log = ok.simulate(workflow, scenario, cases=300, seed=3)

    failed = log.steps[log.steps["status"] == "FAILED"].set_index("case_id")["error_type"].astype(str)
    after = log.steps[log.steps["activity"] != "pay"].set_index("case_id")["activity"].astype(str)
    assert len(failed) > 100
    assert failed.map({"Busy": "later", "Refused": "ask"}).to_dict() == after.to_dict()


def test_cases_in_flight_keep_their_own_data():
    rows = pd.DataFrame(
        {
            "case_id": ["1", "2", "3"],
            "activity": ["check"] * 3,
            "enabled": ["2025-03-03T09:00Z"] * 3,
            "started": ["2025-03-03T09:00Z"] * 3,
            "completed": [None] * 3,
        }
    )
    cases = pd.DataFrame({"case_id": ["1", "2", "3"], "country": ["US", "DE", "NZ"]})
    workflow = ok.workflow(
        "order",
        [
            ok.task("check"),
            ok.choice(ok.when('country == "DE"', [ok.task("yes")]), ok.otherwise([ok.task("no")]), name="which"),
        ],
    )
    scenario = ok.Scenario(durations={"check": "1 h", "yes": 1, "no": 1}, attributes={"country": "DE"})

    log = ok.simulate(workflow, scenario, in_flight=ok.EventLog(rows, cases), replications=2)

    ways = log.steps[log.steps["activity"] != "check"].groupby("case_id", observed=True)["activity"].agg(set)
    assert ways.to_dict() == {"1": {"no"}, "2": {"yes"}, "3": {"no"}}
    assert log.cases.groupby("case_id")["country"].agg(set).to_dict() == {"1": {"US"}, "2": {"DE"}, "3": {"NZ"}}
