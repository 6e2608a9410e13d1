"""Scenarios beside each other, as pictures."""

from __future__ import annotations

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import RenderError

COMPARED = pd.DataFrame(
    {
        "scenario": ["two <clerks>"] * 3,
        "measure": ["kpi", "kpi", "flow"],
        "name": ["cycle_time", "error_rate", "a -> b"],
        "before": [100.0, 0.0, 1.0],
        "after": [80.0, 0.1, 1.0],
        "difference": [-20.0, 0.1, 0.0],
        "low": [-25.0, 0.0, 0.0],
        "high": [-15.0, 0.2, 0.0],
    }
)
SWEPT = pd.DataFrame(
    {
        "resources.clerk": [1, 1, 2, 2],
        "durations.check": ["5 min", "9 min"] * 2,
        "kpi": "cycle_time",
        "value": [600.0, 1200.0, 300.0, 540.0],
        "low": [590.0, 1100.0, float("nan"), 500.0],
        "high": [610.0, 1300.0, float("nan"), 580.0],
        "unit": "s",
    }
)


def test_changes_are_in_percent_of_the_first():
    chart = ok.charts.differences(COMPARED)

    assert chart.text == "two <clerks>: cycle_time -20 % (-25 to -15)"
    assert "&lt;clerks&gt;" in chart.to_svg()


def test_only_the_figures_asked_for_are_drawn():
    with pytest.raises(RenderError, match="no figure 'cycle_tim'. Did you mean 'cycle_time'"):
        ok.charts.differences(COMPARED, ["cycle_tim"])
    with pytest.raises(RenderError, match="nothing to draw"):
        ok.charts.differences(COMPARED, ["error_rate"])
    with pytest.raises(RenderError, match="takes what compare returns"):
        ok.charts.differences(SWEPT)


def test_a_sweep_has_a_line_for_each_value_of_its_second_setting():
    chart = ok.charts.sweeps(SWEPT)

    assert chart.text.splitlines() == [
        "resources.clerk 1, durations.check 5 min: 10 min (9.83 to 10.2)",
        "resources.clerk 1, durations.check 9 min: 20 min (18.3 to 21.7)",
        "resources.clerk 2, durations.check 5 min: 5 min",
        "resources.clerk 2, durations.check 9 min: 9 min (8.33 to 9.67)",
    ]
    assert chart.to_svg().count('aria-roledescription="point"') == 4


def test_settings_may_be_anything():
    swept = SWEPT[["durations.check", "kpi", "value", "low", "high", "unit"]].iloc[:2]

    assert ok.charts.sweeps(swept).text.startswith("durations.check 5 min: 10 min")
    with pytest.raises(RenderError, match="one or two settings, not 3"):
        ok.charts.sweeps(SWEPT.assign(x=1)[["x", *SWEPT]])
    with pytest.raises(RenderError, match="no figure 'cost'"):
        ok.charts.sweeps(SWEPT, "cost")
