"""Verbs that read an ``EventLog`` and return frames, whatever wrote the log."""

from orchkit.analysis.failure import failures
from orchkit.analysis.health import metrics

__all__ = ["failures", "metrics"]
