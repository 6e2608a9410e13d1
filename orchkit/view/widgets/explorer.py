"""`LogExplorer`: a log under filters that are clicked, with the code that gives the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from orchkit.analysis import bottlenecks, failures, variants
from orchkit.analysis.spans import case_durations_s, moments_s
from orchkit.errors import LogError
from orchkit.log import EventLog, expect_log
from orchkit.model.states import RunStatus, StepStatus
from orchkit.units import format_duration
from orchkit.view import charts
from orchkit.view.figures import share_text
from orchkit.view.picture import Picture
from orchkit.view.process_map import ProcessMap, process_map
from orchkit.view.widgets.base import Widget, action, table_twin
from orchkit.view.widgets.findings import Offers, column_of, columns_of, map_of, table_of, variants_of
from orchkit.view.widgets.questions import Question, code_of, filtered

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LogExplorer"]

_TABS = ("Map", "Variants", "Failures", "Bottlenecks", "Cases")
_KEPT = 24  # logs and views that are kept for going back and forth
_BINS = 60
Show = Literal["frequency", "time"]


class LogExplorer(Widget, module="explorer"):
    """Explore a log: its map, variants, failures and bottlenecks, under filters that are set by a click.

    Each click on an activity, a flow, an outcome, a variant, a value or a time becomes a filter, which can be taken
    away again one by one. ``explorer.log`` is the log of the cases that are left, and ``explorer.code`` is the code
    that gives what is shown, to copy into a cell.

    Parameters
    ----------
    log
        Any event log: of an engine, a simulation or a file.
    min_share
        Flows that a smaller share of the cases takes are not drawn, as in `process_map`; a slider changes it.

    Examples
    --------
    >>> import pandas as pd
    >>> log = EventLog(pd.DataFrame({
    ...     "case_id": ["o1", "o1", "o2"],
    ...     "activity": ["check", "ship", "check"],
    ...     "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    ... }))
    >>> explorer = LogExplorer(log)
    >>> explorer.where(activity="ship")
    >>> explorer.act("show_tab", name="Variants")
    >>> len(explorer.log)
    1
    >>> print(explorer.code)
    import orchkit as ok
    <BLANKLINE>
    part = ok.where(log, activity='ship')
    ok.variants(part)
    """

    def __init__(self, log: EventLog, *, min_share: float = 0.05) -> None:
        expect_log(log, "LogExplorer")
        super().__init__()
        self._base = log
        self._questions: tuple[Question, ...] = ()
        self._before: list[tuple[Question, ...]] = []
        self._after: list[tuple[Question, ...]] = []
        self._offers = Offers()
        self._tab, self._detail, self._column = _TABS[0], float(min_share), 0
        self._show: Show = "frequency"
        self._filtered = lru_cache(_KEPT)(lambda questions: filtered(log, questions))
        self._map = lru_cache(_KEPT)(lambda questions: process_map(self._filtered(questions)))
        self._frame = lru_cache(_KEPT)(lambda questions, verb: verb(self._filtered(questions)))
        self._view = lru_cache(_KEPT)(self._look)
        self._edges, self._starts = _periods(log)
        self._columns = columns_of(log)
        self._refresh()

    @property
    def log(self) -> EventLog:
        """The log of the cases that are left (in place of a widget's own ``log``, a logger)."""
        found: EventLog = self._filtered(self._questions)
        return found

    @property
    def code(self) -> str:
        """The code that gives what is shown, for a log in the variable ``log``."""
        return code_of(self._questions, self._last_line())

    @property
    def result(self) -> ProcessMap | pd.DataFrame:
        """What is shown, as the code gives it: the map, or the frame behind a table."""
        if self._tab == "Map":
            return self._drawn()
        verbs: dict[str, Callable[[EventLog], pd.DataFrame]] = {
            "Variants": variants,
            "Failures": failures,
            "Bottlenecks": bottlenecks,
        }
        if self._tab in verbs:
            frame: pd.DataFrame = self._frame(self._questions, verbs[self._tab])
            return frame.copy(deep=False)
        return self.log.cases

    def picture(self) -> Picture:
        """Return what the tab shows."""
        result = self.result
        if isinstance(result, ProcessMap):
            return result
        if self._tab == "Variants" and len(result):
            return charts.variants(self.log)
        return table_twin(result.head(40), f"{self._tab} of {len(self.log):,} of {len(self._base):,} cases")

    def where(self, **asked: Any) -> None:  # noqa: ANN401 -- as in `orchkit.where`
        """Keep the cases that `orchkit.where` selects."""
        self._ask(Question(_frozen(asked)))

    def without(self, **asked: Any) -> None:  # noqa: ANN401 -- as in `orchkit.where`
        """Keep the cases that `orchkit.where` does not select."""
        self._ask(Question(_frozen(asked), is_without=True))

    @action
    def keep(self, offer: str, is_without: bool = False) -> None:  # noqa: FBT001, FBT002 -- by name, from the page
        """Filter by something that the page shows."""
        question = self._offers.question(offer)
        self._ask(question.negated() if is_without else question)

    @action
    def drop(self, place: int) -> None:
        """Remove a filter."""
        if not 0 <= place < len(self._questions):
            message = f"There is no filter {place}."
            raise LogError(message)
        self._change(tuple(one for number, one in enumerate(self._questions) if number != place))

    @action
    def reset(self) -> None:
        """Remove all filters."""
        self._change(())

    @action
    def undo(self) -> None:
        """Go back to the filters before."""
        if self._before:
            self._after.append(self._questions)
            self._questions = self._before.pop()
            self._refresh()

    @action
    def redo(self) -> None:
        """Redo what was undone last."""
        if self._after:
            self._before.append(self._questions)
            self._questions = self._after.pop()
            self._refresh()

    @action
    def show_tab(self, name: str) -> None:
        """Show another tab: Map, Variants, Failures, Bottlenecks or Cases."""
        if name not in _TABS:
            message = f"There is no tab {name!r}: there are {', '.join(_TABS)}."
            raise LogError(message)
        self._tab = name
        self._refresh()

    @action
    def set_map(self, show: str = "", min_share: float = -1.0) -> None:
        """Show frequencies or times, in more or less detail."""
        if show:
            self._show = "time" if show == "time" else "frequency"
        if 0 <= min_share <= 1:
            self._detail = round(float(min_share), 4)
        self._refresh()

    @action
    def set_column(self, place: int) -> None:
        """Show the values of another attribute."""
        self._column = min(max(int(place), 0), len(self._columns) - 1)
        self._refresh()

    @action
    def window(self, first: int, last: int) -> None:
        """Keep the cases that started in these bars of the time line."""
        if not self._edges:
            return
        first, last = sorted(min(max(int(place), 0), len(self._edges) - 2) for place in (first, last))
        self._ask(Question((("after", self._edges[first]), ("before", self._edges[last + 1]))))

    @action
    def between(self, after: str = "", before: str = "") -> None:
        """Keep the cases that started from and before these days; an empty one is no bound."""
        asked = tuple((word, value) for word, value in (("after", after), ("before", before)) if value)
        if asked:
            self._ask(Question(asked))

    @action
    def within(self, low: float, high: float) -> None:
        """Keep the cases whose attribute, the one that is shown, is in a range."""
        column = self._columns[self._column]
        if not column.is_number:
            message = f"{column.title} has no range: it is not a number."
            raise LogError(message)
        self._ask(Question(column=column.name, low=float(low), high=float(high)))

    def _ask(self, question: Question) -> None:
        if question not in self._questions:
            self._change((*self._questions, question))

    def _change(self, questions: tuple[Question, ...]) -> None:
        self._filtered(questions)  # what cannot be asked changes nothing
        self._before.append(self._questions)
        self._after.clear()
        self._questions = questions
        self._refresh()

    def _drawn(self) -> ProcessMap:
        return replace(self._map(self._questions), min_share=self._detail, show=self._show)

    def _last_line(self) -> str:
        return {
            "Map": f"ok.process_map({{log}}, min_share={self._detail:g}, show={self._show!r})",
            "Variants": "ok.variants({log})",
            "Failures": "ok.failures({log})",
            "Bottlenecks": "ok.bottlenecks({log})",
            "Cases": "{log}.cases",
        }[self._tab]

    def _refresh(self) -> None:
        log = self.log
        self.state = {
            "figures": _figures(log, self._base),
            "chips": [question.words for question in self._questions],
            "can_undo": bool(self._before),
            "can_redo": bool(self._after),
            "code": self.code,
            "tabs": list(_TABS),
            "tab": self._tab,
            "show": self._show,
            "detail": self._detail,
            "period": self._period(log),
            "body": self._view(self._questions, self._tab, self._show, self._detail, self._column),
        }

    def _look(self, questions: tuple[Question, ...], tab: str, *_: object) -> dict[str, Any]:
        """Return what a tab shows."""
        log: EventLog = self._filtered(questions)
        if not len(log):
            return {"empty": "No case is left: take a filter away."}
        match tab:
            case "Map":
                return map_of(self._drawn(), self._offers)
            case "Variants":
                return variants_of(log, self._frame(questions, variants), self._offers)
            case "Failures":
                return table_of(self._frame(questions, failures), self._offers, "No step failed.")
            case "Bottlenecks":
                return table_of(self._frame(questions, bottlenecks), self._offers, "Nothing waits.")
            case _:
                return column_of(log, self._columns, self._column, self._offers)

    def _period(self, log: EventLog) -> dict[str, Any]:
        if not self._edges:
            return {}
        bounds = moments_s(pd.Series(pd.to_datetime(self._edges, format="ISO8601")))
        kept = moments_s(log.cases["started"])
        counts = [np.histogram(times[~np.isnan(times)], bounds)[0].tolist() for times in (self._starts, kept)]
        return {"edges": [f"{edge[:10]} {edge[11:16]}" for edge in self._edges], "all": counts[0], "kept": counts[1]}


def _frozen(asked: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return what is asked as a value that can be compared and kept."""
    return tuple(
        (
            word,
            value
            if isinstance(value, str | int | float)
            else str(value)
            if isinstance(value, pd.Timestamp)
            else tuple(value),
        )
        for word, value in asked.items()
    )


def _periods(log: EventLog) -> tuple[list[str], NDArray[np.float64]]:
    """Return the bounds of the bars of the time line, whole seconds, and when each case started."""
    starts = moments_s(log.cases["started"])
    known = starts[~np.isnan(starts)]
    if not len(known):
        return [], starts
    first, last = np.floor(known.min()), np.floor(known.max()) + 1
    bounds = np.unique(np.floor(np.linspace(first, last, _BINS + 1)))
    return [f"{moment}Z" for moment in bounds.astype("M8[s]").astype(str).tolist()], starts


def _figures(log: EventLog, base: EventLog) -> list[dict[str, str]]:
    steps, durations = log.steps, case_durations_s(log)
    known = durations[~np.isnan(durations)]
    ended = int(steps["status"].isin([StepStatus.COMPLETED, StepStatus.FAILED]).sum())
    failed = int((steps["status"] == StepStatus.FAILED).sum())
    lost = int((log.cases["status"] == RunStatus.FAILED).sum())
    return [
        {"title": "cases", "value": f"{len(log):,}", "note": f"of {len(base):,}"},
        {"title": "events", "value": f"{len(steps):,}", "note": f"of {len(base.case_codes):,}"},
        {
            "title": "median cycle time",
            "value": format_duration(float(f"{np.median(known):.3g}")) if len(known) else "-",
            "note": f"95% in {format_duration(float(f'{np.quantile(known, 0.95):.3g}'))}" if len(known) else "",
        },
        {
            "title": "failure rate",
            "value": share_text(failed / ended) if ended else "-",
            "note": f"{failed:,} attempts, {lost:,} cases",
        },
    ]
