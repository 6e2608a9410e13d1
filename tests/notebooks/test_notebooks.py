"""Every notebook runs with papermill and small parameters, and shows under nbval what is stored in it."""

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
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_with_small_parameters(name, tmp_path):
    known = papermill.inspect_notebook(str(FOLDER / f"{name}.ipynb"))
    parameters = SMALL.get(name, {})

    assert set(parameters) <= set(known)
    path, out = str(FOLDER / f"{name}.ipynb"), str(tmp_path / "out.ipynb")
    papermill.execute_notebook(path, out, parameters, cwd=str(FOLDER), progress_bar=False, start_timeout=240)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_shows_what_is_stored_in_it(name):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "nbval.plugin",
        "--nbval",
        f"{name}.ipynb",
    ]
    command += ["--nbval-sanitize-with", str(SANITIZE), "--rootdir", str(FOLDER), "-c", "/dev/null"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others take longer to load than it runs
    ran = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=480, check=False)

    assert ran.returncode == 0, ran.stdout[-3000:]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_parameters_stored_outputs_and_no_path_of_a_machine(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert any("parameters" in cell.metadata.get("tags", ()) for cell in code)
    assert any(cell.outputs for cell in code)
    assert str(Path.home()) not in nbformat.writes(notebook)
    assert str(FOLDER) not in nbformat.writes(notebook)
