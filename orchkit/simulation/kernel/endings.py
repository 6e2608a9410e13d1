"""Ends of passes, and what follows: the next pass of a loop, compensations, the end of a scope or a run."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.conditions import evaluate
from orchkit.simulation.kernel.draws import draw
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import add_step, command, drop_pass, note, push, tell
from orchkit.simulation.kernel.outcomes import fail, go_on, stop
from orchkit.simulation.kernel.passes import become, close, fail_pass, failure_of
from orchkit.simulation.kernel.sagas import drop_undo, hand_over, keep

__all__ = ["look_at_pass", "next_passes", "undo_next"]


@compiled
def _finish(p, m, slot, failure):
    """End a run."""
    i = m[M_PASSES] + p[P_HELD] * slot
    bad, parent, case = m[i + I_BAD], m[i + I_PARENT], m[i + I_CASE]
    if failure == 0:
        failure = bad
    if failure == 0:
        status = COMPLETED
    elif bad:
        status = DEAD_LETTERED
    elif failure & CLASS_MASK == STOPPED:
        status = CANCELLED
    elif failure & UNDONE:
        status = COMPENSATED
    elif failure & EXHAUSTED:
        status = DEAD_LETTERED
    else:
        status = FAILED
    note(p, m, K_RUN, status, p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_FIRST], 0, failure & CLASS_MASK)
    gen = m[i]
    drop_pass(p, m, slot)
    if parent >= 0:
        tell(m, TELL_ENDED, parent, m[m[M_STEPS] + S_WIDTH * parent], status, failure)
        return
    k = m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case
    count = m[M_ENDED_COUNT]
    if count + 1 >= m[M_ENDED_SIZE]:
        m[M_OVERFLOW] = 1
        return
    e = m[M_ENDED] + ENDED_WIDTH * count
    m[e], m[e + 1], m[e + 2] = m[k + K_NUMBER], m[k + K_ARRIVED], (m[M_NOW] << 4) | status
    m[M_ENDED_COUNT] = count + 1
    m[k + 1] = m[M_CASE_FREE]
    m[k + K_KEY] = -1
    m[k + K_NUMBER] = -1
    m[M_CASE_FREE] = case
    m[M_LIVE] -= 1


@compiled
def end_scope(p, m, d, slot, failure):
    """Go on after a scope, when nothing runs inside."""
    s = m[M_STEPS] + S_WIDTH * slot
    if failure == 0:
        become(p, m, slot, COMPLETED, 0)
        keep(p, m, slot)
        go_on(p, m, d, slot)
    elif m[s + S_STATUS] == COMPENSATING:
        become(p, m, slot, COMPENSATED if failure & UNDONE else FAILED, failure)
        fail(p, m, d, slot, failure)
    elif failure & CLASS_MASK == STOPPED:
        become(p, m, slot, CANCELLED, 0)
        close(p, m, slot)
    else:
        become(p, m, slot, FAILED, failure)
        fail(p, m, d, slot, failure)


@compiled
def _exits(p, m, d, slot, index):
    """Return whether a for-each ends at an item, which is counted from 1; -1, and it is stopped, where one cannot tell."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    case = m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_CASE]
    key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_KEY]
    if p[n + N_EXIT_CODE] < 0:
        return draw(key, node, m[s + S_VISIT], index, U_EXIT) < d[p[n + N_EXIT]]
    return _holds(p, m, d, slot, p[n + N_EXIT_CODE], key)


@compiled
def _holds(p, m, d, slot, code, key):
    """Return whether a condition of a loop holds; -1, and the loop is stopped, where it has no value."""
    value = evaluate(p, d, code, key, 0)
    if value - value != 0.0:
        stop(p, m, slot, failure_of(PERMANENT, T_EXPRESSION, m[m[M_STEPS] + S_WIDTH * slot + S_NODE]))
        return -1
    return value != 0.0


@compiled
def _pass_ended(p, m, d, slot, failure, index, since):
    """Note the end of a pass of a loop, whose first token had ended at ``since``."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    m[s + S_ACTIVE] -= 1
    push(m, O_NEXT_PASSES, slot, m[s], since)
    if p[n + N_KIND] == WHILE:
        if failure:
            m[s + S_CLOSED] = 1
            if m[s + S_FAILURE] == 0:
                m[s + S_FAILURE] = failure
            else:
                m[s + S_FAILURE] = (m[s + S_FAILURE] & ~UNDONE) | (failure & UNDONE)
        return
    if failure == 0:
        if p[n + N_EXIT_AFTER] and not m[s + S_CLOSED]:
            if _exits(p, m, d, slot, index) == 1:
                m[s + S_CLOSED] = 1
    elif failure & CLASS_MASK != STOPPED:
        m[s + S_FAILED] += 1
        first = m[s + S_FIRST_FAILURE]
        if first == 0:
            first = failure
        m[s + S_FIRST_FAILURE] = ((first | (failure & EXHAUSTED)) & ~UNDONE) | (first & failure & UNDONE)
        allowed = p[n + N_TOLERATED]
        if allowed < 0:
            allowed = int(-(allowed + 1) / 1_000_000 * m[s + S_ITEMS] + 1e-9)
        if m[s + S_FAILURE] == 0 and m[s + S_FAILED] > allowed:
            flags = m[s + S_FIRST_FAILURE] & (EXHAUSTED | UNDONE)
            stop(p, m, slot, failure_of(PARTIAL, T_ITEMS, node) | flags)


@compiled
def end_pass(p, m, d, slot):
    i = m[M_PASSES] + p[P_HELD] * slot
    failure, parent, undo, index = m[i + I_FAILURE], m[i + I_PARENT], m[i + I_UNDO], m[i + I_INDEX]
    if m[i + I_ROOT] == slot:
        _finish(p, m, slot, failure)
        return
    since = m[i + I_SINCE] if m[i + I_SINCE] < FOREVER else m[M_NOW]
    drop_pass(p, m, slot)
    s = m[M_STEPS] + S_WIDTH * parent
    if undo >= 0:  # what a saga in a saga has done is the outer one's to undo
        hand_over(p, m, parent, undo)
    kind = p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_KIND]
    if kind == FOREACH or kind == WHILE:
        _pass_ended(p, m, d, parent, failure, index, since)
        return
    m[s + S_SINCE] = since
    if failure and m[s + S_FAILURE]:
        end_scope(p, m, d, parent, (m[s + S_FAILURE] & ~UNDONE) | (failure & UNDONE))
    else:
        end_scope(p, m, d, parent, failure)


@compiled
def undo_next(p, m, d, slot):
    i = m[M_PASSES] + p[P_HELD] * slot
    while m[i + I_UNDO] >= 0:
        u = m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * m[i + I_UNDO]
        task = p[p[P_NODES] + N_WIDTH * m[u + U_NODE] + N_UNDO]
        if task >= 0:
            step = add_step(p, m, task, K_COMPENSATION, PENDING, slot)
            gen = m[m[M_STEPS] + S_WIDTH * step]
            note(p, m, K_COMPENSATION, PENDING, task, 1, 0)
            if p[p[P_NODES] + N_WIDTH * task + N_DEADLINE] >= 0:
                command(m, DO_DEADLINE, step, gen, 0)
            command(m, DO_RUN, step, gen, 0)
            return
        note(p, m, K_COMPENSATION, SKIPPED, m[u + U_NODE], 1, 0)
        drop_undo(p, m, i)
    m[i + I_FAILURE] = (m[i + I_FAILURE] & ~UNDONE) | (0 if m[i + I_UNDONE_BADLY] else UNDONE)
    end_pass(p, m, d, slot)


@compiled
def look_at_pass(p, m, d, slot):
    """See whether a pass has ended, or is stuck."""
    i = m[M_PASSES] + p[P_HELD] * slot
    if m[i + I_OPEN] or m[i + I_MODE] == UNDOING:
        return
    if m[i + I_MODE] == GOING and m[i + I_HELD_COUNT]:
        g = p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH]
        join = 0
        for bit in range(p[g + G_HELD_COUNT]):
            if m[i + I_HELD + bit]:
                join = p[p[P_LISTS] + p[g + G_OR_JOINS] + p[g + G_OR_COUNT] + bit]
                break
        fail_pass(p, m, slot, failure_of(PERMANENT, T_DEADLOCK, join))
    elif m[i + I_MODE] == FAILING and p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_SAGA]:
        m[i + I_MODE] = UNDOING
        become(p, m, m[i + I_PARENT], COMPENSATING, m[i + I_FAILURE])
        undo_next(p, m, d, slot)
    else:
        end_pass(p, m, d, slot)


@compiled
def next_passes(p, m, d, slot, since):
    """Begin the next pass of a loop, if it may begin now; end the loop when none is left.

    Where a pass has ended, its first token had at ``since``, and what comes next has waited from then on; else it is
    ``FOREVER``.
    """
    s = m[M_STEPS] + S_WIDTH * slot
    if since < FOREVER:
        m[s + S_SINCE] = since
    node, pass_slot = m[s + S_NODE], m[s + S_PASS]
    if m[s + S_STATUS] == FAILED:
        fail(p, m, d, slot, m[s + S_FAILURE])
        return
    n = p[P_NODES] + N_WIDTH * node
    case = m[m[M_PASSES] + p[P_HELD] * pass_slot + I_CASE]
    key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_KEY]
    visit = m[s + S_VISIT]
    position = m[s + S_LOOP_NEXT]
    goes_on = False
    if m[s + S_CLOSED]:
        pass
    elif p[n + N_KIND] == WHILE:
        if not m[s + S_ACTIVE]:
            if p[n + N_ITERATIONS] >= 0:
                goes_on = position < m[s + S_ITEMS]
            else:
                goes_on = draw(key, node, visit, position + 1, U_REPEAT) < d[p[n + N_REPEAT]]
            if goes_on and position >= p[n + N_CONCURRENCY]:
                m[s + S_FAILURE] = failure_of(PERMANENT, T_ITERATIONS, node)
                goes_on = False
    elif position < m[s + S_ITEMS] and m[s + S_ACTIVE] < p[n + N_CONCURRENCY]:
        goes_on = True
        if (p[n + N_EXIT] >= 0 or p[n + N_EXIT_CODE] >= 0) and not p[n + N_EXIT_AFTER]:
            exits = _exits(p, m, d, slot, position + 1)
            if exits:
                goes_on = False
            if exits == 1:
                m[s + S_CLOSED] = 1
        skips = 0
        if goes_on and p[n + N_SKIP_CODE] >= 0:
            skips = _holds(p, m, d, slot, p[n + N_SKIP_CODE], key)
            goes_on = skips >= 0
        elif goes_on and p[n + N_SKIP] >= 0:
            skips = draw(key, node, visit, position + 1, U_SKIP) < d[p[n + N_SKIP]]
        if skips == 1:
            m[s + S_LOOP_NEXT] += 1
            note(p, m, K_SCOPE, SKIPPED, node, 1, 0)
            push(m, O_NEXT_PASSES, slot, m[s], since)
            return
    if goes_on:
        m[s + S_LOOP_NEXT] += 1
        m[s + S_ACTIVE] += 1
        push(m, O_NEXT_PASSES, slot, m[s], FOREVER)
        push(m, O_ENTER, p[n + N_INNER], slot, case)
        return
    if m[s + S_ACTIVE]:  # nothing takes the place of what has ended: the rest is awaited
        m[s + S_TAIL] = min(m[s + S_TAIL], since)
    else:
        m[s + S_SINCE] = min(m[s + S_SINCE], m[s + S_TAIL])
        end_scope(p, m, d, slot, m[s + S_FAILURE])
