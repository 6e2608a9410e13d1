"""What a process map shows of a log: the stops and ways that are frequent enough, and those that connect the rest."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from orchkit.columns import ENDED_CASES
from orchkit.model.states import RunStatus

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    import pandas as pd

__all__ = ["MapGraph", "Stop", "StopKind", "Way", "map_graph"]


_MOST_WAYS = 200  # more are a ball of wool, and Graphviz takes minutes for them
_Neighbors = dict[str, list[tuple[int, str, int]]]  # by key: a way's position, its other end, its cases


class StopKind(StrEnum):
    """What a stop of the map stands for."""

    START = "start"
    ACTIVITY = "activity"
    MORE = "more"  # the rare activities, drawn as one
    END = "end"


@dataclass(frozen=True, slots=True)
class Stop:
    """A node of the map; ``status`` is that of the cases that end here, ``names`` what one box stands for many of."""

    key: str
    kind: StopKind
    name: str
    count: int = 0
    cases: int = 0
    failed: int = 0
    median_s: float = float("nan")
    p95_s: float = float("nan")
    status: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """A flow of the map, between the keys of two stops; its times are missing where nothing tells them."""

    source: str
    target: str
    count: int
    cases: int
    median_s: float = float("nan")
    p95_s: float = float("nan")


@dataclass(frozen=True, slots=True)
class MapGraph:
    """What is drawn, and how many flows there were to choose from."""

    stops: tuple[Stop, ...]
    ways: tuple[Way, ...]
    flows: int


def map_graph(
    activities: pd.DataFrame,
    flows: pd.DataFrame,
    starts: pd.DataFrame,
    ends: pd.DataFrame,
    *,
    least_cases: float,
    max_nodes: int,
) -> MapGraph:
    """Return the stops and ways that are shown of a log's activities and flows.

    Shown are the ways that at least ``least_cases`` cases take, the most frequent ones where they are too many. Others
    stay where an activity would lose its connection with the start or with an end without them: of all paths there the
    one whose rarest way is the most frequent (the widest path). Beyond ``max_nodes`` the rarest activities are one.
    """
    ranked = activities.sort_values(["cases", "count", "activity"], ascending=[False, False, True])
    names = list(ranked["activity"])
    kept = names if len(names) <= max_nodes else names[: max(max_nodes - 1, 1)]
    keys = {name: f"a{number}" for number, name in enumerate(kept)} | dict.fromkeys(names[len(kept) :], "more")
    ends = ends.assign(status=ends["status"].where(ends["status"].isin(ENDED_CASES), RunStatus.RUNNING))
    stops = [
        Stop("start", StopKind.START, "start", cases=int(starts["cases"].sum())),
        *_activities(ranked.head(len(kept)), keys),
        *_more(ranked.iloc[len(kept) :]),
        *_outcomes(ends),
    ]
    ways = [
        *_merged(("start", keys[row["activity"]], row["cases"]) for row in _rows(starts)),
        *_flows(flows, keys),
        *_merged((keys[row["activity"]], f"end-{row['status']}", row["cases"]) for row in _rows(ends)),
    ]
    shown = _connecting(ways, [stop.key for stop in stops])
    frequent = [number for number, way in enumerate(ways) if way.cases >= least_cases and number not in shown]
    frequent.sort(key=lambda number: -ways[number].cases)
    shown.update(frequent[: max(_MOST_WAYS - len(shown), 0)])
    return MapGraph(tuple(stops), tuple(ways[number] for number in sorted(shown)), len(ways))


def _rows(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    return frame.to_dict("records")


def _activities(frame: pd.DataFrame, keys: dict[str, str]) -> Iterator[Stop]:
    for row in _rows(frame):
        figures = (row["count"], row["cases"], row["failed"], row["median_s"], row["p95_s"])
        yield Stop(keys[row["activity"]], StopKind.ACTIVITY, row["activity"], *figures)


def _more(frame: pd.DataFrame) -> Iterator[Stop]:
    if len(frame):
        figures = (int(frame["count"].sum()), int(frame["cases"].max()), int(frame["failed"].sum()))
        name = f"{len(frame):,} more activities"
        yield Stop("more", StopKind.MORE, name, *figures, names=tuple(frame["activity"]))


def _outcomes(ends: pd.DataFrame) -> Iterator[Stop]:
    sums = ends.groupby("status", sort=False)["cases"].sum().sort_values(ascending=False)
    for status, cases in sums.items():
        yield Stop(f"end-{status}", StopKind.END, str(status), cases=int(cases), status=str(status))


def _merged(rows: Iterable[tuple[str, str, int]]) -> list[Way]:
    """Return a way for each pair of ends; each case is counted once."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for source, target, cases in rows:
        sums[source, target] += cases
    return [Way(source, target, cases, cases) for (source, target), cases in sums.items()]


def _flows(flows: pd.DataFrame, keys: dict[str, str]) -> list[Way]:
    """Return the ways between activities; those from and to the many that are one stop add up, without times."""
    ways: list[Way] = []
    counts: dict[tuple[str, str], int] = defaultdict(int)
    cases: dict[tuple[str, str], int] = defaultdict(int)
    for row in _rows(flows):
        ends = keys[row["source"]], keys[row["target"]]
        if "more" not in ends:
            ways.append(Way(*ends, row["count"], row["cases"], row["median_s"], row["p95_s"]))
        elif ends != ("more", "more"):
            counts[ends] += row["count"]
            cases[ends] = max(cases[ends], row["cases"])  # at least so many: a case may take several
    return [*ways, *(Way(*ends, count, cases[ends]) for ends, count in counts.items())]


def _connecting(ways: Sequence[Way], keys: Sequence[str]) -> set[int]:
    """Return the positions of the ways on the widest path from the start to each stop, and from each to an end."""
    ends = [key for key in keys if key.startswith("end-")]
    leaving: _Neighbors = defaultdict(list)
    entering: _Neighbors = defaultdict(list)
    for number, way in enumerate(ways):
        leaving[way.source].append((number, way.target, way.cases))
        entering[way.target].append((number, way.source, way.cases))
    return _widest(leaving, ["start"]) | _widest(entering, ends)


def _widest(following: _Neighbors, sources: Sequence[str]) -> set[int]:
    """Return the ways of a tree of widest paths (Dijkstra's algorithm, with the least way in place of the sum)."""
    chosen: set[int] = set()
    reached: set[str] = set()
    waiting: list[tuple[float, int, str, int]] = [(float("-inf"), 0, source, -1) for source in sources]
    while waiting:
        width, _, key, number = heapq.heappop(waiting)
        if key in reached:
            continue
        reached.add(key)
        if number >= 0:
            chosen.add(number)
        for way, target, cases in following[key]:
            if target not in reached:
                heapq.heappush(waiting, (max(width, -cases), -cases, target, way))
    return chosen
