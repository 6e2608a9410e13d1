"""Queues whose answers are known, sharply: intervals of 99 % that are at most 1 % wide to each side.

Each figure is the mean of twenty replications with a warm-up, each with a seed of its own. The long ones run with
``--slow``.
"""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest

import orchkit as ok

REPLICATIONS = 20
T99 = 2.861  # of Student's t with 19 degrees of freedom
SHARP = 0.01


def queue(durations, *, arrivals=1.0, count=1, discipline="fifo", queue_limit=None, **more):
    task = ok.task("serve", role="clerk", retry=ok.Retry(max_attempts=1))
    resource = ok.Resource(count, discipline=discipline, queue_limit=queue_limit)
    scenario = ok.Scenario(ok.exponential(arrivals), {"serve": durations}, {"clerk": resource}, **more)
    return ok.workflow("queue", [task]), scenario


def assert_sharp(model, cases, wanted, measure, *, sharp=SHARP, warm_up=2_000):
    """Simulate, and hold each measured figure to its wanted value."""
    found = []
    for seed in range(REPLICATIONS):
        log = ok.simulate(*model, cases=cases, warm_up=warm_up, seed=1_000 + seed, progress=False)
        found.append(np.atleast_1d(measure(log)))
    figures = np.array(found)
    halves = T99 * figures.std(axis=0, ddof=1) / REPLICATIONS**0.5
    for mean, half, want in zip(figures.mean(axis=0), halves, np.atleast_1d(wanted), strict=True):
        assert half <= sharp * want, f"not sharp: {half / want:.2%} of {want}"
        assert abs(mean - want) <= half, f"{mean} is not {want}, within {half}"


def mean_wait(log):
    return (log.steps["started"] - log.steps["enabled"]).dt.total_seconds().mean()


def cycles_s(log):
    return (log.cases["completed"] - log.cases["started"]).dt.total_seconds()


def erlang_c(servers, load):
    """Return the probability of waiting (Erlang, 1917)."""
    waiting = load**servers / factorial(servers) / (1 - load / servers)
    return waiting / (sum(load**n / factorial(n) for n in range(servers)) + waiting)


def birth_and_death(arrival, leave, longest):
    """Return the shares of time with n in the system, n up to ``longest``."""
    weights = [1.0]
    for n in range(1, longest + 1):
        weights.append(weights[-1] * arrival / leave(n))
    return np.array(weights) / sum(weights)


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("durations", "wait", "cases"),
    [
        pytest.param(ok.exponential(0.5), 0.5, 200_000, id="M/M/1"),
        pytest.param(ok.constant(0.5), 0.25, 80_000, id="M/D/1"),
        pytest.param(ok.exponential(0.8), 3.2, 1_000_000, marks=slow, id="M/M/1, busy"),
        pytest.param(ok.constant(0.8), 1.6, 500_000, marks=slow, id="M/D/1, busy"),
        pytest.param(ok.erlang(2, 0.6), 0.675, 150_000, marks=slow, id="M/E2/1"),
        pytest.param(ok.uniform(0, 1.2), 0.6, 150_000, marks=slow, id="M/U/1"),
        pytest.param(ok.lognormal(0.6, 0.6), 0.9, 400_000, marks=slow, id="M/G/1, lognormal"),
        pytest.param(ok.gamma(0.5, 1.0), 0.75, 400_000, marks=slow, id="M/G/1, gamma"),
        pytest.param(ok.weibull(2, 0.6), 0.18 / (1 - 0.5317361552716548), 150_000, marks=slow, id="M/G/1, Weibull"),
    ],
)
def test_one_server_waits_as_pollaczek_and_khinchine_say(durations, wait, cases):
    # W = E[S²] / (2 (1 - E[S])), at one arrival per second.
    assert_sharp(queue(durations), cases, wait, mean_wait)


def test_two_servers_take_as_long_as_erlang_c_says():
    # C(2, 1.4) = 0.57647; T = 1.4 + C x 1.4 / 0.6.
    assert erlang_c(2, 1.4) == pytest.approx(0.57647, abs=1e-5)

    assert_sharp(queue(ok.exponential(1.4), count=2), 100_000, 2.74510, lambda log: cycles_s(log).mean())


@slow
@pytest.mark.parametrize(("servers", "cases"), [(2, 450_000), (3, 600_000), (5, 800_000), (10, 2_300_000)])
def test_several_servers_wait_as_erlang_c_says(servers, cases):
    load = 0.7 * servers
    wait = erlang_c(servers, load) * load / (servers - load)

    assert_sharp(queue(ok.exponential(load), count=servers), cases, wait, mean_wait)


def test_a_full_house_turns_away_as_erlang_b_says():
    # B(3, 2) = (8 / 6) / (1 + 2 + 2 + 8 / 6).
    model = queue(ok.exponential(2.0), count=3, queue_limit=0)

    assert_sharp(model, 40_000, 4 / 19, lambda log: (log.cases["status"] != "COMPLETED").mean())


@slow
def test_a_short_queue_with_impatient_cases_is_as_erlang_a_says():
    # M/M/3/7 with abandonment: served at 1/2.5 each, who waits leaves at 1/4.
    shares = birth_and_death(1.0, lambda n: min(n, 3) / 2.5 + max(n - 3, 0) / 4, 7)
    waiting = sum(max(n - 3, 0) * share for n, share in enumerate(shares))
    model = queue(ok.exponential(2.5), count=3, queue_limit=4, patience={"serve": ok.exponential(4.0)})

    def measure(log):
        kind = log.steps["error_type"].astype("str")
        return [(kind == "QueueFull").mean(), log.steps["status"].eq("FAILED").mean() - (kind == "QueueFull").mean()]

    assert_sharp(model, 750_000, [shares[7], waiting / 4], measure)


def test_impatient_cases_leave_as_erlang_a_says():
    # M/M/2 + M: served at 1/1.8 each, who waits leaves at 1.
    shares = birth_and_death(1.0, lambda n: min(n, 2) / 1.8 + max(n - 2, 0), 60)
    leaving = sum(max(n - 2, 0) * share for n, share in enumerate(shares))
    model = queue(ok.exponential(1.8), count=2, patience={"serve": ok.exponential(1.0)})

    assert_sharp(model, 60_000, leaving, lambda log: (log.cases["status"] != "COMPLETED").mean())


def two_classes(discipline):
    return queue(
        ok.by_attribute("kind", {"urgent": ok.exponential(0.5), "normal": ok.exponential(0.8)}),
        discipline=discipline,
        attributes={"kind": ok.categorical({"urgent": 0.4, "normal": 0.6})},
        priorities={"serve": ok.by_attribute("kind", {"urgent": 2, "normal": 1})},
    )


def by_kind(values, log):
    means = values.groupby(log.cases["kind"].astype("str")).mean()
    return [means["urgent"], means["normal"]]


@slow
def test_priorities_wait_as_cobham_says():
    # rho = 0.2 and 0.48; the work in hand is (0.4 x 2 x 0.25 + 0.6 x 2 x 0.64) / 2 = 0.484.
    wanted = [0.484 / 0.8, 0.484 / (0.8 * 0.32)]

    def measure(log):
        waits = (log.steps["started"] - log.steps["enabled"]).dt.total_seconds()
        return by_kind(waits.groupby(log.case_codes).sum(), log)

    assert_sharp(two_classes("priority"), 400_000, wanted, measure)


@slow
def test_priorities_that_interrupt_take_as_long_as_theory_says():
    # T1 = 0.5 / (1 - 0.2); T2 = 0.8 / 0.8 + 0.484 / (0.8 x 0.32).
    wanted = [0.625, 1 + 0.484 / (0.8 * 0.32)]

    assert_sharp(two_classes("preemptive"), 400_000, wanted, lambda log: by_kind(cycles_s(log), log))


@slow
def test_a_network_with_rework_is_as_jackson_says():
    # Draft (2 clerks) -> review (1 editor); three in ten go back to draft. Both see 1 / 0.7 cases per second.
    workflow = ok.read_workflow(
        """
workflow: paper
nodes:
  begin: start
  draft: {task: {role: clerk}}
  review: {task: {role: editor}}
  good: exclusive
  done: end
flows:
  - begin -> draft -> review -> good
  - {good -> draft: again}
  - good -> done
"""
    )
    scenario = ok.Scenario(
        ok.exponential(1.0),
        {"draft": ok.exponential(0.9), "review": ok.exponential(0.42)},
        {"clerk": 2, "editor": 1},
        branching={"good": {"draft": 0.3, "done": 0.7}},
    )
    rate = 1 / 0.7
    draft = erlang_c(2, rate * 0.9) * 0.9 / (2 - rate * 0.9) + 0.9
    review = 0.42 / (1 - rate * 0.42)
    wanted = [draft, review, rate * (draft + review)]

    def measure(log):
        spent = (log.steps["completed"] - log.steps["enabled"]).dt.total_seconds()
        means = spent.groupby(log.steps["activity"].astype("str")).mean()
        return [means["draft"], means["review"], cycles_s(log).mean()]

    assert_sharp((workflow, scenario), 300_000, wanted, measure)


@pytest.mark.parametrize("first", ["urgent", "normal"])
def test_only_what_matters_more_interrupts(first):
    other = {"urgent": "normal", "normal": "urgent"}[first]
    both = ok.parallel([ok.task(first, role="clerk")], [ok.task(other, role="clerk")])
    scenario = ok.Scenario(
        ok.ArrivalTimes((0.0,)),
        {"urgent": 5, "normal": 7},
        {"clerk": ok.Resource(1, discipline="preemptive")},
        priorities={"urgent": 2, "normal": 1},
    )

    log = ok.simulate(ok.workflow("both", [both]), scenario, cases=1, seed=1)

    ended = (log.steps["completed"] - log.cases["started"][0]).dt.total_seconds()
    assert dict(zip(log.steps["activity"], ended, strict=True)) == {"urgent": 5.0, "normal": 12.0}


def test_a_long_line_is_served_the_shortest_first_and_knows_when_it_was_overtaken():
    # All come at once, so that 20,000 wait; the first one begins before it is known what else there is.
    model = queue(ok.exponential(60.0), arrivals=1e-9, discipline="shortest")

    steps = ok.simulate(*model, cases=20_000, seed=4).steps

    begun = steps["started"].astype("int64").to_numpy()
    order = np.argsort(begun, kind="stable")  # the numbers of cases as they were served
    work = (steps["completed"] - steps["started"]).dt.total_seconds().to_numpy()[order]
    assert (np.diff(work[1:]) >= 0).all()
    # Overtaken is who waits while a later one is served; the first such is where the highest number so far is above.
    overtaken = begun[order][
        np.searchsorted(np.maximum.accumulate(order), np.arange(20_000), side="right").clip(max=19_999)
    ]
    late = np.maximum(begun - overtaken, 0) / 1e6
    assert steps["wait_priority_s"].to_numpy() == pytest.approx(late)
