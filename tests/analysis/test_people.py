"""People: who does what, hands it to whom, and has how much of it."""

import pandas as pd
import pytest

from orchkit.analysis import handovers, performers, throughput, workload
from orchkit.errors import LogError
from orchkit.log import EventLog


def at(clock: str, day: int = 6) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-{day:02}T{clock}", tz="UTC")


def log() -> EventLog:
    rows = [
        ("o1", "check", at("08:00"), at("09:00"), "Ann", "clerk", "COMPLETED"),
        ("o1", "wait", at("09:00"), at("09:30"), None, None, "COMPLETED"),
        ("o1", "ship", at("10:00"), at("11:00"), "Ben", "packer", "FAILED"),
        ("o1", "ship", at("11:00"), at("12:00"), "Ben", "packer", "COMPLETED"),
        ("o2", "check", at("08:30"), at("09:30"), "Ann", "clerk", "COMPLETED"),
        ("o2", "ship", at("23:00"), at("01:00", 7), "Ann", "packer", "COMPLETED"),
    ]
    return EventLog(
        pd.DataFrame(rows, columns=["case_id", "activity", "started", "completed", "resource", "role", "status"])
    )


def test_a_handover_is_from_one_to_another_over_steps_that_nobody_did() -> None:
    assert handovers(log()).to_dict("list") == {
        "source": ["Ann"],
        "target": ["Ben"],
        "count": [1],
        "cases": [1],
        "mean_s": [3600.0],
        "median_s": [3600.0],
        "p95_s": [3600.0],
    }


def test_roles_hand_over_too() -> None:
    assert handovers(log(), by="role")[["source", "target", "count", "cases"]].to_numpy().tolist() == [
        ["clerk", "packer", 2, 2]
    ]


def test_who_does_what_and_how_well() -> None:
    table = performers(log())

    assert table.drop(columns=["median_s", "p95_s"]).to_dict("list") == {
        "resource": ["Ann", "Ben", "Ann"],
        "activity": ["check", "ship", "ship"],
        "count": [2, 2, 1],
        "share_of_activity": [1.0, 2 / 3, 1 / 3],
        "share_of_work": [2 / 3, 1.0, 1 / 3],
        "mean_s": [3600.0, 3600.0, 7200.0],
        "error_rate": [0.0, 0.5, 0.0],
    }


def test_workload_is_cut_at_the_edges_of_its_periods() -> None:
    table = workload(log())

    assert table["period"].tolist() == [at("00:00"), at("00:00"), at("00:00", 7)]
    assert table[["resource", "steps", "cases", "busy_s", "work_s"]].to_numpy().tolist() == [
        ["Ann", 2, 2, 9000.0, 10800.0],
        ["Ben", 2, 1, 7200.0, 7200.0],
        ["Ann", 1, 1, 3600.0, 3600.0],
    ]


def test_a_log_without_steps_gives_empty_tables() -> None:
    empty = EventLog(log().steps.iloc[:0])

    for verb in (handovers, performers, workload):
        assert len(verb(empty)) == 0
        assert list(verb(empty)) == list(verb(log()))


def test_who_is_a_resource_or_a_role() -> None:
    with pytest.raises(LogError, match="neither 'resource' nor 'role'"):
        handovers(log(), by="team")  # type: ignore[arg-type]


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    steps = {
        "case_id": ["o1", "o2"],
        "activity": "check",
        "resource": "Ann",
        "started": ["2024-05-12T23:00Z", "2024-06-01T09:00Z"],  # a Sunday, a Saturday
        "completed": ["2024-05-13T01:00Z", "2024-06-01T10:00Z"],
    }
    weeks = workload(EventLog(pd.DataFrame(steps)), every="1W")
    assert [str(period.date()) for period in weeks["period"]] == ["2024-05-06", "2024-05-13", "2024-05-27"]
    assert weeks["busy_s"].tolist() == [3600.0, 3600.0, 3600.0]
    months = throughput(EventLog(pd.DataFrame(steps)), every="1ME")
    assert [str(period.date()) for period in months["period"]] == ["2024-05-01", "2024-06-01"]
    assert months[["started", "completed", "open"]].to_numpy().tolist() == [[1, 1, 0], [1, 1, 0]]
    with pytest.raises(LogError, match="every='never' is not a period"):
        throughput(EventLog(pd.DataFrame(steps)), every="never")
