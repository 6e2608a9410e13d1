"""Traces: the chain of runs that call each other or follow from each other's events."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from orchkit.engine import Engine, Run
from orchkit.errors import RunNotFound
from orchkit.model.definition import Workflow
from orchkit.model.nodes import Call, Flow

__all__ = ["Trace", "trace"]

_RUNS = """
SELECT run_id, any_value(case_id) AS case_id, any_value(workflow) AS workflow, arg_max(status, seq) AS status,
       min(occurred_at) AS started, max(occurred_at) AS last, arg_min(trace_id, seq) AS trace_id
FROM history WHERE kind = 'run' AND list_contains(?::VARCHAR[], run_id) GROUP BY run_id ORDER BY min(seq)
"""
_EVENTS = "SELECT occurred_at, payload FROM history WHERE kind = 'event' AND status = 'PUBLISHED' AND trace_id = ?"
_CALLS = """
SELECT run_id, parent_step, started_at FROM runs
WHERE parent_step IS NOT NULL AND list_contains(?::VARCHAR[], run_id) ORDER BY seq
"""


@dataclass(frozen=True, slots=True)
class Trace:
    """The runs of a trace; it draws itself.

    Attributes
    ----------
    trace_id
        32 hexadecimal digits, as W3C Trace Context has them.
    runs
        ``run_id, case_id, workflow, status, started, last``, the oldest first.
    links
        What led from one run to another: ``source, step, target`` (run ids; the source is missing where an event came
        from outside), ``kind`` (``call`` or ``event``), ``name`` (of the called workflow or the event), ``at``.
    """

    trace_id: str
    runs: pd.DataFrame = field(repr=False)
    links: pd.DataFrame = field(repr=False)

    @property
    def workflow(self) -> Workflow:
        """The chain as a graph: a node a run, a flow a link."""
        names = self._names()
        flows: dict[tuple[str, str, str], None] = {}
        for link in self.links.to_dict("records"):
            source, target = link["source"], link["target"]
            if source in names and target in names and source != target:
                flows[names[source], names[target], link["name"] if link["kind"] == "event" else ""] = None
        called = zip(names.values(), self.runs["workflow"], strict=True)
        nodes = tuple(Call(name=name, workflow=workflow) for name, workflow in called)
        graph = tuple(Flow(source, target, told or None) for source, target, told in flows)
        return Workflow(f"trace {self.trace_id[:8]}", nodes, graph)

    @property
    def node_statuses(self) -> Mapping[str, str]:
        """The status of each run."""
        return dict(zip(self._names().values(), self.runs["status"], strict=True))

    def _names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for run in self.runs.itertuples():
            name = f"{run.workflow} {run.case_id}"
            names[str(run.run_id)] = name if name not in names.values() else f"{name} {str(run.run_id)[:4]}"
        return names

    def _repr_mimebundle_(
        self,
        include: Container[str] | None = None,
        exclude: Container[str] | None = None,
    ) -> dict[str, Any]:
        from orchkit.view.diagram import draw  # noqa: PLC0415 -- a value may draw itself

        return draw(self)._repr_mimebundle_(include, exclude)


def trace(engine: Engine, of: Run | str) -> Trace:
    """Return the runs of a trace: runs of any workflows that called each other, or led to each other by events.

    Parameters
    ----------
    engine
        Where the runs are.
    of
        The id of a trace; or a run of it, or that run's id.

    Raises
    ------
    RunNotFound
        There is no such trace or run.

    Examples
    --------
    >>> from orchkit import Trigger, task, workflow
    >>> tell = task("tell", executor="event", settings={"event": "placed", "payload": {"id": "${id}"}})
    >>> on = Trigger("event", {"event": "placed", "case": "${event.id}", "inputs": {"id": "${event.id}"}})
    >>> with Engine(handlers={"pack": lambda id: f"{id} packed"}) as engine:
    ...     engine.deploy(workflow("store", [task("pack")], triggers=[on]))
    ...     run = engine.run(workflow("shop", [tell]), {"id": "A-1"}, case_id="A-1")
    ...     done = engine.find("store", "A-1").wait()
    ...     found = trace(engine, run)
    >>> found.runs[["workflow", "case_id", "status"]].values.tolist()
    [['shop', 'A-1', 'COMPLETED'], ['store', 'A-1', 'COMPLETED']]
    >>> found.links[["step", "kind", "name"]].values.tolist()
    [['tell#1', 'event', 'placed']]
    """
    name = of if isinstance(of, str) else of.id
    found = engine.sql(
        "SELECT DISTINCT trace_id FROM history WHERE (run_id = $1 OR trace_id = $1) AND trace_id IS NOT NULL", [name]
    )
    if found.empty:
        message = f"There is no trace and no run {name!r}: engine.runs() lists the runs."
        raise RunNotFound(message, run_id=name)
    trace_id = str(found["trace_id"][0])
    ids = engine.sql("SELECT DISTINCT run_id FROM history WHERE kind = 'run' AND trace_id = ?", [trace_id])["run_id"]
    links = _events(engine, trace_id)
    everybody = [*ids, *(link[0] for link in links if link[0]), *(link[2] for link in links)]
    runs = engine.sql(_RUNS, [list(dict.fromkeys(everybody))]).drop(columns="trace_id")
    for row in engine.sql(_CALLS, [runs["run_id"].tolist()]).itertuples():
        source, _, step = str(row.parent_step).partition("/")
        called = runs.loc[runs["run_id"] == row.run_id, "workflow"].iloc[0]
        links.append([source, step, row.run_id, "call", called, row.started_at])
    frame = pd.DataFrame(links, columns=["source", "step", "target", "kind", "name", "at"])
    return Trace(trace_id, runs, frame.sort_values("at", ignore_index=True, kind="stable"))


def _events(engine: Engine, trace_id: str) -> list[list[Any]]:
    links: list[list[Any]] = []
    for row in engine.sql(_EVENTS, [trace_id]).itertuples():
        payload = json.loads(str(row.payload))
        source, _, step = payload.get("source", "").partition("/")
        targets = (*payload["started"], *payload["continued"])
        links += [[source or None, step or None, run, "event", payload["event"], row.occurred_at] for run in targets]
    return links
