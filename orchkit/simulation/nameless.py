"""People whom a log does not name: who they are is not known, but when they are at work is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orchkit.analysis.spans import moments_s
from orchkit.log import EventLog

__all__ = ["with_people"]

_TAKES_S = 1.0  # what takes less is done by a machine


def with_people(log: EventLog, roles: Mapping[str, str]) -> tuple[EventLog, set[str]]:
    """Return a log in which somebody stands for those who are not named, and of which roles or tasks these are.

    Parameters
    ----------
    log
        Whose steps may be without resources.
    roles
        By task; a task without one has people of its own.

    Notes
    -----
    They are those of a role, or of a task without a role, of whose steps none names a resource, if most steps of one of
    its tasks take time.

    Examples
    --------
    >>> import pandas as pd
    >>> steps = pd.DataFrame({"case_id": ["1", "1", "2"], "activity": ["check", "ship", "check"]})
    >>> steps["started"] = pd.date_range("2024-05-06T09:00Z", periods=3, freq="h")
    >>> steps["completed"] = steps["started"] + pd.Timedelta("20 min")
    >>> steps["resource"] = [None, "Ann", None]
    >>> found, nameless = with_people(EventLog(steps), {"check": "clerk", "ship": "packer"})
    >>> found.steps["resource"].tolist(), nameless
    (['anybody of clerk', 'Ann', 'anybody of clerk'], {'clerk'})
    """
    names = [roles.get(str(name), str(name)) for name in log.activities]
    groups = np.asarray(names, dtype=object)[log.activity_codes]
    lengths = moments_s(log.steps["completed"]) - moments_s(log.steps["started"])
    known = set(groups[log.resource_codes >= 0])
    nameless = {
        name
        for code, name in enumerate(names)
        if name not in known and np.mean(lengths[log.activity_codes == code] >= _TAKES_S) > 1 / 2
    }
    if not nameless:
        return log, nameless
    unknown = np.isin(groups, list(nameless))
    resources = log.steps["resource"].astype("object").where(~unknown, "anybody of " + groups)
    return EventLog(log.steps.assign(resource=resources), log.cases), nameless
