"""Which family of distributions describes measured durations best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchkit.simulation.distributions import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Family", "best_family"]

_GRID = 999
_KEPT = 500  # values of an empirical distribution


@dataclass(frozen=True, slots=True)
class Family:
    """A fitted distribution, and how far it is from the sample.

    Attributes
    ----------
    distribution
        What was fitted.
    distance_s
        1-Wasserstein distance to the sample, in seconds: by how much a duration is off, on average.
    count
        Size of the sample.
    """

    distribution: Distribution
    distance_s: float
    count: int


def best_family(values_s: NDArray[np.float64], worst: float = 0.25) -> Family:
    """Return the family nearest to a sample of durations.

    The criterion is the 1-Wasserstein distance between the sample and the fitted distribution: unlike a likelihood it
    is in seconds, and stands zeros, ties and constants. Of constant, exponential, uniform, triangular, normal
    (truncated at 0), gamma, lognormal and Weibull, the nearest is taken; where even that one is off by more than
    ``worst`` of the mean, the sample itself (its quantiles, 500 at most).

    Examples
    --------
    >>> import numpy as np
    >>> best_family(np.random.default_rng(1).gamma(3.0, 20.0, 4_000)).distribution.family
    'gamma'
    >>> best_family(np.full(10, 30.0)).distribution
    constant(30)
    """
    values = np.sort(np.maximum(values_s[~np.isnan(values_s)], 0.0))
    shares = (np.arange(_GRID) + 0.5) / _GRID
    measured = np.quantile(values, shares)
    found = [
        (float(np.abs(measured - quantiles).mean()), distribution)
        for distribution, quantiles in _candidates(values, shares)
        if np.isfinite(quantiles).all()
    ]
    distance, best = min(found, key=lambda one: one[0])
    if distance > worst * values.mean():
        kept = values if len(values) <= _KEPT else np.quantile(values, (np.arange(_KEPT) + 0.5) / _KEPT)
        best = Distribution("empirical", values=tuple(float(value) for value in kept))
        distance = float(np.abs(measured - np.quantile(kept, shares)).mean())
    return Family(best, distance, len(values))


def _candidates(
    values: NDArray[np.float64], shares: NDArray[np.float64]
) -> Iterator[tuple[Distribution, NDArray[np.float64]]]:
    from scipy import special, stats  # noqa: PLC0415 -- half a second, on use

    mean, sd = float(values.mean()), float(values.std())
    low, high = float(values[0]), float(values[-1])
    yield Distribution("constant", (mean,)), np.full(len(shares), mean)
    if sd <= 1e-9 * max(mean, 1.0):
        return
    yield Distribution("exponential", (mean,)), -mean * np.log1p(-shares)
    yield Distribution("uniform", (low, high)), low + (high - low) * shares
    mode = min(max(3 * mean - low - high, low), high)
    yield (
        Distribution("triangular", (low, mode, high)),
        stats.triang.ppf(shares, (mode - low) / (high - low), low, high - low),
    )
    yield (
        Distribution("normal", (mean, sd, 0.0, float("inf"))),
        stats.truncnorm.ppf(shares, -mean / sd, np.inf, mean, sd),
    )
    if low <= 0:
        return
    logs = np.log(values)
    mu, sigma = float(logs.mean()), float(logs.std())
    spread = np.log(mean) - mu
    # Maximum likelihood, to 1.5 % (Minka, Estimating a gamma distribution, 2002).
    shape = float((3 - spread + np.sqrt((spread - 3) ** 2 + 24 * spread)) / (12 * spread))
    yield Distribution("gamma", (shape, mean / shape)), special.gammaincinv(shape, shares) * mean / shape
    center = float(np.exp(mu + sigma**2 / 2))
    yield (
        Distribution("lognormal", (center, center * float(np.sqrt(np.expm1(sigma**2))))),
        np.exp(mu + sigma * special.ndtri(shares)),
    )
    steep = float(np.pi / (np.sqrt(6) * sigma))
    scale: Any = float(np.exp(mu + np.euler_gamma / steep))
    yield Distribution("weibull", (steep, scale)), scale * (-np.log1p(-shares)) ** (1 / steep)
