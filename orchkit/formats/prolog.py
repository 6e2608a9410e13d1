"""What stands before the first trace of an XES file, read by expat, which refuses what could expand without end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.parsers import expat

from orchkit.errors import LogError

__all__ = ["body", "not_xml", "parser"]

_PLAIN = frozenset({"utf-8", "us-ascii"})
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the first bytes of UTF-16
_SLICE = 1 << 16


class _Found(Exception):
    """The first trace begins here: the number of the byte is what it carries."""


def parser() -> expat.XMLParserType:
    """Return a parser that refuses a document type, and with it every entity of one's own."""
    made = expat.ParserCreate()
    made.buffer_text = True

    def refuse(*_: object) -> None:
        message = "The file has a document type (<!DOCTYPE>), which could expand without end. Event logs need none."
        raise LogError(message)

    made.StartDoctypeDeclHandler = refuse
    made.EntityDeclHandler = refuse
    return made


def not_xml(path: Path, error: Exception) -> LogError:
    """Return the error for a file that is no XML."""
    return LogError(f"{path.name} is not well-formed XML: {error}. Is it an XES file, and whole?")


def body(pieces: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Yield the file from its first trace on; nothing, where it has none or is not in UTF-8.

    Raises
    ------
    LogError
        The file has a document type, or is no XML.
    """
    head, encodings = parser(), list[str | None]([None])

    def declared(_: str, encoding: str | None, __: int) -> None:
        encodings.append(encoding)

    def begun(tag: str, _: dict[str, str]) -> None:
        if tag == "trace":
            raise _Found(head.CurrentByteIndex)

    head.XmlDeclHandler, head.StartElementHandler = declared, begun
    fed, is_head, last = 0, True, b""
    for piece in pieces:
        if not is_head:
            yield piece
            continue
        if not fed and piece[:2] in _WIDE:
            return
        try:
            for begin in range(0, len(piece), _SLICE):
                head.Parse(piece[begin : begin + _SLICE], False)  # noqa: FBT003 -- expat's own signature
        except _Found as found:
            if (encodings[-1] or "utf-8").lower() not in _PLAIN:
                return
            is_head, at = False, int(found.args[0])
            # A tag that began in the piece before must not be cut.
            yield piece[at - fed :] if at >= fed else last[at - fed :] + piece
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise not_xml(path, error) from None
        fed, last = fed + len(piece), piece
