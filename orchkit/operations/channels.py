"""Where alerts are sent: webhooks, and all that Apprise knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from orchkit.errors import MissingExtraError, TransientError, WorkflowError
from orchkit.executors.base import extra
from orchkit.operations.posting import checked_url, post
from orchkit.operations.signatures import key_of

__all__ = ["Channel", "Send", "channel_of"]

Send = Callable[[str, str, Mapping[str, Any]], None]
Channel = str | Send
_TIMEOUT_S = 10.0


def channel_of(channel: Channel, secret: str | None = None) -> Send:
    """Return what sends a title, a text and a JSON document.

    Parameters
    ----------
    channel
        An address of a webhook (``https://…``), a URL of Apprise (``mailto://…``, ``slack://…``), or a function.
    secret
        Signs webhooks as Standard Webhooks has it; see `orchkit.operations.signatures`.

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
        self._url, self._secrets = checked_url(url), [] if secret is None else [secret]
        for given in self._secrets:
            key_of(given)

    def __call__(self, title: str, text: str, document: Mapping[str, Any]) -> None:
        body = json.dumps({"title": title, "text": text, **document}, ensure_ascii=False).encode()
        # The same when it is sent again, so that a receiver knows it again.
        message_id = f"msg_{hashlib.blake2b(body, digest_size=15).hexdigest()}"
        moment = int(document.get("sent_at", 0))
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            answer = post(client, self._url, body, secrets=self._secrets, message_id=message_id, timestamp=moment)
        if answer.error is not None:
            message = f"The webhook could not be reached: {answer.error}"
            raise TransientError(message)


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
