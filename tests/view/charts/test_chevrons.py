"""The ways that cases took, as rows of chevrons."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd

import orchkit as ok

SVG = "{http://www.w3.org/2000/svg}"
DAY = pd.Timestamp("2024-05-06T09:00Z")


def at(minutes):
    return DAY + pd.Timedelta(minutes=minutes)


def texts(picture) -> list[str]:
    return [text.text for text in ET.fromstring(picture.to_svg()).iter(f"{SVG}text")]


def log_of(*ways) -> ok.EventLog:
    rows = [
        {"case_id": f"c{case:05}", "activity": activity, "completed": at(60 * place)}
        for case, way in enumerate(ways)
        for place, activity in enumerate(way)
    ]
    return ok.EventLog(pd.DataFrame(rows, columns=["case_id", "activity", "completed"]))


def test_the_most_frequent_way_comes_first_with_its_share_and_mean_duration():
    picture = ok.charts.variants(log_of("ab", "abc", "abc", "abc"))

    assert texts(picture)[2:] == ["75%", "3 cases", "mean 2h", "a", "b", "c", "25%", "1 case", "mean 1h", "a", "b"]
    assert str(picture).splitlines()[1:] == ["75%, 3 cases, mean 2h: a → b → c", "25%, 1 case, mean 1h: a → b"]


def test_a_step_that_is_repeated_at_once_is_one_chevron_with_a_number():
    assert texts(ok.charts.variants(log_of("abbbba")))[-3:] == ["a", "b x4", "a"]


def test_a_long_way_is_cut_with_the_number_of_steps_left_out():
    names = [f"activity number {number}" for number in range(200)]

    shown = texts(ok.charts.variants(log_of(names)))

    chevrons = [text for text in shown if text.startswith("activity")]
    assert shown[-1] == f"… {200 - len(chevrons)} more"
    assert 10 < len(chevrons) < 40


def test_as_many_ways_are_drawn_as_wanted_and_the_title_says_what_they_cover():
    picture = ok.charts.variants(log_of("ab", "ab", "ac", "ad"), max_rows=1)

    assert picture.label == "Variants: 3 ways of 4 cases, 1 of them drawn, 50% of the cases"


def test_a_case_id_that_two_workflows_share_has_the_way_of_its_own():
    steps = pd.DataFrame(
        {"case_id": ["1", "1"], "workflow": ["a", "b"], "activity": ["pay", "ship"], "completed": [at(0), at(1)]}
    )

    assert {"pay", "ship"} <= set(texts(ok.charts.variants(ok.EventLog(steps))))


def test_a_log_without_steps_has_no_ways():
    picture = ok.charts.variants(log_of())
    assert str(picture) == "Variants: the log has no steps"
    assert texts(picture) == ["Variants", "the log has no steps"]
