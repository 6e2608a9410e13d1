"""Sweeps and staffing, on a queue whose answers are known."""

import numpy as np
import pytest

import orchkit as ok
from orchkit.errors import ScenarioError
from orchkit.simulation.studies import staff, sweep, with_setting

ORDER = ok.workflow("order", [ok.task("check", role="clerk")])
TODAY = ok.Scenario(
    arrivals=ok.exponential("10 min"),
    durations={"check": ok.exponential("9 min")},
    resources={"clerk": ok.Resource(1, cost_per_hour=30)},
)


def test_a_sweep_has_a_row_for_each_combination_and_figure() -> None:
    settings = {"resources.clerk": [1, 2], "durations.check": ["5 min", "8 min"]}
    table = sweep(ORDER, TODAY, settings, cases=50, replications=2)
    assert list(table.columns[:4]) == ["resources.clerk", "durations.check", "kpi", "value"]
    cases = table[table["kpi"] == "cases"]
    assert cases[["resources.clerk", "durations.check", "value"]].to_numpy().tolist() == [
        [1, "5 min", 50.0],
        [1, "8 min", 50.0],
        [2, "5 min", 50.0],
        [2, "8 min", 50.0],
    ]


def test_the_workflows_sla_holds_where_the_scenario_has_none() -> None:
    promised = ok.workflow("order", [ok.task("check", role="clerk")], sla="9 min")
    steady = ok.Scenario("10 min", {"check": "9.5 min"}, {"clerk": 1})
    table = sweep(promised, steady, {"durations.check": ["8 min", "9.5 min"]}, cases=20, replications=2)
    assert table[table["kpi"] == "sla_breach_rate"]["value"].tolist() == [0.0, 1.0]


def test_two_clerks_wait_as_theory_says() -> None:
    # M/M/2 with a load of 0.45 each: Wq = 9 min x C(2, 0.9) / (2 - 0.9), C = 0.2793.
    table = sweep(ORDER, TODAY, {"resources.clerk": [2]}, cases=5_000, replications=10, seed=5)
    row = table.set_index("kpi").loc["waiting_time"]
    assert row["low"] < 137.1 < row["high"]


def test_all_combinations_see_the_same_luck() -> None:
    table = sweep(ORDER, TODAY, {"resources.clerk": [1, 2]}, cases=50, replications=2, seed=1)
    first, second = table[table["kpi"] == "processing_time"]["value"]
    assert first == pytest.approx(second, abs=1e-5)  # microseconds are cut


def test_the_cheapest_staffing_comes_with_its_evidence() -> None:
    found = staff(ORDER, TODAY, target="mean(waiting_time) < 5 min", cases=500, replications=5)
    assert found.counts == {"clerk": 2}
    assert found.cost_per_week == 2 * 30 * 168
    assert found.scenario.resources["clerk"].cost_per_hour == 30
    evidence = found.evidence.set_index("clerk")
    assert evidence["met"].to_dict() == {20: True, 10: True, 5: True, 3: True, 2: True, 1: False}
    assert evidence["tried_for"].to_dict()[20] == "everybody"


def test_percentiles_and_shares_are_targets_too() -> None:
    found = staff(ORDER, TODAY, target="p95(cycle_time) < 45 min", cases=500, replications=5)
    assert found.counts == {"clerk": 2}
    assert staff(ORDER, TODAY, target="utilization.clerk < 40%", cases=500, replications=5).counts == {"clerk": 3}


def test_what_more_people_do_not_help_is_sought_from_the_cheapest_on() -> None:
    # One clerk is at work 90 % of the time, two are 45 %; with the most, all are too idle.
    found = staff(ORDER, TODAY, target="utilization.clerk > 30%", most=4, cases=500, replications=5)
    assert (found.counts, len(found.evidence)) == ({"clerk": 1}, 1)

    # Packers have less to do where clerks let less through, so that cheap clerks spare packers.
    both = ok.workflow("order", [ok.task("check", role="clerk"), ok.task("pack", role="packer")])
    today = ok.Scenario(
        ok.exponential("10 min"),
        {"check": ok.exponential("18 min"), "pack": ok.exponential("9.5 min")},
        {"clerk": ok.Resource(1, cost_per_hour=30), "packer": ok.Resource(1, cost_per_hour=40)},
    )
    found = staff(both, today, target="queue_length.packer < 4", most=3, cases=500, replications=5)
    assert found.counts == {"clerk": 1, "packer": 1}


def test_one_more_of_people_with_hours_of_their_own_has_the_hours_of_the_first() -> None:
    early, late = ok.Calendar({"mon-fri": "06:00-14:00"}), ok.Calendar({"mon-fri": "14:00-18:00"})
    today = ok.Scenario(resources={"clerk": ok.Resource(members={"ann": early, "bob": late}, cost_per_hour=10)})

    def members(count):
        return with_setting(today, "resources.clerk", count).resources["clerk"].members

    assert members(1) == {"ann": early}
    assert members(3) == {"ann": early, "bob": late, "clerk_3": early}
    with pytest.raises(ScenarioError, match="count must be a whole number from 1"):
        members(0)


def test_numbers_of_numpy_are_numbers() -> None:
    table = sweep(ORDER, TODAY, {"resources.clerk": np.arange(1, 3)}, cases=np.int64(20), replications=2)
    assert table["resources.clerk"].unique().tolist() == [1, 2]


def test_a_target_out_of_reach_says_how_near_one_comes() -> None:
    with pytest.raises(ScenarioError, match=r"no staffing meets .* The nearest \(clerk 3\)"):
        staff(ORDER, TODAY, target="cycle_time < 1 min", most=3, cases=50, replications=2)


def test_several_roles_are_cut_down_alone_and_then_tried_by_cost() -> None:
    both = ok.workflow("order", [ok.task("check", role="clerk"), ok.task("pack", role="packer")])
    today = ok.Scenario(
        ok.exponential("10 min"),
        {"check": ok.exponential("9 min"), "pack": ok.exponential("15 min")},
        {"clerk": ok.Resource(1, cost_per_hour=30), "packer": ok.Resource(1, cost_per_hour=20)},
    )

    found = staff(both, today, target="mean(waiting_time) < 10 min", most=6, cases=500, replications=5)

    assert found.counts == {"clerk": 2, "packer": 3}
    assert found.cost_per_week == (2 * 30 + 3 * 20) * 168
    assert set(found.evidence["tried_for"]) == {"everybody", "clerk alone", "packer alone", "by cost"}
    assert len(found.evidence) <= 12
    cheaper = found.evidence[found.evidence["cost_per_week"] < found.cost_per_week]
    assert not cheaper["met"].any()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("fast", "has no < or >, and cannot be read"),
        ("1 min < cycle_time < 2 min", "has 2 of < and >"),
        ("cycle_time = 2 h", "never exactly a limit"),
        ("max(cycle_time) < 2 h", "'max' is neither 'mean' nor a percentile"),
        ("cycle_time <", "cannot be read"),
        ("sla_breach_rate < 5%", "give the workflow or the scenario one"),
        ("cycle_tim < 2 h", "no figure 'cycle_tim'. Did you mean 'cycle_time'"),
        ("cycle_time < soon", "not a duration"),
        ("p95(throughput) < 2", "percentiles are of"),
        ("cycle_time < 5%", "the limit of cycle_time is a duration"),
        ("throughput > 1 h", "the limit of throughput is a number of cases/h"),
        ("utilization.clerk < 60", "is a share, from 0 to 100%"),
        ("completion_rate > 1 h", "is a share, from 0 to 100%"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(target: str, message: str) -> None:
    with pytest.raises(ScenarioError) as found:
        staff(ORDER, TODAY, target=target, cases=20, replications=2)
    assert message in str(found.value)


def test_a_setting_keeps_what_it_does_not_name() -> None:
    changed = with_setting(TODAY, "resources.clerk", 4)
    assert changed.resources["clerk"] == ok.Resource(4, cost_per_hour=30)
    assert TODAY.resources["clerk"].count == 1
    assert with_setting(TODAY, "resources.clerk.cost_per_hour", 20).resources["clerk"].cost_per_hour == 20


def test_a_setting_that_is_not_there_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no 'resource' there"):
        with_setting(TODAY, "resource.clerk", 4)
    with pytest.raises(ScenarioError, match="nothing to try"):
        sweep(ORDER, TODAY, {"resources.clerk": []}, cases=10)


def test_a_sweep_of_limits_counts_the_breaches_of_each() -> None:
    table = sweep(ORDER, TODAY, {"sla": ["1 s", "9 weeks"]}, cases=20, replications=2)
    breaches = table[table["kpi"] == "sla_breach_rate"]
    assert dict(zip(breaches["sla"], breaches["value"], strict=True)) == {"1 s": 1.0, "9 weeks": 0.0}


def test_the_one_way_to_fail_is_set_by_its_parts() -> None:
    today = with_setting(TODAY, "failures.check", ok.Failure(0.1, type="409"))
    changed = with_setting(today, "failures.check.probability", 0.3)
    assert changed.failures["check"] == (ok.Failure(0.3, type="409"),)
    two = with_setting(today, "failures.check", [0.1, 0.2])
    with pytest.raises(ScenarioError, match="has no 'probability' there"):
        with_setting(two, "failures.check.probability", 0.3)


@pytest.mark.parametrize("settings", [{"resources.clerk": 3}, {"durations.check": "3 min"}, ["resources.clerk"]])
def test_what_a_sweep_tries_is_a_list_by_name(settings: object) -> None:
    with pytest.raises(ScenarioError, match=r"sweep: .*give .* what to try|sweep: give what to try by name"):
        sweep(ORDER, TODAY, settings, cases=10)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        ({"clerk": 3}, "staff: clerk: give a list of what to try"),
        (["clerk"], "staff: give what to try by name"),
        ({"clerk": range(3)}, "staff: clerk: a count is a whole number from 1, not 0"),
        ({"clerk": ["two"]}, "staff: clerk: a count is a whole number from 1, not 'two'"),
    ],
)
def test_roles_that_are_no_counts_are_refused(roles: object, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        staff(ORDER, TODAY, target="cycle_time < 1 h", roles=roles, cases=10)  # type: ignore[arg-type]
