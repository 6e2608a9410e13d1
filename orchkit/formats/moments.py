"""Times of a table, as texts, moments or numbers: in UTC, and none without a zone."""

from __future__ import annotations

import zoneinfo
from contextlib import suppress
from typing import Literal

import pandas as pd

from orchkit.columns import UTC, of_pandas
from orchkit.errors import LogError, nearest
from orchkit.formats.guesses import most_likely, ways_to_read

__all__ = ["localized", "zoned"]

_EXCEL = "excel"
_LAST_YEAR = 9999
_OUR_DAYS_S = (631_152_000, 4_102_444_800)  # 1990 to 2100
_EXCELS_1970 = 25_569
_UNITS_S = {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, _EXCEL: 86_400}
_SINCE_1970: tuple[Literal["s", "ms", "us", "ns"], ...] = ("s", "ms", "us", "ns")
_COUNTED = (*_SINCE_1970, _EXCEL)


def zoned(
    column: pd.Series, timezone: str | None, time_format: str | None, notes: list[str], called: str | None = None
) -> pd.Series:
    """Return times in UTC; offsets may differ from row to row, times without one need ``timezone``.

    ``called`` is what errors call the column: its name in the file.
    """
    column = of_pandas(column)
    called = str(column.name) if called is None else called
    if column.isna().all():
        return pd.Series(pd.NaT, index=column.index, dtype=UTC)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        in_utc: pd.Series = column.dt.tz_convert("UTC").astype(UTC)
        return in_utc
    if time_format in _COUNTED:
        return _counted(column, time_format, timezone, notes, called)
    if time_format is None and _are_numbers(column):
        message = (
            f"Column {called!r} holds numbers, not times. Say what they count: read_log(…, time_format='s'), "
            f"'ms', 'us' or 'ns' since 1970, or 'excel'.{_likely(column.dropna().iloc[0])}"
        )
        raise LogError(message)
    texts = column if column.dtype.kind == "M" else column.astype("str").str.strip()
    texts = _iso(texts) if time_format is None and column.dtype.kind != "M" else texts
    bare = column.notna()
    if time_format is not None:
        bare &= "%z" not in time_format
    elif column.dtype.kind != "M":
        has_zone = texts.str.contains(r"(?:[zZ]|UTC|GMT|[+-]\d\d(?::?\d\d)?)$", na=False)
        bare &= ~has_zone | texts.str.len().le(len("2024-05-06"))
    _check_readable(texts[column.notna()], time_format, called)
    if bare.any() and timezone is None:
        message = (
            f"Column {called!r} has {int(bare.sum()):,} timestamps without a time zone. "
            "Say which one they are in: read_log(…, timezone='UTC') or 'Europe/Berlin'."
        )
        raise LogError(message)
    how = time_format or "ISO8601"
    parsed = pd.Series(pd.NaT, index=column.index, dtype=UTC)
    if bare.any():
        local = pd.to_datetime(texts[bare], format=None if column.dtype.kind == "M" else how)
        parsed[bare] = localized(local, str(timezone), notes).astype(UTC)
        notes.append(f"{int(bare.sum()):,} timestamps of {column.name} were read as {timezone}")
    aware = column.notna() & ~bare
    if aware.any():
        parsed[aware] = pd.to_datetime(texts[aware], utc=True, format=how).astype(UTC)
    return parsed


def _iso(texts: pd.Series) -> pd.Series:
    """Return texts with UTC as ISO 8601 has it; databases write its name."""
    if not texts.str.endswith(("UTC", "GMT"), na=False).any():
        return texts
    return texts.str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)


def _are_numbers(column: pd.Series) -> bool:
    return column.dtype.kind in "iuf" or bool(
        column.dropna().astype("str").str.strip().str.fullmatch(r"-?\d{5,}(?:[.,]\d*)?(?:[eE][-+]?\d+)?").all()
    )


def _likely(number: object) -> str:
    """Return what a number would be by the unit that makes a time of our days of it."""
    with suppress(ValueError, OverflowError):
        count = float(str(number).replace(",", "."))
        for unit, unit_s in _UNITS_S.items():
            seconds = (count - _EXCELS_1970 * (unit == _EXCEL)) * unit_s
            if _OUR_DAYS_S[0] <= seconds <= _OUR_DAYS_S[1]:
                return f" By {unit!r}, the first is {pd.Timestamp(seconds, unit='s'):%Y-%m-%d %H:%M}."
    return ""


def _counted(column: pd.Series, unit: str, timezone: str | None, notes: list[str], called: str) -> pd.Series:
    """Return numbers as the times that they count to; Excel's have no zone."""
    try:
        numbers = pd.to_numeric(column)
    except (ValueError, TypeError) as error:
        message = f"Column {called!r}: time_format={unit!r} is for numbers: {error}."
        raise LogError(message) from None
    try:
        if unit == _EXCEL:
            # A day's fraction as Excel holds it is a few microseconds off the second that was written.
            moments = (pd.Timestamp("1899-12-30") + pd.to_timedelta(numbers, unit="D")).dt.round("ms")
        else:
            known = next(name for name in _SINCE_1970 if name == unit)
            moments = pd.to_datetime(numbers, unit=known, utc=True).astype(UTC)
        is_late = bool((moments.dt.year > _LAST_YEAR).any())
    except (pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta, OverflowError, ValueError):
        is_late = True
    if is_late:
        message = f"Column {called!r}: {numbers.abs().max():,} is not a time of time_format={unit!r}. Try another unit."
        raise LogError(message)
    if unit != _EXCEL:
        return moments
    if timezone is None:
        message = f"Column {called!r}: Excel's times have no zone. Say it: read_log(…, timezone='Europe/Berlin')."
        raise LogError(message)
    notes.append(f"{int(column.notna().sum()):,} timestamps of {column.name} were read as {timezone}")
    return localized(moments, timezone, notes).astype(UTC)


def _check_readable(texts: pd.Series, time_format: str | None, called: str) -> None:
    if texts.dtype.kind == "M":
        return
    try:
        unread = pd.to_datetime(texts, utc=True, format=time_format or "ISO8601", errors="coerce").isna()
    except (ValueError, TypeError) as error:
        message = f"time_format={time_format!r}: {error}. Write it as strptime has it, such as '%d.%m.%Y %H:%M'."
        raise LogError(message) from None
    if not unread.any():
        return
    others = None if time_format else most_likely(texts)
    if others is not None:
        time_format = others
        unread = pd.to_datetime(texts, format=others, errors="coerce").isna()
    example = str(texts[unread].iloc[0])
    way = (
        f"as {time_format!r}{', as most are' if others else ''}"
        if time_format
        else "in ISO 8601 (2024-05-06T09:00:00+02:00)"
    )
    ways = [] if time_format else ways_to_read(texts)
    or_so = " or ".join(map(repr, ways)) or "'%d.%m.%Y %H:%M'"
    hint = "" if time_format else f" Say how they are written: read_log(…, time_format={or_so})."
    message = f"Column {called!r}: {int(unread.sum()):,} timestamps are not written {way}, the first {example!r}.{hint}"
    raise LogError(message)


def localized(local: pd.Series, timezone: str, notes: list[str]) -> pd.Series:
    """Return local times in UTC: what the clock shows twice is the second time, what it skips is moved forward."""
    try:
        strict = local.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        message = f"There is no time zone {timezone!r}.{nearest(timezone, zoneinfo.available_timezones())}"
        raise LogError(message) from None
    odd = int((strict.isna() & local.notna()).sum())
    if odd:
        notes.append(f"{odd:,} timestamps lie in the hour when the clocks change; of two the later was taken")
    zoned: pd.Series = local.dt.tz_localize(timezone, ambiguous=False, nonexistent="shift_forward").dt.tz_convert("UTC")
    return zoned
