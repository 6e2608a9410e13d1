"""A table as a picture, for where HTML is not shown: the same rows, signs and cuts as `orchkit.view.html`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pandas as pd

from orchkit.errors import RenderError
from orchkit.view.canvas import add, draw_sign, finished, page, write
from orchkit.view.html import SIGNED_COLUMNS, cell_text, picked, table_bundle
from orchkit.view.picture import Picture
from orchkit.view.scene import NAME_SIZE, NOTE_SIZE
from orchkit.view.text import clean, text_width, wrap

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from xml.etree import ElementTree as ET

    from orchkit.view.html import Bundle

__all__ = ["TablePicture", "picture_of", "with_picture"]

_WIDTH, _NARROWEST, _WIDEST = 1000.0, 64.0, 420.0
_PAD, _GAP, _SIGN = 14.0, 18.0, 22.0
_LINE, _ROW_PAD = 15.0, 10.0
_LINES = 8  # of a cell, at most
_ROWS = 40


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as drawn; ``left`` is where its text begins."""

    name: str
    cells: tuple[str, ...]
    is_number: bool
    is_signed: bool
    width: float = 0.0
    left: float = 0.0

    @property
    def natural(self) -> float:
        """How wide it would be on one line."""
        texts = [text_width(text, NAME_SIZE) for text in self.cells]
        widest = max([text_width(self.name, NOTE_SIZE) * 1.1, *texts])
        return min(_WIDEST, widest + (_SIGN if self.is_signed else 0.0))


@dataclass(frozen=True, slots=True)
class TablePicture(Picture):
    """A table that is drawn.

    Attributes
    ----------
    label
        Its caption.
    text
        The same as text.
    """

    label: str = field()
    text: str = field(repr=False)
    columns: tuple[_Column, ...] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    def to_svg(self) -> str:
        """Return the drawing as an ``svg`` element."""
        rows = [
            [
                wrap(text, _room(column), NAME_SIZE, lines=_LINES, is_name=False)
                for text, column in zip(row, self.columns, strict=True)
            ]
            for row in zip(*(column.cells for column in self.columns), strict=True)
        ]
        heights = [max(map(len, row)) * _LINE + _ROW_PAD for row in rows]
        last = self.columns[-1]
        width = max(last.left + last.width, _PAD + text_width(self.label, 13) * 1.1) + _PAD
        head = 30.0 + 24.0
        height = _PAD + head + sum(heights) + (16.0 * len(self.notes) + 6 if self.notes else 0.0) + _PAD / 2
        svg = page(self.label, width, height)
        write(svg, self.label, (_PAD, _PAD + 13), size=13, font_weight="bold")
        y = _PAD + 30.0
        for column in self.columns:
            at, anchor = _at(column)
            write(svg, column.name, (at, y + 13), size=NOTE_SIZE, paint="soft", font_weight="bold", text_anchor=anchor)
        y += 24.0
        _rule(svg, y - 4, width, "line")
        for row, tall in zip(rows, heights, strict=True):
            self._draw_row(svg, row, y)
            y += tall
            _rule(svg, y - 4, width, "border")
        for note in self.notes:
            y += 16.0
            write(svg, note, (_PAD, y), size=NOTE_SIZE, paint="soft")
        return finished(svg)

    def _draw_row(self, svg: ET.Element, row: Sequence[Sequence[str]], y: float) -> None:
        for column, lines in zip(self.columns, row, strict=True):
            at, anchor = _at(column)
            if column.is_signed and any(lines):
                draw_sign(svg, " ".join(lines), (at + 8, y + 8))
                at += _SIGN
            for number, line in enumerate(lines):
                write(svg, line, (at, y + 12 + _LINE * number), text_anchor=anchor)


def with_picture(
    frame: pd.DataFrame,
    caption: str,
    *,
    note: str = "",
    max_rows: int = 50,
    include: Container[str] | None = None,
    exclude: Container[str] | None = None,
) -> Bundle:
    """Return a frame as a display takes it: a table in HTML and in text, and a picture of it as SVG and PNG.

    Examples
    --------
    >>> sorted(with_picture(pd.DataFrame({"node": ["ship"]}), "Steps", exclude={"image/png"}))
    ['image/svg+xml', 'text/html', 'text/plain']
    """
    bundle = table_bundle(frame, caption, note=note, max_rows=max_rows, include=include, exclude=exclude)
    picture = picture_of(frame, caption, note=note, max_rows=min(max_rows, _ROWS))
    try:
        drawn = picked({"image/svg+xml": picture.to_svg, "image/png": picture.to_png}, include, exclude)
    except RenderError:  # a display never fails, and the table says it all
        return bundle
    return {**bundle, **drawn}


def picture_of(
    frame: pd.DataFrame, caption: str, *, text: str = "", note: str = "", max_rows: int = _ROWS
) -> TablePicture:
    """Return a frame as a picture.

    Parameters
    ----------
    frame
        The rows. In columns called ``status`` and ``severity`` the values get their signs.
    caption, note
        Above and below the table.
    text
        The same as text, for where there are no pictures.
    max_rows
        How many rows are drawn; what is left out is said.

    Examples
    --------
    >>> table = picture_of(pd.DataFrame({"node": ["ship"], "status": ["FAILED"]}), "Steps")
    >>> table, "ship" in table.to_svg()
    (TablePicture(label='Steps'), True)
    """
    shown = frame.head(max_rows)
    columns = [
        _Column(
            clean(name),
            tuple(clean(cell_text(value, "")) for value in shown[name]),
            pd.api.types.is_numeric_dtype(shown[name].dtype),
            name in SIGNED_COLUMNS,
        )
        for name in map(str, frame.columns)
    ]
    left = len(frame) - len(shown)
    notes = [line for line in (f"… {left:,} more rows" if left > 0 else "", note) if line]
    return TablePicture(clean(caption), text, tuple(_placed(columns)), tuple(map(clean, notes)))


def _placed(columns: Sequence[_Column]) -> list[_Column]:
    """Give each column its width, the wide ones as much as is left, and its place."""
    naturals = [column.natural for column in columns]
    room = _WIDTH - _GAP * (len(columns) - 1)
    limit = _WIDEST
    while sum(min(natural, limit) for natural in naturals) > room and limit > _NARROWEST:
        limit -= 4.0
    placed, x = [], _PAD
    for column, natural in zip(columns, naturals, strict=True):
        width = min(natural, limit)
        placed.append(replace(column, width=width, left=x))
        x += width + _GAP
    return placed


def _room(column: _Column) -> float:
    # A hair more than its own measure, so that what fits on a line stays on one.
    return column.width - (_SIGN if column.is_signed else 0.0) + 0.5


def _at(column: _Column) -> tuple[float, str]:
    return (column.left + column.width, "end") if column.is_number else (column.left, "start")


def _rule(svg: ET.Element, y: float, width: float, paint: str) -> None:
    opacity = {} if paint == "line" else {"stroke_opacity": "0.35"}
    add(svg, "path", stroke=paint, d=f"M{_PAD} {y:g}H{width - _PAD:g}", stroke_width=1, **opacity)
