"""The token game of `orchkit.tokens` in the kernel: how gateways join and split."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.conditions import evaluate
from orchkit.simulation.kernel.draws import draw
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.memory import note

__all__ = ["choose", "clear_held", "end_token", "hold", "pick", "send", "settle"]

_UNSAFE, _NO_FLOW, _LIVELOCK, _NO_VALUE = 1, 2, 3, 4


@compiled
def send(p, m, flow):
    """Let a token go along a flow: one that comes from where all had come, but the first of them at ``M_SINCE``."""
    if m[M_TOKEN_COUNT] + 1 >= m[M_AGENDA_SIZE]:
        m[M_OVERFLOW] = 1
        return
    at = m[M_TOKENS] + 2 * m[M_TOKEN_COUNT]
    m[at], m[at + 1] = flow, m[M_SINCE]
    m[M_TOKEN_COUNT] += 1


@compiled
def end_token(p, m, pass_slot):
    """Let a token end; what comes after the pass waits from the first one's end on."""
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    m[i + I_SINCE] = min(m[i + I_SINCE], m[M_SINCE])


@compiled
def hold(p, m, d, pass_slot, node, first, count, exclusive, failure):
    """Decide a split by the conditions of its flows; return those that hold as bits, -1 where one has no value."""
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    key = m[m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[i + I_CASE] + K_KEY]
    taken = default = 0
    for position in range(count):
        flow = p[P_FLOWS] + F_WIDTH * p[p[P_LISTS] + first + position]
        if p[flow + F_CONDITION] < 0:
            if default == 0:
                default = 1 << position
            continue
        value = evaluate(p, d, p[flow + F_SHARE], key, failure)
        if value - value != 0.0:  # none, or none that JSON has
            note(p, m, K_GATEWAY, FAILED, node, 0, 0)
            return -1
        if value != 0.0:
            taken |= 1 << position
            if exclusive:
                break
    if taken == 0:
        taken = default
    note(p, m, K_GATEWAY, COMPLETED, node, 0, taken)
    return taken


@compiled
def pick(p, d, first, count, u):
    """Return the position of the flow that a number in (0, 1) falls on, by their shares; -1 where none has one."""
    last = -1
    for position in range(count):
        share = d[p[p[P_FLOWS] + F_WIDTH * p[p[P_LISTS] + first + position] + F_SHARE]]
        if share > 0:
            if u < share:
                return position
            last = position
        u -= share
    return last  # what is left by rounding


@compiled
def _begin_choice(p, m, pass_slot, node):
    """Count the visit of a gateway that decides (a task's is counted when it opens); return the address of the case."""
    k = m[M_CASES] + (K_VISITS + p[P_NODE_COUNT]) * m[m[M_PASSES] + p[P_HELD] * pass_slot + I_CASE]
    kind = p[p[P_NODES] + N_WIDTH * node + N_KIND]
    if kind == XOR or kind == OR:
        m[k + K_VISITS + node] += 1
    return k


@compiled
def _choose_one(p, m, d, pass_slot, node, first, count):
    """Decide an exclusive split by the shares of its flows; return the position of the one that is taken, -1 for none."""
    k = _begin_choice(p, m, pass_slot, node)
    chosen = pick(p, d, first, count, draw(m[k + K_KEY], node, m[k + K_VISITS + node], 0, U_BRANCH))
    note(p, m, K_GATEWAY, COMPLETED, node, 0, 1 << chosen if chosen >= 0 else 0)
    return chosen


@compiled
def choose(p, m, d, pass_slot, node, first, count, exclusive):
    """Decide a split by the shares of its flows; return them as bits, by position in the list."""
    if exclusive:
        chosen = _choose_one(p, m, d, pass_slot, node, first, count)
        return 1 << chosen if chosen >= 0 else 0
    k = _begin_choice(p, m, pass_slot, node)
    taken = default = 0
    for position in range(count):
        flow = p[P_FLOWS] + F_WIDTH * p[p[P_LISTS] + first + position]
        if p[flow + F_CONDITION] < 0:
            if default == 0:
                default = 1 << position
        elif draw(m[k + K_KEY], node, m[k + K_VISITS + node], position + 1, U_BRANCH) < d[p[flow + F_SHARE]]:
            taken |= 1 << position
    if taken == 0:
        taken = default
    note(p, m, K_GATEWAY, COMPLETED, node, 0, taken)
    return taken


@compiled
def _is_open(p, m, pass_slot, node):
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    for at in range(m[M_OPENED_COUNT]):
        if m[m[M_OPENED] + 2 * at] == node:
            return True
    step = m[i + I_FIRST]
    while step >= 0:
        s = m[M_STEPS] + S_WIDTH * step
        if m[s + S_NODE] == node:
            return True
        step = m[s + S_NEXT]
    return False


@compiled
def clear_held(p, m, pass_slot):
    """Take away the tokens that wait at joins."""
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    if m[i + I_HELD_COUNT]:
        for bit in range(p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_HELD_COUNT]):
            m[i + I_HELD + bit] = 0
        m[i + I_HELD_COUNT] = 0


@compiled
def _blocked(p, m, i, join, node, held, full):
    """Return whether a token at a node can still reach an empty flow of an inclusive join, but none that has one."""
    first = p[p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH] + G_FIRST]
    reach = p[p[P_LISTS] + p[p[P_NODES] + N_WIDTH * join + N_REACH] + node - first]
    return (reach & (full & ~held)) != 0 and (reach & held) == 0


@compiled
def _take_held(p, m, i, n):
    """Take the tokens that wait at a join; what goes on from there has waited since the first one came."""
    m[M_SINCE] = FOREVER
    for place in range(i + I_HELD + p[n + N_HELD], i + I_HELD + p[n + N_HELD] + p[n + N_IN_COUNT]):
        if m[place]:
            m[M_SINCE] = min(m[M_SINCE], m[place] >> 1)
            m[place] = 0
            m[i + I_HELD_COUNT] -= 1


@compiled
def _ready_join(p, m, pass_slot):
    """Return an inclusive join that may fire (BPMN 2.0, 13.4.3); -1 for none."""
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    g = p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH]
    if m[i + I_HELD_COUNT] == 0:
        return -1
    for number in range(p[g + G_OR_COUNT]):
        join = p[p[P_LISTS] + p[g + G_OR_JOINS] + number]
        n = p[P_NODES] + N_WIDTH * join
        count, base = p[n + N_IN_COUNT], p[n + N_HELD]
        held = 0
        for bit in range(count):
            held |= (m[i + I_HELD + base + bit] & 1) << bit
        if held == 0:
            continue
        full = (1 << count) - 1
        blocked = False
        # The targets of tokens that wait at other joins are after the lists of joins, by bit.
        for bit in range(p[g + G_HELD_COUNT]):
            if m[i + I_HELD + bit] and not base <= bit < base + count:
                target = p[p[P_LISTS] + p[g + G_OR_JOINS] + p[g + G_OR_COUNT] + bit]
                blocked = blocked or _blocked(p, m, i, join, target, held, full)
        step = m[i + I_FIRST]
        while step >= 0 and not blocked:
            s = m[M_STEPS] + S_WIDTH * step
            blocked = _blocked(p, m, i, join, m[s + S_NODE], held, full)
            step = m[s + S_NEXT]
        for at in range(m[M_OPENED_COUNT]):
            blocked = blocked or _blocked(p, m, i, join, m[m[M_OPENED] + 2 * at], held, full)
        if not blocked:
            _take_held(p, m, i, n)
            return join
    return -1


@compiled
def _split(p, m, d, pass_slot, node):
    """Send tokens along the flows that leave a node that takes no time; return 0, or what is wrong."""
    n = p[P_NODES] + N_WIDTH * node
    first, count = p[n + N_OUT], p[n + N_OUT_COUNT]
    taken = -1
    if p[n + N_CHOICE] == BY_CONDITIONS:
        taken = hold(p, m, d, pass_slot, node, first, count, p[n + N_KIND] == XOR, 0)
        if taken < 0:
            return _NO_VALUE
    elif p[n + N_CHOICE]:
        taken = choose(p, m, d, pass_slot, node, first, count, p[n + N_KIND] == XOR)
    if taken == 0:
        return _NO_FLOW
    if count == 0:
        end_token(p, m, pass_slot)
    for back in range(count):
        position = count - 1 - back
        if taken < 0 or (taken >> position) & 1:
            send(p, m, p[p[P_LISTS] + first + position])
    return 0


@compiled
def settle(p, m, d, pass_slot, flow):
    """Move the tokens that were sent, first one along a flow (-1: none), until they wait; what opens is in ``M_OPENED``, with the token's ``M_SINCE``.

    Return 0; or a fault, with its node in the higher bits; or the end that ended all else, negative.
    """
    i = m[M_PASSES] + p[P_HELD] * pass_slot
    g = p[P_GRAPHS] + G_WIDTH * m[i + I_GRAPH]
    m[M_OPENED_COUNT] = 0
    moves = 1_000 + 4 * p[P_NODE_COUNT]
    while True:
        if flow < 0:  # the next one has to be taken
            if m[M_TOKEN_COUNT] == 0:
                if p[g + G_OR_COUNT] == 0:
                    return 0
                join = _ready_join(p, m, pass_slot)
                if join < 0:
                    return 0
                fault = _split(p, m, d, pass_slot, join)
                if fault:
                    m[M_TOKEN_COUNT] = 0
                    return fault | (join << 8)
                continue
            m[M_TOKEN_COUNT] -= 1
            at = m[M_TOKENS] + 2 * m[M_TOKEN_COUNT]
            flow, m[M_SINCE] = m[at], m[at + 1]
        f = p[P_FLOWS] + F_WIDTH * flow
        flow = -1
        node = p[f + F_TARGET]
        n = p[P_NODES] + N_WIDTH * node
        kind = p[n + N_KIND]
        moves -= 1
        if moves == 0 or m[M_OVERFLOW]:
            m[M_TOKEN_COUNT] = 0
            return _LIVELOCK | (node << 8)
        if kind == TASK or kind >= WAIT:
            if _is_open(p, m, pass_slot, node):
                m[M_TOKEN_COUNT] = 0
                return _UNSAFE | (node << 8)
            at = m[M_OPENED] + 2 * m[M_OPENED_COUNT]
            m[at], m[at + 1] = node, m[M_SINCE]
            m[M_OPENED_COUNT] += 1
        elif kind == END:
            end_token(p, m, pass_slot)
            if p[n + N_END]:
                m[M_TOKEN_COUNT] = 0
                return -1 - node
        else:
            if p[f + F_HELD] >= 0:
                if m[i + I_HELD + p[f + F_HELD]]:
                    m[M_TOKEN_COUNT] = 0
                    return _UNSAFE | (node << 8)
                m[i + I_HELD + p[f + F_HELD]] = 2 * m[M_SINCE] + 1
                m[i + I_HELD_COUNT] += 1
                if kind == OR:
                    continue
                base, count = p[n + N_HELD], p[n + N_IN_COUNT]
                full = True
                for bit in range(count):
                    full = full and m[i + I_HELD + base + bit] != 0
                if not full:
                    continue
                _take_held(p, m, i, n)
            first, count, position = p[n + N_OUT], p[n + N_OUT_COUNT], -1
            if p[n + N_CHOICE] == BY_SHARES and kind == XOR:
                position = _choose_one(p, m, d, pass_slot, node, first, count)
                if position < 0:
                    m[M_TOKEN_COUNT] = 0
                    return _NO_FLOW | (node << 8)
            elif p[n + N_CHOICE] == 0 and count == 1:
                position = 0
            if position >= 0:  # one way: it goes on at once
                flow = p[p[P_LISTS] + first + position]
                continue
            fault = _split(p, m, d, pass_slot, node)
            if fault:
                m[M_TOKEN_COUNT] = 0
                return fault | (node << 8)
