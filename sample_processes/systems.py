"""The outside world: one small HTTP service that plays every system an order passes through, and fails like them.

CRM, ERP, warehouse, billing, mail, travel agencies, identity, and a vendor that calls back, all on one loopback
port. Each effect goes to the systems' own books, apart from the engine's history, so that the one can be checked
against the other.

>>> import json, urllib.request
>>> order = {"order_id": "O-7", "activity": "called"}
>>> with Systems() as systems:
...     with urllib.request.urlopen(f"{systems.urls['crm']}/activities", json.dumps(order).encode()) as reply:
...         json.load(reply)
...     print(systems.books()[["kind", "case_id"]])
{'id': 'activity-O-7-1', 'kind': 'activity', 'activity': 'called'}
       kind case_id
0  activity     O-7

As a process of its own, which prints its address on the first line and ends on SIGTERM::

    python -m sample_processes.systems --port 0 --db books.sqlite --faults default
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import random
import signal
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from sample_processes.books import Books, StoredAnswer, read_books, read_requests, reconcile
from sample_processes.courier import Courier
from sample_processes.faults import PRESETS, Fault, Faults
from sample_processes.server import Reply, Request, Server
from sample_processes.services import SERVICES, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

__all__ = ["Fault", "Faults", "Systems", "main", "read_books", "read_requests", "reconcile"]

_DOCUMENTS = "/vendor/documents"
_APPROVED_SHARE = 0.95


class Systems:
    """All the systems, listening from construction until `close`.

    A POST with the header ``Idempotency-Key`` has its effect once: the same key gets the same answer again, and 422
    where the body is another one. Only good answers are kept: a request that was refused may be corrected under its
    key.

    Parameters
    ----------
    path
        File of the books; None for books in memory.
    faults
        What goes wrong, and how often; by default nothing.
    seed
        Of the faults and of the vendor's decisions.
    vendor_delay_s
        Seconds before the vendor decides about a document and calls back.
    port
        0 takes any that is free.

    Examples
    --------
    >>> with Systems() as systems:
    ...     list(systems.urls)
    ['crm', 'erp', 'warehouse', 'billing', 'mail', 'flights', 'hotels', 'cars', 'identity', 'vendor']
    """

    def __init__(
        self,
        path: str | Path | None = None,
        faults: Faults | None = None,
        *,
        seed: int = 0,
        vendor_delay_s: float = 0.2,
        port: int = 0,
    ) -> None:
        self._faults = faults or Faults.none()
        self._seed, self._vendor_delay_s = seed, vendor_delay_s
        self._books = Books(path)
        self._courier = Courier()
        self._server = Server(self._serve, port)
        self.url = self._server.url
        names = dict.fromkeys(path.split("/")[1] for path in SERVICES)
        self.urls = {name: f"{self.url}/{name}" for name in names}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and close the books."""
        self._server.close()
        self._courier.close()
        self._books.close()

    def books(self) -> pd.DataFrame:
        """Return the effects that have happened, oldest first; for the columns see `read_books`."""
        return self._books.effects()

    def requests(self) -> pd.DataFrame:
        """Return the attempts of requests and what each met, oldest first; for the columns see `read_requests`."""
        return self._books.requests()

    def _serve(self, request: Request) -> Reply:
        """Let a request meet its fate; carry it out where that permits."""
        if (unknown := _unknown(request)) is not None:
            return unknown
        name = f"{request.path} {_fingerprint(request, without='callback_url')}"
        with self._books.transaction():
            attempt = self._books.next_attempt(name)
            fate = self._faults.fate(request.path, name, attempt=attempt, seed=self._seed)
            self._books.note_request(name, attempt=attempt, path=request.path, fault=fate.fault, key=request.key)
            reply = self._stopped_by(fate.fault, request.path) or self._answer(request)
        hangs_up = fate.fault in {Fault.DROPPED, Fault.LOST}
        return replace(reply, delay_s=fate.latency_s, hangs_up=hangs_up)

    def _stopped_by(self, fault: Fault, path: str) -> Reply | None:
        """Return the reply to a request that a fault keeps from its effect; None where it goes through."""
        retry_after_s = self._faults.at(path).retry_after_s
        match fault:
            case Fault.UNAVAILABLE:
                return Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "down for the moment"}, retry_after_s)
            case Fault.THROTTLED:
                return Reply(HTTPStatus.TOO_MANY_REQUESTS, {"error": "too many requests"}, retry_after_s)
            case Fault.DROPPED:
                return Reply(HTTPStatus.SERVICE_UNAVAILABLE, {})
            case Fault.REJECTED:
                return Reply(HTTPStatus.BAD_REQUEST, {"error": "we cannot do this one"})
            case _:
                return None

    def _answer(self, request: Request) -> Reply:
        """Answer from the books where the key is known; otherwise do what is asked."""
        if request.method == "GET":
            return self._status(request.path)
        fingerprint = _fingerprint(request)
        known = self._books.answer_to(request.key) if request.key else None
        if known is not None and known.fingerprint != fingerprint:
            return Reply(
                HTTPStatus.UNPROCESSABLE_ENTITY, {"error": "this Idempotency-Key was used for another request"}
            )
        if known is not None:
            return Reply(known.status, known.body)
        try:
            return self._carry_out(request, fingerprint)
        except Refusal as refusal:
            return Reply(refusal.status, {"error": refusal.reason})

    def _carry_out(self, request: Request, fingerprint: str) -> Reply:
        if not isinstance(request.body, dict):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
        effect = SERVICES[request.path](request.body)
        body = self._books.record(effect, request.key)
        if request.key:
            self._books.keep_answer(request.key, StoredAnswer(fingerprint, effect.status, body))
        if request.path == _DOCUMENTS and (url := request.body.get("callback_url")):
            self._call_back(url, body["id"])
        return Reply(effect.status, body)

    def _call_back(self, url: str, document_id: str) -> None:
        """Send the vendor's decision to an address: once, or, as vendors do, twice or never."""
        point, lost = self._draw(document_id, "callback"), self._faults.lost_callbacks
        times = 0 if point < lost else 2 if point < lost + self._faults.repeated_callbacks else 1
        for _ in range(times):
            self._courier.send(url, self._decision(document_id), delay_s=self._vendor_delay_s)

    def _status(self, path: str) -> Reply:
        """Return where a document stands, for those who cannot be called back."""
        document_id = path.removeprefix(f"{_DOCUMENTS}/")
        row = self._books.find(document_id)
        if row is None:
            return Reply(HTTPStatus.NOT_FOUND, {"error": f"there is no document {document_id!r}"})
        due = datetime.fromisoformat(row["recorded_at"]) + timedelta(seconds=self._vendor_delay_s)
        if datetime.now(UTC) < due:
            return Reply(HTTPStatus.OK, {"id": document_id, "status": "in_review"})
        return Reply(HTTPStatus.OK, self._decision(document_id))

    def _decision(self, document_id: str) -> dict[str, Any]:
        approved = self._draw(document_id, "approved") < _APPROVED_SHARE
        return {"id": document_id, "status": "decided", "approved": approved}

    def _draw(self, *purpose: str) -> float:
        """Return a number in [0, 1) that depends on the seed and the purpose alone."""
        return random.Random("/".join((str(self._seed), *purpose))).random()


def _unknown(request: Request) -> Reply | None:
    """Return the reply to a request that no service takes; None where one does."""
    if request.method == "POST" and request.path in SERVICES:
        return None
    if request.method == "GET" and request.path.startswith(f"{_DOCUMENTS}/"):
        return None
    if request.method == "GET" and request.path == "/health":
        return Reply(HTTPStatus.OK, {"status": "ok"})
    near = difflib.get_close_matches(request.path, SERVICES, n=1)
    hint = f"; did you mean POST {near[0]}?" if near else ""
    return Reply(HTTPStatus.NOT_FOUND, {"error": f"nobody takes {request.method} {request.path}{hint}"})


def _fingerprint(request: Request, without: str | None = None) -> str:
    """Return the same short text for the same path and body."""
    body = request.body
    if without and isinstance(body, dict):
        body = {name: value for name, value in body.items() if name != without}
    text = json.dumps([request.path, body], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the systems as a process, until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sample_processes.systems", description="The outside world.")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free (default)")
    parser.add_argument("--db", help="file of the books; without it they are in memory")
    parser.add_argument("--faults", choices=PRESETS, default="none", help="what goes wrong (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default: 0)")
    parser.add_argument(
        "--vendor-delay", type=float, default=0.2, help="seconds before the vendor decides (default: 0.2)"
    )
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    faults = PRESETS[options.faults]()
    with Systems(
        options.db, faults, seed=options.seed, vendor_delay_s=options.vendor_delay, port=options.port
    ) as systems:
        sys.stdout.write(f"{systems.url}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
