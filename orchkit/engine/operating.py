"""What operators do with an engine's runs: dead letters are looked at, replayed and discarded."""

from __future__ import annotations

import concurrent.futures
import getpass
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from orchkit.engine import dead_letters
from orchkit.engine.messages import DiscardRun, Message, ReplayRun
from orchkit.engine.run import Run
from orchkit.engine.values import plain
from orchkit.errors import OrchkitError
from orchkit.store import Store

__all__ = ["Operating"]

Runs = Run | str | Iterable[Run | str]


class Operating:
    """The part of an engine that operators use."""

    _store: Store
    _deciding: threading.Lock

    def _post(self, message: Message) -> concurrent.futures.Future[Any]:
        raise NotImplementedError

    def get(self, run_id: str) -> Run:
        """Return the run of an id."""
        raise NotImplementedError

    # Dead letters ----------------------------------------------------------------

    def dead_letters(self, *, failed: bool = False) -> pd.DataFrame:
        """Return a row a run that has used up its retries and waits for a decision, the oldest first.

        Parameters
        ----------
        failed
            Whether runs that failed at once, without retries left to use up, are listed too.

        Returns
        -------
        DataFrame
            ``run_id, case_id, workflow, version, status, node, error_class, error_type, error_message, attempts,
            inputs, since``. Of runs that call each other and failed together there is one row, the outermost's; its
            ``node`` leads to the place, such as ``deliver/book_courier``.

        Examples
        --------
        >>> from orchkit import Engine, TransientError, task, workflow
        >>> def ship(address):
        ...     if address == "?":
        ...         raise TransientError("no answer")
        ...     return f"sent to {address}"
        >>> order = workflow("order", [task("ship", retry={"max_attempts": 2, "initial_delay": "0 s"})])
        >>> with Engine(handlers=[ship]) as engine:
        ...     run = engine.run(order, {"address": "?"}, case_id="A-1")
        ...     letters = engine.dead_letters()
        ...     again = engine.retry(run, {"address": "Rome"}, by="Ada", reason="The customer has told us.").wait()
        ...     again.id == run.id, again.status.value, again.variables["ship"]
        (True, 'COMPLETED', 'sent to Rome')
        >>> letters[["case_id", "node", "error_message", "attempts"]].values.tolist()
        [['A-1', 'ship', 'no answer', 2]]
        """
        return dead_letters.dead_letters(self._store, failed=failed)

    def retry(
        self,
        run: Run | str,
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> Run:
        """Let a run that has failed, or is dead-lettered, go on under its own id; return it once that is durable.

        What failed, and what was given up because of it, gets new attempts; what was completed stays so, and what a
        saga has undone begins anew. Where a compensation has failed for good, that is what is tried again. See
        `dead_letters` for an example.

        Parameters
        ----------
        run
            The run; one that was called and failed with its caller goes on together with it.
        variables
            Mended ones, JSON values: set where the failed step sees them, so that a pass of a for-each gets its own.
        from_start
            Whether to begin anew; ``variables`` are then inputs in the place of the first ones. Runs that were
            cancelled or compensated can be started again too.
        by, reason
            Who has decided it, and why, for the history; the user of this machine where nobody is named.

        Raises
        ------
        RunNotFound
            No such run.
        RunError
            It has not ended, or has completed.
        InputError
            An input that the workflow does not take.
        """
        run_id = run if isinstance(run, str) else run.id
        with self._deciding:
            self._post(ReplayRun(run_id, plain(dict(variables or {})), from_start, by or _user(), reason)).result()
        return self.get(run_id)

    def discard(self, run: Run | str, reason: str, *, by: str | None = None) -> None:
        """Give a dead letter up: its run is FAILED from now on; who did it and why is in the history.

        Raises
        ------
        RunError
            It is not a dead letter.

        Examples
        --------
        >>> from orchkit import Engine, TransientError, task, workflow
        >>> def ship():
        ...     raise TransientError("no answer")
        >>> with Engine(handlers=[ship]) as engine:
        ...     run = engine.run(workflow("order", [task("ship", retry={"max_attempts": 1})]), case_id="A-1")
        ...     engine.discard(run, "The shop has closed.", by="Ada")
        ...     run.status.value, len(engine.dead_letters())
        ...     decided = run.history().query("kind == 'decision'")
        ...     decided[["status", "resource", "payload"]].values.tolist()
        ('FAILED', 0)
        [['DISCARDED', 'Ada', '{"reason":"The shop has closed."}']]
        """
        run_id = run if isinstance(run, str) else run.id
        with self._deciding:
            self._post(DiscardRun(run_id, reason, by or _user())).result()

    def retry_many(
        self,
        runs: Iterable[Run | str],
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> pd.DataFrame:
        """Let many runs go on, such as ``engine.dead_letters()["run_id"]``; see `retry`.

        Returns
        -------
        DataFrame
            ``run_id, accepted, problem``, a row a run: one that is refused does not hold up the others.
        """
        values, who = plain(dict(variables or {})), by or _user()
        return self._decide_many(runs, lambda run_id: ReplayRun(run_id, values, from_start, who, reason))

    def discard_many(self, runs: Iterable[Run | str], reason: str, *, by: str | None = None) -> pd.DataFrame:
        """Give many dead letters up; returns ``run_id, accepted, problem``, a row a run."""
        who = by or _user()
        return self._decide_many(runs, lambda run_id: DiscardRun(run_id, reason, who))

    def _decide_many(self, runs: Iterable[Run | str], message: Any) -> pd.DataFrame:  # noqa: ANN401 -- from id to message
        ids = list(dict.fromkeys(run if isinstance(run, str) else run.id for run in runs))
        with self._deciding:
            posted = [self._post(message(run_id)) for run_id in ids]
            problems = [_problem(answer) for answer in posted]
        accepted = [problem is None for problem in problems]
        return pd.DataFrame({"run_id": ids, "accepted": accepted, "problem": problems})


def _problem(answer: concurrent.futures.Future[Any]) -> str | None:
    try:
        answer.result()
    except OrchkitError as error:
        return str(error)
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the machine does not know who this is
        return "unknown"
