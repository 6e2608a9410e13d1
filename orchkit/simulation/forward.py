"""Workflows in which cases only go forward, one way, by roles that serve one task each: reckoned without events."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchkit.simulation.kernel import layout as at
from orchkit.simulation.known import Replication, Straight
from orchkit.simulation.rows import room_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.simulation.lowering import Lowered

__all__ = ["Route", "go_forward", "route_of"]

_FIRST = 1 << 14
_AT_ONCE = 1 << 22  # cases, in between which one looks whether it was interrupted
_MOST = 10_000_000  # cases whose order is looked for, or who may be in flight at the end
_ABSENT = (
    at.N_TIMEOUT,
    at.N_DEADLINE,
    at.N_DELAY,
    at.N_SETUP,
    at.N_PATIENCE,
)
_ZERO = (at.N_FAILURE_COUNT, at.N_DEMAND_COUNT, at.N_CHOICE, at.N_RIVAL_COUNT)


@dataclass(frozen=True, slots=True)
class Route:
    """How cases go through a workflow.

    Attributes
    ----------
    start
        The node from which they set out.
    tasks
        In the order in which a case may come to them.
    after
        What follows the start and each task: a task, or nothing; absent where a case has a choice.
    """

    start: int
    tasks: tuple[int, ...]
    after: dict[int, int]

    @property
    def is_fixed(self) -> bool:
        """Whether all cases go the same way."""
        return len(self.after) == len(self.tasks) + 1


def route_of(program: Lowered) -> Route | None:
    """Return how cases go through a workflow; None where it has more to it, so that each event has to be followed."""
    p = program.program.tolist()
    graph = p[at.P_GRAPHS]
    if p[graph + at.G_START_COUNT] != 1:
        return None
    used: set[int] = set()
    ways: dict[int, list[int]] = {}
    start = p[p[at.P_FLOWS] + at.F_WIDTH * p[p[at.P_LISTS] + p[graph + at.G_STARTS]] + at.F_TARGET]
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node in ways:
            continue
        row = p[p[at.P_NODES] + at.N_WIDTH * node :][: at.N_WIDTH]
        if not _is_plain(row, program, used):
            return None
        ways[node] = [
            p[p[at.P_FLOWS] + at.F_WIDTH * flow + at.F_TARGET]
            for flow in p[p[at.P_LISTS] + row[at.N_OUT] :][: row[at.N_OUT_COUNT]]
        ]
        waiting += ways[node]
    order = _sorted(start, ways)
    kinds = {node: p[p[at.P_NODES] + at.N_WIDTH * node + at.N_KIND] for node in ways}
    if order is None or kinds[start] == at.TASK:
        return None
    tasks = tuple(node for node in order if kinds[node] == at.TASK)
    return Route(start, tasks, _fixed(start, tasks, ways, kinds))


def _is_plain(row: list[int], program: Lowered, used: set[int]) -> bool:
    """Return whether a node takes a token and passes it on, with nothing else to it, and nobody else's resources."""
    kind, pool = row[at.N_KIND], row[at.N_POOL]
    if kind in (at.START, at.END, at.XOR):
        return row[at.N_END] == 0 and (kind == at.XOR or row[at.N_OUT_COUNT] <= 1)
    if kind != at.TASK or row[at.N_OUT_COUNT] > 1 or row[at.N_BATCH] > 1:
        return False
    if any(row[place] >= 0 for place in _ABSENT) or any(row[place] for place in _ZERO):
        return False
    if pool < 0:
        return True
    _, resource, first = program.pools[pool]
    calendars = program.unit_calendars[first : first + resource.count]
    is_own = pool not in used and program.others[pool][1] == 0
    used.add(pool)
    return is_own and resource.discipline == "fifo" and resource.queue_limit is None and max(calendars) < 0


def _sorted(start: int, ways: dict[int, list[int]]) -> list[int] | None:
    """Return nodes so that each comes after those that lead to it; None where one leads to itself."""
    left = dict.fromkeys(ways, 0)
    for targets in ways.values():
        for target in targets:
            left[target] += 1
    order, free = [], [start] if left[start] == 0 else []
    while free:
        node = free.pop()
        order.append(node)
        for target in ways[node]:
            left[target] -= 1
            if left[target] == 0:
                free.append(target)
    return order if len(order) == len(ways) else None


def _fixed(start: int, tasks: tuple[int, ...], ways: dict[int, list[int]], kinds: dict[int, int]) -> dict[int, int]:
    from orchkit.simulation.kernel.forward import ENDS  # noqa: PLC0415 -- compiles, or reads what was compiled

    found = {}
    for first in (start, *tasks):
        node = first
        while len(ways[node]) == 1:
            node = ways[node][0]
            if kinds[node] == at.TASK:
                break
        if not ways[node] and (node == first or kinds[node] != at.TASK):
            found[first] = ENDS
        elif kinds[node] == at.TASK and node != first:
            found[first] = node
    return found


class _State:
    """What is known of each case, by its number, and what becomes of it. Memory that is not written takes no space.

    Where all go the same way until they end (``is_straight``), their attempts lie by case, and ``completed`` says when
    they ended.
    """

    def __init__(
        self, room: NDArray[np.int64], arrived: NDArray[np.int64], after: int, route: Route, units: int
    ) -> None:
        count, tasks = len(arrived), len(route.tasks)
        self.after, self.is_straight = after, len(room) > 0
        self.totals, self.served = np.zeros(4, dtype=np.int64), np.zeros(units + 1, dtype=np.int64)
        none = np.empty(0, dtype=np.int64)
        self.arrived = self.ready = arrived
        self.place = none if tasks == 1 and route.is_fixed else np.empty(count, dtype=np.int64)
        self.jobs = self.spare = self.since = self.source = self.rank = none
        if len(self.place):
            self.ready, self.rank = arrived.copy(), np.arange(count)
            self.since, self.source, self.jobs, self.spare = np.empty((4, count), dtype=np.int64)
            self.since[:1], self.since[1:] = -1, arrived[:-1]
            self.source[:] = route.start
        rows = room[count : count + at.ROW_WIDTH * tasks * count].reshape(-1, at.ROW_WIDTH)
        self.rows = rows if self.is_straight else np.empty((0, at.ROW_WIDTH), dtype=np.int64)
        self.completed = room[len(room) - count * self.is_straight :]
        events = 0 if self.is_straight else count
        self.open_rows = np.empty((2 * events, at.ROW_WIDTH), dtype=np.int64)
        self.ended = np.empty((events, at.ENDED_WIDTH), dtype=np.int64)
        self.flying = np.empty((events, 2), dtype=np.int64)

    def make_room(self, count: int) -> None:
        """Let so many rows more be written."""
        wanted = int(self.totals[0]) + count
        if wanted > len(self.rows):
            self.rows.resize((max(wanted, len(self.rows) + len(self.rows) // 2), at.ROW_WIDTH), refcheck=False)


def go_forward(
    program: Lowered, route: Route, number: int, key: int, cases: int, until: int, stopped: threading.Event | None
) -> Replication | None:
    """Return a replication; None where events of one moment meet whose order only the kernel can tell.

    Parameters
    ----------
    number, key
        Of the replication, and what its draws are made of.
    cases, until
        How many cases arrive at most, and when it is over.
    stopped
        Whether somebody has interrupted it.
    """
    state = _begun(program, route, key, cases, until, stopped)
    if state is None or not _set_out(program, route, key, state):
        return None
    if not all(_go_through(program, route, task, key, until, state, stopped) for task in route.tasks):
        return None
    rows, still_open, over, latest = state.totals.tolist()
    steps = np.zeros(len(program.nodes), dtype=np.int64)
    steps[list(route.tasks)] = len(state.arrived)
    return Replication(
        number,
        state.rows[:rows],
        state.ended[:over],
        state.open_rows[: 2 * still_open],
        state.flying[:still_open],
        until if still_open or state.after > until else latest,
        key,
        np.zeros(0, dtype=np.bool_),
        np.zeros(len(program.units), dtype=np.int64),
        Straight(state.arrived, state.completed, steps, state.served) if state.is_straight else None,
    )


def _begun(
    program: Lowered, route: Route, key: int, cases: int, until: int, stopped: threading.Event | None
) -> _State | None:
    """Return what is known when all have arrived; None where these are too many."""
    is_straight = until == at.FOREVER and route.is_fixed and _comes(program, cases)
    is_free = is_straight and len(route.tasks) == 1  # nobody has to be lined up
    if not is_free and until == at.FOREVER and cases > _MOST:
        return None
    try:
        room = room_for((at.ROW_WIDTH * len(route.tasks) + 2) * cases if is_straight else 0)
    except MemoryError:
        return None
    most = cases if is_free else min(cases, _MOST + 1)
    arrived, after = _arrivals(program, key, most, until, room, stopped)
    if (len(arrived) and 0 <= after < arrived[-1]) or (not is_free and len(arrived) > _MOST):
        return None
    if arrived.max(initial=0) >= at.LATEST:  # events end there, sums do not
        return None
    return _State(room, arrived, after, route, len(program.units))


def _set_out(program: Lowered, route: Route, key: int, state: _State) -> bool:
    """Let each case know its first task; return whether all have one."""
    from orchkit.simulation.kernel.forward import ENDS, set_out  # noqa: PLC0415 -- as above

    p, first = program.program, route.after.get(route.start)
    state.totals[3] = state.arrived[-1] if len(state.arrived) else p[at.P_START]
    if first is None:
        return bool(set_out(p, program.numbers, key, route.start, state.place))
    state.place[:] = first
    return first != ENDS


def _go_through(
    program: Lowered,
    route: Route,
    task: int,
    key: int,
    until: int,
    state: _State,
    stopped: threading.Event | None,
) -> bool:
    """Let the cases go through a task that come to it; return whether it is known in which order, and where to."""
    from orchkit.simulation.kernel.forward import FAILS, line_up, visit  # noqa: PLC0415 -- as above

    count, jobs = len(state.arrived), state.jobs[:0]
    order = (state.ready, state.since, state.source, state.rank)
    if task != route.after.get(route.start):
        jobs = state.jobs
        count = line_up(task, state.place, jobs, state.spare, *order)
        if count < 0:
            return False
    if not state.is_straight:
        state.make_room(count)
    what = (program.program, program.numbers, key, task, route.after.get(task, FAILS), until, jobs)
    rows = (state.rows, route.tasks.index(task), len(route.tasks) if state.is_straight else 0)
    found = (state.open_rows, state.ended, state.completed, state.flying, state.totals, state.served)
    busy, units = _resources(program, task)
    for begin in range(0, count, _AT_ONCE):
        _look_up(stopped)
        which = (begin, min(count, begin + _AT_ONCE))
        if not visit(*what, *which, state.arrived, *order, state.place, *rows, *found, busy, units):
            return False
    return True


def _comes(program: Lowered, cases: int) -> bool:
    """Return whether so many cases arrive at all."""
    return int(program.program[at.P_ARRIVAL_KIND]) != 1 or int(program.program[at.P_ARRIVAL_COUNT]) >= cases


def _resources(program: Lowered, task: int) -> tuple[NDArray[np.int64], int]:
    """Return who does a task, all idle: until when each is busy, its number, its place in the line; and how many."""
    pool = int(program.node_pools[task])
    if pool < 0:
        return np.zeros((3, 1), dtype=np.int64), 0
    _, resource, first = program.pools[pool]
    places = np.arange(resource.count)
    return np.stack([np.full(resource.count, -at.FOREVER), first + places, places]), resource.count


def _look_up(stopped: threading.Event | None) -> None:
    if stopped is not None and stopped.is_set():
        message = "interrupted"
        raise KeyboardInterrupt(message)


def _arrivals(
    program: Lowered,
    key: int,
    cases: int,
    until: int,
    room: NDArray[np.int64],
    stopped: threading.Event | None,
) -> tuple[NDArray[np.int64], int]:
    """Return when cases arrive, and when the one would who is not counted; -1 for none."""
    from orchkit.simulation.kernel.forward import arrive  # noqa: PLC0415 -- as above

    arrived = room[:cases] if len(room) else np.empty(min(cases, _FIRST), dtype=np.int64)
    count, moment = 0, int(program.program[at.P_START])
    while True:
        _look_up(stopped)
        wanted = min(_AT_ONCE, len(arrived) - count)
        came, moment = arrive(program.program, program.numbers, key, until, count, wanted, moment, arrived)
        count += came
        if came < wanted or count == cases:
            return arrived[:count], moment if came < wanted else -1
        if count == len(arrived):
            arrived = np.concatenate([arrived, np.empty(min(2 * count, cases) - count, dtype=np.int64)])
