"""Distributions: what a scenario assumes about a duration, a count or an attribute of a case.

A distribution is a value: a family and its parameters. The compiled kernel draws from it; `Distribution.mean` is
what load and cost are reckoned with beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real

from orchkit.errors import ScenarioError, nearest
from orchkit.simulation.brief import listed, mapped
from orchkit.simulation.several import several
from orchkit.units import Duration, seconds

__all__ = [
    "FAMILIES",
    "Distribution",
    "Drawn",
    "as_constant",
    "as_distribution",
    "as_numbers",
    "as_signed",
    "by_attribute",
    "by_previous",
    "by_resource",
    "categorical",
    "constant",
    "empirical",
    "erlang",
    "exponential",
    "gamma",
    "lognormal",
    "normal",
    "pert",
    "scaled",
    "triangular",
    "uniform",
    "weibull",
]

FAMILIES: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "uniform": ("low", "high"),
    "triangular": ("low", "mode", "high"),
    "exponential": ("mean",),
    "normal": ("mean", "sd", "low", "high"),
    "lognormal": ("mean", "sd"),
    "gamma": ("shape", "scale"),
    "weibull": ("shape", "scale"),
    "erlang": ("stages", "mean"),
    "pert": ("low", "mode", "high"),
    "empirical": (),
    "categorical": (),
    "by_attribute": (),
    "by_resource": (),
    "column": (),
    "by_previous": (),
}
"""The parameters of each family, in order. Durations are in seconds."""

_COMPOSED = ("by_attribute", "by_resource", "by_previous")


@dataclass(frozen=True, slots=True)
class Distribution:
    """A probability distribution: a family and its parameters. Builders such as `exponential` make one.

    Attributes
    ----------
    family
        One of ``FAMILIES``.
    parameters
        In the order of ``FAMILIES``; durations in seconds.
    values, weights
        Of ``empirical`` (numbers, equally likely), ``categorical`` (any JSON values, with probabilities) and ``column``
        (of a table of cases, see `attributes_of`).
    of, parts, otherwise
        Of ``by_attribute`` (the attribute, a distribution for each of its values, and for all others),
        ``by_resource`` (a distribution for each resource) and ``by_previous`` (for each step that may come before).

    Raises
    ------
    ScenarioError
        An unknown family, a parameter that makes no sense: a negative or infinite number, bounds in the wrong order.
    """

    family: str
    parameters: tuple[float, ...] = ()
    values: tuple[object, ...] = ()
    weights: tuple[float, ...] = ()
    of: str = ""
    parts: Mapping[object, Distribution] = field(default_factory=dict, hash=False)
    otherwise: Distribution | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.family, str) or not all(
            isinstance(one, tuple | list) for one in (self.values, self.weights)
        ):
            message = f"A distribution has the name of a family, and tuples of values and weights, not {self.family!r}."
            raise ScenarioError(message)
        if not all(isinstance(weight, Real) for weight in self.weights):
            message = f"{self.family}: weights are numbers, not {self.weights!r}."
            raise ScenarioError(message)
        if not isinstance(self.parts, Mapping):
            message = f"{self.family}: parts has a distribution for each value, not {self.parts!r}."
            raise ScenarioError(message)
        names = FAMILIES.get(self.family)
        if names is None:
            message = f"There is no distribution {self.family!r}.{nearest(self.family, FAMILIES)}"
            raise ScenarioError(message)
        is_numbers = isinstance(self.parameters, tuple | list) and all(isinstance(one, Real) for one in self.parameters)
        if not is_numbers:
            message = f"{self.family}: parameters are numbers, one for each of {', '.join(names)}: {self.parameters!r}."
            raise ScenarioError(message)
        if len(self.parameters) != len(names):
            message = f"{self.family} takes {', '.join(names) or 'no parameters'}; got {len(self.parameters)}."
            raise ScenarioError(message)
        for name, value in zip(names, self.parameters, strict=True):
            if math.isnan(value) or value < 0 or (math.isinf(value) and name != "high"):
                message = f"{self.family}: {name} must be finite and not negative, not {value!r}."
                raise ScenarioError(message)
        _check_family(self)

    def __repr__(self) -> str:
        """Return the distribution as it is written."""
        match self.family:
            case "empirical" | "column":
                inside = listed(self.values)
            case "categorical":
                inside = mapped(zip(self.values, self.weights, strict=True))
            case "by_attribute" | "by_resource" | "by_previous":
                of = [repr(self.of)] if self.family == "by_attribute" else []
                other = [] if self.otherwise is None else [f"otherwise={self.otherwise!r}"]
                inside = ", ".join([*of, mapped(self.parts.items()), *other])
            case _:
                given = self.parameters[:2] if self.parameters[2:] == (0.0, math.inf) else self.parameters
                inside = ", ".join(f"{number:.15g}" for number in given if number != math.inf)
        return f"{self.family}({inside})"

    @property
    def mean(self) -> float:
        """The mean; of a distribution by attribute or resource, the mean of its parts, equally weighted.

        Examples
        --------
        >>> triangular("2 min", "5 min", "9 min").mean, pert(1, 2, 9).mean
        (320.0, 3.0)
        """
        return _mean(self)


def scaled(distribution: Distribution, factor: float) -> Distribution:
    """Return the distribution of what is drawn, times a factor.

    Examples
    --------
    >>> scaled(triangular("2 min", "5 min", "9 min"), 2).mean, scaled(erlang(3, "1 min"), 0.5).parameters
    (640.0, (3.0, 30.0))
    """
    shapes = {"shape", "stages"}
    names = FAMILIES[distribution.family]
    given = zip(names, distribution.parameters, strict=True)
    return replace(
        distribution,
        parameters=tuple(value if name in shapes else value * factor for name, value in given),
        values=tuple(
            value * factor if isinstance(value, int | float) and not isinstance(value, bool) else value
            for value in distribution.values
        ),
        parts={key: scaled(part, factor) for key, part in distribution.parts.items()},
        otherwise=None if distribution.otherwise is None else scaled(distribution.otherwise, factor),
    )


Drawn = Distribution | Duration
"""What stands where a distribution is expected: one, or a duration, which is constant."""


def _fault(distribution: Distribution, what: str) -> ScenarioError:
    return ScenarioError(f"{distribution.family}: {what}.")


def _check_family(d: Distribution) -> None:
    match d.family, d.parameters:
        case "uniform", (low, high) if low > high:
            raise _fault(d, f"low ({low:g}) is above high ({high:g})")
        case "triangular" | "pert", (low, mode, high) if not low <= mode <= high:
            raise _fault(d, f"low, mode and high must be in this order, not {low:g}, {mode:g}, {high:g}")
        case "normal", (_, _, low, high) if low >= high:
            raise _fault(d, f"low ({low:g}) must be below high ({high:g})")
        case "by_attribute", _ if not isinstance(d.of, str):
            raise _fault(d, f"of is the name of an attribute, not {d.of!r}")
        case "lognormal", (mean, _) if mean == 0:
            raise _fault(d, "the mean must be above 0")
        case "gamma" | "weibull", (shape, _) if shape == 0:
            raise _fault(d, "the shape must be above 0")
        case "erlang", (stages, _) if stages < 1 or stages % 1:
            raise _fault(d, f"stages must be a whole number from 1, not {stages:g}")
        case "empirical" | "column", _ if not d.values:
            raise _fault(d, "there are no values")
        case "categorical", _:
            if not d.values or len(d.values) != len(d.weights):
                raise _fault(d, "each value needs its probability")
            check_shares(d.weights, "categorical")
        case (("by_attribute" | "by_resource" | "by_previous"), _) if not d.parts and d.otherwise is None:
            raise _fault(d, "there are no parts")
        case _:
            pass


def check_shares(shares: Iterable[float], where: str) -> None:
    """Refuse probabilities that are not, or do not sum to 1."""
    listed = list(shares)
    if any(math.isnan(share) or not 0 <= share <= 1 for share in listed):
        message = f"{where}: a probability is between 0 and 1, not {next(s for s in listed if not 0 <= s <= 1)!r}."
        raise ScenarioError(message)
    if abs(sum(listed) - 1) > 1e-6:  # noqa: PLR2004 -- as much as ten rounded shares may be off
        message = f"{where}: the probabilities sum to {sum(listed):g}, not to 1."
        raise ScenarioError(message)


def _mean(d: Distribution) -> float:
    match d.family, d.parameters:
        case "uniform", (low, high):
            return (low + high) / 2
        case "triangular", (low, mode, high):
            return (low + mode + high) / 3
        case "pert", (low, mode, high):
            return (low + 4 * mode + high) / 6
        case "gamma", (shape, scale):
            return shape * scale
        case "weibull", (shape, scale):
            # Below a shape of 0.006 the gamma function is beyond all floats.
            return scale * math.gamma(1 + 1 / shape) if shape > 0.006 else math.inf  # noqa: PLR2004
        case "erlang", (_, mean):
            return mean
        case "normal", (mean, sd, low, high):
            return _truncated_mean(mean, sd, low, high)
        case "empirical" | "column", _:
            return math.fsum(_number(value) for value in d.values) / len(d.values)
        case "categorical", _:
            return math.fsum(_number(value) * weight for value, weight in zip(d.values, d.weights, strict=True))
        case _ if d.family in _COMPOSED:
            parts = [*d.parts.values(), *([d.otherwise] if d.otherwise else [])]
            return math.fsum(part.mean for part in parts) / len(parts)
        case _:
            return d.parameters[0]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _truncated_mean(mean: float, sd: float, low: float, high: float) -> float:
    if sd == 0:
        return min(max(mean, low), high)
    a, b = (low - mean) / sd, (high - mean) / sd
    # Beyond the mean, what lies above tells more digits than what lies below.
    share = _phi_below(-a) - _phi_below(-b) if a > 0 else _phi_below(b) - _phi_below(a)
    if share <= 0:  # so far out that nearly all lies at the nearer bound
        return low if mean < low else high
    return mean + sd * (math.exp(-a * a / 2) - math.exp(-b * b / 2)) / math.sqrt(2 * math.pi) / share


def _phi_below(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def as_distribution(value: Drawn, where: str) -> Distribution:
    """Return a distribution as it is, and a duration as a constant one.

    Raises
    ------
    ScenarioError
        Neither; the message begins with ``where``.

    Examples
    --------
    >>> as_distribution("30 min", "durations: ship").parameters
    (1800.0,)
    """
    if isinstance(value, Distribution):
        return value
    return constant(_seconds(value, where))


def as_signed(value: Drawn, where: str) -> Distribution:
    """Return the same as `as_distribution`, and of a number below 0 the distribution that always gives it.

    Examples
    --------
    >>> as_signed(-2, "priorities: bulk").values
    (-2.0,)
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and -math.inf < value < 0:  # type: ignore[operator]  # it is one
        return Distribution("categorical", values=(float(value),), weights=(1.0,))  # type: ignore[arg-type]
    return as_distribution(value, where)


def as_numbers(value: Drawn, where: str, least: float = 0.0) -> Distribution:
    """Return what is drawn as a distribution of numbers: of durations, or of whatever is not below a least one.

    Raises
    ------
    ScenarioError
        It is neither a distribution nor a duration, or may give what is no such number.

    Examples
    --------
    >>> as_numbers(categorical({"quick": 1}), "durations: ship")
    Traceback (most recent call last):
    orchkit.errors.ScenarioError: durations: ship: categorical: 'quick' is not a duration.
    """
    found = as_distribution(value, where)
    for part in (*found.parts.values(), *([found.otherwise] if found.otherwise else [])):
        as_numbers(part, where, least)
    for one in found.values:
        is_number = isinstance(one, Real) and not isinstance(one, bool) and math.isfinite(one)
        if not is_number or float(one) < least:  # type: ignore[arg-type]  # it is one
            message = f"{where}: {found.family}: {one!r} is not a {'duration' if least == 0 else 'number'}."
            raise ScenarioError(message)
    return found


def as_constant(value: Drawn, where: str) -> float:
    """Return the seconds of what is one duration, and no distribution."""
    found = as_distribution(value, where)
    if found.family != "constant":
        message = f"{where} is one duration, not a distribution ({found.family})."
        raise ScenarioError(message)
    return found.parameters[0]


def _seconds(value: Duration, where: str) -> float:
    try:
        return seconds(value)
    except ValueError as error:
        message = f"{where}: {error}"
        raise ScenarioError(message) from None


def _number_of(value: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        message = f"{where} is a number, not {value!r}."
        raise ScenarioError(message)
    return float(value)


# Builders ------------------------------------------------------------------------


def constant(value: Duration) -> Distribution:
    """Return the distribution that always gives this duration (or number).

    Examples
    --------
    >>> constant("5 min").mean
    300.0
    """
    return Distribution("constant", (_seconds(value, "constant"),))


def uniform(low: Duration, high: Duration) -> Distribution:
    """Return the uniform distribution between two durations.

    Examples
    --------
    >>> uniform("5 min", "15 min").mean
    600.0
    """
    return Distribution("uniform", (_seconds(low, "uniform: low"), _seconds(high, "uniform: high")))


def triangular(low: Duration, mode: Duration, high: Duration) -> Distribution:
    """Return the triangular distribution: at least, most likely, at most.

    Examples
    --------
    >>> triangular("2 min", "5 min", "9 min").mean
    320.0
    """
    return Distribution("triangular", tuple(_seconds(value, "triangular") for value in (low, mode, high)))


def exponential(mean: Duration) -> Distribution:
    """Return the exponential distribution of this mean.

    Examples
    --------
    >>> exponential("12 min").mean
    720.0
    """
    return Distribution("exponential", (_seconds(mean, "exponential: mean"),))


def normal(mean: Duration, sd: Duration, low: Duration = 0, high: Duration | None = None) -> Distribution:
    """Return the normal distribution of this mean and standard deviation, truncated to ``low`` … ``high``.

    Examples
    --------
    >>> normal("10 min", "1 min", low="8 min", high="12 min").mean
    600.0
    """
    bounds = (_seconds(low, "normal: low"), math.inf if high is None else _seconds(high, "normal: high"))
    return Distribution("normal", (_seconds(mean, "normal: mean"), _seconds(sd, "normal: sd"), *bounds))


def lognormal(mean: Duration, sd: Duration) -> Distribution:
    """Return the lognormal distribution with this mean and standard deviation (its own, not the logarithm's).

    Examples
    --------
    >>> lognormal("15 min", "10 min").mean
    900.0
    """
    return Distribution("lognormal", (_seconds(mean, "lognormal: mean"), _seconds(sd, "lognormal: sd")))


def gamma(shape: float, scale: Duration) -> Distribution:
    """Return the gamma distribution; its mean is ``shape * scale``.

    Examples
    --------
    >>> gamma(2, "5 min").mean
    600.0
    """
    return Distribution("gamma", (_number_of(shape, "gamma: shape"), _seconds(scale, "gamma: scale")))


def weibull(shape: float, scale: Duration) -> Distribution:
    """Return the Weibull distribution.

    Examples
    --------
    >>> weibull(1, "10 min").mean
    600.0
    """
    return Distribution("weibull", (_number_of(shape, "weibull: shape"), _seconds(scale, "weibull: scale")))


def erlang(stages: int, mean: Duration) -> Distribution:
    """Return the Erlang distribution: the sum of this many exponential stages, with this mean in all.

    Examples
    --------
    >>> erlang(3, "30 min").mean
    1800.0
    """
    return Distribution("erlang", (_number_of(stages, "erlang: stages"), _seconds(mean, "erlang: mean")))


def pert(low: Duration, mode: Duration, high: Duration) -> Distribution:
    """Return the beta-PERT distribution: at least, most likely, at most (Clark, Operations Research 10, 1962).

    Examples
    --------
    >>> pert("2 min", "5 min", "9 min").mean
    310.0
    """
    return Distribution("pert", tuple(_seconds(value, "pert") for value in (low, mode, high)))


def empirical(values: Iterable[Duration]) -> Distribution:
    """Return the distribution that gives each of these values as often as the others.

    Examples
    --------
    >>> empirical(["5 min", "10 min"]).mean
    450.0
    """
    listed = several(values)
    if listed is None:
        message = f"empirical: give a list of durations, not {values!r}."
        raise ScenarioError(message)
    return Distribution("empirical", values=tuple(_seconds(value, "empirical") for value in listed))


def categorical(shares: Mapping[object, float]) -> Distribution:
    """Return the distribution of an attribute: each value with its probability.

    Examples
    --------
    >>> categorical({"US": 0.6, "DE": 0.4}).values
    ('US', 'DE')
    """
    if not isinstance(shares, Mapping):
        message = f"categorical: give each value its probability, {{'US': 0.6, 'DE': 0.4}}, not {shares!r}."
        raise ScenarioError(message)
    weights = tuple(_number_of(share, f"categorical: {value}") for value, share in shares.items())
    return Distribution("categorical", values=tuple(shares), weights=weights)


def by_attribute(attribute: str, parts: Mapping[object, Drawn], otherwise: Drawn | None = None) -> Distribution:
    """Return the distribution that depends on an attribute of the case.

    Without ``otherwise``, a case with a value that is not listed is an error when it comes to the task.

    Examples
    --------
    >>> by_attribute("country", {"US": "1 h"}, otherwise="3 h").mean
    7200.0
    """
    return _composed("by_attribute", attribute, parts, otherwise)


def by_resource(parts: Mapping[str, Drawn], otherwise: Drawn | None = None) -> Distribution:
    """Return the distribution that depends on who does the task: by the name of the resource.

    Without ``otherwise``, all who may do the task must be listed.

    Examples
    --------
    >>> by_resource({"Ann": "10 min"}, otherwise="12 min").parts["Ann"].mean
    600.0
    """
    return _composed("by_resource", "", parts, otherwise)


def by_previous(parts: Mapping[str, Drawn], otherwise: Drawn | None = None) -> Distribution:
    """Return the distribution that depends on the task or wait that ended last in the case: for ``delays``.

    The first task of a case has no delay. Nor, without ``otherwise``, has a task after a step that is not listed.

    Examples
    --------
    >>> by_previous({"send_offer": exponential("3 d")}, otherwise=0).parts["send_offer"].mean
    259200.0
    """
    return _composed("by_previous", "", parts, otherwise)


def _composed(
    family: str, of: str, parts: Mapping[object, Drawn] | Mapping[str, Drawn], other: Drawn | None
) -> Distribution:
    if not isinstance(parts, Mapping):
        message = f"{family}: give a distribution for each value, {{'US': '1 h'}}, not {parts!r}."
        raise ScenarioError(message)
    return Distribution(
        family,
        of=of,
        parts={key: as_signed(part, f"{family}: {key}") for key, part in parts.items()},
        otherwise=None if other is None else as_signed(other, f"{family}: otherwise"),
    )
