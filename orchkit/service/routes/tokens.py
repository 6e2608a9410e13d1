"""Tokens: who may ask."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path
from starlette.responses import Response

from orchkit.service import models
from orchkit.service.problems import Refusal
from orchkit.service.roles import Role
from orchkit.service.routing import BackendOf, Caller, answer, needs, router
from orchkit.service.tokens import Token

__all__ = ["routes"]

routes = router("tokens")

TokenId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}$", description="A token's id.", examples=["888ef247"])]


@routes.get("/v1/tokens", response_model=models.Tokens, **needs(Role.ADMIN, "list_tokens"))
def list_tokens(backend: BackendOf) -> Response:
    """List the tokens, by name; their texts are not kept."""
    return answer(backend, {"tokens": [_told(token) for token in backend.tokens.listed()]})


@routes.post("/v1/tokens", status_code=201, response_model=models.NewToken, **needs(Role.ADMIN, "create_token"))
def create_token(backend: BackendOf, caller: Caller, body: models.CreateToken) -> Response:
    """Make a token, which is shown only this once."""
    text = backend.tokens.create(body.name, body.role, by=caller.name)
    made = backend.tokens.of(text)
    if made is None:
        raise Refusal(409, "conflict", "The token was revoked as soon as it was made.")
    return answer(backend, {**_told(made), "token": text}, 201)


@routes.delete("/v1/tokens/{token_id}", status_code=204, **needs(Role.ADMIN, "revoke_token", 404, 409))
def revoke_token(backend: BackendOf, caller: Caller, token_id: TokenId) -> Response:
    """Revoke a token. A token cannot revoke itself, and the last one of an admin stays."""
    if token_id == caller.id:
        raise Refusal(409, "own-token", "A token does not revoke itself: another admin's does.")
    backend.tokens.revoke(token_id, by=caller.name)
    return Response(status_code=204)


def _told(token: Token) -> dict[str, Any]:
    created = datetime.fromtimestamp(token.created, UTC).isoformat()
    return {"id": token.id, "name": token.name, "role": token.role.value, "created": created, "revoked": token.revoked}
