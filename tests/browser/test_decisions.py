"""Inbox and DeadLetters in JupyterLab: people decide, and the runs go on."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

APPROVAL = """
import orchkit as ok
form = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "title": "Approved"},
        "limit": {"type": "integer", "title": "Limit in euros", "minimum": 0},
        "risk": {"enum": ["low", "high"], "title": "Risk"},
        "note": {"type": "string", "title": "Note", "description": "For the file"},
    },
    "required": ["approved", "limit"],
}
settings = {"form": form, "title": "Approve ${amount} euros for ${name}", "due": "2 days", "data": {"name": "${name}"}}
approve = ok.task("approve", executor="human", role="manager", settings=settings)
engine = ok.Engine(handlers={"pay": lambda approve: approve["limit"]})
claim = ok.workflow("claim", [approve, ok.task("pay")])
name = "<img src=x onerror=alert(1)>"
runs = [engine.start(claim, {"amount": 70 + n, "name": name}, case_id=f"C-{n}") for n in (1, 2)]
ok.Inbox(engine, role="manager", by="Ada")
"""

LETTERS = """
import orchkit as ok
def ship(address):
    if address == "?":
        raise ok.TransientError("the carrier does not know </script><script>alert(1)</script>")
    return f"sent to {address}"
order = ok.workflow(
    "order",
    [ok.task("ship", retry={"max_attempts": 2, "initial_delay": "1 ms"})],
    inputs={"address": {"type": "string", "title": "Address"}},
)
engine = ok.Engine(handlers=[ship])
runs = [engine.run(order, {"address": "?"}, case_id=f"A-{n}") for n in (1, 2, 3)]
ok.DeadLetters(engine, by="Ada")
"""


def test_an_approval_is_completed_and_the_run_goes_on(lab, theme):
    page = lab.open(lab.notebook(f"inbox_{theme}", APPROVAL, "[run.status for run in runs]"), dark=theme == "dark")
    view = page.locator(".orchkit-widget")
    view.get_by_text("Approve 71 euros").click()
    view.get_by_role("button", name="Claim").click()
    view.get_by_role("button", name="Give back").wait_for()

    # The limit is missing: the engine refuses, and nothing is lost.
    view.get_by_label("Approved").check()
    view.get_by_label("Note").fill("as discussed")
    view.get_by_role("button", name="Complete").click()
    view.get_by_text("'limit' is a required property").wait_for()
    lab.screenshot(view, f"inbox_{theme}")
    view.get_by_label("Limit in euros").fill("500")
    view.get_by_role("button", name="Complete").click()
    view.get_by_text("1 open").wait_for()

    # By keyboard: choose the other, and refuse it.
    row = view.locator("tbody tr").first
    row.focus()
    row.press("Enter")
    view.get_by_role("button", name="Refuse …").press("Enter")
    view.get_by_label("Reason").fill("too much")
    view.get_by_role("button", name="Refuse it").press("Enter")
    view.get_by_text("Nothing waits for anybody").wait_for()

    lab.rerun(page, 1)
    page.locator(".jp-OutputArea-output", has_text="COMPLETED").last.wait_for()
    assert "FAILED" in page.locator(".jp-OutputArea-output").last.inner_text()
    page.context.close()


def test_a_dead_letter_is_mended_and_replayed_and_others_are_discarded(lab, theme):
    cell = "[(run.case_id, run.status.value, run.variables.get('ship')) for run in runs]"
    page = lab.open(lab.notebook(f"letters_{theme}", LETTERS, cell), dark=theme == "dark")
    view = page.locator(".orchkit-widget")
    view.locator("tbody tr", has_text="A-2").click()
    view.get_by_label("Address").fill("Rome")
    lab.screenshot(view, f"dead_letters_{theme}")
    view.get_by_role("button", name="Replay from the failed step").click()
    view.get_by_text("2 wait for a decision").wait_for()

    view.get_by_role("button", name="Choose all").click()
    view.get_by_role("button", name="Discard 2 chosen …").click()
    view.get_by_label("Reason").fill("withdrawn")
    view.get_by_role("button", name="Discard 2", exact=True).click()
    view.get_by_text("Nothing waits for a decision").wait_for()

    lab.rerun(page, 1)
    page.locator(".jp-OutputArea-output", has_text="sent to Rome").wait_for()
    assert page.locator(".jp-OutputArea-output").last.inner_text().count("FAILED") == 2
    page.context.close()
