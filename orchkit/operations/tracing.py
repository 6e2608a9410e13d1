"""Tracing: what is in the history, exported as spans of OpenTelemetry (extra ``tracing``).

A run is a trace, or a part of its caller's; the run and each attempt of a step are spans. They are made from the
history once they have ended, so that the engine does nothing for it, and nothing is lost when a collector is down. The
ids are the same whenever a history is exported again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

import pandas as pd

from orchkit.engine import Engine
from orchkit.executors.base import extra
from orchkit.trace_context import span_of
from orchkit.units import Duration, seconds

__all__ = ["Tracing", "export_spans", "tracing"]

_ROWS = """
WITH told AS (
    SELECT * FROM history AS h
    WHERE h.seq > $1 AND h.trace_id IS NOT NULL
        AND (
            (h.kind = 'run' AND h.status IN ('COMPLETED', 'FAILED', 'COMPENSATED', 'CANCELLED', 'DEAD_LETTERED'))
            OR (
                h.kind IN ('task', 'wait', 'call', 'scope', 'compensation')
                AND h.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'COMPENSATED')
            )
        )
    ORDER BY h.seq LIMIT $2
),
firsts AS (
    SELECT run_id, arg_min(payload ->> '$.parent_span', seq) AS parent_span FROM history
    WHERE kind = 'run' AND run_id IN (SELECT run_id FROM told WHERE kind = 'run') GROUP BY run_id
)
SELECT told.*, epoch_us(told.occurred_at) AS moment, runs.parent_step, runs.version, firsts.parent_span
FROM told LEFT JOIN runs USING (run_id) LEFT JOIN firsts USING (run_id) ORDER BY told.seq
"""
_CURSOR = "SELECT max(CAST(payload ->> '$.seq' AS BIGINT)) AS seq FROM history WHERE kind = 'tracing'"
_AT_ONCE = 2_000
_MICROSECOND = 1_000_000


class HistoryReader(Protocol):
    """What spans are read from: an engine or a store."""

    def sql(self, query: str, parameters: Any = None) -> pd.DataFrame:  # noqa: ANN401 -- what DuckDB takes
        """Return the answer to a query."""
        ...


def export_spans(source: HistoryReader, exporter: Any, *, after: int = 0, service: str = "orchkit") -> int:  # noqa: ANN401
    """Export the runs and attempts that have ended, and return the ``seq`` up to which that was done.

    Parameters
    ----------
    source
        An engine or a store.
    exporter
        A span exporter of OpenTelemetry's SDK.
    after
        Only what came after this ``seq``.
    service
        The resource's ``service.name``.

    Raises
    ------
    MissingExtraError
        OpenTelemetry is not installed: the extra ``tracing``.
    ConnectionError
        The exporter could not export; what it had exported before is exported again the next time.
    """
    otel = _Otel(service)
    while True:
        frame = source.sql(_ROWS, [after, _AT_ONCE])
        if frame.empty:
            return after
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        result = exporter.export([otel.span(row) for row in rows])
        if result is not otel.success:
            message = "The collector did not take the spans: they are sent again the next time."
            raise ConnectionError(message)
        after = int(rows[-1]["seq"])


class _Otel:
    """OpenTelemetry's SDK, imported when it is needed."""

    def __init__(self, service: str) -> None:
        self._sdk = extra("opentelemetry.sdk.trace", "tracing")
        self._api = extra("opentelemetry.trace", "tracing")
        self.success = extra("opentelemetry.sdk.trace.export", "tracing").SpanExportResult.SUCCESS
        resources = extra("opentelemetry.sdk.resources", "tracing")
        self._resource = resources.Resource.create({"service.name": service})
        self._scope = extra("opentelemetry.sdk.util.instrumentation", "tracing").InstrumentationScope("orchkit")

    def span(self, row: Mapping[Any, Any]) -> Any:  # noqa: ANN401 -- a ReadableSpan
        """Return the span of a row of the history: of a run, or of an attempt that has ended."""
        end = int(row["moment"])
        began = end - int((row["duration_s"] or 0.0) * _MICROSECOND)
        is_run = row["kind"] == "run"
        parent = _parent_of_run(row) if is_run else span_of(row["run_id"])
        own = span_of(row["run_id"]) if is_run else span_of(row["run_id"], row["step_id"], row["attempt"])
        failed = row["status"] in ("FAILED", "DEAD_LETTERED", "COMPENSATED")
        code = self._api.StatusCode.ERROR if failed else self._api.StatusCode.OK
        status = self._api.Status(code, row["error_message"] if failed else None)
        events = []
        if row["error_type"] is not None:
            told = {"exception.type": row["error_type"], "exception.message": row["error_message"] or ""}
            events.append(self._sdk.Event("exception", told, timestamp=end * 1000))
        return self._sdk.ReadableSpan(
            name=row["workflow"] if is_run else row["node"],
            context=self._context(row["trace_id"], own),
            parent=None if parent is None else self._context(row["trace_id"], parent),
            resource=self._resource,
            attributes=dict(_attributes(row)),
            events=events,
            kind=self._api.SpanKind.INTERNAL,
            instrumentation_scope=self._scope,
            status=status,
            start_time=began * 1000,
            end_time=end * 1000,
        )

    def _context(self, trace_id: str, span_id: str) -> Any:  # noqa: ANN401 -- a SpanContext
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        return self._api.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags)


def _parent_of_run(row: Mapping[str, Any]) -> str | None:
    if row["parent_span"] is not None:
        return str(row["parent_span"])
    if row["parent_step"] is None:
        return None
    run_id, _, step_id = row["parent_step"].partition("/")
    return span_of(run_id, step_id, 1)


def _attributes(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "orchkit.run_id", row["run_id"]
    yield "orchkit.case_id", row["case_id"]
    yield "orchkit.workflow", row["workflow"]
    yield "orchkit.status", row["status"]
    names = ("version",) if row["kind"] == "run" else ("step_id", "node", "kind", "attempt", "resource")
    for name in (*names, "error_class"):
        if row[name] is not None:
            yield f"orchkit.{name}", row[name]


def tracing(
    engine: Engine,
    endpoint: str | None = None,
    *,
    every: Duration | None = "5 s",
    headers: Mapping[str, str] | None = None,
    service: str = "orchkit",
) -> Tracing:
    """Export spans to a collector by OTLP over HTTP while runs go on.

    Parameters
    ----------
    engine
        The engine whose runs are exported.
    endpoint
        Such as ``http://localhost:4318/v1/traces``; by default as OpenTelemetry's variables of the environment say.
    every
        How often; None for only when `Tracing.export` is called, and at the end.
    headers
        For the collector.
    service
        The resource's ``service.name``.

    Returns
    -------
    Tracing
        Close it, or use it as a context manager. It continues where the last one on this store ended.

    Raises
    ------
    MissingExtraError
        OpenTelemetry is not installed: the extra ``tracing``.
    """
    module = extra("opentelemetry.exporter.otlp.proto.http.trace_exporter", "tracing")
    exporter = module.OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {}), timeout=10)
    return Tracing(engine, exporter, None if every is None else seconds(every), service)


class Tracing:
    """Exports spans of an engine's runs; see `tracing`."""

    def __init__(self, engine: Engine, exporter: Any, every_s: float | None, service: str) -> None:  # noqa: ANN401
        self._engine, self._exporter, self._service = engine, exporter, service
        found = engine.sql(_CURSOR)["seq"].iloc[0]
        self._after = 0 if pd.isna(found) else int(found)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.error: Exception | None = None
        self._thread: threading.Thread | None = None
        if every_s is not None:
            self._thread = threading.Thread(target=self._loop, args=[every_s], name="orchkit-tracing", daemon=True)
            self._thread.start()

    def export(self) -> None:
        """Export what has ended since the last time.

        Raises
        ------
        ConnectionError
            The collector did not take it; it is sent again the next time.
        """
        with self._lock:
            reached = export_spans(self._engine, self._exporter, after=self._after, service=self._service)
            if reached > self._after:
                self._after = reached
                self._engine.note("tracing", "otlp", "EXPORTED", {"seq": reached})

    def _loop(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            self._try()

    def _try(self) -> None:
        try:
            self.export()
        except Exception as error:  # noqa: BLE001 -- it is tried again; what went wrong can be seen
            self.error = error

    def close(self) -> None:
        """Export what is left, and stop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(15)
        self._try()
        self._exporter.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
