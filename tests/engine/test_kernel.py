"""An engine in a real Jupyter kernel: interrupted, restarted, and asked for by a second one."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack
from pathlib import Path
from queue import Empty

import pytest
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).parents[2]
COLORS = re.compile(r"\x1b\[[0-9;]*m")

SETUP = """
import sys, threading, time
import pandas as pd
import orchkit as ok
go, calls = threading.Event(), []
def names_of(frame):
    while frame is not None:
        yield frame.f_code.co_qualname
        frame = frame.f_back
def tell_when_waiting(within, holds):
    main = threading.main_thread().ident
    while not (holds() and [*names_of(sys._current_frames()[main])][0] == "Condition.wait"
               and within in names_of(sys._current_frames()[main])):
        time.sleep(0.01)
    print("waiting", flush=True)
def told_when_waiting(within, holds=lambda: True):
    threading.Thread(target=tell_when_waiting, args=[within, holds]).start()
def work(n):
    calls.append(n)
    go.wait(120)
    return n
engine = ok.Engine({path!r}, handlers=[work])
numbers = ok.workflow("numbers", [ok.task("work")])
answer = ok.workflow("answer", [ok.wait_for(callback="answer")])
cases = pd.DataFrame({{"case_id": range(60), "n": range(60)}})
"""


class Kernel:
    """A kernel and what a notebook does with it."""

    def __init__(self, stack: ExitStack) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env={**os.environ, "PYTHONPATH": str(ROOT)})
        stack.callback(self.manager.shutdown_kernel, now=True)
        self.client = self.manager.client()
        self.client.start_channels()
        stack.callback(self.client.stop_channels)
        self.client.wait_for_ready(60)

    def run(self, code: str, *, interrupted: bool = False) -> str:
        """Return the output of a cell, which may be interrupted once it says that it waits."""
        sent = self.client.execute(code)
        output = []
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != sent:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    output.append(content["text"])
                    if interrupted and content["text"].startswith("waiting"):
                        self.manager.interrupt_kernel()
                case "execute_result":
                    output.append(content["data"]["text/plain"])
                case "error":
                    output.append(f"{content['ename']}: {content['evalue']}")
                case "status" if content["execution_state"] == "idle":
                    return COLORS.sub("", "".join(output)).removeprefix("waiting\n")
        pytest.fail(f"The cell did not end: {code}")


def test_an_interrupted_kernel_loses_nothing_and_a_restarted_one_goes_on(tmp_path):
    setup = SETUP.format(path=str(tmp_path / "state.duckdb"))
    with ExitStack() as stack:
        kernel, second = Kernel(stack), Kernel(stack)
        kernel.run(setup)

        many = kernel.run(
            "told_when_waiting('Many._run_all', lambda: len(calls) == 20)\n"
            "engine.run_many(numbers, cases, concurrency=20, progress=False)",
            interrupted=True,
        )
        one = kernel.run("told_when_waiting('Engine.wait')\nengine.run(answer, case_id='A')", interrupted=True)
        assert many == (
            "KeyboardInterrupt: You stopped waiting; 20 of 60 cases have been started and go on: the same call takes "
            "up where it was."
        )
        assert one == (
            "KeyboardInterrupt: You stopped waiting; the run of case 'A' goes on: run.wait() waits again, run.cancel() "
            "ends it."
        )
        kernel.run("go.set()")
        kernel.run("outcomes = engine.run_many(numbers, cases, progress=False)")
        assert kernel.run("set(outcomes['status']), sorted(calls) == list(range(60))") == "({'COMPLETED'}, True)"
        assert kernel.run("[engine.find(answer, 'A')]") == "[<Run of answer, case A: WAITING>]"

        refused = second.run(setup)
        assert refused.startswith(f"StoreLocked: {tmp_path}/state.duckdb is in use by process ")
        assert "Close the engine there, or end that process" in refused
        again = kernel.run(setup)
        assert "already open in this process" in again

        kernel.manager.restart_kernel(now=True)
        kernel.client.wait_for_ready(60)
        kernel.run(setup)
        kernel.run("run = engine.find(answer, 'A'); run.complete('answer', 7)")
        assert kernel.run("run.wait('30 s').variables['answer'], len(engine.runs())") == "(7, 61)"
