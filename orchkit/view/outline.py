"""A workflow as text: one line a node, branches indented, for terminals and screen readers."""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from orchkit.model.nodes import Activity, End, FlowKind, Gateway, GatewayKind, Scope, Start, Task
from orchkit.view.scene import standing_of
from orchkit.view.text import clean, shorten
from orchkit.view.theme import look_of
from orchkit.view.words import is_generated, what

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from orchkit.model.definition import Workflow
    from orchkit.model.nodes import Flow, Node
    from orchkit.view.scene import Statuses

    _Says = tuple[Statuses, Mapping[str, str]]  # of nodes: what a run says, what a log says

__all__ = ["outline"]

_MAX_LINES, _MAX_DEPTH, _MAX_TEXT = 200, 30, 60


def outline(workflow: Workflow, statuses: Statuses, figures: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the workflow as an indented text, at most 200 lines; ``figures`` are words about nodes, by name.

    Examples
    --------
    >>> from orchkit.model.definition import Workflow
    >>> from orchkit.model.nodes import Flow
    >>> order = Workflow("order", nodes=(Task(name="pay"), Task(name="ship")), flows=(Flow("pay", "ship"),))
    >>> print(outline(order, {"pay": "COMPLETED"}))
    order, version 1
      pay: python task [✓ completed]
      ship: python task
    """
    title = f"{clean(shorten(workflow.name))}, version {clean(workflow.version)}"
    lines = list(islice(_graph(workflow.nodes, workflow.flows, (statuses, figures), 1), _MAX_LINES))
    more = ["  … and more"] if len(lines) == _MAX_LINES else []
    return "\n".join([title, *lines, *more])


def _graph(
    nodes: Sequence[Node],
    flows: Sequence[Flow],
    says: _Says,
    depth: int,
) -> Iterator[str]:
    """Yield the lines of a graph: from its starts on, then what cannot be reached from them."""
    entered = {flow.target for flow in flows}
    heads = [node.name for node in nodes if isinstance(node, Start)]
    heads += [node.name for node in nodes if node.name not in entered]
    writer = _Writer(nodes, flows, says)
    for name in (*heads, *(node.name for node in nodes)):
        if name not in writer.seen:
            yield from writer.path(name, frozenset(), depth)


class _Writer:
    """Writes one graph; knows which nodes have their line."""

    def __init__(self, nodes: Sequence[Node], flows: Sequence[Flow], says: _Says) -> None:
        self.seen: set[str] = set()
        self._nodes = {node.name: node for node in nodes}
        self._says = says
        self._leaving: dict[str, list[Flow]] = {name: [] for name in self._nodes}
        for flow in flows:
            self._leaving[flow.source].append(flow)

    def path(self, name: str, stops: frozenset[str], depth: int) -> Iterator[str]:
        """Yield the lines from a node on, up to where this path meets another one."""
        here: str | None = name
        while here is not None and here not in stops:
            if here in self.seen or depth > _MAX_DEPTH:
                yield _indent(depth, f"→ {self._arrow(here)}")
                return
            self.seen.add(here)
            yield from self._node(self._nodes[here], depth)
            here = yield from self._onward(here, stops, depth)

    def _node(self, node: Node, depth: int) -> Iterator[str]:
        """Yield the line of a node, unless it only says start, end or join, and what is inside."""
        if not (is_generated(node.name) and self._says_little(node)):
            text = f"{clean(shorten(node.name, _MAX_TEXT))}: {clean(shorten(what(node), 2 * _MAX_TEXT))}"
            if isinstance(node, Activity) and isinstance(node.compensate, Task):
                text += f", undone by {clean(shorten(node.compensate.name, _MAX_TEXT))}"
            yield _indent(depth, text + self._status(node.name))
        if isinstance(node, Scope):
            yield from _graph(node.nodes, node.flows, self._says, depth + 1)

    def _says_little(self, node: Node) -> bool:
        if isinstance(node, End):
            return node.error is None and not node.terminate
        return isinstance(node, Start) or (isinstance(node, Gateway) and len(self._leaving[node.name]) == 1)

    def _status(self, name: str) -> str:
        statuses, figures = self._says
        standing = standing_of([statuses[name]]) if name in statuses else None
        sign = f" [{look_of(standing.status).sign} {standing.words}]" if standing else ""
        return sign + (f" ({figures[name]})" if figures.get(name) else "")

    def _onward(self, name: str, stops: frozenset[str], depth: int) -> Generator[str, None, str | None]:
        """Yield the branches that leave a node; return where its path goes on."""
        flows = self._leaving[name]
        normal = [flow for flow in flows if flow.kind is FlowKind.NORMAL]
        is_single = len(normal) == 1 and normal[0].condition is None
        branches = [flow for flow in flows if not (is_single and flow is normal[0])]
        if not branches:
            return normal[0].target if normal else None
        shared = self._shared([flow.target for flow in flows])
        until = stops | shared | ({normal[0].target} if is_single else set())
        for flow in branches:
            label = self._label(self._nodes[name], flow)
            if flow.target in until or flow.target in self.seen:
                yield _indent(depth + 1, f"{label} → {self._arrow(flow.target)}")
            else:
                yield _indent(depth + 1, f"{label}:")
                yield from self.path(flow.target, until, depth + 2)
        if is_single:
            return normal[0].target
        return next((found for found in self._reachable(name) if found in shared), None)

    def _shared(self, heads: Sequence[str]) -> frozenset[str]:
        """Return what more than one of the branches can reach by new nodes."""
        counts = Counter(name for head in dict.fromkeys(heads) for name in self._reachable(head))
        return frozenset(name for name, number in counts.items() if number > 1)

    def _reachable(self, head: str) -> list[str]:
        """Return the new nodes that can be reached, the nearest first."""
        found: dict[str, None] = {}
        waiting = deque([head])
        while waiting:
            name = waiting.popleft()
            if name in found or (name in self.seen and name != head):
                continue
            found[name] = None
            waiting.extend(flow.target for flow in self._leaving[name])
        return list(found)

    def _arrow(self, name: str) -> str:
        """Return the name of the node where a path goes on, past what has no line of its own."""
        passed: set[str] = set()
        while name not in passed and is_generated(name) and self._says_little(self._nodes[name]):
            passed.add(name)
            following = self._leaving[name]
            if not following:
                return "end"
            name = following[0].target
        return clean(shorten(name, _MAX_TEXT))

    def _label(self, node: Node, flow: Flow) -> str:
        condition = clean(shorten(flow.condition or "", _MAX_TEXT))
        if flow.kind is FlowKind.TIMEOUT:
            return "◷ on timeout"
        if flow.kind is FlowKind.ERROR:
            return "⚡ on error" + (f" when {condition}" if condition else "")
        if condition:
            return f"when {condition}"
        chooses = isinstance(node, Gateway) and node.kind in {GatewayKind.EXCLUSIVE, GatewayKind.INCLUSIVE}
        return "otherwise" if chooses else "then"


def _indent(depth: int, text: str) -> str:
    return "  " * depth + text
