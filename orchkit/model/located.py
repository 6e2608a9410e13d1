"""YAML text as JSON values that know their line and column.

Read from the parser's events, one by one, so that what makes YAML dangerous is refused before anything is built:
aliases, tags, deep nesting. Scalars follow the core schema of YAML 1.2: ``no``, ``on`` and ``2026-11-24`` are text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from orchkit.errors import WorkflowFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_CHARACTERS", "MAX_DEPTH", "Located", "locate", "resolve"]

MAX_CHARACTERS = 10_000_000
MAX_DEPTH = 50
_MAX_DIGITS = 1_000

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def resolve(text: str) -> str | float | bool | None:
    """Return the value of a plain scalar: the core schema of YAML 1.2 (section 10.3.2).

    Raises
    ------
    ValueError
        An infinite number, not a number, or a number of more digits than Python reads.

    Examples
    --------
    >>> [resolve(text) for text in ("no", "on", "1.5", "0x10", "null", "2026-11-24")]
    ['no', 'on', 1.5, 16, None, '2026-11-24']
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        # Also a short one in base 16 may be more than Python writes in base 10, which every message would have to.
        if len(text) > _MAX_DIGITS:
            message = f"a number of {len(text):,} digits is more than can be read: in quotes it is text"
            raise ValueError(message)
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text) or _NOT_JSON.fullmatch(text):
        value = math.inf if _NOT_JSON.fullmatch(text) else float(text)
        if math.isinf(value):
            message = f"{text} is not a number that JSON has"
            raise ValueError(message)
        return value
    return text


@dataclass(slots=True)
class Located:
    """A value, and where it stands.

    Attributes
    ----------
    value
        None, a Boolean, a number, text, a list of `Located`, or a dict of them by key.
    path
        Of the file; None for text.
    line, column
        Both from 1.
    keys
        Of a mapping: where each key stands.
    verbatim
        A text that is written on one line as it is, so that a column inside it can be told.
    """

    value: Any
    path: str | None
    line: int
    column: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    verbatim: bool = False

    def plain(self) -> Any:  # noqa: ANN401 -- a JSON value
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def fail(self, message: str, *, offset: int = 0, node: str | None = None) -> NoReturn:
        """Raise a `WorkflowFileError` here, ``offset`` characters into the text."""
        column = self.column + (offset if self.verbatim else 0)
        raise WorkflowFileError(message, path=self.path, line=self.line, column=column, node=node)

    def fail_at_key(self, key: str, message: str) -> NoReturn:
        """Raise a `WorkflowFileError` where a key of the mapping stands."""
        line, column = self.keys[key]
        raise WorkflowFileError(message, path=self.path, line=line, column=column)

    def describe(self) -> str:
        """Return what kind of value this is, for messages."""
        match self.value:
            case None:
                return "nothing"
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case str() as text:
                return f"the text {_short(text)!r}"
            case bool():
                return str(self.value).lower()
            case number:
                return f"the number {_short(str(number))}"


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def locate(text: str, path: str | None = None) -> Located:
    r"""Return the value of a YAML (or JSON) text, with places.

    Raises
    ------
    WorkflowFileError
        Bad YAML, or YAML that is refused: an alias, a tag, a duplicate key, a second document, nesting
        deeper than 50, more than 10 million characters, a number that JSON does not have.

    Examples
    --------
    >>> located = locate("steps:\n  - task: ship")
    >>> located.plain(), located.value["steps"].line
    ({'steps': [{'task': 'ship'}]}, 2)
    """
    if len(text) > MAX_CHARACTERS:
        message = f"The file has more than {MAX_CHARACTERS:,} characters: is it a workflow?"
        raise WorkflowFileError(message, path=path)
    return _Builder(path).build(_events(text, path))


def _events(text: str, path: str | None) -> Iterator[Event]:
    yaml = YAML(typ="safe", pure=True)
    try:
        yield from yaml.parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"This is not YAML: {_reason(error)}."
        place = {} if mark is None else {"line": mark.line + 1, "column": mark.column + 1}
        raise WorkflowFileError(message, path=path, **place) from None
    except WorkflowFileError:
        raise
    except YAMLError as error:
        line, column = _place_of(text, getattr(error, "position", None))
        message = f"This is not YAML: {str(error).splitlines()[0]}."
        raise WorkflowFileError(message, path=path, line=line, column=column) from None
    except Exception as error:  # noqa: BLE001 -- the scanner leaks ValueError, IndexError … on odd input
        message = f"This is not YAML: {error}."
        raise WorkflowFileError(message, path=path) from None


def _reason(error: MarkedYAMLError) -> str:
    parts = [str(part).strip() for part in (error.context, error.problem) if part]
    reason = ", ".join(parts) or "it cannot be parsed"
    hints = {
        "found character '\\t'": " (indent with spaces, not with tabs)",
        "mapping values are not allowed": " (a text with ': ' in it needs quotes around it)",
        "cannot start any token": " (a text that begins with this character needs quotes around it)",
        "could not find expected ':'": " (a key needs a colon and a space behind it)",
    }
    return reason + next((hint for sign, hint in hints.items() if sign in reason), "")


def _place_of(text: str, position: object) -> tuple[int | None, int | None]:
    if not isinstance(position, int):
        return None, None
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


class _Builder:
    """Builds the tree from events; its stack holds the collections that are open."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.root: Located | None = None
        self.open: list[Located] = []
        self.key: list[tuple[str, int, int] | None] = []

    def build(self, events: Iterator[Event]) -> Located:
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.fail(event, "A file holds one workflow, and here a second document begins (---).")
            elif isinstance(event, NodeEvent):
                self.node(event)
            elif isinstance(event, CollectionEndEvent):
                self.open.pop()
                self.key.pop()
        if self.root is None:
            message = "The file is empty. Expected: workflow: <name>, and steps: or nodes: and flows:."
            raise WorkflowFileError(message, path=self.path, line=1, column=1)
        return self.root

    def fail(self, event: Event, message: str) -> NoReturn:
        mark = event.start_mark
        raise WorkflowFileError(message, path=self.path, line=mark.line + 1, column=mark.column + 1)

    def node(self, event: NodeEvent) -> None:
        if isinstance(event, AliasEvent) or event.anchor is not None:
            self.fail(event, "Anchors and aliases (&name, *name) are not read: write the value out where it is used.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.fail(event, f"Tags ({tag}) are not read: a workflow holds plain JSON values.")
        if self.open and isinstance(self.open[-1].value, dict) and self.key[-1] is None:
            self.take_key(event)
            return
        mark = event.start_mark
        located = Located(None, self.path, mark.line + 1, mark.column + 1)
        if isinstance(event, ScalarEvent):
            located.value = self.scalar(event)
            located.verbatim = event.style is None and event.end_mark.line == mark.line
        else:
            located.value = {} if isinstance(event, MappingStartEvent) else []
        self.place(located)
        if isinstance(event, CollectionStartEvent):
            if len(self.open) >= MAX_DEPTH:
                self.fail(event, f"Values are nested more than {MAX_DEPTH} deep.")
            self.open.append(located)
            self.key.append(None)

    def take_key(self, event: NodeEvent) -> None:
        if not isinstance(event, ScalarEvent):
            self.fail(event, "A key must be a word, not a list or a mapping. Does a text with braces lack quotes?")
        text = _joined(event.value)
        mapping = self.open[-1]
        if text in mapping.value:
            line = mapping.keys[text][0]
            self.fail(event, f"The key {_short(text)!r} stands twice in the same mapping, first in line {line}.")
        self.key[-1] = (text, event.start_mark.line + 1, event.start_mark.column + 1)

    def place(self, located: Located) -> None:
        if not self.open:
            self.root = located
            return
        parent = self.open[-1]
        if isinstance(parent.value, list):
            parent.value.append(located)
            return
        entry = self.key[-1]
        assert entry is not None  # noqa: S101 -- a value follows its key
        parent.value[entry[0]] = located
        parent.keys[entry[0]] = entry[1:]
        self.key[-1] = None

    def scalar(self, event: ScalarEvent) -> str | float | bool | None:
        if event.style is not None:
            return _joined(event.value)
        try:
            return resolve(event.value)
        except ValueError as error:
            self.fail(event, f"{_short(str(error))}.")


def _joined(text: str) -> str:
    r"""Join the halves of characters that JSON escapes in two (``\ud83d\ude00``)."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
