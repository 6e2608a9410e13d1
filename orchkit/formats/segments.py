"""XES read a block at a time, by its quotes: what is between the values of a log is few texts, often repeated.

Between two values of a log stands the end of one tag, what closes and opens, and the key of the next:
``"/></event><event><string key="concept:name``. A log of millions of values has a few dozen of these, so that each
is parsed once, by a strict pattern, and the values are taken by NumPy and Arrow. What the patterns do not know
(nested attributes, comments between events, apostrophes for quotes, a value that cannot be read) is left to the
streaming reader, which knows all of XML: `scan` then returns None.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchkit.columns import UTC
from orchkit.formats.bounded import chunks
from orchkit.formats.prolog import body

__all__ = ["Scan", "scan"]

_LONGEST = 16 << 20
_MOST_TEXTS = 10_000
_OUTSIDE, _IN_TRACE, _IN_EVENT = range(3)
_VALUE = "string|date|int|float|boolean|id"
_END = rf'"\s*(?:/>|>\s*</(?:{_VALUE})\s*>)'
_TAGS = r"((?:\s*<(?:/?(?:event|trace)\s*)>)*)\s*"
_SEGMENT = re.compile(rf'{_END}{_TAGS}<({_VALUE})\s+key\s*=\s*"([^"<]*)')
_TAIL = re.compile(rf"{_END}{_TAGS}</log\s*>\s*")
_MIDDLE = re.compile(r'"\s+value\s*=\s*"')
_PLAIN = b' value="'
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_REFERENCE = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#(\d+)|#x([0-9a-fA-F]+));|&")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_STEPS = {
    ("trace", _OUTSIDE): _IN_TRACE,
    ("event", _IN_TRACE): _IN_EVENT,
    ("/event", _IN_EVENT): _IN_TRACE,
    ("/trace", _IN_TRACE): _OUTSIDE,
}


class _Unknown(Exception):
    """The file has something that only the streaming reader knows."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds: frames of its traces and its events, and the trace of each event, as a row."""

    traces: pd.DataFrame
    events: pd.DataFrame
    trace_of: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Segment:
    """What stands before a value: the column that it belongs to, and what closed and opened."""

    kind: str
    key: str
    before: int  # the state that it needs, -1 where it changes none
    after: int
    traces: int
    events: int


def scan(path: Path) -> Scan | None:
    """Return the traces and events of a file, None where only the streaming reader can tell.

    Raises
    ------
    LogError
        The file is damaged, would unpack without end, or has a document type.
    """
    found = _Columns()
    rest = b""
    try:
        for block in body(chunks(path), path):
            rest = found.take(rest + block if rest else b'"/>' + block)
            if len(rest) > _LONGEST:
                return None
        return found.finish(rest)
    except _Unknown:
        return None


@dataclass(slots=True)
class _Columns:
    known: dict[bytes, _Segment] = field(default_factory=dict)
    cells: dict[tuple[int, str, str], list[tuple[NDArray[np.intp], Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    traces: int = 0
    events: int = 0
    state: int = _OUTSIDE
    trace_of: list[NDArray[np.intp]] = field(default_factory=list)

    def take(self, block: bytes) -> bytes:
        """Take the whole values of a block, and return what is left of it."""
        data = np.frombuffer(block, dtype=np.uint8)
        quotes = np.flatnonzero(data[1:] == ord('"')) + 1
        height = len(quotes) // 4
        if not height:
            return block
        corners = quotes[: 4 * height].reshape(height, 4)
        offsets = np.zeros(3 * height + 1, dtype=np.int32)
        offsets[1::3], offsets[2::3], offsets[3::3] = corners[:, 1], corners[:, 2] + 1, corners[:, 3]
        texts = pa.Array.from_buffers(pa.binary(), 3 * height, [None, pa.py_buffer(offsets), pa.py_buffer(block)])
        places = np.arange(0, 3 * height, 3)
        if not _are_plain(block, corners):
            middles = texts.take(pa.array(places + 1)).dictionary_encode().dictionary.to_pylist()
            if not all(_MIDDLE.fullmatch(_text(middle)) for middle in middles):
                raise _Unknown
        before = texts.take(pa.array(places)).dictionary_encode()
        segments = [self._segment(text) for text in before.dictionary.to_pylist()]
        self._place(segments, before.indices.to_numpy(), texts, places + 2)
        return block[int(corners[-1, 3]) :]

    def _segment(self, text: bytes) -> _Segment:
        known = self.known.get(text)
        if known is None:
            if len(self.known) >= _MOST_TEXTS:
                raise _Unknown
            known = self.known[text] = _parsed(text)
        return known

    def _place(
        self, segments: list[_Segment], codes: NDArray[np.int32], texts: pa.Array, places: NDArray[np.intp]
    ) -> None:
        """Give each value its row and column."""
        needs, after, traces, events = (
            np.array([getattr(s, name) for s in segments], dtype=np.intp)
            for name in ("before", "after", "traces", "events")
        )
        # Only at these rows a trace or an event opens or closes; from each to the next, all stays as it is.
        turns = np.flatnonzero(needs[codes] >= 0)
        at = codes[turns]
        if not (needs[at] == np.concatenate([[self.state], after[at][:-1]])[: len(at)]).all():
            raise _Unknown
        lengths = np.diff(turns, prepend=0, append=len(codes))
        trace_at, event_at = self.traces + np.cumsum(traces[at]), self.events + np.cumsum(events[at])
        self.trace_of.append(trace_at[events[at] > 0] - 1)
        states = np.repeat(np.concatenate([[self.state], after[at]]).astype(np.int8), lengths)
        trace = np.repeat(np.concatenate([[self.traces], trace_at]), lengths)
        event = np.repeat(np.concatenate([[self.events], event_at]), lengths)
        names = sorted({(s.kind, s.key) for s in segments})
        number = {name: at for at, name in enumerate(names)}
        narrow = np.uint8 if 3 * len(names) <= 1 << 8 else np.uint16
        first = np.array([3 * number[s.kind, s.key] for s in segments], dtype=narrow)
        columns: NDArray[Any] = np.add(first[codes], states.astype(narrow))
        order = np.argsort(columns, kind="stable")
        ends = np.cumsum(np.bincount(columns, minlength=3 * len(names)))
        begins = np.concatenate([[0], ends[:-1]])
        present = np.flatnonzero(begins < ends)
        for column in present[np.argsort(order[begins[present]])].tolist():  # as they come in the file
            rows = order[begins[column] : ends[column]]
            state = column % 3
            if state == _OUTSIDE:
                continue
            kind, key = names[column // 3]
            values = texts.take(pa.array(places[rows]))
            values = values.dictionary_encode() if kind in {"string", "id"} else values
            owner = (event if state == _IN_EVENT else trace)[rows] - 1
            self.cells[state, kind, key].append((owner, values))
        self.traces, self.events, self.state = int(trace[-1]), int(event[-1]), int(states[-1])

    def finish(self, rest: bytes) -> Scan:
        """Return what was found, if the file ends as a log does."""
        tail = _TAIL.fullmatch(_text(rest))
        if tail is None or _walk(tail[1], self.state)[0] != _OUTSIDE:
            raise _Unknown
        keys = [(state, key) for state, _, key in self.cells]
        if len(keys) != len(set(keys)):
            raise _Unknown
        tables: list[dict[str, pd.Series]] = [{}, {}, {}]
        heights = (0, self.traces, self.events)
        for (state, kind, key), cells in self.cells.items():
            tables[state][key] = _column(kind, cells, heights[state])
        frames = [pd.DataFrame(table, index=range(height)) for table, height in zip(tables, heights, strict=True)]
        return Scan(frames[_IN_TRACE], frames[_IN_EVENT], np.concatenate(self.trace_of or [np.zeros(0, np.intp)]))


def _are_plain(block: bytes, corners: NDArray[np.intp]) -> bool:
    """Tell whether between each key and its value stands what nearly all files have there."""
    if not (corners[:, 2] - corners[:, 1] == len(_PLAIN)).all():
        return False
    # Eight bytes from any place of the block, as one number.
    words = np.ndarray(len(block) - 8, dtype="<u8", buffer=block, offset=1, strides=(1,))
    return bool((words[corners[:, 1]] == int.from_bytes(_PLAIN, "little")).all())


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _Unknown from None


def _parsed(text: bytes) -> _Segment:
    found = _SEGMENT.fullmatch(_text(text))
    if found is None:
        raise _Unknown
    tags, kind, key = found.groups()
    key = _plain(key)
    if not tags.strip():
        return _Segment(kind, key, -1, -1, 0, 0)
    first = re.findall(r"/?\w+", tags)[0]
    before = next((state for name, state in _STEPS if name == first), -1)
    after, traces, events = _walk(tags, before)
    if traces > 1 or events > 1 or (after != _IN_EVENT and events) or (after == _OUTSIDE and traces):
        raise _Unknown  # a trace or an event without attributes
    return _Segment(kind, key, before, after, traces, events)


def _walk(tags: str, state: int) -> tuple[int, int, int]:
    names = re.findall(r"/?\w+", tags)
    for name in names:
        if (name, state) not in _STEPS:
            raise _Unknown
        state = _STEPS[name, state]
    return state, names.count("trace"), names.count("event")


def _plain(text: str) -> str:
    """Return the value of an attribute as XML reads it: spaces for breaks, characters for references."""
    if _CONTROL.search(text):
        raise _Unknown
    return _REFERENCE.sub(_character, re.sub(r"\r\n|[\r\n\t]", " ", text))


def _character(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    if name:
        return _NAMED[name]
    number = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else -1
    if number in {9, 10, 13} or 32 <= number < 0xD800 or 0xE000 <= number <= 0x10FFFF:  # noqa: PLR2004 -- XML's characters
        return chr(number)
    raise _Unknown


def _column(kind: str, cells: list[tuple[NDArray[np.intp], Any]], height: int) -> pd.Series:
    rows = np.concatenate([owner for owner, _ in cells])
    values = pa.chunked_array([part for _, part in cells])
    is_text = kind in {"string", "id"}
    try:
        return _names(values, rows, height) if is_text else _typed(kind, values, rows, height)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _Unknown from None


def _names(values: pa.ChunkedArray, rows: NDArray[np.intp], height: int) -> pd.Series:
    whole = values.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    codes = np.full(height, -1, dtype=np.int32)
    codes[rows] = whole.indices.to_numpy()
    names = whole.dictionary.cast(pa.large_string())
    texts = names.to_pylist()
    if _is_odd(" ".join(texts)):  # then each is looked at, and two may be the same once they are read
        texts = [_plain(text) if _is_odd(text) else text for text in texts]
        at, found = pd.factorize(np.array(texts, dtype=object), sort=True)
        categories = pd.Index(found, dtype="str")
    else:
        order = pc.array_sort_indices(names)
        at = np.empty(len(names), dtype=np.int32)
        at[order.to_numpy()] = np.arange(len(names), dtype=np.int32)
        categories = pd.Index(names.take(order).to_pandas(), dtype="str")
    return pd.Series(pd.Categorical.from_codes(np.append(at, -1)[codes], categories=categories))


def _is_odd(text: str) -> bool:
    return "&" in text or not text.isprintable()


def _typed(kind: str, values: pa.ChunkedArray, rows: NDArray[np.intp], height: int) -> pd.Series:
    texts = values.cast(pa.string())
    if kind == "date":
        moments = np.full(height, np.datetime64("NaT"), dtype="M8[us]")
        moments[rows] = pc.cast(texts, pa.timestamp("us", "UTC")).to_numpy().astype("M8[us]")
        return pd.Series(moments).dt.tz_localize("UTC").astype(UTC)
    if kind == "float":
        numbers = np.full(height, np.nan)
        numbers[rows] = pc.cast(texts, pa.float64()).to_numpy()
        return pd.Series(numbers)
    is_missing = np.ones(height, dtype=bool)
    is_missing[rows] = False
    if kind == "int":
        whole = np.zeros(height, dtype=np.int64)
        whole[rows] = pc.cast(texts, pa.int64()).to_numpy()
        return pd.Series(pd.arrays.IntegerArray(whole, is_missing))
    known = pc.index_in(texts, pa.array(["false", "true", "0", "1"]))
    if known.null_count:
        raise _Unknown
    flags = np.zeros(height, dtype=bool)
    flags[rows] = known.to_numpy() % 2 == 1
    return pd.Series(pd.arrays.BooleanArray(flags, is_missing))
