"""The survival curve of cycle times."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import LogError
from orchkit.view.theme import LIGHT

SVG = "{http://www.w3.org/2000/svg}"
DAY = pd.Timestamp("2024-05-06T09:00Z")


def at(minutes):
    return DAY + pd.Timedelta(minutes=minutes)


def texts(picture) -> list[str]:
    return [text.text for text in ET.fromstring(picture.to_svg()).iter(f"{SVG}text")]


def log_of(minutes, still_open: int = 0) -> ok.EventLog:
    ends = [at(number) for number in minutes] + [pd.NaT] * still_open
    ids = [str(number) for number in range(len(ends))]
    return ok.EventLog(pd.DataFrame({"case_id": ids, "activity": "check", "started": DAY, "completed": ends}))


def curve(chart) -> dict[float, float]:
    rows = [row for rows in chart.to_dict()["datasets"].values() for row in rows]
    return {row["at"]: round(row["share_open"], 3) for row in rows if "share_open" in row}


def test_the_curve_falls_where_cases_end():
    found = curve(ok.charts.survival(log_of([10, 20, 30, 40])))

    assert found == {0.0: 1.0, 10.0: 0.75, 20.0: 0.5, 30.0: 0.25, 40.0: 0.0}


def test_open_cases_keep_it_up():
    chart = ok.charts.survival(log_of([10, 20, 30, 40], still_open=4))

    assert curve(chart)[40.0] == 0.5
    assert "8 cases, 4 of them open, half ended after 40m" in chart.label


def test_an_sla_is_a_line_and_a_share():
    chart = ok.charts.survival(log_of([10, 20, 30, 40]), sla="25 min")

    assert chart.label.endswith("50% still open after 25m")
    assert "SLA: 25 min" in texts(chart)


def test_several_logs_are_told_apart_by_paint_and_dash():
    chart = ok.charts.survival({"2024": log_of([10, 20]), "2025": log_of([5, 6])})

    assert {"2024", "2025"} <= set(texts(chart))
    lines = [path for path in ET.fromstring(chart.to_svg()).iter(f"{SVG}path") if path.get("stroke-width") == "2"]
    assert {(path.get("stroke"), path.get("stroke-dasharray")) for path in lines} >= {
        (LIGHT["active"], "1,0"),
        (LIGHT["failed"], "6,3"),
    }


def test_a_curve_of_many_cases_is_thinned():
    assert len(curve(ok.charts.survival(log_of(range(1, 5_000))))) <= 121


def test_a_log_in_which_no_case_has_ended_has_no_curve():
    none, some = log_of([], still_open=2), log_of([1, 2])
    assert str(ok.charts.survival(none)) == "Cases still open: no case of the log has ended"
    with pytest.raises(LogError, match=r"charts.survival: no case of the log 'today' has ended."):
        ok.charts.survival({"before": some, "today": none})
