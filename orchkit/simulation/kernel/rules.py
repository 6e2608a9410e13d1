"""The rules of `orchkit.machine` in the kernel, one function for one there.

What the machine does by calling itself is put on a stack of things to do, the last one first, so that the order is the
same: a function here does what it can at once and pushes what follows, backwards.
"""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.draws import draw, sample, stream
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import (
    _take,
    add_pass,
    add_step,
    command,
    drop_pass,
    drop_step,
    log_row,
    look_at,
    note,
    push,
    tell,
)
from orchkit.simulation.kernel.serving import leave_queue
from orchkit.simulation.kernel.tokens import choose, clear_held, send, settle

__all__ = ["O_ENTER", "O_FAIL_PASS", "failed_for_good", "step_done", "turn"]

(
    O_ENTER,
    O_OPEN,
    O_LOOK,
    O_FAIL_PASS,
    O_GIVE_UP,
    O_STOP,
    O_SETTLE,
    O_NEXT_PASSES,
    O_TIMEOUT,
    O_UNDO_NEXT,
    O_FAIL,
    O_GO_ON,
) = range(12)


@compiled
def _failure(kind, type_code, node):
    return kind | (type_code << TYPE_SHIFT) | (node << NODE_SHIFT)


@compiled
def _of_class(failure, kind):
    return (failure & ~CLASS_MASK) | kind


@compiled
def _become(p, m, slot, status, failure):
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
def _fail_pass(p, m, slot, failure):
    """Fail a pass for good: attempts that run may end, all else in it is given up."""
    i = m[M_PASSES] + p[P_HELD] * slot
    if m[i + I_MODE] <= ENDING:
        m[i + I_FAILURE] = failure
        _drain(p, m, slot, FAILING)


@compiled
def _settled(p, m, d, slot):
    """Take over what the token game gives: open nodes, or end the pass."""
    found = settle(p, m, d, slot)
    i = m[M_PASSES] + p[P_HELD] * slot
    if found > 0:
        types = (0, T_UNSAFE, T_NO_FLOW, T_LIVELOCK)
        _fail_pass(p, m, slot, _failure(PERMANENT, types[found & 255], found >> 8))
        return
    if found < 0:
        end = -1 - found
        if p[p[P_NODES] + N_WIDTH * end + N_END] == 1:
            _drain(p, m, slot, ENDING)
        else:
            _fail_pass(p, m, slot, _failure(PERMANENT, T_ERROR_END, end))
        return
    if m[i + I_TURN] != m[M_TURN]:
        m[i + I_TURN] = m[M_TURN]
        m[i + I_OPENS] = 0
    m[i + I_OPENS] += m[M_OPENED_COUNT]
    if m[i + I_OPENS] > 1_000 * (1 + m[M_OPENED_COUNT]):
        _fail_pass(p, m, slot, _failure(PERMANENT, T_LIVELOCK, m[m[M_OPENED]]))
        return
    push(m, O_LOOK, slot, m[i], 0)
    for back in range(m[M_OPENED_COUNT]):
        push(m, O_OPEN, slot, m[m[M_OPENED] + m[M_OPENED_COUNT] - 1 - back], 0)


@compiled
def _enter(p, m, d, graph, parent, case, index):
    """Begin a pass through a graph."""
    root = -1
    if parent >= 0 and p[p[P_NODES] + N_WIDTH * m[m[M_STEPS] + S_WIDTH * parent + S_NODE] + N_KIND] != CALL:
        root = m[m[M_PASSES] + p[P_HELD] * m[m[M_STEPS] + S_WIDTH * parent + S_PASS] + I_ROOT]
    slot = add_pass(p, m, graph, parent, case, index, root)
    if root < 0 and parent < 0:
        m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_ROOT] = slot
    g = p[P_GRAPHS] + G_WIDTH * graph
    # The starts are flows from nowhere.
    for back in range(p[g + G_START_COUNT]):
        send(p, m, p[p[P_LISTS] + p[g + G_STARTS] + p[g + G_START_COUNT] - 1 - back])
    _settled(p, m, d, slot)


@compiled
def _close(p, m, slot):
    """Take a step out of the state, without a token."""
    pass_slot = m[m[M_STEPS] + S_WIDTH * slot + S_PASS]
    leave_queue(p, m, slot)
    drop_step(p, m, slot)
    look_at(m, pass_slot, m[m[M_PASSES] + p[P_HELD] * pass_slot], 1)


@compiled
def _send_on(p, m, d, pass_slot, node, taken, flow):
    if flow >= 0:
        send(p, m, flow)
    else:
        n = p[P_NODES] + N_WIDTH * node
        count = p[n + N_OUT_COUNT]
        for back in range(count):
            position = count - 1 - back
            if taken < 0 or (taken >> position) & 1:
                send(p, m, p[p[P_LISTS] + p[n + N_OUT] + position])
    _settled(p, m, d, pass_slot)


@compiled
def _leave(p, m, d, slot, taken, flow):
    """Take a step out of the state and send tokens: along one flow, or along those normal ones that are taken."""
    s = m[M_STEPS] + S_WIDTH * slot
    pass_slot, node = m[s + S_PASS], m[s + S_NODE]
    _close(p, m, slot)
    if m[m[M_PASSES] + p[P_HELD] * pass_slot + I_MODE] != GOING or (taken == 0 and flow < 0):
        return
    n = p[P_NODES] + N_WIDTH * node
    if p[n + N_RIVAL_COUNT] == 0:
        _send_on(p, m, d, pass_slot, node, taken, flow)
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


@compiled
def _saga_of(p, m, slot):
    """Return the pass of the nearest saga; -1 for none in this run."""
    depth = 0
    while True:
        i = m[M_PASSES] + p[P_HELD] * slot
        if p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_SAGA]:
            return slot, depth
        if m[i + I_ROOT] == slot:
            return -1, depth
        slot = m[m[M_STEPS] + S_WIDTH * m[i + I_PARENT] + S_PASS]
        depth += 1


@compiled
def _add_within(p, m, entry, serial):
    if m[entry + U_DEPTH] < p[P_DEPTH]:
        m[entry + U_WITHIN + m[entry + U_DEPTH]] = serial
        m[entry + U_DEPTH] += 1


@compiled
def _add_path(p, m, entry, slot):
    """Add to what may have to be undone the scopes from a pass up to the nearest saga."""
    while True:
        i = m[M_PASSES] + p[P_HELD] * slot
        if p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_SAGA] or m[i + I_ROOT] == slot:
            return
        _add_within(p, m, entry, m[m[M_STEPS] + S_WIDTH * m[i + I_PARENT] + S_SERIAL])
        slot = m[m[M_STEPS] + S_WIDTH * m[i + I_PARENT] + S_PASS]


@compiled
def _keep(p, m, slot):
    """Remember what was done for the nearest saga around it."""
    s = m[M_STEPS] + S_WIDTH * slot
    if p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_UNDO] == -1:
        return
    saga, depth = _saga_of(p, m, m[s + S_PASS])
    if saga < 0:
        return
    i = m[M_PASSES] + p[P_HELD] * saga
    # What undoes a scope as a whole takes the place of what undoes the steps inside.
    before, undo = -1, m[i + I_UNDO]
    width = U_WITHIN + p[P_DEPTH]
    while undo >= 0:
        u = m[M_UNDOS] + width * undo
        after = m[u + U_NEXT]
        inside = False
        for level in range(m[u + U_DEPTH]):
            inside = inside or m[u + U_WITHIN + level] == m[s + S_SERIAL]
        if inside:
            if before < 0:
                m[i + I_UNDO] = after
            else:
                m[m[M_UNDOS] + width * before + U_NEXT] = after
            m[u + 1] = m[M_UNDO_FREE]
            m[M_UNDO_FREE] = undo
        else:
            before = undo
        undo = after
    u, undo = _take(m, M_UNDOS, width, M_UNDO_FREE, M_UNDO_COUNT, M_UNDO_SIZE)
    m[u + U_SERIAL], m[u + U_NODE], m[u + U_NEXT], m[u + U_DEPTH] = m[s + S_SERIAL], m[s + S_NODE], m[i + I_UNDO], 0
    m[i + I_UNDO] = undo
    _add_path(p, m, u, m[s + S_PASS])


@compiled
def choose_optional(p, m, d, pass_slot, node, first, count):
    """Decide an implicit split: the flows without a condition, and those whose condition holds."""
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    k = m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE]
    taken = fixed = noted = 0
    number = 0
    for position in range(count):
        flow = p[P_FLOWS] + F_WIDTH * p[p[P_LISTS] + first + position]
        if p[flow + F_CONDITION] < 0:
            fixed |= 1 << position
            continue
        if draw(m[k + K_KEY], node, m[k + K_VISITS + node], position + 1, U_BRANCH) < d[p[flow + F_SHARE]]:
            taken |= 1 << position
            noted |= 1 << number
        number += 1
    note(p, m, K_GATEWAY, COMPLETED, node, 0, noted)
    return taken | fixed


@compiled
def _go_on(p, m, d, slot):
    """Send tokens along a step's flows, the implicit split decided."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, pass_slot = m[s + S_NODE], m[s + S_PASS]
    n = p[P_NODES] + N_WIDTH * node
    if not p[n + N_CHOICE] or m[m[M_PASSES] + p[P_HELD] * pass_slot + I_MODE] != GOING:
        _leave(p, m, d, slot, -1, -1)
        return
    count = p[n + N_OUT_COUNT]
    taken = choose_optional(p, m, d, pass_slot, node, p[n + N_OUT], count)
    _leave(p, m, d, slot, taken, -1)
    if taken == 0:
        _fail_pass(p, m, pass_slot, _failure(PERMANENT, T_NO_FLOW, node))


@compiled
def _fail(p, m, d, slot, failure):
    """Go on after a node has failed for good: its fallback, its timeout or error path, or up."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, pass_slot = m[s + S_NODE], m[s + S_PASS]
    n = p[P_NODES] + N_WIDTH * node
    if m[m[M_PASSES] + p[P_HELD] * pass_slot + I_MODE] != GOING:
        _close(p, m, slot)
        return
    if p[n + N_FALLBACK]:
        m[s + S_STATUS] = COMPLETED
        note(p, m, m[s + S_KIND], COMPLETED, node, m[s + S_ATTEMPT], 1 << 40)
        _go_on(p, m, d, slot)
        return
    flow = -1
    if failure & CLASS_MASK == TIMED_OUT and p[n + N_ON_TIMEOUT] >= 0:
        flow = p[n + N_ON_TIMEOUT]
    elif p[n + N_ERROR_COUNT]:
        if p[n + N_ERROR_CHOICE]:
            taken = choose(p, m, d, pass_slot, node, p[n + N_ERROR], p[n + N_ERROR_COUNT], True)
            for position in range(p[n + N_ERROR_COUNT]):
                if (taken >> position) & 1:
                    flow = p[p[P_LISTS] + p[n + N_ERROR] + position]
        else:
            flow = p[p[P_LISTS] + p[n + N_ERROR]]
    if flow < 0:
        _close(p, m, slot)
        _fail_pass(p, m, pass_slot, failure)
    else:
        _leave(p, m, d, slot, 0, flow)


@compiled
def _open(p, m, d, pass_slot, node):
    """Begin a visit of a node."""
    n = p[P_NODES] + N_WIDTH * node
    kind = p[n + N_KIND]
    if kind == TASK:
        slot = add_step(p, m, node, K_TASK, PENDING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        note(p, m, K_TASK, PENDING, node, 1, 0)
        if p[n + N_DEADLINE] >= 0:
            command(m, DO_DEADLINE, slot, m[s], 0)
        command(m, DO_RUN, slot, m[s], 0)
        return
    if kind == WAIT:
        slot = add_step(p, m, node, K_WAIT, WAITING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        m[s + S_STARTED] = m[M_NOW]
        note(p, m, K_WAIT, WAITING, node, 1, 0)
        command(m, DO_WAIT, slot, m[s], 0)
    elif kind == CALL:
        slot = add_step(p, m, node, K_CALL, RUNNING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        m[s + S_STARTED] = m[M_NOW]
        note(p, m, K_CALL, RUNNING, node, 1, 0)
        command(m, DO_CHILD, slot, m[s], 0)
    else:
        slot = add_step(p, m, node, K_SCOPE, RUNNING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        note(p, m, K_SCOPE, RUNNING, node, 1, 0)
        case = m[m[M_PASSES] + p[P_HELD] * pass_slot + I_CASE]
        if p[n + N_TIMEOUT] >= 0:
            push(m, O_TIMEOUT, slot, m[s], 0)
        if kind == FOREACH or kind == WHILE:
            key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_KEY]
            if p[n + N_ITERATIONS] >= 0:
                items = sample(p, d, p[n + N_ITERATIONS], key, stream(key, node, m[s + S_VISIT], 0, U_ITEMS), -1)
                m[s + S_ITEMS] = int(items + 0.5)
            look_at(m, slot, m[s], 0)
        else:
            push(m, O_ENTER, p[n + N_INNER], slot, case)
        return
    if p[n + N_TIMEOUT] >= 0:
        command(m, DO_TIMEOUT, slot, m[s], 0)


@compiled
def _stop(p, m, slot, failure):
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
        push(m, O_FAIL_PASS, inner, _of_class(failure, STOPPED), 0)
        inner = m[m[M_PASSES] + p[P_HELD] * inner + I_PREV]


@compiled
def _give_up(p, m, slot):
    """Stop a step whose outcome is not wanted any more; an attempt that runs is awaited."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_STATUS] == FAILED:
        _close(p, m, slot)
    elif m[s + S_KIND] == K_SCOPE or m[s + S_KIND] == K_CALL:
        _stop(p, m, slot, _failure(STOPPED, T_CANCELLED, m[s + S_NODE]))
    elif m[s + S_STATUS] != RUNNING:
        _become(p, m, slot, CANCELLED, 0)
        _close(p, m, slot)


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
def _drop_undo(p, m, i):
    undo = m[i + I_UNDO]
    u = m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * undo
    m[i + I_UNDO] = m[u + U_NEXT]
    m[u + 1] = m[M_UNDO_FREE]
    m[M_UNDO_FREE] = undo


@compiled
def _end_scope(p, m, d, slot, failure):
    """Go on after a scope, when nothing runs inside."""
    s = m[M_STEPS] + S_WIDTH * slot
    if failure == 0:
        _become(p, m, slot, COMPLETED, 0)
        _keep(p, m, slot)
        _go_on(p, m, d, slot)
    elif m[s + S_STATUS] == COMPENSATING:
        _become(p, m, slot, COMPENSATED if failure & UNDONE else FAILED, failure)
        _fail(p, m, d, slot, failure)
    elif failure & CLASS_MASK == STOPPED:
        _become(p, m, slot, CANCELLED, 0)
        _close(p, m, slot)
    else:
        _become(p, m, slot, FAILED, failure)
        _fail(p, m, d, slot, failure)


@compiled
def _pass_ended(p, m, d, slot, failure):
    """Note the end of a pass of a loop."""
    s = m[M_STEPS] + S_WIDTH * slot
    node = m[s + S_NODE]
    n = p[P_NODES] + N_WIDTH * node
    m[s + S_ACTIVE] -= 1
    push(m, O_NEXT_PASSES, slot, m[s], 0)
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
            case = m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_CASE]
            key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_KEY]
            m[s + S_LEFT] += 1  # the number of passes that have ended well, from 0
            if draw(key, node, m[s + S_VISIT], m[s + S_LEFT] + 1, U_EXIT) < d[p[n + N_EXIT]]:
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
            _stop(p, m, slot, _failure(PARTIAL, T_ITEMS, node) | flags)


@compiled
def _end_pass(p, m, d, slot):
    i = m[M_PASSES] + p[P_HELD] * slot
    failure, parent, undo = m[i + I_FAILURE], m[i + I_PARENT], m[i + I_UNDO]
    if m[i + I_ROOT] == slot:
        _finish(p, m, slot, failure)
        return
    drop_pass(p, m, slot)
    s = m[M_STEPS] + S_WIDTH * parent
    if undo >= 0:  # what a saga in a saga has done is the outer one's to undo
        saga, _ = _saga_of(p, m, m[s + S_PASS])
        if saga >= 0:
            last = undo
            while True:
                u = m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * last
                _add_within(p, m, u, m[s + S_SERIAL])
                _add_path(p, m, u, m[s + S_PASS])
                if m[u + U_NEXT] < 0:
                    break
                last = m[u + U_NEXT]
            outer = m[M_PASSES] + p[P_HELD] * saga
            m[m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * last + U_NEXT] = m[outer + I_UNDO]
            m[outer + I_UNDO] = undo
        else:
            while undo >= 0:
                u = m[M_UNDOS] + (U_WITHIN + p[P_DEPTH]) * undo
                after = m[u + U_NEXT]
                m[u + 1] = m[M_UNDO_FREE]
                m[M_UNDO_FREE] = undo
                undo = after
    kind = p[p[P_NODES] + N_WIDTH * m[s + S_NODE] + N_KIND]
    if kind == FOREACH or kind == WHILE:
        _pass_ended(p, m, d, parent, failure)
    elif failure and m[s + S_FAILURE]:
        _end_scope(p, m, d, parent, (m[s + S_FAILURE] & ~UNDONE) | (failure & UNDONE))
    else:
        _end_scope(p, m, d, parent, failure)


@compiled
def _undo_next(p, m, d, slot):
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
        _drop_undo(p, m, i)
    m[i + I_FAILURE] = (m[i + I_FAILURE] & ~UNDONE) | (0 if m[i + I_UNDONE_BADLY] else UNDONE)
    _end_pass(p, m, d, slot)


@compiled
def _look_at_pass(p, m, d, slot):
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
        _fail_pass(p, m, slot, _failure(PERMANENT, T_DEADLOCK, join))
    elif m[i + I_MODE] == FAILING and p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_SAGA]:
        m[i + I_MODE] = UNDOING
        _become(p, m, m[i + I_PARENT], COMPENSATING, m[i + I_FAILURE])
        _undo_next(p, m, d, slot)
    else:
        _end_pass(p, m, d, slot)


@compiled
def _next_passes(p, m, d, slot):
    """Begin the next pass of a loop, if it may begin now; end the loop when none is left."""
    s = m[M_STEPS] + S_WIDTH * slot
    node, pass_slot = m[s + S_NODE], m[s + S_PASS]
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
                m[s + S_FAILURE] = _failure(PERMANENT, T_ITERATIONS, node)
                goes_on = False
    elif position < m[s + S_ITEMS] and m[s + S_ACTIVE] < p[n + N_CONCURRENCY]:
        goes_on = True
        if p[n + N_EXIT] >= 0 and not p[n + N_EXIT_AFTER]:
            if draw(key, node, visit, position + 1, U_EXIT) < d[p[n + N_EXIT]]:
                m[s + S_CLOSED] = 1
                goes_on = False
        if goes_on and p[n + N_SKIP] >= 0 and draw(key, node, visit, position + 1, U_SKIP) < d[p[n + N_SKIP]]:
            m[s + S_LOOP_NEXT] += 1
            note(p, m, K_SCOPE, SKIPPED, node, 1, 0)
            push(m, O_NEXT_PASSES, slot, m[s], 0)
            return
    if goes_on:
        m[s + S_LOOP_NEXT] += 1
        m[s + S_ACTIVE] += 1
        push(m, O_NEXT_PASSES, slot, m[s], 0)
        push(m, O_ENTER, p[n + N_INNER], slot, case)
        return
    if m[s + S_ACTIVE] == 0:
        _end_scope(p, m, d, slot, m[s + S_FAILURE])


@compiled
def _undone(p, m, d, slot, failure):
    """Go on after a compensation has succeeded, or failed for good."""
    pass_slot = m[m[M_STEPS] + S_WIDTH * slot + S_PASS]
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    _drop_undo(p, m, i)
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
    _become(p, m, slot, COMPLETED, 0)
    if m[s + S_KIND] == K_COMPENSATION:
        _undone(p, m, d, slot, 0)
    else:
        _keep(p, m, slot)
        _go_on(p, m, d, slot)


@compiled
def failed_for_good(p, m, d, slot, failure):
    """Take a failure that no attempt mends; the step has failed."""
    if m[m[M_STEPS] + S_WIDTH * slot + S_KIND] == K_COMPENSATION:
        _undone(p, m, d, slot, failure)
    else:
        _fail(p, m, d, slot, failure)


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
    _stop(p, m, slot, failure)


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
            failure = _failure(PERMANENT, T_CHILD, 0)
        kind = failure & CLASS_MASK
        kind = PERMANENT if kind == STOPPED else kind
        found = _failure(kind, (failure >> TYPE_SHIFT) & TYPE_MASK, m[s + S_NODE])
        if status == DEAD_LETTERED:
            found |= EXHAUSTED
    if status == COMPLETED:
        _keep(p, m, slot)
    if m[m[M_PASSES] + p[P_HELD] * m[s + S_PASS] + I_MODE] == GOING:
        _become(p, m, slot, FAILED, found)
    else:
        _become(p, m, slot, CANCELLED, 0)
    _fail(p, m, d, slot, found)


@compiled
def turn(p, m, d):
    """Do what is on the stack and on the agenda, until nothing more happens by itself."""
    while not m[M_OVERFLOW]:
        if m[M_STACK_COUNT]:
            m[M_STACK_COUNT] -= 1
            at = m[M_STACK] + STACK_WIDTH * m[M_STACK_COUNT]
            op, a, b, c = m[at], m[at + 1], m[at + 2], m[at + 3]
            if op == O_OPEN:
                _open(p, m, d, a, b)
            elif op == O_LOOK:
                look_at(m, a, b, 1)
            elif op == O_ENTER:
                index = m[m[M_STEPS] + S_WIDTH * b + S_LOOP_NEXT] if b >= 0 else 0
                _enter(p, m, d, a, b, c, index)
            elif op == O_NEXT_PASSES:
                if m[m[M_STEPS] + S_WIDTH * a] == b:
                    _next_passes(p, m, d, a)
            elif op == O_GIVE_UP:
                _give_up(p, m, a)
            elif op == O_FAIL_PASS:
                _fail_pass(p, m, a, b)
            elif op == O_SETTLE:
                taken = -1 if c == -FOREVER else -1 - c
                _send_on(p, m, d, a, b, taken if c < 0 else 0, c if c >= 0 else -1)
            elif op == O_TIMEOUT:
                command(m, DO_TIMEOUT, a, b, 0)
            elif op == O_UNDO_NEXT:
                _undo_next(p, m, d, a)
            continue
        head = m[M_AGENDA_HEAD]
        if head == m[M_AGENDA_TAIL]:
            m[M_AGENDA_HEAD] = m[M_AGENDA_TAIL] = 0
            return
        at = m[M_AGENDA] + 3 * head
        m[M_AGENDA_HEAD] = head + 1
        slot, gen = m[at], m[at + 1]
        if m[at + 2]:
            if m[m[M_PASSES] + p[P_HELD] * slot] == gen:
                _look_at_pass(p, m, d, slot)
        elif m[m[M_STEPS] + S_WIDTH * slot] == gen:
            _next_passes(p, m, d, slot)
