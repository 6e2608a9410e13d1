"""Durations: whatever people write, float seconds inside."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchkit.units import format_duration, seconds


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("0s", 0.0),
        ("250ms", 0.25),
        ("90s", 90.0),
        ("90 seconds", 90.0),
        ("5m", 300.0),
        ("5 min", 300.0),
        ("1.5h", 5_400.0),
        ("1h 30m", 5_400.0),
        ("1h30m", 5_400.0),
        ("1 hour, 30 minutes", 5_400.0),
        ("1 hour and 30 minutes", 5_400.0),
        ("2d", 172_800.0),
        ("2 DAYS", 172_800.0),
        ("1w", 604_800.0),
        ("PT5M", 300.0),
        ("pt0.5s", 0.5),
        ("P1DT2H", 93_600.0),
        ("P2W", 1_209_600.0),
        (" 7 ", 7.0),
        (7, 7.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_a_duration_is_seconds_inside(duration, expected):
    assert seconds(duration) == expected


@pytest.mark.parametrize(
    "duration",
    [
        "",
        " ",
        "soon",
        "5 parsecs",
        "m",
        "5 m 3",
        "PT",
        "P1Y",
        "P1M",
        "-5s",
        -1,
        "nan",
        "inf",
        float("nan"),
        10**400,
        float("inf"),
        True,
        None,
        [5],
        timedelta(seconds=-1),
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused(duration):
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(duration)


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "0s"),
        (0.000_02, "0.02ms"),
        (0.25, "250ms"),
        (0.999_9, "1s"),
        (12.34, "12.3s"),
        (59.99, "1m"),
        (90, "1m 30s"),
        (5_400, "1h 30m"),
        (3_599.9, "1h"),
        (86_399, "1d"),
        (200_000, "2d 8h"),
        (604_800, "1w"),
    ],
)
def test_a_duration_for_people_has_two_units_at_most(duration_s, text):
    assert format_duration(duration_s) == text


@given(st.floats(0.001, 1e8))
@example(636_632.0)  # 7.4 days: of weeks the last digit is a day
def test_a_formatted_duration_is_read_back_within_its_last_digit(duration_s):
    steps = {604_800: 86_400, 86_400: 3_600, 3_600: 60, 59: 1, 0: duration_s / 100}
    last = next(step for least, step in steps.items() if duration_s >= least)

    assert seconds(format_duration(duration_s)) == pytest.approx(duration_s, rel=1e-9, abs=last / 2)
