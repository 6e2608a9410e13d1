"""Routes that ask for a role before they read a body, and that read JSON strictly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn, cast

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from orchkit.errors import nearest
from orchkit.service.backend import Backend
from orchkit.service.problems import Fault, Refusal
from orchkit.service.roles import Role
from orchkit.service.tokens import Token
from orchkit.service.visits import visit_of

__all__ = ["ROLE", "BackendOf", "Caller", "Malformed", "answer", "needs", "router", "strict_json"]

ROLE = "x-orchkit-role"
_JSON = re.compile(r"application/(json|[\w.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
_DEEPEST = 64
_LONGEST_NUMBER = 300  # digits: what is longer has no place in a double
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def needs(role: Role | None, name: str, *refusals: int) -> dict[str, Any]:
    """Return the settings of a route.

    Parameters
    ----------
    role
        Which role it takes; None for anybody.
    name
        Of the operation.
    refusals
        The statuses of its own problems; those that any route has are added when the OpenAPI is made.
    """
    extra = {} if role is None else {ROLE: role.value}
    return {"operation_id": name, "openapi_extra": extra, "responses": {status: {} for status in refusals}}


def router(tag: str) -> APIRouter:
    """Return a router for one kind of resource."""
    return APIRouter(tags=[tag], route_class=_Route, redirect_slashes=False)


class _Route(APIRoute):
    """A route whose caller is known to be allowed before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        named = (self.openapi_extra or {}).get(ROLE)
        role = None if named is None else Role(named)
        takes_json = self.body_field is not None
        known = {field.alias for field in self.dependant.query_params}

        async def guarded(request: Request) -> Response:
            if role is not None:
                _check_role(request, role)
            _check_query(request, known)
            if takes_json:
                _check_content_type(request)
            return await handle(_Strict(request.scope, request.receive))

        return guarded


def _check_role(request: Request, role: Role) -> None:
    visit = visit_of(request.scope)
    if visit.token is None:
        detail = {
            "missing": "A token is needed: send Authorization: Bearer <token>.",
            "malformed": "The header is not understood: send Authorization: Bearer <token>.",
        }.get(visit.credentials, "The token is not known, or revoked: orchkit token create makes one.")
        challenge = 'Bearer realm="orchkit"' + (', error="invalid_token"' if visit.credentials == "wrong" else "")
        raise Refusal(401, f"token-{visit.credentials}", detail, {"www-authenticate": challenge})
    if not visit.token.role.includes(role):
        detail = f"This needs the role {role}, and the token has {visit.token.role}."
        raise Refusal(403, "role-missing", detail)


def _check_query(request: Request, known: set[str]) -> None:
    """Refuse a parameter that there is not: a typing mistake would otherwise ask for something else."""
    for name in request.query_params:
        if name not in known:
            detail = f"There is no query parameter {name!r} here.{nearest(name, known)}"
            raise Refusal(422, "not-valid", detail, faults=[Fault(where="query", message=detail)])


def _check_content_type(request: Request) -> None:
    given = request.headers.get("content-type")
    if given is not None and not _JSON.fullmatch(given.strip()):
        raise Refusal(415, "not-json", "The body is JSON: send Content-Type: application/json.")
    if given is None and request.headers.get("content-length", "0") != "0":
        raise Refusal(415, "not-json", "The body has no Content-Type: send application/json.")


class Malformed(Refusal):
    """A body that is not what it should be."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, "malformed-body", detail)


class _Strict(Request):
    """A request whose JSON is what RFC 8259 calls interoperable."""

    async def json(self) -> Any:  # noqa: ANN401 -- JSON
        if not hasattr(self, "_json"):
            self._json = strict_json(await self.body())
        return self._json


def strict_json(body: bytes) -> Any:  # noqa: ANN401 -- JSON
    """Return the value of a JSON text.

    Raises
    ------
    Refusal
        It is no JSON, or holds what cannot be kept: NaN, numbers beyond a double, half a surrogate pair, nesting
        deeper than 64.

    Examples
    --------
    >>> strict_json(b'{"amount": 7}')
    {'amount': 7}
    """
    try:
        text = body.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg} at character {error.pos}."
        raise Malformed(message) from None
    except UnicodeError:
        raise Malformed("The body is not Unicode.") from None
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= _DEEPEST:
        return
    depth, position, inside = 0, 0, False
    for found in re.finditer(r'\\.|["\[\]{}]', text, re.DOTALL):
        sign = found[0]
        if sign == '"':
            inside = not inside
        elif not inside and sign in "[{":
            depth += 1
            if depth > _DEEPEST:
                position = found.start()
                message = f"The body is nested deeper than {_DEEPEST} at character {position}."
                raise Malformed(message)
        elif not inside and sign in "]}":
            depth -= 1


def _no_constant(name: str) -> NoReturn:
    message = f"JSON has no {name}: leave it out, or give null."
    raise Malformed(message)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        message = f"The number {text[:20]} is too large."
        raise Malformed(message)
    return value


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        message = f"A whole number has {len(text):,} digits: {_LONGEST_NUMBER} at most."
        raise Malformed(message)
    return int(text)


# What routes ask for -----------------------------------------------------------------


async def _backend_of(request: Request) -> Backend:
    return cast("Backend", request.app.state.backend)


async def _caller_of(request: Request) -> Token:
    token = visit_of(request.scope).token
    if token is None:
        raise Refusal(401, "token-missing", "A token is needed: send Authorization: Bearer <token>.")
    return token


BackendOf = Annotated[Backend, Depends(_backend_of)]
Caller = Annotated[Token, Depends(_caller_of)]
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def answer(backend: Backend, content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer in JSON, without secrets; it is ASCII, so that any text can be sent."""
    text = backend.engine.redact(_ENCODER.encode(content))
    return Response(text, status, headers, "application/json")
