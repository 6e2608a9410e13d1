"""Distributions and other numbers: the kernel's ``d``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from orchkit.errors import ScenarioError, nearest
from orchkit.simulation.distributions import Distribution, constant
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.kernel.draws import FAMILY_CODES

__all__ = ["Numbers"]


@dataclass(slots=True)
class Numbers:
    """Numbers, and rows of distributions that refer to them.

    Attributes
    ----------
    units
        Role and name of each resource, which distributions by resource name.
    attributes
        The number of each attribute.
    drawn
        The distribution of each attribute, by number.
    tasks
        The numbers of the nodes with each name.
    texts
        Values of attributes that are no numbers, by code, as a log shows them.
    """

    units: list[tuple[str, str]]
    numbers: list[float] = field(default_factory=list)
    distributions: list[list[float]] = field(default_factory=list)
    attributes: dict[str, int] = field(default_factory=dict)
    drawn: list[int] = field(default_factory=list)
    tasks: dict[str, list[int]] = field(default_factory=dict)
    texts: list[str | None] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    known: dict[object, int] = field(default_factory=dict)

    def number(self, value: float) -> int:
        """Return where a number is kept."""
        self.numbers.append(float(value))
        return len(self.numbers) - 1

    def value(self, value: object) -> float:
        """Return a value of an attribute as a number; text by its code."""
        if isinstance(value, int | float):
            return float(value)
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        key = f"{isinstance(value, str)}{text}"
        if key not in self.codes:
            self.codes[key] = len(self.texts)
            self.texts.append(None if value is None else text)
        return self.codes[key] + 0.5  # no number that an analyst would write

    def add_attributes(self, given: Mapping[str, Distribution]) -> None:
        """Give the attributes their numbers: those that depend on others after these.

        Raises
        ------
        ScenarioError
            One depends on another that depends on a third, or on a resource; columns of tables of different lengths.
        """
        lengths = {name: len(d.values) for name, d in given.items() if d.family == "column"}
        if len(set(lengths.values())) > 1:
            message = f"attributes: the columns of a table of cases are of one length, not {lengths}."
            raise ScenarioError(message)
        plain = [name for name, d in given.items() if d.family not in ("by_attribute", "by_resource")]
        for name in [*plain, *(name for name in given if name not in plain)]:
            d, where = given[name], f"attributes: {name}"
            if d.family == "by_resource" or (d.family == "by_attribute" and d.of not in plain):
                which = f"one of {', '.join(plain)}" if plain else "and there is none"
                message = f"{where}: it can only depend on an attribute that depends on nothing itself, {which}."
                raise ScenarioError(message)
            self.drawn.append(self.distribution(d, where))
            self.attributes[name] = len(self.attributes)

    def distribution(self, d: Distribution, where: str) -> int:
        """Return the number of a distribution."""
        key = (d.family, d.parameters, d.values, d.weights)
        is_known = not d.parts and d.otherwise is None and all(value.__hash__ is not None for value in d.values)
        if is_known and key in self.known:
            return self.known[key]
        row = [float(FAMILY_CODES[d.family]), *d.parameters]
        if d.family in ("empirical", "categorical", "column"):
            values = [self.value(value) for value in d.values]
            row += [float(len(self.numbers)), float(len(values))]
            self.numbers += values
            self.numbers += [float(share) for share in np.cumsum(d.weights)]
        elif d.family in ("by_attribute", "by_resource", "by_previous"):
            row += self._composed(d, where)
        number = len(self.distributions)
        self.distributions.append(row + [0.0] * (at.D_WIDTH - len(row)))
        if is_known:
            self.known[key] = number
        return number

    def _units(self, d: Distribution, where: str) -> tuple[list[int], list[float]]:
        """Return how many resources have each name, and their numbers: one name may be in several roles."""
        units: dict[object, list[float]] = {}
        for unit, (_, name) in enumerate(self.units):
            units.setdefault(name, []).append(float(unit))
        for key in d.parts:
            if key not in units:
                hint = nearest(str(key), [name for _, name in self.units])
                message = f"{where}: there is no resource {key!r}.{hint}"
                raise ScenarioError(message)
        return [len(units[key]) for key in d.parts], [unit for key in d.parts for unit in units[key]]

    def _composed(self, d: Distribution, where: str) -> list[float]:
        attribute, copies = 0, [1] * len(d.parts)
        if d.family == "by_attribute":
            if d.of not in self.attributes:
                hint = nearest(d.of, self.attributes)
                message = f"{where}: there is no attribute {d.of!r}.{hint} Add it to the scenario's attributes."
                raise ScenarioError(message)
            attribute = self.attributes[d.of]
            keys = [self.value(key) for key in d.parts]
        elif d.family == "by_previous":
            if not self.tasks:  # which are known when all else is lowered
                message = f"{where}: only delays can depend on the step before (by_previous)."
                raise ScenarioError(message)
            for key in d.parts:
                if key not in self.tasks:
                    message = f"{where}: there is no step {key!r}.{nearest(str(key), self.tasks)}"
                    raise ScenarioError(message)
            copies = [len(self.tasks[str(key)]) for key in d.parts]
            keys = [float(number) for key in d.parts for number in self.tasks[str(key)]]
        else:
            copies, keys = self._units(d, where)
        other = d.otherwise or (constant(0) if d.family == "by_previous" else next(iter(d.parts.values()), constant(0)))
        parts = [
            self.distribution(part, where)
            for part, count in zip(d.parts.values(), copies, strict=True)
            for _ in range(count)
        ]
        if d.family == "by_previous":  # nothing comes before the first task
            keys.append(-1.0)
            parts.append(self.distribution(constant(0), where))
        first = len(self.numbers)
        for key, part in zip(keys, parts, strict=True):
            self.numbers += [key, float(part)]
        rest = self.distribution(other, where)
        if d.family == "by_attribute" and d.otherwise is None:  # of other values nothing is said: that is no number
            rest = len(self.distributions)
            self.distributions.append([float(FAMILY_CODES["constant"]), np.nan] + [0.0] * (at.D_WIDTH - 2))
        return [float(first), float(len(keys)), float(attribute), float(rest)]
