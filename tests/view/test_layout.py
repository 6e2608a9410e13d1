"""Graphviz: found, run within a time limit, and done without."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchkit.errors import RenderError
from orchkit.model.definition import Workflow
from orchkit.model.nodes import Task
from orchkit.view.diagram import draw
from orchkit.view.layout import find_graphviz, lay_out

SOURCE = 'digraph { rankdir=LR; a -> b [id="e" label="x"]; }'


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make Graphviz a shell script of the given lines; return its path."""

    def make(lines: str, name: str = "fake-dot") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("ORCHKIT_DOT", str(path))
        return path

    return make


def workflow(name: str) -> Workflow:
    return Workflow(name, nodes=(Task(name="pay"),))


def test_layout_says_where_everything_stands():
    layout = lay_out(SOURCE, 20.0)
    assert layout.centers["a"][0] < layout.routes["e"].label[0] < layout.centers["b"][0]
    assert layout.routes["e"].tip[0] < layout.centers["b"][0] < layout.width
    assert 0 < layout.centers["a"][1] < layout.height


def test_the_variable_names_the_program(program):
    path = program("exit 1")
    assert find_graphviz() == str(path)


def test_without_the_variable_the_program_beside_the_interpreter_is_taken(monkeypatch):
    monkeypatch.delenv("ORCHKIT_DOT", raising=False)
    assert Path(find_graphviz()).stem == "graphviz-pure"


def test_without_both_dot_on_the_path_is_taken(program, monkeypatch, tmp_path):
    path = program("exit 1", name="dot")
    monkeypatch.delenv("ORCHKIT_DOT")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_graphviz(folders=()) == str(path)


def test_a_missing_program_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.delenv("ORCHKIT_DOT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError, match=r"was not found\. Install it with 'pip install graphviz-pure'"):
        find_graphviz(folders=())


def test_a_variable_that_names_no_program_is_not_passed_over(monkeypatch):
    monkeypatch.setenv("ORCHKIT_DOT", "/nowhere/dot")
    with pytest.raises(RenderError, match="ORCHKIT_DOT is '/nowhere/dot'"):
        lay_out("digraph { wrong_variable }", 20.0)


def test_a_program_that_hangs_is_stopped(program):
    program("exec sleep 60")
    with pytest.raises(RenderError, match=r"longer than 200ms .* max_nodes or collapse=True; .* time_limit"):
        _ = draw(workflow("hangs"), time_limit="0.2s").to_svg()


def test_a_program_that_fails_is_quoted(program):
    program('echo "Warning: never mind" >&2; echo "Error: syntax error in line 2" >&2; exit 1')
    with pytest.raises(RenderError, match="Error: syntax error in line 2"):
        lay_out("digraph { fails }", 20.0)


def test_a_program_that_answers_nonsense_is_no_crash(program):
    program('echo "{}"')
    with pytest.raises(RenderError, match="failed to lay out the diagram"):
        lay_out("digraph { nonsense }", 20.0)


def test_a_layout_is_computed_once(program, tmp_path):
    real = find_graphviz()
    program(f'echo called >> "{tmp_path}/calls"; exec "{real}" "$@"')
    first = draw(workflow("drawn once"))
    assert first.to_svg() == draw(workflow("drawn once")).to_svg()
    assert first._repr_mimebundle_(exclude={"image/png"})["image/svg+xml"] == first.to_svg()
    assert (tmp_path / "calls").read_text() == "called\n"


def test_a_notebook_gets_text_and_a_hint_where_graphviz_is_missing(monkeypatch):
    monkeypatch.setenv("ORCHKIT_DOT", "/nowhere/dot")
    bundle = workflow("<not drawn>")._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"] == "<not drawn>, version 1\n  pay: python task"
    assert "pip install graphviz-pure" in bundle["text/html"]
    assert "<pre>&lt;not drawn&gt;, version 1\n  pay: python task</pre>" in bundle["text/html"]
