"""What people do with an engine's runs: dead letters are replayed and discarded, work items claimed and completed."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from orchkit.engine import dead_letters, work_items
from orchkit.engine.messages import (
    ClaimItem,
    CompleteItem,
    DiscardRun,
    ListItems,
    Message,
    MigrateRun,
    ReleaseItem,
    ReplayRun,
)
from orchkit.engine.run import Run
from orchkit.engine.values import plain
from orchkit.engine.who import roles_of, user
from orchkit.errors import OrchkitError
from orchkit.events import Failure
from orchkit.model.definition import Workflow
from orchkit.model.states import ErrorClass
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
        """Return the run with this id."""
        raise NotImplementedError

    # Dead letters ----------------------------------------------------------------

    def dead_letters(self, *, failed: bool = False) -> pd.DataFrame:
        """Return one row per run that has used up its retries and waits for a decision, the oldest first.

        Parameters
        ----------
        failed
            Whether to list also the runs that failed without being dead-lettered, such as those with a permanent error.

        Returns
        -------
        DataFrame
            ``run_id, case_id, workflow, version, status, node, error_class, error_type, error_message, attempts,
            inputs, since``.
            Runs that call each other and failed together have one row, that of the outermost run; its ``node`` is the
            path to the place, such as ``deliver/book_courier``.

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
        to: Workflow | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> Run:
        """Continue a run that has failed or is dead-lettered, under the same id; return it once that is durable.

        What failed, and what was given up because of it, gets new attempts; what was completed stays so, and a saga
        that was undone starts again. If a compensation has failed for good, it is the compensation that is tried again.
        See `dead_letters` for an example.

        Parameters
        ----------
        run
            The run; a called run that failed with its caller continues together with it.
        variables
            Variables to change, JSON values. They are set where the failed step sees them, so that a pass of a for-each
            gets its own.
        from_start
            Whether to start from the beginning; ``variables`` then replace inputs. Runs that were cancelled or
            compensated can be started again, too.
        to
            Another version of its workflow, in which it continues; unless it starts from the beginning, its state must
            fit there, as for `migrate`.
        by, reason
            Who has decided it, and why, for the history; by default the user of this machine.

        Raises
        ------
        RunNotFound
            No such run.
        RunError
            The run has not ended, or it has completed.
        InputError
            The workflow does not take such an input.
        """
        run_id = run if isinstance(run, str) else run.id
        with self._deciding:
            values = plain(dict(variables or {}))
            self._post(ReplayRun(run_id, values, from_start, by or user(), reason, to)).result()
        return self.get(run_id)

    def discard(self, run: Run | str, reason: str, *, by: str | None = None) -> None:
        """Give up a dead letter: its run becomes FAILED; the history says who did it, and why.

        Raises
        ------
        RunError
            The run is not a dead letter.

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
            self._post(DiscardRun(run_id, reason, by or user())).result()

    def retry_many(
        self,
        runs: Iterable[Run | str],
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> pd.DataFrame:
        """Continue many runs, such as ``engine.dead_letters()["run_id"]``; see `retry`.

        Returns
        -------
        DataFrame
            ``run_id, accepted, problem``, one row per run: one that is refused does not hold up the others.
        """
        values, who = plain(dict(variables or {})), by or user()
        return self._decide_many(runs, lambda run_id: ReplayRun(run_id, values, from_start, who, reason))

    def discard_many(self, runs: Iterable[Run | str], reason: str, *, by: str | None = None) -> pd.DataFrame:
        """Give up many dead letters; returns ``run_id, accepted, problem``, one row per run."""
        who = by or user()
        return self._decide_many(runs, lambda run_id: DiscardRun(run_id, reason, who))

    def _decide_many(self, runs: Iterable[Run | str], message: Any) -> pd.DataFrame:  # noqa: ANN401 -- from id to message
        ids = list(dict.fromkeys(run if isinstance(run, str) else run.id for run in runs))
        with self._deciding:
            posted = [self._post(message(run_id)) for run_id in ids]
            problems = [_problem(answer) for answer in posted]
        accepted = [problem is None for problem in problems]
        return pd.DataFrame({"run_id": ids, "accepted": accepted, "problem": problems})

    # Versions ----------------------------------------------------------------------

    def migrate(self, run: Run | str, to: Workflow, *, by: str | None = None, reason: str | None = None) -> None:
        """Move a run that is under way to another version of its workflow, if its state fits there.

        Each step that is open must be a node of the same kind in the same scope of the new version; a token that waits
        at a join must wait there for the same flows; what a saga may have to undo must have a compensation. What has
        been done counts as done. `preview_migration` tells beforehand whether it works.

        Raises
        ------
        RunError
            The state does not fit, or the run has ended.

        Examples
        --------
        >>> from orchkit import Engine, task, wait_for, workflow
        >>> one = workflow("order", [wait_for(callback="paid"), task("ship")])
        >>> two = workflow("order", [wait_for(callback="paid"), task("check"), task("ship")], version="2")
        >>> with Engine(handlers={"ship": lambda: "sent", "check": lambda: "good"}) as engine:
        ...     run = engine.start(one, case_id="A-1")
        ...     engine.preview_migration(run, two)
        ...     engine.migrate(run, two, by="Ada", reason="All are checked from now on.")
        ...     engine.complete(run, "paid")
        ...     engine.get(run.id).wait().steps()["activity"].tolist()
        []
        ['paid', 'check', 'ship']
        """
        run_id = run if isinstance(run, str) else run.id
        self._post(MigrateRun(run_id, to, by or user(), reason)).result()

    def preview_migration(self, run: Run | str, to: Workflow) -> list[str]:
        """Return what is in the way of a run's migration, one sentence each; see `migrate`."""
        run_id = run if isinstance(run, str) else run.id
        found: list[str] = self._post(MigrateRun(run_id, to, is_preview=True)).result()
        return found

    # Work items --------------------------------------------------------------------

    def work_items(self, role: str | None = None, *, by: str | None = None) -> pd.DataFrame:
        """Return one row per open work item, the oldest first.

        Parameters
        ----------
        role
            Only items of this role.
        by
            Only items that this person has claimed or is assigned to.

        Returns
        -------
        DataFrame
            ``item_id, run_id, case_id, workflow, task, title, instructions, role, assignee, claimed_by, created, due,
            overdue, data, form``.

        Examples
        --------
        >>> from orchkit import Engine, task, workflow
        >>> form = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
        >>> settings = {"form": form, "title": "Approve ${amount} euros", "due": "1 day"}
        >>> approve = task("approve", executor="human", role="manager", settings=settings)
        >>> with Engine() as engine:
        ...     run = engine.start(workflow("claim", [approve]), {"amount": 70}, case_id="A-1")
        ...     (item,) = engine.work_items(role="manager").to_dict("records")
        ...     engine.claim(item["item_id"], by="Ada")
        ...     engine.complete_item(item["item_id"], {"approved": True}, by="Ada")
        ...     item["title"], run.wait().variables["approve"], run.steps()["resource"].item()
        ('Approve 70 euros', {'approved': True}, 'Ada')
        """
        found = work_items.frame_of(self._post(ListItems()).result())
        if role is not None:
            found = found[found["role"] == role]
        if by is not None:
            found = found[(found["claimed_by"] == by) | (found["claimed_by"].isna() & (found["assignee"] == by))]
        return found.reset_index(drop=True)

    def claim(self, item_id: str, *, by: str, roles: Iterable[str] | None = None) -> None:
        """Claim a work item; its step is RUNNING from now on. Claiming it twice changes nothing.

        Parameters
        ----------
        item_id
            As in `work_items`.
        by
            Who claims it.
        roles
            The roles of that person. An item for a role is refused to those who do not have it; an escalated item is
            for the role that it was escalated to. None leaves it to the caller who may do what.

        Raises
        ------
        WorkItemTaken
            Somebody else was faster, or the item is meant for somebody else.
        WorkItemNotFound
            There is no such item, or it has ended.
        """
        run_id, step_id = _place(item_id)
        self._post(ClaimItem(run_id, step_id, by, roles_of(roles))).result()

    def release(self, item_id: str, *, by: str) -> None:
        """Give a work item back: it is offered again; see `claim` for the errors."""
        run_id, step_id = _place(item_id)
        self._post(ReleaseItem(run_id, step_id, by)).result()

    def complete_item(
        self,
        item_id: str,
        data: Any = None,  # noqa: ANN401 -- JSON
        *,
        by: str,
        roles: Iterable[str] | None = None,
    ) -> None:
        """Complete a work item with what its form asks for (JSON values); the run continues. See `work_items`.

        An item that is not claimed yet is claimed by this, with ``roles`` as for `claim`.

        Raises
        ------
        InputError
            The data do not meet the form; nothing has changed.
        WorkItemTaken, WorkItemNotFound
            As for `claim`.
        """
        run_id, step_id = _place(item_id)
        self._post(CompleteItem(run_id, step_id, by, plain(data), roles=roles_of(roles))).result()

    def reject(self, item_id: str, reason: str, *, by: str, roles: Iterable[str] | None = None) -> None:
        """Refuse a work item: its step fails for good with the type ``Rejected``, so that ``on_error`` may lead on."""
        run_id, step_id = _place(item_id)
        failure = Failure(ErrorClass.PERMANENT, "Rejected", reason)
        self._post(CompleteItem(run_id, step_id, by, failure=failure, roles=roles_of(roles))).result()


def _place(item_id: str) -> tuple[str, str]:
    run_id, _, step_id = item_id.partition("/")
    return run_id, step_id


def _problem(answer: concurrent.futures.Future[Any]) -> str | None:
    try:
        answer.result()
    except OrchkitError as error:
        return str(error)
    return None
