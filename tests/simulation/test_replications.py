from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

import orchkit as ok


def queue(**more):
    scenario = ok.Scenario(
        arrivals=ok.exponential(1.0),
        durations={"serve": ok.exponential(2.4)},
        resources={"clerk": more.pop("clerk", 3)},
        **more,
    )
    return ok.workflow("queue", [ok.task("serve", role="clerk")]), scenario


def test_queue_of_three_servers_waits_as_long_as_erlang_says():
    workflow, scenario = queue()

    log = ok.simulate(workflow, scenario, cases=100_000, replications=20, warm_up=2_000, seed=11)

    waits = (log.steps["started"] - log.steps["enabled"]).dt.total_seconds()
    means = waits.groupby(log.steps["replication"]).mean()
    # Erlang C for c = 3, a = 2.4: P(wait) = 0.64719, W = P * 2.4 / (3 - 2.4) = 2.5888.
    assert abs(means.mean() - 2.5888) < 2.861 * means.std() / 20**0.5
    assert 2.861 * means.std() / 20**0.5 < 0.1


def test_same_seed_gives_the_same_log_on_any_number_of_workers():
    workflow, scenario = queue()

    alone, *others = (
        ok.simulate(workflow, scenario, cases=500, replications=4, seed=3, executor=executor)
        for executor in (ThreadPoolExecutor(1), ThreadPoolExecutor(2), None)
    )

    for other in others:
        pd.testing.assert_frame_equal(alone.steps, other.steps)
        pd.testing.assert_frame_equal(alone.cases, other.cases)


def test_every_case_that_arrives_ends_or_is_in_flight():
    workflow, scenario = queue(clerk=1)

    log = ok.simulate(workflow, scenario, until="10 min", seed=5)

    assert log.cases["status"].isin(["COMPLETED", "RUNNING"]).all()
    assert (log.cases["status"] == "RUNNING").sum() == log.steps["completed"].isna().sum()
    assert 500 < len(log) < 700


def test_log_of_a_simulation_is_sorted_and_coded_as_any_other():
    workflow, scenario = queue()

    log = ok.simulate(workflow, scenario, cases=300, replications=2, seed=5)
    again = ok.EventLog(log.steps, log.cases)

    assert (again.case_codes == log.case_codes).all()
    assert (again.offsets == log.offsets).all()
    pd.testing.assert_frame_equal(again.steps, log.steps)


def test_choice_and_parallel_paths_are_taken_as_often_as_the_scenario_says():
    workflow = ok.workflow(
        "order",
        [
            ok.choice(ok.when("x > 1", [ok.task("a")]), ok.otherwise([ok.task("b")]), name="which"),
            ok.parallel([ok.task("c")], [ok.task("d")]),
        ],
    )
    scenario = ok.Scenario(
        arrivals="1 min", durations=dict.fromkeys("abcd", "5 min"), branching={"which": {"a": 0.3, "b": 0.7}}
    )

    log = ok.simulate(workflow, scenario, cases=10_000, seed=1)

    counts = log.steps["activity"].value_counts()
    assert counts["c"] == counts["d"] == 10_000
    assert 2_880 < counts["a"] < 3_120
    assert counts["a"] + counts["b"] == 10_000
    assert (log.cases["completed"] - log.cases["started"] == pd.Timedelta("10 min")).all()


def test_retries_compensations_and_calendars_play_together():
    workflow = ok.workflow(
        "trip",
        [
            ok.saga(
                [
                    ok.task("book", role="clerk", compensate=ok.task("cancel")),
                    ok.task("pay", retry=ok.Retry(max_attempts=2, initial_delay="1 min", jitter=0)),
                ],
                name="booking",
            )
        ],
    )
    office = ok.Calendar({"mon-fri": "09:00-17:00"})
    scenario = ok.Scenario(
        arrivals="1 h",
        durations={"book": "20 min", "cancel": "5 min", "pay": "1 min"},
        resources={"clerk": ok.Resource(1, calendar=office, cost_per_hour=30)},
        failures={"pay": ok.Failure(0.5)},
    )

    log = ok.simulate(workflow, scenario, cases=400, seed=2)

    statuses = log.cases["status"].value_counts()
    assert statuses["COMPLETED"] + statuses["COMPENSATED"] == 400
    assert 70 < statuses["COMPENSATED"] < 130
    book = log.steps[log.steps["activity"] == "book"]
    assert book["started"].dt.hour.between(9, 16).all()
    assert book["started"].dt.day_of_week.max() == 4
    assert (book["cost"] - 10).abs().max() < 1e-9
    waited = (book["started"] - book["enabled"]).dt.total_seconds()
    assert (book["wait_calendar_s"] + book["wait_contention_s"] - waited).abs().max() < 1e-6
    pay = log.steps[(log.steps["activity"] == "pay") & (log.steps["attempt"] == 2)]
    assert (pay["wait_retry_s"] == 60).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"durations": {}}, "task 'serve' has no duration"),
        ({"durations": {"serv": 1, "serve": 1}}, "Did you mean 'serve'?"),
        ({"resources": {"clark": 1}}, "Did you mean 'clerk'?"),
        ({"arrivals": None}, "when do cases arrive?"),
    ],
)
def test_what_a_scenario_lacks_is_named_with_what_to_add(change, says):
    workflow, scenario = queue()
    values = {"arrivals": scenario.arrivals, "durations": scenario.durations, "resources": {"clerk": 1}, **change}

    with pytest.raises(ok.ScenarioError, match=says.replace("?", r"\?")):
        ok.simulate(workflow, ok.Scenario(**values), cases=10)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ok.exponential(-1), "must be finite and not negative"),
        (lambda: ok.uniform(3, 1), "low (3) is above high (1)"),
        (lambda: ok.categorical({"a": 0.5, "b": 0.4}), "sum to 0.9"),
        (lambda: ok.Calendar({}), "never opens"),
        (lambda: ok.Calendar({"mno": "09:00-17:00"}), "is not a day"),
        (lambda: ok.Failure(1.5), "between 0 and 1"),
        (lambda: ok.Scenario(durations={"ship": -1}), "durations: ship"),
    ],
)
def test_nonsense_is_refused_where_it_is_written(make, says):
    with pytest.raises(ok.ScenarioError) as error:
        make()

    assert says in str(error.value)
