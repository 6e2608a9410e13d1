"""Control flow and time verbs, and filters: literal figures, and brute force beside them."""

import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import orchkit as ok

BPIC = Path(os.environ.get("ORCHKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "bpic2012.xes.gz"


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2024-05-06T{clock}", tz="UTC")


def log() -> ok.EventLog:
    rows = [
        ("o1", "a", at("08:00"), at("09:00"), "Ann"),
        ("o1", "b", at("09:30"), at("10:00"), "Bob"),
        ("o1", "b", at("11:00"), at("12:00"), "Ann"),
        ("o2", "a", at("09:00"), at("09:10"), "Ann"),
        ("o2", "b", at("10:00"), at("10:30"), "Bob"),
        ("o3", "a", at("10:00"), at("10:10"), "Ann"),
        ("o3", "b", at("10:40"), at("11:00"), "Bob"),
    ]
    steps = pd.DataFrame(rows, columns=["case_id", "activity", "started", "completed", "resource"])
    return ok.EventLog(steps, pd.DataFrame({"case_id": ["o1", "o2", "o3"], "amount": [10, 20, 30]}))


def random_log(seed: int) -> ok.EventLog:
    rng = np.random.default_rng(seed)
    moments = pd.to_datetime(rng.integers(0, 10**6, 300), unit="s", utc=True)
    cases, activities = rng.integers(0, 60, 300).astype(str), rng.integers(0, 4, 300).astype(str)
    return ok.EventLog(pd.DataFrame({"case_id": cases, "activity": activities, "completed": moments}))


def test_variants_have_cases_and_durations() -> None:
    table = ok.variants(log())
    assert table["variant"].tolist() == ["a → b", "a → b → b"]
    assert table["cases"].tolist() == [2, 1]
    assert table["mean_s"].tolist() == [4500.0, 14400.0]
    assert table["example"].tolist() == ["o2", "o1"]


def test_ways_of_any_length_and_names_are_told_apart() -> None:
    rng = np.random.default_rng(5)
    names = ["é", "b" * 31, "c" * 200, "→", "and so on " * 4]
    ways = {f"{case:04}": rng.integers(0, 5, rng.integers(0, 4 if case % 2 else 40)) for case in range(3_000)}
    rows = [(case, names[code]) for case, way in ways.items() for code in way]
    steps = pd.DataFrame(rows, columns=["case_id", "activity"]).assign(completed=at("08:00"))
    table = ok.variants(ok.EventLog(steps, pd.DataFrame({"case_id": list(ways)})))
    expected = Counter(" → ".join(names[code] for code in way) for way in ways.values() if len(way))
    assert list(zip(table["variant"], table["cases"], strict=True)) == expected.most_common()
    assert table["length"].tolist() == [len(ways[case]) for case in table["example"]]


def test_flows_have_frequency_and_time() -> None:
    table = ok.directly_follows(log(), ok.Calendar({"mon": "09:00-10:30"}))
    assert table.columns.tolist() == ["source", "target", "count", "mean_s", "median_s", "p95_s", "working_mean_s"]
    assert table["count"].tolist() == [3, 1]
    assert table["median_s"].tolist() == [1800.0, 3600.0]
    assert table["p95_s"].tolist() == pytest.approx([2880.0, 3600.0])
    assert table["working_mean_s"].tolist() == pytest.approx([(1800 + 3000 + 1200) / 3, 1800.0])


def test_rework_tells_loops_and_who_repeats() -> None:
    row = ok.rework(log()).iloc[0]
    assert row.to_dict() == {
        "activity": "b",
        "count": 4,
        "cases": 3,
        "cases_repeated": 1,
        "share_repeated": 1 / 3,
        "repeats": 1,
        "self_loops": 1,
        "same_resource": 0,
        "other_resource": 1,
    }
    assert ok.start_activities(log()).to_dict("list") == {"activity": ["a"], "cases": [3], "share": [1.0]}
    assert ok.end_activities(log()).to_dict("list") == {"activity": ["b"], "cases": [3], "share": [1.0]}


def test_waiting_has_a_cause_and_what_it_would_give_back() -> None:
    waits = ok.waiting_times(log())
    assert waits.loc[0, ["activity", "total_s"]].tolist() == ["b", 1800.0 + 3600.0 + 3000.0 + 1800.0]
    worst = ok.bottlenecks(log()).iloc[0]
    # o1's second b waits for Ann (10:00 to 10:10); o2's and o3's for Bob (until 10:00, from 10:10 to 10:30).
    assert (worst["busy_s"], worst["idle_s"]) == (600.0 + 3000.0 + 1200.0, 10_200.0 - 4800.0)
    assert (worst["cause"], worst["gives_back_s"], worst["share"]) == ("nobody took it up", 3400.0, 1.0)


def test_of_steps_side_by_side_each_waits_since_the_last_end_before_its_start() -> None:
    rows = [("check", "08:00", "09:00"), ("pack", "09:00", "12:00"), ("bill", "11:00", "13:00")]
    steps = pd.DataFrame([(name, at(begun), at(ended)) for name, begun, ended in rows])
    some = ok.EventLog(steps.set_axis(["activity", "started", "completed"], axis="columns").assign(case_id="o1"))
    assert ok.waiting_times(some).set_index("activity")["total_s"].to_dict() == {"bill": 7200.0, "check": 0, "pack": 0}
    assert ok.bottlenecks(some)["gives_back_s"].tolist() == [7200.0, 0, 0]
    assert ok.kpis(some).set_index("kpi").loc["waiting_time", "value"] == 7200.0


def claims(assessors: ok.Resource, **options) -> ok.EventLog:
    names = {"register": "clerk", "assess": "assessor", "pay": "cashier"}
    workflow = ok.workflow("claims", [ok.task(name, role=role) for name, role in names.items()])
    durations = {"register": ok.exponential("4 min"), "assess": ok.exponential("9 min"), "pay": ok.exponential("2 min")}
    scenario = ok.Scenario(
        arrivals=ok.exponential("10 min"),
        durations=durations,
        resources={"clerk": 1, "assessor": assessors, "cashier": 1},
    )
    return ok.simulate(workflow, scenario, cases=1500, seed=1, **options)


@pytest.mark.parametrize("replications", [1, 2])
def test_a_known_bottleneck_is_found_and_gives_back_what_it_says(replications) -> None:
    few = claims(ok.Resource(count=1), replications=replications)
    worst = ok.bottlenecks(few).iloc[0]
    assert (worst["activity"], worst["cause"]) == ("assess", "resource busy")
    assert worst["idle_s"] == pytest.approx(0, abs=1)
    many = claims(ok.Resource(count=50), replications=replications)
    saved = ok.cycle_times(few)["cycle_s"].mean() - ok.cycle_times(many)["cycle_s"].mean()
    assert worst["gives_back_s"] == pytest.approx(saved, rel=0.02)


def test_a_team_that_is_off_at_night_is_told_from_one_that_is_too_small() -> None:
    days = ok.Calendar({"mon-sun": "08:00-20:00"})
    log = claims(ok.Resource(count=8, calendar=days))
    worst = ok.bottlenecks(log, days).iloc[0]
    assert (worst["activity"], worst["cause"]) == ("assess", "off duty")
    waits = ok.waiting_times(log, days).set_index("activity")["total_s"]
    assert worst["wait_s"] - worst["off_duty_s"] == pytest.approx(waits["assess"])


def test_cases_come_and_go() -> None:
    assert ok.cycle_times(log())["cycle_s"].tolist() == [14400.0, 5400.0, 3600.0]
    assert ok.throughput(log(), "1h")["open"].tolist() == [1, 2, 2, 1, 0]
    assert ok.dotted_chart(log())["since_start_s"].tolist()[:3] == [3600.0, 7200.0, 14400.0]


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_brute_force(seed) -> None:
    some = random_log(seed)
    ways = some.steps.groupby("case_id", observed=True)["activity"].agg(list)
    assert dict(zip(ok.variants(some)["variant"], ok.variants(some)["cases"], strict=True)) == Counter(
        map(" → ".join, ways)
    )
    pairs = Counter(pair for way in ways for pair in pairwise(way))
    table = ok.directly_follows(some)
    assert {(s, t): n for s, t, n in zip(table["source"], table["target"], table["count"], strict=True)} == pairs
    repeats = {name: sum(max(way.count(name) - 1, 0) for way in ways) for name in "0123"}
    assert ok.rework(some).set_index("activity")["repeats"].to_dict() == repeats


def test_filters_compose_and_leave_the_log_as_it_was() -> None:
    whole = log()

    def ids(**asked) -> list[str]:
        return ok.where(whole, **asked).cases["case_id"].tolist()

    assert ids(expression="amount > 15") == ["o2", "o3"]
    assert ids(expression=lambda cases: cases["amount"] < 15) == ids(expression=whole.cases["amount"] < 15) == ["o1"]
    assert ids(expression="started >= '2024-05-06T09:30Z'") == ["o3"]
    assert ids(repeats="b") == ids(path=["b", "b"]) == ids(variant="a → b → b") == ["o1"]
    assert ids(after="2024-05-06T08:30Z", before="2024-05-06T09:30Z") == ["o2"]
    assert ids(longer_than="1h", shorter_than="2h") == ["o2", "o3"]
    assert ids(starts_with="a", ends_with=["b"], activity="a", status="completed") == ["o1", "o2", "o3"]
    part = ok.where(ok.where(whole, repeats="b"), longer_than="1h")
    assert part.offsets.tolist() == [0, 3]
    assert len(whole) == 3
    assert ids(resource="Bob", eventually=["a", "b", "b"]) == ["o1"]
    assert ids(eventually=["b", "a"]) == []
    assert ids(during=("2024-05-06T10:45Z", "2024-05-06T11:00Z")) == ["o1", "o3"]
    assert ok.without(whole, repeats="b").cases["case_id"].tolist() == ["o2", "o3"]
    assert len(ok.without(whole)) == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"activity": "c"}, "no activity 'c'"),
        ({"resource": "Anne"}, "no resource 'Anne'. Did you mean 'Ann'"),
        ({"expression": "amout > 1"}, "cases has no column 'amout'. Did you mean 'amount'"),
        ({"expression": lambda cases: cases["amout"] > 1}, "Did you mean 'amount'"),
        ({"expression": "amount"}, "must give a Boolean for each of cases, not int64"),
        ({"expression": "amount >"}, "expression 'amount >'"),
        ({"status": "complete"}, "Did you mean 'COMPLETED'"),
        ({"variant": "a → c"}, "Did you mean 'a → b'"),
        ({"after": "yesterday"}, "is not a time such as"),
        ({"after": 5}, "5 is not a time such as"),
        ({"after": pd.NaT}, "NaT is not a time such as"),
        ({"during": "2024-05-06"}, "during is a pair of times"),
        ({"activity": 5}, "5 is neither a name nor a list of names"),
        ({"expression": "amount = 5"}, "one = sets a column; == compares"),
        ({"expression": "case_id == o1"}, "Text stands in quotes: 'o1'"),
        ({"expression": "started > '2024-05-06'"}, "A time has its zone: '2024-05-06T00:00Z'"),
        ({"expression": "import os"}, "expression 'import os'"),
    ],
)
def test_a_filter_that_names_nothing_offers_the_nearest(asked, said) -> None:
    with pytest.raises(ok.LogError, match=re.escape(said)):
        ok.where(log(), **asked)
    with pytest.raises(ok.LogError, match=re.escape(said)):
        ok.without(log(), **asked)


def test_steps_are_selected_with_the_cases_that_have_them() -> None:
    whole = log()
    assert ok.only(whole, activity="b", resource="Ann").cases["case_id"].tolist() == ["o1"]
    part = ok.only(whole, after="2024-05-06T10:00Z", before="2024-05-06T11:00Z")
    assert part.steps["activity"].tolist() == ["b", "a", "b"]
    assert (part.offsets.tolist(), part.cases["case_id"].tolist()) == ([0, 1, 3], ["o2", "o3"])
    assert ok.cycle_times(part)["cycle_s"].tolist() == [5400.0, 3600.0]
    anew = ok.only(whole, after="2024-05-06T10:00Z", before="2024-05-06T11:00Z", times="anew")
    assert ok.cycle_times(anew)["cycle_s"].tolist() == [1800.0, 3600.0]
    assert ok.only(whole, "completed > started and activity == 'b'").activities.tolist() == ["b"]
    assert len(ok.only(whole, lambda steps: steps["attempt"] > 1)) == 0
    assert len(ok.only(ok.where(whole, repeats="b"), status="completed").steps) == 3
    assert len(ok.only(ok.only(whole, "attempt > 1"), activity=[], times="anew")) == 0
    waiting = ok.EventLog(whole.steps, pd.DataFrame({"case_id": ["o1", "o2", "o3", "o4"]}))
    assert ok.only(waiting, "attempt == 1", times="anew").cases["case_id"].tolist() == ["o1", "o2", "o3"]
    with pytest.raises(ok.LogError, match="steps has no column 'activty'. Did you mean 'activity'"):
        ok.only(whole, "activty == 'b'")
    for verb in (ok.where, ok.without, ok.only):
        with pytest.raises(TypeError, match="no condition 'actvity'. Did you mean 'activity'"):
            verb(whole, actvity="a")
    with pytest.raises(
        TypeError, match=re.escape("a column of steps, and stands in an expression: ok.only(log, 'attempt == …')")
    ):
        ok.only(whole, attempt=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_what_follows_eventually_is_what_brute_force_finds(seed) -> None:
    some = random_log(seed)
    ways = some.steps.groupby("case_id", observed=True)["activity"].agg("".join)
    found = ok.where(some, eventually=["0", "2", "0"]).cases["case_id"].tolist()
    assert found == [case for case, way in ways.items() if re.search("0.*2.*0", way)]


def test_filtered_logs_are_what_their_steps_would_make() -> None:
    some = random_log(1)
    part = ok.only(ok.where(some, activity="1"), activity=["0", "1"], times="anew")
    again = ok.EventLog(part.steps)
    pd.testing.assert_frame_equal(part.steps, again.steps)
    pd.testing.assert_frame_equal(part.cases, again.cases)
    assert part.offsets.tolist() == again.offsets.tolist()


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (lambda log: ok.throughput(log, "0D"), "every='0D' is not a period"),
        (lambda log: ok.workload(log, "1us"), "more than 20,000,000 periods are not counted"),
        (lambda log: ok.failures(log, by=[]), "by: name one column or more"),
        (lambda log: ok.directly_follows(log, "9-5"), "calendar: '9-5' is not a calendar. Write ok.Calendar("),
        (lambda log: ok.kpis(log, calendar={"mon": "9-5"}), "is not a calendar"),
        (lambda log: ok.compare({"a": log, "b": log}, resamples=0), "resamples=0: draw at least 2"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_does(verb, said) -> None:
    with pytest.raises(ok.LogError, match=re.escape(said)):
        verb(log())


def test_a_log_without_cases_has_empty_tables() -> None:
    none = ok.where(log(), "amount > 99")
    assert len(none) == 0
    for verb in (ok.variants, ok.directly_follows, ok.rework, ok.start_activities, ok.waiting_times, ok.bottlenecks):
        assert len(verb(none)) == 0


@pytest.mark.skipif(not BPIC.exists(), reason="BPI Challenge 2012 is not here; ORCHKIT_DATA says where")
def test_bpic2012_has_the_figures_that_pm4py_gives() -> None:
    real = ok.read_log(BPIC, lifecycle="keep")
    assert (len(real), len(real.activities)) == (13_087, 24)
    assert len(ok.directly_follows(real)) == 125
    assert len(ok.variants(real)) == 4_366
    assert round(ok.cycle_times(real)["cycle_s"].mean() / 86_400, 4) == 8.6238
