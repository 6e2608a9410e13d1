"""The store's file: who owns it, and whether it is whole.

DuckDB locks its file with a POSIX lock, which the kernel drops as soon as the same process opens and closes the file
for any other purpose, such as a copy. So the owner holds a second lock (``flock``), which only its own end releases.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from orchkit.errors import StoreCorrupt, StoreError, StoreLocked

if sys.platform == "linux":
    import fcntl

__all__ = ["Claim", "check_place", "claim", "locked_error", "no_store_error", "wal_of"]

_MAGIC = b"DUCK"
_MAGIC_AT = 8  # behind the checksum of the header
# DuckDB does not make databases of these names: it reads what is there, and keeps what is written in memory.
_DATA = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".avro", ".xlsx", ".gz", ".zst"})

_HOLDER = re.compile(r"held in (?P<command>.+?) \(PID (?P<pid>\d+)\)")
_KERNEL_LOCK = re.compile(r"FLOCK +ADVISORY +WRITE +(\d+) +\S+:(\d+) ")
_COMMAND_LENGTH = 200

# The files that this process owns: DuckDB would open one twice without a word.
_claimed: dict[tuple[int, int], Claim] = {}
_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class Claim:
    """The hold of this process on a file."""

    key: tuple[int, int]
    lock: int | None

    def release(self) -> None:
        """Give the file up; DuckDB must have closed it before."""
        with _guard:
            if _claimed.pop(self.key, None) is not None and self.lock is not None:
                os.close(self.lock)


def check_place(path: Path) -> bool:
    """Return whether there is a file, or raise where none can be."""
    try:
        return _is_there(path)
    except PermissionError as error:
        message = f"{path} cannot be looked at: mend the permissions of its folders, or choose another path."
        raise StoreError(message, path=str(path)) from error


def _is_there(path: Path) -> bool:
    text = str(path)
    if path.is_dir():
        message = f"{text} is a folder: give the path of a file in it, such as {path / 'orchkit.duckdb'}."
        raise StoreError(message, path=text)
    if path.exists():
        if path.stat().st_size == 0:
            message = f"{text} is empty, so it is not a store: delete it, and a new one is made."
            raise StoreCorrupt(message, path=text)
        if not _begins_as_database(path):
            raise no_store_error(path)
        return True
    if path.suffix.lower() in _DATA:
        message = f"{text} has the ending of a file of data: give the store another one, such as {path.stem}.duckdb."
        raise StoreError(message, path=text)
    if not path.parent.is_dir():
        message = f"There is no folder {path.parent} for the store {path.name}: make it, or choose another path."
        raise StoreError(message, path=text)
    log = wal_of(path)
    if log.exists():
        message = (
            f"{text} is missing, but its log {log.name} is there: the two belong together. Put {path.name} back; if "
            f"both are lost anyway, delete {log.name}, and a new store is made."
        )
        raise StoreCorrupt(message, path=text)
    return False


def _begins_as_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:  # what is wrong with it is said when it is claimed
        return True


def no_store_error(path: Path) -> StoreCorrupt:
    """Return the error for a file that is no database."""
    message = (
        f"{path} cannot be read as a store: it is damaged, or another kind of file. Nothing was changed. Keep it, put "
        "back a copy from before (with its .wal, if there is one), or choose another path."
    )
    return StoreCorrupt(message, path=str(path))


def wal_of(path: Path) -> Path:
    """Return the path of DuckDB's write-ahead log."""
    return path.with_name(path.name + ".wal")


def claim(path: Path) -> Claim:
    """Own a file until the claim is released, or this process ends, however it ends.

    Raises
    ------
    StoreLocked
        Another process, or another engine of this one, owns it.
    """
    with _guard:
        status = path.stat()
        key = (status.st_dev, status.st_ino)
        if key in _claimed:
            raise StoreLocked(_locked_by_us(path), path=str(path))
        held = _claimed[key] = Claim(key, _lock(path, status.st_ino))
        return held


def locked_error(path: Path, text: str) -> StoreLocked:
    """Return the error for DuckDB's message that another process has locked the file."""
    found = _HOLDER.search(text)
    if found is None:
        return StoreLocked(_locked_by(path, None), path=str(path))
    return StoreLocked(_locked_by(path, int(found["pid"]), found["command"]), path=str(path))


def _lock(path: Path, inode: int) -> int | None:
    if sys.platform != "linux":  # elsewhere the two kinds of locks exclude each other
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        message = f"{path} cannot be opened for writing ({error.strerror}): mend its permissions, or work on a copy."
        raise StoreError(message, path=str(path)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise StoreLocked(_locked_by(path, _holder_of(inode)), path=str(path)) from None
        return None  # a file system without such locks: DuckDB's own has to do
    return descriptor


def _holder_of(inode: int) -> int | None:
    """Return the process that holds a lock on a file, as the kernel tells."""
    with contextlib.suppress(OSError):
        for process, file in _KERNEL_LOCK.findall(Path("/proc/locks").read_text(encoding="ascii")):
            if file == str(inode) and process != "0":  # 0: outside of this container
                return int(process)
    return None


def _command_of(process: int) -> str | None:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return command if len(command) <= _COMMAND_LENGTH else command[: _COMMAND_LENGTH - 1] + "…"
    return None


def _locked_by(path: Path, process: int | None, command: str | None = None) -> str:
    if process is None:
        who = "another process"
    else:
        command = _command_of(process) or command
        who = f"process {process} ({command})" if command else f"process {process}"
    return (
        f"{path} is in use by {who}: one process owns a store. Close the engine there, or end that process; to read "
        "while it runs, ask that engine: ok.connect(url, token) gives its verbs where orchkit serve or "
        "ok.Service(engine) lets others in. Or copy the file with its .wal and open that."
    )


def _locked_by_us(path: Path) -> str:
    return (
        f"{path} is already open in this process ({os.getpid()}): use that engine, or close it first "
        "(in a notebook: engine.close())."
    )


def _forget() -> None:
    """Let go, in a forked child, of what only the parent owns; the parent's locks stay."""
    held = list(_claimed.values())
    _claimed.clear()
    for one in held:
        if one.lock is not None:
            os.close(one.lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
