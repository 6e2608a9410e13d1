"""What a client decides: dead letters, work items, schedules and alerts, over HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import pandas as pd

from orchkit.engine import Run
from orchkit.engine.dead_letters import dead_letters
from orchkit.engine.values import plain
from orchkit.engine.who import roles_of, user
from orchkit.engine.work_items import COLUMNS as ITEM_COLUMNS
from orchkit.model import Workflow
from orchkit.model.schedule import Schedule
from orchkit.service.client_reading import ClientReading, in_path, known_id

__all__ = ["ClientOperating"]

_MOST_ITEMS = 1_000


class ClientOperating(ClientReading):
    """Decisions about dead letters, work items, schedules and alerts, over HTTP."""

    # Dead letters ----------------------------------------------------------------

    def dead_letters(self, *, failed: bool = False) -> pd.DataFrame:
        """Return one row per run that waits for a decision, the oldest first; see `orchkit.Engine.dead_letters`."""
        return dead_letters(self, failed=failed)

    def retry(
        self,
        run: Run | str,
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> Run:
        """Continue a run that has failed or is dead-lettered, under the same id; see `orchkit.Engine.retry`."""
        body = {"variables": plain(dict(variables or {})), "from_start": from_start, "by": by or user()}
        return self._run(self._act(f"/v1/runs/{known_id(run)}/retry", **body, reason=reason))

    def discard(self, run: Run | str, reason: str, *, by: str | None = None) -> None:
        """Give up a dead letter: its run becomes FAILED."""
        self._act(f"/v1/dead-letters/{known_id(run)}/discard", reason=reason, by=by or user())

    def retry_many(
        self,
        runs: Iterable[Run | str],
        variables: Mapping[str, Any] | None = None,
        *,
        from_start: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> pd.DataFrame:
        """Continue many runs; returns ``run_id, accepted, problem``, one row per run."""
        body = {"variables": plain(dict(variables or {})), "from_start": from_start, "reason": reason}
        return self._decide_many("retry", runs, by=by or user(), **body)

    def discard_many(self, runs: Iterable[Run | str], reason: str, *, by: str | None = None) -> pd.DataFrame:
        """Give up many dead letters; returns ``run_id, accepted, problem``, one row per run."""
        return self._decide_many("discard", runs, reason=reason, by=by or user())

    def _decide_many(self, what: str, runs: Iterable[Run | str], **body: Any) -> pd.DataFrame:  # noqa: ANN401
        ids, rows = list(dict.fromkeys(map(known_id, runs))), []
        for begin in range(0, len(ids), _MOST_ITEMS):
            page = ids[begin : begin + _MOST_ITEMS]
            rows += self._act(f"/v1/dead-letters/{what}", run_ids=page, **body)["decisions"]
        return pd.DataFrame(rows, columns=["run_id", "accepted", "problem"])

    # Work items ------------------------------------------------------------------

    def work_items(self, role: str | None = None, *, by: str | None = None) -> pd.DataFrame:
        """Return one row per open work item, the oldest first, at most 1,000; see `orchkit.Engine.work_items`."""
        wanted = {name: value for name, value in (("role", role), ("by", by)) if value is not None}
        told = self._service.json("GET", "/v1/work-items", params={**wanted, "limit": _MOST_ITEMS})
        frame = pd.DataFrame(told["items"], columns=ITEM_COLUMNS)
        frame = _with_moments(frame, "created", "due", unit="ns")
        frame["overdue"] = frame["overdue"].astype(bool)
        return frame

    def claim(self, item_id: str, *, by: str, roles: Iterable[str] | None = None) -> None:
        """Claim a work item; whoever comes second gets `orchkit.WorkItemTaken`. See `orchkit.Engine.claim`."""
        self._act(f"{_item(item_id)}/claim", by=by, roles=roles_of(roles))

    def release(self, item_id: str, *, by: str) -> None:
        """Give a work item back: it is offered again."""
        self._act(f"{_item(item_id)}/release", by=by)

    def complete_item(
        self,
        item_id: str,
        data: Any = None,  # noqa: ANN401 -- JSON
        *,
        by: str,
        roles: Iterable[str] | None = None,
    ) -> None:
        """Complete a work item with what its form asks for (JSON values); the run continues."""
        self._act(f"{_item(item_id)}/complete", data=plain(data), by=by, roles=roles_of(roles))

    def reject(self, item_id: str, reason: str, *, by: str, roles: Iterable[str] | None = None) -> None:
        """Refuse a work item: its step fails for good."""
        self._act(f"{_item(item_id)}/reject", reason=reason, by=by, roles=roles_of(roles))

    # Schedules and alerts ----------------------------------------------------------

    def schedule(self, workflow: Workflow | str, name: str | None = None, **settings: Any) -> Schedule:  # noqa: ANN401
        """Start runs of the current version at fixed times; see `orchkit.Engine.schedule`."""
        known = self._checked(workflow)
        found = Schedule.from_settings(settings, name or known)
        body = {"workflow": known, **_settings_of(found)}
        self._service.ask("PUT", f"/v1/schedules/{in_path(found.name)}", json=body)
        return found

    def schedules(self) -> pd.DataFrame:
        """Return one row per schedule; see `orchkit.Engine.schedules`."""
        told = self._service.json("GET", "/v1/schedules")["schedules"]
        names = ("schedule", "workflow", "version", "when", "overlap", "catch_up", "paused", "last", "next")
        frame = pd.DataFrame(told, columns=[*names, "running", "queued"])
        return _with_moments(frame, "last", "next")

    def pause_schedule(self, name: str) -> None:
        """Pause a schedule: it starts no runs until it is resumed."""
        self._act(f"/v1/schedules/{in_path(name)}/pause")

    def resume_schedule(self, name: str) -> None:
        """Resume a schedule from now on."""
        self._act(f"/v1/schedules/{in_path(name)}/resume")

    def unschedule(self, name: str) -> None:
        """Delete a schedule; runs that it started continue."""
        self._service.ask("DELETE", f"/v1/schedules/{in_path(name)}", once=True)

    def trigger(self, name: str) -> None:
        """Start a run of a schedule now."""
        self._act(f"/v1/schedules/{in_path(name)}/trigger")

    def alerts(self, *, check: bool = False) -> pd.DataFrame:
        """Return the alerts that the service watches, one row each; ``check`` evaluates them first. See `Watch`."""
        method, path = ("POST", "/v1/alerts/check") if check else ("GET", "/v1/alerts")
        names = ["alert", "workflow", "severity", "condition", "state", "value", "since", "silenced_until"]
        frame = pd.DataFrame(self._service.json(method, path)["alerts"], columns=names)
        return _with_moments(frame, "since", "silenced_until")

    def silence(self, alert: str, duration: str, reason: str, *, by: str | None = None) -> None:
        """Send no messages about alerts for a while; see `orchkit.Watch.silence`."""
        self._act("/v1/alerts/silence", alert=alert, duration=duration, reason=reason, by=by or user())

    def _act(self, path: str, **body: Any) -> Any:  # noqa: ANN401 -- JSON
        response = self._service.ask("POST", path, once=True, json=body)
        return response.json() if response.content else None


def _item(item_id: str) -> str:
    run_id, _, step_id = item_id.partition("/")
    return f"/v1/work-items/{in_path(run_id)}/{in_path(step_id)}"


def _with_moments(frame: pd.DataFrame, *columns: str, unit: Literal["us", "ns"] = "us") -> pd.DataFrame:
    found = {name: pd.to_datetime(frame[name], utc=True, format="ISO8601").dt.as_unit(unit) for name in columns}
    return frame.assign(**found)


def _settings_of(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule's settings as the service takes them."""
    found = {name: value for name, value in schedule.to_settings().items() if name != "name"}
    for name in ("every", "jitter"):
        if name in found:
            found[name] = _span(found[name])
    for name in ("first", "until"):
        if name in found:
            found[name] = datetime.fromtimestamp(found[name], UTC).isoformat()
    return found


def _span(duration_s: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if duration_s % size == 0:
            return f"{duration_s / size:.0f} {unit}"
    return f"{duration_s:g} s"
