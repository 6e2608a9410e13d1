"""The legend of a picture: rows of samples with their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from orchkit.view.canvas import add, pair, write
from orchkit.view.scene import NOTE_SIZE
from orchkit.view.text import text_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orchkit.view.figures import Scale

__all__ = ["ROW", "Entry", "Sample", "draw_legend", "legend_rows", "samples"]

ROW = 22.0
_GAP, _SWATCH, _BESIDE = 18.0, 18.0, 34.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A paint and what it means; ``line`` is the width of a line, 0 for a box."""

    paint: str
    words: str
    line: float = 0.0

    @property
    def width(self) -> float:
        """The room that it takes."""
        return text_width(self.words, NOTE_SIZE) + _BESIDE


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of the legend: a title, and samples behind it."""

    title: str
    samples: tuple[Sample, ...] = ()

    @property
    def width(self) -> float:
        """The room that it takes."""
        return text_width(self.title, NOTE_SIZE) + 8 + sum(sample.width for sample in self.samples)


def samples(
    scale: Scale, paint: str, shades: Sequence[int], words: Callable[[float], str], *, line: float = 0.0
) -> tuple[Sample, ...]:
    """Return a sample for each class of a scale, the lowest first: ``paint`` with the number of its shade."""
    texts = [words(bound) for bound in scale.bounds]
    named = [f"below {texts[0]}", *(f"from {text}" for text in texts)] if texts else ["all"]
    return tuple(Sample(f"{paint}-{shade}", text, line) for shade, text in zip(shades, named, strict=True))


def legend_rows(entries: Iterable[Entry], width: float) -> list[list[Entry]]:
    """Return the entries in rows that are no wider than ``width``, where an entry alone is not."""
    rows: list[list[Entry]] = []
    room = 0.0
    for entry in entries:
        if not rows or room + entry.width > width:
            rows.append([])
            room = 0.0
        rows[-1].append(entry)
        room += entry.width + _GAP
    return rows


def draw_legend(svg: ET.Element, rows: Sequence[Sequence[Entry]], left: float, top: float) -> None:
    """Draw rows of entries, ``ROW`` apart; ``top`` is the middle of the first."""
    key = ET.SubElement(svg, "g", {"class": "legend"})
    for number, row in enumerate(rows):
        x = left
        for entry in row:
            _draw(key, entry, x, top + ROW * number)
            x += entry.width + _GAP


def _draw(parent: ET.Element, entry: Entry, x: float, y: float) -> None:
    write(parent, entry.title, (x, y + 4), size=NOTE_SIZE, paint="soft")
    x += text_width(entry.title, NOTE_SIZE) + 8
    for sample in entry.samples:
        if sample.line:
            add(parent, "path", stroke=sample.paint, d=f"M{pair((x, y))}h{_SWATCH:g}", stroke_width=sample.line)
        else:
            box = add(parent, "rect", fill=sample.paint, stroke="line", x=x, y=y - 6, width=_SWATCH, height=12)
            box.attrib |= {"rx": "3", "stroke-width": "1"}
        write(parent, sample.words, (x + 24, y + 4), size=NOTE_SIZE, paint="soft")
        x += sample.width
