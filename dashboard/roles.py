"""What a series is to the rules, by its name: the one place of the server that asks. Names in, roles out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from diagnostics.roles import RoleMap

_ROLES = RoleMap()


@lru_cache(maxsize=10_000)
def role_of(name: str) -> str | None:
    """The role of a series by its name, as the rules see it; None for a metric that only its owner knows."""
    found = _ROLES.find(name)
    return found[0] if found else None


def latest_of(latest: Mapping[str, float], role: str) -> float | None:
    """The latest value of the series with this role, whatever its trainer calls it; None when there is none."""
    return next((value for name, value in latest.items() if role_of(name) == role), None)
