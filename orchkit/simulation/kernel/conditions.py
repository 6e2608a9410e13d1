"""Expressions in the kernel: a stack of numbers, and one operation after another.

`orchkit.simulation.lowering.conditions` translates them. No value at all, where Python raises an error, is NaN.
"""

from __future__ import annotations

import math

import numpy as np

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.draws import sample_attribute
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields

__all__ = ["evaluate"]


@compiled
def _binary(op, u, z):
    """Return what an operation makes of two numbers."""
    if math.isnan(u) or math.isnan(z):
        return math.nan
    if op == C_ADD:
        return u + z
    if op == C_SUB:
        return u - z
    if op == C_MUL:
        return u * z
    if op == C_DIV:
        return u / z if z != 0.0 else math.nan
    if op == C_FLOORDIV:
        return math.floor(u / z) * 1.0 if z != 0.0 else math.nan
    if op == C_MOD:
        return u - math.floor(u / z) * z if z != 0.0 else math.nan
    if op == C_POW:
        found = math.nan
        if not (u == 0.0 and z < 0.0) and not (u < 0.0 and math.floor(z) != z):
            found = u**z
        return found if math.isfinite(found) else math.nan
    if op == C_LT:
        return 1.0 if u < z else 0.0
    if op == C_LE:
        return 1.0 if u <= z else 0.0
    if op == C_GT:
        return 1.0 if u > z else 0.0
    if op == C_GE:
        return 1.0 if u >= z else 0.0
    if op == C_EQ:
        return 1.0 if u == z else 0.0
    if op == C_NE:
        return 1.0 if u != z else 0.0
    if op == C_MIN:
        return min(u, z)
    return max(u, z)


@compiled
def _unary(op, u):
    """Return what an operation makes of a number."""
    if math.isnan(u):
        return u
    if op == C_NEG:
        return -u
    if op == C_NOT:
        return 1.0 if u == 0.0 else 0.0
    if op == C_ABS:
        return abs(u)
    if op == C_ROUND:
        return np.rint(u)
    if op == C_INT:
        return math.trunc(u) * 1.0
    return 0.0 if u == 0.0 else 1.0


@compiled
def evaluate(p, d, code, case, failure):
    """Return the value of an expression for a case, whose key is given; NaN where it has none."""
    stack = np.empty(C_DEPTH)
    top = 0
    at = p[P_CODE] + code
    while True:
        op, arg = p[at], p[at + 1]
        at += 2
        if op == C_END:
            return stack[top - 1]
        if op == C_CONST:
            stack[top] = d[arg]
            top += 1
        elif op == C_ATTRIBUTE:
            stack[top] = sample_attribute(p, d, arg, case)
            top += 1
        elif op == C_ERROR:
            if arg == 0:
                stack[top] = (failure & CLASS_MASK) - 1
            elif arg == 1:
                stack[top] = (failure >> TYPE_SHIFT) & TYPE_MASK
            else:
                stack[top] = failure >> NODE_SHIFT
            top += 1
        elif op == C_FIND:  # the position of a value among those that it may have
            found = math.nan
            for position in range(int(d[arg])):
                if d[arg + 1 + position] == stack[top - 1]:
                    found = position * 1.0
                    break
            stack[top - 1] = found
        elif op == C_SCALE:
            top -= 1
            stack[top - 1] = stack[top - 1] * arg + stack[top]
        elif op == C_LOOKUP:
            if not math.isnan(stack[top - 1]):
                stack[top - 1] = d[arg + int(stack[top - 1])]
        elif op == C_AND or op == C_OR:
            top -= 1
            left = stack[top - 1]
            if not math.isnan(left) and (left != 0.0) == (op == C_AND):
                stack[top - 1] = stack[top]
        elif op == C_IF:  # condition, then, else
            top -= 2
            test = stack[top - 1]
            if not math.isnan(test):
                stack[top - 1] = stack[top] if test != 0.0 else stack[top + 1]
        elif op >= C_NEG:
            stack[top - 1] = _unary(op, stack[top - 1])
        else:
            top -= 1
            stack[top - 1] = _binary(op, stack[top - 1], stack[top])
