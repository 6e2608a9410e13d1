"""Doors: through which signed messages come from outside, without a token; what came once is not taken again.

A workflow names its doors among its triggers::

    triggers:
      - webhook: {name: shop, secret: shop_key, case: "${event.id}", inputs: {order: "${event}"}}
      - webhook: {callback: carrier, secret: carrier_key}

The first starts runs as an event of that name does, and lets those go on that wait for it; the second lets a callback
of the workflow's runs be completed. Whether a signature is right is not looked at here, but whether the message is new.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from orchkit.engine.messages import Publish, Receive
from orchkit.errors import WorkflowError, nearest

if TYPE_CHECKING:
    from orchkit.engine.core import Core
    from orchkit.model.definition import Workflow

__all__ = ["RECEIPT", "Door", "Doors", "Receipt", "doors_of", "secret_name"]

RECEIPT = "receipt"
WEBHOOK = "webhook"
_OWN = ("name", "secret", "event", "callback", "match", "case", "inputs")
_REFERENCES = (("${secrets.", "}"), ("secret:", ""))
# Who sends a message again does so for days (Standard Webhooks: three); a captured one is stale after minutes.
_REMEMBERED_S = 7 * 86_400.0


class Receipt(StrEnum):
    """What became of a message: taken, or nothing, for it had come before: sent again, or replayed by somebody."""

    TAKEN = "taken"
    KNOWN = "known"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Door:
    """Where signed messages come in.

    Attributes
    ----------
    name
        Of the webhook, or of the callback.
    secrets
        The names of the engine's secrets that may have signed.
    event
        What is published; None for a callback.
    """

    name: str
    secrets: tuple[str, ...]
    event: str | None = None


def doors_of(workflow: Workflow) -> Iterator[Door]:
    """Yield the doors among a workflow's triggers.

    Raises
    ------
    WorkflowError
        Settings that make no sense.

    Examples
    --------
    >>> from orchkit import Trigger, task, workflow
    >>> shop = Trigger("webhook", {"name": "shop", "secret": "shop_key"})
    >>> list(doors_of(workflow("order", [task("ship")], triggers=[shop])))
    [Door(name='shop', secrets=('shop_key',), event='shop')]
    """
    where = f"workflow {workflow.name!r}: a webhook trigger"
    for trigger in workflow.triggers:
        if trigger.kind != WEBHOOK:
            continue
        settings = trigger.settings
        for key in settings:
            if key not in _OWN:
                message = f"{where} has no {key!r}.{nearest(str(key), _OWN)} Known: {', '.join(_OWN)}."
                raise WorkflowError(message)
        named = [settings[key] for key in ("name", "callback") if key in settings]
        if len(named) != 1 or not isinstance(named[0], str) or not named[0] or "/" in named[0]:
            message = f"{where} needs a name, without a slash, or the callback that it completes: {{name: shop, …}}."
            raise WorkflowError(message)
        given = settings.get("secret")
        secrets = [given] if isinstance(given, str) else given
        if not isinstance(secrets, list | tuple) or not secrets or not all(isinstance(one, str) for one in secrets):
            message = f"{where} needs the names of the secrets that may have signed: {{secret: shop_key, …}}."
            raise WorkflowError(message)
        event = None if "callback" in settings else str(settings.get("event", named[0]))
        yield Door(named[0], tuple(map(secret_name, secrets)), event)


def settings_of_event(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what an event trigger would have as its settings; None for a callback, which starts nothing."""
    if "callback" in settings:
        return None
    rest = {key: value for key, value in settings.items() if key in ("match", "case", "inputs")}
    return {"event": settings.get("event", settings["name"]), **rest}


def secret_name(reference: str) -> str:
    """Return the name of a secret that is referred to by it, as ``secret:name`` or as ``${secrets.name}``.

    Examples
    --------
    >>> secret_name("crm"), secret_name("secret:crm"), secret_name("${secrets.crm}")
    ('crm', 'crm', 'crm')
    """
    for before, after in _REFERENCES:
        if reference.startswith(before) and reference.endswith(after):
            return reference.removeprefix(before).removesuffix(after)
    return reference


class Doors:
    """The core's part in signed messages: each is taken once, in one commit with all that follows from it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: OrderedDict[bytes, tuple[int, float]] = OrderedDict()  # with when it was signed, and came

    def receive(self, message: Receive) -> tuple[Receipt, int]:
        """Take a message unless it has come before, and tell how many runs took it."""
        core, key = self._core, _short(message.source, message.message_id)
        self._forget(core._now - _REMEMBERED_S)
        known = self._known.get(key)
        if known is not None:
            # Who sends again signs anew; what was signed as before is a copy.
            self._known[key] = (max(known[0], message.timestamp), known[1])
            return (Receipt.REPLAYED if message.timestamp <= known[0] else Receipt.KNOWN), 0
        taken = core._take(message.then, set())
        self._known[key] = (message.timestamp, core._now)
        told = {"source": message.source, "id": message.message_id, "signed": message.timestamp}
        core.plans._write(RECEIPT, message.message_id, None, "RECEIVED", told, None)
        return Receipt.TAKEN, taken if isinstance(message.then, Publish) else 1

    def remember(self, told: Mapping[str, Any], moment: float) -> None:
        """Take up what the history tells of a message."""
        self._known[_short(told["source"], told["id"])] = (told["signed"], moment)

    def _forget(self, before: float) -> None:
        while self._known and next(iter(self._known.values()))[1] < before:
            self._known.popitem(last=False)


def _short(source: str, message_id: str) -> bytes:
    return hashlib.blake2b(f"{source}\0{message_id}".encode(errors="surrogatepass"), digest_size=12).digest()
