"""What a log tells about the nodes of a workflow."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import RenderError

SVG = "{http://www.w3.org/2000/svg}"
DAY = pd.Timestamp("2024-05-06T09:00Z")
ORDER = ok.workflow("order", [ok.task("pay"), ok.saga([ok.task("pack"), ok.task("ship")]), ok.task("bill")])


def minutes(*numbers):
    return [DAY + pd.Timedelta(minutes=number) for number in numbers]


def log_of(**columns) -> ok.EventLog:
    steps = {
        "case_id": ["1"] * 4,
        "activity": ["pay", "pack", "ship", "ship"],
        "started": minutes(0, 11, 20, 200),
        "completed": minutes(10, 14, 80, 201),
        "status": ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED"],
        "attempt": [1, 1, 1, 2],
    }
    return ok.EventLog(pd.DataFrame(steps | columns))


def nodes(diagram) -> dict[str, ET.Element]:
    return {found.get("data-node"): found for found in ET.fromstring(diagram.to_svg()).iter(f"{SVG}g")}


def texts(element) -> list[str]:
    return [text.text for text in element.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("heat", "pay", "ship"),
    [
        ("count", "1 · 100% of cases", "2 · 100% of cases"),
        ("duration", "mean 10m, 95% in 10m", "mean 30m 30s, 95% in 57m 3s"),
        ("wait", "mean 0s, 95% in 0s", "mean 1h 3m, 95% in 1h 54m"),
        ("failures", "none of 1 failed", "1 of 2 failed, 50%"),
    ],
)
def test_each_node_has_its_figure(heat, pay, ship):
    drawn = nodes(ok.draw(ORDER, log_of(), heat=heat))

    assert pay in texts(drawn["pay"])
    assert ship in texts(drawn["ship"])


def test_the_hottest_node_has_the_strongest_shade_and_a_node_without_steps_none():
    drawn = nodes(ok.draw(ORDER, log_of(), heat="failures"))

    shades = {name: drawn[name].find(f"{SVG}rect").get("class").split()[0] for name in ("pay", "ship", "bill")}
    assert shades == {"pay": "f-heat-0", "ship": "f-heat-4", "bill": "f-box"}


def test_a_folded_scope_shows_its_hottest_node():
    drawn = nodes(ok.draw(ORDER, log_of(), heat="failures", collapse=True))

    assert "ship: 1 of 2 failed, 50%" in texts(drawn["saga_1"])


def test_the_legend_names_what_is_not_in_the_workflow():
    diagram = ok.draw(ORDER, log_of(activity=["pay", "pack", "ship", "<b>call</b>"]))

    assert "Not in the workflow: <b>call</b>" in texts(ET.fromstring(diagram.to_svg()))
    assert "<b>" not in diagram.to_svg()


def test_only_steps_of_the_workflow_count():
    diagram = ok.draw(ORDER, log_of(case_id=["1", "2", "1", "2"], workflow=["order", "other", "order", "other"]))

    assert texts(nodes(diagram)["ship"])[-1] == "1 · 100% of cases"
    assert "1 ·" not in "".join(texts(nodes(diagram)["pack"]))


def test_a_log_that_does_not_tell_leaves_the_picture_plain_and_says_so():
    diagram = ok.draw(ORDER, log_of(started=pd.NaT), heat="duration")

    assert "The log does not tell: mean time of a step" in texts(ET.fromstring(diagram.to_svg()))


def test_a_status_and_a_heat_stand_side_by_side():
    drawn = nodes(ok.draw(ORDER, log_of(), heat="failures", statuses={"ship": "RUNNING"}))["ship"]

    assert drawn.get("data-status") == "RUNNING"
    assert "1 of 2 failed, 50%" in texts(drawn)


@pytest.mark.parametrize(
    ("workflow", "log", "heat", "message"),
    [
        (ORDER, None, "wait", "heat='wait' needs a log: draw(workflow, log, heat='wait')."),
        (ORDER, log_of(), "waits", "Did you mean 'wait'?"),
        (ORDER, pd.DataFrame(), "wait", "The heat of a workflow comes from an event log, not from 'DataFrame'."),
        (
            ok.workflow("travel", ok.task("book")),
            log_of(),
            "wait",
            "No activity of the log is a node of workflow 'travel'; the log's: 'pack', 'pay', 'ship'.",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(workflow, log, heat, message):
    with pytest.raises(RenderError) as caught:
        ok.draw(workflow, log, heat=heat)
    assert message in str(caught.value)


def test_a_log_that_filters_left_empty_heats_nothing():
    diagram = ok.draw(ORDER, ok.where(log_of(), activity=[]), heat="count")

    assert "The log does not tell: steps" in texts(ET.fromstring(diagram.to_svg()))
