from __future__ import annotations

import contextlib
import random

import pandas as pd
import pytest

import orchkit as ok
from orchkit.testing import VirtualClock
from tests.analysis.written_logs import engine_log_of_table, faulty_world, simulated_log
from tests.semantics.table import table

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
