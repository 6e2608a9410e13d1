"""What a `LogExplorer` shows of a log, as JSON: each thing that can be clicked has an offer, a question to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from orchkit.analysis.spans import case_durations_s
from orchkit.columns import CASE_COLUMNS
from orchkit.errors import LogError, RenderError
from orchkit.log import EventLog
from orchkit.units import format_duration
from orchkit.view.charts.chevrons import paths_of
from orchkit.view.figures import share_text
from orchkit.view.html import cell_text
from orchkit.view.map_graph import StopKind
from orchkit.view.process_map import ProcessMap
from orchkit.view.text import clean, shorten
from orchkit.view.theme import HUES
from orchkit.view.widgets.questions import Question

__all__ = ["Column", "Offers", "column_of", "columns_of", "map_of", "table_of", "variants_of"]

_ROWS, _CHEVRONS, _NAME, _CELL = 60, 40, 40, 160
_FEW = 12  # values of a number that are listed one by one


class Offers:
    """Questions by the name under which the page asks them: the text stays here, however long."""

    def __init__(self) -> None:
        self._names: dict[Question, str] = {}
        self._questions: dict[str, Question] = {}

    def offer(self, question: Question) -> str:
        """Return the name of a question, always the same."""
        name = self._names.setdefault(question, f"q{len(self._names)}")
        self._questions[name] = question
        return name

    def where(self, **asked: Any) -> str:  # noqa: ANN401 -- as in `where`
        """Return the name of what `where` is asked."""
        return self.offer(Question(tuple(asked.items())))

    def question(self, name: str) -> Question:
        """Return the question of a name."""
        if name not in self._questions:
            message = f"Nothing is offered as {name!r}."
            raise LogError(message)
        return self._questions[name]


@dataclass(frozen=True, slots=True)
class Column:
    """An attribute that cases are told apart by; ``name`` is that of its column."""

    name: str
    title: str
    is_number: bool = False


_CYCLE, _RESOURCE, _STATUS = Column("", "cycle time"), Column("resource", "resource"), Column("status", "outcome")


def map_of(drawn: ProcessMap, offers: Offers) -> dict[str, Any]:
    """Return the drawing, and for its stops and ways, in the order in which they are drawn, what may be asked."""
    try:
        svg = drawn.to_svg()
    except RenderError as error:
        return {"empty": str(error)}
    stops = {stop.key: stop for stop in drawn.graph.stops}
    found_stops, found_ways = [], []
    for stop in drawn.graph.stops:
        asks: list[dict[str, Any]] = []
        if stop.kind is StopKind.ACTIVITY:
            asks = [
                *_both(offers.where(activity=stop.name), "with it", "without it"),
                _one(offers.where(starts_with=stop.name), "that begin with it"),
                _one(offers.where(ends_with=stop.name), "that end with it"),
            ]
        elif stop.kind is StopKind.END:
            asks = _both(offers.where(status=stop.status), "that end so", "that do not")
        found_stops.append(
            {"name": _short(stop.name.lower() if stop.kind is StopKind.END else stop.name), "asks": asks}
        )
    for way in sorted(drawn.graph.ways, key=lambda way: way.count):
        source, target = stops[way.source], stops[way.target]
        asks = []
        if {source.kind, target.kind} == {StopKind.ACTIVITY}:
            asks = _both(offers.where(path=(source.name, target.name)), "that take it", "that do not")
        elif source.kind is StopKind.START and target.kind is StopKind.ACTIVITY:
            asks = _both(offers.where(starts_with=target.name), "that begin so", "that do not")
        elif source.kind is StopKind.ACTIVITY and target.kind is StopKind.END:
            both = offers.where(ends_with=source.name, status=target.status)
            asks = _both(both, "that end so", "that do not")
        ends = [_short(stop.name.lower() if stop.kind is StopKind.END else stop.name) for stop in (source, target)]
        place = [list(stops).index(way.source), list(stops).index(way.target)]
        found_ways.append({"name": " → ".join(ends), "asks": asks, "ends": place})
    return {"svg": svg, "stops": found_stops, "ways": found_ways}


def variants_of(log: EventLog, table: pd.DataFrame, offers: Offers) -> dict[str, Any]:
    """Return the most frequent ways, a chevron a step."""
    shown = table.head(_ROWS)
    if not len(shown):
        return {"empty": "No case has steps."}
    counts = np.bincount(log.activity_codes, minlength=len(log.activities))
    hues = {str(log.activities[code]): place for place, code in enumerate(np.argsort(-counts, kind="stable")[:HUES])}
    rows = [
        {
            "ask": offers.where(variant=row["variant"]),
            "cases": f"{row['cases']:,}",
            "share": share_text(row["share"]),
            "width": round(row["share"] / float(shown["share"].iloc[0]), 4),
            "time": "-" if pd.isna(row["median_s"]) else format_duration(float(f"{row['median_s']:.3g}")),
            "steps": [
                {"text": _short(name) + (f" x{times}" if times > 1 else ""), "hue": hues.get(name, -1)}
                for name, times in path[:_CHEVRONS]
            ],
            "more": max(len(path) - _CHEVRONS, 0),
        }
        for row, path in zip(shown.to_dict("records"), paths_of(log, shown), strict=True)
    ]
    left = len(table) - len(shown)
    covered = share_text(float(shown["cumulative_share"].iloc[-1]))
    note = f"{len(table):,} variants" + (f"; the first {len(shown)} are {covered} of the cases" if left else "")
    return {"rows": rows, "note": note}


def table_of(frame: pd.DataFrame, offers: Offers, empty: str) -> dict[str, Any]:
    """Return a frame with one row per activity as cells; each row keeps the cases with its activity."""
    shown = frame.head(_ROWS)
    if not len(shown):
        return {"empty": empty}
    columns = [
        {"name": f"c{place}", "title": _title(name), "number": pd.api.types.is_numeric_dtype(frame[name].dtype)}
        for place, name in enumerate(map(str, frame))
    ]
    rows = [
        {f"c{place}": _cell(value, str(name)) for place, (name, value) in enumerate(row.items())}
        | {"ask": offers.where(activity=row["activity"]), "name": _short(row["activity"])}
        for row in shown.to_dict("records")
    ]
    return {"columns": columns, "rows": rows, "note": _rest(len(frame), len(shown))}


def columns_of(log: EventLog) -> list[Column]:
    """Return the attributes that cases can be told apart by."""
    cases = log.cases
    found = [_STATUS, _CYCLE]
    if len(log.resources):
        found.append(_RESOURCE)
    found += [Column(name, name) for name in ("workflow", "version") if len(cases[name].dropna().unique()) > 1]
    for name in cases:
        if name not in CASE_COLUMNS and cases[name].notna().any():
            kind = cases[name].dtype
            is_number = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
            found.append(Column(str(name), _short(name), is_number))
    return found


def column_of(log: EventLog, columns: Sequence[Column], place: int, offers: Offers) -> dict[str, Any]:
    """Return the values of an attribute, and how many cases have each."""
    column = columns[place]
    if column is _CYCLE:
        rows = _durations(log, offers)
    elif column is _RESOURCE:
        pairs = np.unique(log.resource_codes.astype(np.int64) * len(log) + log.case_codes)
        codes, counts = np.unique(pairs // max(len(log), 1), return_counts=True)
        names = [(str(log.resources[code]), int(count)) for code, count in zip(codes, counts, strict=True) if code >= 0]
        rows = [(_short(name), count, offers.where(resource=name)) for name, count in names]
        rows.sort(key=lambda row: -row[1])
    elif column is _STATUS:
        counted = log.cases["status"].astype("str").value_counts()
        rows = [
            (_short(str(name).lower()), int(count), offers.where(status=str(name))) for name, count in counted.items()
        ]
    else:
        rows = _values(log.cases[column.name], column, offers)
    shown = rows[: 2 * _ROWS]
    largest = max((count for _, count, _ in shown), default=1)
    return {
        "titles": [column.title for column in columns],
        "place": place,
        "is_number": column.is_number,
        "values": [
            {
                "text": text,
                "cases": f"{count:,}",
                "share": share_text(count / max(len(log), 1)),
                "width": count / largest,
                "ask": ask,
            }
            for text, count, ask in shown
        ],
        "note": _rest(len(rows), len(shown)),
    }


_Values = list[tuple[str, int, str]]  # in words, cases, offer


def _durations(log: EventLog, offers: Offers) -> _Values:
    """Return classes of how long cases take, from the quickest."""
    known = case_durations_s(log)
    known = known[~np.isnan(known)]
    bounds = sorted({int(bound) for bound in np.quantile(known, [0.25, 0.5, 0.75, 0.95])} - {0}) if len(known) else []
    if not bounds:
        return []
    words = [format_duration(bound) for bound in bounds]
    counts = np.bincount(np.searchsorted(bounds, known, side="right"), minlength=len(bounds) + 1).tolist()
    texts = [
        f"less than {words[0]}",
        *(f"{a} to {b}" for a, b in pairwise(words)),
        f"{words[-1]} or more",
    ]
    asked: list[dict[str, str]] = [{} for _ in texts]
    for place, bound in enumerate(bounds):
        asked[place]["shorter_than"] = f"{bound}s"
        asked[place + 1]["longer_than"] = f"{bound}s"
    return [(text, count, offers.where(**ask)) for text, count, ask in zip(texts, counts, asked, strict=True)]


def _values(values: pd.Series, column: Column, offers: Offers) -> _Values:
    missing = int(values.isna().sum())
    rest: _Values = [("(missing)", missing, offers.offer(Question(column=column.name)))] if missing else []
    known = values.dropna()
    if column.is_number:
        known = known[np.isfinite(known.astype("float64"))]
    if column.is_number and known.nunique() > _FEW:
        bounds = np.unique(np.quantile(known.astype("float64"), np.linspace(0, 1, 9)))
        classes = np.clip(np.searchsorted(bounds, known.astype("float64"), side="right") - 1, 0, len(bounds) - 2)
        found = []
        for place, (low, high) in enumerate(pairwise(bounds)):
            is_last = place == len(bounds) - 2
            ask = Question(column=column.name, low=float(low), high=float(high), is_below=not is_last)
            found.append((f"{low:,.6g} to {high:,.6g}", int((classes == place).sum()), offers.offer(ask)))
        return [*found, *rest]
    counted = known.astype("str").value_counts()
    found = [
        (_short(text), int(count), offers.offer(Question(column=column.name, value=str(text))))
        for text, count in counted.head(4 * _ROWS).items()
    ]
    return [*found, *rest]


def _one(ask: str, words: str, *, is_without: bool = False) -> dict[str, Any]:
    return {"ask": ask, "words": words, "is_without": is_without}


def _both(ask: str, words: str, others: str) -> list[dict[str, Any]]:
    return [_one(ask, words), _one(ask, others, is_without=True)]


def _short(name: object) -> str:
    return clean(shorten(str(name), _NAME)) or "(blank)"


def _title(name: str) -> str:
    return name.removesuffix("_s").replace("_", " ")


def _cell(value: object, name: str) -> str:
    if isinstance(value, float) and not np.isnan(value):
        if name.endswith("_s"):
            return (
                format_duration(float(f"{value:.3g}")) if value >= 0 else f"-{format_duration(float(f'{-value:.3g}'))}"
            )
        if "share" in name or "rate" in name:
            return share_text(value)
    return clean(shorten(cell_text(value, name), _CELL))


def _rest(rows: int, shown: int) -> str:
    return f"… {rows - shown:,} more rows" if rows > shown else ""
