"""Each faulty file gives one error: where it is, what was expected, and the nearest valid name."""

from __future__ import annotations

import pytest

import orchkit as ok
from orchkit.errors import WorkflowFileError

# A faulty text, line and column of its fault, what the error says, and the name that it offers.
FAULTY = [
    # Words
    ("workflow: w\nsteps:\n  - tsk: ship\n", 3, 5, "A step has one of task, choice, parallel", "task"),
    ("workflow: w\nsteps:\n  - task: ship\n    timout: 5m\n", 4, 5, "There is no 'timout' in a step", "timeout"),
    ("workflow: w\nstep:\n  - task: ship\n", 2, 1, "There is no 'step' in a workflow.", "steps"),
    ("workflow: w\nretry: {max_atempts: 3}\nsteps: []\n", 2, 9, "There is no 'max_atempts' in retry.", "max_attempts"),
    (
        "workflow: w\nsteps:\n  - for_each: lines\n    exit_wen: item.late\n    steps: []\n",
        4,
        5,
        "There is no 'exit_wen' in a step with for_each.",
        "exit_when",
    ),
    ("workflow: w\nsteps:\n  - wait_for: {callbak: x}\n", 3, 16, "There is no 'callbak' in wait_for.", "callback"),
    ("workflow: w\nnodes:\n  ship: tsk\n", 3, 9, "There is no kind 'tsk' of node.", "task"),
    ("workflow: w\nnodes:\n  ship: {task: {rle: clerk}}\n", 3, 17, "There is no 'rle' in task 'ship'.", "role"),
    (
        "workflow: w\nsteps: []\nalerts:\n  - {name: a, condition: failure_rate > 10%, severity: warn}\n",
        4,
        56,
        "Expected info, warning or critical, not the text 'warn'.",
        "warning",
    ),
    (
        "workflow: w\nnodes: [ship]\n",
        2,
        8,
        "Expected a mapping of names to kinds, such as 'ship: task', not a list",
        None,
    ),
    ("workflow: w\nnodes:\n  - {ship: task}\n", 3, 3, "Expected a mapping of names to kinds", None),
    # Names
    ("workflow: w\nsteps:\n  - task: ship\n  - task: ship\n", 4, 11, "Two nodes are called 'ship'", None),
    (
        "workflow: w\nnodes: {pay: task, closed: end}\nflows:\n  - pay -> clsed\n",
        4,
        12,
        "There is no node 'clsed' in this graph.",
        "closed",
    ),
    ("workflow: 5\nsteps: []\n", 1, 11, "Expected a name, not the number 5.", None),
    ("workflw: w\nsteps: []\n", 1, 1, "The key 'workflow' is missing: a definition begins with", None),
    ("- task: ship\n", 1, 1, "Expected a mapping that begins with 'workflow: <name>', not a list.", None),
    ("\n", 1, 1, "The file is empty. Expected: workflow: <name>, and steps: or nodes: and flows:.", None),
    # Steps
    ("workflow: w\nsteps:\n  - ship\n", 3, 5, "not the text 'ship'. Did you mean 'task: ship'?", "task: ship"),
    ("workflow: w\nsteps: ship\n", 2, 8, "Expected a list of steps (task, choice, parallel", None),
    ("workflow: w\nsteps:\n  - task: ship\n    call: other\n", 4, 5, "and here are two: task and call.", None),
    ("workflow: w\nsteps:\n  - parallel: {task: a}\n", 3, 15, "Expected a list of branches", None),
    ("workflow: w\nsteps:\n  - task: a\n    compensate: 5\n", 4, 17, "Expected {task: name}, the name of a task", None),
    ("workflow: w\nsteps:\n  - end: done\n    terminate: maybe\n", 4, 16, "Expected true or false", None),
    (
        "workflow: w\nsteps:\n  - wait_for: {callback: a, event: b}\n",
        3,
        15,
        "give one of callback, event or timer",
        None,
    ),
    ("workflow: w\nsteps:\n  - wait_for: {callback: a, match: b}\n", 3, 15, "match belongs to an event", None),
    ("workflow: w\nsteps:\n  - task: a\n    python: a\n    http: {}\n", 3, 11, "give one of python, http", None),
    (
        "workflow: w\nsteps:\n  - choice:\n      - when: a > 1\n        otherwise: []\n",
        4,
        9,
        "A branch has one of when (a condition) and otherwise, and its steps.",
        None,
    ),
    (
        "workflow: w\nsteps:\n  - choice:\n      - otherwise: []\n      - otherwise: []\n",
        3,
        5,
        "there can be only one otherwise",
        None,
    ),
    # Values
    (
        "workflow: w\nsteps:\n  - task: a\n    timeout: 5 parsecs\n",
        4,
        14,
        "Expected a duration such as 90s, 5 min",
        None,
    ),
    ("workflow: w\nsteps:\n  - task: a\n    timeout: -1\n", 4, 14, "not the number -1.", None),
    ("workflow: w\nsteps:\n  - wait_for: {timer: in a while}\n", 3, 23, "a duration such as 90s or 2 days", None),
    ("workflow: w\nversion: 1.10\nsteps: []\n", 2, 10, 'a version in quotes, such as "1.10"', None),
    (
        "workflow: w\nretry: {max_attempts: 0}\nsteps: []\n",
        2,
        23,
        "a whole number of at least 1, not the number 0",
        None,
    ),
    (
        "workflow: w\nretry:\n  jitter: 2\nsteps: []\n",
        3,
        11,
        "Expected a share between 0 and 1, not the number 2.",
        None,
    ),
    ("workflow: w\nretry:\n  multiplier: 0.5\nsteps: []\n", 3, 15, "Expected a number of at least 1", None),
    ("workflow: w\nsteps:\n  - for_each: a\n    concurrency: 0\n    steps: []\n", 4, 18, "of at least 1", None),
    (
        "workflow: w\nsteps:\n  - for_each: a\n    tolerated_failures: few\n    steps: []\n",
        4,
        25,
        "Expected a count such as 2, or a share such as 10%, not the text 'few'.",
        None,
    ),
    ("workflow: w\ninputs: {order: object}\nsteps: []\n", 2, 17, "a JSON Schema such as {type: object}", None),
    ("workflow: w\nwaive: [timeout]\nsteps: []\n", 2, 8, "Expected a mapping of rules, each with the reason", None),
    ("workflow: w\nsteps: []\nalerts:\n  - {name: a}\n", 4, 5, "The key 'condition' is missing in an alert.", None),
    ("workflow: w\nsteps: []\ntriggers:\n  - {a: {}, b: {}}\n", 4, 5, "Expected a trigger such as {schedule:", None),
    ("workflow: w\nsla: .inf\nsteps: []\n", 2, 6, ".inf is not a number that JSON has", None),
    ("workflow: w\nsla: 0x" + "f" * 5_000 + "\nsteps: []\n", 2, 6, "a number of 5,002 digits is more than", None),
    # Expressions
    ("workflow: w\nsteps:\n  - choice: [{when: a = 1}]\n", 3, 23, "'a = 1' is not an expression", None),
    ("workflow: w\nsteps:\n  - choice: [{when: lne(a) > 1}]\n", 3, 21, "there is no function 'lne'", "len"),
    ("workflow: w\nsteps:\n  - task: a\n    http: {url: '/${order.}'}\n", 4, 17, "'order.' is not an expression", None),
    ("workflow: w\nnodes: {a: task, b: task}\nflows:\n  - {a -> b: qty <= }\n", 4, 14, "'qty <=' is not an", None),
    # Graphs
    ("workflow: w\nnodes: {a: task, b: task}\nflows:\n  - a > b\n", 4, 5, "is not a flow: write 'a -> b'", None),
    ("workflow: w\nnodes: {a: task, b: task}\nflows:\n  - a -eror-> b\n", 4, 5, "'a -error-> b'", None),
    ("workflow: w\nflows:\n  - a -> b\n", 2, 1, "Flows need nodes: a mapping of names to kinds", None),
    ("workflow: w\nsteps: []\nnodes:\n  a: task\n", 2, 1, "Give steps, or nodes and flows, not both", None),
    ("workflow: w\nnodes:\n  lines: {for_each: {steps: []}}\n", 3, 21, "The key 'items' is missing.", None),
    # Called workflows
    (
        "workflow: a\nsteps: [{call: b}]\nworkflows:\n  - {workflow: b, steps: [{call: a}]}\n",
        4,
        34,
        "Workflows call each other in a circle: a -> b -> a.",
        None,
    ),
    # YAML
    ("workflow: w\nsteps:\n\t- task: a\n", 3, 1, "(indent with spaces, not with tabs)", None),
    ("workflow: w\nsteps:\n  - task: a: b\n", 3, 12, "a text with ': ' in it needs quotes around it", None),
    ("workflow: w\nsteps: [task: a\n", 3, 1, "expected ',' or ']'", None),
    ("workflow: w\nsteps: []\n---\nworkflow: v\n", 3, 1, "a second document begins", None),
    ("workflow: w\nsteps: []\nworkflow: v\n", 3, 1, "The key 'workflow' stands twice in the same mapping", None),
    ("workflow: w\n? [a]\n: b\n", 2, 3, "A key must be a word, not a list or a mapping.", None),
]


@pytest.mark.parametrize(("text", "line", "column", "says", "offered"), FAULTY, ids=[case[3][:40] for case in FAULTY])
def test_a_faulty_file_says_where_what_and_the_nearest_name(tmp_path, text, line, column, says, offered):
    path = tmp_path / "faulty.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(WorkflowFileError) as caught:
        ok.read_workflow(path)

    error = caught.value
    assert (error.path, error.line, error.column) == (str(path), line, column)
    assert str(error).startswith(f"{path}:{line}:{column}: ")
    assert says in str(error)
    assert ("Did you mean" in str(error)) is (offered is not None)
    assert offered is None or f"Did you mean '{offered}'?" in str(error)


def test_a_text_has_no_path_in_its_error():
    with pytest.raises(WorkflowFileError, match=r"^2:1: There is no 'step'") as caught:
        ok.read_workflow("workflow: w\nstep: []\n")

    assert caught.value.path is None


def test_a_missing_file_offers_the_one_beside_it(tmp_path):
    (tmp_path / "order.yaml").write_text("workflow: order\nsteps: []\n", encoding="utf-8")

    with pytest.raises(WorkflowFileError, match=r"There is no such file\. Did you mean 'order\.yaml'\?"):
        ok.read_workflow(tmp_path / "oder.yaml")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(WorkflowFileError, match="The file cannot be read: Is a directory"):
        ok.read_workflow(tmp_path)


def test_bytes_that_are_no_utf_8_are_told_by_line_and_column(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("workflow: w\ndescription: Größe\n".encode("latin-1"))

    with pytest.raises(WorkflowFileError, match=r":2:16: The file is not UTF-8: byte 0xf6\. Save it as UTF-8\."):
        ok.read_workflow(path)


def test_a_faulty_json_file_says_where(tmp_path):
    path = tmp_path / "order.json"
    path.write_text('{"workflow": "order",\n  "nodes": [}\n', encoding="utf-8")

    with pytest.raises(WorkflowFileError, match=r":2:13: This is not JSON: Expecting value\."):
        ok.read_workflow(path)


def test_a_fault_in_a_called_file_names_that_file(tmp_path):
    (tmp_path / "order.yaml").write_text("workflow: order\nsteps: [{call: billing}]\n", encoding="utf-8")
    (tmp_path / "billing.yaml").write_text("workflow: billing\nsteps:\n  - tsk: a\n", encoding="utf-8")

    with pytest.raises(WorkflowFileError, match=r"billing\.yaml:3:5: ") as caught:
        ok.read_workflow(tmp_path / "order.yaml")

    assert caught.value.path == str(tmp_path / "billing.yaml")
