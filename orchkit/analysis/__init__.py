"""Verbs that read an ``EventLog`` and return frames, whatever wrote the log."""

from orchkit.analysis.comparison import compare
from orchkit.analysis.discovery import discover
from orchkit.analysis.distances import distances
from orchkit.analysis.failure import failures
from orchkit.analysis.health import metrics
from orchkit.analysis.kpis import kpis

__all__ = ["compare", "discover", "distances", "failures", "kpis", "metrics"]
