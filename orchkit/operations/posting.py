"""Posting: one signed message to one address over HTTP, and what came of it.

Addresses that could be meant to reach what is inside are refused: other schemes than HTTP, a user and password in the
URL, the addresses by which clouds tell machines their credentials (link-local), and redirects, which are not followed.
``public_only`` refuses private networks and loopback too.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from orchkit.errors import WorkflowError
from orchkit.operations.signatures import signed_headers

__all__ = ["Answer", "check_address", "checked_url", "post"]

_GONE = 410
_LONGEST_RETRY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    Attributes
    ----------
    code
        The HTTP status; None where there was no answer.
    error
        What went wrong; None where it was taken (2xx).
    retry_after_s
        The least delay that the receiver asked for.
    """

    code: int | None
    error: str | None = None
    retry_after_s: float = 0.0

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing any more (410)."""
        return self.code == _GONE


def checked_url(url: str) -> str:
    """Return a URL that may be posted to.

    Raises
    ------
    WorkflowError
        It is no URL, no HTTP, or holds a user.

    Examples
    --------
    >>> checked_url("https://crm.example/hooks")
    'https://crm.example/hooks'
    >>> checked_url("file:///etc/passwd")
    Traceback (most recent call last):
    orchkit.errors.WorkflowError: A webhook's URL begins with https:// (or http://), not file://.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        message = f"A webhook's URL is not valid: {error}."
        raise WorkflowError(message) from None
    if parts.scheme not in ("http", "https"):
        message = f"A webhook's URL begins with https:// (or http://), not {parts.scheme}://."
        raise WorkflowError(message)
    if not host:
        raise WorkflowError("A webhook's URL has no host.")
    if parts.username is not None or parts.password is not None:
        message = "A webhook's URL has no user and password: the address would be kept with them. Sign with a secret."
        raise WorkflowError(message)
    return url


def check_address(url: str, *, public_only: bool = False) -> None:
    """Refuse a URL whose host is where credentials of machines are told, or, on demand, inside.

    Raises
    ------
    WorkflowError
        It is.
    OSError
        The host is not known.
    """
    parts = urlsplit(checked_url(url))
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for *_, place in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            message = f"{parts.hostname} is {address}, an address that no receiver has."
            raise WorkflowError(message)
        if public_only and not address.is_global:
            message = f"{parts.hostname} is {address}, an address inside: public_only=False would allow it."
            raise WorkflowError(message)


def post(
    client: httpx.Client,
    url: str,
    body: bytes,
    *,
    secrets: Iterable[str],
    message_id: str,
    timestamp: int,
    public_only: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a message once, and return what came of it; nothing is raised for what the receiver does."""
    keys = list(secrets)
    all_headers = {"content-type": "application/json", "user-agent": "orchkit", **(headers or {})}
    if keys:
        all_headers |= signed_headers(keys, message_id, timestamp, body)
    else:
        all_headers |= {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    try:
        check_address(url, public_only=public_only)
        # The answer's body is not read: nobody needs it, and it may be without end.
        with client.stream("POST", url, content=body, headers=all_headers, follow_redirects=False) as response:
            return _told(response)
    except (WorkflowError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(None, f"{type(error).__name__}: {error}")


def _told(response: httpx.Response) -> Answer:
    code = response.status_code
    if response.is_success:
        return Answer(code)
    if response.is_redirect:
        return Answer(code, f"answered {code}: redirects are not followed, so give the address that it leads to")
    after = response.headers.get("retry-after", "")
    wait_s = min(float(after), _LONGEST_RETRY_S) if after.isascii() and after.isdecimal() else 0.0
    return Answer(code, f"answered {code} {response.reason_phrase}".strip(), wait_s)
