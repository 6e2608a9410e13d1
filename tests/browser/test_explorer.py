"""LogExplorer in JupyterLab: a log is filtered by clicks and keys, and the numbers and the code follow."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

ORDERS = r"""
import numpy as np, pandas as pd, orchkit as ok
random = np.random.default_rng(7)
rows, cases = [], []
for number in range(240):
    way = ["receive", "check stock"] + ["reorder", "check stock"] * int(random.integers(0, 3)) + ["pack", "ship"]
    if number % 6 == 0:
        way = ["receive", "<img src=x onerror=alert(1)>"]
    time = pd.Timestamp("2024-05-06T08:00Z") + pd.Timedelta(hours=float(number * 1.5))
    for name in way:
        begun = time + pd.Timedelta(minutes=float(random.exponential(40)))
        time = begun + pd.Timedelta(minutes=float(random.exponential(15)))
        failed = name == "ship" and number % 9 == 1
        rows.append({"case_id": f"o{number}", "activity": name, "started": begun, "completed": time,
                     "resource": f"clerk {number % 4}", "status": "FAILED" if failed else "COMPLETED",
                     "error_type": "Timeout" if failed else None, "error_class": "transient" if failed else None})
    country = ["US", "FR", "</script><b>x"][number % 3]
    cases.append({"case_id": f"o{number}", "country": country, "amount": float(number)})
log = ok.EventLog(pd.DataFrame(rows), pd.DataFrame(cases))
explorer = ok.LogExplorer(log)
explorer
"""


def test_a_log_is_filtered_by_clicks_and_keys_and_the_code_gives_the_same(lab, theme):
    ask = "exec(explorer.code.rsplit('\\n', 1)[0]); print(len(explorer.log), len(part), len(log))"
    page = lab.open(
        lab.notebook(f"explorer_{theme}", ORDERS, ask.replace("exec(", "part = log; exec(")), dark=theme == "dark"
    )
    view = page.locator(".orchkit-widget")
    cards = view.locator(".ok-card")
    cards.filter(has_text="of 240").get_by_text("240", exact=True).wait_for()
    lab.screenshot(view, f"explorer_{theme}")

    view.locator("g.stop", has_text="reorder").last.click()
    view.get_by_role("button", name="without it").click()
    view.get_by_role("button", name="Take away the filter without reorder").wait_for()
    cards.filter(has_text="of 240").get_by_text("112", exact=True).wait_for()
    assert "part = ok.without(log, activity='reorder')" in view.locator("pre.ok-code").inner_text()

    # By keys: to the first activity that may be chosen, and from there to its first line.
    drawing = view.get_by_label("Process map", exact=True)
    drawing.focus()
    drawing.press("ArrowDown")
    drawing.press("Enter")
    view.get_by_role("button", name="with it", exact=True).wait_for()
    page.keyboard.press("Escape")
    view.get_by_text("Click an activity").wait_for()
    view.get_by_role("button", name="Time", exact=True).click()
    view.get_by_text("Median time of a step:").wait_for()
    lab.screenshot(view, f"explorer_time_{theme}")

    view.get_by_role("tab", name="Variants").click()
    view.get_by_text("2 variants.").wait_for()
    lab.screenshot(view, f"explorer_variants_{theme}")
    view.get_by_role("button", name="Only receive, check stock, pack, ship", exact=False).click()
    cards.filter(has_text="of 240").get_by_text("72", exact=True).wait_for()
    view.get_by_role("tab", name="Cases").click()
    view.get_by_label("Attribute").select_option("country")
    view.get_by_role("cell", name="</script><b>x", exact=True).wait_for()
    lab.screenshot(view, f"explorer_cases_{theme}")
    view.get_by_role("button", name="Only US").click()
    view.get_by_role("button", name="Take away the filter country: US").click()
    cards.filter(has_text="of 240").get_by_text("72", exact=True).wait_for()
    view.get_by_role("button", name="Undo").click()
    view.get_by_role("button", name="Take away the filter country: US").wait_for()
    lab.rerun(page, 1)
    page.locator(".jp-OutputArea-output", has_text="16 16 240").wait_for()

    view.get_by_role("button", name="All cases").click()
    for tab in ("Failures", "Bottlenecks"):
        view.get_by_role("tab", name=tab).click()
        view.get_by_role("region", name=tab).wait_for()
        lab.screenshot(view, f"explorer_{tab.lower()}_{theme}")
    page.context.close()
