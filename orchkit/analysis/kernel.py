"""Loops over the rows of a log, compiled by numba; see `orchkit.native`.

Arguments are pointers: nothing is checked here, and whoever calls knows how far each reaches. Numbers are put in order
as unsigned integers that rise as the floats do, so that all comparisons and bins are of whole numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["flows", "grouped", "pairs", "ranked", "repeats"]

_FEW, _BINS = 24, 2048
_NAT = -(1 << 63)
_SAME = np.uint64(64)  # a shift that leaves nothing: all keys are one
_TOP, _MOST = np.uint64(1 << 63), np.uint64((1 << 64) - 1)


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
def _gather(keys, begin, end, low, shift, wanted, out):
    """Put the keys of a bin side by side; return how many, and the least key above. ``out`` may be where they are."""
    count, more = 0, _MOST
    for i in range(begin, end):
        key = keys[i]
        place = np.int64((key - low) >> shift)
        out[count] = key
        count += place == wanted
        more = min(more, key if place > wanted else _MOST)
    return count, more


@njit(nogil=True, error_model="numpy")
def _bin_of(bins, rank):
    found = 0
    while rank >= bins[found]:
        rank -= bins[found]
        found += 1
    return found, rank


@njit(nogil=True, error_model="numpy")
def _narrow(keys, length, rank, more, bins):
    """Return the key of a rank and the next, of ``length`` keys that lose their order; ``more`` is what comes after."""
    while length > _FEW:
        low, shift = _count(keys, 0, length, bins)
        if shift == _SAME:
            return low, low if rank + 1 < length else more
        found, rank = _bin_of(bins, rank)
        length, above = _gather(keys, 0, length, low, shift, found, keys)
        more = min(more, above)
    _sort(keys, 0, length)
    return keys[rank], keys[rank + 1] if rank + 1 < length else more


@njit(nogil=True, error_model="numpy")
def ranked(keys, length, rank, bins):
    """Return what stands at a rank if the keys were sorted; they lose their order. ``bins`` has room for 2,048."""
    return np.int64(_narrow(keys, length, rank, _MOST, bins)[0])


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
            group, key = np.int64(codes[i]), bits[i]
            held[ends[group]] = ~key if key & _TOP else key | _TOP
            ends[group] += 1
    for group in range(size):
        begin = ends[group] - counts[group]
        _shares(held, begin, ends[group], shares, many, some, bins, fine, below, above, many * group)
        for place in range(many * group, many * group + many):
            below[place], above[place] = _bits(below[place]), _bits(above[place])
    return 0


@njit(nogil=True, error_model="numpy")
def _shares(held, begin, end, shares, many, some, bins, fine, below, above, at):
    last = end - begin - 1
    if last < 0:
        return
    low, shift = held[begin], _SAME
    if last < _FEW:
        _sort(held, begin, end)
    else:
        low, shift = _count(held, begin, end, bins)
    for place in range(many):
        rank = np.int64(last * shares[place])
        if last < _FEW:
            first, second = held[begin + rank], held[begin + min(rank + 1, last)]
        elif shift == _SAME:
            first, second = low, low
        else:
            found, rest = _bin_of(bins, rank)
            count, more = _gather(held, begin, end, low, shift, found, some)
            first, second = _narrow(some, count, rest, more, fine)
        below[at + place], above[at + place] = first, second if rank < last else first


@njit(nogil=True, error_model="numpy")
def _bits(key):
    return key & ~_TOP if key & _TOP else ~key


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
    known remain. What is found are microseconds, plus 2 to the power of 63.
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
                held[ends[group]] = np.uint64(gap) ^ _TOP
                ends[group] += 1
    begin = 0
    for group in range(count):
        after = begin + counts[group]
        counts[group] = ends[group] - begin
        _shares(held, begin, ends[group], shares, many, some, bins, fine, below, above, many * group)
        begin = after
    return 0


@njit(nogil=True, error_model="numpy")
def repeats(activities, resources, offsets, cases, size, latest, times, table):
    """Count for each activity what `orchkit.analysis.control_flow.rework` tells, seven numbers side by side.

    ``latest`` is the row of an activity's step before, ``times`` how often it was done in the case.
    """
    for activity in range(size):
        latest[activity] = -1
    for case in range(cases):
        begin = offsets[case]
        for i in range(begin, offsets[case + 1]):
            activity = np.int64(activities[i])
            row, before = 7 * activity, latest[activity]
            latest[activity] = i
            table[row] += 1
            if before < begin:
                times[activity] = 1
                table[row + 1] += 1
                continue
            times[activity] += 1
            table[row + 2] += times[activity] == 2
            table[row + 3] += 1
            table[row + 4] += before == i - 1
            if resources[i] >= 0 and resources[before] >= 0:
                table[row + 5] += resources[i] == resources[before]
                table[row + 6] += resources[i] != resources[before]
    return 0
