"""Alerts: when their conditions hold on a log, and whether they hold now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from orchkit.log import expect_log
from orchkit.model.definition import Alert, Workflow
from orchkit.operations.conditions import Condition
from orchkit.operations.figures import Figures, episodes, value_now
from orchkit.units import seconds

if TYPE_CHECKING:
    from orchkit.log import EventLog

__all__ = ["backtest", "evaluate"]

_COLUMNS = ["alert", "severity", "workflow", "condition", "fired", "resolved", "duration_s", "worst"]


def backtest(alerts: Workflow | Iterable[Alert], log: EventLog) -> pd.DataFrame:
    """Return when alerts would have fired on a log: one row per episode, in order of time.

    Parameters
    ----------
    alerts
        Alerts; or a workflow, for its own alerts on its own cases.
    log
        A history, a simulation or a file.

    Returns
    -------
    DataFrame
        ``alert, severity, workflow, condition, fired, resolved`` (missing if it still holds at the end of the log),
        ``duration_s`` (up to the end of the log), ``worst`` (the value furthest beyond the limit; a share, seconds or a
        count). What is under way counts up to the end of the log.

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
    expect_log(log, "backtest")
    name = alerts.name if isinstance(alerts, Workflow) else None
    listed = alerts.alerts if isinstance(alerts, Workflow) else alerts
    figures = Figures(log, name, sla_s=_sla_s(alerts))
    rows = [
        [alert.name, alert.severity, name, alert.condition, *episode]
        for alert in listed
        for episode in episodes(figures, Condition.parse(alert.condition), seconds(alert.window))
    ]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    for column in ("fired", "resolved"):
        frame[column] = pd.to_datetime(frame[column], unit="us", utc=True)
    return frame.sort_values(["fired", "alert"], ignore_index=True)


def evaluate(alerts: Workflow | Iterable[Alert], log: EventLog, at: datetime | None = None) -> pd.DataFrame:
    """Return whether alerts hold at a moment, one row per alert.

    Parameters
    ----------
    alerts
        Alerts; or a workflow, for its own alerts on its own cases.
    log
        What is known up to the moment, such as ``engine.log()``.
    at
        The moment, by default the last one of the log. What is under way counts up to it.

    Returns
    -------
    DataFrame
        ``alert, severity, workflow, condition, value`` (missing if there is none), ``holds``.

    Examples
    --------
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1"],
    ...     "activity": ["ship"],
    ...     "started": ["2024-05-06T09:00Z"],
    ...     "completed": [None],
    ...     "status": ["RUNNING"],
    ... }))
    >>> evaluate([Alert("stuck", "step_duration > 30m")], log, pd.Timestamp("2024-05-06T09:40Z"))[["value", "holds"]]
        value  holds
    0  2400.0   True
    """
    expect_log(log, "evaluate")
    name = alerts.name if isinstance(alerts, Workflow) else None
    now_s = None if at is None else at.timestamp()
    figures = Figures(log, name, sla_s=_sla_s(alerts), now_s=now_s)
    rows = []
    for alert in alerts.alerts if isinstance(alerts, Workflow) else alerts:
        condition = Condition.parse(alert.condition)
        value = value_now(figures, condition, seconds(alert.window))
        rows.append([alert.name, alert.severity, name, alert.condition, value, condition.holds_at(value)])
    return pd.DataFrame(rows, columns=["alert", "severity", "workflow", "condition", "value", "holds"])


def _sla_s(alerts: Workflow | Iterable[Alert]) -> float | None:
    return seconds(alerts.sla) if isinstance(alerts, Workflow) and alerts.sla is not None else None
