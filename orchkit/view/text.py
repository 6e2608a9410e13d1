"""Text that fits into a picture: cleaned, measured, shortened, wrapped."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["clean", "shorten", "text_width", "wrap"]

# Not allowed in XML 1.0, section 2.2, or not encodable; Graphviz's HTML labels go through an XML parser too. Then the
# characters that turn the direction of what follows them (Unicode Standard Annex 9), and with it the meaning.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
_WORDS = re.compile(r"\S+|\s+")
_NAME_PARTS = re.compile(r"\S+?(?:[_\-./:,;](?=\w)|(?=[\s])|$)|\s+")

# Widths of Helvetica in thousandths of an em (Adobe's font metrics), the characters grouped by width.
_GROUPS = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " !,./:;I[\\]ft",
    333: "()-`r",
    334: "{}",
    355: '"',
    389: "*",
    469: "^",
    500: "Jckvsxyz",
    556: "#$0123456789?L_abdeghnopqu",
    584: "+<=>~",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
_WIDTHS = {char: width / 1000 for width, chars in _GROUPS.items() for char in chars}
_NARROW, _WIDE = 0.62, 1.0
_LONGEST = 500  # characters of a text that are looked at
_BOLD = 1.14
_SPARE = 1.07  # for viewers without Helvetica's metrics


def clean(text: object) -> str:
    r"""Return text without the characters that no XML document may hold, and those that turn the writing around.

    Examples
    --------
    >>> clean("ship\x00ped")
    'ship�ped'
    """
    return _ILLEGAL.sub("\ufffd", str(text))


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line in pixels, with a little to spare, as Helvetica would take it.

    Examples
    --------
    >>> round(text_width("ship", 12), 1)
    23.5
    """
    return (_BOLD if bold else 1.0) * _SPARE * size * sum(_WIDTHS.get(char) or _other(char) for char in text)


def _other(char: str) -> float:
    if unicodedata.combining(char):
        return 0.0
    return _WIDE if unicodedata.east_asian_width(char) in "WF" else _NARROW


def shorten(text: str, limit: int = 40) -> str:
    """Return text on one line, cut at ``limit`` characters with an ellipsis.

    Examples
    --------
    >>> shorten("order.country == 'US'", 14)
    'order.country…'
    """
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def wrap(text: str, width: float, size: float, *, lines: int = 3, is_name: bool = True) -> tuple[str, ...]:
    """Return text broken at spaces, in names after underscores and the like, into lines of ``width`` pixels.

    Words that are too long are cut; what is left over after ``lines`` is an ellipsis.

    Examples
    --------
    >>> wrap("send_confirmation to the customer", 90, 12)
    ('send_', 'confirmation to', 'the customer')
    """
    done: list[str] = []
    line = ""
    for piece in _pieces(text, width, size, _NAME_PARTS if is_name else _WORDS):
        if line and text_width((line + piece).rstrip(), size) > width:
            done.append(line.rstrip())
            if len(done) == lines:
                return (*done[:-1], _ellipsis(done[-1], width, size))
            line = ""
        line = line + piece if line else piece.lstrip()
    return (*done, line.rstrip()) if line.strip() or not done else tuple(done)


def _pieces(text: str, width: float, size: float, parts: re.Pattern[str]) -> list[str]:
    """Break text where a line may end; cut pieces wider than a line."""
    pieces: list[str] = []
    for piece in parts.findall(" ".join(text[:_LONGEST].split())):
        part = ""
        for char in piece:
            if part and text_width(part + char, size) > width:
                pieces.append(part)
                part = ""
            part += char
        pieces.append(part)
    return pieces


def _ellipsis(line: str, width: float, size: float) -> str:
    while line and text_width(line + "…", size) > width:
        line = line[:-1]
    return line + "…"
