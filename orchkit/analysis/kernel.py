"""Loops over the rows of a log, compiled by numba; see `orchkit.native`.

Arguments are pointers: nothing is checked here, and whoever calls knows how far each reaches. Numbers are put in order
as unsigned integers that rise as the floats do, so that all comparisons and bins are of whole numbers.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["flows", "grouped", "pairs", "ranked", "repeats"]

_FEW, _BINS = 24, 2048
_NAT, _AWAY = -(1 << 63), 1 << 20
_SAME = np.uint64(64)  # a shift that leaves nothing: all keys are one
_TOP, _MOST = np.uint64(1 << 63), np.uint64((1 << 64) - 1)


@intrinsic
def _memory(typing, number):
    """Return the bits of a float."""

    def made(_, builder, __, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), made


@njit(nogil=True, error_model="numpy")
def _key(bits):
    """Return a number that rises as the float with these bits does."""
    return ~bits if bits & _TOP else bits | _TOP


@njit(nogil=True, error_model="numpy")
def _bits(key):
    return key & ~_TOP if key & _TOP else ~key


@njit(nogil=True, error_model="numpy")
def _sort(keys, begin, end):
    for i in range(begin + 1, end):
        key, j = keys[i], i - 1
        while j >= begin and keys[j] > key:
            keys[j + 1] = keys[j]
            j -= 1
        keys[j + 1] = key


@njit(nogil=True, error_model="numpy")
def _count(keys, begin, end, bins):
    """Count keys into bins; return the least key, and by how many bits a key's distance from it is cut."""
    low, high = keys[begin], keys[begin]
    for i in range(begin, end):
        low, high = min(low, keys[i]), max(high, keys[i])
    shift = np.uint64(0)
    wide = high - low
    most = np.uint64(_BINS if end - begin > _BINS else 64)
    while wide >> shift >= most:
        shift += np.uint64(1)
    if wide == np.uint64(0):
        return low, _SAME
    for b in range(np.int64(wide >> shift) + 1):
        bins[b] = 0
    for i in range(begin, end):
        bins[np.int64((keys[i] - low) >> shift)] += 1
    return low, shift


@njit(nogil=True, error_model="numpy")
def _bin_of(bins, rank):
    """Return the bin that holds a rank, and its rank in there."""
    found = 0
    while rank >= bins[found]:
        rank -= bins[found]
        found += 1
    return found, rank


@njit(nogil=True, error_model="numpy")
def _narrow(keys, begin, end, rank, bins):
    """Return the key of a rank and the next, the greatest number after the last; the keys lose their order."""
    more = _MOST
    while end - begin > _FEW:
        low, shift = _count(keys, begin, end, bins)
        if shift == _SAME:
            return low, low if begin + rank + 1 < end else more
        wanted, rank = _bin_of(bins, rank)
        kept = begin
        for i in range(begin, end):
            key = keys[i]
            place = np.int64((key - low) >> shift)
            keys[kept] = key
            kept += place == wanted
            more = min(more, key if place > wanted else _MOST)
        end = kept
    _sort(keys, begin, end)
    return keys[begin + rank], keys[begin + rank + 1] if begin + rank + 1 < end else more


@njit(nogil=True, error_model="numpy")
def ranked(keys, length, rank, bins):
    """Return what stands at a rank if the keys were sorted; they lose their order. ``bins`` has room for 2,048."""
    return np.int64(_narrow(keys, 0, length, rank, bins)[0])


@njit(nogil=True, error_model="numpy")
def grouped(codes, values, bits, length, size, shares, many, counts, sums, ends, held, some, bins, fine, below, above):
    """Count and sum values by group, and find what stands below and above each share of them; -1 on a wrong code.

    ``bits`` is the memory of ``values``; missing ones are passed over. ``ends`` and ``counts`` have a place a group,
    ``held`` and ``some`` one a value, ``bins`` and ``fine`` 2,048, ``below`` and ``above`` a group's shares side by side.
    """
    for group in range(size):
        counts[group], sums[group] = 0, 0.0
    for i in range(length):
        group, value = np.int64(codes[i]), values[i]
        if group < 0 or group >= size:
            return -1
        if value == value:  # noqa: PLR0124 -- no missing value is itself
            counts[group] += 1
            sums[group] += value
    begin = 0
    for group in range(size):
        ends[group] = begin
        begin += counts[group]
    for i in range(length):
        if values[i] == values[i]:  # noqa: PLR0124
            group = np.int64(codes[i])
            held[ends[group]] = _key(bits[i])
            ends[group] += 1
    for group in range(size):
        begin = ends[group] - counts[group]
        _shares(held, begin, ends[group], shares, many, some, bins, fine, below, above, many * group)
        for place in range(many * group, many * group + many):
            below[place], above[place] = _bits(below[place]), _bits(above[place])
    return 0


@njit(nogil=True, error_model="numpy")
def _shares(held, begin, end, shares, many, some, bins, fine, below, above, at):
    """Find what stands below and above each share of the keys of a group, which lose their order."""
    last = end - begin - 1
    if last < 1:
        for place in range(at, at + many if last == 0 else at):
            below[place] = above[place] = held[begin]
        return
    count, low, shift = end - begin, held[begin], _SAME
    if last < _FEW:
        _sort(held, begin, end)
    else:
        low, shift = _count(held, begin, end, bins)
    if shift != _SAME:
        # Only the bins with a wanted rank are looked at more closely: they are marked by a minus.
        for place in range(2 * many):
            rank = min(np.int64(last * shares[place >> 1]) + (place & 1), last)
            wanted, passed = 0, 0
            while rank >= passed + abs(bins[wanted]):
                passed += abs(bins[wanted])
                wanted += 1
            bins[wanted] = -abs(bins[wanted])
        count = 0
        for i in range(begin, end):
            some[count] = held[i]
            count += bins[np.int64((held[i] - low) >> shift)] < 0
    for place in range(many):
        rank = np.int64(last * shares[place])
        first = second = low
        if last < _FEW:
            first, second = held[begin + rank], held[begin + min(rank + 1, last)]
        elif shift != _SAME:
            rest, bin_, passed = rank, 0, 0
            while rank >= passed + abs(bins[bin_]):
                passed += abs(bins[bin_])
                rest -= max(bins[bin_], 0)
                bin_ += 1
            for i in range(count):
                held[begin + i] = some[i]
            first, second = _narrow(held, begin, begin + count, rest, fine)
        below[at + place], above[at + place] = first, second if rank < last else first


@njit(nogil=True, error_model="numpy")
def pairs(activities, offsets, cases, size, cells):
    """Count how often each activity follows each other within a case: ``size`` times ``size`` cells."""
    for case in range(cases):
        for i in range(offsets[case], offsets[case + 1] - 1):
            cells[np.int64(activities[i]) * size + activities[i + 1]] += 1
    return 0


@njit(nogil=True, error_model="numpy")
def flows(
    activities, offsets, cases, size, order, ended, begun, count, shares, many, counts, sums, ends, held, some, bins,
    fine, below, above,
):  # fmt: skip
    """Sum the microseconds of each pair, and find what stands below and above each share of them, as `grouped`.

    ``order`` has the group of each cell of `pairs`, ``counts`` how many of a group there are; those whose times are
    known remain. What is found is the memory of microseconds as floats, 2 to the power of 20 farther from zero.
    """
    begin = 0
    for group in range(count):
        ends[group], sums[group] = begin, 0.0
        begin += counts[group]
    for case in range(cases):
        for i in range(offsets[case], offsets[case + 1] - 1):
            if ended[i] != _NAT and begun[i + 1] != _NAT:
                group = np.int64(order[np.int64(activities[i]) * size + activities[i + 1]])
                gap = begun[i + 1] - ended[i]
                sums[group] += np.float64(gap)
                # Most gaps are short and some long: so far from zero, bins grow with what is in them.
                held[ends[group]] = _key(_memory(np.float64(gap + (_AWAY if gap >= 0 else -_AWAY))))
                ends[group] += 1
    begin = 0
    for group in range(count):
        after = begin + counts[group]
        counts[group] = ends[group] - begin
        _shares(held, begin, ends[group], shares, many, some, bins, fine, below, above, many * group)
        for place in range(many * group, many * group + many):
            below[place], above[place] = _bits(below[place]), _bits(above[place])
        begin = after
    return 0


@njit(nogil=True, error_model="numpy")
def repeats(activities, resources, offsets, cases, size, latest, kinds):
    """Count steps by activity and kind, of which there are 32.

    The bits of a kind: done before in its case; there for the first time; directly before; by a known resource, as this
    time; by the same. ``latest`` is twice the row of an activity's step before, one more where that was done again.
    """
    for activity in range(size):
        latest[activity] = -1
    for case in range(cases):
        i, end = offsets[case], offsets[case + 1]
        begin = 2 * i
        while i < end:
            activity = np.int64(activities[i])
            before = latest[activity]
            again = before >= begin
            kind = 0
            if again:
                kind = 1 | (1 - (before & 1)) << 1 | _hands(resources[i], resources[before >> 1])
            kinds[32 * activity + kind] += 1
            i += 1
            # What is done several times at a stretch is not looked up each time.
            while i < end and activities[i] == activity:
                kinds[32 * activity + (5 | (1 - again) << 1 | _hands(resources[i], resources[i - 1]))] += 1
                again = True
                i += 1
            latest[activity] = 2 * (i - 1) + again
    return 0


@njit(nogil=True, error_model="numpy")
def _hands(who, whom):
    known = who >= 0 and whom >= 0
    return known << 3 | (known and who == whom) << 4
