"""A chart shows itself, in both themes, whatever the data hold."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import LogError, RenderError
from orchkit.view.charts.chart import Chart
from orchkit.view.charts.drawing import chart_of, rows_of
from orchkit.view.theme import DARK, LIGHT

BEGUN = pd.Timestamp("2024-05-06T09:00Z")


def log_of(minutes):
    return ok.EventLog(
        pd.DataFrame(
            {
                "case_id": [str(number) for number in range(len(minutes))],
                "activity": "check",
                "started": BEGUN,
                "completed": [BEGUN + pd.Timedelta(minutes=number) for number in minutes],
            }
        )
    )


@pytest.fixture(scope="module")
def chart() -> Chart:
    return ok.charts.cycle_times({"today": log_of([10, 20, 60]), '<b>"two" & more\x00</b>': log_of([5, 6])})


def test_a_notebook_gets_svg_in_html_svg_png_and_text(chart):
    bundle = chart._repr_mimebundle_()

    assert set(bundle) == {"text/html", "image/svg+xml", "image/png", "text/plain"}
    assert bundle["image/png"][:8] == b"\x89PNG\r\n\x1a\n"
    assert bundle["image/svg+xml"] in bundle["text/html"]
    assert "today: 3 cases, median 20 min" in bundle["text/plain"]
    assert set(chart._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}


def test_the_svg_is_well_formed_and_text_from_data_is_escaped(chart):
    root = ET.fromstring(chart.to_svg())

    assert root.get("role") == "img"
    assert '<b>"two" & more\ufffd</b>' in root.get("aria-label")
    assert '<b>"two" & more\ufffd</b>: 2 cases, median 5.5 min, p95 5.95 min' in "".join(root.itertext())
    assert "<b>" not in chart.to_svg()


def test_a_mark_tells_its_figures_to_a_mouse_and_to_a_screen_reader(chart):
    titles = re.findall(r'aria-label="([^"]*)"[^>]*><title>([^<]*)</title>', chart.to_svg())

    assert all(label == title for label, title in titles)
    assert [title for title, _ in titles if title.endswith(": 1 case")] == [
        "8.94 to 10.4 min: 1 case",
        "19.4 to 20.9 min: 1 case",
        "58.1 to 59.6 min: 1 case",
        "4.47 to 5.96 min: 1 case",
        "5.96 to 7.45 min: 1 case",
    ]
    assert [title for title, _ in titles if title.startswith("p95")] == ["p95: 56 min", "p95: 5.95 min"]


def test_a_dark_page_gets_the_dark_paints():
    chart = ok.charts.cycle_times(log_of([10, 20, 60]))
    plain, dark, both = chart.to_svg("light"), chart.to_svg("dark"), chart.to_svg()

    assert LIGHT["text"] in plain
    assert not any(f'"{color}"' in plain for color in set(DARK.values()) - set(LIGHT.values()))
    assert not any(f'"{color}"' in dark for color in set(LIGHT.values()) - set(DARK.values()))
    assert f'[data-jp-theme-light="false"] .orchkit-chart [fill="{LIGHT["text"]}"]{{fill:{DARK["text"]}}}' in both
    assert "prefers-color-scheme:dark" in both
    assert "<style>" not in plain


def test_two_charts_in_a_page_share_no_identifier():
    one, other = (ok.charts.cycle_times(log_of(minutes)).to_svg() for minutes in ([10, 20, 60], [10, 20, 61]))

    assert set(re.findall(r' id="([^"]+)"', one)).isdisjoint(re.findall(r' id="([^"]+)"', other))


def test_a_chart_is_saved_as_its_suffix_says(chart, tmp_path):
    for suffix, beginning in ((".svg", "<svg"), (".html", "<!DOCTYPE html>"), (".json", '{"title"'), (".txt", "Cycle")):
        assert chart.save(tmp_path / f"chart{suffix}").read_text(encoding="utf-8").startswith(beginning)
    assert chart.save(tmp_path / "chart.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(RenderError, match=r"'chart.pdf': its suffix must be"):
        chart.save(tmp_path / "chart.pdf")


def test_altair_goes_on_from_a_chart(chart):
    assert chart.to_altair().to_dict()["title"] == {"text": "Cycle times"}


def test_what_cannot_be_drawn_is_shown_as_text():
    broken = Chart('{"mark": "no such mark"}', "Broken", "1 2 3")

    bundle = broken._repr_mimebundle_()

    assert set(bundle) == {"text/html", "text/plain"}
    assert "The chart cannot be drawn" in bundle["text/html"]
    assert "1 2 3" in bundle["text/html"]


def test_a_log_without_ended_cases_has_no_cycle_times():
    steps = pd.DataFrame({"case_id": ["1"], "activity": "a", "started": BEGUN, "completed": [None]})
    none, some = ok.EventLog(steps), ok.EventLog(steps.assign(completed=BEGUN))
    assert str(ok.charts.cycle_times(none)) == "Cycle times: no case of the log has ended"
    with pytest.raises(LogError, match="no case of the log 'open' has ended"):
        ok.charts.cycle_times({"all": some, "open": none})


def test_all_in_the_same_instant_is_drawn_too():
    assert "median 0 s" in str(ok.charts.cycle_times(log_of([0, 0])))
    assert ok.charts.cycle_times(log_of([0, 0])).to_svg().startswith("<svg")


def test_data_of_any_kind_become_rows():
    frame = pd.DataFrame(
        {"at": [BEGUN, pd.NaT], "x": [1.5, float("inf")], "yes": [True, False], "name": ["a\nb", None]}
    )

    assert rows_of(frame).to_dict()["values"] == [
        {"at": "2024-05-06T09:00:00.000000Z", "x": 1.5, "yes": "yes", "name": "a b"},
        {"at": None, "x": None, "yes": "no", "name": None},
    ]


def test_altair_is_loaded_on_use():
    code = "import sys, orchkit as ok; ok.Chart; print('vl_convert' in sys.modules); ok.charts.cycle_times"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout == "False\n"
    assert chart_of is not None
