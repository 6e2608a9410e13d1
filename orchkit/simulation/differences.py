"""Who is faster: durations by resource, where a log shows that people differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from orchkit.simulation.distributions import Distribution, by_resource
from orchkit.simulation.families import Family, best_family

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog
    from orchkit.simulation.presence import Crew

__all__ = ["durations_of"]

_ENOUGH = 30  # steps of a task that one must have done to have durations of one's own
_BY_CHANCE = 2.0  # times the standard error of a mean: what samples of one distribution are off, at most
_MATTERS = 0.1  # of the mean


def durations_of(
    log: EventLog,
    families: Mapping[str, Family],
    roles: Mapping[str, str],
    crews: Mapping[str, Crew],
    worked_s: NDArray[np.float64],
) -> tuple[dict[str, Distribution], set[str]]:
    """Return the distribution of each task's durations, and the roles whose people need their names for that.

    Notes
    -----
    A task has durations by resource where its role's people are all known by name, two of them or more did it 30 times,
    and they differ: on average, their durations are off those of all together by a tenth of the mean and by twice the
    standard error or more (1-Wasserstein distance). Others are as fast as all are together.
    """
    found, named = {}, set()
    for task, family in families.items():
        crew = crews.get(roles.get(task, ""))
        found[task] = family.distribution
        if crew is None or not crew.is_known_by_name or task not in log.activities:
            continue
        rows = crew.rows & (log.activity_codes == list(log.activities).index(task)) & ~np.isnan(worked_s)
        people, counts = np.unique(log.resource_codes[rows], return_counts=True)
        known = people[counts >= _ENOUGH]
        parts = [worked_s[rows & (log.resource_codes == person)] for person in known]
        if _differ(parts):
            names = (str(log.resources[person]) for person in known)
            own = {name: best_family(part).distribution for name, part in zip(names, parts, strict=True)}
            found[task] = by_resource(own, otherwise=family.distribution)
            named.add(roles[task])
    return found, named


def _differ(parts: list[NDArray[np.float64]]) -> bool:
    """Return whether samples come from different distributions, by more than chance and by what matters."""
    if len(parts) < 2:  # noqa: PLR2004 -- to differ takes two
        return False
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 -- half a second, on use

    together = np.concatenate(parts)
    sizes = np.array([len(part) for part in parts])
    away = float(np.average([wasserstein_distance(part, together) for part in parts], weights=sizes))
    chance = float(np.average(together.std() / np.sqrt(sizes), weights=sizes))
    return away > max(_BY_CHANCE * chance, _MATTERS * float(together.mean()))
