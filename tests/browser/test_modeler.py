"""Modeler in JupyterLab: order routing is modeled from an empty canvas, by mouse and by keyboard, and run."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

EMPTY = """
import orchkit as ok
modeler = ok.Modeler()
modeler
"""
RUN = """
handlers = {"validate": lambda: 1, "ship_domestic": lambda: "van", "ship_abroad": lambda: "plane"}
with ok.Engine(handlers=handlers) as engine:
    runs = [engine.run(modeler.workflow, {"country": country}) for country in ("US", "FR")]
    home, abroad = runs
    print([run.status.value for run in runs], home.variables["ship_domestic"], abroad.variables["ship_abroad"])
print(modeler.workflow.name, ok.read_workflow(ok.write_workflow(modeler.workflow)) == modeler.workflow)
"""


def fill_property(view, label, text):
    field = view.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Enter")


def test_order_routing_is_modeled_by_mouse_and_run(lab, theme):
    page = lab.open(lab.notebook(f"model_{theme}", EMPTY, RUN), dark=theme == "dark")
    view = page.locator(".orchkit-widget")
    fill_property(view, "name", "order_routing")
    view.get_by_text("Modeler · order_routing").wait_for()
    view.get_by_role("button", name="+ Task").click()
    view.locator(".ok-title", has_text="task task_1").wait_for()
    fill_property(view, "name", "validate")
    view.locator(".ok-title", has_text="task validate").wait_for()

    # The choice is dragged onto the flow from validate to the end.
    flow = view.locator("g.ok-link", has=page.locator("title", has_text="validate → end")).locator("path").last
    view.get_by_role("button", name="+ Choice").drag_to(flow, force=True)
    view.locator(".ok-title", has_text="exclusive choice_1").wait_for()
    for old, new in (("task_1", "ship_domestic"), ("task_2", "ship_abroad")):
        view.locator(f'g.node[data-node="{old}"] text').first.click()
        view.locator(".ok-title", has_text=f"task {old}").wait_for()
        fill_property(view, "name", new)
        view.locator(".ok-title", has_text=f"task {new}").wait_for()
    view.locator("g.words text", has_text="condition").click()
    view.locator(".ok-title", has_text="Flow choice_1 → ship_domestic").wait_for()
    fill_property(view, "condition", 'country == "US"')
    view.locator("g.words text", has_text="country").first.wait_for()
    lab.screenshot(view, f"modeler_{theme}")

    # Undo and redo are the same workflow again.
    view.get_by_role("button", name="Undo").click()
    view.locator("g.words text", has_text="condition").first.wait_for()
    view.get_by_role("button", name="Redo").click()
    view.locator("g.words text", has_text="country").first.wait_for()
    view.get_by_role("tab", name="YAML").click()
    assert 'when: country == "US"' in view.get_by_label("YAML").input_value()
    lab.rerun(page, 1)
    output = page.locator(".jp-OutputArea-output", has_text="order_routing True")
    output.wait_for()
    assert "['COMPLETED', 'COMPLETED'] van plane" in page.locator(".jp-OutputArea").last.inner_text()
    page.context.close()


def test_order_routing_is_modeled_by_keyboard_and_run(lab):
    page = lab.open(lab.notebook("keys", EMPTY, RUN))
    view = page.locator(".orchkit-widget")

    def choose(node, title):
        view.locator(f'g.node[data-node="{node}"]').press("Enter")
        view.locator(".ok-title", has_text=title).wait_for()

    def rename(old, new):
        choose(old, f"task {old}")
        fill_property(view, "name", new)
        view.locator(".ok-title", has_text=f"task {new}").wait_for()

    fill_property(view, "name", "order_routing")
    view.get_by_text("Modeler · order_routing").wait_for()
    choose("start", "start start")
    view.get_by_role("button", name="+ Task").press("Enter")
    view.locator(".ok-title", has_text="task task_1").wait_for()
    rename("task_1", "validate")
    view.get_by_role("button", name="+ Choice").press("Enter")
    view.locator(".ok-title", has_text="exclusive choice_1").wait_for()
    rename("task_1", "ship_domestic")
    rename("task_2", "ship_abroad")
    view.locator('[data-key="flow-choice_1-ship_domestic"]').press("Enter")
    view.locator(".ok-title", has_text="Flow choice_1 → ship_domestic").wait_for()
    fill_property(view, "condition", 'country == "US"')
    view.locator("g.words text", has_text="country").first.wait_for()
    lab.rerun(page, 1)
    page.locator(".jp-OutputArea-output", has_text="order_routing True").wait_for()
    assert "['COMPLETED', 'COMPLETED'] van plane" in page.locator(".jp-OutputArea").last.inner_text()
    page.context.close()


def test_flows_are_drawn_and_taken_away_by_keyboard(lab):
    page = lab.open(lab.notebook("flows", EMPTY, "[n.name for n in modeler.workflow.nodes], modeler.workflow.flows"))
    view = page.locator(".orchkit-widget")
    view.locator('g.node[data-node="start"]').press("Enter")
    view.locator(".ok-title", has_text="start start").wait_for()
    view.get_by_role("button", name="+ Parallel").press("Enter")
    view.locator(".ok-title", has_text="parallel parallel_1").wait_for()
    view.locator('g.node[data-node="task_1"]').press("Enter")
    view.locator(".ok-title", has_text="task task_1").wait_for()
    fill_property(view, "name", "pack")
    view.locator(".ok-title", has_text="task pack").wait_for()

    # From pack along the flow, back, then connect it to task_2, and take that flow away again.
    pack = view.locator('g.node[data-node="pack"]')
    pack.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.node") == "parallel_1_end"
    pack.press("c")
    view.get_by_role("button", name="Connect pack to …").wait_for()
    view.locator('g.node[data-node="task_2"]').press("Enter")
    view.get_by_text("Flow pack → task_2").wait_for()
    view.locator('[data-key="flow-pack-task_2"]').press("Delete")
    view.locator('[data-key="flow-pack-task_2"]').wait_for(state="detached")
    view.locator('g.node[data-node="task_2"]').press("Delete")
    view.locator('g.node[data-node="task_2"]').wait_for(state="detached")
    view.locator('g.node[data-node="pack"]').press("Control+z")
    view.locator('g.node[data-node="task_2"]').wait_for()
    page.context.close()


def test_yaml_and_python_are_edited_with_errors_at_their_line(lab):
    page = lab.open(lab.notebook("texts", EMPTY, "print([n.name for n in modeler.workflow.nodes])"))
    view = page.locator(".orchkit-widget")
    view.get_by_role("tab", name="YAML").click()
    view.get_by_label("YAML").fill("workflow: order\nsteps:\n  - task: pay\n  - tusk: ship\n")
    view.get_by_text("Line 4", exact=False).first.wait_for()
    assert view.locator('g.node[data-node="pay"]').count() == 0
    lab.screenshot(view, "modeler_yaml")
    view.get_by_label("YAML").fill("workflow: order\nsteps:\n  - task: pay\n  - task: ship\n")
    view.locator('g.node[data-node="ship"]').wait_for()

    view.get_by_role("tab", name="Python").click()
    text = view.get_by_label("Python").input_value()
    assert text == 'import orchkit as ok\n\norder = ok.workflow("order", [ok.task("pay"), ok.task("ship")])\n'
    view.get_by_label("Python").fill(text.replace('ok.task("pay")', "ok.tusk()"))
    view.get_by_text("Line 3: orchkit has no 'tusk'").wait_for()
    view.get_by_label("Python").fill(text.replace('"pay"', '"capture"'))
    view.locator('g.node[data-node="capture"]').wait_for()
    page.context.close()
