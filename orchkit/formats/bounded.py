"""Bytes of a file, plain or gz, that cannot fill the memory: what unpacks too far is refused on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isal import isal_zlib

from orchkit.errors import LogError

__all__ = ["chunks"]

_CHUNK = 1 << 21
_GZIP = b"\x1f\x8b"
# Logs pack 10 to 50 times; deflate's best, for zeros, is 1,032.
_MOST_TIMES, _ALWAYS_FINE = 200, 64 << 20


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in pieces of two megabytes or less, unpacked where it is gz.

    Raises
    ------
    LogError
        The file is cut short or damaged, or it unpacks to more than 200 times its size.
    """
    with path.open("rb") as file:
        piece = file.read(_CHUNK)
        if not piece.startswith(_GZIP):
            while piece:
                yield piece
                piece = file.read(_CHUNK)
            return
        most = max(_ALWAYS_FINE, path.stat().st_size * _MOST_TIMES)
        yield from _unpacked(path, iter(lambda: file.read(_CHUNK), b""), piece, most)


def _unpacked(path: Path, more: Iterator[bytes], piece: bytes, most: int) -> Iterator[bytes]:
    total, inflate = 0, isal_zlib.decompressobj(wbits=31)
    try:
        while piece or not inflate.eof:
            if inflate.eof:  # gz files may follow one another
                inflate = isal_zlib.decompressobj(wbits=31)
            out = inflate.decompress(piece, _CHUNK)
            total += len(out)
            if total > most:
                message = (
                    f"{path.name} unpacks to more than {_MOST_TIMES} times its size, as no event log does. "
                    "If you trust it, unpack it with gunzip and read that file."
                )
                raise LogError(message)
            if out:
                yield out
            piece = inflate.unused_data.lstrip(b"\0") if inflate.eof else inflate.unconsumed_tail
            if not piece:
                piece = next(more, b"")
                if not piece and not inflate.eof:
                    message = f"{path.name} is cut short: its gz data has no end. Fetch the file again."
                    raise LogError(message)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stub calls it an object
        message = f"{path.name} is damaged: {error}. Fetch the file again."
        raise LogError(message) from None
