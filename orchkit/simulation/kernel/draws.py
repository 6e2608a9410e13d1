"""Random numbers of the kernel: a draw is a pure function of what it is for.

A draw's key is made of the seed, the replication, the case, the node, the visit, the attempt and the purpose. So draws do
not depend on the order of events: two scenarios see the same luck (common random numbers), and results do not
depend on who computes them.
"""

from __future__ import annotations

import math

import numpy as np

from orchkit.simulation.kernel.compiling import compiled
from orchkit.simulation.kernel.layout import (
    CASE_KEY,
    D_WIDTH,
    KNOWN_MARK,
    LONGEST,
    MICRO,
    P_ATTRIBUTE_COUNT,
    P_ATTRIBUTES,
    P_DISTRIBUTIONS,
    P_KNOWN,
    P_KNOWN_CASES,
)

__all__ = [
    "COMPOSED",
    "EXPONENTIAL",
    "FAMILY_CODES",
    "case_key",
    "draw",
    "fraction",
    "micros",
    "mix",
    "sample",
    "sample_attribute",
    "stream",
    "stream_of",
]

FAMILY_CODES = {
    "constant": 0,
    "uniform": 1,
    "triangular": 2,
    "exponential": 3,
    "normal": 4,
    "lognormal": 5,
    "gamma": 6,
    "weibull": 7,
    "erlang": 8,
    "pert": 9,
    "empirical": 10,
    "categorical": 11,
    "by_attribute": 12,
    "by_resource": 13,
    "column": 14,
    "by_previous": 15,
}
EXPONENTIAL = 3
COMPOSED = 12  # and above: by attribute, resource or task before
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 1.0 / (1 << 53)


@compiled
def mix(value):
    """Return SplitMix64's finalizer of an integer (Steele, Lea and Flood, OOPSLA 2014)."""
    z = np.uint64(value) + _GOLDEN
    z = (z ^ (z >> _S30)) * _A
    z = (z ^ (z >> _S27)) * _B
    return np.int64(z ^ (z >> _S31))


@compiled
def stream_of(node, visit, attempt, purpose):
    """Return what the key of a draw has beside that of the case."""
    return mix((node << 40) ^ (visit << 16) ^ (attempt << 6) ^ purpose)


@compiled
def stream(key, node, visit, attempt, purpose):
    """Return the key of a draw."""
    return mix(key ^ stream_of(node, visit, attempt, purpose))


@compiled
def fraction(key, number):
    """Return the n-th number in (0, 1) of a stream."""
    z = np.uint64(mix(np.int64(np.uint64(key) + _GOLDEN * np.uint64(number))))
    return (float(z >> _S11) + 0.5) * _UNIT


@compiled
def draw(key, node, visit, attempt, purpose):
    """Return a number in (0, 1)."""
    return fraction(stream(key, node, visit, attempt, purpose), 0)


@compiled
def micros(seconds):
    """Return seconds as microseconds."""
    whole = seconds * MICRO + 0.5
    return np.int64(math.floor(whole)) if whole < LONGEST else LONGEST


@compiled
def _quantile(u):
    """Return the standard normal quantile (Wichura, Applied Statistics 37, 1988, algorithm AS 241)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return (
            q
            * (
                (
                    (
                        (
                            (
                                ((r * 2509.0809287301226727 + 33430.575583588128105) * r + 67265.770927008700853) * r
                                + 45921.953931549871457
                            )
                            * r
                            + 13731.693765509461125
                        )
                        * r
                        + 1971.5909503065514427
                    )
                    * r
                    + 133.14166789178437745
                )
                * r
                + 3.387132872796366608
            )
            / (
                (
                    (
                        (
                            (
                                ((r * 5226.495278852545925 + 28729.085735721942674) * r + 39307.89580009271061) * r
                                + 21213.794301586595867
                            )
                            * r
                            + 5394.1960214247511077
                        )
                        * r
                        + 687.1870074920579083
                    )
                    * r
                    + 42.313330701600911252
                )
                * r
                + 1.0
            )
        )
    r = math.sqrt(-math.log(min(u, 1.0 - u)))
    if r <= 5.0:
        r -= 1.6
        x = (
            (
                (
                    (
                        (
                            ((r * 7.7454501427834140764e-4 + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
                            + 1.27045825245236838258
                        )
                        * r
                        + 3.64784832476320460504
                    )
                    * r
                    + 5.7694972214606914055
                )
                * r
                + 4.6303378461565452959
            )
            * r
            + 1.42343711074968357734
        ) / (
            (
                (
                    (
                        (
                            ((r * 1.05075007164441684324e-9 + 5.475938084995344946e-4) * r + 0.0151986665636164571966)
                            * r
                            + 0.14810397642748007459
                        )
                        * r
                        + 0.68976733498510000455
                    )
                    * r
                    + 1.6763848301838038494
                )
                * r
                + 2.05319162663775882187
            )
            * r
            + 1.0
        )
    else:
        r -= 5.0
        x = (
            (
                (
                    (
                        (
                            ((r * 2.01033439929228813265e-7 + 2.71155556874348757815e-5) * r + 0.0012426609473880784386)
                            * r
                            + 0.026532189526576123093
                        )
                        * r
                        + 0.29656057182850489123
                    )
                    * r
                    + 1.7848265399172913358
                )
                * r
                + 5.4637849111641143699
            )
            * r
            + 6.6579046435011037772
        ) / (
            (
                (
                    (
                        (
                            ((r * 2.04426310338993978564e-15 + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5)
                            * r
                            + 7.868691311456132591e-4
                        )
                        * r
                        + 0.0148753612908506148525
                    )
                    * r
                    + 0.13692988092273580531
                )
                * r
                + 0.59983220655588793769
            )
            * r
            + 1.0
        )
    return -x if q < 0 else x


@compiled
def _below(z):
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@compiled
def _gamma(shape, key, number):
    """Return a gamma variate of scale 1 (Marsaglia and Tsang, ACM TOMS 26, 2000)."""
    boost = 1.0
    if shape < 1.0:
        boost = fraction(key, number) ** (1.0 / shape)
        number += 1
        shape += 1.0
    third = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * third)
    while True:
        x = _quantile(fraction(key, number))
        u = fraction(key, number + 1)
        number += 2
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            if math.log(u) < 0.5 * x * x + third - third * v + third * math.log(v):
                return boost * third * v


@compiled
def _plain(d, at, family, key):
    a, b, c = d[at + 1], d[at + 2], d[at + 3]
    u = fraction(key, 0)
    if family == 1:
        return a + (b - a) * u
    if family == 2:
        if c == a:
            return a
        cut = (b - a) / (c - a)
        return a + math.sqrt(u * (c - a) * (b - a)) if u < cut else c - math.sqrt((1 - u) * (c - a) * (c - b))
    if family == 4:
        if b == 0.0:
            return min(max(a, c), d[at + 4])
        if c > a:  # beyond the mean, what lies above tells more digits than what lies below
            low, high = _below((a - c) / b), _below((a - d[at + 4]) / b)
            share = max(high + (1.0 - u) * (low - high), 1e-300)
            return min(max(a - b * _quantile(share), c), d[at + 4])
        low, high = _below((c - a) / b), _below((d[at + 4] - a) / b)
        return min(max(a + b * _quantile(min(max(low + u * (high - low), 1e-300), 1 - 1e-16)), c), d[at + 4])
    if family == 5:
        variance = math.log(1.0 + (b / a) ** 2)
        return math.exp(math.log(a) - variance / 2 + math.sqrt(variance) * _quantile(u))
    if family == 6:
        return b * _gamma(a, key, 1)
    if family == 7:
        return b * (-math.log(u)) ** (1.0 / a)
    if family == 8:
        if a > 20:
            return b / a * _gamma(a, key, 1)
        total = 0.0
        for stage in range(int(a)):
            total -= math.log(fraction(key, stage))
        return b / a * total
    if family == 9:
        if c == a:
            return a
        x = _gamma(1 + 4 * (b - a) / (c - a), key, 1)
        y = _gamma(1 + 4 * (c - b) / (c - a), key, 1_000_000)
        return a + (c - a) * x / (x + y)
    if family == 10:
        return d[int(a) + min(int(u * b), int(b) - 1)]
    # categorical: values, then weights summed up
    count = int(b)
    for position in range(count - 1):
        if u < d[int(a) + count + position]:
            return d[int(a) + position]
    return d[int(a) + count - 1]


@compiled
def case_key(p, key, number):
    """Return the key of a case of a replication; it tells of one whose attributes are known which one it is."""
    found = mix(key + (number + 1) * CASE_KEY)
    if number < p[P_KNOWN_CASES]:
        found = (KNOWN_MARK << 40) | ((found & 0xFFFFF) << 20) | number
    return found


@compiled
def _drawn(d, at, family, key, case):
    if family == 14:  # a column of a table of cases: of the same row for all of them
        u = fraction(stream(case, 0xFFFFF, 0, 0, 15), 0)
        return d[int(d[at + 1]) + min(int(u * d[at + 2]), int(d[at + 2]) - 1)]
    if family == 0:
        return d[at + 1]
    if family == 3:
        return -d[at + 1] * math.log(fraction(key, 0))
    return _plain(d, at, family, key)


@compiled
def _plain_attribute(p, d, attribute, case):
    if p[P_KNOWN_CASES] > 0 and case >> 40 == KNOWN_MARK:
        known = d[p[P_KNOWN] + (case & 0xFFFFF) * p[P_ATTRIBUTE_COUNT] + attribute]
        if not math.isnan(known):
            return known
    at = p[P_DISTRIBUTIONS] + p[p[P_ATTRIBUTES] + attribute] * D_WIDTH
    return _drawn(d, at, int(d[at]), stream(case, attribute, 0, 0, 15), case)


@compiled
def sample_attribute(p, d, attribute, case):
    """Return the value of an attribute of a case: text as its code. It is drawn again whenever it is asked for."""
    if p[P_KNOWN_CASES] > 0 and case >> 40 == KNOWN_MARK:
        known = d[p[P_KNOWN] + (case & 0xFFFFF) * p[P_ATTRIBUTE_COUNT] + attribute]
        if not math.isnan(known):
            return known
    number = p[p[P_ATTRIBUTES] + attribute]
    at = p[P_DISTRIBUTIONS] + number * D_WIDTH
    family = int(d[at])
    while family == 12:  # by another attribute, which comes before it
        wanted = _plain_attribute(p, d, int(d[at + 3]), case)
        number = int(d[at + 4])
        for position in range(int(d[at + 2])):
            if d[int(d[at + 1]) + 2 * position] == wanted:
                number = int(d[int(d[at + 1]) + 2 * position + 1])
                break
        at = p[P_DISTRIBUTIONS] + number * D_WIDTH
        family = int(d[at])
    return _drawn(d, at, family, stream(case, attribute, 0, 0, 15), case)


@compiled
def sample(p, d, number, case, key, unit):
    """Return a draw of a distribution, in seconds (or of whatever it is a distribution)."""
    while True:
        at = p[P_DISTRIBUTIONS] + number * D_WIDTH
        family = int(d[at])
        if family == 0:
            return d[at + 1]
        if family == 3:
            return -d[at + 1] * math.log(fraction(key, 0))
        if family < 12:
            return _plain(d, at, family, key)
        # by attribute, resource or task before: pairs of a value and a distribution; then the one for all others
        wanted = float(unit)
        if family == 12:
            attribute = int(d[at + 3])
            wanted = sample_attribute(p, d, attribute, case)
        number = int(d[at + 4])
        for position in range(int(d[at + 2])):
            if d[int(d[at + 1]) + 2 * position] == wanted:
                number = int(d[int(d[at + 1]) + 2 * position + 1])
                break
