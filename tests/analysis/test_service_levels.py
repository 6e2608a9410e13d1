"""Service levels: breaches, what open cases have left, how long cases stay open."""

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.analysis import sla, survival
from orchkit.errors import LogError
from orchkit.log import EventLog


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-06T{clock}", tz="UTC")


def log(workflow: str | None = None) -> EventLog:
    """o1 takes one hour, o2 three, o3 is open since 11:00, o4 since 08:00; the log ends at 12:00."""
    rows = [
        ("o1", "check", "08:00", "09:00"),
        ("o2", "check", "08:00", "09:00"),
        ("o2", "ship", "09:00", "11:00"),
        ("o3", "check", "11:00", "11:30"),
        ("o3", "ship", "12:00", None),
        ("o4", "check", "08:00", None),
    ]
    steps = pd.DataFrame(rows, columns=["case_id", "activity", "started", "completed"])
    steps["started"], steps["completed"] = (
        steps[name].map(at, na_action="ignore") for name in ("started", "completed")
    )
    return EventLog(steps.assign(workflow=workflow))


def test_cases_are_met_breached_or_open_the_worst_first() -> None:
    table = sla(log(), "2 h")

    assert table["case_id"].tolist() == ["o4", "o2", "o3", "o1"]
    assert table["state"].tolist() == ["breached", "breached", "open", "met"]
    assert table["duration_s"].tolist() == [14400.0, 10800.0, 3600.0, 3600.0]
    assert table["left_s"].tolist() == [-7200.0, -3600.0, 3600.0, 3600.0]
    assert table["activity"].astype(object).where(table["activity"].notna(), None).tolist() == [
        "check",
        "ship",
        "ship",
        None,
    ]


def test_the_risk_of_an_open_case_is_that_of_those_that_were_as_old() -> None:
    # After an hour, two of three known cases are open, o3 then unknown; one of these two ends before four hours.
    risks = sla(log(), "210 min").set_index("case_id")["risk"]

    assert risks.to_dict() == {"o1": 0.0, "o2": 0.0, "o3": 0.5, "o4": 1.0}


def test_now_can_be_given() -> None:
    assert sla(log(), "2 h", at="2024-05-06T13:30Z").set_index("case_id").loc["o3", "left_s"] == -1800.0


def test_the_workflow_says_the_limit_and_whose_cases() -> None:
    order = ok.workflow("order", [ok.task("check")], sla="2 h")

    assert sla(log("order"), order)["limit_s"].tolist() == [7200.0] * 4
    assert len(sla(log(), order)) == 4
    with pytest.raises(LogError, match=r"no case of workflow 'order'.*'orders'"):
        sla(log("orders"), order)
    with pytest.raises(LogError, match="has no sla"):
        sla(log(), ok.workflow("order", [ok.task("check")]))


def test_each_replication_has_an_end_of_its_own() -> None:
    steps = pd.DataFrame(
        {
            "case_id": ["1", "2", "1"],
            "activity": "check",
            "replication": [0, 0, 1],
            "started": [at("08:00"), at("08:00"), at("08:00")],
            "completed": [None, at("12:00"), None],
        }
    )
    assert sla(EventLog(steps), "9 h")["duration_s"].tolist() == [14400.0, 0.0, 14400.0]


def test_survival_counts_open_cases_as_long_as_they_are_known() -> None:
    table = survival(log())

    assert table["duration_s"].tolist() == [3600.0, 10800.0]
    assert table["at_risk"].tolist() == [4, 2]
    assert table["share_open"].tolist() == [0.75, 0.375]
    # Greenwood, log(-log): 0.75 ** exp(±1.96 · sqrt(1 / 12) / log(0.75)).
    assert table["low"][0] == pytest.approx(0.75 ** np.exp(1.959964 * np.sqrt(1 / 12) / -np.log(0.75)))
    assert table["high"][0] == pytest.approx(0.9605, abs=1e-4)


def test_an_empty_log_gives_empty_tables() -> None:
    empty = EventLog(log().steps.head(0))

    assert len(sla(empty, "1 h")) == 0
    assert len(survival(empty)) == 0


def test_a_now_that_is_no_time_is_told() -> None:
    with pytest.raises(LogError, match="'noon' is not a time such as"):
        sla(log(), "1 h", at="noon")
