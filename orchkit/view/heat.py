"""What a log tells about the nodes of a workflow: a figure and a shade for each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from orchkit.analysis.filters import where
from orchkit.analysis.spans import moments_s, summary
from orchkit.analysis.times import waiting_times
from orchkit.errors import RenderError, nearest
from orchkit.log import EventLog
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.states import StepStatus
from orchkit.units import format_duration
from orchkit.view.figures import Scale, count_text, share_text
from orchkit.view.legend import Entry, samples
from orchkit.view.scene import Heat
from orchkit.view.text import clean, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["HeatKind", "HeatMap", "heat_map"]

HeatKind = Literal["count", "duration", "wait", "failures"]

_SHADES = 5
_Figures = tuple[dict[str, float], dict[str, str]]  # by activity: what it is shaded by, and its words


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The heat of nodes by name, and what the legend says about it."""

    nodes: Mapping[str, Heat]
    legend: tuple[Entry, ...]


def heat_map(workflow: Workflow, log: EventLog, kind: HeatKind) -> HeatMap:
    """Return what a log tells about the nodes of a workflow.

    Where the log knows workflows, only the steps of the workflow's name count.

    Raises
    ------
    RenderError
        There is no such kind, this is no log, or none of its activities is a node of the workflow.
    """
    if kind not in _KINDS:
        message = f"heat is one of {', '.join(map(repr, _KINDS))}, not {kind!r}.{nearest(str(kind), _KINDS)}"
        raise RenderError(message)
    if not isinstance(log, EventLog):
        message = f"The heat of a workflow comes from an event log, not from {type(log).__name__!r}."
        raise RenderError(message)
    log = _of_workflow(log, workflow)
    look = _KINDS[kind]
    values, words = look.figures(log)
    names = {node.name for node in all_nodes(workflow)}
    counts = np.bincount(log.activity_codes, minlength=len(log.activities))
    found = [name for name, count in zip(log.activities, counts, strict=True) if count]
    strange = [name for name in found if name not in names]
    if found and len(strange) == len(found):
        known = ", ".join(repr(clean(shorten(name))) for name in strange[:3])
        message = f"No activity of the log is a node of workflow {workflow.name!r}; the log's: {known}."
        raise RenderError(message)
    values = {name: value for name, value in values.items() if name in names and not math.isnan(value)}
    scale = Scale.of(values.values(), _SHADES, logarithmic=look.logarithmic)
    shades = scale.spread(_SHADES)
    nodes = {
        name: Heat(
            f"{look.paint}-{shades[scale.place(value)]}",
            words[name],
            look.icon if value else "",
            shades[scale.place(value)],
        )
        for name, value in values.items()
    }
    legend = [Entry(f"{look.title}:", samples(scale, look.paint, shades, look.bound))] if nodes else []
    if not nodes:
        legend.append(Entry(f"The log does not tell: {look.title.lower()}"))
    if strange:
        listed = ", ".join(clean(shorten(name, 30)) for name in strange[:3])
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""  # noqa: PLR2004 -- three are listed
        legend.append(Entry(f"Not in the workflow: {listed}{more}"))
    return HeatMap(nodes, tuple(legend))


def _of_workflow(log: EventLog, workflow: Workflow) -> EventLog:
    names = log.cases["workflow"]
    return where(log, lambda cases: cases["workflow"] == workflow.name) if (names == workflow.name).any() else log


@dataclass(frozen=True, slots=True)
class _Look:
    """How a kind of heat is made and shown."""

    title: str
    paint: str
    icon: str
    figures: Callable[[EventLog], _Figures]
    bound: Callable[[float], str]
    logarithmic: bool = True


def _counts(log: EventLog) -> _Figures:
    names, size = log.activities, len(log.activities)
    counts = np.bincount(log.activity_codes, minlength=size)
    pairs = np.unique(log.activity_codes.astype(np.int64) * max(len(log), 1) + log.case_codes)
    cases = np.bincount(pairs // max(len(log), 1), minlength=size)
    words = [
        f"{count_text(count)} · {share_text(share)} of cases"
        for count, share in zip(counts, cases / len(log), strict=True)
    ]
    return dict(zip(names, counts.astype(float), strict=True)), dict(zip(names, words, strict=True))


def _durations(log: EventLog) -> _Figures:
    took = moments_s(log.steps["completed"]) - moments_s(log.steps["started"])
    table = summary(log.activity_codes.astype(np.int64), took, len(log.activities))
    return _times(list(log.activities), table["mean_s"].to_numpy(), table["p95_s"].to_numpy())


def _waits(log: EventLog) -> _Figures:
    table = waiting_times(log)
    return _times(list(table["activity"]), table["mean_s"].to_numpy(), table["p95_s"].to_numpy())


def _times(names: list[str], means: NDArray[np.float64], highs: NDArray[np.float64]) -> _Figures:
    words = [
        f"mean {format_duration(mean)}, 95% in {format_duration(high)}" if not math.isnan(mean) else ""
        for mean, high in zip(means, highs, strict=True)
    ]
    return dict(zip(names, means, strict=True)), dict(zip(names, words, strict=True))


def _failures(log: EventLog) -> _Figures:
    size = len(log.activities)
    ended = ~log.steps["status"].isin([StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING]).to_numpy()
    failed = (log.steps["status"] == StepStatus.FAILED).to_numpy()
    attempts = np.bincount(log.activity_codes[ended], minlength=size)
    failures = np.bincount(log.activity_codes[failed], minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = failures / attempts
    words = [
        f"{count_text(count)} of {count_text(of)} failed, {share_text(share)}"
        if count
        else f"none of {count_text(of)} failed"
        for count, of, share in zip(failures, attempts, shares, strict=True)
    ]
    return dict(zip(log.activities, shares, strict=True)), dict(zip(log.activities, words, strict=True))


_KINDS: dict[str, _Look] = {
    "count": _Look("Steps", "level", "", _counts, lambda value: count_text(math.ceil(value)), logarithmic=False),
    "duration": _Look("Mean time of a step", "heat", "clock", _durations, format_duration),
    "wait": _Look("Mean wait before a step", "heat", "pause", _waits, format_duration),
    "failures": _Look("Share of attempts that failed", "heat", "cross", _failures, share_text, logarithmic=False),
}
