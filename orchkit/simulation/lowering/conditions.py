"""Conditions of a workflow, translated for the kernel: over the attributes of a case, as a scenario gives them.

What depends on few values only (texts, categories, rows of a table) is evaluated here for each combination of them, by
the language's own evaluator, and becomes a table; the rest, arithmetic on numbers, becomes operations on a stack.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from orchkit.errors import ExpressionError, ScenarioError
from orchkit.model.expressions import Expression, parse
from orchkit.simulation.kernel import layout as at

if TYPE_CHECKING:
    from orchkit.simulation.distributions import Distribution
    from orchkit.simulation.lowering.numbers import Numbers

__all__ = ["Conditions", "Unknown", "supports"]

_MOST_ROWS = 20_000
_CONSTANTS = frozenset({"true", "false", "null"})
_NAN = float("nan")
_BINARY: dict[type, int] = {
    ast.Add: at.C_ADD,
    ast.Sub: at.C_SUB,
    ast.Mult: at.C_MUL,
    ast.Div: at.C_DIV,
    ast.FloorDiv: at.C_FLOORDIV,
    ast.Mod: at.C_MOD,
    ast.Pow: at.C_POW,
}
_COMPARED: dict[type, int] = {
    ast.Lt: at.C_LT,
    ast.LtE: at.C_LE,
    ast.Gt: at.C_GT,
    ast.GtE: at.C_GE,
    ast.Eq: at.C_EQ,
    ast.NotEq: at.C_NE,
}
_CALLED = {
    "abs": at.C_ABS,
    "round": at.C_ROUND,
    "int": at.C_INT,
    "bool": at.C_BOOL,
    "min": at.C_MIN,
    "max": at.C_MAX,
}
_ERROR_PARTS = ("error.class", "error.type", "error.node")

Code = list[tuple[int, int]]


class Unknown(Exception):
    """An expression reads what the scenario does not give."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Untranslatable(Exception):
    pass


class _Wanted(Enum):
    """What an expression's value is used as."""

    NUMBER = "number"
    TRUTH = "truth"
    SIZE = "size"


@dataclass(slots=True)
class Conditions:
    """The code of all conditions.

    Attributes
    ----------
    attributes
        By name the values that an attribute may have; None where it is a number of a continuum.
    errors
        The names of classes, types and nodes of failures, for the conditions of error flows.
    code
        Operations and their arguments.
    """

    numbers: Numbers
    attributes: Mapping[str, tuple[Any, ...] | None]
    errors: Sequence[Sequence[str]] = ()
    code: list[int] = field(default_factory=list)

    def add(self, text: str, node: str, *, size: bool = False, of_error: bool = False) -> int:
        """Return where the code of an expression begins.

        Raises
        ------
        Unknown
            It reads what the scenario does not give.
        ScenarioError
            It cannot be evaluated on the attributes as they are given.
        """
        expression = parse(text)
        tree = _without_lengths(expression.tree, self.attributes)
        wanted = _Wanted.SIZE if size else _Wanted.TRUTH
        try:
            found = self._translated(tree, wanted, of_error=of_error)
        except _Untranslatable as error:
            message = (
                f"{node!r}: {text!r} cannot be simulated on attributes as the scenario gives them: {error}. "
                "Give those that are not numbers as ok.categorical(…) or as a table of cases, or say how often: "
                f"branching={{{node!r}: …}}."
            )
            raise ScenarioError(message, node=node) from None
        begin = len(self.code)
        for pair in [*found, (at.C_END, 0)]:
            self.code += pair
        return begin

    # Names -----------------------------------------------------------------------

    def _reads(self, tree: ast.AST, *, of_error: bool) -> list[str]:
        """Return the attributes that an expression reads, in order."""
        found: dict[str, None] = {}
        for path in _paths(tree, frozenset(_CONSTANTS)):
            dotted = ".".join(path)
            if of_error and path[0] == "error":
                if dotted not in _ERROR_PARTS:
                    raise Unknown(dotted)
                found[dotted] = None
                continue
            exact = next((name for name in _prefixes(path) if name in self.attributes), None)
            inside = [name for name in self.attributes if name.startswith(f"{dotted}.")]
            if exact is None and not inside:
                raise Unknown(dotted)
            found |= dict.fromkeys([exact] if exact is not None else inside)
        return list(found)

    def _values(self, name: str) -> Sequence[Any] | None:
        if name in _ERROR_PARTS and name not in self.attributes:
            return self.errors[_ERROR_PARTS.index(name)]
        return self.attributes[name]

    # Translation -----------------------------------------------------------------

    def _translated(self, tree: ast.expr, wanted: _Wanted, *, of_error: bool) -> Code:
        names = self._reads(tree, of_error=of_error)
        values = [self._values(name) for name in names]
        rows = 1
        for one in values:
            rows *= _MOST_ROWS + 1 if one is None else len(one)
        if rows <= _MOST_ROWS:
            return self._table(tree, names, [list(one or ()) for one in values], wanted)
        return self._operations(tree, wanted, of_error=of_error)

    def _table(self, tree: ast.expr, names: Sequence[str], values: list[list[Any]], wanted: _Wanted) -> Code:
        expression = Expression(ast.unparse(tree), tree, tuple(names))
        results = []
        for combination in itertools.product(*values):
            variables = _nested(dict(zip(names, combination, strict=True)))
            try:
                results.append(_as_number(expression.evaluate(variables), wanted))
            except ExpressionError:
                results.append(_NAN)
        numbers = self.numbers.numbers
        code: Code = []
        for place, (name, own) in enumerate(zip(names, values, strict=True)):
            if name in _ERROR_PARTS and name not in self.attributes:
                code.append((at.C_ERROR, _ERROR_PARTS.index(name)))
            else:
                code += [(at.C_ATTRIBUTE, self.numbers.attributes[name]), (at.C_FIND, len(numbers))]
                numbers += [float(len(own)), *(self.numbers.value(value) for value in own)]
            if place:
                code.append((at.C_SCALE, len(own)))
        base = len(numbers)
        numbers += results
        return [*code, (at.C_LOOKUP, base)] if names else [(at.C_CONST, base)]

    def _operations(self, tree: ast.expr, wanted: _Wanted, *, of_error: bool) -> Code:
        def inner(part: ast.expr, as_what: _Wanted = _Wanted.NUMBER) -> Code:
            return self._translated(part, as_what, of_error=of_error)

        if _path(tree) is not None:
            return [(at.C_ATTRIBUTE, self.numbers.attributes[self._number(tree)])]
        match tree:
            case ast.BoolOp(op, values):
                truth = wanted if wanted is _Wanted.TRUTH else _Wanted.NUMBER
                parts = [inner(value, truth) for value in values]
                return _folded(parts, at.C_AND if isinstance(op, ast.And) else at.C_OR)
            case ast.UnaryOp(ast.Not(), value):
                return [*inner(value, _Wanted.TRUTH), (at.C_NOT, 0)]
            case ast.IfExp(test, body, orelse):
                return [*inner(test, _Wanted.TRUTH), *inner(body, wanted), *inner(orelse, wanted), (at.C_IF, 0)]
            case ast.Compare(left, ops, comparators):
                return self._compared(left, ops, comparators, inner)
            case _:
                return _arithmetic(tree, inner)

    def _number(self, tree: ast.expr) -> str:
        """Return the name of an attribute whose values are numbers."""
        name = ".".join(_path(tree) or ())
        values = self.attributes.get(name, ())
        if values is None or (values and all(isinstance(value, int | float) for value in values)):
            return name
        message = f"{ast.unparse(tree)!r} is no number"
        raise _Untranslatable(message)

    def _compared(
        self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr], inner: Callable[..., Code]
    ) -> Code:
        parts = []
        for op, other in zip(ops, others, strict=True):
            if isinstance(op, ast.In | ast.NotIn) and isinstance(other, ast.List | ast.Tuple) and other.elts:
                found = _folded([self._pair(left, ast.Eq(), item, inner) for item in other.elts], at.C_OR)
                parts.append([*found, (at.C_NOT, 0)] if isinstance(op, ast.NotIn) else found)
            elif type(op) in _COMPARED:
                parts.append(self._pair(left, op, other, inner))
            else:
                message = f"{type(op).__name__} compares no numbers"
                raise _Untranslatable(message)
            left = other
        return _folded(parts, at.C_AND)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, inner: Callable[..., Code]) -> Code:
        for one, other in ((left, right), (right, left)):
            is_text = isinstance(one, ast.Constant) and not isinstance(one.value, int | float)
            if is_text and isinstance(op, ast.Eq | ast.NotEq):  # no number is a text
                same = (at.C_CONST, self.numbers.number(float(isinstance(op, ast.NotEq))))
                return [*inner(other), same, same, (at.C_IF, 0)]
        return [*inner(left), *inner(right), (_COMPARED[type(op)], 0)]


def _arithmetic(tree: ast.expr, inner: Callable[..., Code]) -> Code:
    match tree:
        case ast.UnaryOp(ast.USub(), value):
            return [*inner(value), (at.C_NEG, 0)]
        case ast.UnaryOp(ast.UAdd(), value) | ast.Call(ast.Name("float"), [value]):
            return inner(value)
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            return [*inner(left), *inner(right), (_BINARY[type(op)], 0)]
        case ast.Call(ast.Name("min" | "max" as name), [_, _, *_] as values):
            return _folded([inner(value) for value in values], _CALLED[name])
        case ast.Call(ast.Name("abs" | "round" | "int" | "bool" as name), [value]):
            return [*inner(value), (_CALLED[name], 0)]
        case _:
            message = f"{ast.unparse(tree)!r} is not arithmetic, and what it reads is not one of few values"
            raise _Untranslatable(message)


def _folded(parts: Sequence[Code], op: int) -> Code:
    code = list(parts[0])
    for part in parts[1:]:
        code += [*part, (op, 0)]
    if _depth(code) > at.C_DEPTH:
        message = "it is nested too deep"
        raise _Untranslatable(message)
    return code


def _depth(code: Code) -> int:
    depth = most = 0
    for op, _ in code:
        if op in (at.C_CONST, at.C_ATTRIBUTE, at.C_ERROR):
            depth += 1
        elif op == at.C_IF:
            depth -= 2
        elif op in (at.C_SCALE, at.C_AND, at.C_OR) or at.C_ADD <= op <= at.C_MAX:
            depth -= 1
        most = max(most, depth)
    return most


def _as_number(value: object, wanted: _Wanted) -> float:
    """Return a value as the kernel holds it."""
    if wanted is _Wanted.TRUTH:
        return float(bool(value))
    if wanted is _Wanted.SIZE and isinstance(value, list | tuple | Mapping):
        return float(len(value))
    if not isinstance(value, int | float) or (wanted is _Wanted.SIZE and isinstance(value, bool)):
        if wanted is _Wanted.SIZE:
            return _NAN
        message = f"{value!r} is no number"
        raise _Untranslatable(message)
    return float(value)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables from dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *owners, last = name.split(".")
        inside = found
        for owner in owners:
            inside = inside.setdefault(owner, {})
        inside[last] = value
    return found


def _prefixes(path: Sequence[str]) -> Iterator[str]:
    return (".".join(path[:size]) for size in range(len(path), 0, -1))


def _paths(tree: ast.AST, bound: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Yield what an expression reads, as far as it is spelled out: ``order["country"]`` is ``order.country``."""
    path = _path(tree)
    if path is not None:
        if path[0] not in bound:
            yield path
        return
    children: list[ast.AST] = list(ast.iter_child_nodes(tree))
    if isinstance(tree, ast.Call):
        children = list(tree.args)
    elif isinstance(tree, ast.ListComp | ast.GeneratorExp):
        first = tree.generators[0].iter
        yield from _paths(first, bound)
        targets = (part.target for part in tree.generators)
        bound |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        children = [tree.elt, *(child for part in tree.generators for child in (part.iter, *part.ifs))]
        children = [child for child in children if child is not first]
    for child in children:
        yield from _paths(child, bound)


def _path(tree: ast.AST) -> tuple[str, ...] | None:
    match tree:
        case ast.Name(name):
            return (name,)
        case ast.Attribute(value, name):
            before = _path(value)
            return None if before is None else (*before, name)
        case ast.Subscript(value, ast.Constant(str() as name)) | ast.Call(
            ast.Name("get"), [value, ast.Constant(str() as name), *_]
        ):
            before = _path(value)
            return None if before is None else (*before, name)
        case _:
            return None


class _Lengths(ast.NodeTransformer):
    """Puts the attribute itself in the place of its length, where the scenario gives how many there are."""

    def __init__(self, attributes: Mapping[str, tuple[Any, ...] | None]) -> None:
        self.attributes = attributes

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
            path = _path(node.args[0])
            values = self.attributes.get(".".join(path), ()) if path else ()
            if values is None or (values and all(isinstance(value, int | float) for value in values)):
                return node.args[0]
        return node


def _without_lengths(tree: ast.expr, attributes: Mapping[str, tuple[Any, ...] | None]) -> ast.expr:
    copy = ast.parse(ast.unparse(tree), mode="eval").body
    changed: ast.expr = _Lengths(attributes).visit(copy)
    return changed


# The values of attributes ----------------------------------------------------------


def supports(
    attributes: Mapping[str, Distribution], known: Sequence[Mapping[str, object]]
) -> dict[str, tuple[object, ...] | None]:
    """Return the values that each attribute may have, those of cases in flight among them; None for a continuum."""
    found: dict[str, tuple[object, ...] | None] = {}
    for name, distribution in attributes.items():
        own = _support(distribution)
        found[name] = None if own is None else _distinct([*own, *(case[name] for case in known if name in case)])
    return found


def _support(distribution: Distribution) -> tuple[object, ...] | None:
    match distribution.family:
        case "constant":
            return distribution.parameters
        case "empirical" | "categorical" | "column":
            return distribution.values
        case "by_attribute":
            parts = [*distribution.parts.values(), *([distribution.otherwise] if distribution.otherwise else [])]
            found = [_support(part) for part in parts]
            return None if None in found else tuple(value for one in found for value in one or ())
        case _:
            return None


def _distinct(values: Iterable[object]) -> tuple[object, ...]:
    """Return values without those that Python takes for the same: 1, 1.0 and True are."""
    found: dict[object, object] = {}
    for value in values:
        found.setdefault(value if value.__hash__ is not None else repr(value), value)
    return tuple(found.values())
