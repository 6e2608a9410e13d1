"""Who decides, also if nobody is named, and with which roles."""

from __future__ import annotations

import getpass
from collections.abc import Iterable

__all__ = ["roles_of", "user"]


def user() -> str:
    """Return the user of this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the machine does not know who this is
        return "unknown"


def roles_of(roles: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return roles that may be given as one."""
    return None if roles is None else (roles,) if isinstance(roles, str) else tuple(roles)
