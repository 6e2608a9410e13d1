"""Which of several causes an outcome goes with: what remains of one when the others are held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Suspect", "chance_given", "settle"]

_CONTINUITY = 0.5


@dataclass(slots=True)
class Suspect:
    """A factor that goes with the outcome, alone.

    Attributes
    ----------
    name
        In words.
    with_it
        The cases that have the value which differs most.
    kinds
        The kind of each case, by all values of the factor: what is held fixed.
    tests
        What its chance is taken times, for the values that were tried.
    chance
        Of such a difference where there is none.
    happens
        Whether it happens on the way: what was known before, such as an attribute of the case, is not explained by it.
    given
        The same, where the factors that were found are held fixed.
    explained_by
        The factor that leaves nothing of it.
    """

    name: str
    with_it: NDArray[np.bool_]
    kinds: NDArray[np.integer[Any]]
    tests: float
    chance: float
    happens: bool = False
    given: float = 0.0
    explained_by: str | None = None


def chance_given(with_it: NDArray[np.bool_], has: NDArray[np.bool_], kinds: NDArray[np.integer[Any]]) -> float:
    """Return the chance of such a difference, within kinds of cases, if there is none in any of them.

    The test of Cochran (1954), Mantel and Haenszel (1959), with their correction for continuity.

    Examples
    --------
    >>> kinds = np.repeat([0, 1], 50)
    >>> with_it = np.concatenate([np.arange(50) < 40, np.arange(50) < 10])
    >>> has = np.concatenate([np.arange(50) % 2 == 0, np.arange(50) % 25 == 0])
    >>> [round(chance_given(with_it, has, held), 3) for held in (np.zeros(100, dtype=int), kinds)]
    [0.002, 0.948]
    """
    size = int(kinds.max(initial=0)) + 1
    total = np.bincount(kinds, minlength=size).astype(float)
    ours = np.bincount(kinds[with_it], minlength=size).astype(float)
    hits = np.bincount(kinds[has], minlength=size).astype(float)
    both = np.bincount(kinds[with_it & has], minlength=size).astype(float)
    tells = total > 1
    total, ours, hits, both = total[tells], ours[tells], hits[tells], both[tells]
    variance = (ours * (total - ours) * hits * (total - hits) / (total**2 * (total - 1))).sum()
    if variance <= 0:
        return 1.0
    distance = max(0.0, abs(float((both - ours * hits / total).sum())) - _CONTINUITY)
    return erfc(distance / sqrt(2 * variance))  # twice the normal tail


def settle(suspects: Sequence[Suspect], has: NDArray[np.bool_], family: int, alpha: float) -> list[Suspect]:
    """Return the suspects that the outcome goes with, whatever the others are; tell for the rest which one explains it.

    Parameters
    ----------
    suspects
        The strongest first. Each is held against those before it that stood, then each that stood against all others.
    has
        The cases with the outcome.
    family
        How many factors were tried in all: each chance is taken times that.
    alpha
        The highest chance that is believed.
    """
    standing: list[Suspect] = []
    for suspect in suspects:
        held = _before(suspect, standing)
        suspect.given = max(suspect.chance, _given(suspect, held, has))
        if suspect.given * family < alpha:
            standing.append(suspect)
        else:
            suspect.explained_by = _explanation(suspect, held, has)
    for suspect in standing[::-1]:
        held = [other for other in _before(suspect, standing) if other is not suspect]
        suspect.given = max(suspect.chance, _given(suspect, held, has))
        if suspect.given * family >= alpha:
            standing = [other for other in standing if other is not suspect]
            suspect.explained_by = _explanation(suspect, held, has)
    return standing


def _before(suspect: Suspect, standing: Sequence[Suspect]) -> list[Suspect]:
    """Return those that may explain a suspect: a compensation that a failure led to does not explain its cause."""
    return [other for other in standing if suspect.happens or not other.happens]


def _given(suspect: Suspect, held: Sequence[Suspect], has: NDArray[np.bool_]) -> float:
    if not held:
        return suspect.chance
    codes = held[0].kinds.astype(np.int64)
    for other in held[1:]:
        codes = codes * (int(other.kinds.max()) + 1) + other.kinds
        codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return min(1.0, chance_given(suspect.with_it, has, codes) * suspect.tests)


def _explanation(suspect: Suspect, held: Sequence[Suspect], has: NDArray[np.bool_]) -> str | None:
    best = max(held, key=lambda other: _given(suspect, [other], has), default=None)
    return None if best is None else best.name
