"""Queries: SQL that reads the store."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from fastapi import Request
from starlette.responses import Response

from orchkit.errors import QueryError
from orchkit.service import models
from orchkit.service.frames import jsonable
from orchkit.service.problems import Refusal
from orchkit.service.roles import Role
from orchkit.service.routing import BackendOf, answer, needs, router
from orchkit.store import Bounds

__all__ = ["routes"]

routes = router("queries")

ARROW, JSON = "application/vnd.apache.arrow.stream", "application/json"

_query = needs(Role.READ, "query", 406, 409)
_query["responses"][200] = {"content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}}


@routes.post("/v1/sql", response_model=models.Answer, **_query)
async def query(backend: BackendOf, request: Request, body: models.Query) -> Response:
    """Answer a query on `history`, `runs` and `definitions`, as JSON or, if `Accept` says so, as an Arrow stream."""
    wanted = _wanted(request.headers.get("accept", "*/*"))
    limits = backend.limits
    bounds = Bounds(limits.sql_s, limits.sql_rows, limits.sql_bytes)

    def answered() -> Response:
        found = backend.engine.table(body.query, body.parameters or None, bounds)
        return _as_arrow(found) if wanted == ARROW else answer(backend, _as_json(found))

    return await backend.desk.do(answered)


def _wanted(accept: str) -> str:
    """Return the form that is wanted most; of equals, the first."""
    asked = sorted(map(_preference, accept.split(",")), key=lambda kind: -kind[1])
    for kind, weight in asked:
        if weight > 0 and kind == ARROW:
            return ARROW
        if weight > 0 and kind in (JSON, "application/*", "*/*", ""):
            return JSON
    raise Refusal(406, "not-acceptable", f"An answer is {JSON} or {ARROW}.")


def _preference(part: str) -> tuple[str, float]:
    kind, *parameters = (word.strip().lower() for word in part.split(";"))
    weights = [word[2:] for word in parameters if word.startswith("q=")]
    try:
        return kind, float(weights[0]) if weights else 1.0
    except ValueError:
        return kind, 1.0


def _as_arrow(table: pa.Table) -> Response:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Response(memoryview(sink.getvalue()), media_type=ARROW)


def _as_json(table: pa.Table) -> dict[str, Any]:
    columns = [{"name": field.name, "type": str(field.type)} for field in table.schema]
    try:
        values = [[jsonable(value) for value in column.to_pylist()] for column in table.columns]
    except (ValueError, OverflowError, pa.ArrowException) as error:
        message = f"A column cannot be told in JSON: cast it to VARCHAR, or accept {ARROW}. {error}"
        raise QueryError(message) from error
    return {"columns": columns, "rows": [list(row) for row in zip(*values, strict=True)]}
