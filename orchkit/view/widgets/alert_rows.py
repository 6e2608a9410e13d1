"""Alerts as rows of a view: how they stand, since when, and which are silenced."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from orchkit.engine import Engine
from orchkit.errors import EngineClosed, OrchkitError, StoreError
from orchkit.operations.alerts import evaluate
from orchkit.operations.watch import AlertState, Watch
from orchkit.units import format_duration, seconds
from orchkit.view.widgets.base import Ticker

__all__ = ["AlertRows"]

_SIGNS = {AlertState.FIRING: "▲", AlertState.PENDING: "◔", AlertState.RESOLVED: "✓"}
_ORDER = list(_SIGNS)
_EVERY_S = 1.0
_REST = 9  # of what an evaluation takes: it reads the log of each alert's window, and shall not take the machine
_SILENCES = "SELECT case_id, payload FROM history WHERE kind = 'alert' AND status = 'SILENCED' ORDER BY seq"
_DEPLOYED = "SELECT DISTINCT workflow FROM definitions ORDER BY workflow"


class AlertRows:
    """Tells how the alerts of an engine's workflows stand.

    Parameters
    ----------
    engine
        Whose alerts.
    watch
        What evaluates them. Without one they are evaluated here: what holds fires, and nothing is written or sent.
    """

    def __init__(self, engine: Engine, watch: Watch | None) -> None:
        self._engine, self._watch = engine, watch
        self._known: dict[tuple[str, str], tuple[AlertState, float]] = {}
        self._rows: list[dict[str, Any]] = []
        self._rest_until = -math.inf
        self._ticker = Ticker(self._tick, _EVERY_S) if watch is None else None

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per alert that is pending or firing, or was: what fires first."""
        return self._rows if self._watch is None else _ordered(self._watched(self._watch))

    def stop(self) -> None:
        """Evaluate no more."""
        if self._ticker is not None:
            self._ticker.stop()

    def _tick(self) -> None:
        begun = time.monotonic()
        if begun < self._rest_until:
            return
        try:
            self._rows = _ordered(self._evaluated(self._engine.now))
        except (EngineClosed, StoreError):
            self._rest_until = math.inf  # the engine is closed: what was seen last stays
            return
        self._rest_until = time.monotonic() + _REST * (time.monotonic() - begun)

    def _watched(self, watch: Watch) -> Iterable[dict[str, Any]]:
        for row in watch.states().to_dict("records"):
            until = None if pd.isna(row["silenced_until"]) else row["silenced_until"]
            yield _row({str(key): value for key, value in row.items()}, row["since"], until)

    def _evaluated(self, now: float) -> Iterable[dict[str, Any]]:
        silences = {
            row["case_id"]: float(json.loads(row["payload"])["until"])
            for row in self._engine.sql(_SILENCES).to_dict("records")
        }
        for name in self._engine.sql(_DEPLOYED)["workflow"]:
            workflow = self._engine.current(name)
            if not workflow.alerts:
                continue
            longest_s = max(seconds(alert.window) for alert in workflow.alerts)
            since = None if any("anomaly" in alert.condition for alert in workflow.alerts) else _moment(now - longest_s)
            try:
                found = evaluate(workflow, self._engine.log(workflow, since=since), _moment(now))
            except OrchkitError as error:  # an alert that makes no sense is told, and the others go on
                yield _row({"alert": "(alerts)", "workflow": name, "severity": "error", "condition": str(error)}, None)
                continue
            for row in found.to_dict("records"):
                state = AlertState.FIRING if row["holds"] else AlertState.RESOLVED
                key = (name, str(row["alert"]))
                if self._known.get(key, (AlertState.RESOLVED, now))[0] is not state:
                    self._known[key] = (state, now)
                if key in self._known:
                    full = "/".join(key)
                    until = max(
                        (end for what, end in silences.items() if end > now and fnmatchcase(full, what)), default=None
                    )
                    told = {str(name): value for name, value in row.items()} | {"state": state}
                    yield _row(told, _moment(self._known[key][1]), None if until is None else _moment(until))


def _row(row: dict[str, Any], since: pd.Timestamp | None, until: pd.Timestamp | None = None) -> dict[str, Any]:
    state = AlertState(row["state"]) if "state" in row else None
    return {
        "key": f"{row['workflow']}/{row['alert']}",
        "alert": row["alert"],
        "workflow": row["workflow"],
        "severity": row["severity"],
        "state": "✗ faulty" if state is None else f"{_SIGNS[state]} {state}",
        "order": -1 if state is None else _ORDER.index(state),
        "is_on": state is AlertState.FIRING,
        "condition": row["condition"],
        "value": _said(row["condition"], row.get("value", math.nan)),
        "since": "" if since is None else f"{since:%Y-%m-%d %H:%M:%S}",
        "silenced": "" if until is None else f"until {until:%m-%d %H:%M}",
    }


def _ordered(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["order"], row["workflow"], row["alert"]))


def _said(condition: str, value: Any) -> str:  # noqa: ANN401 -- a cell
    if pd.isna(value):
        return ""
    if "_duration" in condition and "anomaly" not in condition:
        return format_duration(float(f"{value:.3g}"))
    return f"{value:.1%}" if "%" in condition else f"{value:.4g}"


def _moment(seconds_: float) -> pd.Timestamp:
    return pd.Timestamp(seconds_, unit="s", tz="UTC")
