"""Who decides, where nobody is named."""

from __future__ import annotations

import getpass

__all__ = ["user"]


def user() -> str:
    """Return the user of this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the machine does not know who this is
        return "unknown"
