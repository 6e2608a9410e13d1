"""The OpenAPI of the service: what every route may refuse, and which role it takes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from orchkit.service.problems import MEDIA_TYPE, Problem
from orchkit.service.routing import ROLE

__all__ = ["describe"]

_TITLES = {
    400: "Malformed",
    401: "A token is missing, or not taken",
    403: "The token's role does not suffice",
    404: "There is none",
    405: "Not this method",
    406: "No such form",
    408: "The body does not come",
    409: "Not in this state",
    413: "The body is too large",
    415: "Not this kind of body",
    421: "Not this host",
    422: "Not valid",
    429: "Too many requests",
    500: "Something went wrong inside",
    503: "The service stops, or its store has failed",
}
_ALWAYS = (400, 421, 422, 429, 500, 503)
_WITH_ROLE = (401, 403)
_WITH_BODY = (408, 413, 415)


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI of an app, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        parts = made.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas["Problem"] = schema
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        parts["responses"] = {_name(status): _problem(status) for status in _TITLES}
        for path in made["paths"].values():
            for operation in path.values():
                _complete(operation)
        app.openapi_schema = made
    return app.openapi_schema


def _complete(operation: dict[str, Any]) -> None:
    statuses = {int(status) for status in operation["responses"] if int(status) in _TITLES}
    statuses |= set(_ALWAYS)
    if ROLE in operation:
        statuses |= set(_WITH_ROLE)
        operation["security"] = [{"token": []}]
    if "requestBody" in operation:
        statuses |= set(_WITH_BODY)
    for status in sorted(statuses):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}


def _name(status: int) -> str:
    return f"Problem{status}"


def _problem(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": _TITLES[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == 429:  # noqa: PLR2004
        found["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return found
