"""What replications have found, and what is known of all of their cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchkit.columns import NAT
from orchkit.simulation.kernel import layout as at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchkit.simulation.lowering import Lowered

__all__ = ["Known", "Replication", "Straight", "known_of"]


@dataclass(frozen=True, slots=True)
class Straight:
    """Cases that have all ended well, with the same steps, whose rows lie by case, as those of the log will.

    Attributes
    ----------
    arrived, ended
        When, by the number of the case.
    steps, served
        How many there are, by node and by resource (0: without).
    """

    arrived: NDArray[np.int64]
    ended: NDArray[np.int64]
    steps: NDArray[np.int64]
    served: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Replication:
    """What the kernel wrote in one replication.

    Attributes
    ----------
    rows, open_rows
        Attempts that have ended, in the order of their ends; those that have not.
    ended, flying
        Cases that have ended (number, arrival, end and status); those in flight (number, arrival).
    now
        When it was over.
    key
        What its draws are made of.
    outlasted
        By row of the plan of a warm start: whether what has passed is longer than the scenario thinks possible.
    helped
        By resource: how long it was at work as one of several who are needed at once, beside the first.
    straight
        Where it is so simple, instead of ``ended``: see `Straight`.
    """

    number: int
    rows: NDArray[np.int64]
    ended: NDArray[np.int64]
    open_rows: NDArray[np.int64]
    flying: NDArray[np.int64]
    now: int
    key: int
    outlasted: NDArray[np.bool_]
    helped: NDArray[np.int64]
    straight: Straight | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The cases of all replications: by number, and for each number by replication; so the log sorts them.

    Attributes
    ----------
    arrived, ended, status
        When, and how; ``-FOREVER`` for one that did not.
    index
        The number of each in the log, -1 for none; None where all are there, and the rows lie as the log's will.
    is_whole
        Whether the log counts them as the only replication does.
    offsets
        The log's.
    used, attempts
        How often each node, unit, status, class and type of errors occurs, and the highest attempt.
    """

    arrived: NDArray[np.int64]
    ended: NDArray[np.int64]
    status: NDArray[np.int8]
    index: NDArray[np.int64] | None
    is_whole: bool
    offsets: NDArray[np.int64]
    used: NDArray[np.int64]
    attempts: int

    @property
    def count(self) -> int:
        """How many numbers there are, in all replications."""
        return len(self.arrived)


def known_of(program: Lowered, parts: Sequence[Replication], warm_up_us: int) -> Known:
    """Return what is known of the cases that arrive when it is warm."""
    found = _straight(program, parts[0]) if len(parts) == 1 and not warm_up_us else None
    return _counted(program, parts, warm_up_us) if found is None else found


def _unused(program: Lowered) -> NDArray[np.int64]:
    return np.zeros((5, max(len(program.nodes), len(program.units) + 1, len(program.types), 16)), dtype=np.int64)


def _straight(program: Lowered, part: Replication) -> Known | None:
    """Return what is known of the cases where these are so simple that nothing has to be looked for."""
    straight, used = part.straight, _unused(program)
    if straight is None:
        return None
    total, rows = len(straight.arrived), len(part.rows)
    used[0, : len(straight.steps)], used[1, : len(straight.served)] = straight.steps, straight.served
    used[2, at.COMPLETED] = used[3, 0] = rows
    offsets = np.arange(total + 1) * (rows // max(total, 1))
    status = np.full(total, at.COMPLETED, dtype=np.int8)
    return Known(straight.arrived, straight.ended, status, None, True, offsets, used, 1)  # noqa: FBT003


def _counted(program: Lowered, parts: Sequence[Replication], warm_up_us: int) -> Known:
    from orchkit.simulation.kernel.columns import count_rows, number_cases, place_cases  # noqa: PLC0415 -- compiled

    count = len(parts)
    first = int(program.program[at.P_START]) + warm_up_us if warm_up_us else 1 - at.FOREVER
    over = [_ended(part) for part in parts]
    numbers = max((int(ended[:, 0].max(initial=-1)) for ended in over), default=-1)
    numbers = 1 + max(numbers, *(int(part.flying[:, 0].max(initial=-1)) for part in parts))
    cases = np.empty((2, numbers * count), dtype=np.int64)  # arrived, ended
    cases[0], cases[1] = -at.FOREVER, NAT
    status = np.full(numbers * count, at.RUNNING, dtype=np.int8)
    for position, part in enumerate(parts):
        place_cases(over[position], part.flying, count, position, cases, status)
    index = np.empty(numbers * count, dtype=np.int64)
    kept = int(number_cases(cases, first, index))
    offsets, used, attempts = np.zeros(kept + 1, dtype=np.int64), _unused(program), 0
    for position, part in enumerate(parts):
        for rows in (part.rows, part.open_rows):
            attempts = max(attempts, int(count_rows(rows, count, position, index, offsets, used)))
    np.cumsum(offsets, out=offsets)
    return Known(cases[0], cases[1], status, index, count == 1 and kept == numbers, offsets, used, attempts)


def _ended(part: Replication) -> NDArray[np.int64]:
    if part.straight is None:
        return part.ended
    arrived, ended = part.straight.arrived, part.straight.ended
    return np.column_stack([np.arange(len(arrived)), arrived, (ended << 4) | at.COMPLETED])
