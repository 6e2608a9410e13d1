"""The states of runs and steps, and the table of legal transitions."""

from __future__ import annotations

from enum import StrEnum

from orchkit.errors import InvalidTransitionError

__all__ = ["ErrorClass", "RunStatus", "StepStatus", "next_status"]


class StepStatus(StrEnum):
    """State of a step."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"


class RunStatus(StrEnum):
    """State of a run."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    CANCELLED = "CANCELLED"
    DEAD_LETTERED = "DEAD_LETTERED"

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self in _ENDS


class ErrorClass(StrEnum):
    """What an error means for the next attempt."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    PARTIAL = "partial"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


_S, _R = StepStatus, RunStatus

TRANSITIONS_OF_STEPS: dict[StepStatus, frozenset[StepStatus]] = {
    _S.PENDING: frozenset({_S.RUNNING, _S.CANCELLED, _S.FAILED, _S.SKIPPED}),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.COMPENSATING}),
    _S.WAITING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED}),
    _S.FAILED: frozenset({_S.RETRYING, _S.COMPENSATING, _S.COMPLETED}),
    _S.RETRYING: frozenset({_S.RUNNING, _S.CANCELLED, _S.FAILED}),
    _S.COMPLETED: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.CANCELLED: frozenset({_S.RETRYING}),  # by a replay of the run, which gave it up
    _S.COMPENSATING: frozenset({_S.COMPENSATED, _S.FAILED}),
    _S.COMPENSATED: frozenset({_S.COMPLETED}),  # by its fallback
}

_ENDS = frozenset({_R.COMPLETED, _R.FAILED, _R.COMPENSATED, _R.CANCELLED, _R.DEAD_LETTERED})
TRANSITIONS_OF_RUNS: dict[RunStatus, frozenset[RunStatus]] = {
    _R.PENDING: frozenset({_R.RUNNING, _R.CANCELLED}),
    _R.RUNNING: frozenset({_R.WAITING, _R.COMPENSATING}) | _ENDS,
    _R.WAITING: frozenset({_R.RUNNING, _R.COMPENSATING}) | _ENDS,
    _R.COMPENSATING: frozenset({_R.RUNNING, _R.WAITING}) | _ENDS,
    _R.COMPLETED: frozenset(),
    # By somebody's decision: a replay, or that a dead letter is discarded.
    _R.FAILED: frozenset({_R.RUNNING}),
    _R.COMPENSATED: frozenset({_R.RUNNING}),
    _R.CANCELLED: frozenset({_R.RUNNING}),
    _R.DEAD_LETTERED: frozenset({_R.RUNNING, _R.FAILED}),
}


def next_status(current: StepStatus, wanted: StepStatus) -> StepStatus:
    """Return the wanted state of a step, or raise where the table forbids the change.

    Examples
    --------
    >>> next_status(StepStatus.FAILED, StepStatus.RETRYING)
    <StepStatus.RETRYING: 'RETRYING'>
    """
    if wanted not in TRANSITIONS_OF_STEPS[current]:
        legal = ", ".join(sorted(TRANSITIONS_OF_STEPS[current])) or "none: it is final"
        message = f"A step cannot go from {current} to {wanted}. Legal from here: {legal}."
        raise InvalidTransitionError(message)
    return wanted
