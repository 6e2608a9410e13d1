"""Watch: alerts evaluated on an engine's store while its runs go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Self

import pandas as pd

from orchkit.engine import Engine
from orchkit.engine.who import user
from orchkit.model.definition import Workflow
from orchkit.operations.alerts import evaluate
from orchkit.operations.channels import Channel, Send, channel_of
from orchkit.units import Duration, format_duration, seconds

__all__ = ["AlertState", "Watch", "watch"]

_STATE_COLUMNS = ["alert", "workflow", "severity", "condition", "state", "value", "since", "silenced_until"]
_ATTEMPTS = 5
_ALERT_ROWS = """
SELECT case_id, status, epoch(occurred_at) AS moment, payload FROM history WHERE kind = 'alert' ORDER BY seq
"""


class AlertState(StrEnum):
    """State of an alert."""

    RESOLVED = "resolved"
    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, slots=True)
class _State:
    state: AlertState
    since: float
    severity: str = ""
    condition: str = ""
    value: float = float("nan")


@dataclass(frozen=True, slots=True)
class _Change:
    alert: str
    workflow: str
    severity: str
    state: AlertState
    condition: str
    value: float


@dataclass(frozen=True, slots=True)
class _Letter:
    """What is to be sent through one channel, and how often that was tried."""

    send: Send
    title: str
    text: str
    document: Mapping[str, Any]
    attempts: int = 0


def watch(
    engine: Engine,
    workflows: Iterable[Workflow] | None = None,
    *,
    every: Duration | None = "15 s",
    hold: Duration = "0 s",
    channels: Iterable[Channel] = (),
    secret: str | None = None,
) -> Watch:
    """Evaluate the alerts of workflows on an engine's store while its runs go on.

    Parameters
    ----------
    engine
        The engine whose runs are watched.
    workflows
        Whose alerts count; by default the current version of each workflow in the store.
    every
        How often to evaluate them; None for only when `Watch.check` is called.
    hold
        How long a condition must hold before its alert fires; it is pending until then.
    channels
        Where to send: webhooks' addresses, URLs of Apprise (extra ``alerts``), functions of title, text and document.
    secret
        The secret that signs messages to webhooks, as Standard Webhooks defines it; see
        `orchkit.operations.signatures`.

    Returns
    -------
    Watch
        Close it, or use it as a context manager.

    Examples
    --------
    >>> from orchkit import Alert, PermanentError, task, workflow
    >>> def ship():
    ...     raise PermanentError("no such address")
    >>> alerts = [Alert("high_failure_rate", "failure_rate > 10%", window="15m")]
    >>> order = workflow("order", [task("ship")], alerts=alerts)
    >>> told = []
    >>> with Engine(handlers=[ship]) as engine, watch(engine, every=None, channels=[lambda *m: told.append(m[0])]) as w:
    ...     run = engine.run(order)
    ...     w.check()[["alert", "state", "value"]].values.tolist()
    ...     len(w.check()), told
    [['high_failure_rate', 'firing', 1.0]]
    (0, ['order: high_failure_rate is firing'])
    """
    sends = [channel_of(channel, secret) for channel in channels]
    return Watch(engine, workflows, None if every is None else seconds(every), seconds(hold), sends)


class Watch:
    """Watches alerts; see `watch`. Each change is in the history, so that a restart repeats no message."""

    def __init__(
        self,
        engine: Engine,
        workflows: Iterable[Workflow] | None,
        every_s: float | None,
        hold_s: float,
        sends: Iterable[Send],
    ) -> None:
        self._engine, self._hold_s, self._sends = engine, hold_s, list(sends)
        self._workflows = None if workflows is None else list(workflows)
        self._states: dict[tuple[str, str], _State] = {}
        self._silences: dict[str, float] = {}
        self._unsent: list[_Letter] = []
        self._lost = 0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self.error: Exception | None = None
        self._load()
        self._thread: threading.Thread | None = None
        if every_s is not None:
            self._thread = threading.Thread(target=self._loop, args=[every_s], name="orchkit-watch", daemon=True)
            self._thread.start()

    # Looking -----------------------------------------------------------------------

    def check(self) -> pd.DataFrame:
        """Evaluate now, and return the alerts that began to fire or were resolved since the last time, one row each.

        Returns
        -------
        DataFrame
            ``alert, workflow, severity, state, condition, value``.
        """
        with self._lock:
            now = self._engine.now
            changes = [change for workflow in self._watched() for change in self._check(workflow, now)]
            for change in changes:
                payload: dict[str, Any] = {"severity": change.severity, "condition": change.condition}
                payload |= {} if change.value != change.value else {"value": change.value}
                name = f"{change.workflow}/{change.alert}"
                self._engine.note("alert", name, change.state.value.upper(), payload, workflow=change.workflow)
            self._post(changes, now)
            self._send()
        columns = ["alert", "workflow", "severity", "state", "condition", "value"]
        rows = [
            [change.alert, change.workflow, change.severity, change.state.value, change.condition, change.value]
            for change in changes
        ]
        return pd.DataFrame(rows, columns=columns)

    def states(self) -> pd.DataFrame:
        """Return one row per alert that is, or was, pending or firing.

        Returns
        -------
        DataFrame
            ``alert, workflow, severity, condition, state, value, since, silenced_until``.
        """
        with self._lock:
            now = self._engine.now
            rows = []
            for (workflow, alert), found in sorted(self._states.items()):
                until = self._silenced_until(f"{workflow}/{alert}", now)
                values = [alert, workflow, found.severity, found.condition, found.state.value, found.value]
                rows.append([*values, _moment(found.since), pd.NaT if until is None else _moment(until)])
        frame = pd.DataFrame(rows, columns=_STATE_COLUMNS)
        for column in ("since", "silenced_until"):
            frame[column] = pd.to_datetime(frame[column], utc=True)
        return frame

    @property
    def unsent(self) -> int:
        """Messages that could not be sent yet, or were given up after five attempts."""
        return len(self._unsent) + self._lost

    def silence(self, alert: str, duration: Duration, reason: str, *, by: str | None = None) -> None:
        """Send no messages about alerts for a while; they are still evaluated.

        Parameters
        ----------
        alert
            Its name, or a pattern such as ``order/*``: the workflow, a slash, the alert.
        duration
            How long.
        reason, by
            Why, and who has decided it, for the history.
        """
        pattern = alert if "/" in alert else f"*/{alert}"
        with self._lock:
            until = self._engine.now + seconds(duration)
            self._silences[pattern] = until
            self._engine.note("alert", pattern, "SILENCED", {"until": until, "reason": reason}, by=by or user())

    def _watched(self) -> list[Workflow]:
        if self._workflows is not None:
            return self._workflows
        names = self._engine.sql("SELECT DISTINCT workflow FROM definitions ORDER BY workflow")["workflow"]
        return [self._engine.current(name) for name in names]

    def _check(self, workflow: Workflow, now: float) -> Iterable[_Change]:
        if not workflow.alerts:
            return
        # What is unusual is told from all that was; all else from what is open, or has ended in the windows.
        all_of_it = any("anomaly" in alert.condition for alert in workflow.alerts)
        longest_s = max(seconds(alert.window) for alert in workflow.alerts)
        log = self._engine.log(workflow, since=None if all_of_it else _moment(now - longest_s))
        for row in evaluate(workflow, log, _moment(now)).to_dict("records"):
            key = (workflow.name, str(row["alert"]))
            old = self._states.get(key, _State(AlertState.RESOLVED, now))
            new = self._next(old, row["holds"], now)
            found = replace(new, severity=row["severity"], condition=row["condition"], value=row["value"])
            if new.state is not AlertState.RESOLVED or key in self._states:
                self._states[key] = found
            told = {old.state, new.state}
            if old.state is not new.state and AlertState.FIRING in told:
                yield _Change(key[1], key[0], found.severity, new.state, found.condition, found.value)

    def _next(self, old: _State, holds: object, now: float) -> _State:
        if not holds:
            return old if old.state is AlertState.RESOLVED else _State(AlertState.RESOLVED, now)
        if old.state is AlertState.FIRING:
            return old
        since = old.since if old.state is AlertState.PENDING else now
        if now - since >= self._hold_s:
            return _State(AlertState.FIRING, now)
        return _State(AlertState.PENDING, since)

    # Telling -----------------------------------------------------------------------

    def _post(self, changes: Iterable[_Change], now: float) -> None:
        """Write a message for each workflow and state: what changes together is told together."""
        groups: dict[tuple[str, AlertState], list[_Change]] = {}
        for change in changes:
            if self._silenced_until(f"{change.workflow}/{change.alert}", now) is None:
                groups.setdefault((change.workflow, change.state), []).append(change)
        for (workflow, state), group in groups.items():
            names = ", ".join(change.alert for change in group)
            title = f"{workflow}: {names} {'is' if len(group) == 1 else 'are'} {state}"
            lines = [f"[{c.severity}] {c.alert}: {c.condition} ({_said(c)})" for c in group]
            alerts = [
                {"alert": c.alert, "severity": c.severity, "condition": c.condition, "value": _json(c.value)}
                for c in group
            ]
            document = {"workflow": workflow, "state": state.value, "alerts": alerts, "sent_at": int(now)}
            self._unsent += [_Letter(send, title, "\n".join(lines), document) for send in self._sends]

    def _send(self) -> None:
        letters, self._unsent = self._unsent, []
        for letter in letters:
            try:
                letter.send(letter.title, letter.text, letter.document)
            except Exception as error:  # noqa: BLE001 -- a channel that fails does not stop the watch
                self.error = error
                if letter.attempts + 1 < _ATTEMPTS:
                    self._unsent.append(replace(letter, attempts=letter.attempts + 1))
                else:
                    self._lost += 1

    def _silenced_until(self, name: str, now: float) -> float | None:
        found = [until for pattern, until in self._silences.items() if until > now and fnmatchcase(name, pattern)]
        return max(found, default=None)

    # Lifetime ----------------------------------------------------------------------

    def _load(self) -> None:
        for row in self._engine.sql(_ALERT_ROWS).to_dict("records"):
            payload, moment = json.loads(row["payload"]), float(row["moment"])
            if row["status"] == "SILENCED":
                self._silences[row["case_id"]] = payload["until"]
                continue
            workflow, _, alert = row["case_id"].partition("/")
            state = AlertState(row["status"].lower())
            told = (payload["severity"], payload["condition"], payload.get("value", float("nan")))
            self._states[workflow, alert] = _State(state, moment, *told)

    def _loop(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.check()
            except Exception as error:  # noqa: BLE001 -- the next look may succeed; what went wrong can be seen
                self.error = error

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _said(change: _Change) -> str:
    if change.value != change.value:
        return "no value"
    if "_duration" in change.condition and "anomaly" not in change.condition:
        return format_duration(change.value)
    return f"{change.value:.1%}" if "%" in change.condition else f"{change.value:.4g}"


def _json(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 -- NaN


def _moment(seconds_: float) -> datetime:
    return datetime.fromtimestamp(seconds_, UTC)
