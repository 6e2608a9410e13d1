"""Failures: what fails, how often, what it costs."""

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from orchkit.analysis import failures
from orchkit.log import EventLog


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-06T{clock}", tz="UTC")


def attempts() -> pd.DataFrame:
    """Payment is declined for o1 and o4; shipping is busy for o2 (saved by a retry) and o3 (not saved)."""
    names = [
        "case_id",
        "activity",
        "attempt",
        "completed",
        "status",
        "error_class",
        "error_type",
        "error_message",
    ]
    rows = [
        ("o1", "pay", 1, at("08:00"), "FAILED", "permanent", "Declined", "card 1"),
        ("o2", "ship", 1, at("08:10"), "FAILED", "transient", "Busy", None),
        ("o2", "ship", 2, at("08:20"), "COMPLETED", None, None, None),
        ("o3", "ship", 1, at("08:05"), "FAILED", "transient", "Busy", None),
        ("o3", "ship", 2, at("08:30"), "FAILED", "transient", "Busy", "503"),
        ("o4", "pay", 1, at("07:00"), "FAILED", "permanent", "Declined", "card 4"),
        ("o5", "pay", 1, at("07:00"), "COMPLETED", None, None, None),
    ]
    return pd.DataFrame(rows, columns=names)


def cases() -> pd.DataFrame:
    states = ["COMPENSATED", "COMPLETED", "DEAD_LETTERED", "FAILED", "COMPLETED"]
    return pd.DataFrame({"case_id": ["o1", "o2", "o3", "o4", "o5"], "status": states})


def test_are_counted_by_kind_the_most_harmful_first() -> None:
    table = failures(EventLog(attempts(), cases()))
    assert table["example"].tolist()[:2] == ["card 4", "503"]
    assert pd.isna(table.pop("example")[2])
    assert table.to_dict("list") == {
        "activity": ["pay", "ship", "ship"],
        "error_class": ["permanent", "transient", "transient"],
        "error_type": ["Declined", "Busy", "Busy"],
        "attempt": [1, 2, 1],
        "count": [2, 1, 2],
        "cases": [2, 1, 2],
        "share_of_cases": [0.4, 0.2, 0.4],
        "cases_lost": [2, 1, 0],
        "share_lost": [0.4, 0.2, 0.0],
        "saved_by_retry": [0.0, 0.0, 0.5],
        "first_seen": [at("07:00"), at("08:30"), at("08:05")],
        "last_seen": [at("08:00"), at("08:30"), at("08:10")],
    }


def test_a_lost_case_is_counted_in_one_row() -> None:
    assert failures(EventLog(attempts(), cases()))["cases_lost"].sum() == 3


def test_a_case_is_not_lost_by_a_failure_that_a_retry_saved() -> None:
    # The refund, which compensates the payment, fails once after the shipping that lost the case.
    frame = pd.DataFrame(
        {
            "case_id": "o1",
            "activity": ["ship", "refund", "refund"],
            "attempt": [1, 1, 2],
            "status": ["FAILED", "FAILED", "COMPLETED"],
            "completed": [at("08:00"), at("08:10"), at("08:20")],
        }
    )
    table = failures(EventLog(frame, pd.DataFrame({"case_id": ["o1"], "status": ["COMPENSATED"]})))
    assert table.set_index("activity")["cases_lost"].to_dict() == {"ship": 1, "refund": 0}


def test_a_case_that_goes_on_is_not_lost() -> None:
    table = failures(EventLog(attempts(), cases().assign(status="RUNNING")))
    assert table["cases_lost"].tolist() == [0, 0, 0]


def test_without_class_or_type_are_counted_too() -> None:
    frame = attempts().drop(columns=["error_class", "error_type", "error_message"])
    table = failures(EventLog(frame, cases()))
    assert table["count"].tolist() == [2, 1, 2]
    assert table["error_class"].isna().all()


def test_attempts_of_a_repeated_activity_are_not_mixed() -> None:
    frame = pd.DataFrame(
        {
            "case_id": "o1",
            "activity": "ship",
            "attempt": [1, 2, 1],
            "status": ["FAILED", "COMPLETED", "FAILED"],
            "completed": [at("08:00"), at("08:10"), at("08:20")],
        }
    )
    assert failures(EventLog(frame))["saved_by_retry"].tolist() == [0.5]


def test_attempts_of_one_step_are_told_by_its_id() -> None:
    # Two items shipped at once: without ids, the second attempt could be of either.
    frame = pd.DataFrame(
        {
            "case_id": "o1",
            "activity": "ship",
            "step_id": ["ship#1", "ship#2", "ship#2", "ship#1"],
            "attempt": [1, 1, 2, 2],
            "error_type": ["Busy", "Blocked", None, "Busy"],
            "status": ["FAILED", "FAILED", "COMPLETED", "FAILED"],
            "completed": [at("08:00"), at("08:10"), at("08:20"), at("08:30")],
        }
    )
    table = failures(EventLog(frame)).set_index(["error_type", "attempt"])
    assert table["saved_by_retry"].to_dict() == {("Busy", 2): 0.0, ("Blocked", 1): 1.0, ("Busy", 1): 0.0}


def test_attempts_without_ids_that_were_made_side_by_side_are_told_apart_by_their_numbers() -> None:
    # Two lines picked at once: one fails and is tried again, after the other is done.
    frame = pd.DataFrame(
        {
            "case_id": "o1",
            "activity": "pick",
            "attempt": [1, 1, 2, 1, 1, 2],
            "error_class": ["transient", None, None, "permanent", "transient", None],
            "error_type": ["Busy", None, None, "Gone", "Busy", None],
            "status": ["FAILED", "COMPLETED", "COMPLETED", "FAILED", "FAILED", "COMPLETED"],
            "completed": [at("08:00"), at("08:10"), at("08:20"), at("09:00"), at("09:10"), at("09:20")],
        }
    )
    table = failures(EventLog(frame), by=["error_type"]).set_index("error_type")
    assert table["saved_by_retry"].to_dict() == {"Busy": 1.0, "Gone": 0.0}


def test_a_completion_before_the_failure_saves_nothing() -> None:
    frame = pd.DataFrame(
        {
            "case_id": "o1",
            "activity": "ship",
            "attempt": [1, 2],
            "status": ["COMPLETED", "FAILED"],
            "completed": [at("08:00"), at("08:10")],
        }
    )
    assert failures(EventLog(frame))["saved_by_retry"].tolist() == [0.0]


def test_steps_with_and_without_an_id_are_not_mixed() -> None:
    frame = pd.DataFrame(
        {
            "case_id": "o1",
            "activity": ["check", "ship"],
            "step_id": [None, "ship#1"],
            "attempt": [1, 2],
            "status": ["FAILED", "COMPLETED"],
            "completed": [at("08:00"), at("08:10")],
        }
    )
    assert failures(EventLog(frame))["saved_by_retry"].tolist() == [0.0]


def test_the_same_step_id_in_two_cases_is_two_steps() -> None:
    frame = pd.DataFrame(
        {
            "case_id": ["o1", "o2"],
            "activity": "ship",
            "step_id": "ship#1",
            "attempt": [1, 2],
            "status": ["FAILED", "COMPLETED"],
            "completed": at("08:00"),
        }
    )
    assert failures(EventLog(frame))["saved_by_retry"].tolist() == [0.0]


def test_of_a_log_without_any() -> None:
    table = failures(EventLog(attempts().query("status == 'COMPLETED'")))
    assert len(table) == 0
    assert table.dtypes.astype(str).to_dict() == failures(EventLog(attempts())).dtypes.astype(str).to_dict()


def test_of_an_empty_log() -> None:
    assert len(failures(EventLog(attempts().head(0)))) == 0


@settings(max_examples=20)
@given(st.permutations(range(len(attempts()))))
def test_do_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    log = EventLog(attempts().iloc[order], cases().sample(frac=1, random_state=order[0]))
    assert_frame_equal(failures(log), failures(EventLog(attempts(), cases())))


def test_failures_by_the_clock_are_in_utc() -> None:
    table = failures(EventLog(attempts()), by=["weekday", "hour"])
    assert table[["weekday", "hour", "count"]].to_numpy().tolist() == [[0, 8, 4], [0, 7, 1]]
