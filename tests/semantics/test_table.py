"""Every case of the table, on the bare machine."""

from __future__ import annotations

import pytest

from tests.semantics.table import Case, table
from tests.semantics.world import Played, play


@pytest.mark.parametrize("case", table(), ids=lambda case: f"{case.source}: {case.name}")
def test_machine_does_what_the_table_says(case: Case):
    played = play(case)

    assert played.moments == list(case.trace)
    assert played.status == case.status
    assert error_of(case, played) == case.error
    assert played.variables == case.variables


def error_of(case: Case, played: Played) -> str | None:
    """Return the error as the case gives it: where it names no node, none counts."""
    named = case.error is None or " at " in case.error
    return played.error if named or played.error is None else played.error.split(" at ")[0]
