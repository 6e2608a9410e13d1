"""A bar for long work."""

from __future__ import annotations

from tqdm.auto import tqdm

__all__ = ["Bar"]


class Bar(tqdm):  # type: ignore[type-arg]
    """tqdm's bar without its watching thread, which would stay behind when the work is done or interrupted."""

    monitor_interval = 0
