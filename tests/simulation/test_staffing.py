"""Who serves whom, and when: orders of service, several at once, batches, and why steps wait; literal schedules."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import pytest

import orchkit as ok

START = pd.Timestamp("2025-01-06T00:00Z")  # a Monday


def schedule(log, *names):
    """Return start and end of each step by case, in minutes."""
    steps = log.steps
    times = [((steps[name] - START).dt.total_seconds() / 60).round(3) for name in names or ("started", "completed")]
    keys = zip(steps["case_id"].astype(int), steps["activity"].astype(str), steps["attempt"], strict=True)
    rows = dict(zip(keys, zip(*times, strict=True), strict=True))
    return {(case, activity): row for (case, activity, _), row in sorted(rows.items())}


def waits(log):
    names = ("contention", "calendar", "batching", "priority", "retry")
    table = log.steps[[f"wait_{name}_s" for name in names]] / 60
    return [
        {name: round(value, 3) for name, value in zip(names, row, strict=True) if value}
        for row in table.to_numpy().tolist()
    ]


def run(tasks, minutes, **scenario):
    """Return the log of cases that arrive at these minutes."""
    workflow = ok.workflow("w", tasks)
    arrivals = ok.ArrivalTimes(tuple(60 * minute for minute in minutes))
    return ok.simulate(workflow, ok.Scenario(arrivals, **scenario))


def serve(minutes, durations="10 min", resource=None, **scenario):
    tasks = [ok.task("serve", role="clerk", retry=ok.Retry(max_attempts=1))]
    return run(tasks, minutes, durations={"serve": durations}, resources={"clerk": resource or 1}, **scenario)


# Orders of service -------------------------------------------------------------------


def test_last_who_came_is_served_first():
    log = serve([0, 1, 2, 3], resource=ok.Resource(1, discipline="lifo"))

    assert schedule(log) == {
        (1, "serve"): (0, 10),
        (2, "serve"): (30, 40),
        (3, "serve"): (20, 30),
        (4, "serve"): (10, 20),
    }
    # 2 waits 9 for who is served, then 20 for those who came later.
    assert waits(log) == [{}, {"contention": 9, "priority": 20}, {"contention": 8, "priority": 10}, {"contention": 7}]


def two_kinds(minutes, resource):
    """Return the log of two tasks of one role, the second more urgent: those of one case run side by side."""
    tasks = [
        ok.parallel(
            [ok.task("slow", role="clerk")],
            [ok.wait_for(timer="3 min", name="later"), ok.task("quick", role="clerk")],
        )
    ]
    return run(
        tasks,
        minutes,
        durations={"slow": "10 min", "quick": "2 min"},
        resources={"clerk": resource},
        priorities={"quick": 2, "slow": 1},
    )


def test_priority_goes_first_but_does_not_interrupt():
    log = two_kinds([0, 1], ok.Resource(1, discipline="priority", cost_per_hour=60))

    found = schedule(log)
    assert found[1, "slow"] == (0, 10)
    assert found[1, "quick"] == (10, 12)
    assert found[2, "quick"] == (12, 14)
    assert found[2, "slow"] == (14, 24)
    by_step = dict(
        zip(found, waits(log.__class__(log.steps.sort_values(["case_id", "activity"]), log.cases)), strict=False)
    )
    assert by_step[2, "slow"] == {"contention": 9, "priority": 4}


def test_priority_interrupts_and_what_was_interrupted_goes_on():
    log = two_kinds([0, 1], ok.Resource(1, discipline="preemptive", cost_per_hour=60))

    found = schedule(log)
    # 1's slow works 0-3, is interrupted by 1's quick (3-5, 2's comes at 4 and waits: 5-7), and works 7-14.
    assert found[1, "quick"] == (3, 5)
    assert found[2, "quick"] == (5, 7)
    assert found[1, "slow"] == (0, 14)
    assert found[2, "slow"] == (14, 24)
    costs = log.steps.set_index(["case_id", "activity"])["cost"].round(6)
    assert costs[("1", "slow")] == 10
    assert log.availability["busy_s"].tolist() == [24 * 60]
    assert ok.kpis(log).set_index("kpi")["value"]["utilization.clerk"] == 1


def test_shortest_is_served_first():
    log = run(
        [ok.parallel([ok.task("a", role="clerk")], [ok.task("b", role="clerk")], [ok.task("c", role="clerk")])],
        [0],
        durations={"a": "5 min", "b": "9 min", "c": "2 min"},
        resources={"clerk": ok.Resource(1, discipline="shortest")},
    )

    assert schedule(log) == {(1, "a"): (0, 5), (1, "b"): (7, 16), (1, "c"): (5, 7)}


T99 = 2.861  # of Student's t with 19 degrees of freedom


def priority_queue(discipline):
    task = ok.task("serve", role="clerk")
    kinds = ok.categorical({"high": 0.4, "low": 0.6})
    scenario = ok.Scenario(
        ok.exponential(1.0),
        durations={"serve": ok.exponential(0.7)},
        resources={"clerk": ok.Resource(1, discipline=discipline)},
        attributes={"kind": kinds},
        priorities={"serve": ok.by_attribute("kind", {"high": 2, "low": 1})},
    )
    log = ok.simulate(ok.workflow("w", [task]), scenario, cases=30_000, replications=20, warm_up=1_000, seed=8)
    cases = log.cases.assign(cycle=(log.cases["completed"] - log.cases["started"]).dt.total_seconds())
    return cases.groupby(["replication", "kind"])["cycle"].mean().unstack()  # noqa: PD010 -- a table of means


@pytest.mark.parametrize(
    ("discipline", "high", "low"),
    [
        # Cobham: W = (0.7 * 0.7) / ((1 - s) (1 - s')), s the load of those before, s' with one's own; plus service.
        ("priority", 0.49 / (1 - 0.28) + 0.7, 0.49 / ((1 - 0.28) * (1 - 0.7)) + 0.7),
        # M/M/1 with interruption: T = (1 / (1 - s)) (0.7 + R / (1 - s')), R: residual work of own and before.
        ("preemptive", 0.7 / (1 - 0.28), (0.7 + 0.49 / (1 - 0.7)) / (1 - 0.28)),
    ],
)
def test_two_classes_stay_as_long_as_theory_says(discipline, high, low):
    means = priority_queue(discipline)

    for kind, expected in (("high", high), ("low", low)):
        half = T99 * means[kind].std() / len(means) ** 0.5
        assert abs(means[kind].mean() - expected) < half, (kind, means[kind].mean(), expected, half)
        assert half < 0.09 * expected


# Several at once ---------------------------------------------------------------------


def surgery(minutes, surgeons=1, nurses=2, **more):
    tasks = [ok.task("operate"), ok.task("care", role="nurse")]
    return run(
        tasks,
        minutes,
        durations={"operate": "10 min", "care": "5 min"},
        resources={
            "surgeon": ok.Resource(surgeons, cost_per_hour=120),
            "nurse": ok.Resource(nurses, cost_per_hour=60, cost_per_step=1),
        },
        requires={"operate": {"surgeon": 1, "nurse": 2}},
        **more,
    )


def test_step_takes_all_that_it_needs_at_once_and_costs_what_they_cost():
    log = surgery([0, 3])

    # At 10 all are free for case 2, which came before case 1 asked for care.
    assert schedule(log) == {
        (1, "care"): (20, 25),
        (1, "operate"): (0, 10),
        (2, "care"): (20, 25),
        (2, "operate"): (10, 20),
    }
    costs = log.steps.groupby("activity", observed=True)["cost"].unique()
    assert costs["operate"].tolist() == [10 * 4 + 2]  # (120 + 2 * 60) an hour, and a step each of two nurses
    assert costs["care"].tolist() == [5 + 1]
    busy = log.availability.set_index("resource")["busy_s"] / 60
    assert busy["surgeon_1"] == 20
    assert busy["nurse_1"] + busy["nurse_2"] == 2 * 20 + 2 * 5


def test_who_needs_several_does_not_hold_one_while_it_waits_for_the_others():
    log = run(
        [
            ok.parallel(
                [ok.task("long", role="b")],
                [ok.wait_for(timer="1 min", name="w1"), ok.task("both")],
                [ok.wait_for(timer="2 min", name="w2"), ok.task("short", role="a")],
            )
        ],
        [0],
        durations={"long": "10 min", "both": "4 min", "short": "3 min"},
        resources={"a": 1, "b": 1},
        requires={"both": ["a", "b"]},
    )

    found = schedule(log)
    assert found[1, "short"] == (2, 5)
    assert found[1, "both"] == (10, 14)


def test_who_gives_several_back_and_needs_them_again_comes_after_who_waits_for_them():
    log = run(
        [ok.repeat_while("again", [ok.task("both")], name="twice")],
        [0, 1],
        durations={"both": "10 min"},
        resources={"a": 1, "b": 1},
        requires={"both": ["a", "b"]},
        loops={"twice": 2},
    )

    begun = (log.steps["started"] - log.steps["started"].min()).dt.total_seconds() / 60
    assert begun.groupby(log.steps["case_id"].astype("str")).agg(list).to_dict() == {"1": [0, 20], "2": [10, 30]}


def test_who_is_served_past_one_that_needs_more_overtakes_those_behind():
    def later(minutes, name):
        return [ok.wait_for(timer=f"{minutes} min", name=f"until_{name}"), ok.task(name, role="a")]

    log = run(
        [
            ok.parallel(
                [ok.task("long", role="b")],
                [ok.task("begun", role="a")],
                later(1, "low"),
                later(2, "mid"),
                later(3, "both"),
            )
        ],
        [0],
        durations={"long": "50 min", "begun": "10 min", "low": "5 min", "mid": "5 min", "both": "5 min"},
        resources={"a": ok.Resource(1, discipline="lifo"), "b": 1},
        requires={"both": ["a", "b"]},
    )

    found = dict(zip(log.steps["activity"], waits(log), strict=True))
    assert found["mid"] == {"contention": 8}
    assert found["low"] == {"contention": 9, "priority": 5}


def test_needs_in_opposite_orders_do_not_lock_each_other():
    tasks = [ok.parallel([ok.task("x")], [ok.task("y")])]
    log = run(
        tasks,
        [0] * 20,
        durations={"x": "5 min", "y": "5 min"},
        resources={"a": 1, "b": 1},
        requires={"x": {"a": 1, "b": 1}, "y": {"b": 1, "a": 1}},
    )

    assert (log.cases["status"] == "COMPLETED").all()
    assert (log.cases["completed"].max() - START).total_seconds() == 40 * 5 * 60


def test_roles_with_different_hours_begin_when_both_are_there():
    log = run(
        [ok.task("meet")],
        [0],
        durations={"meet": "1 h"},
        resources={
            "boss": ok.Resource(1, calendar=ok.Calendar({"mon-fri": "08:00-12:00"})),
            "room": ok.Resource(1, calendar=ok.Calendar({"mon-fri": "10:00-18:00"})),
        },
        requires={"meet": {"boss": 1, "room": 1}},
    )

    assert schedule(log) == {(1, "meet"): (600, 660)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"requires": {"serve": {"clerc": 1}}}, "nobody has the role 'clerc'. Did you mean 'clerk'?"),
        ({"requires": {"serve": {"clerk": 3}}}, "it needs 3 of 'clerk' at once, and there are 1"),
    ],
)
def test_needs_that_cannot_be_met_are_named(change, says):
    with pytest.raises(ok.ScenarioError, match=says.replace("?", r"\?")):
        serve([0], **change)


def test_needs_count_from_one():
    with pytest.raises(ok.ScenarioError, match="requires: serve: clerk: how many are needed at once"):
        ok.Scenario(requires={"serve": {"clerk": 0}})


# Batches -----------------------------------------------------------------------------


def test_steps_of_a_batch_wait_for_each_other_and_are_done_together():
    log = serve([0, 2, 5, 6, 7], batches={"serve": ok.Batch(2, max_wait="30 min")})

    assert schedule(log) == {
        (1, "serve"): (2, 12),
        (2, "serve"): (2, 12),
        (3, "serve"): (12, 22),
        (4, "serve"): (12, 22),
        (5, "serve"): (37, 47),
    }
    assert waits(log) == [{"batching": 2}, {}, {"batching": 1, "contention": 6}, {"contention": 6}, {"batching": 30}]
    assert log.availability["busy_s"].tolist() == [30 * 60]
    assert ok.kpis(log).set_index("kpi")["value"]["waiting_time.batching"] == 33 * 60 / 5


def test_batch_that_does_not_fill_waits_for_ever():
    log = serve([0, 1, 2], batches={"serve": 2})

    assert log.cases["status"].tolist() == ["COMPLETED", "COMPLETED", "RUNNING"]
    assert log.steps["status"].tolist() == ["COMPLETED", "COMPLETED", "PENDING"]


def test_a_batch_fails_together_and_each_tries_again():
    retry = ok.Retry(max_attempts=2, initial_delay="1 min", jitter=0)
    log = run(
        [ok.task("serve", role="clerk", retry=retry)],
        [0, 0],
        durations={"serve": "10 min"},
        resources={"clerk": ok.Resource(1, cost_per_hour=60)},
        batches={"serve": 2},
        failures={"serve": 1.0},
    )

    assert log.steps["status"].tolist() == ["FAILED"] * 4
    assert [minutes for _, minutes in sorted(schedule(log, "started").items())] == [(11,), (11,)]
    assert sorted(log.steps["cost"]) == [0, 0, 10, 10]


def with_timeout(minutes, timeout, durations, size):
    serve_it = ok.task("serve", role="clerk")
    return run(
        [ok.scope([serve_it], name="s", timeout=timeout, fallback="none"), ok.task("after")],
        minutes,
        durations={"serve": durations, "after": "1 min"},
        resources={"clerk": 1},
        batches={"serve": size},
    )


def test_who_leaves_a_batch_leaves_the_others_in_it():
    found = schedule(with_timeout([0, 3, 5, 6], "4 min", "1 min", 3))

    # 1 gives up at 4; 2 and 3, which wait on, and 4 are enough at 6.
    assert found[1, "after"] == (4, 5)
    assert [found[case, "serve"] for case in (2, 3, 4)] == [(6, 7)] * 3


def test_first_of_a_batch_that_waits_for_a_clerk_hands_its_place_on():
    found = schedule(with_timeout([0, 0, 0.5, 3], "5 min", "6 min", 2))

    # 3 and 4 are enough at 3 and wait for the clerk; 3 gives up at 5.5, and 4 is served when the clerk is free.
    assert found[3, "after"] == (5.5, 6.5)
    assert found[4, "serve"] == (6, 12)


def test_setup_is_needed_where_the_last_work_was_another():
    log = run(
        [ok.task("a", role="clerk"), ok.task("b", role="clerk")],
        [0, 0],
        durations={"a": "10 min", "b": "10 min"},
        resources={"clerk": 1},
        setups={"a": "1 min", "b": "2 min"},
    )

    assert schedule(log) == {(1, "a"): (0, 11), (1, "b"): (21, 33), (2, "a"): (11, 21), (2, "b"): (33, 43)}


# Why steps wait ----------------------------------------------------------------------


def test_waiting_outside_the_hours_of_all_is_the_calendar_s():
    early, late = ok.Calendar({"mon-sun": "06:00-10:00"}), ok.Calendar({"mon-sun": "09:00-18:00"})
    log = serve(
        [0, 8 * 60, 8 * 60 + 1, 20 * 60],
        durations="3 h",
        resource=ok.Resource(members={"Ann": early, "Bob": late}),
    )

    # Ann: 1 from 6 to 9; then 2 from 9 to 10 and, on Tuesday, from 6 to 8. Bob: 3 from 9 to 12; 4 on Tuesday from ...
    assert log.steps["resource"].tolist()[:1] == ["Ann"]
    found = schedule(log)
    assert found[1, "serve"] == (360, 540)
    assert sorted([found[2, "serve"][0], found[3, "serve"][0]]) == [540, 540]
    assert waits(log)[0] == {"calendar": 360}
    assert waits(log)[1] == {"contention": 60}
    assert waits(log)[2] == {"contention": 59}
    # From 20:00 until Ann comes at 6:00.
    assert waits(log)[3]["calendar"] == 600


def test_waiting_for_a_retry_is_the_retry_s_and_what_follows_is_not():
    retry = ok.Retry(max_attempts=2, initial_delay="5 min", max_delay="5 min", jitter=0)
    log = run(
        [ok.task("serve", role="clerk", retry=retry)],
        [0, 12],
        durations={"serve": "10 min"},
        resources={"clerk": 1},
        failures={"serve": 1.0},
    )

    second = [found for found, attempt in zip(waits(log), log.steps["attempt"], strict=True) if attempt == 2]
    # 1 fails at 10, may try again at 15; the clerk serves 2 from 12 to 22.
    assert second[0] == {"retry": 5, "contention": 7}
    assert second[1]["retry"] == 5


def test_all_causes_together_are_the_whole_wait():
    log = run(
        [
            ok.parallel([ok.task("ask")], [ok.task("look")]),
            ok.task("serve", role="clerk", retry=ok.Retry(max_attempts=3, initial_delay="7 min", max_delay="9 min")),
        ],
        range(0, 3_000, 7),
        durations=dict.fromkeys(("serve", "ask", "look"), ok.exponential("14 min")),
        resources={"clerk": ok.Resource(2, calendar=ok.office_hours(), discipline="priority")},
        failures={"serve": 0.2},
        batches={"serve": ok.Batch(2, max_wait="10 min")},
        priorities={"serve": ok.uniform(0, 1)},
    )

    waited = (log.steps["started"] - log.steps["enabled"]).dt.total_seconds()
    causes = log.steps[[name for name in log.steps if name.startswith("wait_")]]
    assert (causes.sum(axis=1) - waited - causes["wait_dependency_s"]).abs().max() < 1e-5
    assert (causes.sum() > 0).all()
    found = ok.kpis(log).set_index("kpi")["value"]
    assert found.filter(like="waiting_time.").sum() == pytest.approx(found["waiting_time"], rel=1e-9)


def test_equal_calendars_are_one_key_however_they_were_written():
    first, second = ok.Calendar({"mon-fri": "09:00-17:00"}), ok.Calendar({"mon-fri": ["09:00-17:00"]})
    other = ok.Calendar({"mon-fri": "09:00-17:00"}, holidays=("2025-12-25",))

    assert first == second
    assert hash(first) == hash(second)
    assert len({first, second, other}) == 2


def test_a_calendar_is_lowered_again_where_the_start_or_a_holiday_differs():
    workflow = ok.workflow("w", [ok.task("a", role="clerk")])
    ended = []
    for start, off in (("2025-07-07T16:00Z", ()), ("2025-07-08T16:00Z", ()), ("2025-07-07T16:00Z", ("2025-07-08",))):
        hours = ok.Calendar({"mon-fri": "09:00-17:00"}, holidays=off)
        scenario = ok.Scenario(
            ok.ArrivalTimes((0.0,)),
            {"a": "2 h"},
            resources={"clerk": ok.Resource(1, calendar=hours)},
            start=datetime.fromisoformat(start),
        )
        ended.append(ok.simulate(workflow, scenario, cases=1).cases["completed"].iloc[0].isoformat()[:16])

    assert ended == ["2025-07-08T10:00", "2025-07-09T10:00", "2025-07-09T10:00"]
