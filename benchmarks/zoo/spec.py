"""Which runs the zoo plans: families of settings and seeds, what is wrong with each, and which half each is in. Pure.

A family is a way to be sick or healthy; a case is one run of it. Settings are drawn from the case's own seed, so that
adding a family changes no other. The half (tune or test) is a hash of family, seed and settings: it was fixed before any
threshold was looked at, and nobody can choose it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.zoo.healthy import HEALTHY
from benchmarks.zoo.sick import SICK

Half = Literal["tune", "test"]
Recipe = Callable[[random.Random], "Mapping[str, Any]"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One planned run."""

    family: str
    seed: int
    settings: Mapping[str, Any]
    """Changes to `TrainConfig`'s defaults."""
    text: str
    """Name of a text of `benchmarks.zoo.texts`."""
    expected: tuple[str, ...] = ()
    """Rules any of which is right, the likeliest first; empty: the run is healthy and nothing above info may be said."""
    onset: int = 0
    """First sick step; 0 where the run is sick from its start."""
    shape: str = ""
    """Shape of the learning rate beside the trainer's own cosine: a name of `benchmarks.zoo.shapes`."""
    log: Mapping[str, Any] = field(default_factory=dict)
    """What the log shows: `smooth` (share of the old value in a moving average), `only` (names of series kept)."""
    start: str = ""
    """`finetune`: weights that learned another text first; `resume`: stops and goes on from an earlier checkpoint."""
    hard: bool = False
    """Looks sick or is hardly to be seen: kept apart in the table."""

    @property
    def sick(self) -> bool:
        """Whether something has to be said."""
        return bool(self.expected)

    @property
    def name(self) -> str:
        """Unique, and a file name."""
        return f"{self.family}-{self.seed:02d}"

    @property
    def half(self) -> Half:
        """Which half the run is in."""
        key = json.dumps([self.family, self.seed, dict(self.settings), self.text], sort_keys=True)
        return "tune" if hashlib.sha256(key.encode()).digest()[0] % 2 else "test"


def cases() -> list[Case]:
    """Every planned run: seeds in the outer order, so that a recording that ends early has some of each family."""
    planned: list[tuple[int, Case]] = []
    for families, sick in ((SICK, True), (HEALTHY, False)):
        for family, (count, recipe) in families.items():
            planned += [(seed, _case(family, seed, recipe, sick)) for seed in range(count)]
    return [case for _, case in sorted(planned, key=lambda pair: pair[0])]


def _case(family: str, seed: int, recipe: Recipe, sick: bool) -> Case:
    number = int.from_bytes(hashlib.sha256(f"{family} {seed}".encode()).digest()[:8], "big")
    drawn = dict(recipe(random.Random(number)))
    drawn["settings"] = {**drawn["settings"], "seed": number % 2**31}
    case = Case(family=family, seed=seed, **drawn)
    if case.sick is not sick:
        raise ValueError(f"the family {family} stands in the wrong table: it {'names' if case.sick else 'lacks'} rules")
    return case
