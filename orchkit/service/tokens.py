"""Tokens: who may ask the service. Their hashes are rows of the history, so that backups and audits have them.

A token is ``ok_<id>_<secret>``, its secret 256 random bits: SHA-256 of that cannot be turned back, so no slow hash is
needed, and a request costs microseconds. It is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pandas as pd

from orchkit.engine.messages import run_id_of
from orchkit.errors import OrchkitError
from orchkit.service.roles import Role
from orchkit.store import Batch, HistoryRow, Store

__all__ = ["Keeper", "LastAdmin", "StoreKeeper", "Token", "TokenNotFound", "Tokens"]

_PREFIX = "ok"
_KIND = "token"
_PARTS = 3
_ROWS = "SELECT case_id, status, payload, epoch(occurred_at) AS moment FROM history WHERE kind = 'token' ORDER BY seq"
_NOBODY = hashlib.sha256(b"").hexdigest()


class TokenNotFound(OrchkitError, KeyError):
    """No token of that id."""


class LastAdmin(OrchkitError):
    """The only token that may administer is not revoked: nobody could any more."""


class Keeper(Protocol):
    """Where tokens are kept: an engine, or a store that nobody has open."""

    def sql(self, query: str) -> pd.DataFrame:
        """Return the answer to a query."""
        ...

    def note(self, kind: str, name: str, status: str, payload: Mapping[str, Any], *, by: str | None = None) -> None:
        """Keep something that belongs to no run in the history."""
        ...


class StoreKeeper:
    """Keeps tokens in a store that no engine has open.

    Parameters
    ----------
    store
        The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def sql(self, query: str) -> pd.DataFrame:
        """Return the answer to a query."""
        return self._store.sql(query)

    def note(self, kind: str, name: str, status: str, payload: Mapping[str, Any], *, by: str | None = None) -> None:
        """Keep something that belongs to no run in the history."""
        text, now = json.dumps(payload, separators=(",", ":")), int(time.time() * 1e6)
        place = (run_id_of(kind, name), name, "", "", None, None)
        self._store.append(Batch(rows=[HistoryRow(*place, kind, status, 0, now, resource=by, payload=text)]))


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token.

    Attributes
    ----------
    id
        Its public part.
    name
        What it is for.
    role
        What it may do.
    digest
        SHA-256 of its secret.
    created
        When, in seconds since the epoch.
    revoked
        Whether it is not taken any more.
    """

    id: str
    name: str
    role: Role
    digest: str
    created: float
    revoked: bool = False


class Tokens:
    """The tokens of a store.

    Parameters
    ----------
    keeper
        Where they are kept.

    Examples
    --------
    >>> with Store() as store:
    ...     tokens = Tokens(StoreKeeper(store))
    ...     text = tokens.create("dashboard", Role.READ)
    ...     again = Tokens(StoreKeeper(store))
    ...     again.of(text).role.value, again.of(text + "x"), text in str(store.sql("FROM history").to_dict())
    ('read', None, False)
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        for row in keeper.sql(_ROWS).to_dict("records"):
            self._take(row["case_id"], row["status"], json.loads(row["payload"]), float(row["moment"]))

    def _take(self, token_id: str, status: str, payload: Mapping[str, Any], moment: float) -> None:
        if status == "CREATED":
            role = Role(payload["role"])
            self._tokens[token_id] = Token(token_id, payload["name"], role, payload["sha256"], moment)
        elif token_id in self._tokens:
            self._tokens[token_id] = replace(self._tokens[token_id], revoked=True)

    def create(self, name: str, role: Role | str, *, by: str | None = None) -> str:
        """Make a token and return its text, which is not kept anywhere."""
        token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        payload = {"name": name, "role": Role(role).value, "sha256": _digest(secret)}
        with self._lock:
            self._keeper.note(_KIND, token_id, "CREATED", payload, by=by)
            self._take(token_id, "CREATED", payload, time.time())
        return f"{_PREFIX}_{token_id}_{secret}"

    def revoke(self, token_id: str, *, by: str | None = None, keep_admin: bool = True) -> None:
        """Take a token no more. To revoke it twice does nothing.

        Parameters
        ----------
        token_id
            Its public part.
        by
            Who does so, for the history.
        keep_admin
            Whether the last one of an admin is refused; where it is not, the next start of the service makes one.

        Raises
        ------
        TokenNotFound
            There is none of that id.
        LastAdmin
            It is the last one of an admin.
        """
        with self._lock:
            found = self._tokens.get(token_id)
            if found is None:
                message = f"There is no token {token_id!r}: orchkit token list shows them."
                raise TokenNotFound(message)
            others = [one for one in self._tokens.values() if one.id != token_id and _administers(one)]
            if keep_admin and _administers(found) and not others:
                message = "This is the last token of an admin: make another one first."
                raise LastAdmin(message)
            if not found.revoked:
                self._keeper.note(_KIND, token_id, "REVOKED", {}, by=by)
                self._take(token_id, "REVOKED", {}, 0.0)

    def of(self, text: str) -> Token | None:
        """Return the token of a text, or None where it is not one that is taken; in constant time."""
        parts = text.split("_", _PARTS - 1)
        prefix, token_id, secret = parts if len(parts) == _PARTS else ("", "", "")
        found = self._tokens.get(token_id)
        matches = hmac.compare_digest(_digest(secret), _NOBODY if found is None else found.digest)
        return found if found is not None and matches and prefix == _PREFIX and not found.revoked else None

    def listed(self) -> list[Token]:
        """Return all tokens, the oldest first."""
        return list(self._tokens.values())

    @property
    def has_admin(self) -> bool:
        """Whether somebody may administer the service."""
        return any(map(_administers, self.listed()))

    def takes(self, token_id: str) -> bool:
        """Return whether a token is still taken."""
        found = self._tokens.get(token_id)
        return found is not None and not found.revoked


def _administers(token: Token) -> bool:
    return token.role is Role.ADMIN and not token.revoked


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
