"""The figures that alerts are about, over time.

A figure is taken over the window that ends at a moment. All figures change only when a case or a step begins, ends or
leaves the window, so a condition is decided exactly, at those moments, and not on a grid of them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from orchkit.model.states import RunStatus, StepStatus
from orchkit.operations.anomalies import buckets, scores
from orchkit.operations.conditions import DURATIONS, SHARES, Condition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["MICROSECOND", "Episode", "Figures", "episodes", "value_now"]

_LOST = [RunStatus.FAILED, RunStatus.DEAD_LETTERED, RunStatus.COMPENSATED]
_NEVER = np.int64(2**62)  # microseconds since the epoch: what has not ended yet
MICROSECOND = 1_000_000


class Episode(NamedTuple):
    """A stretch of time in which a condition holds; moments in microseconds."""

    fired: int
    resolved: int | None
    duration_s: float
    worst: float


@dataclass(frozen=True, slots=True, init=False)
class Figures:
    """A log as sorted moments, in microseconds; each figure is a difference of counts of them."""

    cases: pd.DataFrame
    steps: pd.DataFrame
    last: int
    sla_s: float | None

    def __init__(
        self, log: EventLog, workflow: str | None, *, sla_s: float | None = None, now_s: float | None = None
    ) -> None:
        cases, steps = log.cases, log.steps
        if workflow is not None:
            cases, steps = cases[cases["workflow"] == workflow], steps[steps["workflow"] == workflow]
        object.__setattr__(self, "cases", cases)
        object.__setattr__(self, "steps", steps)
        times = [_times(steps[column]) for column in ("enabled", "started", "completed")]
        known = np.concatenate([time[time != _NEVER] for time in times])
        object.__setattr__(self, "last", int(known.max(initial=0)) if now_s is None else int(now_s * MICROSECOND))
        object.__setattr__(self, "sla_s", sla_s)

    def of(self, role: str | None) -> Figures:
        """Return the figures of the steps of a role; of all where it is None."""
        if role is None:
            return self
        found = copy.copy(self)
        object.__setattr__(found, "steps", self.steps[self.steps["role"] == role])
        return found

    def ended(self, statuses: list[RunStatus] | None = None) -> NDArray[np.int64]:
        """Return when the cases ended, or those of some statuses."""
        chosen = self.cases if statuses is None else self.cases[self.cases["status"].isin(statuses)]
        return _sorted(_times(chosen["completed"]))

    def attempts(self, statuses: list[StepStatus]) -> NDArray[np.int64]:
        """Return when the attempts of some statuses ended."""
        return _sorted(_times(self.steps["completed"][self.steps["status"].isin(statuses)]))

    def spans(self, metric: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when each step, or case, began and ended; what has no beginning took no time."""
        frame = self.steps if metric == "step_duration" else self.cases
        began, ended = _times(frame["started"]), _times(frame["completed"])
        if metric == "step_duration":  # a wait is under way from when it opens: nobody starts it
            opened = _times(frame["enabled"])
            idle = frame["status"].isin([StepStatus.PENDING, StepStatus.CANCELLED, StepStatus.SKIPPED])
            began = np.where((began == _NEVER) & ~idle.to_numpy(dtype=bool), opened, began)
        known = (began != _NEVER) & ((ended != _NEVER) | ~_is_done(frame["status"]))
        return began[known], ended[known]

    def episode(self, fired: int, resolved: int | None, worst: float) -> Episode:
        """Return a stretch of time; one that has not ended lasts up to the end of the log."""
        length = (self.last if resolved is None else resolved) - fired
        return Episode(fired, resolved, length / MICROSECOND, worst)

    def worked_on(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when work on each step began and ended."""
        began, ended = _times(self.steps["started"]), _times(self.steps["completed"])
        known = (began != _NEVER) & ((ended != _NEVER) | ~_is_done(self.steps["status"]))
        return began[known], ended[known]

    def arrived(self) -> NDArray[np.int64]:
        """Return when the cases began."""
        return _sorted(_times(self.cases["started"]))

    def late(self) -> NDArray[np.int64]:
        """Return when each case that took longer than the workflow accepts had done so."""
        if self.sla_s is None:
            return np.empty(0, dtype=np.int64)
        began, ended = _times(self.cases["started"]), _times(self.cases["completed"])
        due = np.where(began == _NEVER, _NEVER, began + np.int64(self.sla_s * MICROSECOND))
        return _sorted(np.where(ended > due, due, _NEVER))

    def open_cases(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when each case began and ended."""
        began, ended = _times(self.cases["started"]), _times(self.cases["completed"])
        return began[began != _NEVER], ended[began != _NEVER]

    def queued(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when each step entered and left the queue."""
        enabled, started = _times(self.steps["enabled"]), _times(self.steps["started"])
        left = np.where(started == _NEVER, _times(self.steps["completed"]), started)
        waits = (enabled != _NEVER) & (left > enabled) & ((started != _NEVER) | _is_pending(self.steps["status"]))
        return enabled[waits], left[waits]


def episodes(figures: Figures, condition: Condition, window_s: float) -> list[Episode]:
    """Return each stretch of time in which a condition holds."""
    window = np.int64(window_s * MICROSECOND)
    figures = figures.of(condition.role)
    if condition.is_anomaly:
        moments, values = _unusual(figures, condition.metric, window_s)
    elif condition.metric in DURATIONS:
        return _too_long(figures, condition, window)
    else:
        moments, values = _counted(figures, condition.metric, window)
    seen = moments <= figures.last
    moments, values = moments[seen], values[seen]
    held = np.concatenate([[False], condition.holds(values), [False]])
    edges = np.flatnonzero(np.diff(held.astype(np.int8)))
    worst = np.nanmax if condition.sign in (">", ">=") else np.nanmin
    episodes = []
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        resolved = int(moments[after]) if after < len(moments) else None
        episodes.append(figures.episode(int(moments[first]), resolved, float(worst(values[first:after]))))
    return episodes


def value_now(figures: Figures, condition: Condition, window_s: float) -> float:
    """Return the value of a condition's metric at the last moment; missing where it has none."""
    window = np.int64(window_s * MICROSECOND)
    figures = figures.of(condition.role)
    if condition.metric in DURATIONS and not condition.is_anomaly:
        began, ended = figures.spans(condition.metric)
        seen = (began <= figures.last) & ((ended == _NEVER) | (ended + window > figures.last))
        lengths = np.minimum(ended[seen], figures.last) - began[seen]
        return float(lengths.max() / MICROSECOND) if len(lengths) else float("nan")
    if condition.is_anomaly:
        moments, values = _unusual(figures, condition.metric, window_s)
    else:
        moments, values = _counted(figures, condition.metric, window)
    place = int(np.searchsorted(moments, figures.last, side="right")) - 1
    if place >= 0:
        return float(values[place])
    return float("nan") if condition.is_anomaly or condition.metric in SHARES else 0.0


def _unusual(figures: Figures, metric: str, bucket_s: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ends of the buckets, and how unusual each one is."""
    arrived = figures.arrived()
    ended = {"throughput": [RunStatus.COMPLETED], "failures": _LOST}
    times = arrived if metric == "arrivals" else figures.ended(ended.get(metric))
    first = min(arrived.min(initial=_NEVER), times.min(initial=_NEVER))
    if first >= figures.last:
        return np.empty(0, dtype=np.int64), np.empty(0)
    edges = (buckets(first / MICROSECOND, figures.last / MICROSECOND, bucket_s) * MICROSECOND).astype(np.int64)
    if len(edges) <= 1:
        return np.empty(0, dtype=np.int64), np.empty(0)
    if metric == "case_duration":
        began, finished = figures.spans(metric)
        place = np.searchsorted(edges, finished, side="right") - 1
        lengths = pd.Series((finished - began) / MICROSECOND).groupby(place).median()
        values: Any = lengths.reindex(range(len(edges) - 1)).to_numpy(dtype=np.float64)
    else:
        values = np.histogram(times, bins=edges)[0].astype(np.float64)
    return edges[1:], scores(values, edges[:-1] / MICROSECOND, bucket_s, counts=metric != "case_duration")


def _too_long(figures: Figures, condition: Condition, window: np.int64) -> list[Episode]:
    """Return the stretches in which a span is longer than the limit: from when it is, until it leaves the window."""
    began, ended = figures.spans(condition.metric)
    finish = np.where(ended == _NEVER, figures.last, ended)
    passes = began + np.int64(condition.limit * MICROSECOND) + (1 if condition.sign == ">" else 0)
    long = np.flatnonzero(passes <= finish)
    long = long[np.argsort(passes[long], kind="stable")]
    leaves = np.where(ended == _NEVER, _NEVER, ended + window)[long]
    lengths = ((finish - began) / MICROSECOND)[long]
    reach = np.maximum.accumulate(leaves)
    firsts = np.flatnonzero(np.concatenate([[True], passes[long][1:] >= reach[:-1]])) if len(long) else long
    lasts = np.concatenate([firsts[1:], [len(long)]])
    episodes = []
    for first, after in zip(firsts, lasts, strict=False):
        end = int(reach[after - 1])
        episodes.append(
            figures.episode(
                int(passes[long[first]]), end if end <= figures.last else None, float(lengths[first:after].max())
            )
        )
    return episodes


def _counted(figures: Figures, metric: str, window: np.int64) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the moments at which a metric may change, and its value from each on."""
    if metric in ("active", "queue_depth", "busy"):
        read = {"active": figures.open_cases, "queue_depth": figures.queued, "busy": figures.worked_on}
        begun, ended = read[metric]()
        moments = np.unique(np.concatenate([begun, ended[ended != _NEVER]]))
        return moments, (_up_to(_sorted(begun), moments) - _up_to(_sorted(ended), moments)).astype(np.float64)
    if metric in ("arrivals", "sla_breaches"):
        part = whole = figures.arrived() if metric == "arrivals" else figures.late()
    elif metric == "error_rate":
        part = figures.attempts([StepStatus.FAILED])
        whole = figures.attempts([StepStatus.FAILED, StepStatus.COMPLETED, StepStatus.COMPENSATED])
    else:
        chosen = {"completion_rate": [RunStatus.COMPLETED], "throughput": [RunStatus.COMPLETED]}
        chosen["dead_letters"] = [RunStatus.DEAD_LETTERED]
        part, whole = figures.ended(chosen.get(metric, _LOST)), figures.ended()
    moments = np.unique(np.concatenate([whole, whole + window]))
    counts = _within(part, moments, window).astype(np.float64)
    if metric == "throughput":
        return moments, counts * 3600 * MICROSECOND / window
    if metric not in SHARES:
        return moments, counts
    total = _within(whole, moments, window)
    return moments, np.divide(counts, total, out=np.full(len(moments), np.nan), where=total > 0)


def _within(times: NDArray[np.int64], moments: NDArray[np.int64], window: np.int64) -> NDArray[np.int64]:
    """Return how many of the sorted times are in the window that ends at each moment, its start left out."""
    return _up_to(times, moments) - _up_to(times, moments - window)


def _up_to(times: NDArray[np.int64], moments: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(times, moments, side="right").astype(np.int64)


def _sorted(times: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.sort(times[times != _NEVER])


def _times(column: pd.Series[Any]) -> NDArray[np.int64]:
    """Return microseconds since the epoch; what is missing is never."""
    found: NDArray[np.int64] = column.dt.tz_localize(None).to_numpy().view(np.int64)
    return np.where(found == np.iinfo(np.int64).min, _NEVER, found)


def _is_done(statuses: pd.Series[Any]) -> NDArray[np.bool_]:
    done = ["COMPLETED", "FAILED", "CANCELLED", "COMPENSATED", "SKIPPED", "DEAD_LETTERED"]
    return statuses.isin(done).to_numpy(dtype=bool)


def _is_pending(statuses: pd.Series[Any]) -> NDArray[np.bool_]:
    return (statuses == StepStatus.PENDING).to_numpy(dtype=bool)
