"""Durations in the model: as in `orchkit.units`, with errors of the definition's kind."""

from __future__ import annotations

from orchkit.errors import WorkflowError
from orchkit.units import Duration, seconds

__all__ = ["duration_s"]


def duration_s(duration: Duration, where: str) -> float:
    """Return a duration in seconds.

    Raises
    ------
    WorkflowError
        Not a duration; the message begins with ``where``.

    Examples
    --------
    >>> duration_s("5 min", "sla")
    300.0
    """
    try:
        return seconds(duration)
    except ValueError as error:
        message = f"{where}: {error}"
        raise WorkflowError(message) from None
