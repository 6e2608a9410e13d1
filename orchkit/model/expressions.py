"""Expressions: a subset of Python's over JSON values, parsed with ``ast``, evaluated by simpleeval.

One language everywhere: conditions, loops, settings (``"${order.id}"``). ``order.items`` is the value
of the key ``items``: attributes are keys of mappings and nothing else, so that no Python object can
be reached from a definition.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simpleeval import DEFAULT_OPERATORS, EvalWithCompoundTypes, InvalidExpression

from orchkit.errors import ExpressionError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FUNCTIONS", "Expression", "evaluate", "names_in", "parse", "render"]

_MAX_LENGTH = 10_000
_TEMPLATE = re.compile(r"\$\{((?:[^{}\"']|\"[^\"]*\"|'[^']*'|\{[^{}]*\})*)\}")
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "null": None}


def _lower(text: str) -> str:
    return str(text).lower()


def _upper(text: str) -> str:
    return str(text).upper()


def _get(mapping: Mapping[str, Any], key: str, default: object = None) -> object:
    return mapping.get(key, default)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "bool": bool,
    "float": float,
    "get": _get,
    "int": int,
    "len": len,
    "lower": _lower,
    "max": max,
    "min": min,
    "round": round,
    "sorted": sorted,
    "str": str,
    "sum": sum,
    "upper": _upper,
}

_ALLOWED = (
    ast.Expression,
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.Store,
    ast.Attribute,
    ast.Subscript,
    ast.Slice,
    ast.BoolOp,
    ast.boolop,
    ast.UnaryOp,
    ast.unaryop,
    ast.BinOp,
    ast.operator,
    ast.Compare,
    ast.cmpop,
    ast.IfExp,
    ast.Call,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.ListComp,
    ast.GeneratorExp,
    ast.comprehension,
    ast.JoinedStr,
    ast.FormattedValue,
)


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]  # simpleeval has no types
    """simpleeval with attributes as keys of mappings, and nothing else."""

    def _eval_attribute(self, node: ast.Attribute) -> object:
        value = self._eval(node.value)
        if isinstance(value, Mapping):
            try:
                return value[node.attr]
            except KeyError:
                hint = nearest(node.attr, value)
                message = f"there is no {node.attr!r} in {ast.unparse(node.value)}.{hint}"
                raise ExpressionError(message) from None
        message = f"{ast.unparse(node.value)} has no keys, so {ast.unparse(node)} has no value"
        raise ExpressionError(message)


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes
    ----------
    text
        As written.
    names
        Variables that it reads, in order of appearance.
    """

    text: str
    tree: ast.expr = field(compare=False, repr=False)
    names: tuple[str, ...] = field(compare=False)

    def evaluate(self, variables: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- a JSON value
        """Return the value over these variables.

        Raises
        ------
        ExpressionError
            An unknown variable or key, or an operation that the values do not have.
        """
        if isinstance(self.tree, ast.Name) and self.tree.id in variables:
            return variables[self.tree.id]
        evaluator = _Evaluator(names={**_CONSTANTS, **variables}, functions=FUNCTIONS, operators=DEFAULT_OPERATORS)
        evaluator._max_count = 1_000_000
        try:
            value = evaluator.eval(self.text, previously_parsed=self.tree)
        except ExpressionError as error:
            message = f"{self.text!r}: {error.message}"
            raise ExpressionError(message) from None
        except (InvalidExpression, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            missing = next((name for name in self.names if name not in variables), None)
            if missing is not None:
                message = f"{self.text!r}: there is no variable {missing!r}.{nearest(missing, variables)}"
            else:
                message = f"{self.text!r}: {error}"
            raise ExpressionError(message) from error
        return list(value) if isinstance(value, tuple) else value


@lru_cache(maxsize=10_000)
def parse(text: str) -> Expression:
    """Return the parsed expression.

    Raises
    ------
    ExpressionError
        Not an expression of the language.

    Examples
    --------
    >>> parse('order.country == "US" and total > 10').names
    ('order', 'total')
    """
    if len(text) > _MAX_LENGTH:
        message = f"an expression has at most {_MAX_LENGTH} characters"
        raise ExpressionError(message)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it cannot be parsed"
        message = f"{text!r} is not an expression: {reason}."
        offset = error.offset - 1 if isinstance(error, SyntaxError) and error.offset and error.lineno == 1 else None
        raise ExpressionError(message, offset=offset) from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            message = f"{text!r}: {type(node).__name__} is not part of the expression language."
            raise ExpressionError(message, offset=getattr(node, "col_offset", None))
        if isinstance(node, ast.Call) and (not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS):
            called = ast.unparse(node.func)
            known = ", ".join(sorted(FUNCTIONS))
            message = f"{text!r}: there is no function {called!r}.{nearest(called, FUNCTIONS)} Known: {known}."
            raise ExpressionError(message, offset=node.col_offset)
    return Expression(text, tree, tuple(dict.fromkeys(_free_names(tree))))


def _free_names(tree: ast.expr) -> Iterator[str]:
    bound = {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.comprehension)
        for name in ast.walk(node.target)
        if isinstance(name, ast.Name)
    }
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in called and node.id not in bound | _CONSTANTS.keys():
            yield node.id


def evaluate(text: str, variables: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- a JSON value
    """Return the value of an expression over variables.

    Examples
    --------
    >>> evaluate("order.qty * 2 <= stock", {"order": {"qty": 3}, "stock": 6})
    True
    """
    return parse(text).evaluate(variables)


@lru_cache(maxsize=10_000)
def _template(text: str) -> tuple[str | Expression, ...]:
    """Split a text in its literal parts and the expressions between ``${`` and ``}``."""
    parts: list[str | Expression] = []
    position = 0
    for match in _TEMPLATE.finditer(text):
        if match.start() > position:
            parts.append(text[position : match.start()])
        parts.append(parse(match.group(1)))
        position = match.end()
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def render(value: Any, variables: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- a JSON value
    """Return a value with each ``${expression}`` in its texts replaced.

    A text that is one expression gives the expression's value; in a longer text the value is
    written as text (mappings and lists as JSON).

    Examples
    --------
    >>> render({"url": "/orders/${order.id}", "json": "${order}"}, {"order": {"id": 7}})
    {'url': '/orders/7', 'json': {'id': 7}}
    """
    if isinstance(value, str):
        parts = _template(value)
        if len(parts) == 1 and isinstance(parts[0], Expression):
            return parts[0].evaluate(variables)
        return "".join(part if isinstance(part, str) else _as_text(part.evaluate(variables)) for part in parts)
    if isinstance(value, Mapping):
        return {key: render(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, variables) for item in value]
    return value


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def names_in(value: Any) -> tuple[str, ...]:  # noqa: ANN401 -- a JSON value
    """Return the variables that the templates in a value read.

    Examples
    --------
    >>> names_in({"url": "/orders/${order.id}", "qty": ["${qty}"]})
    ('order', 'qty')
    """
    found: list[str] = []
    if isinstance(value, str):
        for part in _template(value):
            if isinstance(part, Expression):
                found.extend(part.names)
    elif isinstance(value, Mapping):
        for item in value.values():
            found.extend(names_in(item))
    elif isinstance(value, list | tuple):
        for item in value:
            found.extend(names_in(item))
    return tuple(dict.fromkeys(found))
