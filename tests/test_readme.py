"""Every command and every example of the documentation runs."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import orchkit as ok

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(path):
    return [(kind, text) for kind, text in FENCE.findall((ROOT / path).read_text(encoding="utf-8"))]


def run_python(path, names):
    """Run the Python blocks in order, and return what each printed beside what the text after it says."""
    found, told = [], blocks(path)
    for position, (kind, text) in enumerate(told):
        if kind != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(text, f"{path}, block {position}", "exec"), names)
        following = told[position + 1] if position + 1 < len(told) else ("", "")
        found.append((out.getvalue(), following[1] if following[0] == "text" else ""))
    return found


def test_the_examples_of_the_readme_print_what_it_says():
    found = run_python("README.md", {})

    assert len(found) >= 4
    assert [printed for printed, _ in found] == [said for _, said in found]


def test_an_executor_written_from_its_page_works(tmp_path):
    found = run_python("docs/executors.md", {"folder": str(tmp_path)})

    assert found[-1][0] == found[-1][1] != ""
    assert (tmp_path / "A-1.txt").read_text() == "A-1 is shipped"


def test_what_the_page_for_operators_says_is_so(tmp_path):
    found = run_python("docs/operate.md", {"folder": tmp_path})

    assert len(found) >= 1
    assert [printed for printed, _ in found] == [said for _, said in found]


def test_the_page_on_webhooks_prints_what_it_says():
    found = run_python("docs/webhooks.md", {})

    assert len(found) >= 2
    assert [printed for printed, _ in found] == [said for _, said in found]


def test_the_page_on_pictures_prints_what_it_says():
    found = run_python("docs/pictures.md", {})

    assert len(found) == 6
    assert [printed for printed, _ in found] == [said for _, said in found]


def test_the_page_about_logs_prints_what_it_says(tmp_path):
    found = run_python("docs/logs.md", {"folder": tmp_path})

    assert len(found) >= 4
    assert [printed for printed, _ in found] == [said for _, said in found]


def test_the_page_on_mining_prints_what_it_says():
    found = run_python("docs/mining.md", {})

    assert len(found) == 4
    assert [printed for printed, said in found if printed != said] == []


def test_the_page_on_simulation_prints_what_it_says():
    found = run_python("docs/simulation.md", {})

    assert len(found) >= 5
    assert [printed for printed, _ in found] == [said for _, said in found]


def test_the_workflow_of_the_readme_reads_and_retries_as_it_says():
    (text,) = [text for kind, text in blocks("README.md") if kind == "yaml"]

    workflow = ok.read_workflow(text)

    retry = workflow.node("ship").retry
    delays = [retry.delay_s(attempt, seed) for seed in range(50) for attempt in range(1, 9)]
    expected = [1, 2, 4, 8, 16, 32, 60, 60] * 50
    assert all(0.9 * want <= delay <= 1.1 * want for delay, want in zip(delays, expected, strict=True))


def commands():
    told = [line for kind, text in blocks("README.md") if kind == "shell" for line in text.splitlines()]
    return [line.split() for line in told]


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "make"], ids=" ".join)
def test_the_targets_of_the_readme_are_there(words):
    shown = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)

    assert shown.returncode == 0, shown.stderr


def test_the_commands_of_the_readme_run_one_after_another(tmp_path):
    for name in ("sample_processes", "notebooks", "orchkit"):
        shutil.copytree(ROOT / name, tmp_path / name)
    told = [words for words in commands() if words[0] in ("orchkit", "python")]

    assert len(told) >= 10
    for words in told:
        module = ["-m", "orchkit.cli"] if words[0] == "orchkit" else []
        command = [sys.executable, *module, *words[1:]]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
        assert (ran.returncode, bool(ran.stdout)) == (0, True), ran.stdout + ran.stderr


def test_the_pictures_of_the_readme_are_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme)

    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)


def test_the_picture_is_what_orchkit_draws():
    workflow = ok.read_workflow(ROOT / "sample_processes" / "document_processing.yaml")

    assert (ROOT / "docs" / "document_processing.svg").read_text(encoding="utf-8") == ok.draw(workflow).to_svg()


def test_the_map_names_what_is_there():
    rows = re.findall(r"(?m)^\| (`[^|]+) \|", (ROOT / "README.md").read_text(encoding="utf-8"))
    paths = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]

    assert len(paths) >= 12
    assert [path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "orchkit"))] == []
