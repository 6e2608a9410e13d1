"""Pictures of workflows and runs."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchkit.errors import RenderError, WorkflowError
from orchkit.model.definition import Workflow
from orchkit.model.nodes import (
    Call,
    End,
    Flow,
    FlowKind,
    ForEach,
    Gateway,
    GatewayKind,
    Saga,
    Scope,
    Start,
    Task,
    Wait,
    WaitKind,
    While,
)
from orchkit.view.diagram import Diagram, draw
from orchkit.view.theme import ICONS

SVG = "{http://www.w3.org/2000/svg}"


def chain(*names: str) -> tuple[Flow, ...]:
    return tuple(Flow(source, target) for source, target in pairwise(names))


def sequence(*names: str) -> Workflow:
    nodes = (Start(name="start"), *(Task(name=name) for name in names), End(name="end"))
    return Workflow("sequence", nodes=nodes, flows=chain("start", *names, "end"))


def routing() -> Workflow:
    nodes = (
        Start(name="start"),
        Gateway(name="where_to", kind=GatewayKind.EXCLUSIVE),
        Task(name="ship_domestic", executor="http", role="clerk"),
        Task(name="ship_international"),
        Task(name="tell_someone"),
        End(name="end"),
    )
    flows = (
        Flow("start", "where_to"),
        Flow("where_to", "ship_domestic", 'order.country == "US"'),
        Flow("where_to", "ship_international"),
        Flow("ship_domestic", "end"),
        Flow("ship_international", "end"),
        Flow("ship_domestic", "tell_someone", kind=FlowKind.ERROR, condition="error.type == 'Refused'"),
        Flow("ship_international", "tell_someone", kind=FlowKind.TIMEOUT),
        Flow("tell_someone", "end"),
    )
    return Workflow("routing", nodes=nodes, flows=flows)


def parsed(diagram: Diagram) -> ET.Element:
    return ET.fromstring(diagram.to_svg())


def elements(diagram: Diagram) -> dict[str, ET.Element]:
    """Return the element of each node, by name."""
    return {
        element.get("data-node"): element for element in parsed(diagram).iter(f"{SVG}g") if element.get("data-node")
    }


def links(diagram: Diagram) -> dict[str, ET.Element]:
    """Return the elements of the flows, by the first line of their tip."""
    found = [element for element in parsed(diagram).iter(f"{SVG}g") if element.get("class", "").startswith("link")]
    return {tip(element).split("\n")[0]: element for element in found}


def tip(element: ET.Element) -> str:
    return element.findtext(f"{SVG}title")


def texts(element: ET.Element) -> list[str]:
    return [text.text for text in element.iter(f"{SVG}text")]


def icons(element: ET.Element) -> set[str]:
    """Return the names of the icons inside an element."""
    drawn = {path.get("d") for path in element.iter(f"{SVG}path")}
    return {name for name, path in ICONS.items() if path in drawn}


def stroke_widths(element: ET.Element, tag: str) -> list[str]:
    return [shape.get("stroke-width") for shape in element.iter(SVG + tag)]


# The drawing stands alone, and beside others.


def test_svg_is_one_element_that_says_what_it_shows():
    diagram = draw(sequence("pay", "ship"), statuses={"pay": "COMPLETED", "ship": "RUNNING"})
    svg = parsed(diagram)
    assert diagram.to_svg().startswith("<svg ")
    assert "<!DOCTYPE" not in diagram.to_svg()
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Workflow sequence, 4 nodes: 1 running, 1 completed"
    assert svg.findtext(f"{SVG}title") == "Workflow sequence, 4 nodes: 1 running, 1 completed"


def test_svg_refers_to_nothing_outside_and_has_no_identifiers():
    svg = draw(routing()).to_svg()
    assert re.findall(r"https?:[^\s\"']*", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"\s(id|href|xlink:href|src)=", svg)
    assert "url(" not in svg
    assert "@import" not in svg


def test_style_rules_hold_for_drawings_only():
    sheet = parsed(draw(routing())).findtext(f"{SVG}style")
    selectors = re.findall(r"([^{}]+)\{", sheet.replace("@media (prefers-color-scheme:dark){", ""))
    assert len(selectors) > 10
    assert all(".orchkit-diagram" in part for selector in selectors for part in selector.split(","))


def test_both_themes_are_there_and_notebooks_say_which():
    sheet = parsed(draw(sequence("pay"))).findtext(f"{SVG}style")
    assert ".orchkit-diagram{" in sheet
    assert "--ok-page:#ffffff;" in sheet
    assert "@media (prefers-color-scheme:dark){.orchkit-diagram{" in sheet
    assert '[data-jp-theme-light="false"] .orchkit-diagram,.vscode-dark .orchkit-diagram{' in sheet
    assert "--ok-page:#16191d;" in sheet


def test_every_paint_of_the_drawing_is_in_the_style_sheet():
    svg = parsed(draw(routing(), statuses={"ship_domestic": "FAILED"}))
    sheet = svg.findtext(f"{SVG}style")
    classes = {name for element in svg.iter() for name in element.get("class", "").split() if name[1:2] == "-"}
    assert {"f-page", "s-line", "f-failed-tint", "s-alarm"} <= classes
    assert all(f".orchkit-diagram .{name}{{" in sheet and f"--ok-{name[2:]}:" in sheet for name in classes)


def test_drawing_fills_a_narrow_page_without_growing_on_a_wide_one():
    svg = parsed(draw(sequence("pay")))
    width = svg.get("width")
    assert svg.get("viewBox") == f"0 0 {width} {svg.get('height')}"
    assert f"width:100%;min-width:{float(width) * 0.7:.2f}".rstrip("0") in svg.get("style")
    assert f"max-width:{width}px;height:auto" in svg.get("style")


# Shapes.


def test_start_is_thin_end_is_bold():
    drawn = elements(draw(sequence("pay")))
    assert stroke_widths(drawn["start"], "circle") == ["1.5"]
    assert stroke_widths(drawn["end"], "circle") == ["3.5"]
    assert texts(drawn["start"]) == texts(drawn["end"]) == []


def test_ends_say_when_they_terminate_or_fail():
    workflow = Workflow("ends", nodes=(End(name="stop_all", terminate=True), End(name="refused", error="Refused")))
    drawn = elements(draw(workflow))
    assert drawn["stop_all"].get("class") == "node terminate"
    assert len(list(drawn["stop_all"].iter(f"{SVG}circle"))) == 2
    assert drawn["refused"].get("class") == "node error"
    assert icons(drawn["refused"]) == {"bolt"}
    assert texts(drawn["refused"]) == ["refused"]


def test_a_task_shows_its_executor_and_its_role():
    drawn = elements(draw(routing()))
    assert texts(drawn["ship_domestic"]) == ["ship_domestic", "clerk"]
    assert icons(drawn["ship_domestic"]) == {"globe", "person"}
    assert icons(drawn["ship_international"]) == {"code"}
    assert tip(drawn["ship_domestic"]) == "ship_domestic\nhttp task for clerk"


@pytest.mark.parametrize(
    ("kind", "icon"),
    [
        (GatewayKind.EXCLUSIVE, "exclusive"),
        (GatewayKind.PARALLEL, "parallel"),
        (GatewayKind.INCLUSIVE, "inclusive"),
        (GatewayKind.EVENT, "event"),
    ],
)
def test_a_gateway_is_a_diamond_with_its_sign(kind, icon):
    drawn = elements(draw(Workflow("w", nodes=(Gateway(name="g", kind=kind),))))["g"]
    corners = drawn.find(f"{SVG}polygon").get("points").split()
    assert len(corners) == 8
    assert ICONS[icon] in [path.get("d") for path in drawn.iter(f"{SVG}path")]


@pytest.mark.parametrize(
    ("kind", "icon"),
    [(WaitKind.CALLBACK, "callback"), (WaitKind.EVENT, "envelope"), (WaitKind.TIMER, "clock")],
)
def test_a_wait_is_a_double_circle_with_its_sign(kind, icon):
    drawn = elements(draw(Workflow("w", nodes=(Wait(name="answer", kind=kind, duration_s=5.0),))))["answer"]
    assert len(list(drawn.iter(f"{SVG}circle"))) == 2
    assert icons(drawn) == {icon}
    assert texts(drawn) == ["answer"]


@pytest.mark.parametrize(
    ("scope", "icon", "words"),
    [
        (Scope(name="s", nodes=(Task(name="inner"),)), "scope", ["s"]),
        (ForEach(name="s", items="lines", concurrency=2), "each", ["s", "each item in lines, 2 at once"]),
        (While(name="s", condition="not done"), "loop", ["s", "while not done"]),
        (Saga(name="s"), "undo", ["s", "saga"]),
    ],
)
def test_a_scope_is_a_frame_with_its_kind(scope, icon, words):
    drawn = elements(draw(Workflow("w", nodes=(scope,))))["s"]
    assert drawn.get("class") == "group"
    assert icons(drawn) == {icon}
    assert texts(drawn) == words


def test_what_is_inside_a_scope_stands_inside_its_frame():
    inner = Scope(name="inner", nodes=(Task(name="pay"),))
    drawn = elements(draw(Workflow("w", nodes=(Scope(name="outer", nodes=(inner,)),))))
    boxes = {}
    for name in ("outer", "inner", "pay"):
        frame = drawn[name].find(f"{SVG}rect")
        x, y, width, height = (float(frame.get(key)) for key in ("x", "y", "width", "height"))
        boxes[name] = (x, y, x + width, y + height)
    for outside, within in (("outer", "inner"), ("inner", "pay")):
        assert boxes[outside][0] < boxes[within][0] < boxes[within][2] < boxes[outside][2]
        assert boxes[outside][1] < boxes[within][1] < boxes[within][3] < boxes[outside][3]


def test_a_call_has_a_bold_border_and_names_the_workflow():
    drawn = elements(draw(Workflow("w", nodes=(Call(name="bill", workflow="billing"),))))["bill"]
    assert stroke_widths(drawn, "rect") == ["3.2"]
    assert texts(drawn) == ["bill", "billing"]


def test_a_compensation_task_hangs_on_its_task():
    nodes = (Task(name="book", compensate=Task(name="cancel")), Task(name="mail", compensate="none"))
    diagram = draw(Workflow("w", nodes=nodes))
    drawn = elements(diagram)
    assert [rect.get("stroke-dasharray") for rect in drawn["cancel"].iter(f"{SVG}rect")] == ["4 3"]
    association = links(diagram)["undone by cancel"]
    assert association.get("class") == "link compensation"
    assert association.find(f"{SVG}polygon") is None
    assert "cannot be undone" in tip(drawn["mail"])


def test_a_compensation_of_two_tasks_is_drawn_once():
    undo = Task(name="tell_customer")
    diagram = draw(Workflow("w", nodes=(Task(name="a", compensate=undo), Task(name="b", compensate=undo))))
    assert diagram.to_svg().count('data-node="tell_customer"') == 1
    assert diagram.to_svg().count('class="link compensation"') == 2


# Flows.


def test_conditions_and_the_default_stand_on_their_flows():
    diagram = draw(routing())
    assert 'order.country == "US"' in texts(parsed(diagram))
    assert "default" in texts(parsed(diagram))
    assert tip(links(diagram)["where_to → ship_international"]).endswith("\ndefault: when no other holds")


def test_flows_that_a_gateway_does_not_choose_from_have_no_default():
    workflow = Workflow(
        "w",
        nodes=(Gateway(name="both", kind=GatewayKind.PARALLEL), Task(name="a"), Task(name="b")),
        flows=(Flow("both", "a"), Flow("both", "b")),
    )
    assert "default" not in draw(workflow).to_svg()


def test_a_long_condition_is_shortened_and_whole_in_the_tip():
    condition = " and ".join(f"order.field_{number} > {number}" for number in range(10))
    nodes = (Gateway(name="g", kind=GatewayKind.EXCLUSIVE), Task(name="a"), Task(name="b"))
    diagram = draw(Workflow("w", nodes=nodes, flows=(Flow("g", "a", condition), Flow("g", "b"))))
    shown = "".join(text for text in texts(parsed(diagram)) if text.startswith("order") or text.endswith("…"))
    assert len(shown) <= 40
    assert shown.endswith("…")
    assert condition in tip(links(diagram)["g → a"])


def test_error_and_timeout_flows_differ_by_line_and_by_sign():
    diagram = draw(routing())
    error, timeout = links(diagram)["ship_domestic → tell_someone"], links(diagram)["ship_international → tell_someone"]
    assert error.get("class") == "link error"
    assert error.find(f"{SVG}path").get("stroke-dasharray") == "6 3"
    assert error.find(f"{SVG}path").get("class") == "s-alarm"
    assert timeout.get("class") == "link timeout"
    assert timeout.find(f"{SVG}path").get("stroke-dasharray") == "2 3"
    assert {"bolt", "clock"} <= icons(parsed(diagram))


def test_flows_to_and_from_a_scope_end_at_its_frame():
    inner = Scope(name="inner", nodes=(Start(name="s"), Task(name="pay"), End(name="e")), flows=chain("s", "pay", "e"))
    workflow = Workflow("w", nodes=(Task(name="a"), inner, Task(name="b")), flows=chain("a", "inner", "b"))
    diagram = draw(workflow)
    frame = elements(diagram)["inner"].find(f"{SVG}rect")
    left, right = float(frame.get("x")), float(frame.get("x")) + float(frame.get("width"))
    tip_x = float(links(diagram)["a → inner"].find(f"{SVG}polygon").get("points").split()[0])
    start_x = float(re.match(r"M([\d.-]+)", links(diagram)["inner → b"].find(f"{SVG}path").get("d"))[1])
    assert tip_x == pytest.approx(left, abs=2)
    assert start_x == pytest.approx(right, abs=2)


@pytest.mark.parametrize(("direction", "axis"), [("LR", "x"), ("TB", "y")])
def test_direction_leads_to_the_right_or_down(direction, axis):
    drawn = elements(draw(sequence("first", "second"), direction=direction))
    first, second = (float(drawn[name].find(f"{SVG}rect").get(axis)) for name in ("first", "second"))
    assert first < second


# Statuses.


@dataclass
class FinishedRun:
    workflow: Workflow
    node_statuses: dict = field(default_factory=dict)


def test_a_status_has_a_color_and_a_sign_and_is_explained():
    run = FinishedRun(sequence("pay", "ship"), {"pay": "COMPLETED", "ship": "FAILED"})
    diagram = draw(run)
    drawn = elements(diagram)
    assert drawn["pay"].get("data-status") == "COMPLETED"
    assert drawn["pay"].find(f"{SVG}rect").get("class") == "f-done-tint s-done"
    assert "check" in icons(drawn["pay"])
    assert drawn["ship"].get("data-status") == "FAILED"
    assert ICONS["cross"] in [path.get("d") for path in drawn["ship"].iter(f"{SVG}path")]
    assert tip(drawn["ship"]).endswith("\nstatus: failed")
    legend = next(g for g in parsed(diagram).iter(f"{SVG}g") if g.get("class") == "legend")
    assert texts(legend) == ["failed", "completed"]


def test_statuses_given_go_before_those_of_the_run():
    run = FinishedRun(sequence("pay"), {"pay": "RUNNING"})
    assert elements(draw(run, statuses={"pay": "SKIPPED"}))["pay"].get("data-status") == "SKIPPED"


def test_counts_show_the_most_pressing_status_and_each_number():
    drawn = elements(draw(sequence("line"), statuses={"line": {"COMPLETED": 12, "FAILED": 1}}))["line"]
    assert drawn.get("data-status") == "FAILED"
    assert {"12", "1"} <= set(texts(drawn))
    assert tip(drawn).endswith("\nstatus: 1 failed, 12 completed")


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("node", ["start", "where_to", "end"])
def test_counts_of_a_circle_or_a_diamond_stand_beside_it_and_inside_the_picture(node, direction):
    diagram = draw(routing(), direction=direction, statuses={node: {"COMPLETED": 1234, "FAILED": 2, "RUNNING": 11}})
    drawn = elements(diagram)[node]
    width, height = (float(number) for number in parsed(diagram).get("viewBox").split()[2:])
    rings = [ring for ring in drawn.iter(f"{SVG}circle") if ring.get("r") != "8"]
    corners = [point.split() for shape in drawn.iter(f"{SVG}polygon") for point in shape.get("points").split("L")]
    middle_y = float(rings[0].get("cy")) if rings else float(corners[0][3])
    middle_x = float(rings[0].get("cx")) if rings else float(corners[0][0])

    for pill in drawn.iter(f"{SVG}rect"):
        left, top = float(pill.get("x")), float(pill.get("y"))
        right, bottom = left + float(pill.get("width")), top + float(pill.get("height"))
        assert min(left, top) > -14
        assert right < width - 14
        assert bottom < height - 14
        assert bottom <= middle_y - 14 or top >= middle_y + 14 or right <= middle_x - 14 or left >= middle_x + 14


def test_a_status_that_is_not_known_still_draws():
    assert elements(draw(sequence("a"), statuses={"a": "PAUSED"}))["a"].get("data-status") == "PAUSED"


def test_without_statuses_there_is_no_legend():
    assert 'class="legend"' not in draw(sequence("pay")).to_svg()


def test_a_drawing_is_the_same_every_time():
    assert draw(routing()).to_svg() == draw(routing()).to_svg()
    assert draw(routing()) == draw(routing())


# Folding.


def scopes() -> Workflow:
    deep = Saga(name="deep", nodes=(Task(name="pay"), Task(name="ship")))
    return Workflow("w", nodes=(Scope(name="outer", nodes=(deep, Task(name="mail"))), Task(name="after")))


def test_scopes_are_folded_by_name():
    drawn = elements(draw(scopes(), collapse=["deep"], statuses={"pay": "COMPLETED", "ship": "RUNNING"}))
    assert set(drawn) == {"outer", "deep", "mail", "after"}
    assert drawn["deep"].get("class") == "node scope"
    assert texts(drawn["deep"])[:2] == ["deep", "2 steps inside"]
    assert drawn["deep"].get("data-status") == "RUNNING"


def test_all_scopes_are_folded_on_request():
    assert set(elements(draw(scopes(), collapse=True))) == {"outer", "after"}


def test_a_scope_to_fold_must_be_there():
    with pytest.raises(WorkflowError, match="Did you mean 'deep'"):
        draw(scopes(), collapse=["deap"])


def test_a_long_chain_becomes_one_node():
    workflow = sequence(*(f"step_{number}" for number in range(44)))
    diagram = draw(workflow, max_nodes=10, statuses={"step_7": "FAILED", "step_8": "COMPLETED"})
    assert "… 42 tasks …" in texts(parsed(diagram))
    assert set(elements(diagram)) == {"start", "step_0", "step_1", "step_43", "end"}
    assert elements(diagram)["step_1"].get("data-status") == "FAILED"
    assert set(elements(draw(workflow, max_nodes=10, collapse=False))) >= {"step_0", "step_20", "step_43"}


# Escaping.

NASTY = [
    "<script>alert(1)</script>",
    "</title></svg><img src=x onerror=alert(1)>",
    "]]>",
    "</style>",
    'say "hi"',
    "it's",
    "a\\b\\",
    "\\N\\G\\E\\T\\H\\L",
    "\\l left \\r",
    "a\nb",
    "<b>bold</b>",
    "<<table>>",
    "&amp; & &#x41;",
    "日本語 ñ 🚀",
    "\x00\x1b[31mred",
    "%s {x} $y",
    "x" * 10_000,
    "n1",
    "cluster_g1",
    "node",
    "a:b:c",
    " ",
]


def assert_safe(workflow: Workflow, name: str) -> None:
    diagram = draw(workflow, statuses={name: name})
    svg = parsed(diagram)
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= {
        "svg", "title", "style", "rect", "g", "path", "circle", "polygon", "text",
    }  # fmt: skip
    assert not [key for element in svg.iter() for key in element.attrib if key.startswith("on")]
    html = diagram._repr_mimebundle_()["text/html"]
    assert "<script" not in html
    assert html.count("<img") == html.count('<img class="orchkit-flat"') == 1  # the PNG
    assert "\x1b" not in str(diagram)


@pytest.mark.parametrize("name", NASTY)
def test_text_from_data_is_only_text(name):
    nodes = (
        Start(name="s"),
        Task(name=name, description=name, role=name, executor=name, compensate=Task(name=f"undo {name}")),
        Gateway(name=f"g {name}", kind=GatewayKind.EXCLUSIVE),
        Wait(name=f"w {name}", kind=WaitKind.EVENT, subject=name, match=name),
        ForEach(name=f"each {name}", items=name, item=name, nodes=(Task(name=f"in {name}"),)),
        Call(name=f"call {name}", workflow=name or "w"),
        End(name=f"e {name}", error=name),
    )
    flows = (
        Flow("s", name),
        Flow(name, f"g {name}"),
        Flow(f"g {name}", f"w {name}", name),
        Flow(f"g {name}", f"each {name}"),
        Flow(name, f"e {name}", name, FlowKind.ERROR),
    )
    workflow = Workflow(name, nodes=nodes, flows=flows)
    assert_safe(workflow, name)
    shown = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "\ufffd", name).replace("\r", "\n")
    assert tip(elements(draw(workflow))[shown]).startswith(shown)


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1, max_size=30), other=st.text(max_size=60))
def test_any_text_draws(name, other):
    nodes = (Task(name=name, description=other, role=other), End(name=f"end of {name}", error=other))
    flows = (Flow(name, f"end of {name}", other or None),)
    assert_safe(Workflow(name, nodes=nodes, flows=flows), name)


def test_backslashes_and_angle_brackets_are_no_commands_to_graphviz():
    dot = draw(sequence("\\N", "<b>x</b>")).dot
    assert 'label="\\\\N"' in dot
    assert 'label="<b>x</b>"' in dot


# What else a diagram gives.


def test_png_is_the_drawing_at_twice_the_size():
    diagram = draw(sequence("pay"))
    width, height = struct.unpack(">II", diagram.to_png()[16:24])
    assert diagram.to_png().startswith(b"\x89PNG")
    assert width == pytest.approx(2 * float(parsed(diagram).get("width")), abs=2)
    assert height == pytest.approx(2 * float(parsed(diagram).get("height")), abs=2)


def test_a_wide_png_has_a_limit():
    diagram = draw(sequence(*(f"step_{number}" for number in range(60))), collapse=False)
    assert struct.unpack(">I", diagram.to_png()[16:20])[0] <= 4_001


def test_a_notebook_gets_every_form_or_those_it_asks_for():
    diagram = draw(sequence("pay"))
    bundle = diagram._repr_mimebundle_()
    assert list(bundle) == ["text/html", "image/svg+xml", "image/png", "text/plain"]
    assert f"<small>{diagram.to_svg()}</small></div>" in bundle["text/html"]
    assert bundle["text/plain"] == "sequence, version 1\n  pay: python task"
    assert set(diagram._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}
    assert "image/png" not in diagram._repr_mimebundle_(exclude={"image/png"})


def test_a_workflow_shows_itself():
    workflow = sequence("pay")
    assert workflow._repr_mimebundle_() == draw(workflow)._repr_mimebundle_()
    assert set(workflow._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}


@pytest.mark.parametrize(
    ("suffix", "beginning"),
    [
        (".svg", b"<svg "),
        (".png", b"\x89PNG"),
        (".html", b"<!DOCTYPE html>"),
        (".dot", b"digraph workflow {"),
        (".txt", b"sequence, version 1"),
    ],
)
def test_the_suffix_says_how_a_diagram_is_saved(tmp_path, suffix, beginning):
    path = draw(sequence("pay")).save(tmp_path / f"picture{suffix}")
    assert path == tmp_path / f"picture{suffix}"
    assert path.read_bytes().startswith(beginning)


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(RenderError, match=r"'picture\.pdf'.*\.svg, \.png, \.html, \.dot or \.txt"):
        draw(sequence("pay")).save(str(tmp_path / "picture.pdf"))
    assert list(Path(tmp_path).iterdir()) == []


def test_only_workflows_and_runs_are_drawn():
    with pytest.raises(RenderError, match="a workflow or a run, not 'str'"):
        draw("order.yaml")
    with pytest.raises(RenderError, match=r"'LR' .* or 'TB'"):
        draw(sequence("pay"), direction="RL")


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_counts_leave_the_sign_of_a_compensation_free(direction):
    tasks = [Task(name=name, compensate=Task(name=f"cancel_{name}")) for name in ("flight", "hotel")]
    saga = Saga(name="trip", nodes=tuple(tasks), flows=chain("flight", "hotel"))
    counts = {name: {"COMPLETED": 123, "RUNNING": 4, "FAILED": 7} for name in ("flight", "hotel", "cancel_hotel")}
    svg = ET.fromstring(draw(Workflow("trips", nodes=(saga,)), statuses=counts, direction=direction).to_svg())
    signs = [each for each in svg.iter(f"{SVG}circle") if each.get("r") == "8"]
    centers = [(float(each.get("cx")), float(each.get("cy"))) for each in signs]
    assert len(centers) == 9 + 2 + 3  # counts, compensations, the legend
    assert all(abs(x0 - x1) + abs(y0 - y1) > 16 for (x0, y0), (x1, y1) in combinations(centers, 2))
