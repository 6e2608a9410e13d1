from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.analysis.game import Game
from orchkit.analysis.moves import End
from orchkit.testing import VirtualClock
from tests.analysis.written_logs import engine_log_of_table, faulty_world, simulated_log
from tests.semantics.table import table

SAMPLES = Path(__file__).parents[2] / "sample_processes"
ORDER = ok.workflow(
    "order",
    [
        ok.task("check"),
        ok.parallel(ok.task("pick"), ok.task("bill")),
        ok.choice(ok.when("qty > 3", ok.task("insure")), ok.otherwise()),
        ok.task("ship", on_error=[ok.task("escalate")]),
    ],
)


def log_of(*traces):
    rows = [
        {"case_id": f"c{number}", "activity": name, "completed": pd.Timestamp(60 * position, unit="s", tz="UTC")}
        for number, trace in enumerate(traces)
        for position, name in enumerate(trace)
    ]
    return ok.EventLog(pd.DataFrame(rows))


def deviations(workflow, *traces):
    found = ok.conformance(workflow, log_of(*traces)).deviations
    return found[["case_id", "position", "activity", "kind"]].to_numpy().tolist()


def test_what_follows_the_workflow_has_fitness_one():
    log = log_of(["check", "pick", "bill", "ship"], ["check", "bill", "pick", "insure", "ship"])

    found = ok.conformance(ORDER, log)

    assert (found.fitness, found.cases, found.fitting, len(found.deviations)) == (1.0, 2, 2, 0)


def test_a_step_left_out_one_put_in_and_one_elsewhere_are_told_apart():
    assert deviations(ORDER, ["check", "pick", "ship"]) == [["c0", 2, "bill", "skipped"]]
    assert deviations(ORDER, ["check", "pick", "call", "bill", "ship"]) == [["c0", 2, "call", "inserted"]]
    assert deviations(ORDER, ["pick", "check", "bill", "ship"]) == [["c0", 0, "pick", "out of order"]]


def test_fitness_counts_deviations_over_the_most_there_could_be():
    assert ok.conformance(ORDER, log_of(["check", "pick", "ship"])).fitness == pytest.approx(1 - 1 / 7)


def test_where_the_budget_is_spent_the_case_is_listed():
    found = ok.conformance(ORDER, log_of(["check", "pick", "bill", "ship"]), budget=2)

    assert found.undecided == ("c0",)
    assert found.cases == 0


def assert_followed(workflow, log):
    found = ok.conformance(workflow, log)

    assert found.deviations.to_numpy().tolist() == []
    assert (found.fitness, found.undecided) == (1.0, ())


# Of the proof over the whole table, a part that is always run.
EACH_CASE = [
    pytest.param(case, id=f"{case.source}: {case.name}", marks=[pytest.mark.slow] if place % 10 else [])
    for place, case in enumerate(table())
]


@pytest.mark.parametrize("case", EACH_CASE)
def test_what_the_engine_writes_of_each_case_of_the_table_follows_the_workflow(case):
    log = engine_log_of_table(case)

    # A run that ends before its first step leaves no log, and nothing to follow.
    if len(log):
        assert_followed(case.workflow, log)


@pytest.mark.parametrize("fails", [0.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_what_the_simulator_writes_of_each_case_of_the_table_follows_the_workflow(fails):
    seen = 0
    for case in table():
        with contextlib.suppress(ok.ScenarioError):  # the simulator refuses what never ends
            assert_followed(case.workflow, simulated_log(case.workflow, fails, seed=3))
            seen += 1

    assert seen > 200


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_the_simulator_writes_of_the_sample_processes_follows_them(path):
    workflow = ok.read_workflow(path)

    assert_followed(workflow, simulated_log(workflow, 0.2, seed=5, cases=50))


@pytest.mark.parametrize("block", range(2))
def test_what_an_engine_writes_that_crashes_follows_random_workflows(block):
    for seed in range(10 * block, 10 * block + 10):
        workflows, log = faulty_world(seed)
        for workflow in workflows:
            if (log.cases["workflow"] == workflow.name).any():
                assert_followed(workflow, log)


@pytest.mark.slow
def test_what_an_engine_writes_that_crashes_follows_a_thousand_random_workflows():
    for seed in range(1_000, 1_800):
        workflows, log = faulty_world(seed)
        for workflow in workflows:
            if (log.cases["workflow"] == workflow.name).any():
                assert_followed(workflow, log)


@pytest.mark.parametrize("seed", range(3))
def test_a_log_that_the_engine_wrote_has_no_deviation(seed):
    rng = random.Random(seed)

    def work():
        match rng.random():
            case luck if luck < 0.2:
                raise ok.TransientError("again")
            case luck if luck < 0.3:
                raise ok.PermanentError("no")

    handlers = {name: lambda: work() for name in ("check", "pick", "bill", "insure", "ship", "escalate")}
    with ok.Engine(handlers=handlers, clock=VirtualClock()) as engine:
        for number in range(25):
            engine.run(ORDER, {"qty": number % 7}, case_id=f"c{number:02}")
        log = engine.log()

    found = ok.conformance(ORDER, log)

    assert found.deviations.to_numpy().tolist() == []
    assert (found.fitness, found.cases) == (1.0, 25)


@pytest.mark.parametrize("seed", range(10))
def test_a_log_follows_the_workflow_that_was_discovered_from_it(seed):
    rng = random.Random(seed)
    log = log_of(*([rng.choice("abcd") for _ in range(rng.randint(1, 6))] for _ in range(10)))

    found = ok.conformance(ok.discover(log), log)

    assert (found.fitness, found.cases, found.undecided) == (1.0, 10, ())


# Planted deviations ----------------------------------------------------------------


def blocks(draw, names, depth):
    """A workflow in which every task has to be done: sequences and parallel branches, and choices of two ways."""
    steps = []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.booleans()):
            steps.append(ok.parallel(*(blocks(draw, names, depth - 1) for _ in range(2))))
        else:
            steps.append(ok.task(next(names)))
    return steps


@st.composite
def planted(draw):
    """A workflow without choices, and a case of it that follows it."""
    names = (f"t{number}" for number in range(99))
    workflow = ok.workflow("blocks", [ok.task("first"), *blocks(draw, names, 2), ok.task("last")])
    game = Game(workflow, frozenset())
    state, trace = game.begin()[0], []
    while not game.ends(state, End.COMPLETED):
        name = draw(st.sampled_from(game.open_names(state)))
        (state,) = game.after(state, name)
        trace.append(name)
    return workflow, trace


@settings(max_examples=25)
@given(planted(), st.data())
def test_a_step_that_is_taken_out_is_found_exactly(case, data):
    workflow, trace = case
    place = data.draw(st.integers(0, len(trace) - 1))

    found = deviations(workflow, [*trace[:place], *trace[place + 1 :]])

    assert [row[2:] for row in found] == [[trace[place], "skipped"]]
    # A step that could as well have been done later is told where it had to be at the latest.
    assert found[0][1] >= place


@settings(max_examples=25)
@given(planted(), st.data())
def test_steps_that_are_put_in_are_found_exactly_where_they_are(case, data):
    workflow, trace = case
    places = sorted(data.draw(st.sets(st.integers(0, len(trace)), min_size=1, max_size=3)), reverse=True)
    other = list(trace)
    for place in places:
        other.insert(place, "strange")

    found = deviations(workflow, other)

    assert found == [["c0", place, "strange", "inserted"] for place, name in enumerate(other) if name == "strange"]


@settings(max_examples=25)
@given(planted(), st.data())
def test_a_step_that_is_done_twice_is_inserted_once(case, data):
    workflow, trace = case
    place = data.draw(st.integers(0, len(trace) - 1))

    found = deviations(workflow, [*trace[: place + 1], *trace[place:]])

    assert found == [["c0", place + 1, trace[place], "inserted"]]


@settings(max_examples=25)
@given(planted(), st.data())
def test_two_steps_that_change_places_are_one_out_of_order_or_none(case, data):
    workflow, trace = case
    place = data.draw(st.integers(0, len(trace) - 2))
    other = [*trace[:place], trace[place + 1], trace[place], *trace[place + 2 :]]

    found = deviations(workflow, other)

    if ok.conformance(workflow, log_of(other)).fitting:  # side by side, they have no order
        assert found == []
    else:
        assert [row[3] for row in found] == ["out of order"]
        assert found[0][2] in other[place : place + 2]
        assert found[0][1] in (place, place + 1)


def test_a_deviation_inside_a_loop_a_saga_and_a_call_is_found_in_its_place():
    pay = ok.workflow("pay", [ok.task("charge"), ok.task("receipt")])
    trip = ok.workflow(
        "trip",
        [
            ok.for_each("lines", [ok.task("pick"), ok.task("pack")], concurrency=2),
            ok.saga([ok.task("fly", compensate="cancel_fly"), ok.task("stay")], on_error=[ok.task("mend")]),
            ok.call(pay),
        ],
        workflows=[pay],
    )
    whole = ["pick", "pick", "pack", "pack", "fly", "stay", "charge", "receipt"]
    failed = pd.DataFrame(
        {
            "case_id": "c0",
            "activity": ["fly", "stay", "mend", "charge", "receipt"],
            "status": ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED", "COMPLETED"],
            "completed": [f"2024-05-06T{hour:02}:00Z" for hour in range(9, 14)],
        }
    )

    assert deviations(trip, whole) == []
    assert deviations(trip, [name for name in whole if name != "receipt"]) == [["c0", 7, "receipt", "skipped"]]
    assert deviations(trip, whole[1:]) == [["c0", 2, "pack", "inserted"]]
    found = ok.conformance(trip, ok.EventLog(failed)).deviations
    assert found[["position", "activity", "kind"]].to_numpy().tolist() == [[2, "cancel_fly", "skipped"]]


def test_what_a_workflow_allows_and_nobody_does_makes_it_imprecise():
    log = log_of(["check", "pick", "bill", "ship"])
    order = ok.workflow("order", [ok.task("check"), ok.parallel(ok.task("pick"), ok.task("bill")), ok.task("ship")])
    straight = ok.workflow("order", [ok.task(name) for name in ("check", "pick", "bill", "ship")])

    # check; pick or bill; bill; ship: of five steps that are allowed, four are taken.
    assert ok.conformance(order, log).precision == 0.8
    assert ok.conformance(straight, log).precision == 1.0


def test_a_conformance_has_its_frames_and_draws_itself_on_the_workflow():
    log = log_of(
        ["check", "pick", "bill", "ship"], ["check", "call", "pick", "ship"], ["pick", "check", "bill", "ship"]
    )
    found = ok.conformance(ORDER, log)

    assert found.by_case["deviations"].tolist() == [0, 2, 1]
    assert found.by_step.set_index("activity").loc["bill"].tolist() == [2, 1, 0, 0, 0]
    assert found.deviations["row"].fillna(-1).tolist() == [5, -1, 8]
    text = str(ok.draw(ORDER, found))
    assert "bill: python task (1 skipped)" in text
    assert "pick: python task (1 out of order)" in text
    bundle = found._repr_mimebundle_()
    assert "Inserted, not in the workflow: call 1" in bundle["text/html"]
    assert bundle["text/plain"] == repr(found)


def test_what_ended_at_the_same_moment_has_no_order_where_both_were_open():
    trip = ok.workflow(
        "trip",
        [
            ok.saga(
                [
                    ok.parallel(ok.task("fly", compensate="cancel_fly"), ok.task("stay", compensate="cancel_stay")),
                    ok.task("pay"),
                ]
            )
        ],
    )
    frame = pd.DataFrame(
        {
            "case_id": "c0",
            "activity": ["fly", "stay", "pay", "cancel_fly", "cancel_stay"],
            "status": ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED", "COMPLETED"],
            "error_class": [None, None, "permanent", None, None],
            "completed": [f"2024-05-06T{hour:02}:00Z" for hour in (9, 9, 10, 11, 12)],
        }
    )

    assert ok.conformance(trip, ok.EventLog(frame)).fitness == 1.0
    later = frame.assign(completed=[f"2024-05-06T{hour:02}:00Z" for hour in (8, 9, 10, 11, 12)])
    assert ok.conformance(trip, ok.EventLog(later)).deviations["kind"].tolist() == ["out of order"]


def test_what_passes_side_by_side_decide_is_not_all_decided_at_once():
    inner = ok.for_each(
        "parts",
        [ok.choice(ok.when("part.new", ok.task("make")), ok.otherwise(ok.task("take"))), ok.task("pack")],
        item="part",
        name="parts",
        concurrency=3,
        tolerated_failures="50%",
    )
    many = ok.workflow("many", [ok.for_each("lines", [inner, ok.task("close")], concurrency=3), ok.task("bill")])
    trace = ["make", "take", "pack", "close", "pack", "take", "pack", "close", "close", "bill"]

    assert_followed(many, log_of(trace))


def test_a_wait_that_is_not_there_passes_unseen_unless_who_wrote_the_log_names_waits():
    order = ok.workflow("order", [ok.task("ask"), ok.wait_for(callback="answer"), ok.task("ship")])
    log = log_of(["ask", "ship"])

    assert ok.conformance(order, log).fitting == 1
    written = ok.EventLog(log.steps.assign(run_id="r1"))
    assert ok.conformance(order, written).deviations["activity"].tolist() == ["answer"]


def test_a_workflow_of_too_many_states_is_given_up_in_time():
    wide = ok.workflow("wide", [ok.parallel(*([ok.task(f"a{n}"), ok.task(f"b{n}")] for n in range(14)))])
    trace = [f"b{n}" for n in range(14)] + [f"a{n}" for n in range(14)]
    began = time.process_time()

    found = ok.conformance(wide, log_of(trace), time_limit="2s")

    assert found.undecided == ("c0",)
    assert time.process_time() - began < 10
