"""Engine: runs workflows durably, in threads of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import json
import queue
import threading
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import pandas as pd

from orchkit.clock import Clock, SystemClock
from orchkit.engine.collector import hurry, wait_longer
from orchkit.engine.core import Core
from orchkit.engine.inputs import checked_inputs
from orchkit.engine.many import Many
from orchkit.engine.messages import (
    Active,
    CancelRun,
    CompleteWait,
    Dispatch,
    Ended,
    HandlersAdded,
    Message,
    Publish,
    Settings,
    StartRun,
    Work,
    run_id_of,
)
from orchkit.engine.operating import Operating
from orchkit.engine.planning import Planning
from orchkit.engine.plans import KINDS
from orchkit.engine.recovery import LiveRun, fold, live_run, parent_of
from orchkit.engine.run import Run, Snapshot
from orchkit.engine.values import plain
from orchkit.engine.workers import Workers
from orchkit.errors import EngineClosed, InputError, RunNotFound, WorkflowError
from orchkit.events import Failure
from orchkit.executors import PythonExecutor, TaskExecutor, standard_executors
from orchkit.executors.event import EventExecutor
from orchkit.executors.python import Handlers, handlers_by_name
from orchkit.log import EventLog
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.nodes import Task
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.store import GroupWriter, Store
from orchkit.units import Duration, seconds

__all__ = ["Engine"]

_MAX_WORKERS = 128
_MAX_MESSAGES = 2_000


@runtime_checkable
class _VirtualTime(Protocol):
    """A clock that is set, not read from the machine."""

    def subscribe(self, wake: Callable[[], None]) -> None: ...
    def skip_to(self, moment: float) -> bool: ...


@runtime_checkable
class _Closing(Protocol):
    """An executor that holds connections."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Posted:
    message: Message | None
    answer: concurrent.futures.Future[Any] | None = None


@dataclass(slots=True)
class _Live:
    """A run as it is durably known."""

    active: Active
    snapshot: Callable[[], Snapshot]
    ended: concurrent.futures.Future[Ended] = field(default_factory=concurrent.futures.Future)


class Engine(Operating, Planning):
    """Runs workflows; every step is in the store before and after it is done.

    Parameters
    ----------
    path
        The DuckDB file, made where there is none; None for a store in memory. Runs that had not ended go on.
    handlers
        Functions of the Python tasks: a list, a mapping from name, or a module. Plain or async.
    executor
        A ``concurrent.futures.Executor`` for the tasks' work; threads by default.
    clock
        Tells the time; the machine's by default.
    systems
        Base URLs by name, for settings such as ``${systems.crm}/customers``.
    secrets
        Secrets by name, for settings such as ``${secrets.crm_token}``. They never reach the store.
    limits
        How many attempts at once, by role or executor: ``{"clerk": 2, "http": 20}``.
    executors
        More executors by name, beside ``python``, ``http``, ``shell``, ``sql``, ``email``, ``notebook``, ``robot``
        and ``ai``.
    max_workers
        Threads at most, where no executor is given.

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
        self._store = Store(path)
        self._writer = GroupWriter(self._store)
        settings = Settings(self._executors, dict(systems or {}), dict(secrets or {}), dict(limits or {}))
        self._core = Core(settings, self._store)
        self._inbox: queue.SimpleQueue[_Posted] = queue.SimpleQueue()
        self._workers = Workers(executor, self._post_message, max_workers)
        self._lock = threading.Lock()
        self._deciding = threading.Lock()
        self._live: dict[str, _Live] = {}
        self._in_flight = 0
        self._broken: BaseException | None = None
        self._closing = False
        self._stopped = False
        self._warned: set[str] = set()
        self._recover()
        # Asked once: a protocol is slow to look at.
        self._virtual = self._clock if isinstance(self._clock, _VirtualTime) else None
        if self._virtual is not None:
            self._virtual.subscribe(lambda: self._inbox.put(_Posted(None)))
        self._thread = threading.Thread(target=self._loop, name="orchkit-engine", daemon=True)
        self._thread.start()
        wait_longer()
        # A script that ends without closing loses nothing, but DuckDB complains on its way out.
        atexit.register(self.close, "0 s")

    # Starting ------------------------------------------------------------------

    def start(
        self, workflow: Workflow | str, inputs: Mapping[str, Any] | None = None, *, case_id: str | None = None
    ) -> Run:
        """Start a run and return it once its start is durable; the same case gives the same run.

        Parameters
        ----------
        workflow
            The definition; or its name, for the version that was deployed last.
        inputs
            Variables to begin with, JSON values; checked against the workflow's ``inputs``.
        case_id
            The user's key; made up where there is none.

        Raises
        ------
        InputError
            An input is missing, unknown or of the wrong form.
        HandlerNotFound
            A Python task without its function.
        """
        return self._start(workflow, inputs, case_id).result()

    async def start_async(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
    ) -> Run:
        """Await the start of a run; see `start`."""
        return await asyncio.wrap_future(self._start(workflow, inputs, case_id))

    def run(
        self, workflow: Workflow | str, inputs: Mapping[str, Any] | None = None, *, case_id: str | None = None
    ) -> Run:
        """Start a run, wait until it has ended, and return it; see `start`."""
        return self.start(workflow, inputs, case_id=case_id).wait()

    async def run_async(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        case_id: str | None = None,
    ) -> Run:
        """Await the end of a run; see `start`."""
        run = await self.start_async(workflow, inputs, case_id=case_id)
        return await run.wait_async()

    def _start(
        self,
        workflow: Workflow | str,
        inputs: Mapping[str, Any] | None,
        case_id: str | None,
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
        values = checked_inputs(workflow, plain(dict(inputs or {})))
        case = str(case_id) if case_id is not None else uuid.uuid4().hex[:12]
        run_id = run_id_of(workflow.name, case)
        started: concurrent.futures.Future[Run] = concurrent.futures.Future()
        posted = self._post(StartRun(run_id, case, workflow, values))
        run = Run(run_id, case, workflow, self)
        posted.add_done_callback(lambda done: _pass_on(done, started, run))
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
        """Return the version of a workflow that was deployed last, or else the one that a run was started with last.

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
        """Run a case a row, and return a row a case, in the same order.

        Parameters
        ----------
        workflow
            The definition.
        cases
            A column ``case_id`` (or else the index) and a column for each input.
        concurrency
            Runs at once.
        progress
            Whether to show a progress bar.

        Returns
        -------
        DataFrame
            ``case_id, run_id, status, duration_s, error_node, error_class, error_type, error_message``. A case whose
            inputs are refused has the status ``REJECTED`` and no run.

        Notes
        -----
        It can be interrupted: what has been started goes on, and the same call takes up where it was.

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

    async def run_many_async(
        self, workflow: Workflow, cases: pd.DataFrame, *, concurrency: int = 1_000
    ) -> pd.DataFrame:
        """Await the end of many runs; see `run_many`."""
        return await asyncio.to_thread(self.run_many, workflow, cases, concurrency=concurrency, progress=False)

    # Acting ----------------------------------------------------------------------

    def complete(self, run: Run | str, callback: str, payload: Any = None) -> None:  # noqa: ANN401 -- JSON
        """Complete a callback of a run, by the callback's or the node's name; it may come before its wait.

        Raises
        ------
        RunNotFound
            The run has ended, or never was.
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
        self._post(CompleteWait(_id(run), callback, plain(payload))).result()

    async def complete_async(self, run: Run | str, callback: str, payload: Any = None) -> None:  # noqa: ANN401 -- JSON
        """Await that a callback is durably completed; see `complete`."""
        await asyncio.wrap_future(self._post(CompleteWait(_id(run), callback, plain(payload))))

    def fail(self, run: Run | str, callback: str, message: str = "failed") -> None:
        """Fail a callback of a run: its wait fails for good."""
        failure = Failure(ErrorClass.PERMANENT, "CallbackFailed", message)
        self._post(CompleteWait(_id(run), callback, failure=failure)).result()

    async def fail_async(self, run: Run | str, callback: str, message: str = "failed") -> None:
        """Await that a callback has durably failed; see `fail`."""
        failure = Failure(ErrorClass.PERMANENT, "CallbackFailed", message)
        await asyncio.wrap_future(self._post(CompleteWait(_id(run), callback, failure=failure)))

    def publish(self, event: str, payload: Any = None, *, message_id: str | None = None) -> int:  # noqa: ANN401 -- JSON
        """Send an event to every run that waits for it now, start those that it starts, and return how many took it.

        Parameters
        ----------
        event
            Its name, which the wait has as ``event``.
        payload
            A JSON value. A wait's ``match`` sees it as ``event``, beside the variables of its run; the wait's output
            is the payload.
        message_id
            An event of the same id is taken once, also after a restart.

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
        return int(self._post(self._event(event, payload, message_id)).result())

    def _publish_from(self, event: str, payload: Any, message_id: str, source: tuple[str, str]) -> int:  # noqa: ANN401
        """Publish what a step of a run publishes."""
        return int(self._post(self._event(event, payload, message_id, source)).result())

    async def publish_async(self, event: str, payload: Any = None, *, message_id: str | None = None) -> int:  # noqa: ANN401
        """Await that an event is durably delivered; see `publish`."""
        return int(await asyncio.wrap_future(self._post(self._event(event, payload, message_id))))

    def _event(
        self,
        event: str,
        payload: Any,  # noqa: ANN401 -- JSON
        message_id: str | None,
        source: tuple[str, str] | None = None,
    ) -> Publish:
        live = None if source is None else self._live.get(source[0])
        trace = uuid.uuid4().hex if live is None else live.active.trace
        named = message_id is not None
        return Publish(event, plain(payload), message_id or uuid.uuid4().hex, named, source, trace)

    def cancel(self, run: Run | str, reason: str = "cancelled") -> None:
        """Ask a run to end; sagas are compensated first.

        Examples
        --------
        >>> from orchkit.model.patterns import wait_for, workflow
        >>> with Engine() as engine:
        ...     run = engine.start(workflow("parcel", [wait_for(callback="carrier")]))
        ...     engine.cancel(run, "The customer has changed her mind.")
        ...     run.wait().status.value, run.error.message
        ('CANCELLED', 'The customer has changed her mind.')
        """
        self._post(CancelRun(_id(run), reason)).result()

    async def cancel_async(self, run: Run | str, reason: str = "cancelled") -> None:
        """Await that a cancellation is durably accepted; see `cancel`."""
        await asyncio.wrap_future(self._post(CancelRun(_id(run), reason)))

    def add_handlers(self, handlers: Handlers) -> None:
        """Add functions of Python tasks; runs that wait for one of them go on."""
        self._python.handlers.update(handlers_by_name(handlers))
        self._post(HandlersAdded()).result()

    # Reading -----------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """Return the run of an id.

        Raises
        ------
        RunNotFound
            No such run.
        """
        live = self._live.get(run_id)
        if live is not None:
            return Run(run_id, live.active.case_id, live.active.workflow, self)
        row = self._store.known_runs([run_id]).get(run_id)
        if row is None:
            message = f"There is no run {run_id!r}: engine.runs() lists them."
            raise RunNotFound(message, run_id=run_id)
        return Run(run_id, row.case_id, Workflow.from_json(self._store.definition(row.digest)), self)

    def find(self, workflow: Workflow | str, case_id: str) -> Run:
        """Return the run of a case.

        Raises
        ------
        RunNotFound
            No such run.
        """
        return self.get(run_id_of(workflow if isinstance(workflow, str) else workflow.name, str(case_id)))

    def runs(self, limit: int | None = 1_000) -> pd.DataFrame:
        """Return a row a run, the newest first.

        Returns
        -------
        DataFrame
            ``run_id, case_id, workflow, version, digest, status, started_at, ended_at, error_class, error_type,
            error_message``.
        """
        return self._store.runs(limit=limit)

    @property
    def now(self) -> float:
        """The time of its clock, in seconds since 1970."""
        return self._clock.now()

    def in_flight(self) -> list[LiveRun]:
        """Return the runs that have not ended, in the order of their start: the state of each, and its history."""
        found: dict[str, Workflow] = {}
        runs = []
        for row, rows in self._store.open_runs():
            if row.digest not in found:
                found[row.digest] = Workflow.from_json(self._store.definition(row.digest))
            runs.append(live_run(found[row.digest], row, rows))
        return runs

    def history(self, run_id: str) -> pd.DataFrame:
        """Return the history of a run, ordered by ``seq``."""
        return self._store.history(run_id)

    def steps(self, run_id: str) -> pd.DataFrame:
        """Return the steps of a run, a row an attempt."""
        return self._store.log_frames(run_id=run_id).steps

    def log(self, workflow: Workflow | str | None = None) -> EventLog:
        """Return the event log of all runs, or of one workflow's."""
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        frames = self._store.log_frames(workflow=name)
        return EventLog(frames.steps, frames.cases)

    def sql(self, query: str, parameters: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the answer to a read-only query on the store: tables ``history``, ``runs`` and ``definitions``.

        Raises
        ------
        QueryError
            It would change something, or DuckDB cannot answer it.

        Examples
        --------
        >>> from orchkit.model.patterns import task, workflow
        >>> with Engine(handlers={"ship": lambda: "sent"}) as engine:
        ...     run = engine.run(workflow("order", [task("ship")]))
        ...     engine.log().cases["status"].tolist()
        ...     engine.sql("SELECT node, status FROM history WHERE kind = 'task'").values.tolist()
        ['COMPLETED']
        [['ship', 'RUNNING'], ['ship', 'COMPLETED']]
        """
        return self._store.sql(query, parameters)

    def backup(self, target: str | Path) -> Path:
        """Write one state of the store to a new file, while runs go on, and return its path.

        An engine that opens the copy goes on from that state: beware of doing the same work twice.

        Raises
        ------
        StoreError
            There is something at the target, or it cannot be written.
        """
        return self._store.backup(target)

    def snapshot(self, run_id: str) -> Snapshot:
        """Return what is durably known of a run."""
        live = self._live.get(run_id)
        if live is not None:
            return live.snapshot()
        return self._ended_snapshot(run_id)

    def _ended_snapshot(self, run_id: str) -> Snapshot:
        outcomes = self._store.run_outcomes([run_id])
        if outcomes.empty:
            message = f"There is no run {run_id!r}: engine.runs() lists them."
            raise RunNotFound(message, run_id=run_id)
        row = outcomes.iloc[0]
        error = None
        if isinstance(row["error_class"], str):
            error = Failure(
                ErrorClass(row["error_class"]), row["error_type"], row["error_message"], row["error_node"] or ""
            )
        return Snapshot(RunStatus(row["status"]), json.loads(row["variables"] or "{}"), error)

    @property
    def parked(self) -> Mapping[tuple[str, str], Exception]:
        """Steps that wait for a handler, by run and step, each with what is missing."""
        return dict(self._core.parked)

    @property
    def commits(self) -> int:
        """Commits so far."""
        return self._writer.commits

    # Waiting -----------------------------------------------------------------------

    def wait(self, run_id: str, timeout: Duration | None = None) -> None:
        """Wait until a run has ended.

        Raises
        ------
        TimeoutError
            It has not ended in time; it goes on.
        """
        live = self._live.get(run_id)
        if live is None:
            self.get(run_id)
            return
        self._warn_of_parked(run_id)
        live.ended.result(None if timeout is None else seconds(timeout))

    async def wait_async(self, run_id: str, timeout: Duration | None = None) -> None:
        """Await the end of a run; see `wait`."""
        live = self._live.get(run_id)
        if live is None:
            self.get(run_id)
            return
        waiting = asyncio.shield(asyncio.wrap_future(live.ended))
        await asyncio.wait_for(waiting, None if timeout is None else seconds(timeout))

    def _warn_of_parked(self, run_id: str) -> None:
        for (parked, _), problem in self.parked.items():
            if parked == run_id and str(problem) not in self._warned:
                self._warned.add(str(problem))
                warnings.warn(f"{problem} The run waits; engine.add_handlers([…]) lets it go on.", stacklevel=4)

    # Closing -----------------------------------------------------------------------

    def close(self, timeout: Duration = "10 s") -> None:
        """Stop: nothing new begins, what runs may end within the timeout, the file is closed.

        What has not ended goes on when an engine opens the file again.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
        atexit.unregister(self.close)
        self._core.draining = True
        self._inbox.put(_Posted(None))
        # Where the store has failed, no outcome can be kept, so none is waited for.
        self._thread.join(seconds(timeout) if self._broken is None else 0.0)
        self._stopped = True
        self._inbox.put(_Posted(None))
        self._thread.join()
        self._workers.close()
        for executor in self._executors.values():
            if isinstance(executor, _Closing):
                executor.close()
        self._writer.close()
        self._store.close()
        hurry()
        self._refuse_all(EngineClosed("The engine has been closed; the run goes on when the file is opened again."))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closing else f"{len(self._live)} active runs"
        return f"<Engine {self._store.path or 'in memory'}: {state}>"

    # The loop ------------------------------------------------------------------------

    def _post(self, message: Message) -> concurrent.futures.Future[Any]:
        answer: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            if self._closing:
                raise EngineClosed("The engine has been closed; open another on the same file.")
            if self._broken is not None:
                raise self._broken
            self._inbox.put(_Posted(message, answer))
        return answer

    def _post_message(self, message: Message) -> None:
        self._inbox.put(_Posted(message))

    def _recover(self) -> None:
        definitions: dict[str, Workflow] = {}
        found = []
        for row, rows in self._store.open_runs():
            if row.digest not in definitions:
                definitions[row.digest] = Workflow.from_json(self._store.definition(row.digest))
            folded = fold(definitions[row.digest], rows, parent_of(row))
            self._core.adopt(folded.active, folded.transitions, self._clock.now())
            self._note(folded.active)
            found.append(row.run_id)
        self._core.plans.load(self._store.plan_rows(KINDS))
        if found or self._core.plans.plans:
            self._submit(self._core.resume(found, self._clock.now()), [])

    def _loop(self) -> None:
        try:
            while not self._stopped:
                posted = self._collect()
                if self._core.draining and not posted and self._core.is_idle and not self._in_flight:
                    return
                told = [item for item in posted if item.message is not None]
                self._submit(
                    self._core.handle([item.message for item in told if item.message], self._clock.now()), told
                )
        except BaseException as error:  # noqa: BLE001 -- whoever waits must learn that nothing will come
            self._break(error)

    def _collect(self) -> list[_Posted]:
        """Return what has been posted, waiting for it no longer than until the next timer."""
        posted: list[_Posted] = []
        try:
            posted.append(self._inbox.get(timeout=self._patience_s()))
            while len(posted) < _MAX_MESSAGES:
                posted.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return posted

    def _patience_s(self) -> float | None:
        due = self._core.next_timer()
        quiet = self._core.is_idle and not self._in_flight and self._inbox.empty()
        if self._core.draining:
            return 0.0 if quiet else 0.05
        if due is None:
            return None
        if self._virtual is not None:
            return 0.0 if quiet and self._virtual.skip_to(due) else None
        return max(0.0, min(due - self._clock.now(), 3600.0))

    def _submit(self, work: Work, posted: list[_Posted]) -> None:
        if not (posted or work.batch or work.effects):
            return
        seen = [(active, active.state) for active in work.touched.values()]
        with self._lock:
            self._in_flight += 1
        self._writer.submit(work.batch, lambda error: self._durable(work, posted, seen, error))

    def _durable(self, work: Work, posted: list[_Posted], seen: list[Any], error: BaseException | None) -> None:
        """Carry out the effects of a turn whose rows are durable, and answer those who asked."""
        if error is not None:
            self._break(error)
            for item in posted:
                if item.answer is not None:
                    item.answer.set_exception(error)
            return
        for active, state in seen:
            active.durable = state
            self._core.unsettled.discard(active.run_id)
            if active.run_id not in self._live:
                self._note(active)
        for position, item in enumerate(posted):
            if item.answer is not None:
                answer = work.answers.get(position)
                if isinstance(answer, BaseException):
                    item.answer.set_exception(answer)
                else:
                    item.answer.set_result(answer)
        for effect in work.effects:
            if isinstance(effect, Dispatch):
                self._workers.begin(effect.attempt, self._executors[effect.attempt.task.executor])
            else:
                live = self._live.pop(effect.run_id)
                live.ended.set_result(effect)
        with self._lock:
            self._in_flight -= 1
        if self._core.draining or self._virtual is not None:
            self._inbox.put(_Posted(None))

    def _note(self, active: Active) -> None:
        def snapshot() -> Snapshot:
            state = active.durable or active.state
            return Snapshot(state.status, state.variables)

        self._live[active.run_id] = _Live(active, snapshot)

    def _break(self, error: BaseException) -> None:
        with self._lock:
            self._broken = self._broken or error
        self._refuse_all(error)

    def _refuse_all(self, error: BaseException) -> None:
        for live in list(self._live.values()):
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                live.ended.set_exception(error)
        while True:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return
            if item.answer is not None:
                item.answer.set_exception(error)


def _pass_on(done: concurrent.futures.Future[Any], started: concurrent.futures.Future[Run], run: Run) -> None:
    error = done.exception()
    if error is not None:
        started.set_exception(error)
    else:
        started.set_result(run)


def _id(run: Run | str) -> str:
    return run if isinstance(run, str) else run.id
