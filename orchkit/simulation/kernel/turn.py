"""A turn: what an event leads to at once, until nothing more happens by itself.

What the machine does by calling itself is put on a stack of things to do, the last one first, so that the order is the
same: a rule does what it can at once and pushes what follows, backwards.
"""

from __future__ import annotations

import math

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.conditions import evaluate
from orchkit.simulation.kernel.draws import micros, sample, stream
from orchkit.simulation.kernel.endings import look_at_pass, next_passes, undo_next
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import add_step, command, look_at, note, push
from orchkit.simulation.kernel.outcomes import give_up
from orchkit.simulation.kernel.passes import become, enter, fail_pass, failure_of, send_on

__all__ = ["turn"]


@compiled
def _open(p, m, d, pass_slot, node, since):
    """Begin a visit of a node; the first of what it had to wait for came at ``since``."""
    n = p[P_NODES] + N_WIDTH * node
    kind = p[n + N_KIND]
    if kind == TASK:
        slot = add_step(p, m, node, K_TASK, PENDING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        m[s + S_SINCE] = since
        note(p, m, K_TASK, PENDING, node, 1, 0)
        if p[n + N_DEADLINE] >= 0:
            command(m, DO_DEADLINE, slot, m[s], 0)
        if p[n + N_DELAY] < 0:
            command(m, DO_RUN, slot, m[s], 0)
        else:
            c = m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[m[M_PASSES] + p[P_HELD] * pass_slot + I_CASE]
            key = m[c + K_KEY]
            ahead = sample(p, d, p[n + N_DELAY], key, stream(key, node, m[s + S_VISIT], 0, U_DELAY), m[c + K_LAST])
            if math.isnan(ahead):
                m[M_UNKNOWN], m[M_OVERFLOW] = node + 1, 1
            command(m, DO_LATER, slot, m[s], micros(ahead))
        return
    if kind == WAIT:
        slot = add_step(p, m, node, K_WAIT, WAITING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        m[s + S_SINCE], m[s + S_STARTED] = since, m[M_NOW]
        note(p, m, K_WAIT, WAITING, node, 1, 0)
        command(m, DO_WAIT, slot, m[s], 0)
    elif kind == CALL:
        slot = add_step(p, m, node, K_CALL, RUNNING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        m[s + S_SINCE], m[s + S_STARTED] = since, m[M_NOW]
        note(p, m, K_CALL, RUNNING, node, 1, 0)
        command(m, DO_CHILD, slot, m[s], 0)
    else:
        slot = add_step(p, m, node, K_SCOPE, RUNNING, pass_slot)
        s = m[M_STEPS] + S_WIDTH * slot
        m[s + S_SINCE], m[s + S_TAIL] = since, FOREVER
        note(p, m, K_SCOPE, RUNNING, node, 1, 0)
        case = m[m[M_PASSES] + p[P_HELD] * pass_slot + I_CASE]
        if p[n + N_TIMEOUT] >= 0:
            push(m, O_TIMEOUT, slot, m[s], 0)
        if kind == FOREACH or kind == WHILE:
            key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * case + K_KEY]
            if p[n + N_ITERATIONS] >= 0:
                items = sample(p, d, p[n + N_ITERATIONS], key, stream(key, node, m[s + S_VISIT], 0, U_ITEMS), -1)
                m[s + S_ITEMS] = int(min(items, LONGEST) + 0.5)
            elif p[n + N_ITEMS_CODE] >= 0:
                items = evaluate(p, d, p[n + N_ITEMS_CODE], key, 0)
                if items >= 0.0:
                    m[s + S_ITEMS] = int(min(items, LONGEST) + 0.5)
                else:  # what could not even begin is dealt with when all else has opened
                    m[s + S_FAILURE] = failure_of(PERMANENT, T_EXPRESSION, node)
                    become(p, m, slot, FAILED, m[s + S_FAILURE])
            look_at(m, slot, m[s], 0)
        else:
            push(m, O_ENTER, p[n + N_INNER], slot, case)
        return
    if p[n + N_TIMEOUT] >= 0:
        command(m, DO_TIMEOUT, slot, m[s], 0)


@compiled
def turn(p, m, d):
    """Do what is on the stack and on the agenda, until nothing more happens by itself."""
    while not m[M_OVERFLOW]:
        if m[M_STACK_COUNT]:
            m[M_STACK_COUNT] -= 1
            at = m[M_STACK] + STACK_WIDTH * m[M_STACK_COUNT]
            op, a, b, c = m[at], m[at + 1], m[at + 2], m[at + 3]
            if op == O_OPEN:
                _open(p, m, d, a, b, c)
            elif op == O_LOOK:
                look_at(m, a, b, 1)
            elif op == O_ENTER:
                index = m[m[M_STEPS] + S_WIDTH * b + S_LOOP_NEXT] if b >= 0 else 0
                enter(p, m, d, a, b, c, index)
            elif op == O_NEXT_PASSES:
                if m[m[M_STEPS] + S_WIDTH * a] == b:
                    next_passes(p, m, d, a, c)
            elif op == O_GIVE_UP:
                give_up(p, m, a)
            elif op == O_FAIL_PASS:
                fail_pass(p, m, a, b)
            elif op == O_SETTLE:
                taken = -1 if c == -FOREVER else -1 - c
                send_on(p, m, d, a, b, taken if c < 0 else 0, c if c >= 0 else -1, m[M_NOW])
            elif op == O_TIMEOUT:
                command(m, DO_TIMEOUT, a, b, 0)
            elif op == O_UNDO_NEXT:
                undo_next(p, m, d, a)
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
                look_at_pass(p, m, d, slot)
        elif m[m[M_STEPS] + S_WIDTH * slot] == gen:
            next_passes(p, m, d, slot, FOREVER)
