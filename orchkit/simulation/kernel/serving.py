"""Resources: who is served next, by whom, for how long."""

from __future__ import annotations

import math

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.draws import draw, micros, sample, stream
from orchkit.simulation.kernel.duty import next_open, open_between, span_at, working_until
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import note, schedule
from orchkit.simulation.kernel.queues import clock_runs, hand_on, overtake, queue, unqueue

__all__ = [
    "begin",
    "dispatch",
    "idle_unit",
    "leave_work",
    "may_begin",
    "on_duty",
    "pause",
    "release",
    "serve",
    "time_out",
    "wake_later",
]


@compiled
def _is_open(p, m, calendar):
    """Return whether a calendar is open now."""
    if calendar < 0:
        return True
    span, now = m[M_SPANS] + 2 * calendar, m[M_NOW]
    if not m[span] <= now < m[span + 1]:
        m[span], m[span + 1] = span_at(p, calendar, now)
    return m[span] <= now < m[span + 1]


@compiled
def _done_by(p, m, calendar, work):
    """Return when so much work is done that begins now, on duty."""
    now = m[M_NOW]
    if calendar < 0:
        return now + work
    span = m[M_SPANS] + 2 * calendar
    if m[span] <= now and now + work <= m[span + 1]:
        return now + work
    return working_until(p, calendar, now, work)


@compiled
def on_duty(p, m, q):
    """Return how many idle resources of a role are on duty."""
    count, unit = 0, m[q + Q_IDLE]
    while unit >= 0:
        r = m[M_UNITS] + R_WIDTH * unit
        if _is_open(p, m, m[r + R_CALENDAR]):
            count += 1
        unit = m[r + R_NEXT]
    return count


@compiled
def may_begin(p, m, slot):
    """Return whether all that a step needs at once is there."""
    n = p[P_NODES] + N_WIDTH * m[m[M_STEPS] + S_WIDTH * slot + S_NODE]
    for number in range(p[n + N_DEMAND_COUNT]):
        at = p[P_DEMANDS] + p[n + N_DEMANDS] + 2 * number
        q = m[M_POOLS] + Q_WIDTH * p[at]
        if m[q + Q_IDLE_COUNT] < p[at + 1] or on_duty(p, m, q) < p[at + 1]:
            return False
    return True


@compiled
def _take_others(p, m, slot, unit):
    """Take all that a step needs at once beside its first resource; they hang on it, one behind the other."""
    n = p[P_NODES] + N_WIDTH * m[m[M_STEPS] + S_WIDTH * slot + S_NODE]
    last = unit
    m[m[M_UNITS] + R_WIDTH * unit + R_ALSO] = -1
    for number in range(p[n + N_DEMAND_COUNT]):
        at = p[P_DEMANDS] + p[n + N_DEMANDS] + 2 * number
        q = m[M_POOLS] + Q_WIDTH * p[at]
        for _ in range(p[at + 1] - (1 if number == 0 else 0)):
            other = idle_unit(p, m, q)
            r = m[M_UNITS] + R_WIDTH * other
            m[r + R_STEP], m[r + R_BUSY], m[r + R_ALSO] = slot, m[M_NOW], -1
            m[r + R_LAST_NODE] = m[m[M_UNITS] + R_WIDTH * unit + R_LAST_NODE]
            m[m[M_UNITS] + R_WIDTH * last + R_ALSO] = other
            last = other


@compiled
def _go_on(p, m, slot, before, calendar):
    """Go on with an attempt that was interrupted: who takes it up has not done what was done before."""
    s = m[M_STEPS] + S_WIDTH * slot
    unit = m[s + S_UNIT]
    first, now = m[M_UNITS] + R_WIDTH * before, m[M_UNITS] + R_WIDTH * unit
    own = m[first + R_CALENDAR] if m[m[M_POOLS] + Q_WIDTH * m[first + R_POOL] + Q_PAUSE] else -1
    done = open_between(p, own, m[s + S_STARTED], m[s + S_PAUSED]) - m[s + S_AWAY]
    m[s + S_AWAY] = open_between(p, calendar, m[s + S_STARTED], m[M_NOW]) - done
    m[s + S_PAUSED] = -1
    if unit != before and m[s + S_STARTED] >= m[M_WARM]:
        # The log has all of it as the work of who ends it.
        m[first + R_HELPED] += done
        m[now + R_HELPED] -= done
    follower = m[s + S_BATCH_NEXT]
    while follower >= 0:
        m[m[M_STEPS] + S_WIDTH * follower + S_UNIT] = unit
        follower = m[m[M_STEPS] + S_WIDTH * follower + S_BATCH_NEXT]


@compiled
def begin(p, m, d, slot, unit):
    """Begin (or go on with) an attempt, and say when it will end."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    now = m[M_NOW]
    i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
    key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]
    visit, attempt = m[s + S_VISIT], m[s + S_ATTEMPT]
    calendar = -1
    before = m[s + S_UNIT]
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
        if p[n + N_DEMAND_COUNT]:
            _take_others(p, m, slot, unit)
    if m[s + S_PAUSED] >= 0:
        _go_on(p, m, slot, before, calendar)
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
        drawn = sample(p, d, after, key, stream(key, node, visit, attempt, U_WORK), unit)
        if math.isnan(drawn):  # the scenario does not say how long it takes: the host does
            m[M_UNKNOWN], m[M_OVERFLOW] = node + 1, 1
            return
        work = micros(drawn)
        m[s + S_STARTED] = now
        m[s + S_OUTCOME] = outcome
        m[s + S_LEFT] = work + setup
        if m[s + S_STATUS] != RUNNING:
            m[s + S_STATUS] = RUNNING
            note(p, m, m[s + S_KIND], RUNNING, node, attempt, 0)
        follower = m[s + S_BATCH_NEXT]
        while follower >= 0:  # they are done together
            f = m[M_STEPS] + S_WIDTH * follower
            m[f + S_QUEUED], m[f + S_STATUS], m[f + S_STARTED], m[f + S_UNIT] = 0, RUNNING, now, unit
            note(p, m, m[f + S_KIND], RUNNING, node, m[f + S_ATTEMPT], 0)
            follower = m[f + S_BATCH_NEXT]
    _will_end(p, m, slot, _done_by(p, m, calendar, m[s + S_LEFT]))


@compiled
def _will_end(p, m, slot, ends):
    """Say when an attempt will end, or time out before."""
    s = m[M_STEPS] + S_WIDTH * slot
    timeout = p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_TIMEOUT]
    if timeout >= 0 and ends > m[s + S_STARTED] + timeout:
        ends = max(m[s + S_STARTED] + timeout, m[M_NOW])
        time_out(p, m, slot)
    m[s + S_TOKEN] += 1
    schedule(m, ends, E_DONE, slot, m[s] * 64 + (m[s + S_TOKEN] & 63))


@compiled
def time_out(p, m, slot):
    """Let the outcome of an attempt be that it was not done in time."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    kind = p[p[P_NODES] + N_WIDTH * node + N_TIMEOUT_CLASS]
    m[s + S_OUTCOME] = kind | (T_TIMEOUT << TYPE_SHIFT) | (node << NODE_SHIFT)


@compiled
def pause(p, m, d, slot):
    """Let an attempt wait for its resources in the queue, while its timeout goes on."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    m[s + S_PAUSED] = m[M_NOW]
    queue(p, m, d, slot, m[M_POOLS] + Q_WIDTH * p[n + N_POOL], p[n + N_POOL])
    clock_runs(p, m, slot)


@compiled
def idle_unit(p, m, q):
    """Take an idle resource that is on duty; -1 for none."""
    before, unit = -1, m[q + Q_IDLE]
    while unit >= 0:
        r = m[M_UNITS] + R_WIDTH * unit
        if _is_open(p, m, m[r + R_CALENDAR]):
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
def wake_later(p, m, pool):
    """Look again at a queue when the next one who is needed, and idle, comes on duty."""
    q = m[M_POOLS] + Q_WIDTH * pool
    soonest = _next_on_duty(p, m, q)
    if m[q + Q_JOINT]:
        slot = m[q + Q_HEAD]
        while slot >= 0:
            s = m[M_STEPS] + S_WIDTH * slot
            n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
            for number in range(1, p[n + N_DEMAND_COUNT]):
                other = p[p[P_DEMANDS] + p[n + N_DEMANDS] + 2 * number]
                soonest = min(soonest, _next_on_duty(p, m, m[M_POOLS] + Q_WIDTH * other))
            slot = m[s + S_Q_NEXT]
    if soonest < FOREVER and (m[q + Q_WAKE] <= m[M_NOW] or soonest < m[q + Q_WAKE]):
        m[q + Q_WAKE] = soonest
        schedule(m, soonest, E_WAKE, pool, 0)


@compiled
def _next_on_duty(p, m, q):
    """Return when the next resource comes on duty that is idle, or may be interrupted then."""
    soonest = FOREVER
    for unit in range(m[q + Q_FIRST], m[q + Q_FIRST] + m[q + Q_COUNT]):
        r = m[M_UNITS] + R_WIDTH * unit
        if m[r + R_STEP] < 0 or m[q + Q_DISCIPLINE] == PREEMPTIVE:
            opens = next_open(p, m[r + R_CALENDAR], m[M_NOW])
            if opens > m[M_NOW]:
                soonest = min(soonest, opens)
    return soonest


@compiled
def _first_that_may(p, m, q):
    """Return the first step of a queue whose resources are all there, and the one that it begins with; -1 for none."""
    slot = m[q + Q_HEAD]
    while slot >= 0:
        s = m[M_STEPS] + S_WIDTH * slot
        if p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_DEMAND_COUNT] == 0 or may_begin(p, m, slot):
            unit = idle_unit(p, m, q)
            if unit >= 0:
                return slot, unit
        slot = m[s + S_Q_NEXT]
    return -1, -1


@compiled
def dispatch(p, m, d, pool):
    """Let idle resources serve who waits; where none is on duty, look again when one is."""
    q = m[M_POOLS] + Q_WIDTH * pool
    while m[q + Q_LENGTH] > 0 and m[q + Q_IDLE_COUNT] > 0:
        if m[q + Q_JOINT]:
            slot, unit = _first_that_may(p, m, q)
        else:
            slot, unit = m[q + Q_HEAD], idle_unit(p, m, q)
        if unit < 0:
            wake_later(p, m, pool)
            return
        unqueue(p, m, slot)
        overtake(m, q, slot)
        begin(p, m, d, slot, unit)


@compiled
def serve(p, m, d, pool):
    """Let those be served who wait for a role: first those who need others beside it."""
    q = m[M_POOLS] + Q_WIDTH * pool
    for number in range(m[q + Q_OTHER_COUNT]):
        dispatch(p, m, d, p[m[q + Q_OTHERS] + number])
    dispatch(p, m, d, pool)


@compiled
def _give_back(m, unit):
    """Let a resource be idle again."""
    r = m[M_UNITS] + R_WIDTH * unit
    q = m[M_POOLS] + Q_WIDTH * m[r + R_POOL]
    m[r + R_STEP] = -1
    m[r + R_NEXT] = -1
    if m[q + Q_IDLE_LAST] >= 0 and m[q + Q_IDLE_COUNT] > 0:
        m[m[M_UNITS] + R_WIDTH * m[q + Q_IDLE_LAST] + R_NEXT] = unit
    else:
        m[q + Q_IDLE] = unit
    m[q + Q_IDLE_LAST] = unit
    m[q + Q_IDLE_COUNT] += 1


@compiled
def release(p, m, slot):
    """Give back the resources of an attempt that has ended; return the first one's role, -1 for none."""
    s = m[M_STEPS] + S_WIDTH * slot
    unit = m[s + S_UNIT]
    if unit < 0:
        return -1
    r = m[M_UNITS] + R_WIDTH * unit
    if m[s + S_PAUSED] >= 0:  # it was interrupted, and its resource works on something else
        calendar = m[r + R_CALENDAR] if m[m[M_POOLS] + Q_WIDTH * m[r + R_POOL] + Q_PAUSE] else -1
        m[s + S_AWAY] += open_between(p, calendar, m[s + S_PAUSED], m[M_NOW])
        m[s + S_PAUSED] = -1
        return -1
    other = m[r + R_ALSO]
    m[r + R_ALSO] = -1
    _give_back(m, unit)
    while other >= 0:
        o = m[M_UNITS] + R_WIDTH * other
        calendar = m[o + R_CALENDAR] if m[m[M_POOLS] + Q_WIDTH * m[o + R_POOL] + Q_PAUSE] else -1
        m[o + R_HELPED] += open_between(p, calendar, min(max(m[o + R_BUSY], m[M_WARM]), m[M_NOW]), m[M_NOW])
        after = m[o + R_ALSO]
        m[o + R_ALSO] = -1
        _give_back(m, other)
        other = after
    return m[r + R_POOL]


@compiled
def leave_work(p, m, slot):
    """Take a step out of its attempt; return the role that is free now, -1 if there is none or others work on."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_LEADER]:
        other = m[s + S_LEADER] - 1
        while other >= 0:
            o = m[M_STEPS] + S_WIDTH * other
            if m[o + S_BATCH_NEXT] == slot:
                m[o + S_BATCH_NEXT] = m[s + S_BATCH_NEXT]
            other = m[o + S_BATCH_NEXT]
        m[s + S_BATCH_NEXT] = -1
        return -1
    if m[s + S_BATCH_NEXT] < 0:
        return release(p, m, slot)
    first, unit, calendar, begun = m[s + S_BATCH_NEXT], m[s + S_UNIT], -1, m[s + S_STARTED]
    if unit >= 0:
        r = m[M_UNITS] + R_WIDTH * unit
        begun = m[r + R_BUSY]
        if m[m[M_POOLS] + Q_WIDTH * m[r + R_POOL] + Q_PAUSE]:
            calendar = m[r + R_CALENDAR]
    while unit >= 0:
        r = m[M_UNITS] + R_WIDTH * unit
        m[r + R_STEP] = first
        unit = m[r + R_ALSO]
    hand_on(p, m, slot)
    _will_end(p, m, first, working_until(p, calendar, begun, m[m[M_STEPS] + S_WIDTH * first + S_LEFT]))
    return -1
