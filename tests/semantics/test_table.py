"""Every case of the table, on the bare machine and in the engine's core, each in virtual time."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.semantics.engine_world import EngineWorld
from tests.semantics.table import Case, table
from tests.semantics.world import Played, play

each_case = pytest.mark.parametrize("case", table(), ids=lambda case: f"{case.source}: {case.name}")

DUE_AT_ONCE = {"a date that has passed does not keep anybody waiting"}


@each_case
def test_machine_does_what_the_table_says(case: Case):
    played = play(case)

    assert played.moments == list(case.trace)
    assert_as_the_table_says(case, played)
    assert played.variables == case.variables


@each_case
def test_engine_does_what_the_table_says(case: Case):
    played = EngineWorld(case).play()

    # A timer that is due when it is set fires in the same commit; for the machine alone that is a moment of its own.
    at_once = (case.name in DUE_AT_ONCE) + sum("RETRYING 0s" in line and "REPLAYED" in line for line in case.trace)
    assert "; ".join(played.moments) == "; ".join(case.trace)
    assert len(played.moments) == len(case.trace) - at_once
    assert_as_the_table_says(case, played)


def test_the_table_has_each_kind_of_node():
    text = "\n".join(case.text for case in table())

    assert len(table()) >= 80
    kinds = ["task", "exclusive", "parallel", "inclusive", "event", "callback", "timer", "scope", "for_each"]
    assert [kind for kind in [*kinds, "repeat_while", "saga", "call", "terminate"] if kind not in text] == []


def assert_as_the_table_says(case: Case, played: Played) -> None:
    assert played.status == case.status
    assert error_of(case, played) == case.error
    assert without_message(played.variables) == without_message(case.variables)


def without_message(variables: Mapping[str, object]) -> Mapping[str, object]:
    """Return variables in which the error does not say in words what its type says."""
    error = variables.get("error")
    return {**variables, "error": {**error, "message": ""}} if isinstance(error, dict) else variables


def error_of(case: Case, played: Played) -> str | None:
    """Return the error as the case gives it: where it names no node, none counts."""
    named = case.error is None or " at " in case.error
    return played.error if named or played.error is None else played.error.split(" at ")[0]
