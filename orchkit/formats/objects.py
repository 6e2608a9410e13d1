"""Object-centric logs: events that belong to several objects, and the flat log that one type of object sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from orchkit.columns import CASE_PREFIX, STEP_COLUMNS, STEP_STATUSES, UTC, XES_NAMES
from orchkit.errors import LogError, nearest
from orchkit.log import EventLog

__all__ = ["ObjectLog", "flatten", "objects_of"]

ATTRIBUTE_TYPES = ("string", "time", "integer", "float", "boolean")
"""What OCEL 2.0 knows."""

CASE = "case"
_TYPES = {"M": "time", "i": "integer", "u": "integer", "f": "float", "b": "boolean"}
_DTYPES = {"integer": "Int64", "float": "float64", "boolean": "boolean"}
_OWN = ("case_id", "activity", "completed")
_TAKEN = frozenset({*_OWN, *(XES_NAMES[name] for name in _OWN), "ocel:eid", "object_id"})
_CASE_NAMES = frozenset({"workflow", "version", "started", "completed", "status", "replication"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLog:
    """An object-centric log, as OCEL 2.0 defines it: events, objects, and the relations between them.

    Attributes
    ----------
    events
        ``event_id``, ``activity``, ``time`` (UTC).
    objects
        ``object_id``, ``object_type``.
    relations
        ``event_id``, ``object_id``, ``qualifier``: which objects an event is about.
    object_relations
        ``source_id``, ``target_id``, ``qualifier``.
    event_values
        ``event_id``, ``attribute``, ``value``.
    object_values
        ``object_id``, ``attribute``, ``time``, ``value``: from that time on.
    event_types, object_types
        By name of the type, its attributes and their types: ``string``, ``time``, ``integer``, ``float``, ``boolean``.
    notes
        What a reader repaired or dropped.
    """

    events: pd.DataFrame
    objects: pd.DataFrame
    relations: pd.DataFrame
    object_relations: pd.DataFrame
    event_values: pd.DataFrame
    object_values: pd.DataFrame
    event_types: Mapping[str, Mapping[str, str]]
    object_types: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = self.objects["object_type"].value_counts()
        types = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        return f"ObjectLog: {len(self.events):,} events of {len(self.objects):,} objects ({types})"


def flatten(log: ObjectLog, object_type: str | None = None) -> EventLog:
    """Return the log of the objects of one type: each object is a case, each of its events a step.

    An event of several such objects becomes a step of each; an event without one is left out; ``notes`` count both. The
    cases have the object's attributes, with their last values; the steps those of the event, and its number as
    ``ocel:eid``.

    Parameters
    ----------
    log
        Object-centric.
    object_type
        May be left out if events have objects of one type only.

    Raises
    ------
    LogError
        No such type, or several to choose from.
    """
    if not isinstance(log, ObjectLog):
        message = f"flatten takes an object-centric log, not {type(log).__name__}: ok.read_objects(path) gives one."
        raise LogError(message)
    of_type = log.objects.set_index("object_id")["object_type"]
    used = log.relations["object_id"].map(of_type)
    chosen = _chosen(log, used, object_type)
    own = log.relations[(used == chosen).to_numpy()].drop_duplicates(["event_id", "object_id"])
    notes = [*log.notes, f"flattened by {chosen!r}, {int((of_type == chosen).sum()):,} objects"]
    steps = log.events.merge(own[["event_id", "object_id"]], on="event_id", how="inner")
    again = len(own) - own["event_id"].nunique()
    if again:
        notes.append(f"{again:,} steps are events that belong to several objects of the type, once for each")
    left = len(log.events) - own["event_id"].nunique()
    if left:
        notes.append(f"{left:,} events have no object of the type and were left out")
    if not len(steps):
        message = f"No event has an object of type {chosen!r}."
        raise LogError(message)
    wide = _wide(log.event_values, "event_id", log.event_types)
    steps = steps.merge(_renamed(wide, notes), on="event_id", how="left")
    steps = steps.rename(columns={"event_id": "ocel:eid", "object_id": "case_id", "time": "completed"})
    cases = log.objects[(log.objects["object_type"] == chosen).to_numpy()][["object_id"]]
    values = log.object_values.sort_values("time", kind="stable").drop_duplicates(
        ["object_id", "attribute"], keep="last"
    )
    values = values[values["object_id"].isin(cases["object_id"])]
    changed = len(log.object_values[log.object_values["object_id"].isin(cases["object_id"])]) - len(values)
    if changed:
        notes.append(f"{changed:,} earlier values of attributes of objects were left out")
    attributes = _wide(values, "object_id", {chosen: log.object_types.get(chosen, {})})
    names = {name: f"object:{name}" for name in attributes if name in {"case_id", *_CASE_NAMES}}
    cases = cases.merge(attributes.rename(columns=names), on="object_id", how="left")
    cases = cases.rename(columns={"object_id": "case_id"})
    return EventLog(steps, cases).with_notes(notes)


def _chosen(log: ObjectLog, used: pd.Series, object_type: str | None) -> str:
    counts = used.value_counts()
    if object_type is None:
        if len(counts) == 1:
            return str(counts.index[0])
        types = ", ".join(f"{name!r} ({count:,} relations)" for name, count in counts.items()) or "none"
        if not len(log.events) or not len(counts):
            said = "; ".join(log.notes)
            message = f"No event of the file has an object, so that there is no case.{f' {said}.' if said else ''}"
            raise LogError(message)
        message = f"Which objects are the cases? Say object_type=…; events have {types}."
        raise LogError(message)
    if object_type not in log.object_types:
        known = list(log.object_types)
        message = f"There is no object type {object_type!r}.{nearest(object_type, known)} Known: {', '.join(known)}."
        raise LogError(message)
    return object_type


def _wide(values: pd.DataFrame, key: str, types: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Return one row per key, one column per attribute, typed where all types agree."""
    kinds: dict[str, set[str]] = {}
    for attributes in types.values():
        for name, kind in attributes.items():
            kinds.setdefault(name, set()).add(kind)
    table = pd.DataFrame({key: values[key].drop_duplicates().reset_index(drop=True)})
    for name, found in kinds.items():
        held = values[(values["attribute"] == name).to_numpy()].drop_duplicates(key, keep="last")
        if not len(held):
            continue
        column = pd.Series(held["value"].to_numpy(), index=held[key].to_numpy(), dtype=object)
        table[name] = _typed(column.reindex(table[key].to_numpy()).reset_index(drop=True), found)
    return table


def _typed(column: pd.Series, kinds: set[str]) -> pd.Series:
    kind = next(iter(kinds)) if len(kinds) == 1 else "float" if kinds == {"integer", "float"} else "string"
    if kind == "time":
        return pd.Series(pd.to_datetime(column, utc=True)).astype(UTC)
    if kind in _DTYPES:
        typed: pd.Series = column.astype(pd.api.types.pandas_dtype(_DTYPES[kind]))
        return typed
    return pd.Series(column.map(str, na_action="ignore").astype("str"))


def _renamed(wide: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Return attributes of events under other names where a log would take them for something else."""
    names = {}
    for name in wide.columns[1:]:
        text = str(name)
        if text.startswith(CASE_PREFIX) or text in _TAKEN or not _fits(text, wide[name]):
            names[text] = f"event:{text}"
    if names:
        notes.append(f"attributes of events were renamed: {', '.join(f'{a} to {b}' for a, b in names.items())}")
    return wide.rename(columns=names)


def _fits(name: str, column: pd.Series) -> bool:
    """Tell whether a column of steps may hold the values, if it is one."""
    name = {xes: own for own, xes in XES_NAMES.items()}.get(name, name)
    if name not in STEP_COLUMNS:
        return True
    if name in {"started", "enabled"}:
        return isinstance(column.dtype, pd.DatetimeTZDtype)
    if name == "status":
        return bool(column.dropna().astype("str").str.upper().isin(STEP_STATUSES).all())
    if name in {"attempt", "replication"}:
        return column.dtype.kind == "i" and bool((column.dropna() >= (name == "attempt")).all())
    if name == "cost":
        return column.dtype.kind in "if"
    return True


def objects_of(log: EventLog) -> ObjectLog:
    """Return the object-centric log of a flat one: an object of type ``case`` a case, an event a step.

    Open steps, which have no time of completion, are left out: OCEL has one time an event.
    """
    steps, cases, notes = log.steps, log.cases, list(log.notes)
    done = steps["completed"].notna().to_numpy()
    if not done.all():
        notes.append(f"{int((~done).sum()):,} open steps were left out")
        steps = steps[done].reset_index(drop=True)
    if cases["case_id"].duplicated().any():
        message = "OCEL tells objects apart by one name, and this log has a case_id twice. Take one workflow of it."
        raise LogError(message)
    width = len(str(len(steps)))
    ids = pd.Series([f"e{number:0{width}}" for number in range(1, len(steps) + 1)], dtype="str")
    events = pd.DataFrame({"event_id": ids, "activity": steps["activity"].astype("str"), "time": steps["completed"]})
    own = [str(name) for name in steps if name not in {*_OWN, "ocel:eid"} and steps[name].notna().any()]
    values, types = _long(steps, own, ids, "event_id")
    known = [str(name) for name in cases if name not in {"case_id", *_CASE_NAMES} and cases[name].notna().any()]
    of_cases, case_types = _long(cases, known, cases["case_id"], "object_id")
    started = cases["started"].fillna(pd.Timestamp(0, tz="UTC"))
    rows = pd.Index(cases["case_id"]).get_indexer(pd.Index(of_cases["object_id"]))
    of_cases.insert(2, "time", started.take(rows).set_axis(of_cases.index).astype(UTC))
    return ObjectLog(
        events=events,
        objects=pd.DataFrame({"object_id": cases["case_id"], "object_type": CASE}),
        relations=pd.DataFrame({"event_id": ids, "object_id": steps["case_id"].astype("str"), "qualifier": ""}),
        object_relations=pd.DataFrame({"source_id": [], "target_id": [], "qualifier": []}, dtype="str"),
        event_values=values,
        object_values=of_cases,
        event_types=dict.fromkeys(sorted(events["activity"].unique()), types),
        object_types={CASE: case_types},
        notes=tuple(notes),
    )


def _long(frame: pd.DataFrame, names: list[str], ids: pd.Series, key: str) -> tuple[pd.DataFrame, dict[str, str]]:
    types = {name: _TYPES.get(_kind(frame[name]), "string") for name in names}
    keys: list[str] = []
    attributes: list[str] = []
    held: list[object] = []
    for name in names:
        there = frame[name].notna().to_numpy()
        cells = frame[name][there]
        keys += ids[there].tolist()
        attributes += [name] * len(cells)
        held += (cells.astype("str") if types[name] == "string" else cells).tolist()
    table = pd.DataFrame({key: keys, "attribute": attributes}, dtype="str")
    return table.assign(value=pd.Series(held, dtype=object)), types


def _kind(column: pd.Series) -> str:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.categories.to_series()
    return column.dtype.kind if not pd.api.types.is_datetime64_dtype(column.dtype) else "O"
