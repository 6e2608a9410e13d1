"""Whatever a file holds, it is read or refused with one kind of error, and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.errors import WorkflowFileError

SAMPLES = tuple(
    path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parents[2] / "sample_processes").glob("*.yaml"))
)
# What a careless edit, or a malicious one, puts in.
BITS = (
    *(
        "\t",
        "\n",
        " ",
        ":",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "&a ",
        "*a",
        "!",
        "!!int ",
        "|",
        ">",
        "%",
        "@",
        "`",
        "#",
    ),
    *(
        "---\n",
        "...\n",
        "? ",
        "~",
        "null",
        "true",
        "0x",
        "1e999",
        ".inf",
        "\x00",
        "\ufeff",
        "\u2028",
        "\x85",
        "😀",
        "${",
    ),
    *(
        "->",
        "-error->",
        "steps",
        "task: ",
        "workflow: ",
        "99999999999999999999",
        "0o9",
        "5m",
        "<<: ",
        "0x" + "f" * 4_000,
    ),
)
_LONG_S = 10.0  # far more than any of these takes, far less than a bomb does


def read_or_refuse(text: str) -> None:
    """Read a text; the one error allowed is a `WorkflowFileError`."""
    began = time.perf_counter()
    try:
        workflow = ok.read_workflow(f"{text}\n")
    except WorkflowFileError:
        pass
    else:
        assert ok.read_workflow(ok.write_workflow(workflow)) == workflow
    assert time.perf_counter() - began < _LONG_S


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps: &all [{task: a}]\nworkflow: w\n", "Anchors and aliases"),
        ("workflow: w\nsteps: *all\n", "Anchors and aliases"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
                for old, new in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "Anchors and aliases",
        ),
        ("workflow: w\nsteps: {<<: *base}\n", "Anchors and aliases"),
        ("workflow: !!python/object/apply:os.system [ls]\n", "Tags (tag:yaml.org,2002:python/object/apply:os.system)"),
        ("workflow: w\nsteps: " + "[" * 50_000, "nested more than 50 deep"),
        ("workflow: w\nsteps: " + "{a: " * 50_000, "nested more than 50 deep"),
        ("workflow: w\nsteps:\n  " + "- " * 50_000, "nested more than 50 deep"),
        (
            "workflow: w\nsteps:\n" + "".join(" " * depth + "-\n" for depth in range(1, 1_000)),
            "nested more than 50 deep",
        ),
    ],
    ids=["anchor", "alias", "a billion laughs", "merge", "tag", "lists", "mappings", "dashes", "block"],
)
def test_what_makes_yaml_dangerous_is_refused_at_once(text, says):
    began = time.perf_counter()

    with pytest.raises(WorkflowFileError) as caught:
        ok.read_workflow(text)

    assert says in str(caught.value)
    assert caught.value.line is not None
    assert time.perf_counter() - began < _LONG_S


def test_a_file_of_more_than_10_mb_is_refused_unread(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(10_000_001)

    with pytest.raises(WorkflowFileError, match="The file is larger than 10 MB: is it a workflow?"):
        ok.read_workflow(path)


def test_a_text_of_more_than_10_million_characters_is_refused_unread():
    with pytest.raises(WorkflowFileError, match="more than 10,000,000 characters"):
        ok.read_workflow("workflow: w\n" + "#" * 10_000_000)


def test_calls_that_multiply_are_bounded(tmp_path):
    for depth in range(12):
        calls = "".join(f"  - call: w{depth + 1}_{number}\n" for number in range(3))
        for number in range(3):
            text = f"workflow: w{depth}_{number}\nsteps:\n{calls}"
            (tmp_path / f"w{depth}_{number}.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(WorkflowFileError, match="The workflows called by workflows are more than 1000"):
        ok.read_workflow(tmp_path / "w0_0.yaml")


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=200))
@example(raw=b"\xff\xfe")
@example(raw=b"workflow: \xed\xa0\x80")
def test_any_bytes_are_read_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(raw)
    try:
        ok.read_workflow(path)
    except WorkflowFileError as error:
        assert error.path == str(path)  # noqa: PT017 -- most are refused, a few are not


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=80) | st.lists(st.sampled_from(BITS), max_size=30).map("".join))
@example(text="workflow: w\nsla: 0x" + "f" * 4_000)
def test_any_text_is_read_or_refused(text):
    read_or_refuse(text)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_sample_with_a_careless_edit_is_read_or_refused(data):
    text = data.draw(st.sampled_from(SAMPLES))
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(text)))
        end = min(len(text), begin + data.draw(st.sampled_from((0, 0, 1, 2, 10, 80))))
        text = text[:begin] + data.draw(st.sampled_from(BITS)) + text[end:]
    read_or_refuse(text)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_sample_with_its_lines_shuffled_is_read_or_refused(data):
    lines = data.draw(st.sampled_from(SAMPLES)).splitlines()
    begin = data.draw(st.integers(0, len(lines) - 1))
    part = lines[begin : begin + 6]
    read_or_refuse("\n".join([*lines[:begin], *data.draw(st.permutations(part)), *lines[begin + 6 :]]))
