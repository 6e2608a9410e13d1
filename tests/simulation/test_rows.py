"""Rows that grow."""

from __future__ import annotations

import numpy as np
import pytest

from orchkit.simulation.rows import Rows


@pytest.mark.parametrize("expected", [0, 10, 3_000_000, 10**15])
def test_rows_are_all_there_in_order_however_many_were_expected(expected):
    rows = Rows(5)
    for number in range(300):
        rows.add(np.full((10_000, 5), number), expected)

    assert len(rows) == 3_000_000
    assert rows.take()[::10_000, 4].tolist() == list(range(300))
    assert rows.take().shape == (3_000_000, 5)
