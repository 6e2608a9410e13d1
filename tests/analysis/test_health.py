"""Metrics: the state of the work in figures."""

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from orchkit.analysis import metrics
from orchkit.log import EventLog


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-06T{clock}", tz="UTC")


def shipments() -> pd.DataFrame:
    """Four orders and a refund in two hours; the shipping of o1 took two attempts."""
    names = ["workflow", "case_id", "activity", "attempt", "enabled", "started", "completed", "status"]
    rows = [
        ("order", "o1", "ship", 1, at("08:00"), at("08:00"), at("08:10"), "FAILED"),
        ("order", "o1", "ship", 2, at("08:10"), at("08:15"), at("08:20"), "COMPLETED"),
        ("order", "o2", "ship", 1, at("08:10"), at("08:20"), at("08:40"), "COMPLETED"),
        ("order", "o3", "ship", 1, at("08:12"), at("08:40"), at("09:12"), "FAILED"),
        ("order", "o4", "ship", 1, at("09:30"), pd.NaT, pd.NaT, "PENDING"),
        ("refund", "r1", "pay", 1, at("08:10"), at("09:55"), at("10:00"), "COMPLETED"),
        ("refund", "r2", "wait", 1, at("08:10"), pd.NaT, pd.NaT, "WAITING"),
    ]
    return pd.DataFrame(rows, columns=names)


def values(log: EventLog, workflow: str) -> dict[str, float]:
    table = metrics(log)
    table = table[table["workflow"] == workflow]
    return dict(zip(table["metric"], table["value"], strict=True))


def test_of_a_workflow() -> None:
    assert values(EventLog(shipments()), "order") == {
        "cases": 4,
        "cases_active": 1,
        "cases_completed": 2,
        "cases_failed": 1,
        "cases_cancelled": 0,
        "completion_rate": 2 / 3,
        "error_rate": 0.5,
        "retry_rate": 0.25,
        "duration_mean": 2200,  # o1 20 min, o2 30 min, o3 60 min
        "duration_p50": 1800,
        "duration_p95": 3420,
        "duration_p99": 3564,
        "queue_depth": 1,
        "queue_depth_max": 3,  # from 08:12 to 08:15
        "throughput": 1,
    }


def test_of_several_workflows_have_those_of_all() -> None:
    table = metrics(EventLog(shipments()))
    assert list(table.columns) == ["workflow", "metric", "value", "unit"]
    assert table["workflow"].unique().tolist() == ["order", "refund", "all"]
    assert table.groupby("workflow").size().tolist() == [15, 15, 15]
    of_all = values(EventLog(shipments()), "all")
    assert of_all["cases"] == 6
    assert of_all["cases_active"] == 2
    assert of_all["queue_depth_max"] == 4
    assert of_all["throughput"] == 1.5


def test_a_wait_stands_in_no_queue() -> None:
    assert values(EventLog(shipments()), "refund")["queue_depth_max"] == 1


def test_a_workflow_without_a_name_is_all() -> None:
    table = metrics(EventLog(shipments().drop(columns="workflow")))
    assert table["workflow"].unique().tolist() == ["all"]


def test_cases_without_a_workflow_stand_beside_those_with_one() -> None:
    frame = shipments()
    frame["workflow"] = frame["workflow"].where(frame["workflow"] == "order")
    assert metrics(EventLog(frame))["workflow"].unique().tolist() == ["(unnamed)", "order", "all"]


def test_a_step_that_starts_as_it_is_enabled_never_queues() -> None:
    frame = shipments().assign(started=shipments()["enabled"], status="RUNNING")
    assert values(EventLog(frame), "all")["queue_depth_max"] == 0


def test_one_leaves_the_queue_before_another_enters() -> None:
    frame = pd.DataFrame(
        {
            "case_id": ["o1", "o2"],
            "activity": "ship",
            "enabled": [at("08:00"), at("09:00")],
            "started": [at("09:00"), at("10:00")],
            "completed": [at("11:00"), at("11:00")],
        }
    )
    assert values(EventLog(frame), "all")["queue_depth_max"] == 1


def test_replications_do_not_queue_together_and_add_their_time() -> None:
    frame = pd.DataFrame(
        {
            "case_id": ["o1", "o1"],
            "replication": [1, 2],
            "activity": "ship",
            "enabled": at("08:00"),
            "started": at("09:00"),
            "completed": at("10:00"),
        }
    )
    found = values(EventLog(frame), "all")
    assert found["cases"] == 2
    assert found["queue_depth_max"] == 1
    assert found["throughput"] == 0.5


def test_states_of_cases_count_as_given() -> None:
    states = ["COMPLETED", "DEAD_LETTERED", "COMPENSATED", "CANCELLED", "RUNNING", "WAITING", "FAILED"]
    cases = pd.DataFrame({"case_id": list("abcdefg"), "status": states})
    found = values(EventLog(shipments().head(0).drop(columns="workflow"), cases), "all")
    assert {name: found[name] for name in found if name.startswith("cases")} == {
        "cases": 7,
        "cases_active": 2,
        "cases_completed": 1,
        "cases_failed": 3,
        "cases_cancelled": 1,
    }
    assert found["completion_rate"] == 0.2


def test_what_the_log_cannot_tell_is_missing() -> None:
    found = values(EventLog(shipments()[["case_id", "activity", "completed"]].dropna().head(1)), "all")
    unknown = {name for name, value in found.items() if math.isnan(value)}
    assert unknown == {"queue_depth", "queue_depth_max", "throughput"}
    assert found["duration_mean"] == 0


def test_of_an_empty_log() -> None:
    found = values(EventLog(shipments().head(0)), "all")
    assert {name for name, value in found.items() if value == 0} == {
        *("cases", "cases_active", "cases_completed", "cases_failed", "cases_cancelled"),
    }
    assert sum(math.isnan(value) for value in found.values()) == 10


@pytest.mark.parametrize(
    ("metric", "unit"), [("duration_p95", "s"), ("throughput", "cases/h"), ("error_rate", "share")]
)
def test_have_units(metric: str, unit: str) -> None:
    assert metrics(EventLog(shipments())).set_index("metric")["unit"][metric].unique().tolist() == [unit]


@settings(max_examples=20)
@given(st.permutations(range(len(shipments()))))
def test_do_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    assert_frame_equal(metrics(EventLog(shipments().iloc[order])), metrics(EventLog(shipments())))
