"""`Modeler`: a workflow, made and changed by mouse, by keyboard, as YAML or as Python."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchkit.checks import Severity, check
from orchkit.errors import RenderError, WorkflowError, WorkflowFileError
from orchkit.model import editing as edit
from orchkit.model import read_workflow, write_workflow
from orchkit.model.definition import Workflow
from orchkit.model.nodes import Activity, Flow, Node, Scope, kind_of
from orchkit.model.python_text import write_python
from orchkit.view.diagram import Diagram, draw
from orchkit.view.widgets.base import Widget, action
from orchkit.view.widgets.properties import fields_of, flow_fields, flow_value_of, value_of

__all__ = ["Modeler"]

_MOST_UNDO = 200
_SIGNS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.INFO: "i"}


class Modeler(Widget, module="modeler"):
    """Model a workflow interactively: patterns from a palette, properties in a form, checks as one goes.

    The drawing, the YAML and the Python are always the same workflow, and each can be edited. ``modeler.workflow`` is
    that workflow, a frozen value, at any time.

    Parameters
    ----------
    workflow
        Where to begin; without one, a start and an end.

    Examples
    --------
    >>> modeler = Modeler()
    >>> modeler.act("add", pattern="task")
    >>> modeler.act("change", name="name", value="ship")
    >>> [node.name for node in modeler.workflow.nodes]
    ['start', 'ship', 'end']
    >>> modeler.act("undo"); modeler.act("undo")
    >>> [node.name for node in modeler.workflow.nodes]
    ['start', 'end']
    """

    def __init__(self, workflow: Workflow | None = None) -> None:
        super().__init__()
        self._now = edit.blank() if workflow is None else workflow
        self._before: list[Workflow] = []
        self._after: list[Workflow] = []
        self._node: str | None = None
        self._flow: tuple[str, str] | None = None
        self._texts: dict[str, str] = {}  # what is being written and cannot be read yet, by language
        self._faults: dict[str, dict[str, Any]] = {}
        self._told: tuple[Workflow, dict[str, Any]] | None = None
        self._show()

    @property
    def workflow(self) -> Workflow:
        """The workflow as it is now."""
        return self._now

    def picture(self) -> Diagram:
        """Return the drawing of the workflow."""
        return draw(self._now)

    # What the page asks for ----------------------------------------------------

    @action
    def select(self, node: str | None = None, source: str | None = None, target: str | None = None) -> None:
        """Select a node, a flow, or nothing."""
        self._node, self._flow = None, None
        if node is not None:
            self._node = self._now.node(node).name
        elif source is not None and target is not None:
            self._flow = (source, target)
            self._chosen_flow()
        self._show()

    @action
    def add(self, pattern: str, node: str | None = None, source: str | None = None, target: str | None = None) -> None:
        """Insert a pattern: on a flow, after a node or at the selection, else at the end."""
        if node is None and source is None:
            node, (source, target) = self._node, self._flow or (None, None)
        after, before = (source, target) if source is not None else (node, None)
        known = set(edit.node_names(self._now))
        self._put(edit.insert(self._now, pattern, after=after, before=before))
        made = [name for name in edit.node_names(self._now) if name not in known]
        self.select(made[0])

    @action
    def connect(self, source: str, target: str) -> None:
        """Add a flow between two nodes."""
        self._put(edit.connect(self._now, source, target))
        self.select(source=source, target=target)

    @action
    def change(self, name: str, value: str) -> None:
        """Set a property of what is selected, given as text; ``name`` renames a node."""
        if self._flow is not None:
            flow = self._chosen_flow()
            self._put(edit.change_flow(self._now, *self._flow, **flow_value_of(flow, name, value)))
        elif self._node is None:
            self._put(_renamed(self._now, name, value))
        elif name == "name":
            self._put(edit.rename(self._now, self._node, value.strip()))
            self._node = value.strip()
        else:
            node = self._now.node(self._node)
            self._put(edit.change(self._now, self._node, **value_of(node, name, value)))
        self._show()

    @action
    def delete(self) -> None:
        """Delete what is selected."""
        if self._flow is not None:
            self._put(edit.disconnect(self._now, *self._flow))
        elif self._node is not None:
            self._put(edit.remove(self._now, self._node))
        self._node, self._flow = None, None
        self._show()

    @action
    def undo(self) -> None:
        """Undo the last change."""
        if self._before:
            self._after.append(self._now)
            self._go(self._before.pop())

    @action
    def redo(self) -> None:
        """Redo what was undone last."""
        if self._after:
            self._before.append(self._now)
            self._go(self._after.pop())

    @action
    def write_yaml(self, text: str) -> None:
        """Replace the workflow by YAML; if it is faulty, the workflow stays, and the fault is shown at its line."""
        self._write("yaml", text, read_workflow)

    @action
    def write_python(self, text: str) -> None:
        """Replace the workflow by the last one that Python code makes; faults are shown as by `write_yaml`."""
        self._write("python", text, _built)

    # Inside ----------------------------------------------------------------------

    def _write(self, language: str, text: str, read: Callable[[str], Workflow]) -> None:
        try:
            workflow = read(text)
        except Exception as error:  # noqa: BLE001 -- Python of the user may raise anything; it is shown at its line
            self._texts[language] = text
            self._faults[language] = {"message": str(error), "line": _line_of(error)}
        else:
            self._put(workflow)
        self._show()

    def _put(self, workflow: Workflow) -> None:
        self._texts, self._faults = {}, {}
        if workflow != self._now:
            self._before = [*self._before[-_MOST_UNDO:], self._now]
            self._after = []
            self._now = workflow

    def _go(self, workflow: Workflow) -> None:
        self._texts, self._faults, self._now = {}, {}, workflow
        self._show()

    def _chosen_flow(self) -> Flow:
        flow = _flow(self._now.nodes, self._now.flows, *(self._flow or ("", "")))
        if flow is None:
            self._flow = None
            message = "That flow is not there."
            raise WorkflowError(message)
        return flow

    def _show(self) -> None:
        names = edit.node_names(self._now)
        if self._node not in names:
            self._node = None
        if self._flow is not None and _flow(self._now.nodes, self._now.flows, *self._flow) is None:
            self._flow = None
        if self._told is None or self._told[0] is not self._now:  # to choose a node writes and checks nothing again
            self._told = (self._now, self._of_workflow())
        yaml, python = self._told[1]["yaml"], self._told[1]["python"]
        self.state = {
            **self._told[1],
            "node": self._node,
            "flow": None if self._flow is None else list(self._flow),
            "kind": self._kind(),
            "fields": self._fields(),
            "can_undo": bool(self._before),
            "can_redo": bool(self._after),
            "yaml": self._texts.get("yaml", yaml),
            "python": self._texts.get("python", python),
            "faults": dict(self._faults),
        }

    def _of_workflow(self) -> dict[str, Any]:
        """Return what is shown of the workflow, whatever is chosen."""
        issues = sorted(check(self._now).issues, key=lambda issue: list(_SIGNS).index(issue.severity))
        try:
            svg, fault = draw(self._now).to_svg(), ""
        except RenderError as error:
            svg, fault = "", str(error)
        return {
            "name": self._now.name,
            "svg": svg,
            "fault": fault,
            "flows": [[flow.source, flow.target] for flow in _flows(self._now.nodes, self._now.flows)],
            "palette": list(edit.PATTERNS),
            "variables": _variables(self._now),
            "issues": [
                {
                    "rule": issue.rule,
                    "severity": issue.severity.value,
                    "sign": _SIGNS[issue.severity],
                    "node": issue.node,
                    "text": f"{issue.message} {issue.hint}".strip(),
                }
                for issue in issues
                if not issue.waived
            ],
            "yaml": write_workflow(self._now),
            "python": write_python(self._now),
        }

    def _kind(self) -> str:
        if self._flow is not None:
            return "flow"
        return "workflow" if self._node is None else kind_of(self._now.node(self._node))

    def _fields(self) -> list[dict[str, Any]]:
        if self._flow is not None:
            return flow_fields(self._chosen_flow())
        if self._node is not None:
            return fields_of(self._now.node(self._node))
        told = {"name": self._now.name, "version": self._now.version, "description": self._now.description}
        return [
            {"name": name, "label": name, "kind": "text", "value": value, "choices": [], "hint": ""}
            for name, value in told.items()
        ]


def _renamed(workflow: Workflow, name: str, value: str) -> Workflow:
    if name not in ("name", "version", "description"):
        message = f"A workflow has no property {name!r} here."
        raise WorkflowError(message)
    values: dict[str, Any] = {name: value.strip()}
    return replace(workflow, **values)


def _flows(nodes: tuple[Node, ...], flows: tuple[Flow, ...]) -> list[Flow]:
    """Return all flows, those in scopes too."""
    found = list(flows)
    for node in nodes:
        if isinstance(node, Scope):
            found += _flows(node.nodes, node.flows)
    return found


def _flow(nodes: tuple[Node, ...], flows: tuple[Flow, ...], source: str, target: str) -> Flow | None:
    return next((flow for flow in _flows(nodes, flows) if (flow.source, flow.target) == (source, target)), None)


def _variables(workflow: Workflow) -> list[str]:
    """Return the names that a condition may use: inputs, and what nodes set."""
    found = list(workflow.inputs)
    for name in edit.node_names(workflow):
        node = workflow.node(name)
        if isinstance(node, Activity):
            found.append(node.output_name)
        if item := getattr(node, "item", None):
            found.append(item)
    return list(dict.fromkeys(found))


def _built(text: str) -> Workflow:
    """Return the last workflow that Python makes; it runs in the kernel, like a cell."""
    names: dict[str, Any] = {"__name__": "__modeler__"}
    exec(compile(ast.parse(text, "<modeler>"), "<modeler>", "exec"), names)  # noqa: S102 -- the user's own code
    found = [value for value in names.values() if isinstance(value, Workflow)]
    if not found:
        message = 'This makes no workflow: assign one, such as order = ok.workflow("order", [...]).'
        raise ValueError(message)
    return found[-1]


def _line_of(error: BaseException) -> int | None:
    if isinstance(error, WorkflowFileError):
        return error.line
    if isinstance(error, SyntaxError):
        return error.lineno
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<modeler>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
