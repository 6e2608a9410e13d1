"""Sagas: what was done and may have to be undone, the last first."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import take

__all__ = ["drop_undo", "hand_over", "keep"]


@compiled
def _saga_of(p, m, slot):
    """Return the pass of the nearest saga; -1 for none in this run."""
    depth = 0
    while True:
        i = m[M_PASSES] + p[P_HELD] * slot
        if p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_SAGA]:
            return slot, depth
        if m[i + I_ROOT] == slot:
            return -1, depth
        slot = m[m[M_STEPS] + S_WIDTH * m[i + I_PARENT] + S_PASS]
        depth += 1


@compiled
def _add_within(p, m, entry, serial):
    if m[entry + U_DEPTH] < p[P_DEPTH]:
        m[entry + U_WITHIN + m[entry + U_DEPTH]] = serial
        m[entry + U_DEPTH] += 1


@compiled
def _add_path(p, m, entry, slot):
    """Add to what may have to be undone the scopes from a pass up to the nearest saga."""
    while True:
        i = m[M_PASSES] + p[P_HELD] * slot
        if p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_SAGA] or m[i + I_ROOT] == slot:
            return
        _add_within(p, m, entry, m[m[M_STEPS] + S_WIDTH * m[i + I_PARENT] + S_SERIAL])
        slot = m[m[M_STEPS] + S_WIDTH * m[i + I_PARENT] + S_PASS]


@compiled
def keep(p, m, slot):
    """Remember what was done for the nearest saga around it."""
    s = m[M_STEPS] + S_WIDTH * slot
    if p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_UNDO] == -1:
        return
    saga, depth = _saga_of(p, m, m[s + S_PASS])
    if saga < 0:
        return
    i = m[M_PASSES] + p[P_HELD] * saga
    # What undoes a scope as a whole takes the place of what undoes the steps inside.
    before, undo = -1, m[i + I_UNDO]
    width = U_WITHIN + p[P_DEPTH]
    while undo >= 0:
        u = m[M_UNDOS] + width * undo
        after = m[u + U_NEXT]
        inside = False
        for level in range(m[u + U_DEPTH]):
            inside = inside or m[u + U_WITHIN + level] == m[s + S_SERIAL]
        if inside:
            if before < 0:
                m[i + I_UNDO] = after
            else:
                m[m[M_UNDOS] + width * before + U_NEXT] = after
            m[u + 1] = m[M_UNDO_FREE]
            m[M_UNDO_FREE] = undo
        else:
            before = undo
        undo = after
    u, undo = take(m, M_UNDOS, width, M_UNDO_FREE, M_UNDO_COUNT, M_UNDO_SIZE)
    m[u + U_SERIAL], m[u + U_NODE], m[u + U_NEXT], m[u + U_DEPTH] = m[s + S_SERIAL], m[s + S_NODE], m[i + I_UNDO], 0
    m[i + I_UNDO] = undo
    _add_path(p, m, u, m[s + S_PASS])


@compiled
def drop_undo(p, m, i):
    undo = m[i + I_UNDO]
    u = m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * undo
    m[i + I_UNDO] = m[u + U_NEXT]
    m[u + 1] = m[M_UNDO_FREE]
    m[M_UNDO_FREE] = undo


@compiled
def hand_over(p, m, slot, undo):
    """Give what a pass has kept to the saga around the scope that it was in; forget it if there is none."""
    s = m[M_STEPS] + S_WIDTH * slot
    saga, _ = _saga_of(p, m, m[s + S_PASS])
    if saga >= 0:
        last = undo
        while True:
            u = m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * last
            _add_within(p, m, u, m[s + S_SERIAL])
            _add_path(p, m, u, m[s + S_PASS])
            if m[u + U_NEXT] < 0:
                break
            last = m[u + U_NEXT]
        outer = m[M_PASSES] + p[P_HELD] * saga
        m[m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * last + U_NEXT] = m[outer + I_UNDO]
        m[outer + I_UNDO] = undo
        return
    while undo >= 0:
        u = m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * undo
        after = m[u + U_NEXT]
        m[u + 1] = m[M_UNDO_FREE]
        m[M_UNDO_FREE] = undo
        undo = after
