"""A scenario that made a log is found again in it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import ScenarioError
from orchkit.simulation.choices import shares_of
from orchkit.simulation.fitting import fit
from orchkit.simulation.nameless import with_people
from orchkit.simulation.presence import roles_of
from orchkit.simulation.routes import branch_shares
from orchkit.simulation.trial import split_by_time

ORDER = ok.workflow(
    "order",
    [
        ok.task("check", role="clerk"),
        ok.choice(ok.when("good", [ok.task("ship", role="packer")]), ok.otherwise([ok.task("reject", role="clerk")])),
        ok.task("close"),
    ],
)
TRUTH = ok.Scenario(
    arrivals=ok.exponential("40 min"),
    durations={
        "check": ok.uniform("5 min", "15 min"),
        "ship": ok.gamma(3, "5 min"),
        "reject": "2 min",
        "close": "1 min",
    },
    resources={"clerk": ok.Resource(2, calendar=ok.office_hours()), "packer": 1},
    branching={"choice_1": {"ship": 0.8, "reject": 0.2}},
    failures={"close": ok.Failure(0.1)},
)


@pytest.fixture(scope="module")
def found():
    return fit(ORDER, ok.simulate(ORDER, TRUTH, cases=3_000, seed=8), seed=1)


def test_durations_are_those_in_working_time(found) -> None:
    table = found.families.set_index("activity")
    assert table.loc["check", "mean_s"] == pytest.approx(600, rel=0.03)
    assert table.loc["ship", "mean_s"] == pytest.approx(900, rel=0.03)
    assert table.loc["reject", "family"] == "constant"


def test_people_and_their_hours_are_found(found) -> None:
    clerk = found.scenario.resources["clerk"]
    assert clerk.count == 2
    assert clerk.calendar.hours_per_week == 40
    assert found.scenario.resources["packer"].count == 1


def test_branches_and_failures_are_found(found) -> None:
    assert found.scenario.branching["choice_1"]["ship"] == pytest.approx(0.8, abs=0.03)
    (failure,) = found.scenario.failures["close"]
    assert failure.probability == pytest.approx(0.1, abs=0.02)
    assert failure.error == "transient"


def test_arrivals_have_the_rate_of_the_log(found) -> None:
    assert found.scenario.arrivals.family == "exponential"
    assert found.scenario.arrivals.mean == pytest.approx(2400, rel=0.05)


def test_the_last_cases_by_time_are_held_out(found) -> None:
    assert len(found.held_out) == 900
    goodness = found.goodness.set_index("distance")["value"]
    assert len(goodness) == 8
    assert goodness["ngram_2"] < 0.05
    assert goodness["cycle_time"] < 2


def test_a_log_without_failures_has_none() -> None:
    truth = dataclasses.replace(TRUTH, failures={})
    assert fit(ORDER, ok.simulate(ORDER, truth, cases=200, seed=8), train=1).scenario.failures == {}


def test_the_split_is_by_start() -> None:
    log = ok.simulate(ORDER, TRUTH, cases=10, seed=8)
    first, rest = split_by_time(log, 0.7)
    assert (len(first), len(rest)) == (7, 3)
    assert first.cases["started"].max() <= rest.cases["started"].min()


def test_branch_shares_are_counted_literally() -> None:
    start = pd.Timestamp("2024-05-06T09:00Z")
    paths = [["check", "ship", "close"]] * 3 + [["check", "reject", "close"]]
    rows = [
        {"case_id": str(case), "activity": name, "completed": start + pd.Timedelta(minutes=minute)}
        for case, path in enumerate(paths)
        for minute, name in enumerate(path)
    ]
    assert branch_shares(ORDER, ok.EventLog(pd.DataFrame(rows))) == {"choice_1": {"ship": 0.75, "reject": 0.25}}


def test_a_task_that_the_log_does_not_have_is_named() -> None:
    log = ok.simulate(ORDER, TRUTH, cases=20, seed=8)
    other = ok.workflow("order", [ok.task("check", role="clerk"), ok.task("pay")])
    with pytest.raises(ScenarioError, match="no completed step of the task 'pay'"):
        fit(other, log)


def test_a_log_with_ends_only_is_fitted_and_says_what_was_guessed() -> None:
    whole = ok.simulate(ORDER, TRUTH, cases=600, seed=8)
    ends = ok.EventLog(whole.steps[["case_id", "activity", "completed", "resource"]])

    found = fit(ORDER, ends)

    assert len(found.goodness) == 8
    assert found.notes[0].startswith("The log has no starts of check, close, reject, ship: a step was taken to begin")
    assert found.notes[1] == "Nothing is known of how long check takes: it always comes first."
    assert found.families.set_index("activity")["mean_s"]["close"] == pytest.approx(60, abs=1)


def test_starts_that_were_guessed_are_no_sights_of_people_at_work() -> None:
    # The machine works all the time; by its end a clerk could begin, and does so in office hours.
    order = ok.workflow("order", [ok.task("bake"), ok.task("ship", role="clerk")])
    hours = ok.Resource(2, calendar=ok.office_hours())
    truth = ok.Scenario(ok.exponential("1 h"), {"bake": "1 h", "ship": "6 min"}, {"clerk": hours})
    whole = ok.simulate(order, truth, cases=900, seed=8, progress=False)

    found = fit(order, ok.EventLog(whole.steps[["case_id", "activity", "completed", "resource"]]))

    spans = found.scenario.resources["clerk"].calendar.spans
    assert [day for day, begin, end in spans if begin >= 9 * 60 and end <= 17 * 60] == [0, 1, 2, 3, 4]
    assert len(spans) == 5
    assert found.families.set_index("activity")["mean_s"]["ship"] == pytest.approx(360, rel=0.05)


CLAIM = ok.read_workflow("""
workflow: claim
steps:
  - task: assess
  - choice:
      - when: claim.amount > 100 and claim.kind == "car"
        steps: [{task: inspect}]
      - otherwise: [{task: pay}]
    name: which
  - task: archive
""")
KNOWN = pd.DataFrame({"claim.amount": [50, 150, 250, 150], "claim.kind": ["car", "car", "car", "home"]})


def test_choices_that_attributes_decide_are_decided_by_them() -> None:
    names = ("assess", "inspect", "pay", "archive")
    truth = ok.Scenario("1 h", dict.fromkeys(names, ok.exponential("5 min")), attributes=KNOWN)
    log = ok.simulate(CLAIM, truth, cases=400, seed=3)

    found = fit(CLAIM, log).scenario
    again = ok.simulate(CLAIM, found, cases=300, seed=4)

    assert "which" not in found.branching
    inspected = set(again.steps["case_id"][again.steps["activity"] == "inspect"])
    meant = (again.cases["claim.amount"] > 100) & (again.cases["claim.kind"] == "car")
    assert inspected == set(again.cases["case_id"][meant])
    assert 0.4 < meant.mean() < 0.6


def test_choices_that_attributes_do_not_decide_keep_their_shares() -> None:
    names = ("assess", "inspect", "pay", "archive")
    shares = {"which": {"inspect": 0.1, "pay": 0.9}}
    truth = ok.Scenario("1 h", dict.fromkeys(names, "5 min"), attributes=KNOWN, branching=shares)

    found = fit(CLAIM, ok.simulate(CLAIM, truth, cases=400, seed=3)).scenario

    assert found.branching["which"]["inspect"] == pytest.approx(0.1, abs=0.03)
    assert set(found.attributes) == {"claim.amount", "claim.kind"}


def test_who_works_together_is_a_team_where_the_workflow_names_no_roles() -> None:
    roles = {"assess": {"ann": 1}, "inspect": {"ann": 1}, "pay": {"bob": 1}, "archive": {"bob": 1}}
    truth = ok.Scenario(
        ok.exponential("30 min"),
        dict.fromkeys(roles, ok.exponential("9 min")),
        {"ann": 2, "bob": 1},
        requires=roles,
        branching={"which": {"inspect": 0.5, "pay": 0.5}},
    )
    log = ok.simulate(CLAIM, truth, cases=2_000, seed=3)
    log = ok.EventLog(log.steps.drop(columns="role"), log.cases)

    found = fit(CLAIM, log)

    assert found.scenario.requires == {
        "assess": {"team_1": 1},
        "inspect": {"team_1": 1},
        "pay": {"team_2": 1},
        "archive": {"team_2": 1},
    }
    assert {name: team.count for name, team in found.scenario.resources.items()} == {"team_1": 2, "team_2": 1}
    assert found.goodness.set_index("distance")["value"]["cycle_time"] < 0.2


def test_retries_that_are_not_the_policys_are_those_of_the_scenario() -> None:
    patient = ok.workflow("w", [ok.task("pay", retry=ok.Retry(max_attempts=3, initial_delay="2 h", max_delay="1 d"))])
    hasty = ok.workflow("w", [ok.task("pay", retry=ok.Retry(max_attempts=3, initial_delay="1 s"))])
    log = ok.simulate(patient, ok.Scenario("1 h", {"pay": "1 min"}, failures={"pay": 0.3}), cases=200, seed=3)

    assert fit(patient, log).notes == ()
    assert fit(patient, log).scenario.retries == {}
    fitted = fit(hasty, log)
    (note,) = fitted.notes
    assert note.startswith("pay: the log tries again after 7")
    assert note.endswith("policy says 1 s and 3. The scenario retries as the log does.")
    assert fitted.scenario.retries["pay"].initial_delay == pytest.approx(7_200, rel=0.1)
    again = ok.simulate(hasty, fitted.scenario, cases=200, seed=4)
    hours = [ok.cycle_times(one)["cycle_s"].mean() / 3_600 for one in (log, again)]
    assert hours[1] == pytest.approx(hours[0], rel=0.2)


def test_people_who_work_in_different_hours_are_shifts_and_each_has_hours_and_pace() -> None:
    early, late = ok.Calendar({"mon-fri": "06:00-14:00"}), ok.Calendar({"mon-fri": "14:00-22:00"})
    serve = ok.workflow("queue", [ok.task("serve", role="clerk")])
    truth = ok.Scenario(
        ok.exponential("40 min"),
        {"serve": ok.by_resource({"Ann": "12 min", "Bob": ok.exponential("20 min"), "Cid": ok.exponential("20 min")})},
        {"clerk": ok.Resource(members={"Ann": early, "Bob": late, "Cid": late})},
    )

    fitted = fit(serve, ok.simulate(serve, truth, cases=1_500, seed=2, progress=False))

    clerk = fitted.scenario.resources["clerk"]
    assert {name: hours.spans for name, hours in clerk.members.items()} == {
        "Ann": early.spans,
        "Bob": late.spans,
        "Cid": late.spans,
    }
    assert clerk.calendar.hours_per_week == 80
    paces = fitted.scenario.durations["serve"].parts
    assert paces["Ann"].parameters == pytest.approx((720,))
    assert paces["Bob"].mean == pytest.approx(1200, rel=0.1)
    assert fitted.goodness.set_index("distance")["value"]["cycle_time"] < 3


def test_a_loop_that_is_often_not_entered_is_not_gone_around_too_often() -> None:
    steps = [ok.task("open"), ok.repeat_while("x", [ok.task("call")], name="calls"), ok.task("end")]
    calls = ok.workflow("calls", steps)
    truth = ok.Scenario("1 h", {"open": 60, "call": 60, "end": 60}, loops={"calls": ok.Loop(repeat=0.5)})

    fitted = fit(calls, ok.simulate(calls, truth, cases=1_000, seed=2, progress=False))

    counted = fitted.scenario.loops["calls"].items
    assert counted.mean == pytest.approx(1, abs=0.15)
    assert np.mean(np.equal(counted.values, 0)) == pytest.approx(0.5, abs=0.05)
    assert fitted.goodness.set_index("distance")["value"]["ngram_2"] < 0.08


def test_a_queue_that_grew_in_the_log_grows_in_the_simulation() -> None:
    serve = ok.workflow("queue", [ok.task("serve", role="clerk")])
    truth = ok.Scenario(ok.exponential("10 min"), {"serve": ok.exponential("12 min")}, {"clerk": 1})

    fitted = fit(serve, ok.simulate(serve, truth, cases=1_500, seed=2, progress=False), train=1)

    assert fitted.scenario.resources["clerk"].count == 1
    assert fitted.notes == ()


def test_the_role_that_the_log_names_is_that_of_its_people() -> None:
    steps = pd.DataFrame({"case_id": range(40), "activity": "check", "resource": "Ann", "role": "clerk"})
    steps["started"] = pd.date_range("2024-05-06T09:00Z", periods=40, freq="h")
    steps["completed"] = steps["started"] + pd.Timedelta("10 min")
    other = steps.assign(activity="reject", role="packer", resource="Bob")
    log = ok.EventLog(pd.concat([steps, other]).astype({"case_id": "str"}))

    rows = roles_of({"check": "clerk", "reject": "clerk", "ship": "packer"}, log)

    assert {role: set(log.steps["resource"][mine]) for role, mine in rows.items()} == {
        "clerk": {"Ann"},
        "packer": {"Bob"},
    }


def test_choices_of_loops_and_parallel_paths_are_those_that_cases_took() -> None:
    # A loop of a free graph, beside another path: what follows a step may be of the other path.
    workflow = ok.read_workflow("""
workflow: dossier
nodes:
  start: start
  both: parallel
  again: exclusive
  call: task
  enough: exclusive
  some: exclusive
  letter: task
  none: exclusive
  joined: parallel
  end: end
flows:
  - start -> both -> again -> call -> enough
  - {enough -> again: more}
  - enough -> joined
  - both -> some
  - {some -> letter: wanted}
  - letter -> none
  - some -> none -> joined -> end
""")
    shares = {"enough": {"again": 0.6, "joined": 0.4}, "some": {"letter": 0.3, "none": 0.7}}
    truth = ok.Scenario("1 h", {"call": ok.exponential(60), "letter": ok.exponential(60)}, branching=shares)

    log = ok.simulate(workflow, truth, cases=500, seed=3, progress=False)
    done = log.steps["activity"].value_counts()

    found = shares_of(workflow, log)

    assert found["some"] == pytest.approx({"letter": done["letter"] / 500, "none": 1 - done["letter"] / 500})
    assert found["enough"] == pytest.approx({"again": 1 - 500 / done["call"], "joined": 500 / done["call"]})


def test_each_flow_of_an_inclusive_split_has_a_share_of_its_own() -> None:
    workflow = ok.read_workflow("""
workflow: parcel
nodes: {start: start, which: inclusive, a: task, b: task, joined: inclusive, end: end}
flows:
  - start -> which
  - {which -> a: wants_a}
  - {which -> b: wants_b}
  - a -> joined
  - b -> joined -> end
""")
    a, both = ["a"], ["a", "b"]
    rows = [(str(case), name) for case, names in enumerate([a, a, both, both, ["b"]]) for name in names]
    steps = pd.DataFrame(rows, columns=["case_id", "activity"])
    steps["completed"] = pd.date_range("2024-05-06T09:00Z", periods=len(steps), freq="h")

    assert shares_of(workflow, ok.EventLog(steps)) == {"which": {"a": 0.8, "b": 0.6}}


SERVE = ok.workflow("queue", [ok.task("serve")])


def served(**columns):
    steps = pd.DataFrame({"case_id": list("abcdefgh"), "activity": "serve"})
    steps["started"] = pd.date_range("2024-05-06T09:00Z", periods=8, freq="h")
    steps["completed"] = steps["started"] + pd.Timedelta("5 min")
    return ok.EventLog(steps.assign(**columns))


@pytest.mark.parametrize(
    ("log", "settings", "message"),
    [
        (
            served(activity="Serve"),
            {},
            "no step of 'queue': it has Serve; the workflow has serve.",
        ),
        (served(case_id="a"), {}, "two cases or more whose start is known, and the log has 1"),
        (served(status="FAILED"), {}, "no completed step of the task 'serve'"),
        (
            served(),
            {"train": "most"},
            "train is the share of the cases to learn from, above 0 and at most 1, not 'most'",
        ),
        (served(), {"seed": "x"}, "seed must be a whole number, not 'x'"),
        (
            ok.simulate(SERVE, ok.Scenario("1 h", {"serve": 60}), cases=3, replications=2, progress=False),
            {},
            "the log has 2 replications",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_what_to_do(log, settings, message) -> None:
    with pytest.raises(ScenarioError) as found:
        fit(SERVE, log, **settings)
    assert message in str(found.value)


def test_what_is_odd_in_a_log_is_told() -> None:
    more = served()
    unknown = more.steps.assign(activity="phone", completed=more.steps["completed"] + pd.Timedelta("1 min"))
    others = ok.EventLog(pd.concat([more.steps, unknown]))
    same = served(started=pd.Timestamp("2024-05-06T09:00Z"), completed=pd.Timestamp("2024-05-06T09:00Z"))

    told = "'queue' has no phone (8): these steps were passed over, and the time that they took counts as delay."
    assert fit(SERVE, others, train=1).notes == (told,)
    assert fit(SERVE, same).notes == (
        "No simulated step ended in the time of the cases held out: there is nothing to compare them to.",
    )


DESK = ok.workflow(
    "desk",
    [
        ok.task("a", role="clerk"),
        ok.choice(ok.when("x", [ok.task("b", role="clerk")]), ok.otherwise([ok.task("c", role="boss")]), name="which"),
        ok.repeat_while("y", [ok.task("d", role="clerk")], name="again"),
    ],
)
WORK = {
    "a": ok.lognormal("15 min", "10 min"),
    "b": ok.gamma(2, "4 min"),
    "c": ok.weibull(1.5, "12 min"),
    "d": ok.exponential("6 min"),
}
LUNCH = ok.Calendar({"mon-fri": ["09:00-12:00", "13:00-17:00"]})
EARLY, LATE = ok.Calendar({"mon-fri": "06:00-14:00"}), ok.Calendar({"mon-fri": "14:00-22:00"})
RUSH = ok.Profile(tuple(3.0 if day < 5 and 9 <= hour < 12 else 0.4 for day in range(7) for hour in range(24)))
BASE = ok.Scenario(
    ok.exponential("75 min"),
    WORK,
    {"clerk": ok.Resource(3, calendar=LUNCH), "boss": ok.Resource(2, calendar=ok.office_hours())},
    branching={"which": {"b": 0.7, "c": 0.3}},
    loops={"again": ok.Loop(repeat=0.4)},
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resources": {"clerk": 2, "boss": 1}, "arrivals": ok.exponential("20 min")},
        {"resources": {"clerk": ok.Resource(members={"e": EARLY, "f": EARLY, "l": LATE}), "boss": 1}},
        {"arrivals": RUSH, "resources": {"clerk": 4, "boss": 2}},
        {"arrivals": "75 min"},
        {"delays": {"c": ok.exponential("20 h"), "b": ok.uniform("1 h", "3 h")}},
        {"failures": {"a": ok.Failure(0.2), "b": ok.Failure(0.05)}},
    ],
    ids=["lunch", "always", "shifts", "rush", "regular", "delays", "failures"],
)
def test_a_fitted_scenario_is_about_as_near_to_its_truth_as_another_year_of_it(changes) -> None:
    truth = dataclasses.replace(BASE, **changes)
    log, *others = (ok.simulate(DESK, truth, cases=2_500, seed=seed, progress=False) for seed in range(1, 6))

    fitted = dataclasses.replace(fit(DESK, log).scenario, start=truth.start)
    again = ok.simulate(DESK, fitted, cases=2_500, seed=9, progress=False)

    away = ok.distances(others[0], again).set_index("distance")["value"]
    chance = pd.concat([ok.distances(others[0], one).set_index("distance")["value"] for one in others[1:]], axis=1)
    most = chance.max(axis=1)
    for name, slack in (("ngram_2", 0.01), ("ngram_3", 0.02), ("cycle_time", 0.5), ("circadian_event", 0.2)):
        assert away[name] <= 3 * most[name] + slack, name


def test_steps_that_are_begun_and_ended_together_are_batches() -> None:
    bread = ok.workflow("bread", [ok.task("knead"), ok.task("bake")])
    oven = {"bake": {"oven": 1}}
    truth = ok.Scenario(
        ok.exponential("20 min"),
        {"knead": "5 min", "bake": ok.uniform("20 min", "40 min")},
        {"oven": 2},
        batches={"bake": ok.Batch(5, max_wait="1 h")},
        requires=oven,
    )
    log = ok.simulate(bread, truth, cases=1_000, seed=3, progress=False)
    log = ok.EventLog(log.steps.drop(columns="role"), log.cases)

    fitted = fit(bread, log)

    found = fitted.scenario.batches["bake"]
    assert found.size == 5
    assert found.max_wait == pytest.approx(3_600, rel=0.02)
    assert fitted.scenario.requires["bake"] == {"team_1": 1}
    assert fitted.goodness.set_index("distance")["value"]["cycle_time"] < 0.15


def test_all_of_many_variants_are_counted() -> None:
    optional = [
        ok.choice(ok.when("x", [ok.task(f"task {number}")]), ok.otherwise([]), name=f"which {number}")
        for number in range(8)
    ]
    names = [f"task {number}" for number in range(8)]
    # 256 cases: each takes another set of the tasks, the n-th where the n-th bit of its number is set.
    rows = [
        (str(case), name)
        for case in range(256)
        for bit, name in enumerate(["open", *names])
        if bit == 0 or case >> (bit - 1) & 1
    ]
    steps = pd.DataFrame(rows, columns=["case_id", "activity"])
    steps["completed"] = pd.date_range("2024-05-06T09:00Z", periods=len(steps), freq="min")

    found = shares_of(ok.workflow("many", [ok.task("open"), *optional]), ok.EventLog(steps))

    assert {name: shares[name.replace("which", "task")] for name, shares in found.items()} == {
        f"which {number}": 0.5 for number in range(8)
    }


TALK = ok.workflow("talk", [ok.task("ask", role="clerk"), ok.task("answer", role="clerk")])
TALKS = ok.Scenario(
    ok.exponential("15 min"),
    {"ask": ok.exponential("20 min"), "answer": ok.uniform("10 min", "20 min")},
    {"clerk": ok.Resource(6, calendar=ok.Calendar({"mon-sun": "08:00-20:00"}))},
)


def talked(**changes: object) -> ok.EventLog:
    log = ok.simulate(TALK, dataclasses.replace(TALKS, **changes), cases=600, seed=5, progress=False)
    return ok.EventLog(log.steps[["case_id", "activity", "started", "completed", "resource"]])


def test_who_does_several_steps_at_a_time_counts_as_so_many() -> None:
    log = talked()
    who = log.steps["resource"].str[-1].astype(int) % 2
    shared = ok.EventLog(log.steps.assign(resource=who.map({0: "Ann", 1: "Bob"})))

    found = fit(TALK, shared, train=1)

    assert found.scenario.resources["clerk"].count == 6
    assert found.scenario.resources["clerk"].calendar.hours_per_week == pytest.approx(84, abs=1)
    assert found.notes == ("clerk: people were seen to do several steps at a time: 2 count as 6.",)


def test_people_without_names_have_hours_and_are_as_many_as_were_at_work() -> None:
    log = ok.EventLog(talked().steps.drop(columns="resource"))
    anybody = ok.workflow("talk", [ok.task("ask"), ok.task("answer")])

    found, free = fit(TALK, log, train=1), fit(anybody, log, train=1)

    assert found.scenario.resources["clerk"].count == 6
    assert found.scenario.resources["clerk"].calendar.hours_per_week == pytest.approx(84, abs=1)
    assert found.scenario.durations["ask"].mean == pytest.approx(1_200, rel=0.05)
    assert [note.partition(":")[0] for note in found.notes] == ["The log does not say who clerk are"]
    assert free.scenario.requires == {"ask": {"team_2": 1}, "answer": {"team_1": 1}}
    assert free.scenario.durations["ask"].mean == pytest.approx(1_200, rel=0.05)


def test_people_without_names_do_what_takes_no_time_as_well() -> None:
    steps = pd.DataFrame({"case_id": list("1122"), "activity": ["ask", "answer"] * 2, "resource": None})
    steps["started"] = pd.date_range("2024-05-06T09:00Z", periods=4, freq="h")
    steps["completed"] = steps["started"] + pd.to_timedelta([0, 20, 0, 20], unit="min")

    found, nameless = with_people(ok.EventLog(steps), {"ask": "clerk", "answer": "clerk"})

    assert (nameless, set(found.steps["resource"])) == ({"clerk"}, {"anybody of clerk"})
    assert with_people(ok.EventLog(steps), {})[1] == {"answer"}  # what takes no time may be a machine's


def test_people_who_are_assumed_beyond_those_who_were_seen_are_told() -> None:
    # Every two hours something long begins, and three short ones within it: more than one can do without a pause.
    hours = np.repeat(np.arange(100) * 2.0, 4) + np.tile([0, 0.2, 0.7, 1.2], 100)
    took = np.tile([1.9, 0.4, 0.4, 0.4], 100)
    origin = pd.Timestamp("2024-05-06T00:00Z")
    steps = pd.DataFrame({"case_id": np.arange(400).astype(str), "activity": "ask", "resource": "Ann"})
    steps["started"] = origin + pd.to_timedelta(hours, unit="h")
    steps["completed"] = origin + pd.to_timedelta(hours + took, unit="h")

    found = fit(ok.workflow("talk", [ok.task("ask", role="clerk")]), ok.EventLog(steps))

    assert found.scenario.resources["clerk"].count == 2
    assert found.notes[0].startswith("clerk: 1 were seen at work at a time")
