"""Checks: whether a workflow is well formed, sound, and ready to run."""

from orchkit.checks.check import check
from orchkit.checks.report import Issue, Report, Severity
from orchkit.checks.rulebook import rules
from orchkit.checks.soundness import Soundness, soundness

__all__ = ["Issue", "Report", "Severity", "Soundness", "check", "rules", "soundness"]
