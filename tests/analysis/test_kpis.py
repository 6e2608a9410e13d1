"""KPIs: literal figures of small logs, and intervals that cover what they say."""

import math

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.analysis import kpis
from orchkit.analysis.kpis import mean_interval
from orchkit.errors import LogError
from orchkit.log import EventLog
from orchkit.simulation.calendars import Calendar


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-06T{clock}", tz="UTC")


def office() -> pd.DataFrame:
    """Ann does three steps one after the other; Bob's attempt fails and is retried after 10 minutes."""
    names = ["case_id", "activity", "attempt", "enabled", "started", "completed", "status", "role", "resource", "cost"]
    rows = [
        ("o1", "check", 1, at("09:00"), at("09:00"), at("09:20"), "COMPLETED", "clerk", "Ann", 5.0),
        ("o2", "check", 1, at("09:10"), at("09:30"), at("09:40"), "COMPLETED", "clerk", "Ann", 3.0),
        ("o2", "ship", 1, at("09:40"), at("09:40"), at("09:50"), "FAILED", "packer", "Bob", 0.0),
        ("o2", "ship", 2, at("09:50"), at("10:00"), at("11:00"), "COMPLETED", "packer", "Bob", 2.0),
    ]
    return pd.DataFrame(rows, columns=names)


def values(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["kpi"], table["value"], strict=True))


def test_of_a_log_worked_out_by_hand() -> None:
    assert values(kpis(EventLog(office()), sla="1 h")) == pytest.approx(
        {
            "cases": 2,
            "throughput": 1.0,  # two in the two hours from 09:00 to 11:00
            "cycle_time": 3900,  # 20 and 110 minutes
            "cycle_time_p50": 3900,
            "cycle_time_p95": 6330,
            "waiting_time": 900,  # o2: 20 and 10 minutes
            "waiting_time.contention": 300,  # Ann was busy until 09:20
            "waiting_time.retry": 300,
            "waiting_time.other": 300,  # why not at 09:20?
            "processing_time": 3000,  # 20; 10, 10 and 60 minutes
            "cost": 5.0,
            "completion_rate": 1.0,
            "error_rate": 0.25,
            "retry_rate": 0.25,
            "sla_breach_rate": 0.5,
            "queue_length": 0.25,  # 30 minutes of waiting in 120
            "queue_length_max": 1,
            "queue_length.clerk": 1 / 6,
            "queue_length.packer": 1 / 12,
            "utilization.clerk": 0.25,
            "utilization.packer": 70 / 120,
        },
        rel=1e-9,
    )


def test_a_workflow_gives_its_sla_to_its_own_cases() -> None:
    order = ok.workflow("order", [ok.task("check"), ok.task("ship")], sla="1 h")
    cases = pd.DataFrame({"case_id": ["o1", "o2"], "workflow": ["travel", "order"]})
    assert values(kpis(EventLog(office(), cases), sla=order))["sla_breach_rate"] == 1.0  # o2 alone counts, and is late
    with pytest.raises(LogError, match=r"no case of workflow 'orders'\. Did you mean 'order'\?"):
        kpis(EventLog(office(), cases), sla=ok.workflow("orders", [ok.task("check")], sla="1 h"))


def test_working_time_is_what_falls_within_the_calendar() -> None:
    found = values(kpis(EventLog(office()), calendar=Calendar({"mon": "09:10-10:30"})))
    assert found["working_time"] == 1800  # o1 10 minutes; o2 10, 10 and 30


def test_without_enabled_waiting_begins_at_the_last_end_in_the_case() -> None:
    rows = office().drop(columns="enabled")
    found = kpis(EventLog(rows)).set_index("kpi")
    assert found.loc["waiting_time", "value"] == 300  # o2 between 09:50 and 10:00
    assert found.loc["waiting_time", "method"] == "estimated"


def test_recorded_causes_are_taken_as_they_are() -> None:
    causes = {f"wait_{name}_s": 0.0 for name in ("contention", "batching", "priority")}
    rows = office().assign(**causes, wait_calendar_s=[0.0, 1200.0, 0.0, 0.0], wait_retry_s=[0.0, 0.0, 0.0, 600.0])
    found = kpis(EventLog(rows)).set_index("kpi")
    assert found.loc["waiting_time.calendar", ["value", "method"]].tolist() == [600.0, "recorded"]
    assert "waiting_time.other" not in found.index


def test_known_availability_gives_the_true_utilization() -> None:
    there = pd.DataFrame(
        {
            "replication": [pd.NA, pd.NA],
            "role": ["clerk", "packer"],
            "resource": ["Ann", "Bob"],
            "resource_count": [1, 1],
            "available_s": [3600.0, 7200.0],
            "cost_per_hour": [0.0, 0.0],
            "cost_per_step": [0.0, 0.0],
            "period_s": [14400.0, 14400.0],
            "busy_s": [1800.0, 4200.0],
        }
    )
    found = kpis(EventLog(office(), availability=there)).set_index("kpi")
    assert found.loc["utilization.clerk", ["value", "method"]].tolist() == [0.5, "recorded"]
    assert found.loc["throughput", "value"] == 0.5


def test_replications_give_mean_error_and_interval() -> None:
    rows = pd.concat([office().assign(replication=number) for number in range(3)])
    rows["completed"] += pd.to_timedelta(60 * rows["replication"], unit="s")
    row = kpis(EventLog(rows)).set_index("kpi").loc["cycle_time"]
    # 3900, 3960 and 4020: a standard deviation of 60; t with two degrees of freedom is 4.3027.
    assert row["value"] == 3960
    assert row["standard_error"] == pytest.approx(60 / math.sqrt(3))
    assert row["high"] - row["value"] == pytest.approx(4.302653 * 60 / math.sqrt(3), rel=1e-6)


def test_one_replication_has_no_interval() -> None:
    table = kpis(EventLog(office()))
    assert table[["standard_error", "low", "high"]].isna().all(axis=None)


def test_intervals_cover_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(3)
    samples = rng.exponential(2, size=(2_000, 40)).mean(axis=1).reshape(-1, 10)
    hits = [abs(mean - 2) <= half for mean, _, half in map(mean_interval, rng.normal(2, 1, size=(2_000, 8)))]
    assert 0.935 < np.mean(hits) < 0.965
    assert 0.90 < np.mean([abs(mean - 2) <= half for mean, _, half in map(mean_interval, samples)]) <= 1


def test_of_an_empty_log_are_missing_and_not_an_error() -> None:
    table = kpis(EventLog(office().head(0)))
    assert list(table["kpi"][:2]) == ["cases", "throughput"]
