"""Deliveries: webhooks are told what happens, at least once, and never in the engine's way.

What there is to tell is read from the history, from where the webhook was added; what came of each attempt is a row of
the history too. So nothing else is stored, a restart goes on where it was, and a message has the same id each time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import pandas as pd

from orchkit.engine import Engine
from orchkit.engine.who import user
from orchkit.errors import EngineClosed, OrchkitError, RunError, StoreError, WorkflowError, nearest
from orchkit.operations.posting import Answer, checked_url, post
from orchkit.operations.webhook import Message, Webhook, message_of
from orchkit.units import seconds

__all__ = ["Webhooks", "webhooks"]

_AT_ONCE = 4  # of a webhook: one that is slow has its own threads to wait in
_PENDING = 1_000  # of a webhook, in memory; the others wait in the history
_BREATH_S = 0.05
_PATIENCE_S = 5.0
_LONGEST_S = 3_600.0
_COLUMNS = ["message_id", "webhook", "type", "workflow", "status", "attempt", "code", "error", "at", "by", "reason"]
_HOOKS = """
SELECT case_id, status, payload, seq FROM history WHERE kind = 'webhook' ORDER BY seq
"""
# With how it stands: what has been sent, or given up, is not told again.
_NEWS = """
WITH told AS (
    SELECT
        CAST(payload ->> '$.seq' AS BIGINT) AS seq, arg_max(status, seq) AS last,
        arg_max(CAST(payload ->> '$.attempt' AS INTEGER), seq) AS attempt,
        arg_max(CAST(payload ->> '$.due' AS DOUBLE), seq) AS due
    FROM history WHERE kind = 'delivery' AND payload ->> '$.webhook' = $1 AND $4
    GROUP BY 1
)
SELECT h.*, epoch_us(h.occurred_at) / 1e6 AS moment, told.last, told.attempt AS attempts, told.due
FROM history AS h LEFT JOIN told USING (seq)
WHERE h.kind IN ('run', 'decision', 'alert') AND h.seq > $2
    AND (told.last IS NULL OR told.last IN ('FAILED', 'REPLAYED'))
ORDER BY h.seq LIMIT $3
"""
_ONE = """
SELECT h.*, epoch_us(h.occurred_at) / 1e6 AS moment, NULL AS last, 0 AS attempts, NULL AS due
FROM history AS h WHERE h.seq = ?
"""
_ATTEMPTS = """
SELECT
    case_id AS message_id, payload ->> '$.webhook' AS webhook, payload ->> '$.type' AS type, workflow, status,
    CAST(payload ->> '$.attempt' AS INTEGER) AS attempt, CAST(payload ->> '$.code' AS INTEGER) AS code,
    payload ->> '$.error' AS error, occurred_at AS at, resource AS by, payload ->> '$.reason' AS reason,
    CAST(payload ->> '$.seq' AS BIGINT) AS place, seq
FROM history WHERE kind = 'delivery' ORDER BY seq DESC
"""
_LAST = f"SELECT * FROM ({_ATTEMPTS}) QUALIFY row_number() OVER (PARTITION BY message_id ORDER BY seq DESC) = 1"  # noqa: S608


@dataclass(slots=True)
class _Pending:
    """A message that is to be sent: how often that was tried, and when it is to be tried again."""

    message: Message
    attempts: int = 0
    due: float = 0.0
    flying: bool = False


@dataclass(slots=True)
class _Line:
    """A webhook at work: what is pending, and the ``seq`` up to which the history was looked at."""

    webhook: Webhook
    since: int
    cursor: int
    client: httpx.Client
    threads: concurrent.futures.ThreadPoolExecutor
    pending: dict[str, _Pending] = field(default_factory=dict)
    fresh: bool = True  # what was told before is to be looked at
    gone: bool = False


def webhooks(engine: Engine, told: Iterable[Webhook] = (), *, live: bool = True) -> Webhooks:
    """Send to webhooks what happens in an engine, while its runs go on.

    Parameters
    ----------
    engine
        The engine whose runs and alerts are told of.
    told
        Webhooks to add; those that were added before stay.
    live
        Whether threads send messages as they arise; else only `Webhooks.deliver` does.

    Returns
    -------
    Webhooks
        Close it, or use it as a context manager. An engine has only one: asked for again, it is the same.

    Examples
    --------
    >>> from orchkit import Engine, Webhook, task, webhooks, workflow
    >>> from orchkit.testing import Receiver
    >>> order = workflow("order", [task("ship")])
    >>> with Receiver() as crm, Engine(handlers={"ship": lambda: "sent"}, secrets={"crm": "hunter22"}) as engine:
    ...     with webhooks(engine, live=False) as hooks:
    ...         _ = hooks.add(crm.url, events="run.completed", secret="crm")
    ...         run = engine.run(order, case_id="A-1")
    ...         hooks.deliver()[["type", "status", "code"]].values.tolist()
    ...         message = crm.messages[0].json
    [['run.completed', 'SENT', 200]]
    >>> message["type"], message["data"]["case_id"]
    ('run.completed', 'A-1')
    """
    with _opening:
        found = _open.get(id(engine))
        if found is None:
            found = _open[id(engine)] = Webhooks(engine, live=live)
        found.holders += 1
    for webhook in told:
        found.add(webhook)
    return found


_opening = threading.Lock()
_open: dict[int, Webhooks] = {}


class Webhooks:
    """The webhooks of an engine; see `webhooks`. What is decided and what is sent is in the history."""

    def __init__(self, engine: Engine, *, live: bool) -> None:
        self._engine = engine
        self.holders = 0
        self.error: Exception | None = None
        self._lock = threading.RLock()
        self._lines: dict[str, _Line] = {}
        self._stop, self._news = threading.Event(), threading.Event()
        self._load()
        self._unsubscribe = engine.on_commit(self._news.set)
        self._thread: threading.Thread | None = None
        if live:
            self._news.set()
            self._thread = threading.Thread(target=self._loop, name="orchkit-webhooks", daemon=True)
            self._thread.start()

    # Whom to tell ------------------------------------------------------------------

    def add(self, webhook: Webhook | str, *, by: str | None = None, **settings: Any) -> Webhook:  # noqa: ANN401
        """Add a webhook, which is told what happens from now on; one with the same name is changed and continues.

        Parameters
        ----------
        webhook
            A `Webhook`, or its URL, with the other fields as ``settings``: ``events``, ``secret`` and the like.
        by
            Who has decided it; by default the user of this machine.

        Raises
        ------
        WorkflowError
            The URL may not be posted to, or there is no such event.
        SecretError
            The engine was given no secret of that name.
        """
        found = Webhook(webhook, **settings) if isinstance(webhook, str) else webhook
        for name in found.secrets:
            self._engine.secret(name)
        with self._lock:
            old = self._lines.get(found.name)
            if old is not None and old.webhook == found and not old.gone:
                return found
            since = old.since if old is not None else self._engine.last_seq()
            payload = {"webhook": found.to_settings(), "since": since}
            self._engine.note("webhook", found.name, "CREATED", payload, by=by or user())
            self._open(found, since)
        self._news.set()
        return found

    def remove(self, name: str, *, by: str | None = None) -> None:
        """Remove a webhook; messages that it was not sent yet are dropped.

        Raises
        ------
        WorkflowError
            There is no webhook with that name.
        """
        with self._lock:
            self._line(name)
            self._engine.note("webhook", name, "DELETED", {}, by=by or user())
            self._shut(self._lines.pop(name))

    def listed(self) -> pd.DataFrame:
        """Return one row per webhook.

        Returns
        -------
        DataFrame
            ``webhook, url, events, workflows, secret`` (names), ``pending`` (messages), ``failing`` (of them, those
            that were tried in vain), ``state`` (``active``, or ``gone``: it has answered 410 and is told nothing more).
        """
        rows = []
        with self._lock:
            for name, line in sorted(self._lines.items()):
                hook, waiting = line.webhook, line.pending.values()
                told = [name, hook.url, ", ".join(hook.events), ", ".join(hook.workflows), ", ".join(hook.secrets)]
                failing = sum(one.attempts > 0 for one in waiting)
                rows.append([*told, len(waiting), failing, "gone" if line.gone else "active"])
        return pd.DataFrame(
            rows, columns=["webhook", "url", "events", "workflows", "secret", "pending", "failing", "state"]
        )

    # What came of it ---------------------------------------------------------------

    def deliveries(self, limit: int = 1_000) -> pd.DataFrame:
        """Return one row per attempt or decision, the newest first.

        Returns
        -------
        DataFrame
            ``message_id, webhook, type, workflow, status`` (SENT, FAILED, DEAD_LETTERED, REPLAYED, DISCARDED),
            ``attempt, code, error, at, by, reason``.
        """
        return self._engine.sql(f"{_ATTEMPTS} LIMIT {int(limit)}")[_COLUMNS]

    def dead_letters(self) -> pd.DataFrame:
        """Return one row per message that was given up and waits for a decision; columns as in `deliveries`."""
        found = self._engine.sql(f"SELECT * FROM ({_LAST}) WHERE status = 'DEAD_LETTERED' ORDER BY seq")  # noqa: S608
        return found[_COLUMNS]

    def replay(self, messages: str | Iterable[str], *, by: str | None = None, reason: str | None = None) -> int:
        """Send dead letters again, under the same ids and with all attempts anew; return how many.

        Raises
        ------
        RunError
            One of them is no dead letter; nothing was decided.
        """
        found = self._dead(messages)
        with self._lock:
            for row in found:
                self._decide(row, "REPLAYED", by, reason)
                line = self._lines.get(row["webhook"])
                if line is not None:
                    self._take(line, self._engine.sql(_ONE, [row["place"]]).to_dict("records"))
        self._news.set()
        return len(found)

    def discard(self, messages: str | Iterable[str], reason: str, *, by: str | None = None) -> int:
        """Give dead letters up for good; see `replay`."""
        found = self._dead(messages)
        for row in found:
            self._decide(row, "DISCARDED", by, reason)
        return len(found)

    def _dead(self, messages: str | Iterable[str]) -> list[dict[Any, Any]]:
        ids = [messages] if isinstance(messages, str) else list(dict.fromkeys(messages))
        query = f"SELECT * FROM ({_LAST}) WHERE status = 'DEAD_LETTERED' AND list_contains(?::VARCHAR[], message_id)"  # noqa: S608
        found = {row["message_id"]: row for row in self._engine.sql(query, [ids]).to_dict("records")}
        for message_id in ids:
            if message_id not in found:
                message = f"{message_id!r} is not a message that was given up: dead_letters() lists those."
                raise RunError(message)
        return [found[message_id] for message_id in ids]

    def _decide(self, row: Mapping[Any, Any], status: str, by: str | None, reason: str | None) -> None:
        payload = {name: row[name] for name in ("webhook", "type")} | {"seq": int(row["place"]), "attempt": 0}
        if reason is not None:
            payload["reason"] = reason
        self._engine.note("delivery", row["message_id"], status, payload, row["workflow"], by or user())

    # Sending -----------------------------------------------------------------------

    def deliver(self) -> pd.DataFrame:
        """Send all that is due now, wait for the outcomes, and return them; columns as in `deliveries`."""
        before, flying = self._engine.last_seq(), True
        while flying:
            flying = bool(concurrent.futures.wait(self._dispatch()).done)
        found = self._engine.sql(f"SELECT * FROM ({_ATTEMPTS}) WHERE seq > ? ORDER BY seq", [before])  # noqa: S608
        return found[_COLUMNS]

    def _dispatch(self) -> list[concurrent.futures.Future[None]]:
        """Begin what is due, and return what was begun."""
        begun = []
        with self._lock:
            self._read([line for line in self._lines.values() if not line.gone])
            now = self._engine.now
            for line in self._lines.values():
                for pending in list(line.pending.values()):
                    if not line.gone and not pending.flying and pending.due <= now:
                        pending.flying = True
                        begun.append(line.threads.submit(self._send, line, pending))
        return begun

    def _read(self, lines: Iterable[_Line]) -> None:
        """Look for what is new, for each as far as there is room; once for all that have come equally far."""
        last = self._engine.last_seq()
        read: dict[int, list[dict[Any, Any]]] = {}
        for line in lines:
            while len(line.pending) < _PENDING and (line.fresh or line.cursor < last):
                found = [] if line.fresh else read.get(line.cursor, [])
                if line.fresh or line.cursor not in read:
                    wanted = [line.webhook.name, line.cursor, _PENDING, line.fresh]
                    found = self._engine.sql(_NEWS, wanted).to_dict("records")
                if not line.fresh:
                    read[line.cursor] = found
                self._take(line, found)
                if len(found) == _PENDING:
                    line.cursor = int(found[-1]["seq"])
                else:
                    line.cursor, line.fresh = max(line.cursor, last), False

    def _take(self, line: _Line, rows: Iterable[Mapping[Any, Any]]) -> None:
        for row in rows:
            known = {str(name): None if _is_missing(value) else value for name, value in row.items()}
            message = message_of(line.webhook, known)
            if message is not None:
                tried = 0 if known["last"] == "REPLAYED" else int(known["attempts"] or 0)
                line.pending.setdefault(message.id, _Pending(message, tried, float(known["due"] or 0.0)))

    def _send(self, line: _Line, pending: _Pending) -> None:
        """Try once, in a thread of the webhook's own, and keep what came of it."""
        hook, message, attempt = line.webhook, pending.message, pending.attempts + 1
        answer = self._post(line, message)
        now = self._engine.now
        status, due = "SENT", None
        if answer.error is not None:
            given_up = attempt >= hook.retry.max_attempts or answer.is_gone
            status = "DEAD_LETTERED" if given_up else "FAILED"
            due = None if given_up else now + max(hook.retry.delay_s(attempt, message.id), answer.retry_after_s)
        told = {"webhook": hook.name, "type": message.type, "seq": message.seq, "attempt": attempt}
        told |= {
            name: value
            for name, value in (("code", answer.code), ("error", answer.error), ("due", due))
            if value is not None
        }
        try:
            if self._stop.is_set() and answer.code is None:  # cut off: it does not count
                return
            self._engine.note("delivery", message.id, status, told, message.workflow)
            if answer.is_gone:
                self._engine.note("webhook", hook.name, "GONE", {})
        except (EngineClosed, StoreError) as error:  # sent again, with the same id, when the file is opened
            self.error = error
            return
        with self._lock:
            line.gone = line.gone or answer.is_gone
            if due is None:
                line.pending.pop(message.id, None)
            else:
                pending.attempts, pending.due, pending.flying = attempt, due, False
        self._news.set()

    def _post(self, line: _Line, message: Message) -> Answer:
        hook = line.webhook
        try:
            url = checked_url(self._engine.rendered(hook.url))
            keys = [self._engine.secret(name) for name in hook.secrets]
            return post(
                line.client,
                url,
                message.body,
                secrets=keys,
                message_id=message.id,
                timestamp=int(self._engine.now),
                public_only=hook.public_only,
            )
        except (OrchkitError, RuntimeError) as error:  # a secret that is gone; a client that was closed
            return Answer(None, f"{type(error).__name__}: {error}")

    # Lifetime ----------------------------------------------------------------------

    def _load(self) -> None:
        found: dict[str, tuple[Webhook, int]] = {}
        gone: set[str] = set()
        for row in self._engine.sql(_HOOKS).to_dict("records"):
            name, payload = row["case_id"], json.loads(row["payload"] or "{}")
            gone.discard(name)
            if row["status"] == "CREATED":
                found[name] = (Webhook.from_settings(payload["webhook"]), payload["since"])
            elif row["status"] == "GONE":
                gone.add(name)
            else:
                found.pop(name, None)
        for webhook, since in found.values():
            self._open(webhook, since)
            self._lines[webhook.name].gone = webhook.name in gone

    def _open(self, webhook: Webhook, since: int) -> None:
        old = self._lines.pop(webhook.name, None)
        if old is not None:
            self._shut(old)
        client = httpx.Client(timeout=seconds(webhook.timeout), limits=httpx.Limits(max_connections=_AT_ONCE))
        threads = concurrent.futures.ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="orchkit-webhook")
        self._lines[webhook.name] = _Line(webhook, since, since, client, threads)

    def _shut(self, line: _Line) -> None:
        line.threads.shutdown(wait=False, cancel_futures=True)
        line.client.close()

    def _line(self, name: str) -> _Line:
        if name not in self._lines:
            message = f"There is no webhook {name!r}.{nearest(name, self._lines)} listed() has them."
            raise WorkflowError(message)
        return self._lines[name]

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._news.wait(self._wait_s())
            self._news.clear()
            if self._stop.wait(_BREATH_S):  # many commits make one look
                return
            try:
                self._dispatch()
            except (EngineClosed, StoreError) as error:
                self.error = error
                return
            except Exception as error:  # noqa: BLE001 -- the next look may succeed; what went wrong can be seen
                self.error = error

    def _wait_s(self) -> float:
        with self._lock:
            dues = [one.due for line in self._lines.values() for one in line.pending.values() if not one.flying]
        return max(0.0, min([due - self._engine.now for due in dues], default=_LONGEST_S))

    def close(self) -> None:
        """Stop sending, after a few seconds for what is under way. What is left is sent the next time."""
        with _opening:
            self.holders -= 1
            if self.holders > 0 or self._stop.is_set():
                return
            _open.pop(id(self._engine), None)
        self._stop.set()
        self._news.set()
        self._unsubscribe()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)
        lines = list(self._lines.values())
        for line in lines:
            line.threads.shutdown(wait=False, cancel_futures=True)
        ending = threading.Timer(_PATIENCE_S, _cut_off, [lines])
        ending.daemon = True
        ending.start()
        for line in lines:
            with contextlib.suppress(RuntimeError):
                line.threads.shutdown(wait=True)
            line.client.close()
        ending.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Webhooks: {len(self._lines)} of {self._engine!r}>"


def _cut_off(lines: Iterable[_Line]) -> None:
    for line in lines:
        line.client.close()


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or value != value  # noqa: PLR0124 -- NaN
