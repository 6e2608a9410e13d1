"""Dead letters: what exhausted its retries and waits for somebody's decision, as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from orchkit.engine.messages import run_id_of
from orchkit.model.states import RunStatus
from orchkit.store import FailedFrames

__all__ = ["COLUMNS", "dead_letters"]

COLUMNS = [
    "run_id",
    "case_id",
    "workflow",
    "version",
    "status",
    "node",
    "error_class",
    "error_type",
    "error_message",
    "attempts",
    "inputs",
    "since",
]
_ERROR = ("error_class", "error_type", "error_message")

Record = Mapping[str, Any]


class _Reader(Protocol):
    """What they are read from: a store, or who asks one."""

    def failed_steps(self, statuses: Sequence[str]) -> FailedFrames: ...


def dead_letters(store: _Reader, *, failed: bool = False) -> pd.DataFrame:
    """Return one row per run that waits for a decision, the oldest first.

    A run that was called and failed with its caller has no row of its own: ``node`` leads to it, such as
    ``deliver/book_courier``.
    """
    statuses = [RunStatus.DEAD_LETTERED, *([RunStatus.FAILED] if failed else [])]
    found = {status: store.failed_steps([status.value]) for status in statuses}
    runs: dict[str, Record] = {}
    steps: dict[str, list[Record]] = {}
    for status, frames in found.items():
        runs |= {row["run_id"]: {**row, "status": status.value} for row in _records(frames.runs)}
        for step in _records(frames.steps):
            steps.setdefault(step["run_id"], []).append(step)
    rows = [_row(run, runs, steps) for run in runs.values() if _parent(run) not in runs]
    frame = pd.DataFrame(rows, columns=COLUMNS).sort_values("since", ignore_index=True, kind="stable")
    frame["attempts"] = frame["attempts"].astype("int64")
    frame["since"] = pd.to_datetime(frame["since"], utc=True)
    return frame


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _parent(run: Record) -> str | None:
    return run["parent_step"].split("/", 1)[0] if run["parent_step"] else None


def _row(run: Record, runs: Mapping[str, Record], steps: Mapping[str, Sequence[Record]]) -> list[Any]:
    path, error = _place(run, runs, steps)
    values = {**run, **error, "node": path, "inputs": json.loads(run["inputs"] or "{}")}
    return [values.get(name) for name in COLUMNS]


def _place(run: Record, runs: Mapping[str, Record], steps: Mapping[str, Sequence[Record]]) -> tuple[str, Record]:
    """Return where a run failed, and with what: a compensation before all else, or else what has the run's error."""
    failed = steps.get(run["run_id"], ())
    undoing = [step for step in failed if step["kind"] == "compensation"]
    same = [step for step in failed if all(step[name] == run[name] for name in ("error_type", "error_message"))]
    found = next(iter(undoing or same or failed), None)
    if found is None:
        return "", {**{name: run[name] for name in _ERROR}, "attempts": 0}
    child = runs.get(run_id_of(run["run_id"], found["step_id"])) if found["kind"] == "call" else None
    if child is not None:
        path, error = _place(child, runs, steps)
        return f"{found['node']}/{path}", error
    return found["node"], {name: found[name] for name in (*_ERROR, "attempts")}
