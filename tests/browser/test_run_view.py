"""RunView in JupyterLab: a run is watched, looked back at, cancelled."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

ORDER = """
import orchkit as ok
steps = [ok.task("check"), ok.saga([ok.task("reserve", compensate=ok.task("release")), ok.wait_for(callback="paid")])]
order = ok.workflow("order", steps)
engine = ok.Engine(handlers={"check": lambda: True, "reserve": lambda: 1, "release": lambda: 1})
run = engine.start(order, case_id="<img src=x onerror=alert(1)>")
ok.RunView(run)
"""


def test_a_run_is_watched_looked_back_at_and_cancelled(lab, theme):
    page = lab.open(lab.notebook(f"run_{theme}", ORDER), dark=theme == "dark")
    view = page.locator(".orchkit-widget")
    view.get_by_text("waiting", exact=False).first.wait_for()
    assert view.locator("text=<img src=x onerror=alert(1)>").count() >= 1
    assert page.locator(".orchkit-twin").first.is_hidden()
    lab.screenshot(view, f"run_view_{theme}")

    slider = view.get_by_label("Moment of the history")
    slider.focus()
    slider.press("Home")
    view.locator(".ok-status", has_text="running").wait_for()
    assert view.locator("tbody tr").count() == 1
    view.get_by_role("button", name="Now").click()
    view.locator(".ok-status", has_text="waiting").wait_for()

    view.get_by_role("tab", name="Gantt").click()
    view.locator(".ok-picture svg").last.locator("text", has_text="reserve").first.wait_for()
    lab.screenshot(view, f"run_gantt_{theme}")
    view.get_by_role("tab", name="Steps").click()
    view.get_by_role("button", name="Cancel the run").click()
    view.get_by_role("button", name="Cancel it", exact=True).click()
    view.locator(".ok-status", has_text="cancelled").wait_for()
    view.locator("tbody tr", has_text="release").wait_for()

    # All of it again: the question comes first, and the run goes on to where it waited.
    view.get_by_role("button", name="Retry from the start").click()
    view.get_by_role("button", name="Run it again").click()
    view.locator(".ok-status", has_text="waiting").wait_for()
    page.context.close()
