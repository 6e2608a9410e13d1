"""Queues: who waits for a role, in which order, and how one leaves, by itself or as one of a batch."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.draws import micros, sample, stream
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import schedule
from orchkit.simulation.kernel.ranking import find_place, give_up_place

__all__ = [
    "clock_runs",
    "hand_on",
    "leave_queue",
    "lose_patience",
    "overtake",
    "queue",
    "queue_last",
    "rank",
    "unqueue",
]


@compiled
def rank(p, m, d, slot, q):
    """Say which place a step has among those that ask for the same role."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
    key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]
    discipline = m[q + Q_DISCIPLINE]
    m[M_SEQ] += 1
    m[s + S_SEQ] = m[M_SEQ]
    priority = 0
    if discipline == 1:  # the last one first
        priority = m[s + S_SEQ]
    elif discipline == 4:  # the shortest first
        work = stream(key, node, m[s + S_VISIT], m[s + S_ATTEMPT], U_WORK)
        priority = -micros(sample(p, d, p[n + N_WORK], key, work, -1))
    elif p[n + N_PRIORITY] >= 0:
        priority = micros(sample(p, d, p[n + N_PRIORITY], key, stream(key, node, 0, 0, U_PRIORITY), -1))
    m[s + S_PRIORITY] = priority


@compiled
def clock_runs(p, m, slot):
    """Say when an attempt that is interrupted will be out of time."""
    s = m[M_STEPS] + S_WIDTH * slot
    timeout = p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_TIMEOUT]
    m[s + S_TOKEN] += 1
    if timeout >= 0:
        due = max(m[s + S_STARTED] + timeout, m[M_NOW])
        schedule(m, due, E_DONE, slot, m[s] * 64 + (m[s + S_TOKEN] & 63))


@compiled
def lose_patience(p, m, d, slot):
    """Say when a step that waits will have had enough."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    patience = p[p[P_NODES] + N_WIDTH * node + N_PATIENCE]
    if patience >= 0:
        key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_CASE] + K_KEY]
        waits = sample(p, d, patience, key, stream(key, node, m[s + S_VISIT], m[s + S_ATTEMPT], U_PATIENCE), -1)
        schedule(m, m[M_NOW] + micros(waits), E_PATIENCE, slot, m[s] * 64 + (m[s + S_ATTEMPT] & 63))


@compiled
def _link(m, q, slot, before):
    """Put a step into a queue: behind another (-1: at its head), or where its rank says."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[q + Q_DISCIPLINE] != FIFO:
        before = find_place(m, q, slot)
        _add_to_old(m, q, slot)
    after = m[q + Q_HEAD] if before < 0 else m[m[M_STEPS] + S_WIDTH * before + S_Q_NEXT]
    m[s + S_Q_PREV], m[s + S_Q_NEXT], m[s + S_QUEUED] = before, after, IN_QUEUE
    if before < 0:
        m[q + Q_HEAD] = slot
    else:
        m[m[M_STEPS] + S_WIDTH * before + S_Q_NEXT] = slot
    if after < 0:
        m[q + Q_TAIL] = slot
    else:
        m[m[M_STEPS] + S_WIDTH * after + S_Q_PREV] = slot


@compiled
def _unlink(m, q, slot):
    """Take a step out of a queue."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[q + Q_DISCIPLINE] != FIFO:
        give_up_place(m, q, slot)
        _drop_from_old(m, q, slot)
    before, after = m[s + S_Q_PREV], m[s + S_Q_NEXT]
    if before < 0:
        m[q + Q_HEAD] = after
    else:
        m[m[M_STEPS] + S_WIDTH * before + S_Q_NEXT] = after
    if after < 0:
        m[q + Q_TAIL] = before
    else:
        m[m[M_STEPS] + S_WIDTH * after + S_Q_PREV] = before
    m[s + S_QUEUED] = 0


@compiled
def _add_to_old(m, q, slot):
    """Put a step among those that nobody has overtaken yet, in the order in which they asked."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_OVERTAKEN] >= 0:
        return
    older, younger = m[q + Q_YOUNGEST], 0
    if older and m[m[M_STEPS] + S_WIDTH * (older - 1) + S_SEQ] > m[s + S_SEQ]:  # it was interrupted: among the oldest
        older, younger = 0, m[q + Q_OLDEST]
        while m[m[M_STEPS] + S_WIDTH * (younger - 1) + S_SEQ] < m[s + S_SEQ]:
            older, younger = younger, m[m[M_STEPS] + S_WIDTH * (younger - 1) + S_YOUNGER]
    m[s + S_OLDER], m[s + S_YOUNGER] = older, younger
    _join(m, q, older, slot + 1)
    _join(m, q, slot + 1, younger)


@compiled
def _drop_from_old(m, q, slot):
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_OVERTAKEN] < 0:
        _join(m, q, m[s + S_OLDER], m[s + S_YOUNGER])
        m[s + S_OLDER] = m[s + S_YOUNGER] = 0


@compiled
def _join(m, q, older, younger):
    """Let one step follow another among those that nobody has overtaken; 0 is none."""
    if older:
        m[m[M_STEPS] + S_WIDTH * (older - 1) + S_YOUNGER] = younger
    else:
        m[q + Q_OLDEST] = younger
    if younger:
        m[m[M_STEPS] + S_WIDTH * (younger - 1) + S_OLDER] = older
    else:
        m[q + Q_YOUNGEST] = older


@compiled
def overtake(m, q, slot):
    """Note who came before a step that is served now."""
    if m[q + Q_DISCIPLINE] == FIFO:
        return
    seq, other = m[m[M_STEPS] + S_WIDTH * slot + S_SEQ], m[q + Q_OLDEST]
    while other and m[m[M_STEPS] + S_WIDTH * (other - 1) + S_SEQ] < seq:
        o = m[M_STEPS] + S_WIDTH * (other - 1)
        other = m[o + S_YOUNGER]
        m[o + S_OVERTAKEN], m[o + S_OLDER], m[o + S_YOUNGER] = m[M_NOW], 0, 0
    _join(m, q, 0, other)


@compiled
def queue(p, m, d, slot, q, pool):
    """Put a step into the queue, where its discipline says."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    if m[s + S_SEQ] == 0:
        rank(p, m, d, slot, q)
        if p[n + N_BATCH] <= 1:  # who gathers for a batch has been losing patience since then
            lose_patience(p, m, d, slot)
    _link(m, q, slot, m[q + Q_TAIL])
    m[q + Q_LENGTH] += 1
    if p[n + N_DEMAND_COUNT]:
        m[q + Q_JOINT] += 1


@compiled
def queue_last(m, slot, q):
    """Put a step at the end of a queue that is served in the order of arrival."""
    s = m[M_STEPS] + S_WIDTH * slot
    m[M_SEQ] += 1
    m[s + S_SEQ], m[s + S_PRIORITY] = m[M_SEQ], 0
    _link(m, q, slot, m[q + Q_TAIL])
    m[q + Q_LENGTH] += 1


@compiled
def leave_queue(p, m, slot):
    """Take a step out of what it waits in: a queue, in which the next of its batch takes its place, or a batch."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_QUEUED] == 0:
        return
    if m[s + S_QUEUED] != IN_QUEUE:
        _leave_batch(p, m, slot)
    elif m[s + S_BATCH_NEXT] >= 0:
        hand_on(p, m, slot)
    else:
        unqueue(p, m, slot)


@compiled
def _leave_batch(p, m, slot):
    """Take a step out of those that wait for a batch to fill, or behind the first of their batch."""
    s = m[M_STEPS] + S_WIDTH * slot
    before = -1
    if m[s + S_QUEUED] == FOLLOWING:
        other = m[s + S_LEADER] - 1
    else:
        node = m[s + S_NODE]
        b = m[M_BATCHES] + 3 * node
        other = m[b] - 1
        m[b + 2] -= 1
    while other != slot:
        before, other = other, m[m[M_STEPS] + S_WIDTH * other + S_BATCH_NEXT]
    after = m[s + S_BATCH_NEXT]
    if before >= 0:
        m[m[M_STEPS] + S_WIDTH * before + S_BATCH_NEXT] = after
    if m[s + S_QUEUED] == GATHERING:
        n = p[P_NODES] + N_WIDTH * node
        if after < 0:
            m[b + 1] = before + 1
        if before < 0:
            m[b] = after + 1
            if after >= 0 and p[n + N_BATCH_WAIT] >= 0:
                f = m[M_STEPS] + S_WIDTH * after
                due = max(m[M_NOW], m[f + S_READY] + p[n + N_BATCH_WAIT])
                schedule(m, due, E_BATCH, after, m[f] * 64 + (m[f + S_ATTEMPT] & 63))
    m[s + S_QUEUED], m[s + S_BATCH_NEXT], m[s + S_LEADER] = 0, -1, 0


@compiled
def hand_on(p, m, slot):
    """Let the next step of a batch take the place of its first one: in the queue, too, where it waits there."""
    s = m[M_STEPS] + S_WIDTH * slot
    first = m[s + S_BATCH_NEXT]
    f = m[M_STEPS] + S_WIDTH * first
    m[f + S_SEQ], m[f + S_PRIORITY], m[f + S_LEFT] = m[s + S_SEQ], m[s + S_PRIORITY], m[s + S_LEFT]
    m[f + S_OUTCOME], m[f + S_PAUSED], m[f + S_AWAY] = m[s + S_OUTCOME], m[s + S_PAUSED], m[s + S_AWAY]
    if m[s + S_QUEUED] == IN_QUEUE:
        _take_place(p, m, slot, first)
    m[s + S_QUEUED], m[s + S_BATCH_NEXT], m[s + S_LEADER], m[f + S_LEADER] = 0, -1, first + 1, 0
    if m[f + S_PAUSED] >= 0:
        clock_runs(p, m, first)
    follower = m[f + S_BATCH_NEXT]
    while follower >= 0:
        m[m[M_STEPS] + S_WIDTH * follower + S_LEADER] = first + 1
        follower = m[m[M_STEPS] + S_WIDTH * follower + S_BATCH_NEXT]


@compiled
def _take_place(p, m, slot, first):
    """Put a step into the queue in the place of another."""
    q = m[M_POOLS] + Q_WIDTH * p[p[P_NODES] + N_WIDTH * m[m[M_STEPS] + S_WIDTH * slot + S_NODE] + N_POOL]
    before = m[m[M_STEPS] + S_WIDTH * slot + S_Q_PREV]
    _unlink(m, q, slot)
    _link(m, q, first, before)


@compiled
def unqueue(p, m, slot):
    """Take a step out of the queue that it waits in."""
    n = p[P_NODES] + N_WIDTH * m[m[M_STEPS] + S_WIDTH * slot + S_NODE]
    q = m[M_POOLS] + Q_WIDTH * p[n + N_POOL]
    _unlink(m, q, slot)
    m[q + Q_LENGTH] -= 1
    if p[n + N_DEMAND_COUNT]:
        m[q + Q_JOINT] -= 1
