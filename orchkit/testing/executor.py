"""An executor that fails as often as it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from orchkit.errors import PermanentError, TransientError
from orchkit.executors import Attempt, TaskExecutor
from orchkit.model.nodes import Task
from orchkit.model.retry import uniform

__all__ = ["FaultyExecutor"]


class FaultyExecutor:
    """Carries out tasks through another executor, and lets some attempts fail.

    Whether an attempt fails is a pure function of the seed, the step and the attempt, so that the same seed gives the
    same faults however threads interleave.

    Parameters
    ----------
    inner
        Does the work.
    transient, permanent, lost
        Shares of the attempts that fail before the work, for good before the work, and after it: the effect has
        happened, and its outcome is lost.
    seed
        Of the luck.

    Examples
    --------
    >>> from orchkit import Engine, task, workflow
    >>> from orchkit.executors import PythonExecutor
    >>> from orchkit.testing import VirtualClock
    >>> python = FaultyExecutor(PythonExecutor([len]), transient=0.9, seed=1)
    >>> patient = task("len", python={"handler": "len", "arguments": {}}, retry={"max_attempts": 2})
    >>> with Engine(executors={"python": python}, clock=VirtualClock()) as engine:
    ...     engine.run(workflow("w", [patient]), case_id="A").status.value
    'DEAD_LETTERED'
    """

    def __init__(
        self,
        inner: TaskExecutor,
        *,
        transient: float = 0.0,
        permanent: float = 0.0,
        lost: float = 0.0,
        seed: int = 0,
    ) -> None:
        if min(transient, permanent, lost) < 0 or transient + permanent + lost > 1:
            message = "transient, permanent and lost are shares: each at least 0, together at most 1."
            raise ValueError(message)
        self.inner = inner
        self.transient, self.permanent, self.lost = transient, permanent, lost
        self.seed = seed

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return self.inner.problem_with(task)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the work, or a fault in its place."""
        luck = self._luck(attempt)
        if luck < self.transient:
            return _raise(TransientError("a made-up fault"))
        if luck < self.transient + self.permanent:
            return _raise(PermanentError("a made-up fault"))
        work = self.inner.prepare(attempt)
        if luck < self.transient + self.permanent + self.lost:
            return _lose(work)
        return work

    def _luck(self, attempt: Attempt) -> float:
        place = f"{self.seed}:{attempt.case_id}:{attempt.step_id}".encode()
        return uniform(int.from_bytes(hashlib.blake2b(place, digest_size=8).digest(), "little"), attempt.attempt)


def _raise(error: Exception) -> Callable[[], Any]:
    def work() -> Any:  # noqa: ANN401 -- what handlers return
        raise error

    return work


def _lose(inner: Callable[[], Any]) -> Callable[[], Any]:
    def work() -> Any:  # noqa: ANN401 -- what handlers return
        inner()
        message = "a made-up fault: the answer was lost"
        raise TransientError(message)

    return work
