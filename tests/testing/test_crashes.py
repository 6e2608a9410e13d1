from __future__ import annotations

import pandas as pd
import pytest

from orchkit.store import Store
from orchkit.testing import crashes
from orchkit.testing.lives import EFFECTS, STORE, Kind, Told


@pytest.mark.parametrize("block", range(4))
def test_twenty_rounds_of_kills_break_no_invariant(block):
    reports = [crashes.explore(seed) for seed in range(block * 5, block * 5 + 5)]

    assert [report for report in reports if report.violations] == []
    assert sum(report.kills for report in reports) >= 5
    assert all(report.steps >= 100 for report in reports)


@pytest.fixture(scope="module")
def round_of_seed_3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("round")
    report = crashes.explore(3, folder)
    assert report.violations == ()
    with Store(folder / STORE) as store:
        yield folder, store.sql("select * from history order by seq"), crashes._effects(folder)


def first(history, **wanted):
    for column, value in wanted.items():
        history = history[history[column] == value]
    return history.iloc[[0]]


def test_the_store_and_the_effects_of_a_kept_round_can_be_looked_at(round_of_seed_3):
    folder, history, effects = round_of_seed_3

    assert (folder / EFFECTS).read_text().count("\n") == len(effects)
    assert set(history["workflow"]) == {
        "asking", "branches", "caller", "child", "loops", "patient", "sequence", "undone",
    }  # fmt: skip


def test_a_step_that_completes_twice_is_found(round_of_seed_3):
    _, history, effects = round_of_seed_3
    done = first(history, node="third", status="COMPLETED")

    found = crashes._steps(pd.concat([history, done]), effects)

    assert found == [f"step {done['step_id'].item()} of {done['case_id'].item()} completed twice"]


def test_an_effect_that_is_missing_or_came_before_its_intent_is_found(round_of_seed_3):
    _, history, effects = round_of_seed_3
    key = effects["key"].iloc[0]
    rash = pd.DataFrame({"key": ["run:step"], "attempt": [1]})

    assert len(crashes._steps(history, effects[effects["key"] != key])) == 1
    assert crashes._steps(history, pd.concat([effects, rash])) == ["effect run:step, attempt 1, came before its intent"]


def test_a_start_or_an_end_that_was_acknowledged_and_is_not_there_is_found(round_of_seed_3):
    _, history, _ = round_of_seed_3
    told = [Told(Kind.STARTED, "nobody-1"), Told(Kind.ENDED, "sequence-0", "FAILED")]

    assert crashes._acknowledged(told, history) == [
        "the started of nobody-1 was acknowledged and is not in the store",
        "the ended of sequence-0 was acknowledged and is not in the store",
    ]


def test_a_run_that_has_no_end_is_found(round_of_seed_3):
    _, history, _ = round_of_seed_3
    end = first(history, case_id="undone-0", kind="run", status="COMPENSATED")

    assert crashes._acknowledged([], history.drop(end.index)) == ["undone-0 must end COMPENSATED, once, and ended None"]


def test_a_saga_that_undoes_in_the_order_of_completion_is_found(round_of_seed_3):
    _, history, _ = round_of_seed_3
    saga = history["case_id"] == "undone-0"
    undoing = saga & (history["kind"] == "compensation")
    backwards = pd.concat([history[~undoing], history[undoing][::-1]])

    assert len(crashes._sagas(backwards)) == 1


def test_a_timer_that_is_early_is_found(round_of_seed_3):
    _, history, _ = round_of_seed_3
    early = history.assign(occurred_at=history["occurred_at"].min())

    assert len(crashes._times(early)) == 4


def test_the_command_line_reports_and_succeeds(capsys):
    assert crashes.main(["--rounds", "1", "--first", "40"]) == 0
    assert "1 rounds: " in capsys.readouterr().out
