"""Structured logs: one line of JSON for each attempt that has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import pandas as pd

__all__ = ["HistoryReader", "log_lines"]

_QUERY = """
SELECT workflow, node, status, duration_s, occurred_at, seq, run_id, case_id, step_id, kind, attempt,
       error_class, error_type, error_message, trace_id, span_id
FROM history
WHERE seq > ? AND step_id IS NOT NULL AND status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED', 'COMPENSATED')
ORDER BY seq
"""


class HistoryReader(Protocol):
    """What lines are read from: an engine or a store."""

    def sql(self, query: str, parameters: Any = None) -> pd.DataFrame:  # noqa: ANN401 -- what DuckDB takes
        """Return the answer to a query."""
        ...


def log_lines(source: HistoryReader, *, after: int = 0) -> Iterator[str]:
    r"""Yield a line of JSON for each attempt, wait, call and scope that has ended, in the order of the history.

    Parameters
    ----------
    source
        An engine or a store.
    after
        Only what came after this ``seq``: the last line's, to go on where one was.

    Yields
    ------
    str
        An object with the keys ``workflow_id, step, status, duration_ms, timestamp`` first (the workflow's name, the
        node's, the outcome, whole milliseconds or null, ISO 8601 in UTC), then ``seq, run_id, case_id, step_id, kind,
        attempt`` and, if there are any, ``error_class, error_type, error_message, trace_id, span_id``.

    Examples
    --------
    >>> from orchkit.engine import Engine
    >>> from orchkit.model.patterns import task, workflow
    >>> with Engine(handlers={"greet": lambda: "hello"}) as engine:
    ...     _ = engine.run(workflow("hello", [task("greet")]), case_id="A-1")
    ...     (line,) = log_lines(engine)
    >>> list(json.loads(line))[:5], json.loads(line)["status"]
    (['workflow_id', 'step', 'status', 'duration_ms', 'timestamp'], 'COMPLETED')
    """
    row: dict[str, Any]
    for row in source.sql(_QUERY, [after]).to_dict("records"):  # type: ignore[assignment]  # names are text
        known = {name: value for name, value in row.items() if not pd.isna(value)}
        duration_s = known.pop("duration_s", None)
        first = {
            "workflow_id": known.pop("workflow"),
            "step": known.pop("node", ""),
            "status": known.pop("status"),
            "duration_ms": None if duration_s is None else round(duration_s * 1000),
            "timestamp": known.pop("occurred_at").isoformat(),
        }
        yield json.dumps({**first, **known}, ensure_ascii=False, separators=(",", ":"), default=int)
