"""`process_map`: the ways that cases took, how often and in what time, as one picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from orchkit.analysis import directly_follows, start_activities
from orchkit.analysis.spans import moments_s, summary
from orchkit.errors import RenderError
from orchkit.log import EventLog, expect_log
from orchkit.model.definition import Workflow
from orchkit.model.states import StepStatus
from orchkit.units import Duration, seconds
from orchkit.view.map_drawing import draw_map, map_text
from orchkit.view.map_graph import MapGraph, map_graph
from orchkit.view.picture import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ProcessMap", "process_map"]


@dataclass(frozen=True, slots=True, eq=False)
class ProcessMap(Picture):
    """The map of a log: tables, and their picture. ``dataclasses.replace(map, min_share=0.2)`` draws with less detail.

    Attributes
    ----------
    cases
        How many cases the log has.
    activities
        ``activity``, ``count`` (steps), ``cases``, ``share`` (of all cases), ``failed`` (steps that failed),
        ``median_s`` and ``p95_s`` (of the seconds from the start to the completion of a step, where both are known).
    flows
        ``source``, ``target``, ``count``, ``cases``, ``share``, and ``mean_s``, ``median_s``, ``p95_s`` of the time
        between, as in `directly_follows`.
    starts
        ``activity``, ``cases``: where cases begin.
    ends
        ``activity``, ``status``, ``cases``: where they end, and with which status.
    min_share, max_nodes, direction, time_limit_s, show
        As in `process_map`.
    graph
        What is shown at this level of detail.
    """

    cases: int
    activities: pd.DataFrame = field(repr=False)
    flows: pd.DataFrame = field(repr=False)
    starts: pd.DataFrame = field(repr=False)
    ends: pd.DataFrame = field(repr=False)
    min_share: float = 0.05
    max_nodes: int = 40
    direction: Literal["LR", "TB"] = "TB"
    time_limit_s: float = 20.0
    show: Literal["all", "frequency", "time"] = "all"
    graph: MapGraph = field(init=False, repr=False)

    def __post_init__(self) -> None:
        graph = map_graph(
            self.activities,
            self.flows,
            self.starts,
            self.ends,
            least_cases=self.min_share * self.cases,
            max_nodes=self.max_nodes,
        )
        object.__setattr__(self, "graph", graph)

    @property
    def label(self) -> str:
        """What the map shows, in a line."""
        graph = self.graph
        cases = "1 case" if self.cases == 1 else f"{self.cases:,} cases"
        return (
            f"Process map of {cases}: {len(self.activities):,} activities, {len(graph.ways):,} of {graph.flows:,} flows"
        )

    @property
    def text(self) -> str:
        """The same as text."""
        return map_text(self.label, self.graph)

    def to_svg(self) -> str:
        """Return the drawing as an ``svg`` element, for a file of its own or inside a page.

        Raises
        ------
        RenderError
            Graphviz is missing, failed or took too long.
        """
        words = self.direction, self.time_limit_s, self.show
        return draw_map(self.label, self.graph, self.cases, self.min_share, *words)


def process_map(
    log: EventLog,
    *,
    min_share: float = 0.05,
    max_nodes: int = 40,
    direction: Literal["LR", "TB"] = "TB",
    time_limit: Duration = "20s",
    show: Literal["all", "frequency", "time"] = "all",
) -> ProcessMap:
    """Return the map of what happened: which activity came next, how often, and after what time.

    A box is an activity: its shade and its number say how often, below stands how long (median, and within which time
    95 of 100 are done). A line is a flow: its width and its upper number say how often, its color and its lower one how
    long from the one to the other. Cases begin at the circle and end at the signs of their statuses.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    min_share
        Flows that a smaller share of the cases takes are left out, 0 to 1, unless an activity would lose its way from
        the start or to an end.
    max_nodes
        How many activities are drawn; the rarest are one box.
    direction
        ``"TB"`` from top to bottom, ``"LR"`` from left to right.
    time_limit
        How long Graphviz may take.
    show
        ``"all"``, only the ``"frequency"``, or only the ``"time"``: then shades and widths say what takes long.

    Raises
    ------
    RenderError
        Not a log; another direction or thing to show; a share outside of 0 to 1.

    Examples
    --------
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> print(process_map(log))
    Process map of 2 cases: 2 activities, 4 of 4 flows
      start: 2 cases
        → check: 2 times
      check: 2 times in 2 cases
        → ship: 1 time, median 1h, 95% within 1h
        → ✓ completed: 1 time
      ship: 1 time in 1 case
        → ✓ completed: 1 time
    """
    if isinstance(log, Workflow):
        message = "process_map takes an event log, not 'Workflow'. A workflow is drawn by draw."
        raise RenderError(message)
    expect_log(log, "process_map")
    if direction not in {"LR", "TB"}:
        message = f"direction is 'LR' (from left to right) or 'TB' (from top to bottom), not {direction!r}."
        raise RenderError(message)
    if show not in {"all", "frequency", "time"}:
        message = f"show is 'all', 'frequency' or 'time', not {show!r}."
        raise RenderError(message)
    if not 0 <= min_share <= 1:
        message = f"min_share is a share of the cases, from 0 to 1, not {min_share!r}."
        raise RenderError(message)
    if max_nodes < 1:
        message = f"max_nodes is at least 1, not {max_nodes!r}."
        raise RenderError(message)
    flows = _flows(log)
    starts = start_activities(log)[["activity", "cases"]]
    tables = _activities(log), flows, starts, _ends(log)
    return ProcessMap(len(log), *tables, min_share, max_nodes, direction, seconds(time_limit), show)


def _activities(log: EventLog) -> pd.DataFrame:
    steps, codes, size = log.steps, log.activity_codes.astype(np.int64), len(log.activities)
    took = moments_s(steps["completed"]) - moments_s(steps["started"])
    table = summary(codes, took, size)
    table.insert(0, "activity", np.asarray(log.activities))
    cases = _cases_with(log.case_codes, codes, size)
    table.insert(2, "cases", cases)
    table.insert(3, "share", cases / max(len(log), 1))
    failed = (steps["status"] == StepStatus.FAILED).to_numpy()
    table.insert(4, "failed", np.bincount(codes[failed], minlength=size))
    table = table[table["count"] > 0]
    return table.sort_values(["count", "activity"], ascending=[False, True], ignore_index=True)


def _flows(log: EventLog) -> pd.DataFrame:
    """Return the directly-follows relation with the number of cases that take each flow."""
    size = max(len(log.activities), 1)
    follows = np.flatnonzero(log.case_codes[1:] == log.case_codes[:-1])
    pairs = log.activity_codes[follows].astype(np.int64) * size + log.activity_codes[follows + 1]
    present, codes = np.unique(pairs, return_inverse=True)
    names = np.asarray(log.activities)
    taken = pd.DataFrame(
        {
            "source": names[present // size],
            "target": names[present % size],
            "cases": _cases_with(log.case_codes[follows], codes, len(present)),
        }
    )
    table = directly_follows(log).merge(taken, on=["source", "target"], validate="1:1")
    table.insert(3, "cases", table.pop("cases"))
    table.insert(4, "share", table["cases"] / max(len(log), 1))
    return table


def _cases_with(cases: NDArray[np.int32], codes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return for each code in how many cases it occurs."""
    key = np.unique(codes.astype(np.int64) * (int(cases.max(initial=0)) + 1) + cases)
    return np.bincount(key // (int(cases.max(initial=0)) + 1), minlength=size)


def _ends(log: EventLog) -> pd.DataFrame:
    some = np.diff(log.offsets) > 0
    last = log.offsets[1:][some] - 1
    table = pd.DataFrame(
        {
            "activity": np.asarray(log.activities)[log.activity_codes[last]],
            "status": log.cases["status"].astype("str").to_numpy()[some],
        }
    )
    table = table.groupby(["activity", "status"], as_index=False).size().rename(columns={"size": "cases"})
    return table.sort_values(["cases", "activity", "status"], ascending=[False, True, True], ignore_index=True)
