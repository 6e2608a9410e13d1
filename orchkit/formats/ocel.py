"""OCEL 2.0 as JSON: an object-centric log from a file, and a file from one."""

from __future__ import annotations

import gc
import gzip
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchkit.columns import UTC
from orchkit.errors import LogError
from orchkit.formats.bounded import chunks
from orchkit.formats.objects import ATTRIBUTE_TYPES, ObjectLog

__all__ = ["Grouped", "Parts", "moment_texts", "read_json", "tuples", "uncollected", "write_json"]

_LARGEST = (1 << 63) - 1
_ROWS = 20_000


class Parts:
    """Collects what a file holds, row by row, and checks it as a whole."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[tuple[str, str, object]] = []
        self.objects: list[tuple[str, str]] = []
        self.relations: list[tuple[str, str, str]] = []
        self.object_relations: list[tuple[str, str, str]] = []
        self.event_values: list[tuple[str, str, object]] = []
        self.object_values: list[tuple[str, str, object, object]] = []
        self.event_types: dict[str, dict[str, str]] = {}
        self.object_types: dict[str, dict[str, str]] = {}
        self.notes: list[str] = []

    def log(self) -> ObjectLog:
        """Return the log; relations to what is not there are dropped, and said."""
        events = pd.DataFrame(self.events, columns=["event_id", "activity", "time"])
        objects = pd.DataFrame(self.objects, columns=["object_id", "object_type"]).astype("str")
        for frame, key in ((events, "event_id"), (objects, "object_id")):
            if frame[key].duplicated().any():
                twice = frame[key][frame[key].duplicated()].iloc[0]
                message = f"{self.name} has two {key.split('_')[0]}s with the id {twice!r}."
                raise LogError(message)
        events["time"] = self._times(events["time"], "events")
        if events["time"].isna().any():
            self.notes.append(f"{int(events['time'].isna().sum()):,} events without a time were dropped")
            events = events[events["time"].notna()].reset_index(drop=True)
        own, others = _arrow(events["event_id"]), _arrow(objects["object_id"])
        columns = ["event_id", "object_id", "qualifier"]
        relations = self._related(pd.DataFrame(self.relations, columns=columns), {"event_id": own, "object_id": others})
        columns = ["source_id", "target_id", "qualifier"]
        among = self._related(
            pd.DataFrame(self.object_relations, columns=columns), {"source_id": others, "target_id": others}
        )
        activities = dict(zip(events["event_id"].tolist(), events["activity"].tolist(), strict=True))
        for types, names in (
            (self.event_types, activities.values()),
            (self.object_types, objects["object_type"].unique()),
        ):
            for name in dict.fromkeys(names):
                types.setdefault(name, {})
        of_events = self._values(self.event_values, activities, self.event_types, ["event_id", "attribute"])
        keys = ["object_id", "attribute", "time"]
        of_objects = self._values(self.object_values, dict(self.objects), self.object_types, keys)
        times = self._times(of_objects["time"], "attributes of objects")
        of_objects["time"] = times.fillna(pd.Timestamp(0, tz="UTC")).astype(UTC)
        return ObjectLog(
            events=events.astype({"event_id": "str", "activity": "str"}),
            objects=objects,
            relations=relations,
            object_relations=among,
            event_values=of_events,
            object_values=of_objects,
            event_types=self.event_types,
            object_types=self.object_types,
            notes=tuple(self.notes),
        )

    def _values(
        self, rows: list[Any], owners: Mapping[str, str], types: dict[str, dict[str, str]], keys: list[str]
    ) -> pd.DataFrame:
        """Return values as the types that their attributes declare, else as what they are, which is declared."""
        rows = [row for row in rows if row[0] in owners]
        *columns, values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in (*keys, "value")]
        pairs = [(owners[key], attribute) for key, attribute in zip(*columns[:2], strict=True)]
        undeclared: dict[tuple[str, str], list[object]] = {
            (name, attribute): [] for name, attribute in dict.fromkeys(pairs) if attribute not in types[name]
        }
        if undeclared:
            for pair, value in zip(pairs, values, strict=True):
                if pair in undeclared:
                    undeclared[pair].append(value)
        for (name, attribute), held in undeclared.items():
            types[name][attribute] = _kind_of(held)
        kinds = {(name, attribute): types[name][attribute] for name, attribute in set(pairs)}
        found = [
            value if type(value) is str and kinds[pair] == "string" else self._value(value, kinds[pair], pair[1])
            for pair, value in zip(pairs, values, strict=True)
        ]
        table = pd.DataFrame(dict(zip(keys, columns, strict=True)))
        return table.assign(value=pd.Series(found, index=table.index, dtype=object))

    def _value(self, value: Any, kind: str, attribute: str) -> object:  # noqa: ANN401 -- what JSON holds
        if value is None:
            return None
        try:
            if kind == "integer":
                return _whole(value)
            if kind == "float":
                return float(value)
            if kind == "boolean":
                return value if isinstance(value, bool) else str(value).strip().lower() in {"true", "1"}
            if kind == "time":
                moment = pd.Timestamp(value)
                return (moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")).as_unit("us")
        except (ValueError, TypeError, OverflowError):
            message = f"{self.name}: attribute {attribute!r} is declared {kind}, and has the value {value!r:.80}."
            raise LogError(message) from None
        return value if isinstance(value, str) else json.dumps(value)

    def _times(self, times: pd.Series, what: str) -> pd.Series:
        texts = times.map(str, na_action="ignore").astype("str")
        bare = texts.notna() & ~texts.str.contains(r"(?:[zZ]|[+-]\d\d:?\d\d)$", na=False)
        if bare.any():
            self.notes.append(f"{int(bare.sum()):,} timestamps of {what} have no time zone and were read as UTC")
        moments = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce").astype(UTC)
        unread = texts.notna() & moments.isna()
        if unread.any():
            example = texts[unread].iloc[0]
            self.notes.append(f"{int(unread.sum()):,} timestamps of {what} cannot be read, the first {example!r}")
        return moments

    def _related(self, relations: pd.DataFrame, known: Mapping[str, pa.Array]) -> pd.DataFrame:
        is_there = np.ones(len(relations), dtype=bool)
        for key, names in known.items():
            is_there &= pc.is_in(_arrow(relations[key]), value_set=names).to_numpy(zero_copy_only=False)
        if not is_there.all():
            self.notes.append(f"{int((~is_there).sum()):,} relations to what is not in the file were dropped")
        return relations[is_there].reset_index(drop=True).astype("str")


def _arrow(texts: pd.Series) -> pa.Array:
    return pa.array(texts, type=pa.large_string(), from_pandas=True)


def _whole(value: Any) -> int:  # noqa: ANN401 -- what JSON holds
    number = int(value)
    if abs(number) > _LARGEST:
        raise OverflowError(number)
    return number


def tuples(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows as named tuples."""
    yield from frame.itertuples(index=False)


def _kind_of(values: Iterable[object]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "integer"
    return "float" if kinds and kinds <= {int, float} else "string"


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold Python's garbage collector off: what is read is millions of objects, none of them garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@uncollected()
def read_json(path: Path) -> ObjectLog:
    """Return the object-centric log of a JSON file, plain or gz.

    Raises
    ------
    LogError
        No JSON, or not of the form of OCEL 2.0.
    """
    try:
        held = json.loads(b"".join(chunks(path)))
    except LogError:
        raise  # it unpacks without end, or is cut short
    except (ValueError, RecursionError) as error:
        message = f"{path.name} is not JSON: {error}"
        raise LogError(message) from None
    if not isinstance(held, dict) or not isinstance(held.get("events"), list):
        keys = ", ".join(map(str, held)) if isinstance(held, dict) else type(held).__name__
        old = " This looks like OCEL 1.0, which is another format." if "ocel:events" in keys else ""
        message = f"{path.name} is not OCEL 2.0: it has no list 'events' at the top (but {keys[:200]}).{old}"
        raise LogError(message)
    parts = Parts(path.name)
    for key, types in (("eventTypes", parts.event_types), ("objectTypes", parts.object_types)):
        for item in _items(held, key, path):
            given = {
                _text(a, "name", key, path): str(a.get("type", "string")) for a in _items(item, "attributes", path)
            }
            types[_text(item, "name", key, path)] = {
                name: kind if kind in ATTRIBUTE_TYPES else "string" for name, kind in given.items()
            }
    items = _items(held, "objects", path)
    ids = _texts(items, "id", "objects", path)
    parts.objects = list(zip(ids, _texts(items, "type", "objects", path), strict=True))
    owners, inner = _inner(items, ids, "attributes", path)
    names, times, values = _texts(inner, "name", "attributes", path), _cells(inner, "time"), _cells(inner, "value")
    parts.object_values = list(zip(owners, names, times, values, strict=True))
    parts.object_relations = _relations(items, ids, path)
    items = _items(held, "events", path)
    ids = _texts(items, "id", "events", path)
    parts.events = list(zip(ids, _texts(items, "type", "events", path), _cells(items, "time"), strict=True))
    owners, inner = _inner(items, ids, "attributes", path)
    names = _texts(inner, "name", "attributes", path)
    parts.event_values = list(zip(owners, names, _cells(inner, "value"), strict=True))
    parts.relations = _relations(items, ids, path)
    return parts.log()


Items = list[dict[str, Any]]


def _items(held: Mapping[str, Any], key: str, path: Path) -> Items:
    return _checked([held.get(key) or []], key, path)


def _checked(lists: list[Any], key: str, path: Path) -> Items:
    """Return what is in lists, which must be objects."""
    items: list[Any] = list(chain.from_iterable(lists)) if set(map(type, lists)) <= {list} else [None]
    if not set(map(type, items)) <= {dict}:
        message = f"{path.name} is no OCEL 2.0: {key!r} must be a list of objects."
        raise LogError(message)
    return items


def _inner(items: Items, ids: list[str], key: str, path: Path) -> tuple[list[str], Items]:
    """Return what lists inside of items hold, and the id around each."""
    lists = [item.get(key) or [] for item in items]
    inner = _checked(lists, key, path)
    return list(chain.from_iterable(map(repeat, ids, map(len, lists)))), inner


def _relations(items: Items, ids: list[str], path: Path) -> list[tuple[str, str, str]]:
    owners, inner = _inner(items, ids, "relationships", path)
    targets = _texts(inner, "objectId", "relationships", path)
    return list(zip(owners, targets, [str(item.get("qualifier", "")) for item in inner], strict=True))


def _cells(items: Items, key: str) -> list[Any]:
    return [item.get(key) for item in items]


def _texts(items: Items, key: str, where: str, path: Path) -> list[str]:
    found = _cells(items, key)
    return found if set(map(type, found)) <= {str} else [_text(item, key, where, path) for item in items]


def _text(item: Mapping[str, Any], key: str, where: str, path: Path) -> str:
    if not isinstance(item.get(key), str | int):
        message = f"{path.name}: one of {where!r} has no {key!r}: {str(item)[:80]}"
        raise LogError(message)
    return str(item[key])


def write_json(log: ObjectLog, path: Path) -> None:
    """Write an object-centric log as JSON, packed where the name ends in ``.gz``."""
    types = {
        key: [
            {"name": name, "attributes": [{"name": a, "type": kind} for a, kind in attributes.items()]}
            for name, attributes in held.items()
        ]
        for key, held in (("objectTypes", log.object_types), ("eventTypes", log.event_types))
    }
    events = {"id": log.events["event_id"], "type": log.events["activity"], "time": log.events["time"]}
    objects = {"id": log.objects["object_id"], "type": log.objects["object_type"]}
    about, among = ("relations", "event_id", "object_id"), ("object_relations", "source_id", "target_id")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        file.write(json.dumps(types, ensure_ascii=False)[:-1].encode())
        for key, heads, values, (frame, own, other) in (
            ("events", events, (log.event_values, "event_id"), about),
            ("objects", objects, (log.object_values, "object_id"), among),
        ):
            relations = getattr(log, frame)[[own, other, "qualifier"]].rename(columns={other: "objectId"})
            named = values[0].rename(columns={"attribute": "name"})
            lists = {
                "attributes": Grouped(named, values[1], heads["id"]),
                "relationships": Grouped(relations, own, heads["id"]),
            }
            file.write(f', "{key}": ['.encode())
            for begin in range(0, len(heads["id"]), _ROWS):
                file.write(b", " if begin else b"")
                file.write(_items_text(heads, lists, slice(begin, begin + _ROWS)))
            file.write(b"]")
        file.write(b"}")


def _items_text(heads: Mapping[str, pd.Series], lists: Mapping[str, Grouped], rows: slice) -> bytes:
    """Return some events or objects, a comma between them."""
    cells = {name: _json_of(column.iloc[rows]) for name, column in heads.items()}
    for name, grouped in lists.items():
        held, ends = grouped.of(rows)
        inner = _objects_text({str(key): _json_of(held[key]) for key in held})
        joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), inner), ", ")
        cells[name] = pc.binary_join_element_wise("[", joined, "]", "")
    texts = _objects_text(cells)
    return bytes(pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), ", ")[0].as_buffer())


def _objects_text(cells: Mapping[str, pa.Array]) -> pa.Array:
    """Return an object a row, of texts that are JSON."""
    parts: list[pa.Array | str] = []
    for name, texts in cells.items():
        parts += [f"{', ' if parts else '{'}{json.dumps(name)}: ", texts]
    return pc.binary_join_element_wise(*parts, "}", "")


def _json_of(column: pd.Series) -> pa.Array:
    """Return the cells as JSON."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return pc.binary_join_element_wise('"', moment_texts(column), '"', "")
    if isinstance(column.dtype, pd.StringDtype):
        return _quoted(pa.array(column, type=pa.string(), from_pandas=True))
    is_text = np.fromiter((type(value) is str for value in column), bool, len(column))
    others = column[~is_text]
    plain = [str(value) if type(value) is int else json.dumps(_plain(value), ensure_ascii=False) for value in others]
    texts = [_quoted(pa.array(column[is_text], type=pa.string())), pa.array(plain, type=pa.string())]
    places = np.where(is_text, np.cumsum(is_text), len(column) - len(others) + np.cumsum(~is_text)) - 1
    return pa.concat_arrays(texts).take(pa.array(places))


def _quoted(texts: pa.Array) -> pa.Array:
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    found = pc.binary_join_element_wise('"', texts, '"', "")
    odd = pc.match_substring_regex(texts, r'["\\\x00-\x1f]')
    if not pc.any(odd).as_py():
        return found
    return pc.replace_with_mask(
        found, odd, pa.array(json.dumps(text, ensure_ascii=False) for text in texts.filter(odd).to_pylist())
    )


def moment_texts(column: pd.Series) -> pa.Array:
    """Return times in UTC as ``2024-05-06T09:00:00Z``, with microseconds where there are some."""
    moments = pa.array(column.dt.tz_convert("UTC").dt.tz_localize(None), type=pa.timestamp("us"), safe=False)
    texts = pc.utf8_replace_slice(moments.cast(pa.string()), 10, 11, "T")
    whole = pc.match_substring_regex(texts, r"\.0{6}$")
    return pc.binary_join_element_wise(pc.if_else(whole, pc.utf8_slice_codeunits(texts, 0, 19), texts), "Z", "")


class Grouped:
    """Rows that belong to events or objects, theirs one after the other."""

    def __init__(self, frame: pd.DataFrame, key: str, ids: pd.Series) -> None:
        places = pc.index_in(_arrow(frame[key]), value_set=_arrow(ids)).fill_null(-1).to_numpy(zero_copy_only=False)
        order = np.argsort(places, kind="stable")
        order = order[np.searchsorted(places[order], 0) :]  # what belongs to none comes first
        self.frame = frame.drop(columns=key).take(order)
        self.ends = np.concatenate([[0], np.cumsum(np.bincount(places[order], minlength=len(ids)))])

    @property
    def owners(self) -> NDArray[np.intp]:
        """The place of the event or object of each row."""
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))

    def of(self, rows: slice) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Return what belongs to some, and where that of each begins, and the last ends."""
        ends = self.ends[rows.start : rows.stop + 1]
        return self.frame.iloc[ends[0] : ends[-1]], ends - ends[0]


def _plain(value: Any) -> object:  # noqa: ANN401 -- what a cell holds
    if isinstance(value, pd.Timestamp):
        return value.tz_convert("UTC").isoformat().replace("+00:00", "Z")
    if hasattr(value, "item"):
        value = value.item()
    # JSON has no infinite numbers; as text they are read back, for the type is declared.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
