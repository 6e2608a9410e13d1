"""Queues whose answers are known."""

from __future__ import annotations

import pytest

import orchkit as ok

T99 = 2.861  # of Student's t with 19 degrees of freedom


def one_queue(durations, arrivals=1.0, count=1, **more):
    resource = {name: more.pop(name) for name in ("discipline", "queue_limit") if name in more}
    scenario = ok.Scenario(
        arrivals=ok.exponential(arrivals),
        durations={"serve": durations},
        resources={"clerk": ok.Resource(count, **resource)},
        **more,
    )
    task = ok.task("serve", role="clerk", retry=ok.Retry(max_attempts=1))
    return ok.workflow("queue", [task]), scenario


def interval(values, replications):
    means = values.groupby(replications).mean()
    return means.mean(), T99 * means.std() / len(means) ** 0.5


def waits_of(log):
    return (log.steps["started"] - log.steps["enabled"]).dt.total_seconds()


@pytest.mark.parametrize(
    ("name", "durations", "wait"),
    [
        ("M/M/1", ok.exponential(0.7), 0.49 / 0.3),
        ("M/D/1", ok.constant(0.7), 0.49 / 0.6),
        ("M/G/1, Erlang", ok.erlang(2, 0.7), 0.49 * 1.5 / 0.6),
        ("M/G/1, uniform", ok.uniform(0, 1.4), 0.49 * (4 / 3) / 0.6),
        ("M/G/1, lognormal", ok.lognormal(0.7, 0.35), 0.49 * 1.25 / 0.6),
        ("M/G/1, gamma", ok.gamma(4, 0.175), 0.49 * 1.25 / 0.6),
        ("M/G/1, Weibull", ok.weibull(1, 0.7), 0.49 / 0.3),
        ("M/G/1, PERT", ok.pert(0.1, 0.7, 1.3), (0.49 + 1.44 / 28) / 0.6),
        ("M/G/1, triangular", ok.triangular(0.1, 0.7, 1.3), (0.49 + 0.06) / 0.6),
    ],
)
def test_one_server_waits_as_long_as_pollaczek_and_khinchine_say(name, durations, wait):
    log = ok.simulate(*one_queue(durations), cases=30_000, replications=20, warm_up=1_000, seed=17)

    mean, half = interval(waits_of(log), log.steps["replication"])

    assert abs(mean - wait) < half, (name, mean, wait, half)
    assert half < 0.06 * wait


def test_order_of_service_does_not_change_the_mean_wait_but_its_spread():
    logs = {
        discipline: ok.simulate(
            *one_queue(ok.exponential(0.7), discipline=discipline), cases=30_000, replications=20, seed=17
        )
        for discipline in ("fifo", "lifo", "shortest")
    }
    means = {name: waits_of(log).mean() for name, log in logs.items()}
    spreads = {name: waits_of(log).std() for name, log in logs.items()}

    assert abs(means["lifo"] / means["fifo"] - 1) < 0.05
    assert spreads["lifo"] > 1.3 * spreads["fifo"]
    assert means["shortest"] < 0.8 * means["fifo"]


def test_full_queue_turns_away_as_many_as_erlang_says():
    workflow, scenario = one_queue(ok.exponential(1.4), count=2, queue_limit=0)

    log = ok.simulate(workflow, scenario, cases=30_000, replications=20, seed=17)

    lost = (log.cases["status"] != "COMPLETED").astype(float)
    mean, half = interval(lost, log.cases["replication"])
    # Erlang B for c = 2, a = 1.4: 0.98 / (1 + 1.4 + 0.98).
    assert abs(mean - 0.98 / 3.38) < half
    assert half < 0.005


def test_impatient_cases_abandon_as_often_as_erlang_a_says():
    workflow, scenario = one_queue(ok.exponential(1.0), patience={"serve": ok.exponential(1.0)})

    log = ok.simulate(workflow, scenario, cases=30_000, replications=20, warm_up=100, seed=17)

    lost = (log.cases["status"] != "COMPLETED").astype(float)
    mean, half = interval(lost, log.cases["replication"])
    # Each of n in the system leaves at rate 1, so n is Poisson(1); those served are P(n > 0) = 1 - 1/e.
    assert abs(mean - 0.36788) < half
    assert half < 0.005
