"""`RunView`: one run, its state, its steps, and what it knew at any moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchkit.engine import Run
from orchkit.model.states import RunStatus
from orchkit.units import Duration, format_duration
from orchkit.view.diagram import Diagram, draw
from orchkit.view.text import shorten
from orchkit.view.theme import look_of
from orchkit.view.widgets.base import LiveWidget, action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["RunView", "run_state"]

_OF_NODES = ("task", "wait", "scope", "call", "compensation")
_LONGEST = 20_000  # characters of variables that are shown


class RunView(LiveWidget, module="run_view", uses=("run_panel",)):
    """Show a run: the workflow with the state of each node, steps and attempts, variables at any moment.

    While the run goes on the view follows it. The slider goes back through the history; the drawing and the variables
    are those of that moment.

    Parameters
    ----------
    run
        Of an engine that is open.
    every
        How often the run is looked at, at most five times a second.

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
        if seq is not None:
            self._run.at(seq)  # refuses what was before the run
        self._seq = seq
        self.refresh()

    @action
    def cancel(self) -> None:
        """Ask the run to end; its sagas are compensated first."""
        self._run.cancel("cancelled in the notebook")

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
    return {
        "case_id": run.case_id,
        "run_id": run.id,
        "workflow": f"{run.workflow.name}, version {run.workflow.version}",
        "status": look.word,
        "sign": look.sign,
        "is_final": run.status.is_final,
        "error": "" if error is None else f"{error.node or 'run'}: {error.type}: {error.message}",
        "elapsed": format_duration(elapsed),
        "trace_id": "" if trace.empty else str(trace.iloc[0]),
        "svg": draw(run.workflow, statuses=_statuses(rows)).to_svg(),
        "moments": [_moment(row) for row in history.itertuples()],
        "seq": seq,
        "steps": _steps(run.steps(), rows["occurred_at"].iloc[-1]),
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


def _steps(steps: pd.DataFrame, until: pd.Timestamp) -> list[dict[str, Any]]:
    """Return the attempts that had begun by then."""
    found = []
    attempts: Iterable[Any] = steps.itertuples()
    for step in attempts:
        begun = step.started if not pd.isna(step.started) else step.enabled
        if pd.isna(begun) or begun > until:
            continue
        is_over = not pd.isna(step.completed) and step.completed <= until
        look = look_of(step.status if is_over or step.status == RunStatus.WAITING else "RUNNING")
        took = ((step.completed if is_over else until) - begun).total_seconds()
        message = "" if pd.isna(step.error_type) or not is_over else f"{step.error_type}: {step.error_message}"
        found.append(
            {
                "activity": step.activity,
                "attempt": int(step.attempt),
                "status": f"{look.sign} {look.word}",
                "started": f"{begun:%Y-%m-%d %H:%M:%S}",
                "took": format_duration(took),
                "class": "" if pd.isna(step.error_class) or not is_over else step.error_class,
                "error": shorten(message, 300),
            }
        )
    return found


def _pretty(variables: Mapping[str, Any]) -> str:
    text = json.dumps(variables, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "\n… and more: run.variables has it all"
