"""Which rules could judge a run, which could not for want of what was not logged, and which broke. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.roles import BY_ID
from diagnostics.rule import Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Which rules ran, which could not and why, and which broke."""

    ran: tuple[str, ...]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"ran": list(self.ran), "skipped": dict(self.skipped), "failed": dict(self.failed)}


def lacking_series(rule: Rule, has: Callable[[str], bool]) -> str | None:
    """What a rule lacks of the series that it needs, and how to log it; None when it can judge. `has` is asked for roles."""
    lacking = [roles for roles in rule.needs if not any(has(role) for role in roles)]
    if not lacking:
        return None
    words = " and ".join("no " + " or ".join(BY_ID[role].words for role in roles) for roles in lacking)
    names = " and ".join(" or ".join(f"`{BY_ID[role].log}`" for role in roles) for roles in lacking)
    return f"{words}: {rule.blind}; log {names}"
