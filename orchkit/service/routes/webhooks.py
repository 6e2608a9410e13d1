"""Signed messages from outside: webhooks that are events, and callbacks, without a token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Path, Request
from starlette.responses import Response

from orchkit.engine.doors import Receipt, doors_of
from orchkit.errors import OrchkitError, RunNotFound, SecretError, SignatureError
from orchkit.operations.signatures import Reason, Signed, verify
from orchkit.service import fields, models
from orchkit.service.backend import Backend
from orchkit.service.problems import Refusal
from orchkit.service.routing import BackendOf, answer, needs, router, strict_json

__all__ = ["routes"]

routes = router("signed messages")

_JSON = re.compile(r"application/(json|[\w.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
_SIGNED = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": described,
            "schema": {"type": "string", "pattern": pattern},
        }
        for name, described, pattern in (
            ("webhook-id", "The message's id, the same when it is sent again.", r"^[!-\-/-~]{1,256}$"),
            ("webhook-timestamp", "When it was signed, in seconds since 1970.", r"^[0-9]{1,12}$"),
            ("webhook-signature", "v1, and HMAC-SHA256 of id.timestamp.body in Base64.", r"^v1,[A-Za-z0-9+/]{43}=$"),
        )
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
}


def _signed(name: str) -> dict[str, Any]:
    found = needs(None, name, 401, 404, 409, 413, 415)
    found["openapi_extra"] |= _SIGNED
    return found


@routes.post("/v1/webhooks/{name}", response_model=models.Receipt, **_signed("take_webhook"))
async def take_webhook(
    backend: BackendOf, request: Request, name: Annotated[fields.PathName, Path(description="A webhook's name.")]
) -> Response:
    """Take a webhook that a trigger names, signed as Standard Webhooks defines it: an event, which starts runs."""
    doors = backend.engine.doors(name)
    if not doors:
        detail = f"No workflow that is deployed has a webhook {name!r} among its triggers."
        raise Refusal(404, "webhook-not-found", detail)
    body = await request.body()
    signed = _checked(backend, request, body, {secret for door in doors for secret in door.secrets})
    payload = _payload(request, body)
    (event, *_) = sorted({door.event for door in doors if door.event})
    told = {"message_id": signed.id, "timestamp": signed.timestamp, "traceparent": request.headers.get("traceparent")}
    return _told(backend, *await backend.engine.receive_event_async(name, event, payload, **told))  # type: ignore[arg-type]


@routes.post("/v1/callbacks/{run_id}/{callback}", response_model=models.Receipt, **_signed("take_callback"))
async def take_callback(
    backend: BackendOf,
    request: Request,
    run_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="A run's id.")],
    callback: Annotated[fields.PathName, Path(description="The callback's name.")],
) -> Response:
    """Complete a callback that a trigger of the run's workflow names, signed as Standard Webhooks defines it."""
    body = await request.body()
    # A run that is not there is refused like a signature that is wrong: nobody learns which runs there are.
    secrets = await asyncio.to_thread(_secrets_of, backend, run_id, callback)
    signed = _checked(backend, request, body, secrets)
    payload = _payload(request, body)
    try:
        found = await backend.engine.receive_callback_async(
            run_id, callback, payload, message_id=signed.id, timestamp=signed.timestamp
        )
    except RunNotFound:
        raise Refusal(409, "run-has-ended", f"Run {run_id} has ended already.") from None
    return _told(backend, *found)


def _secrets_of(backend: Backend, run_id: str, callback: str) -> set[str]:
    try:
        workflow = backend.engine.get(run_id).workflow
        doors = list(doors_of(workflow))
    except OrchkitError:
        return set()
    return {secret for door in doors if door.event is None and door.name == callback for secret in door.secrets}


def _checked(backend: Backend, request: Request, body: bytes, names: Iterable[str]) -> Signed:
    try:
        keys = [backend.engine.secret(name) for name in sorted(names)]
        return verify(keys, dict(request.headers), body, now=backend.engine.now)
    except SecretError as error:
        backend.journal.write("misconfigured", path=request.url.path, error=str(error))
        error_of_ours = "The message cannot be checked here; the log of the service says why."
        raise Refusal(401, Reason.FORGED.value, error_of_ours, _CHALLENGE) from None
    except SignatureError as error:
        raise Refusal(401, error.reason, str(error), _CHALLENGE) from None


_CHALLENGE = {"www-authenticate": 'Webhook-Signature realm="orchkit"'}


def _payload(request: Request, body: bytes) -> Any:  # noqa: ANN401 -- JSON
    given = request.headers.get("content-type", "application/json")
    if not _JSON.fullmatch(given.strip()):
        raise Refusal(415, "not-json", "The body is JSON: send Content-Type: application/json.")
    return strict_json(body)


def _told(backend: Backend, receipt: Receipt, taken: int) -> Response:
    if receipt is Receipt.REPLAYED:
        detail = "This message has come before, signed at the same time: a copy is not taken. To send again, sign anew."
        raise Refusal(409, Reason.REPLAYED.value, detail)
    return answer(backend, {"taken": taken, "known": receipt is Receipt.KNOWN})
