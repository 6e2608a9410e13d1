"""How far two logs are from each other: the eight distances by which simulations are judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchkit.analysis.spans import moments_s
from orchkit.errors import LogError
from orchkit.log import expect_log

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.log import EventLog

__all__ = ["distances"]

_HOUR_S = 3600.0
_DAY_H, _WEEK_H = 24, 168
_EPOCH_H = 72  # 1970-01-01 was a Thursday
_FARTHEST_H = 23.0


def distances(log: EventLog, other: EventLog) -> pd.DataFrame:
    """Return eight distances between two logs, such as what happened and what was simulated.

    Parameters
    ----------
    log, other
        Any event log: of an engine, a simulation or a file. Replications are pooled.

    Returns
    -------
    DataFrame
        One row per distance: ``distance, value, unit``. All are 0 for the same log, and symmetric. A value is missing
        if a log has nothing to compare: no resource, no case that ended.

        ======================= ===== ===================================================================
        distance                unit  what is compared
        ======================= ===== ===================================================================
        ``ngram_2``             share pairs of activities that follow each other (0: the same, 1: none
                                      in common); a case's beginning and end count as activities
        ``ngram_3``             share the same with three
        ``absolute_event``      h     the moments at which steps start and end
        ``relative_event``      h     the same, counted from the start of the case
        ``circadian_event``     h     their hours of the day; mean over the seven weekdays
        ``circadian_workforce`` h     the resources at work by hour of the day; mean over the weekdays
        ``case_arrival``        h     the moments at which cases start
        ``cycle_time``          h     durations of the cases that ended
        ======================= ===== ===================================================================

    Raises
    ------
    LogError
        A log is empty.

    Notes
    -----
    After Chapela-Campa, Benchekroun, Baron, Dumas, Krass and Senderovich, "Can I trust my simulation model?
    Measuring the quality of business process simulation models" (BPM 2023), and their "A framework for measuring
    the quality of business process simulation models" (Information Systems, 2025). Moments and durations are cut
    to the hour, and two histograms are compared by the 1-Wasserstein distance: the hours that an observation
    has to be moved, on average. N-grams are compared by half the sum of the differences between their shares, so
    that logs of different sizes can be compared; for logs with the same number of n-grams it is the papers'
    figure. A weekday on which only one log has events counts 23 h, the most there can be. The workforce of an
    hour is the number of different resources that have a step between its start's hour and its end's.
    Absolute distances compare the clock: a simulation must begin when the log does.

    Examples
    --------
    >>> import pandas as pd
    >>> from orchkit.log import EventLog
    >>> rows = pd.DataFrame({
    ...     "case_id": ["o1", "o2"],
    ...     "activity": ["check", "check"],
    ...     "started": pd.to_datetime(["2024-05-06T09:00Z", "2024-05-06T10:00Z"]),
    ...     "completed": pd.to_datetime(["2024-05-06T10:00Z", "2024-05-06T11:00Z"]),
    ... })
    >>> later = rows.assign(completed=rows["completed"] + pd.Timedelta("2h"))
    >>> found = distances(EventLog(rows), EventLog(later)).set_index("distance")["value"]
    >>> found[["ngram_2", "absolute_event", "case_arrival", "cycle_time"]].tolist()
    [0.0, 1.0, 0.0, 2.0]
    """
    expect_log(log, "distances")
    expect_log(other, "distances")
    for one in (log, other):
        if not len(one.steps):
            message = "distances: a log without steps has no distance to another. Give logs with at least one step."
            raise LogError(message)
    rows = [
        ("ngram_2", _share_moved(_ngrams(log, 2), _ngrams(other, 2)), "share"),
        ("ngram_3", _share_moved(_ngrams(log, 3), _ngrams(other, 3)), "share"),
        ("absolute_event", _moved(_events_h(log), _events_h(other)), "h"),
        ("relative_event", _moved(_relative_h(log), _relative_h(other)), "h"),
        ("circadian_event", _circadian(_by_hour(_events_h(log)), _by_hour(_events_h(other))), "h"),
        ("circadian_workforce", _circadian(_workforce(log), _workforce(other)), "h"),
        ("case_arrival", _moved(_arrivals_h(log), _arrivals_h(other)), "h"),
        ("cycle_time", _moved(_cycles_h(log), _cycles_h(other)), "h"),
    ]
    return pd.DataFrame(rows, columns=["distance", "value", "unit"])


def _ngrams(log: EventLog, size: int) -> pd.Series:
    """Return the shares of n-grams; a case is preceded and followed by ``size - 1`` marks."""
    order = _in_order(log)
    cases, names = log.case_codes[order], log.activity_codes[order]
    lengths = np.bincount(cases, minlength=len(log))
    mark = len(log.activities)
    padded = np.full(len(names) + 2 * (size - 1) * len(log), mark, dtype=np.int64)
    ends = np.cumsum(lengths + 2 * (size - 1))
    offset = np.repeat(ends - lengths - (size - 1) - np.cumsum(lengths) + lengths, lengths)
    padded[np.arange(len(names)) + offset] = names
    rows = np.repeat(np.arange(len(log)), lengths + 2 * (size - 1))
    last = len(padded) - size + 1
    key = np.zeros(last, dtype=np.int64)
    for shift in range(size):
        key = key * (mark + 1) + padded[shift : last + shift]
    within = (rows[:last] == rows[size - 1 :]) & (lengths[rows[:last]] > 0)
    keys, counts = np.unique(key[within], return_counts=True)
    known = np.append(log.activities.to_numpy(dtype=object), "")
    labels = [known[keys // (mark + 1) ** digit % (mark + 1)] for digit in reversed(range(size))]
    return pd.Series(counts / counts.sum(), index=pd.MultiIndex.from_arrays(labels))


def _in_order(log: EventLog) -> NDArray[np.intp] | slice:
    """Return the order by case, then by when steps began and ended: that of the log, where it is the same."""
    begun, ended, cases = _first_time(log), moments_s(log.steps["completed"]), log.case_codes
    falls = (begun[1:] < begun[:-1]) | ((begun[1:] == begun[:-1]) & (ended[1:] < ended[:-1]))
    known = not (np.isnan(begun).any() or np.isnan(ended).any())
    if known and not (falls & (cases[1:] == cases[:-1])).any():
        return slice(None)
    return np.lexsort((ended, begun, cases))


def _share_moved(shares: pd.Series, others: pd.Series) -> float:
    return float(shares.subtract(others, fill_value=0).abs().sum() / 2)


def _first_time(log: EventLog) -> NDArray[np.float64]:
    """Return when each step began, as far as the log knows."""
    started, completed = moments_s(log.steps["started"]), moments_s(log.steps["completed"])
    begun = np.where(np.isnan(started), completed, started)
    return np.where(np.isnan(begun), moments_s(log.steps["enabled"]), begun)


def _events_h(log: EventLog) -> NDArray[np.float64]:
    times = np.concatenate([moments_s(log.steps[name]) for name in ("started", "completed")])
    return _hours(times)


def _relative_h(log: EventLog) -> NDArray[np.float64]:
    origin = moments_s(log.cases["started"])[log.case_codes]
    times = np.concatenate([moments_s(log.steps[name]) - origin for name in ("started", "completed")])
    return _hours(times)


def _arrivals_h(log: EventLog) -> NDArray[np.float64]:
    times = moments_s(log.cases["started"])
    return _hours(times)


def _cycles_h(log: EventLog) -> NDArray[np.float64]:
    lengths = moments_s(log.cases["completed"]) - moments_s(log.cases["started"])
    return _hours(lengths)


def _hours(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    hours: NDArray[np.float64] = np.floor(times_s[~np.isnan(times_s)] / _HOUR_S)
    return hours


def _moved(values: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    if not len(values) or not len(others):
        return float("nan")
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 -- half a second, on use

    hours, counts = np.unique(values, return_counts=True)  # many moments lie in few hours
    other_hours, other_counts = np.unique(others, return_counts=True)
    return float(wasserstein_distance(hours, other_hours, counts, other_counts))


def _by_hour(hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many events each hour of the week has, one row per weekday."""
    counts = np.bincount((hours.astype(np.int64) + _EPOCH_H) % _WEEK_H, minlength=_WEEK_H)
    return counts.astype(np.float64).reshape(7, _DAY_H)


def _workforce(log: EventLog) -> NDArray[np.float64]:
    """Return how many resources are at work in each hour of the week, one row per weekday."""
    begin = np.floor(_first_time(log) / _HOUR_S)
    end = np.maximum(np.floor(moments_s(log.steps["completed"]) / _HOUR_S), begin)
    known = (log.resource_codes >= 0) & ~np.isnan(begin) & ~np.isnan(end)
    if not known.any():
        return np.zeros((7, _DAY_H))
    replication = log.cases["replication"].fillna(-1).to_numpy(dtype=np.int64)[log.case_codes]
    first, last = begin[known].astype(np.int64), end[known].astype(np.int64)
    group, _ = pd.factorize(replication[known] * len(log.resources) + log.resource_codes[known])
    order = np.lexsort((first, group))
    group, first, last = group[order], first[order], np.maximum(last, first - 1)[order]
    # Of each, an hour counts once: what has been there before is cut off the front of what comes later.
    far = int(last.max() - first.min()) + 2
    reached = np.maximum.accumulate(last + group * far) - group * far
    before = np.append(first[:1] - 1, reached[:-1])
    before[np.flatnonzero(np.diff(group)) + 1] = first.min() - 1
    first = np.maximum(first, before + 1)
    return _spread(first[first <= last], last[first <= last])


def _spread(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each hour of the week lies in stretches of hours, one row per weekday."""
    counts = np.zeros(2 * _WEEK_H + 1)
    begin, length = (first + _EPOCH_H) % _WEEK_H, last - first + 1
    whole, rest = np.divmod(length, _WEEK_H)
    np.add.at(counts, begin, 1)
    np.add.at(counts, begin + rest, -1)
    hours: NDArray[np.float64] = np.cumsum(counts)[:-1].reshape(2, _WEEK_H).sum(axis=0) + whole.sum()
    return hours.reshape(7, _DAY_H)


def _circadian(counts: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    if not counts.any() or not others.any():
        return float("nan")
    return float(np.mean(list(_weekdays(counts, others))))


def _weekdays(counts: NDArray[np.float64], others: NDArray[np.float64]) -> Iterable[float]:
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 -- half a second, on use

    hours = np.arange(_DAY_H)
    for mine, theirs in zip(counts, others, strict=True):
        if mine.any() and theirs.any():
            yield float(wasserstein_distance(hours, hours, mine, theirs))
        else:
            yield _FARTHEST_H if mine.any() or theirs.any() else 0.0
