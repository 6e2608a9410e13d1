"""Magics: a workflow is written in a cell, run in a line, and errors have their place."""

import atexit

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import orchkit as ok


@pytest.fixture
def shell():
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "orchkit")
    yield shell
    for value in list(shell.user_ns.values()):
        if isinstance(value, ok.Engine):
            value.close()
    atexit.unregister(shell.atexit_operations)  # it cannot be done twice
    shell.atexit_operations()


def test_a_cell_of_yaml_is_a_workflow_in_a_variable(shell):
    shown = shell.run_cell_magic("workflow", "order", "steps:\n  - task: pay\n")

    assert shell.user_ns["order"] == shown == ok.workflow("order", [ok.task("pay")])
    named = shell.run_cell_magic("workflow", "other", "workflow: named\nsteps: [{task: pay}]\n")
    assert named.name == "named"


def test_an_error_has_line_and_column_of_the_cell(shell):
    with pytest.raises(UsageError, match=r"^line 2, column 5: .*'task'"):
        shell.run_cell_magic("workflow", "order", "steps:\n  - tusk: pay\n")
    with pytest.raises(UsageError, match=r"^line 3, column 5: "):
        shell.run_cell_magic("workflow", "order", "workflow: order\nsteps:\n  - tusk: pay\n")
    with pytest.raises(UsageError, match="name of a variable"):
        shell.run_cell_magic("workflow", "my order", "steps: []\n")


def test_a_workflow_is_run_in_a_line_and_found_among_the_runs(shell):
    shell.user_ns["engine"] = ok.Engine(handlers={"pay": lambda amount: amount * 2})
    shell.user_ns["order"] = ok.workflow("order", [ok.task("pay")])

    run = shell.run_line_magic("run_workflow", "order amount=21 name='Ada B' case=A-1")
    runs = shell.run_line_magic("runs", "5")

    assert (run.status, run.variables["pay"], run.variables["name"]) == ("COMPLETED", 42, "Ada B")
    assert runs["case_id"].tolist() == ["A-1"]


def test_what_is_not_there_is_told_with_the_nearest(shell):
    with pytest.raises(UsageError, match="no engine here"):
        shell.run_line_magic("runs", "")
    shell.user_ns["engine"] = ok.Engine()
    shell.user_ns["order"] = ok.workflow("order", [ok.task("pay")])
    with pytest.raises(UsageError, match="'ordr'.*'order'"):
        shell.run_line_magic("run_workflow", "ordr")
    with pytest.raises(UsageError, match="name=value"):
        shell.run_line_magic("run_workflow", "order 7")
    with pytest.raises(UsageError, match="handler"):
        shell.run_line_magic("run_workflow", "order")
