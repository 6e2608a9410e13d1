"""Engine: runs workflows durably, in threads of its own."""

from __future__ import annotations

import atexit
import concurrent.futures
import threading
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import pandas as pd

from orchkit.clock import Clock, SystemClock
from orchkit.engine.awaiting import Awaiting
from orchkit.engine.collector import hurry, wait_longer
from orchkit.engine.core import Core
from orchkit.engine.dead_messages import DeadMessages
from orchkit.engine.inputs import checked_inputs
from orchkit.engine.loop import Loop
from orchkit.engine.many import Many
from orchkit.engine.messages import (
    CancelRun,
    CompleteWait,
    HandlersAdded,
    Message,
    Publish,
    Settings,
    StartRun,
    run_id_of,
)
from orchkit.engine.operating import Operating
from orchkit.engine.planning import Planning
from orchkit.engine.run import Run, id_of
from orchkit.engine.values import plain
from orchkit.errors import EngineClosed, InputError, PermanentError, WorkflowError
from orchkit.events import Failure
from orchkit.executors import PythonExecutor, TaskExecutor, standard_executors
from orchkit.executors.event import EventExecutor
from orchkit.executors.python import Handlers, handlers_by_name
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass
from orchkit.store import Store
from orchkit.trace_context import parse_traceparent, span_of
from orchkit.units import Duration, seconds

__all__ = ["Engine"]

_MAX_WORKERS = 128
_MAX_MESSAGES = 2_000


@runtime_checkable
class _Closing(Protocol):
    """An executor that holds connections."""

    def close(self) -> None: ...


class Engine(Awaiting, Operating, Planning, DeadMessages):
    """Runs workflows durably: every step is in the store before it begins, and its outcome before the next one does.

    Parameters
    ----------
    path
        The DuckDB file, created if it does not exist; None for a store in memory. Unfinished runs in it continue.
    handlers
        The functions of the Python tasks, plain or async: a list, a mapping from name to function, or a module.
    executor
        A ``concurrent.futures.Executor`` for the tasks' work; threads by default.
    clock
        Tells the time; the machine's by default.
    systems
        Base URLs by name, for settings such as ``${systems.crm}/customers``.
    secrets
        Secrets by name, for settings such as ``${secrets.crm_token}``. They never reach the store.
    limits
        How many attempts may run at once, by role or executor: ``{"clerk": 2, "http": 20}``.
    executors
        More executors by name, beside ``python``, ``http``, ``shell``, ``sql``, ``email``, ``notebook``, ``robot``,
        ``queue`` and ``ai``.
    max_workers
        The most threads, if no executor is given.

    Raises
    ------
    StoreLocked
        Another process owns the file.

    Examples
    --------
    >>> from orchkit.model.patterns import task, workflow
    >>> def greet(name):
    ...     return f"Hello {name}"
    >>> with Engine(handlers=[greet]) as engine:
    ...     run = engine.run(workflow("hello", [task("greet")]), {"name": "Ada"}, case_id="A-1")
    ...     run.status.value, run.variables["greet"]
    ('COMPLETED', 'Hello Ada')
    """

    def __init__(
        self,
        path: str | Path | None = None,
        handlers: Handlers | None = None,
        executor: concurrent.futures.Executor | None = None,
        clock: Clock | None = None,
        *,
        systems: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        executors: Mapping[str, TaskExecutor] | None = None,
        max_workers: int = _MAX_WORKERS,
    ) -> None:
        self._clock = clock or SystemClock()
        self._python = PythonExecutor(handlers)
        events = EventExecutor(self._publish_from)
        own = {**standard_executors(), "python": self._python, "event": events}
        self._executors: dict[str, TaskExecutor] = {**own, **(executors or {})}
        self._warned: set[str] = set()
        self._deciding = threading.Lock()
        self._store = Store(path)
        settings = Settings(self._executors, dict(systems or {}), dict(secrets or {}), dict(limits or {}))
        self._core = Core(settings, self._store)
        self._loop = Loop(self._core, self._store, self._clock, self._executors, executor, max_workers)
        wait_longer()
        # A script that ends without closing loses nothing, but DuckDB complains on its way out.
        atexit.register(self.close, "0 s")
        try:
            self._loop.start(self._store)
        except BaseException:  # a definition that is not to be read, or Ctrl-C: the file must not stay claimed
            self.close("0 s")
            raise

    # Starting ------------------------------------------------------------------

    def start(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
        traceparent: str | None = None,
    ) -> Run:
        """Start a run and return it once its start is durable; the same case gives the same run.

        Parameters
        ----------
        workflow
            The definition; or its name, for the version that was deployed last.
        inputs
            Variables to begin with, JSON values; checked against the workflow's ``inputs``.
        case_id
            Your key for the case; generated if none is given.
        traceparent
            The caller's header of W3C Trace Context: the run belongs to that trace.

        Raises
        ------
        InputError
            An input is missing, unknown or of the wrong form.
        HandlerNotFound
            A Python task has no function.
        """
        return self._start(workflow, inputs, case_id, traceparent).result()

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

    def _start(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None,
        case_id: str | None,
        caller: str | None = None,
    ) -> concurrent.futures.Future[Run]:
        if isinstance(workflow, str):
            workflow = self.current(workflow)
        if not isinstance(workflow, Workflow):
            message = f"A workflow is expected, not {type(workflow).__name__}: read_workflow(path) gives one."
            raise WorkflowError(message)
        self._check_executors(workflow)
        if inputs is not None and not isinstance(inputs, Mapping):
            message = f"Inputs are a mapping from variable to value, not {type(inputs).__name__}."
            raise InputError(message)
        try:
            given = plain(dict(inputs or {}))
        except PermanentError as error:  # it speaks of a handler's result
            reason = str(error).replace("The result holds", "there is").replace("return", "give")
            message = f"The inputs are not JSON values: {reason}"
            raise InputError(message) from None
        values = checked_inputs(workflow, given)
        case = str(case_id) if case_id is not None else uuid.uuid4().hex[:12]
        run_id = run_id_of(workflow.name, case)
        asks = parse_traceparent(caller)
        told = (None, None) if asks is None else (asks.trace_id, asks.span_id)
        started: concurrent.futures.Future[Run] = concurrent.futures.Future()
        posted = self._post(StartRun(run_id, case, workflow, values, None, *told))
        run = Run(run_id, case, workflow, self)
        # Called when the start is durable, before anything of the run is carried out: what began is still in memory.
        posted.add_done_callback(lambda done: _pass_on(done, started, replace(run, _began=self.began(run_id))))
        return started

    def _check_executors(self, workflow: Workflow) -> None:
        for node in all_nodes(workflow):
            if isinstance(node, Task):
                executor = self._executors.get(node.executor)
                if executor is None:
                    known = ", ".join(sorted(self._executors))
                    message = f"Task {node.name!r}: there is no executor {node.executor!r}. Known: {known}."
                    raise WorkflowError(message, node=node.name)
                problem = executor.problem_with(node)
                if problem is not None:
                    raise problem
        for called in workflow.workflows:
            self._check_executors(called)

    def current(self, workflow: str) -> Workflow:
        """Return the current version of a workflow: the one deployed last, or else the one last started.

        Raises
        ------
        WorkflowError
            The store knows no workflow of that name.
        """
        found = self._core.plans.current.get(workflow)
        if found is not None:
            return found
        text = self._store.latest_definition(workflow)
        if text is None:
            message = f"There is no workflow {workflow!r} in this store: engine.deploy(workflow) puts one there."
            raise WorkflowError(message)
        return Workflow.from_json(text)

    # Many ------------------------------------------------------------------------

    def run_many(
        self,
        workflow: Workflow,
        cases: pd.DataFrame,
        *,
        concurrency: int = 1_000,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Run one case per row, and return one row per case, in the same order.

        Parameters
        ----------
        workflow
            The definition.
        cases
            A column ``case_id`` (or else the index) and a column for each input.
        concurrency
            How many runs at once.
        progress
            Whether to show a progress bar.

        Returns
        -------
        DataFrame
            ``case_id, run_id, status, duration_s, error_node, error_class, error_type, error_message``. A case whose
            inputs are refused has the status ``REJECTED`` and no run.

        Notes
        -----
        It can be interrupted: the runs that were started continue, and the same call picks up where it stopped.

        Examples
        --------
        >>> from orchkit.model.patterns import task, workflow
        >>> orders = pd.DataFrame({"case_id": ["A-1", "A-2"], "amount": [10, 0]})
        >>> with Engine(handlers={"share": lambda amount: 100 / amount}) as engine:
        ...     found = engine.run_many(workflow("shares", [task("share")]), orders, progress=False)
        >>> found[["case_id", "status", "error_type"]].fillna("").values.tolist()
        [['A-1', 'COMPLETED', ''], ['A-2', 'FAILED', 'ZeroDivisionError']]
        """
        return Many(self, workflow, concurrency).run(cases, progress=progress)

    # Acting ----------------------------------------------------------------------

    def complete(self, run: Run | str, callback: str, payload: Any = None) -> None:  # noqa: ANN401 -- JSON
        """Complete a callback of a run, by the callback's or the node's name; it may come before the run waits for it.

        Raises
        ------
        RunNotFound
            The run has ended, or there is no such run.
        WaitNotFound
            The workflow has no such callback.

        Examples
        --------
        >>> from orchkit.model.patterns import wait_for, workflow
        >>> with Engine() as engine:
        ...     run = engine.start(workflow("parcel", [wait_for(callback="carrier")]), case_id="A-1")
        ...     before = run.status.value
        ...     engine.complete(run, "carrier", {"signed_by": "Ada"})
        ...     before, run.wait().variables["carrier"]
        ('WAITING', {'signed_by': 'Ada'})
        """
        self._post(CompleteWait(id_of(run), callback, plain(payload))).result()

    def fail(self, run: Run | str, callback: str, message: str = "failed") -> None:
        """Fail a callback of a run: its wait fails for good."""
        failure = Failure(ErrorClass.PERMANENT, "CallbackFailed", message)
        self._post(CompleteWait(id_of(run), callback, failure=failure)).result()

    def publish(
        self,
        event: str,
        payload: Any = None,  # noqa: ANN401 -- JSON
        *,
        message_id: str | None = None,
        traceparent: str | None = None,
        strict: bool = False,
    ) -> int:
        """Send an event to the runs that wait for it now, start the runs that it triggers, and return how many took it.

        Parameters
        ----------
        event
            The name of the event, as a wait has it: ``wait_for(event=…)``.
        payload
            A JSON value. A wait's ``match`` sees it as ``event``, beside the variables of its run; the wait's output
            is the payload.
        message_id
            Events with the same id count once, also after a restart.
        traceparent
            The caller's header of W3C Trace Context: the runs that the event starts belong to that trace.
        strict
            Whether to refuse an event that a trigger cannot take, or that has neither a trigger nor a waiting run.

        Raises
        ------
        InputError
            With ``strict``, the event was refused: nothing has changed, and the same ``message_id`` may come again.

        Examples
        --------
        >>> from orchkit.model.patterns import wait_for, workflow
        >>> paid = workflow("payment", [wait_for(event="paid", match="event.order == order", name="payment")])
        >>> with Engine() as engine:
        ...     runs = [engine.start(paid, {"order": order}, case_id=order) for order in ("A-1", "A-2")]
        ...     taken = engine.publish("paid", {"order": "A-2", "amount": 7})
        ...     taken, runs[1].wait().variables["payment"]["amount"], runs[0].status.value
        (1, 7, 'WAITING')
        """
        found = self._event(event, payload, message_id, caller=traceparent)
        return int(self._post(replace(found, is_strict=strict)).result())

    def _publish_from(self, event: str, payload: Any, message_id: str, source: tuple[str, str]) -> int:  # noqa: ANN401
        """Publish what a step of a run publishes."""
        return int(self._post(self._event(event, payload, message_id, source=source)).result())

    def _event(
        self,
        event: str,
        payload: Any,  # noqa: ANN401 -- JSON
        message_id: str | None,
        *,
        source: tuple[str, str] | None = None,
        caller: str | None = None,
    ) -> Publish:
        asks = parse_traceparent(caller)
        live = None if source is None else self._loop.live.get(source[0])
        trace, span = (uuid.uuid4().hex, None) if asks is None else (asks.trace_id, asks.span_id)
        if live is not None and source is not None:
            step = live.active.state.steps.get(source[1])
            trace, span = live.active.trace or trace, span_of(*source, 1 if step is None else step.attempt)
        named = message_id is not None
        return Publish(event, plain(payload), message_id or uuid.uuid4().hex, named, source, trace, span)

    @property
    def subjects(self) -> dict[str, str]:
        """The subjects of the ``queue`` triggers of deployed workflows, each with its event."""
        return self._core.plans.subjects

    def cancel(self, run: Run | str, reason: str = "cancelled") -> None:
        """Cancel a run; its sagas are compensated first.

        Examples
        --------
        >>> from orchkit.model.patterns import wait_for, workflow
        >>> with Engine() as engine:
        ...     run = engine.start(workflow("parcel", [wait_for(callback="carrier")]))
        ...     engine.cancel(run, "The customer has changed her mind.")
        ...     run.wait().status.value, run.error.message
        ('CANCELLED', 'The customer has changed her mind.')
        """
        self._post(CancelRun(id_of(run), reason)).result()

    def add_handlers(self, handlers: Handlers) -> None:
        """Add functions of Python tasks; runs that wait for one of them continue."""
        self._python.handlers.update(handlers_by_name(handlers))
        self._post(HandlersAdded()).result()

    @property
    def parked(self) -> Mapping[tuple[str, str], Exception]:
        """Steps that wait for a handler, by run and step, each with what is missing."""
        return dict(self._core.attempts.parked)

    @property
    def commits(self) -> int:
        """Commits so far."""
        return self._loop.writer.commits

    # Waiting -----------------------------------------------------------------------

    def wait(self, run_id: str, timeout: Duration | None = None) -> None:
        """Wait until a run has ended.

        Raises
        ------
        TimeoutError
            The run has not ended in time; it continues.
        """
        live = self._loop.live.get(run_id)
        if live is None:
            self.get(run_id)
            return
        self._warn_of_parked(run_id)
        try:
            live.ended.result(None if timeout is None else seconds(timeout))
        except KeyboardInterrupt:
            case = live.active.case_id
            message = (
                f"You stopped waiting; the run of case {case!r} goes on: run.wait() waits again, run.cancel() ends it."
            )
            raise KeyboardInterrupt(message) from None

    def _warn_of_parked(self, run_id: str) -> None:
        for (parked, _), problem in self.parked.items():
            if parked == run_id and str(problem) not in self._warned:
                self._warned.add(str(problem))
                warnings.warn(f"{problem} The run waits; engine.add_handlers([…]) lets it go on.", stacklevel=4)

    # Closing -----------------------------------------------------------------------

    def close(self, timeout: Duration = "10 s") -> None:
        """Stop the engine: nothing new begins, running work may end within the timeout, and the file is closed.

        Runs that have not ended continue when an engine opens the file again.
        """
        if self._loop.is_closing:
            return
        atexit.unregister(self.close)
        try:
            self._loop.close(seconds(timeout))
        finally:
            for executor in self._executors.values():
                if isinstance(executor, _Closing):
                    executor.close()
            self._store.close()
            hurry()
            self._loop.refuse_all(
                EngineClosed("The engine has been closed; the run goes on when the file is opened again.")
            )

    def _post(self, message: Message) -> concurrent.futures.Future[Any]:
        return self._loop.post(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._loop.is_closing else f"{len(self._loop.live)} active runs"
        return f"<Engine {self._store.path or 'in memory'}: {state}>"


def _pass_on(done: concurrent.futures.Future[Any], started: concurrent.futures.Future[Run], run: Run) -> None:
    error = done.exception()
    if error is not None:
        started.set_exception(error)
    else:
        started.set_result(run)
