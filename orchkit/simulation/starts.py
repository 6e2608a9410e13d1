"""Starts that a log does not tell: a step began when it could, and who did it was free."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moments_s
from orchkit.log import EventLog

__all__ = ["with_starts", "without_starts"]

_NAMED = 5


def without_starts(log: EventLog) -> frozenset[str]:
    """Return the activities of which the log has ends, and no start."""
    started, completed = (moments_s(log.steps[name]) for name in ("started", "completed"))
    size = len(log.activities)
    begun = np.bincount(log.activity_codes[~np.isnan(started)], minlength=size)
    ended = np.bincount(log.activity_codes[~np.isnan(completed)], minlength=size)
    return frozenset(
        str(name) for name, once, done in zip(log.activities, begun, ended, strict=True) if done and not once
    )


def with_starts(log: EventLog) -> tuple[EventLog, tuple[str, ...]]:
    """Return a log whose steps all have starts, and what was taken for granted, one sentence each.

    Notes
    -----
    Of an activity that has ends only, a step began when the one before in its case ended, or when its resource ended
    its last step, whichever was later. The first step of a case began when it ended: of its work nothing is known.

    Examples
    --------
    >>> import pandas as pd
    >>> steps = pd.DataFrame({"case_id": "1", "activity": ["check", "ship"]})
    >>> steps["completed"] = pd.to_datetime(["2024-05-06T09:00Z", "2024-05-06T09:20Z"])
    >>> whole, notes = with_starts(EventLog(steps))
    >>> (whole.steps["completed"] - whole.steps["started"]).dt.total_seconds().tolist()
    [0.0, 1200.0]
    """
    steps = log.steps
    completed = moments_s(steps["completed"])
    unknown = np.isin(np.asarray(log.activities).astype(str), list(without_starts(log)))
    guessed = ~np.isnan(completed) & unknown[log.activity_codes]
    if not guessed.any():
        return log, ()
    before = np.concatenate([[np.nan], completed[:-1]])
    before[np.diff(log.case_codes, prepend=-1) != 0] = np.nan
    first = np.isnan(before)
    begins = np.fmax(before, moments_s(steps["enabled"]))
    order = np.lexsort((completed, log.resource_codes))
    same = (np.diff(log.resource_codes[order], prepend=-1) == 0) & (log.resource_codes[order] >= 0)
    last = np.full(len(steps), np.nan)
    last[order] = np.where(same, np.concatenate([[np.nan], completed[order][:-1]]), np.nan)
    begins = np.where(first & np.isnan(begins), completed, np.fmin(np.fmax(begins, last), completed))
    moments = pd.Series(pd.to_datetime(np.round(begins * 1e6), unit="us", utc=True), index=steps.index)
    names = [name for code, name in enumerate(log.activities) if (guessed & (log.activity_codes == code)).any()]
    shown = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
    note = (
        f"The log has no starts of {shown}: a step was taken to begin when the one before in its case ended, or its "
        "resource was free. Such durations hold all that went by, waiting as well."
    )
    later = set(log.activity_codes[guessed & ~first].tolist())
    only_first = [name for code, name in enumerate(log.activities) if name in names and code not in later]
    told = [f"Nothing is known of how long {name} takes: it always comes first." for name in only_first[:_NAMED]]
    return EventLog(steps.assign(started=steps["started"].where(~guessed, moments)), log.cases), (note, *told)
