"""`RunView`: one run, its state, its steps, and what it knew at any moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchkit.engine import Run
from orchkit.errors import LogError, OrchkitError
from orchkit.model.states import RunStatus
from orchkit.units import Duration, format_duration
from orchkit.view.charts.schedule import gantt
from orchkit.view.diagram import Diagram, draw
from orchkit.view.text import shorten
from orchkit.view.theme import look_of
from orchkit.view.widgets.base import LiveWidget, action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchkit.model.definition import Workflow

__all__ = ["RunView", "run_state"]

_OF_NODES = ("task", "wait", "scope", "call", "compensation")
_LONGEST = 20_000  # characters of variables that are shown
_OPEN = ("PENDING", "RUNNING", "WAITING", "RETRYING", "COMPENSATING")
# From where a run that has ended can be retried: with what failed, or from its start.
_RETRIES = {
    "failure": (RunStatus.FAILED, RunStatus.DEAD_LETTERED),
    "start": (RunStatus.FAILED, RunStatus.DEAD_LETTERED, RunStatus.CANCELLED, RunStatus.COMPENSATED),
}


class RunView(LiveWidget, module="run_view", uses=("run_panel",)):
    """Show a run: its workflow with the state of each node, its steps in a table and in time, its variables.

    While the run goes on the view follows it. The slider goes back through the history; the drawing, the steps and the
    variables are those of that moment. A run that is under way can be cancelled; one that has failed can be retried.

    Parameters
    ----------
    run
        A run of an engine that is open.
    every
        How often the engine is asked, at most five times a second.

    Examples
    --------
    >>> import orchkit as ok
    >>> with ok.Engine(handlers={"ship": lambda: "sent"}) as engine:
    ...     view = RunView(engine.run(ok.workflow("order", [ok.task("ship")]), case_id="A-1"))
    ...     view.state["status"], [step["activity"] for step in view.state["steps"]]
    ('completed', ['ship'])
    """

    def __init__(self, run: Run, *, every: Duration = "0.5 s") -> None:
        self._run = run
        self._seq: int | None = None  # the row that is looked at; None for the last one
        self._shown: tuple[int, int | None] | None = None
        super().__init__(every)

    def picture(self) -> Diagram:
        """Return the drawing of the moment that is looked at."""
        return draw(self._run.workflow, statuses=_statuses(_rows(self._run.history(), self._seq)))

    @action
    def look_at(self, seq: int | None = None) -> None:
        """Go to a row of the history; None follows the run."""
        before, self._seq = self._seq, seq
        try:
            self.refresh()
        except OrchkitError:  # what was before the run
            self._seq = before
            raise

    @action
    def cancel(self) -> None:
        """Cancel the run; its sagas are compensated first."""
        self._run.cancel("cancelled in the notebook")

    @action
    def retry(self, *, from_start: bool = False) -> None:
        """Continue a run that has failed: from the step that failed, or from the start."""
        self._run.retry(from_start=from_start, reason="retried in the notebook")
        self._seq = None
        self.refresh()

    def look(self) -> dict[str, Any]:
        """Return what is shown; drawn again only where the history has grown."""
        last = int(self._run.history()["seq"].max())
        if self._shown == (last, self._seq):
            return dict(self.state)
        self._shown = (last, self._seq)
        return run_state(self._run, self._seq)


def run_state(run: Run, seq: int | None = None) -> dict[str, Any]:
    """Return what a view of a run shows, JSON: now, or once the row ``seq`` of its history was written."""
    history = run.history()
    rows = _rows(history, seq)
    snapshot = run.at(seq) if seq is not None else None
    status = run.status if snapshot is None else snapshot.status
    error = run.error if snapshot is None else snapshot.error
    variables = run.variables if snapshot is None else snapshot.variables
    elapsed = (rows["occurred_at"].iloc[-1] - rows["occurred_at"].iloc[0]).total_seconds()
    trace = history["trace_id"].dropna()
    look = look_of(status)
    until = rows["occurred_at"].iloc[-1]
    statuses = _statuses(rows)
    steps = _steps_by(run.steps(), until, statuses)
    can_retry = run.status if seq is None else None
    return {
        "case_id": run.case_id,
        "run_id": run.id,
        "workflow": f"{run.workflow.name}, version {run.workflow.version}",
        "status": look.word,
        "sign": look.sign,
        "is_final": run.status.is_final,
        "current": _current(rows),
        "retry": [place for place, these in _RETRIES.items() if can_retry in these],
        "error": "" if error is None else f"{error.node or 'run'}: {error.type}: {error.message}",
        "elapsed": format_duration(elapsed),
        "trace_id": "" if trace.empty else str(trace.iloc[0]),
        "svg": draw(run.workflow, statuses=statuses).to_svg(),
        "gantt": _gantt(run, steps),
        "moments": [_moment(row) for row in history.itertuples()],
        "seq": seq,
        "steps": [_step(step, until) for step in steps.itertuples()],
        "variables": _pretty(variables),
    }


def _rows(history: pd.DataFrame, seq: int | None) -> pd.DataFrame:
    return history if seq is None else history[history["seq"] <= seq]


def _statuses(rows: pd.DataFrame) -> dict[str, str]:
    of_nodes = rows[rows["node"].notna() & rows["kind"].isin(_OF_NODES)]
    return dict(zip(of_nodes["node"], of_nodes["status"], strict=True))


def _moment(row: Any) -> dict[str, Any]:  # noqa: ANN401 -- a row of a frame
    what = row.node if isinstance(row.node, str) else row.kind
    return {"seq": int(row.seq), "text": f"{row.occurred_at:%H:%M:%S.%f}"[:-3] + f" {what}: {look_of(row.status).word}"}


def _current(rows: pd.DataFrame) -> list[str]:
    """Return the nodes that are at work, or wait, after these rows; scopes are told by what is in them."""
    if rows["kind"].eq("run").any() and rows.loc[rows["kind"] == "run", "status"].iloc[-1] not in _OPEN:
        return []
    leaves = rows[rows["kind"].isin(("task", "wait", "call", "compensation"))]
    last = leaves.drop_duplicates("step_id", keep="last")
    return list(dict.fromkeys(last.loc[last["status"].isin(_OPEN), "node"]))


def _steps_by(steps: pd.DataFrame, until: pd.Timestamp, statuses: Mapping[str, str]) -> pd.DataFrame:
    """Return the attempts that had begun by then, as they stood then."""
    begun = steps["started"].fillna(steps["enabled"])
    known = steps[(begun <= until).to_numpy(dtype=bool)].copy()
    later = (known["completed"] > until).to_numpy(dtype=bool)
    for column in ("completed", "error_class", "error_type", "error_message"):
        known.loc[later, column] = None
    then = known["activity"].map(lambda name: statuses.get(name) if statuses.get(name) in _OPEN else "RUNNING")
    known["status"] = known["status"].mask(later, then)
    return known


def _step(step: Any, until: pd.Timestamp) -> dict[str, Any]:  # noqa: ANN401 -- a row of a frame
    begun = step.enabled if pd.isna(step.started) else step.started
    look = look_of(step.status)
    took = ((until if pd.isna(step.completed) else step.completed) - begun).total_seconds()
    return {
        "activity": step.activity,
        "attempt": int(step.attempt),
        "status": f"{look.sign} {look.word}",
        "started": f"{begun:%Y-%m-%d %H:%M:%S}",
        "took": format_duration(took),
        "class": "" if pd.isna(step.error_class) else step.error_class,
        "error": "" if pd.isna(step.error_type) else shorten(f"{step.error_type}: {step.error_message}", 300),
    }


@dataclass(frozen=True, slots=True)
class _Moment:
    """A run as it stood, for `gantt`."""

    case_id: str
    workflow: Workflow
    frame: pd.DataFrame

    def steps(self) -> pd.DataFrame:
        return self.frame


def _gantt(run: Run, steps: pd.DataFrame) -> str:
    try:
        return gantt(_Moment(run.case_id, run.workflow, steps)).to_svg()
    except LogError:  # no steps yet
        return ""


def _pretty(variables: Mapping[str, Any]) -> str:
    text = json.dumps(variables, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "\n… and more: run.variables has it all"
