"""Data rules: what expressions read is set before, and what is set is read."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchkit.checks.dataflow import ERROR, DataFlow, data_flow
from orchkit.checks.levels import Level, concurrent, enclosing
from orchkit.checks.readings import SETTINGS_NAMES, Moment, Reading
from orchkit.checks.rulebook import found
from orchkit.errors import nearest
from orchkit.executors.python import Signature
from orchkit.model.expressions import FUNCTIONS
from orchkit.model.nodes import Activity, ForEach, Scope, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchkit.checks.report import Issue
    from orchkit.model.definition import Workflow

__all__ = ["Parameters", "variable_issues"]

# What handlers of Python tasks take beside variables.
_GIVEN = frozenset({"idempotency_key", "attempt", "case_id", "run_id", "heartbeat"})
_WORDS = frozenset({"true", "false", "null", *FUNCTIONS, *keyword.kwlist})
# Looking for the nearest name takes time: enough is enough.
_HINTS = 30

# What the handler of each Python task takes; None where that is not known.
Parameters = Mapping[str, Signature | None]


class _Reader:
    """Asks of each name that is read whether it is set."""

    def __init__(self, workflow: Workflow, levels: Sequence[Level]) -> None:
        self.workflow = workflow
        self.flow = data_flow(levels, workflow.inputs)
        self.hints = 0
        self.undeclared: set[str] = set()

    def issue(self, level: Level, number: int, node: str, place: str, name: str, moment: Moment) -> Issue | None:
        """Return what is wrong with the reading of a name, if anything is."""
        flow = self.flow
        bit = flow.bits.get(name, 0)
        if flow.surely(level, number, moment) & bit:
            return None
        setters = " or ".join(repr(at.net.nodes[to].name) for at, to in flow.setters.get(name, ())[:3])
        if flow.maybe(level, number, moment) & bit or (bit and flow.set_beside(level, number, bit)):
            by = "an error path" if name == ERROR and not setters else setters
            message = f"{place} reads {name!r}, which {by} sets, but not on every way that leads here."
            return found("unset_variable", node, message)
        if name in SETTINGS_NAMES and not setters:
            message = f"{place} reads {name!r}, which only the settings of tasks can see."
            return found("unknown_variable", node, message, "Pass it through a task's result.")
        if setters or name == ERROR:
            return found("unknown_variable", node, f"{place} reads {name!r}: {self.why_not(name, level, setters)}")
        if not self.workflow.inputs:
            return self.undeclared_input(name, node, place)
        return found("unknown_variable", node, f"{place} reads {name!r}, which nothing sets.{self.nearest(name)}")

    def why_not(self, name: str, level: Level, setters: str) -> str:
        around = {id(scope) for scope in enclosing(level)}
        for at, _ in self.flow.setters.get(name, ()):
            loop = next((scope for scope in enclosing(at) if isinstance(scope, ForEach)), None)
            if loop is not None and id(loop) not in around:
                return f"each pass of {loop.name!r} keeps it for itself; {loop.output_name!r} has the list of all."
        return f"{setters} sets it, but not before." if setters else "no error has happened on any way that leads here."

    def undeclared_input(self, name: str, node: str, place: str) -> Issue | None:
        if name in self.undeclared:
            return None
        self.undeclared.add(name)
        message = (
            f"{place} reads {name!r}, which no node sets, and the workflow declares no inputs.{self.nearest(name)}"
        )
        return found("undeclared_input", node, message)

    def nearest(self, name: str) -> str:
        self.hints += 1
        return nearest(name, self.flow.bits) if self.hints <= _HINTS else ""


def variable_issues(
    workflow: Workflow,
    levels: Sequence[Level],
    readings: Sequence[Reading],
    parameters: Parameters,
) -> Iterator[Issue]:
    """Yield what is wrong with the variables of a workflow.

    Parameters
    ----------
    workflow, levels, readings
        The workflow, its graphs and its expressions.
    parameters
        What the handler of each Python task that takes variables by name takes; None where it is not known.
    """
    reader = _Reader(workflow, levels)
    seen: set[tuple[str, str]] = set()
    for level, number, node, place, name, moment in _names(levels, readings, parameters):
        if (node, name) in seen:
            continue
        seen.add((node, name))
        issue = reader.issue(level, number, node, place, name, moment)
        if issue is not None:
            yield issue
    yield from _names_of_variables(workflow, levels)
    yield from _races(reader.flow)
    yield from _unread(levels, readings, parameters)


def _names(
    levels: Sequence[Level],
    readings: Sequence[Reading],
    parameters: Parameters,
) -> Iterator[tuple[Level, int, str, str, str, Moment]]:
    for reading in readings:
        for expression in reading.expressions:
            for name in expression.names:
                if name not in reading.extra:
                    yield reading.level, reading.number, reading.node, reading.place, name, reading.moment
    for level in levels:
        for number, node in enumerate(level.net.nodes):
            undo = node.compensate if isinstance(node, Activity) else None
            for task, moment in ((node, Moment.BEFORE), (undo, Moment.UNDO)):
                wanted = parameters.get(task.name) if isinstance(task, Task) else None
                if isinstance(task, Task) and wanted is not None:
                    for name in wanted.required:
                        if name not in _GIVEN:
                            yield level, number, task.name, "Its handler", name, moment


def _names_of_variables(workflow: Workflow, levels: Sequence[Level]) -> Iterator[Issue]:
    named = [("", name, "input") for name in workflow.inputs]
    for level in levels:
        for node in level.net.nodes:
            if isinstance(node, Activity) and node.output:
                named.append((node.name, node.output, "output"))
            if isinstance(node, ForEach):
                named.append((node.name, node.item, "item"))
    for node_name, name, what in named:
        if name in _WORDS:
            yield found("variable_name", node_name, f"The {what} {name!r} is a word of the expression language.")
        elif not name.isidentifier():
            yield found("variable_name", node_name, f"No expression can read the {what} {name!r}.")
        elif name in SETTINGS_NAMES:
            yield found("variable_name", node_name, f"The {what} {name!r} hides the {name} that settings see.")
        elif name == ERROR:
            yield found("variable_name", node_name, f"The {what} {name!r} is overwritten when an error path is taken.")


def _races(flow: DataFlow) -> Iterator[Issue]:
    for name, setters in flow.setters.items():
        for place, (level, number) in enumerate(setters):
            for other_level, other in setters[:place]:
                if level is other_level and concurrent(level, number, other):
                    first, second = level.net.nodes[other].name, level.net.nodes[number].name
                    yield found("racing_output", second, f"It sets {name!r}, and so does {first!r} at the same time.")
                    break


def _unread(
    levels: Sequence[Level],
    readings: Sequence[Reading],
    parameters: Parameters,
) -> Iterator[Issue]:
    """Yield the outputs that were given a name and are not read; what comes last is the run's result."""
    if any(wanted is None or wanted.takes_all for wanted in parameters.values()):
        return  # a handler takes variables by the names of its parameters, whatever they are
    read = {name for reading in readings for expression in reading.expressions for name in expression.names}
    for wanted in parameters.values():
        if wanted is not None:
            read.update(wanted.required, wanted.optional)
    for level in levels:
        if level.scope is not None and any(isinstance(scope, ForEach) for scope in enclosing(level)):
            continue  # what a pass sets is in the loop's list
        before = _before_others(level)
        for number, node in enumerate(level.net.nodes):
            output = node.output if isinstance(node, Activity) and not isinstance(node, Scope) else None
            if output and output not in read and number in before:
                yield found("unused_output", node.name, f"Nothing reads its result {output!r}.")


def _before_others(level: Level) -> set[int]:
    """Return the nodes that some activity comes after."""
    net = level.net
    seen: set[int] = set()
    stack = [number for number, node in enumerate(net.nodes) if isinstance(node, Activity)]
    while stack:
        for flow in net.incoming[stack.pop()]:
            source = net.source[flow]
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return seen
