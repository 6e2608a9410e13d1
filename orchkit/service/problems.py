"""Problems: every error is `application/problem+json` (RFC 9457), and says nothing of what is inside."""

from __future__ import annotations

import http
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orchkit.errors import (
    EngineClosed,
    HandlerNotFound,
    InputError,
    MissingExtraError,
    OrchkitError,
    PermanentError,
    QueryError,
    RunError,
    RunNotFound,
    ScheduleNotFound,
    StoreError,
    WaitNotFound,
    WorkflowError,
    WorkItemNotFound,
    WorkItemTaken,
)
from orchkit.service.tokens import LastAdmin, TokenNotFound

__all__ = ["MEDIA_TYPE", "Fault", "Problem", "Refusal", "problem_response", "refusal_of"]

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:orchkit:problem:"


class Fault(BaseModel):
    """One of several things that are wrong with a request."""

    model_config = ConfigDict(frozen=True)

    where: str = Field(description="The place in the request.", examples=["body.case_id"])
    message: str = Field(examples=["String should have at least 1 character"])


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="The kind of problem.", examples=[_TYPE + "not-found"], pattern=f"^{_TYPE}[a-z-]+$")
    title: str = Field(description="The kind in words.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404], ge=400, le=599)
    detail: str = Field(description="What is wrong here, and how to mend it.")
    instance: str = Field(description="This request, as the service's log lines name it.", pattern="^urn:uuid:")
    errors: list[Fault] | None = Field(default=None, description="The faults, where there are several.")


class Refusal(HTTPException):
    """A request that is not done.

    Parameters
    ----------
    status
        The HTTP status.
    kind
        What the problem's type ends with.
    detail
        What is wrong, and how to mend it.
    headers
        Of the answer.
    faults
        Where there are several.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.kind, self.faults = kind, tuple(faults)


# The most special kind first. 422 is for what the OpenAPI forbids; what it allows and what is here does not, such as
# inputs that the workflow does not take or a query on a table that is not there, is a conflict.
_KINDS: tuple[tuple[type[OrchkitError], int, str], ...] = (
    (RunNotFound, 404, "run-not-found"),
    (WaitNotFound, 404, "callback-not-found"),
    (ScheduleNotFound, 404, "schedule-not-found"),
    (WorkItemNotFound, 404, "work-item-not-found"),
    (TokenNotFound, 404, "token-not-found"),
    (LastAdmin, 409, "last-admin"),
    (WorkItemTaken, 409, "work-item-taken"),
    (RunError, 409, "conflict"),
    (HandlerNotFound, 409, "handler-not-found"),
    (MissingExtraError, 409, "extra-not-installed"),
    (InputError, 409, "inputs-refused"),
    (WorkflowError, 409, "workflow-refused"),
    (PermanentError, 409, "value-refused"),
    (QueryError, 409, "query-refused"),
    (EngineClosed, 503, "stopping"),
    (StoreError, 503, "store-failed"),
)


def refusal_of(error: Exception) -> Refusal:
    """Return what an error means to whoever asked; one that is not orchkit's says nothing.

    Examples
    --------
    >>> refusal_of(RunNotFound("There is no run 'r1'.")).status_code
    404
    >>> refusal_of(ZeroDivisionError("secret")).detail
    'Something went wrong inside; the log of the service says what.'
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        kind = http.HTTPStatus(error.status_code).phrase.lower().replace(" ", "-").replace("'", "")
        return Refusal(error.status_code, kind, _DETAILS.get(error.status_code, str(error.detail)), error.headers)
    for kind_of_error, status, kind in _KINDS:
        if isinstance(error, kind_of_error):
            detail = str(error) if status < http.HTTPStatus.INTERNAL_SERVER_ERROR else _DETAILS[status]
            return Refusal(status, kind, detail)
    return Refusal(500, "internal", "Something went wrong inside; the log of the service says what.")


_DETAILS = {
    404: "There is nothing at this path: /openapi.json lists what there is.",
    405: "This path does not take this method: the header Allow lists those that it takes.",
    503: "The service stops, or its store has failed; its log says what. Nothing was accepted.",
}


def problem_response(refusal: Refusal, request_id: str, redact: Callable[[str], str]) -> Response:
    """Return the answer that tells a refusal, without secrets."""
    content: dict[str, Any] = {
        "type": _TYPE + refusal.kind,
        "title": http.HTTPStatus(refusal.status_code).phrase,
        "status": refusal.status_code,
        "detail": refusal.detail,
        "instance": f"urn:uuid:{request_id}",
    }
    if refusal.faults:
        content["errors"] = [fault.model_dump() for fault in refusal.faults]
    return Response(redact(json.dumps(content)), refusal.status_code, refusal.headers, MEDIA_TYPE)
