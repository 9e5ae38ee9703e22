"""Which runs the zoo plans: families of settings and seeds, what is wrong with each, and which half each is in. Pure.

A family is a way to be sick or healthy; a case is one run of it. Settings are drawn from the case's own seed, so that
adding a family changes no other. The halves are the same families under other seeds: thresholds are chosen on `tune`,
what is published comes from `test`, whose seeds carry a salt and whose runs nobody judges before the rules are settled. What
was judged is unseen no more: the `test` of before is `earlier`, and thresholds were chosen on it too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from benchmarks.zoo.healthy import HEALTHY
from benchmarks.zoo.sick import SICK

Half = Literal["tune", "test", "earlier"]
KEPT: tuple[Half, ...] = ("tune", "test")
"""The halves whose logs are kept with the project; of the third its manifest alone."""
Harm = Literal["end", "course", "low", "injury"]
Recipe = Callable[[random.Random], "Mapping[str, Any]"]
SALTS: Mapping[Half, str] = {"tune": "", "test": "unseen a sixth time ", "earlier": "unseen a fifth time "}
"""What stands before family and seed where a case's random numbers come from."""
MARKS: Mapping[Half, str] = {"tune": "", "test": "t", "earlier": "e"}
"""What stands before the seed in a case's name."""
ENOUGH = 10
"""Runs of a sick family that the test half has at least, and the one before it: with fewer, a single miss is more than the tenth that a family may lose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One planned run."""

    family: str
    seed: int
    settings: Mapping[str, Any]
    """Changes to `TrainConfig`'s defaults."""
    text: str
    """Name of a text of `benchmarks.zoo.texts`."""
    half: Half = "tune"
    """What the run is for: to choose thresholds, or to judge them."""
    expected: tuple[str, ...] = ()
    """Rules any of which is right, the likeliest first; empty: the run is healthy and nothing above info may be said."""
    tolerated: tuple[str, ...] = ()
    """Rules that may speak of a healthy run while what they say is true, if they have taken it back when it ends."""
    onset: int = 0
    """First sick step; 0 where the run is sick from its start."""
    harm: Harm = "end"
    """What shows that the illness harmed this run: see `benchmarks.zoo.harm`."""
    cure: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the healthy twin that differ from the sick run's, beside the fault itself."""
    shape: str = ""
    """Shape of the learning rate beside the trainer's own cosine: a name of `benchmarks.zoo.shapes`."""
    feed: str = ""
    """How batches are drawn, where not by the trainer's own shuffling: a name of `benchmarks.zoo.feeds`."""
    log: Mapping[str, Any] = field(default_factory=dict)
    """What the log shows: `smooth` (share of the old value in a moving average), `only` (names of series kept)."""
    start: str = ""
    """`finetune`: weights that learned another text first; `continued`: weights that learned this one; `resume`: stops and
    goes on from an earlier checkpoint; `modular`: not the trainer's GPT but `benchmarks.zoo.modular`."""
    hard: bool = False
    """Looks sick or is hardly to be seen: kept apart in the table."""

    @property
    def sick(self) -> bool:
        """Whether something was done to the run that has to be said, if it did harm."""
        return bool(self.expected)

    @property
    def name(self) -> str:
        """Unique, and a file name."""
        return f"{self.family}-{MARKS[self.half]}{self.seed:02d}"

    def twin(self) -> Case:
        """The same run without its illness: same settings, text and seeds."""
        settings = {name: value for name, value in self.settings.items() if name not in ("fault", "fault_step")}
        return dataclasses.replace(self, settings={**settings, **self.cure}, expected=(), onset=0, cure={})


def cases(half: str = "all") -> list[Case]:
    """Every planned run of a half, or (`all`) of the two that are kept: seeds in the outer order, so that a recording that ends early has some of
    each family."""
    planned: list[tuple[int, Case]] = []
    for wanted in KEPT if half == "all" else (cast(Half, half),):
        for families, sick in ((SICK, True), (HEALTHY, False)):
            for family, (count, recipe) in families.items():
                runs = max(count, ENOUGH) if sick and wanted != "tune" else count
                planned += [(seed, _case(family, seed, recipe, sick, wanted)) for seed in range(runs)]
    return [
        case
        for _, case in sorted(planned, key=lambda pair: (KEPT.index(pair[1].half) if half == "all" else 0, pair[0]))
    ]


def _case(family: str, seed: int, recipe: Recipe, sick: bool, half: Half) -> Case:
    number = int.from_bytes(hashlib.sha256(f"{SALTS[half]}{family} {seed}".encode()).digest()[:8], "big")
    drawn = dict(recipe(random.Random(number)))
    drawn["settings"] = {**drawn["settings"], "seed": number % 2**31}
    case = Case(family=family, seed=seed, half=half, **drawn)
    if case.sick is not sick:
        raise ValueError(f"the family {family} stands in the wrong table: it {'names' if case.sick else 'lacks'} rules")
    return case
