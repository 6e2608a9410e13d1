"""How long what is done waits for what is not: at gateways, at the ends of scopes and of loops."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok


def play(workflow, minutes, cases=1, **more):
    """Return the log of cases that come ten hours apart, to tasks that take so many minutes."""
    durations = {name: f"{length} min" for name, length in minutes.items()}
    return ok.simulate(workflow, ok.Scenario(arrivals="10 h", durations=durations, **more), cases=cases)


def stood(log):
    """Return the minutes that each step waited for others, without those that did not."""
    steps = log.steps.sort_values("enabled", kind="stable")
    waits = steps["wait_dependency_s"] / 60
    return [(name, wait) for name, wait in zip(steps["activity"], waits, strict=True) if wait]


def flows(*steps, then="last"):
    return ok.workflow("flows", [*steps, ok.task(then)])


def tasks(*names):
    return [[ok.task(name)] for name in names]


def test_what_follows_a_join_has_waited_since_the_first_branch_came():
    log = play(flows(ok.parallel(*tasks("a", "b", "c"))), {"a": 10, "b": 30, "c": 15, "last": 1})

    assert stood(log) == [("last", 20)]


@pytest.mark.parametrize(("outer", "wait"), [(60, 50), (20, 20), (5, 25)])
def test_from_one_join_to_the_next_it_counts_from_the_first(outer, wait):
    inner = ok.parallel(*tasks("a", "b"))

    log = play(flows(ok.parallel([inner], [ok.task("c")])), {"a": 10, "b": 30, "c": outer, "last": 1})

    assert stood(log) == [("last", wait)]


def test_both_steps_wait_that_a_join_enables():
    minutes = {"a": 10, "b": 30, "c": 2, "d": 2, "last": 1}

    log = play(flows(ok.parallel(*tasks("a", "b")), ok.parallel(*tasks("c", "d"))), minutes)

    assert stood(log) == [("c", 20), ("d", 20)]


def test_an_inclusive_join_waits_for_those_that_can_still_come():
    workflow = ok.read_workflow("""
workflow: inclusive
nodes: {begin: start, split: inclusive, a: task, b: task, c: task, join: inclusive, last: task, done: end}
flows:
  - begin -> split
  - {split -> a: x}
  - {split -> b: y}
  - {split -> c: z}
  - a -> join
  - b -> join
  - c -> join
  - join -> last -> done
""")
    shares = {"split": {"a": 1.0, "b": 1.0, "c": 0.0}}

    log = play(workflow, {"a": 10, "b": 25, "c": 100, "last": 1}, branching=shares)

    assert stood(log) == [("last", 15)]


def test_each_round_through_a_join_waits_anew():
    workflow = ok.read_workflow("""
workflow: rounds
nodes:
  {begin: start, merge: exclusive, fork: parallel, a: task, b: task, join: parallel, check: task, well: exclusive,
   done: end}
flows:
  - begin -> merge -> fork
  - fork -> a -> join
  - fork -> b -> join
  - join -> check -> well
  - {well -> merge: again}
  - well -> done
""")
    shares = {"well": {"merge": 0.5, "done": 0.5}}

    log = play(workflow, {"a": 10, "b": 30, "check": 1}, cases=40, branching=shares)

    checks = log.steps[log.steps["activity"] == "check"]
    assert len(checks) > 60
    assert (checks["wait_dependency_s"] == 1_200).all()
    assert stood(log) == [("check", 20)] * len(checks)


def test_a_for_each_waits_when_no_item_is_left_for_one_of_its_lanes():
    # Three lanes: all are at work until 10, two until 20.
    loop = ok.for_each("items", [ok.task("a")], name="each", concurrency=3)

    log = play(flows(loop), {"a": 10, "last": 1}, loops={"each": ok.Loop(5)})

    assert stood(log) == [("last", 10)]


def test_items_one_after_the_other_do_not_wait_for_each_other():
    loop = ok.for_each("items", [ok.task("a")], name="each", concurrency=1)

    assert stood(play(flows(loop), {"a": 10, "last": 1}, loops={"each": ok.Loop(5)})) == []


def test_what_goes_around_has_waited_for_the_round_before():
    body = [ok.task("first"), ok.parallel(*tasks("a", "b"))]
    loop = ok.repeat_while("more", body, name="round")

    log = play(flows(loop), {"first": 1, "a": 10, "b": 30, "last": 1}, loops={"round": ok.Loop(3)})

    assert stood(log) == [("first", 20), ("first", 20), ("last", 20)]


def test_a_scope_ends_with_the_last_of_its_branches():
    workflow = ok.read_workflow("""
workflow: scopes
steps:
  - scope: inside
    nodes: {begin: start, a: task, b: task, c: task, one: end, other: end}
    flows: [begin -> a, a -> one, a -> b, b -> other, a -> c]
  - {task: last}
""")

    log = play(workflow, {"a": 10, "b": 30, "c": 7, "last": 1})

    assert stood(log) == [("last", 30)]


def test_an_empty_loop_hands_on_what_was_waited_for():
    loop = ok.for_each("items", [ok.task("x")], name="each")
    branches = ok.parallel(*tasks("a", "b"))

    log = play(flows(branches, loop), {"a": 10, "b": 30, "x": 1, "last": 1}, loops={"each": ok.Loop(0)})

    assert stood(log) == [("last", 20)]


def test_a_retry_does_not_wait_for_the_branches_again_and_a_delay_is_not_one_of_them():
    retry = ok.Retry(max_attempts=2, initial_delay="1 min", multiplier=1, jitter=0)
    workflow = ok.workflow("w", [ok.parallel(*tasks("a", "b")), ok.task("last", retry=retry)])

    log = play(workflow, {"a": 10, "b": 30, "last": 1}, delays={"last": "1 h"}, failures={"last": 1.0})

    last = log.steps[log.steps["activity"] == "last"]
    assert last["wait_dependency_s"].tolist() == [1_200, 0]
    assert last["wait_retry_s"].tolist() == [0, 60]
    assert (last["enabled"].iloc[0] - log.cases["started"].iloc[0]).total_seconds() == 90 * 60


def test_a_case_that_ends_with_a_join_waits_for_nothing_more():
    log = play(ok.workflow("w", [ok.parallel(*tasks("a", "b"))]), {"a": 10, "b": 30})

    assert stood(log) == []


def test_an_open_step_says_what_it_waited_for():
    scenario = ok.Scenario(arrivals="10 h", durations={"a": "10 min", "b": "30 min", "last": "5 h"})

    log = ok.simulate(flows(ok.parallel(*tasks("a", "b"))), scenario, until="11 h", cases=1)

    assert log.steps["status"].tolist()[-1] == "RUNNING"
    assert stood(log) == [("last", 20)]


def test_the_causes_add_up_to_the_waiting_time_also_of_those_who_give_up():
    # The second case comes when the clerk has 7 minutes to go, and gives up after 3.
    workflow = ok.workflow("w", [ok.parallel(*tasks("a", "b")), ok.task("last", role="clerk")])
    durations = {"a": "1 min", "b": "2 min", "last": "10 min"}
    scenario = ok.Scenario(ok.ArrivalTimes((0.0, 180.0)), durations, {"clerk": 1}, patience={"last": "3 min"})

    log = ok.simulate(workflow, scenario, cases=2)

    found = ok.kpis(log).set_index("kpi")["value"]
    assert found["waiting_time.dependency"] == 60
    assert found["waiting_time.contention"] == 90
    assert found["waiting_time"] == 150
    assert found["queue_length"] == pytest.approx(180 / 720)
    assert found["queue_length_max"] == 1
    waits = ok.waiting_times(log).set_index("activity")
    assert waits["dependency_s"].to_dict() == {"a": 0, "b": 0, "last": 120}


# Any blocks in one another ---------------------------------------------------------


class Blocks:
    """Steps, each with a function that says when it is done (since when, and when), given when it begins."""

    def __init__(self, draw):
        self.draw, self.names = draw, iter(range(1_000))
        self.minutes, self.expected, self.loops = {}, {}, {}

    def task(self):
        name = f"t{next(self.names)}"
        self.minutes[name] = self.draw(st.integers(0, 9))

        def go(since, now):
            if now > since:
                self.expected.setdefault(name, []).append(now - since)
            return (now + self.minutes[name],) * 2

        return ok.task(name), go

    def sequence(self, depth):
        parts = [self.block(depth) for _ in range(self.draw(st.integers(1, 3)))]

        def go(since, now):
            for _, then in parts:
                since, now = then(since, now)
            return since, now

        return [step for step, _ in parts], go

    def block(self, depth):
        kinds = (self.task, self.parallel, self.scope, self.for_each) if depth else (self.task,)
        kind = self.draw(st.sampled_from(kinds))
        return kind() if kind == self.task else kind(depth - 1)

    def parallel(self, depth):
        parts = [self.sequence(depth) for _ in range(self.draw(st.integers(2, 3)))]

        def go(since, now):
            ends = [then(since, now) for _, then in parts]
            return min(first for first, _ in ends), max(last for _, last in ends)

        return ok.parallel(*(steps for steps, _ in parts)), go

    def scope(self, depth):
        steps, inside = self.sequence(depth)
        return ok.scope(steps), inside

    def for_each(self, depth):
        steps, inside = self.sequence(depth)
        name, count, lanes = f"l{next(self.names)}", self.draw(st.integers(0, 4)), self.draw(st.integers(1, 3))
        self.loops[name] = ok.Loop(count)

        def go(since, now):
            ends = [inside(since, now) for _ in range(min(lanes, count))]
            for _ in range(count - lanes):
                soonest = min(range(lanes), key=lambda lane: ends[lane][1])
                ends[soonest] = inside(*ends[soonest])
            return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else (since, now)

        return ok.for_each("items", steps, name=name, concurrency=lanes), go


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_blocks_in_blocks_wait_as_one_reckons_by_hand(data):
    blocks = Blocks(data.draw)
    steps, go = blocks.sequence(2)
    _, end = go(0, 0)

    log = play(ok.workflow("blocks", steps), blocks.minutes, loops=blocks.loops)

    told = {}
    for name, wait in stood(log):
        told.setdefault(name, []).append(wait)
    case = log.cases.iloc[0]
    assert (case["completed"] - case["started"]).total_seconds() == end * 60
    assert {name: sorted(waits) for name, waits in told.items()} == {
        name: sorted(waits) for name, waits in blocks.expected.items()
    }
