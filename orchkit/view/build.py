"""From a workflow to the scene that shows it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from orchkit.model.definition import all_nodes
from orchkit.model.nodes import (
    Activity,
    Call,
    End,
    FlowKind,
    ForEach,
    Gateway,
    GatewayKind,
    Saga,
    Scope,
    Start,
    Task,
    Wait,
    WaitKind,
    While,
)
from orchkit.view.folding import inside
from orchkit.view.heat import HeatMap
from orchkit.view.scene import NAME_SIZE, NOTE_SIZE, Form, Group, Link, LinkKind, Scene, Shape, standing_of
from orchkit.view.text import clean, shorten, wrap
from orchkit.view.words import describe, is_generated, name_beside, scope_note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from orchkit.model.definition import Workflow
    from orchkit.model.nodes import Flow, Node
    from orchkit.view.folding import Folding
    from orchkit.view.scene import Heat, Standing, Statuses

__all__ = ["build"]

_NAME_WIDTH, _LABEL_WIDTH, _CONDITION_WIDTH = 132.0, 104.0, 150.0
_MAX_NOTE, _MAX_CONDITION = 26, 40
_EXECUTORS = {
    "python": "code",
    "http": "globe",
    "sql": "database",
    "robot": "robot",
    "queue": "envelope",
    "ai": "spark",
    "human": "person",
    "person": "person",
    "manual": "person",
}
_COLD = HeatMap({}, ())
_WAITS = {WaitKind.CALLBACK: "callback", WaitKind.EVENT: "envelope", WaitKind.TIMER: "clock"}
_CHOOSING = (GatewayKind.EXCLUSIVE, GatewayKind.INCLUSIVE)


def build(workflow: Workflow, folding: Folding, statuses: Statuses, direction: str, heat: HeatMap = _COLD) -> Scene:
    """Return the scene of a workflow whose nodes have these statuses, or counts of steps by status, and this heat."""
    standings = {name: standing for name, status in statuses.items() if (standing := standing_of([status]))}
    known = [node.name for node in all_nodes(workflow)]
    overall = _sum(standings, known)
    nodes = "1 node" if len(known) == 1 else f"{len(known)} nodes"
    label = f"Workflow {workflow.name}, {nodes}" + (f": {overall.words}" if overall else "")
    root = (
        _Builder(folding, standings, heat.nodes).graph(workflow.nodes, workflow.flows).group("g0", clean(workflow.name))
    )
    return Scene(clean(workflow.name), clean(label), root, direction, overall.counts if overall else (), heat.legend)


def _sum(standings: Mapping[str, Standing], names: Sequence[str]) -> Standing | None:
    return standing_of(dict(standings[name].counts) for name in names if name in standings)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where flows reach and leave what stands for a node."""

    entry: str
    exits: tuple[str, ...]
    group: str | None = None
    failing_exit: str | None = None

    def exit(self, kind: LinkKind) -> str:
        """Return the shape that flows of a kind leave from."""
        return (self.failing_exit if kind is not LinkKind.NORMAL else None) or self.exits[-1]


@dataclass(slots=True)
class _Drawn:
    """A graph under construction."""

    parts: list[Shape | Group] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    places: dict[str, _Place] = field(default_factory=dict)
    level: list[tuple[str, str]] = field(default_factory=list)

    def group(self, key: str, node: str) -> Group:
        """Return what there is as a group."""
        return Group(key, node, parts=tuple(self.parts), links=tuple(self.links), level=tuple(self.level))


class _Builder:
    """What every part of a scene is made with; it gives out the identifiers."""

    def __init__(self, folding: Folding, standings: Mapping[str, Standing], heat: Mapping[str, Heat]) -> None:
        self._folding = folding
        self._home = {name: members for members in folding.sets for name in members}
        self._standings = standings
        self._heat = heat
        self._ids = count(1)
        self._undoing: dict[str, str] = {}  # compensation task: its shape, drawn once

    def graph(self, nodes: Sequence[Node], flows: Sequence[Flow]) -> _Drawn:
        """Return the parts and links of a graph."""
        drawn = _Drawn()
        home = self._home
        failing = {flow.source for flow in flows if flow.kind is not FlowKind.NORMAL}
        for node in nodes:
            if node.name in home:
                self._add_folded(drawn, node, home[node.name], nodes)
            elif isinstance(node, Scope) and node.name not in self._folding.scopes:
                self._add_group(drawn, node, may_fail=node.name in failing)
            else:
                shape = replace(self._shape(node), above=node.name in failing)
                drawn.parts.append(shape)
                drawn.places[node.name] = _Place(shape.id, (shape.id,))
            if isinstance(node, Activity) and isinstance(node.compensate, Task) and node.name not in home:
                self._add_undoing(drawn, drawn.places[node.name], node.compensate)
        folded: set[tuple[_Place, _Place]] = set()
        for flow, is_default in _with_defaults(nodes, flows):
            ends = drawn.places[flow.source], drawn.places[flow.target]
            if home.keys() & {flow.source, flow.target}:  # of several flows that folding makes one, the first is drawn
                if ends[0] is ends[1] or ends in folded:
                    continue
                folded.add(ends)
            self._add_flow(drawn, flow, *ends, is_default=is_default)
        return drawn

    def _next(self, kind: str) -> str:
        return f"{kind}{next(self._ids)}"

    def _add_folded(self, drawn: _Drawn, node: Node, members: tuple[str, ...], nodes: Sequence[Node]) -> None:
        """Enter the one shape of several siblings, with the first of them."""
        place = next((drawn.places[name] for name in members if name in drawn.places), None)
        if place is None:
            among = [sibling for sibling in nodes if sibling.name in set(members)]
            word = "tasks" if all(isinstance(sibling, Task) for sibling in among) else "nodes"
            names = [inner.name for inner in inside(among)]
            shape = Shape(
                self._next("n"),
                clean(node.name),
                Form.MORE,
                (f"… {len(members)} {word} …",),
                tip=clean(shorten(", ".join(names), 400)),
                standing=_sum(self._standings, names),
                heat=self._hottest(names),
            )
            drawn.parts.append(shape)
            place = _Place(shape.id, (shape.id,))
        drawn.places[node.name] = place

    def _add_group(self, drawn: _Drawn, node: Scope, *, may_fail: bool) -> None:
        """Enter a scope with what is inside."""
        key = self._next("g")
        within = self.graph(node.nodes, node.flows)
        starts, ends = self._doors(within, node)
        failing_exit = None
        if may_fail or isinstance(node.compensate, Task):  # a place of its own on the frame
            failing_exit = self._add_anchor(within)
            within.level.append((ends[-1], failing_exit))
        standing = self._standings.get(node.name)
        group = within.group(key, clean(node.name))
        title = "" if is_generated(node.name) else clean(shorten(node.name))
        note, tip = clean(shorten(scope_note(node), _MAX_CONDITION)), clean(describe(node, standing))
        drawn.parts.append(replace(group, title=title, note=note, icon=_icon(node), tip=tip, standing=standing))
        drawn.places[node.name] = _Place(starts[0], tuple(dict.fromkeys(ends)), key, failing_exit)

    def _doors(self, within: _Drawn, node: Scope) -> tuple[list[str], list[str]]:
        """Return the shapes where flows enter and leave a scope; invisible ones where it has no start or end.

        What stands loosely inside is tied to them, or it would be drawn anywhere.
        """
        # Flows leave from the last plain end; the others only keep what follows behind them.
        closing = sorted((inner for inner in node.nodes if isinstance(inner, End)), key=_is_plain)
        starts = [within.places[inner.name].entry for inner in node.nodes if isinstance(inner, Start)]
        ends = [within.places[inner.name].entry for inner in closing]
        first = starts[0] if starts else self._add_anchor(within)
        last = ends[-1] if ends else self._add_anchor(within)
        reached, left = {flow.target for flow in node.flows}, {flow.source for flow in node.flows}
        heads = [place.entry for name, place in within.places.items() if name not in reached]
        tails = [place.exits[-1] for name, place in within.places.items() if name not in left]
        ties = [(first, head) for head in heads if head not in starts]
        ties += [(tail, last) for tail in tails if tail not in ends] if not ends else []
        within.links.extend(Link(self._next("e"), *tie, hidden=True) for tie in dict.fromkeys(ties))
        return starts or [first], ends or [last]

    def _add_anchor(self, drawn: _Drawn) -> str:
        anchor = self._next("n")
        drawn.parts.append(Shape(anchor, "", Form.ANCHOR))
        return anchor

    def _add_undoing(self, drawn: _Drawn, place: _Place, task: Task) -> None:
        """Enter the task that undoes another, and the dashed line to it."""
        is_new = task.name not in self._undoing
        if is_new:
            shape = replace(self._shape(task), undoes=True)
            drawn.parts.append(shape)
            self._undoing[task.name] = shape.id
            if place.group is None:
                drawn.level.append((place.entry, shape.id))
        source, target = place.exit(LinkKind.COMPENSATION), self._undoing[task.name]
        tip = f"undone by {clean(task.name)}"
        link = Link(self._next("e"), source, target, LinkKind.COMPENSATION, tip=tip, from_group=place.group)
        drawn.links.append(replace(link, is_loose=place.group is None or not is_new))

    def _add_flow(self, drawn: _Drawn, flow: Flow, source: _Place, target: _Place, *, is_default: bool) -> None:
        """Enter a flow."""
        lines = _condition(flow.condition)
        kind = LinkKind(flow.kind.value)
        link = Link(
            self._next("e"),
            source.exit(kind),
            target.entry,
            kind,
            ("default",) if is_default else lines,
            clean(f"{flow.source} → {flow.target}" + _when(flow, is_default=is_default)),
            is_default=is_default,
            from_group=source.group,
            to_group=target.group,
        )
        drawn.links.append(link)
        if source.group and flow.kind is FlowKind.NORMAL:
            drawn.links.extend(Link(self._next("e"), end, target.entry, hidden=True) for end in source.exits[:-1])

    def _shape(self, node: Node) -> Shape:
        """Return the shape of a node that is drawn as one."""
        standing = self._standings.get(node.name)
        if standing is None and isinstance(node, Scope):
            standing = _sum(self._standings, [inner.name for inner in inside(node.nodes)])
        inner = [one.name for one in inside(node.nodes)] if isinstance(node, Scope) else []
        heat = self._heat.get(node.name) or self._hottest(inner)
        form, note, note_icon = _form(node)
        if form in {Form.TASK, Form.CALL, Form.SCOPE}:
            lines = wrap(clean(node.name), _NAME_WIDTH, NAME_SIZE)
        else:
            lines = wrap(clean(name_beside(node)), _LABEL_WIDTH, NOTE_SIZE)
        return Shape(
            self._next("n"),
            clean(node.name),
            form,
            lines if any(lines) else (),
            note=clean(shorten(note, _MAX_NOTE)),
            note_icon=note_icon,
            icon=_icon(node),
            tip=clean("\n".join(line for line in (describe(node, standing), heat.words if heat else "") if line)),
            standing=standing,
            heat=heat,
        )

    def _hottest(self, names: Iterable[str]) -> Heat | None:
        """Return what stands for the heat of several nodes: the hottest of them, with its name."""
        known = [(self._heat[name].shade, name) for name in names if name in self._heat]
        if not known:
            return None
        _, name = max(known, key=lambda pair: pair[0])
        heat = self._heat[name]
        return replace(heat, words=f"{clean(shorten(name, _MAX_NOTE))}: {heat.words}")


def _is_plain(end: End) -> bool:
    return end.error is None and not end.terminate


def _condition(text: str | None) -> tuple[str, ...]:
    short = clean(shorten(text or "", _MAX_CONDITION))
    return wrap(short, _CONDITION_WIDTH, NOTE_SIZE, is_name=False) if short else ()


def _when(flow: Flow, *, is_default: bool) -> str:
    when = {
        FlowKind.NORMAL: "default: when no other holds" if is_default else "",
        FlowKind.ERROR: "when it fails",
        FlowKind.TIMEOUT: "when it takes too long",
    }[flow.kind]
    return "".join(f"\n{line}" for line in (when, flow.condition) if line)


def _with_defaults(nodes: Sequence[Node], flows: Sequence[Flow]) -> Iterator[tuple[Flow, bool]]:
    """Yield the flows; with each, whether it is the default of its split."""
    choosing = {node.name for node in nodes if isinstance(node, Gateway) and node.kind in _CHOOSING}
    conditional = {flow.source for flow in flows if flow.condition is not None} & choosing
    for flow in flows:
        yield flow, flow.condition is None and flow.source in conditional


def _form(node: Node) -> tuple[Form, str, str]:
    """Return the form of a node, its note and the icon before the note."""
    match node:
        case Start():
            return Form.START, "", ""
        case End():
            return (Form.ERROR if node.error is not None else Form.TERMINATE if node.terminate else Form.END), "", ""
        case Gateway():
            return Form.GATEWAY, "", ""
        case Wait():
            return Form.WAIT, "", ""
        case Call():
            return Form.CALL, node.workflow if node.workflow != node.name else "", ""
        case Scope():
            inner = sum(isinstance(inner, Activity) for inner in inside(node.nodes))
            return Form.SCOPE, f"{inner} step{'s' if inner != 1 else ''} inside", ""
        case Task():
            return (Form.TASK, node.role, "person") if node.role else (Form.TASK, "", "")


def _icon(node: Node) -> str:
    match node:
        case Task():
            return _EXECUTORS.get(node.executor, "gear")
        case Gateway():
            return node.kind.value
        case Wait():
            return _WAITS[node.kind]
        case Call():
            return "call"
        case ForEach():
            return "each"
        case While():
            return "loop"
        case Saga():
            return "undo"
        case Scope():
            return "scope"
        case _:
            return ""
