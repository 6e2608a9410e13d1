"""The systems' own books: every effect that has happened, kept apart from the engine, to check it against.

`Books` is the SQLite file; `read_books` reads it as a frame, also while the systems write to it; `reconcile` says which
cases do not add up.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pandas as pd

from sample_processes.services import Effect, Refusal

__all__ = ["Books", "StoredAnswer", "read_books", "read_requests", "reconcile"]

_SCHEMA = """
create table if not exists effects (
    effect_id text primary key, kind text not null, case_id text not null, idempotency_key text,
    amount integer, reverses text unique, recorded_at text not null, details text not null
);
create index if not exists effects_of_case on effects (case_id, kind);
create table if not exists answers (
    idempotency_key text primary key, fingerprint text not null, status integer not null, body text not null
);
create table if not exists requests (
    request text not null, attempt integer not null, path text not null, fault text not null, idempotency_key text,
    recorded_at text not null, primary key (request, attempt)
);
"""
_EFFECTS = "select * from effects order by rowid"
_REQUESTS = "select * from requests order by rowid"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that an idempotency key got, and the fingerprint of the request that it was given to."""

    fingerprint: str
    status: HTTPStatus
    body: dict[str, Any]


class Books:
    """The ledger of effects, and the answers that were given: one SQLite file, shared by many threads.

    One connection and one lock: a request is carried out in one transaction, so that an effect and the answer that
    proves it are written both or not at all.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside one change: all of it or nothing."""
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def next_attempt(self, request: str) -> int:
        """Return the number, from 1, of the attempt of a request that comes next."""
        query = "select coalesce(max(attempt), 0) + 1 from requests where request = ?"
        return int(self._connection.execute(query, (request,)).fetchone()[0])

    def note_request(self, request: str, *, attempt: int, path: str, fault: str, key: str | None) -> None:
        """Write down an attempt of a request and what it met."""
        self._connection.execute(
            "insert into requests values (?, ?, ?, ?, ?, ?)",
            (request, attempt, path, fault, key, _now()),
        )

    def answer_to(self, key: str) -> StoredAnswer | None:
        """Return the answer that an idempotency key got."""
        query = "select fingerprint, status, body from answers where idempotency_key = ?"
        row = self._connection.execute(query, (key,)).fetchone()
        return row and StoredAnswer(row["fingerprint"], HTTPStatus(row["status"]), json.loads(row["body"]))

    def keep_answer(self, key: str, answer: StoredAnswer) -> None:
        """Keep the answer for the next request with this key."""
        self._connection.execute(
            "insert into answers values (?, ?, ?, ?)",
            (key, answer.fingerprint, answer.status, json.dumps(answer.body)),
        )

    def record(self, effect: Effect, key: str | None) -> dict[str, Any]:
        """Write an effect down and return it as the body of an answer.

        Raises
        ------
        Refusal
            There is nothing to reverse (404), or it has been reversed already (409).
        """
        amount, reversed_id = effect.amount, None
        if effect.reverses is not None:
            reversed_id, amount = self._standing(effect.reverses, effect)
        query = "select count(*) from effects where case_id = ? and kind = ?"
        count = self._connection.execute(query, (effect.case_id, effect.kind)).fetchone()[0]
        effect_id = f"{effect.kind}-{effect.case_id}-{count + 1}"
        details = json.dumps(dict(effect.details))
        row = (effect_id, effect.kind, effect.case_id, key, amount, reversed_id, _now(), details)
        self._connection.execute("insert into effects values (?, ?, ?, ?, ?, ?, ?, ?)", row)
        optional = {"amount": amount, "reverses": reversed_id}
        shown = {name: value for name, value in optional.items() if value is not None}
        return {"id": effect_id, "kind": effect.kind, **shown, **effect.details}

    def _standing(self, kind: str, undo: Effect) -> tuple[str, int | None]:
        """Return id and amount of the first effect of a kind that fits an undoing one and that nothing has reversed."""
        query = """
            select effect_id, amount, details,
                exists (select 1 from effects as later where later.reverses = effects.effect_id) as gone
            from effects where case_id = ? and kind = ? order by gone, rowid
        """
        rows = self._connection.execute(query, (undo.case_id, kind))
        row = next((row for row in rows if undo.details.items() <= json.loads(row["details"]).items()), None)
        if row is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is no {kind} for {undo.case_id}")
        if row["gone"]:
            raise Refusal(HTTPStatus.CONFLICT, f"the {kind} for {undo.case_id} has been reversed already")
        return row["effect_id"], row["amount"]

    def find(self, effect_id: str) -> sqlite3.Row | None:
        """Return the row of an effect."""
        row: sqlite3.Row | None
        with self._lock:
            row = self._connection.execute("select * from effects where effect_id = ?", (effect_id,)).fetchone()
        return row

    def effects(self) -> pd.DataFrame:
        """Return the effects; see `read_books`."""
        with self._lock:
            return _effects_frame(self._connection)

    def requests(self) -> pd.DataFrame:
        """Return the attempts of requests; see `read_requests`."""
        with self._lock:
            return _requests_frame(self._connection)


def read_books(path: str | Path) -> pd.DataFrame:
    """Return the effects in a file of books, oldest first, also while the systems are running.

    Returns
    -------
    DataFrame
        ``effect_id``, ``kind`` (``"shipment"``, ``"capture"`` …), ``case_id``, ``idempotency_key``, ``amount`` (cents),
        ``reverses`` (the effect that this one undoes), ``recorded_at`` (UTC) and ``details`` (a dict).
    """
    with closing(_open(path)) as connection:
        return _effects_frame(connection)


def read_requests(path: str | Path) -> pd.DataFrame:
    """Return the attempts of requests in a file of books, oldest first, also while the systems are running.

    Returns
    -------
    DataFrame
        ``request`` (the same for every attempt), ``attempt`` (from 1), ``path``, ``fault`` (what it met),
        ``idempotency_key`` and ``recorded_at`` (UTC).
    """
    with closing(_open(path)) as connection:
        return _requests_frame(connection)


def reconcile(books: pd.DataFrame) -> pd.DataFrame:
    """Return what does not add up in the books; an empty frame means that they balance.

    The rules, for each case: it is shipped at most once; a payment is captured at most once; a refund gives back what
    was captured; and where a payment was captured, the goods are shipped or the money is back, and not both.

    Parameters
    ----------
    books
        Effects as `read_books` gives them, when no run is on its way any more.

    Returns
    -------
    DataFrame
        ``case_id``, ``rule`` (the one that is broken) and ``found``.

    Examples
    --------
    >>> twice = pd.DataFrame({
    ...     "effect_id": ["shipment-7-1", "shipment-7-2"],
    ...     "kind": "shipment",
    ...     "case_id": "7",
    ...     "amount": None,
    ...     "reverses": None,
    ... })
    >>> reconcile(twice)
      case_id          rule        found
    0       7  shipped once  2 shipments
    """
    moves = pd.DataFrame(
        {
            "shipped": (books.kind == "shipment") & ~books.effect_id.isin(books.reverses.dropna()),
            "captured": books.kind == "capture",
            "refunded": books.kind == "refund",
            "paid": books.amount.where(books.kind == "capture", 0).fillna(0),
            "repaid": books.amount.where(books.kind == "refund", 0).fillna(0),
        }
    )
    cases = moves.groupby(books.case_id).sum()
    goods, money = cases.shipped > 0, cases.captured > cases.refunded
    sums = cases.paid.astype(int).astype(str) + " captured, " + cases.repaid.astype(int).astype(str) + " refunded"
    broken = {
        "shipped once": (cases.shipped > 1, cases.shipped.astype(str) + " shipments"),
        "captured once": (cases.captured > 1, cases.captured.astype(str) + " captures"),
        "refund equals capture": ((cases.refunded > 0) & (cases.paid != cases.repaid), sums),
        "paid orders are shipped or refunded": (money & ~goods, sums + ", not shipped"),
        "refunded orders are not shipped": (~money & goods & (cases.captured > 0), sums + ", shipped"),
    }
    violations = [
        pd.DataFrame({"case_id": found.index[holds], "rule": rule, "found": found[holds].to_numpy()})
        for rule, (holds, found) in broken.items()
    ]
    return pd.concat(violations).sort_values("case_id", kind="stable", ignore_index=True)


def _open(path: str | Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def _effects_frame(connection: sqlite3.Connection) -> pd.DataFrame:
    frame = pd.read_sql_query(_EFFECTS, connection)
    return frame.assign(
        amount=frame.amount.astype("Int64"),
        recorded_at=pd.to_datetime(frame.recorded_at, utc=True),
        details=frame.details.map(json.loads),
    )


def _requests_frame(connection: sqlite3.Connection) -> pd.DataFrame:
    frame = pd.read_sql_query(_REQUESTS, connection)
    return frame.assign(recorded_at=pd.to_datetime(frame.recorded_at, utc=True))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
