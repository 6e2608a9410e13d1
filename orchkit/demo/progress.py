"""What the engine's process says about its progress, a line at a time."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

__all__ = ["Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many runs have been started, and how many of them have ended.

    Examples
    --------
    >>> Progress.from_line('{"started": 250, "ended": 160}').under_way
    90
    """

    started: int
    ended: int

    @property
    def under_way(self) -> int:
        """Runs that have been started and have not ended."""
        return self.started - self.ended

    @classmethod
    def from_line(cls, line: str) -> Progress:
        """Return what a line says."""
        return cls(**json.loads(line))

    def to_line(self) -> str:
        """Return the line that says this."""
        return json.dumps(asdict(self))
