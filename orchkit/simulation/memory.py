"""The memory of the simulation's kernel: its tables in one array, and how they grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchkit.simulation.kernel import layout as at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.simulation.lowering import Lowered

__all__ = ["Memory"]

_CHUNK = 1 << 13
_DISCIPLINES = ("fifo", "lifo", "priority", "preemptive", "shortest")


class Memory:
    """The kernel's memory, and how it grows.

    Attributes
    ----------
    m
        One array; the tables in it can be given more rows between events.
    """

    def __init__(self, program: Lowered, margin: int, trace: int = 0, room: int = 0) -> None:
        self.program = program
        p = program.program
        held, nodes, depth = int(p[at.P_HELD]), int(p[at.P_NODE_COUNT]), int(p[at.P_DEPTH])
        self.widths = {
            at.M_HEAP: (3, at.M_HEAP_SIZE, at.M_HEAP_COUNT),
            at.M_STEPS: (at.S_WIDTH, at.M_STEP_SIZE, at.M_STEP_COUNT),
            at.M_PASSES: (held, at.M_PASS_SIZE, at.M_PASS_COUNT),
            at.M_UNDOS: (at.U_WITHIN + depth, at.M_UNDO_SIZE, at.M_UNDO_COUNT),
            at.M_CASES: (at.K_VISITS + nodes, at.M_CASE_SIZE, at.M_CASE_COUNT),
        }
        sizes = dict.fromkeys(self.widths, 2 * margin + room)
        sizes[at.M_CASES] = 2 * _CHUNK + room
        self.fixed = {
            at.M_STACK: 4 * 4 * margin,
            at.M_AGENDA: 3 * 4 * margin,
            at.M_COMMANDS: 4 * 4 * margin,
            at.M_MESSAGES: 5 * 4 * margin,
            at.M_TOKENS: 2 * 4 * margin,
            at.M_OPENED: 2 * (nodes + 1),
            at.M_ROWS: at.ROW_WIDTH * max(_CHUNK, 4 * margin),
            at.M_ENDED: at.ENDED_WIDTH * max(_CHUNK, 4 * margin),
            at.M_POOLS: at.Q_WIDTH * max(1, len(program.pools)),
            at.M_UNITS: at.R_WIDTH * max(1, len(program.units)),
            at.M_BATCHES: 3 * nodes,
            at.M_SPANS: 2 * (1 + max((*program.unit_calendars, *program.pool_calendars), default=-1)),
            at.M_TRACE: at.TRACE_WIDTH * trace,
        }
        self.m = np.zeros(0, dtype=np.int64)
        self.lengths: dict[int, int] = {}
        self._lay_out(sizes)
        m = self.m
        m[at.M_STACK_SIZE] = m[at.M_AGENDA_SIZE] = 4 * margin
        m[at.M_ROW_SIZE] = m[at.M_ENDED_SIZE] = max(_CHUNK, 4 * margin)
        m[at.M_TRACE_SIZE] = trace
        for place in (at.M_STEP_FREE, at.M_PASS_FREE, at.M_UNDO_FREE, at.M_CASE_FREE):
            m[place] = -1
        self._staff()

    @property
    def now(self) -> int:
        """The kernel's time."""
        return int(self.m[at.M_NOW])

    def _lay_out(self, sizes: dict[int, int]) -> None:
        old, new = self.m, np.zeros(0, dtype=np.int64)
        place, places = at.M_HEADER, {}
        for table, length in self.fixed.items():
            places[table] = (place, length)
            place += length
        for table, (width, _, _) in self.widths.items():
            places[table] = (place, width * sizes[table])
            place += width * sizes[table]
        new = np.zeros(place, dtype=np.int64)
        if len(old):
            new[: at.M_HEADER] = old[: at.M_HEADER]
            for table, (begin, length) in places.items():
                before = int(old[table])
                kept = min(length, self.lengths[table])
                new[begin : begin + kept] = old[before : before + kept]
        self.lengths = {table: length for table, (_, length) in places.items()}
        for table, (begin, _) in places.items():
            new[table] = begin
        for table, (_, size, _) in self.widths.items():
            new[size] = sizes[table]
        self.m = new

    def grow(self, margin: int) -> None:
        """Double the tables that are nearly full."""
        sizes = {table: int(self.m[size]) for table, (_, size, _) in self.widths.items()}
        for table, (_, size, count) in self.widths.items():
            used = max(int(self.m[count]), int(self.m[at.M_STEPS_LIVE]) if table == at.M_STEPS else 0)
            if used + margin >= self.m[size] or (table == at.M_CASES and used + 2 >= self.m[size]):
                sizes[table] *= 2
        if any(sizes[table] != self.m[size] for table, (_, size, _) in self.widths.items()):
            self._lay_out(sizes)

    def drain(self, table: int, count: int, width: int) -> NDArray[np.int64]:
        """Take the rows out of a table; they are there until the kernel goes on."""
        begin, rows = int(self.m[table]), int(self.m[count])
        self.m[count] = 0
        return self.m[begin : begin + rows * width].reshape(rows, width)

    def open_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the steps that are still open, as rows of the log, and the cases in flight."""
        m, held = self.m, int(self.program.program[at.P_HELD])
        width = self.widths[at.M_CASES][0]
        cases = m[m[at.M_CASES] :][: width * m[at.M_CASE_COUNT]].reshape(-1, width)
        steps = m[m[at.M_STEPS] :][: at.S_WIDTH * m[at.M_STEP_COUNT]].reshape(-1, at.S_WIDTH)
        passes = m[m[at.M_PASSES] :][: held * m[at.M_PASS_COUNT]].reshape(-1, held)
        live = steps[(steps[:, at.S_STATUS] >= 0) & (steps[:, at.S_KIND] != at.K_SCOPE)]
        # What is still delayed is not enabled, and has no time yet.
        live = live[live[:, at.S_UNIT] != at.DELAYED]
        numbers = cases[passes[live[:, at.S_PASS], at.I_CASE], at.K_NUMBER]
        rows = np.full((len(live), 2, at.ROW_WIDTH), -1, dtype=np.int64)
        rows[:, 0, 0] = (numbers << 24) | live[:, at.S_NODE]
        rows[:, 0, 1:3] = live[:, [at.S_ENABLED, at.S_STARTED]]
        rows[:, 0, 3] = np.where(live[:, at.S_PAUSED] >= 0, -2 - live[:, at.S_PAUSED], -1)
        packed = (live[:, at.S_UNIT] + 1) | (live[:, at.S_STATUS] << 24) | (live[:, at.S_ATTEMPT] << 32)
        rows[:, 0, 4] = packed | (1 << at.ROW_MORE)
        rows[:, 1, 0] = live[:, at.S_ENABLED] - live[:, at.S_SINCE]
        rows[:, 1, 1] = np.maximum(live[:, at.S_READY] - live[:, at.S_ENABLED], 0)
        rows[:, 1, 2] = live[:, at.S_OVERTAKEN]
        rows[:, 1, 3] = live[:, at.S_GATHERED]
        rows[:, 1, 4] = np.where(live[:, at.S_LEADER], at.TOGETHER, live[:, at.S_AWAY])
        flying = cases[cases[:, at.K_NUMBER] >= 0] if len(cases) else cases
        return rows.reshape(-1, at.ROW_WIDTH), np.ascontiguousarray(flying[:, [at.K_NUMBER, at.K_ARRIVED]])

    def helped(self) -> NDArray[np.int64]:
        """Return how long each resource was at work beside another that a step needed at once."""
        from orchkit.simulation.kernel.columns import on_duty  # noqa: PLC0415 -- compiles, or reads it

        m, program = self.m, self.program
        units = m[m[at.M_UNITS] :][: at.R_WIDTH * len(program.units)].reshape(-1, at.R_WIDTH)
        found = units[:, at.R_HELPED].copy()
        for unit, row in enumerate(units):
            step = m[m[at.M_STEPS] :][at.S_WIDTH * row[at.R_STEP] :]
            if row[at.R_STEP] >= 0 and step[at.S_UNIT] != unit:  # it helps now
                pauses = m[m[at.M_POOLS] :][at.Q_WIDTH * row[at.R_POOL] + at.Q_PAUSE]
                calendar = row[[at.R_CALENDAR]] if pauses else np.array([-1])
                since = min(max(row[at.R_BUSY], m[at.M_WARM]), self.now)
                on_duty(program.program, calendar, since, self.now, own := np.zeros(1, dtype=np.int64))
                found[unit] += own[0]
        return found

    def _staff(self) -> None:
        m = self.m
        for number, (_, resource, first) in enumerate(self.program.pools):
            q = int(m[at.M_POOLS]) + at.Q_WIDTH * number
            m[q + at.Q_FIRST], m[q + at.Q_COUNT] = first, resource.count
            m[q + at.Q_CALENDAR] = self.program.pool_calendars[number]
            m[q + at.Q_IDLE], m[q + at.Q_IDLE_LAST], m[q + at.Q_IDLE_COUNT] = (
                first,
                first + resource.count - 1,
                resource.count,
            )
            m[q + at.Q_HEAD] = m[q + at.Q_TAIL] = -1
            m[q + at.Q_DISCIPLINE] = _DISCIPLINES.index(resource.discipline)
            m[q + at.Q_LIMIT] = -1 if resource.queue_limit is None else resource.queue_limit
            m[q + at.Q_PAUSE] = int(resource.at_shift_end == "pause")
            m[q + at.Q_OTHERS], m[q + at.Q_OTHER_COUNT] = self.program.others[number]
            for unit in range(first, first + resource.count):
                r = int(m[at.M_UNITS]) + at.R_WIDTH * unit
                m[r + at.R_NEXT] = unit + 1 if unit + 1 < first + resource.count else -1
                m[r + at.R_CALENDAR], m[r + at.R_STEP], m[r + at.R_POOL] = self.program.unit_calendars[unit], -1, number
                m[r + at.R_ALSO] = -1
