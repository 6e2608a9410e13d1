"""Every widget in JupyterLab with hostile text in all that it shows: live, saved without trust, and exported."""

import pytest

from orchkit.view.pages import as_html

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

HOSTILE = """
import orchkit as ok
text = '<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>javascript:window.hit=1\\u202e'
text += "x" * 10_000
field = {"type": "string", "title": text, "description": text}
form = {"type": "object", "title": text, "properties": {text: field}}
settings = {"form": form, "title": text, "instructions": text, "data": {text: text}}
workflow = ok.workflow(
    text,
    [ok.task(text, executor="human", role=text, description=text, settings=settings),
     ok.task("pay", description=text, retry={"max_attempts": 1})],
    description=text,
    alerts=[ok.Alert(text, "failure_rate > 1%", severity="critical")],
)
def pay():
    raise ok.TransientError(text)
engine = ok.Engine(handlers={"pay": pay})
watch = ok.watch(engine, every=None)
run = engine.start(workflow, case_id=text)
item = engine.work_items()["item_id"].iloc[0]
engine.complete_item(item, {text: text}, by=text)
run.wait("60 s")
engine.start(workflow, case_id=text + "2")
watch.check()
scenario = ok.Scenario(ok.exponential("1 h"), {text: "5 min", "pay": "1 min"}, {text: 1})
log = engine.log()
"""
VIEWS = (
    "ok.Monitor(engine, watch=watch)",
    "ok.RunView(run)",
    "ok.Inbox(engine, role=text, by=text)",
    "ok.DeadLetters(engine, by=text)",
    "ok.Modeler(workflow)",
    "ok.WhatIf(workflow, scenario, cases=20, replications=2)",
    "ok.LogExplorer(log)",
    "ok.Replay(log)",
)


def check(page, name):
    """Nothing of the text has run, and what is shown is as wide as its place."""
    assert page.evaluate("window.hit") is None, name
    wide = page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea-output')].filter("
        "n => n.scrollWidth > n.clientWidth + 2).map(n => n.innerText.slice(0, 40))"
    )
    assert wide == [], name


def test_hostile_text_runs_nothing_live_saved_and_exported(lab):
    path = lab.notebook("hostile", HOSTILE, *VIEWS)
    page = lab.open(path)
    widgets = page.locator(".orchkit-widget")
    for number in range(len(VIEWS)):
        widgets.nth(number).scroll_into_view_if_needed()
        widgets.nth(number).locator("text=<img src=x onerror=").first.wait_for(state="attached")
    check(page, "live")
    lab.command(page, "docmanager:save")
    page.context.close()
    lab.shut_down()

    page = lab.open(path, run=False)
    page.locator(".orchkit-twin").nth(len(VIEWS) - 1).wait_for(state="attached")
    assert not page.get_by_text("Loading widget").first.is_visible()
    check(page, "saved")
    page.context.close()

    # What Jupyter has not signed is not trusted: HTML loses what could run, and the drawings in it; pictures stay.
    (lab.folder / "copy.ipynb").write_text((lab.folder / path).read_text().replace("workflow = ", "workflow  = "))
    page = lab.open("copy.ipynb", run=False)
    page.locator('.jp-OutputArea-output img[src^="data:image/png"]').nth(len(VIEWS) - 1).wait_for(state="attached")
    check(page, "not trusted")
    page.context.close()

    as_html(lab.folder / path, lab.folder / "hostile.html")
    page = lab.page()
    page.goto(f"{lab.address}/files/hostile.html?token={lab.token}")
    page.locator(".orchkit-twin").nth(len(VIEWS) - 1).wait_for(state="attached")
    check(page, "exported")
    page.context.close()
