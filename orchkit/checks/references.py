"""Structure rules about what nodes name and set: alerts, executors, workflows, inputs, limits of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchkit.checks.levels import Level, enclosing, tasks_of
from orchkit.checks.rulebook import RULES, found
from orchkit.errors import nearest
from orchkit.executors import standard_executors
from orchkit.model.nodes import Activity, Call, ForEach, Saga, Task
from orchkit.units import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchkit.checks.report import Issue
    from orchkit.executors.base import TaskExecutor
    from orchkit.model.definition import Workflow

__all__ = ["reference_issues"]


def reference_issues(
    workflow: Workflow, levels: Sequence[Level], handlers: Mapping[str, Any] | None
) -> Iterator[Issue]:
    """Yield what is named and is not there, and limits that do not fit; handlers are looked for if there are any."""
    yield from _of_workflow(workflow)
    executors = standard_executors(handlers)
    alerts = [alert.name for alert in workflow.alerts]
    for level in levels:
        for task, undone in tasks_of(level):
            yield from _of_executor(task, executors, has_handlers=handlers is not None)
            yield from _limits(task)
            if undone is not None:
                yield from _alert(task, alerts)
        for node in level.net.nodes:
            if isinstance(node, Activity):
                yield from _alert(node, alerts)
                yield from _around(level, node, workflow)
                yield from _compensation(level, node)
            if isinstance(node, Call):
                yield from _of_call(workflow, node)
            if isinstance(node, ForEach):
                yield from _of_loop(node)
            yield from _waivers(node.name, node.waive)
        for task, undone in tasks_of(level):
            if undone is not None:
                yield from _waivers(task.name, task.waive)


def _of_workflow(workflow: Workflow) -> Iterator[Issue]:
    for name, many in Counter(alert.name for alert in workflow.alerts).items():
        if many > 1:
            yield found("duplicate_alert", "", f"{many} alerts are called {name!r}.")
    for name, schema in workflow.inputs.items():
        import jsonschema  # noqa: PLC0415 -- a second, for its checkers of formats build grammars

        try:
            jsonschema.Draft202012Validator.check_schema(schema if isinstance(schema, bool) else dict(schema or {}))
        except jsonschema.SchemaError as error:
            yield found("bad_schema", "", f"The schema of the input {name!r} is not JSON Schema: {error.message}")
        except (TypeError, ValueError):
            yield found(
                "bad_schema", "", f"The schema of the input {name!r} must be a mapping, not {type(schema).__name__}."
            )
    yield from _waivers("", workflow.waive)


def _waivers(node: str, waive: Mapping[str, str]) -> Iterator[Issue]:
    for rule, reason in (waive or {}).items():
        if rule not in RULES:
            yield found("waiver", node, f"There is no rule {rule!r} to waive.{nearest(str(rule), RULES)}")
        elif not str(reason or "").strip():
            yield found("waiver", node, f"The rule {rule!r} is waived without a reason, so it counts.")


def _alert(node: Activity, alerts: Sequence[str]) -> Iterator[Issue]:
    if node.alert is not None and node.alert not in alerts:
        yield found(
            "unknown_alert", node.name, f"The workflow has no alert {node.alert!r}.{nearest(node.alert, alerts)}"
        )


# Tasks ---------------------------------------------------------------------------


def _of_executor(task: Task, executors: Mapping[str, TaskExecutor], *, has_handlers: bool) -> Iterator[Issue]:
    executor = executors.get(task.executor)
    if executor is None:
        known = nearest(task.executor, executors) or f" It brings {', '.join(sorted(executors))}."
        yield found("unknown_executor", task.name, f"orchkit has no executor {task.executor!r}.{known}")
    elif task.executor == "python":
        for name in sorted({str(name) for name in task.settings} - {"handler", "arguments"}):
            hint = nearest(name, ["handler", "arguments"])
            yield found("bad_setting", task.name, f"A Python task has no setting {name!r}.{hint}")
        if not isinstance(task.settings.get("arguments", {}), Mapping):
            yield found("bad_setting", task.name, "arguments must be a mapping of parameters to values.")
        problem = executor.problem_with(task) if has_handlers else None
        if problem is not None:
            yield found("unknown_handler", task.name, str(problem))
    else:
        problem = executor.problem_with(task)
        if problem is not None:
            yield found("bad_setting", task.name, str(problem))
        elif task.executor == "http" and not str(task.settings["url"]).startswith(("http://", "https://", "${")):
            url = task.settings["url"]
            message = f"The url {url!r} begins with neither an address nor ${{systems.…}}."
            yield found("bad_setting", task.name, message, "Write ${systems.name}/path.")


def _limits(task: Task) -> Iterator[Issue]:
    timeout_s, deadline_s, heartbeat_s = task.timeout_s, task.deadline_s, task.heartbeat_s
    if timeout_s is not None and deadline_s is not None and timeout_s > deadline_s:
        yield _longer(task, f"timeout ({timeout_s:g} s)", f"deadline ({deadline_s:g} s)")
    if heartbeat_s is not None and timeout_s is not None and heartbeat_s > timeout_s:
        yield _longer(task, f"heartbeat ({heartbeat_s:g} s)", f"timeout ({timeout_s:g} s)")
    if set(task.retry_on) & set(task.fail_on):
        both = ", ".join(sorted(set(task.retry_on) & set(task.fail_on)))
        yield found(
            "bad_setting",
            task.name,
            f"{both} stands in retry_on and in fail_on; fail_on counts.",
            "Take it out of one.",
        )


def _longer(node: Activity, one: str, other: str) -> Issue:
    return found("time_limits", node.name, f"Its {one} is longer than its {other}.")


def _around(level: Level, node: Activity, workflow: Workflow) -> Iterator[Issue]:
    """Yield a limit of a node that what is around it cuts short, and a timeout path without a timeout."""
    deadline_s = node.deadline_s if isinstance(node, Task) else None
    limit_s = deadline_s if deadline_s is not None else node.timeout_s
    if limit_s is None:
        if level.net.on_timeout[level.net.index[node.name]] and not (
            isinstance(node, Task) and node.executor == "http"
        ):
            yield found("timeout_path", node.name, "It has a path for its timeout, but no timeout.")
        return
    scope = next((scope for scope in enclosing(level) if scope.timeout_s is not None), None)
    if scope is not None and scope.timeout_s is not None and limit_s > scope.timeout_s:
        message = f"It may take {limit_s:g} s, but {scope.name!r} around it times out after {scope.timeout_s:g} s."
        yield found("time_limits", node.name, message)
    elif workflow.sla is not None and limit_s > seconds(workflow.sla):
        message = f"It may take {limit_s:g} s, but the sla of the whole is {seconds(workflow.sla):g} s."
        yield found("time_limits", node.name, message)


def _compensation(level: Level, node: Activity) -> Iterator[Issue]:
    if isinstance(node.compensate, Task) and not any(isinstance(scope, Saga) for scope in enclosing(level)):
        yield found("idle_compensation", node.name, f"{node.compensate.name!r} undoes it, but only sagas compensate.")


def _of_loop(node: ForEach) -> Iterator[Issue]:
    tolerated = node.tolerated_failures
    if isinstance(tolerated, str):
        try:
            float(tolerated.strip().removesuffix("%"))
        except ValueError:
            message = f"tolerated_failures is {tolerated!r}, not a count or a share such as '10%'."
            yield found("bad_setting", node.name, message, "Write a count, or a share such as '10%'.")


# Calls ---------------------------------------------------------------------------


def _of_call(workflow: Workflow, node: Call) -> Iterator[Issue]:
    called = workflow.called(node.workflow)
    if called is None:
        hint = nearest(node.workflow, [known.name for known in workflow.workflows])
        yield found("unknown_workflow", node.name, f"There is no definition of {node.workflow!r}.{hint}")
        return
    if not called.inputs:
        return
    given = node.inputs or {}
    for name in given:
        if name not in called.inputs:
            message = f"{called.name!r} has no input {name!r}.{nearest(str(name), called.inputs)}"
            yield found("call_inputs", node.name, message)
    for name, schema in called.inputs.items():
        if name not in given and not (isinstance(schema, Mapping) and "default" in schema):
            yield found("call_inputs", node.name, f"{called.name!r} requires the input {name!r}.")
