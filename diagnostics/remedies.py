"""Which remedies leave something to do: what the config says already is no fix. Pure; knows no rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostics.facts import Facts
from diagnostics.finding import Remedy


def still_to_do(remedies: tuple[Remedy, ...], facts: Facts) -> tuple[Remedy, ...]:
    """The remedies without those that change nothing; all of them where nothing would be left."""
    return tuple(one for one in remedies if not (one.patch and _in_force(one.patch, facts))) or remedies


def _in_force(patch: Mapping[str, Any], facts: Facts) -> bool:
    """Whether the config is known to say all of it, or more."""
    return all(_says(name, value, facts) for name, value in patch.items())


def _says(name: str, value: Any, facts: Facts) -> bool:
    if isinstance(value, str):
        return False  # a factor changes whatever there is; words are not among the facts
    if name == "grad_clip":
        return bool(facts.grad_clip) and facts.grad_clip <= value  # 0 is declared off
    return name == "warmup_steps" and facts.warmup_steps is not None and facts.warmup_steps >= value
