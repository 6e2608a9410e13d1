"""A workflow written as Python builds the same workflow again."""

from pathlib import Path

import pytest

import orchkit as ok
from orchkit.model.python_text import write_python
from tests.semantics.table import table

SAMPLES = sorted((Path(__file__).parents[2] / "sample_processes").glob("*.yaml"))


def built(text: str) -> ok.Workflow:
    names: dict[str, object] = {}
    exec(compile(text, "written", "exec"), names)
    return next(value for value in reversed(names.values()) if isinstance(value, ok.Workflow))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_process_is_built_again(path):
    workflow = ok.read_workflow(path)

    assert built(write_python(workflow)).digest == workflow.digest


@pytest.mark.parametrize("case", table(), ids=lambda case: case.name)
def test_every_workflow_of_the_table_of_semantics_is_built_again(case):
    assert built(write_python(case.workflow)) == case.workflow


def test_long_code_is_broken_at_its_arguments():
    steps = [ok.task(f"step_{number}", description="what it does, at some length") for number in range(3)]

    assert write_python(ok.workflow("order", steps)) == (
        "import orchkit as ok\n\norder = ok.workflow(\n"
        '    "order",\n    [\n'
        '        ok.task("step_0", description="what it does, at some length"),\n'
        '        ok.task("step_1", description="what it does, at some length"),\n'
        '        ok.task("step_2", description="what it does, at some length"),\n'
        "    ],\n)\n"
    )
