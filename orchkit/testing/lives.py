"""One life of an engine that is going to be killed: what it works on, and what it tells before it dies."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from orchkit.engine import Engine, Run
from orchkit.errors import PermanentError, RunNotFound, TransientError
from orchkit.model import Retry, Workflow, call, for_each, parallel, repeat_while, saga, task, wait_for, workflow
from orchkit.model.blocks import Block
from orchkit.model.states import RunStatus

__all__ = ["CASES", "EFFECTS", "STORE", "Case", "Kind", "Told", "live"]

STORE, EFFECTS = "store.duckdb", "effects.jsonl"
_RETRY = Retry(max_attempts=6, initial_delay="2 ms", max_delay="20 ms")
_LAST_FAILING_ATTEMPT = 4


class Kind(StrEnum):
    """What a life tells."""

    STARTED = "started"
    EFFECT = "effect"
    ANSWERED = "answered"
    ENDED = "ended"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Told:
    """Something that the engine has acknowledged, or a handler has done: ``about`` is the case or the key."""

    kind: Kind
    about: str = ""
    status: str = ""


# What is run --------------------------------------------------------------------------------------


def _step(name: str, handler: str = "work", undo: str | None = None) -> Block:
    compensate = None if undo is None else task(undo, python="work", retry=_RETRY)
    return task(name, python=handler, retry=_RETRY, compensate=compensate)


_CHILD = workflow("child", [_step("prepare"), _step("deliver", "work_async")])

_WORKFLOWS = (
    workflow("sequence", [_step("first"), _step("second", "work_async"), _step("third")]),
    workflow(
        "branches",
        [
            _step("begin"),
            parallel(_step("left"), [_step("middle", "work_async"), _step("middle_too")], _step("right")),
            _step("join"),
        ],
    ),
    workflow(
        "undone",
        [
            saga(
                [
                    _step("book", undo="unbook"),
                    parallel(_step("rent", undo="return_it"), _step("reserve", "work_async", undo="release")),
                    _step("pay", "refuse", undo="refund"),
                ]
            ),
            _step("tell"),
        ],
    ),
    workflow("patient", [_step("before"), wait_for(timer="30 ms"), _step("after")]),
    workflow("asking", [_step("ask"), wait_for(callback="answer", timeout="1 h"), _step("use")]),
    workflow(
        "loops",
        [
            for_each("items", [_step("line"), _step("label", "work_async")], item="item", concurrency=2),
            repeat_while("rounds < 2", [_step("again"), _step("rounds", "count")], max_iterations=5),
        ],
    ),
    workflow("caller", [call(_CHILD), _step("close")]),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A run to be started, and the state in which it has to end."""

    case_id: str
    workflow: Workflow
    inputs: dict[str, Any]
    status: RunStatus


def _case(definition: Workflow, number: int) -> Case:
    fails = number % 2 == 0
    inputs = {"fails": fails, "items": list(range(number)), "rounds": 0}
    undone = definition.name == "undone" and fails
    status = RunStatus.COMPENSATED if undone else RunStatus.COMPLETED
    return Case(f"{definition.name}-{number}", definition, inputs, status)


CASES = tuple(_case(definition, number) for number in range(4) for definition in _WORKFLOWS)
"""The cases of a round."""


# Who does it --------------------------------------------------------------------------------------


class _Teller:
    """Tells the parent, one thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, told: Told) -> None:
        with self._lock:
            self._connection.send(told)


class _Handlers:
    """Tasks whose effects go to a file that survives: a line each, appended by one system call."""

    def __init__(self, folder: Path, seed: int, tell: Callable[[Told], None]) -> None:
        self._seed, self._tell = seed, tell
        self._file = os.open(folder / EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """Return the handlers."""
        return {"work": self.work, "work_async": self.work_async, "refuse": self.refuse, "count": self.count}

    def work(self, idempotency_key: str, attempt: int) -> str:
        """Have an effect, or a fault: before it, or after it, when nobody learns of the effect."""
        luck = self._luck(idempotency_key, attempt)
        time.sleep(luck.random() * 0.004)
        return self._have_effect(idempotency_key, attempt, luck)

    async def work_async(self, idempotency_key: str, attempt: int) -> str:
        """Do the same without a thread."""
        luck = self._luck(idempotency_key, attempt)
        await asyncio.sleep(luck.random() * 0.004)
        return self._have_effect(idempotency_key, attempt, luck)

    def refuse(self, idempotency_key: str, attempt: int, fails: bool) -> str:  # noqa: FBT001 -- a variable
        """Fail for good where the case is one that fails."""
        if fails:
            message = "refused"
            raise PermanentError(message)
        return self.work(idempotency_key, attempt)

    def count(self, idempotency_key: str, attempt: int, rounds: int) -> int:
        """Return one more."""
        self.work(idempotency_key, attempt)
        return rounds + 1

    def _luck(self, key: str, attempt: int) -> random.Random:
        return random.Random(f"{self._seed}/{key}/{attempt}")

    def _have_effect(self, key: str, attempt: int, luck: random.Random) -> str:
        fault = luck.random() if attempt <= _LAST_FAILING_ATTEMPT else 1.0
        if fault < 0.1:
            message = "busy"
            raise TransientError(message)
        os.write(self._file, f"{json.dumps({'key': key, 'attempt': attempt})}\n".encode())
        self._tell(Told(Kind.EFFECT, key))
        if fault < 0.2:
            message = "lost"
            raise TransientError(message)
        return key


# A life -------------------------------------------------------------------------------------------


def live(folder: Path, seed: int, acknowledged: Iterable[Told], connection: Connection) -> None:
    """Open the engine and do what has not been acknowledged yet: start cases, answer those that ask, see them end."""
    known = set(acknowledged)
    tell = _Teller(connection)
    cases = list(CASES)
    random.Random(seed).shuffle(cases)
    with Engine(folder / STORE, _Handlers(folder, seed, tell).by_name()) as engine:
        runs = [(case, _started(engine, case, known, tell)) for case in cases]
        for case, run in runs:
            if case.workflow.name == "asking" and Told(Kind.ANSWERED, case.case_id) not in known:
                _answer(run)
                tell(Told(Kind.ANSWERED, case.case_id))
        for case, run in runs:
            run.wait("60 s")
            tell(Told(Kind.ENDED, case.case_id, run.status.value))
    tell(Told(Kind.DONE))
    connection.close()


def _started(engine: Engine, case: Case, known: set[Told], tell: Callable[[Told], None]) -> Run:
    """Start a case; one whose start was acknowledged must be there without being started again."""
    if Told(Kind.STARTED, case.case_id) in known:
        return engine.find(case.workflow, case.case_id)
    run = engine.start(case.workflow, case.inputs, case_id=case.case_id)
    tell(Told(Kind.STARTED, case.case_id))
    return run


def _answer(run: Run) -> None:
    """Complete the callback, unless the answer had arrived before the last crash, and the run has ended since."""
    try:
        run.complete("answer", {"case": run.case_id})
    except RunNotFound:
        if not run.status.is_final:
            raise
