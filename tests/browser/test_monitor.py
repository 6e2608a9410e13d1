"""Monitor in JupyterLab: runs are counted, found and opened while they go on."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

ORDERS = """
import orchkit as ok, pandas as pd
def pay(amount):
    if amount > 90:
        raise ok.PermanentError("card declined <b>")
wait = ok.choice(ok.when("amount < 10", [ok.wait_for(callback="answer")]), ok.otherwise([]))
alerts = [ok.Alert("many_fail", "failure_rate > 5%", severity="critical")]
order = ok.workflow("order", [ok.task("check"), ok.task("pay"), wait], alerts=alerts)
engine = ok.Engine(handlers={"check": lambda: True, "pay": pay})
frame = pd.DataFrame({"case_id": [f"O-{n:03}" for n in range(100)], "amount": range(100)})
runs = [engine.start(order, {"amount": int(row.amount)}, case_id=row.case_id) for row in frame.itertuples()]
for run in runs[10:]:
    run.wait()
ok.Monitor(engine)
"""


def test_runs_are_counted_found_opened_and_followed(lab, theme):
    notebook = lab.notebook(f"monitor_{theme}", ORDERS, "runs[7].complete('answer'); runs[7].wait().status")
    page = lab.open(notebook, dark=theme == "dark")
    view = page.locator(".orchkit-widget")
    active = view.locator(".ok-card", has_text="active")
    # The second cell has ended one of the ten that waited.
    active.get_by_text("9", exact=True).wait_for()
    active.get_by_text("9 of them wait").wait_for()
    assert view.locator(".ok-card", has_text="failed").locator("b").inner_text() == "9"
    alert = view.get_by_role("region", name="Alerts").get_by_role("row", name="many_fail")
    alert.get_by_text("▲ firing").wait_for()
    assert view.locator(".ok-card svg").count() == 9

    view.get_by_label("Search runs").fill("O-09")
    view.get_by_text("10 runs").wait_for()
    view.get_by_label("Status").select_option("FAILED")
    view.get_by_text("9 runs").wait_for()
    view.get_by_role("row", name="O-095").click()
    view.get_by_text("Case O-095").wait_for()
    view.get_by_text("pay: PermanentError: card declined <b>").first.wait_for()
    lab.screenshot(view, f"monitor_{theme}")

    # What is typed stays while the view is refreshed.
    assert view.get_by_label("Search runs").input_value() == "O-09"
    view.get_by_role("button", name="Close").click()
    view.get_by_text("Case O-095").wait_for(state="detached")
    page.context.close()
