"""Notebooks run with papermill and small parameters, if they have any; each shows in nbval what is stored in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
SANITIZE = Path(__file__).with_name("sanitize.cfg")
# Small parameters, by notebook. `main_job` is what the demo runs: it is tested there, on the demo's files.
SMALL = {
    "00_start_here": {"orders": 10},
    "01_model_a_process": {"country": "DE"},
    "02_run_and_recover": {"orders": 3},
    "03_simulate_and_compare": {"cases": 200, "replications": 3},
    "06_mine_a_log": {"min_share": 0.3},
    "07_interactive_modelling": {"country": "US"},
    "08_operations_desk": {"claims": 26},
    "09_operate": {"orders": 8},
}
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb") if path.stem != "main_job")


@pytest.mark.filterwarnings("ignore")  # what its libraries say about themselves is not about us
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs_with_small_parameters(name, tmp_path):
    path, out = str(FOLDER / f"{name}.ipynb"), str(tmp_path / "out.ipynb")

    assert SMALL[name].keys() <= papermill.inspect_notebook(path).keys()
    papermill.execute_notebook(path, out, SMALL[name], cwd=str(FOLDER), progress_bar=False, start_timeout=240)


# Several at once, and without the plugins of others: nbval takes as long to load as a notebook to run.
@pytest.mark.parametrize("names", [NOTEBOOKS[::2], NOTEBOOKS[1::2]], ids=["even", "odd"])
def test_notebooks_show_what_is_stored_in_them(names):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "nbval.plugin", "--nbval"]
    command += [f"{name}.ipynb" for name in names]
    command += ["--nbval-sanitize-with", str(SANITIZE), "--rootdir", str(FOLDER), "-c", "/dev/null"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, cwd=FOLDER, env=alone, capture_output=True, text=True, timeout=900, check=False)

    assert ran.returncode == 0, ran.stdout[-6000:]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_parameters_stored_outputs_and_no_path_of_a_machine(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert any("parameters" in cell.metadata.get("tags", ()) for cell in code)
    assert any(cell.outputs for cell in code)
    assert str(Path.home()) not in nbformat.writes(notebook)
    assert str(FOLDER) not in nbformat.writes(notebook)
    said = [output for cell in code for output in cell.outputs if output.get("name") == "stderr"]
    assert said == []  # a warning names a file of the kernel, and is to be answered or meant
