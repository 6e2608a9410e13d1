"""Expressions: a subset of Python's over JSON values, parsed with ``ast``, evaluated by simpleeval.

One language everywhere: conditions, loops, settings (``"${order.id}"``). ``order.items`` is the value
of the key ``items``: attributes are keys of mappings and nothing else, so that no Python object can
be reached from a definition.
"""

from __future__ import annotations

import ast
import json
import keyword
import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simpleeval import DEFAULT_OPERATORS, EvalWithCompoundTypes, InvalidExpression

from orchkit.errors import ExpressionError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["FUNCTIONS", "Expression", "evaluate", "expressions_in", "names_in", "parse", "render", "texts_in"]

_MAX_LENGTH = 10_000
_MAX_DEPTH = 200
_MAX_BITS = 10_000
_MAX_WIDTH = 1_000
_TEMPLATE = re.compile(r"\$\{((?:[^{}\"']|\"[^\"]*\"|'[^']*'|\{[^{}]*\})*)\}")
# Keys that are words of Python's, as in ``error.class`` and ``order.from``: marked for its parser, and unmarked after.
_MARK = "__is_a_key"
_WORD_AS_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\.(\s*)(%s)\b""" % "|".join(keyword.kwlist)  # noqa: UP031 -- braces abound
)
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "null": None}


def _lower(text: str) -> str:
    return str(text).lower()


def _upper(text: str) -> str:
    return str(text).upper()


def _get(mapping: Mapping[str, Any], key: str, default: object = None) -> object:
    if not isinstance(mapping, Mapping):
        message = f"get() looks into a mapping, not into {type(mapping).__name__}"
        raise TypeError(message)
    return mapping.get(key, default)


def _power(base: float, exponent: float) -> Any:  # noqa: ANN401 -- a number
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _MAX_BITS:
        message = f"the power has more than {_MAX_BITS} bits"
        raise ValueError(message)
    return base**exponent


def _remainder(left: float, right: float) -> float:
    if isinstance(left, str):  # in Python this formats, and a width may ask for all the memory there is
        message = "text has no remainder"
        raise TypeError(message)
    return left % right


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


_OPERATORS = {**DEFAULT_OPERATORS, ast.Pow: _power, ast.Mod: _remainder}


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]  # simpleeval has no types
    """simpleeval with attributes as keys of mappings, and nothing else."""

    def _check_disallowed_items(self, item: object) -> None:
        """Skip simpleeval's walk through each value: no Python object can get in."""

    def _eval_name(self, node: ast.Name) -> object:
        try:
            return self.names[node.id]
        except KeyError:
            message = f"there is no variable {node.id!r}.{nearest(node.id, self.names)}"
            raise ExpressionError(message) from None

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

    def _eval_formattedvalue(self, node: ast.FormattedValue) -> object:
        spec = self._eval(node.format_spec) if node.format_spec else ""
        if any(int(width) > _MAX_WIDTH for width in re.findall(r"\d+", spec)):
            message = f"a format has a width of at most {_MAX_WIDTH}"
            raise ValueError(message)
        return format(self._eval(node.value), spec)


class _OfThread(threading.local):
    """An evaluator for each thread: making one takes longer than evaluating."""

    def __init__(self) -> None:
        # simpleeval adds functions of its own to the mapping that it is given, hence the copy.
        self.evaluator = _Evaluator(names={}, functions=dict(FUNCTIONS), operators=_OPERATORS)


_OF_THREAD = _OfThread()


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
        evaluator = _OF_THREAD.evaluator
        evaluator.names = {**_CONSTANTS, **variables}
        try:
            value = evaluator.eval(self.text, previously_parsed=self.tree)
        except ExpressionError as error:
            message = f"{self.text!r}: {error.message}"
            raise ExpressionError(message) from None
        except (
            InvalidExpression,
            ArithmeticError,
            AttributeError,
            LookupError,
            MemoryError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            message = f"{self.text!r}: {error}"
            raise ExpressionError(message) from error
        finally:
            evaluator.names = {}
        if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
            message = f"{self.text!r} gives {value}, which is not a number that JSON has."
            raise ExpressionError(message)
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
        tree = _parsed(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it cannot be parsed"
        message = f"{_short(text)!r} is not an expression: {reason}."
        offset = error.offset - 1 if isinstance(error, SyntaxError) and error.offset and error.lineno == 1 else None
        raise ExpressionError(message, offset=offset) from None
    _refuse_foreign(text, tree)
    return Expression(text, tree, tuple(dict.fromkeys(_free_names(tree))))


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        marked = _WORD_AS_KEY.sub(lambda found: found[1] or f".{found[2]}{found[3]}{_MARK}", text)
        if marked == text:
            raise
    try:
        tree = ast.parse(marked, mode="eval").body
    except SyntaxError as error:
        before = marked[: error.offset or 0]
        error.offset = (error.offset or 0) - len(_MARK) * before.count(_MARK)
        raise
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            node.attr = node.attr.removesuffix(_MARK)
    return tree


def _refuse_foreign(text: str, tree: ast.expr) -> None:
    """Raise where the tree holds what is not part of the language, or is too deep to evaluate."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            message = f"{_short(text)!r} is nested more than {_MAX_DEPTH} deep."
            raise ExpressionError(message)
        for node in level:
            if not isinstance(node, _ALLOWED) or (isinstance(node, ast.Constant) and not _is_json(node.value)):
                what = f"{node.value!r}" if isinstance(node, ast.Constant) else type(node).__name__
                message = f"{_short(text)!r}: {what} is not part of the expression language."
                raise ExpressionError(message, offset=getattr(node, "col_offset", None))
            if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
                called = node.func.id if isinstance(node.func, ast.Name) else ast.get_source_segment(text, node.func)
                message = f"{_short(text)!r}: there is no function {called!r}.{nearest(str(called), FUNCTIONS)}"
                message += f" Known: {', '.join(sorted(FUNCTIONS))}."
                raise ExpressionError(message, offset=node.col_offset)
        level = [child for node in level for child in ast.iter_child_nodes(node)]


def _is_json(value: object) -> bool:
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _short(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _free_names(tree: ast.expr) -> list[str]:
    """Return the variables read, in order of appearance; what a comprehension binds is none."""
    found = sorted(_unbound(tree, frozenset(_CONSTANTS)), key=lambda name: (name.lineno, name.col_offset))
    return [name.id for name in found]


def _unbound(node: ast.AST, bound: frozenset[str]) -> Iterator[ast.Name]:
    if isinstance(node, ast.Name):
        if node.id not in bound:
            yield node
        return
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.Call):
        children = node.args
    elif isinstance(node, ast.ListComp | ast.GeneratorExp):
        first = node.generators[0].iter
        yield from _unbound(first, bound)  # evaluated outside
        names = {name.id for part in node.generators for name in ast.walk(part.target) if isinstance(name, ast.Name)}
        bound |= names
        children = [node.elt, *(child for part in node.generators for child in ast.iter_child_nodes(part))]
        children = [child for child in children if child is not first]
    for child in children:
        yield from _unbound(child, bound)


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
    names = (name for _, text in texts_in(value) for expression in expressions_in(text) for name in expression.names)
    return tuple(dict.fromkeys(names))


def expressions_in(template: str) -> tuple[Expression, ...]:
    """Return the expressions in a template, parsed.

    Raises
    ------
    ExpressionError
        One of them is not an expression.

    Examples
    --------
    >>> [expression.text for expression in expressions_in("/orders/${order.id}?page=${page + 1}")]
    ['order.id', 'page + 1']
    """
    return tuple(part for part in _template(template) if isinstance(part, Expression))


def texts_in(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 -- a JSON value
    """Yield the texts in a value, in order, each with where it is.

    Examples
    --------
    >>> list(texts_in({"url": "/orders", "json": {"qty": ["${qty}"]}}))
    [('url', '/orders'), ('json.qty.0', '${qty}')]
    """
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        where, item = stack.pop()
        if isinstance(item, str):
            yield where, item
        elif isinstance(item, Mapping):
            stack.extend((f"{where}.{key}" if where else str(key), item[key]) for key in reversed(list(item)))
        elif isinstance(item, list | tuple):
            stack.extend(
                (f"{where}.{place}" if where else str(place), item[place]) for place in reversed(range(len(item)))
            )
