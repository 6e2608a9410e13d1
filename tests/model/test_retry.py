"""Delays are a pure function of policy, attempt and seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orchkit as ok

README_RETRY = "{max_attempts: 3, initial_delay: 1s, max_delay: 60s, multiplier: 2, jitter: 0.1}"


@pytest.mark.parametrize("seed", [0, 7, "run-1/ship#1", "run-2/ship#1"])
def test_the_configuration_of_the_readme_doubles_up_to_60_s_within_10_percent(seed):
    retry = ok.read_workflow(f"workflow: w\nretry: {README_RETRY}\nsteps: []\n").retry

    delays = [retry.delay_s(attempt, seed) for attempt in range(1, 10)]

    assert retry == ok.Retry(max_attempts=3, initial_delay=1, max_delay=60, multiplier=2, jitter=0.1)
    assert delays == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60], rel=0.1)
    assert len(set(delays)) == 9


def test_jitter_spreads_the_delays_of_many_steps_evenly():
    retry = ok.Retry(initial_delay="1s", jitter=0.1)

    delays = sorted(retry.delay_s(1, f"step-{number}") for number in range(2_000))

    assert 0.9 <= delays[0] < 0.901
    assert 1.099 < delays[-1] <= 1.1
    assert sum(delays) / 2_000 == pytest.approx(1, abs=0.005)


def test_delays_do_not_change_between_releases():
    retry = ok.Retry()

    assert [round(retry.delay_s(attempt, "run-1/ship#1"), 6) for attempt in (1, 2, 3)] == [1.031039, 1.951206, 3.718648]


def test_the_immediate_retry_waits_for_nothing():
    retry = ok.Retry(initial_delay="0s", multiplier=1)

    assert [retry.delay_s(attempt) for attempt in (1, 2, 50)] == [0, 0, 0]


def test_delays_that_no_float_holds_are_max_delay():
    assert ok.Retry(multiplier=10, jitter=0).delay_s(10_000) == 60


@given(st.integers(1, 10_000), st.integers() | st.text(), st.floats(0, 1))
def test_a_delay_is_within_its_jitter_and_the_same_again(attempt, seed, jitter):
    retry = ok.Retry(jitter=jitter)
    plain = min(60.0, 2.0 ** min(attempt - 1, 10))

    delay = retry.delay_s(attempt, seed)

    assert plain * (1 - jitter) * 0.999_999 <= delay <= plain * (1 + jitter) * 1.000_001
    assert delay == retry.delay_s(attempt, seed)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"max_attempts": 0}, "max_attempts must be a whole number of at least 1, not 0"),
        ({"max_attempts": 2.5}, "max_attempts must be a whole number of at least 1, not 2.5"),
        ({"max_attempts": True}, "max_attempts must be a whole number of at least 1, not True"),
        ({"multiplier": 0.5}, "multiplier must be a number of at least 1, not 0.5"),
        ({"multiplier": float("nan")}, "multiplier must be a number of at least 1, not nan"),
        ({"jitter": 1.5}, "jitter is a share between 0 and 1, not 1.5"),
        ({"jitter": -0.1}, "jitter is a share between 0 and 1, not -0.1"),
        ({"initial_delay": "soon"}, "retry: initial_delay: 'soon' is not a duration"),
        ({"max_delay": -1}, "retry: max_delay: -1 is not a duration"),
    ],
)
def test_nonsense_is_refused(values, says):
    with pytest.raises(ok.WorkflowError, match=says):
        ok.Retry(**values)
