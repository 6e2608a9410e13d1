"""The page made of an executed notebook, which needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

__all__ = ["as_html", "external_references"]

# nbconvert's page loads RequireJS, MathJax and Mermaid from elsewhere: none is needed here.
_TEMPLATE = """
{%- extends 'index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""
_STYLE = re.compile(r"<style.*?</style>", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_ADDRESS = re.compile(r"""(?:\b(?:https?|ftp|wss?):)?//[\w\[][^\s"'<>)]*""", re.IGNORECASE)
# A picture that stands in the page itself: its letters may look like anything, and lead nowhere.
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/=]*")
_IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*([^\s"')]+)""", re.IGNORECASE)
_LINKS = frozenset(
    {"src", "href", "xlink:href", "srcset", "action", "formaction", "data", "poster", "background", "cite", "content"}
)


def as_html(notebook: Path, target: Path) -> None:
    """Write an executed notebook as one page without any address of another place."""
    import nbconvert  # noqa: PLC0415 -- takes a second, and only who writes a page needs it

    exporter: Callable[..., Any] = nbconvert.HTMLExporter  # it has no types
    page, _ = exporter(raw_template=_TEMPLATE).from_filename(str(notebook))
    target.write_text(_STYLE.sub(_without_comments, page), encoding="utf-8")


def external_references(page: str) -> list[str]:
    """Return what a page would load from, or links to, elsewhere; nothing where it stands alone.

    Looked at are attributes that hold addresses, styles and scripts; not the text that people read, nor the names of
    XML namespaces.

    Examples
    --------
    >>> external_references('<script src="https://cdn.example/x.js"></script><p>see https://example.org</p>')
    ['https://cdn.example/x.js']
    >>> external_references('<img src="data:image/png;base64,iVBO//hPOs=">')
    []
    >>> external_references('<svg xmlns="http://www.w3.org/2000/svg"><a href="#top"></a></svg>')
    []
    """
    scanner = _Scanner()
    scanner.feed(page)
    scanner.close()
    return scanner.found


class _Scanner(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in ("script", "style") else None
        for name, value in attrs:
            if name in _LINKS:
                self.found.extend(_ADDRESS.findall(_IMAGE.sub("", value or "")))
            elif name == "style" or "url(" in (value or ""):
                self.found.extend(_in_style(value or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.found.extend(_ADDRESS.findall(re.sub(r"(?m)(^|\s)//.*$", "", data)))
        elif self._inside == "style":
            self.found.extend(_in_style(data))


def _without_comments(style: re.Match[str]) -> str:
    """Return a style without its comments, which name the places that JupyterLab took its colors from."""
    return _COMMENT.sub("", style[0])


def _in_style(text: str) -> Iterator[str]:
    return (address for address in _IN_STYLE.findall(text) if _ADDRESS.match(address))
