"""Connection: what a client asks a service over HTTP, and the errors of the engine that its problems stand for."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pyarrow as pa

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
    ServiceError,
    StoreError,
    WaitNotFound,
    WorkflowError,
    WorkItemNotFound,
    WorkItemTaken,
)

__all__ = ["Connection"]

_ARROW = "application/vnd.apache.arrow.stream"
_ATTEMPTS = 5
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 10.0
_TIMEOUT_S = 60.0
_TOO_MANY = 429
_KIND = "urn:orchkit:problem:"
_ERRORS: Mapping[str, type[OrchkitError]] = {
    "run-not-found": RunNotFound,
    "run-has-ended": RunNotFound,
    "callback-not-found": WaitNotFound,
    "schedule-not-found": ScheduleNotFound,
    "work-item-not-found": WorkItemNotFound,
    "work-item-taken": WorkItemTaken,
    "conflict": RunError,
    "handler-not-found": HandlerNotFound,
    "extra-not-installed": MissingExtraError,
    "inputs-refused": InputError,
    "workflow-refused": WorkflowError,
    "workflow-not-found": WorkflowError,
    "value-refused": PermanentError,
    "query-refused": QueryError,
    "stopping": EngineClosed,
    "store-failed": StoreError,
}


# Of columns where something is missing, as DuckDB has them.
_WITH_GAPS: Mapping[pa.DataType, Any] = {
    pa.bool_(): pd.BooleanDtype(),
    **{getattr(pa, f"int{bits}")(): getattr(pd, f"Int{bits}Dtype")() for bits in (8, 16, 32, 64)},
}


class _Bearer(httpx.Auth):
    """Puts a token into the header, and shows it nowhere."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Yield the request with its header."""
        request.headers["authorization"] = f"Bearer {self._token}"
        yield request

    def __repr__(self) -> str:
        return "<Bearer ***>"


class Connection:
    """Asks a service.

    Parameters
    ----------
    url
        Where it is.
    token
        Of the one who asks.

    Raises
    ------
    ServiceError
        The URL or the token is none.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            message = "The URL of a service is such as http://localhost:8321, without a user."
            raise ServiceError(message)
        if not token.isascii() or not token.isprintable() or not token.strip():
            message = "This is not a token: orchkit serve shows the first, orchkit token create makes others."
            raise ServiceError(message)
        self.url = url.rstrip("/")
        self._client = httpx.Client(base_url=self.url, auth=_Bearer(token.strip()), timeout=_TIMEOUT_S)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._client.is_closed

    def ask(self, method: str, path: str, *, once: bool = False, **options: Any) -> httpx.Response:  # noqa: ANN401
        """Return an answer that is no problem.

        Parameters
        ----------
        method, path
            What to ask.
        once
            Whether to ask again would do something twice: then only what cannot have come there is asked again.
        **options
            Of httpx.

        Raises
        ------
        ServiceError
            It cannot be reached, or refuses the token.
        OrchkitError
            The error of the engine that the problem stands for.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            wait_s = min(_FIRST_DELAY_S * 2 ** (attempt - 1), _LONGEST_DELAY_S)
            try:
                response = self._client.request(method, path, **options)
            except RuntimeError as error:
                if self._client.is_closed:
                    raise EngineClosed("The client has been closed: connect again.") from None
                message = f"{self.url} cannot be asked: {error}"
                raise ServiceError(message) from None
            except httpx.TransportError as error:
                never_came = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if attempt == _ATTEMPTS or (once and not never_came):
                    raise self._unreachable(error, once=once and not never_came) from None
            else:
                if response.status_code != _TOO_MANY or attempt == _ATTEMPTS:
                    return _checked(response)
                after = response.headers.get("retry-after", "")
                wait_s = min(float(after), _LONGEST_DELAY_S) if after.isdecimal() else wait_s
            time.sleep(wait_s)
        raise AssertionError  # pragma: no cover -- the last attempt returns or raises

    def _unreachable(self, error: Exception, *, once: bool) -> ServiceError:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        if once:
            advice = "It may have been done all the same: look before you ask again."
        else:
            advice = "Is it running? orchkit serve STORE starts it, and says where it is."
        return ServiceError(f"{self.url} does not answer ({reason}). {advice}")

    def json(self, method: str, path: str, *, once: bool = False, **options: Any) -> Any:  # noqa: ANN401
        """Return the value of an answer in JSON; see `ask`."""
        return self.ask(method, path, once=once, **options).json()

    def frame(self, query: str, parameters: list[Any]) -> pd.DataFrame:
        """Return the answer to a query on the store, with the types that an engine's has."""
        body = {"query": query, "parameters": parameters}
        response = self.ask("POST", "/v1/sql", json=body, headers={"accept": _ARROW})
        return _frame_of(pa.ipc.open_stream(response.content).read_all())


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        told = response.json()
        kind, detail = str(told["type"]).removeprefix(_KIND), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        message = f"{response.url.host} answered {response.status_code}: it does not seem to be orchkit's service."
        raise ServiceError(message, status=response.status_code) from None
    found = _ERRORS.get(kind)
    if found is None:
        raise ServiceError(detail, status=response.status_code, kind=kind)
    raise found(detail)


def _frame_of(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    for number, field in enumerate(table.schema):
        kind = getattr(field.type, "storage_type", field.type)
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            frame.isetitem(number, frame.iloc[:, number].dt.tz_convert("UTC"))
        elif kind in _WITH_GAPS and table.column(number).null_count:
            frame.isetitem(number, table.column(number).to_pandas(types_mapper=_WITH_GAPS.get).array)
        elif pa.types.is_decimal(kind):
            frame.isetitem(number, frame.iloc[:, number].astype("float64").array)
        elif pa.types.is_date(kind):
            frame.isetitem(number, frame.iloc[:, number].dt.as_unit("us"))
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            frame.isetitem(number, frame.iloc[:, number].astype("str").array)
    return frame
