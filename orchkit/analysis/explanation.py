"""What goes with an outcome: attributes, paths and resources, with the size of the effect and an honest test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchkit.analysis.confounding import Suspect, settle
from orchkit.analysis.health import LOST
from orchkit.columns import CASE_COLUMNS, CASE_STATUSES, ENDED_CASES
from orchkit.errors import LogError, nearest
from orchkit.log import expect_log

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["explain"]

_COLUMNS = [
    "factor",
    "value",
    "kind",
    "cases",
    "share_with",
    "share_without",
    "difference",
    "low",
    "high",
    "p_value",
    "p_adjusted",
    "significant",
    "explained_by",
    "sentence",
]
# A value that fewer cases have says nothing that a test could hold.
_FEWEST = 5
# The values of an attribute with more are names, not kinds.
_MOST_VALUES = 50
_ALPHA = 0.05
_MISSING = "(missing)"
# Where numbers are cut in two.
_CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)
# Of the chance of an error, what all ranges between two cuts have together: there are many, and a cut says more.
_OF_RANGES = 1 / 6
_UP_TO = " up to "


@dataclass(frozen=True, slots=True)
class _Factor:
    """A question about cases, and those that each answer holds for."""

    name: str
    kind: str
    answers: dict[str, NDArray[np.bool_]]
    kinds: NDArray[np.integer[Any]]
    has_ranges: bool = False


def explain(log: EventLog, outcome: str | pd.Series = "lost") -> pd.DataFrame:
    """Return what goes along with an outcome of cases (attributes, activities, resources), the strongest first.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file. Cases that have not ended are left out.
    outcome
        ``"lost"`` (FAILED, DEAD_LETTERED or COMPENSATED), a status of a case, or a Boolean for each row of
        ``log.cases``.

    Returns
    -------
    DataFrame
        A row for each attribute of the cases, each activity and each resource that tells cases apart:

        ================== ==========================================================================
        ``factor``         the attribute; ``activity`` or ``resource``
        ``value``          the value that differs most from the rest; of numbers ``> m`` or ``> m up to n``,
                           which are deciles or quartiles, and ``(missing)`` where that there is none tells most
        ``kind``           ``attribute``, ``path`` or ``resource``
        ``cases``          cases with the value
        ``share_with``     of these, the share with the outcome
        ``share_without``  of the other cases
        ``difference``     between both; ``low`` and ``high`` are its 95 % interval (Newcombe's)
        ``p_value``        Fisher's exact test, times the number of values that were tried; of numbers, all
                           ranges together have a sixth of the chance of an error
        ``p_adjusted``     corrected for all rows, and with what is stronger held fixed
        ``significant``    below 0.05: of logs, at most one in twenty has any such row that is by chance
        ``explained_by``   the factor that leaves nothing of it: it differs, but not among cases that are
                           alike in that one
        ``sentence``       the same in words
        ================== ==========================================================================

    Raises
    ------
    LogError
        The outcome is not a status, or does not give a Boolean per case.

    Notes
    -----
    What goes with an outcome need not cause it: a step that deals with failures goes with them too. A factor counts if
    the outcome differs with it by itself (Fisher's exact test, 1935, corrected for all rows as Holm has it, 1979) and
    among cases that are alike in the stronger factors (Mantel and Haenszel, 1959): a warehouse that only has the bad
    country's orders is explained by the country. The interval is Newcombe's (1998, method 10).

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> cases = pd.DataFrame({
    ...     "case_id": [f"o{number:02}" for number in range(40)],
    ...     "status": ["FAILED"] * 15 + ["COMPLETED"] * 25,
    ...     "country": ["DE"] * 18 + ["FR"] * 22,
    ... })
    >>> steps = cases[["case_id"]].assign(activity="pay", completed="2024-05-06T09:00Z")
    >>> explain(EventLog(steps, cases))["sentence"].item()
    'country is DE: 83 % of 18 cases are lost, against 0 % of the other 22 (83 points more, 56 to 94).'
    """
    expect_log(log, "explain")
    cases = log.cases
    has, word = _outcome(cases, outcome)
    kept = cases["status"].isin(ENDED_CASES).to_numpy() if isinstance(outcome, str) else np.ones(len(cases), dtype=bool)
    has = has[kept]
    tested = [found for factor in _factors(log, kept) if (found := _tested(factor, has)) is not None]
    chances = np.array([found.suspect.chance for found in tested])
    adjusted = _holm(chances)
    suspects = [tested[place].suspect for place in np.argsort(chances, kind="stable") if adjusted[place] < _ALPHA]
    standing = settle(suspects, has, len(tested), _ALPHA)
    for found, chance in zip(tested, adjusted, strict=True):
        found.adjusted = min(1.0, found.suspect.given * len(tested)) if chance < _ALPHA else float(chance)
    rows = [_row(found, has, word, is_standing=any(found.suspect is each for each in standing)) for found in tested]
    table = pd.DataFrame(rows, columns=_COLUMNS).astype({"significant": bool, "explained_by": "str"})
    order = table.assign(size=table["difference"].abs(), rest=table["explained_by"].notna()).sort_values(
        ["significant", "rest", "p_adjusted", "size", "factor", "value"],
        ascending=[False, False, True, False, True, True],
    )
    return table.loc[order.index].reset_index(drop=True)


def _outcome(cases: pd.DataFrame, outcome: str | pd.Series) -> tuple[NDArray[np.bool_], str]:
    """Return which cases have the outcome, and its name in a sentence."""
    if isinstance(outcome, str):
        if outcome == "lost":
            return cases["status"].isin(LOST).to_numpy(), "are lost"
        status = outcome.upper()
        if status not in CASE_STATUSES:
            known = ("lost", *sorted(ENDED_CASES))
            hint = nearest(outcome, known) or nearest(status, known)
            message = f"{outcome!r} is not an outcome.{hint} Known: {', '.join(known)}."
            raise LogError(message)
        return (cases["status"] == status).to_numpy(), f"are {status}"
    values = np.asarray(outcome)
    if values.dtype != bool or values.shape != (len(cases),):
        message = f"outcome must hold a Boolean for each of the {len(cases):,} rows of log.cases."
        raise LogError(message)
    name = getattr(outcome, "name", None)
    return values, f"are {name}" if name else "have the outcome"


def _factors(log: EventLog, kept: NDArray[np.bool_]) -> Iterator[_Factor]:
    cases = log.cases[kept]
    attributes = [name for name in cases if name not in CASE_COLUMNS and name != "run_id"]
    for name in ("workflow", "version", *attributes):
        found = _answers(cases[name])
        if found is not None:
            yield _Factor(str(name), "attribute", *found, has_ranges=_numbers(cases[name]) is not None)
    for kind, factor, codes, names in (
        ("path", "activity", log.activity_codes, log.activities),
        ("resource", "resource", log.resource_codes, log.resources),
    ):
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
        for code, name in enumerate(names):
            seen = np.zeros(len(log), dtype=bool)
            seen[log.case_codes[order[bounds[code] : bounds[code + 1]]]] = True
            own = seen[kept]
            yield _Factor(factor, kind, {str(name): own}, own.view(np.uint8))  # of 10,000 activities, on one memory


def _answers(column: pd.Series) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.int64]] | None:
    """Return the questions that a column answers, and the kind of each case by all of its values."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        return None
    is_missing = column.isna().to_numpy()
    unknown = {_MISSING: is_missing} if is_missing.any() else {}
    numbers = _numbers(column)
    if numbers is not None:
        known = numbers[np.isfinite(numbers)]
        cuts = np.unique(np.quantile(known, _CUTS)) if len(known) else np.array([])
        answers = {f"> {cut:g}": numbers > cut for cut in cuts[cuts < known.max(initial=-np.inf)].tolist()}
        ranges = combinations(cuts.tolist(), 2)
        answers |= {f"> {low:g}{_UP_TO}{high:g}": (numbers > low) & (numbers <= high) for low, high in ranges}
        return answers | unknown, np.where(is_missing, len(cuts) + 1, np.searchsorted(cuts, numbers)).astype(np.int64)
    values = column.astype("str")
    counts = values.value_counts()
    if len(counts) > _MOST_VALUES:
        return None
    kinds = pd.factorize(values)[0].astype(np.int64) + 1
    answers = {str(value): (values == value).fillna(value=False).to_numpy(dtype=bool) for value in counts.index}
    return answers | unknown, kinds


def _numbers(column: pd.Series) -> NDArray[np.float64] | None:
    """Return a column as numbers, None where it holds kinds: few values, or texts; XES often writes numbers as text."""
    count = column.nunique()
    if pd.api.types.is_bool_dtype(column) or count <= _FEWEST:
        return None
    if not pd.api.types.is_numeric_dtype(column):
        if count <= _MOST_VALUES:
            return None
        column, texts = pd.to_numeric(column.astype("str"), errors="coerce"), column
        if (column.isna() & texts.notna()).any():
            return None
    numbers: NDArray[np.float64] = np.asarray(column.astype("float64").to_numpy(na_value=np.nan), dtype=np.float64)
    return numbers


@dataclass(slots=True)
class _Found:
    """What the test of a factor gave."""

    factor: _Factor
    value: str
    suspect: Suspect
    adjusted: float = 1.0


def _tested(factor: _Factor, has: NDArray[np.bool_]) -> _Found | None:
    """Return the value of a factor that differs most, its chance corrected for having been picked."""
    tried = {
        value: with_it for value, with_it in factor.answers.items() if min(with_it.sum(), (~with_it).sum()) >= _FEWEST
    }
    if not tried:
        return None
    tests = _tests(factor, tried)
    chances = {value: _fisher(with_it, has) * tests[value] for value, with_it in tried.items()}
    value = min(chances, key=lambda name: (chances[name], name))
    name, chance = factor.name if factor.kind == "attribute" else value, min(1.0, chances[value])
    suspect = Suspect(name, tried[value], factor.kinds, tests[value], chance, happens=factor.kind == "path")
    return _Found(factor, value, suspect)


def _tests(factor: _Factor, tried: dict[str, NDArray[np.bool_]]) -> dict[str, float]:
    """Return by how much the chance of each value is corrected for the others that were tried."""
    pair = list(tried.values())
    if len(pair) == 2 and (pair[0] ^ pair[1]).all():  # noqa: PLR2004 -- one is the other's complement: one test
        return dict.fromkeys(tried, 1.0)
    ranges = [value for value in tried if factor.has_ranges and _UP_TO in value]
    plain = len(tried) - len(ranges)
    if not ranges:
        return dict.fromkeys(tried, float(plain))
    rest = plain / (1 - _OF_RANGES)
    return dict.fromkeys(tried, rest) | dict.fromkeys(ranges, len(ranges) / _OF_RANGES)


def _row(found: _Found, has: NDArray[np.bool_], word: str, *, is_standing: bool) -> list[object]:
    with_it, factor = found.suspect.with_it, found.factor
    ours, others = has[with_it], has[~with_it]
    low, high = _newcombe(ours, others)
    first, second = float(ours.mean()), float(others.mean())
    sentence = _sentence(factor, found.value, word, ours, others, (low, high))
    explained_by = None if is_standing else found.suspect.explained_by
    if explained_by is not None:
        sentence = f"{sentence[:-1]}, which {explained_by} explains."
    return [
        *(factor.name, found.value, factor.kind, len(ours), first, second, first - second, low, high),
        *(found.suspect.chance, found.adjusted, is_standing, explained_by, sentence),
    ]


def _fisher(with_it: NDArray[np.bool_], has: NDArray[np.bool_]) -> float:
    return _exact(*(int((one & other).sum()) for one in (with_it, ~with_it) for other in (has, ~has)))


@lru_cache(maxsize=10_000)  # of thousands of activities, most are as seldom as others
def _exact(*counts: int) -> float:
    from scipy.stats import fisher_exact  # noqa: PLC0415 -- half a second, on use

    return float(fisher_exact(np.reshape(counts, (2, 2))).pvalue)


def _newcombe(ours: NDArray[np.bool_], others: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares, from Wilson's intervals of each."""
    (first, low_1, high_1), (second, low_2, high_2) = _wilson(ours), _wilson(others)
    difference = first - second
    low = difference - sqrt((first - low_1) ** 2 + (high_2 - second) ** 2)
    return low, difference + sqrt((high_1 - first) ** 2 + (second - low_2) ** 2)


def _wilson(values: NDArray[np.bool_]) -> tuple[float, float, float]:
    count, share, z = len(values), float(values.mean()), 1.959963984540054
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return share, middle - half, middle + half


def _holm(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(chances, kind="stable")
    adjusted = np.empty(len(chances))
    steps = chances[order] * np.arange(len(chances), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(chances) else steps
    return adjusted


def _sentence(
    factor: _Factor,
    value: str,
    word: str,
    ours: NDArray[np.bool_],
    others: NDArray[np.bool_],
    bounds: tuple[float, float],
) -> str:
    first, second = float(ours.mean()), float(others.mean())
    low, high = bounds if first >= second else (-bounds[1], -bounds[0])
    match factor.kind:
        case "path":
            subject = f"Went through {value}"
        case "resource":
            subject = f"{value} took part"
        case _:
            said = "missing" if value == _MISSING else value
            subject = f"{factor.name} {value}" if value.startswith("> ") else f"{factor.name} is {said}"
    more = "more" if first >= second else "fewer"
    points = abs(first - second)
    return (
        f"{subject}: {first:.0%} of {len(ours):,} cases {word}, against {second:.0%} of the other {len(others):,} "
        f"({points * 100:.0f} points {more}, {round(low * 100)} to {round(high * 100)})."
    ).replace("%", " %")
