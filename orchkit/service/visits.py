"""Visit: what is known of a request from its first byte on."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import cast

from starlette.types import Scope

from orchkit.service.tokens import Token

__all__ = ["Visit", "visit_of"]

_KEY = "orchkit.visit"


@dataclass(slots=True)
class Visit:
    """A request.

    Attributes
    ----------
    client
        The address that it comes from.
    token
        Whose it is, where it has a token that is taken.
    credentials
        What came instead: ``missing``, ``malformed`` or ``wrong``.
    reason
        Why it was refused.
    id
        Of the request; the problem's ``instance``, and in the log.
    """

    client: str
    token: Token | None = None
    credentials: str = "missing"
    reason: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def visit_of(scope: Scope) -> Visit:
    """Return the visit of a request; the first one who asks begins it."""
    if _KEY not in scope:
        client = scope.get("client")
        scope[_KEY] = Visit(client[0] if client else "unknown")
    return cast("Visit", scope[_KEY])
