"""Verbs that read an ``EventLog`` and return frames, whatever wrote the log."""

from orchkit.analysis.aftermath import failure_outcomes
from orchkit.analysis.alignment import DeviationKind
from orchkit.analysis.comparison import compare
from orchkit.analysis.conformance import Conformance, conformance
from orchkit.analysis.control_flow import directly_follows, end_activities, rework, start_activities, variants
from orchkit.analysis.discovery import discover
from orchkit.analysis.distances import distances
from orchkit.analysis.explanation import explain
from orchkit.analysis.failure import failure_chains, failures, retries
from orchkit.analysis.filters import only, where, without
from orchkit.analysis.health import metrics
from orchkit.analysis.kpis import kpis
from orchkit.analysis.people import handovers, performers, workload
from orchkit.analysis.service_levels import sla, survival
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
    "failure_chains",
    "failure_outcomes",
    "failures",
    "handovers",
    "kpis",
    "metrics",
    "only",
    "performers",
    "retries",
    "rework",
    "sla",
    "start_activities",
    "survival",
    "throughput",
    "variants",
    "waiting_times",
    "where",
    "without",
    "workload",
]
