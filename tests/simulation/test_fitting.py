"""A scenario that made a log is found again in it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import ScenarioError
from orchkit.simulation.fitting import fit, split_by_time
from orchkit.simulation.routes import branch_shares

ORDER = ok.workflow(
    "order",
    [
        ok.task("check", role="clerk"),
        ok.choice(ok.when("good", [ok.task("ship", role="packer")]), ok.otherwise([ok.task("reject", role="clerk")])),
        ok.task("close"),
    ],
)
TRUTH = ok.Scenario(
    arrivals=ok.exponential("40 min"),
    durations={
        "check": ok.uniform("5 min", "15 min"),
        "ship": ok.gamma(3, "5 min"),
        "reject": "2 min",
        "close": "1 min",
    },
    resources={"clerk": ok.Resource(2, calendar=ok.office_hours()), "packer": 1},
    branching={"choice_1": {"ship": 0.8, "reject": 0.2}},
    failures={"close": ok.Failure(0.1)},
)


@pytest.fixture(scope="module")
def found():
    return fit(ORDER, ok.simulate(ORDER, TRUTH, cases=3_000, seed=8), seed=1)


def test_durations_are_those_in_working_time(found) -> None:
    table = found.families.set_index("activity")
    assert table.loc["check", "mean_s"] == pytest.approx(600, rel=0.03)
    assert table.loc["ship", "mean_s"] == pytest.approx(900, rel=0.03)
    assert table.loc["reject", "family"] == "constant"


def test_people_and_their_hours_are_found(found) -> None:
    clerk = found.scenario.resources["clerk"]
    assert clerk.count == 2
    assert clerk.calendar.hours_per_week == 40
    assert found.scenario.resources["packer"].count == 1


def test_branches_and_failures_are_found(found) -> None:
    assert found.scenario.branching["choice_1"]["ship"] == pytest.approx(0.8, abs=0.03)
    (failure,) = found.scenario.failures["close"]
    assert failure.probability == pytest.approx(0.1, abs=0.02)
    assert failure.error == "transient"


def test_arrivals_have_the_rate_of_the_log(found) -> None:
    assert np.mean(found.scenario.arrivals.per_hour) == pytest.approx(1.5, rel=0.05)


def test_the_last_cases_by_time_are_held_out(found) -> None:
    assert len(found.held_out) == 900
    goodness = found.goodness.set_index("distance")["value"]
    assert len(goodness) == 8
    assert goodness["ngram_2"] < 0.05
    assert goodness["cycle_time"] < 2


def test_a_log_without_failures_has_none() -> None:
    truth = dataclasses.replace(TRUTH, failures={})
    assert fit(ORDER, ok.simulate(ORDER, truth, cases=200, seed=8), train=1).scenario.failures == {}


def test_the_split_is_by_start() -> None:
    log = ok.simulate(ORDER, TRUTH, cases=10, seed=8)
    first, rest = split_by_time(log, 0.7)
    assert (len(first), len(rest)) == (7, 3)
    assert first.cases["started"].max() <= rest.cases["started"].min()


def test_branch_shares_are_counted_literally() -> None:
    start = pd.Timestamp("2024-05-06T09:00Z")
    paths = [["check", "ship", "close"]] * 3 + [["check", "reject", "close"]]
    rows = [
        {"case_id": str(case), "activity": name, "completed": start + pd.Timedelta(minutes=minute)}
        for case, path in enumerate(paths)
        for minute, name in enumerate(path)
    ]
    assert branch_shares(ORDER, ok.EventLog(pd.DataFrame(rows))) == {"choice_1": {"ship": 0.75, "reject": 0.25}}


def test_a_task_that_the_log_does_not_have_is_named() -> None:
    log = ok.simulate(ORDER, TRUTH, cases=20, seed=8)
    other = ok.workflow("order", [ok.task("check", role="clerk"), ok.task("pay")])
    with pytest.raises(ScenarioError, match="no completed step of the task 'pay'"):
        fit(other, log)
