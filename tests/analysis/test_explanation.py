from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import orchkit as ok


def planted(seed, *, effect, cases=400, confounded=False):
    """A log in which the chance of failing depends on the country, by ``effect``, and on nothing else.

    Where it is confounded, the warehouse is mostly the country's, and so is a part of the weight.
    """
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "case_id": [f"c{number:04}" for number in range(cases)],
            "country": rng.choice(["DE", "FR", "US", "UK"], cases),
            "channel": rng.choice(["web", "shop"], cases),
            "amount": rng.gamma(2, 100, cases),
        }
    )
    is_german = table["country"] == "DE"
    if confounded:
        own = table["country"].map({"DE": "Ulm", "FR": "Lyon", "US": "Reno", "UK": "Bath"})
        anywhere = rng.choice(["Ulm", "Lyon", "Reno", "Bath"], cases)
        table["warehouse"] = np.where(rng.random(cases) < 0.85, own, anywhere)
        table["weight"] = 0.1 * table["amount"] + 30 * is_german + rng.normal(0, 15, cases)
    chance = 0.1 + effect * is_german
    table["status"] = np.where(rng.random(cases) < chance, "FAILED", "COMPLETED")
    kinds = [f"check_{number}" for number in range(5)]
    steps = table[["case_id"]].assign(
        activity=rng.choice(kinds, cases),
        resource=rng.choice(["Ann", "Bob", "Cy"], cases),
        completed="2024-05-06T09:00Z",
    )
    return ok.EventLog(steps, table)


def found(seed, effect, *, confounded=False):
    table = ok.explain(planted(seed, effect=effect, confounded=confounded))
    return table.loc[table["significant"], ["factor", "value"]].apply(tuple, axis="columns").tolist()


def test_a_planted_cause_is_found_first_with_its_effect():
    first = ok.explain(planted(1, effect=0.4)).iloc[0]

    assert (first["factor"], first["value"], first["kind"]) == ("country", "DE", "attribute")
    assert first["low"] < 0.4 < first["high"]
    assert first["significant"]


def test_that_a_value_is_missing_may_be_the_cause_and_numbers_may_be_text():
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"case_id": [f"c{number:04}" for number in range(600)]})
    table["phone"] = np.where(rng.random(600) < 0.3, None, rng.choice(["mobile", "home"], 600))
    table["amount"] = rng.integers(1, 9_000, 600).astype(str)
    steps = table[["case_id"]].assign(activity="pay", completed="2024-05-06T09:00Z")
    for cause, sentence in (
        (table["phone"].isna(), "phone is missing:"),
        (table["amount"].astype(int) > 4_500, "amount > "),
    ):
        lost = rng.random(600) < np.where(cause, 0.5, 0.1)
        causes = ok.explain(ok.EventLog(steps, table), pd.Series(lost, name="lost"))
        assert causes.loc[causes["significant"], "sentence"].str.startswith(sentence).tolist() == [True]


def test_planted_causes_are_found_and_nothing_else_at_the_stated_rate():
    answers = [found(seed, 0.4) for seed in range(25)]

    assert all(("country", "DE") in answer for answer in answers)
    assert sum(len(answer) > 1 for answer in answers) <= 4


def test_where_nothing_is_planted_hardly_anything_is_found():
    assert sum(bool(found(seed, 0.0)) for seed in range(25)) <= 4


def test_what_only_goes_along_with_the_cause_is_explained_by_it():
    answers = [found(seed, 0.4, confounded=True) for seed in range(15)]

    assert sum(answer == [("country", "DE")] for answer in answers) >= 13
    table = ok.explain(planted(1, effect=0.4, confounded=True)).set_index("factor")
    assert table.loc["warehouse", "explained_by"] == "country"
    assert table.loc["warehouse", "low"] > 0
    assert table.loc["warehouse", "sentence"].endswith("which country explains.")


def test_a_number_that_counts_beyond_a_bound_is_found_with_it():
    log = planted(3, effect=0.0)
    dear = log.cases["amount"] > log.cases["amount"].quantile(0.9)

    first = ok.explain(log, dear & (np.arange(len(log)) % 4 > 0)).iloc[0]

    assert (first["factor"], first["significant"]) == ("amount", True)
    assert float(first["value"].removeprefix("> ")) == pytest.approx(log.cases["amount"].quantile(0.9), rel=1e-4)


def test_a_number_that_counts_between_two_bounds_is_found_with_both():
    amounts = np.arange(400)
    cases = pd.DataFrame({"case_id": [f"c{number:03}" for number in amounts], "amount": amounts})
    log = ok.EventLog(cases[["case_id"]].assign(activity="pay", completed="2024-05-06T09:00Z"), cases)

    first = ok.explain(log, (amounts >= 100) & (amounts < 200) & (amounts % 4 > 0)).iloc[0]

    assert (first["factor"], first["value"], first["significant"]) == ("amount", "> 99.75 up to 199.5", True)
    assert first["sentence"].startswith("amount > 99.75 up to 199.5: 75 % of 100 cases")


def test_two_causes_are_both_found():
    log = planted(4, effect=0.0, cases=800)
    rng = np.random.default_rng(4)
    chance = 0.05 + 0.3 * (log.cases["country"] == "US") + 0.3 * (log.cases["channel"] == "web")

    table = ok.explain(log, rng.random(len(log)) < chance)

    assert set(table.loc[table["significant"], "factor"]) == {"country", "channel"}


@pytest.mark.slow
def test_over_two_hundred_seeds_at_most_one_log_in_twenty_has_a_false_cause():
    answers = [found(seed, 0.4) for seed in range(200)]

    assert all(("country", "DE") in answer for answer in answers)
    # 0.05 of 200 is 10; 18 is three standard errors above.
    assert sum(len(answer) > 1 for answer in answers) <= 18
    assert sum(bool(found(seed, 0.0)) for seed in range(200)) <= 18
    assert sum(len(found(seed, 0.4, confounded=True)) > 1 for seed in range(200)) <= 18


def test_an_outcome_may_be_any_boolean_a_case():
    log = planted(1, effect=0.0)
    late = (log.cases["amount"] > 300).rename("late")

    first = ok.explain(log, late).iloc[0]

    assert first["factor"] == "amount"
    assert first["share_without"] == 0.0
    assert "cases are late, against 0 % of the other" in first["sentence"]


def test_an_outcome_that_is_none_is_refused():
    log = planted(1, effect=0.0)

    with pytest.raises(ok.LogError, match="'faild' is not an outcome. Did you mean"):
        ok.explain(log, "faild")
    with pytest.raises(ok.LogError, match="a Boolean for each of the 400 rows"):
        ok.explain(log, pd.Series([True]))


def test_a_log_in_which_all_cases_are_alike_has_nothing_to_explain():
    log = ok.EventLog(pd.DataFrame({"case_id": ["a"], "activity": ["x"], "completed": ["2024-05-06T09:00Z"]}))

    assert len(ok.explain(log)) == 0


def test_what_follows_from_a_cause_does_not_explain_it_away():
    # Orders to FR fail; what fails is compensated, so that the compensation goes with the outcome without fail.
    count = 200
    is_french = np.arange(count) % 2 == 0
    fails = is_french & (np.arange(count) % 4 == 0)
    cases = pd.DataFrame(
        {
            "case_id": [f"o{number:03}" for number in range(count)],
            "status": np.where(fails, "COMPENSATED", "COMPLETED"),
            "country": np.where(is_french, "FR", "US"),
        }
    )
    steps = cases[["case_id"]].assign(activity="pay", completed="2024-05-06T09:00Z")
    undone = steps[fails].assign(activity="refund", completed="2024-05-06T10:00Z")

    table = ok.explain(ok.EventLog(pd.concat([steps, undone]), cases)).set_index("factor")

    assert table.loc["country", "significant"]
    assert table.loc["activity", "significant"]
