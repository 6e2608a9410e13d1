"""The verb: all checks of a workflow in one report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchkit.checks.levels import Level, enclosing, levels_of, tasks_of
from orchkit.checks.readiness import readiness_issues
from orchkit.checks.readings import of_level
from orchkit.checks.references import reference_issues
from orchkit.checks.report import Issue, Report, Severity, counted
from orchkit.checks.rulebook import RULES, found
from orchkit.checks.soundness import BUDGET, Soundness, Verdict, soundness
from orchkit.checks.structure import structure_issues
from orchkit.checks.triggers import trigger_issues
from orchkit.checks.variables import variable_issues
from orchkit.errors import WorkflowError
from orchkit.executors.python import Handler, Handlers, Signature, handlers_by_name, signature_of
from orchkit.model.definition import Workflow, check_kind
from orchkit.model.nodes import Call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["check"]

_ORDER = {severity: place for place, severity in enumerate(Severity)}
# These say already, and better, why a graph is not sound.
_SHAPE = frozenset({"no_start", "unreachable"})


def check(workflow: Workflow, handlers: Handlers | None = None, *, budget: int = BUDGET) -> Report:
    """Return what is wrong with a workflow, the worst first; `rules` lists what is looked for.

    Parameters
    ----------
    workflow
        The workflow, finished or not.
    handlers
        As for an engine: a mapping, functions or a module. Then it is also checked that each Python task has one, and
        that the variables that their parameters name are set.
    budget
        For `soundness`.

    Returns
    -------
    Report
        False if there are errors. ``report.soundness`` has the verdict with its trace.

    Examples
    --------
    >>> from orchkit.model.patterns import choice, task, when, workflow
    >>> ship = task("ship", http={"url": "http://erp.local/ships", "json": {"id": "${oder.id}"}}, timeout="2s")
    >>> report = check(workflow("order", [choice(when("order.ready", ship))], inputs={"order": {"type": "object"}}))
    >>> bool(report), [issue.rule for issue in report.issues[:3]]
    (False, ['unknown_variable', 'missing_default', 'errors_handled'])
    >>> print(report.issues[0].message)
    settings.json.id reads 'oder', which nothing sets. Did you mean 'order'?
    """
    check_kind(workflow, "check")
    known = None if handlers is None else handlers_by_name(handlers)
    try:
        return _report(workflow, known, budget)
    except (AttributeError, TypeError, ValueError):
        return _of_odd_values(workflow, known, budget)


def _of_odd_values(workflow: Workflow, handlers: Mapping[str, Handler] | None, budget: int) -> Report:
    """Return the report of a workflow made with values that its types do not allow; files and builders refuse them."""
    try:
        again = Workflow.from_json(workflow.to_json())
    except WorkflowError as error:
        return Report(workflow.name, (found("bad_value", error.node or "", error.message),))
    return _report(again, handlers, budget)


def _report(workflow: Workflow, handlers: Mapping[str, Handler] | None, budget: int) -> Report:
    levels = levels_of(workflow)
    answer = soundness(workflow, budget=budget)
    issues = list(_issues(workflow, levels, handlers))
    shape = {issue.node for issue in issues if issue.rule in _SHAPE}
    if not answer and (answer.trace or answer.verdict is Verdict.UNDECIDED or not shape):
        issues.insert(0, _of_soundness(answer))
    waivers = _waivers(workflow, levels)
    return Report(workflow.name, _in_order(issues, waivers), answer)


def _issues(workflow: Workflow, levels: Sequence[Level], handlers: Mapping[str, Handler] | None) -> Iterator[Issue]:
    readings = [reading for level in levels for reading in of_level(level)]
    parameters = _parameters(levels, handlers)
    yield from structure_issues(levels, readings)
    yield from reference_issues(workflow, levels, handlers)
    yield from trigger_issues(workflow)
    yield from _called(workflow, levels, handlers)
    yield from variable_issues(workflow, levels, readings, parameters)
    yield from readiness_issues(workflow, levels, readings, parameters)


def _parameters(levels: Sequence[Level], handlers: Mapping[str, object] | None) -> dict[str, Signature | None]:
    """Return what the handler of each Python task that takes variables by name takes; None where it is not known."""
    found: dict[str, Signature | None] = {}
    for level in levels:
        for task, _ in tasks_of(level):
            if task.executor == "python" and "arguments" not in task.settings:
                handler = (handlers or {}).get(str(task.settings.get("handler", task.name)))
                found[task.name] = signature_of(handler) if callable(handler) else None
    return found


def _called(workflow: Workflow, levels: Sequence[Level], handlers: Mapping[str, Handler] | None) -> Iterator[Issue]:
    """Yield the definitions that come with a workflow, and have errors or are not called."""
    calls: dict[str, str] = {}
    for level in levels:
        for node in level.net.nodes:
            if isinstance(node, Call):
                calls.setdefault(node.workflow, node.name)
    names = {call for inner in workflow.workflows for level in levels_of(inner) for call in _calls_in(level)}
    for inner in workflow.workflows:
        if inner.name not in calls and inner.name not in names:
            yield found("unused_workflow", "", f"No call names the workflow {inner.name!r}.")
        errors = check(inner, handlers).errors
        if errors:
            message = f"{inner.name!r} has {counted(len(errors), 'error')}; the first: {errors[0]}"
            yield found("called_workflow", calls.get(inner.name, ""), message)


def _calls_in(level: Level) -> Iterator[str]:
    return (node.workflow for node in level.net.nodes if isinstance(node, Call))


def _of_soundness(answer: Soundness) -> Issue:
    if answer.verdict is Verdict.UNDECIDED:
        return found("undecided", answer.scope or "", answer.reason)
    way = f" Trace: {', '.join(answer.trace)}." if answer.trace else ""
    return found("unsound", answer.node or answer.scope or "", f"{answer.reason}{way}")


def _in_order(issues: Sequence[Issue], waivers: Mapping[str, Sequence[Mapping[str, str]]]) -> tuple[Issue, ...]:
    """Return issues with the reasons why they are waived: open ones first, the worst first."""
    rules = {rule: place for place, rule in enumerate(RULES)}
    judged = [replace(issue, waived=reason) if (reason := _reason(issue, waivers)) else issue for issue in issues]
    judged.sort(key=lambda issue: (bool(issue.waived), _ORDER[issue.severity], rules[issue.rule]))
    return tuple(judged)


def _reason(issue: Issue, waivers: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    for waive in waivers.get(issue.node, waivers[""]):
        if issue.rule in waive and str(waive[issue.rule] or "").strip():
            return str(waive[issue.rule]).strip()
    return ""


def _waivers(workflow: Workflow, levels: Sequence[Level]) -> dict[str, list[Mapping[str, str]]]:
    """Return for each node what waives rules for it: the node, what it undoes, the scopes around it, the workflow."""
    found: dict[str, list[Mapping[str, str]]] = {"": [workflow.waive]}
    for level in levels:
        around = [scope.waive for scope in enclosing(level)] + [workflow.waive]
        for node in level.net.nodes:
            found[node.name] = [node.waive, *around]
        for task, undone in tasks_of(level):
            if undone is not None:
                found[task.name] = [task.waive, undone.waive, *around]
    return found
