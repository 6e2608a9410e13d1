"""A dot a step."""

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


def log_of(cases: int, activities: int = 2) -> ok.EventLog:
    rows = [
        {"case_id": f"c{case:05}", "activity": f"step {number}", "completed": at(60 * case + number)}
        for case in range(cases)
        for number in range(activities)
    ]
    return ok.EventLog(pd.DataFrame(rows, columns=["case_id", "activity", "completed"]))


def dots(picture) -> dict[str, int]:
    """Return how many dots each activity has."""
    layers = [layer for layer in ET.fromstring(picture.to_svg()).iter(f"{SVG}g") if layer.get("class") == "dots"]
    return {layer.get("data-node"): layer.find(f"{SVG}path").get("d").count("M") for layer in layers}


def test_each_activity_has_its_dots():
    assert dots(ok.charts.dotted_chart(log_of(10))) == {"step 0": 10, "step 1": 10}


def test_rare_activities_share_a_mark():
    found = dots(ok.charts.dotted_chart(log_of(5, activities=30)))

    assert len(found) == 9
    assert found["22 more activities"] == pytest.approx(110, abs=60)


def test_dots_on_one_place_are_drawn_once_so_that_a_large_log_makes_a_small_picture():
    picture = ok.charts.dotted_chart(log_of(20_000))

    assert len(picture.to_svg()) < 150_000
    assert "40,000 steps of 20,000 cases" in picture.label


def test_time_since_the_start_leaves_the_last_ones_out_and_says_so():
    steps = log_of(1_000).steps[["case_id", "activity", "completed"]]
    steps.loc[steps.index[-1], "completed"] += pd.Timedelta(days=900)

    picture = ok.charts.dotted_chart(ok.EventLog(steps), x="since_start")

    assert "1 of them after more than 1m are not drawn" in picture.label


@pytest.mark.parametrize("x", ["time", "since_start"])
def test_steps_at_a_single_moment_are_drawn(x):
    log = ok.EventLog(pd.DataFrame({"case_id": ["1", "2"], "activity": ["a", "a"], "completed": [DAY, DAY]}))

    assert dots(ok.charts.dotted_chart(log, x=x)) == {"a": 2}


def test_what_cannot_be_drawn_is_refused():
    assert str(ok.charts.dotted_chart(log_of(0))) == "Dotted chart: the log has no steps"
    with pytest.raises(LogError, match="x is 'time' or 'since_start', not 'case'"):
        ok.charts.dotted_chart(log_of(1), x="case")
