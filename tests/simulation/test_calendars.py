"""Calendars over years: what is once is once, and whatever stands for a day is one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import orchkit as ok

ONE = ok.workflow("one", [ok.task("do", role="clerk")])
ALWAYS = {"mon-sun": "00:00-24:00"}
START = datetime(2025, 1, 6, tzinfo=UTC)
DAY_S = 86_400


def simulated(calendar, arrivals, work, until=None):
    resource = ok.Resource(len(arrivals.after_s) if hasattr(arrivals, "after_s") else 9, calendar=calendar)
    scenario = ok.Scenario(arrivals, {"do": work}, {"clerk": resource})
    return ok.simulate(ONE, scenario, until=until).steps


@pytest.mark.parametrize(
    ("calendar", "days"),
    [
        (ok.Calendar(ALWAYS, absences=[("2025-02-01", "2025-02-03")]), ["2025-02-01", "2025-02-02"]),
        (ok.Calendar(ALWAYS, holidays=["2025-12-25", "2026-12-25"]), ["2025-12-25", "2026-12-25"]),
        (ok.Calendar(ALWAYS, holidays=["2025-01-07"]), ["2025-01-07"]),
        (ok.Calendar(ALWAYS, holidays=["2025-01-02"]), []),
    ],
)
def test_holidays_and_absences_come_once(calendar, days):
    steps = simulated(calendar, "1 d", "1 h", "1200 d")

    waited = steps[steps["started"] > steps["enabled"]]
    assert waited["enabled"].dt.strftime("%Y-%m-%d").tolist() == days


@pytest.mark.parametrize(
    "absences", [(), [("2025-06-01", "2025-12-15")], [("2025-01-01", "2025-12-29"), ("2026-11-01", "2026-12-01")]]
)
def test_work_over_years_ends_when_the_hours_of_the_calendar_are_done(absences):
    calendar = ok.Calendar({"mon-thu": ["09:00-12:00", "13:00-18:00"], "fri": "22:00-03:00"}, absences=absences)
    hours = calendar.intervals(START, START + timedelta(days=2_500))
    days = [0.4, 150.5, 300, 357, 360, 500.45, 721, 1_085, 1_500.7]
    for work_h in (1, 40, 3_000):
        steps = simulated(calendar, ok.ArrivalTimes([day * DAY_S for day in days]), f"{work_h} h")

        for begun, ended in zip(steps["enabled"], steps["completed"], strict=True):
            left = timedelta(hours=work_h)
            for opens, closes in hours:
                span = closes - max(opens, begun.to_pydatetime())
                if span >= left:
                    expected = closes - span + left
                    break
                left -= max(span, timedelta(0))
            assert ended == expected


@pytest.mark.parametrize(
    "holidays",
    [
        [date(2025, 1, 6)],
        [datetime(2025, 1, 6, 12)],  # noqa: DTZ001 -- a day
        pd.to_datetime(["2025-01-06"]),
        pd.Series(["2025-01-06"]),
        np.array(["2025-01-06"], dtype="datetime64[D]"),
        np.array(["2025-01-06"], dtype="datetime64[ns]"),
    ],
)
def test_a_holiday_is_a_day_whatever_it_is_written_as(holidays):
    calendar = ok.Calendar(ALWAYS, holidays=holidays)

    assert calendar == ok.Calendar(ALWAYS, holidays=["2025-01-06"])
    assert simulated(calendar, ok.ArrivalTimes([0]), 1)["started"].tolist() == [pd.Timestamp("2025-01-07", tz=UTC)]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ok.Calendar(ALWAYS, holidays=np.array("2025-01-01")), "holidays is a list of dates"),
        (lambda: ok.Calendar(ALWAYS, holidays=[pd.NaT]), "holiday NaT is not a date"),
        (lambda: ok.Calendar({"mon": np.array("09:00-17:00")}), "calendar: mon: hours are text"),
        (lambda: ok.Distribution("by_attribute", of="x", parts=pd.NA), "by_attribute: parts has a distribution"),
        (lambda: ok.Distribution("by_resource", parts=[1]), "by_resource: parts has a distribution"),
        (lambda: ok.empirical(np.array(5)), "empirical: give a list of durations"),
    ],
)
def test_what_has_no_items_is_no_list(make, says):
    with pytest.raises(ok.ScenarioError, match=says):
        make()


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        ({"clerk": 1, "boss": 1}, "requires: do: 1 of 'clerk' and 1 of 'boss' are never on duty at one time"),
        ({"boss": 2}, "requires: do: 2 of 'boss' are never on duty at one time, so that it never begins"),
        ({"clerk": 1, "guard": 1}, None),
        ({"boss": 1, "guard": 2}, None),
    ],
)
def test_people_who_never_meet_do_nothing_together(needs, says):
    day, late, night = (ok.Calendar({"mon-fri": span}) for span in ("09:00-17:00", "17:00-21:00", "20:00-09:00"))
    resources = {
        "clerk": ok.Resource(2, calendar=day),
        "boss": ok.Resource(members={"Ann": late, "Bob": ok.Calendar({"sat": "09:00-17:00"})}),
        "guard": ok.Resource(members={"Cy": night, "Di": None, "Ed": late}),
    }
    scenario = ok.Scenario("1 d", {"do": "1 h"}, {role: resources[role] for role in needs}, requires={"do": needs})

    if says is None:
        assert len(ok.simulate(ONE, scenario, cases=3)) == 3
        return
    with pytest.raises(ok.ScenarioError, match=says):
        ok.simulate(ONE, scenario, cases=3)


def test_an_absence_of_everybody_for_a_year_is_refused():
    calendar = ok.Calendar({"mon": "09:00-17:00"}, absences=[("2025-01-06", "2026-02-01")])

    with pytest.raises(ok.ScenarioError, match="clerk: calendar: holidays and absences leave no time at all"):
        simulated(calendar, "1 d", "1 h", "10 d")
