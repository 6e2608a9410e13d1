"""What is asked of a log by clicks: a filter that says itself in words, in code, and is carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from orchkit.analysis import where, without
from orchkit.log import EventLog
from orchkit.view.text import clean, shorten
from orchkit.view.theme import look_of

__all__ = ["Question", "code_of", "filtered"]

_NAME = 48  # characters of a name in words


@dataclass(frozen=True, slots=True)
class Question:
    """Which cases are kept: what `where` is asked, or a column of the cases and what stands in it.

    Attributes
    ----------
    asked
        Pairs of a word of `where` and its value; values are text, numbers or tuples of these.
    column
        An attribute of the cases; with it ``low`` and ``high`` (without that itself where ``is_below``), or
        ``value`` as text, missing where that is None.
    is_without
        Whether the others are kept.

    Examples
    --------
    >>> paid = Question((("path", ("pay", "ship")),))
    >>> paid.words, paid.code("log")
    ('pay → ship', "ok.where(log, path=['pay', 'ship'])")
    >>> Question(column="country", value="US").negated().code("part")
    "ok.without(part, lambda cases: cases['country'].astype('str') == 'US')"
    """

    asked: tuple[tuple[str, Any], ...] = ()
    column: str = ""
    value: Any = None
    low: float | None = None
    high: float | None = None
    is_below: bool = False
    is_without: bool = False

    def negated(self) -> Question:
        """Return the question that keeps the other cases."""
        return replace(self, is_without=not self.is_without)

    @property
    def words(self) -> str:
        """The question in a few words."""
        said = self._of_column() if self.column else " and ".join(_said(name, value) for name, value in self.asked)
        if not self.is_without:
            return said
        return f"without {said[5:]}" if self.asked and self.asked[0][0] == "activity" else f"not: {said}"

    def code(self, name: str) -> str:
        """Return the call that does the same to the log in the variable ``name``."""
        verb = "without" if self.is_without else "where"
        if self.column:
            return f"ok.{verb}({name}, lambda cases: {self._test_code()})"
        words = ", ".join(f"{word}={_literal(value)}" for word, value in self.asked)
        return f"ok.{verb}({name}, {words})"

    def of(self, log: EventLog) -> EventLog:
        """Return the cases of a log for which it holds.

        Raises
        ------
        LogError
            The log has no such thing.
        """
        verb = without if self.is_without else where
        if self.column:
            return verb(log, self._test())
        return verb(log, **dict(self.asked))

    def _of_column(self) -> str:
        name = _named(self.column)
        if self.low is not None and self.high is not None:
            return f"{name} from {self.low:,g} to {'below ' if self.is_below else ''}{self.high:,g}"
        return f"{name} is missing" if self.value is None else f"{name}: {_named(self.value)}"

    def _test(self) -> Callable[[pd.DataFrame], pd.Series[bool]]:
        column, low, high, value = self.column, self.low, self.high, self.value
        if low is not None and high is not None:
            inclusive: Literal["left", "both"] = "left" if self.is_below else "both"
            return lambda cases: cases[column].between(low, high, inclusive=inclusive)
        if value is None:
            return lambda cases: cases[column].isna()
        return lambda cases: cases[column].astype("str") == value

    def _test_code(self) -> str:
        column = f"cases[{self.column!r}]"
        if self.low is not None and self.high is not None:
            inclusive = ", inclusive='left'" if self.is_below else ""
            return f"{column}.between({self.low!r}, {self.high!r}{inclusive})"
        return f"{column}.isna()" if self.value is None else f"{column}.astype('str') == {self.value!r}"


def filtered(log: EventLog, questions: Sequence[Question]) -> EventLog:
    """Return the log of the cases for which all holds."""
    for question in questions:
        log = question.of(log)
    return log


def code_of(questions: Sequence[Question], last: str) -> str:
    """Return the code that asks all of it and ends with ``last``, in which ``{log}`` stands for the log."""
    lines, name = ["import orchkit as ok", ""], "log"
    for question in questions:
        lines.append(f"part = {question.code(name)}")
        name = "part"
    return "\n".join([*lines, last.replace("{log}", name)])


def _literal(value: Any) -> str:  # noqa: ANN401 -- what a question holds
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def _named(name: object) -> str:
    return clean(shorten(str(name), _NAME)) or "(blank)"


def _said(word: str, value: Any) -> str:  # noqa: ANN401 -- what a question holds
    match word:
        case "activity":
            return f"with {_named(value)}"
        case "resource":
            return f"resource: {_named(value)}"
        case "path":
            return " → ".join(map(_named, value))
        case "eventually":
            return " → … → ".join(map(_named, value))
        case "starts_with":
            return f"begins with {_named(value)}"
        case "ends_with":
            return f"ends with {_named(value)}"
        case "status":
            return "still open" if value == "RUNNING" else f"{look_of(value).sign} {look_of(value).word}"
        case "after":
            return f"started from {value}"
        case "before":
            return f"started before {value}"
        case "longer_than":
            return f"took {value} or more"
        case "shorter_than":
            return f"took less than {value}"
        case _:
            return f"{word.replace('_', ' ')}: {_named(value)}"
