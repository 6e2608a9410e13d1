"""Arrivals: when the next case comes."""

from __future__ import annotations

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.draws import micros, sample, stream
from orchkit.simulation.kernel.layout import (
    HOUR,
    P_ARRIVAL_COUNT,
    P_ARRIVAL_KIND,
    P_ARRIVALS,
    P_START,
    U_ARRIVAL,
)

__all__ = ["next_arrival"]


@compiled
def next_arrival(p, d, key, number, place, moment):
    """Return when a case arrives, the one before it at a moment; -1 for never. Times that are given are counted from 0."""
    kind = p[P_ARRIVAL_KIND]
    if kind == 0:
        return moment + micros(sample(p, d, p[P_ARRIVALS], 0, stream(key, 0, number, 0, U_ARRIVAL), -1))
    if kind == 1:
        return p[P_START] + p[p[P_ARRIVALS] + place] if place < p[P_ARRIVAL_COUNT] else -1
    # A Poisson process whose rate is constant within each hour of the week (d has 168 rates per microsecond).
    area = sample(p, d, p[P_ARRIVAL_COUNT], 0, stream(key, 0, number, 0, U_ARRIVAL), -1)
    while True:
        # 1970-01-01 was a Thursday.
        hour = (moment // HOUR + 72) % 168
        rate = d[p[P_ARRIVALS] + hour]
        left = HOUR - moment % HOUR
        if area < rate * left:
            return moment + int(area / rate)
        area -= rate * left
        moment += left
