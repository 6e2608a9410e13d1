"""Alerts: conditions on a log's figures, and when they hold.

A figure is taken over the window that ends at a moment. All figures change only when a case or a step begins, ends or
leaves the window, so a condition is decided exactly, at those moments, and not on a grid of them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from orchkit.errors import WorkflowError, nearest
from orchkit.model.definition import Alert, Workflow
from orchkit.model.states import RunStatus, StepStatus
from orchkit.units import seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["METRICS", "Condition", "backtest"]

METRICS = {
    "failure_rate": "cases that ended FAILED, DEAD_LETTERED or COMPENSATED, of those that ended in the window",
    "completion_rate": "cases that ended COMPLETED, of those that ended in the window",
    "error_rate": "attempts that failed, of those that completed or failed in the window",
    "failures": "cases that ended FAILED, DEAD_LETTERED or COMPENSATED in the window",
    "dead_letters": "cases that ended DEAD_LETTERED in the window",
    "throughput": "cases that ended COMPLETED in the window, an hour",
    "active": "cases that have begun and not ended at the moment",
    "queue_depth": "steps that are enabled and not started at the moment",
    "step_duration": "the longest step that is under way, or has ended in the window",
    "case_duration": "the longest case that is under way, or has ended in the window",
}
"""What a condition may be about."""

_DURATIONS = frozenset({"step_duration", "case_duration"})
_SHARES = frozenset({"failure_rate", "completion_rate", "error_rate"})
_LOST = [RunStatus.FAILED, RunStatus.DEAD_LETTERED, RunStatus.COMPENSATED]
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FORM = re.compile(r"\s*([a-z_]\w*)\s*(>=|<=|>|<)\s*(\S.*?)\s*")
_NEVER = np.int64(2**62)  # microseconds since the epoch: what has not ended yet
_MICROSECOND = 1_000_000
_COLUMNS = ["alert", "severity", "workflow", "condition", "fired", "resolved", "duration_s", "worst"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison such as ``failure_rate > 10%``, ``step_duration > 30m`` or ``queue_depth >= 50``.

    Attributes
    ----------
    metric
        One of `METRICS`.
    sign
        ``>``, ``>=``, ``<`` or ``<=``.
    limit
        A share between 0 and 1, seconds, or a count.
    """

    metric: str
    sign: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Return the condition that a text says.

        Raises
        ------
        WorkflowError
            It is of another form, or about a metric that is not known.

        Examples
        --------
        >>> Condition.parse("failure_rate > 10%")
        Condition(metric='failure_rate', sign='>', limit=0.1)
        >>> Condition.parse("step_duration > 30m").limit
        1800.0
        """
        found = _FORM.fullmatch(text)
        if found is None:
            message = f"{text!r} is not a condition such as 'failure_rate > 10%' or 'step_duration > 30m'."
            raise WorkflowError(message)
        metric, sign, limit = found.groups()
        if metric not in METRICS:
            message = f"{text!r}: there is no metric {metric!r}.{nearest(metric, METRICS)} Known: {', '.join(METRICS)}."
            raise WorkflowError(message)
        if metric in _DURATIONS and sign not in (">", ">="):
            message = f"{text!r}: {metric} is the longest one, which can only be compared with > and >=."
            raise WorkflowError(message)
        try:
            return cls(metric, sign, _limit(metric, limit))
        except ValueError as error:
            message = f"{text!r}: {error}"
            raise WorkflowError(message) from error

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return where it holds; nowhere that the value is missing."""
        held: NDArray[np.bool_] = _COMPARE[self.sign](values, self.limit)
        return held


def _limit(metric: str, text: str) -> float:
    if metric in _DURATIONS:
        return seconds(text)
    if text.endswith("%"):
        return float(text[:-1]) / 100
    return float(text)


def backtest(alerts: Workflow | Iterable[Alert], log: EventLog) -> pd.DataFrame:
    """Return when alerts would have fired on a log, a row an episode, in order of time.

    Parameters
    ----------
    alerts
        Alerts, or a workflow, for its own on its own cases.
    log
        A history, a simulation or a file.

    Returns
    -------
    DataFrame
        ``alert, severity, workflow, condition, fired, resolved`` (missing where it holds at the end of the log),
        ``duration_s`` (up to the end of the log), ``worst`` (the value furthest beyond the limit; a share, seconds or
        a count). What is under way counts up to the end of the log.

    Raises
    ------
    WorkflowError
        A condition that makes no sense.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o2"],
    ...     "activity": ["ship", "ship"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T09:10Z"],
    ...     "status": ["FAILED", "COMPLETED"],
    ... }))
    >>> alert = Alert("high_failure_rate", "failure_rate > 50%", window="15m")
    >>> print(backtest([alert], log)[["fired", "resolved", "worst"]])
                          fired                  resolved  worst
    0 2024-05-06 09:00:00+00:00 2024-05-06 09:10:00+00:00    1.0
    """
    name = alerts.name if isinstance(alerts, Workflow) else None
    listed = alerts.alerts if isinstance(alerts, Workflow) else alerts
    figures = _Figures(log, name)
    rows = [
        [alert.name, alert.severity, name, alert.condition, *episode]
        for alert in listed
        for episode in _episodes(figures, Condition.parse(alert.condition), seconds(alert.window))
    ]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    for column in ("fired", "resolved"):
        frame[column] = pd.to_datetime(frame[column], unit="us", utc=True)
    return frame.sort_values(["fired", "alert"], ignore_index=True)


class _Episode(NamedTuple):
    """A stretch of time in which a condition holds; moments in microseconds."""

    fired: int
    resolved: int | None
    duration_s: float
    worst: float


@dataclass(frozen=True, slots=True, init=False)
class _Figures:
    """A log as sorted moments, in microseconds; each figure is a difference of counts of them."""

    cases: pd.DataFrame
    steps: pd.DataFrame
    last: int

    def __init__(self, log: EventLog, workflow: str | None) -> None:
        cases, steps = log.cases, log.steps
        if workflow is not None:
            cases, steps = cases[cases["workflow"] == workflow], steps[steps["workflow"] == workflow]
        object.__setattr__(self, "cases", cases)
        object.__setattr__(self, "steps", steps)
        times = [_times(steps[column]) for column in ("enabled", "started", "completed")]
        known = np.concatenate([time[time != _NEVER] for time in times])
        object.__setattr__(self, "last", int(known.max(initial=0)))

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
        known = (began != _NEVER) & ((ended != _NEVER) | ~_is_done(frame["status"]))
        return began[known], ended[known]

    def episode(self, fired: int, resolved: int | None, worst: float) -> _Episode:
        """Return a stretch of time; one that has not ended lasts up to the end of the log."""
        length = (self.last if resolved is None else resolved) - fired
        return _Episode(fired, resolved, length / _MICROSECOND, worst)

    def queued(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when each step entered and left the queue."""
        enabled, started = _times(self.steps["enabled"]), _times(self.steps["started"])
        left = np.where(started == _NEVER, _times(self.steps["completed"]), started)
        waits = (enabled != _NEVER) & (left > enabled) & ((started != _NEVER) | _is_pending(self.steps["status"]))
        return enabled[waits], left[waits]


def _episodes(figures: _Figures, condition: Condition, window_s: float) -> list[_Episode]:
    """Return each stretch of time in which a condition holds."""
    window = np.int64(window_s * _MICROSECOND)
    if condition.metric in _DURATIONS:
        return _too_long(figures, condition, window)
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


def _too_long(figures: _Figures, condition: Condition, window: np.int64) -> list[_Episode]:
    """Return the stretches in which a span is longer than the limit: from when it is, until it leaves the window."""
    began, ended = figures.spans(condition.metric)
    finish = np.where(ended == _NEVER, figures.last, ended)
    passes = began + np.int64(condition.limit * _MICROSECOND) + (1 if condition.sign == ">" else 0)
    long = np.flatnonzero(passes <= finish)
    long = long[np.argsort(passes[long], kind="stable")]
    leaves = np.where(ended == _NEVER, _NEVER, ended + window)[long]
    lengths = ((finish - began) / _MICROSECOND)[long]
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


def _counted(figures: _Figures, metric: str, window: np.int64) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the moments at which a metric may change, and its value from each on."""
    if metric in ("active", "queue_depth"):
        begun, ended = figures.queued() if metric == "queue_depth" else _open_cases(figures)
        moments = np.unique(np.concatenate([begun, ended[ended != _NEVER]]))
        return moments, (_up_to(_sorted(begun), moments) - _up_to(_sorted(ended), moments)).astype(np.float64)
    if metric == "error_rate":
        part = figures.attempts([StepStatus.FAILED])
        whole = figures.attempts([StepStatus.FAILED, StepStatus.COMPLETED, StepStatus.COMPENSATED])
    else:
        chosen = {"completion_rate": [RunStatus.COMPLETED], "throughput": [RunStatus.COMPLETED]}
        chosen["dead_letters"] = [RunStatus.DEAD_LETTERED]
        part, whole = figures.ended(chosen.get(metric, _LOST)), figures.ended()
    moments = np.unique(np.concatenate([whole, whole + window]))
    counts = _within(part, moments, window).astype(np.float64)
    if metric == "throughput":
        return moments, counts * 3600 * _MICROSECOND / window
    if metric not in _SHARES:
        return moments, counts
    total = _within(whole, moments, window)
    return moments, np.divide(counts, total, out=np.full(len(moments), np.nan), where=total > 0)


def _open_cases(figures: _Figures) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    began, ended = _times(figures.cases["started"]), _times(figures.cases["completed"])
    return began[began != _NEVER], ended[began != _NEVER]


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
