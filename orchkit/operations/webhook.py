"""Webhook: who is told of what, and the messages that tell it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Self

from orchkit.engine.doors import secret_name
from orchkit.errors import WorkflowError, nearest
from orchkit.model.records import values_record
from orchkit.model.retry import Retry
from orchkit.operations.posting import checked_url
from orchkit.units import Duration, seconds

__all__ = ["EVENTS", "Message", "Webhook", "message_of"]

_RUN = ("started", "completed", "failed", "compensated", "cancelled", "dead_lettered")
EVENTS = (
    *(f"run.{name}" for name in _RUN),
    "run.retried",
    "run.discarded",
    "run.migrated",
    "alert.firing",
    "alert.resolved",
)
"""What may be told."""

_DECISIONS = {"REPLAYED": "run.retried", "DISCARDED": "run.discarded", "MIGRATED": "run.migrated"}
# By default an hour and a half: 5 s, 30 s, 3 min, 18 min, then an hour.
_PATIENT = Retry(max_attempts=6, initial_delay="5 s", max_delay="1 h", multiplier=6, jitter=0.2)


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of events, such as the end of a run.

    Parameters
    ----------
    url
        Where to send: ``https://…``; ``${systems.crm}`` and ``${secrets.path}`` in it are filled in on sending.
    events
        Patterns of the events that are sent: ``run.*``, ``run.dead_lettered``, ``alert.firing``;
        `orchkit.operations.webhook.EVENTS` lists all.
    secret
        The name of the engine's secret that signs the messages; several while it is being changed, the new one first.
        None: not signed.
    workflows
        Patterns of the workflows that count; all by default.
    name
        The name of the webhook; by default its URL without the scheme.
    retry
        How often, and after how long, to try again; after that the message is a dead letter.
    timeout
        How long to wait for an answer.
    public_only
        Whether addresses in private networks are refused.

    Examples
    --------
    >>> crm = Webhook("https://crm.example/hooks", events=["run.failed", "alert.*"], secret="secret:crm")
    >>> crm.name, crm.secrets, crm.takes("run.failed", "order"), crm.takes("run.completed", "order")
    ('crm.example/hooks', ('crm',), True, False)
    """

    url: str
    events: tuple[str, ...] = ("run.*", "alert.*")
    secret: str | tuple[str, ...] | None = None
    workflows: tuple[str, ...] = ("*",)
    name: str = ""
    retry: Retry = _PATIENT
    timeout: Duration = 15.0
    public_only: bool = False

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if not isinstance(self.url, str):
            message = f"A webhook's URL is a text, not {self.url!r}."
            raise WorkflowError(message)
        if "${" not in self.url:
            checked_url(self.url)
        for field in ("events", "workflows"):
            keep(self, field, _texts(getattr(self, field), field))
        for pattern in self.events:
            if not any(fnmatchcase(event, pattern) for event in EVENTS):
                message = f"There is no event {pattern!r}.{nearest(pattern, EVENTS)} Known: {', '.join(EVENTS)}."
                raise WorkflowError(message)
        if self.secret is not None:
            names = tuple(secret_name(text) for text in _texts(self.secret, "secret"))
            keep(self, "secret", names[0] if len(names) == 1 else names)
        keep(self, "timeout", seconds(self.timeout))
        keep(self, "name", self.name or self.url.partition("://")[2] or self.url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets."""
        return () if self.secret is None else (self.secret,) if isinstance(self.secret, str) else self.secret

    def takes(self, event: str, workflow: str) -> bool:
        """Return whether this event of this workflow is sent to it."""
        return any(fnmatchcase(event, pattern) for pattern in self.events) and any(
            fnmatchcase(workflow, pattern) for pattern in self.workflows
        )

    def to_settings(self) -> dict[str, Any]:
        """Return its settings as JSON values."""
        return values_record(self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return the webhook that has these settings."""
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                message = f"A webhook has no {key!r}.{nearest(str(key), known)} Known: {', '.join(known)}."
                raise WorkflowError(message)
        values = dict(settings)
        if isinstance(values.get("retry"), Mapping):
            values["retry"] = Retry(**values["retry"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Message:
    """What is told: its id, the same for each attempt, also after a restart; its type, and its JSON."""

    id: str
    seq: int
    type: str
    workflow: str
    body: bytes


def message_of(webhook: Webhook, row: Mapping[str, Any]) -> Message | None:
    """Return what a row of the history (``moment`` its time in seconds) tells a webhook; None where it is nothing."""
    event = _event(row)
    if event is None or not webhook.takes(event, row["workflow"]):
        return None
    made_of = f"{webhook.name}\0{row['seq']}\0{row['run_id']}\0{row['moment']}"
    message_id = "msg_" + hashlib.blake2b(made_of.encode("utf-8", "surrogatepass"), digest_size=15).hexdigest()
    moment = datetime.fromtimestamp(row["moment"], UTC).isoformat()
    told = {"type": event, "timestamp": moment, "data": _alert(row) if row["kind"] == "alert" else _run(row)}
    body = json.dumps(told, separators=(",", ":")).encode()
    return Message(message_id, int(row["seq"]), event, row["workflow"], body)


def _event(row: Mapping[str, Any]) -> str | None:
    kind, status = row["kind"], row["status"]
    if kind == "decision":
        return _DECISIONS.get(status)
    if kind == "run":
        # A run that goes on again is RUNNING too: its decision tells of that, and has no inputs.
        return "run.started" if status == "RUNNING" and row["payload"] else _known(f"run.{status.lower()}")
    return _known(f"{kind}.{status.lower()}")


def _known(event: str) -> str | None:
    return event if event in EVENTS else None


def _run(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("run_id", "case_id", "workflow", "digest", "status", "seq")
    data = {name: row[name] for name in names}
    if row["duration_s"] is not None and math.isfinite(row["duration_s"]):
        data["duration_s"] = row["duration_s"]
    if row["kind"] == "decision":
        data["by"] = row["resource"]
        data["reason"] = json.loads(row["payload"] or "{}").get("reason")
    if row["error_type"] is not None:
        data["error"] = {name: row[f"error_{name}"] for name in ("class", "type", "message")}
    return data


def _alert(row: Mapping[str, Any]) -> dict[str, Any]:
    workflow, _, alert = row["case_id"].partition("/")
    return {"workflow": workflow, "alert": alert, "state": row["status"].lower(), **json.loads(row["payload"] or "{}")}


def _texts(value: str | Iterable[str], field: str) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else tuple(value)
    if not found or not all(isinstance(text, str) and text for text in found):
        message = f"A webhook's {field} is a text or several, not {value!r}."
        raise WorkflowError(message)
    return found
