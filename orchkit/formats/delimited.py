"""CSV: what is quoted where other things are not is text, and what is not quoted is what it looks like.

So a log comes back with its types: ``007`` in quotes stays text, an empty text is told from a missing one, and a number
is a number. A file that quotes everything, or nothing, says nothing by it; then the look decides alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from orchkit.columns import UTC, moments_of
from orchkit.errors import LogError
from orchkit.formats.bounded import chunks

__all__ = ["read_delimited", "typed", "write_delimited"]

_DELIMITERS = ",;\t|"
_BLOCK = 8 << 20
_MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "NaT"]
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the first bytes of UTF-16
_FALLBACK = "windows-1252"
_LINES = 1 << 16
_SAID = re.compile(r"sep=([,;\t|])\r?\n?", re.IGNORECASE)  # what Excel writes, and reads, above the names
_WITH_COMMA = "comma"
_COMMA = r"^-?(?:0|[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[1-9][0-9]*)(?:,[0-9]+)?$"
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
# No leading zeros: they make a name of a number.
_LOOKS = {
    "boolean": r"^(?:true|false|True|False|TRUE|FALSE)$",
    "int": r"^-?(?:0|[1-9][0-9]*)$",
    "float": r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$|^-?inf$",
    "time": rf"^{_MOMENT}$",
    "zoned": rf"^{_MOMENT}(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})$",
}


@dataclass(frozen=True, slots=True)
class _Way:
    """How a file is written, and the names of its columns; ``skipped`` lines stand above them.

    Where the file has no name for one, ``header`` has all.
    """

    encoding: str
    delimiter: str
    names: tuple[str, ...]
    skipped: int
    header: tuple[str, ...] | None = None


class _Stream(io.RawIOBase):
    """The unpacked bytes of a file as a file, which cannot fill the memory."""

    def __init__(self, path: Path) -> None:
        self.pieces, self.rest = chunks(path), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self.rest:
            self.rest = next(self.pieces, b"")
        size = min(len(buffer), len(self.rest))
        buffer[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


def read_delimited(path: Path, encoding: str | None = None) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Return the rows as text, what each column's texts are (``int``, ``zoned``, …), and what was guessed or dropped.

    Raises
    ------
    LogError
        The file is empty, damaged or no table, or two of its columns have the same name.
    """
    notes: list[str] = []
    head = next(chunks(path), b"")
    if not head.strip(b"\0 \t\r\n"):
        message = f"{path.name} is empty: it has no line of column names."
        raise LogError(message)
    known = encoding or ("utf-16" if head[:2] in _WIDE else "utf-8")
    try:
        way, table = _table(path, head, known, notes)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        if encoding or not ("UTF8" in str(error) or isinstance(error, UnicodeDecodeError)):
            raise _unreadable(path, error) from None
        notes.clear()
        notes.append(f"the file is not UTF-8 and was read as {_FALLBACK}; encoding=… says otherwise")
        try:
            way, table = _table(path, head, _FALLBACK, notes)
        except (pa.ArrowInvalid, UnicodeDecodeError) as second:
            raise _unreadable(path, second) from None
    except (LookupError, OSError) as error:
        raise _unreadable(path, error) from None
    looks = {name: look for name in table.column_names if (look := _look(table[name], way.delimiter)) is not None}
    if looks:
        quoted = _quoted(path, table, [*looks], way)
        if quoted != set(looks):
            looks = {name: look for name, look in looks.items() if name not in quoted}
    texts = table.to_pandas(types_mapper=lambda _: pd.StringDtype(na_value=float("nan")))
    for name in [name for name, look in looks.items() if look == _WITH_COMMA]:
        texts[name] = texts[name].str.replace(".", "").str.replace(",", ".")
        looks[name] = "float"
        notes.append(f"numbers of {name} were read with decimal commas")
    return texts, looks, notes


def typed(frame: pd.DataFrame, looks: dict[str, str]) -> pd.DataFrame:
    """Return the frame with the columns that look like something as that."""
    return frame.assign(**{name: _converted(frame[name], look) for name, look in looks.items() if name in frame})


def _unreadable(path: Path, error: Exception) -> LogError:
    if "straddling" in str(error):
        error = ValueError(f"a line is longer than {_BLOCK >> 20} MB. Is a quote not closed?")
    return LogError(f"{path.name} cannot be read as a table: {error}")


def _table(path: Path, head: bytes, encoding: str, notes: list[str]) -> tuple[_Way, pa.Table]:
    text = io.TextIOWrapper(io.BytesIO(head), encoding=encoding, newline="", errors="strict")
    lines = iter(text.readline, "")
    first = next(lines).removeprefix("\ufeff")
    said = _SAID.fullmatch(first)
    first = next(lines, "") if said else first
    outside = "".join(first.split('"')[::2])
    delimiter = said[1] if said else max(_DELIMITERS, key=outside.count)
    try:
        names = next(csv.reader(_chain(first, lines), delimiter=delimiter))
    except csv.Error as error:
        raise _unreadable(path, error) from None
    unnamed = [number for number, name in enumerate(names) if not name.strip()]
    for number in unnamed if len(unnamed) > 1 else ():
        names[number] = f"column {number + 1}"
    for number, name in enumerate(names):
        if name in names[:number]:
            message = f"{path.name} has two columns called {name!r}. Rename one."
            raise LogError(message)
    wrong: list[int] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        wrong.append(row.actual_columns)
        return "skip"

    way = _Way(encoding, delimiter, tuple(names), 1 if said else 0, tuple(names) if len(unnamed) > 1 else None)
    table = _parsed(path, way, _MISSING, skip)
    empty = [names[number] for number in unnamed if table[number].null_count == len(table)]
    if empty:
        notes.append(f"{len(empty):,} columns without a name or a value were dropped")
        table = table.drop_columns(empty)
    if wrong:
        notes.append(f"{len(wrong):,} lines were dropped: they have other than {len(names)} columns")
    return way, table


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _parsed(path: Path, way: _Way, missing: list[str], skip: object) -> pa.Table:
    return arrow_csv.read_csv(
        io.BufferedReader(_Stream(path), _BLOCK),
        read_options=arrow_csv.ReadOptions(
            encoding=way.encoding,
            block_size=_BLOCK,
            use_threads=False,
            skip_rows=way.skipped,
            column_names=way.header,
            skip_rows_after_names=int(way.header is not None),
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=way.delimiter, newlines_in_values=True, invalid_row_handler=skip
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=way.names,
            column_types=dict.fromkeys(way.names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=missing,
        ),
    )


def _look(column: pa.ChunkedArray, delimiter: str) -> str | None:
    """Return what all texts of a column look like, None for words, or if there are none.

    Where a comma divides no columns, it may divide numbers.
    """
    column = column.drop_null()
    if not len(column):
        return None
    sample = column.slice(0, 1)
    for look, pattern in _LOOKS.items():
        if (
            pc.all(pc.match_substring_regex(sample, pattern)).as_py()
            and pc.all(pc.match_substring_regex(column, pattern)).as_py()
        ):
            # As a float, a number of more than 64 bits would lose its last digits: it stays text.
            return look if look != "int" or _fits_in_64_bits(column) else None
    if pc.all(pc.match_substring_regex(column, f"{_LOOKS['int']}|{_LOOKS['float']}")).as_py():
        return "float"
    has_commas = delimiter != "," and pc.any(pc.match_substring(column, ",")).as_py()
    return _WITH_COMMA if has_commas and pc.all(pc.match_substring_regex(column, _COMMA)).as_py() else None


def _fits_in_64_bits(column: pa.ChunkedArray) -> bool:
    try:
        column.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return True


def _quoted(path: Path, table: pa.Table, names: list[str], way: _Way) -> set[str]:
    """Return those of some columns that have their values in quotes.

    Arrow does not tell; but a text that is called missing is so only without quotes.
    """
    samples = {name: table[name].drop_null()[0].as_py() for name in names}
    again = _parsed(path, replace(way, names=tuple(names)), sorted(set(samples.values())), lambda _: "skip")
    return {name for name in names if pc.any(pc.equal(again[name], samples[name])).as_py()}


def _converted(column: pd.Series, look: str) -> pd.Series:
    if look == "boolean":
        flags = column.str.lower().map({"true": True, "false": False})
        return flags.astype("boolean" if flags.isna().any() else "bool")
    if look == "int":
        numbers = pa.array(column, from_pandas=True).cast(pa.int64())
        kinds = {pa.int64(): pd.Int64Dtype()} if column.isna().any() else {}
        return pd.Series(numbers.to_pandas(types_mapper=kinds.get)).set_axis(column.index)
    if look == "float":
        return pd.to_numeric(column).astype("float64")
    if look == "zoned" and (whole := moments_of(column)) is not None:
        return whole
    try:
        moments = pd.to_datetime(column, format="ISO8601", utc=look == "zoned")
    except ValueError:
        return column  # no such day
    return moments.astype(UTC if look == "zoned" else "datetime64[us]")


def write_delimited(frame: pd.DataFrame, path: Path) -> None:
    """Write rows as CSV, packed where the name ends in ``.gz``: text in quotes, all else without."""
    header = ",".join(_quote(str(name)) if set(str(name)) & set('",\r\n') else str(name) for name in frame)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        file.write(header.encode() + b"\n")
        for at in range(0, len(frame), _LINES):
            cells = [_cells(frame[name].iloc[at : at + _LINES]) for name in frame]
            lines = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
            file.write(joined_bytes(pc.binary_join_element_wise(lines, "\n", "")))


def zoned_texts(column: pd.Series) -> pa.Array:
    """Return times in UTC as ``2024-05-06 09:00:00.000000Z``."""
    # Arrow would look up the zone for each of them.
    return pc.binary_join_element_wise(_naive_texts(column.dt.tz_convert("UTC").dt.tz_localize(None)), "Z", "")


def _naive_texts(column: pd.Series) -> pa.Array:
    return pa.array(column, type=pa.timestamp("us"), safe=False).cast(pa.string())


def joined_bytes(texts: pa.Array) -> memoryview:
    """Return texts one after the other, as they lie in memory."""
    _, ends, held = texts.buffers()
    bounds = np.frombuffer(ends, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(held or b"")[int(bounds[0]) : int(bounds[-1])]


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _cells(column: pd.Series) -> pa.Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        return _cells(pd.Series(column.cat.categories)).take(pa.array(codes, mask=codes < 0))
    kind = column.dtype.kind
    if kind == "M":
        return zoned_texts(column) if isinstance(column.dtype, pd.DatetimeTZDtype) else _naive_texts(column)
    if kind in "iub":
        return pa.array(column, from_pandas=True).cast(pa.string())
    if kind == "f":
        texts = pa.array(column, type=pa.float64(), from_pandas=True).cast(pa.string())
        is_whole = pc.match_substring_regex(texts, r"^-?\d+$")
        return pc.if_else(is_whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
    if isinstance(column.dtype, pd.StringDtype):
        texts = pa.array(column, type=pa.string(), from_pandas=True)
    else:
        known = column.notna().to_numpy()
        values = [str(value) if there else None for value, there in zip(column, known, strict=True)]
        texts = pa.array(values, type=pa.string())
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.binary_join_element_wise('"', doubled, '"', "")
