"""What every picture is drawn with: SVG elements that are painted by names of the theme.

A drawing refers to nothing outside of itself and has no identifiers, so that several stand side by side in a page.
Paint attributes hold the light theme, for viewers without style sheets; the style sheet adds the dark one.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from orchkit.view.scene import NAME_SIZE
from orchkit.view.theme import DARK, FONT, ICONS, LIGHT, look_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchkit.view.scene import Standing

__all__ = [
    "HALO",
    "HEADING",
    "Point",
    "add",
    "arrow",
    "bezier",
    "digits",
    "draw_heading",
    "draw_icon",
    "draw_sign",
    "finished",
    "moved",
    "page",
    "pair",
    "titled",
    "write",
    "write_middle",
]

Point = tuple[float, float]


def page(label: str, width: float, height: float) -> ET.Element:
    """Return an empty drawing of this size; ``label`` says in words what it shows."""
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "orchkit-diagram",
            "role": "img",
            "aria-label": label,
            "viewBox": f"0 0 {digits(width)} {digits(height)}",
            "width": digits(width),
            "height": digits(height),
            "font-family": FONT,
            # Fills a page that is narrower, but stays legible: the page scrolls then.
            "style": f"width:100%;min-width:{digits(0.7 * width)}px;max-width:{digits(width)}px;height:auto",
        },
    )
    ET.SubElement(svg, "title").text = label
    ET.SubElement(svg, "style")
    add(svg, "rect", fill="page", width=width, height=height, rx=8)
    return svg


def finished(svg: ET.Element) -> str:
    """Return a drawing as text, with the style sheet for the paints in use."""
    style = svg.find("style")
    if style is not None:
        style.text = _style_sheet(svg)
    return ET.tostring(svg, encoding="unicode")


def draw_heading(svg: ET.Element, title: str, subtitle: str, at: Point) -> None:
    """Write the title of a picture and what it comes to, ``HEADING`` high; ``at`` is the upper left corner."""
    x, y = at
    write(svg, title, (x, y + 11), size=14, font_weight="bold")
    write(svg, subtitle, (x, y + 28), paint="soft")


def digits(number: float) -> str:
    """Return a number with two digits after the point at most."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def add(
    parent: ET.Element,
    tag: str,
    *,
    fill: str = "",
    stroke: str = "",
    **attributes: str | float,
) -> ET.Element:
    """Add an element that is painted by names of the theme."""
    classes = [f"{prefix}-{paint}" for prefix, paint in (("f", fill), ("s", stroke)) if paint]
    found = {
        name.replace("_", "-"): digits(value) if isinstance(value, float | int) else value
        for name, value in attributes.items()
    }
    found["fill"] = LIGHT[fill] if fill else "none"
    if stroke:
        found["stroke"] = LIGHT[stroke]
    if classes:
        found["class"] = " ".join(classes)
    return ET.SubElement(parent, tag, found)


def _style_sheet(svg: ET.Element) -> str:
    """Return the rules for the paints in use, in the light and in the dark theme.

    JupyterLab and Visual Studio Code say on the page's body which theme it has; elsewhere the
    reader's system decides.
    """
    used = sorted({name for element in svg.iter() for name in element.get("class", "").split() if name[1:2] == "-"})
    paints = sorted({name[2:] for name in used})

    def themed(selectors: Iterable[str], theme: dict[str, str]) -> str:
        values = "".join(f"--ok-{paint}:{theme[paint]};" for paint in paints)
        return ",".join(f"{selector}.orchkit-diagram" for selector in selectors) + "{" + values + "}"

    properties = {"f": "fill", "s": "stroke"}
    rules = [f".orchkit-diagram .{name}{{{properties[name[0]]}:var(--ok-{name[2:]})}}" for name in used]
    return "".join(
        [
            themed([""], LIGHT),
            "@media (prefers-color-scheme:dark){" + themed([""], DARK) + "}",
            themed(['[data-jp-theme-light="true"] ', ".vscode-light "], LIGHT),
            themed(['[data-jp-theme-light="false"] ', ".vscode-dark "], DARK),
            *rules,
        ],
    )


def draw_icon(parent: ET.Element, name: str, center: Point, size: float, paint: str, *, weight: float = 1.4) -> None:
    """Draw an icon of the theme."""
    x, y = center[0] - size / 2, center[1] - size / 2
    scale = size / 16
    add(
        parent,
        "path",
        stroke=paint,
        d=ICONS[name],
        transform=f"translate({digits(x)} {digits(y)}) scale({digits(scale)})",
        stroke_width=weight / scale,
        stroke_linecap="round",
        stroke_linejoin="round",
    )


def write(
    parent: ET.Element, text: str, at: Point, *, size: float = NAME_SIZE, paint: str = "text", **more: str
) -> None:
    """Write a line of text."""
    element = add(parent, "text", fill=paint, x=at[0], y=at[1], font_size=size, **more)
    element.text = text


def draw_sign(parent: ET.Element, status: str, center: Point) -> None:
    """Draw the sign of a status, a filled circle."""
    look = look_of(status)
    add(parent, "circle", fill=look.paint, stroke="page", cx=center[0], cy=center[1], r=8, stroke_width=1.5)
    draw_icon(parent, look.icon, center, 11, "page", weight=1.7)


def titled(parent: ET.Element, kind: str, node: str, tip: str, standing: Standing | None = None) -> ET.Element:
    """Add a group that stands for something: pointing at it shows ``tip``."""
    attributes = {"class": kind, "data-node": node}
    if standing:
        attributes["data-status"] = standing.status
    element = ET.SubElement(parent, "g", attributes)
    ET.SubElement(element, "title").text = tip
    return element


def moved(point: Point, by: Point) -> Point:
    """Return a point, moved."""
    return point[0] + by[0], point[1] + by[1]


def pair(point: Point) -> str:
    """Return a point as a path takes it."""
    return f"{digits(point[0])} {digits(point[1])}"


def arrow(base: Point, tip: Point, half: float = 3.6) -> str:
    """Return the corners of the head of an arrow, twice ``half`` wide."""
    dx, dy = tip[0] - base[0], tip[1] - base[1]
    length = math.hypot(dx, dy) or 1.0
    across = (-dy / length * half, dx / length * half)
    corners = (tip, moved(base, across), moved(base, (-across[0], -across[1])))
    return " ".join(pair(corner) for corner in corners)


def bezier(points: Sequence[Point], share: float) -> Point:
    """Return the point of a Bézier curve after a share of it."""
    level = list(points)
    while len(level) > 1:
        level = [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for (x0, y0), (x1, y1) in pairwise(level)]
    return level[0]


HEADING = 46.0
HALO = {"stroke": "page", "paint_order": "stroke", "stroke_width": "4", "stroke_linejoin": "round"}


write_middle = partial(write, text_anchor="middle")
