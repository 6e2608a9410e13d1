"""The columns of a log from the kernel's rows, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from orchkit.simulation.kernel.draws import mix, sample_attribute
from orchkit.simulation.kernel.duty import worked
from orchkit.simulation.kernel.layout import CASE_KEY, MICRO, P_START

__all__ = ["attribute", "by_case", "fill", "on_duty"]

_NAT = -(1 << 63)


@njit(nogil=True, cache=True)
def _count(rows, count, replication, index, offsets):
    for at in range(len(rows)):
        case = index[(rows[at, 0] >> 24) * count + replication]
        if case >= 0:
            offsets[case + 1] += 1


@njit(nogil=True, cache=True)
def _place(rows, part, count, index, cursor, order):
    for at in range(len(rows)):
        case = index[(rows[at, 0] >> 24) * count + part // 2]
        if case >= 0:
            order[cursor[case], 0], order[cursor[case], 1] = part, at
            cursor[case] += 1


@njit(nogil=True, cache=True)
def _sum_up(offsets):
    for case in range(1, len(offsets)):
        offsets[case] += offsets[case - 1]


def by_case(
    parts: Sequence[NDArray[np.int64]],
    count: int,
    index: NDArray[np.int64],
    offsets: NDArray[np.int64],
    order: NDArray[np.int64],
) -> None:
    """Sort rows by case: a counting sort, which keeps their order of completion within a case."""
    for part, rows in enumerate(parts):
        _count(rows, count, part // 2, index, offsets)
    _sum_up(offsets)
    cursor = offsets[:-1].copy()
    for part, rows in enumerate(parts):
        _place(rows, part, count, index, cursor, order)


@njit(nogil=True, cache=True)
def _fill(
    p, part, rows, order, integers, floats, small, node_pools, unit_pools, calendars, firsts, costs, pauses, busy
):
    for to in range(len(order)):
        if order[to, 0] != part:
            continue
        at = order[to, 1]
        node = rows[at, 0] & 0xFFFFFF
        enabled, started, completed, packed = rows[at, 1], rows[at, 2], rows[at, 3], rows[at, 4]
        unit = (packed & 0xFFFFFF) - 1
        integers[0, to] = enabled
        integers[1, to] = started if started >= 0 else _NAT
        integers[2, to] = completed if completed >= 0 else _NAT
        small[0, to], small[1, to], small[2, to] = node, (packed >> 24) & 15, (packed >> 32) & 0x7FFF
        small[3, to], small[4, to], small[5, to] = unit, (packed >> 28) & 7, packed >> 47
        cost = 0.0
        contention = calendar_wait = priority = retry = 0.0
        until = started if started >= 0 else completed
        pool = node_pools[node]
        if until >= 0 and pool >= 0:
            ready = min(enabled + rows[at, 5], until)
            retry = (ready - enabled) / MICRO
            calendar = calendars[firsts[pool]]
            open_us = (
                worked(p.ctypes, calendar, until) - worked(p.ctypes, calendar, ready)
                if calendar >= 0
                else until - ready
            )
            calendar_wait = (until - ready - open_us) / MICRO
            if rows[at, 6] >= 0:
                since = max(rows[at, 6], ready)
                late = (
                    worked(p.ctypes, calendar, until) - worked(p.ctypes, calendar, since)
                    if calendar >= 0
                    else until - since
                )
                priority = late / MICRO
                open_us -= late
            contention = open_us / MICRO
        elif until >= 0:
            retry = (until - enabled) / MICRO
        if unit >= 0 and started >= 0 and completed >= 0:
            calendar = calendars[unit] if pauses[unit_pools[unit]] else -1
            work = (
                worked(p.ctypes, calendar, completed) - worked(p.ctypes, calendar, started)
                if calendar >= 0
                else completed - started
            )
            before = 0  # what was done before a warm start
            if started < p[P_START]:
                before = worked(p.ctypes, calendar, p[P_START]) - worked(p.ctypes, calendar, started)
            busy[part // 2, unit] += work - before
            cost = costs[unit_pools[unit], 0] * work / (3_600.0 * MICRO) + costs[unit_pools[unit], 1]
        floats[0, to], floats[1, to], floats[2, to] = cost, contention, calendar_wait
        floats[3, to], floats[4, to], floats[5, to] = 0.0, priority, retry


def fill(
    p: NDArray[np.int64],
    parts: Sequence[NDArray[np.int64]],
    order: NDArray[np.int64],
    *columns: NDArray[Any],
) -> None:
    """Write the columns of the log."""
    for part, rows in enumerate(parts):
        if len(rows):
            _fill(p, part, rows, order, *columns)


@njit(nogil=True, cache=True)
def attribute(p, d, number, keys, cases):
    """Return the value of an attribute for each case: of a number and a replication, as the log counts them."""
    values = np.empty(len(cases))
    for at in range(len(cases)):
        case, replication = cases[at] // len(keys), cases[at] % len(keys)
        key = mix(keys[replication] + (case + 1) * CASE_KEY)
        values[at] = sample_attribute(p.ctypes, d.ctypes, number, key)
    return values


@njit(nogil=True, cache=True)
def on_duty(p, calendars, start, end):
    """Return how long each calendar is open between two moments."""
    found = np.empty(len(calendars), dtype=np.int64)
    for at in range(len(calendars)):
        found[at] = worked(p.ctypes, calendars[at], end) - worked(p.ctypes, calendars[at], start)
    return found
