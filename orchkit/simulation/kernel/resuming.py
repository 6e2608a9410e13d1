"""Warm start: steps that had begun before the simulation go on.

What an attempt, a wait or a loop will come to is drawn as it would have been at its beginning, and drawn again while
it contradicts what has passed: so the outcome is distributed as it is, given that it has not come yet.
"""

from __future__ import annotations

from numba import float64, int64

from orchkit.simulation.kernel.batching import gather
from orchkit.simulation.kernel.compiling import compiled, entry
from orchkit.simulation.kernel.draws import case_key, fraction, micros, mix, sample, stream
from orchkit.simulation.kernel.duty import worked, working_until
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import schedule
from orchkit.simulation.kernel.queues import queue
from orchkit.simulation.kernel.serving import begin, dispatch, idle_unit, may_begin, pause

__all__ = ["ASK", "DEADLINE", "LATER", "LOOP", "OUTLASTED", "RETRY", "TIMEOUT", "TIMER", "WAITS", "WORK", "resume"]

WORK, ASK, RETRY, WAITS, TIMER, TIMEOUT, DEADLINE, LOOP, LATER = range(9)
OUTLASTED = -9  # no draw was as long as what has passed
_TRIES = 2_000
_INTEGERS, _FLOATS = int64[::1], float64[::1]


@compiled
def _key(p, m, s):
    i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
    return m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]


@compiled
def _try(key, node, visit, attempt, purpose, number):
    """Return the key of a draw; the first one is that of a step that begins now."""
    first = stream(key, node, visit, attempt, purpose)
    return first if number == 0 else mix(first + number)


@compiled
def _draw_rest(p, m, d, s, unit, calendar):
    """Draw how an attempt ends and what is left of it; return whether anything fits what has passed."""
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    key, visit, attempt = _key(p, m, s), m[s + S_VISIT], m[s + S_ATTEMPT]
    passed = worked(p, calendar, m[M_NOW]) - worked(p, calendar, m[s + S_STARTED])
    for number in range(_TRIES):
        outcome, after = 0, p[n + N_WORK]
        if p[n + N_FAILURE_COUNT] > 0:
            u = fraction(_try(key, node, visit, attempt, U_FAIL, number), 0)
            for way in range(p[n + N_FAILURE_COUNT]):
                x = p[P_FAILURES] + X_WIDTH * (p[n + N_FAILURES] + way)
                share = d[p[x + X_SHARE]]
                if u < share:
                    outcome = p[x + X_CODE] | (node << NODE_SHIFT)
                    if p[x + X_AFTER] >= 0:
                        after = p[x + X_AFTER]
                    break
                u -= share
        work = micros(sample(p, d, after, key, _try(key, node, visit, attempt, U_WORK, number), unit))
        if work > passed:
            m[s + S_OUTCOME], m[s + S_LEFT] = outcome, work - passed
            return True
    m[s + S_OUTCOME], m[s + S_LEFT] = 0, 0
    return False


@compiled
def _work_on(p, m, d, slot, unit):
    """Go on with an attempt that had begun; without a resource it waits for one, the first in line."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    pool = p[n + N_POOL]
    calendar = -1
    if p[n + N_DEMAND_COUNT] and not may_begin(p, m, slot):
        unit = -1
    if unit >= 0:
        r = m[M_UNITS] + R_WIDTH * unit
        q = m[M_POOLS] + Q_WIDTH * pool
        if m[q + Q_PAUSE]:
            calendar = m[r + R_CALENDAR]
        before = -1
        idle = m[q + Q_IDLE]
        while idle != unit:
            before, idle = idle, m[m[M_UNITS] + R_WIDTH * idle + R_NEXT]
        after = m[r + R_NEXT]
        if before >= 0:
            m[m[M_UNITS] + R_WIDTH * before + R_NEXT] = after
        else:
            m[q + Q_IDLE] = after
        if after < 0:
            m[q + Q_IDLE_LAST] = before
        m[q + Q_IDLE_COUNT] -= 1
    fits = _draw_rest(p, m, d, s, unit, calendar)
    if unit < 0 and pool >= 0:
        pause(p, m, d, slot)
        return fits
    begin(p, m, d, slot, unit)
    return fits


@compiled
def _ask(p, m, d, slot):
    """Let an attempt that waited for a resource wait on, or begin; the queue's limit was passed long ago."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    pool = p[n + N_POOL]
    if p[n + N_BATCH] > 1:
        gather(p, m, d, slot)
        return
    if pool < 0:
        begin(p, m, d, slot, -1)
        return
    q = m[M_POOLS] + Q_WIDTH * pool
    needs_more = p[n + N_DEMAND_COUNT] > 0
    if may_begin(p, m, slot) if needs_more else m[q + Q_LENGTH] == 0 and m[q + Q_IDLE_COUNT] > 0:
        unit = idle_unit(p, m, q)
        if unit >= 0:
            begin(p, m, d, slot, unit)
            return
    queue(p, m, d, slot, q, pool)
    if m[q + Q_IDLE_COUNT] > 0:
        dispatch(p, m, d, pool)


@compiled
def _delay_on(p, m, d, slot, since):
    """Go on with a delay that had begun; where none is as long, the step waits for a resource by now."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, visit = m[s + S_NODE], m[s + S_VISIT]
    n = p[P_NODES] + N_WIDTH * node
    i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
    last = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_LAST]
    pool = -1 if p[n + N_DELAY_CLOCK] else p[n + N_POOL]
    calendar = m[m[M_POOLS] + Q_WIDTH * pool + Q_CALENDAR] if pool >= 0 else -1
    key, passed = _key(p, m, s), worked(p, calendar, m[M_NOW]) - worked(p, calendar, since)
    for number in range(_TRIES):
        ahead = micros(sample(p, d, p[n + N_DELAY], key, _try(key, node, visit, 0, U_DELAY, number), last))
        if ahead > passed:
            m[s + S_UNIT] = DELAYED
            schedule(m, working_until(p, calendar, m[M_NOW], ahead - passed), E_READY, slot, m[s])
            return
    _ask(p, m, d, slot)


@compiled
def _wait_on(p, m, d, slot):
    """Go on with a wait that had begun; return whether any answer fits what has passed."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, visit = m[s + S_NODE], m[s + S_VISIT]
    n = p[P_NODES] + N_WIDTH * node
    key = _key(p, m, s)
    passed = m[M_NOW] - m[s + S_STARTED]
    for number in range(_TRIES):
        if p[n + N_NEVER] >= 0 and fraction(_try(key, node, visit, 0, U_NEVER, number), 0) < d[p[n + N_NEVER]]:
            return True
        after = micros(sample(p, d, p[n + N_WORK], key, _try(key, node, visit, 0, U_WAIT, number), -1))
        if after > passed:
            fails = p[n + N_FAILS] >= 0
            fails = fails and fraction(_try(key, node, visit, 0, U_WAIT_FAILS, number), 0) < d[p[n + N_FAILS]]
            schedule(m, m[s + S_STARTED] + after, E_CALLBACK_FAILED if fails else E_CALLBACK, slot, m[s])
            return True
    schedule(m, m[M_NOW], E_CALLBACK, slot, m[s])
    return False


@compiled
def _count_items(p, m, d, slot, least):
    """Draw how many items a loop has that had begun; return whether any number fits those that were seen."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, visit = m[s + S_NODE], m[s + S_VISIT]
    n = p[P_NODES] + N_WIDTH * node
    if p[n + N_ITERATIONS] < 0:
        return True
    key = _key(p, m, s)
    for number in range(_TRIES):
        items = int(sample(p, d, p[n + N_ITERATIONS], key, _try(key, node, visit, 0, U_ITEMS, number), -1) + 0.5)
        if items >= least:
            m[s + S_ITEMS] = items
            return True
    m[s + S_ITEMS] = least
    return False


@compiled
def _take_up(p, m, d, do, slot, value):
    """Take up a step; return whether what it comes to fits what has passed."""
    gen = m[m[M_STEPS] + S_WIDTH * slot]
    if do == WORK:
        return _work_on(p, m, d, slot, value)
    if do == WAITS:
        return _wait_on(p, m, d, slot)
    if do == LOOP:
        return _count_items(p, m, d, slot, value)
    if do == ASK:
        _ask(p, m, d, slot)
    elif do == LATER:
        _delay_on(p, m, d, slot, value)
    elif do == RETRY:
        schedule(m, value, E_RETRY, slot, gen)
    elif do == TIMER:
        schedule(m, value, E_CALLBACK, slot, gen)
    elif do == TIMEOUT:
        schedule(m, value, E_TIMEOUT, slot, gen)
    else:
        schedule(m, value, E_DEADLINE, slot, gen)
    return True


@compiled
def _give_keys(p, m):
    width = K_VISITS + p[P_NODE_COUNT]
    for number in range(m[M_CASE_COUNT]):
        m[m[M_CASES] + width * number + K_KEY] = case_key(p, m[M_KEY], number)


@entry(_INTEGERS, _INTEGERS, _FLOATS, _INTEGERS)
def resume(program, memory, numbers, plan):
    """Take up the steps of a plan, in its order: rows of what to do, slot and value; mark what lasts too long."""
    memory[M_NOW] = program[P_START]
    _give_keys(program.ctypes, memory.ctypes)
    for row in range(len(plan) // 3):
        do, slot, value = plan[3 * row], plan[3 * row + 1], plan[3 * row + 2]
        if not _take_up(program.ctypes, memory.ctypes, numbers.ctypes, do, slot, value):
            plan[3 * row + 2] = OUTLASTED
