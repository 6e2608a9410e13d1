"""The columns of a log from the kernel's rows, compiled."""

from __future__ import annotations

from numba import boolean, float64, int16, int32, int64, uint8

from orchkit.simulation.kernel.compiling import entry
from orchkit.simulation.kernel.draws import case_key, sample_attribute
from orchkit.simulation.kernel.duty import open_between
from orchkit.simulation.kernel.layout import MICRO, P_START, ROW_MORE

__all__ = ["attribute", "count_rows", "fill", "on_duty", "place_rows", "write_numbers"]

_NAT = -(1 << 63)
_LIST, _TABLE = int64[::1], int64[:, ::1]


@entry(_TABLE, int64, int64, _LIST, _LIST, _TABLE)
def count_rows(rows, count, replication, index, offsets, used):
    """Count the rows of each case of a replication; and how often each node, unit, status, class and type occurs."""
    at = 0
    while at < len(rows):
        word, packed = rows[at, 0], rows[at, 4]
        case = index[(word >> 24) * count + replication]
        if case >= 0:
            offsets[case + 1] += 1
            used[0, word & 0xFFFFFF] += 1
            used[1, packed & 0xFFFFFF] += 1
            used[2, (packed >> 24) & 15] += 1
            kind = (packed >> 28) & 7
            used[3, kind] += 1
            if kind:
                used[4, packed >> 47] += 1
        at += 1 + ((packed >> ROW_MORE) & 1)


@entry(_TABLE, int64, int64, _LIST, _LIST, int32[::1], int64)
def place_rows(rows, count, replication, index, cursor, order, sign):
    """Note where the rows of each case are: from 0 on, or from -1 down.

    A counting sort, which keeps the order of completion within a case.
    """
    at = 0
    while at < len(rows):
        case = index[(rows[at, 0] >> 24) * count + replication]
        if case >= 0:
            order[cursor[case]] = at if sign > 0 else -1 - at
            cursor[case] += 1
        at += 1 + ((rows[at, 4] >> ROW_MORE) & 1)


@entry(
    *(_LIST, _TABLE, _TABLE, int64, int64, _LIST, _LIST, int32[::1]),
    *(_TABLE, float64[:, ::1], int32[:, ::1], int16[:, ::1], int64[::1]),
    *(int32[:, ::1], _LIST, _LIST, _LIST, _LIST, float64[:, ::1], boolean[::1], _LIST),
)
def fill(
    program,
    rows,
    open_rows,
    count,
    replication,
    index,
    offsets,
    order,
    times,
    floats,
    numbers,
    codes,
    replications,
    tables,
    node_pools,
    unit_pools,
    calendars,
    firsts,
    costs,
    pauses,
    busy,
):
    """Write the columns of the log for the cases of one replication."""
    p, begun = program.ctypes, program[P_START]
    for number in range(len(index) // count):
        case = index[number * count + replication]
        if case < 0:
            continue
        for to in range(offsets[case], offsets[case + 1]):
            at = order[to]
            row = rows[at] if at >= 0 else open_rows[-1 - at]
            node = row[0] & 0xFFFFFF
            enabled, started, completed, packed = row[1], row[2], row[3], row[4]
            unit = (packed & 0xFFFFFF) - 1
            times[0, to] = enabled
            times[1, to] = started if started >= 0 else _NAT
            times[2, to] = completed if completed >= 0 else _NAT
            numbers[0, to] = number
            numbers[1, to] = (packed >> 32) & 0x7FFF
            replications[to] = replication
            kind = (packed >> 28) & 7
            codes[0, to] = tables[0, node]
            codes[1, to] = tables[1, node]
            codes[2, to] = tables[2, (packed >> 24) & 15]
            codes[3, to] = tables[3, kind]
            codes[4, to] = tables[4, packed >> 47] if kind else -1
            codes[5, to] = tables[5, node]
            numbers[2, to] = tables[6, unit + 1]
            later, overtaken = 0, -1
            if (packed >> ROW_MORE) & 1:
                more = rows[at + 1] if at >= 0 else open_rows[-at]
                later, overtaken = more[1], more[2]
            cost = contention = calendar_wait = priority = retry = 0.0
            until = started if started >= 0 else completed
            pool = node_pools[node]
            if until >= 0 and pool >= 0:
                ready = min(enabled + later, until)
                retry = (ready - enabled) / MICRO
                calendar = calendars[firsts[pool]]
                open_us = open_between(p, calendar, ready, until)
                calendar_wait = (until - ready - open_us) / MICRO
                if overtaken >= 0:
                    late = open_between(p, calendar, min(max(overtaken, ready), until), until)
                    priority = late / MICRO
                    open_us -= late
                contention = open_us / MICRO
            elif until >= 0:
                retry = (until - enabled) / MICRO
            if unit >= 0 and started >= 0 and completed >= 0:
                pool = unit_pools[unit]
                calendar = calendars[unit] if pauses[pool] else -1
                work = open_between(p, calendar, started, completed)
                # What was done before a warm start costs, but did not keep anybody busy in this time.
                busy[unit] += work if started >= begun else open_between(p, calendar, begun, completed)
                cost = costs[pool, 0] * work / (3_600.0 * MICRO) + costs[pool, 1]
            floats[0, to], floats[1, to], floats[2, to] = cost, contention, calendar_wait
            floats[3, to], floats[4, to], floats[5, to] = 0.0, priority, retry


@entry(_LIST, float64[::1], int64, _LIST, _LIST, float64[::1])
def attribute(program, numbers, number, keys, cases, values):
    """Write the value of an attribute for each case: of a number and a replication, as the log counts them."""
    for at in range(len(cases)):
        case, replication = cases[at] // len(keys), cases[at] % len(keys)
        key = case_key(program.ctypes, keys[replication], case)
        values[at] = sample_attribute(program.ctypes, numbers.ctypes, number, key)


@entry(_LIST, _LIST, int64, int64, _LIST)
def on_duty(program, calendars, start, end, found):
    """Write how long each calendar is open between two moments."""
    for at in range(len(calendars)):
        found[at] = open_between(program.ctypes, calendars[at], start, end)


@entry(int64, uint8[:, ::1])
def write_numbers(width, texts):
    """Write the numbers from 1 on as text, with zeros in front."""
    for at in range(len(texts)):
        left = at + 1
        for place in range(width - 1, -1, -1):
            texts[at, place] = 48 + left % 10
            left //= 10
