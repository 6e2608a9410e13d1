"""Batches: steps of a task that are done together. The first one asks for the resources, the others follow it."""

from __future__ import annotations

from orchkit.simulation.kernel.asking import ask_for
from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import schedule
from orchkit.simulation.kernel.outcomes import failed_for_good
from orchkit.simulation.kernel.passes import become
from orchkit.simulation.kernel.queues import leave_queue, lose_patience
from orchkit.simulation.kernel.turn import turn

__all__ = ["close_batch", "gather", "turn_away"]


@compiled
def gather(p, m, d, slot):
    """Let a step wait for others, to be done together; those who are enough go on."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    b = m[M_BATCHES] + 3 * node
    lose_patience(p, m, d, slot)
    _line_up(p, m, slot)
    if m[b + 2] == 1 and p[n + N_BATCH_WAIT] >= 0:
        schedule(m, m[M_NOW] + p[n + N_BATCH_WAIT], E_BATCH, slot, m[s] * 64 + (m[s + S_ATTEMPT] & 63))
    if m[b + 2] >= p[n + N_BATCH]:
        close_batch(p, m, d, node)


@compiled
def _line_up(p, m, slot):
    """Put a step behind those that wait for their batch to fill."""
    s = m[M_STEPS] + S_WIDTH * slot
    b = m[M_BATCHES] + 3 * m[s + S_NODE]
    m[s + S_BATCH_NEXT], m[s + S_LEADER], m[s + S_QUEUED] = -1, 0, GATHERING
    if m[b] == 0:
        m[b] = slot + 1
    else:
        m[m[M_STEPS] + S_WIDTH * (m[b + 1] - 1) + S_BATCH_NEXT] = slot
    m[b + 1] = slot + 1
    m[b + 2] += 1


@compiled
def close_batch(p, m, d, node):
    """Let those who have gathered go on: the first asks for the resources, the others follow."""
    b = m[M_BATCHES] + 3 * node
    first = m[b] - 1
    m[b] = m[b + 1] = m[b + 2] = 0
    slot = first
    while slot >= 0:
        s = m[M_STEPS] + S_WIDTH * slot
        m[s + S_GATHERED] = m[M_NOW] - m[s + S_READY]
        m[s + S_QUEUED], m[s + S_LEADER] = (0, 0) if slot == first else (FOLLOWING, first + 1)
        slot = m[s + S_BATCH_NEXT]
    if not ask_for(p, m, d, first):
        _turn_all_away(p, m, d, first)


@compiled
def _turn_all_away(p, m, d, slot):
    """Fail the steps of a batch that finds a full queue; one that fails may take others of its case with it."""
    b = m[M_BATCHES] + 3 * m[m[M_STEPS] + S_WIDTH * slot + S_NODE]
    while slot >= 0:
        after = m[m[M_STEPS] + S_WIDTH * slot + S_BATCH_NEXT]
        _line_up(p, m, slot)
        slot = after
    while m[b]:
        slot = m[b] - 1
        leave_queue(p, m, slot)
        turn_away(p, m, d, slot)


@compiled
def turn_away(p, m, d, slot):
    """Fail a step that finds a full queue."""
    failure = PERMANENT | (T_QUEUE_FULL << TYPE_SHIFT) | (m[m[M_STEPS] + S_WIDTH * slot + S_NODE] << NODE_SHIFT)
    become(p, m, slot, FAILED, failure)
    failed_for_good(p, m, d, slot, failure)
    turn(p, m, d)
