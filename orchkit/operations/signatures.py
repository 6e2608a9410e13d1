"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them: who sent a message, when, and that nobody changed it.

HMAC-SHA256 over ``id.timestamp.body``, in the headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``
(https://www.standardwebhooks.com), so that libraries of others check what orchkit signs, and sign what it checks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as randomness
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchkit.errors import SecretError, SignatureError

__all__ = ["TOLERANCE_S", "Reason", "Signed", "key_of", "new_secret", "sign", "signed_headers", "verify"]

TOLERANCE_S = 300.0
_PREFIX, _VERSION = "whsec_", "v1,"
_SHORTEST_KEY, _NEW_KEY = 8, 32
_MOST_SIGNATURES = 20
# The parts are joined by full stops: an id with one could pass for another id, timestamp and body.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Reason(StrEnum):
    """Why a message is refused."""

    MISSING = "signature-missing"
    MALFORMED = "signature-malformed"
    STALE = "signature-stale"
    FORGED = "signature-forged"
    REPLAYED = "signature-replayed"


@dataclass(frozen=True, slots=True)
class Signed:
    """What is sure of a message: its id, the same for each attempt to send it, and when it was signed (seconds)."""

    id: str
    timestamp: int


def new_secret() -> str:
    """Return a secret that nobody knows: 32 bytes as Base64, after ``whsec_``.

    Examples
    --------
    >>> len(key_of(new_secret()))
    32
    """
    return _PREFIX + base64.b64encode(randomness.token_bytes(_NEW_KEY)).decode()


def key_of(secret: str) -> bytes:
    """Return the key of a secret: what ``whsec_`` stands before is Base64, any other text is taken as it is.

    Raises
    ------
    SecretError
        It is too short, or no Base64. The secret itself is not told.

    Examples
    --------
    >>> key_of("whsec_aHVudGVyMjI="), key_of("hunter22")
    (b'hunter22', b'hunter22')
    """
    key = secret.encode()
    if secret.startswith(_PREFIX):
        text = secret.removeprefix(_PREFIX).rstrip("=")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            message = "What follows whsec_ in a secret must be Base64, and here it is not: copy it again."
            raise SecretError(message) from None
    if len(key) < _SHORTEST_KEY:
        message = f"A secret has at least {_SHORTEST_KEY} bytes, better {_NEW_KEY}: new_secret() makes one."
        raise SecretError(message)
    return key


def sign(secrets: str | Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``: a signature a secret, so that a secret can be changed without a gap.

    Raises
    ------
    SecretError
        A secret that is none.
    SignatureError
        An id with a full stop, a space or other than ASCII.

    Examples
    --------
    >>> sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b"{}")
    'v1,aZgkZHxTDvZJsDWtN4dfyyZWkpgTgg60bdob9DOG8Mc='
    """
    if _ID.fullmatch(message_id) is None:
        message = f"{message_id!r} is not the id of a message: up to 256 characters of ASCII, no space, no full stop."
        raise SignatureError(message, reason=Reason.MALFORMED)
    return " ".join(_signature(key_of(secret), message_id, timestamp, body) for secret in _several(secrets))


def signed_headers(secrets: str | Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers that go with a body; see `sign`.

    Examples
    --------
    >>> list(signed_headers("hunter22", "m1", 1_700_000_000, b"{}"))
    ['webhook-id', 'webhook-timestamp', 'webhook-signature']
    """
    signature = sign(secrets, message_id, timestamp, body)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def verify(
    secrets: str | Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    tolerance_s: float = TOLERANCE_S,
) -> Signed:
    """Return what is sure of a message that somebody signed who knows one of the secrets.

    Parameters
    ----------
    secrets
        Any of them will do: the new one and the old one, while it is changed.
    headers
        Of the request; upper and lower case are the same.
    body
        The bytes as they came.
    now
        The present time, in seconds since the epoch.
    tolerance_s
        How far the timestamp may be from it.

    Raises
    ------
    SignatureError
        With its ``reason``: a header is missing or malformed, the timestamp is too old or too new, no signature is
        that of a secret. All signatures are compared, each in constant time.

    Notes
    -----
    That a message has not come before is not checked here: whoever takes it must remember its id.

    Examples
    --------
    >>> headers = signed_headers("hunter22", "m1", 1_700_000_000, b"{}")
    >>> verify(["another secret", "hunter22"], headers, b"{}", now=1_700_000_009)
    Signed(id='m1', timestamp=1700000000)
    >>> verify("hunter22", headers, b"[]", now=1_700_000_009)
    Traceback (most recent call last):
    orchkit.errors.SignatureError: No signature fits this message and a secret that is known here.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (given.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not message_id or not timestamp or not signatures:
        message = "The headers webhook-id, webhook-timestamp and webhook-signature are needed (Standard Webhooks)."
        raise SignatureError(message, reason=Reason.MISSING)
    if _ID.fullmatch(message_id) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        message = "webhook-id is ASCII without spaces and full stops, webhook-timestamp is in whole seconds."
        raise SignatureError(message, reason=Reason.MALFORMED)
    moment = int(timestamp)
    found = signatures.split(" ")[:_MOST_SIGNATURES]
    expected = [_signature(key_of(secret), message_id, moment, body) for secret in _several(secrets)]
    # Both loops go to their end: how long it takes says nothing of which secret, or how much of it, was right.
    matches = [
        hmac.compare_digest(one.encode(), other.encode("utf-8", "replace")) for one in expected for other in found
    ]
    if not any(matches):
        message = "No signature fits this message and a secret that is known here."
        raise SignatureError(message, reason=Reason.FORGED)
    if abs(now - moment) > tolerance_s:
        message = f"The message was signed more than {tolerance_s:g} s from now: send it again, and check the clocks."
        raise SignatureError(message, reason=Reason.STALE)
    return Signed(message_id, moment)


def _several(secrets: str | Iterable[str]) -> list[str]:
    return [secrets] if isinstance(secrets, str) else list(secrets)


def _signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return _VERSION + base64.b64encode(digest).decode()
