"""Targets: a figure and its limit, such as ``p95(cycle_time) < 2 h``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchkit.errors import ScenarioError, nearest
from orchkit.units import seconds

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from orchkit.analysis.kpis import Figures

__all__ = ["Target", "read_target"]

_FIGURE = re.compile(r"(?:(?P<of>[A-Za-z]\w*)\s*\(\s*(?P<inner>[^()]+?)\s*\)|(?P<plain>[^()]+))")
_SIGNS = re.compile(r"<=|>=|==|=|<|>")
_PERCENT = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
_COLUMNS = {"cycle_time": "cycle_s", "waiting_time": "waiting_s", "processing_time": "processing_s"}
_LESS = {*_COLUMNS, "sla_breach_rate", "error_rate", "retry_rate", "queue_length", "queue_length_max"}
_MORE = {"throughput", "completion_rate"}
_EXAMPLE = "Write a figure and its limit: 'p95(cycle_time) < 2 h'."


@dataclass(frozen=True, slots=True)
class Target:
    """A figure, and on which side of a limit it has to be.

    Attributes
    ----------
    name
        Of the figure, as in `kpis`.
    percent
        The percentile over the cases; None for the figure itself.
    is_most
        Whether the limit is an upper one.
    limit
        In the figure's unit; durations in seconds.
    unit
        In which it was written: ``s``, ``%``, or empty for a bare number.
    """

    name: str
    percent: float | None
    is_most: bool
    limit: float
    unit: str = ""

    @property
    def gains_by_people(self) -> bool:
        """Whether more people bring the figure to the right side of its limit."""
        return self.name.removesuffix("_p50").removesuffix("_p95") in (_LESS if self.is_most else _MORE)

    def values(self, found: Figures) -> NDArray[float64]:
        """Return the figure of each replication.

        Raises
        ------
        ScenarioError
            There is no such figure, or it is no duration where the limit is one, or the other way round.
        """
        if self.percent is None:
            if self.name not in found.table:
                message = f"target: there is no figure {self.name!r}.{nearest(self.name, list(found.units))}"
                if self.name == "sla_breach_rate":
                    message = "target: sla_breach_rate needs an SLA: give the workflow or the scenario one (sla='2 d')."
                raise ScenarioError(message)
            self._check_unit(found.units[self.name])
            return found.table[self.name].to_numpy(dtype=float)
        if self.name not in _COLUMNS:
            message = f"target: percentiles are of {', '.join(_COLUMNS)}, not of {self.name!r}."
            raise ScenarioError(message)
        self._check_unit("s")
        measures = found.measures
        ended = measures.cases["ended"].to_numpy() > 0
        by_replication = measures.cases[_COLUMNS[self.name]][ended].groupby(measures.replications[ended])
        return by_replication.quantile(self.percent / 100).to_numpy(dtype=float)

    def _check_unit(self, unit: str) -> None:
        if unit == "share" and (self.unit == "s" or (self.unit == "" and self.limit > 1)):
            message = f"target: {self.name} is a share, from 0 to 100%: write its limit so, '5%'."
        elif (unit != "s" and self.unit == "s") or (unit != "share" and self.unit == "%"):
            what = "a duration, such as '2 h'" if unit == "s" else f"a number of {unit}"
            message = f"target: the limit of {self.name} is {what}."
        else:
            return
        raise ScenarioError(message)

    def is_met(self, low: float, high: float) -> bool:
        """Tell whether the whole interval is on the right side."""
        return high < self.limit if self.is_most else low > self.limit


def read_target(text: str) -> Target:
    """Return the target that a text says.

    Raises
    ------
    ScenarioError
        It cannot be read: the message says which part of it, and how it is written.

    Examples
    --------
    >>> read_target("p95(cycle_time) < 2 h")
    Target(name='cycle_time', percent=95.0, is_most=True, limit=7200.0, unit='s')
    >>> read_target("sla_breach_rate <= 5%").limit
    0.05
    """
    signs = _SIGNS.findall(text)
    if len(signs) != 1:
        what = "has no < or >" if not signs else f"has {len(signs)} of < and >; it takes one"
        message = f"target: {text!r} {what}, and cannot be read. {_EXAMPLE}"
        raise ScenarioError(message)
    if "<" not in signs[0] and ">" not in signs[0]:
        message = f"target: {text!r} cannot be read: a simulated figure is never exactly a limit. Use < or >."
        raise ScenarioError(message)
    left, right = (part.strip() for part in text.split(signs[0]))
    found = _FIGURE.fullmatch(left)
    if found is None or not right:
        message = f"target: {text!r} cannot be read. {_EXAMPLE}"
        raise ScenarioError(message)
    percent = None
    if found["of"] and found["of"] != "mean":
        asked = _PERCENT.fullmatch(found["of"])
        if asked is None:
            message = (
                f"target: {text!r} cannot be read: {found['of']!r} is neither 'mean' nor a percentile such as 'p95'."
            )
            raise ScenarioError(message)
        percent = float(asked[1])
    name = (found["plain"] or found["inner"]).strip()
    return Target(name, percent, signs[0].startswith("<"), *_limit(right, text))


def _limit(limit: str, text: str) -> tuple[float, str]:
    try:
        return (float(limit[:-1]) / 100, "%") if limit.endswith("%") else (float(limit), "")
    except ValueError:
        pass
    try:
        return seconds(limit), "s"
    except ValueError as error:
        message = f"target: {text!r}: {error}"
        raise ScenarioError(message) from None
