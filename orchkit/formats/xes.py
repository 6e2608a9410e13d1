"""XES (IEEE 1849): a frame of events from a file, and a file from a log."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchkit.columns import CASE_PREFIX, UTC, coded
from orchkit.errors import LogError
from orchkit.formats.bounded import chunks
from orchkit.formats.delimited import joined_bytes, zoned_texts
from orchkit.formats.moments import localized
from orchkit.formats.prolog import not_xml, of_the_log, parser
from orchkit.formats.segments import scan
from orchkit.formats.tables import differing
from orchkit.log import EventLog

__all__ = ["read_events", "write_events"]

CASE, ACTIVITY, TIME = "case:concept:name", "concept:name", "time:timestamp"
_LONGEST, _ROWS = 64 << 20, 1 << 14
_VALUES = frozenset({"string", "date", "int", "float", "boolean", "id"})
_EXTENSIONS = {
    "concept": "Concept",
    "time": "Time",
    "lifecycle": "Lifecycle",
    "org": "Organizational",
    "cost": "Cost",
}
_NESTED = frozenset({*_VALUES, "list", "container", "values"})


def read_events(path: Path, timezone: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per event under XES's names, the attributes of traces as ``case:…``, and what was repaired.

    Plain logs are read by their segments (see `orchkit.formats.segments`), all others by expat. Neither resolves an
    entity: a document type is refused. Times without a zone are of ``timezone``, else UTC.
    """
    found = scan(path)
    if found is not None and len(found.trace_of):
        notes = list(found.notes)
        return _joined(found.traces, found.events, found.trace_of, timezone, notes), notes
    return _Events(timezone).read(path)


class _Events:
    """Collects the events of a stream in columns: each holds the rows that have it, and their values as text."""

    def __init__(self, timezone: str | None) -> None:
        self.timezone = timezone
        self.event_cells: dict[tuple[str, str], tuple[list[int], list[str]]] = defaultdict(lambda: ([], []))
        self.trace_cells: dict[tuple[str, str], tuple[list[int], list[str]]] = defaultdict(lambda: ([], []))
        self.trace_of: list[int] = []
        self.traces = self.nested = self.depth = self.nameless = self.stray = self.elements = 0
        self.attributes = self.globals = self.classifiers = 0
        self.in_event = self.in_trace = self.is_aside = False

    def read(self, path: Path) -> tuple[pd.DataFrame, list[str]]:
        reader = parser()
        reader.StartElementHandler, reader.EndElementHandler = self._start, self._end
        elements, waited = 0, 0
        try:
            for chunk in chunks(path):
                reader.Parse(chunk, False)  # noqa: FBT003 -- expat's own signature
                waited = waited + len(chunk) if self.elements == elements else 0
                elements = self.elements
                if waited > _LONGEST:  # expat looks at an open value again and again
                    message = f"{path.name} has {_LONGEST >> 20} MB without a tag, as no event log does."
                    raise LogError(message)
            reader.Parse(b"", True)  # noqa: FBT003
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise not_xml(path, error) from None
        if not self.traces and not self.trace_of:
            message = f"{path.name} has no trace: it is not an XES log, or an empty one."
            raise LogError(message)
        if not self.trace_of:
            message = f"{path.name} has {self.traces:,} traces and no event: the log is empty."
            raise LogError(message)
        return self._frame()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        tag = tag.rpartition(":")[2]  # XES has one namespace, which some give a prefix
        if tag in _NESTED:
            self.depth += 1
            if not self.in_trace:
                self.attributes += not self.is_aside and "key" in attributes
            elif self.depth > 1:
                self.nested += 1
            elif tag not in _VALUES:
                pass
            elif "key" not in attributes:
                self.nameless += 1
            elif self.in_event:
                rows, values = self.event_cells[tag, attributes["key"]]
                rows.append(len(self.trace_of) - 1)
                values.append(attributes.get("value", ""))
            else:
                rows, values = self.trace_cells[tag, attributes["key"]]
                rows.append(self.traces - 1)
                values.append(attributes.get("value", ""))
        elif tag == "trace":
            self.in_trace = True
            self.traces += 1
        elif tag == "event" and self.in_trace:
            self.in_event = True
            self.trace_of.append(self.traces - 1)
        elif tag == "event":
            self.is_aside = True
            self.stray += 1
        elif tag == "global":
            self.is_aside = True
            self.globals += 1
        elif tag == "classifier":
            self.classifiers += 1

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag in _NESTED:
            self.depth -= 1
        elif tag == "event":
            self.in_event = self.is_aside = False
        elif tag == "trace":
            self.in_trace = False
        elif tag == "global":
            self.is_aside = False

    def _frame(self) -> tuple[pd.DataFrame, list[str]]:
        notes = of_the_log(self.attributes, self.globals, self.classifiers)
        if self.nested:
            notes.append(f"{self.nested:,} nested attributes were dropped")
        if self.nameless:
            notes.append(f"{self.nameless:,} attributes without a key were dropped")
        if self.stray:
            notes.append(f"{self.stray:,} events outside of traces were dropped")
        traces = _columns(self.trace_cells, self.traces, self.timezone, notes)
        frame = _columns(self.event_cells, len(self.trace_of), self.timezone, notes)
        return _joined(traces, frame, np.array(self.trace_of, dtype=np.intp), self.timezone, notes), notes


def _joined(
    traces: pd.DataFrame, events: pd.DataFrame, trace_of: NDArray[np.intp], timezone: str | None, notes: list[str]
) -> pd.DataFrame:
    """Return the events with the attributes of their traces, each of which gets a name."""
    height = len(traces)
    names = traces[ACTIVITY].astype("str") if ACTIVITY in traces else pd.Series(None, index=traces.index, dtype="str")
    if names.isna().any():
        notes.append(f"{int(names.isna().sum()):,} traces have no concept:name and are called trace 1, trace 2, …")
        numbered = pd.Series([f"trace {number}" for number in range(1, height + 1)], dtype="str")
        names = names.fillna(numbered)
        traces[ACTIVITY] = names
    if names.duplicated().any():
        notes.append(f"{int(names.duplicated().sum()):,} traces have the name of an earlier one and were joined to it")
        notes += differing(traces, ACTIVITY)
    empty = height - int((np.bincount(trace_of, minlength=height) > 0).sum())
    if empty:
        notes.append(f"{empty:,} traces without events were dropped")
    if TIME in events and not isinstance(events[TIME].dtype, pd.DatetimeTZDtype):
        notes.append(f"{TIME} is no date in the file, and was read as one")
        events[TIME] = _dates(events[TIME].astype("str"), TIME, timezone, notes)
    events = _of_traces(events, trace_of, notes)
    of_traces = traces.take(trace_of).reset_index(drop=True).add_prefix(CASE_PREFIX)
    return pd.concat([events, of_traces], axis="columns")


def _of_traces(events: pd.DataFrame, trace_of: NDArray[np.intp], notes: list[str]) -> pd.DataFrame:
    """Return events whose workflow and replication, which tell cases apart, are those of their traces."""
    same = trace_of[1:] == trace_of[:-1]
    for name in ("workflow", "replication"):
        if name in events:
            codes = coded(events[name]).cat.codes.to_numpy()
            if (same & (codes[1:] != codes[:-1])).any():
                notes.append(f"{name} changes within a trace, and is kept as own_{name}")
                events = events.rename(columns={name: f"own_{name}"})
    return events


def _columns(
    cells: dict[tuple[str, str], tuple[list[int], list[str]]], height: int, timezone: str | None, notes: list[str]
) -> pd.DataFrame:
    kinds: dict[str, list[str]] = defaultdict(list)
    for kind, key in cells:
        kinds[key].append(kind)
    table = {}
    for key, found in kinds.items():
        kind = found[0] if len(found) == 1 else "float" if set(found) == {"int", "float"} else "string"
        if kind == "string" and len(found) > 1:
            notes.append(f"{key} has values of several types ({', '.join(found)}) and is kept as text")
        values, again = np.full(height, None, dtype=object), 0
        for one in found:
            rows, texts = cells[one, key]
            again += len(rows) - len(set(rows))
            values[rows] = texts
        if again:
            notes.append(f"{again:,} values of {key} were dropped: another follows in the same place")
        column = pd.Series(values)
        table[key] = _dates(column, key, timezone, notes) if kind == "date" else _typed(column, kind, key, notes)
    return pd.DataFrame(table, index=range(height))


def _typed(texts: pd.Series, kind: str, key: str, notes: list[str]) -> pd.Series:
    if kind in {"string", "id"}:
        return coded(texts.astype("str"))
    values: pd.Series
    if kind == "boolean":
        known = {"true": True, "1": True, "false": False, "0": False}
        values = texts.map(lambda text: known.get(str(text).strip().lower())).astype("boolean")
    elif kind == "int":
        values = pd.to_numeric(texts, errors="coerce", dtype_backend="numpy_nullable")
        values = values.astype("Int64") if values.dtype.kind in "iu" or not values.notna().any() else values
    else:
        values = pd.to_numeric(texts, errors="coerce").astype("float64")
        texts = texts.where(texts.astype("str").str.lower() != "nan")
    _say_unread(texts, values, key, notes)
    return values


def _dates(texts: pd.Series, key: str, timezone: str | None, notes: list[str]) -> pd.Series:
    moments = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")
    values = moments.astype(UTC)
    bare = values.notna() & ~texts.astype("str").str.contains(r"(?:[zZ]|[+-]\d\d:?\d\d)\s*$", na=False)
    if bare.any():
        notes.append(f"{int(bare.sum()):,} timestamps of {key} have no time zone and were read as {timezone or 'UTC'}")
        values[bare] = localized(values[bare].dt.tz_localize(None), timezone or "UTC", notes).astype(UTC)
    _say_unread(texts, values, key, notes)
    finer = int((moments.notna() & (moments != values) & ~bare).sum())
    if finer:
        notes.append(f"{finer:,} timestamps of {key} were cut to microseconds")
    return values


def _say_unread(texts: pd.Series, values: pd.Series, key: str, notes: list[str]) -> None:
    unread = texts.notna() & values.isna()
    if unread.any():
        example = texts[unread].iloc[0]
        notes.append(f"{int(unread.sum()):,} values of {key} cannot be read and are missing, the first {example!r}")


def write_events(log: EventLog, path: Path) -> None:
    """Write a log as XES, packed where the name ends in ``.gz``; see `orchkit.write_log`."""
    frame = log.to_xes_names()
    own = [name for name in frame if not str(name).startswith(CASE_PREFIX)]
    of_case = [name for name in frame if str(name).startswith(CASE_PREFIX)]
    firsts = log.offsets[:-1][np.diff(log.offsets) > 0]
    lasts = np.append(firsts[1:], len(frame)) - 1
    names = [_tags(frame[name].iloc[firsts], str(name).removeprefix(CASE_PREFIX)) for name in of_case]
    traces = _joined_texts("<trace>\n", *names) if len(firsts) else pa.array([], type=pa.string())
    closings = pa.repeat("</trace>\n", len(lasts))
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(b'<log xes.version="1849.2016" xes.features="" xmlns="http://www.xes-standard.org/">\n')
        file.write(_extensions(frame).encode())
        for begin in range(0, len(frame), _ROWS):
            rows = frame.iloc[begin : begin + _ROWS]
            heads, tails = _at(traces, firsts, begin, len(rows)), _at(closings, lasts, begin, len(rows))
            tags = [_tags(rows[name], str(name)) for name in own]
            file.write(joined_bytes(_joined_texts(heads, "<event>\n", *tags, "</event>\n", tails)))
        file.write(b"</log>\n")


def _extensions(frame: pd.DataFrame) -> str:
    """Return the tags of the standard's extensions that a log has names of."""
    prefixes = {str(name).removeprefix(CASE_PREFIX).partition(":")[0] for name in frame if ":" in str(name)}
    return "".join(
        f'<extension name="{name}" prefix="{prefix}" uri="http://www.xes-standard.org/{prefix}.xesext"/>\n'
        for prefix, name in _EXTENSIONS.items()
        if prefix in prefixes
    )


def _joined_texts(*parts: pa.Array | str) -> pa.Array:
    """Return the texts of each row one after the other, nothing for a missing one."""
    return pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")


def _at(texts: pa.Array, rows: NDArray[np.int64], begin: int, height: int) -> pa.Array:
    """Return texts at their rows, which rise, as far as these lie within a part, and nothing elsewhere."""
    first, after = np.searchsorted(rows, [begin, begin + height])
    places = np.full(height, -1)
    places[rows[first:after] - begin] = np.arange(first, after)
    return texts.take(pa.array(places, mask=places < 0))


def _tags(column: pd.Series, key: str) -> pa.Array:
    """Return the tag of each value, missing where that is."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        return _tags(pd.Series(column.cat.categories), key).take(pa.array(codes, mask=codes < 0))
    kind = column.dtype.kind
    tag = {"M": "date", "i": "int", "u": "int", "f": "float", "b": "boolean"}.get(kind, "string")
    texts = _texts(column, tag)
    begin, end = f'<{tag} key={quoteattr(key)} value="', '"/>\n'
    if tag == "string":  # its quotes may be others, where it holds some
        begin, end = begin[:-1], end[1:]
    return pc.binary_join_element_wise(begin, texts, end, "")


def _texts(column: pd.Series, tag: str) -> pa.Array:
    if tag == "date" and isinstance(column.dtype, pd.DatetimeTZDtype):
        return pc.replace_substring(zoned_texts(column), " ", "T")
    if isinstance(column.dtype, pd.StringDtype):
        return _quoted(pa.array(column, type=pa.string(), from_pandas=True))
    known = column.notna().to_numpy()
    if tag == "date":
        texts = [value.isoformat() if there else None for value, there in zip(column, known, strict=True)]
    elif tag == "boolean":
        texts = [str(value).lower() if there else None for value, there in zip(column, known, strict=True)]
    elif tag == "string":
        texts = [quoteattr(str(value)) if there else None for value, there in zip(column, known, strict=True)]
    else:
        texts = [str(value) if there else None for value, there in zip(column, known, strict=True)]
    return pa.array(texts, type=pa.string())


def _quoted(texts: pa.Array) -> pa.Array:
    """Return texts as values of XML, in their quotes; few hold what must be said otherwise."""
    odd = pc.match_substring_regex(texts, r'[&<>"\n\r\t]')
    quoted = pc.binary_join_element_wise('"', texts, '"', "")
    if not pc.any(odd).as_py():
        return quoted
    return pc.replace_with_mask(quoted, odd, pa.array([quoteattr(text) for text in texts.filter(odd).to_pylist()]))
