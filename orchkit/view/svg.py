"""From a scene and its layout to SVG.

The drawing refers to nothing outside of itself and has no identifiers, so that several stand side by
side in a page. Paint attributes hold the light theme, for viewers without style sheets; the style
sheet adds the dark one. ``data-node`` and ``data-status`` say which element shows what.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from orchkit.view.canvas import (
    HALO,
    Point,
    add,
    arrow,
    bezier,
    digits,
    draw_icon,
    draw_sign,
    finished,
    moved,
    page,
    pair,
    titled,
    write,
)
from orchkit.view.dot import LINK_PAINTS
from orchkit.view.legend import ROW, draw_legend, legend_rows
from orchkit.view.scene import NOTE_SIZE, Form, LinkKind, count_width
from orchkit.view.text import text_width
from orchkit.view.theme import look_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchkit.view.layout import Layout, Route
    from orchkit.view.scene import Group, Heat, Link, Scene, Shape, Standing

__all__ = ["draw_svg"]

_PAD, _LEGEND_ROW, _LEGEND_WIDTH = 14.0, 24.0, 420.0
_DASHES = {LinkKind.ERROR: "6 3", LinkKind.TIMEOUT: "2 3", LinkKind.COMPENSATION: "1.5 3.5"}
_CLOSE = 16.0  # of two signs, from middle to middle
_EVENTS = {LinkKind.ERROR: "bolt", LinkKind.TIMEOUT: "clock", LinkKind.COMPENSATION: "undo"}


def draw_svg(scene: Scene, layout: Layout) -> str:
    """Return the drawing, an ``svg`` element as text."""
    inner = max([layout.width, *([_LEGEND_WIDTH] if scene.legend else []), *(entry.width for entry in scene.scale)])
    legend = _legend([status for status, _ in scene.legend], inner)
    width = inner + 2 * _PAD
    bottom = layout.height + 2 * _PAD
    height = bottom + (_LEGEND_ROW * (legend[-1][2] + 1) + 6 if legend else 0.0)
    scale = legend_rows(scene.scale, inner)
    scale_top = height + 6
    height += ROW * len(scale) + 6 if scale else 0.0
    svg = page(scene.label, width, height)
    body = ET.SubElement(svg, "g", {"transform": f"translate({digits(_PAD)} {digits(_PAD)})"})
    for group in list(scene.groups())[1:]:
        _draw_group(body, group, layout)
    shapes = {shape.id: shape for shape in scene.shapes()}
    across = scene.direction == "LR"
    links = [(link, layout.routes[link.id]) for link in scene.links() if link.id in layout.routes and not link.hidden]
    trimmed = [(link, _trim(link, route, shapes, layout)) for link, route in links]
    for link, route in trimmed:
        _draw_link(body, link, route)
    signs = [route.points[0] for link, route in trimmed if link.kind in _EVENTS]
    for shape in shapes.values():
        if shape.form is not Form.ANCHOR:
            _draw_shape(body, shape, layout.centers[shape.id], signs, across=across)
    for link, route in trimmed:
        _draw_link_signs(body, link, route)
    if scale:
        draw_legend(svg, scale, _PAD, scale_top)
    if legend:
        _draw_legend(svg, legend, bottom)
    return finished(svg)


def _badges(parent: ET.Element, standing: Standing, right: float, y: float) -> None:
    """Draw the signs of a standing, the most pressing leftmost, ending at ``right``."""
    for status, number in reversed(standing.counts):
        if not standing.is_single:
            label = f"{number}"
            width = count_width(number)
            add(
                parent,
                "rect",
                fill="page",
                stroke=look_of(status).paint,
                x=right - width - 8,
                y=y - 7,
                width=width + 8,
                height=14,
                rx=7,
            )
            write(parent, label, (right - width + 1, y + 3.7), size=NOTE_SIZE)
            right -= width + 4
        draw_sign(parent, status, (right - 8, y))
        right -= 19


def _draw_group(parent: ET.Element, group: Group, layout: Layout) -> None:
    x0, y0, x1, y1 = layout.boxes[group.id]
    element = titled(parent, "group", group.node, group.tip, group.standing)
    stroke = look_of(group.standing.status).paint if group.standing else "border"
    add(
        element, "rect", fill="group", stroke=stroke, x=x0, y=y0, width=x1 - x0, height=y1 - y0, rx=10, stroke_width=1.3
    )
    draw_icon(element, group.icon, (x0 + 18, y0 + 16), 14, "soft")
    y = y0 + 20
    if group.title:
        write(element, group.title, (x0 + 32, y), font_weight="bold")
        y += 15
    if group.note:
        write(element, group.note, (x0 + 32, y), size=NOTE_SIZE, paint="soft")
    if group.standing:
        _badges(element, group.standing, x1 + 4, y0)


def _trim(link: Link, route: Route, shapes: dict[str, Shape], layout: Layout) -> Route:
    """Lead the ends of a route, which stop where the room of a circle or diamond begins, up to its line."""
    points = list(route.points)
    tip = route.tip
    if not link.from_group:
        points[0] = _on_line(shapes[link.source], layout.centers[link.source], points[0])
    if tip and not link.to_group:
        shifted = _on_line(shapes[link.target], layout.centers[link.target], tip)
        points[-1] = moved(points[-1], (shifted[0] - tip[0], shifted[1] - tip[1]))
        tip = shifted
    return replace(route, points=tuple(points), tip=tip)


def _on_line(shape: Shape, middle: Point, end: Point) -> Point:
    """Return where the ray from the middle of a circle or diamond to ``end`` crosses its line."""
    dx, dy = end[0] - middle[0], end[1] - middle[1]
    length = abs(dx) + abs(dy) if shape.form is Form.GATEWAY else math.hypot(dx, dy)
    if not shape.cell or not length or shape.form is Form.ANCHOR:
        return end
    share = shape.cell / 2 / length
    return middle[0] + dx * share, middle[1] + dy * share


def _draw_link(parent: ET.Element, link: Link, route: Route) -> None:
    element = ET.SubElement(parent, "g", {"class": f"link {link.kind}"})
    ET.SubElement(element, "title").text = link.tip
    paint = LINK_PAINTS[link.kind]
    start, *rest = route.points
    path = f"M{pair(start)}C" + " ".join(pair(point) for point in rest)
    dashes = {"stroke_dasharray": _DASHES[link.kind]} if link.kind in _DASHES else {}
    add(element, "path", stroke=paint, d=path, stroke_width=1.4, **dashes)
    if route.tip and link.kind is not LinkKind.COMPENSATION:
        add(element, "polygon", fill=paint, points=arrow(route.points[-1], route.tip))
    # A wider invisible line, so that the pointer finds the tip of the link.
    add(element, "path", d=path, stroke_width=10, style="stroke:transparent;pointer-events:stroke")


def _draw_link_signs(parent: ET.Element, link: Link, route: Route) -> None:
    """Draw what lies over the lines: conditions, the slash of a default, the sign of an error."""
    paint = LINK_PAINTS[link.kind]
    if route.label:
        words = ET.SubElement(parent, "g", {"class": "words"})
        ET.SubElement(words, "title").text = link.tip
        x, y = route.label
        top = y - (len(link.lines) - 1) * 6.5 + 3.7
        for number, line in enumerate(link.lines):
            write(
                words,
                line,
                (x, top + 13 * number),
                size=NOTE_SIZE,
                paint="soft" if link.kind is LinkKind.NORMAL else paint,
                text_anchor="middle",
                **HALO,
            )
    if link.is_default:
        _draw_slash(parent, route)
    if link.kind in _EVENTS:
        center = route.points[0]
        add(parent, "circle", fill="page", stroke=paint, cx=center[0], cy=center[1], r=8, stroke_width=1.3)
        draw_icon(parent, _EVENTS[link.kind], center, 11, paint, weight=1.3)


def _draw_slash(parent: ET.Element, route: Route) -> None:
    (x0, y0), (x1, y1) = route.points[0], bezier(route.points[:4], 0.4)
    dx, dy = x1 - x0, y1 - y0
    length = math.hypot(dx, dy) or 1.0
    ux, uy = dx / length, dy / length
    x, y = x0 + ux * 12, y0 + uy * 12
    a, b = ux * 2.5 - uy * 5, uy * 2.5 + ux * 5
    add(parent, "path", stroke="line", d=f"M{pair((x - a, y - b))}L{pair((x + a, y + b))}", stroke_width=1.4)


def _draw_shape(parent: ET.Element, shape: Shape, middle: Point, signs: Sequence[Point], *, across: bool) -> None:
    element = titled(parent, f"node {shape.form}", shape.node, shape.tip, shape.standing)
    paint = look_of(shape.standing.status).paint if shape.standing else ""
    fill = shape.heat.paint if shape.heat else f"{paint}-tint" if paint else "box"
    if shape.cell:
        _draw_round(element, shape, middle, fill, paint)
        _draw_name(element, shape, middle, across=across)
        if shape.standing:
            _badges(element, shape.standing, *_badges_at(shape, middle, across=across))
    else:
        _draw_box(element, shape, middle, fill, paint)
        if shape.standing:
            _badges(element, shape.standing, *_badges_on_box(shape.standing, shape.size, middle, signs))


def _badges_on_box(standing: Standing, size: tuple[float, float], middle: Point, signs: Sequence[Point]) -> Point:
    """Return where the signs of a box end: on its upper edge, or on the lower where the sign of a link is above."""
    right, half = middle[0] + size[0] / 2 + 7, size[1] / 2
    if standing.is_single:
        return right, middle[1] - half
    left = right - standing.width - 9
    edges = (middle[1] - half - 3, middle[1] + half + 3)
    free = [y for y in edges if not any(left < sign[0] < right and abs(sign[1] - y) < _CLOSE for sign in signs)]
    return right, free[0] if free else edges[0]


def _badges_at(shape: Shape, middle: Point, *, across: bool) -> Point:
    """Return where the signs of a circle or a diamond end: on its corner, or opposite its name where they are many."""
    (x, y), half = middle, shape.cell / 2
    width, height = shape.counts_size
    if not width:
        return x + half + 6, y - half + 3
    if across:
        away = half + 4 + height / 2
        return x + width / 2, y + (away if shape.above else -away)
    return (x + half + 6 + width, y) if shape.above else (x - half - 6, y)


def _draw_round(element: ET.Element, shape: Shape, middle: Point, fill: str, paint: str) -> None:
    x, y = middle
    half = shape.cell / 2
    stroke = paint or ("alarm" if shape.form is Form.ERROR else "line")
    if shape.form is Form.GATEWAY:
        corners = ((x, y - half), (x + half, y), (x, y + half), (x - half, y))
        add(element, "polygon", fill=fill, stroke=stroke, points=" ".join(map(pair, corners)), stroke_width=1.5)
        draw_icon(element, shape.icon, middle, 18, stroke, weight=2.2 if shape.icon != "event" else 1.2)
        return
    weight = 1.5 if shape.form in {Form.START, Form.WAIT} else 3.5
    circle = partial(add, element, "circle", stroke=stroke, cx=x, cy=y)
    circle(fill=fill, r=half - weight / 2, stroke_width=weight)
    match shape.form:
        case Form.WAIT:
            circle(r=half - 4, stroke_width=1.2)
            draw_icon(element, shape.icon, middle, 17, stroke)
        case Form.TERMINATE:
            add(element, "circle", fill=stroke, cx=x, cy=y, r=half - 6)
        case Form.ERROR:
            draw_icon(element, "bolt", middle, 15, stroke)
        case _:
            pass


def _draw_name(element: ET.Element, shape: Shape, middle: Point, *, across: bool) -> None:
    """Write the name of a circle or a diamond below or above, in a drawing downwards right or left of it."""
    x, y = middle
    half, height = shape.cell / 2, shape.text_size[1]
    if across:
        top, anchor = (y - half - height - 4 if shape.above else y + half + 4), "middle"
    else:
        top, anchor = y - height / 2, "end" if shape.above else "start"
        x += (half + 6) * (-1 if shape.above else 1)
    for number, line in enumerate(shape.lines):
        write(element, line, (x, top + 10.5 + 14 * number), size=NOTE_SIZE, text_anchor=anchor, **HALO)
    if shape.heat:
        width = shape.heat.width
        left = {"middle": x - width / 2, "end": x - width, "start": x}[anchor]
        _draw_heat(element, shape.heat, (left, top + 10.5 + 14 * len(shape.lines)))


def _draw_heat(parent: ET.Element, heat: Heat, at: Point) -> None:
    """Write the figure of a node, its icon before it."""
    x, base = at
    if heat.icon:
        draw_icon(parent, heat.icon, (x + 5, base - 3.7), 10, "text", weight=1.3)
        x += 14
    write(parent, heat.words, (x, base), size=NOTE_SIZE, font_weight="bold")


def _draw_box(element: ET.Element, shape: Shape, middle: Point, fill: str, paint: str) -> None:
    width, height = shape.size
    x, y = middle[0] - width / 2, middle[1] - height / 2
    stroke = paint or ("undo" if shape.undoes else "line")
    weight = 3.2 if shape.form is Form.CALL else 1.4
    box = partial(add, element, "rect", stroke=stroke, width=width, height=height, rx=8, stroke_width=weight)
    if shape.form is Form.MORE:
        box(fill=fill, x=x + 4, y=y - 4)
    dashes = {"stroke_dasharray": "4 3"} if shape.undoes else {}
    box(fill=fill, x=x, y=y, **dashes)
    _, text_height = shape.text_size
    top = y + (height - text_height) / 2
    left = x + 12
    if shape.icon:
        draw_icon(element, shape.icon, (left + 8, top + text_height / 2), 16, "text" if shape.heat else "soft")
        left += 24
    for number, line in enumerate(shape.lines):
        at = (left, top + 11.5 + 15 * number) if shape.icon else (middle[0], top + 11.5 + 15 * number)
        write(element, line, at, text_anchor="start" if shape.icon else "middle")
    ink = "text" if shape.heat else "soft"  # legible on every shade
    base = top + 15 * len(shape.lines) + 10.5
    if shape.heat:
        _draw_heat(element, shape.heat, (left if shape.icon else middle[0] - shape.heat.width / 2, base))
        base += 14
    if shape.note:
        if shape.note_icon:
            draw_icon(element, shape.note_icon, (left + 5, base - 4), 10, ink, weight=1.1)
        write(element, shape.note, (left + (14 if shape.note_icon else 0), base), size=NOTE_SIZE, paint=ink)
    if shape.form is Form.SCOPE:
        add(element, "rect", stroke=stroke, x=x + width - 19, y=y + height - 19, width=12, height=12, stroke_width=1)
        draw_icon(element, "parallel", (x + width - 13, y + height - 13), 9, stroke)


def _legend(statuses: Iterable[str], width: float) -> list[tuple[str, float, int]]:
    """Return the entries of the legend with their left edges and rows."""
    entries, x, row = [], 0.0, 0
    for status in statuses:
        room = text_width(look_of(status).word, NOTE_SIZE) + 38
        if x and x + room > width:
            x, row = 0.0, row + 1
        entries.append((status, x, row))
        x += room
    return entries


def _draw_legend(svg: ET.Element, entries: Iterable[tuple[str, float, int]], top: float) -> None:
    element = ET.SubElement(svg, "g", {"class": "legend"})
    for status, left, row in entries:
        x, y = _PAD + left + 8, top + _LEGEND_ROW * (row + 0.5)
        draw_sign(element, status, (x, y))
        write(element, look_of(status).word, (x + 12, y + 3.7), size=NOTE_SIZE, paint="soft")
