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


def two_weeks(step_h, wait_min, shift_us=0):
    begun = pd.Timestamp("2024-05-06T00:00Z")
    enabled = [begun + pd.Timedelta(hours=step_h * number) for number in range(int(24 * 14 / step_h))]
    started = [at + pd.Timedelta(minutes=wait_min * (1 + number % 2)) for number, at in enumerate(enabled)]
    return EventLog(
        pd.DataFrame(
            {
                "case_id": [str(number) for number in range(len(enabled))],
                "activity": "check",
                "role": "clerk",
                "resource": "Ann",
                "enabled": enabled,
                "started": started,
                "completed": [at + pd.Timedelta(minutes=20, microseconds=shift_us) for at in started],
            }
        )
    )


def test_what_belongs_to_a_period_has_an_interval_by_blocks_of_time():
    table = compare({"today": two_weeks(1, 5), "half as many": two_weeks(2, 5)}).set_index("name")

    rows = table.loc[["throughput", "queue_length", "utilization.clerk"]]
    assert rows["method"].tolist() == ["blocks"] * 3
    assert (rows["low"] <= rows["difference"] + 1e-9).all()
    assert (rows["high"] < 0).all()
    assert table.loc["throughput", "difference"] == pytest.approx(-0.5, abs=0.01)


def test_rounding_is_no_effect():
    # A microsecond more of each step.
    table = compare({"today": two_weeks(1, 5), "the same": two_weeks(1, 5, shift_us=1)}).set_index("name")

    assert table.loc["processing_time", "difference"] == 0
    assert table.loc["processing_time", "effect_size"] == 0
    assert table.loc["cycle_time", "difference"] == 0


def halves(seed: int) -> dict[str, EventLog]:
    """Two halves of one process, divided by chance."""
    rng = np.random.default_rng(seed)
    sides = {}
    for name in ("first", "second"):
        ends = np.sort(rng.gamma(2, 3_600, (150, 3)), axis=1) * 1e6
        names = np.stack([rng.permutation(["check", "pick", "bill"]) for _ in range(150)])
        frame = {"case_id": np.repeat(np.arange(150), 3).astype(str), "activity": names.ravel()}
        completed = pd.Timestamp("2024-05-06", tz="UTC") + pd.to_timedelta(ends.ravel(), unit="us")
        sides[name] = EventLog(pd.DataFrame({**frame, "completed": completed}))
    return sides


def test_of_what_has_not_changed_hardly_anything_is_significant() -> None:
    tables = [compare(halves(seed), resamples=200, seed=seed) for seed in range(20)]

    assert sum(table["significant"].any() for table in tables) <= 3


def test_what_has_changed_is_significant() -> None:
    sides = halves(1)
    steps = sides["second"].steps
    first = steps.groupby("case_id", observed=True)["completed"].transform("min")
    slower = steps.assign(completed=first + 2 * (steps["completed"] - first))[["case_id", "activity", "completed"]]

    table = compare({"first": sides["first"], "second": EventLog(slower)}, resamples=200)

    assert table.loc[table["significant"], "name"].tolist() == ["cycle_time", "cycle_time_p50", "cycle_time_p95"]


def test_intervals_of_many_cases_are_those_of_theory() -> None:
    # Lives without memory, of a mean of 1000 s: a share p of them ends by -1000 ln(1 - p).
    count, mean_s, rng = 21_000, 1000.0, np.random.default_rng(3)
    logs = {name: lasting(rng.exponential(mean_s / 60, count).tolist()) for name in ("a", "b")}
    table = compare(logs, resamples=300).set_index("name")
    for name, error_s in (
        ("cycle_time", mean_s / count**0.5),
        ("cycle_time_p50", mean_s * (0.5 / 0.5 / count) ** 0.5),
        ("cycle_time_p95", mean_s * (0.95 / 0.05 / count) ** 0.5),
    ):
        found = table.loc[name]
        assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * error_s * 2**0.5, rel=0.2)
        assert found["low"] < found["difference"] < found["high"]
