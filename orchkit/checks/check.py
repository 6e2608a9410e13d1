"""The verb: all checks of a workflow in one report."""

from __future__ import annotations

from orchkit.checks.report import Issue, Report, Severity
from orchkit.checks.soundness import Verdict, soundness
from orchkit.model.definition import Workflow

__all__ = ["check"]


def check(workflow: Workflow) -> Report:
    """Return what is wrong with a workflow, the worst first.

    Examples
    --------
    >>> from orchkit.model.patterns import task, workflow
    >>> bool(check(workflow("hello", [task("greet")])))
    True
    """
    answer = soundness(workflow)
    if answer:
        return Report(workflow.name)
    severity = Severity.ERROR if answer.verdict is Verdict.UNSOUND else Severity.WARNING
    return Report(workflow.name, (Issue("soundness", severity, answer.node or "", str(answer)),))
