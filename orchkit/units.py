"""Durations: ``"5 min"`` outside, float seconds inside. The one module that converts."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from numbers import Real

__all__ = ["Duration", "format_duration", "seconds"]

_EXPECTED = "a number of seconds, a timedelta, or text such as '90s', '5 min', '1h 30m', '2 days', 'PT5M'"
Duration = str | float | int | timedelta

_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
}
_MICROSECOND, _ALMOST_A_SECOND, _ALMOST_A_MINUTE = 1e-6, 0.9995, 59.95  # what rounds up has the larger unit
_NAMES = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*(?:,|and)?")
_ISO = re.compile(
    r"P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?",
)


def seconds(duration: Duration) -> float:
    """Return a duration in seconds.

    Parameters
    ----------
    duration
        A number of seconds, a ``timedelta``, or text: ``"90s"``, ``"5 min"``, ``"1h 30m"``,
        ``"2 days"``, or an ISO 8601 duration without years and months (``"PT5M"``).

    Raises
    ------
    ValueError
        Not a duration, negative or not finite.

    Examples
    --------
    >>> seconds("5 min"), seconds("1h 30m"), seconds("PT0.5S"), seconds(3)
    (300.0, 5400.0, 0.5, 3.0)
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, bool) or not isinstance(duration, str | Real):
        message = f"{duration!r} is not a duration: give {_EXPECTED}."
        raise ValueError(message)  # noqa: TRY004 -- one error for all that is not a duration
    elif isinstance(duration, str):
        value = _parse(duration)
    else:
        try:
            value = float(duration)
        except OverflowError:
            value = math.inf
        except TypeError:  # NumPy's differences of time are integers, too
            message = f"{duration!r} is not a duration: give {_EXPECTED}."
            raise ValueError(message) from None
    if not math.isfinite(value) or value < 0:
        message = f"{duration!r} is not a duration: it must be finite and not negative."
        raise ValueError(message)
    return value


def _parse(text: str) -> float:
    folded = text.strip()
    iso = _ISO.fullmatch(folded.upper())
    if iso and any(iso.groups()):
        return sum(float(part) * _UNITS[unit] for part, unit in zip(iso.groups(), "wdhms", strict=True) if part)
    folded = folded.lower()
    total, position = 0.0, 0
    while position < len(folded):
        part = _PART.match(folded, position)
        unit = _NAMES.get(part.group(2)) if part else None
        if part is None or unit is None:
            break
        total += float(part.group(1)) * _UNITS[unit]
        position = part.end()
    if not folded or position < len(folded):
        try:
            return float(folded)
        except ValueError:
            message = f"{text!r} is not a duration: give {_EXPECTED}."
            raise ValueError(message) from None
    return total


def format_duration(duration_s: float) -> str:
    """Return a duration for people, two units at most.

    Examples
    --------
    >>> format_duration(0.25), format_duration(5400), format_duration(200_000)
    ('250ms', '1h 30m', '2d 8h')
    """
    if duration_s < _MICROSECOND:
        return "0s"
    if duration_s < _ALMOST_A_SECOND:
        return f"{duration_s * 1000:.3g}ms"
    if duration_s < _ALMOST_A_MINUTE:
        return f"{duration_s:.3g}s"
    sizes = [_UNITS[unit] for unit in "wdhms"]
    largest = next(position for position, size in enumerate(sizes) if duration_s >= size or size == 1)
    smallest = sizes[min(largest + 1, len(sizes) - 1)]
    whole = round(duration_s / smallest) * smallest
    parts = []
    for unit, size in zip("wdhms", sizes, strict=True):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count:.0f}{unit}")
    return " ".join(parts)
