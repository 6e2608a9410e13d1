"""Conditions of alerts: what they may be about, and how they are written."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchkit.errors import WorkflowError, nearest
from orchkit.units import seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DURATIONS", "METRICS", "SHARES", "USUAL", "Condition"]

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
    "arrivals": "cases that began in the window",
    "busy": "steps that are being worked on at the moment",
    "sla_breaches": "cases that passed the longest acceptable duration of their workflow (its sla) in the window",
}
"""What a condition may be about."""

DURATIONS = frozenset({"step_duration", "case_duration"})
USUAL = ("arrivals", "throughput", "failures", "case_duration")
SHARES = frozenset({"failure_rate", "completion_rate", "error_rate"})
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
OF_ROLES = ("busy", "queue_depth", "step_duration", "error_rate")
_FORM = re.compile(r"\s*(anomaly\(\s*)?([a-z_]\w*)(?(1)\s*\)|(?:\(\s*([^()]+?)\s*\))?)\s*(>=|<=|>|<)\s*(\S.*?)\s*")


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
        A share between 0 and 1, seconds, a count; or a score.
    is_anomaly
        Whether it is about how far the metric is from what is usual: ``anomaly(throughput) > 4``; see
        `orchkit.operations.anomalies`.
    role
        Whose steps alone count: ``busy(clerk) >= 3`` holds while three clerks are at work, ``queue_depth(clerk) > 20``
        while more than twenty steps wait for one. Also for ``step_duration`` and ``error_rate``.
    """

    metric: str
    sign: str
    limit: float
    is_anomaly: bool = False
    role: str | None = None

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
        Condition(metric='failure_rate', sign='>', limit=0.1, is_anomaly=False, role=None)
        >>> Condition.parse("step_duration > 30m").limit
        1800.0
        """
        found = _FORM.fullmatch(text)
        if found is None:
            message = f"{text!r} is not a condition such as 'failure_rate > 10%' or 'step_duration > 30m'."
            raise WorkflowError(message)
        anomaly, metric, role, sign, limit = found.groups()
        if metric not in METRICS:
            message = f"{text!r}: there is no metric {metric!r}.{nearest(metric, METRICS)} Known: {', '.join(METRICS)}."
            raise WorkflowError(message)
        if anomaly is not None and metric not in USUAL:
            message = f"{text!r}: anomaly() takes {', '.join(USUAL)}.{nearest(metric, USUAL)}"
            raise WorkflowError(message)
        if role is not None and metric not in OF_ROLES:
            message = f"{text!r}: a role can be given for {', '.join(OF_ROLES)}.{nearest(metric, OF_ROLES)}"
            raise WorkflowError(message)
        if metric in DURATIONS and not anomaly and sign not in (">", ">="):
            message = f"{text!r}: {metric} is the longest one, which can only be compared with > and >=."
            raise WorkflowError(message)
        try:
            return cls(metric, sign, float(limit) if anomaly else _limit(metric, limit), anomaly is not None, role)
        except ValueError as error:
            message = f"{text!r}: {error}"
            raise WorkflowError(message) from error

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return where it holds; nowhere that the value is missing."""
        held: NDArray[np.bool_] = _COMPARE[self.sign](values, self.limit)
        return held

    def holds_at(self, value: float) -> bool:
        """Return whether it holds for one value; not where it is missing."""
        return bool(_COMPARE[self.sign](value, self.limit))


def _limit(metric: str, text: str) -> float:
    if metric in DURATIONS:
        return seconds(text)
    if text.endswith("%"):
        return float(text[:-1]) / 100
    return float(text)
