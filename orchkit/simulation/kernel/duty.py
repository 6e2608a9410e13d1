"""Calendars in the kernel: sorted spans, of which those of the last period come again and again.

Holidays and absences are before that period, so that they come once.
"""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import (
    C_ALL,
    C_BASE,
    C_COUNT,
    C_HOURS,
    C_LENGTH,
    C_PERIOD,
    C_SPANS,
    C_WIDTH,
    C_WORK,
    HOUR,
    LONGEST,
    P_CALENDARS,
)

__all__ = ["next_open", "open_between", "span_at", "worked", "working_until"]

_FEW = 8


@compiled
def _cycle(p, row, moment):
    """Return how often the period has come again; below 0 for what is before all spans."""
    offset = moment - p[row + C_BASE]
    # Nearly all moments are within the spans, and a division takes as long as all else here.
    if 0 <= offset < p[row + C_LENGTH]:
        return 0
    return (offset - p[row + C_LENGTH]) // p[row + C_PERIOD] + 1


@compiled
def _before(p, row, cycle):
    """Return the work that is not of this cycle: before it, or (below 0) what it is ahead of all spans."""
    if cycle >= 0:
        return cycle * p[row + C_WORK]
    return (cycle + p[row + C_LENGTH] // p[row + C_PERIOD]) * p[row + C_WORK] - p[row + C_ALL]


@compiled
def _last(p, row, inside):
    """Return the last span that has opened at a moment of the period; -1 for none."""
    spans, count = p[row + C_SPANS], p[row + C_COUNT]
    at = p[p[row + C_HOURS] + inside // HOUR]
    while at + 1 < count and p[spans + 3 * (at + 1)] <= inside:
        at += 1
    return at


@compiled
def next_open(p, calendar, moment):
    """Return the moment, or the next one on duty."""
    if calendar < 0:
        return moment
    row = p[P_CALENDARS] + calendar * C_WIDTH
    spans, count = p[row + C_SPANS], p[row + C_COUNT]
    while True:
        begin = p[row + C_BASE] + _cycle(p, row, moment) * p[row + C_PERIOD]
        inside = moment - begin
        at = _last(p, row, inside)
        if at >= 0 and inside < p[spans + 3 * at + 1]:
            return moment
        if at + 1 < count:
            return begin + p[spans + 3 * (at + 1)]
        moment = begin + p[row + C_LENGTH]


@compiled
def span_at(p, calendar, moment):
    """Return the last span that has opened at a moment, from when to when; one without length where there is none."""
    row = p[P_CALENDARS] + calendar * C_WIDTH
    begin = p[row + C_BASE] + _cycle(p, row, moment) * p[row + C_PERIOD]
    at = _last(p, row, moment - begin)
    span = p[row + C_SPANS] + 3 * max(at, 0)
    return (begin + p[span], begin + p[span + 1]) if at >= 0 else (moment, moment)


@compiled
def worked(p, calendar, moment):
    """Return the time on duty from the calendar's base to a moment."""
    if calendar < 0:
        return moment
    row = p[P_CALENDARS] + calendar * C_WIDTH
    cycle = _cycle(p, row, moment)
    inside = moment - p[row + C_BASE] - cycle * p[row + C_PERIOD]
    at = _last(p, row, inside)
    if at < 0:
        return _before(p, row, cycle)
    span = p[row + C_SPANS] + 3 * at
    return _before(p, row, cycle) + p[span + 2] + min(inside, p[span + 1]) - p[span]


@compiled
def open_between(p, calendar, begin, end):
    """Return the time on duty between two moments."""
    if calendar < 0 or begin == end:
        return end - begin
    row = p[P_CALENDARS] + calendar * C_WIDTH
    cycle = _cycle(p, row, begin)
    inside = begin - p[row + C_BASE] - cycle * p[row + C_PERIOD]
    at = _last(p, row, inside)
    before = _before(p, row, cycle)
    if at >= 0:
        span = p[row + C_SPANS] + 3 * at
        if inside + (end - begin) <= p[span + 1]:
            return end - begin
        before += p[span + 2] + min(inside, p[span + 1]) - p[span]
    return worked(p, calendar, end) - before


@compiled
def working_until(p, calendar, moment, work):
    """Return when so much work is done that begins at a moment on duty."""
    if calendar < 0:
        return moment + work
    if work == 0:
        return moment
    row = p[P_CALENDARS] + calendar * C_WIDTH
    spans, count = p[row + C_SPANS], p[row + C_COUNT]
    cycle = _cycle(p, row, moment)
    inside = moment - p[row + C_BASE] - cycle * p[row + C_PERIOD]
    low = max(_last(p, row, inside), 0)
    if inside >= p[spans + 3 * low] and inside + work <= p[spans + 3 * low + 1]:
        return moment + work
    total = worked(p, calendar, moment) + work
    if total / p[row + C_WORK] * p[row + C_PERIOD] > LONGEST:
        return LONGEST
    if total > cycle * p[row + C_WORK] + p[row + C_ALL]:
        cycle, low = (total - p[row + C_ALL] - 1) // p[row + C_WORK] + 1, 0
    done = total - cycle * p[row + C_WORK]
    # The last span before which less was done: a few steps on, or far away.
    for _ in range(_FEW):
        if low + 1 < count and p[spans + 3 * (low + 1) + 2] < done:
            low += 1
    high = count
    if low + 1 < count and p[spans + 3 * (low + 1) + 2] < done:
        while low + 1 < high:
            middle = (low + high) >> 1
            if p[spans + 3 * middle + 2] < done:
                low = middle
            else:
                high = middle
    span = spans + 3 * low
    return p[row + C_BASE] + cycle * p[row + C_PERIOD] + p[span] + done - p[span + 2]
