"""A log at a glance."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import orchkit as ok
from orchkit.log import EventLog
from orchkit.view.overview import overview

SVG = "{http://www.w3.org/2000/svg}"


def log(days: int = 3, activity: str = "ship", **more: object) -> EventLog:
    times = pd.date_range("2024-05-06", periods=days, freq="D", tz="UTC")
    return EventLog(
        pd.DataFrame({"case_id": [f"o{n}" for n in range(days)], "activity": activity, "completed": times, **more})
    )


def texts(one: EventLog) -> list[str]:
    return [element.text or "" for element in ET.fromstring(overview(one).to_svg()).iter(f"{SVG}text")]


def test_it_tells_how_much_when_how_it_ended_and_what_was_done_most():
    found = overview(log(workflow="order", status=["COMPLETED", "FAILED", "COMPLETED"]))
    assert found.label == "Event log of order"
    assert found.facts[:3] == (("cases", "3"), ("steps", "3"), ("activities", "1"))
    assert ("of the ended completed", "66.7%") in found.facts
    assert found.statuses == (("FAILED", 1), ("COMPLETED", 2))
    assert found.period == ("2024-05-06", "2024-05-08")
    assert found.activities == (("ship", 3),)


@pytest.mark.parametrize(
    ("days", "parts", "part"),
    [(1, 1, "1s"), (3, 49, "1h"), (40, 40, "1d"), (365, 53, "1w"), (2_000, 60, "4w 6d")],
)
def test_the_cases_over_time_are_counted_in_parts_that_a_calendar_has(days, parts, part):
    found = overview(log(days))
    assert (len(found.starts), found.part) == (parts, part)
    assert sum(found.starts) == days


def test_the_most_frequent_activities_are_shown_and_the_others_counted():
    names = [f"a{number}" for number in range(9) for _ in range(9 - number)]
    shown = texts(log(45, activity=names))
    assert [name for name in shown if name.startswith("a") and name[1:].isdigit()] == [f"a{n}" for n in range(7)]
    assert "… 2 more activities" in shown


def test_a_log_without_cases_is_shown_too():
    empty = EventLog(pd.DataFrame({"case_id": [], "activity": [], "completed": pd.to_datetime([], utc=True)}))
    assert "none" in texts(empty)


def test_names_from_data_are_escaped_and_notes_are_told():
    shown = texts(log(activity="<script>").with_notes(["3 rows had no time & were dropped."]))
    assert "<script>" in shown
    assert "3 rows had no time & were dropped." in shown


def test_many_statuses_take_more_rows():
    names = ["COMPLETED", "FAILED", "CANCELLED", "COMPENSATED"]
    cases = pd.DataFrame({"case_id": [f"o{n}" for n in range(4)], "status": names})
    svg = ET.fromstring(overview(EventLog(log(4).steps, cases)).to_svg())
    signs = [(float(each.get("cx")), float(each.get("cy"))) for each in svg.iter(f"{SVG}circle")]
    assert len(signs) == 4
    assert max(x for x, _ in signs) < 330
    assert len({y for _, y in signs}) == 2


def test_a_log_from_the_first_year_to_the_last_shows_itself():
    times = ["0001-01-01T00:00Z", "9999-12-31T00:00Z"]
    log = ok.EventLog(pd.DataFrame({"case_id": ["a", "b"], "activity": "check", "completed": times}))

    assert "text/html" in log._repr_mimebundle_()
    with pytest.raises(ok.LogError, match="hours are counted over 200 years at most"):
        ok.waiting_times(ok.EventLog(log.steps.assign(case_id="a")), ok.office_hours())
    with pytest.raises(ok.LogError, match="not at the ends of the calendar"):
        ok.cycle_times(ok.where(log, "case_id == 'a'"), ok.office_hours())
