"""WhatIf in JupyterLab: a slider is moved, the figures follow, a scenario is kept."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

SHIP = """
import orchkit as ok
retry = {"max_attempts": 3, "initial_delay": "1 min"}
steps = [ok.task("check", role="clerk"), ok.task("pack", role="packer", retry=retry)]
today = ok.Scenario(
    arrivals=ok.exponential("10 min"),
    durations={"check": ok.triangular("2 min", "5 min", "9 min"), "pack": ok.exponential("15 min")},
    resources={"clerk": 1, "packer": 2},
    failures={"pack": 0.05},
)
view = ok.WhatIf(ok.workflow("ship", steps), today, cases=500)
view
"""


def test_a_slider_is_moved_and_the_figures_follow(lab, theme):
    page = lab.open(
        lab.notebook(f"what_if_{theme}", SHIP, "print(view.scenario.resources['packer'].count, list(view.kept))"),
        dark=theme == "dark",
    )
    view = page.locator(".orchkit-widget")
    row = view.get_by_role("row", name="cycle time", exact=False).first
    assert "▼" not in row.inner_text()
    slider = view.get_by_label("packer, how many")
    slider.focus()
    slider.press("ArrowRight")
    view.get_by_text("3 (base 2)").wait_for()
    view.locator("td", has_text="▼").first.wait_for()
    view.get_by_label("Name of the scenario").fill("one more packer")
    view.get_by_role("button", name="Keep").click()
    view.get_by_role("columnheader", name="one more packer").wait_for()
    view.get_by_role("button", name="YAML").click()
    view.get_by_text("packer:").first.wait_for()
    lab.screenshot(view, f"what_if_{theme}")
    lab.rerun(page, 1)
    page.locator(".jp-OutputArea-output", has_text="3 ['one more packer']").wait_for()
    page.context.close()
