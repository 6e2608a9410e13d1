"""The longest acceptable duration of a case: a workflow's SLA, or a duration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchkit.errors import LogError, nearest
from orchkit.model.definition import Workflow
from orchkit.units import Duration, seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["limit_s", "limits_s"]


def limit_s(sla: Workflow | Duration) -> float:
    """Return the limit in seconds."""
    if not isinstance(sla, Workflow):
        return seconds(sla)
    if sla.sla is None:
        message = f"Workflow {sla.name!r} has no sla. Write one, sla: 2d, or give the limit itself, as '2 d'."
        raise LogError(message)
    return seconds(sla.sla)


def limits_s(log: EventLog, sla: Workflow | Duration) -> NDArray[np.float64]:
    """Return each case's limit: a workflow's is that of its own cases and those without a name, else missing."""
    names, limit = log.cases["workflow"], limit_s(sla)
    if not isinstance(sla, Workflow):
        return np.full(len(log), limit)
    chosen = (names.isna() | (names == sla.name)).to_numpy()
    if len(log) and not chosen.any():
        known = sorted(names.dropna().unique())
        message = f"The log has no case of workflow {sla.name!r}.{nearest(sla.name, known)}"
        raise LogError(message)
    return np.where(chosen, limit, np.nan)
