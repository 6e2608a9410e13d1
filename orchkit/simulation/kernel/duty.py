"""Calendars in the kernel: sorted spans of one long period, which comes again and again."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import C_BASE, C_COUNT, C_PERIOD, C_SPANS, C_WIDTH, C_WORK, P_CALENDARS

__all__ = ["next_open", "worked", "working_until"]


@compiled
def _last(p, spans, count, field, value):
    """Return the last span whose field is at most the value; -1 for none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if p[spans + 3 * middle + field] <= value:
            low = middle + 1
        else:
            high = middle
    return low - 1


@compiled
def next_open(p, calendar, moment):
    """Return the moment, or the next one on duty."""
    if calendar < 0:
        return moment
    row = p[P_CALENDARS] + calendar * C_WIDTH
    spans, count, period = p[row + C_SPANS], p[row + C_COUNT], p[row + C_PERIOD]
    cycle = (moment - p[row + C_BASE]) // period
    begin = p[row + C_BASE] + cycle * period
    inside = moment - begin
    at = _last(p, spans, count, 0, inside)
    if at >= 0 and inside < p[spans + 3 * at + 1]:
        return moment
    if at + 1 < count:
        return begin + p[spans + 3 * (at + 1)]
    return begin + period + p[spans]


@compiled
def worked(p, calendar, moment):
    """Return the time on duty from the calendar's base to a moment."""
    if calendar < 0:
        return moment
    row = p[P_CALENDARS] + calendar * C_WIDTH
    spans, count, period = p[row + C_SPANS], p[row + C_COUNT], p[row + C_PERIOD]
    cycle = (moment - p[row + C_BASE]) // period
    inside = moment - p[row + C_BASE] - cycle * period
    at = _last(p, spans, count, 0, inside)
    if at < 0:
        return cycle * p[row + C_WORK]
    span = spans + 3 * at
    return cycle * p[row + C_WORK] + p[span + 2] + min(inside, p[span + 1]) - p[span]


@compiled
def working_until(p, calendar, moment, work):
    """Return when so much work is done that begins at a moment on duty."""
    if calendar < 0:
        return moment + work
    if work == 0:
        return moment
    row = p[P_CALENDARS] + calendar * C_WIDTH
    spans, count = p[row + C_SPANS], p[row + C_COUNT]
    total = worked(p, calendar, moment) + work
    cycle = (total - 1) // p[row + C_WORK]
    inside = total - cycle * p[row + C_WORK]
    at = _last(p, spans, count, 2, inside - 1)
    span = spans + 3 * at
    return p[row + C_BASE] + cycle * p[row + C_PERIOD] + p[span] + inside - p[span + 2]
