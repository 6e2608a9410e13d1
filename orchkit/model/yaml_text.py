"""JSON values as YAML text, written for people: short collections on one line, quotes only where they are needed."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from orchkit.model.located import resolve

__all__ = ["Tall", "TallList", "to_yaml"]

_WIDTH = 100
_LONGEST_KEY = 1_000  # a longer one is not a simple key (YAML 1.2, section 8.2.2)
_INDENT = "  "
_NOT_PLAIN = re.compile(r": |:$| #|\s$")
_NOT_PLAIN_IN_FLOW = re.compile(r"[\[\]{},]|:")


class Tall(dict[str, Any]):
    """A mapping that has a line for each key."""


class TallList(list[Any]):
    """A list that has a line for each item."""


def to_yaml(value: object) -> str:
    """Return a JSON value as YAML text that `locate` reads back as the same value.

    Examples
    --------
    >>> print(to_yaml(Tall(workflow="w", version="1", steps=[Tall(task="ship", timeout="5m", fallback=[1, None])])))
    workflow: w
    version: "1"
    steps:
      - task: ship
        timeout: 5m
        fallback: [1, null]
    <BLANKLINE>
    """
    return "\n".join(_lines(value)) + "\n"


def _lines(value: object, width: int = _WIDTH) -> list[str]:
    """Return the lines of a value that begins a line."""
    short = _flow(value)
    if short is not None and (len(short) <= width or not _is_filled(value)):
        return [_scalar(value, flow=False) if isinstance(value, str) else short]
    return _opened(value, width)


def _is_filled(value: object) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _opened(value: object, width: int) -> list[str]:
    """Return the lines of a collection, at least one for each of its items."""
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _entry(key, item, width)]
    return [line for item in (value if isinstance(value, list) else []) for line in _dashed(item, width)]


def _entry(key: str, item: object, width: int) -> Iterator[str]:
    name = _scalar(key, flow=False)
    if len(name) > _LONGEST_KEY or "\n" in name:
        yield f"? {json.dumps(key)}"
        name = ""
    literal = _literal(item) or _folded(item, width)
    if literal is not None:
        yield f"{name}: {literal[0]}"
        yield from (f"{_INDENT}{line}" if line else "" for line in literal[1:])
        return
    short = _flow(item)
    if short is not None and (len(name) + 2 + len(short) <= width or not _is_filled(item)):
        yield f"{name}: {_scalar(item, flow=False) if isinstance(item, str) else short}"
        return
    yield f"{name}:"
    yield from (f"{_INDENT}{line}" if line else "" for line in _opened(item, width - len(_INDENT)))


def _dashed(item: object, width: int) -> Iterator[str]:
    first, *rest = _lines(item, width - len(_INDENT))
    yield f"- {first}"
    yield from (f"{_INDENT}{line}" if line else "" for line in rest)


def _flow(value: object) -> str | None:
    """Return a value on one line, or None where that cannot be."""
    if isinstance(value, Tall | TallList) and value:
        return None
    if isinstance(value, dict):
        if any(len(key) > _LONGEST_KEY for key in value):
            return None
        items = [_flow(item) for item in value.values()]
        if any(item is None for item in items):
            return None
        pairs = (f"{_scalar(key, flow=True)}: {item}" for key, item in zip(value, items, strict=True))
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        items = [_flow(item) for item in value]
        return None if any(item is None for item in items) else f"[{', '.join(map(str, items))}]"
    return _scalar(value, flow=True)


def _scalar(value: object, *, flow: bool) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if _is_plain(value) and not (flow and _NOT_PLAIN_IN_FLOW.search(value)):
        return value
    if value.isprintable() and "'" not in value and ('"' in value or "\\" in value):
        return f"'{value}'"
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def _is_plain(text: str) -> bool:
    begins = text[:1].isalnum() or text[:1] in ("_", "/", "(")
    return begins and text.isprintable() and not _NOT_PLAIN.search(text) and _resolves_to_text(text)


def _resolves_to_text(text: str) -> bool:
    """Return whether a plain scalar is read as text."""
    try:
        return isinstance(resolve(text), str)
    except ValueError:
        return False


def _literal(value: object) -> list[str] | None:
    """Return the lines of a text of several lines as a literal block, where it can be one."""
    if not isinstance(value, str) or "\n" not in value.rstrip("\n"):
        return None
    body = value.removesuffix("\n")
    lines = body.split("\n")
    if body[:1] in ("", " ", "\n") or body.endswith("\n") or not all(line.isprintable() for line in lines):
        return None
    if any(line and not line.strip() for line in lines):
        return None
    return ["|" if value.endswith("\n") else "|-", *lines]


def _folded(value: object, width: int) -> list[str] | None:
    """Return the lines of a long text as a folded block, where it can be one."""
    if not isinstance(value, str) or len(value) <= width or not value.isprintable() or value != " ".join(value.split()):
        return None
    lines = textwrap.wrap(value, width, break_long_words=False, break_on_hyphens=False)
    return None if " ".join(lines) != value else [">-", *lines]
