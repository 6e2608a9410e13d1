"""The kernel's memory: the heap of events, free lists, queues of what is to be done, rows of the log.

What is full sets ``M_OVERFLOW``; the replication is then begun again with more memory.
"""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields

__all__ = [
    "add_case",
    "add_pass",
    "add_step",
    "close_gap",
    "command",
    "drop_pass",
    "drop_step",
    "log_row",
    "look_at",
    "note",
    "pop_event",
    "push",
    "schedule",
    "take",
    "tell",
]


@compiled
def schedule(m, moment, kind, slot, gen):
    """Put an event into the heap; among those of one moment, the first one put in comes first."""
    count, heap = m[M_HEAP_COUNT], m[M_HEAP]
    m[M_SEQ] += 1
    code = kind | (slot << 4) | ((gen & 0x7FFFFFFF) << 32)
    if m[M_HEAP_GAP]:  # it takes the place of the one that it follows from
        m[M_HEAP_GAP] = 0
        _sink(m, heap, count, moment, m[M_SEQ], code)
        return
    if count + 1 >= m[M_HEAP_SIZE]:
        m[M_OVERFLOW] = 1
        return
    m[M_HEAP_COUNT] = count + 1
    at = count
    while at > 0:
        above = (at - 1) >> 2
        if m[heap + 3 * above] <= moment:
            break
        m[heap + 3 * at] = m[heap + 3 * above]
        m[heap + 3 * at + 1] = m[heap + 3 * above + 1]
        m[heap + 3 * at + 2] = m[heap + 3 * above + 2]
        at = above
    m[heap + 3 * at] = moment
    m[heap + 3 * at + 1] = m[M_SEQ]
    m[heap + 3 * at + 2] = code


@compiled
def _comes_first(m, one, other):
    """Return 1 where an event comes before another, else 0: as a number, so that nothing has to be guessed."""
    earlier = m[one] < m[other]
    return int(earlier | ((m[one] == m[other]) & (m[one + 1] < m[other + 1])))


@compiled
def _sink(m, heap, count, moment, seq, code):
    """Put an event in the place of the first one, and let it sink below those that come before it."""
    at = 0
    while True:
        first = 4 * at + 1
        if first + 4 <= count:
            least = first + _comes_first(m, heap + 3 * first + 3, heap + 3 * first)
            other = first + 2 + _comes_first(m, heap + 3 * first + 9, heap + 3 * first + 6)
            least += (other - least) * _comes_first(m, heap + 3 * other, heap + 3 * least)
        elif first < count:
            least = first
            for child in range(first + 1, count):
                least += (child - least) * _comes_first(m, heap + 3 * child, heap + 3 * least)
        else:
            break
        below = m[heap + 3 * least]
        if moment < below or (moment == below and seq < m[heap + 3 * least + 1]):
            break
        m[heap + 3 * at] = below
        m[heap + 3 * at + 1] = m[heap + 3 * least + 1]
        m[heap + 3 * at + 2] = m[heap + 3 * least + 2]
        at = least
    m[heap + 3 * at] = moment
    m[heap + 3 * at + 1] = seq
    m[heap + 3 * at + 2] = code


@compiled
def close_gap(m):
    """Let the last event take the place of the one that was taken, where none was scheduled since."""
    if m[M_HEAP_GAP]:
        m[M_HEAP_GAP] = 0
        heap, count = m[M_HEAP], m[M_HEAP_COUNT] - 1
        m[M_HEAP_COUNT] = count
        last = heap + 3 * count
        _sink(m, heap, count, m[last], m[last + 1], m[last + 2])


@compiled
def pop_event(m):
    """Take the first event; return its code. Its place in the heap is for the next one that is scheduled."""
    m[M_HEAP_GAP] = 1
    return m[m[M_HEAP] + 2]


@compiled
def push(m, op, a, b, c):
    """Put something to do on the stack; the last one is done first."""
    at = m[M_STACK] + STACK_WIDTH * m[M_STACK_COUNT]
    if m[M_STACK_COUNT] + 1 >= m[M_STACK_SIZE]:
        m[M_OVERFLOW] = 1
        return
    m[M_STACK_COUNT] += 1
    m[at], m[at + 1], m[at + 2], m[at + 3] = op, a, b, c


@compiled
def look_at(m, slot, gen, is_pass):
    """Put a pass or a step on the agenda of the turn."""
    tail = m[M_AGENDA_TAIL]
    if tail + 1 >= m[M_AGENDA_SIZE]:
        m[M_OVERFLOW] = 1
        return
    at = m[M_AGENDA] + 3 * tail
    if tail > m[M_AGENDA_HEAD] and m[at - 3] == slot and m[at - 2] == gen and m[at - 1] == is_pass:
        return  # nothing would have changed in between
    m[at], m[at + 1], m[at + 2] = slot, gen, is_pass
    m[M_AGENDA_TAIL] = tail + 1


@compiled
def command(m, do, slot, gen, value):
    """Put a command to what is carried out after the turn."""
    tail = m[M_COMMAND_TAIL]
    if tail + 1 >= m[M_AGENDA_SIZE]:
        m[M_OVERFLOW] = 1
        return
    at = m[M_COMMANDS] + 4 * tail
    m[at], m[at + 1], m[at + 2], m[at + 3] = do, slot, gen, value
    m[M_COMMAND_TAIL] = tail + 1


@compiled
def tell(m, what, slot, gen, status, failure):
    """Put a message of one run to another to those that are delivered after the commands."""
    tail = m[M_MESSAGE_TAIL]
    if tail + 1 >= m[M_AGENDA_SIZE]:
        m[M_OVERFLOW] = 1
        return
    at = m[M_MESSAGES] + 5 * tail
    m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4] = what, slot, gen, status, failure
    m[M_MESSAGE_TAIL] = tail + 1


@compiled
def take(m, base, width, free, count, size):
    """Return the address of a free row; a row that was used keeps its generation."""
    head = m[free]
    if head >= 0:
        m[free] = m[m[base] + width * head + 1]
        return m[base] + width * head, head
    number = m[count]
    if number + 1 >= m[size]:
        m[M_OVERFLOW] = 1
        return m[base], 0
    m[count] = number + 1
    return m[base] + width * number, number


@compiled
def add_step(p, m, node, kind, status, pass_slot):
    """Return the slot of a new step; it is open in its pass unless it compensates."""
    s, slot = take(m, M_STEPS, S_WIDTH, M_STEP_FREE, M_STEP_COUNT, M_STEP_SIZE)
    gen = m[s]
    for field in range(1, S_WIDTH):
        m[s + field] = 0
    m[M_SERIAL] += 1
    m[M_STEPS_LIVE] += 1
    m[s] = gen + 1
    m[s + S_NODE], m[s + S_KIND], m[s + S_STATUS], m[s + S_PASS] = node, kind, status, pass_slot
    m[s + S_ATTEMPT] = 1
    m[s + S_ENABLED] = m[s + S_READY] = m[s + S_SINCE] = m[M_NOW]
    m[s + S_SERIAL] = m[M_SERIAL]
    m[s + S_STARTED] = -1
    m[s + S_UNIT] = m[s + S_NEXT] = m[s + S_PREV] = m[s + S_CHILD] = m[s + S_CHILD_LAST] = -1
    m[s + S_Q_NEXT] = m[s + S_Q_PREV] = m[s + S_BATCH_NEXT] = -1
    m[s + S_LEFT] = m[s + S_OVERTAKEN] = m[s + S_PAUSED] = -1
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    k = m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_VISITS + node
    m[k] += 1
    m[s + S_VISIT] = m[k]
    if kind != K_COMPENSATION:
        last = m[i + I_LAST]
        m[s + S_PREV] = last
        if last >= 0:
            m[m[M_STEPS] + S_WIDTH * last + S_NEXT] = slot
        else:
            m[i + I_FIRST] = slot
        m[i + I_LAST] = slot
        m[i + I_OPEN] += 1
    return slot


@compiled
def drop_step(p, m, slot):
    """Take a step out of its pass and free its row."""
    s = m[M_STEPS] + S_WIDTH * slot
    if m[s + S_KIND] != K_COMPENSATION:
        i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
        before, after = m[s + S_PREV], m[s + S_NEXT]
        if before >= 0:
            m[m[M_STEPS] + S_WIDTH * before + S_NEXT] = after
        else:
            m[i + I_FIRST] = after
        if after >= 0:
            m[m[M_STEPS] + S_WIDTH * after + S_PREV] = before
        else:
            m[i + I_LAST] = before
        m[i + I_OPEN] -= 1
    m[s] += 1
    m[s + S_STATUS] = -1
    m[s + 1] = m[M_STEP_FREE]
    m[M_STEP_FREE] = slot
    m[M_STEPS_LIVE] -= 1


@compiled
def add_pass(p, m, graph, parent, case, index, root):
    """Return the slot of a new pass; ``root`` is that of its run, -1 where it is the root itself."""
    i, slot = take(m, M_PASSES, p[P_HELD], M_PASS_FREE, M_PASS_COUNT, M_PASS_SIZE)
    gen = m[i]
    for field in range(1, I_HELD):
        m[i + field] = 0
    m[i] = gen + 1
    m[i + I_GRAPH], m[i + I_PARENT], m[i + I_CASE], m[i + I_INDEX] = graph, parent, case, index
    m[i + I_ROOT] = slot if root < 0 else root
    m[i + I_SINCE] = FOREVER
    m[i + I_UNDO] = m[i + I_FIRST] = m[i + I_LAST] = m[i + I_NEXT] = m[i + I_PREV] = -1
    if parent >= 0:
        s = m[M_STEPS] + S_WIDTH * parent
        last = m[s + S_CHILD_LAST]
        m[i + I_PREV] = last
        if last >= 0:
            m[m[M_PASSES] + p[P_HELD] * last + I_NEXT] = slot
        else:
            m[s + S_CHILD] = slot
        m[s + S_CHILD_LAST] = slot
    return slot


@compiled
def drop_pass(p, m, slot):
    """Take a pass out of its scope and free its row."""
    i = m[M_PASSES] + p[P_HELD] * slot
    parent = m[i + I_PARENT]
    if parent >= 0:
        s = m[M_STEPS] + S_WIDTH * parent
        before, after = m[i + I_PREV], m[i + I_NEXT]
        if before >= 0:
            m[m[M_PASSES] + p[P_HELD] * before + I_NEXT] = after
        else:
            m[s + S_CHILD] = after
        if after >= 0:
            m[m[M_PASSES] + p[P_HELD] * after + I_PREV] = before
        else:
            m[s + S_CHILD_LAST] = before
    m[i] += 1
    m[i + 1] = m[M_PASS_FREE]
    m[M_PASS_FREE] = slot


@compiled
def add_case(p, m, number, key):
    """Return the slot of a case that arrives now."""
    width = K_VISITS + p[P_NODE_COUNT]
    k, slot = take(m, M_CASES, width, M_CASE_FREE, M_CASE_COUNT, M_CASE_SIZE)
    for field in range(width):
        m[k + field] = 0
    m[k + K_NUMBER], m[k + K_ARRIVED], m[k + K_KEY], m[k + K_LAST] = number, m[M_NOW], key, -1
    m[M_LIVE] += 1
    return slot


@compiled
def note(p, m, kind, status, node, attempt, more):
    """Write what the machine would record, where a trace is kept."""
    if m[M_TRACE_SIZE] == 0:
        return
    count = m[M_TRACE_COUNT]
    if count + 1 >= m[M_TRACE_SIZE]:
        m[M_OVERFLOW] = 1
        return
    at = m[M_TRACE] + TRACE_WIDTH * count
    m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4], m[at + 5] = m[M_NOW], kind, status, node, attempt, more
    m[M_TRACE_COUNT] = count + 1


@compiled
def log_row(p, m, s, status, failure):
    """Write a row of the log: an attempt that has ended now."""
    count = m[M_ROW_COUNT]
    if count + 2 >= m[M_ROW_SIZE]:
        m[M_OVERFLOW] = 1
        return
    r = m[M_ROWS] + ROW_WIDTH * count
    i = m[M_PASSES] + p[P_HELD] * m[s + S_PASS]
    k = m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE]
    later, overtaken = m[s + S_READY] - m[s + S_ENABLED], m[s + S_OVERTAKEN]
    if later < 0:  # it ends within the delay of a retry
        later = m[M_NOW] - m[s + S_ENABLED]
    gathered, away = m[s + S_GATHERED], TOGETHER if m[s + S_LEADER] else m[s + S_AWAY]
    stood = m[s + S_ENABLED] - m[s + S_SINCE]
    more = stood != 0 or later != 0 or overtaken >= 0 or gathered != 0 or away != 0
    m[r] = (m[k + K_NUMBER] << 24) | m[s + S_NODE]
    m[r + 1] = m[s + S_ENABLED]
    m[r + 2] = m[s + S_STARTED]
    m[r + 3] = m[M_NOW]
    kind = (failure >> TYPE_SHIFT) & TYPE_MASK
    m[r + 4] = (
        max(m[s + S_UNIT] + 1, 0)
        | (status << 24)
        | ((failure & CLASS_MASK) << 28)
        | (more << ROW_MORE)
        | (m[s + S_ATTEMPT] << 32)
        | (kind << 47)
    )
    m[M_ROW_COUNT] = count + 1
    if more:
        m[r + ROW_WIDTH], m[r + ROW_WIDTH + 1], m[r + ROW_WIDTH + 2] = stood, later, overtaken
        m[r + ROW_WIDTH + 3], m[r + ROW_WIDTH + 4] = gathered, away
        m[M_ROW_COUNT] = count + 2
