"""`DeadLetters`: what has failed for good, looked into, mended and replayed, or discarded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from orchkit.engine import Engine
from orchkit.engine.who import user
from orchkit.units import Duration
from orchkit.view.tables import TablePicture
from orchkit.view.widgets.base import LiveWidget, action, table_twin

__all__ = ["DeadLetters"]


class DeadLetters(LiveWidget, module="dead_letters", uses=("forms",)):
    """Show the dead letters with their errors and inputs; mend the inputs and replay, or discard, one or many.

    Parameters
    ----------
    engine
        The engine whose runs have failed. The view asks it again and again while it is open.
    failed
        Whether to show also the runs that failed without being dead-lettered, such as those with a permanent error.
    by
        Who decides, for the history; by default the user of this machine.
    every
        How often the engine is asked, at most five times a second.

    Examples
    --------
    >>> import orchkit as ok
    >>> def ship(address):
    ...     if address == "?":
    ...         raise ok.TransientError("no answer")
    ...     return f"sent to {address}"
    >>> order = ok.workflow("order", [ok.task("ship", retry={"max_attempts": 1})])
    >>> with ok.Engine(handlers=[ship]) as engine:
    ...     run = engine.run(order, {"address": "?"}, case_id="A-1")
    ...     letters = DeadLetters(engine, by="Ada")
    ...     letters.act("replay", runs=[run.id], variables={"address": "Rome"})
    ...     letters.close()
    ...     run.wait().variables["ship"]
    'sent to Rome'
    """

    def __init__(self, engine: Engine, *, failed: bool = False, by: str | None = None, every: Duration = "1 s") -> None:
        self._engine, self._failed, self._by = engine, failed, by or user()
        super().__init__(every)

    def picture(self) -> TablePicture:
        """Return the dead letters as a table."""
        names = {"case_id": "case", "workflow": "workflow", "node": "step", "error_type": "error"}
        letters = self._letters()
        shown = letters[list(names)].rename(columns=names).assign(message=letters["error_message"])
        return table_twin(shown.fillna(""), "Dead letters")

    @action
    def replay(
        self, runs: Sequence[str], variables: Mapping[str, Any] | None = None, *, from_start: bool = False
    ) -> None:
        """Continue runs, with mended variables."""
        found = self._engine.retry_many(runs, variables, from_start=from_start, by=self._by)
        self.refresh()
        self._tell(found)

    @action
    def discard(self, runs: Sequence[str], reason: str) -> None:
        """Give up runs."""
        if not reason.strip():
            message = "Say why: the reason is kept in the history."
            raise ValueError(message)
        found = self._engine.discard_many(runs, reason, by=self._by)
        self.refresh()
        self._tell(found)

    def _tell(self, found: pd.DataFrame) -> None:
        self.problem = "\n".join(found.loc[~found["accepted"], "problem"].astype(str))

    def _letters(self) -> pd.DataFrame:
        return self._engine.dead_letters(failed=self._failed)

    def look(self) -> dict[str, Any]:
        """Return what is shown."""
        rows: Iterable[Any] = self._letters().itertuples()
        letters = [
            {
                "run_id": row.run_id,
                "case_id": row.case_id,
                "workflow": row.workflow,
                "node": row.node or "",
                "error": f"{row.error_type}: {row.error_message}" if isinstance(row.error_type, str) else "",
                "class": row.error_class if isinstance(row.error_class, str) else "",
                "attempts": int(row.attempts),
                "since": f"{row.since:%Y-%m-%d %H:%M}",
                "inputs": row.inputs,
                "form": self._form(row.run_id),
            }
            for row in rows
        ]
        return {"letters": letters, "by": self._by}

    def _form(self, run_id: str) -> dict[str, Any]:
        """Return the schema of the inputs: the workflow's own, as far as it has one."""
        inputs = self._engine.get(run_id).workflow.inputs
        return {"type": "object", "properties": {str(name): schema for name, schema in inputs.items()}}
