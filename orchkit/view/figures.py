"""Numbers as a picture writes them, and the classes of a scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchkit.units import format_duration

__all__ = ["Scale", "count_text", "duration_text", "share_text", "times_text"]

_FULL, _MILLION = 100_000, 1_000_000
_RANGE = 10_000.0
_ALL, _ALMOST_ALL, _HARDLY, _TENTH = 1.0, 0.995, 0.0005, 0.0095


def count_text(count: int) -> str:
    """Return a count in at most six characters.

    Examples
    --------
    >>> count_text(13_087), count_text(262_200), count_text(2_622_000), count_text(26_220_000)
    ('13,087', '262k', '2.6M', '26M')
    """
    if count < _FULL:
        return f"{count:,}"
    if count < _MILLION - 500:
        return f"{count / 1000:.0f}k"
    millions = count / _MILLION
    return f"{millions:.1f}M" if millions < 9.95 else f"{millions:,.0f}M"  # noqa: PLR2004 -- two digits from there on


def share_text(share: float) -> str:
    """Return a share as percent; what is not quite all or nothing is not written so.

    Examples
    --------
    >>> share_text(1.0), share_text(0.999), share_text(0.256), share_text(0.004), share_text(0.00001)
    ('100%', '>99%', '26%', '0.4%', '<0.1%')
    """
    if share >= _ALL:
        return "100%"
    if share >= _ALMOST_ALL:
        return ">99%"
    if 0 < share < _HARDLY:
        return "<0.1%"
    return f"{share:.1%}" if 0 < share < _TENTH else f"{share:.0%}"


def duration_text(duration_s: float) -> str:
    """Return the time from one step to the next; less than none means that they overlap.

    Examples
    --------
    >>> duration_text(5400.0), duration_text(0.2), duration_text(-60.0)
    ('1h 30m', '200ms', 'overlap')
    """
    return "overlap" if duration_s < 0 else format_duration(duration_s)


def times_text(median_s: float, p95_s: float) -> str:
    """Return a median and a 95th percentile in a few words; nothing where they are not known.

    Examples
    --------
    >>> times_text(5400.0, 86_400.0), times_text(0.02, 0.1), times_text(float("nan"), 0.0)
    ('1h 30m, 95% in 1d', '20ms, 95% in 100ms', '')
    """
    if math.isnan(median_s):
        return ""
    if p95_s <= 0:
        return duration_text(median_s)
    return f"{duration_text(median_s)}, 95% in {format_duration(p95_s)}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Classes of values, the lowest first: ``bounds`` are where the next begins.

    Examples
    --------
    >>> scale = Scale.of([1.0, 2.0, 60.0, 3600.0], 3)
    >>> scale.bounds, [scale.place(value) for value in (1.0, 100.0, 3600.0)]
    ((15.0, 230.0), [0, 1, 2])
    """

    bounds: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float], classes: int, *, logarithmic: bool = True) -> Scale:
        """Return classes of the same width, on a logarithmic scale where wanted; fewer where there are few values.

        Their bounds are rounded to two digits. Values that are not positive are in the first class, as are those below
        a ten-thousandth of the largest.
        """
        known = [value for value in values if math.isfinite(value)]
        found = sorted({value for value in known if value > 0})
        if not found or (len(found) == 1 and len(known) == known.count(found[0])):
            return cls(())
        high, low = found[-1], max(found[0], found[-1] / _RANGE)
        wanted = min(classes, len(found) + (len(known) > 0 and min(known) <= 0))
        steps = [number / wanted for number in range(1, wanted)]
        if logarithmic and low < high:
            bounds = [low * (high / low) ** step for step in steps]
        else:
            bounds = [low + (high - low) * step for step in steps]
        return cls(tuple(dict.fromkeys(_rounded(bound) for bound in bounds)))

    def place(self, value: float) -> int:
        """Return the class of a value, from 0; unknown values are in the first."""
        return sum(value >= bound for bound in self.bounds)

    def spread(self, classes: int) -> Sequence[int]:
        """Return which of ``classes`` shades each class takes, from the weakest to the strongest."""
        last = max(len(self.bounds), 1)
        return [round((classes - 1) * place / last) for place in range(len(self.bounds) + 1)]


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
