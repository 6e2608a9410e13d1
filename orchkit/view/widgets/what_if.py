"""`WhatIf`: a scenario under sliders, beside the one that it began with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from orchkit.analysis import compare
from orchkit.errors import ScenarioError
from orchkit.log import EventLog
from orchkit.model.definition import Workflow
from orchkit.simulation.distributions import Distribution, as_distribution, scaled
from orchkit.simulation.files import write_scenario
from orchkit.simulation.replications import simulate_quietly
from orchkit.simulation.scenario import ArrivalTimes, Profile, Scenario
from orchkit.simulation.studies import with_setting
from orchkit.units import Duration, format_duration
from orchkit.view.tables import TablePicture
from orchkit.view.widgets.base import Widget, action, table_twin

__all__ = ["WhatIf"]

_SHOWN = ("throughput", "cycle_time", "cycle_time_p95", "waiting_time", "queue_length", "cost", "completion_rate")
_PREFIXES = ("utilization.",)
_LAST = ("error_rate", "sla_breach_rate")
_NONE = "-"


@dataclass(frozen=True, slots=True)
class _Knob:
    """What a slider moves: a number of the scenario, or a factor on what it has."""

    path: str
    label: str
    low: float
    high: float
    step: float
    value: float


class WhatIf(Widget, module="what_if"):
    """Change arrivals, resources, failure rates and durations, and see the effect beside the base, with intervals.

    The same draws are used for both (common random numbers), so that the difference is that of the settings.

    Parameters
    ----------
    workflow
        What is simulated.
    scenario
        The base.
    cases, until, replications, seed
        As in `simulate`; without ``cases`` and ``until``, 1,000 cases.

    Examples
    --------
    >>> import orchkit as ok
    >>> ship = ok.workflow("ship", [ok.task("pack", role="packer")])
    >>> today = ok.Scenario(ok.exponential("6 min"), {"pack": ok.exponential("10 min")}, {"packer": 2})
    >>> view = WhatIf(ship, today, cases=300)
    >>> view.act("move", path="resources.packer", value=3)
    >>> view.scenario.resources["packer"].count, view.table.set_index("kpi").loc["cycle_time", "difference"] < 0
    (3, np.True_)
    """

    def __init__(
        self,
        workflow: Workflow,
        scenario: Scenario,
        *,
        cases: int | None = None,
        until: Duration | None = None,
        replications: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        limit = cases if cases is not None or until is not None else 1_000
        self._workflow, self._base = workflow, scenario
        self._limits: dict[str, Any] = {"cases": limit, "until": until, "replications": replications, "seed": seed}
        self._knobs = {knob.path: knob for knob in _knobs(scenario)}
        self._values = {path: knob.value for path, knob in self._knobs.items()}
        self._base_log = self._simulated(scenario)
        self._kept: dict[str, tuple[Scenario, EventLog]] = {}
        self._log = self._base_log
        self._took_s = 0.0
        self._show()

    @property
    def scenario(self) -> Scenario:
        """The scenario as the sliders have it."""
        found = self._base
        for path, value in self._values.items():
            if value != self._knobs[path].value:
                found = _moved(found, path, value)
        return found

    @property
    def kept(self) -> Mapping[str, Scenario]:
        """The scenarios that were kept, by name."""
        return {name: scenario for name, (scenario, _) in self._kept.items()}

    @property
    def table(self) -> pd.DataFrame:
        """Each figure of the base and of now: ``kpi, unit, before, after, difference, low, high, significant``."""
        return _compared(self._base_log, self._log)

    def picture(self) -> TablePicture:
        """Return the figures as a table."""
        return table_twin(pd.DataFrame(self.state["rows"]).drop(columns="sign"), f"What if: {self._workflow.name}")

    @action
    def move(self, path: str, value: float) -> None:
        """Set a slider, and simulate."""
        knob = self._knobs.get(path)
        if knob is None:
            message = f"There is no slider {path!r}."
            raise ScenarioError(message)
        self._values[path] = min(max(float(value), knob.low), knob.high)
        self._run()

    @action
    def reset(self) -> None:
        """Go back to the base."""
        self._values = {path: knob.value for path, knob in self._knobs.items()}
        self._run()

    @action
    def keep(self, name: str) -> None:
        """Keep the scenario under a name, as a column beside the others."""
        if not name.strip():
            message = "A scenario that is kept needs a name."
            raise ScenarioError(message)
        self._kept[name.strip()] = (self.scenario, self._log)
        self._show()

    @action
    def drop(self, name: str) -> None:
        """Drop a scenario that was kept."""
        self._kept.pop(name, None)
        self._show()

    def _run(self) -> None:
        begun = time.perf_counter()
        self._log = self._simulated(self.scenario)
        self._took_s = time.perf_counter() - begun
        self._show()

    def _simulated(self, scenario: Scenario) -> EventLog:
        return simulate_quietly(self._workflow, scenario, **self._limits, progress=False)

    def _show(self) -> None:
        kept = {name: _compared(self._base_log, log).set_index("kpi")["after"] for name, (_, log) in self._kept.items()}
        self.state = {
            "workflow": self._workflow.name,
            "knobs": [
                {
                    "path": knob.path,
                    "label": knob.label,
                    "low": knob.low,
                    "high": knob.high,
                    "step": knob.step,
                    "base": knob.value,
                    "value": self._values[knob.path],
                }
                for knob in self._knobs.values()
            ],
            "rows": [_row(row, kept) for row in self.table.to_dict("records")],
            "kept": list(kept),
            "yaml": write_scenario(self.scenario),
            "took": format_duration(round(self._took_s, 2)),
        }


def _knobs(scenario: Scenario) -> Iterator[_Knob]:
    if scenario.arrivals is not None and not isinstance(scenario.arrivals, ArrivalTimes):
        yield _Knob("arrivals", "arrivals, times", 0.25, 3.0, 0.05, 1.0)
    if scenario.durations:
        yield _Knob("durations", "durations, times", 0.25, 3.0, 0.05, 1.0)
    for role, resource in scenario.resources.items():
        most = max(2 * resource.count, resource.count + 5)
        yield _Knob(f"resources.{role}", f"{role}, how many", 1, most, 1, resource.count)
    for task, failures in scenario.failures.items():
        yield _Knob(f"failures.{task}", f"{task} fails, share", 0.0, 1.0, 0.01, failures[0].probability)


def _moved(scenario: Scenario, path: str, value: float) -> Scenario:
    part, _, name = path.partition(".")
    if part == "arrivals":
        return replace(scenario, arrivals=_more_often(scenario.arrivals, value))
    if part == "durations":
        return replace(scenario, durations={task: scaled(drawn, value) for task, drawn in scenario.durations.items()})
    if part == "resources":
        return with_setting(scenario, path, int(value))
    first, *rest = scenario.failures[name]
    return replace(scenario, failures={**scenario.failures, name: (replace(first, probability=value), *rest)})


def _more_often(arrivals: Any, factor: float) -> Distribution | Profile:  # noqa: ANN401 -- what a scenario has
    if isinstance(arrivals, Profile):
        return Profile(tuple(rate * factor for rate in arrivals.per_hour))
    return scaled(as_distribution(arrivals, "arrivals"), 1 / factor)


def _compared(base: EventLog, now: EventLog) -> pd.DataFrame:
    found = compare({"base": base, "now": now})
    found = found[found["measure"] == "kpi"].rename(columns={"name": "kpi"})
    names = found["kpi"].tolist()
    wanted = [*_SHOWN, *(name for name in names if name.startswith(_PREFIXES)), *_LAST]
    columns = ["kpi", "unit", "before", "after", "difference", "low", "high", "significant"]
    table = found.set_index("kpi").reindex([name for name in wanted if name in names]).reset_index()
    return table[columns]


def _row(row: Mapping[Any, Any], kept: Mapping[str, pd.Series]) -> dict[str, Any]:
    unit, name = row["unit"], row["kpi"]
    difference = _figure(row["difference"], unit, signed=True)
    interval = f"{_figure(row['low'], unit, signed=True)} to {_figure(row['high'], unit, signed=True)}"
    return {
        "kpi": name.replace("_", " "),
        "base": _figure(row["before"], unit),
        "now": _figure(row["after"], unit),
        "difference": difference if row["difference"] else _NONE,
        "95 % interval": interval if row["difference"] else _NONE,
        "sign": ("▲" if row["difference"] > 0 else "▼") if row["significant"] else "",
        **{key: _figure(values.get(name, float("nan")), unit) for key, values in kept.items()},
    }


def _figure(value: float, unit: str, *, signed: bool = False) -> str:
    if pd.isna(value):
        return _NONE
    sign = ("+" if value > 0 else "-" if value < 0 else "") if signed else ""
    size = abs(value) if signed else value
    if unit == "s":
        return sign + format_duration(float(f"{size:.3g}"))
    if unit == "share":
        return f"{sign}{size:.1%}"
    return f"{sign}{size:,.2f} {unit}".strip()
