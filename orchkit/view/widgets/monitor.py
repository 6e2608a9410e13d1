"""`Monitor`: how an engine's runs stand, live; a click leads to one of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from orchkit.analysis.health import LOST
from orchkit.engine import Engine
from orchkit.model.states import RunStatus
from orchkit.units import Duration, format_duration, seconds
from orchkit.view.tables import TablePicture
from orchkit.view.theme import look_of
from orchkit.view.widgets.base import LiveWidget, action, table_twin
from orchkit.view.widgets.run_view import run_state

__all__ = ["Monitor"]

_WINDOWS = ("5 min", "15 min", "1 h", "1 d", "7 d")
_BUCKETS = 30
_ROWS = 200
_NONE = "-"
_ACTIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.COMPENSATING)
# Attempts that ended in the window, and whether they failed; steps that wait, for a place or for the world.
_ATTEMPTS = """
    SELECT count(*) FILTER (status = 'FAILED') AS failed, count(*) AS ended FROM history
    WHERE kind IN ('task', 'compensation') AND status IN ('COMPLETED', 'FAILED')
        AND occurred_at >= make_timestamptz(?::BIGINT)
"""
_HELD = """
    WITH steps AS (
        SELECT run_id, step_id, arg_max(status, seq) AS status, arg_min(payload ->> '$.role', seq) AS role
        FROM history WHERE kind IN ('task', 'compensation', 'wait') AND list_contains(?::VARCHAR[], run_id)
        GROUP BY run_id, step_id
    )
    SELECT status, coalesce(role, '(no role)') AS role, count(*) AS depth, count(DISTINCT run_id) AS runs FROM steps
    WHERE status IN ('PENDING', 'WAITING') GROUP BY ALL ORDER BY depth DESC, role
"""


class Monitor(LiveWidget, module="monitor", uses=("run_panel",)):
    """Show how an engine's runs stand: by workflow and status, rates, durations, queues, with trends over a window.

    Below is a table of the runs, to filter and to search; a click on one leads to what `RunView` shows.

    Parameters
    ----------
    engine
        It is looked at while the view is open.
    window
        What completed and failed is counted over, back from now.
    every
        How often the engine is looked at, at most five times a second.

    Examples
    --------
    >>> import orchkit as ok
    >>> with ok.Engine(handlers={"ship": lambda: "sent"}) as engine:
    ...     run = engine.run(ok.workflow("order", [ok.task("ship")]), case_id="A-1")
    ...     monitor = Monitor(engine)
    ...     monitor.close()
    >>> {card["title"]: card["value"] for card in monitor.state["cards"]}["completed"]
    '1'
    """

    def __init__(self, engine: Engine, *, window: Duration = "1 h", every: Duration = "1 s") -> None:
        self._engine, self._window_s = engine, seconds(window)
        self._text, self._status, self._workflow = "", "", ""
        self._run: str | None = None
        self._seq: int | None = None
        super().__init__(every)

    def picture(self) -> TablePicture:
        """Return the figures by workflow as a table."""
        shown = pd.DataFrame(self.state["workflows"])
        return table_twin(shown, f"Runs of the last {format_duration(self._window_s)}")

    @action
    def choose_window(self, window: str) -> None:
        """Count over another window, such as ``"1 h"``."""
        self._window_s = seconds(window)
        self.refresh()

    @action
    def find(self, text: str = "", status: str = "", workflow: str = "") -> None:
        """List the runs whose case or id has this text, with this status, of this workflow."""
        self._text, self._status, self._workflow = text, status, workflow
        self.refresh()

    @action
    def open_run(self, run_id: str | None = None) -> None:
        """Show a run below the table; None closes it."""
        if run_id is not None:
            self._engine.get(run_id)  # refuses what is not there
        self._run, self._seq = run_id, None
        self.refresh()

    @action
    def look_at(self, seq: int | None = None) -> None:
        """Go to a row of the open run's history; None follows it."""
        self._seq = seq
        self.refresh()

    @action
    def cancel(self) -> None:
        """Ask the open run to end."""
        if self._run is not None:
            self._engine.cancel(self._run, "cancelled in the notebook")

    def look(self) -> dict[str, Any]:
        """Return what is shown."""
        now = pd.Timestamp(self._engine.now, unit="s", tz="UTC")
        since = now - pd.Timedelta(seconds=self._window_s)
        runs = self._engine.runs(None)
        ended = runs[runs["ended_at"] >= since]
        active = runs[runs["status"].isin(_ACTIVE)]
        found = self._found(runs)
        shown: Iterable[Any] = found.head(_ROWS).itertuples()
        held = self._engine.sql(_HELD, [active["run_id"].tolist()])
        waiting = int(held.loc[held["status"] == "WAITING", "runs"].sum())
        return {
            "windows": list(_WINDOWS),
            "window": next((name for name in _WINDOWS if seconds(name) == self._window_s), ""),
            "cards": self._cards(runs, len(active), waiting, ended, since, now),
            "workflows": _by_workflow(active, ended),
            "queues": held.loc[held["status"] == "PENDING", ["role", "depth"]].to_dict("records"),
            "statuses": sorted(runs["status"].unique()),
            "names": sorted(runs["workflow"].unique()),
            "find": {"text": self._text, "status": self._status, "workflow": self._workflow},
            "runs": [_row(run) for run in shown],
            "found": len(found),
            "run": None if self._run is None else run_state(self._engine.get(self._run), self._seq),
        }

    def _cards(
        self,
        runs: pd.DataFrame,
        active: int,
        waiting: int,
        ended: pd.DataFrame,
        since: pd.Timestamp,
        now: pd.Timestamp,
    ) -> list[dict[str, Any]]:
        completed = ended[ended["status"] == RunStatus.COMPLETED]
        lost = ended[ended["status"].isin(LOST)]
        took = (ended["ended_at"] - ended["started_at"]).dt.total_seconds()
        attempts = self._engine.sql(_ATTEMPTS, [int(since.timestamp() * 1e6)]).iloc[0]

        def trend(frame: pd.DataFrame) -> list[int]:
            moments = frame["ended_at"].astype("int64") // 1_000
            edges = np.linspace(since.value // 1_000_000_000, now.value // 1_000_000_000, _BUCKETS + 1)
            return [int(count) for count in np.histogram(moments / 1_000, edges)[0]]

        return [
            {"title": "active", "value": f"{active:,}", "note": f"{waiting:,} of them wait"},
            {"title": "completed", "value": f"{len(completed):,}", "trend": trend(completed)},
            {"title": "failed", "value": f"{len(lost):,}", "trend": trend(lost)},
            {"title": "completion rate", "value": _share(len(completed), len(ended)), "note": "of the runs that ended"},
            {"title": "error rate", "value": _share(attempts["failed"], attempts["ended"]), "note": "of attempts"},
            {
                "title": "mean duration",
                "value": _duration(took.mean()),
                "note": f"p95 {_duration(took.quantile(0.95))}",
            },
            {"title": "dead letters", "value": f"{(runs['status'] == RunStatus.DEAD_LETTERED).sum():,}"},
        ]

    def _found(self, runs: pd.DataFrame) -> pd.DataFrame:
        kept = np.ones(len(runs), dtype=bool)
        if self._status:
            kept &= (runs["status"] == self._status).to_numpy()
        if self._workflow:
            kept &= (runs["workflow"] == self._workflow).to_numpy()
        if self._text:
            names = [runs[name].str.contains(self._text, case=False, regex=False) for name in ("case_id", "run_id")]
            kept &= np.logical_or(*(name.to_numpy(dtype=bool) for name in names))
        return runs[kept]


def _by_workflow(active: pd.DataFrame, ended: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name in sorted({*active["workflow"], *ended["workflow"]}):
        own = ended[ended["workflow"] == name]
        took = (own["ended_at"] - own["started_at"]).dt.total_seconds()
        completed = int((own["status"] == RunStatus.COMPLETED).sum())
        rows.append(
            {
                "workflow": name,
                "active": int((active["workflow"] == name).sum()),
                "completed": completed,
                "failed": int(own["status"].isin(LOST).sum()),
                "rate": _share(completed, len(own)),
                "mean": _duration(took.mean()),
                "p95": _duration(took.quantile(0.95)),
            }
        )
    return rows


def _row(run: Any) -> dict[str, Any]:  # noqa: ANN401 -- a row of a frame
    look = look_of(run.status)
    ended = "" if pd.isna(run.ended_at) else format_duration((run.ended_at - run.started_at).total_seconds())
    return {
        "run_id": run.run_id,
        "case_id": run.case_id,
        "workflow": run.workflow,
        "status": f"{look.sign} {look.word}",
        "started": f"{run.started_at:%Y-%m-%d %H:%M:%S}",
        "took": ended,
        "error": "" if pd.isna(run.error_type) else f"{run.error_type}: {run.error_message}"[:200],
    }


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else _NONE


def _duration(value: Any) -> str:  # noqa: ANN401 -- a number of numpy
    return _NONE if math.isnan(value) else format_duration(float(f"{value:.3g}"))
