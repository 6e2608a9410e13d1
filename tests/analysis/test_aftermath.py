"""What became of failures, what retries do, which failure precedes which."""

import pandas as pd
import pytest

import orchkit as ok
from orchkit.analysis import failure_chains, failure_outcomes, failures, retries
from orchkit.errors import LogError
from orchkit.log import EventLog


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-06T{clock}", tz="UTC")


def log() -> EventLog:
    """o1 is compensated by hand of release, o2 saved, o3 goes on, o4 is open, o5 dead-lettered though saved once."""
    rows = [
        # case, step, activity, attempt, started, completed, status, type, compensates, cost
        ("o1", "a", "reserve", 1, "08:00", "08:10", "COMPLETED", None, None, 5.0),
        ("o1", "b", "pay", 1, "08:10", "08:11", "FAILED", "Declined", None, 1.0),
        ("o1", "c", "release", 1, "08:11", "08:12", "FAILED", "Busy", "reserve", 0.5),
        ("o1", "c", "release", 2, "08:20", "08:22", "COMPLETED", None, "reserve", 2.0),
        ("o2", "a", "pay", 1, "09:00", "09:01", "FAILED", "Busy", None, 1.0),
        ("o2", "a", "pay", 2, "09:05", "09:06", "FAILED", "Busy", None, 1.0),
        ("o2", "a", "pay", 3, "09:15", "09:16", "COMPLETED", None, None, 1.0),
        ("o3", "a", "pay", 1, "10:00", "10:02", "FAILED", "Declined", None, 1.0),
        ("o3", "b", "invoice", 1, "10:02", "10:03", "COMPLETED", None, None, 1.0),
        ("o4", "a", "pay", 1, "11:00", "11:01", "FAILED", "Busy", None, 1.0),
        ("o5", "a", "pay", 1, "12:00", "12:01", "FAILED", "Busy", None, 1.0),
        ("o5", "a", "pay", 2, "12:03", "12:04", "COMPLETED", None, None, 1.0),
        ("o5", "b", "ship", 1, "12:04", "12:05", "FAILED", "Lost", None, 1.0),
    ]
    names = ["case_id", "step_id", "activity", "attempt", "started", "completed", "status", "error_type"]
    steps = pd.DataFrame(rows, columns=[*names, "compensates", "cost"])
    steps["started"], steps["completed"] = (steps[name].map(at) for name in ("started", "completed"))
    states = ["COMPENSATED", "COMPLETED", "COMPLETED", "RUNNING", "DEAD_LETTERED"]
    return EventLog(steps, pd.DataFrame({"case_id": ["o1", "o2", "o3", "o4", "o5"], "status": states}))


def test_each_case_has_one_outcome_by_kind() -> None:
    table = failure_outcomes(log()).set_index(["activity", "error_type"])

    outcomes = table[["cases", "saved", "went_on", "compensated", "dead_lettered", "failed", "cancelled", "open"]]
    assert outcomes.T.to_dict("list") == {
        ("pay", "Declined"): [2, 0, 1, 1, 0, 0, 0, 0],
        ("ship", "Lost"): [1, 0, 0, 0, 1, 0, 0, 0],
        ("pay", "Busy"): [3, 2, 0, 0, 0, 0, 0, 1],
        ("release", "Busy"): [1, 1, 0, 0, 0, 0, 0, 0],
    }


def test_a_failure_costs_its_attempts_its_delays_what_is_undone_and_what_was_for_nothing() -> None:
    table = failure_outcomes(log()).set_index(["activity", "error_type"])

    assert table[["work_s", "delay_s", "undo_s", "wasted_s"]].T.to_dict("list") == {
        ("pay", "Declined"): [180.0, 0.0, 180.0, 600.0],
        ("ship", "Lost"): [60.0, 0.0, 0.0, 60.0],
        ("pay", "Busy"): [240.0, 900.0, 0.0, 0.0],
        ("release", "Busy"): [60.0, 480.0, 0.0, 0.0],
    }
    assert table[["cost", "undo_cost", "wasted_cost", "total_cost"]].T.to_dict("list") == {
        ("pay", "Declined"): [2.0, 2.5, 5.0, 9.5],
        ("ship", "Lost"): [1.0, 0.0, 1.0, 2.0],
        ("pay", "Busy"): [4.0, 0.0, 0.0, 4.0],
        ("release", "Busy"): [0.5, 0.0, 0.0, 0.5],
    }


def test_of_a_log_without_failures_there_is_nothing_to_tell() -> None:
    steps = log().steps.query("status == 'COMPLETED'")

    for verb in (failure_outcomes, retries, failure_chains, failures):
        assert len(verb(EventLog(steps))) == 0
        assert list(verb(EventLog(steps))) == list(verb(log()))
        assert len(verb(EventLog(steps.head(0)))) == 0


def test_retries_tell_attempts_until_success_the_delay_and_the_cases_saved() -> None:
    table = retries(log()).set_index(["activity", "error_type"])

    assert table.loc[("pay", "Busy")].drop("error_class").to_dict() == {
        "steps": 3,
        "retried": 2,
        "saved": 2,
        "share_saved": 1.0,
        "attempts_mean": 2.5,
        "attempts_max": 3,
        "delay_mean_s": 540.0,
        "delay_p95_s": 864.0,
        "cases_saved": 1,
    }
    assert table.loc[("pay", "Declined"), ["steps", "retried", "saved"]].tolist() == [2, 0, 0]


def test_chains_tell_which_failure_precedes_which_attempts_of_one_step_aside() -> None:
    table = failure_chains(log()).set_index(["source", "target"])

    assert table[["cases", "share", "lift", "median_s"]].T.to_dict("list") == {
        ("pay", "release"): [1, 0.5, 2.5, 60.0],
        ("pay", "ship"): [1, pytest.approx(1 / 3), pytest.approx(5 / 3), 240.0],
    }
    # Of 5 cases 2 have Declined: the one with Busy at release is among them with 2/5.
    assert table.loc[("pay", "release"), "p_value"] == pytest.approx(0.4)


def test_failures_are_told_apart_by_any_column_and_by_the_clock() -> None:
    by_hour = failures(log(), by=["hour"])
    by_case = failures(log(), by=["activity", "compensates"])

    assert by_hour.set_index("hour")["count"].to_dict() == {8: 2, 12: 2, 9: 2, 10: 1, 11: 1}
    assert by_case.set_index(["activity"])["count"].to_dict() == {"pay": 6, "ship": 1, "release": 1}


def test_a_column_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(LogError, match=r"no column 'resorce'.*resource"):
        failures(log(), by=["resorce"])


def test_the_log_of_an_engine_says_what_compensates_what() -> None:
    def decline(order: str) -> None:
        raise ok.PermanentError(order)

    workflow = ok.workflow("order", [ok.saga([ok.task("reserve", compensate=ok.task("release")), ok.task("pay")])])
    handlers = {"reserve": lambda: 1, "release": lambda: 1, "pay": decline}
    with ok.Engine(handlers=handlers) as engine:
        engine.start(workflow, {"order": "o1"}, case_id="o1").wait()
        found = engine.log()

    steps = found.steps.astype({"activity": "str"})
    assert steps[["activity", "compensates"]].dropna().to_numpy().tolist() == [["release", "reserve"]]
    assert failure_outcomes(found)[["activity", "compensated"]].to_numpy().tolist() == [["pay", 1]]


def test_so_does_the_log_of_a_simulation() -> None:
    workflow = ok.workflow("order", [ok.saga([ok.task("reserve", compensate=ok.task("release")), ok.task("pay")])])
    scenario = ok.Scenario(
        arrivals=ok.exponential("1 h"),
        durations={"reserve": "1 min", "release": "2 min", "pay": "1 min"},
        failures={"pay": ok.Failure(1.0, error="permanent")},
    )
    found = ok.simulate(workflow, scenario, cases=3, seed=1, progress=False)

    assert found.steps["compensates"].dropna().astype(str).tolist() == ["reserve"] * 3
    assert failure_outcomes(found)[["activity", "compensated", "undo_s", "wasted_s"]].to_numpy().tolist() == [
        ["pay", 3, 360.0, 180.0]
    ]
