"""How well a fitted scenario foretells the cases that it has not seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.distances import distances
from orchkit.analysis.spans import case_durations_s, moments_s
from orchkit.errors import ScenarioError
from orchkit.log import EventLog
from orchkit.simulation.replications import simulate_quietly

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.model.definition import Workflow
    from orchkit.simulation.scenario import Scenario

__all__ = ["arrived_s", "goodness_of", "split_by_time"]

_MOST = 0.95
_AS_MANY_BEFORE = 3  # times the cases held out: enough that as many arrive after those that came before
_ABSOLUTE = ("absolute_event", "case_arrival")  # the past lies elsewhere on the clock


def goodness_of(
    workflow: Workflow, scenario: Scenario, seen: EventLog, held_out: EventLog, seed: int
) -> tuple[pd.DataFrame, list[str]]:
    """Return the distances of the cases held out to as many simulated ones, and to those of the past; and notes."""
    none = pd.DataFrame({"distance": [], "value": [], "past": [], "unit": []})
    if not len(held_out.steps):
        return none, []
    simulated = _observed(workflow, scenario, seen, held_out, seed)
    if not len(simulated.steps):
        return none, ["No simulated step ended in the time of the cases held out: there is nothing to compare them to."]
    table = distances(held_out, simulated)
    past = distances(held_out, seen)["value"].where(~table["distance"].isin(_ABSOLUTE))
    table.insert(2, "past", past)
    return table, []


def _observed(workflow: Workflow, scenario: Scenario, seen: EventLog, log: EventLog, seed: int) -> EventLog:
    """Simulate as many cases as a log has, and look at them as long as the log does.

    So that they do not find all idle, others arrive before, for as long as most cases took in the past.
    """
    first_s, last_s = scenario.start.timestamp(), max(_last_s(log, name) for name in ("started", "completed"))
    lengths = case_durations_s(seen)
    before_s = float(np.quantile(lengths[~np.isnan(lengths)], _MOST)) if (~np.isnan(lengths)).any() else 0.0
    before_s = min(before_s, float(np.ptp(arrived_s(log))))
    simulated = simulate_quietly(
        workflow,
        replace(scenario, start=scenario.start - timedelta(seconds=before_s)),
        cases=len(log) * _AS_MANY_BEFORE,
        until=last_s - first_s + before_s,
        warm_up=before_s,
        seed=seed,
        progress=False,
    )
    order = np.argsort(moments_s(simulated.cases["started"]), kind="stable")
    simulated = _part(simulated, order[: len(log)])
    steps = simulated.steps
    if log.cases["completed"].isna().any() or steps["completed"].notna().all():
        return simulated
    # A log that knows no open cases takes what it has seen of them for the whole.
    return EventLog(steps[steps["completed"].notna()])


def _last_s(log: EventLog, name: str) -> float:
    times = moments_s(log.steps[name])
    return float(times[~np.isnan(times)].max(initial=-np.inf))


def split_by_time(log: EventLog, share: float) -> tuple[EventLog, EventLog]:
    """Return the first cases by their start, and the rest.

    Raises
    ------
    ScenarioError
        The share is not above 0 and at most 1, or the log has fewer than two cases with a start.
    """
    started = moments_s(log.cases["started"])
    known = np.flatnonzero(~np.isnan(started))
    if not isinstance(share, int | float) or not 0 < share <= 1:
        message = f"fit: train is the share of the cases to learn from, above 0 and at most 1, not {share!r}."
        raise ScenarioError(message)
    if len(known) < 2:  # noqa: PLR2004 -- a time between cases needs two
        message = f"fit: it takes two cases or more whose start is known, and the log has {len(known)}."
        raise ScenarioError(message)
    order = known[np.argsort(started[known], kind="stable")]
    size = max(2, round(len(order) * share))
    return _part(log, order[:size]), _part(log, order[size:])


def _part(log: EventLog, places: NDArray[np.intp]) -> EventLog:
    chosen = np.zeros(len(log), dtype=bool)
    chosen[places] = True
    return EventLog(log.steps[chosen[log.case_codes]], log.cases[chosen])


def arrived_s(log: EventLog) -> NDArray[np.float64]:
    """Return when cases began, as far as that is known."""
    started = moments_s(log.cases["started"])
    return started[~np.isnan(started)]
