"""Outcomes of steps: success, failure, giving up; and where the token goes then."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.conditions import evaluate
from orchkit.simulation.kernel.draws import draw
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import command, drop_step, note, push
from orchkit.simulation.kernel.passes import become, close, fail_pass, failure_of, leave, of_class
from orchkit.simulation.kernel.queues import leave_queue
from orchkit.simulation.kernel.sagas import drop_undo, keep
from orchkit.simulation.kernel.tokens import choose, hold

__all__ = ["child_ended", "fail", "failed_for_good", "give_up", "go_on", "out_of_time", "step_done", "stop"]


@compiled
def choose_optional(p, m, d, pass_slot, node, first, count):
    """Decide an implicit split: the flows without a condition, and those whose condition holds."""
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    k = m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE]
    by_conditions = p[p[P_NODES] + N_WIDTH * node + N_CHOICE] == BY_CONDITIONS
    taken = fixed = noted = 0
    number = 0
    for position in range(count):
        flow = p[P_FLOWS] + F_WIDTH * p[p[P_LISTS] + first + position]
        if p[flow + F_CONDITION] < 0:
            fixed |= 1 << position
            continue
        if by_conditions:
            value = evaluate(p, d, p[flow + F_SHARE], m[k + K_KEY], 0)
            if value - value != 0.0:
                note(p, m, K_GATEWAY, FAILED, node, 0, 0)
                return -1
            holds = value != 0.0
        else:
            u = draw(m[k + K_KEY], node, m[k + K_VISITS + node], position + 1, U_BRANCH)
            holds = u < d[p[flow + F_SHARE]]
        if holds:
            taken |= 1 << position
            noted |= 1 << number
        number += 1
    note(p, m, K_GATEWAY, COMPLETED, node, 0, noted)
    return taken | fixed


@compiled
def go_on(p, m, d, slot):
    """Send tokens along a step's flows, the implicit split decided."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, pass_slot = m[s + S_NODE], m[s + S_PASS]
    n = p[P_NODES] + N_WIDTH * node
    if not p[n + N_CHOICE] or m[m[M_PASSES] + p[P_HELD] * pass_slot + I_MODE] != GOING:
        leave(p, m, d, slot, -1, -1)
        return
    count = p[n + N_OUT_COUNT]
    taken = choose_optional(p, m, d, pass_slot, node, p[n + N_OUT], count)
    leave(p, m, d, slot, max(taken, 0), -1)
    if taken < 0:
        fail_pass(p, m, pass_slot, failure_of(PERMANENT, T_EXPRESSION, node))
    elif taken == 0:
        fail_pass(p, m, pass_slot, failure_of(PERMANENT, T_NO_FLOW, node))


@compiled
def fail(p, m, d, slot, failure):
    """Go on after a node has failed for good: its fallback, its timeout or error path, or up."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, pass_slot = m[s + S_NODE], m[s + S_PASS]
    n = p[P_NODES] + N_WIDTH * node
    m[s + S_SINCE] = m[M_NOW]
    if m[m[M_PASSES] + p[P_HELD] * pass_slot + I_MODE] != GOING:
        close(p, m, slot)
        return
    if p[n + N_FALLBACK]:
        m[s + S_STATUS] = COMPLETED
        note(p, m, m[s + S_KIND], COMPLETED, node, m[s + S_ATTEMPT], 1 << 40)
        go_on(p, m, d, slot)
        return
    flow = -1
    if failure & CLASS_MASK == TIMED_OUT and p[n + N_ON_TIMEOUT] >= 0:
        flow = p[n + N_ON_TIMEOUT]
    elif p[n + N_ERROR_COUNT]:
        if p[n + N_ERROR_CHOICE]:
            first, count = p[n + N_ERROR], p[n + N_ERROR_COUNT]
            if p[n + N_ERROR_CHOICE] == BY_CONDITIONS:
                taken = hold(p, m, d, pass_slot, node, first, count, True, failure)
                if taken < 0:
                    taken, failure = 0, failure_of(PERMANENT, T_EXPRESSION, node)
            else:
                taken = choose(p, m, d, pass_slot, node, first, count, True)
            for position in range(p[n + N_ERROR_COUNT]):
                if (taken >> position) & 1:
                    flow = p[p[P_LISTS] + p[n + N_ERROR] + position]
        else:
            flow = p[p[P_LISTS] + p[n + N_ERROR]]
    if flow < 0:
        close(p, m, slot)
        fail_pass(p, m, pass_slot, failure)
    else:
        leave(p, m, d, slot, 0, flow)


@compiled
def stop(p, m, slot, failure):
    """Fail what runs inside a scope or a call; the step ends when that has ended."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_KIND] == K_CALL:
        command(m, DO_STOP, slot, m[s], 0)
        return
    kind = p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_KIND]
    if kind == FOREACH or kind == WHILE:
        m[s + S_CLOSED] = 1
        if m[s + S_FAILURE] == 0:
            m[s + S_FAILURE] = failure
    inner = m[s + S_CHILD_LAST]
    while inner >= 0:
        push(m, O_FAIL_PASS, inner, of_class(failure, STOPPED), 0)
        inner = m[m[M_PASSES] + p[P_HELD] * inner + I_PREV]


@compiled
def give_up(p, m, slot):
    """Stop a step whose outcome is not wanted any more; an attempt that runs is awaited."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_STATUS] == FAILED:
        close(p, m, slot)
    elif m[s + S_KIND] == K_SCOPE or m[s + S_KIND] == K_CALL:
        stop(p, m, slot, failure_of(STOPPED, T_CANCELLED, m[s + S_NODE]))
    elif m[s + S_STATUS] != RUNNING:
        become(p, m, slot, CANCELLED, 0)
        close(p, m, slot)


@compiled
def undone(p, m, d, slot, failure):
    """Go on after a compensation has succeeded, or failed for good."""
    pass_slot = m[m[M_STEPS] + S_WIDTH * slot + S_PASS]
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    drop_undo(p, m, i)
    leave_queue(p, m, slot)
    drop_step(p, m, slot)
    if failure:
        m[i + I_UNDONE_BADLY] = 1
        root = m[M_PASSES] + p[P_HELD] * m[i + I_ROOT]
        if m[root + I_BAD] == 0:
            m[root + I_BAD] = failure
    push(m, O_UNDO_NEXT, pass_slot, 0, 0)


@compiled
def step_done(p, m, d, slot):
    """Take the success of a task, a wait, a call or a compensation."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_KIND] != K_COMPENSATION:
        case = m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_CASE]
        m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_LAST] = m[s + S_NODE]
    become(p, m, slot, COMPLETED, 0)
    if m[s + S_KIND] == K_COMPENSATION:
        undone(p, m, d, slot, 0)
    else:
        keep(p, m, slot)
        go_on(p, m, d, slot)


@compiled
def failed_for_good(p, m, d, slot, failure):
    """Take a failure that no attempt mends; the step has failed."""
    if m[m[M_STEPS] + S_WIDTH * slot + S_KIND] == K_COMPENSATION:
        undone(p, m, d, slot, failure)
    else:
        fail(p, m, d, slot, failure)


@compiled
def out_of_time(p, m, d, slot, failure):
    """Take the timeout of a scope or a call: what is inside is stopped first."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_FAILURE]:
        return
    if p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_KIND] != FOREACH and m[s + S_KIND] == K_SCOPE:
        inner = m[s + S_CHILD]
        while inner >= 0:
            i = m[M_PASSES] + p[P_HELD] * inner
            if m[i + I_MODE] >= FAILING:
                return
            inner = m[i + I_NEXT]
    note(p, m, K_TIMER, COMPLETED, m[s + S_NODE], 1, 0)
    m[s + S_FAILURE] = failure
    stop(p, m, slot, failure)


@compiled
def child_ended(p, m, d, slot, status, failure):
    """Take the end of a called run."""
    s = m[M_STEPS] + S_WIDTH * slot
    m[s + S_CHILD] = -1
    if status == COMPLETED and m[s + S_FAILURE] == 0:
        step_done(p, m, d, slot)
        return
    found = m[s + S_FAILURE]
    if found == 0:
        if failure == 0:
            failure = failure_of(PERMANENT, T_CHILD, 0)
        kind = failure & CLASS_MASK
        kind = PERMANENT if kind == STOPPED else kind
        found = failure_of(kind, (failure >> TYPE_SHIFT) & TYPE_MASK, m[s + S_NODE])
        if status == DEAD_LETTERED:
            found |= EXHAUSTED
    if status == COMPLETED:
        keep(p, m, slot)
    if m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_MODE] == GOING:
        become(p, m, slot, FAILED, found)
    else:
        become(p, m, slot, CANCELLED, 0)
    fail(p, m, d, slot, found)
