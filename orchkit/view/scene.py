"""What a picture shows, before anyone knows where: shapes, groups, links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orchkit.view.text import clean, shorten, text_width
from orchkit.view.theme import look_of, most_pressing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchkit.view.legend import Entry

__all__ = [
    "NAME_SIZE",
    "NOTE_SIZE",
    "Form",
    "Group",
    "Heat",
    "Link",
    "LinkKind",
    "Scene",
    "Shape",
    "Standing",
    "Statuses",
    "count_width",
    "standing_of",
]

NAME_SIZE, NOTE_SIZE = 12.0, 10.5
Statuses = Mapping[str, str | Mapping[str, int]]  # by node: a status, or how many steps have each status
_LINE, _NOTE_LINE = 15.0, 14.0
_CELLS = {"start": 28.0, "end": 28.0, "terminate": 28.0, "error": 28.0, "gateway": 44.0, "wait": 38.0, "anchor": 2.0}


class Form(StrEnum):
    """The form of a shape."""

    START = "start"
    END = "end"
    TERMINATE = "terminate"
    ERROR = "error"
    GATEWAY = "gateway"
    WAIT = "wait"
    ANCHOR = "anchor"  # invisible: where flows to a scope without a start end
    TASK = "task"
    CALL = "call"
    SCOPE = "scope"  # one that is folded
    MORE = "more"  # many nodes folded into one


class LinkKind(StrEnum):
    """What a link stands for."""

    NORMAL = "normal"
    ERROR = "error"
    TIMEOUT = "timeout"
    COMPENSATION = "compensation"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the steps of a node stand: how many have each status, the most pressing first.

    Examples
    --------
    >>> standing = Standing((("FAILED", 1), ("COMPLETED", 2)))
    >>> standing.status, standing.words
    ('FAILED', '1 failed, 2 completed')
    """

    counts: tuple[tuple[str, int], ...]

    @property
    def status(self) -> str:
        """The most pressing status."""
        return self.counts[0][0]

    @property
    def words(self) -> str:
        """All of it in words."""
        if self.is_single:
            return look_of(self.status).word
        return ", ".join(f"{count} {look_of(status).word}" for status, count in self.counts)

    @property
    def is_single(self) -> bool:
        """Whether there is one step, whose sign needs no number."""
        return self.counts == ((self.status, 1),)

    @property
    def width(self) -> float:
        """How wide the signs are, with their numbers, side by side."""
        signs = 19.0 * len(self.counts)
        return signs if self.is_single else signs + sum(count_width(count) + 4.0 for _, count in self.counts)


def count_width(count: int) -> float:
    """Return how wide the number behind a sign is."""
    return text_width(str(count), NOTE_SIZE) + 5.0


def standing_of(statuses: Iterable[str | Mapping[str, int]]) -> Standing | None:
    """Return what several statuses, or counts by status, come to; None for none."""
    counts: Counter[str] = Counter()
    for status in statuses:
        counts.update({status: 1} if isinstance(status, str) else status)
    left = {clean(shorten(str(status))): count for status, count in counts.items() if count > 0}
    ordered = []
    while left:
        status = most_pressing(list(left))
        ordered.append((status, left.pop(status)))
    return Standing(tuple(ordered)) if ordered else None


@dataclass(frozen=True, slots=True)
class Heat:
    """A figure that a log has for a node: the paint of its shade, 0 to 4, its words and their icon."""

    paint: str
    words: str
    icon: str = ""
    shade: int = 0

    @property
    def width(self) -> float:
        """How wide the words are, with their icon."""
        return text_width(self.words, NOTE_SIZE, bold=True) + (14.0 if self.icon else 0.0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A node as drawn: one of the model, or several folded into one.

    ``lines`` is its name, broken into lines; ``heat`` a figure out of a log and ``note`` the smaller line below;
    ``tip`` the whole story. ``undoes`` marks a compensation task; ``above`` puts the name of a circle above it, in a
    picture downwards left of it.
    """

    id: str
    node: str
    form: Form
    lines: tuple[str, ...] = ()
    note: str = ""
    note_icon: str = ""
    icon: str = ""
    tip: str = ""
    standing: Standing | None = None
    heat: Heat | None = None
    undoes: bool = False
    above: bool = False

    @property
    def cell(self) -> float:
        """Side of the square that holds a circle or a diamond; 0 for a box."""
        return _CELLS.get(self.form, 0.0)

    @property
    def counts_size(self) -> tuple[float, float]:
        """Width and height of the signs of a circle or a diamond that would cover it, and so stand beside it."""
        if not self.cell or self.standing is None or self.standing.is_single:
            return 0.0, 0.0
        return self.standing.width, 16.0

    @property
    def text_size(self) -> tuple[float, float]:
        """Width and height of the text."""
        size = NOTE_SIZE if self.cell else NAME_SIZE
        widths = [text_width(line, size) for line in self.lines]
        if self.note:
            widths.append(text_width(self.note, NOTE_SIZE) + (14.0 if self.note_icon else 0.0))
        if self.heat:
            widths.append(self.heat.width)
        notes = bool(self.note) + bool(self.heat)
        height = len(self.lines) * (_NOTE_LINE if self.cell else _LINE) + notes * _NOTE_LINE
        return max(widths, default=0.0), height

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of a box, or of the circle or diamond without its name."""
        if self.cell:
            return self.cell, self.cell
        width, height = self.text_size
        margin = 24.0 + (24.0 if self.icon else 0.0) + (16.0 if self.form is Form.SCOPE else 0.0)
        return max(84.0, width + margin), max(44.0, height + 18.0)


@dataclass(frozen=True, slots=True)
class Group:
    """A scope as drawn, with what is inside."""

    id: str
    node: str
    title: str = ""
    note: str = ""
    icon: str = ""
    tip: str = ""
    standing: Standing | None = None
    parts: tuple[Shape | Group, ...] = ()
    links: tuple[Link, ...] = ()
    level: tuple[tuple[str, str], ...] = ()  # pairs of shapes that stand at the same stage


@dataclass(frozen=True, slots=True)
class Link:
    """A flow as drawn; ``from_group`` and ``to_group`` say that it leaves or reaches the frame of a group."""

    id: str
    source: str
    target: str
    kind: LinkKind = LinkKind.NORMAL
    lines: tuple[str, ...] = ()
    tip: str = ""
    is_default: bool = False
    from_group: str | None = None
    to_group: str | None = None
    is_loose: bool = False  # says nothing about what comes first
    hidden: bool = False  # only says what comes first


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole picture. ``direction`` is ``LR`` or ``TB``; ``legend`` explains statuses, ``scale`` shades."""

    name: str
    label: str
    root: Group
    direction: str = "LR"
    legend: tuple[tuple[str, int], ...] = ()
    scale: tuple[Entry, ...] = ()

    def groups(self) -> Iterator[Group]:
        """Yield the groups, outer before inner, the root first."""
        waiting = [self.root]
        while waiting:
            group = waiting.pop()
            yield group
            waiting.extend(part for part in reversed(group.parts) if isinstance(part, Group))

    def shapes(self) -> Iterator[Shape]:
        """Yield the shapes."""
        for group in self.groups():
            yield from (part for part in group.parts if isinstance(part, Shape))

    def links(self) -> Iterator[Link]:
        """Yield the links."""
        for group in self.groups():
            yield from group.links
