"""What fails most, as a Pareto chart."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import LogError

SVG = "{http://www.w3.org/2000/svg}"
DAY = pd.Timestamp("2024-05-06T09:00Z")


def at(minutes):
    return DAY + pd.Timedelta(minutes=minutes)


def texts(picture) -> list[str]:
    return [text.text for text in ET.fromstring(picture.to_svg()).iter(f"{SVG}text")]


def log_of(*errors, saved: bool = False) -> ok.EventLog:
    """Return a log in which each case ships, fails so, and tries again where it is saved."""
    rows = []
    for case, error in enumerate(errors):
        common = {"case_id": f"c{case:04}", "activity": "ship"}
        rows.append(common | {"completed": at(case), "status": "FAILED", "attempt": 1, "error_type": error})
        if saved:
            rows.append(common | {"completed": at(case + 1), "status": "COMPLETED", "attempt": 2})
    return ok.EventLog(pd.DataFrame(rows))


def bars(chart) -> list[dict]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows if "outcome" in row]


def test_the_most_frequent_kind_comes_first_with_what_they_add_up_to():
    chart = ok.charts.failures(log_of("503", "503", "503", "402"))

    assert str(chart).splitlines() == [
        "Failures: 4 failed attempts of 2 kinds, 0% saved by a retry; most frequent: ship, 503 (75%)",
        "ship, 503: 3 failed attempts, 0% saved by a retry, 75% of all failures, 75% with those above",
        "ship, 402: 1 failed attempt, 0% saved by a retry, 25% of all failures, 100% with those above",
    ]


def test_a_bar_tells_what_retries_saved():
    drawn = bars(ok.charts.failures(log_of("503", saved=True)))

    assert [(bar["outcome"], bar["count"]) for bar in drawn] == [("saved by a retry", 1.0)]


def test_rare_kinds_are_counted_and_not_drawn():
    chart = ok.charts.failures(log_of(*(f"error {number}" for number in range(20))), max_rows=5)

    assert len(str(chart).splitlines()) == 6
    assert any("15 rarer kinds are not drawn" in text for text in texts(chart))


def test_kinds_that_look_alike_once_they_are_cut_stay_apart():
    chart = ok.charts.failures(log_of("x" * 90 + "a", "x" * 90 + "b"))

    assert len({bar["kind"] for bar in bars(chart)}) == 2
    order = chart.to_dict()["layer"][0]["encoding"]["y"]["sort"]
    assert {bar["kind"] for bar in bars(chart)} == set(order)


def test_an_unknown_type_is_called_so():
    assert "ship, unknown: 1 failed attempt" in str(ok.charts.failures(log_of(None)))


def test_kinds_are_told_apart_by_any_column():
    assert "most frequent: ship (100%)" in ok.charts.failures(log_of("503", "402"), "activity").label
    with pytest.raises(LogError, match="actvity"):
        ok.charts.failures(log_of("503"), ["actvity"])


def test_of_a_log_in_which_nothing_failed_the_chart_says_so():
    log = ok.EventLog(pd.DataFrame({"case_id": ["1"], "activity": ["a"], "completed": [DAY]}))

    assert str(ok.charts.failures(log)) == "Failures: no step of the log has the status FAILED"
    assert "no step of the log has the status FAILED</text>" in ok.charts.failures(log).to_svg()


def test_a_name_of_signs_that_take_two_units_is_drawn():
    chart = ok.charts.failures(log_of("\N{GRINNING FACE}" * 60))

    assert "\N{GRINNING FACE}…" in chart.to_svg()
