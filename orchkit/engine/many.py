"""Many runs from a frame of cases."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from orchkit.engine.run import Run
from orchkit.errors import InputError
from orchkit.model.definition import Workflow

if TYPE_CHECKING:
    from orchkit.engine.engine import Engine

__all__ = ["Many", "cases_of", "outcome_frame"]


class Many:
    """One call of run_many: keeps a number of runs going and collects how they end."""

    def __init__(self, engine: Engine, workflow: Workflow, concurrency: int) -> None:
        self.engine = engine
        self.workflow = workflow
        self.concurrency = max(1, concurrency)
        self.room = threading.Semaphore(self.concurrency)
        self.error: BaseException | None = None

    def run(self, cases: pd.DataFrame, *, progress: bool) -> pd.DataFrame:
        """Run the cases and return how they ended."""
        rows: list[dict[str, Any]] = []
        bar = tqdm(total=len(cases), disable=not progress, unit="case", desc=self.workflow.name)
        with bar:
            try:
                self._run_all(cases, rows, bar)
            except KeyboardInterrupt:
                message = (
                    f"You stopped waiting; {len(rows):,} of {len(cases):,} cases have been started and go on: the same "
                    "call takes up where it was."
                )
                raise KeyboardInterrupt(message) from None
        if self.error is not None:
            raise self.error
        return outcome_frame(rows, self.engine._store.run_outcomes)

    def _run_all(self, cases: pd.DataFrame, rows: list[dict[str, Any]], bar: Any) -> None:  # noqa: ANN401 -- tqdm
        for case_id, inputs in cases_of(cases):
            self.room.acquire()
            if self.error is not None:
                raise self.error
            row: dict[str, Any] = {"case_id": case_id, "run_id": None, "status": "REJECTED"}
            rows.append(row)
            try:
                started = self.engine._start(self.workflow, inputs, case_id)
            except InputError as error:
                row |= {"error_class": "permanent", "error_type": "InputError", "error_message": str(error)}
                self.room.release()
                bar.update()
                continue
            started.add_done_callback(partial(self._started, row=row, bar=bar))
        for _ in range(self.concurrency):  # all have ended when there is room for as many again
            self.room.acquire()

    def _started(
        self,
        started: concurrent.futures.Future[Run],
        row: dict[str, Any],
        bar: Any,  # noqa: ANN401 -- tqdm
    ) -> None:
        def ended(future: concurrent.futures.Future[Any] | None) -> None:
            bar.update()
            if future is not None and future.exception() is not None:
                self.error = self.error or future.exception()
            self.room.release()

        error = started.exception()
        if error is not None:
            ended(started)
            return
        run = started.result()
        row["run_id"] = run.id
        live = self.engine._loop.live.get(run.id)
        if live is None:
            ended(None)
        else:
            live.ended.add_done_callback(ended)


def outcome_frame(rows: list[dict[str, Any]], find: Callable[[list[str]], pd.DataFrame]) -> pd.DataFrame:
    """Return how runs ended, one row per case; ``find`` gives the outcomes of runs."""
    columns = ["case_id", "run_id", "status", "duration_s", "error_node", "error_class", "error_type", "error_message"]
    frame = pd.DataFrame(rows, columns=columns)
    found = find([row["run_id"] for row in rows if row["run_id"]]).set_index("run_id")
    known = frame["run_id"].isin(found.index)
    for column in columns[2:]:
        frame[column] = frame[column].astype(object)
        frame.loc[known, column] = frame.loc[known, "run_id"].map(found[column])
    frame["duration_s"] = frame["duration_s"].astype(float)
    return frame


def cases_of(cases: pd.DataFrame) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield each case of a frame with its inputs.

    Raises
    ------
    InputError
        It is no frame, or has a case twice.
    """
    if not isinstance(cases, pd.DataFrame):
        kind = type(cases).__name__
        message = f"Cases are a DataFrame, one row per case, not {kind}: pd.DataFrame(cases) may give one."
        raise InputError(message)
    keyed = cases.set_index("case_id") if "case_id" in cases.columns else cases
    if not keyed.index.is_unique:
        twice = keyed.index[keyed.index.duplicated()][0]
        message = f"Case {twice!r} appears twice: a case has one run, so case_id must be unique."
        raise InputError(message)
    for case_id, row in zip(keyed.index, keyed.to_dict(orient="records"), strict=True):
        yield str(case_id), {str(name): _missing_as_none(value) for name, value in row.items()}


def _missing_as_none(value: Any) -> Any:  # noqa: ANN401 -- a cell
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value
