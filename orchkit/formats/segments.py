"""XES read a block at a time, by its quotes: what is between the values of a log is few texts, often repeated.

Between two values of a log stands the end of one tag, what closes and opens, and the key of the next:
``"/></event><event><string key="concept:name" value="``. A log of millions of values has a few dozen of these joints,
so that each is parsed once, by a strict pattern; a compiled loop knows them again, and makes codes and times of the
values between. What the patterns do not know (nested attributes, comments between events, apostrophes for quotes, a
value that cannot be read) is left to the streaming reader, which knows all of XML: `scan` then returns None.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchkit.columns import NAT, UTC
from orchkit.formats.bounded import chunks
from orchkit.formats.prolog import body, said_of
from orchkit.native import Kernel

__all__ = ["Scan", "scan"]

_LONGEST, _WORTHWHILE = 16 << 20, 1 << 20
_MOST_JOINTS = 1 << 13
_LEAST_VALUE = 20  # no value takes fewer bytes, with its tag
_OUTSIDE, _IN_TRACE, _IN_EVENT = range(3)
_VALUE = "string|date|int|float|boolean|id"
_END = rf'"\s*(?:/>|>\s*</(?:{_VALUE})\s*>)'
_TAGS = r"((?:\s*<(?:/?(?:event|trace)\s*)>)*)\s*"
_SEGMENT = re.compile(rf'{_END}{_TAGS}<({_VALUE})\s+key\s*=\s*"([^"<]*)')
_TAIL = re.compile(rf"{_END}{_TAGS}</log\s*>\s*")
_MIDDLE = re.compile(r"\s+value\s*=\s*")
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff<]")
_REFERENCE = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#(\d+)|#x([0-9a-fA-F]+));|&")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_STEPS = {
    ("trace", _OUTSIDE): _IN_TRACE,
    ("event", _IN_TRACE): _IN_EVENT,
    ("/event", _IN_EVENT): _IN_TRACE,
    ("/trace", _IN_TRACE): _OUTSIDE,
}


# As the loop has them: the places of where it is, and why it stopped.
_POSITION, _STATE, _TRACES, _EVENTS, _, _ENTRIES, _USED, _ASKED = range(8)
_FIRST_TRACE, _TRACE_WIDTH, _EVENT_WIDTH, _JOINT_MASK, _MASK, _PLACES, _SLACK = 9, 11, 12, 13, 14, 15, 8
_NEW_JOINT, _NEW_COLUMN = 1, 2
_BYTE, _WHOLE, _SLOT = np.uint8, np.int64, np.int32
_TOKENS = Kernel(
    "orchkit.formats.kernel",
    "tokens",
    (
        *(_BYTE, int, _WHOLE),
        *(_WHOLE, _BYTE, _WHOLE, _SLOT, _SLOT),
        *(_WHOLE, _BYTE, _WHOLE, _WHOLE, _WHOLE),
        *(_SLOT, _WHOLE, _WHOLE, _WHOLE, np.uint64, _WHOLE, _BYTE),
    ),
)
_REHASH = Kernel("orchkit.formats.kernel", "rehash", (np.uint64, int, _SLOT, int))
_KNOW = Kernel("orchkit.formats.kernel", "know", (_BYTE, int, int, _SLOT, int))


class _Unknown(Exception):
    """The file has something that only the streaming reader knows."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds: frames of its traces and its events, and the trace of each event, as a row.

    ``notes`` say what was dropped.
    """

    traces: pd.DataFrame
    events: pd.DataFrame
    trace_of: NDArray[np.intp]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Segment:
    """What stands before a value: the column that it belongs to, and what closed and opened."""

    kind: str
    key: str
    before: int  # the state that it needs, -1 where it changes none
    after: int
    traces: int
    events: int


def scan(path: Path, least: int = _WORTHWHILE) -> Scan | None:
    """Return the traces and events of a file, None where only the streaming reader can tell.

    So it is with a file of less than ``least`` bytes: to have it read by that takes no longer than to load the loop.

    Raises
    ------
    LogError
        The file is damaged, would unpack without end, or has a document type.
    """
    found: _Reader | None = None
    rest = b'"/>'  # as if a value had gone before
    try:
        blocks = body(chunks(path), path)
        notes = said_of(next(blocks, b""))
        for block in blocks:
            if found is None and len(block) < least:
                return None
            found = found or _Reader()
            rest = found.take(b"".join([rest, block, bytes(_SLACK)]))
            if len(rest) > _LONGEST:
                return None
        return found.finish(rest, notes) if found else None
    except _Unknown:
        return None


class _Reader:
    """What is known of a file so far: its joints, its columns, the texts of each, and its cells, block by block."""

    def __init__(self) -> None:
        self.segments: list[_Segment] = []
        self.names: dict[tuple[str, str], int] = {}
        self.opened: tuple[list[int], list[int]] = ([], [])  # keys of columns, of traces and of events
        self.late: dict[int, int] = {}  # how many rows had gone before a column was there
        self.parts: dict[int, list[NDArray[Any]]] = defaultdict(list)
        self.traces_of: list[NDArray[np.int64]] = []
        self.flushed = [0, 0]
        self.at = np.zeros(_PLACES, dtype=np.int64)
        self.at[[_TRACE_WIDTH, _EVENT_WIDTH]] = 8
        self.at[[_JOINT_MASK, _MASK]] = 4 * _MOST_JOINTS - 1
        self.bounds, self.joints = np.zeros(2 * _MOST_JOINTS, np.int64), np.zeros(5 * _MOST_JOINTS, np.int64)
        self.texts = np.zeros(_SLACK, np.uint8)
        self.joint_slots = np.full(4 * _MOST_JOINTS, -1, np.int32)
        self.follows = np.full(2 * _MOST_JOINTS, -1, np.int32)
        self.columns, self.sizes = np.full(2 * _MOST_JOINTS, -1, np.int64), np.zeros(2 * _MOST_JOINTS, np.int64)
        self.is_date = np.zeros(2 * _MOST_JOINTS, np.uint8)
        self.slots, self.starts = np.full(4 * _MOST_JOINTS, -1, np.int32), np.zeros(1, np.int64)
        self.owners, self.codes, self.hashes = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64)
        self.arena = np.zeros(0, np.uint8)
        self.cells = [np.zeros(8, np.int64), np.zeros(8, np.int64)]
        self.trace_of = np.zeros(1, np.int64)

    def take(self, block: bytes) -> bytes:
        """Take the whole values of a block, and return what is left of it; its last bytes are slack."""
        data, length = np.frombuffer(block, dtype=np.uint8), len(block) - _SLACK
        self._make_room(length)
        self.at[_POSITION] = 0
        while reason := _TOKENS(
            *(data, length, self.at),
            *(self.bounds, self.texts, self.joints, self.joint_slots, self.follows),
            *(self.columns, self.is_date, self.cells[0], self.cells[1], self.trace_of),
            *(self.slots, self.starts, self.owners, self.codes, self.hashes, self.sizes, self.arena),
        ):
            if reason == _NEW_JOINT:
                self._learn(block[int(self.at[_POSITION]) : int(self.at[_ASKED])])
            elif reason == _NEW_COLUMN:
                self._open(int(self.at[_ASKED]))
            else:
                raise _Unknown
        self._flush(int(self.at[_STATE]))
        return block[int(self.at[_POSITION]) : length]

    def _make_room(self, length: int) -> None:
        """Have room for whatever a block may hold."""
        self.arena = _wider(self.arena, int(self.at[_USED]), length + _SLACK)
        entries = int(self.at[_ENTRIES])
        self.owners, self.codes, self.hashes = (
            _wider(array, entries, length // _LEAST_VALUE + 1) for array in (self.owners, self.codes, self.hashes)
        )
        self.starts = _wider(self.starts, entries + 1, length // _LEAST_VALUE + 1)
        if 2 * len(self.hashes) > len(self.slots):
            self.slots = np.full(1 << (2 * len(self.hashes)).bit_length(), -1, np.int32)
            self.at[_MASK] = len(self.slots) - 1
            _REHASH(self.hashes, entries, self.slots, len(self.slots) - 1)
        for which in range(2):
            width, kept = int(self.at[_TRACE_WIDTH + which]), self.cells[which]
            self.cells[which] = np.empty((length // _LEAST_VALUE + 2) * width, dtype=np.int64)
            self.cells[which][:width] = kept[:width]
        self.trace_of = _wider(self.trace_of[:1], 1, length // _LEAST_VALUE + 1)

    def _learn(self, text: bytes) -> None:
        if len(self.segments) == _MOST_JOINTS:
            raise _Unknown
        segment, number = _parsed(text), len(self.segments)
        name = self.names.setdefault((segment.kind, segment.key), len(self.names))
        self.segments.append(segment)
        self.is_date[[2 * name, 2 * name + 1]] = segment.kind == "date"
        self.joints[5 * number : 5 * number + 5] = (
            segment.before,
            segment.after,
            segment.traces,
            segment.events,
            name,
        )
        begin, held = len(self.texts) - _SLACK, np.frombuffer(text + bytes(_SLACK), np.uint8)
        self.bounds[[2 * number, 2 * number + 1]] = begin, begin + len(text)
        self.texts = np.concatenate([self.texts[:begin], held])
        _KNOW(held, len(text), number, self.joint_slots, len(self.joint_slots) - 1)

    def _open(self, key: int) -> None:
        """Give a key a place in the rows of the traces or the events."""
        which = key % 2
        keys, width = self.opened[which], int(self.at[_TRACE_WIDTH + which])
        if len(keys) == width:
            cells = self.cells[which].reshape(-1, width)
            self.cells[which] = np.concatenate([cells, np.full_like(cells, NAT)], axis=1).ravel()
            self.at[_TRACE_WIDTH + which] = 2 * width
        self.columns[key], self.late[key] = len(keys), self.flushed[which]
        keys.append(key)

    def _flush(self, state: int) -> None:
        """Put away the rows that nothing can change any more; one that is still open begins the next block."""
        for which in range(2):
            width, is_open = int(self.at[_TRACE_WIDTH + which]), state > which
            count = int(self.at[_TRACES + which] - self.at[_FIRST_TRACE + which]) - is_open
            cells = self.cells[which].reshape(-1, width)
            for place, key in enumerate(self.opened[which]):
                part = cells[:count, place]
                self.parts[key].append(part.copy() if self.is_date[key] else np.maximum(part, -1).astype(np.int32))
            if which:
                self.traces_of.append(self.trace_of[:count].copy())
                self.trace_of[0] = self.trace_of[count]
            cells[0] = cells[count]
            self.flushed[which] += count
            self.at[_FIRST_TRACE + which] += count

    def finish(self, rest: bytes, notes: list[str]) -> Scan:
        """Return what was found, if the file ends as a log does."""
        tail = _TAIL.fullmatch(_text(rest))
        if tail is None or _walk(tail[1], int(self.at[_STATE])) != (_OUTSIDE, 0, 0):
            raise _Unknown
        self._flush(_OUTSIDE)
        traces, events = (self._frame(which) for which in range(2))
        return Scan(traces, events, np.concatenate(self.traces_of), notes)

    def _frame(self, which: int) -> pd.DataFrame:
        names = [*self.names]
        table: dict[str, pd.Series] = {}
        texts = _Texts.of(self)
        for key in self.opened[which]:
            kind, name = names[key // 2]
            if name in table:  # it has values of two kinds
                raise _Unknown
            before = np.full(self.late[key], NAT) if kind == "date" else np.full(self.late[key], -1, np.int32)
            cells = np.concatenate([before, *self.parts.pop(key)])
            table[name] = _times(cells) if kind == "date" else _column(kind, texts.of_key(key), cells)
        return pd.DataFrame(table, index=range(self.flushed[which]))


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of all columns, as they came first."""

    texts: pa.Array
    order: NDArray[np.intp]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, reader: _Reader) -> _Texts:
        """Return those that a reader holds."""
        count, used = int(reader.at[_ENTRIES]), int(reader.at[_USED])
        starts, arena = pa.py_buffer(reader.starts[: count + 1]), pa.py_buffer(reader.arena[:used])
        texts = pa.Array.from_buffers(pa.large_binary(), count, [None, starts, arena])
        owners = reader.owners[:count]
        bounds = np.concatenate([[0], np.cumsum(reader.sizes)])
        return cls(texts, np.argsort(owners, kind="stable"), bounds)

    def of_key(self, key: int) -> pa.Array:
        """Return those of a column, by code."""
        return self.texts.take(pa.array(self.order[self.bounds[key] : self.bounds[key + 1]]))


def _wider(array: NDArray[Any], used: int, more: int) -> NDArray[Any]:
    """Return an array with room for so many more than it uses, itself where it has it."""
    if used + more <= len(array):
        return array
    wide = np.empty(max(2 * len(array), used + more), dtype=array.dtype)
    wide[:used] = array[:used]
    return wide


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _Unknown from None


def _parsed(text: bytes) -> _Segment:
    segment, middle, _ = text.rsplit(b'"', 2)
    found = _SEGMENT.fullmatch(_text(segment))
    if found is None or not _MIDDLE.fullmatch(_text(middle)):
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
    if _NO_XML.search(text):
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


def _column(kind: str, texts: pa.Array, codes: NDArray[np.int32]) -> pd.Series:
    try:
        names = texts.cast(pa.large_string())
        return _names(names, codes) if kind in {"string", "id"} else _typed(kind, names, codes)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _Unknown from None


def _names(names: pa.Array, codes: NDArray[np.int32]) -> pd.Series:
    texts = names.to_pylist()
    if _is_odd("".join(texts)):  # then each is looked at, and two may be the same once they are read
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
    return "&" in text or "<" in text or not text.isprintable()


def _times(moments: NDArray[np.int64]) -> pd.Series:
    return pd.Series(moments.view("M8[us]")).dt.tz_localize("UTC").astype(UTC)


def _typed(kind: str, texts: pa.Array, codes: NDArray[np.int32]) -> pd.Series:
    if kind == "float":
        return pd.Series(np.append(pc.cast(texts, pa.float64()).to_numpy(), np.nan)[codes])
    if kind == "int":
        whole = np.append(pc.cast(texts, pa.int64()).to_numpy(), 0)
        return pd.Series(pd.arrays.IntegerArray(whole[codes], codes < 0))
    known = pc.index_in(texts, pa.array(["false", "true", "0", "1"], type=pa.large_string()))
    if known.null_count:
        raise _Unknown
    flags = np.append(known.to_numpy() % 2 == 1, False)
    return pd.Series(pd.arrays.BooleanArray(flags[codes], codes < 0))
