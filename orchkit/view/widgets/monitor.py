"""`Monitor`: how an engine's runs stand, live; a click leads to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from orchkit.engine import Engine
from orchkit.operations.watch import Watch
from orchkit.units import Duration, format_duration, seconds
from orchkit.view.tables import TablePicture
from orchkit.view.theme import look_of
from orchkit.view.widgets.alert_rows import AlertRows
from orchkit.view.widgets.base import LiveWidget, action, table_twin
from orchkit.view.widgets.pulse import BUCKETS, Pulse
from orchkit.view.widgets.run_view import run_state

__all__ = ["Monitor"]

_WINDOWS = ("5 min", "15 min", "1 h", "1 d", "7 d")
_ROWS = 200


class Monitor(LiveWidget, module="monitor", uses=("run_panel",)):
    """Show how an engine's runs stand: alerts, counts by workflow and status, rates, durations, queues, with trends.

    Below is a table of the runs, with filters and a search; a click on a run opens it as in `RunView`.

    Parameters
    ----------
    engine
        The view asks it again and again while it is open.
    watch
        What evaluates the alerts (`watch`). Without one the view evaluates them itself, and sends no messages.
    window
        The period, back from now, over which completed and failed runs are counted.
    every
        How often the engine is asked, at most five times a second.

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

    def __init__(
        self, engine: Engine, *, watch: Watch | None = None, window: Duration = "1 h", every: Duration = "1 s"
    ) -> None:
        self._engine, self._window_s = engine, seconds(window)
        self._alerts = AlertRows(engine, watch)
        self._text, self._status, self._workflow = "", "", ""
        self._run: str | None = None
        self._seq: int | None = None
        self._seen: object = None
        super().__init__(every)

    def picture(self) -> TablePicture:
        """Return alerts and figures, of all and by workflow, as a table."""
        return table_twin(_told(self.state), f"Runs of the last {format_duration(self._window_s)}")

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
        """Cancel the open run."""
        if self._run is not None:
            self._engine.cancel(self._run, "cancelled in the notebook")

    @action
    def retry(self, *, from_start: bool = False) -> None:
        """Continue the open run, which has failed: from the step that failed, or from the start."""
        if self._run is not None:
            self._engine.retry(self._run, from_start=from_start, reason="retried in the notebook")
            self._seq = None
            self.refresh()

    def stop(self) -> None:
        """Stop asking the engine; the view stays as it is."""
        super().stop()
        self._alerts.stop()

    def look(self) -> dict[str, Any]:
        """Return what is shown."""
        alerts = self._alerts.rows()
        # What has not changed is not counted again: not before a new bucket of the trends begins.
        bucket = int(self._engine.now / self._window_s * BUCKETS)
        seen = (self._engine.last_seq(), bucket, self._window_s, self._text, self._status, self._workflow)
        asked = (self._run, self._seq, alerts)
        if (seen, asked) == self._seen:
            return dict(self.state)
        self._seen = (seen, asked)
        pulse = Pulse.take(self._engine, self._window_s)
        held = pulse.held()
        states = pulse.states(held)
        runs = pulse.runs
        found = self._found(runs)
        shown: Iterable[Any] = found.head(_ROWS).itertuples()
        depths = held.loc[held["status"] == "PENDING", "role"].value_counts()
        return {
            "windows": list(_WINDOWS),
            "window": next((name for name in _WINDOWS if seconds(name) == self._window_s), ""),
            "alerts": alerts,
            "cards": pulse.cards(held, states),
            "workflows": pulse.workflows(states),
            "queues": [{"role": str(role), "depth": int(depth)} for role, depth in depths.items()],
            "statuses": sorted(runs["status"].unique()),
            "names": sorted(runs["workflow"].unique()),
            "find": {"text": self._text, "status": self._status, "workflow": self._workflow},
            "runs": [_row(run) for run in shown],
            "found": len(found),
            "run": None if self._run is None else run_state(self._engine.get(self._run), self._seq),
        }

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


def _told(state: Mapping[str, Any]) -> pd.DataFrame:
    rows = [
        (
            row["key"],
            f"{row['state']} ({row['severity']})",
            f"{row['condition']}: {row['value']}, since {row['since']} UTC",
        )
        for row in state["alerts"]
    ]
    rows += [("all", card["title"], f"{card['value']} {card['note']}".strip()) for card in state["cards"]]
    names = {"completed": "completed", "failed": "failed", "letters": "dead letters", "rate": "completion rate"}
    for row in state["workflows"]:
        rows.append((row["workflow"], "active", f"{row['active']:,} {row['states']}".strip()))
        rows += [(row["workflow"], title, f"{row[name]}") for name, title in names.items()]
        rows.append((row["workflow"], "duration", f"{row['mean']} on average, p95 {row['p95']}"))
    rows += [(queue["role"], "queued steps", f"{queue['depth']:,}") for queue in state["queues"]]
    return pd.DataFrame(rows, columns=["of", "figure", "value"])


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
