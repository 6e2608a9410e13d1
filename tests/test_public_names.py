"""``import orchkit as ok`` gives the public names, and loads no more than is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import orchkit as ok

# What takes long to import, and a workflow that is only written and read back does not need.
HEAVY = ("altair", "anywidget", "duckdb", "fastapi", "httpx", "ipywidgets", "networkx", "numba", "papermill", "scipy")


def loaded_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after some code."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_all_is_what_is_there():
    for name in ok.__all__:
        assert getattr(ok, name) is not None
    assert dir(ok) == sorted(ok.__all__)
    assert len(ok.__all__) == len(set(ok.__all__))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(ok.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]

    seen = {
        alias.asname or alias.name
        for block in blocks
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert seen == set(ok.__all__) - {"__version__"}


@pytest.mark.parametrize(
    ("typo", "name"), [("workflw", "workflow"), ("read_workflows", "read_workflow"), ("Enginee", "Engine")]
)
def test_a_typo_offers_the_nearest_name(typo, name):
    with pytest.raises(AttributeError, match=f"orchkit has no '{typo}'. Did you mean '{name}'?"):
        getattr(ok, typo)


def test_a_star_import_gives_all_names():
    given: dict[str, object] = {}
    exec("from orchkit import *", given)

    assert set(ok.__all__) - {"__version__"} <= given.keys()


def test_the_import_loads_nothing_heavy():
    loaded = loaded_after("import orchkit as ok")

    assert loaded.isdisjoint((*HEAVY, "pandas", "numpy", "pyarrow"))


def test_to_write_and_read_a_workflow_loads_nothing_heavy():
    loaded = loaded_after("import orchkit as ok\nok.read_workflow(ok.write_workflow(ok.workflow('w', ok.task('a'))))")

    assert loaded.isdisjoint(HEAVY)


def test_to_look_at_a_log_loads_no_statistics_and_no_compiler():
    loaded = loaded_after("import orchkit as ok\n(ok.metrics, ok.failures, ok.variants, ok.directly_follows)")

    assert loaded.isdisjoint(("scipy", "numba", "altair"))
