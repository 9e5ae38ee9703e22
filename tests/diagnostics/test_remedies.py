"""What is advised leaves something to do: what the config says already is no fix, and its want no cause."""

from __future__ import annotations

from typing import Any

import pytest

from diagnostics import Engine
from diagnostics.facts import Facts
from diagnostics.finding import Remedy
from diagnostics.remedies import still_to_do

CLIP = Remedy("clip", {"grad_clip": 1.0})
WARM = Remedy("warm up", {"warmup_steps": 200})
LOWER = Remedy("lower", {"learning_rate": "×0.1"})
BOTH = Remedy("both", {"learning_rate": "×0.1", "grad_clip": 1.0})
LOOK = Remedy("look")


@pytest.mark.parametrize(
    ("facts", "left"),
    [
        (Facts(), (CLIP, WARM, LOWER, BOTH, LOOK)),
        (Facts(grad_clip=1.0, warmup_steps=200), (LOWER, BOTH, LOOK)),
        (Facts(grad_clip=0.5, warmup_steps=199), (WARM, LOWER, BOTH, LOOK)),
        (Facts(grad_clip=5.0, warmup_steps=500), (CLIP, LOWER, BOTH, LOOK)),
        (Facts(grad_clip=0.0, warmup_steps=0), (CLIP, WARM, LOWER, BOTH, LOOK)),
    ],
)
def test_what_is_in_force_is_not_advised(facts: Facts, left: tuple[Remedy, ...]) -> None:
    assert still_to_do((CLIP, WARM, LOWER, BOTH, LOOK), facts) == left


def test_a_finding_keeps_its_only_advice() -> None:
    assert still_to_do((CLIP,), Facts(grad_clip=1.0)) == (CLIP,)


@pytest.mark.parametrize(
    ("config", "causes", "patches"),
    [
        ({"grad_clip": 1.0, "warmup_steps": 200}, 1, [{"learning_rate": "×0.1"}]),
        ({"grad_clip": 0, "warmup_steps": 0}, 3, [{"learning_rate": "×0.1"}, {"warmup_steps": 200}, {"grad_clip": 1.0}]),
    ],
)  # fmt: skip
def test_a_run_that_clips_and_warms_up_is_not_told_to(config: dict[str, Any], causes: int, patches: list[Any]) -> None:
    engine = Engine(config)
    for step, loss in enumerate((4.2, 5.1, 3.8, 6.2, 4.5, 7.8, 5.2)):
        engine.observe({"step": step, "loss": loss})
    (found,) = (one for one in engine.findings() if one.rule == "learning-rate-too-high")
    assert len(found.causes) == causes
    assert [remedy.patch for remedy in found.remedies] == patches
