"""Resources: who is served next, by whom, for how long."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.draws import draw, micros, sample, stream
from orchkit.simulation.kernel.duty import next_open, open_between, working_until
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import note, schedule

__all__ = ["ask_for", "dispatch", "leave_queue", "release"]


@compiled
def _begin(p, m, d, slot, unit):
    """Begin (or go on with) an attempt, and say when it will end."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    now = m[M_NOW]
    i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
    key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]
    visit, attempt = m[s + S_VISIT], m[s + S_ATTEMPT]
    calendar = -1
    m[s + S_UNIT] = unit
    setup = 0
    if unit >= 0:
        r = m[M_UNITS] + R_WIDTH * unit
        m[r + R_STEP] = slot
        q = m[M_POOLS] + Q_WIDTH * m[r + R_POOL]
        if m[q + Q_PAUSE]:
            calendar = m[r + R_CALENDAR]
        if p[n + N_SETUP] >= 0 and m[r + R_LAST_NODE] != node + 1:
            setup = micros(sample(p, d, p[n + N_SETUP], key, stream(key, node, visit, attempt, U_SETUP), unit))
        m[r + R_LAST_NODE] = node + 1
        m[r + R_BUSY] = now
    if m[s + S_LEFT] < 0:
        outcome, after = 0, p[n + N_WORK]
        if p[n + N_FAILURE_COUNT] > 0:
            u = draw(key, node, visit, attempt, U_FAIL)
            for number in range(p[n + N_FAILURE_COUNT]):
                x = p[P_FAILURES] + X_WIDTH * (p[n + N_FAILURES] + number)
                share = d[p[x + X_SHARE]]
                if u < share:
                    outcome = p[x + X_CODE] | (node << NODE_SHIFT)
                    if p[x + X_AFTER] >= 0:
                        after = p[x + X_AFTER]
                    break
                u -= share
        work = micros(sample(p, d, after, key, stream(key, node, visit, attempt, U_WORK), unit))
        m[s + S_STARTED] = now
        m[s + S_OUTCOME] = outcome
        m[s + S_LEFT] = work + setup
        if m[s + S_STATUS] != RUNNING:
            m[s + S_STATUS] = RUNNING
            note(p, m, m[s + S_KIND], RUNNING, node, attempt, 0)
        if p[n + N_TIMEOUT] >= 0 and working_until(p, calendar, now, work + setup) > now + p[n + N_TIMEOUT]:
            m[s + S_OUTCOME] = p[n + N_TIMEOUT_CLASS] | (T_TIMEOUT << TYPE_SHIFT) | (node << NODE_SHIFT)
            m[s + S_TOKEN] += 1
            schedule(m, now + p[n + N_TIMEOUT], E_DONE, slot, m[s] * 64 + (m[s + S_TOKEN] & 63))
            return
    m[s + S_TOKEN] += 1
    schedule(m, working_until(p, calendar, now, m[s + S_LEFT]), E_DONE, slot, m[s] * 64 + (m[s + S_TOKEN] & 63))


@compiled
def _idle_unit(p, m, q):
    """Take an idle resource that is on duty; -1 for none."""
    before, unit = -1, m[q + Q_IDLE]
    while unit >= 0:
        r = m[M_UNITS] + R_WIDTH * unit
        calendar = m[r + R_CALENDAR]
        if calendar < 0 or next_open(p, calendar, m[M_NOW]) == m[M_NOW]:
            after = m[r + R_NEXT]
            if before >= 0:
                m[m[M_UNITS] + R_WIDTH * before + R_NEXT] = after
            else:
                m[q + Q_IDLE] = after
            if after < 0:
                m[q + Q_IDLE_LAST] = before
            m[q + Q_IDLE_COUNT] -= 1
            return unit
        before, unit = unit, m[r + R_NEXT]
    return -1


@compiled
def _rank(p, m, d, slot, q):
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
def _queue(p, m, d, slot, q, pool):
    """Put a step into the queue, where its discipline says."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
    key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]
    discipline = m[q + Q_DISCIPLINE]
    if m[s + S_SEQ] == 0:
        _rank(p, m, d, slot, q)
        if p[n + N_PATIENCE] >= 0:
            waits = sample(
                p, d, p[n + N_PATIENCE], key, stream(key, node, m[s + S_VISIT], m[s + S_ATTEMPT], U_PATIENCE), -1
            )
            schedule(m, m[M_NOW] + micros(waits), E_PATIENCE, slot, m[s] * 64 + (m[s + S_ATTEMPT] & 63))
    before = m[q + Q_TAIL]
    if discipline != 0:
        while before >= 0:
            other = m[M_STEPS] + S_WIDTH * before
            if m[other + S_PRIORITY] > m[s + S_PRIORITY] or (
                m[other + S_PRIORITY] == m[s + S_PRIORITY] and m[other + S_SEQ] < m[s + S_SEQ]
            ):
                break
            before = m[other + S_Q_PREV]
    after = m[q + Q_HEAD] if before < 0 else m[m[M_STEPS] + S_WIDTH * before + S_Q_NEXT]
    m[s + S_Q_PREV], m[s + S_Q_NEXT], m[s + S_QUEUED] = before, after, 1
    if before < 0:
        m[q + Q_HEAD] = slot
    else:
        m[m[M_STEPS] + S_WIDTH * before + S_Q_NEXT] = slot
    if after < 0:
        m[q + Q_TAIL] = slot
    else:
        m[m[M_STEPS] + S_WIDTH * after + S_Q_PREV] = slot
    m[q + Q_LENGTH] += 1


@compiled
def leave_queue(p, m, slot):
    """Take a step out of the queue that it waits in."""
    s = m[M_STEPS] + S_WIDTH * slot
    if not m[s + S_QUEUED]:
        return
    q = m[M_POOLS] + Q_WIDTH * p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_POOL]
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
    m[q + Q_LENGTH] -= 1


@compiled
def _interrupt(p, m, d, slot, q, pool):
    """Let a step that has just come take the place of one that matters less."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[q + Q_HEAD] != slot:
        return
    victim, least = -1, m[s + S_PRIORITY]
    for number in range(m[q + Q_COUNT]):
        unit = m[q + Q_FIRST] + number
        busy = m[m[M_UNITS] + R_WIDTH * unit + R_STEP]
        if busy >= 0:
            other = m[M_STEPS] + S_WIDTH * busy
            node = p[P_NODES] + N_WIDTH * m[other + S_NODE]
            # A timeout of the attempt goes on while it is interrupted, so such an attempt is not.
            if p[node + N_TIMEOUT] < 0 and m[other + S_PRIORITY] < least:
                victim, least = busy, m[other + S_PRIORITY]
    if victim < 0:
        return
    v = m[M_STEPS] + S_WIDTH * victim
    unit = m[v + S_UNIT]
    r = m[M_UNITS] + R_WIDTH * unit
    calendar = m[r + R_CALENDAR] if m[q + Q_PAUSE] else -1
    m[v + S_LEFT] -= open_between(p, calendar, m[r + R_BUSY], m[M_NOW])
    m[v + S_TOKEN] += 1
    leave_queue(p, m, slot)
    _begin(p, m, d, slot, unit)
    _queue(p, m, d, victim, q, pool)


@compiled
def dispatch(p, m, d, pool):
    """Let idle resources serve who waits; where none is on duty, look again when one is."""
    q = m[M_POOLS] + Q_WIDTH * pool
    while m[q + Q_LENGTH] > 0 and m[q + Q_IDLE_COUNT] > 0:
        unit = _idle_unit(p, m, q)
        if unit < 0:
            soonest = FOREVER
            idle = m[q + Q_IDLE]
            while idle >= 0:
                r = m[M_UNITS] + R_WIDTH * idle
                soonest = min(soonest, next_open(p, m[r + R_CALENDAR], m[M_NOW]))
                idle = m[r + R_NEXT]
            if m[q + Q_WAKE] <= m[M_NOW] or soonest < m[q + Q_WAKE]:
                m[q + Q_WAKE] = soonest
                schedule(m, soonest, E_WAKE, pool, 0)
            return
        slot = m[q + Q_HEAD]
        leave_queue(p, m, slot)
        if m[q + Q_DISCIPLINE] != 0:
            seq = m[m[M_STEPS] + S_WIDTH * slot + S_SEQ]
            other = m[q + Q_HEAD]
            while other >= 0:
                o = m[M_STEPS] + S_WIDTH * other
                if m[o + S_SEQ] < seq and m[o + S_OVERTAKEN] < 0:
                    m[o + S_OVERTAKEN] = m[M_NOW]
                other = m[o + S_Q_NEXT]
        _begin(p, m, d, slot, unit)


@compiled
def ask_for(p, m, d, slot):
    """Begin an attempt, or let it wait for a resource. Return False where the queue is full."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    pool = p[n + N_POOL]
    if pool < 0:
        _begin(p, m, d, slot, -1)
        return True
    q = m[M_POOLS] + Q_WIDTH * pool
    if m[q + Q_LENGTH] == 0 and m[q + Q_IDLE_COUNT] > 0:
        unit = _idle_unit(p, m, q)
        if unit >= 0:
            # Who interrupts must know what the work matters that it finds.
            if m[q + Q_DISCIPLINE] == 3:
                _rank(p, m, d, slot, q)
            _begin(p, m, d, slot, unit)
            return True
    if m[q + Q_LIMIT] >= 0 and m[q + Q_LENGTH] >= m[q + Q_LIMIT]:
        return False
    _queue(p, m, d, slot, q, pool)
    if m[q + Q_DISCIPLINE] == 3:
        _interrupt(p, m, d, slot, q, pool)
    if m[q + Q_IDLE_COUNT] > 0:
        dispatch(p, m, d, pool)
    return True


@compiled
def release(p, m, slot):
    """Give back the resource of an attempt that has ended; return its role, -1 for none."""
    s = m[M_STEPS] + S_WIDTH * slot
    unit = m[s + S_UNIT]
    if unit < 0:
        return -1
    r = m[M_UNITS] + R_WIDTH * unit
    pool = m[r + R_POOL]
    q = m[M_POOLS] + Q_WIDTH * pool
    m[r + R_STEP] = -1
    m[r + R_NEXT] = -1
    if m[q + Q_IDLE_LAST] >= 0 and m[q + Q_IDLE_COUNT] > 0:
        m[m[M_UNITS] + R_WIDTH * m[q + Q_IDLE_LAST] + R_NEXT] = unit
    else:
        m[q + Q_IDLE] = unit
    m[q + Q_IDLE_LAST] = unit
    m[q + Q_IDLE_COUNT] += 1
    return pool
