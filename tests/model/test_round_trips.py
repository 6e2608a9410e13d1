"""Each form of a workflow gives the same workflow back, and the digest is of the canonical form alone."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

import orchkit as ok
from tests import strategies

ANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

ORDER = """
workflow: order
version: "2"
inputs: {order: {type: object, required: [id]}}
steps:
  - task: validate
  - choice:
      - when: order.country == "US"
        steps: [{task: ship_domestic, timeout: 30s}]
      - otherwise: [{task: ship_abroad, role: clerk}]
  - for_each: order.items
    steps: [{task: pack}]
"""


@ANY
@given(strategies.workflows())
def test_yaml_gives_the_same_workflow_back(workflow):
    assert ok.read_workflow(ok.write_workflow(workflow)) == workflow


@ANY
@given(strategies.block_workflows())
def test_yaml_of_blocks_gives_the_same_workflow_back(workflow):
    assert ok.read_workflow(ok.write_workflow(workflow)) == workflow


@ANY
@given(strategies.workflows())
def test_json_gives_the_same_workflow_back(workflow):
    assert ok.Workflow.from_json(workflow.to_json()) == workflow
    assert ok.Workflow.from_record(json.loads(json.dumps(workflow.to_record()))) == workflow


@ANY
@given(strategies.workflows())
def test_frames_give_the_same_workflow_back(workflow):
    assert ok.Workflow.from_frames(*workflow.to_frames()) == workflow


@ANY
@given(strategies.workflows())
def test_the_graph_gives_the_same_workflow_back(workflow):
    assert ok.Workflow.from_graph(workflow.graph) == workflow


def test_files_give_the_same_workflow_back(tmp_path):
    order = ok.read_workflow(ORDER)

    for name in ("order.yaml", "order.json"):
        ok.write_workflow(order, tmp_path / name)
        assert ok.read_workflow(tmp_path / name) == order
    assert sorted(path.name for path in tmp_path.iterdir()) == ["order.json", "order.yaml"]


def test_the_two_tables_say_what_there_is():
    nodes, flows = ok.read_workflow(ORDER).to_frames()

    assert nodes[["node", "kind"]].to_dict("split")["data"] == [
        ["start", "start"],
        ["validate", "task"],
        ["choice_1", "exclusive"],
        ["ship_domestic", "task"],
        ["ship_abroad", "task"],
        ["choice_1_end", "exclusive"],
        ["for_each_1", "for_each"],
        ["end", "end"],
        ["for_each_1_start", "start"],
        ["pack", "task"],
        ["for_each_1_end", "end"],
    ]
    assert flows[["source", "target"]].to_dict("split")["data"] == [
        ["start", "validate"],
        ["validate", "choice_1"],
        ["choice_1", "ship_domestic"],
        ["choice_1", "ship_abroad"],
        ["ship_domestic", "choice_1_end"],
        ["ship_abroad", "choice_1_end"],
        ["choice_1_end", "for_each_1"],
        ["for_each_1", "end"],
        ["for_each_1_start", "pack"],
        ["pack", "for_each_1_end"],
    ]
    assert flows["condition"].dropna().tolist() == ['order.country == "US"']
    assert nodes.set_index("node").loc[["ship_domestic", "ship_abroad"], ["timeout_s", "role"]].to_dict("index") == {
        "ship_domestic": {"timeout_s": 30.0, "role": pytest.approx(float("nan"), nan_ok=True)},
        "ship_abroad": {"timeout_s": pytest.approx(float("nan"), nan_ok=True), "role": "clerk"},
    }


def test_tables_made_by_hand_are_a_workflow():
    nodes = pd.DataFrame({"node": ["pay", "ship"], "role": ["clerk", None]})
    flows = pd.DataFrame({"source": ["pay"], "target": ["ship"]})

    assert ok.Workflow.from_frames(nodes, flows, "order") == ok.workflow(
        "order", nodes=[ok.task("pay", role="clerk"), ok.task("ship")], flows=["pay -> ship"]
    )


def test_a_column_that_no_node_has_is_refused_with_the_nearest():
    nodes = pd.DataFrame({"node": ["pay"], "rolle": ["clerk"]})

    with pytest.raises(ok.WorkflowError, match="rolle.*Did you mean 'role'"):
        ok.Workflow.from_frames(nodes, pd.DataFrame({"source": [], "target": []}), "order")


# The canonical form ----------------------------------------------------------------


def test_the_digest_does_not_change_between_releases():
    assert ok.read_workflow(ORDER).digest == "fca3db7c6bdc1c68"
    assert ok.workflow("w").digest == "7d036982b64f912a"


def test_the_canonical_form_is_as_short_as_it_can_be():
    assert ok.workflow("w", [ok.task("ship", timeout="5 min")]).to_json() == (
        '{"flows":[{"source":"start","target":"ship"},{"source":"ship","target":"end"}],'
        '"nodes":[{"kind":"start","name":"start"},{"kind":"task","name":"ship","timeout_s":300.0},'
        '{"kind":"end","name":"end"}],"version":"1","workflow":"w"}'
    )


def test_the_order_of_keys_and_the_way_of_writing_do_not_matter():
    first = ok.read_workflow("workflow: w\nsteps:\n  - {task: ship, timeout: 5m, http: {url: /a, method: POST}}\n")
    second = ok.read_workflow(
        "# a comment\nsteps:\n"
        "- http:\n    method: 'POST'\n    url: \"/a\"\n  timeout: PT300S\n  task: ship\n"
        "workflow: w\n"
    )

    assert first == second
    assert first.digest == second.digest
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    "other",
    [
        "workflow: v\nsteps: [{task: ship}]\n",
        'workflow: w\nversion: "2"\nsteps: [{task: ship}]\n',
        "workflow: w\nsteps: [{task: pay}]\n",
        "workflow: w\nsteps: [{task: ship, timeout: 1s}]\n",
        "workflow: w\nretry: {max_attempts: 4}\nsteps: [{task: ship}]\n",
        "workflow: w\ndescription: x\nsteps: [{task: ship}]\n",
    ],
)
def test_whatever_differs_changes_the_digest(other):
    assert ok.read_workflow(other) != ok.read_workflow("workflow: w\nsteps: [{task: ship}]\n")


def test_what_a_definition_was_made_of_may_change_later_without_it():
    settings_ = {"url": "/a", "json": {"b": [1]}}
    made = ok.workflow("w", [ok.task("ship", http=settings_)])
    digest = made.digest

    settings_["json"]["b"].append(2)

    assert made.node("ship").settings == {"url": "/a", "json": {"b": [1]}}
    assert ok.Workflow.from_record(made.to_record()).digest == digest


def test_a_definition_holds_no_callables():
    with pytest.raises(ok.WorkflowError, match="holds what is not a JSON value"):
        ok.workflow("w", [ok.task("ship", executor="python", settings={"handler": print})])
