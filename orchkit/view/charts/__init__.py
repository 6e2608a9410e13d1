"""Charts: what a verb of analysis finds, as a picture.

``ok.charts.cycle_times(log)`` draws what ``ok.cycle_times(log)`` tells: a chart has the name of the figures that it
shows. Two designs were tried in a notebook. ``ok.draw(log, "cycle_times", sla="2 h")`` needs one function whose
arguments depend on a word, so that neither the editor nor a type checker helps. Functions of their own beside the
verbs would need a second name each (``cycle_time_chart``), thirty of them among the verbs. A room of their own lets
one type ``ok.charts.`` and see what there is. A workflow or a run is still drawn by ``ok.draw``: that is the picture
of a graph, not of figures.

All of them return a `Chart`, which shows itself, and stand on `orchkit.view.charts.drawing`. A chart's module is
loaded on its first use: Altair takes a second, and what is drawn without it does not wait for that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchkit.view.charts.chart import Chart
    from orchkit.view.charts.chevrons import variants
    from orchkit.view.charts.dots import dotted_chart
    from orchkit.view.charts.failure import failures
    from orchkit.view.charts.forecasts import backlog
    from orchkit.view.charts.lifetimes import survival
    from orchkit.view.charts.loads import queues, utilization
    from orchkit.view.charts.scenarios import differences, sweeps
    from orchkit.view.charts.schedule import gantt
    from orchkit.view.charts.times import cycle_times

__all__ = [
    "Chart",
    "backlog",
    "cycle_times",
    "differences",
    "dotted_chart",
    "failures",
    "gantt",
    "queues",
    "survival",
    "sweeps",
    "utilization",
    "variants",
]

_MODULES = {
    "Chart": "chart",
    "backlog": "forecasts",
    "cycle_times": "times",
    "differences": "scenarios",
    "dotted_chart": "dots",
    "failures": "failure",
    "gantt": "schedule",
    "queues": "loads",
    "survival": "lifetimes",
    "sweeps": "scenarios",
    "utilization": "loads",
    "variants": "chevrons",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- whatever the name stands for
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
