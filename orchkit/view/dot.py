"""From a scene to the source that Graphviz lays out.

All sizes are fixed here, so that the layout does not depend on the fonts at hand. Names from the
data are labels only; identifiers are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import graphviz

from orchkit.view.scene import Form, Group, LinkKind, Shape
from orchkit.view.theme import LIGHT, look_of

if TYPE_CHECKING:
    from orchkit.view.scene import Link, Scene

__all__ = ["LINK_PAINTS", "dot_source"]

_BOLD = {Form.CALL, Form.END, Form.ERROR, Form.TERMINATE}
_SIGNS = {"exclusive": "X", "parallel": "+", "inclusive": "O", "event": "E"}
LINK_PAINTS = {
    LinkKind.NORMAL: "line",
    LinkKind.ERROR: "alarm",
    LinkKind.TIMEOUT: "late",
    LinkKind.COMPENSATION: "undo",
}


def dot_source(scene: Scene) -> str:
    """Return the source in the language of Graphviz."""
    across = scene.direction == "LR"
    graph = graphviz.Digraph(
        "workflow",
        graph_attr={
            "rankdir": scene.direction,
            "compound": "true",
            "newrank": "true",  # otherwise flows to and from a group are only wishes
            "nodesep": "0.3",
            "ranksep": "0.45" if across else "0.6",  # downwards, the names of groups take a part of it
            "fontname": "Arial",
            "fontsize": "13",
            "labeljust": "l",
            "margin": "0",
            "pad": "0",
        },
        node_attr={
            "fontname": "Arial",
            "fontsize": "12",
            "shape": "box",
            "style": "rounded,filled",
            "fixedsize": "true",
        },
        edge_attr={"fontname": "Arial", "fontsize": "11.5", "arrowsize": "0.8"},
    )
    _add_parts(graph, scene.root, across=across)
    for link in scene.links():
        _add_link(graph, link)
    return str(graph.source)


def _add_parts(graph: graphviz.Digraph, group: Group, *, across: bool) -> None:
    for part in group.parts:
        if isinstance(part, Shape):
            graph.node(part.id, **_node(part, across=across))
        else:
            cluster = graphviz.Digraph(f"cluster_{part.id}", graph_attr=_cluster(part))
            _add_parts(cluster, part, across=across)
            graph.subgraph(cluster)
    for pair in group.level:
        beside = graphviz.Digraph(None, graph_attr={"rank": "same"})
        for key in pair:
            beside.node(key)
        graph.subgraph(beside)


def _quoted(text: str) -> str:
    r"""Return text whose backslashes and angle brackets mean themselves; ``\n`` ends a line."""
    quoted: str = graphviz.nohtml("\\n".join(line.replace("\\", "\\\\") for line in text.split("\n")))
    return quoted


def _cluster(group: Group) -> dict[str, str]:
    # Spaces keep room for the icon and, behind the text, for the sign of the status.
    label = "\n".join(line for line in (group.title, group.note) if line)
    return {
        "id": group.id,
        "label": _quoted(f"      {label}          "),
        "tooltip": _quoted(group.tip),
        "style": "rounded,filled",
        "fillcolor": LIGHT["group"],
        "color": LIGHT["border"],
        "margin": "12",
    }


def _node(shape: Shape, *, across: bool) -> dict[str, str]:
    if shape.form is Form.ANCHOR:
        return {"id": shape.id, "shape": "point", "style": "invis", "width": "0.03"}
    width, height = _room(shape, across=across)
    fill = f"{look_of(shape.standing.status).paint}-tint" if shape.standing else "box"
    if shape.heat:
        fill = shape.heat.paint
    text = "\n".join(line for line in (*shape.lines, shape.heat.words if shape.heat else "", shape.note) if line)
    attributes = {
        "id": shape.id,
        "label": _quoted(text or _SIGNS.get(shape.icon, "")),
        "tooltip": _quoted(shape.tip),
        "fillcolor": LIGHT[fill],
        "width": f"{width / 72:.4f}",
        "height": f"{height / 72:.4f}",
        "penwidth": "3" if shape.form in _BOLD else "1",
    }
    if shape.cell:
        attributes |= {"shape": "diamond" if shape.form is Form.GATEWAY else "ellipse", "style": "filled"}
    if shape.form in {Form.WAIT, Form.TERMINATE}:
        attributes["peripheries"] = "2"
    return attributes


def _room(shape: Shape, *, across: bool) -> tuple[float, float]:
    """Return the width and height that a shape takes, its name included; its middle stays the middle."""
    width, height = shape.size
    if not shape.cell:
        return width, height
    (text_width, text_height), (signs_width, signs_height) = shape.text_size, shape.counts_size
    beside_width, beside_height = max(text_width, signs_width), max(text_height, signs_height)
    if not beside_height:
        return width, height
    if across:
        return max(width, beside_width + 4), height + 2 * (beside_height + 4)
    return width + 2 * (beside_width + 8), max(height, beside_height)


def _add_link(graph: graphviz.Digraph, link: Link) -> None:
    if link.hidden:
        graph.edge(link.source, link.target, id=link.id, style="invis", weight="0")
        return
    paint = LIGHT[LINK_PAINTS[link.kind]]
    attributes = {"id": link.id, "color": paint, "fontcolor": paint, "tooltip": _quoted(link.tip)}
    if link.lines:
        attributes["label"] = _quoted("\n".join(f" {line} " for line in link.lines))
    if link.from_group:
        attributes["ltail"] = f"cluster_{link.from_group}"
    if link.to_group:
        attributes["lhead"] = f"cluster_{link.to_group}"
    if link.kind is LinkKind.NORMAL:
        attributes["weight"] = "200"  # straight, whatever pulls at the frames of groups
    elif link.kind is LinkKind.COMPENSATION:
        attributes |= {"style": "dotted", "arrowhead": "none"}
    else:
        attributes |= {"style": "dashed", "weight": "1"}
        if not link.from_group:
            attributes["tailport"] = "se"
    if link.is_loose:
        attributes["constraint"] = "false"
    graph.edge(link.source, link.target, **attributes)
