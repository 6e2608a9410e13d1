"""Callbacks reach the engine, or the caller learns what to do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from orchkit.errors import EngineClosed, RunNotFound, WaitNotFound
from sample_processes.callbacks import Callbacks


class Recorder:
    """Stands in for an engine."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.completed: list[tuple[str, str, Any]] = []

    def complete(self, run: str, callback: str, payload: Any = None) -> None:
        if self.error is not None:
            raise self.error
        self.completed.append((run, callback, payload))


def called(callbacks: Callbacks) -> int:
    return httpx.post(f"{callbacks.url}/run-7/vendor_answer", json={"approved": True}).status_code


def test_a_callback_completes_the_wait_of_its_run() -> None:
    engine = Recorder()
    with Callbacks() as callbacks:
        callbacks.deliver_to(engine)
        assert called(callbacks) == 200
    assert engine.completed == [("run-7", "vendor_answer", {"approved": True})]


def test_a_caller_is_asked_to_come_back_when_no_engine_listens() -> None:
    with Callbacks() as callbacks:
        assert called(callbacks) == 503


@pytest.mark.parametrize(
    ("error", "status"),
    [(EngineClosed("closed"), 503), (RunNotFound("it has ended"), 404), (WaitNotFound("no such callback"), 404)],
)
def test_the_answer_says_whether_another_try_makes_sense(error: Exception, status: int) -> None:
    with Callbacks() as callbacks:
        callbacks.deliver_to(Recorder(error))
        assert called(callbacks) == status


def test_a_restarted_process_listens_where_it_did() -> None:
    with Callbacks() as first:
        url = first.url
    with Callbacks(int(url.rsplit(":", 1)[1])) as second:
        assert second.url == url
        assert called(second) == 503
