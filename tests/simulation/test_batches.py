"""Steps that are done together, with deadlines, patience and full queues: worked out by hand, in minutes."""

from __future__ import annotations

from math import isnan

import pytest

import orchkit as ok

ONCE = ok.Retry(max_attempts=1)


def play(steps, arrivals, durations, *, role="oven", **more):
    """Return the log of cases that arrive at so many minutes; batches are of two where nothing else is said."""
    times = ok.ArrivalTimes(tuple(60.0 * minute for minute in arrivals))
    resources = {role: ok.Resource(1, cost_per_hour=60, **more.pop("resource", {}))}
    durations = {name: f"{minutes} min" for name, minutes in durations.items()}
    scenario = ok.Scenario(times, durations, resources, **{"batches": {"bake": 2}, **more})
    return ok.simulate(ok.workflow("bakery", steps), scenario, cases=len(arrivals))


def bake(arrivals, work=10, *, deadline=None, timeout=None, **more):
    task = ok.task("bake", role="oven", deadline=deadline, timeout=timeout, retry=ONCE)
    return play([task], arrivals, {"bake": work}, **more)


def schedule(log, activity="bake"):
    """Return start, end and error of the steps of an activity, by case."""
    steps = log.steps[log.steps["activity"] == activity]
    first = log.cases["started"].min()
    times = [((steps[name] - first).dt.total_seconds() / 60).round(3) for name in ("started", "completed")]
    started, ended = ([None if isnan(minute) else minute for minute in column] for column in times)
    errors = steps["error_type"].astype("object").where(steps["error_type"].notna(), "")
    return dict(zip(steps["case_id"].astype(int), zip(started, ended, errors, strict=True), strict=True))


def test_who_is_out_of_time_leaves_a_batch_at_work_and_the_others_work_on():
    log = bake([0, 5, 6, 7, 20, 21], deadline="12 min")

    assert schedule(log) == {
        1: (5, 12, "DeadlineExceeded"),
        2: (5, 15, ""),
        3: (15, 18, "DeadlineExceeded"),
        4: (15, 19, "DeadlineExceeded"),  # nobody is left, and the oven is free
        5: (21, 31, ""),
        6: (21, 31, ""),
    }
    assert log.availability["busy_s"].tolist() == [60 * (10 + 4 + 10)]
    assert log.steps["cost"].sum() == 24


def test_who_follows_in_a_batch_may_be_out_of_time_before_who_leads():
    # 1 and 2 fail at 11; 3, which gathers since 5, leads and 1 follows; 2 waits for another in vain.
    task = ok.task("bake", role="oven", deadline="15 min", retry=ok.Retry(max_attempts=2, initial_delay=0, jitter=0))
    log = play([task], [0, 1, 5], {"bake": 10}, failures={"bake": 1.0})

    last = {1: (11, 15, "DeadlineExceeded"), 2: (None, 16, "DeadlineExceeded"), 3: (11, 20, "DeadlineExceeded")}
    assert schedule(log) == last
    assert log.availability["busy_s"].tolist() == [60 * (10 + 9)]


def test_who_is_out_of_time_leaves_those_that_gather():
    log = bake([0, 3, 5, 6], deadline="4 min", batches={"bake": 3}, work=0.5)

    assert schedule(log) == {1: (None, 4, "DeadlineExceeded"), 2: (6, 6.5, ""), 3: (6, 6.5, ""), 4: (6, 6.5, "")}


def test_impatience_begins_with_the_gathering_and_ends_with_the_work():
    log = bake([0, 1, 2, 3, 4, 20], patience={"bake": "5 min"})

    assert schedule(log) == {
        1: (1, 11, ""),
        2: (1, 11, ""),
        3: (None, 7, "Abandoned"),
        4: (None, 8, "Abandoned"),
        5: (None, 9, "Abandoned"),
        6: (None, 25, "Abandoned"),
    }
    assert log.availability["busy_s"].tolist() == [600]


@pytest.mark.parametrize(("limit", "turned_away"), [(0, {3, 4, 5, 6}), (1, {5, 6})])
def test_a_batch_has_one_place_in_a_queue_and_is_turned_away_as_a_whole(limit, turned_away):
    found = schedule(bake([0, 1, 2, 3, 4, 5], resource={"queue_limit": limit}))

    assert {case for case, (_, _, error) in found.items() if error == "QueueFull"} == turned_away
    assert {found[case][1] for case in turned_away} == {3.0, 5.0} if limit == 0 else {5.0}
    assert found[1] == found[2] == (1, 11, "")


def test_a_batch_that_closes_by_time_may_be_turned_away():
    found = schedule(bake([0, 0, 1], batches={"bake": ok.Batch(2, max_wait="3 min")}, resource={"queue_limit": 0}))

    assert found[3] == (None, 4, "QueueFull")


def test_who_is_turned_away_takes_the_rest_of_its_case_along():
    # Both items of the second case are in one batch, which finds a full queue: the first one fails the case.
    items = ok.for_each("items", [ok.task("bake", role="oven", retry=ONCE)], name="each", concurrency=2)
    log = play([items], [0, 1], {"bake": 10}, loops={"each": ok.Loop(2)}, resource={"queue_limit": 0})

    assert log.cases["status"].tolist() == ["COMPLETED", "FAILED"]
    assert sorted(log.steps["status"]) == ["CANCELLED", "COMPLETED", "COMPLETED", "FAILED"]


@pytest.mark.parametrize(
    ("deadline", "low", "busy"),
    [
        # "low" is at work from 5 to 7, 9 to 12, and from 14 on: its first step leaves it while it is interrupted,
        (13, {1: (5, 13, "DeadlineExceeded"), 2: (5, 18, "DeadlineExceeded")}, 2 + 3 + 4 + 4),
        # or later, while it is at work again.
        (14.5, {1: (5, 14.5, "DeadlineExceeded"), 2: (5, 19, "")}, 2 + 3 + 5 + 4),
    ],
)
def test_a_batch_that_is_interrupted_goes_on_without_those_who_have_left(deadline, low, busy):
    slow = ok.task("bake", role="oven", deadline=f"{deadline} min", retry=ONCE)
    log = play(
        [ok.parallel([slow], [ok.task("high", role="oven")])],
        [0, 5],
        {"bake": 10, "high": 2},
        resource={"discipline": "preemptive"},
        priorities={"high": 1},
        delays={"high": "7 min"},
    )

    assert schedule(log) == low
    assert schedule(log, "high") == {1: (7, 9, ""), 2: (12, 14, "")}
    assert log.availability["busy_s"].tolist() == [60 * busy]
