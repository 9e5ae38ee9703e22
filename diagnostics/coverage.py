"""Which rules could judge a run, which could not for want of what was not logged, and which broke. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    enough: tuple[str, str] | None = None
    """The same (what, log) with the first of several series that would each do, where series are lacking."""

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
        """The same, shorter: a sentence for each thing that is lacking, however many rules lack it.

        A rule that could do with something else as well is told with those that could not.
        """
        lacking = {(lack.what, lack.log) for lack in self.lacks.values()}
        rules: dict[tuple[str, str], list[str]] = {}
        for rule, lack in self.lacks.items():
            key = lack.enough if lack.enough in lacking else (lack.what, lack.log)
            rules.setdefault(key, []).append(rule)
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
    told = _told(lacking)
    return Lack(told[0], rule.blind, told[1], _told([roles[:1] for roles in lacking]))


def _told(lacking: Sequence[Sequence[str]]) -> tuple[str, str]:
    """(what is lacking, what to log): all of these, of each any of the roles."""
    words = " and ".join("no " + " or ".join(BY_ID[role].words for role in roles) for roles in lacking)
    return words, " and ".join(" or ".join(f"`{BY_ID[role].log}`" for role in roles) for roles in lacking)
