"""Hours of duty and arrivals are those that the log shows, not those of chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.simulation.hours import calendar_from, open_hours, presence_in
from orchkit.simulation.presence import crew_of
from orchkit.simulation.rates import arrivals_in

MONDAY = pd.Timestamp("2025-01-06T00:00Z").timestamp()
WEEK_S = 7 * 86_400.0


def seen(calendar, weeks, per_week, seed=0):
    """Return moments that lie evenly in a calendar's hours."""
    begin, end = (pd.Timestamp(MONDAY + shift * WEEK_S, unit="s", tz="UTC").to_pydatetime() for shift in (0, weeks))
    spans = np.array([(a.timestamp(), b.timestamp()) for a, b in calendar.intervals(begin, end)])
    lengths = np.cumsum(spans[:, 1] - spans[:, 0])
    drawn = np.random.default_rng(seed).uniform(0, lengths[-1], per_week * weeks)
    place = np.searchsorted(lengths, drawn, side="right")
    return spans[place, 1] - (lengths[place] - drawn)


@pytest.mark.parametrize(
    ("calendar", "weeks", "per_week"),
    [
        (ok.Calendar({"mon-fri": ["09:00-12:00", "13:00-17:00"]}), 12, 80),
        (ok.Calendar({"mon-fri": "08:30-16:30"}), 12, 400),
        (ok.Calendar({"mon-wed": "09:00-17:00", "thu": "09:00-12:00"}), 12, 80),
        (ok.Calendar({"sat,sun": "10:00-16:00"}), 4, 20),
        (ok.office_hours(), 12, 10),  # one sight in four hours: gaps of chance are no breaks
        (ok.office_hours(), 2, 80),
    ],
)
def test_hours_of_duty_are_found(calendar, weeks, per_week) -> None:
    moments = seen(calendar, weeks, per_week)

    found = calendar_from(open_hours(presence_in(moments, MONDAY, MONDAY + weeks * WEEK_S)))

    assert found.spans == calendar.spans


def test_who_is_seen_at_all_hours_or_hardly_ever_has_no_hours() -> None:
    always = ok.Calendar({"mon-sun": "00:00-24:00"})

    for moments in (seen(always, 8, 60), seen(ok.office_hours(), 4, 3)):
        assert open_hours(presence_in(moments, MONDAY, MONDAY + 8 * WEEK_S)) is None


def test_arrivals_have_the_shape_that_the_cases_show() -> None:
    steady = MONDAY + np.cumsum(np.random.default_rng(1).exponential(600, 2_500))
    by_day = np.concatenate([np.linspace(day * 86_400, day * 86_400 + 28_800, 40) for day in range(28)]) + MONDAY

    assert arrivals_in(steady).family == "exponential"
    assert arrivals_in(MONDAY + np.arange(300) * 600.0) == ok.constant("10 min")
    found = arrivals_in(by_day).per_hour
    assert found[1] == pytest.approx(5, abs=0.3)
    assert found[3 * 24 + 12] == 0


def test_arrivals_have_the_level_of_late_where_it_has_changed() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.exponential(3_600, 15 * 168), rng.exponential(1_800, 5 * 336)

    assert arrivals_in(MONDAY + np.cumsum([*before, *after])).mean == pytest.approx(1_800, rel=0.1)
    assert arrivals_in(MONDAY + np.cumsum(before)).mean == pytest.approx(3_600, rel=0.05)


def test_shifts_two_hours_apart_are_told_apart_where_people_are_well_known() -> None:
    early, late = ok.Calendar({"mon-fri": "08:00-16:00"}), ok.Calendar({"mon-fri": "10:00-18:00"})
    one = ok.workflow("one", [ok.task("serve", role="clerk")])
    truth = ok.Scenario(
        ok.exponential("30 min"),
        {"serve": ok.exponential("30 min")},
        {"clerk": ok.Resource(members={"a": early, "b": late, "c": early})},
    )
    log = ok.simulate(one, truth, cases=2_000, seed=3, progress=False)

    shifts = crew_of(log, log.resource_codes >= 0).shifts

    assert [[str(log.resources[code]) for code in shift.people] for shift in shifts] == [["a", "c"], ["b"]]
    assert [shift.calendar.spans for shift in shifts] == [early.spans, late.spans]


def test_hours_are_those_of_the_time_zone_where_the_clock_is_changed() -> None:
    one = ok.workflow("one", [ok.task("serve", role="clerk")])
    truth = ok.Scenario(
        ok.exponential("2 h"),
        {"serve": ok.exponential("30 min")},
        {"clerk": ok.Resource(calendar=ok.office_hours("Europe/Rome"))},
    )
    log = ok.simulate(one, truth, cases=2_000, seed=3, progress=False)  # from January to June
    everybody = log.resource_codes >= 0

    in_rome = crew_of(log, everybody, timezone="Europe/Rome").calendar

    assert (in_rome.spans, in_rome.timezone) == (ok.office_hours().spans, "Europe/Rome")
    assert crew_of(log, everybody).calendar.hours_per_week == 45


def test_a_time_zone_that_does_not_exist_is_refused() -> None:
    one = ok.workflow("one", [ok.task("serve", role="clerk")])
    log = ok.simulate(one, ok.Scenario("1 h", {"serve": "1 min"}), cases=5, progress=False)
    with pytest.raises(ok.ScenarioError, match=r"fit: there is no time zone 'Europe/Rom'. Did you mean 'Europe/Rome'"):
        ok.fit(one, log, timezone="Europe/Rom")
