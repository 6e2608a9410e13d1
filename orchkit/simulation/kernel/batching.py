"""Batches: steps of a task that are done together. The first one asks for the resources, the others follow it."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import schedule
from orchkit.simulation.kernel.serving import ask_for

__all__ = ["close_batch", "gather"]


@compiled
def gather(p, m, d, slot):
    """Let a step wait for others, to be done together; those who are enough go on."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    b = m[M_BATCHES] + 3 * node
    m[s + S_BATCH_NEXT], m[s + S_LEADER] = -1, 0
    if m[b] == 0:
        m[b] = slot + 1
        if p[n + N_BATCH_WAIT] >= 0:
            due = m[M_NOW] + p[n + N_BATCH_WAIT]
            schedule(m, due, E_BATCH, slot, m[s] * 64 + (m[s + S_ATTEMPT] & 63))
    else:
        m[m[M_STEPS] + S_WIDTH * (m[b + 1] - 1) + S_BATCH_NEXT] = slot
    m[b + 1] = slot + 1
    m[b + 2] += 1
    m[s + S_QUEUED] = GATHERING
    if m[b + 2] >= p[n + N_BATCH]:
        close_batch(p, m, d, node)


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
    ask_for(p, m, d, first)
