"""Asking for resources: who begins at once, who waits, and who takes the place of what matters less."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.duty import next_open, open_between
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.queues import overtake, queue, rank, unqueue
from orchkit.simulation.kernel.serving import (
    begin,
    dispatch,
    idle_unit,
    may_begin,
    on_duty,
    pause,
    release,
    serve,
    wake_later,
)

__all__ = ["ask_for", "serve_all", "wake"]


@compiled
def ask_for(p, m, d, slot):
    """Begin an attempt, or let it wait for a resource. Return False where the queue is full."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    pool = p[n + N_POOL]
    if pool < 0:
        begin(p, m, d, slot, -1)
        return True
    q = m[M_POOLS] + Q_WIDTH * pool
    for number in range(m[q + Q_OTHER_COUNT]):  # who needs this role and others came before
        dispatch(p, m, d, p[m[q + Q_OTHERS] + number])
    needs_more = p[n + N_DEMAND_COUNT] > 0
    is_full = m[q + Q_LIMIT] >= 0 and m[q + Q_LENGTH] >= m[q + Q_LIMIT]
    # Who came before is looked at first, in the line; but where it is full, there is no place behind them.
    free = (m[q + Q_LENGTH] == 0 or is_full) and m[q + Q_IDLE_COUNT] > 0
    if free and (not needs_more or may_begin(p, m, slot)):
        unit = idle_unit(p, m, q)
        if unit >= 0:
            # Who interrupts must know what the work matters that it finds.
            if m[q + Q_DISCIPLINE] == PREEMPTIVE:
                rank(p, m, d, slot, q)
            begin(p, m, d, slot, unit)
            return True
    if is_full:
        return False
    queue(p, m, d, slot, q, pool)
    if m[q + Q_IDLE_COUNT] > 0:  # who is idle comes before who would be interrupted
        dispatch(p, m, d, pool)
    _press(p, m, d, pool)
    return True


@compiled
def wake(p, m, d, pool):
    """Look again at a queue, as somebody comes on duty."""
    m[m[M_POOLS] + Q_WIDTH * pool + Q_WAKE] = 0
    serve(p, m, d, pool)
    _press(p, m, d, pool)


@compiled
def serve_all(p, m, d, pool, node):
    """Let those be served who wait for what a step of a node has given back."""
    n = p[P_NODES] + N_WIDTH * node
    if p[n + N_DEMAND_COUNT] == 0:
        _serve(p, m, d, pool)
    for number in range(p[n + N_DEMAND_COUNT]):
        _serve(p, m, d, p[p[P_DEMANDS] + p[n + N_DEMANDS] + 2 * number])


@compiled
def _serve(p, m, d, pool):
    """Let those be served who wait for a role; who needs several may interrupt the rest, now that one of them is free."""
    serve(p, m, d, pool)
    q = m[M_POOLS] + Q_WIDTH * pool
    for number in range(m[q + Q_OTHER_COUNT]):
        _press(p, m, d, p[m[q + Q_OTHERS] + number])
    if m[q + Q_JOINT]:
        _press(p, m, d, pool)


@compiled
def _press(p, m, d, pool):
    """Let those who wait take the place of what matters less, where a role has it so."""
    q = m[M_POOLS] + Q_WIDTH * pool
    if m[q + Q_DISCIPLINE] != PREEMPTIVE:
        return
    slot, has_freed_others = m[q + Q_HEAD], False
    while slot >= 0:
        if _can_make_room(p, m, slot):
            has_freed_others |= _make_room(p, m, d, slot)
            unqueue(p, m, slot)
            overtake(m, q, slot)
            begin(p, m, d, slot, idle_unit(p, m, q))
            slot = m[q + Q_HEAD]
        else:  # who follows matters no more; but where several are needed at once, it may need others
            slot = m[m[M_STEPS] + S_WIDTH * slot + S_Q_NEXT] if m[q + Q_JOINT] else -1
    if m[q + Q_LENGTH] > 0:
        wake_later(p, m, pool)
    if has_freed_others:
        for other in range(p[P_POOL_COUNT]):
            dispatch(p, m, d, other)


@compiled
def _can_make_room(p, m, slot):
    """Return whether all that a step needs is there, or at work on what matters less."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    for number in range(max(1, p[n + N_DEMAND_COUNT])):
        q, lacking = _lacking(p, m, n, number)
        if lacking > 0:
            for unit in range(m[q + Q_FIRST], m[q + Q_FIRST] + m[q + Q_COUNT]):
                lacking -= _gives_way(p, m, q, unit, m[s + S_PRIORITY])
        if lacking > 0:
            return False
    return True


@compiled
def _make_room(p, m, d, slot):
    """Interrupt what matters less, the least first, until a step can begin; return whether others are free as well."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    has_freed_others = False
    for number in range(max(1, p[n + N_DEMAND_COUNT])):
        q, lacking = _lacking(p, m, n, number)
        while lacking > 0:
            victim, least = -1, m[s + S_PRIORITY]
            for unit in range(m[q + Q_FIRST], m[q + Q_FIRST] + m[q + Q_COUNT]):
                if _gives_way(p, m, q, unit, least):
                    victim = m[m[M_UNITS] + R_WIDTH * unit + R_STEP]
                    least = m[m[M_STEPS] + S_WIDTH * victim + S_PRIORITY]
            has_freed_others |= _interrupt(p, m, d, victim)
            q, lacking = _lacking(p, m, n, number)
    return has_freed_others


@compiled
def _lacking(p, m, n, number):
    """Return one of the roles that a task needs, and how many of it are not there."""
    if p[n + N_DEMAND_COUNT] == 0:
        q = m[M_POOLS] + Q_WIDTH * p[n + N_POOL]
        return q, 1 - on_duty(p, m, q)
    at = p[P_DEMANDS] + p[n + N_DEMANDS] + 2 * number
    q = m[M_POOLS] + Q_WIDTH * p[at]
    return q, p[at + 1] - on_duty(p, m, q)


@compiled
def _gives_way(p, m, q, unit, priority):
    """Return whether a resource is on duty, at work on what matters less, and may be interrupted."""
    r = m[M_UNITS] + R_WIDTH * unit
    if m[q + Q_DISCIPLINE] != PREEMPTIVE or m[r + R_STEP] < 0:
        return False
    s = m[M_STEPS] + S_WIDTH * m[r + R_STEP]
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    # It will wait where it has asked, so that must be a queue by priority.
    is_apt = m[m[M_POOLS] + Q_WIDTH * p[n + N_POOL] + Q_DISCIPLINE] == PREEMPTIVE
    return is_apt and m[s + S_PRIORITY] < priority and next_open(p, m[r + R_CALENDAR], m[M_NOW]) == m[M_NOW]


@compiled
def _interrupt(p, m, d, slot):
    """Let an attempt wait for its resources again; return whether it had several of them."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    r = m[M_UNITS] + R_WIDTH * m[s + S_UNIT]
    q = m[M_POOLS] + Q_WIDTH * m[r + R_POOL]
    calendar = m[r + R_CALENDAR] if m[q + Q_PAUSE] else -1
    m[s + S_LEFT] -= open_between(p, calendar, m[r + R_BUSY], m[M_NOW])
    release(p, m, slot)
    pause(p, m, d, slot)
    return p[n + N_DEMAND_COUNT] > 0
