from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import orchkit as ok


def planted(seed, *, effect, cases=400):
    """A log in which the chance of failing depends on the country, by ``effect``, and on nothing else."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "case_id": [f"c{number:04}" for number in range(cases)],
            "country": rng.choice(["DE", "FR", "US", "UK"], cases),
            "channel": rng.choice(["web", "shop"], cases),
            "amount": rng.gamma(2, 100, cases),
        }
    )
    chance = 0.1 + effect * (table["country"] == "DE")
    table["status"] = np.where(rng.random(cases) < chance, "FAILED", "COMPLETED")
    kinds = [f"check_{number}" for number in range(5)]
    steps = table[["case_id"]].assign(
        activity=rng.choice(kinds, cases),
        resource=rng.choice(["Ann", "Bob", "Cy"], cases),
        completed="2024-05-06T09:00Z",
    )
    return ok.EventLog(steps, table)


def found(seed, effect):
    table = ok.explain(planted(seed, effect=effect))
    return table.loc[table["significant"], ["factor", "value"]].apply(tuple, axis="columns").tolist()


def test_a_planted_cause_is_found_first_with_its_effect():
    first = ok.explain(planted(1, effect=0.4)).iloc[0]

    assert (first["factor"], first["value"], first["kind"]) == ("country", "DE", "attribute")
    assert first["low"] < 0.4 < first["high"]
    assert first["significant"]


def test_planted_causes_are_found_and_nothing_else_at_the_stated_rate():
    answers = [found(seed, 0.4) for seed in range(25)]

    assert all(("country", "DE") in answer for answer in answers)
    assert sum(len(answer) > 1 for answer in answers) <= 4


def test_where_nothing_is_planted_hardly_anything_is_found():
    assert sum(bool(found(seed, 0.0)) for seed in range(25)) <= 4


@pytest.mark.slow
def test_over_two_hundred_seeds_at_most_one_log_in_twenty_has_a_false_cause():
    answers = [found(seed, 0.4) for seed in range(200)]

    assert all(("country", "DE") in answer for answer in answers)
    # 0.05 of 200 is 10; 18 is three standard errors above.
    assert sum(len(answer) > 1 for answer in answers) <= 18
    assert sum(bool(found(seed, 0.0)) for seed in range(200)) <= 18


def test_an_outcome_may_be_any_boolean_a_case():
    log = planted(1, effect=0.0)
    late = (log.cases["amount"] > 300).rename("late")

    first = ok.explain(log, late).iloc[0]

    assert first["factor"] == "amount"
    assert first["share_without"] == 0.0
    assert "cases are late, against 0 % of the other" in first["sentence"]


def test_an_outcome_that_is_none_is_refused():
    log = planted(1, effect=0.0)

    with pytest.raises(ok.LogError, match="'faild' is no outcome. Did you mean"):
        ok.explain(log, "faild")
    with pytest.raises(ok.LogError, match="a Boolean for each of the 400 rows"):
        ok.explain(log, pd.Series([True]))


def test_a_log_in_which_all_cases_are_alike_has_nothing_to_explain():
    log = ok.EventLog(pd.DataFrame({"case_id": ["a"], "activity": ["x"], "completed": ["2024-05-06T09:00Z"]}))

    assert len(ok.explain(log)) == 0
