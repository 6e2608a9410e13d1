"""The part of a log that is asked about: a log again, so that filters compose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Never

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchkit.analysis.control_flow import variant_codes, variant_names
from orchkit.analysis.spans import begins_s, case_durations_s, moment_s, moments_s
from orchkit.columns import CASE_STATUSES, STEP_COLUMNS, STEP_STATUSES, coded
from orchkit.errors import LogError, nearest
from orchkit.log import EventLog, expect_log
from orchkit.units import Duration, seconds

__all__ = ["only", "where", "without"]

_OF_STEPS = ("expression", "activity", "resource", "role", "status", "after", "before", "times")
_CODED = frozenset(STEP_COLUMNS) - {"status"}

Names = str | Iterable[str]
Moment = str | pd.Timestamp
Expression = str | Callable[[pd.DataFrame], "pd.Series[bool]"] | pd.Series | NDArray[np.bool_]


def where(  # noqa: PLR0913 -- each question is one word
    log: EventLog,
    expression: Expression | None = None,
    *,
    activity: Names | None = None,
    resource: Names | None = None,
    starts_with: Names | None = None,
    ends_with: Names | None = None,
    path: Iterable[str] | None = None,
    eventually: Iterable[str] | None = None,
    variant: Names | None = None,
    status: Names | None = None,
    repeats: Names | None = None,
    after: Moment | None = None,
    before: Moment | None = None,
    during: tuple[Moment, Moment] | None = None,
    longer_than: Duration | None = None,
    shorter_than: Duration | None = None,
    **unknown: Never,
) -> EventLog:
    """Return the log of the cases, with all their steps, that meet all given conditions.

    `without` gives the others, and `only` selects steps instead of cases. Each returns a log, so that they can be
    chained.

    Parameters
    ----------
    log
        Any event log; it is not changed.
    expression
        On ``log.cases``: text for ``DataFrame.eval`` (``"amount > 1000 and country == 'US'"``; a name that is no
        Python name stands in backquotes, a time has its zone: ``"started >= '2024-05-06T00:00Z'"``), a function of the
        frame that gives a Boolean per case, or these Booleans.
    activity, resource
        The case has a step of one of these activities; a step done by one of these resources.
    starts_with, ends_with
        The first activity is one of these; the last activity is one of these.
    path
        These activities follow one another directly somewhere in the case.
    eventually
        These activities follow one another in the case, with anything between them.
    variant
        The whole way of the case is one of these, as `variants` writes them.
    status
        The case's status: its outcome.
    repeats
        One of these activities occurs twice or more.
    after, before
        The case started at or after this time, or before it. UTC, if the time has no zone.
    during
        A pair of times: the case was open at some time between them.
    longer_than, shorter_than
        The case has ended, and took at least this long, or less than this long.

    Raises
    ------
    LogError
        The log has no such activity, resource or column; the nearest is offered.
    TypeError
        There is no such question; the nearest is offered.

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
    expect_log(log, "where")
    _expect_known("where", unknown, _QUESTIONS, log.cases, "cases")
    asked = _Asked(
        expression=expression,
        activity=activity,
        resource=resource,
        starts_with=starts_with,
        ends_with=ends_with,
        path=path,
        eventually=eventually,
        variant=variant,
        status=status,
        repeats=repeats,
        after=after,
        before=before,
        during=during,
        longer_than=longer_than,
        shorter_than=shorter_than,
    )
    return _with_cases(log, asked.holds(log))


def without(log: EventLog, expression: Expression | None = None, **asked: Any) -> EventLog:  # noqa: ANN401 -- as `where`
    """Return the log of the other cases: those that `where` would leave out.

    Parameters
    ----------
    log, expression, asked
        As for `where`.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> without(log, activity="ship").cases["case_id"].tolist()
    ['o2']
    """
    expect_log(log, "without")
    _expect_known("without", asked, _QUESTIONS, log.cases, "cases")
    return _with_cases(log, ~_Asked(expression=expression, **asked).holds(log))


def only(
    log: EventLog,
    expression: Expression | None = None,
    *,
    activity: Names | None = None,
    resource: Names | None = None,
    role: Names | None = None,
    status: Names | None = None,
    after: Moment | None = None,
    before: Moment | None = None,
    times: Literal["keep", "anew"] = "keep",
    **unknown: Never,
) -> EventLog:
    """Return the log of the steps that meet all given conditions, and of the cases that have such steps.

    Parameters
    ----------
    log
        Any event log; it is not changed.
    expression
        On ``log.steps``: text for ``DataFrame.eval`` (``"attempt > 1 or cost > 100"``), or a function of the frame
        that gives a Boolean per step, or these Booleans.
    activity, resource, role, status
        The step has one of these.
    after, before
        The step started at or after this time, or before it (completed, if no start is known). UTC, if the time has no
        zone.
    times
        ``"keep"``: the cases keep their start and end. ``"anew"``: they start and end with the first and last step that
        are left.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> only(log, activity="ship", times="anew").cases[["case_id", "started"]]
      case_id                   started
    0      o1 2024-05-06 10:00:00+00:00
    """
    expect_log(log, "only")
    _expect_known("only", unknown, _OF_STEPS, log.steps, "steps")
    if times not in {"keep", "anew"}:
        message = f"only: times is 'keep' or 'anew', not {times!r}."
        raise LogError(message)
    kept = np.ones(len(log.case_codes), dtype=bool)
    for column, names in (("activity", activity), ("resource", resource), ("role", role)):
        if names is not None:
            kept &= _is(log, column, names)
    if status is not None:
        kept &= log.steps["status"].isin(_statuses(status, STEP_STATUSES)).to_numpy()
    if after is not None:
        kept &= begins_s(log) >= moment_s(after)
    if before is not None:
        kept &= begins_s(log) < moment_s(before)
    if expression is not None:
        kept &= _true(log.steps, expression, "steps")
    found = _with_steps(log, kept)
    return _timed_anew(found) if times == "anew" else found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is asked of cases; None asks nothing."""

    expression: Expression | None = None
    activity: Names | None = None
    resource: Names | None = None
    starts_with: Names | None = None
    ends_with: Names | None = None
    path: Iterable[str] | None = None
    eventually: Iterable[str] | None = None
    variant: Names | None = None
    status: Names | None = None
    repeats: Names | None = None
    after: Moment | None = None
    before: Moment | None = None
    during: tuple[Moment, Moment] | None = None
    longer_than: Duration | None = None
    shorter_than: Duration | None = None

    def holds(self, log: EventLog) -> NDArray[np.bool_]:
        """Tell for each case whether all holds."""
        kept = np.ones(len(log), dtype=bool)
        for answer in (self._of_cases, self._of_steps, self._of_times):
            kept &= answer(log)
        return kept

    def _of_cases(self, log: EventLog) -> NDArray[np.bool_]:
        kept = np.ones(len(log), dtype=bool)
        if self.expression is not None:
            kept &= _true(log.cases, self.expression, "cases")
        if self.status is not None:
            kept &= log.cases["status"].isin(_statuses(self.status, CASE_STATUSES)).to_numpy()
        if self.variant is not None:
            kept &= _took(log, _listed(self.variant))
        return kept

    def _of_steps(self, log: EventLog) -> NDArray[np.bool_]:
        kept, filled = np.ones(len(log), dtype=bool), np.diff(log.offsets) > 0
        for column, names in (("activity", self.activity), ("resource", self.resource)):
            if names is not None:
                kept &= _count(log, _is(log, column, names)) > 0
        if self.repeats is not None:
            counts = [_count(log, _is(log, "activity", name)) > 1 for name in _listed(self.repeats)]
            kept &= np.logical_or.reduce(counts) if counts else False
        for names, rows in ((self.starts_with, log.offsets[:-1]), (self.ends_with, log.offsets[1:] - 1)):
            if names is not None:
                kept[~filled] = False
                kept[filled] &= _is(log, "activity", names)[rows[filled]]
        if self.path is not None:
            kept &= _count(log, _path(log, _listed(self.path))) > 0
        if self.eventually is not None:
            kept &= _follows(log, _listed(self.eventually))
        return kept

    def _of_times(self, log: EventLog) -> NDArray[np.bool_]:
        kept, started = np.ones(len(log), dtype=bool), moments_s(log.cases["started"])
        if self.after is not None:
            kept &= started >= moment_s(self.after)
        if self.before is not None:
            kept &= started < moment_s(self.before)
        if self.during is not None:
            begin, end = _period(self.during)
            completed = moments_s(log.cases["completed"])
            kept &= (started < end) & (np.isnan(completed) | (completed >= begin))
        if self.longer_than is not None:
            kept &= case_durations_s(log) >= seconds(self.longer_than)
        if self.shorter_than is not None:
            kept &= case_durations_s(log) < seconds(self.shorter_than)
        return kept


_QUESTIONS = tuple(field.name for field in fields(_Asked))


def _expect_known(verb: str, asked: Iterable[str], known: Sequence[str], frame: pd.DataFrame, what: str) -> None:
    """Refuse a question that there is none of; a column is asked for in an expression."""
    columns = [str(column) for column in frame]
    for name in asked:
        if name in known:
            continue
        hint = nearest(name, [*known, *columns])
        if name in columns:
            hint = f" It is a column of {what}, and stands in an expression: ok.{verb}(log, '{name} == …')."
        message = f"{verb}: there is no condition {name!r}.{hint} Known: {', '.join(known)}."
        raise TypeError(message)


def _with_cases(log: EventLog, kept: NDArray[np.bool_]) -> EventLog:
    if kept.all():
        return log
    rows = np.flatnonzero(kept[log.case_codes])
    offsets = np.concatenate([[0], np.cumsum(np.diff(log.offsets)[kept])])
    return _part(log, rows, np.flatnonzero(kept), offsets)


def _with_steps(log: EventLog, kept: NDArray[np.bool_]) -> EventLog:
    if kept.all() and np.diff(log.offsets).all():
        return log
    sizes = _count(log, kept)
    cases = np.flatnonzero(sizes)
    return _part(log, np.flatnonzero(kept), cases, np.concatenate([[0], np.cumsum(sizes[cases])]))


def _part(log: EventLog, rows: NDArray[np.intp], cases: NDArray[np.intp], offsets: NDArray[np.int64]) -> EventLog:
    steps = log.steps.take(rows).set_axis(pd.RangeIndex(len(rows)))
    for name in steps:  # the names of what is gone go too
        if isinstance(steps[name].dtype, pd.CategoricalDtype) and name in _CODED:
            steps[name] = coded(steps[name])
    table = log.cases.take(cases).set_axis(pd.RangeIndex(len(cases)))
    availability = log.availability
    part = EventLog.from_coded(steps, table, offsets, availability if len(availability) else None)
    return part.with_notes(log.notes)


def _timed_anew(log: EventLog) -> EventLog:
    steps, cases = log.steps, log.cases
    times = steps[["enabled", "started", "completed"]]
    first, last = (getattr(times, name)(axis="columns").groupby(log.case_codes) for name in ("min", "max"))
    cases["started"] = first.min().to_numpy()
    cases["completed"] = pd.Series(last.max().to_numpy()).where(cases["completed"].notna())
    cases = cases.astype({name: log.cases[name].dtype for name in ("started", "completed")})
    availability = log.availability
    found = EventLog.from_coded(steps, cases, log.offsets.copy(), availability if len(availability) else None)
    return found.with_notes(log.notes)


def _listed(names: Names) -> list[str]:
    if isinstance(names, str):
        return [names]
    if not isinstance(names, Iterable):
        message = f"{names!r} is neither a name nor a list of names."
        raise LogError(message)
    return list(names)


def _period(during: tuple[Moment, Moment]) -> tuple[float, float]:
    if isinstance(during, str) or not isinstance(during, Sequence) or len(during) != len(("from", "until")):
        message = f"during is a pair of times, ('2024-05-06', '2024-05-13'), not {during!r}."
        raise LogError(message)
    return moment_s(during[0]), moment_s(during[1])


def _is(log: EventLog, column: str, names: Names) -> NDArray[np.bool_]:
    """Tell for each step whether it has one of the names."""
    held = log.steps[column].cat
    chosen = np.zeros(len(held.categories) + 1, dtype=bool)  # the last is for none, -1
    for name in _listed(names):
        if name not in held.categories:
            message = f"The log has no {column} {name!r}.{nearest(str(name), list(held.categories))}"
            raise LogError(message)
        chosen[held.categories.get_loc(name)] = True
    return chosen[held.codes.to_numpy()]


def _statuses(names: Names, known: Iterable[str]) -> list[str]:
    wanted = [str(name).upper() for name in _listed(names)]
    for name in wanted:
        if name not in known:
            message = f"{name!r} is not a status.{nearest(name, known)} Known: {', '.join(sorted(known))}."
            raise LogError(message)
    return wanted


def _count(log: EventLog, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(log.case_codes[rows], minlength=len(log))


def _path(log: EventLog, names: list[str]) -> NDArray[np.bool_]:
    """Tell for each row whether the path begins there."""
    height, last = len(log.case_codes), len(names) - 1
    found = np.zeros(height, dtype=bool)
    are = [_is(log, "activity", name) for name in names]
    if height > last >= 0:
        found[: height - last] = log.case_codes[last:] == log.case_codes[: height - last]
        for shift, rows in enumerate(are):
            found[: height - last] &= rows[shift : height - last + shift]
    return found


def _follows(log: EventLog, names: list[str]) -> NDArray[np.bool_]:
    """Tell for each case whether the activities occur in it in this order."""
    found, at = np.diff(log.offsets) > 0, log.offsets[:-1].copy()
    for name in names:
        rows = np.append(np.flatnonzero(_is(log, "activity", name)), len(log.case_codes))
        at = rows[np.searchsorted(rows, at)]  # the next one, in this case or a later one
        found &= at < log.offsets[1:]
        at = np.minimum(at + 1, len(log.case_codes))
    return found


def _took(log: EventLog, variants: list[str]) -> NDArray[np.bool_]:
    codes = variant_codes(log)
    _, first = np.unique(codes, return_index=True)
    first = first[codes[first] >= 0]
    ways = variant_names(log, first)
    for name in variants:
        if not (ways == name).any():
            message = f"The log has no variant {name!r}.{nearest(name, ways.head(1000))} See variants(log)."
            raise LogError(message)
    return np.isin(codes, codes[first[ways.isin(variants).to_numpy()]])


def _true(frame: pd.DataFrame, expression: Expression, what: str) -> NDArray[np.bool_]:
    columns = ", ".join(map(str, frame))
    found: object
    if not isinstance(expression, str):
        try:
            found = expression(frame) if callable(expression) else expression
        except KeyError as error:
            name = str(error.args[0])
            message = f"{what} has no column {name!r}.{nearest(name, map(str, frame))} Its columns: {columns}."
            raise LogError(message) from None
    else:
        if "@" in expression or "__" in expression:
            message = f"expression: '@' and '__' reach beyond the columns of {what}. Give a function instead."
            raise LogError(message)
        try:
            found = frame.eval(expression, engine="python")
        except NameError as error:
            name = str(error).split("'")[1] if "'" in str(error) else str(error)
            hint = nearest(name, map(str, frame)) or f" Text stands in quotes: '{name}'."
            message = f"{what} has no column {name!r}.{hint} Its columns: {columns}."
            raise LogError(message) from None
        except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
            is_time = "datetime64" in str(error)
            hint = " A time has its zone: '2024-05-06T00:00Z'." if is_time else f" The columns of {what}: {columns}."
            message = f"expression {expression!r}: {error}.{hint}"
            raise LogError(message) from None
    if isinstance(found, pd.DataFrame):
        message = f"expression {expression!r}: one = sets a column; == compares."
        raise LogError(message)
    answer = pd.Series(np.atleast_1d(np.asarray(found)).ravel())
    if len(answer) != len(frame):
        message = f"expression: it must give a Boolean for each of {what}; there are {len(frame):,}."
        raise LogError(message)
    if answer.dtype.kind not in "bO":
        message = f"expression: it must give a Boolean for each of {what}, not {answer.dtype}."
        raise LogError(message)
    return np.asarray(answer.fillna(value=False), dtype=bool)
