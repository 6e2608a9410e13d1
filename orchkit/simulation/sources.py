"""Where cases in flight come from: an engine's live runs, a log's open cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchkit.errors import ScenarioError
from orchkit.log import EventLog
from orchkit.simulation.flight import InFlight, OpenCase, OpenRun, open_steps
from orchkit.simulation.replay import replayed

if TYPE_CHECKING:
    from orchkit.engine import Engine
    from orchkit.engine.recovery import LiveRun
    from orchkit.model.definition import Workflow

    Source = Engine | EventLog | InFlight

__all__ = ["in_flight"]

_ENDING = frozenset({"task", "wait", "call"})


def in_flight(source: Source, workflow: Workflow) -> InFlight:
    """Return the cases of a workflow that are in flight: now in an engine, at its last moment in a log."""
    match source:
        case InFlight():
            return source
        case EventLog():
            return replayed(source, workflow)
        case _ if hasattr(source, "in_flight"):
            return _of_engine(source, workflow)
        case _:
            message = f"in_flight: give an engine, or a log with open cases, not {source!r}."
            raise ScenarioError(message)


def _of_engine(engine: Engine, workflow: Workflow) -> InFlight:
    live = {run.run_id: run for run in engine.in_flight()}
    cases: dict[str, list[LiveRun]] = {}
    for run in live.values():
        root = run
        while root.parent is not None and root.parent[0] in live:
            root = live[root.parent[0]]
        if root.parent is None and root.workflow.name == workflow.name:
            cases.setdefault(root.run_id, []).append(run)
    return InFlight(engine.now, tuple(_case_of(runs) for runs in cases.values()))


def _case_of(live: list[LiveRun]) -> OpenCase:
    """Return a case from its runs, each after the one that called it."""
    places = {run.run_id: place for place, run in enumerate(live)}
    visits: dict[str, Counter[str]] = {}
    runs = []
    for run in live:
        steps = open_steps(run.rows, run.state, visits.setdefault(run.workflow.digest, Counter()))
        parent = None if run.parent is None else (places[run.parent[0]], run.parent[1])
        runs.append(OpenRun(run.workflow, run.state, steps, parent))
    counted = {(digest, node): count for digest, counts in visits.items() for node, count in counts.items()}
    first = live[0]
    done = [
        (row.occurred_at, run.workflow.digest, row.node)
        for run in live
        for row in run.rows
        if row.status == "COMPLETED" and row.kind in _ENDING and row.node is not None
    ]
    return OpenCase(
        first.case_id,
        first.rows[0].occurred_at / 1e6,
        tuple(runs),
        counted,
        _scalars(first.state.variables),
        max(done, key=lambda one: one[0])[1:] if done else None,
    )


def _scalars(variables: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return the scalars in variables by dotted name, and of each list how long it is."""
    found: dict[str, Any] = {}
    for name, value in variables.items():
        if isinstance(value, Mapping):
            found |= _scalars(value, f"{before}{name}.")
        elif isinstance(value, list):
            found[f"{before}{name}"] = len(value)
        elif value is not None:
            found[f"{before}{name}"] = value
    return found
