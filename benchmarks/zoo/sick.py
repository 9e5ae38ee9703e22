"""The sick families: each of the trainer's faults, and sick settings that a config declares itself. Pure: no runs.

`expected` names every rule that would be right, the likeliest first, whether or not the engine has it yet: a fault that no
rule can see counts as missed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.zoo.common import TEXTS, any_text, draw

Drawn = Mapping[str, Any]
Recipe = Callable[[random.Random], Drawn]

NAN = ("non-finite-loss", "non-finite-gradient", "masked-non-finite")
HOT = (
    "divergence",
    "learning-rate-too-high",
    "exploding-gradients",
    "loss-spike",
    "non-finite-loss",
    "loss-not-decreasing",
)
STUCK = (
    "loss-not-decreasing",
    "learning-rate-too-low",
    "vanishing-gradients",
    "update-ratio",
    "plateau",
    "underfitting",
)
COLD = ("learning-rate-too-low", "loss-not-decreasing", "update-ratio", "underfitting", "learning-rate-schedule")
SCHEDULE = ("learning-rate-schedule", "learning-rate-too-low", "plateau", "loss-not-decreasing", "update-ratio")
MEMORY = ("overfitting", "duplicate-data", "memorized-output", "poor-data")
SLOW = ("slow-training", "data-starved")
SAMPLES: dict[str, Any] = {
    "sample_interval": 60,
    "sample_tokens": 200,
    "max_steps": 300,
    "learning_rate": 5e-3,
    "context_length": 32,
}


def _fault(
    fault: str, *expected: str, late: bool = False, hard: bool = False, texts: Sequence[str] = TEXTS, **fixed: Any
) -> Recipe:
    """A run with that fault on one of the texts; `late`: it begins between a third and a half of the plan."""

    def recipe(random: random.Random) -> Drawn:
        settings = draw(random, **fixed, fault=fault)
        onset = random.randrange(settings["max_steps"] // 3, settings["max_steps"] // 2) if late else 0
        return {
            "text": random.choice(texts), "settings": {**settings, "fault_step": onset}, "expected": expected, "onset": onset, "hard": hard,
        }  # fmt: skip

    return recipe


def _declared(factor: float, *expected: str) -> Recipe:
    """A rate that is wrong in the config itself, so that nothing contradicts it."""

    def recipe(random: random.Random) -> Drawn:
        rate = 3e-3 * factor
        settings = draw(random, learning_rate=rate, min_learning_rate=rate / 10, warmup_steps=10)
        return {"text": any_text(random), "settings": settings, "expected": expected}

    return recipe


def _memorising(random: random.Random) -> Drawn:
    # A text far too small for a model that is large for it: the classic way to overfit.
    settings = draw(
        random, data_limit_characters=3000, validation_fraction=0.3, n_layer=2, n_embd=64, n_ff=256, context_length=32,
        batch_size=8, max_steps=500, learning_rate=5e-3, eval_interval=20, eval_batches=10, tokenizer="char",
    )  # fmt: skip
    return {
        "text": random.choice(("docs", "code")),
        "settings": settings,
        "expected": ("overfitting", "memorized-output"),
    }


PROSE = ("docs", "code")
"""Texts that take long to learn: of the made-up ones a fiftieth teaches nearly all."""
_DATA: dict[str, Any] = {
    "texts": PROSE, "n_layer": 2, "n_embd": 64, "n_ff": 256, "max_steps": 500, "batch_size": 16, "context_length": 32,
    "learning_rate": 5e-3, "eval_interval": 20, "eval_batches": 8,
}  # fmt: skip

SICK: Mapping[str, tuple[int, Recipe]] = {
    "log-zero": (6, _fault("log-zero", *NAN, late=True)),
    "hidden-nan": (6, _fault("hidden-nan", "masked-non-finite", *NAN[:2], late=True, eval_interval=500)),
    "hidden-nan-at-once": (4, _fault("hidden-nan", "masked-non-finite", *NAN[:2], eval_interval=500)),
    "fp16-overflow": (6, _fault("fp16-overflow", *NAN, late=True)),
    "rate-x30": (6, _fault("rate-x30", *HOT, learning_rate=5e-3)),
    "rate-x1000": (6, _fault("rate-x1000", *HOT)),
    "rate-x1000-late": (6, _fault("rate-x1000", *HOT, late=True)),
    "rate-div1000": (6, _fault("rate-div1000", *COLD)),
    "declared-rate-x100": (6, _declared(100.0, *HOT)),
    "declared-rate-div1000": (6, _declared(1e-3, *COLD)),
    "no-warmup": (4, _fault("no-warmup", "learning-rate-schedule", *HOT, hard=True, warmup_steps=60, learning_rate=2e-2)),
    "no-clipping": (4, _fault("no-clipping", *HOT, "gradient-clip-saturation", hard=True, learning_rate=5e-2)),
    "collapsed-schedule": (6, _fault("collapsed-schedule", *SCHEDULE)),
    "wrong-horizon": (6, _fault("wrong-horizon", *SCHEDULE, min_learning_rate=0.0)),
    "frozen-weights": (6, _fault("frozen-weights", *STUCK)),
    "dead-layer": (5, _fault("dead-layer", "vanishing-gradients", "update-ratio", hard=True, n_layer=2)),
    "wrong-group": (6, _fault("wrong-group", *STUCK)),
    "bad-init": (6, _fault("bad-init", "initial-loss", "exploding-gradients", "loss-not-decreasing", "learning-rate-too-low")),
    "deep-without-norm": (6, _fault("deep-without-norm", "vanishing-gradients", *STUCK[:2], n_layer=8, n_embd=32, n_ff=64)),
    "lost-optimizer-state": (4, _fault("lost-optimizer-state", "loss-spike", "divergence", late=True, hard=True, learning_rate=1e-2)),
    "labels-not-shifted": (6, _fault("labels-not-shifted", "suspicious-loss")),
    "labels-shuffled": (6, _fault("labels-shuffled", *STUCK, "underfitting")),
    "bad-batches": (6, _fault("bad-batches", "loss-spike", "poor-data", "divergence", late=True)),
    "poisoned-document": (5, _fault("poisoned-document", "loss-spike", "poor-data", "divergence", late=True, log_interval=1)),
    "tiny-data": (6, _fault("tiny-data", *MEMORY, **_DATA)),
    "memorising": (6, _memorising),
    "duplicated-data": (5, _fault("duplicated-data", *MEMORY, hard=True, **_DATA)),
    "train-val-overlap": (4, _fault("train-val-overlap", "train-val-overlap", hard=True)),
    "broken-tokenizer-map": (4, _fault("broken-tokenizer-map", "garbage-output", tokenizer="char", **SAMPLES)),
    "greedy-sampling": (4, _fault("greedy-sampling", "repetitive-output", tokenizer="char", **SAMPLES)),
    "slow-loader": (4, _fault("slow-loader", *SLOW, late=True, log_interval=1)),
    "slow-steps": (4, _fault("slow-steps", *SLOW, late=True, log_interval=1)),
    "hang": (4, _fault("hang", "stalled-run", "slow-training", late=True, log_interval=1)),
}  # fmt: skip
