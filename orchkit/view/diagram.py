"""`draw`: a workflow or a run as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from orchkit.errors import RenderError
from orchkit.model.definition import Workflow
from orchkit.units import Duration, seconds
from orchkit.view.build import build
from orchkit.view.dot import dot_source
from orchkit.view.folding import fold
from orchkit.view.html import Bundle, picked, preformatted
from orchkit.view.layout import lay_out
from orchkit.view.outline import outline
from orchkit.view.svg import draw_svg

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from orchkit.view.scene import Scene, Statuses

__all__ = ["Diagram", "DrawableRun", "draw"]

_SIDE = 4_000  # pixels of a PNG, at most
_SCALE = 2.0  # for screens with two dots a pixel


class DrawableRun(Protocol):
    """What `draw` needs of a run."""

    @property
    def workflow(self) -> Workflow:
        """The definition that the run keeps."""

    @property
    def node_statuses(self) -> Statuses:
        """By node: a status, or how many of its steps have each status."""


@dataclass(frozen=True, slots=True)
class Diagram:
    """A picture: in a notebook it shows itself, elsewhere it is asked for ``svg``, ``png``, ``dot`` or ``text``.

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
        return f"<Diagram: {self.scene.label}>"

    def __str__(self) -> str:
        return self.text

    @property
    def svg(self) -> str:
        """The drawing as an ``svg`` element: stands alone, or inside a page.

        Raises
        ------
        RenderError
            Graphviz is missing, failed or took too long.
        """
        return _svg(self.scene, self.dot, self.time_limit_s)

    @property
    def png(self) -> bytes:
        """The drawing as PNG, in the light theme.

        Raises
        ------
        RenderError
            As for ``svg``.
        """
        return _png(self.svg)

    @property
    def html(self) -> str:
        """The drawing as a page of its own."""
        title = f"<title>{escape(self.scene.name)}</title>"
        head = f'<meta charset="utf-8"><meta name="color-scheme" content="light dark">{title}'
        return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{self.svg}</body></html>\n'

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file whose suffix says how: ``.svg``, ``.png``, ``.html``, ``.dot`` or ``.txt``.

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        RenderError
            Another suffix, or as for ``svg``.
        """
        path = Path(path)
        match path.suffix.lower():
            case ".svg":
                content = self.svg
            case ".png":
                path.write_bytes(self.png)
                return path
            case ".html":
                content = self.html
            case ".dot" | ".gv":
                content = self.dot
            case ".txt":
                content = self.text + "\n"
            case _:
                message = (
                    f"A diagram cannot be saved as {path.name!r}: its suffix must be .svg, .png, .html, .dot or .txt."
                )
                raise RenderError(message)
        path.write_text(content, encoding="utf-8")
        return path

    def _repr_mimebundle_(
        self,
        include: Container[str] | None = None,
        exclude: Container[str] | None = None,
    ) -> Bundle:
        try:
            return picked(
                {
                    # A picture that is much wider than the page is scrolled, not made illegible.
                    "text/html": lambda: f'<div style="overflow-x:auto" tabindex="0">{self.svg}</div>',
                    "image/svg+xml": lambda: self.svg,
                    "image/png": lambda: self.png,
                    "text/plain": lambda: self.text,
                },
                include,
                exclude,
            )
        except RenderError as error:
            # A display never fails: the text takes the picture's place, and the reason stands above it.
            hint = error.message
            makers = {"text/html": lambda: preformatted(self.text, hint), "text/plain": lambda: self.text}
            return picked(makers, include, exclude)


def draw(
    thing: Workflow | DrawableRun,
    *,
    direction: Literal["LR", "TB"] = "LR",
    statuses: Statuses | None = None,
    max_nodes: int = 150,
    collapse: bool | Iterable[str] | None = None,
    time_limit: Duration = "20s",
) -> Diagram:
    """Draw a workflow, or a run with the status of each node.

    Shapes are those of BPMN: thin and bold circles start and end, boxes are tasks, diamonds gateways
    (X exclusive, + parallel, O inclusive, a pentagon for events), double circles waits, frames scopes, a
    bold box calls a workflow. Red dashes lead where errors go, dotted lines where timeouts go; a
    slash marks the default flow. Pointing at something tells more about it.

    Parameters
    ----------
    thing
        A workflow, or what has a ``workflow`` and ``node_statuses``.
    direction
        ``"LR"`` from left to right, ``"TB"`` from top to bottom.
    statuses
        By node: a status, or how many of its steps have each status. Goes before what a run says.
    max_nodes
        How many nodes are drawn; in larger workflows scopes are folded first, then long chains.
    collapse
        True folds every scope to one node, False none; or the names of those to fold.
    time_limit
        How long Graphviz may take.

    Raises
    ------
    RenderError
        Not a workflow or a run; another direction.
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
    """
    workflow = thing if isinstance(thing, Workflow) else getattr(thing, "workflow", None)
    if not isinstance(workflow, Workflow):
        message = f"draw takes a workflow or a run, not {type(thing).__name__!r}."
        raise RenderError(message)
    if direction not in {"LR", "TB"}:
        message = f"direction is 'LR' (from left to right) or 'TB' (from top to bottom), not {direction!r}."
        raise RenderError(message)
    if statuses is None:
        statuses = {} if isinstance(thing, Workflow) else thing.node_statuses
    if collapse is not None and not isinstance(collapse, bool):
        collapse = [workflow.node(name).name for name in collapse]
    scene = build(workflow, fold(workflow, max_nodes, collapse), statuses, direction)
    return Diagram(dot_source(scene), outline(workflow, statuses), scene, seconds(time_limit))


@lru_cache(maxsize=32)
def _svg(scene: Scene, dot: str, time_limit_s: float) -> str:
    return draw_svg(scene, lay_out(dot, time_limit_s))


@lru_cache(maxsize=16)
def _png(svg: str) -> bytes:
    try:
        vl_convert = import_module("vl_convert")  # 50 MB that only this needs
    except ImportError as error:
        message = "A PNG needs the package vl-convert-python: install it with pip. The SVG is there without it."
        raise RenderError(message) from error
    # The converter knows no style sheets for themes; without one the light theme's paint attributes hold.
    before, _, rest = svg.partition("<style>")
    plain = before + rest.partition("</style>")[2]
    width, height = (float(part) for part in plain.partition('viewBox="0 0 ')[2].partition('"')[0].split())
    return bytes(vl_convert.svg_to_png(plain, scale=min(_SCALE, _SIDE / max(width, height))))
