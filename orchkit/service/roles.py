"""Roles: what a token may do."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Role"]


class Role(StrEnum):
    """What a token may do; each may do what those before it may.

    Examples
    --------
    >>> Role.ADMIN.includes(Role.READ), Role.READ.includes(Role.OPERATE)
    (True, False)
    """

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def includes(self, wanted: Role) -> bool:
        """Return whether this role may do what another may."""
        order = list(Role)
        return order.index(self) >= order.index(wanted)
