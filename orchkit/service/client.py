"""Client: an engine's verbs on a store that a service has open, for another notebook, process or machine."""

from __future__ import annotations

import concurrent.futures
import os
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn, Self

import pandas as pd
from tqdm.auto import tqdm

from orchkit.engine import Run
from orchkit.engine.many import cases_of, outcome_frame
from orchkit.engine.values import plain
from orchkit.errors import InputError, ServiceError
from orchkit.model import Workflow, write_workflow
from orchkit.service.client_operating import ClientOperating
from orchkit.service.client_reading import known_id
from orchkit.service.connection import Connection

__all__ = ["Client", "connect"]

_TOKEN = "ORCHKIT_TOKEN"  # noqa: S105 -- the name of a variable


def connect(url: str = "http://127.0.0.1:8321", token: str | None = None) -> Client:
    """Connect to an engine that `orchkit serve` or `orchkit.Service` makes available.

    Parameters
    ----------
    url
        Where the service is.
    token
        The access token; by default the environment variable ``ORCHKIT_TOKEN``.

    Returns
    -------
    Client
        It has an engine's methods. Close it, or use it as a context manager.

    Raises
    ------
    ServiceError
        No service answers, or the token is refused.

    Examples
    --------
    >>> import orchkit as ok
    >>> order = ok.workflow("order", [ok.task("ship")])
    >>> with ok.Engine(handlers={"ship": lambda: "sent"}) as engine, ok.Service(engine, port=0) as service:
    ...     engine.deploy(order)
    ...     with connect(service.url, service.token) as client:
    ...         run = client.run("order", case_id="A-1")
    ...         print(run.status.value, run.variables["ship"], client.log().cases["case_id"].tolist())
    COMPLETED sent ['A-1']
    """
    found = token if token is not None else os.environ.get(_TOKEN)
    if found is None:
        message = f"A token is needed: connect(url, token), or the environment variable {_TOKEN}."
        raise ServiceError(message)
    client = Client(Connection(url, found))
    try:
        client.runs(1)
    except BaseException:
        client.close()
        raise
    return client


class Client(ClientOperating):
    """The methods of an engine over HTTP; see `connect`. They return and raise what those of `orchkit.Engine` do."""

    def __getattr__(self, name: str) -> NoReturn:
        # Asked only for what is not here.
        message = f"A client has no {name!r}: that is done where the engine is, in the process that serves the store."
        raise AttributeError(message)

    # Starting ------------------------------------------------------------------

    def start(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
        traceparent: str | None = None,
    ) -> Run:
        """Start a run of the current version and return it once its start is durable; see `orchkit.Engine.start`.

        Raises
        ------
        WorkflowError
            There is no such workflow, or the given version is not its current one.
        InputError
            An input is missing, unknown or of the wrong form.
        """
        name = self._checked(workflow)
        if inputs is not None and not isinstance(inputs, Mapping):
            message = f"Inputs are a mapping from variable to value, not {type(inputs).__name__}."
            raise InputError(message)
        # With a case of its own, to ask again starts nothing twice.
        case = str(case_id) if case_id is not None else uuid.uuid4().hex[:12]
        body = {"workflow": name, "case_id": case, "inputs": plain(dict(inputs or {}))}
        headers = {} if traceparent is None else {"traceparent": traceparent}
        told = self._service.json("POST", "/v1/runs", json=body, headers=headers)
        return self._run(told)

    def run(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
        traceparent: str | None = None,
    ) -> Run:
        """Start a run, wait until it has ended, and return it; see `start`."""
        return self.start(workflow, inputs, case_id=case_id, traceparent=traceparent).wait()

    def run_many(
        self, workflow: Workflow | str, cases: pd.DataFrame, *, concurrency: int = 16, progress: bool = True
    ) -> pd.DataFrame:
        """Run one case per row, and return one row per case, in the same order; see `orchkit.Engine.run_many`."""
        self._checked(workflow)

        def run(case: tuple[str, dict[str, Any]]) -> dict[str, Any]:
            row: dict[str, Any] = {"case_id": case[0], "run_id": None, "status": "REJECTED"}
            try:
                row["run_id"] = self.run(workflow, case[1], case_id=case[0]).id
            except InputError as error:
                row |= {"error_class": "permanent", "error_type": "InputError", "error_message": str(error)}
            return row

        listed = list(cases_of(cases))
        with concurrent.futures.ThreadPoolExecutor(max(1, concurrency)) as threads:
            rows = list(tqdm(threads.map(run, listed), total=len(listed), disable=not progress, unit="case"))
        return outcome_frame(rows, self.run_outcomes)

    def deploy(self, workflow: Workflow, *, by: str | None = None) -> None:  # noqa: ARG002 -- the token says who
        """Make a version the current one of its workflow (role ``admin``); the service must have its handlers."""
        headers = {"content-type": "application/yaml"}
        self._service.ask("PUT", "/v1/workflows", content=write_workflow(workflow).encode(), headers=headers)

    # Acting --------------------------------------------------------------------

    def complete(self, run: Run | str, callback: str, payload: Any = None) -> None:  # noqa: ANN401 -- JSON
        """Complete a callback of a run; it may come before its wait. See `orchkit.Engine.complete`."""
        self._act(f"/v1/runs/{known_id(run)}/callbacks/complete", callback=callback, payload=plain(payload))

    def fail(self, run: Run | str, callback: str, message: str = "failed") -> None:
        """Fail a callback of a run: its wait fails for good."""
        self._act(f"/v1/runs/{known_id(run)}/callbacks/fail", callback=callback, message=message)

    def cancel(self, run: Run | str, reason: str = "cancelled") -> None:
        """Cancel a run; its sagas are compensated first."""
        self._act(f"/v1/runs/{known_id(run)}/cancel", reason=reason)

    def publish(
        self,
        event: str,
        payload: Any = None,  # noqa: ANN401 -- JSON
        *,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> int:
        """Send an event to the runs that wait for it, start the runs that it triggers, and return how many took it."""
        body = {"event": event, "payload": plain(payload), "message_id": message_id}
        headers = {} if traceparent is None else {"traceparent": traceparent}
        told = self._service.json("POST", "/v1/events", once=message_id is None, json=body, headers=headers)
        return int(told["taken"])

    # Lifetime ------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections; runs go on."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._service.url}{': closed' if self._service.is_closed else ''}>"
