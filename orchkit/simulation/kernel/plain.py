"""Plain tasks: what their end leads to at once, where nothing in it has to wait for its turn.

In most workflows a task's end leads to tasks that only ask for a resource, in the order of arrival. What a turn would put
on its stack, its agenda and among its commands is then known, and done at once, in the same order. Where there is more
to it, the turn does it.
"""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.endings import look_at_pass
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import add_step, drop_step, look_at, note
from orchkit.simulation.kernel.passes import become, take_over
from orchkit.simulation.kernel.queues import queue_last
from orchkit.simulation.kernel.serving import begin, dispatch, idle_unit, release
from orchkit.simulation.kernel.tokens import end_token, send, settle

__all__ = ["end_plainly", "go_on_plainly", "is_plain"]


@compiled
def is_plain(p, m, s):
    """Return whether a step is of a plain task that was done well, in a pass that goes on."""
    return (
        p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_PLAIN] == 1
        and m[s + S_OUTCOME] == 0
        and m[s + S_QUEUED] == 0
        and m[s + S_KIND] == K_TASK
        and m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_MODE] == GOING
    )


@compiled
def _ask(p, m, d, slot):
    """Begin an attempt of a plain task, or let it wait for a resource behind all others."""
    pool = p[p[P_NODES] + N_WIDTH * m[m[M_STEPS] + S_WIDTH * slot + S_NODE] + N_POOL]
    if pool < 0:
        begin(p, m, d, slot, -1)
        return
    q = m[M_POOLS] + Q_WIDTH * pool
    unit = -1
    if m[q + Q_LENGTH] == 0 and m[q + Q_IDLE_COUNT] > 0:
        unit = idle_unit(p, m, q)
    if unit >= 0:
        begin(p, m, d, slot, unit)
        return
    queue_last(m, slot, q)
    if m[q + Q_IDLE_COUNT] > 0:
        dispatch(p, m, d, pool)


@compiled
def go_on_plainly(p, m, d, pass_slot, flow, has_closed):
    """Let tokens that were sent go on, first one along a flow (-1: none); return whether the turn has to see to what they lead to.

    Where a step has closed before, the turn looks at the pass first, as it would have.
    """
    found = settle(p, m, d, pass_slot, flow)
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    count = m[M_OPENED_COUNT]
    only_plain = found == 0
    for number in range(count):
        only_plain &= p[p[P_NODES] + N_WIDTH * m[m[M_OPENED] + 2 * number] + N_PLAIN] == 1
    if not only_plain:
        if has_closed:
            look_at(m, pass_slot, m[i], 1)
        take_over(p, m, pass_slot, found)
        return True
    if count == 0:
        if m[i + I_OPEN] > 0:
            return False
        look_at_pass(p, m, d, pass_slot)
        return True
    for number in range(count):
        at = m[M_OPENED] + 2 * number
        node, since = m[at], m[at + 1]
        slot = add_step(p, m, node, K_TASK, PENDING, pass_slot)
        m[m[M_STEPS] + S_WIDTH * slot + S_SINCE] = since
        note(p, m, K_TASK, PENDING, node, 1, 0)
        m[at] = slot
    for number in range(count):
        _ask(p, m, d, m[m[M_OPENED] + 2 * number])
    return False


@compiled
def end_plainly(p, m, d, slot):
    """Take the success of a plain task; return which role is free now, and whether the turn has something to do."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, pass_slot = m[s + S_NODE], m[s + S_PASS]
    n = p[P_NODES] + N_WIDTH * node
    freed = release(p, m, slot)
    case = m[m[M_PASSES] + p[P_HELD] * pass_slot + I_CASE]
    m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_LAST] = node
    become(p, m, slot, COMPLETED, 0)
    drop_step(p, m, slot)
    m[M_SINCE] = m[M_NOW]
    first, count, flow = p[P_LISTS] + p[n + N_OUT], p[n + N_OUT_COUNT], -1
    if count == 0:
        end_token(p, m, pass_slot)
    elif count == 1:
        flow = p[first]
    else:
        for back in range(count):
            send(p, m, p[first + count - 1 - back])
    return freed, go_on_plainly(p, m, d, pass_slot, flow, 1)
