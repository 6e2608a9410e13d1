"""One report of all checks: its order, its waivers, and that no workflow makes it fail."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

import orchkit as ok
import sample_processes
from orchkit.model import End, Flow, Gateway, GatewayKind, Scope, Start, Task
from sample_processes import handlers
from tests.strategies import block_workflows, workflows

SAMPLES = [
    "document_processing",
    "onboarding",
    "order_lines",
    "order_notification",
    "order_routing",
    "order_to_cash",
    "travel_booking",
]
slowly = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def ready(name="ship", **more):
    values = {"description": "Sends it.", "timeout": "5s", "alert": "late", "fallback": {"sent": False}}
    return ok.task(name, **(values | more))


def workflow(*steps, **more):
    values = {"description": "An order.", "alerts": [ok.Alert("late", "failure_rate > 5%")]}
    return ok.workflow("order", list(steps), **(values | more))


def test_a_workflow_that_is_ready_has_no_issue():
    report = ok.check(workflow(ready()))
    assert report
    assert str(report) == "order: no issues; sound"


def test_the_worst_comes_first_and_what_is_waived_last():
    step = ok.task(
        "ship", http={"url": "${systems.erp}/${oder}"}, timeout="5s", waive={"alert": "nobody is there at night"}
    )
    report = ok.check(workflow(step, inputs={"order": {}}))
    assert [(issue.severity.value, issue.rule, bool(issue.waived)) for issue in report] == [
        ("error", "unknown_variable", False),
        ("warning", "errors_handled", False),
        ("info", "description", False),
        ("warning", "alert", True),
    ]
    assert report.summary == "1 error, 1 warning, 1 note, 1 waived; sound"


@pytest.mark.parametrize(
    "waived",
    [
        workflow(ready(timeout=None, waive={"timeout": "a person does it"})),
        workflow(ok.scope([ready(timeout=None)], waive={"timeout": "a person does it"})),
        workflow(ready(timeout=None), waive={"timeout": "a person does it"}),
        workflow(
            ok.saga(
                [ready(compensate=ready("undo", timeout=None, fallback=None), waive={"timeout": "a person does it"})]
            )
        ),
    ],
    ids=["node", "scope", "workflow", "what is undone"],
)
def test_a_rule_is_waived_by_the_node_a_scope_around_it_or_the_workflow(waived):
    report = ok.check(waived)
    assert [(issue.rule, issue.waived) for issue in report] == [("timeout", "a person does it")]
    assert report.waived == report.issues
    assert report.warnings == ()


def test_an_error_that_is_waived_does_not_stand():
    report = ok.check(workflow(ready(alert="night", waive={"unknown_alert": "operations add it"})))
    assert report
    assert [issue.rule for issue in report.waived] == ["unknown_alert"]


def test_a_waiver_without_a_reason_or_of_no_rule_is_an_issue_itself():
    report = ok.check(workflow(ready(timeout=None, waive={"timeout": " ", "timeouts": "why not"})))
    assert [(issue.rule, issue.message) for issue in report] == [
        ("waiver", "The rule 'timeout' is waived without a reason, so it counts."),
        ("waiver", "There is no rule 'timeouts' to waive. Did you mean 'timeout'?"),
        ("timeout", "An attempt of it may last for ever."),
    ]


def test_errors_are_raised_with_their_text():
    broken = ok.check(workflow(ready(alert="lat")))
    with pytest.raises(
        ok.CheckError, match="order has 1 error:\n  error unknown_alert: ship: The workflow has no alert 'lat'"
    ):
        broken.raise_for_errors()
    ok.check(workflow(ready())).raise_for_errors()


def test_a_report_is_a_table():
    frame = ok.check(workflow(ready(timeout=None))).to_frame()
    assert frame.to_dict("records") == [
        {
            "rule": "timeout",
            "severity": "warning",
            "node": "ship",
            "message": "An attempt of it may last for ever.",
            "hint": "Give it a timeout.",
            "waived": "",
        }
    ]


def test_a_report_draws_its_summary_and_escapes_what_it_quotes():
    html = ok.check(workflow(ready("<b>", timeout=None)))._repr_mimebundle_()["text/html"]
    assert "Checks of order: 1 warning; sound" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "⚠ warning" in html
    assert "waived" not in html


def test_a_report_shows_what_is_waived_as_waived_with_the_reason():
    text = ok.check(workflow(ready(timeout=None, waive={"timeout": "a person does it"})))._repr_mimebundle_()[
        "text/plain"
    ]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines == [
        "Checks of order: 1 waived; sound",
        "severity rule node message waived",
        "⊘ waived timeout ship An attempt of it may last for ever. a person does it",
    ]


def test_a_report_has_the_answer_of_soundness():
    nodes = (
        Start(name="start"),
        Task(name="a"),
        Task(name="b"),
        Gateway(name="both", kind=GatewayKind.PARALLEL),
        Gateway(name="either", kind=GatewayKind.EXCLUSIVE),
        End(name="end"),
    )
    flows = ["start either", "either a", "either b", "a both", "b both", "both end"]
    report = ok.check(ok.Workflow("w", nodes, tuple(Flow(*flow.split()) for flow in flows)))
    assert report.soundness.trace == ("start", "either -> a", "a")
    assert report.errors[0].rule == "unsound"
    assert report.errors[0].node == "both"
    assert report.errors[0].message == (
        "Deadlock: 'both' has a token from 'a' and waits for one from 'b' that cannot come. "
        "'either' sent it another way. Trace: start, either -> a, a."
    )


def test_the_shape_of_a_graph_is_told_once():
    report = ok.check(
        ok.Workflow("w", (Start(name="start"), End(name="end"), Task(name="lost")), (Flow("start", "end"),))
    )
    assert [issue.rule for issue in report.errors] == ["unreachable"]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_processes_have_no_issue_that_is_not_waived(name):
    report = ok.check(sample_processes.workflow(name), handlers)
    assert [str(issue) for issue in report if not issue.waived] == []


@slowly
@given(workflows())
def test_any_workflow_can_be_checked_and_its_report_drawn(any_workflow):
    report = ok.check(any_workflow, budget=1_000)
    assert str(report).startswith(any_workflow.name)
    bundle = report._repr_mimebundle_(exclude={"image/png"})
    assert set(bundle) == {"text/html", "text/plain", "image/svg+xml"}
    ET.fromstring(bundle["image/svg+xml"])


@slowly
@given(workflows())
def test_a_workflow_that_comes_back_from_frames_has_the_same_issues(any_workflow):
    again = ok.Workflow.from_frames(*any_workflow.to_frames())
    found = [ok.check(each, budget=1_000).to_frame()[["rule", "node"]] for each in (any_workflow, again)]
    assert sorted(found[0].to_numpy().tolist()) == sorted(found[1].to_numpy().tolist())


@slowly
@given(block_workflows())
def test_blocks_are_sound_and_well_formed(blocks):
    report = ok.check(blocks)
    assert report
    assert report.soundness


def test_a_half_finished_frame_can_be_checked():
    nodes = pd.DataFrame({"node": ["pay", "ship", "note"]})
    report = ok.check(ok.Workflow.from_frames(nodes, pd.DataFrame({"source": ["pay"], "target": ["ship"]}), "order"))
    assert report
    assert sorted({issue.rule for issue in report}) == ["alert", "description", "errors_handled", "timeout"]


def test_a_workflow_without_nodes_can_be_checked():
    assert [issue.rule for issue in ok.check(ok.Workflow("nothing"))] == ["empty", "description"]


def test_the_definitions_that_a_workflow_calls_are_checked_too():
    child = workflow(ready(alert="nobody"))
    report = ok.check(ok.workflow("parent", [ok.call(child, name="run_child")]))
    assert report.errors[0].rule == "called_workflow"
    assert report.errors[0].node == "run_child"
    assert "1 error; the first: error unknown_alert: ship" in report.errors[0].message


def test_an_address_is_told_without_the_password_in_it():
    url = "postgresql://ada:s3cret@books.example.org:5432/b"
    report = ok.check(workflow(ready("note", executor="sql", settings={"url": url, "query": "SELECT 1"})))
    assert [(issue.rule, issue.message) for issue in report] == [
        ("literal_secret", "settings.url holds a password."),
        ("coupling", "settings.url holds the address postgresql://books.example.org:5432."),
    ]
    assert "s3cret" not in str(report)


def test_scopes_in_scopes_can_be_checked_as_deep_as_they_can_be_written():
    inside = Task(name="work")
    deepest = None
    for depth in range(1_000):
        inside = Scope(name=f"scope_{depth}", nodes=(inside,))
        try:
            deepest = ok.Workflow("deep", (inside,))
        except ok.WorkflowError:
            break
    assert len(ok.check(deepest)) >= 3
