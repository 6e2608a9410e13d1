"""`draw`: a workflow or a run as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from orchkit.analysis.conformance import Conformance
from orchkit.errors import RenderError
from orchkit.log import EventLog
from orchkit.model.definition import Workflow
from orchkit.units import Duration, seconds
from orchkit.view.build import build
from orchkit.view.departures import departures_map
from orchkit.view.dot import dot_source
from orchkit.view.folding import fold
from orchkit.view.heat import HeatKind, HeatMap, heat_map
from orchkit.view.layout import lay_out
from orchkit.view.outline import outline
from orchkit.view.picture import Picture
from orchkit.view.svg import draw_svg

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchkit.view.scene import Scene, Statuses

__all__ = ["Diagram", "DrawableRun", "draw"]


class DrawableRun(Protocol):
    """What `draw` needs of a run."""

    @property
    def workflow(self) -> Workflow:
        """The definition that the run keeps."""

    @property
    def node_statuses(self) -> Statuses:
        """By node: a status, or how many of its steps have each status."""


@dataclass(frozen=True, slots=True)
class Diagram(Picture):
    """A picture of a workflow or a run. A notebook displays it; ``to_svg()`` and ``save()`` work anywhere.

    Attributes
    ----------
    dot
        The source in the language of Graphviz.
    text
        The same as indented text.
    scene
        What is drawn, before the layout.
    time_limit_s
        How long Graphviz may take.
    """

    dot: str = field(repr=False)
    text: str = field(repr=False)
    scene: Scene = field(repr=False)
    time_limit_s: float = 20.0

    def __repr__(self) -> str:
        return f"<Diagram: {self.label}>"

    @property
    def label(self) -> str:
        """What the picture shows, in one line."""
        return self.scene.label

    def to_svg(self) -> str:
        """Return the drawing as an ``svg`` element, for a file of its own or inside a page.

        Raises
        ------
        RenderError
            Graphviz is missing, failed or took too long.
        """
        return _svg(self.scene, self.dot, self.time_limit_s)

    def _suffixes(self) -> tuple[str, ...]:
        return (".svg", ".png", ".html", ".dot", ".txt")

    def _content(self, suffix: str) -> str | bytes | None:
        # Zero-argument super() does not work in a class with slots, which is made twice.
        return self.dot if suffix in {".dot", ".gv"} else Picture._content(self, suffix)


def draw(
    thing: Workflow | DrawableRun | Conformance,
    log: EventLog | Conformance | None = None,
    *,
    heat: HeatKind | None = None,
    direction: Literal["LR", "TB"] = "LR",
    statuses: Statuses | None = None,
    max_nodes: int = 150,
    collapse: bool | Iterable[str] | None = None,
    time_limit: Duration = "20s",
) -> Diagram:
    """Draw a workflow, a run with the status of each node, or a workflow with what a log tells about its nodes.

    Shapes are those of BPMN: thin and bold circles start and end, boxes are tasks, diamonds gateways
    (X exclusive, + parallel, O inclusive, a pentagon for events), double circles waits, frames scopes, a
    bold box calls a workflow. Red dashes lead where errors go, dotted lines where timeouts go; a
    slash marks the default flow. Pointing at something tells more about it.

    Parameters
    ----------
    thing
        A workflow; or a run, or anything else with a ``workflow`` and ``node_statuses``.
    log
        A log that shades the nodes, each with its figure; steps of other workflows do not count. Or a `Conformance`:
        how often each node was skipped, inserted or out of order.
    heat
        ``"count"`` (how often, the default), ``"duration"`` (of a step), ``"wait"`` (before it) or ``"failures"``
        (share of its attempts).
    direction
        ``"LR"`` from left to right, ``"TB"`` from top to bottom.
    statuses
        By node: a status, or how many of its steps have each status. Takes precedence over what a run says.
    max_nodes
        How many nodes are drawn; in larger workflows scopes are folded first, then long chains.
    collapse
        True folds every scope to one node, False none; or the names of those to fold.
    time_limit
        How long Graphviz may take.

    Raises
    ------
    RenderError
        Not a workflow or a run; another direction; a heat without a log, or a log of something else.
    WorkflowError
        There is no such node to fold.

    Examples
    --------
    >>> from orchkit.model.nodes import Flow, Task
    >>> order = Workflow("order", nodes=(Task(name="pay"), Task(name="ship")), flows=(Flow("pay", "ship"),))
    >>> diagram = draw(order, statuses={"pay": "COMPLETED", "ship": "RUNNING"})
    >>> print(diagram)
    order, version 1
      pay: python task [✓ completed]
      ship: python task [… running]
    >>> diagram
    <Diagram: Workflow order, 2 nodes: 1 running, 1 completed>
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1"],
    ...     "activity": ["pay", "ship"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z"],
    ... }))
    >>> print(draw(order, log, heat="wait"))
    order, version 1
      pay: python task (mean 0s, 95% in 0s)
      ship: python task (mean 1h, 95% in 1h)
    """
    if isinstance(thing, Conformance):
        log, thing = thing, thing.workflow
    workflow = thing if isinstance(thing, Workflow) else getattr(thing, "workflow", None)
    if not isinstance(workflow, Workflow):
        message = f"draw takes a workflow or a run, not {type(thing).__name__!r}. An event log is drawn by process_map."
        raise RenderError(message)
    if direction not in {"LR", "TB"}:
        message = f"direction is 'LR' (from left to right) or 'TB' (from top to bottom), not {direction!r}."
        raise RenderError(message)
    if statuses is None:
        statuses = {} if isinstance(thing, Workflow) else thing.node_statuses
    if collapse is not None and not isinstance(collapse, bool):
        collapse = [workflow.node(name).name for name in collapse]
    if heat is not None and log is None:
        message = f"heat={heat!r} needs a log: draw(workflow, log, heat={heat!r})."
        raise RenderError(message)
    if log is None:
        warm = HeatMap({}, ())
    elif isinstance(log, Conformance):
        warm = departures_map(workflow, log)
    else:
        warm = heat_map(workflow, log, heat or "count")
    scene = build(workflow, fold(workflow, max_nodes, collapse), statuses, direction, warm)
    text = outline(workflow, statuses, {name: found.words for name, found in warm.nodes.items()})
    return Diagram(dot_source(scene), text, scene, seconds(time_limit))


@lru_cache(maxsize=32)
def _svg(scene: Scene, dot: str, time_limit_s: float) -> str:
    return draw_svg(scene, lay_out(dot, time_limit_s))
