"""The bytes of an XES file become codes and times, compiled by numba; see `orchkit.native`.

Arguments are pointers: nothing is checked here, and whoever calls gives each enough room for a whole block. Texts are
read eight bytes at a time, so that after each there are seven more that may be read.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["know", "rehash", "tokens"]

_NAT = -(1 << 63)
_QUOTES, _EACH, _HIGHS = np.uint64(0x2222222222222222), np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
# Where the reader is: places of ``at``.
_POSITION, _STATE, _TRACES, _EVENTS, _JOINT, _ENTRIES, _USED, _ASKED, _WHICH = range(9)
_FIRST_TRACE, _FIRST_EVENT, _TRACE_WIDTH, _EVENT_WIDTH, _JOINT_MASK, _MASK = range(9, 15)
# Why it stops.
_END, _NEW_JOINT, _NEW_COLUMN, _STRANGE = range(4)


@intrinsic
def _word(typing, pointer, at):
    """Read eight bytes from any place as one number, the first byte the least."""

    def made(_, builder, __, arguments):
        place = builder.gep(arguments[0], [arguments[1]])
        word = builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(pointer, types.int64), made


@intrinsic
def _zeros(typing, word):
    """Count the bits below the least that is set."""

    def made(_, builder, __, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), made


@njit(nogil=True, error_model="numpy")
def _tail(text, at, count):
    """Return fewer than eight bytes as a number."""
    return _word(text, at) & ((_ONE << np.uint64(8 * count)) - _ONE)


@njit(nogil=True, error_model="numpy")
def _hash(text, begin, end, seed):
    found = np.uint64(seed)
    while begin + 8 <= end:
        found = (found ^ _word(text, begin)) * _PRIME
        found ^= found >> _HALF
        begin += 8
    found = (found ^ _tail(text, begin, end - begin)) * _PRIME
    return found ^ (found >> _HALF)


@njit(nogil=True, error_model="numpy")
def _equal(text, begin, end, other, at):
    differs = np.uint64(0)
    while begin + 8 <= end:
        differs |= _word(text, begin) ^ _word(other, at)
        begin, at = begin + 8, at + 8
    return (differs | (_tail(text, begin, end - begin) ^ _tail(other, at, end - begin))) == 0


@njit(nogil=True, error_model="numpy")
def _quote(block, begin, length):
    """Return where the next quote is, the length if there is none."""
    while begin < length:
        word = _word(block, begin) ^ _QUOTES
        found = (word - _EACH) & ~word & _HIGHS
        if found:
            return min(begin + np.int64(_zeros(found) >> np.uint64(3)), length)
        begin += 8
    return length


@njit(nogil=True, error_model="numpy")
def _is_next(block, at, length, joint, bounds, texts):
    """Tell whether a known joint stands here, without looking for its end."""
    begin, end = bounds[2 * joint], bounds[2 * joint + 1]
    return at + end - begin <= length and _equal(block, at, at + end - begin, texts, begin)


@njit(nogil=True, error_model="numpy")
def _look_up(block, at, end, bounds, texts, slots, mask):
    slot = np.int64(_hash(block, at, end, 0) & np.uint64(mask))
    while slots[slot] >= 0:
        joint = np.int64(slots[slot])
        begin = bounds[2 * joint]
        if bounds[2 * joint + 1] - begin == end - at and _equal(block, at, end, texts, begin):
            return joint
        slot = (slot + 1) & mask
    return -1


@njit(nogil=True, error_model="numpy")
def _number(block, begin, end):
    """Return the number that digits say, -1 where one is none."""
    found = 0
    for i in range(begin, end):
        digit = np.int64(block[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        found = 10 * found + digit
    return found


@njit(nogil=True, error_model="numpy")
def _zone(block, begin, end):
    """Return the minutes that an offset is ahead of UTC, -1,000 where it is none that is plain."""
    if end - begin == 1 and block[begin] == 90:  # Z
        return 0
    is_ahead, is_behind = block[begin] == 43, block[begin] == 45
    colon = end - begin == 6 and block[begin + 3] == 58
    if not (is_ahead or is_behind) or not (colon or end - begin == 5):
        return -1000
    hours, minutes = _number(block, begin + 1, begin + 3), _number(block, end - 2, end)
    if hours < 0 or hours > 14 or minutes < 0 or minutes > 59:
        return -1000
    return 60 * hours + minutes if is_ahead else -(60 * hours + minutes)


@njit(nogil=True, error_model="numpy")
def _moment(block, begin, end):
    """Return the microseconds since 1970 of a time such as 2024-05-06T09:00:00.5+02:00, missing where it is none."""
    if end - begin < 20 or block[begin + 4] != 45 or block[begin + 7] != 45 or block[begin + 10] != 84:
        return _NAT
    if block[begin + 13] != 58 or block[begin + 16] != 58:
        return _NAT
    year, month = _number(block, begin, begin + 4), _number(block, begin + 5, begin + 7)
    day, hour = _number(block, begin + 8, begin + 10), _number(block, begin + 11, begin + 13)
    minute, second = _number(block, begin + 14, begin + 16), _number(block, begin + 17, begin + 19)
    if year < 1700 or year > 2199 or month < 1 or month > 12 or day < 1:
        return _NAT
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return _NAT
    most = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if month == 2:
        most = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    if day > most:
        return _NAT
    at, fraction = begin + 19, 0
    if block[at] == 46:
        at += 1
        digits = at
        while at < end and 48 <= block[at] <= 57:
            at += 1
        if at == digits or at - digits > 6:
            return _NAT
        fraction = _number(block, digits, at)
        while at - digits < 6:
            fraction, digits = 10 * fraction, digits - 1
    ahead = _zone(block, at, end) if at < end else -1000
    if ahead == -1000:
        return _NAT
    # Days since 1970 of the Gregorian calendar, whose years are counted from March.
    years = year - (month <= 2)
    months = (month + 9) % 12
    days = 365 * years + years // 4 - years // 100 + years // 400 + (153 * months + 2) // 5 + day - 1 - 719468
    return (((days * 24 + hour) * 60 + minute - ahead) * 60 + second) * 1000000 + fraction


@njit(nogil=True, error_model="numpy")
def _code(block, begin, end, key, at, slots, starts, owners, codes, hashes, sizes, arena):
    """Return the code of a text in its column, a new one where it is new."""
    found = _hash(block, begin, end, key + 1)
    mask = at[_MASK]
    slot = np.int64(found & np.uint64(mask))
    while slots[slot] >= 0:
        entry = np.int64(slots[slot])
        same = hashes[entry] == found and owners[entry] == key and starts[entry + 1] - starts[entry] == end - begin
        if same and _equal(block, begin, end, arena, starts[entry]):
            return codes[entry]
        slot = (slot + 1) & mask
    entry, used = at[_ENTRIES], at[_USED]
    for i in range(begin, end):
        arena[used + i - begin] = block[i]
    slots[slot], owners[entry], hashes[entry] = entry, key, found
    starts[entry + 1] = used + end - begin
    codes[entry] = sizes[key]
    sizes[key] += 1
    at[_ENTRIES], at[_USED] = entry + 1, used + end - begin
    return codes[entry]


@njit(nogil=True, error_model="numpy")
def know(text, length, joint, slots, mask):
    """Put a joint into a slot that is free."""
    slot = np.int64(_hash(text, 0, length, 0) & np.uint64(mask))
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = joint
    return 0


@njit(nogil=True, error_model="numpy")
def rehash(hashes, count, slots, mask):
    """Put entries into slots that are free."""
    for entry in range(count):
        slot = np.int64(hashes[entry] & np.uint64(mask))
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = entry
    return 0


@njit(nogil=True, error_model="numpy")
def tokens(
    block, length, at,
    bounds, texts, joints, joint_slots, follows,
    columns, is_date, trace_cells, event_cells, trace_of,
    slots, starts, owners, codes, hashes, sizes, arena,
):  # fmt: skip
    """Read whole values until the block ends, or something is new; return why it stopped.

    What stands between two values, quotes included, is a joint: its ``bounds`` in ``texts``, and in ``joints`` the
    state that it needs (-1: any), the state after it, how many traces and events begin, and its key. ``follows`` has
    the two joints that came last after each. Of a key, once in a trace and once in an event, ``columns`` has the place
    in a row of cells, -1 where it has none yet.
    """
    position, state, joint = at[_POSITION], at[_STATE], at[_JOINT]
    reason = _END
    while True:
        before = 2 * joint
        found = np.int64(follows[before])
        if found < 0 or not _is_next(block, position, length, found, bounds, texts):
            found = np.int64(follows[before + 1])
            if found < 0 or not _is_next(block, position, length, found, bounds, texts):
                end = position
                for _ in range(3):
                    end = _quote(block, end + 1, length)
                if end >= length:
                    break
                found = _look_up(block, position, end + 1, bounds, texts, joint_slots, at[_JOINT_MASK])
                if found < 0:
                    at[_ASKED], reason = end + 1, _NEW_JOINT
                    break
            follows[before + 1] = follows[before]
            follows[before] = found
        needs, after = joints[5 * found], joints[5 * found + 1]
        if needs >= 0 and needs != state:
            reason = _STRANGE
            break
        after = after if needs >= 0 else state
        begin = position + bounds[2 * found + 1] - bounds[2 * found]
        end = _quote(block, begin, length)
        if end >= length:
            break
        key = 2 * joints[5 * found + 4] + (after == 2)
        cell = 0
        if after:
            if columns[key] < 0:
                at[_ASKED], reason = key, _NEW_COLUMN
                break
            if is_date[key]:
                cell = _moment(block, begin, end)
                if cell == _NAT:
                    reason = _STRANGE
                    break
            else:
                cell = np.int64(_code(block, begin, end, key, at, slots, starts, owners, codes, hashes, sizes, arena))
        if joints[5 * found + 2]:
            row = (at[_TRACES] - at[_FIRST_TRACE]) * at[_TRACE_WIDTH]
            for i in range(row, row + at[_TRACE_WIDTH]):
                trace_cells[i] = _NAT
            at[_TRACES] += 1
        if joints[5 * found + 3]:
            row = at[_EVENTS] - at[_FIRST_EVENT]
            trace_of[row] = at[_TRACES] - 1
            for i in range(row * at[_EVENT_WIDTH], (row + 1) * at[_EVENT_WIDTH]):
                event_cells[i] = _NAT
            at[_EVENTS] += 1
        if after == 2:
            place = (at[_EVENTS] - at[_FIRST_EVENT] - 1) * at[_EVENT_WIDTH] + columns[key]
            is_second = event_cells[place] != _NAT
            event_cells[place] = cell
        elif after == 1:
            place = (at[_TRACES] - at[_FIRST_TRACE] - 1) * at[_TRACE_WIDTH] + columns[key]
            is_second = trace_cells[place] != _NAT
            trace_cells[place] = cell
        else:
            is_second = False
        if is_second:  # of one key: which is kept, and that one is dropped, the streaming reader says
            reason = _STRANGE
            break
        position, state, joint = end, after, found
    at[_POSITION], at[_STATE], at[_JOINT] = position, state, joint
    return reason
