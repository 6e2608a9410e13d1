"""Concurrency limits: how many attempts at once, by role and by executor."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping

from orchkit.model.nodes import Task

__all__ = ["WHOLE", "Slots"]

WHOLE = "*"


class Slots:
    """Concurrency limits by role and by executor, and who queues for them."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.limits = dict(limits)
        self.used: dict[str, int] = defaultdict(int)
        self.queue: deque[tuple[str, str, tuple[str, ...]]] = deque()

    def keys(self, task: Task) -> tuple[str, ...]:
        """Return the limits that a task falls under."""
        named = (WHOLE, task.executor, task.role)
        return tuple(name for name in named if name is not None and name in self.limits)

    def take(self, keys: tuple[str, ...]) -> bool:
        """Take a slot of each limit, or of none where one is full."""
        if any(self.used[key] >= self.limits[key] for key in keys):
            return False
        for key in keys:
            self.used[key] += 1
        return True

    def release(self, keys: tuple[str, ...]) -> None:
        """Give the slots back."""
        for key in keys:
            self.used[key] -= 1
