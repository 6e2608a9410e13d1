"""From what a process map shows to SVG, and to text."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import graphviz

from orchkit.view.canvas import (
    HALO,
    add,
    arrow,
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
from orchkit.view.figures import Scale, count_text, duration_text, share_text, times_text
from orchkit.view.layout import lay_out
from orchkit.view.legend import ROW, Entry, Sample, draw_legend, legend_rows, samples
from orchkit.view.map_graph import StopKind
from orchkit.view.scene import NAME_SIZE, NOTE_SIZE
from orchkit.view.text import clean, shorten, text_width, wrap
from orchkit.view.theme import look_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchkit.view.canvas import Point
    from orchkit.view.layout import Layout, Route
    from orchkit.view.map_graph import MapGraph, Stop, Way

__all__ = ["draw_map", "map_text"]

_NAME_WIDTH, _PAD, _ROUND, _BELOW = 160.0, 14.0, 30.0, 30.0
_LINE, _NOTE_LINE = 15.0, 14.0
_SHADES, _PACES = 5, 4
_THIN, _THICK = 1.0, 8.0
_ADVICE = "Draw less: give process_map a larger min_share or a smaller max_nodes; or give it more time with time_limit."


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the sizes and shades of a map are measured by."""

    graph: MapGraph
    total: int
    shades: Scale
    paces: Scale
    show: str  # all, frequency or time

    @property
    def shade_name(self) -> str:
        return "heat" if self.show == "time" else "level"

    def shade(self, stop: Stop) -> str:
        value = stop.median_s if self.show == "time" else stop.count
        if math.isnan(value):
            return "box"
        return f"{self.shade_name}-{self.shades.spread(_SHADES)[self.shades.place(value)]}"

    def pace(self, way: Way) -> str:
        if math.isnan(way.median_s) or self.show == "frequency":
            return "pace-0"
        return f"pace-{self.paces.spread(_PACES)[self.paces.place(way.median_s)]}"

    def width(self, way: Way) -> float:
        if self.show == "time":
            slow = 0 if math.isnan(way.median_s) else self.paces.spread(_PACES)[self.paces.place(way.median_s)]
            return _THIN + (_THICK - _THIN) * 0.7 * slow / (_PACES - 1)
        largest = max(other.count for other in self.graph.ways)
        return _THIN + (_THICK - _THIN) * way.count / largest


def map_text(label: str, graph: MapGraph) -> str:
    """Return a map as indented text."""
    names = {stop.key: _name(stop) for stop in graph.stops}
    lines = [label]
    for stop in graph.stops:
        ways = [way for way in graph.ways if way.source == stop.key]
        if stop.kind is StopKind.END:
            continue
        counts = "" if stop.kind is StopKind.START else f"{_times(stop.count)} in "
        failed = f", {_times(stop.failed)} failed" if stop.failed else ""
        lines.append(f"  {names[stop.key]}: {counts}{_cases(stop.cases)}{failed}{_took(stop)}")
        lines += [f"    → {names[way.target]}: {_times(way.count)}{_took(way)}" for way in ways]
    return "\n".join(lines)


@lru_cache(maxsize=32)
def draw_map(
    label: str,
    graph: MapGraph,
    total: int,
    min_share: float,
    direction: str,
    time_limit_s: float,
    show: str = "all",
) -> str:
    """Return the drawing of a map, an ``svg`` element as text: its ways from rare to frequent, its stops in order."""
    stops_shown = [stop for stop in graph.stops if stop.kind is StopKind.ACTIVITY]
    if show == "time":
        shades = Scale.of([stop.median_s for stop in stops_shown], _SHADES)
    else:
        shades = Scale.of([stop.count for stop in stops_shown], _SHADES, logarithmic=False)
    paces = Scale.of([way.median_s for way in graph.ways], _PACES)
    plan = _Plan(graph, total, shades, paces, show)
    layout = lay_out(_source(plan, direction), time_limit_s, _ADVICE)
    legend = list(_legend(plan, min_share))
    inner = max(layout.width, 300.0, *(entry.width for entry in legend))
    width, bottom = inner + 2 * _PAD, layout.height + 2 * _PAD
    rows = legend_rows(legend, inner)
    svg = page(label, width, bottom + ROW * len(rows) + 8)
    left = _PAD + (inner - layout.width) / 2
    body = ET.SubElement(svg, "g", {"transform": f"translate({digits(left)} {digits(_PAD)})"})
    stops = {stop.key: stop for stop in graph.stops}
    routes = [
        (way, _up_to_sign(stops[way.target], layout.centers[way.target], layout.routes[f"e{number}"]))
        for number, way in enumerate(graph.ways)
    ]
    for way, route in sorted(routes, key=lambda item: item[0].count):
        _draw_way(body, plan, way, route, stops)
    for stop in graph.stops:
        _draw_stop(body, plan, stop, layout)
    for way, route in routes:
        _draw_label(body, plan, way, route, across=direction == "LR")
    draw_legend(svg, rows, _PAD, bottom + 6)
    return finished(svg)


# Words.


def _name(stop: Stop) -> str:
    if stop.kind is StopKind.END:
        look = look_of(stop.status)
        return f"{look.sign} {'still open' if stop.status == 'RUNNING' else look.word}"
    return clean(shorten(stop.name, 80))


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count:,} times"


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count:,} cases"


def _took(item: Stop | Way) -> str:
    if math.isnan(item.median_s):
        return ""
    median = "half of them overlap" if item.median_s < 0 else f"median {duration_text(item.median_s)}"
    within = f", 95% within {duration_text(item.p95_s)}" if item.p95_s > 0 else ""
    return f", {median}{within}"


def _tip(stop: Stop) -> str:
    lines = [clean(shorten(stop.name, 400))]
    if stop.kind is StopKind.END:
        return f"{_cases(stop.cases)}: {'still open' if stop.status == 'RUNNING' else look_of(stop.status).word}"
    if stop.kind is StopKind.START:
        return f"{_cases(stop.cases)} begin here"
    at_least = "at least " if stop.kind is StopKind.MORE else ""
    lines.append(f"{_times(stop.count)} in {at_least}{_cases(stop.cases)}")
    if stop.failed:
        lines.append(f"{_times(stop.failed)} it failed")
    if _took(stop):
        lines.append(_took(stop)[2:])
    if stop.names:
        lines.append(clean(shorten(", ".join(shorten(name) for name in stop.names[:40]), 800)))
    return "\n".join(lines)


# The layout. Names stay out of the source: only sizes go in, and the figures of the lines.


def _lines(stop: Stop) -> tuple[str, ...]:
    return wrap(clean(stop.name).strip() or "(blank)", _NAME_WIDTH, NAME_SIZE)


def _notes(plan: _Plan, stop: Stop) -> list[tuple[str, str]]:
    """Return the lines below a name, each with its icon."""
    notes = [("", f"{count_text(stop.count)} · {share_text(stop.cases / max(plan.total, 1))} of cases")]
    if stop.kind is StopKind.MORE:
        notes = [("", count_text(stop.count))]
    times = "ends before it starts" if stop.median_s < 0 else times_text(stop.median_s, stop.p95_s)
    if times and plan.show == "time":
        notes = [("clock", times)]
    elif times and plan.show == "all":
        notes.append(("clock", times))
    return notes


def _size(plan: _Plan, stop: Stop) -> tuple[float, float]:
    if stop.kind in {StopKind.START, StopKind.END}:
        return _ROUND, _ROUND
    lines, notes = _lines(stop), _notes(plan, stop)
    widths = [text_width(line, NAME_SIZE, bold=True) for line in lines]
    widths += [text_width(note, NOTE_SIZE) + (14 if icon else 0) for icon, note in notes]
    return max(96.0, max(widths) + 24), len(lines) * _LINE + len(notes) * _NOTE_LINE + 16


def _caption(plan: _Plan, way: Way) -> tuple[str, str]:
    """Return the two lines at a way: how often, and after what time; an empty one is not shown."""
    count, times = count_text(way.count), times_text(way.median_s, way.p95_s)
    return "" if plan.show == "time" else count, "" if plan.show == "frequency" else times


def _source(plan: _Plan, direction: str) -> str:
    graph = graphviz.Digraph(
        "map",
        graph_attr={"rankdir": direction, "nodesep": "0.35", "ranksep": "0.35", "margin": "0", "pad": "0.1"},
        node_attr={"shape": "box", "fixedsize": "true", "label": ""},
        edge_attr={"fontname": "Arial", "fontsize": "11"},
    )
    for stop in plan.graph.stops:
        width, height = _size(plan, stop)
        shape = "circle" if stop.kind in {StopKind.START, StopKind.END} else "box"
        if stop.kind is StopKind.END:  # with room for its words below, and as much above, so that its middle stays
            beside = max(text_width(words, NOTE_SIZE) for words in _end_words(stop))
            width, height, shape = max(width, beside), height + 2 * _BELOW, "box"
        attributes = {"width": f"{width / 72:.4f}", "height": f"{height / 72:.4f}", "shape": shape}
        graph.node(stop.key, **attributes)
    with graph.subgraph(graph_attr={"rank": "source"}) as first:
        first.node("start")
    largest = max((way.cases for way in plan.graph.ways), default=1)
    for number, way in enumerate(plan.graph.ways):
        room = [line.replace(" ", "\N{NO-BREAK SPACE}") for line in _caption(plan, way) if line]
        graph.edge(
            way.source,
            way.target,
            id=f"e{number}",
            label="\\n".join(f" {line} " for line in room),
            weight=f"{1 + round(40 * way.cases / largest)}",
            arrowsize=f"{0.6 + plan.width(way) / 10:.2f}",
        )
    return str(graph.source)


# The drawing.


def _up_to_sign(stop: Stop, middle: Point, route: Route) -> Route:
    """Return a route that ends at the sign of an end, and not where the room of its words begins."""
    if stop.kind is not StopKind.END or route.tip is None:
        return route
    (x, y), (tip_x, tip_y) = middle, route.tip
    share = 1 - _ROUND / 2 / max(math.hypot(tip_x - x, tip_y - y), _ROUND / 2)
    by = (x - tip_x) * share, (y - tip_y) * share
    *before, handle, last = route.points
    return replace(route, points=(*before, moved(handle, by), moved(last, by)), tip=moved(route.tip, by))


def _draw_way(parent: ET.Element, plan: _Plan, way: Way, route: Route, stops: Mapping[str, Stop]) -> None:
    element = ET.SubElement(parent, "g", {"class": "way"})
    share = f"{_times(way.count)} in {_cases(way.cases)}, {share_text(way.cases / max(plan.total, 1))} of all"
    took = _took(way)[2:]
    names = f"{_name(stops[way.source])} → {_name(stops[way.target])}"
    ET.SubElement(element, "title").text = "\n".join(line for line in (names, share, took) if line)
    paint, width = plan.pace(way), plan.width(way)
    path = f"M{pair(route.points[0])}C" + " ".join(pair(point) for point in route.points[1:])
    quiet = {stops[way.source].kind, stops[way.target].kind} & {StopKind.START, StopKind.END}
    add(element, "path", stroke=paint, d=path, stroke_width=width, **({"stroke_dasharray": "5 4"} if quiet else {}))
    if route.tip:
        add(element, "polygon", fill=paint, points=arrow(route.points[-1], route.tip, 2.6 + 0.6 * width))
    add(element, "path", d=path, stroke_width=max(width, 10), style="stroke:transparent;pointer-events:stroke")


def _draw_label(parent: ET.Element, plan: _Plan, way: Way, route: Route, *, across: bool) -> None:
    """Write the figures of a way beside it: Graphviz leaves room beside the middle of the line, not beside its edge."""
    count, times = _caption(plan, way)
    if route.label is None or not (count or times):
        return
    (x, y), half = route.label, plan.width(way) / 2
    x, y = (x, y - half) if across else (x + half, y)
    width = max(text_width(count, NOTE_SIZE), text_width(times, NOTE_SIZE))
    height = 26.0 if count and times else 14.0
    corner = x - width / 2, y - height / 2
    add(parent, "rect", fill="page", fill_opacity=0.75, x=corner[0], y=corner[1], width=width, height=height, rx=3)
    top = y - 2.5 if count and times else y + 3.7
    if count:
        write(parent, count, (x, top), size=NOTE_SIZE, text_anchor="middle", font_weight="bold", **HALO)
        top += 12.5
    if times:
        paint = "soft" if count else "text"
        write(parent, times, (x, top), size=NOTE_SIZE, paint=paint, text_anchor="middle", **HALO)


def _end_words(stop: Stop) -> tuple[str, str]:
    return ("still open" if stop.status == "RUNNING" else look_of(stop.status).word), count_text(stop.cases)


def _draw_stop(parent: ET.Element, plan: _Plan, stop: Stop, layout: Layout) -> None:
    x, y = middle = layout.centers[stop.key]
    element = titled(parent, f"stop {stop.kind}", clean(shorten(stop.name, 200)), _tip(stop))
    match stop.kind:
        case StopKind.START:
            add(element, "circle", fill="box", stroke="line", cx=x, cy=y, r=13, stroke_width=1.5)
            add(element, "path", fill="line", d=f"M{pair((x - 4, y - 6))}l10 6l-10 6z")
        case StopKind.END:
            _draw_end(element, stop, middle)
        case _:
            _draw_box(element, plan, stop, middle)


def _draw_end(element: ET.Element, stop: Stop, middle: Point) -> None:
    x, y = middle
    look = look_of(stop.status)
    word, count = _end_words(stop)
    add(element, "circle", fill=f"{look.paint}-tint", stroke=look.paint, cx=x, cy=y, r=12.5, stroke_width=3)
    draw_icon(element, look.icon, middle, 14, look.paint, weight=1.8)
    for line, (words, weight) in enumerate(((word, "normal"), (count, "bold"))):
        at = (x, y + 27 + 13 * line)
        write(element, words, at, size=NOTE_SIZE, text_anchor="middle", font_weight=weight, **HALO)


def _draw_box(element: ET.Element, plan: _Plan, stop: Stop, middle: Point) -> None:
    width, height = _size(plan, stop)
    x, y = middle[0] - width / 2, middle[1] - height / 2
    if stop.kind is StopKind.MORE:
        add(element, "rect", fill="box", stroke="line", x=x + 4, y=y - 4, width=width, height=height, rx=8)
    fill = "box" if stop.kind is StopKind.MORE else plan.shade(stop)
    add(element, "rect", fill=fill, stroke="line", x=x, y=y, width=width, height=height, rx=8, stroke_width=1.2)
    base = y + 8 + 11.5
    for line in _lines(stop):
        write(element, line, (middle[0], base), text_anchor="middle", font_weight="bold")
        base += _LINE
    base -= 1
    for icon, note in _notes(plan, stop):
        room = text_width(note, NOTE_SIZE) + (14 if icon else 0)
        if icon:
            draw_icon(element, icon, (middle[0] - room / 2 + 5, base - 3.7), 10, "text", weight=1.1)
        write(element, note, (middle[0] + (7 if icon else 0), base), size=NOTE_SIZE, text_anchor="middle")
        base += _NOTE_LINE
    if stop.failed:
        room = text_width(count_text(stop.failed), NOTE_SIZE) + 10
        right = x + width + 8
        add(element, "rect", fill="page", stroke="failed", x=right - room - 8, y=y - 7, width=room + 8, height=14, rx=7)
        write(element, count_text(stop.failed), (right - room + 4, y + 3.7), size=NOTE_SIZE)
        draw_sign(element, "FAILED", (right - room - 6, y))


# The legend.


def _legend(plan: _Plan, min_share: float) -> Iterator[Entry]:
    shown, graph = plan.graph.ways, plan.graph
    if any(stop.kind is StopKind.ACTIVITY for stop in graph.stops):
        shades = plan.shades.spread(_SHADES)
        if plan.show != "time":
            yield Entry("Steps:", samples(plan.shades, "level", shades, lambda value: count_text(math.ceil(value))))
        elif any(not math.isnan(stop.median_s) for stop in graph.stops):
            yield Entry("Median time of a step:", samples(plan.shades, "heat", shades, duration_text))
    if plan.show != "frequency" and any(not math.isnan(way.median_s) for way in shown):
        paces = plan.paces.spread(_PACES)
        yield Entry("Median time between:", samples(plan.paces, "pace", paces, duration_text, line=3.0))
    if shown and plan.show != "time":
        widths = {way.count: plan.width(way) for way in shown}
        ends = sorted({min(widths), max(widths)})
        yield Entry("Times taken:", tuple(Sample("pace-0", count_text(count), widths[count]) for count in ends))
    if (left := graph.flows - len(shown)) > 0:
        flows = "1 flow" if left == 1 else f"{left:,} flows"
        rare = f"less than {share_text(min_share)} of the cases" if min_share else "the fewest cases"
        yield Entry(f"{flows} of {rare} left out")
