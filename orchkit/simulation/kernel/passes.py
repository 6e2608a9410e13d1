"""Passes through a graph: how one begins, goes on from step to step, and is failed."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import add_pass, drop_step, log_row, look_at, note, push
from orchkit.simulation.kernel.queues import leave_queue
from orchkit.simulation.kernel.tokens import clear_held, end_token, send, settle

__all__ = [
    "become",
    "close",
    "enter",
    "fail_pass",
    "failure_of",
    "leave",
    "of_class",
    "send_on",
    "set_out",
    "take_over",
]


@compiled
def failure_of(kind, type_code, node):
    return kind | (type_code << TYPE_SHIFT) | (node << NODE_SHIFT)


@compiled
def of_class(failure, kind):
    return (failure & ~CLASS_MASK) | kind


@compiled
def become(p, m, slot, status, failure):
    """Change the status of a step and record it."""
    s = m[M_STEPS] + S_WIDTH * slot
    m[s + S_STATUS] = status
    more = failure & CLASS_MASK
    note(p, m, m[s + S_KIND], status, m[s + S_NODE], m[s + S_ATTEMPT], more)
    if m[s + S_KIND] != K_SCOPE and (status >= COMPLETED):
        log_row(p, m, s, status, failure)


@compiled
def _drain(p, m, slot, mode):
    i = m[M_PASSES] + p[P_HELD] * slot
    m[i + I_MODE] = mode
    clear_held(p, m, slot)
    push(m, O_LOOK, slot, m[i], 0)
    step = m[i + I_LAST]
    while step >= 0:
        push(m, O_GIVE_UP, step, 0, 0)
        step = m[m[M_STEPS] + S_WIDTH * step + S_PREV]


@compiled
def fail_pass(p, m, slot, failure):
    """Fail a pass for good: attempts that run may end, all else in it is given up."""
    i = m[M_PASSES] + p[P_HELD] * slot
    if m[i + I_MODE] <= ENDING:
        m[i + I_FAILURE] = failure
        _drain(p, m, slot, FAILING)


@compiled
def _settled(p, m, d, slot):
    take_over(p, m, slot, settle(p, m, d, slot, -1))


@compiled
def take_over(p, m, slot, found):
    """Take over what the token game gives: open nodes, or end the pass."""
    i = m[M_PASSES] + p[P_HELD] * slot
    if found > 0:
        types = (0, T_UNSAFE, T_NO_FLOW, T_LIVELOCK, T_EXPRESSION)
        fail_pass(p, m, slot, failure_of(PERMANENT, types[found & 255], found >> 8))
        return
    if found < 0:
        end = -1 - found
        if p[p[P_NODES] + N_WIDTH * end + N_END] == 1:
            _drain(p, m, slot, ENDING)
        else:
            fail_pass(p, m, slot, failure_of(PERMANENT, T_ERROR_END, end))
        return
    if m[i + I_TURN] != m[M_TURN]:
        m[i + I_TURN] = m[M_TURN]
        m[i + I_OPENS] = 0
    m[i + I_OPENS] += m[M_OPENED_COUNT]
    if m[i + I_OPENS] > 1_000 * (1 + m[M_OPENED_COUNT]):
        fail_pass(p, m, slot, failure_of(PERMANENT, T_LIVELOCK, m[m[M_OPENED]]))
        return
    push(m, O_LOOK, slot, m[i], 0)
    for back in range(m[M_OPENED_COUNT]):
        at = m[M_OPENED] + 2 * (m[M_OPENED_COUNT] - 1 - back)
        push(m, O_OPEN, slot, m[at], m[at + 1])


@compiled
def set_out(p, m, graph, parent, case, index):
    """Begin a pass through a graph: its first tokens are sent. Return its slot."""
    root = -1
    m[M_SINCE] = m[M_NOW]
    if parent >= 0 and p[p[P_NODES] + N_WIDTH * m[m[M_STEPS] + S_WIDTH * parent + S_NODE] + N_KIND] != CALL:
        root = m[m[M_PASSES] + p[P_HELD] * m[m[M_STEPS] + S_WIDTH * parent + S_PASS] + I_ROOT]
        m[M_SINCE] = m[m[M_STEPS] + S_WIDTH * parent + S_SINCE]
    slot = add_pass(p, m, graph, parent, case, index, root)
    if root < 0 and parent < 0:
        m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_ROOT] = slot
    g = p[P_GRAPHS] + G_WIDTH * graph
    # The starts are flows from nowhere.
    for back in range(p[g + G_START_COUNT]):
        send(p, m, p[p[P_LISTS] + p[g + G_STARTS] + p[g + G_START_COUNT] - 1 - back])
    return slot


@compiled
def enter(p, m, d, graph, parent, case, index):
    """Begin a pass through a graph."""
    _settled(p, m, d, set_out(p, m, graph, parent, case, index))


@compiled
def close(p, m, slot):
    """Take a step out of the state, without a token."""
    pass_slot = m[m[M_STEPS] + S_WIDTH * slot + S_PASS]
    leave_queue(p, m, slot)
    drop_step(p, m, slot)
    look_at(m, pass_slot, m[m[M_PASSES] + p[P_HELD] * pass_slot], 1)


@compiled
def send_on(p, m, d, pass_slot, node, taken, flow, since):
    m[M_SINCE] = since
    if flow >= 0:
        send(p, m, flow)
    else:
        n = p[P_NODES] + N_WIDTH * node
        count = p[n + N_OUT_COUNT]
        if count == 0:
            end_token(p, m, pass_slot)
        for back in range(count):
            position = count - 1 - back
            if taken < 0 or (taken >> position) & 1:
                send(p, m, p[p[P_LISTS] + p[n + N_OUT] + position])
    _settled(p, m, d, pass_slot)


@compiled
def leave(p, m, d, slot, taken, flow):
    """Take a step out of the state and send tokens: along one flow, or along those normal ones that are taken."""
    s = m[M_STEPS] + S_WIDTH * slot
    pass_slot, node = m[s + S_PASS], m[s + S_NODE]
    since = m[s + S_SINCE] if m[s + S_KIND] == K_SCOPE else m[M_NOW]
    close(p, m, slot)
    if m[m[M_PASSES] + p[P_HELD] * pass_slot + I_MODE] != GOING or (taken == 0 and flow < 0):
        return
    n = p[P_NODES] + N_WIDTH * node
    if p[n + N_RIVAL_COUNT] == 0:
        send_on(p, m, d, pass_slot, node, taken, flow, since)
        return
    push(m, O_SETTLE, pass_slot, node, flow if flow >= 0 else -1 - taken if taken >= 0 else -FOREVER)
    for back in range(p[n + N_RIVAL_COUNT]):
        rival = p[p[P_LISTS] + p[n + N_RIVALS] + p[n + N_RIVAL_COUNT] - 1 - back]
        other = m[m[M_PASSES] + p[P_HELD] * pass_slot + I_FIRST]
        while other >= 0:
            o = m[M_STEPS] + S_WIDTH * other
            if m[o + S_NODE] == rival:
                push(m, O_GIVE_UP, other, 0, 0)
            other = m[o + S_NEXT]
