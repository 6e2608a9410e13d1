"""Replay in JupyterLab: time is let go, stopped, moved by hand; with less motion it goes in steps."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

ORDERS = r"""
import numpy as np, pandas as pd, orchkit as ok
random = np.random.default_rng(7)
rows = []
for number in range(600):
    way = ["receive", "check stock"] + ["reorder", "check stock"] * int(random.integers(0, 3)) + ["pack", "ship"]
    time = pd.Timestamp("2024-05-06T08:00Z") + pd.Timedelta(hours=float(number * 0.5))
    for name in way:
        begun = time + pd.Timedelta(minutes=float(random.exponential(400)))
        time = begun + pd.Timedelta(minutes=float(random.exponential(150)))
        status = "FAILED" if name == "ship" and number % 9 == 1 else "COMPLETED"
        rows.append({"case_id": f"o{number}", "activity": name, "started": begun, "completed": time, "status": status})
ok.Replay(ok.EventLog(pd.DataFrame(rows)))
"""
RUN = r"""
import orchkit as ok
steps = [ok.task("check"), ok.parallel([ok.task("<b>crm</b>")], [ok.task("mail")]), ok.task("ship")]
engine = ok.Engine(handlers={name: (lambda: True) for name in ("check", "<b>crm</b>", "mail", "ship")})
ok.Replay(engine.run(ok.workflow("order", steps), case_id="<img src=x onerror=alert(1)>"))
"""
CHANGES = "([node, before]) => node.textContent !== before"


def test_tokens_move_while_it_plays_and_stand_where_it_is_paused(lab, theme):
    page = lab.open(lab.notebook(f"replay_{theme}", ORDERS, RUN), dark=theme == "dark")
    view = page.locator(".orchkit-widget").first
    clock, canvas = view.locator(".ok-clock"), view.locator("canvas")
    view.get_by_text("1 in flight: 0 in work, 1 on the way").wait_for()
    picture = "node => node.toDataURL()"
    begin, blank = clock.inner_text(), canvas.evaluate(picture)
    view.get_by_label("Speed").select_option("0.25")  # all of it takes minutes, however slow the machine
    view.get_by_role("button", name="Play").click()
    page.wait_for_function(CHANGES, arg=[clock.element_handle(), begin])
    page.wait_for_function("([node, before]) => node.toDataURL() !== before", arg=[canvas.element_handle(), blank])
    view.get_by_role("button", name="Pause").click()
    view.get_by_role("button", name="Play").wait_for()
    stands = clock.inner_text(), canvas.evaluate(picture)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert (clock.inner_text(), canvas.evaluate(picture)) == stands

    slider = view.get_by_label("Moment", exact=True)
    slider.fill("500")
    assert clock.inner_text() != stands[0]
    assert "0 in flight" not in view.locator(".ok-flight").inner_text()
    lab.screenshot(view, f"replay_{theme}")

    run = page.locator(".orchkit-widget").nth(1)
    run.get_by_label("Moment", exact=True).fill("420")
    run.get_by_text("4 attempts of case <img src=x onerror=alert(1)>").wait_for()
    lab.screenshot(run, f"replay_run_{theme}")
    page.context.close()
