"""Chart: a picture of figures, as a value that draws itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from orchkit.errors import RenderError
from orchkit.view.picture import Picture, squeezed
from orchkit.view.text import clean
from orchkit.view.theme import DARK, LIGHT

__all__ = ["Chart", "Theme"]

Theme = Literal["auto", "light", "dark"]

_NAME = "orchkit-chart"
_MARK = re.compile(r'<(path|rect|line|text|image)((?: [\w:-]+="[^"]*")*? aria-label="([^"]*)"(?: [\w:-]+="[^"]*")*)/>')
_SIZE = re.compile(r'^<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>')
_IDS = re.compile(r'(id="|url\(#|href="#)(?=(?:clip|gradient|pattern))')


@dataclass(frozen=True, slots=True)
class Chart(Picture):
    """A chart. A notebook displays it; elsewhere, ask it for SVG, PNG, HTML or its Vega-Lite.

    Attributes
    ----------
    vega_lite
        The specification as JSON, data included, in the light theme.
    label
        What is drawn, in a sentence: the alternative text.
    text
        The figures as text, for consoles and screen readers.
    """

    vega_lite: str = field(repr=False)
    label: str = field()  # without it, the property of the same name were its default
    text: str = field(default="", repr=False)

    def __repr__(self) -> str:
        return f"<Chart: {self.label}>"

    def __str__(self) -> str:
        return f"{self.label}\n{self.text}" if self.text else self.label

    def to_svg(self, theme: Theme = "auto") -> str:
        """Return the drawing as an ``svg`` element, for a file of its own or inside a page.

        Parameters
        ----------
        theme
            ``auto`` follows the page or, if the page does not say, the reader's system.

        Raises
        ------
        RenderError
            vl-convert-python is missing, or cannot draw the specification.
        """
        return _svg(self.vega_lite, self.label, theme)

    def to_png(self, theme: Theme = "light", scale: float = 2.0) -> bytes:
        """Return the drawing as PNG; ``auto`` is light here. Raises as `to_svg`."""
        svg = _svg(self.vega_lite, self.label, "dark" if theme == "dark" else "light")
        return squeezed(bytes(_converter().svg_to_png(svg, scale=scale)))

    def to_html(self, theme: Theme = "auto") -> str:
        """Return a page of its own with the drawing in it. Raises as `to_svg`."""
        schemes = "light dark" if theme == "auto" else theme
        head = f'<meta charset="utf-8"><meta name="color-scheme" content="{schemes}">'
        title = f"<title>{escape(clean(self.label))}</title>"
        return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{title}</head><body>{self.to_svg(theme)}</body></html>\n'

    def to_dict(self) -> dict[str, Any]:
        """Return the Vega-Lite specification, for other programs and for widgets."""
        specification: dict[str, Any] = json.loads(self.vega_lite)
        return specification

    def to_altair(self) -> Any:  # noqa: ANN401 -- any kind of Altair's charts
        """Return it as an Altair chart, to change it further."""
        return import_module("altair").Chart.from_dict(self.to_dict())

    def save(self, path: str | Path, theme: Theme = "auto") -> Path:
        """Write the picture to a file whose suffix says how: ``.svg``, ``.png``, ``.html``, ``.json`` or ``.txt``.

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        RenderError
            The suffix is not one of these, or as for `to_svg`.
        """
        path = Path(path)
        match path.suffix.lower():
            case ".svg":
                content = self.to_svg(theme)
            case ".png":
                path.write_bytes(self.to_png(theme))
                return path
            case ".html":
                content = self.to_html(theme)
            case ".json":
                content = self.vega_lite
            case ".txt":
                content = f"{self}\n"
            case _:
                message = (
                    f"A chart cannot be saved as {path.name!r}: its suffix must be .svg, .png, .html, .json or .txt."
                )
                raise RenderError(message)
        path.write_text(content, encoding="utf-8")
        return path


def _converter() -> Any:  # noqa: ANN401 -- has no types
    try:
        return import_module("vl_convert")  # 50 MB that only pictures need
    except ImportError as error:
        message = "A chart is drawn by the package vl-convert-python: install it with pip. to_dict() works without it."
        raise RenderError(message) from error


@lru_cache(maxsize=64)
def _svg(vega_lite: str, label: str, theme: Theme) -> str:
    try:
        # Nothing is fetched: the data is in the specification.
        drawn: str = _converter().vegalite_to_svg(vega_lite, allowed_base_urls=[])
    except ValueError as error:
        message = f"The chart cannot be drawn: {str(error).splitlines()[0]}"
        raise RenderError(message) from error
    if theme == "dark":
        for light, dark in _PAINTS.items():
            drawn = drawn.replace(f'"{light}"', f'"{dark}"')
    # Several charts stand side by side in a page, so that identifiers must differ.
    drawn = _IDS.sub(rf"\g<1>c{sha256(vega_lite.encode()).hexdigest()[:8]}-", drawn)
    # What a screen reader is told of a mark, a mouse is shown.
    drawn = _MARK.sub(r"<\1\2><title>\3</title></\1>", drawn)
    found = _SIZE.match(drawn)
    width, height = (float(size) for size in found.groups()) if found else (0.0, 0.0)
    said = escape(clean(label))
    box = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="{_NAME}" role="img" aria-label="{said}" {box} '
        f'style="width:100%;min-width:{0.6 * width:.0f}px;max-width:{width:g}px;height:auto">'
    )
    style = f"<style>{_style_sheet(drawn)}</style>" if theme == "auto" else ""
    return f"{head}<title>{said}</title>{style}{drawn[found.end() if found else 0 :]}"


# The paints of the light theme, as they are in the dark one.
_PAINTS = {LIGHT[name]: DARK[name] for name in LIGHT}


def _style_sheet(drawn: str) -> str:
    """Return the rules that repaint what is drawn, where the page is dark.

    JupyterLab and Visual Studio Code say on the page's body which theme it has; elsewhere the reader's system decides.
    """
    used = {light: dark for light, dark in _PAINTS.items() if f'"{light}"' in drawn}

    def painted(selector: str, paints: dict[str, str]) -> str:
        return "".join(
            f'{selector}.{_NAME} [{kind}="{light}"]{{{kind}:{paint}}}'
            for light, paint in paints.items()
            for kind in ("fill", "stroke")
            if f'{kind}="{light}"' in drawn
        )

    light = {one: one for one in used}
    return "".join(
        [
            "@media (prefers-color-scheme:dark){" + painted("", used) + "}",
            *(painted(selector, light) for selector in ('[data-jp-theme-light="true"] ', ".vscode-light ")),
            *(painted(selector, used) for selector in ('[data-jp-theme-light="false"] ', ".vscode-dark ")),
        ]
    )
