"""How a log was read: which name was taken for which role, which could have been, and which no rule looks at. Pure.

A log that was read wrongly is judged wrongly, and nothing in a finding shows it; this does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from diagnostics import say
from diagnostics.roles import BY_ID, ROLES, normal

SHOWN = 8
"""Names that no rule looks at which a sentence lists."""

HOW = "--map NAME=ROLE"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What became of the names of a log's numbers."""

    roles: Mapping[str, str]
    """Role → the name that was taken for it, in the order of the table of roles."""
    logarithms: tuple[str, ...] = ()
    """Roles of which the name is a perplexity's: its logarithm is judged."""
    bits: tuple[str, ...] = ()
    """Losses that are logged in bits, as the perplexity beside them tells: judged in nats."""
    rivals: Mapping[str, tuple[str, ...]]
    """Role → names that could be it as well and were not taken."""
    unused: tuple[str, ...] = ()
    """All other names: those that speak of a loss, then the rest, by the alphabet."""
    steps: tuple[int, int] | None = None
    """The first and the last step of the losses, or of what there is without one."""

    ends: Mapping[str, int] = field(default_factory=dict)
    """Loss → its last step, where the log goes on for long without it."""
    begins: tuple[int, ...] = ()
    """Where other runs begin that the same log tells of, one after the other."""

    @property
    def speaks(self) -> bool:
        """Whether a name was taken for something that it does not say itself, or was passed by for another, or a loss ends early."""
        return bool(self.ends or self.begins) or any(
            not _is_evident(role, name, self) for role, name in self.roles.items()
        )

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "steps": None if self.steps is None else list(self.steps),
            "roles": dict(self.roles),
            "logarithms": list(self.logarithms),
            "bits": list(self.bits),
            "rivals": {role: list(names) for role, names in self.rivals.items()},
            "unused": list(self.unused),
            "ends": dict(self.ends),
            "begins": list(self.begins),
        }

    @staticmethod
    def of(mapping: Mapping[str, Any]) -> Reading:
        """What was written as a mapping."""
        return Reading(
            roles=mapping.get("roles", {}),
            logarithms=tuple(mapping.get("logarithms", ())),
            bits=tuple(mapping.get("bits", ())),
            rivals={role: tuple(names) for role, names in mapping.get("rivals", {}).items()},
            unused=tuple(mapping.get("unused", ())),
            ends=mapping.get("ends", {}),
            begins=tuple(mapping.get("begins", ())),
        )


NOTHING = Reading(roles={}, rivals={})
"""Of a log that could not be read."""


def in_order(roles: Mapping[str, T]) -> dict[str, T]:
    """The same in the order of the table: losses first."""
    return {role.id: roles[role.id] for role in ROLES if role.id in roles}


def _is_evident(role: str, name: str, reading: Reading) -> bool:
    """Whether nothing needs to be said of a name but that it was taken: `val_loss` is the validation loss."""
    if role in reading.logarithms or role in reading.bits or role in reading.rivals:
        return False
    return name == BY_ID[role].log or normal(name) == role


def _piece(role: str, name: str, reading: Reading) -> str:
    said = f"ln {name}" if role in reading.logarithms else f"{name} × ln 2" if role in reading.bits else name
    rivals = reading.rivals.get(role, ())
    return f"{BY_ID[role].words} ← {said}" + (f" (not {_first(rivals)})" if rivals else "")


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def missing(reading: Reading) -> str:
    """What to say of losses that end before their log does; empty when none does."""
    return "; ".join(
        f"{BY_ID[role].words} ends at step {say.step(step)}, the log does not: rows without it may stand for NaN, which some "
        "loggers write as nothing"
        for role, step in reading.ends.items()
    )


def several(reading: Reading) -> str:
    """What to say of a log that tells of several runs; empty of most."""
    if not reading.begins:
        return ""
    where = ", ".join(say.step(step) for step in reading.begins[-SHOWN:])
    others = f" (the last {SHOWN})" if len(reading.begins) > SHOWN else ""
    return (
        f"{len(reading.begins) + 1:,} runs one after the other, each judged by itself: others begin at {where}{others}"
    )


def sentence(reading: Reading, how: str = HOW) -> str:
    """The whole on one line, and `how` it is changed; empty when nothing was read."""
    evident = [name for role, name in reading.roles.items() if _is_evident(role, name, reading)]
    told = [_piece(role, name, reading) for role, name in reading.roles.items() if name not in evident]
    parts = [
        f"steps {say.step(reading.steps[0])} to {say.step(reading.steps[1])}" if reading.steps else "",
        ", ".join(told),
        f"by name {', '.join(evident)}" if evident else "",
        f"not used {_first(reading.unused)}" if reading.unused else "",
        missing(reading),
        several(reading),
    ]
    said = "; ".join(part for part in parts if part)
    return f"{said} ({how})" if how and (reading.unused or reading.rivals) else said
