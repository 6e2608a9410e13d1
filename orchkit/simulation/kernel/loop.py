"""The kernel: one compiled interpreter of lowered workflows. It takes events in the order of time and follows the rules.

It runs for a number of events, without the GIL, and comes back: so that the host can take rows out, give more memory,
show progress and be interrupted.
"""

from __future__ import annotations

from numba import float64, int64

from orchkit.simulation.kernel.arrivals import next_arrival
from orchkit.simulation.kernel.asking import ask_for, serve_all, wake
from orchkit.simulation.kernel.batching import close_batch, gather, turn_away
from orchkit.simulation.kernel.compiling import compiled, entry
from orchkit.simulation.kernel.draws import draw, micros, mix, sample, stream
from orchkit.simulation.kernel.duty import working_until
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import (
    add_case,
    close_gap,
    command,
    look_at,
    note,
    pop_event,
    push,
    schedule,
    tell,
)
from orchkit.simulation.kernel.outcomes import child_ended, failed_for_good, out_of_time, step_done
from orchkit.simulation.kernel.passes import become, set_out
from orchkit.simulation.kernel.plain import end_plainly, go_on_plainly, is_plain
from orchkit.simulation.kernel.queues import leave_queue, unqueue
from orchkit.simulation.kernel.serving import dispatch, leave_work, release, time_out
from orchkit.simulation.kernel.turn import turn

__all__ = ["begin", "run"]

_INTEGERS, _FLOATS = int64[::1], float64[::1]


@compiled
def _schedule_arrival(p, m, d):
    number = m[M_ARRIVED]
    if number >= m[M_CASE_LIMIT]:
        return
    moment = next_arrival(p, d, m[M_KEY], number, number - m[M_BEFORE], m[M_NOW])
    if moment >= 0:
        schedule(m, moment, E_ARRIVAL, 0, 0)


@compiled
def _arrive(p, m, d):
    """Let the next case arrive, and say when the one after it will; return whether the turn has something to do."""
    number = m[M_ARRIVED]
    m[M_ARRIVED] = number + 1
    case = add_case(p, m, number, mix(m[M_KEY] + (number + 1) * CASE_KEY))
    _schedule_arrival(p, m, d)
    return go_on_plainly(p, m, d, set_out(p, m, 0, -1, case, 0), -1, 0)


@compiled
def _attempt_failed(p, m, d, slot, failure):
    """Take the failure of an attempt: try again, or not."""
    s = m[M_STEPS] + S_WIDTH * slot
    n = p[P_NODES] + N_WIDTH * m[s + S_NODE]
    kind = failure & CLASS_MASK
    retryable = kind == TRANSIENT or kind == TIMED_OUT
    wanted = m[s + S_KIND] == K_COMPENSATION or m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_MODE] == GOING
    again = retryable and wanted and m[s + S_ATTEMPT] < p[n + N_ATTEMPTS]
    if retryable and not again:
        failure |= EXHAUSTED
    become(p, m, slot, FAILED, failure)
    if not again:
        failed_for_good(p, m, d, slot, failure)
        return
    m[s + S_STATUS] = RETRYING
    note(p, m, m[s + S_KIND], RETRYING, m[s + S_NODE], m[s + S_ATTEMPT], 0)
    m[s + S_ENABLED] = m[s + S_SINCE] = m[M_NOW]
    m[s + S_STARTED] = m[s + S_LEFT] = m[s + S_OVERTAKEN] = m[s + S_UNIT] = m[s + S_PAUSED] = -1
    m[s + S_SEQ] = m[s + S_LEADER] = m[s + S_GATHERED] = m[s + S_AWAY] = 0
    at = p[n + N_RETRY]
    delay = min(d[at] * d[at + 2] ** (m[s + S_ATTEMPT] - 1), d[at + 1])
    if d[at + 3] > 0:
        i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
        key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]
        delay *= 1 + d[at + 3] * (2 * draw(key, m[s + S_NODE], m[s + S_VISIT], m[s + S_ATTEMPT], U_RETRY) - 1)
    command(m, DO_RETRY, slot, m[s], micros(delay))


@compiled
def _attempt_ended(p, m, d, slot, outcome):
    """Take the outcome of an attempt: a failure, or 0."""
    if outcome:
        _attempt_failed(p, m, d, slot, outcome)
    else:
        step_done(p, m, d, slot)


@compiled
def _carry_out(p, m, d, do, slot, gen, value):
    """Carry out a command, unless its step has ended meanwhile."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s] != gen:
        return
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    now = m[M_NOW]
    if do == DO_RUN:
        if p[n + N_BATCH] > 1:
            gather(p, m, d, slot)
        elif not ask_for(p, m, d, slot):
            turn_away(p, m, d, slot)
    elif do == DO_LATER:
        # A delay goes by in the hours of those who will do the work, unless it is said to be by the clock.
        pool = -1 if p[n + N_DELAY_CLOCK] else p[n + N_POOL]
        calendar = m[m[M_POOLS] + Q_WIDTH * pool + Q_CALENDAR] if pool >= 0 else -1
        m[s + S_UNIT] = DELAYED
        schedule(m, working_until(p, calendar, now, value), E_READY, slot, m[s])
    elif do == DO_RETRY:
        schedule(m, now + value, E_RETRY, slot, m[s])
    elif do == DO_DEADLINE:
        schedule(m, now + p[n + N_DEADLINE], E_DEADLINE, slot, m[s])
    elif do == DO_TIMEOUT:
        schedule(m, now + p[n + N_TIMEOUT], E_TIMEOUT, slot, m[s])
    elif do == DO_WAIT:
        i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
        key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]
        visit = m[s + S_VISIT]
        if p[n + N_NEVER] >= 0 and draw(key, node, visit, 0, U_NEVER) < d[p[n + N_NEVER]]:
            return
        after = micros(sample(p, d, p[n + N_WORK], key, stream(key, node, visit, 0, U_WAIT), -1))
        fails = p[n + N_FAILS] >= 0 and draw(key, node, visit, 0, U_WAIT_FAILS) < d[p[n + N_FAILS]]
        schedule(m, now + after, E_CALLBACK_FAILED if fails else E_CALLBACK, slot, m[s])
    elif do == DO_CHILD:
        case = m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_CASE]
        tell(m, TELL_CHILD, slot, m[s], p[n + N_INNER], case)
    elif do == DO_STOP:
        tell(m, TELL_CANCEL, slot, m[s], 0, 0)


@compiled
def _follow_up(p, m, d):
    """Carry out the commands of a turn, then deliver messages between runs, each of which is a turn again."""
    while not m[M_OVERFLOW]:
        head = m[M_COMMAND_HEAD]
        if head < m[M_COMMAND_TAIL]:
            at = m[M_COMMANDS] + 4 * head
            m[M_COMMAND_HEAD] = head + 1
            _carry_out(p, m, d, m[at], m[at + 1], m[at + 2], m[at + 3])
            continue
        m[M_COMMAND_HEAD] = m[M_COMMAND_TAIL] = 0
        head = m[M_MESSAGE_HEAD]
        if head == m[M_MESSAGE_TAIL]:
            m[M_MESSAGE_HEAD] = m[M_MESSAGE_TAIL] = 0
            return
        at = m[M_MESSAGES] + 5 * head
        m[M_MESSAGE_HEAD] = head + 1
        what, slot, gen, status, more = m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4]
        s = m[M_STEPS] + S_WIDTH * slot
        if m[s] != gen:
            continue
        m[M_TURN] += 1
        if what == TELL_CHILD:
            push(m, O_ENTER, status, slot, more)
        elif what == TELL_CANCEL:
            child = m[s + S_CHILD]
            if child >= 0:
                i = m[M_PASSES] + p[P_HELD] * child
                if not m[i + I_CANCELLING]:
                    m[i + I_CANCELLING] = 1
                    note(p, m, K_CANCEL, CANCELLED, m[s + S_NODE], 0, 0)
                    push(m, O_FAIL_PASS, child, STOPPED | (T_CANCELLED << TYPE_SHIFT), 0)
        else:
            child_ended(p, m, d, slot, status, more)
        turn(p, m, d)


@compiled
def _take(p, m, d, code):
    """Do what an event says; return whether it says anything any more."""
    kind, slot, gen = code & 15, (code >> 4) & 0xFFFFFFF, code >> 32
    s = m[M_STEPS] + S_WIDTH * slot
    freed = node = -1
    if kind == E_ARRIVAL:
        if not _arrive(p, m, d):
            return True
    elif kind == E_WAKE:
        wake(p, m, d, slot)
        return False
    elif kind == E_BATCH:
        if (m[s] * 64 + (m[s + S_ATTEMPT] & 63)) & 0x7FFFFFFF != gen or m[s + S_QUEUED] != GATHERING:
            return False
        close_batch(p, m, d, m[s + S_NODE])
    elif kind == E_DONE:
        if (m[s] * 64 + (m[s + S_TOKEN] & 63)) & 0x7FFFFFFF != gen or m[s + S_STATUS] != RUNNING:
            return False
        if is_plain(p, m, s):
            freed, goes_on = end_plainly(p, m, d, slot)
            if goes_on:
                turn(p, m, d)
                _follow_up(p, m, d)
            if freed >= 0 and m[m[M_POOLS] + Q_WIDTH * freed + Q_LENGTH] > 0:
                dispatch(p, m, d, freed)
            return True
        node = m[s + S_NODE]
        if m[s + S_QUEUED]:  # it was interrupted, and is out of time
            unqueue(p, m, slot)
            time_out(p, m, slot)
        freed = release(p, m, slot)
        outcome, follower = m[s + S_OUTCOME], m[s + S_BATCH_NEXT]
        m[s + S_BATCH_NEXT] = -1
        _attempt_ended(p, m, d, slot, outcome)
        while follower >= 0:  # what was done together ends together
            turn(p, m, d)
            _follow_up(p, m, d)
            f = m[M_STEPS] + S_WIDTH * follower
            slot, follower = follower, m[f + S_BATCH_NEXT]
            m[f + S_BATCH_NEXT] = -1
            _attempt_ended(p, m, d, slot, outcome)
    elif kind == E_PATIENCE:
        if (m[s] * 64 + (m[s + S_ATTEMPT] & 63)) & 0x7FFFFFFF != gen or not m[s + S_QUEUED] or m[s + S_STARTED] >= 0:
            return False
        failure = TIMED_OUT | (T_ABANDONED << TYPE_SHIFT) | (m[s + S_NODE] << NODE_SHIFT)
        leave_queue(p, m, slot)
        become(p, m, slot, FAILED, failure)
        failed_for_good(p, m, d, slot, failure)
    elif m[s] & 0x7FFFFFFF != gen:
        return False
    elif kind == E_RETRY:
        if m[s + S_STATUS] != RETRYING:
            return False
        m[s + S_ATTEMPT] += 1
        m[s + S_READY] = m[M_NOW]
        command(m, DO_RUN, slot, m[s], 0)
    elif kind == E_READY:
        m[s + S_SINCE] += m[M_NOW] - m[s + S_ENABLED]
        m[s + S_ENABLED] = m[s + S_READY] = m[M_NOW]
        m[s + S_UNIT] = -1
        command(m, DO_RUN, slot, m[s], 0)
    elif kind == E_CALLBACK:
        step_done(p, m, d, slot)
    elif kind == E_CALLBACK_FAILED:
        failure = PERMANENT | (T_CALLBACK << TYPE_SHIFT) | (m[s + S_NODE] << NODE_SHIFT)
        become(p, m, slot, FAILED, failure)
        failed_for_good(p, m, d, slot, failure)
    elif kind == E_DEADLINE:
        failure = TIMED_OUT | (T_DEADLINE << TYPE_SHIFT) | (m[s + S_NODE] << NODE_SHIFT)
        leave_queue(p, m, slot)
        node = m[s + S_NODE]
        freed = leave_work(p, m, slot) if m[s + S_STATUS] == RUNNING else -1
        become(p, m, slot, FAILED, failure)
        failed_for_good(p, m, d, slot, failure)
    elif kind == E_TIMEOUT:
        failure = TIMED_OUT | (T_TIMEOUT << TYPE_SHIFT) | (m[s + S_NODE] << NODE_SHIFT)
        if m[s + S_KIND] == K_SCOPE or m[s + S_KIND] == K_CALL:
            out_of_time(p, m, d, slot, failure)
        else:
            become(p, m, slot, FAILED, failure)
            failed_for_good(p, m, d, slot, failure)
    turn(p, m, d)
    _follow_up(p, m, d)
    if freed >= 0:
        serve_all(p, m, d, freed, node)
    return True


@compiled
def _run(p, m, d, events, margin):
    """Take events until there are none, time is up, or so many were taken.

    Return 0 when it is over, 1 when it may go on, 2 when it needs more memory first, 3 where memory ran out within an
    event: then the replication has to be begun again.
    """
    for _ in range(events):
        close_gap(m)
        if m[M_HEAP_COUNT] == 0:
            m[M_NOW] = max(m[M_ACTED], p[P_START])
            return 0
        if m[m[M_HEAP]] > m[M_UNTIL]:
            m[M_NOW] = m[M_UNTIL]
            return 0
        if (
            m[M_ROW_COUNT] + margin >= m[M_ROW_SIZE]
            or m[M_ENDED_COUNT] + 2 >= m[M_ENDED_SIZE]
            or m[M_HEAP_COUNT] + margin >= m[M_HEAP_SIZE]
            or (m[M_STEP_FREE] < 0 and m[M_STEP_COUNT] + margin >= m[M_STEP_SIZE])
            or m[M_STEPS_LIVE] + margin >= m[M_STEP_SIZE]
            or m[M_PASS_COUNT] + margin >= m[M_PASS_SIZE]
            or m[M_UNDO_COUNT] + margin >= m[M_UNDO_SIZE]
            or m[M_CASE_COUNT] + 2 >= m[M_CASE_SIZE]
        ):
            return 2
        m[M_NOW] = m[m[M_HEAP]]
        m[M_TURN] += 1
        m[M_EVENTS] += 1
        if _take(p, m, d, pop_event(m)):
            m[M_ACTED] = m[M_NOW]
        if m[M_OVERFLOW]:
            return 3
    return 1


@entry(_INTEGERS, _INTEGERS, _FLOATS, int64, int64)
def run(program, memory, numbers, events, margin):
    """Take events until there are none, time is up, or so many were taken.

    Return 0 when it is over, 1 when it may go on, 2 when it needs more memory first, 3 where memory ran out within an
    event: then the replication has to be begun again.
    """
    return _run(program.ctypes, memory.ctypes, numbers.ctypes, events, margin)


@entry(_INTEGERS, _INTEGERS, _FLOATS)
def begin(program, memory, numbers):
    """Let the first case come."""
    memory[M_NOW] = program[P_START]
    _schedule_arrival(program.ctypes, memory.ctypes, numbers.ctypes)
