"""Which rules could judge a run, which could not for want of what was not logged, and which broke. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from diagnostics.roles import BY_ID

if TYPE_CHECKING:
    from diagnostics.rule import Rule


class Lack(NamedTuple):
    """Why a rule cannot judge: what it lacks, what cannot be seen for it, and what to log (empty where nothing helps)."""

    what: str
    blind: str
    log: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.blind}{f'; log {self.log}' if self.log else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Which rules ran, which could not and why, and which broke."""

    ran: tuple[str, ...]
    lacks: Mapping[str, Lack]
    failed: Mapping[str, str]

    @property
    def skipped(self) -> dict[str, str]:
        """The rules that could not run, each with its sentence."""
        return {rule: str(lack) for rule, lack in self.lacks.items()}

    def by_lack(self) -> list[str]:
        """The same, shorter: a sentence for each thing that is lacking, however many rules lack it."""
        rules: dict[tuple[str, str], list[str]] = {}
        for rule, lack in self.lacks.items():
            rules.setdefault((lack.what, lack.log), []).append(rule)
        return [
            f"{', '.join(names)} ({what}{f'; log {log}' if log else ''})"
            if len(names) > 1
            else f"{names[0]} ({self.lacks[names[0]]})"
            for (what, log), names in rules.items()
        ]

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"ran": list(self.ran), "skipped": self.skipped, "failed": dict(self.failed)}


def lacking_series(rule: Rule, has: Callable[[str], bool]) -> Lack | None:
    """What a rule lacks of the series that it needs, and how to log it; None when it can judge. `has` is asked for roles."""
    lacking = [roles for roles in rule.needs if not any(has(role) for role in roles)]
    if not lacking:
        return None
    words = " and ".join("no " + " or ".join(BY_ID[role].words for role in roles) for roles in lacking)
    names = " and ".join(" or ".join(f"`{BY_ID[role].log}`" for role in roles) for roles in lacking)
    return Lack(words, rule.blind, names)
