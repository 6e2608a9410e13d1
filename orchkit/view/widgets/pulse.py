"""The figures of an engine over a window, each with how it went: counts, rates, durations, queues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.analysis.health import LOST
from orchkit.engine import Engine
from orchkit.model.states import RunStatus
from orchkit.units import format_duration
from orchkit.view.theme import look_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["BUCKETS", "Pulse"]

BUCKETS = 30
"""Into how many the window is divided for the trends."""

_NONE = "-"
_ACTIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.COMPENSATING)
# Attempts that ended, and whether they failed, by bucket.
_ATTEMPTS = """
    SELECT least((epoch_us(occurred_at) - ?::BIGINT) // ?::BIGINT, ?::BIGINT) AS bucket,
        count(*) FILTER (status = 'FAILED') AS failed, count(*) AS ended
    FROM history
    WHERE kind IN ('task', 'compensation') AND status IN ('COMPLETED', 'FAILED')
        AND occurred_at >= make_timestamptz(?::BIGINT)
    GROUP BY bucket
"""
# Where active runs stand: one row per step that is open.
_HELD = """
    WITH steps AS (
        SELECT run_id, step_id, arg_max(status, seq) AS status, arg_min(payload ->> '$.role', seq) AS role
        FROM history SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS run_id) USING (run_id)
        WHERE kind IN ('task', 'compensation', 'wait') GROUP BY run_id, step_id
    )
    SELECT run_id, status, coalesce(role, '(no role)') AS role FROM steps
    WHERE status IN ('PENDING', 'RUNNING', 'WAITING', 'RETRYING')
"""
# When steps came into a queue, and when they left it.
_QUEUED = """
    WITH entered AS (
        SELECT run_id, step_id, min(occurred_at) AS entered FROM history
        WHERE status = 'PENDING' AND kind IN ('task', 'compensation') GROUP BY run_id, step_id
    )
    SELECT epoch_us(any_value(entered)) AS entered,
        epoch_us(min(occurred_at) FILTER (history.status <> 'PENDING')) AS ended
    FROM history JOIN entered USING (run_id, step_id)
    GROUP BY run_id, step_id HAVING ended IS NULL OR ended >= ?::BIGINT
"""


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the runs of an engine stand at a moment, and stood over the window before it.

    Attributes
    ----------
    runs
        All of them, as `Engine.runs` tells.
    edges_us
        Where the buckets of the trends begin and end, in microseconds.
    since
        Where the window begins.
    """

    engine: Engine
    runs: pd.DataFrame
    edges_us: NDArray[np.int64]
    since: pd.Timestamp

    @staticmethod
    def take(engine: Engine, window_s: float) -> Pulse:
        """Look at an engine. Buckets begin at round moments, so that what was is not drawn anew at each look."""
        now_us = int(engine.now * 1e6)
        since_us = now_us - int(window_s * 1e6)
        width = max(1, int(window_s * 1e6) // BUCKETS)
        first = since_us // width * width
        edges = np.arange(first, now_us + width, width, dtype=np.int64)
        return Pulse(engine, engine.runs(None), edges, pd.Timestamp(since_us, unit="us", tz="UTC"))

    @property
    def active(self) -> pd.DataFrame:
        """The runs that go on."""
        return self.runs[self.runs["status"].isin(_ACTIVE)]

    @property
    def ended(self) -> pd.DataFrame:
        """The runs that ended in the window."""
        return self.runs[(self.runs["ended_at"] >= self.since).to_numpy(dtype=bool)]

    def held(self) -> pd.DataFrame:
        """Return the open steps of active runs: ``run_id, status, role``."""
        return self.engine.sql(_HELD, [self.active["run_id"].tolist()])

    def states(self, held: pd.DataFrame) -> pd.Series[str]:
        """Return how each active run stands: one that goes on and has nothing at work waits."""
        active = self.active
        open_runs = held["run_id"].isin(held.loc[held["status"].isin(("PENDING", "RUNNING")), "run_id"])
        waiting = set(held.loc[~open_runs.to_numpy(dtype=bool), "run_id"])
        is_waiting = active["run_id"].isin(waiting) & (active["status"] == RunStatus.RUNNING)
        return active["status"].astype(str).mask(is_waiting, RunStatus.WAITING.value)

    def cards(self, held: pd.DataFrame, states: pd.Series[str]) -> list[dict[str, Any]]:
        """Return the figures, each with its trend: one number per bucket, None if there is none."""
        ended = self.ended
        completed, lost = ended[ended["status"] == RunStatus.COMPLETED], ended[ended["status"].isin(LOST)]
        took = (ended["ended_at"] - ended["started_at"]).dt.total_seconds()
        letters = self.runs[self.runs["status"] == RunStatus.DEAD_LETTERED]
        waiting = int((states == RunStatus.WAITING).sum())
        queued = int((held["status"] == "PENDING").sum())
        attempts = self._attempts()
        all_ended = self._counts(ended)
        places = self._places(ended)
        return [
            _card("active", f"{len(states):,}", self._active(), f"{waiting:,} of them wait"),
            _card("completed", f"{len(completed):,}", self._counts(completed)),
            _card("failed", f"{len(lost):,}", self._counts(lost)),
            _card(
                "completion rate",
                _share(len(completed), len(ended)),
                _ratios(self._counts(completed), all_ended),
                "of the runs that ended",
                most=1.0,
            ),
            _card(
                "error rate",
                _share(attempts["failed"].sum(), attempts["ended"].sum()),
                _ratios(attempts["failed"].to_numpy(), attempts["ended"].to_numpy()),
                "of attempts",
                most=1.0,
            ),
            _card("mean duration", duration(took.mean()), self._binned(places, took, np.mean)),
            _card("p95 duration", duration(took.quantile(0.95)), self._binned(places, took, _p95)),
            _card("queued steps", f"{queued:,}", self._queued()),
            _card("dead letters", f"{len(letters):,}", self._dead(letters), "wait for a decision"),
        ]

    def workflows(self, states: pd.Series[str]) -> list[dict[str, Any]]:
        """Return one row per workflow."""
        active, ended, rows = self.active, self.ended, []
        letters = self.runs[self.runs["status"] == RunStatus.DEAD_LETTERED]["workflow"].value_counts()
        for name in sorted({*active["workflow"], *ended["workflow"], *letters.index}):
            own = ended[(ended["workflow"] == name).to_numpy()]
            took = (own["ended_at"] - own["started_at"]).dt.total_seconds()
            completed = int((own["status"] == RunStatus.COMPLETED).sum())
            stand = states[(active["workflow"] == name).to_numpy()].value_counts()
            looks = {status: look_of(str(status)) for status in stand.index}
            rows.append(
                {
                    "workflow": name,
                    "active": int(stand.sum()),
                    "states": ", ".join(f"{looks[s].sign} {looks[s].word} {count:,}" for s, count in stand.items()),
                    "completed": completed,
                    "failed": int(own["status"].isin(LOST).sum()),
                    "letters": int(letters.get(name, 0)),
                    "rate": _share(completed, len(own)),
                    "mean": duration(took.mean()),
                    "p95": duration(took.quantile(0.95)),
                }
            )
        return rows

    # Trends --------------------------------------------------------------------------

    def _places(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        return np.searchsorted(self.edges_us, _us(frame["ended_at"]), side="right") - 1

    def _counts(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        places = self._places(frame)
        places = places.clip(0, len(self.edges_us) - 2)
        return np.bincount(places, minlength=len(self.edges_us) - 1).astype(np.int64)

    def _binned(
        self, places: NDArray[np.int64], values: pd.Series[float], of: Callable[[Any], Any]
    ) -> NDArray[np.float64]:
        found = np.full(len(self.edges_us) - 1, np.nan)
        for place, group in values.groupby(places):
            found[min(max(int(str(place)), 0), len(found) - 1)] = of(group.to_numpy())
        return found

    def _active(self) -> NDArray[np.int64]:
        """Return how many were active at the end of each bucket."""
        started = np.sort(_us(self.runs["started_at"]))
        ended = np.sort(_us(self.runs["ended_at"].dropna()))
        ends = self.edges_us[1:]
        return np.searchsorted(started, ends, "right") - np.searchsorted(ended, ends, "right")

    def _dead(self, letters: pd.DataFrame) -> NDArray[np.int64]:
        """Return how many of those that wait now waited at the end of each bucket."""
        return np.searchsorted(np.sort(_us(letters["ended_at"])), self.edges_us[1:], "right")

    def _queued(self) -> NDArray[np.int64]:
        frame = self.engine.sql(_QUEUED, [int(self.edges_us[0])])
        ends = self.edges_us[1:]
        entered = np.sort(frame["entered"].to_numpy(dtype=np.int64))
        left = np.sort(frame["ended"].dropna().to_numpy(dtype=np.int64))
        return np.searchsorted(entered, ends, "right") - np.searchsorted(left, ends, "right")

    def _attempts(self) -> pd.DataFrame:
        first, width = int(self.edges_us[0]), int(self.edges_us[1] - self.edges_us[0])
        last = len(self.edges_us) - 2
        frame = self.engine.sql(_ATTEMPTS, [first, width, last, int(self.since.value // 1_000)])
        return frame.set_index("bucket").reindex(range(last + 1), fill_value=0)


def _card(title: str, value: str, trend: NDArray[Any], note: str = "", *, most: float | None = None) -> dict[str, Any]:
    numbers = [None if math.isnan(number) else float(f"{number:.4g}") for number in trend.tolist()]
    return {"title": title, "value": value, "note": note, "trend": numbers, "most": most}


def _us(moments: pd.Series[pd.Timestamp]) -> NDArray[np.int64]:
    return np.asarray(moments.astype("datetime64[us, UTC]").astype("int64"), dtype=np.int64)


def _ratios(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return found


def _p95(values: NDArray[np.float64]) -> float:
    return float(np.quantile(values, 0.95))


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else _NONE


def duration(value: Any) -> str:  # noqa: ANN401 -- a number of numpy
    return _NONE if math.isnan(value) else format_duration(float(f"{value:.3g}"))
