"""Which series is the training loss and which the validation loss, for a run's summary row. Names in, roles out."""

from __future__ import annotations

from functools import lru_cache

from diagnostics.roles import RoleMap

_ROLES = RoleMap()


@lru_cache(maxsize=10_000)
def role_of(name: str) -> str | None:
    """The role of a series by its name, as the rules see it, or None."""
    found = _ROLES.find(name)
    return found[0] if found else None
