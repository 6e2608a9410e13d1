"""What a fit can take: one replication, and the steps that the workflow knows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from orchkit.analysis.skeleton import names_of
from orchkit.errors import ScenarioError, nearest
from orchkit.log import EventLog

if TYPE_CHECKING:
    from orchkit.model.definition import Workflow

__all__ = ["known_steps", "one_replication"]

_NAMED = 5


def one_replication(log: EventLog) -> EventLog:
    """Return the log where it is of one replication.

    Raises
    ------
    ScenarioError
        It is of several: in each, cases arrive anew.
    """
    count = log.cases["replication"].nunique()
    if count > 1:
        message = (
            f"fit: the log has {count} replications, in each of which cases arrive anew. Give one of them: "
            "ok.EventLog(log.steps[log.steps['replication'] == 0], log.cases[log.cases['replication'] == 0])."
        )
        raise ScenarioError(message)
    return log


def known_steps(workflow: Workflow, log: EventLog) -> tuple[EventLog, tuple[str, ...]]:
    """Return the log without the steps that the workflow does not know, and a note of what these are.

    Raises
    ------
    ScenarioError
        It knows none of them.
    """
    names = names_of(workflow, within=True)
    known = np.isin(np.asarray(log.activities), list(names))[log.activity_codes]
    if known.all() and len(known):
        return log, ()
    if not known.any():
        seen = ", ".join(map(str, log.activities[:_NAMED])) or "nothing"
        hint = nearest(str(log.activities[0]), names) if len(log.activities) else ""
        message = (
            f"fit: the log has no step of {workflow.name!r}: it has {seen}; the workflow has "
            f"{', '.join(sorted(names)[:_NAMED])}.{hint} Give its nodes the names of the log's activities, or let "
            "ok.discover(log) find a workflow."
        )
        raise ScenarioError(message)
    counts = Counter(log.steps["activity"][~known].astype("str"))
    shown = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common(_NAMED))
    shown += " …" if len(counts) > _NAMED else ""
    note = (
        f"{workflow.name!r} has no {shown}: these steps were passed over, and the time that they took counts as delay."
    )
    return EventLog(log.steps[known], log.cases), (note,)
