"""Located values become typed ones: each function takes one kind of value and says what it expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from orchkit.errors import ExpressionError, WorkflowError, nearest
from orchkit.model.definition import Alert, Trigger
from orchkit.model.expressions import names_in, parse
from orchkit.model.located import Located
from orchkit.model.nodes import FlowKind
from orchkit.model.retry import Retry
from orchkit.units import seconds

__all__ = [
    "alert",
    "duration",
    "expression",
    "flag",
    "flow_kind",
    "items",
    "mapping",
    "name",
    "names",
    "reasons",
    "retry",
    "schemas",
    "share",
    "template",
    "templates",
    "text",
    "timer",
    "trigger",
    "version",
    "whole",
]

Converter = Callable[[Located], Any]

_SHARE = re.compile(r"\d+(\.\d+)?\s*%")
_SEVERITIES = ("info", "warning", "critical")


def _expected(at: Located, what: str) -> Any:  # noqa: ANN401 -- never returns
    at.fail(f"Expected {what}, not {at.describe()}.")


def mapping(at: Located, what: str, table: Mapping[str, Converter], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the values of a mapping, each converted by the table's function for its key.

    Raises
    ------
    WorkflowFileError
        Not a mapping, an unknown key (with the nearest known one), a missing one.

    Examples
    --------
    >>> from orchkit.model.located import locate
    >>> mapping(locate("{role: clerk, timeout: 5m}"), "a task", {"role": text, "timeout": duration})
    {'role': 'clerk', 'timeout': 300.0}
    """
    if not isinstance(at.value, dict):
        _expected(at, f"{what} as a mapping with {_listed(table)}")
    for key in at.value:
        if key not in table:
            at.fail_at_key(key, f"There is no {key!r} in {what}.{nearest(key, table)} Known: {_listed(table)}.")
    for key in required:
        if key not in at.value:
            at.fail(f"The key {key!r} is missing in {what}.")
    return {key: table[key](item) for key, item in at.value.items()}


def _listed(table: Mapping[str, object]) -> str:
    return ", ".join(table)


def items(at: Located, what: str) -> list[Located]:
    """Return the items of a list."""
    if not isinstance(at.value, list):
        _expected(at, f"a list of {what}")
    return list(at.value)


def text(at: Located) -> str:
    """Return a text."""
    return at.value if isinstance(at.value, str) else str(_expected(at, "text (a number or true needs quotes)"))


def name(at: Located) -> str:
    """Return a text that is not empty."""
    return at.value if isinstance(at.value, str) and at.value else str(_expected(at, "a name"))


def version(at: Located) -> str:
    """Return a version: text, or a whole number."""
    if isinstance(at.value, int) and not isinstance(at.value, bool):
        return str(at.value)
    return at.value if isinstance(at.value, str) else str(_expected(at, 'a version in quotes, such as "1.10"'))


def flag(at: Located) -> bool:
    """Return a Boolean."""
    return at.value if isinstance(at.value, bool) else bool(_expected(at, "true or false"))


def whole(least: int) -> Converter:
    """Return a function that takes a whole number of at least ``least``."""

    def convert(at: Located) -> int:
        if isinstance(at.value, bool) or not isinstance(at.value, int) or at.value < least:
            _expected(at, f"a whole number of at least {least}")
        return int(at.value)

    return convert


def share(at: Located) -> int | str:
    """Return a count, or a share such as ``10%``."""
    if isinstance(at.value, str) and _SHARE.fullmatch(at.value):
        return at.value
    if isinstance(at.value, bool) or not isinstance(at.value, int) or at.value < 0:
        _expected(at, "a count such as 2, or a share such as 10%")
    return int(at.value)


def duration(at: Located) -> float:
    """Return a duration in seconds."""
    try:
        return seconds(at.value)
    except (ValueError, OverflowError):
        _expected(at, "a duration such as 90s, 5 min, 1h 30m, 2 days or PT5M")
        raise


def expression(at: Located) -> str:
    """Return the text of an expression that can be parsed; ``true`` and numbers are expressions as well."""
    if isinstance(at.value, bool | int | float):
        return str(at.value).lower() if isinstance(at.value, bool) else str(at.value)
    if not isinstance(at.value, str):
        _expected(at, "an expression as text")
    try:
        return parse(at.value).text
    except ExpressionError as error:
        at.fail(error.message, offset=error.offset or 0)


def timer(at: Located) -> str | float:
    """Return a timer's duration in seconds, or its expression."""
    try:
        return seconds(at.value)
    except (ValueError, OverflowError):
        pass
    try:
        return parse(at.value).text
    except (ExpressionError, TypeError, AttributeError):
        _expected(at, "a duration such as 90s or 2 days, or an expression that gives one")
        raise


def template(at: Located) -> Any:  # noqa: ANN401 -- a JSON value
    """Return a JSON value whose ``${expressions}`` can be parsed."""
    match at.value:
        case dict():
            return {key: template(item) for key, item in at.value.items()}
        case list():
            return [template(item) for item in at.value]
        case str():
            try:
                names_in(at.value)
            except ExpressionError as error:
                at.fail(error.message)
    return at.value


def templates(at: Located) -> dict[str, Any]:
    """Return a mapping of JSON values whose expressions can be parsed."""
    if not isinstance(at.value, dict):
        _expected(at, "a mapping")
    return dict(template(at))


def names(at: Located) -> tuple[str, ...]:
    """Return a list of names, or one; a number (an HTTP code) is taken as its text."""
    parts = at.value if isinstance(at.value, list) else [at]
    for part in parts:
        if isinstance(part.value, bool) or not isinstance(part.value, str | int):
            _expected(part, "the name of an exception or an HTTP code")
    return tuple(str(part.value) for part in parts)


def reasons(at: Located) -> dict[str, str]:
    """Return a mapping of rules to the reasons why they are waived."""
    if not isinstance(at.value, dict):
        _expected(at, "a mapping of rules, each with the reason why it is waived")
    return {rule: text(reason) for rule, reason in at.value.items()}


def schemas(at: Located) -> dict[str, Any]:
    """Return JSON Schemas by variable."""
    if not isinstance(at.value, dict):
        _expected(at, "a mapping of variables, each with its JSON Schema such as {type: object}")
    for item in at.value.values():
        if not isinstance(item.value, dict | bool):
            _expected(item, "a JSON Schema such as {type: object}")
    return dict(at.plain())


def _factor(at: Located) -> float:
    return _number(at, "a number of at least 1", 1, math.inf)


def _part(at: Located) -> float:
    return _number(at, "a share between 0 and 1", 0, 1)


def _number(at: Located, what: str, least: float, most: float) -> float:
    if isinstance(at.value, bool) or not isinstance(at.value, int | float) or not least <= at.value <= most:
        _expected(at, what)
    try:
        return float(at.value)
    except OverflowError:
        return float(_expected(at, what))


def flow_kind(at: Located) -> FlowKind:
    """Return the kind of a flow."""
    if at.value not in list(FlowKind):
        _expected(at, "normal, error or timeout")
    return FlowKind(at.value)


_RETRY: dict[str, Converter] = {
    "max_attempts": whole(1),
    "initial_delay": duration,
    "max_delay": duration,
    "multiplier": _factor,
    "jitter": _part,
}


def retry(at: Located) -> Retry:
    """Return a retry policy."""
    values = mapping(at, "retry", _RETRY)
    try:
        return Retry(**values)
    except (WorkflowError, OverflowError) as error:
        at.fail(str(error))


def _severity(at: Located) -> str:
    if at.value not in _SEVERITIES:
        hint = nearest(at.value, _SEVERITIES) if isinstance(at.value, str) else ""
        at.fail(f"Expected {', '.join(_SEVERITIES[:-1])} or {_SEVERITIES[-1]}, not {at.describe()}.{hint}")
    return str(at.value)


_ALERT: dict[str, Converter] = {"name": name, "condition": text, "window": duration, "severity": _severity}


def alert(at: Located) -> Alert:
    """Return an alert."""
    return Alert(**mapping(at, "an alert", _ALERT, required=("name", "condition")))


def trigger(at: Located) -> Trigger:
    """Return a trigger: its kind, or a mapping of its kind to its settings."""
    if isinstance(at.value, str) and at.value:
        return Trigger(at.value)
    if not isinstance(at.value, dict) or len(at.value) != 1:
        _expected(at, "a trigger such as {schedule: {cron: 0 6 * * *}}")
    ((kind, settings),) = at.value.items()
    return Trigger(kind, {} if settings.value is None else templates(settings))
