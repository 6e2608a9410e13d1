"""Feed: the history as it grows."""

from __future__ import annotations

from orchkit.engine import Engine

__all__ = ["Feed"]


class Feed:
    """The history as it grows.

    Parameters
    ----------
    engine
        Whose history it is.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        """End all streams."""
