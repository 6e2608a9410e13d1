"""Every error is in one tree, which its docstring draws, and says where it is."""

from __future__ import annotations

import inspect
import re

import pytest

import orchkit as ok
from orchkit import errors

TREE = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.OrchkitError)
}


def test_the_docstring_draws_the_tree_as_it_is():
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line)
        if found:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else None

    assert drawn == {name: None if name == "OrchkitError" else cls.__mro__[1].__name__ for name, cls in TREE.items()}


def test_all_errors_are_listed():
    assert set(errors.__all__) == {*TREE, "nearest"}


@pytest.mark.parametrize(
    ("error", "standard"),
    [
        (errors.WorkflowError, ValueError),
        (errors.CheckError, ValueError),
        (errors.LogError, ValueError),
        (errors.QueryError, ValueError),
        (errors.RunNotFound, KeyError),
        (errors.WaitNotFound, KeyError),
        (errors.HandlerNotFound, KeyError),
        (errors.RunError, RuntimeError),
        (errors.EngineClosed, RuntimeError),
        (errors.StoreError, OSError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_an_error_is_also_the_standard_one(error, standard):
    assert issubclass(error, standard)


def test_an_error_is_its_message_also_where_it_is_a_key_error():
    assert str(errors.RunNotFound("There is no run 'x'.", run_id="x")) == "There is no run 'x'."
    assert str(errors.StoreLocked("in use", path="a.duckdb")) == "in use"


def test_a_fault_in_a_file_begins_with_its_place():
    error = ok.WorkflowFileError("no.", path="order.yaml", line=3, column=5)

    assert str(error) == "order.yaml:3:5: no."
    assert (error.path, error.line, error.column) == ("order.yaml", 3, 5)


def test_errors_carry_their_context():
    assert ok.WorkflowError("no", node="ship").node == "ship"
    assert ok.TransientError("later", retry_after_s=2.5).retry_after_s == 2.5
    assert errors.PartialError("some", failed=["a", "b"]).failed == ("a", "b")


def test_only_a_near_name_is_offered():
    assert errors.nearest("shp", ["ship", "pay"]) == " Did you mean 'ship'?"
    assert errors.nearest("invoice", ["ship", "pay"]) == ""
    assert errors.nearest("a", []) == ""
