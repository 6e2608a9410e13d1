"""Verbs that read an ``EventLog`` and return frames, whatever wrote the log."""

from orchkit.analysis.alignment import Conformance, DeviationKind, conformance
from orchkit.analysis.comparison import compare
from orchkit.analysis.control_flow import directly_follows, end_activities, rework, start_activities, variants
from orchkit.analysis.discovery import discover
from orchkit.analysis.distances import distances
from orchkit.analysis.explanation import explain
from orchkit.analysis.failure import failures
from orchkit.analysis.filters import where
from orchkit.analysis.health import metrics
from orchkit.analysis.kpis import kpis
from orchkit.analysis.times import bottlenecks, cycle_times, dotted_chart, throughput, waiting_times

__all__ = [
    "Conformance",
    "DeviationKind",
    "bottlenecks",
    "compare",
    "conformance",
    "cycle_times",
    "directly_follows",
    "discover",
    "distances",
    "dotted_chart",
    "end_activities",
    "explain",
    "failures",
    "kpis",
    "metrics",
    "rework",
    "start_activities",
    "throughput",
    "variants",
    "waiting_times",
    "where",
]
