"""Patience for Python's garbage collector while engines are open.

The collector looks at objects after every 700 that are made more than freed. What a thousand runs keep until their
next commit is many times that, and hardly ever garbage of the cyclic kind: by default a third of an engine's time is
spent looking at it.
"""

from __future__ import annotations

import gc
import threading

__all__ = ["hurry", "wait_longer"]

_THRESHOLD = 10_000

_guard = threading.Lock()
_engines = 0
_before: tuple[int, int, int] | None = None


def wait_longer() -> None:
    """Let the collector wait for 10,000 objects, as long as an engine is open; it stays off where it is."""
    global _engines, _before  # noqa: PLW0603 -- the collector is the process's
    with _guard:
        _engines += 1
        found = gc.get_threshold()
        if _engines == 1 and 0 < found[0] < _THRESHOLD:
            _before = found
            gc.set_threshold(_THRESHOLD, *found[1:])


def hurry() -> None:
    """Undo `wait_longer`, when the last engine is closed."""
    global _engines, _before  # noqa: PLW0603 -- as above
    with _guard:
        _engines -= 1
        if _engines == 0 and _before is not None:
            gc.set_threshold(*_before)
            _before = None
