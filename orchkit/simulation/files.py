"""Scenarios as YAML files: read, and written so that they read back as the same."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from orchkit.errors import ScenarioError, WorkflowFileError, nearest
from orchkit.model.located import Located, locate
from orchkit.model.retry import Retry
from orchkit.model.yaml_text import Tall, to_yaml
from orchkit.simulation.calendars import Calendar
from orchkit.simulation.distributions import FAMILIES, Distribution, as_distribution, as_signed, categorical
from orchkit.simulation.scenario import ArrivalTimes, Batch, Failure, Loop, Profile, Resource, Response, Scenario
from orchkit.units import seconds

__all__ = ["read_scenario", "write_scenario"]

_DISTRIBUTED = ("durations", "delays", "patience", "setups")
_KINDS: dict[str, type] = {
    "resources": Resource,
    "failures": Failure,
    "retries": Retry,
    "waits": Response,
    "loops": Loop,
    "batches": Batch,
}


def read_scenario(source: str | Path) -> Scenario:
    """Return the scenario of a YAML file, or of a text.

    Parameters
    ----------
    source
        A path; or the text itself, if it has a line break.

    Raises
    ------
    ScenarioError
        The first fault, with path and line, what is expected, and the nearest valid name.

    Examples
    --------
    >>> today = read_scenario('''
    ... arrivals: {exponential: 12 min}
    ... durations:
    ...   check: {triangular: [2 min, 5 min, 9 min]}
    ...   ship: 30 min
    ... resources:
    ...   clerk: {count: 2, calendar: {week: {mon-fri: "09:00-17:00"}}, cost_per_hour: 40}
    ... branching: {in_stock: {ship: 0.9, reorder: 0.1}}
    ... failures: {ship: {probability: 0.05, error: transient}}
    ... ''')
    >>> today.resources["clerk"].calendar.hours_per_week
    40.0
    """
    path = None if isinstance(source, str) and "\n" in source else str(source)
    try:
        text = str(source) if path is None else Path(path).read_text(encoding="utf-8-sig")
        located = locate(text, path)
    except WorkflowFileError as error:
        raise ScenarioError(error.message) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: the file cannot be read: {error}."
        raise ScenarioError(message) from None
    return _read(located, path)


def _read(located: Located, path: str | None) -> Scenario:
    values: dict[str, Any] = {}
    names = [field.name for field in fields(Scenario)]
    for key, at in _entries(located, "a scenario", path).items():
        if key not in names:
            message = f"a scenario has no {key!r}.{nearest(key, names)} Known: {', '.join(names)}."
            raise ScenarioError(_where(at, path) + message)
        if key in ("arrivals", "start", "sla", "by_clock"):
            values[key] = _at(at, path, _arrivals if key == "arrivals" else lambda value, _: value, key)
        else:
            convert = _converter(key)
            entries = _entries(at, key, path)
            values[key] = {name: _at(entry, path, convert, f"{key}: {name}") for name, entry in entries.items()}
    scenario: Scenario = _at(located, path, lambda *_: Scenario(**values), "")
    return scenario


def _entries(located: Located, where: str, path: str | None) -> dict[str, Located]:
    if not isinstance(located.value, dict):
        message = f"{where} is a mapping, not {located.describe()}."
        raise ScenarioError(_where(located, path) + message)
    return {str(key): value for key, value in located.value.items()}


def _where(located: Located, path: str | None) -> str:
    return "".join(f"{part}:" for part in (path, located.line) if part is not None) + " "


def _at(located: Located, path: str | None, convert: Callable[[Any, str], Any], where: str) -> Any:  # noqa: ANN401
    """Return what a value converts to; a fault says in which line it is."""
    try:
        return convert(located.plain(), where)
    except ScenarioError as error:
        named = (
            error.message if error.message.startswith(where.split(":", maxsplit=1)[0]) else f"{where}: {error.message}"
        )
        raise ScenarioError(_where(located, path) + named, node=error.node) from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        named = f"{where}: {reprlib.repr(located.plain())} is not written as it should be: {error}."
        raise ScenarioError(_where(located, path) + named) from None


def _converter(key: str) -> Callable[[Any, str], Any]:
    if key == "priorities":
        return _signed
    if key in _DISTRIBUTED:
        return _distribution
    if key == "attributes":
        return lambda value, where: _distribution(value, where) if _is_distribution(value) else value
    if key in _KINDS:
        return lambda value, where: _record(_KINDS[key], value, where)
    return lambda value, _: value


def _is_distribution(value: Any) -> bool:  # noqa: ANN401 -- a JSON value
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in FAMILIES


def _record(cls: type, value: Any, where: str) -> Any:  # noqa: ANN401 -- a JSON value, and what it becomes
    """Return a dataclass of a mapping; what is no mapping is left to the scenario."""
    if isinstance(value, list):
        return tuple(_record(cls, item, where) for item in value)
    if not isinstance(value, Mapping):
        return value
    names = [field.name for field in fields(cls) if field.init]
    if not value.keys() & set(names) and value.keys() & set(FAMILIES):
        return _distribution(value, where)
    made: dict[str, Any] = {}
    for name, item in value.items():
        if name not in names:
            message = f"{where}: there is no {name!r}.{nearest(name, names)} Known: {', '.join(names)}."
            raise ScenarioError(message)
        match name:
            case "calendar":
                made[name] = _calendar(item, where)
            case "members":
                made[name] = _members(item, where)
            case "items" | "after":
                made[name] = _distribution(item, f"{where}: {name}")
            case _:
                made[name] = item
    for field in fields(cls):
        if field.init and field.name not in made and field.default is MISSING and field.default_factory is MISSING:
            message = f"{where}: it needs {field.name!r}."
            raise ScenarioError(message)
    return cls(**made)


def _members(value: Any, where: str) -> Any:  # noqa: ANN401 -- a JSON value
    if not isinstance(value, Mapping):
        return value
    return {key: None if part is None else _calendar(part, f"{where}: {key}") for key, part in value.items()}


def _calendar(value: Any, where: str) -> Calendar:  # noqa: ANN401 -- a JSON value
    if not isinstance(value, Mapping):
        message = f"{where}: a calendar is a mapping: {{week: {{mon-fri: '09:00-17:00'}}}}."
        raise ScenarioError(message)
    names = [field.name for field in fields(Calendar) if field.init]
    for name in value:
        if name not in names:
            message = f"{where}: a calendar has no {name!r}.{nearest(str(name), names)}"
            raise ScenarioError(message)
    lists = {
        name: tuple(map(_tuple, value[name])) for name in ("holidays", "absences") if isinstance(value.get(name), list)
    }
    if "week" not in value:
        message = f"{where}: a calendar needs its week: {{week: {{mon-fri: '09:00-17:00'}}}}."
        raise ScenarioError(message)
    return Calendar(**{**value, **lists})


def _tuple(value: Any) -> Any:  # noqa: ANN401 -- a JSON value
    return tuple(value) if isinstance(value, list) else value


def _arrivals(value: Any, where: str) -> Any:  # noqa: ANN401 -- a JSON value
    match value:
        case {"per_hour": rates}:
            return Profile(rates)
        case {"after_s": times}:
            return ArrivalTimes(times)
        case _:
            return _distribution(value, where)


def _distribution(
    value: Any,  # noqa: ANN401 -- a JSON value
    where: str,
    number: Callable[[Any, str], Distribution] = as_distribution,
) -> Distribution:
    """Return the distribution that a value stands for; ``number`` says what a plain one is."""
    if not isinstance(value, Mapping):
        return number(value, where)
    if len(value) != 1:
        message = f"{where}: a distribution is a duration, or one family with its parameters: {{exponential: 5 min}}."
        raise ScenarioError(message)
    ((family, given),) = value.items()
    if family not in FAMILIES:
        raise ScenarioError(f"{where}: there is no distribution {family!r}.{nearest(family, FAMILIES)}")  # noqa: EM102
    match family, given:
        case "empirical", list():
            return Distribution(family, values=tuple(seconds(item) for item in given))
        case "column", list():
            return Distribution(family, values=tuple(given))
        case "categorical", Mapping():
            return categorical(given)
        case "categorical", list() if all(isinstance(pair, list) and len(pair) == 2 for pair in given):  # noqa: PLR2004
            return Distribution(family, values=tuple(value for value, _ in given), weights=_weights(given, where))
        case (("empirical" | "column" | "categorical"), _):
            form = "a mapping of values to probabilities" if family == "categorical" else "a list of values"
            message = f"{where}: {family} takes {form}, not {given!r}."
            raise ScenarioError(message)
        case (("by_attribute" | "by_resource" | "by_previous"), _):
            return _composed(family, given, where, number)
        case _:
            return _with_parameters(family, given, where)


def _signed(value: Any, where: str) -> Distribution:  # noqa: ANN401 -- a JSON value
    return _distribution(value, where, as_signed)


def _weights(pairs: list[Any], where: str) -> tuple[float, ...]:
    for value, share in pairs:
        if isinstance(share, bool) or not isinstance(share, int | float):
            message = f"{where}: categorical: the probability of {value!r} is a number, not {share!r}."
            raise ScenarioError(message)
    return tuple(float(share) for _, share in pairs)


def _composed(
    family: str,
    given: Any,  # noqa: ANN401 -- a JSON value
    where: str,
    number: Callable[[Any, str], Distribution],
) -> Distribution:
    parts = given.get("parts", {}) if isinstance(given, Mapping) else None
    pairs = list(parts.items()) if isinstance(parts, Mapping) else parts
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):  # noqa: PLR2004
        of = "of: order.country, " if family == "by_attribute" else ""
        message = f"{where}: {family} takes {{{of}parts: {{US: 1 h}}, otherwise: 2 h}}, not {given!r}."
        raise ScenarioError(message)
    other = given.get("otherwise")
    return Distribution(
        family,
        of=given.get("of", ""),
        parts={key: _distribution(part, f"{where}: {key}", number) for key, part in pairs},
        otherwise=None if other is None else _distribution(other, f"{where}: otherwise", number),
    )


def _with_parameters(family: str, given: Any, where: str) -> Distribution:  # noqa: ANN401 -- a JSON value
    names = FAMILIES[family]
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                message = f"{where}: {family} has no {name!r}.{nearest(str(name), names)} It has {', '.join(names)}."
                raise ScenarioError(message)
    listed = [given[name] for name in names if name in given] if isinstance(given, Mapping) else given
    listed = listed if isinstance(listed, list) else [listed]
    numbers = [as_distribution(item, f"{where}: {family}").parameters[0] for item in listed]
    if family == "normal":
        numbers += [0.0, float("inf")][len(numbers) - 2 :] if len(numbers) > 1 else []
    try:
        return Distribution(family, tuple(numbers))
    except ScenarioError as error:
        raise ScenarioError(f"{where}: {error.message}") from None  # noqa: EM102 -- with its place


# Writing -------------------------------------------------------------------------


def write_scenario(scenario: Scenario, path: str | Path | None = None) -> str:
    r"""Return the YAML of a scenario, and write it to a file if a path is given. It reads back as an equal scenario.

    Examples
    --------
    >>> print(write_scenario(read_scenario("arrivals: 5 min\nresources: {clerk: 2}")))
    arrivals: 300.0
    resources:
      clerk:
        count: 2
    <BLANKLINE>
    """
    values = {}
    for field in fields(Scenario):
        value = getattr(scenario, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if value != default:
            plain = _plain_attributes if field.name == "attributes" else _plain
            values[field.name] = Tall(plain(value)) if isinstance(value, Mapping) else plain(value)
    text = to_yaml(Tall(values))
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any part of a scenario
    match value:
        case Distribution():
            return _plain_distribution(value)
        case Calendar() | Resource() | Failure() | Retry() | Response() | Loop() | Batch() | Profile() | ArrivalTimes():
            return _plain_record(value)
        case Mapping():
            return Tall({key: _plain(part) for key, part in value.items()})
        case list() | tuple():
            return [_plain(part) for part in value]
        case datetime() | date():
            return value.isoformat()
        case str():
            return str(value)
        case _:
            return value


def _plain_attributes(given: Mapping[str, Distribution]) -> Any:  # noqa: ANN401 -- a JSON value
    """Return attributes as they are written: a bare number would be read as a category."""
    return {
        name: {"constant": list(d.parameters)} if d.family == "constant" else _plain(d) for name, d in given.items()
    }


def _plain_record(value: Any) -> Any:  # noqa: ANN401 -- a dataclass
    record = {}
    for field in fields(value):
        item = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if not field.init or item == default or (field.name == "count" and getattr(value, "members", None)):
            continue
        record[field.name] = _plain(item)
    if not record:  # all is as by default, and an empty mapping would be nothing
        name = "max_attempts" if isinstance(value, Retry) else "count"
        record[name] = getattr(value, name)
    return Tall(record)


def _plain_distribution(d: Distribution) -> Any:  # noqa: ANN401 -- a JSON value
    match d.family:
        case "constant":
            return d.parameters[0]
        case "empirical" | "column":
            return {d.family: list(d.values)}
        case "categorical":
            return {"categorical": [list(pair) for pair in zip(d.values, d.weights, strict=True)]}
        case "by_attribute" | "by_resource" | "by_previous":
            of = {"of": d.of} if d.of else {}
            other = {} if d.otherwise is None else {"otherwise": _plain(d.otherwise)}
            return {d.family: {**of, "parts": [[key, _plain(part)] for key, part in d.parts.items()], **other}}
        case _:
            return {d.family: [number for number in d.parameters if number != float("inf")]}
