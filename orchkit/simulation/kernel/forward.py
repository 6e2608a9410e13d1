"""Cases that only go forward, through tasks whose resources do nothing else: one task after the other, no events.

Who is served in the order of arrival takes the resource that is free first (Kiefer and Wolfowitz, Trans. AMS 78, 1955):
so all visits of a task can be reckoned one after the other, from when they come to it, and those of the next task from
when they have left. It is told from the same draws what the interpreter of events finds, resource by resource. What
comes at one moment, and in which order, that cannot always be told: then the interpreter has to.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float64, int64

from orchkit.simulation.kernel.arrivals import next_arrival
from orchkit.simulation.kernel.compiling import compiled, entry
from orchkit.simulation.kernel.conditions import evaluate
from orchkit.simulation.kernel.draws import (
    COMPOSED,
    EXPONENTIAL,
    draw,
    fraction,
    micros,
    mix,
    sample,
    stream,
    stream_of,
)
from orchkit.simulation.kernel.layout import *  # noqa: F403 -- a hundred names of fields
from orchkit.simulation.kernel.tokens import pick

__all__ = ["ENDS", "FAILS", "arrive", "line_up", "set_out", "visit"]

ENDS, FAILS = -1, -2  # what may be instead of a task that is next
_INTEGERS, _FLOATS, _TABLE = int64[::1], float64[::1], int64[:, ::1]
FEW = 16  # resources: of more, the first that is free is at the top of a heap
_RUN = 16
_BLOCK = 512


@compiled
def _arrive(p, d, key, until, number, room, moment, arrived):
    """Write when cases arrive, beginning with one of them, whose predecessor came at a moment."""
    count = 0
    at = p[P_DISTRIBUTIONS] + p[P_ARRIVALS] * D_WIDTH
    if p[P_ARRIVAL_KIND] == 0 and d[at] == EXPONENTIAL and until == FOREVER:  # no case has to know of the one before it
        mean = d[at + 1]
        for place in range(number, number + room):
            arrived[place] = stream(key, 0, place, 0, U_ARRIVAL)
        for place in range(number, number + room):
            moment += micros(-mean * math.log(fraction(arrived[place], 0)))
            arrived[place] = moment
        return room, moment
    while count < room:
        after = next_arrival(p, d, key, number + count, number + count, moment)
        if after < moment or after > until:
            return count, after
        arrived[number + count] = moment = after
        count += 1
    return count, moment


@entry(_INTEGERS, _FLOATS, int64, int64, int64, int64, int64, _INTEGERS)
def arrive(program, numbers, key, until, number, count, moment, arrived):
    """Write when so many cases arrive, from one of them on; return how many do, and the last one's moment.

    Where time is up before, that is the moment of one who is not counted, or -1: nobody comes.
    """
    where = (number, count, moment)
    return _arrive(program.ctypes, numbers.ctypes, key, until, *where, arrived.ctypes)


@compiled
def _next(p, d, key, node):
    """Return the task that a case comes to from a node that it leaves."""
    while True:
        n = p[P_NODES] + N_WIDTH * node
        first, count, position = p[n + N_OUT], p[n + N_OUT_COUNT], 0
        if count == 0:
            return ENDS
        if p[n + N_CHOICE] == BY_CONDITIONS:
            found = default = -1
            for number in range(count):
                flow = p[P_FLOWS] + F_WIDTH * p[p[P_LISTS] + first + number]
                if p[flow + F_CONDITION] < 0:
                    if default < 0:
                        default = number
                    continue
                value = evaluate(p, d, p[flow + F_SHARE], key, 0)
                if value - value != 0.0:
                    return FAILS
                if value != 0.0:
                    found = number
                    break
            position = found if found >= 0 else default
        elif p[n + N_CHOICE]:
            position = pick(p, d, first, count, draw(key, node, 1, 0, U_BRANCH))
        if position < 0:
            return FAILS
        node = p[p[P_FLOWS] + F_WIDTH * p[p[P_LISTS] + first + position] + F_TARGET]
        kind = p[p[P_NODES] + N_WIDTH * node + N_KIND]
        if kind == TASK:
            return node
        if kind == END:
            return ENDS


@compiled
def _set_out(p, d, key, start, count, place):
    for number in range(count):
        place[number] = _next(p, d, mix(key + (number + 1) * CASE_KEY), start)
        if place[number] < 0:
            return False
    return True


@entry(_INTEGERS, _FLOATS, int64, int64, _INTEGERS)
def set_out(program, numbers, key, start, place):
    """Write the first task of each case; return whether all have one."""
    return _set_out(program.ctypes, numbers.ctypes, key, start, len(place), place.ctypes)


@compiled
def _is_later(a, b, ready, since, source, rank):
    """Return whether one case comes to a task after another; 2 where that cannot be told."""
    if ready[a] != ready[b]:
        return int(ready[a] > ready[b])
    # Of one moment, that comes first which was to come first: since earlier, or by the one resource before the other.
    if source[a] == source[b]:
        return int(rank[a] > rank[b])
    if since[a] != since[b]:
        return int(since[a] > since[b])
    return 2


@compiled
def _insert(jobs, first, last, most, ready, since, source, rank):
    """Sort by insertion what is nearly sorted; return -1 where it is not, 2 where an order cannot be told."""
    moves = 0
    for at in range(first + 1, last):
        job, to = jobs[at], at
        while to > first:
            later = _is_later(jobs[to - 1], job, ready, since, source, rank)
            if later == 2:
                return 2
            if not later:
                break
            jobs[to] = jobs[to - 1]
            to -= 1
        jobs[to] = job
        moves += at - to
        if moves > most:
            return -1
    return 0


@compiled
def _merge(jobs, spare, count, ready, since, source, rank):
    """Sort runs into one; return 2 where an order cannot be told. The result is in ``jobs``."""
    width = _RUN
    while width < count:
        for low in range(0, count, 2 * width):
            middle, high = min(low + width, count), min(low + 2 * width, count)
            left, right = low, middle
            for to in range(low, high):
                takes_right = left == middle
                if not takes_right and right < high:
                    later = _is_later(jobs[left], jobs[right], ready, since, source, rank)
                    if later == 2:
                        return 2
                    takes_right = later == 1
                if takes_right:
                    spare[to] = jobs[right]
                    right += 1
                else:
                    spare[to] = jobs[left]
                    left += 1
        for to in range(count):
            jobs[to] = spare[to]
        width *= 2
    return 0


@compiled
def _line_up(node, cases, place, jobs, spare, ready, since, source, rank):
    """Write the cases that come to a task, in the order in which they do; return how many, -1 where it cannot be told."""
    count = 0
    for number in range(cases):
        if place[number] == node:
            jobs[count] = number
            count += 1
    found = _insert(jobs, 0, count, _RUN * count, ready, since, source, rank)
    if found < 0:
        found = 0
        for first in range(0, count, _RUN):
            found = max(found, _insert(jobs, first, min(first + _RUN, count), FOREVER, ready, since, source, rank))
        if found == 0:
            found = _merge(jobs, spare, count, ready, since, source, rank)
    return count if found == 0 else -1


@entry(int64, *6 * [_INTEGERS], _INTEGERS)
def line_up(node, place, jobs, spare, ready, since, source, rank):
    """Write the cases that come to a task, in the order in which they do; return how many, -1 where it cannot be told.

    Of each case, by number: its next task, when it comes to it, since when that was known, from where, and in which place
    it was there.
    """
    state = (ready.ctypes, since.ctypes, source.ctypes, rank.ctypes)
    return _line_up(node, len(place), place.ctypes, jobs.ctypes, spare.ctypes, *state)


@compiled
def _take_first(free, unit_of, turn, units, completed, number):
    """Let the resource that is free first be busy until a moment; those free at one moment are in the order of ``turn``."""
    unit, at = unit_of[0], 0
    if units <= FEW:
        while at + 1 < units and free[at + 1] <= completed:
            free[at], unit_of[at] = free[at + 1], unit_of[at + 1]
            at += 1
    else:
        while 2 * at + 1 < units:
            below = 2 * at + 1
            other = below + 1
            if other < units and (
                free[other] < free[below] or (free[other] == free[below] and turn[other] < turn[below])
            ):
                below = other
            if free[below] > completed:
                break
            free[at], unit_of[at], turn[at] = free[below], unit_of[below], turn[below]
            at = below
    free[at], unit_of[at], turn[at] = completed, unit, units + number


@compiled
def _draw_work(p, d, key, node, jobs, first, last, is_everybody, work):
    """Write how long some visits of a task take, where that does not depend on who does it; return whether it does not.

    One simple thing after the other, for many at once, is what a processor is fast at.
    """
    number = p[p[P_NODES] + N_WIDTH * node + N_WORK]
    at = p[P_DISTRIBUTIONS] + number * D_WIDTH
    family = int(d[at])
    if family >= COMPOSED:
        return False
    if is_everybody:
        for job in range(first, last):
            work[job - first] = mix(key + (job + 1) * CASE_KEY)
    else:
        for job in range(first, last):
            work[job - first] = mix(key + (jobs[job] + 1) * CASE_KEY)
    purpose = stream_of(node, 1, 1, U_WORK)
    if family == EXPONENTIAL:
        mean = d[at + 1]
        for place in range(last - first):
            work[place] = mix(work[place] ^ purpose)
        for place in range(last - first):
            work[place] = micros(-mean * math.log(fraction(work[place], 0)))
    else:
        for place in range(last - first):
            work[place] = micros(sample(p, d, number, work[place], mix(work[place] ^ purpose), -1))
    return True


@compiled
def _visit(
    p,
    d,
    key,
    node,
    then,
    until,
    jobs,
    first_job,
    last_job,
    is_everybody,
    arrived,
    ready,
    since,
    source,
    rank,
    place,
    rows,
    first_row,
    stride,
    open_rows,
    ended,
    ends,
    flying,
    totals,
    served,
    free,
    unit_of,
    turn,
    units,
    work,
):
    distribution = p[p[P_NODES] + N_WIDTH * node + N_WORK]
    written, still_open, over, latest = totals[0], totals[1], totals[2], totals[3]
    unit, is_drawn = -1, True
    for job in range(first_job, last_job):
        place_of = (job - first_job) % _BLOCK
        if place_of == 0 and is_drawn:
            is_drawn = _draw_work(p, d, key, node, jobs, job, min(last_job, job + _BLOCK), is_everybody, work)
        number = job if is_everybody else jobs[job]
        came = begins = ready[number]
        if units:
            unit = unit_of[0]
            begins = max(came, free[0])
        took = work[place_of]
        if not is_drawn:
            own = mix(key + (number + 1) * CASE_KEY)
            drawn = sample(p, d, distribution, own, stream(own, node, 1, 1, U_WORK), unit)
            if math.isnan(drawn):
                return False
            took = micros(drawn)
        completed = min(begins + took, FOREVER)
        if units:
            _take_first(free, unit_of, turn, units, completed, job)
        if completed > until:  # what is still to come is not known yet
            o = 2 * ROW_WIDTH * still_open
            has_begun = begins <= until
            open_rows[o] = (number << 24) | node
            open_rows[o + 1] = came
            open_rows[o + 2] = begins if has_begun else -1
            open_rows[o + 3] = -1
            status = RUNNING if has_begun else PENDING
            open_rows[o + 4] = ((unit + 1) if has_begun else 0) | (status << 24) | (1 << ROW_MORE) | (1 << 32)
            open_rows[o + ROW_WIDTH] = open_rows[o + ROW_WIDTH + 1] = 0
            open_rows[o + ROW_WIDTH + 2] = -1
            open_rows[o + ROW_WIDTH + 3] = open_rows[o + ROW_WIDTH + 4] = 0
            flying[2 * still_open], flying[2 * still_open + 1] = number, arrived[number]
            still_open += 1
            if then != ENDS:
                place[number] = ENDS
            continue
        r = ROW_WIDTH * (first_row + stride * number if stride else written)
        written += 1
        rows[r] = (number << 24) | node
        rows[r + 1] = came
        rows[r + 2] = begins
        rows[r + 3] = completed
        rows[r + 4] = (unit + 1) | (COMPLETED << 24) | (1 << 32)
        latest = max(latest, completed)
        served[unit + 1] += 1
        after = then
        if then == FAILS:  # that is, not known
            after = _next(p, d, mix(key + (number + 1) * CASE_KEY), node)
            if after == FAILS:
                return False
        if after == ENDS:
            if stride:
                ends[number] = completed
            else:
                e = ENDED_WIDTH * over
                ended[e], ended[e + 1], ended[e + 2] = number, arrived[number], (completed << 4) | COMPLETED
                over += 1
            if then != ENDS:
                place[number] = ENDS
        else:
            ready[number], since[number], source[number], rank[number] = completed, begins, node, job
            place[number] = after
    totals[0], totals[1], totals[2], totals[3] = written, still_open, over, latest
    return True


@entry(
    *(_INTEGERS, _FLOATS, int64, int64, int64, int64, _INTEGERS, int64, int64, *6 * [_INTEGERS]),
    *(_TABLE, int64, int64, _TABLE, _TABLE, _INTEGERS, _TABLE, _INTEGERS, _INTEGERS, _TABLE, int64),
)
def visit(
    program,
    numbers,
    key,
    node,
    then,
    until,
    jobs,
    first_job,
    last_job,
    arrived,
    ready,
    since,
    source,
    rank,
    place,
    rows,
    first_row,
    stride,
    open_rows,
    ended,
    ends,
    flying,
    totals,
    served,
    busy,
    units,
):
    """Let some cases go through a task, in the order of ``jobs``, or, if there are none, of their numbers.

    Parameters
    ----------
    then
        The task that follows, ``ENDS`` for none, ``FAILS`` where each case has to be asked.
    until
        What ends later is open.
    arrived, ready, since, source, rank, place
        Of each case, by number: see `line_up`.
    rows, first_row, stride
        Where attempts are written: that of a case ``stride`` rows after that of the one before, or one after the other.
    open_rows, ended, ends, flying
        Where open attempts are written, cases that have ended (by number, the moments alone), and those that have not.
    totals, served
        How many of these there are so far (rows, open, ended), and the last moment; and the attempts of each resource.
    busy, units
        How many resources do it, and until when each is busy, its number, and its place among those free at one moment.

    Return whether it is known where all cases went.
    """
    free, unit_of, turn = busy[0], busy[1], busy[2]
    state = (arrived.ctypes, ready.ctypes, since.ctypes, source.ctypes, rank.ctypes, place.ctypes)
    found = (rows.ctypes, first_row, stride, open_rows.ctypes, ended.ctypes, ends.ctypes, flying.ctypes)
    who = (free.ctypes, unit_of.ctypes, turn.ctypes, units, np.empty(_BLOCK, dtype=np.int64).ctypes)
    where = (program.ctypes, numbers.ctypes, key, node, then, until, jobs.ctypes)
    which = (first_job, last_job, len(jobs) == 0)
    return _visit(*where, *which, *state, *found, totals.ctypes, served.ctypes, *who)
