"""The part of a log that is asked about: a log again, so that filters compose."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.analysis.control_flow import variant_codes, variant_names
from orchkit.analysis.spans import case_durations_s, moments_s
from orchkit.errors import LogError, nearest
from orchkit.log import EventLog
from orchkit.units import Duration, seconds

__all__ = ["where"]

Names = str | Iterable[str]


def where(  # noqa: C901, PLR0913 -- each question is one word and one line
    log: EventLog,
    expression: str | Callable[[pd.DataFrame], pd.Series[bool]] | None = None,
    *,
    activity: Names | None = None,
    starts_with: Names | None = None,
    ends_with: Names | None = None,
    path: Iterable[str] | None = None,
    variant: Names | None = None,
    status: Names | None = None,
    repeats: Names | None = None,
    after: str | pd.Timestamp | None = None,
    before: str | pd.Timestamp | None = None,
    longer_than: Duration | None = None,
    shorter_than: Duration | None = None,
) -> EventLog:
    """Return the log of those cases, whole, for which all that is asked holds.

    Parameters
    ----------
    log
        Of any origin; it is not changed.
    expression
        On ``log.cases``: text for ``DataFrame.eval`` (``"amount > 1000 and country == 'US'"``), or a function of the
        frame that gives a Boolean a case.
    activity
        One of them occurs in the case.
    starts_with, ends_with
        The first, the last activity is one of them.
    path
        These activities follow one another directly somewhere in the case.
    variant
        The whole way, as `variants` writes it.
    status
        The case's status.
    repeats
        One of them occurs twice or more.
    after, before
        The case started at or after, before that time.
    longer_than, shorter_than
        The case ended, and took at least, less than that long.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> where(log, path=["check", "ship"], longer_than="30 min").cases["case_id"].tolist()
    ['o1']
    """
    cases, kept = log.cases, np.ones(len(log), dtype=bool)
    filled = np.diff(log.offsets) > 0
    if expression is not None:
        kept &= _holds(cases, expression)
    if activity is not None:
        kept &= _count(log, _is(log, activity)) > 0
    if repeats is not None:
        for name in _listed(repeats):
            _is(log, name)
        kept &= np.logical_or.reduce([_count(log, _is(log, name)) > 1 for name in _listed(repeats)])
    for names, rows in ((starts_with, log.offsets[:-1]), (ends_with, log.offsets[1:] - 1)):
        if names is not None:
            kept[~filled] = False
            kept[filled] &= _is(log, names)[rows[filled]]
    if path is not None:
        kept &= _count(log, _path(log, list(path))) > 0
    if variant is not None:
        kept &= _took(log, set(_listed(variant)))
    if status is not None:
        kept &= cases["status"].isin([name.upper() for name in _listed(status)]).to_numpy()
    started, duration_s = moments_s(cases["started"]), case_durations_s(log)
    if after is not None:
        kept &= started >= _moment_s(after)
    if before is not None:
        kept &= started < _moment_s(before)
    if longer_than is not None:
        kept &= duration_s >= seconds(longer_than)
    if shorter_than is not None:
        kept &= duration_s < seconds(shorter_than)
    return _taken(log, kept)


def _taken(log: EventLog, kept: NDArray[np.bool_]) -> EventLog:
    if kept.all():
        return log
    rows = np.flatnonzero(kept[log.case_codes])
    steps = log.steps.take(rows).reset_index(drop=True)
    for name in ("activity", "resource"):  # the names of what is gone go too
        steps[name] = steps[name].cat.remove_unused_categories()
    offsets = np.concatenate([[0], np.cumsum(np.diff(log.offsets)[kept])])
    cases = log.cases[kept].reset_index(drop=True)
    availability = log.availability
    part = EventLog.from_coded(steps, cases, offsets, availability if len(availability) else None)
    return part.with_notes(log.notes)


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _is(log: EventLog, names: Names) -> NDArray[np.bool_]:
    chosen = np.zeros(len(log.activities) + 1, dtype=bool)
    for name in _listed(names):
        if name not in log.activities:
            message = f"The log has no activity {name!r}.{nearest(name, list(log.activities))}"
            raise LogError(message)
        chosen[log.activities.get_loc(name)] = True
    return chosen[log.activity_codes]


def _count(log: EventLog, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(log.case_codes[rows], minlength=len(log))


def _path(log: EventLog, names: list[str]) -> NDArray[np.bool_]:
    """Tell for each row whether the path begins there."""
    height, last = len(log.case_codes), len(names) - 1
    found = np.zeros(height, dtype=bool)
    if height > last >= 0:
        found[: height - last] = log.case_codes[last:] == log.case_codes[: height - last]
        for shift, name in enumerate(names):
            found[: height - last] &= _is(log, name)[shift : height - last + shift]
    return found


def _took(log: EventLog, variants: set[str]) -> NDArray[np.bool_]:
    codes = variant_codes(log)
    _, first = np.unique(codes, return_index=True)
    first = first[codes[first] >= 0]
    return np.isin(codes, codes[first[variant_names(log, first).isin(variants).to_numpy()]])


def _moment_s(time: str | pd.Timestamp) -> float:
    moment = pd.Timestamp(time)
    return (moment.tz_localize("UTC") if moment.tzinfo is None else moment).timestamp()


def _holds(cases: pd.DataFrame, expression: str | Callable[[pd.DataFrame], pd.Series[bool]]) -> NDArray[np.bool_]:
    if not isinstance(expression, str):
        return np.asarray(expression(cases), dtype=bool)
    if "@" in expression or "__" in expression:
        message = "expression: '@' and '__' reach beyond the columns of cases. Give a function instead."
        raise LogError(message)
    try:
        found = cases.eval(expression, engine="python")
    except (ValueError, SyntaxError, NameError, TypeError, KeyError) as error:
        message = f"expression {expression!r}: {error}. The columns of cases: {', '.join(map(str, cases))}."
        raise LogError(message) from None
    return np.asarray(pd.Series(found).fillna(value=False), dtype=bool)
