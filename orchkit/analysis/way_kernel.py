"""Loops over the ways that cases took, compiled by numba; see `orchkit.native`."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["numbered", "told", "weighed"]

_PRIME, _HALF, _LOW = np.uint64(0x9E3779B97F4A7C15), np.uint64(32), np.uint64(0xFFFFFFFF)
_CHUNK, _AHEAD = 32, 64


@intrinsic
def _carry(typing, target, at, source, begin):
    """Copy 32 bytes, wherever they lie."""

    def made(_, builder, __, arguments):
        target, at, source, begin = arguments
        chunk = ir.VectorType(ir.IntType(8), _CHUNK).as_pointer()
        from_, to = (
            builder.bitcast(builder.gep(base, [place]), chunk) for base, place in ((source, begin), (target, at))
        )
        builder.store(builder.load(from_, align=1), to, align=1)
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(target, types.int64, source, types.int64), made


@intrinsic
def _fetch(typing, table, place):
    """Have the processor bring a place of a table near, while it does something else."""

    def made(_, builder, __, arguments):
        whole, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        at = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), byte)
        builder.call(fetch, [at, whole(1), whole(3), whole(1)])  # to be written to, and soon
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(table, types.int64), made


@njit(nogil=True, error_model="numpy")
def _hash(activities, begin, end):
    found, i = np.uint64(end - begin), begin
    while i + 1 < end:
        both = np.uint64(activities[i]) | np.uint64(activities[i + 1]) << _HALF
        found = (found ^ both) * _PRIME
        found ^= found >> _HALF
        i += 2
    if i < end:
        found = (found ^ np.uint64(activities[i])) * _PRIME
        found ^= found >> _HALF
    return found * _PRIME


@njit(nogil=True, error_model="numpy")
def _same(activities, begin, end, other, length):
    if end - begin != length:
        return False
    for i in range(length):
        if activities[begin + i] != activities[other + i]:
            return False
    return True


@njit(nogil=True, error_model="numpy")
def numbered(activities, offsets, cases, table, size, hashes, numbers, firsts):
    """Give ways a number as they first come, and cases without one -1; return how many ways there are.

    ``table`` has ``size`` places, a power of 2 and more than there are cases, each zero, ``hashes`` 64; ``firsts`` gets
    the first case of each way.
    """
    many, mask = 0, np.uint64(size - 1)
    for case in range(cases):
        if case % _AHEAD == 0:
            for i in range(case, min(case + _AHEAD, cases)):
                hashes[i - case] = _hash(activities, offsets[i], offsets[i + 1])
                _fetch(table, np.int64(hashes[i - case] >> _HALF & mask))
        begin, end = offsets[case], offsets[case + 1]
        if begin == end:
            numbers[case] = -1
            continue
        hashed = hashes[case % _AHEAD]
        place, mark = hashed >> _HALF & mask, hashed & ~_LOW
        # A place holds half of a hash, and the number of the way, from 1.
        while True:
            held = table[place]
            if held == 0:
                table[place] = mark | np.uint64(many + 1)
                firsts[many], numbers[case] = case, many
                many += 1
                break
            number = np.int64(held & _LOW) - 1
            if held & ~_LOW == mark:
                other = offsets[firsts[number]]
                if _same(activities, begin, end, other, offsets[firsts[number] + 1] - other):
                    numbers[case] = number
                    break
            place = place + np.uint64(1) & mask
    return many


@njit(nogil=True, error_model="numpy")
def weighed(activities, offsets, chosen, many, places, arrow, ends):
    """Find where the text of each chosen case's way ends: its names, and an arrow between them; return the last end.

    The texts of names, an arrow behind each, lie between their ``places``.
    """
    end = 0
    ends[0] = 0
    for row in range(many):
        begin, after = offsets[chosen[row]], offsets[chosen[row] + 1]
        for i in range(begin, after):
            end += places[activities[i] + 1] - places[activities[i]]
        if after > begin:
            end -= arrow
        ends[row + 1] = end
    return end


@njit(nogil=True, error_model="numpy")
def told(activities, offsets, chosen, many, places, names, ends, text):
    """Write the text of each chosen case's way; ``names`` and ``text`` have 32 bytes more than they need."""
    for row in range(many):
        at = ends[row]
        for i in range(offsets[chosen[row]], offsets[chosen[row] + 1]):
            begin = places[activities[i]]
            length = places[activities[i] + 1] - begin
            # What is written too much, the next name or way is written over.
            _carry(text, at, names, begin)
            part = _CHUNK
            while part < length:
                _carry(text, at + part, names, begin + part)
                part += _CHUNK
            at += length
    return 0
