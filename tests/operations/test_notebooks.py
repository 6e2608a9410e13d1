"""Notebooks with parameters: refused before they run, run, recorded, made a page."""

import json

import nbformat
import pytest
from typer.testing import CliRunner

import orchkit as ok
from orchkit.cli import app
from orchkit.errors import InputError, PermanentError, RunFailed
from orchkit.view.pages import external_references


@pytest.fixture
def notebook(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("amount = 1\nname = 'x'", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("from IPython.display import JSON, display\nassert amount < 100, 'too much'"),
        nbformat.v4.new_code_cell("display(JSON({'twice': 2 * amount, 'name': name}))"),
    ]
    path = tmp_path / "double it.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_parameter_that_is_not_there_is_refused_before_anything_runs(notebook):
    with pytest.raises(InputError, match=r"no parameter 'amuont'.*'amount'"):
        ok.run_notebook(notebook, parameters={"amuont": 2})
    with pytest.raises(PermanentError, match="no notebook"):
        ok.run_notebook(notebook.with_name("other.ipynb"))
    assert [path.name for path in notebook.parent.glob("*.ipynb")] == ["double it.ipynb"]


EMPTY = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


@pytest.mark.parametrize("text", ["{}", "[]", "not JSON", EMPTY])
def test_what_is_no_notebook_is_told(tmp_path, text):
    path = tmp_path / "odd.ipynb"
    path.write_text(text)

    with pytest.raises(InputError, match="odd.ipynb is not a notebook that can be run"):
        ok.run_notebook(path)


def test_it_is_run_and_an_engine_records_it(notebook):
    with ok.Engine() as engine:
        found = ok.run_notebook(notebook, parameters={"amount": 21}, engine=engine, case_id="monday")
        log = engine.log()

        with pytest.raises(RunFailed, match="too much"):
            ok.run_notebook(notebook, parameters={"amount": 100}, engine=engine)

    assert found.result == {"twice": 42, "name": "x"}
    assert found.output.name == "double it-run.ipynb"
    assert log.steps[["case_id", "workflow", "activity", "status"]].astype(str).to_numpy().tolist() == [
        ["monday", "double_it", "notebook", "COMPLETED"]
    ]


def test_a_report_is_one_page_that_needs_nothing_from_elsewhere(notebook, tmp_path):
    page = tmp_path / "page.html"
    arguments = ["report", str(notebook), "-p", "amount", "4", "-p", "name", "Ada & Ben", "-o", str(page)]

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    assert external_references(page.read_text()) == []
    shown = json.dumps(nbformat.read(page.with_suffix(".ipynb"), 4))
    assert "Ada & Ben" in shown


def test_parameters_come_in_pairs(notebook):
    done = CliRunner().invoke(app, ["report", str(notebook), "-p", "amount"])

    assert done.exit_code == 2
    assert "-p NAME VALUE" in done.output
