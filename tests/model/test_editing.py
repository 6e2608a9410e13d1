"""Editing: each change gives a new workflow, and what is made of blocks stays made of blocks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.errors import WorkflowError
from orchkit.model import editing as edit


def flows(workflow):
    return [(flow.source, flow.target) for flow in workflow.flows]


def test_patterns_put_in_are_the_workflow_that_the_builders_make():
    made = edit.blank("order")
    for pattern in ("task", "choice", "parallel"):
        made = edit.insert(made, pattern)
    made = edit.insert(made, "wait", after="task_2")
    made = edit.insert(made, "saga", after="task_3", before="choice_1_end")

    assert made == ok.workflow(
        "order",
        [
            ok.task("task_1"),
            ok.choice(
                ok.when("condition", [ok.task("task_2"), ok.wait_for(callback="callback_1")]),
                ok.otherwise(
                    [ok.task("task_3"), ok.saga([ok.task("task_6", compensate=ok.task("undo_1")), ok.task("task_7")])]
                ),
            ),
            ok.parallel([ok.task("task_4")], [ok.task("task_5")]),
        ],
    )


def test_what_is_taken_away_is_bridged():
    order = ok.workflow("order", [ok.task("check"), ok.task("pay"), ok.task("ship")])

    assert edit.remove(order, "pay") == ok.workflow("order", [ok.task("check"), ok.task("ship")])
    assert edit.remove(edit.remove(edit.remove(order, "pay"), "ship"), "check") == edit.blank("order")


def test_nodes_in_scopes_are_changed_where_they_are():
    order = ok.workflow("order", [ok.saga([ok.task("pay"), ok.task("ship")])])
    renamed = edit.rename(order, "ship", "send")

    assert renamed == ok.workflow("order", [ok.saga([ok.task("pay"), ok.task("send")])])
    assert edit.change(renamed, "send", role="packer").node("send").role == "packer"
    assert edit.insert(order, "task", after="saga_1").node("saga_1").nodes[-2].name == "task_1"


def test_flows_are_put_changed_and_taken_away():
    order = ok.workflow("order", [ok.task("check"), ok.task("ship")])
    jump = edit.connect(order, "ship", "check", "again")

    assert flows(jump)[-1] == ("ship", "check")
    assert edit.change_flow(jump, "ship", "check", condition="later").flows[-1].condition == "later"
    assert edit.disconnect(jump, "ship", "check") == order


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda order: edit.insert(order, "chioce"), "no pattern 'chioce'.*'choice'"),
        (lambda order: edit.insert(order, "task", after="pay", before="end"), "no flow from 'pay' to 'end'"),
        (lambda order: edit.connect(order, "pay", "inner"), "different scopes"),
        (lambda order: edit.connect(order, "start", "pay"), "a flow from 'start' to 'pay' already"),
        (lambda order: edit.rename(order, "pay", "inner"), "a node 'inner' already"),
        (lambda order: edit.rename(order, "pay", " "), "needs a name"),
        (lambda order: edit.change(order, "pay", rol="x"), "no 'rol'.*'role'"),
        (lambda order: edit.remove(order, "pya"), "'pya'.*'pay'"),
        (lambda order: edit.remove(order, "undo"), "compensation|no node"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(change, words):
    undone = ok.task("inner", compensate=ok.task("undo"))
    order = ok.workflow("order", [ok.task("pay"), ok.saga([undone])])

    with pytest.raises(WorkflowError, match=words):
        change(order)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(edit.PATTERNS[:-1]), st.integers(0, 1_000)), max_size=6))
def test_whatever_is_put_in_wherever_the_workflow_is_sound_and_reads_back(steps):
    workflow = edit.blank("order")
    for pattern, place in steps:
        names = [node.name for node in workflow.nodes if node.name != "end"]
        workflow = edit.insert(workflow, pattern, after=names[place % len(names)])

    assert ok.soundness(workflow)
    assert ok.read_workflow(ok.write_workflow(workflow)) == workflow
    for name in edit.node_names(workflow):
        if name not in ("start", "end") and name in [node.name for node in workflow.nodes]:
            assert name not in edit.node_names(edit.remove(workflow, name))
