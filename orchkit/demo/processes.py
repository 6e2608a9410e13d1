"""The processes of the demo: the systems, and the engine's, which is killed and started again."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from orchkit.demo.progress import Progress
from orchkit.errors import OrchkitError

__all__ = ["Worker", "free_port", "running_systems"]

_CLOSE_LIMIT_S = 10.0


@contextmanager
def running_systems(books: Path, faults: str, seed: int) -> Iterator[str]:
    """Run the systems in a process of their own as long as the context lasts; it gives their address."""
    options = ["--db", str(books), "--faults", faults, "--seed", str(seed)]
    process = _start("sample_processes.systems", options)
    try:
        yield _first_line(process)
    finally:
        _end(process)


class Worker:
    """A process of the engine. Iteration gives its progress as it comes, until it has ended.

    Parameters
    ----------
    arguments
        For `orchkit.demo.worker`.
    limit_s
        After which it is killed, lest a fault of ours hangs the demo.
    """

    def __init__(self, arguments: Sequence[str], limit_s: float) -> None:
        self._process = _start("orchkit.demo.worker", arguments)
        self._watchdog = threading.Timer(limit_s, self._process.kill)
        self._watchdog.start()

    def __iter__(self) -> Iterator[Progress]:
        assert self._process.stdout is not None  # noqa: S101 -- it is a pipe
        for line in self._process.stdout:
            yield Progress.from_line(line)

    def kill(self) -> None:
        """Send SIGKILL: nothing can be tidied up, nothing more be written."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for the end; return the exit code, or the negative number of the signal that ended it."""
        code = self._process.wait()
        self._watchdog.cancel()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._watchdog.cancel()
        _end(self._process)


def free_port() -> int:
    """Return a port that nobody has, from below those that the system gives to outgoing connections.

    The engine's process is dead for a while: its port must not be taken meanwhile.
    """
    ports = list(range(20_000, 30_000))
    random.shuffle(ports)
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    message = "No port between 20000 and 30000 is free on 127.0.0.1."
    raise OrchkitError(message)


def _start(module: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- our own


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101 -- it is a pipe
    line = process.stdout.readline().strip()
    if not line:
        message = f"The systems did not start: exit code {process.wait()}. What they wrote stands above."
        raise OrchkitError(message)
    return line


def _end(process: subprocess.Popen[str]) -> None:
    """End a process that was started here, and wait for it."""
    process.terminate()
    try:
        process.wait(_CLOSE_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
