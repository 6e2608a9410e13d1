"""What stands before the first trace of an XES file, read by expat, which refuses what could expand without end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.parsers import expat

from orchkit.errors import LogError

__all__ = ["body", "not_xml", "of_the_log", "parser", "said_of"]

_PLAIN = frozenset({"utf-8", "us-ascii"})
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the first bytes of UTF-16
_SLICE = 1 << 16
_TRACE = re.compile(rb"<trace[\s/>]")
_ODD = re.compile(rb"<[!?]")  # comments and the like, in which anything may stand
_LONGEST = 64 << 20
_TOLD = re.compile(
    rb"<(?:!--.*?-->|!\[CDATA\[.*?\]\]>|\?.*?\?>|(global)[\s>].*?</global\s*>|(classifier)[\s/>])", re.DOTALL
)
_KEY = re.compile(rb"key(?<=\skey)\s*=\s*[\"']")  # letters first: those are sought eight times as fast as a space


class _Found(Exception):
    """The element begins here: the number of the byte is what it carries."""


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
    """Return the error for a file that is no XML; one of our own says more, and stays."""
    if isinstance(error, LogError):
        return error
    return LogError(f"{path.name} is not well-formed XML: {error}. Is it an XES file, and whole?")


def body(pieces: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Yield what stands before the first trace, then the file from there on.

    Nothing, where it has none or is not in UTF-8.

    Raises
    ------
    LogError
        The file has a document type, or is no XML.
    """
    pieces, head, found = iter(pieces), bytearray(), None
    for piece in pieces:
        sought = max(len(head) - len("<trace"), 0)
        head += piece
        found = _TRACE.search(head, sought)
        if found or len(head) > _LONGEST or head[:2] in _WIDE:
            break
    whole = bytes(head)
    first = _first_trace(whole, path) if found else None
    if first is not None:
        yield whole[:first]
        yield whole[first:]
        yield from pieces


def of_the_log(attributes: int, globals_: int, classifiers: int) -> list[str]:
    """Return the note on what a file says of the log itself, which a log here does not hold."""
    counts = {"attribute": attributes, "global": globals_, "classifier": classifiers}
    told = ", ".join(f"{count:,} {what}{'s' * (count > 1)}" for what, count in counts.items() if count)
    return [f"what the file says of the log itself was dropped: {told}"] if told else []


def said_of(head: bytes) -> list[str]:
    """Return that note on what stands before the first trace."""
    globals_, classifiers, attributes = 0, 0, len(_KEY.findall(head))
    for found in _TOLD.finditer(head):
        globals_ += found[1] is not None
        classifiers += found[2] is not None
        attributes -= len(_KEY.findall(found[0]))
    return of_the_log(attributes, globals_, classifiers)


def _first_trace(head: bytes, path: Path) -> int | None:
    """Return the byte that the first trace begins at, None if there is none, or the text is not in UTF-8.

    What a log says of itself can be megabytes of nested attributes: expat reads up to the log's own tag, and the rest
    only where something might look like a trace and be none.
    """
    try:
        log = _begin(head, None)
        found = _TRACE.search(head, log or 0)
        if log is not None and found and not _ODD.search(head, log, found.start()):
            return found.start()
        return _begin(head, "trace")
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise not_xml(path, error) from None


def _begin(head: bytes, wanted: str | None) -> int | None:
    """Return the byte that an element begins at, of this name or of any."""
    reader, encodings = parser(), list[str | None]([None])

    def declared(_: str, encoding: str | None, __: int) -> None:
        encodings.append(encoding)

    def begun(tag: str, _: dict[str, str]) -> None:
        if wanted in {tag, None}:
            raise _Found(reader.CurrentByteIndex)

    reader.XmlDeclHandler, reader.StartElementHandler = declared, begun
    try:
        for at in range(0, len(head), _SLICE):
            reader.Parse(head[at : at + _SLICE], False)  # noqa: FBT003 -- expat's own signature
    except _Found as found:
        return int(found.args[0]) if (encodings[-1] or "utf-8").lower() in _PLAIN else None
    return None
