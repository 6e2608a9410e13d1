from __future__ import annotations

import pytest

from orchkit.testing import faults


@pytest.mark.parametrize("block", range(10))
def test_five_hundred_seeds_of_faults_break_no_invariant(block):
    reports = [faults.explore(seed) for seed in range(block * 50, block * 50 + 50)]

    assert [report for report in reports if report.violations] == []
    assert sum(report.crashes for report in reports) > 0
    assert sum(report.runs for report in reports) > 50


def test_a_seed_gives_the_same_report_every_time():
    assert faults.explore(7) == faults.explore(7)


def test_the_command_line_reports_and_succeeds(capsys):
    assert faults.main(["--seeds", "3", "--first", "40"]) == 0
    assert "3 seeds" in capsys.readouterr().out
