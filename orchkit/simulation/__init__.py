"""Simulation: what would happen if.

`simulate` lowers a workflow and a scenario to integer arrays and runs them through one compiled kernel, which follows
the rules of `orchkit.machine`. The result is an `EventLog` like any other, with three additions.

**Waiting time by its true cause.** Each row of ``log.steps`` splits the time between ``enabled`` and ``started``
(all in seconds, as floats, together the whole of it; the last one comes before ``enabled``):

``wait_contention_s``
    Those who could do it were on duty, and busy.
``wait_calendar_s``
    Nobody who could do it was on duty.
``wait_batching_s``
    It waited for other steps, to be done together with them.
``wait_priority_s``
    Someone who came later was served first, or its work was interrupted.
``wait_retry_s``
    The delay of a retry. The row of an attempt is enabled when the one before has failed.
``wait_dependency_s``
    Before it was enabled, the first of the branches that led to it stood at a join until the last one came. A join is
    a gateway, the end of a scope that has several branches inside, or that of a ``for_each`` with ``concurrency``,
    where a branch stands when no item is left for it. What goes on from one join to the next one counts from the
    first. A case that ends with a join waits for nothing more.

**Who was on duty.** ``log.availability`` has one row per resource and replication:
``replication, role, resource, resource_count`` (of the role), ``available_s`` and ``busy_s`` (on duty and at work, on
any case), ``period_s`` and ``until`` (how long and until when: all that was simulated, but for the warm-up),
``cost_per_hour, cost_per_step``.

**Attributes.** ``log.cases`` has a column for each attribute of the scenario, ``arrived`` among the times of the
columns that every log has (``started``).
"""

from __future__ import annotations

from orchkit.simulation.replications import simulate
from orchkit.simulation.scenario import Scenario

__all__ = ["Scenario", "simulate"]
