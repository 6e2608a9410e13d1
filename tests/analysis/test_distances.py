"""Distances between logs, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from orchkit.analysis import distances
from orchkit.errors import LogError
from orchkit.log import EventLog


def log(*rows: tuple[str, str, str, str, str | None]) -> EventLog:
    """Return a log: case, activity, start, end, resource; a time is `day hour` of May 2024."""
    frame = pd.DataFrame(rows, columns=["case_id", "activity", "started", "completed", "resource"])
    for name in ("started", "completed"):
        frame[name] = pd.to_datetime("2024-05-" + frame[name], format="%Y-%m-%d %H:%M", utc=True)
    return EventLog(frame)


def values(one: EventLog, other: EventLog) -> dict[str, float]:
    table = distances(one, other)
    return dict(zip(table["distance"], table["value"], strict=True))


# 6 May 2024 is a Monday.
A = log(("1", "a", "06 09:00", "06 10:00", "Ann"), ("1", "b", "06 10:00", "06 12:00", "Bob"))
B = log(("1", "a", "06 10:00", "06 11:00", "Ann"), ("1", "c", "06 11:00", "06 15:00", "Bob"))


def test_a_log_has_no_distance_to_itself() -> None:
    assert set(values(A, A).values()) == {0.0}


def test_of_two_logs_worked_out_by_hand() -> None:
    found = values(A, B)
    # -a, ab, b- and -a, ac, c-: one of three in common.
    assert found["ngram_2"] == pytest.approx(2 / 3)
    # --a, -ab, ab-, b-- and --a, -ac, ac-, c--: one of four.
    assert found["ngram_3"] == pytest.approx(3 / 4)
    # 9, 10, 10, 12 and 10, 11, 11, 15: moved by 1, 1, 1 and 3.
    assert found["absolute_event"] == pytest.approx(1.5)
    # 0, 1, 1, 3 and 0, 1, 1, 5.
    assert found["relative_event"] == pytest.approx(0.5)
    # All on Monday: 1.5 h on one weekday of seven.
    assert found["circadian_event"] == pytest.approx(1.5 / 7)
    # At work: 9, 10 (two), 11, 12, on average 52/5; and 10, 11 (two), 12, 13, 14, 15, on average 86/7.
    assert found["circadian_workforce"] == pytest.approx((86 / 7 - 52 / 5) / 7)
    assert found["case_arrival"] == 1.0
    assert found["cycle_time"] == 2.0  # 3 and 5 hours


def test_are_symmetric() -> None:
    assert values(A, B) == pytest.approx(values(B, A))


def test_a_weekday_that_only_one_log_knows_is_as_far_as_can_be() -> None:
    tuesday = log(("1", "a", "07 09:00", "07 10:00", None))
    monday = log(("1", "a", "06 09:00", "06 10:00", None))
    assert values(monday, tuesday)["circadian_event"] == pytest.approx(2 * 23 / 7)
    assert np.isnan(values(monday, tuesday)["circadian_workforce"])


def test_logs_of_different_sizes_have_the_same_shares() -> None:
    rows = [(str(number), "a", "06 09:00", "06 10:00", "Ann") for number in range(5)]
    assert values(log(*rows), log(rows[0]))["ngram_2"] == 0.0


def test_an_empty_log_is_refused() -> None:
    empty = EventLog(A.steps.head(0))
    with pytest.raises(LogError, match="without steps"):
        distances(A, empty)
