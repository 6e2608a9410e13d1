"""The visits of a log: what was done, in order, case by case; an attempt that a later one replaced is none."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from orchkit.analysis.moves import Asked, Done, End, Failed
from orchkit.columns import ENDED_CASES
from orchkit.model.states import ErrorClass, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from orchkit.analysis.moves import Outcome
    from orchkit.log import EventLog

__all__ = ["Trace", "Variant", "traces_of", "variants_of", "visits_of"]

_ENDED = [StepStatus.COMPLETED, StepStatus.COMPENSATED, StepStatus.FAILED]
_FOR_GOOD = [ErrorClass.PERMANENT.value, ErrorClass.PARTIAL.value]


def visits_of(log: EventLog) -> NDArray[np.bool_]:
    """Tell for each row whether it is the end of a visit: done, or failed for good.

    Examples
    --------
    >>> from orchkit.log import EventLog
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": "o1", "activity": ["pay", "pay", "ship"], "attempt": [1, 2, 1],
    ...     "status": ["FAILED", "COMPLETED", "COMPLETED"],
    ...     "completed": [f"2024-05-06T{hour:02}:00Z" for hour in (9, 10, 11)],
    ... }))
    >>> visits_of(log).tolist()
    [False, True, True]
    """
    return _ended(log) & ~_replaced(log)


def _ended(log: EventLog) -> NDArray[np.bool_]:
    ended: NDArray[np.bool_] = log.steps["status"].isin(_ENDED).to_numpy()
    return ended


def _replaced(log: EventLog) -> NDArray[np.bool_]:
    """Tell for each row whether it is a failure that a later attempt made up for."""
    steps = log.steps
    replaced = np.zeros(len(steps), dtype=bool)
    if (steps["attempt"] == 1).all():
        return replaced
    has_id = steps["step_id"].notna()
    key = steps["step_id"].astype("str").where(has_id, steps["activity"].astype("str"))
    frame = pd.DataFrame(
        {"case": log.case_codes, "run": steps["run_id"], "key": key, "attempt": steps["attempt"].astype("int64")}
    )
    # Where no identifier tells steps apart, that many of an attempt's failures were tried again as have a next attempt.
    failed = (steps["status"] == StepStatus.FAILED) & ~steps["error_class"].isin(_FOR_GOOD)
    group = ["case", "run", "key", "attempt"]
    nexts = frame.assign(attempt=frame["attempt"] - 1).groupby(group, dropna=False, observed=True).size()
    tried = frame[failed]
    place = tried.groupby(group, dropna=False, observed=True).cumcount()
    following = tried.merge(nexts.rename("nexts").reset_index(), how="left", on=group)["nexts"].fillna(0)
    replaced[np.flatnonzero(failed)] = place.to_numpy() < following.to_numpy()
    return replaced


def traces_of(log: EventLog) -> Counter[tuple[int, ...]]:
    """Return how often each trace occurs: the codes of the activities that were done, in order.

    A step whose attempts failed for good was visited, and counts once.
    """
    kept = visits_of(log)
    done = log.activity_codes[kept].tolist()
    bounds = np.concatenate([[0], np.cumsum(kept)])[log.offsets].tolist()
    return Counter(tuple(done[first:last]) for first, last in pairwise(bounds))


@dataclass(frozen=True, slots=True)
class Trace:
    """What was done in a case.

    Attributes
    ----------
    events
        Names, and what came of each.
    ties
        For each event, whether it ended at the very moment of the one before.
    end
        How the case ended.
    asked
        What somebody may have asked for.
    given_up
        Names of steps that were begun and not ended, in some case that went so.
    """

    events: tuple[tuple[str, Outcome], ...]
    ties: tuple[bool, ...]
    end: End
    asked: frozenset[Asked] = frozenset()
    given_up: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Variant:
    """A trace, and who went so: by row of ``log.cases``, with the rows of ``log.steps`` that the events are."""

    trace: Trace
    members: tuple[tuple[int, tuple[int, ...]], ...]


def variants_of(log: EventLog, chosen: NDArray[np.bool_], attempts_of: Callable[[str], int | None]) -> list[Variant]:
    """Return the variants of a log, the most frequent first.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    chosen
        Which cases are asked about.
    attempts_of
        How many attempts a task of this name has; None where there is no such task. A failure of an attempt before
        the last need not be for good.
    """
    replaced = _replaced(log)
    rows = np.flatnonzero(
        _ended(log) & (~replaced | _last_chances(log, replaced, attempts_of)) & chosen[log.case_codes]
    )
    steps = log.steps.iloc[rows]
    codes, events = _events(log, steps, log.activity_codes[rows], attempts_of, replaced[rows])
    cases = log.case_codes[rows]
    runs = steps["run_id"].astype("category").cat.codes.to_numpy().astype(np.int32)
    ties = (steps["completed"].diff() == pd.Timedelta(0)).to_numpy()
    status = log.cases["status"].astype("str").tolist()
    replayed, unsure = _failed_in(steps, is_run=True), _failed_in(steps, is_run=False)
    several, given_up = _several_runs(cases, runs), _given_up(log)
    bounds = np.searchsorted(cases, np.arange(len(log) + 1))

    def trace(case: int, places: Sequence[int]) -> Trace:
        # A tie is one with the event before it, in the same run.
        own = tuple(bool(ties[place]) and place > places[0] for place in places)
        end, asked = _end(status[case], last_run=case not in several)
        if any(replayed[place] for place in places):
            asked |= {Asked.REPLAY}
        if any(unsure[place] for place in places):
            end = End.OTHERWISE if end is End.COMPLETED else end
        return Trace(tuple(events[codes[place]] for place in places), own, end, asked, given_up.get(case, ()))

    found: dict[Trace, list[tuple[int, tuple[int, ...]]]] = defaultdict(list)
    alike: dict[int, list[tuple[int, tuple[int, ...]]]] = {}  # the trace of cases that are alike is made once
    ways = _ways(codes << 3 | ties << 2 | replayed << 1 | unsure, cases, bounds, status).tolist()
    all_rows, ends = rows.tolist(), bounds.tolist()
    for case in np.flatnonzero(chosen).tolist():
        first, last = ends[case], ends[case + 1]
        if case in several or case in given_up:
            own_runs: list[Sequence[int]] = _by_run(runs, first, last) if case in several else [range(first, last)]
            for places in own_runs:
                found[trace(case, places)].append((case, tuple(rows[list(places)].tolist())))
            continue
        if ways[case] not in alike:
            alike[ways[case]] = found[trace(case, range(first, last))]
        alike[ways[case]].append((case, tuple(all_rows[first:last])))
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [Variant(trace, tuple(members)) for trace, members in ordered]


def _given_up(log: EventLog) -> dict[int, tuple[str, ...]]:
    """Return the names of the steps without an outcome, by row of ``log.cases``."""
    rows = np.flatnonzero(~_ended(log) & (log.steps["status"] != StepStatus.SKIPPED).to_numpy())
    names = log.activities.to_numpy()[log.activity_codes[rows]]
    found: dict[int, list[str]] = defaultdict(list)
    for case, name in zip(log.case_codes[rows].tolist(), names.tolist(), strict=True):
        found[case].append(str(name))
    return {case: tuple(each) for case, each in found.items()}


def _ways(
    signs: NDArray[np.int32], cases: NDArray[np.int32], bounds: NDArray[np.intp], status: list[str]
) -> NDArray[np.int32]:
    """Return for each case a number that those share which have the same status and the same signs in a row."""
    count = len(status)
    held = np.empty(len(signs) + count, dtype=np.int32)
    held[np.arange(len(signs)) + cases + 1] = signs
    begins = bounds + np.arange(count + 1)
    held[begins[:-1]] = pd.factorize(np.array(status, dtype=object))[0]
    offsets = pa.py_buffer((begins * held.itemsize).astype(np.int64))
    texts = pa.Array.from_buffers(pa.large_binary(), count, [None, offsets, pa.py_buffer(held)])
    numbers: NDArray[np.int32] = texts.dictionary_encode().indices.to_numpy()
    return numbers


def _last_chances(
    log: EventLog, replaced: NDArray[np.bool_], attempts_of: Callable[[str], int | None]
) -> NDArray[np.bool_]:
    """Tell which failures were for good, though a later attempt made up for them: a replay gave it."""
    most = [attempts_of(str(name)) or 0 for name in log.activities]
    last: NDArray[np.bool_] = log.steps["attempt"].to_numpy() >= np.array([*most, 0])[log.activity_codes]
    return replaced & last


def _failed_in(steps: pd.DataFrame, *, is_run: bool) -> NDArray[np.bool_]:
    """Tell which failures are of an engine's runs, or of neither an engine's nor a simulator's.

    The first may have been the end of a run that was replayed later. Of a case with one of the others it is not known
    how it ended: a log from elsewhere has no such status.
    """
    failed = (steps["status"] == StepStatus.FAILED) & (steps["run_id"].notna() == is_run)
    found: NDArray[np.bool_] = (failed & (is_run | steps["replication"].isna())).to_numpy(dtype=bool)
    return found


def _events(
    log: EventLog,
    steps: pd.DataFrame,
    activities: NDArray[np.int32],
    attempts_of: Callable[[str], int | None],
    replaced: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], list[tuple[str, Outcome]]]:
    """Return what was done and what came of it: a number for each step, and what the numbers mean."""
    events: list[tuple[str, Outcome]] = [(str(name), Done()) for name in log.activities]
    codes = activities.copy()
    known: dict[tuple[str, Outcome], int] = {}
    failed = np.flatnonzero((steps["status"] == StepStatus.FAILED).to_numpy())
    classes, attempts = (steps[name].iloc[failed].tolist() for name in ("error_class", "attempt"))
    for place, error_class, attempt in zip(failed.tolist(), classes, attempts, strict=True):
        name = events[activities[place]][0]
        most = attempts_of(name)
        perhaps_again = bool(replaced[place]) or (most is not None and attempt < most)
        event = (name, _failure(error_class, perhaps_again=perhaps_again and error_class not in _FOR_GOOD))
        codes[place] = known.setdefault(event, len(events))
        if codes[place] == len(events):
            events.append(event)
    return codes, events


def _failure(error_class: object, *, perhaps_again: bool) -> Failed:
    if error_class not in [item.value for item in ErrorClass]:
        return Failed(perhaps_again=perhaps_again)
    first = ErrorClass(str(error_class))
    first = ErrorClass.PERMANENT if first is ErrorClass.CANCELLED else first  # only the machine cancels
    # A deadline may have come between two attempts.
    classes = (first, ErrorClass.TIMEOUT) if perhaps_again and first is not ErrorClass.TIMEOUT else (first,)
    return Failed(classes, perhaps_again)


def _end(status: str, *, last_run: bool) -> tuple[End, frozenset[Asked]]:
    """Return how a case of this status ended, and what may have been asked for.

    Of several runs of a case, its status tells how the last one ended.
    """
    if status not in ENDED_CASES:
        return End.OPEN, frozenset()
    if status == RunStatus.COMPLETED and last_run:
        return End.COMPLETED, frozenset()
    cancelled = status in (RunStatus.CANCELLED, RunStatus.DEAD_LETTERED) or not last_run
    return End.OTHERWISE, frozenset([Asked.CANCEL] if cancelled else [])


def _several_runs(cases: NDArray[np.int32], runs: NDArray[np.int32]) -> frozenset[int]:
    """Return the cases that went through a workflow more than once."""
    differs = (runs[1:] != runs[:-1]) & (cases[1:] == cases[:-1])
    return frozenset(cases[1:][differs].tolist())


def _by_run(runs: NDArray[np.int32], first: int, last: int) -> list[Sequence[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for place in range(first, last):
        found[int(runs[place])].append(place)
    return list(found.values())
