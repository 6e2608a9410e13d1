"""Where a step belongs in a queue by rank: a tree beside the queue tells it without a look at all who wait.

A treap (Seidel and Aragon, Algorithmica 16, 1996) whose weights are drawn from the order of arrival: who is served first is
on the left. Slots are 1 more than elsewhere, and 0 is none.
"""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.draws import mix
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields

__all__ = ["find_place", "give_up_place"]


@compiled
def _is_heavier(m, one, other):
    """Return whether a step belongs above another in the tree."""
    seq = m[m[M_STEPS] + S_WIDTH * (one - 1) + S_SEQ]
    return mix(seq) > mix(m[m[M_STEPS] + S_WIDTH * (other - 1) + S_SEQ])


@compiled
def _hang(m, q, old, new):
    """Let a step, or none, hang where another does."""
    up = m[m[M_STEPS] + S_WIDTH * (old - 1) + S_TREE_UP]
    u = m[M_STEPS] + S_WIDTH * (up - 1)
    if up == 0:
        m[q + Q_TREE] = new
    elif m[u + S_TREE_LEFT] == old:
        m[u + S_TREE_LEFT] = new
    else:
        m[u + S_TREE_RIGHT] = new
    if new:
        m[m[M_STEPS] + S_WIDTH * (new - 1) + S_TREE_UP] = up


@compiled
def _rise(m, q, step):
    """Put a step in the place of the one that it hangs on, which hangs on it then."""
    s = m[M_STEPS] + S_WIDTH * (step - 1)
    up = m[s + S_TREE_UP]
    u = m[M_STEPS] + S_WIDTH * (up - 1)
    _hang(m, q, up, step)
    if m[u + S_TREE_LEFT] == step:
        inner = m[s + S_TREE_RIGHT]
        m[u + S_TREE_LEFT], m[s + S_TREE_RIGHT] = inner, up
    else:
        inner = m[s + S_TREE_LEFT]
        m[u + S_TREE_RIGHT], m[s + S_TREE_LEFT] = inner, up
    if inner:
        m[m[M_STEPS] + S_WIDTH * (inner - 1) + S_TREE_UP] = up
    m[u + S_TREE_UP] = step


@compiled
def find_place(m, q, slot):
    """Put a step into the tree; return the slot that is served right before it, -1 for none.

    The higher priority comes first, and of those with one priority, who has come first.
    """
    s = m[M_STEPS] + S_WIDTH * slot
    before, up, at, goes_left = -1, 0, m[q + Q_TREE], False
    while at:
        o = m[M_STEPS] + S_WIDTH * (at - 1)
        goes_left = m[s + S_PRIORITY] > m[o + S_PRIORITY] or (
            m[s + S_PRIORITY] == m[o + S_PRIORITY] and m[s + S_SEQ] < m[o + S_SEQ]
        )
        up = at
        if goes_left:
            at = m[o + S_TREE_LEFT]
        else:
            before, at = at - 1, m[o + S_TREE_RIGHT]
    m[s + S_TREE_LEFT], m[s + S_TREE_RIGHT], m[s + S_TREE_UP] = 0, 0, up
    if up == 0:
        m[q + Q_TREE] = slot + 1
    else:
        m[m[M_STEPS] + S_WIDTH * (up - 1) + (S_TREE_LEFT if goes_left else S_TREE_RIGHT)] = slot + 1
    while m[s + S_TREE_UP] and _is_heavier(m, slot + 1, m[s + S_TREE_UP]):
        _rise(m, q, slot + 1)
    return before


@compiled
def give_up_place(m, q, slot):
    """Take a step out of the tree."""
    s = m[M_STEPS] + S_WIDTH * slot
    while m[s + S_TREE_LEFT] and m[s + S_TREE_RIGHT]:
        left, right = m[s + S_TREE_LEFT], m[s + S_TREE_RIGHT]
        _rise(m, q, left if _is_heavier(m, left, right) else right)
    _hang(m, q, slot + 1, m[s + S_TREE_LEFT] + m[s + S_TREE_RIGHT])
    m[s + S_TREE_LEFT] = m[s + S_TREE_RIGHT] = m[s + S_TREE_UP] = 0
