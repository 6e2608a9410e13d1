"""The family that made a sample is found again."""

import numpy as np
import pytest

from orchkit.simulation.families import best_family


@pytest.mark.parametrize(
    ("family", "draw"),
    [
        ("uniform", lambda rng: rng.uniform(20, 90, 5_000)),
        ("gamma", lambda rng: rng.gamma(3, 20, 5_000)),
        ("lognormal", lambda rng: rng.lognormal(4, 0.9, 5_000)),
        ("weibull", lambda rng: 60 * rng.weibull(3.5, 5_000) ** 1.0),
        ("triangular", lambda rng: rng.triangular(10, 20, 90, 5_000)),
    ],
)
def test_of_a_large_sample(family, draw) -> None:
    found = best_family(draw(np.random.default_rng(4)))
    assert found.distribution.family == family
    assert found.count == 5_000


def test_the_mean_of_the_sample_is_kept() -> None:
    values = np.random.default_rng(2).exponential(600, 5_000)
    found = best_family(values)
    assert found.distribution.mean == pytest.approx(values.mean(), rel=0.03)
    assert found.distance_s < 0.03 * values.mean()


def test_what_no_family_describes_is_kept_as_it_is() -> None:
    values = np.concatenate([np.full(500, 1.0), np.full(500, 10_000.0)])
    found = best_family(values)
    assert found.distribution.family == "empirical"
    assert found.distribution.mean == pytest.approx(5_000.5)


def test_steps_without_duration_are_constant() -> None:
    assert best_family(np.zeros(20)).distribution.parameters == (0.0,)
