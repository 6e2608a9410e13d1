"""Where alerts are sent: webhooks, and all that Apprise knows."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from orchkit.errors import MissingExtraError, TransientError, WorkflowError
from orchkit.executors.base import extra

__all__ = ["Channel", "Send", "channel_of", "signature"]

Send = Callable[[str, str, Mapping[str, Any]], None]
Channel = str | Send
_TIMEOUT_S = 10.0


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return what a webhook's header ``X-Orchkit-Signature`` says: ``t=…,v1=…``, HMAC-SHA256 over ``timestamp.body``.

    Examples
    --------
    >>> signature("hunter22", 1_700_000_000, b"{}")[:20]
    't=1700000000,v1=d367'
    """
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def channel_of(channel: Channel, secret: str | None = None) -> Send:
    """Return what sends a title, a text and a JSON document.

    Parameters
    ----------
    channel
        An address of a webhook (``https://…``), a URL of Apprise (``mailto://…``, ``slack://…``), or a function.
    secret
        Signs webhooks; see `signature`.

    Raises
    ------
    WorkflowError
        Apprise does not know the URL.
    MissingExtraError
        Apprise is not installed.
    """
    if callable(channel):
        return channel
    if channel.startswith(("http://", "https://")):
        return _Webhook(channel, secret)
    return _Apprise(channel)


class _Webhook:
    def __init__(self, url: str, secret: str | None) -> None:
        self._url, self._secret = url, secret

    def __call__(self, title: str, text: str, document: Mapping[str, Any]) -> None:
        body = json.dumps({"title": title, "text": text, **document}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            headers["X-Orchkit-Signature"] = signature(self._secret, int(document.get("sent_at", 0)), body)
        httpx.post(self._url, content=body, headers=headers, timeout=_TIMEOUT_S).raise_for_status()


class _Apprise:
    def __init__(self, url: str) -> None:
        try:
            apprise = extra("apprise", "alerts")
        except MissingExtraError as error:
            message = f"{error} It sends alerts to {url.split(':', 1)[0]}:// addresses."
            raise MissingExtraError(message) from error
        self._sender = apprise.Apprise()
        if not self._sender.add(url):
            kind = url.split(":", 1)[0]
            message = f"Apprise does not know {kind}:// addresses like this one; its pages list what it knows."
            raise WorkflowError(message)

    def __call__(self, title: str, text: str, document: Mapping[str, Any]) -> None:  # noqa: ARG002 -- as all channels
        if not self._sender.notify(title=title, body=text):
            message = "Apprise could not send it."
            raise TransientError(message)
