"""What every picture can do: show itself in a notebook, and be written to a file."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from orchkit.errors import RenderError
from orchkit.view.html import Bundle, picked, preformatted

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["Drawing", "Picture", "squeezed"]

_SIDE = 4_000  # pixels of a PNG, at most
_SCALE = 2.0  # for screens with two dots a pixel


class Picture:
    """A value that is drawn as SVG; what a kind of picture adds is ``label``, ``text`` and ``to_svg``.

    In a notebook it shows itself, in a saved, an untrusted and an exported one too: the display holds inline SVG, the
    SVG as an image, a PNG and text, and each viewer takes the best that it allows.
    """

    __slots__ = ()

    @property
    def label(self) -> str:
        """What the picture shows, in one line."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The same as text."""
        raise NotImplementedError

    def to_svg(self) -> str:
        """Return the drawing as an ``svg`` element, for a file of its own or inside a page.

        Raises
        ------
        RenderError
            A program or library that draws is missing, failed or took too long.
        """
        raise NotImplementedError

    def to_png(self) -> bytes:
        """Return the drawing as PNG, in the light theme.

        Raises
        ------
        RenderError
            As for ``to_svg``.
        """
        return _png(self.to_svg())

    def to_html(self) -> str:
        """Return the drawing as a page of its own, without scripts.

        Raises
        ------
        RenderError
            As for ``to_svg``.
        """
        title = f"<title>{escape(self.label)}</title>"
        head = f'<meta charset="utf-8"><meta name="color-scheme" content="light dark">{title}'
        return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{self.to_svg()}</body></html>\n'

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file whose suffix says how: ``.svg``, ``.png``, ``.html`` or ``.txt``.

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        RenderError
            The suffix is not one of these, or as for ``to_svg``.
        """
        path = Path(path)
        content = self._content(path.suffix.lower())
        if content is None:
            known = ", ".join(self._suffixes()[:-1])
            message = (
                f"A picture cannot be saved as {path.name!r}: its suffix must be {known} or {self._suffixes()[-1]}."
            )
            raise RenderError(message)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return path

    def _inline(self) -> str:
        """Return the drawing for a page, with a PNG for pages that take out drawings and styles.

        So does JupyterLab with notebooks that are not trusted: what is left of the HTML then is the PNG, and the text.
        """
        image = base64.b64encode(self.to_png()).decode()
        flat = f'<img class="orchkit-flat" alt="{escape(self.label)}" src="data:image/png;base64,{image}">'
        # A picture that is much wider than the page is scrolled, not made illegible.
        style = "<style>.orchkit-flat{display:none}</style>"
        return f'<div style="overflow-x:auto" tabindex="0">{style}{flat}<small>{self.to_svg()}</small></div>'

    def _suffixes(self) -> tuple[str, ...]:
        return (".svg", ".png", ".html", ".txt")

    def _content(self, suffix: str) -> str | bytes | None:
        """Return what a file with this suffix holds; None for one that a picture is not saved as."""
        match suffix:
            case ".svg":
                return self.to_svg()
            case ".png":
                return self.to_png()
            case ".html":
                return self.to_html()
            case ".txt":
                return self.text + "\n"
            case _:
                return None

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(
        self,
        include: Container[str] | None = None,
        exclude: Container[str] | None = None,
    ) -> Bundle:
        try:
            return picked(
                {
                    "text/html": self._inline,
                    "image/svg+xml": self.to_svg,
                    "image/png": self.to_png,
                    "text/plain": lambda: str(self),
                },
                include,
                exclude,
            )
        except RenderError as error:
            # A display never fails: the text takes the picture's place, and the reason stands above it.
            hint = error.message
            makers = {"text/html": lambda: preformatted(str(self), hint), "text/plain": lambda: str(self)}
            return picked(makers, include, exclude)


@dataclass(frozen=True, slots=True)
class Drawing(Picture):
    """A picture that is drawn already.

    Attributes
    ----------
    label
        What it shows, in a line: the alternative text.
    text
        The same as text.
    svg
        The drawing.
    """

    label: str = field()  # without it, the property of the same name were its default
    text: str = field(repr=False)
    svg: str = field(repr=False)

    def to_svg(self) -> str:
        """Return the drawing as an ``svg`` element, for a file of its own or inside a page."""
        return self.svg


@lru_cache(maxsize=16)
def _png(svg: str) -> bytes:
    try:
        vl_convert = import_module("vl_convert")  # 50 MB that only this needs
    except ImportError as error:
        message = "A PNG needs the package vl-convert-python: install it with pip. The SVG is there without it."
        raise RenderError(message) from error
    # The converter knows no style sheets for themes; without one the light theme's paint attributes hold.
    before, _, rest = svg.partition("<style>")
    plain = before + rest.partition("</style>")[2]
    width, height = (float(part) for part in plain.partition('viewBox="0 0 ')[2].partition('"')[0].split())
    return squeezed(bytes(vl_convert.svg_to_png(plain, scale=min(_SCALE, _SIDE / max(width, height)))))


def squeezed(png: bytes) -> bytes:
    """Return a PNG compressed well: the converter is content with four times the size, and notebooks keep it."""
    chunks, place = [], 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        chunks.append((png[place + 4 : place + 8], png[place + 8 : place + 8 + size]))
        place += size + 12
    pixels = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
    head, rest = chunks[0], [chunk for chunk in chunks[1:] if chunk[0] != b"IDAT"]
    chunks = [head, *rest[:-1], (b"IDAT", zlib.compress(pixels, 6)), rest[-1]]
    return png[:8] + b"".join(
        len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks
    )
