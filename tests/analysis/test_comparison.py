"""Comparison: paired by replication, or by bootstrap of the cases."""

import numpy as np
import pandas as pd
import pytest

from orchkit.analysis import compare
from orchkit.errors import LogError
from orchkit.log import EventLog

START = pd.Timestamp("2024-05-06T09:00Z")


def lasting(minutes: list[float], replications: list[int] | None = None, activity: str = "check") -> EventLog:
    """Return a log of cases that receive, and then do something for some minutes."""
    ends = START + pd.to_timedelta(minutes, unit="min")
    number = [str(place) for place in range(len(minutes))]
    first = pd.DataFrame({"case_id": number, "activity": "receive", "started": START, "completed": START})
    second = pd.DataFrame({"case_id": number, "activity": activity, "started": START, "completed": ends})
    rows = pd.concat([first, second])
    if replications is not None:
        rows["case_id"], rows["replication"] = "1", replications * 2
    return EventLog(rows)


def row(table: pd.DataFrame, name: str) -> pd.Series:
    return table.set_index("name").loc[name]


def test_replications_are_paired() -> None:
    table = compare({"today": lasting([10, 12, 20], [0, 1, 2]), "new": lasting([9, 10, 17], [0, 1, 2])})
    found = row(table, "cycle_time")
    assert found[["before", "after", "difference", "effect_size", "method"]].tolist() == [840, 720, -120, -2, "paired"]
    # Differences of -60, -120 and -180 s: a standard error of 60 / sqrt(3), times 4.3027.
    assert found["low"] == pytest.approx(-120 - 149.0483, abs=1e-3)
    assert found["high"] == pytest.approx(-120 + 149.0483, abs=1e-3)


def test_flows_that_only_one_log_has_are_compared() -> None:
    old, new = lasting([10, 12, 20]), lasting([10, 12, 20], activity="decide")
    table = compare({"2024": old, "2025": new})
    flows = table[table["measure"] == "flow"].set_index("name")["difference"]
    assert flows.to_dict() == {"receive -> check": -1.0, "receive -> decide": 1.0}


def test_a_log_does_not_differ_from_itself() -> None:
    log = lasting([10, 12, 20, 31])
    table = compare({"a": log, "b": log})
    assert (table["difference"] == 0).all()
    known = table[table["method"] == "bootstrap"]
    assert ((known["low"] <= 0) & (known["high"] >= 0)).all()


def test_what_belongs_to_a_whole_period_has_no_interval_without_replications() -> None:
    found = row(compare({"a": lasting([10, 12]), "b": lasting([10, 24])}), "throughput")
    assert found["method"] == "none"
    assert np.isnan(found["low"])
    assert found["difference"] == -5.0  # two cases in 12 minutes, and in 24


def test_effect_size_is_in_standard_deviations_of_cases() -> None:
    found = row(compare({"a": lasting([10, 20, 30]), "b": lasting([20, 30, 40])}), "cycle_time")
    assert found["effect_size"] == 1.0


def test_bootstrap_covers_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(11)
    hits = []
    for seed in range(40):
        a, b = rng.exponential(10, 80), rng.exponential(15, 80)
        table = compare({"a": lasting(list(a)), "b": lasting(list(b))}, resamples=200, seed=seed)
        found = row(table, "cycle_time")
        hits.append(found["low"] <= 300 <= found["high"])
    assert np.mean(hits) >= 0.86


def test_the_same_seed_gives_the_same_intervals() -> None:
    logs = {"a": lasting([10, 20, 30]), "b": lasting([20, 30, 41])}
    pd.testing.assert_frame_equal(compare(logs, seed=4), compare(logs, seed=4))


def test_one_log_cannot_be_compared() -> None:
    with pytest.raises(LogError, match="at least two logs"):
        compare({"a": lasting([1])})
