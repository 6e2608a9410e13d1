"""Delivers the vendor's callbacks: later, a few times where nobody answers, sometimes twice."""

from __future__ import annotations

import heapq
import http.client
import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Courier"]

_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, order=True)
class _Parcel:
    due: float
    number: int
    url: str = field(compare=False)
    body: bytes = field(compare=False)
    attempt: int = field(compare=False, default=1)


class Courier:
    """One thread that posts JSON to callback addresses when it is time.

    Parameters
    ----------
    max_attempts
        How often a callback is tried in all.
    backoff_s
        Seconds before the second attempt; each later delay is twice as long, at most 5 s.
    """

    def __init__(self, *, max_attempts: int = 8, backoff_s: float = 0.25) -> None:
        self._max_attempts, self._backoff_s = max_attempts, backoff_s
        self._parcels: list[_Parcel] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def send(self, url: str, body: Mapping[str, Any], *, delay_s: float = 0.0) -> None:
        """Post a body to an address after a delay."""
        parcel = _Parcel(time.monotonic() + delay_s, next(self._numbers), url, json.dumps(body).encode())
        self._add(parcel)

    def close(self) -> None:
        """Stop; what has not been delivered is thrown away."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _add(self, parcel: _Parcel) -> None:
        with self._changed:
            heapq.heappush(self._parcels, parcel)
            self._changed.notify()

    def _run(self) -> None:
        while parcel := self._next():
            if _post(parcel) or parcel.attempt >= self._max_attempts:
                continue
            delay_s = min(self._backoff_s * 2 ** (parcel.attempt - 1), 5.0)
            due = time.monotonic() + delay_s
            self._add(_Parcel(due, parcel.number, parcel.url, parcel.body, parcel.attempt + 1))

    def _next(self) -> _Parcel | None:
        """Wait for the next parcel that is due; None when the courier is closed."""
        with self._changed:
            while not self._closed:
                wait_s = self._parcels[0].due - time.monotonic() if self._parcels else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._parcels)
                self._changed.wait(wait_s)
        return None


def _post(parcel: _Parcel) -> bool:
    """Post a parcel; return whether somebody took it."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(parcel.url, parcel.body, headers, method="POST")  # noqa: S310 -- checked on entry
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 -- checked on entry
            return True
    except urllib.error.HTTPError as refused:
        refused.close()
        return 400 <= refused.code < 500  # noqa: PLR2004 -- the receiver has understood, and does not want it
    except (OSError, http.client.HTTPException):
        return False
