from __future__ import annotations

import nbformat
import pytest

import orchkit as ok


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    parameters = nbformat.v4.new_code_cell("amount = 1", metadata={"tags": ["parameters"]})
    work = nbformat.v4.new_code_cell("from IPython.display import JSON, display\ndisplay(JSON({'twice': amount * 2}))")
    path = tmp_path_factory.mktemp("notebooks") / "double.ipynb"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters, work], metadata=metadata), path)
    return path


def run(notebook, tmp_path, parameters):
    settings = {"path": str(notebook), "parameters": parameters, "output": str(tmp_path / "out.ipynb")}
    with ok.Engine() as engine:
        run = engine.run(
            ok.workflow("w", [ok.task("book", executor="notebook", settings=settings)]), {"n": 21}, case_id="A"
        )
        return run.status.value, run.variables.get("book"), run.error


def test_a_notebook_runs_with_parameters_and_gives_the_json_it_shows(notebook, tmp_path):
    status, result, _ = run(notebook, tmp_path, {"amount": "${n}"})

    assert (status, result) == ("COMPLETED", {"output": str(tmp_path / "out.ipynb"), "result": {"twice": 42}})
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs


def test_an_unknown_parameter_is_refused_before_anything_runs(notebook, tmp_path):
    _, _, error = run(notebook, tmp_path, {"amuont": 3})

    assert error.message == "double.ipynb has no parameter 'amuont'. Did you mean 'amount'? It has amount."
    assert not (tmp_path / "out.ipynb").exists()


def test_a_cell_that_fails_is_named(notebook, tmp_path):
    _, _, error = run(notebook, tmp_path, {"amount": None})

    assert error.message.startswith("Cell 3 of double.ipynb failed: TypeError: unsupported operand")
