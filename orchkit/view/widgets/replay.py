"""`Replay`: cases move over the map of their log, or a run over its workflow, as time goes by."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from orchkit.analysis.spans import begins_s, moments_s
from orchkit.engine import Run
from orchkit.errors import RenderError
from orchkit.log import EventLog
from orchkit.model.states import StepStatus
from orchkit.view.diagram import Diagram, draw
from orchkit.view.process_map import ProcessMap, process_map
from orchkit.view.scene import Form
from orchkit.view.text import clean, shorten
from orchkit.view.widgets.base import Widget

__all__ = ["Replay"]

_MOST_LEGS = 60_000  # what a browser draws sixty times a second, and a message holds
_LENGTH = 1_000_000  # of a replay, in its own units
_EDGE = 8_000  # units for the way in and the way out, which take no time
_SLOT = 100.0  # units in which a token of a run goes from one node to the next, while its clock stands still

Leg = tuple[int, int, int, int, int, int]  # from, until, node, next node, line (-1: none), whether it failed


class Replay(Widget, module="replay"):
    """Play a log or a run in time: tokens move over the map of the log, or over the workflow of the run.

    A token of a log is a case: during an activity it stands below its box, between two activities it is on the line. A
    token of a run is a step, since a run may have parallel branches, and the clock stands still while tokens go from
    node to node. Numbers at the boxes say how many tokens are there. For readers who prefer reduced motion
    (``prefers-reduced-motion``), time advances in steps.

    Parameters
    ----------
    log
        A log, or a run of an engine.
    max_cases
        How many cases move at most. If the log has more, this many are picked evenly by their start, and the view says
        so.
    min_share
        Flows that a smaller share of the cases takes are not drawn, as in `process_map`; tokens move there in a
        straight line.

    Raises
    ------
    RenderError
        Neither a log nor a run.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> replay = Replay(log)
    >>> replay.state["note"], len(replay.state["tokens"])
    ('2 cases', 2)
    """

    def __init__(self, log: EventLog | Run, *, max_cases: int = 2_000, min_share: float = 0.05) -> None:
        super().__init__()
        self._drawn: ProcessMap | Diagram
        if isinstance(log, EventLog):
            self._drawn = process_map(log, min_share=min_share, show="frequency")
            found = _of_log(log, self._drawn, max_cases)
        elif isinstance(log, Run):
            self._drawn = draw(log.workflow)
            found = _of_run(log, self._drawn)
        else:
            message = f"Replay takes an event log or a run, not {type(log).__name__!r}."
            raise RenderError(message)
        self.state = {"svg": self._drawn.to_svg(), "length": _LENGTH, **found}

    def picture(self) -> ProcessMap | Diagram:
        """Return what the tokens move over."""
        return self._drawn


def _of_log(log: EventLog, drawn: ProcessMap, max_cases: int) -> dict[str, Any]:
    begun, ended = begins_s(log), moments_s(log.steps["completed"])
    ended = np.where(np.isnan(ended), begun, ended)
    known = ~np.isnan(begun)
    if not known.any():
        return {"kind": "map", "note": "No case has steps.", "tokens": [], "clock": [[0, 0.0], [_LENGTH, 0.0]]}
    first, last = float(np.min(begun[known])), float(np.max(ended[known]))
    span = max(last - first, 1e-6)

    def unit(times: Any) -> Any:  # noqa: ANN401 -- an array
        return (_EDGE + (times - first) / span * (_LENGTH - 2 * _EDGE)).astype(np.int64)

    stops = {stop.key: place for place, stop in enumerate(drawn.graph.stops)}
    names = {name: stops[stop.key] for stop in drawn.graph.stops for name in (stop.names or (stop.name,))}
    nodes = [names.get(str(name), 0) for name in log.activities]
    ends = [stops.get(f"end-{status}", -1) for status in log.cases["status"]]
    ways = sorted(drawn.graph.ways, key=lambda way: way.count)
    lines = {(stops[way.source], stops[way.target]): place for place, way in enumerate(ways)}
    starts, stops_at = unit(np.where(known, begun, first)), unit(np.where(known, ended, first))
    failed = (log.steps["status"] == StepStatus.FAILED).to_numpy()
    sizes = np.diff(log.offsets)
    chosen = np.flatnonzero(sizes)
    most = min(max_cases, int(_MOST_LEGS / 2 / max(float(np.mean(sizes[chosen])), 1.0)) + 1)
    if len(chosen) > most:
        order = chosen[np.argsort(starts[log.offsets[chosen]], kind="stable")]
        chosen = order[np.linspace(0, len(order) - 1, most).astype(np.intp)]
    tokens = []
    for case in chosen.tolist():
        rows = range(int(log.offsets[case]), int(log.offsets[case + 1]))
        visits = (
            (nodes[log.activity_codes[row]], int(starts[row]), int(stops_at[row]), bool(failed[row])) for row in rows
        )
        tokens.append(list(_way(visits, lines, ends[case])))
    cases = "1 case" if len(chosen) == 1 else f"{len(chosen):,} cases"
    note = cases if len(chosen) == len(log) else f"{cases} of {len(log):,}, picked evenly by their start"
    clock = [[0, first], [_EDGE, first], [_LENGTH - _EDGE, last], [_LENGTH, last]]
    return {"kind": "map", "note": note, "tokens": tokens, "clock": clock}


def _way(visits: Iterable[tuple[int, int, int, bool]], lines: dict[tuple[int, int], int], end: int) -> Iterator[Leg]:
    """Yield the legs of a case, one after the other: steps beside one another are passed in the order of their ends."""
    at, node, bad = -1, 0, False
    for place, begun, ended, failed in visits:
        begun = max(begun, at)  # noqa: PLW2901 -- a token is never in two places
        yield (begun - _EDGE if at < 0 else at, begun, node, place, lines.get((node, place), -1), int(bad))
        at, node, bad = max(ended, begun), place, failed
        yield (begun, at, node, node, -1, int(failed))
    if end >= 0:
        yield (at, at + _EDGE, node, end, lines.get((node, end), -1), int(bad))


def _of_run(run: Run, drawn: Diagram) -> dict[str, Any]:
    shapes = [shape for shape in drawn.scene.shapes() if shape.form is not Form.ANCHOR]
    places = {shape.node: place for place, shape in enumerate(shapes)}
    ids = {shape.id: place for place, shape in enumerate(shapes)}
    steps = run.steps()
    begun, ended = moments_s(steps["started"]), moments_s(steps["completed"])
    begun = np.where(np.isnan(begun), moments_s(steps["enabled"]), begun)
    last = float(np.nanmax([begun, ended])) if len(steps) else 0.0
    ended = np.where(np.isnan(ended), last, ended)
    rows = [
        (float(start), float(end), places[str(name)], status == StepStatus.FAILED)
        for start, end, name, status in zip(begun, ended, steps["activity"], steps["status"], strict=True)
        if not np.isnan(start) and str(name) in places
    ]
    rows.sort(key=lambda row: (row[0], row[1]))
    if not rows:
        return {"kind": "run", "note": "No step has begun.", "tokens": [], "clock": [[0, 0.0], [_LENGTH, 0.0]]}
    graph: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, link in enumerate(link for link in drawn.scene.links() if not link.hidden):
        if link.source in ids and link.target in ids:
            graph[ids[link.source]].append((ids[link.target], place))
    moments = sorted({time for row in rows for time in row[:2]})
    before, after, clock = _stages(moments)
    busy = {row[2] for row in rows}
    first = [place for place, shape in enumerate(shapes) if shape.form is Form.START]
    tokens: list[list[Leg]] = []
    for number, (start, end, place, bad) in enumerate(rows):
        sources = [
            row[2] for row in sorted(rows[:number], key=lambda row: -row[1]) if row[1] <= start and row[2] != place
        ]
        path = next((found for source in [*sources, *first] if (found := _path(graph, source, place, busy))), [])
        again = any(row[2] == place and row[1] <= start and row[3] for row in rows[:number])
        legs = [] if again else _along(path, before[start], after[start], is_failed=False)
        tokens.append([*legs, (after[start], max(before[end], after[start] + 1), place, place, -1, int(bad))])
    leaving = max(rows, key=lambda row: row[1])
    goals = [place for place, shape in enumerate(shapes) if shape.form in {Form.END, Form.TERMINATE, Form.ERROR}]
    path = next((found for goal in goals if (found := _path(graph, leaving[2], goal, busy))), [])
    if run.status.is_final and path:
        tokens.append(_along(path, before[leaving[1]], _LENGTH, is_failed=leaving[3]))
    note = f"{len(rows):,} attempts of case {clean(shorten(run.case_id, 60))}"
    return {"kind": "run", "note": note, "tokens": tokens, "clock": clock}


def _stages(moments: list[float]) -> tuple[dict[float, int], dict[float, int], list[list[float]]]:
    """Return when each moment comes and is over, in units, and the clock: it stands still while tokens go on."""
    gaps = np.diff(moments)
    lengths = 60.0 + 240.0 * np.sqrt(gaps / max(float(gaps.max(initial=0.0)), 1e-9))  # the short ones are seen too
    scale = _LENGTH / (_SLOT * len(moments) + float(lengths.sum()))
    before, after, clock, at = {}, {}, [], 0.0
    for place, moment in enumerate(moments):
        before[moment] = round(at * scale)
        at += _SLOT
        after[moment] = round(at * scale)
        clock += [[before[moment], moment], [after[moment], moment]]
        at += float(lengths[place]) if place < len(lengths) else 0.0
    return before, after, clock


def _path(
    graph: dict[int, list[tuple[int, int]]], source: int, target: int, busy: set[int]
) -> list[tuple[int, int, int]]:
    """Return the shortest way through nodes that do no work: pairs of nodes, each with its line."""
    came: dict[int, tuple[int, int]] = {}
    waiting = deque([source])
    while waiting:
        node = waiting.popleft()
        for following, line in graph[node]:
            if following in came:
                continue
            came[following] = (node, line)
            if following == target:
                found: list[tuple[int, int, int]] = []
                at = target
                while not found or at != source:
                    before, line_there = came[at]
                    found.append((before, at, line_there))
                    at = before
                return found[::-1]
            if following not in busy:
                waiting.append(following)
    return []


def _along(path: list[tuple[int, int, int]], begun: int, ended: int, *, is_failed: bool) -> list[Leg]:
    bounds = np.linspace(begun, ended, len(path) + 1).astype(int).tolist()
    return [
        (bounds[place], bounds[place + 1], source, target, line, int(is_failed))
        for place, (source, target, line) in enumerate(path)
    ]
