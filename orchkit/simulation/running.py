"""One replication: the kernel goes on until nothing is left to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchkit.errors import ScenarioError
from orchkit.simulation.forward import Route, go_forward
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.known import Replication
from orchkit.simulation.lowering import Lowered
from orchkit.simulation.memory import Memory
from orchkit.simulation.resumption import Resumption
from orchkit.simulation.rows import Rows

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

__all__ = ["Task", "replication"]

_EVENTS_AT_ONCE = 200_000
_MARGIN = 4_096
_MOST_RESTARTS = 8
_LONGEST_STILL = 100  # times so many events without the end of any case


@dataclass(frozen=True, slots=True)
class Task:
    """What is the same for all replications."""

    program: Lowered
    cases: int
    until: int
    seed: int
    warm_up: int = 0
    resumed: Resumption | None = None
    route: Route | None = None

    def key_of(self, number: int) -> int:
        """Return what the draws of a replication are made of."""
        return (self.seed * 0x9E3779B97F4A7C1 + (number + 1) * 0x2545F4914F6CDD1) % (1 << 62)


def replication(task: Task, number: int, stopped: threading.Event | None = None) -> Replication:
    """Return one replication; where memory runs out within an event, it is begun again with more."""
    if task.route is not None:
        forward = go_forward(task.program, task.route, number, task.key_of(number), task.cases, task.until, stopped)
        if forward is not None:
            return _lasting(task, forward)
    margin = _MARGIN
    for _ in range(_MOST_RESTARTS):
        found = _attempt(task, number, margin, stopped)
        if found is not None:
            return _lasting(task, found)
        margin *= 8
    message = "simulate: one moment of a case needs more memory than there is. Does a loop go around without end?"
    raise ScenarioError(message)


def _lasting(task: Task, found: Replication) -> Replication:
    """Return a replication that lasts as long as was asked for, even where nothing is left to happen.

    Raises
    ------
    ScenarioError
        It goes on for thousands of years.
    """
    if found.now >= at.LATEST:
        rows = found.rows[found.rows[:, 3] >= at.LATEST] if len(found.rows) else found.rows
        rows = rows if len(rows) else found.open_rows
        where = f", at {task.program.nodes[int(rows[0, 0]) & 0xFFFFFF].name!r}" if len(rows) else ""
        message = (
            f"simulate: it goes on beyond the year 9999{where}. "
            "Is what this takes, or the time between arrivals, in the unit that was meant? A number is seconds."
        )
        raise ScenarioError(message)
    return replace(found, now=max(found.now, task.until)) if task.until < at.FOREVER <= task.cases else found


def _attempt(task: Task, number: int, margin: int, stopped: threading.Event | None) -> Replication | None:
    from orchkit.simulation.kernel.loop import begin, run  # noqa: PLC0415 -- compiles, or reads what was compiled

    program = task.program
    p, d = program.program, program.numbers
    resumed = task.resumed
    memory = Memory(program, margin, room=0 if resumed is None else resumed.room)
    memory.m[at.M_CASE_LIMIT], memory.m[at.M_UNTIL] = task.cases, min(task.until, at.LATEST)
    memory.m[at.M_KEY] = task.key_of(number)
    memory.m[at.M_WARM] = int(p[at.P_START]) + task.warm_up
    outlasted = np.zeros(0, dtype=np.bool_) if resumed is None else _take_up(program, memory, resumed)
    begin(p, memory.m, d)
    rows, ended = Rows(at.ROW_WIDTH), Rows(at.ENDED_WIDTH)
    known = task.cases < at.FOREVER
    state, still = 1, 0
    while state:
        if stopped is not None and stopped.is_set():
            message = "interrupted"
            raise KeyboardInterrupt(message)
        state = run(p, memory.m, d, _EVENTS_AT_ONCE, margin)
        if state == 3:  # noqa: PLR2004 -- as the kernel says
            if memory.m[at.M_UNKNOWN]:
                raise _unknown(program, int(memory.m[at.M_UNKNOWN]) - 1)
            return None
        over = memory.drain(at.M_ENDED, at.M_ENDED_COUNT, at.ENDED_WIDTH)
        still = 0 if len(over) else still + 1
        if still > _LONGEST_STILL + 2 * int(memory.m[at.M_STEPS_LIVE]) // _EVENTS_AT_ONCE:
            raise _endless(program, memory)
        ended.add(over, task.cases if known else 0)
        fresh = memory.drain(at.M_ROWS, at.M_ROW_COUNT, at.ROW_WIDTH)
        share = task.cases / max(1, len(ended)) if known else 0
        rows.add(fresh, int(1.02 * (len(rows) + len(fresh)) * share))
        if state == 2:  # noqa: PLR2004
            memory.grow(margin)
    if known and len(ended) == task.cases:  # whatever is still to come, such as a deadline, concerns nobody
        memory.m[at.M_NOW] = memory.m[at.M_ACTED]
    return Replication(
        number,
        rows.take(),
        ended.take(),
        *memory.open_rows(),
        memory.now,
        int(memory.m[at.M_KEY]),
        outlasted,
        memory.helped(),
    )


def _unknown(program: Lowered, number: int) -> ScenarioError:
    node = program.nodes[number].name
    message = (
        f"simulate: {node!r}: a case has a value for which by_attribute says nothing. Give it an otherwise=…, "
        "for all values that it does not name."
    )
    return ScenarioError(message, node=node)


def _endless(program: Lowered, memory: Memory) -> ScenarioError:
    """Return the error about cases that go on and on; it names where they are most often."""
    m, width = memory.m, memory.widths[at.M_CASES][0]
    visits = m[m[at.M_CASES] :][: width * m[at.M_CASE_COUNT]].reshape(-1, width)[:, at.K_VISITS :].max(axis=0)
    node = program.nodes[int(visits.argmax())].name
    message = (
        f"simulate: no case ends any more; one has been at {node!r} {visits.max():,} times. "
        "Is there a way out of the loop that it is in, with a probability above 0?"
    )
    return ScenarioError(message, node=node)


def _take_up(program: Lowered, memory: Memory, resumed: Resumption) -> NDArray[np.bool_]:
    """Let cases in flight go on; tell which of their steps have taken longer than the scenario thinks possible."""
    from orchkit.simulation.kernel.resuming import OUTLASTED, resume  # noqa: PLC0415 -- compiles, or reads it

    resumed.put_into(memory)
    plan = resumed.plan.copy()
    resume(program.program, memory.m, program.numbers, plan)
    marked: NDArray[np.bool_] = plan[2::3] == OUTLASTED
    return marked
