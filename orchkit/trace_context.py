"""Trace context, as W3C says it (Trace Context, level 1): ids of traces and spans, and the header ``traceparent``.

The ids are pure functions of runs, steps and attempts, so that a history gives the same spans whenever it is exported.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["TraceParent", "parse_traceparent", "span_of", "trace_of", "traceparent"]

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Who asks: the trace, and the span in it."""

    trace_id: str
    span_id: str


def trace_of(run_id: str) -> str:
    """Return the id of the trace that a run begins: 32 hexadecimal digits."""
    return hashlib.blake2b(run_id.encode(), digest_size=16, person=b"trace").hexdigest()


def span_of(run_id: str, step_id: str = "", attempt: int = 0) -> str:
    """Return the id of the span of a run, or of an attempt of a step: 16 hexadecimal digits."""
    return hashlib.blake2b(f"{run_id}/{step_id}/{attempt}".encode(), digest_size=8, person=b"span").hexdigest()


def traceparent(trace_id: str, span_id: str) -> str:
    """Return the header.

    Examples
    --------
    >>> traceparent("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    """
    return f"00-{trace_id}-{span_id}-01"


def parse_traceparent(header: str | None) -> TraceParent | None:
    """Return what a header says; nothing where it is none, or not a valid one: as the standard has it, it is ignored.

    Examples
    --------
    >>> parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").span_id
    'b7ad6b7169203331'
    >>> parse_traceparent("nonsense")
    """
    found = _FORM.fullmatch((header or "").strip())
    if found is None:
        return None
    trace_id, span_id = found.groups()
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id)
