"""Compiled loops: kept on disk, and made anew where what lies there is damaged or old."""

import sys
from pathlib import Path

import numpy as np
import pytest

from orchkit.native import Kernel

SOURCE = """
from numba import njit

@njit
def total(values, length):
    found = 0
    for i in range(length):
        found += {factor} * values[i]
    return found
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loops_of_a_test", raising=False)
    path = tmp_path / "loops_of_a_test.py"
    path.write_text(SOURCE.format(factor=1), encoding="utf-8")
    return path


def total() -> int:
    return Kernel("loops_of_a_test", "total", (np.int64, int))(np.array([1, 2, 4]), 3)


def test_code_is_kept_and_made_anew_where_it_is_damaged_or_its_source_has_changed(module: Path) -> None:
    kept = module.parent / "__pycache__" / "loops_of_a_test.total.native"

    assert total() == 7
    code = kept.read_bytes()

    del sys.modules["loops_of_a_test"]
    assert total() == 7
    assert "loops_of_a_test" not in sys.modules  # what is on disk is not compiled

    kept.write_bytes(code[:-100] + bytes(100))
    assert total() == 7
    assert kept.read_bytes()[:32] == code[:32]

    del sys.modules["loops_of_a_test"]
    module.write_text(SOURCE.format(factor=10), encoding="utf-8")
    assert total() == 70
    assert [path.name for path in kept.parent.iterdir() if "native" in path.name] == [kept.name]


@pytest.mark.usefixtures("module")
def test_an_array_of_another_type_or_with_gaps_is_refused() -> None:
    kernel = Kernel("loops_of_a_test", "total", (np.int64, int))
    for values in (np.array([1.0, 2.0]), np.arange(6)[::2]):
        with pytest.raises(TypeError, match="side by side"):
            kernel(values, 2)
