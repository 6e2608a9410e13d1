"""The columns of a log from the kernel's rows, compiled.

An entry only takes the pointers out of arrays: to take one counts a reference, which costs more than a row.
"""

from __future__ import annotations

from numba import float64, int8, int16, int32, int64, uint8

from orchkit.simulation.kernel.compiling import compiled, entry
from orchkit.simulation.kernel.draws import case_key, sample_attribute
from orchkit.simulation.kernel.duty import open_between, span_at
from orchkit.simulation.kernel.layout import ENDED_WIDTH, MICRO, ROW_MORE, ROW_WIDTH, RUNNING, TOGETHER

__all__ = [
    "attribute",
    "count_rows",
    "fill",
    "number_cases",
    "on_duty",
    "place_cases",
    "write_numbers",
]

_NAT = -(1 << 63)
VARIED_STATUS, VARIED_ATTEMPT, VARIED_ERROR, VARIED_UNDONE, VARIED_REPLICATION = 1, 2, 4, 8, 16
_LIST, _TABLE = int64[::1], int64[:, ::1]


@compiled
def _place_cases(rows, length, flying, in_flight, count, replication, cases, width, status):
    for number in range(length):
        e = ENDED_WIDTH * number
        case = rows[e] * count + replication
        cases[case], cases[width + case] = rows[e + 1], rows[e + 2] >> 4
        status[case] = rows[e + 2] & 15
    for number in range(in_flight):
        cases[flying[2 * number] * count + replication] = flying[2 * number + 1]


@entry(_TABLE, _TABLE, int64, int64, _TABLE, int8[::1])
def place_cases(ended, flying, count, replication, cases, status):
    """Note when the cases of a replication arrived and ended, and how."""
    where = (len(ended), flying.ctypes, len(flying), count, replication)
    _place_cases(ended.ctypes, *where, cases.ctypes, cases.shape[1], status.ctypes)


@compiled
def _number_cases(cases, length, first, index):
    kept = 0
    for case in range(length):
        index[case] = -1
        if cases[case] >= first:
            index[case] = kept
            kept += 1
    return kept


@entry(_TABLE, int64, _LIST)
def number_cases(cases, first, index):
    """Give those cases a number that have arrived, from a moment on; return how many these are."""
    return _number_cases(cases.ctypes, cases.shape[1], first, index.ctypes)


@compiled
def _count_rows(rows, length, count, replication, index, offsets, used, width):
    at = most = 0
    while at < length:
        word, packed = rows[ROW_WIDTH * at], rows[ROW_WIDTH * at + 4]
        case = index[(word >> 24) * count + replication]
        if case >= 0:
            offsets[case + 1] += 1
            used[word & 0xFFFFFF] += 1
            used[width + (packed & 0xFFFFFF)] += 1
            used[2 * width + ((packed >> 24) & 15)] += 1
            kind = (packed >> 28) & 7
            used[3 * width + kind] += 1
            if kind:
                used[4 * width + (packed >> 47)] += 1
            most = max(most, (packed >> 32) & 0x7FFF)
        at += 1 + ((packed >> ROW_MORE) & 1)
    return most


@entry(_TABLE, int64, int64, _LIST, _LIST, _TABLE)
def count_rows(rows, count, replication, index, offsets, used):
    """Count the rows of each case of a replication; and how often each node, unit, status, class and type occurs.

    Return the highest number of an attempt.
    """
    where = (len(rows), count, replication, index.ctypes)
    return _count_rows(rows.ctypes, *where, offsets.ctypes, used.ctypes, used.shape[1])


@compiled
def _open_between(p, spans, calendar, begin, end):
    """Return the time on duty between two moments; of each calendar, the span that was looked up last is known."""
    if calendar < 0 or begin == end:
        return end - begin
    span = 2 * calendar
    if not spans[span] <= begin < spans[span + 1]:
        spans[span], spans[span + 1] = span_at(p, calendar, begin)
    if spans[span] <= begin and end <= spans[span + 1]:
        return end - begin
    return open_between(p, calendar, begin, end)


@compiled
def _count_work(p, r, row, begun, now, unit_pools, calendars, pauses, busy, spans):
    """Return how long an attempt was worked on; what of it lies in the time that is looked at keeps its resource busy."""
    started, ended, packed = r[row + 2], r[row + 3], r[row + 4]
    unit = (packed & 0xFFFFFF) - 1
    away = r[row + ROW_WIDTH + 4] if (packed >> ROW_MORE) & 1 else 0
    if unit < 0 or started < 0 or away == TOGETHER:  # it was done together with another step, which has it
        return 0
    if ended < 0:  # it is still at work, or was interrupted
        if (packed >> 24) & 15 != RUNNING:
            return 0
        ended = now if ended == -1 else -2 - ended
    calendar = calendars[unit] if pauses[unit_pools[unit]] else -1
    work = _open_between(p, spans, calendar, started, ended) - away
    # What was done before costs, but did not keep anybody busy in this time.
    busy[unit] += (
        work if started >= begun else max(0, _open_between(p, spans, calendar, min(begun, ended), ended) - away)
    )
    return work


@compiled
def _fill(
    p,
    r,
    row,
    case,
    replication,
    to,
    length,
    times,
    floats,
    numbers,
    codes,
    replications,
    varied,
    tables,
    width,
    node_pools,
    unit_pools,
    calendars,
    pool_calendars,
    costs,
    helpers,
    pauses,
    busy,
    begun,
    now,
    spans,
):
    """Write one row of the log; a column follows the other in its array."""
    node, enabled, started, completed, packed = r[row] & 0xFFFFFF, r[row + 1], r[row + 2], r[row + 3], r[row + 4]
    unit = (packed & 0xFFFFFF) - 1
    times[to] = enabled
    times[to + length] = started if started >= 0 else _NAT
    times[to + 2 * length] = completed if completed >= 0 else _NAT
    numbers[to] = case
    numbers[to + length] = tables[node]
    numbers[to + 2 * length] = tables[6 * width + unit + 1]
    codes[to] = tables[width + node]
    if varied & VARIED_STATUS:
        codes[to + length] = tables[2 * width + ((packed >> 24) & 15)]
    if varied & VARIED_ATTEMPT:
        numbers[to + 3 * length] = (packed >> 32) & 0x7FFF
    if varied & VARIED_ERROR:
        kind = (packed >> 28) & 7
        codes[to + 2 * length] = tables[3 * width + kind]
        codes[to + 3 * length] = tables[4 * width + (packed >> 47)] if kind else -1
    if varied & VARIED_UNDONE:
        codes[to + 4 * length] = tables[5 * width + node]
    if varied & VARIED_REPLICATION:
        replications[to] = replication
    later, overtaken, gathered = 0, -1, 0
    if (packed >> ROW_MORE) & 1:
        if r[row + ROW_WIDTH] != 0:
            floats[to + 6 * length] = r[row + ROW_WIDTH] / MICRO
        later, overtaken = r[row + ROW_WIDTH + 1], r[row + ROW_WIDTH + 2]
        gathered = r[row + ROW_WIDTH + 3]
    until = started if started >= 0 else completed
    pool = node_pools[node]
    if until >= 0 and pool >= 0:
        ready = min(enabled + later, until)
        if ready != enabled:
            floats[to + 5 * length] = (ready - enabled) / MICRO
        if gathered != 0:
            gathered = min(gathered, until - ready)
            floats[to + 3 * length] = gathered / MICRO
            ready += gathered
        if until != ready:
            calendar = pool_calendars[pool]
            open_us = _open_between(p, spans, calendar, ready, until)
            floats[to + 2 * length] = (until - ready - open_us) / MICRO
            if overtaken >= 0:
                late = _open_between(p, spans, calendar, min(max(overtaken, ready), until), until)
                floats[to + 4 * length] = late / MICRO
                open_us -= late
            floats[to + length] = open_us / MICRO
    elif until > enabled:
        floats[to + 5 * length] = (until - enabled) / MICRO
    work = _count_work(p, r, row, begun, now, unit_pools, calendars, pauses, busy, spans)
    if unit >= 0 and started >= 0 and completed >= 0:
        pool = unit_pools[unit]
        per_hour, per_step = costs[2 * pool] + helpers[2 * node], costs[2 * pool + 1] + helpers[2 * node + 1]
        if per_hour != 0.0 or per_step != 0.0:
            floats[to] = per_hour * work / (3_600.0 * MICRO) + per_step


@compiled
def _fill_from(
    p,
    rows,
    count_of_rows,
    count,
    replication,
    index,
    indexed,
    cursor,
    length,
    times,
    floats,
    numbers,
    codes,
    replications,
    varied,
    tables,
    width,
    node_pools,
    unit_pools,
    calendars,
    pool_calendars,
    costs,
    helpers,
    pauses,
    busy,
    begun,
    now,
    spans,
):
    """Write rows as they lie, each where its case has come to: a counting sort, which keeps their order within a case."""
    columns = (times, floats, numbers, codes, replications, varied)
    staff = (node_pools, unit_pools, calendars, pool_calendars, costs, helpers, pauses, busy, begun, now, spans)
    at = 0
    while at < count_of_rows:
        row, to = ROW_WIDTH * at, at
        number = rows[row] >> 24
        case = index[number * count + replication] if indexed else number
        at += 1 + ((rows[row + 4] >> ROW_MORE) & 1)
        if case < 0:  # the log does not have it, but it keeps resources busy
            _count_work(p, rows, row, begun, now, unit_pools, calendars, pauses, busy, spans)
            continue
        if indexed:
            to = cursor[case]
            cursor[case] = to + 1
        _fill(p, rows, row, number, replication, to, length, *columns, tables, width, *staff)


@entry(
    *(_LIST, _TABLE, _TABLE, int64, int64, _LIST, _LIST),
    *(_TABLE, float64[:, ::1], int32[:, ::1], int16[:, ::1], int64[::1], int64),
    *(int32[:, ::1], _LIST, _LIST, _LIST, _LIST, float64[:, ::1], float64[:, ::1], *3 * [_LIST], int64, int64),
)
def fill(
    program,
    rows,
    open_rows,
    count,
    replication,
    index,
    cursor,
    times,
    floats,
    numbers,
    codes,
    replications,
    varied,
    tables,
    node_pools,
    unit_pools,
    calendars,
    pool_calendars,
    costs,
    helpers,
    pauses,
    spans,
    busy,
    begun,
    now,
):
    """Write the columns of the log for the cases of one replication; the floats are zero before.

    Each case's next row goes where ``cursor`` says; without an index, all cases are there, and the rows lie as the log's
    do. Columns that have one value only are not written. What resources did is counted between the moments ``begun`` and
    ``now``.
    """
    where = (count, replication, index.ctypes, len(index), cursor.ctypes, times.shape[1])
    columns = (times.ctypes, floats.ctypes, numbers.ctypes, codes.ctypes, replications.ctypes, varied)
    people = (node_pools.ctypes, unit_pools.ctypes, calendars.ctypes, pool_calendars.ctypes)
    staff = (*people, costs.ctypes, helpers.ctypes, pauses.ctypes, busy.ctypes, begun, now, spans.ctypes)
    names = (tables.ctypes, tables.shape[1])
    _fill_from(program.ctypes, rows.ctypes, len(rows), *where, *columns, *names, *staff)
    _fill_from(program.ctypes, open_rows.ctypes, len(open_rows), *where, *columns, *names, *staff)


@compiled
def _attribute(p, d, number, keys, count, cases, total, values):
    for at in range(total):
        case, replication = cases[at] // count, cases[at] % count
        key = case_key(p, keys[replication], case)
        values[at] = sample_attribute(p, d, number, key)


@entry(_LIST, float64[::1], int64, _LIST, _LIST, float64[::1])
def attribute(program, numbers, number, keys, cases, values):
    """Write the value of an attribute for each case: of a number and a replication, as the log counts them."""
    where = (keys.ctypes, len(keys), cases.ctypes, len(cases))
    _attribute(program.ctypes, numbers.ctypes, number, *where, values.ctypes)


@compiled
def _on_duty(p, calendars, count, start, end, found):
    for at in range(count):
        found[at] = open_between(p, calendars[at], start, end)


@entry(_LIST, _LIST, int64, int64, _LIST)
def on_duty(program, calendars, start, end, found):
    """Write how long each calendar is open between two moments."""
    _on_duty(program.ctypes, calendars.ctypes, len(calendars), start, end, found.ctypes)


@entry(int64, uint8[:, ::1])
def write_numbers(width, texts):
    """Write the numbers from 1 on as text, with zeros in front."""
    for at in range(len(texts)):
        for place in range(width):
            texts[at, place] = texts[at - 1, place] if at else 48
        place = width - 1
        while texts[at, place] == 57:  # noqa: PLR2004 -- a nine
            texts[at, place] = 48
            place -= 1
        texts[at, place] += 1
