"""The sick families: each of the trainer's faults, and sick settings that a config declares itself. Pure: no runs.

`expected` names every rule that would be right, the likeliest first, whether or not the engine has it yet: a fault that no
rule can see counts as missed. `harm` says by which measure of `benchmarks.zoo.harm` a run counts as harmed; late faults are
judged by their course, the others by their end.
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
OFF = (*HOT, "learning-rate-schedule")
"""The rate is not the declared one, as the log itself shows."""
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
PROSE = ("docs", "code")
"""Texts that take long to learn: of the made-up ones a fiftieth teaches nearly all."""
SAMPLES: dict[str, Any] = {
    "sample_interval": 60,
    "sample_tokens": 200,
    "max_steps": 300,
    "learning_rate": 5e-3,
    "context_length": 32,
}


def _fault(
    fault: str,
    *expected: str,
    late: bool = False,
    hard: bool = False,
    harm: str = "",
    texts: Sequence[str] = TEXTS,
    **fixed: Any,
) -> Recipe:
    """A run with that fault on one of the texts; `late`: it begins between a third and a half of the plan."""
    measure = harm or ("course" if late else "end")

    def recipe(random: random.Random) -> Drawn:
        settings = draw(random, **fixed, fault=fault)
        onset = random.randrange(settings["max_steps"] // 3, settings["max_steps"] // 2) if late else 0
        return {
            "text": random.choice(texts), "settings": {**settings, "fault_step": onset}, "expected": expected, "onset": onset,
            "hard": hard, "harm": measure,
        }  # fmt: skip

    return recipe


def _declared(factor: float, *expected: str) -> Recipe:
    """A rate that is wrong in the config itself, so that nothing contradicts it."""

    def recipe(random: random.Random) -> Drawn:
        rate = 3e-3 * factor
        settings = draw(random, learning_rate=rate, min_learning_rate=rate / 10, warmup_steps=10)
        cure = {"learning_rate": 3e-3, "min_learning_rate": 3e-4}
        return {"text": any_text(random), "settings": settings, "expected": expected, "cure": cure}

    return recipe


_TOO_SMALL: dict[str, Any] = {
    "data_limit_characters": 3000, "validation_fraction": 0.3, "n_layer": 2, "n_embd": 64, "n_ff": 256, "context_length": 32,
    "batch_size": 8, "max_steps": 500, "learning_rate": 5e-3, "eval_interval": 20, "eval_batches": 10, "tokenizer": "char",
}  # fmt: skip
"""A text far too small for a model that is large for it: the classic way to overfit."""


def _memorising(**changes: Any) -> Recipe:
    """The too small text; its cure is all of the text."""

    def recipe(random: random.Random) -> Drawn:
        settings = draw(random, **{**_TOO_SMALL, **changes})
        expected, cure = ("overfitting", "memorized-output"), {"data_limit_characters": 0}
        return {"text": random.choice(PROSE), "settings": settings, "expected": expected, "cure": cure}

    return recipe


_DATA: dict[str, Any] = {
    "texts": PROSE, "n_layer": 2, "n_embd": 64, "n_ff": 256, "max_steps": 500, "batch_size": 16, "context_length": 32,
    "learning_rate": 5e-3, "eval_interval": 20, "eval_batches": 8,
}  # fmt: skip

_LONG: dict[str, Any] = {
    "texts": PROSE, "batch_size": 8, "context_length": 32, "n_layer": 2, "n_embd": 32, "n_ff": 128, "log_interval": 5,
    "eval_interval": 50, "eval_batches": 5, "warmup_steps": 50, "learning_rate": 3e-3,
}  # fmt: skip
"""Ten times the steps of most runs, as real runs have more of them; logged sparsely, as those are."""

SICK: Mapping[str, tuple[int, Recipe]] = {
    "log-zero": (6, _fault("log-zero", *NAN, late=True)),
    "hidden-nan": (6, _fault("hidden-nan", "masked-non-finite", *NAN[:2], late=True, eval_interval=500)),
    "hidden-nan-at-once": (4, _fault("hidden-nan", "masked-non-finite", *NAN[:2], eval_interval=500)),
    "fp16-overflow": (6, _fault("fp16-overflow", *NAN, late=True)),
    "rate-x30": (6, _fault("rate-x30", *OFF, learning_rate=5e-3)),
    "rate-x1000": (6, _fault("rate-x1000", *OFF)),
    "rate-x1000-late": (6, _fault("rate-x1000", *OFF, late=True)),
    "rate-div1000": (6, _fault("rate-div1000", *COLD)),
    "declared-rate-x100": (6, _declared(100.0, *HOT)),
    "declared-rate-div1000": (6, _declared(1e-3, *COLD)),
    "no-warmup": (4, _fault("no-warmup", "learning-rate-schedule", *HOT, hard=True, warmup_steps=60, learning_rate=2e-2)),
    "no-clipping": (4, _fault("no-clipping", *HOT, "gradient-clip-saturation", hard=True, learning_rate=5e-2)),
    "collapsed-schedule": (6, _fault("collapsed-schedule", *SCHEDULE, harm="injury")),
    "wrong-horizon": (6, _fault("wrong-horizon", *SCHEDULE, harm="injury", min_learning_rate=0.0)),
    "frozen-weights": (6, _fault("frozen-weights", *STUCK)),
    "dead-layer": (5, _fault("dead-layer", "vanishing-gradients", "update-ratio", hard=True, n_layer=2)),
    "wrong-group": (6, _fault("wrong-group", *STUCK)),
    "bad-init": (6, _fault("bad-init", "initial-loss", "exploding-gradients", "loss-not-decreasing", "learning-rate-too-low")),
    "deep-without-norm": (6, _fault("deep-without-norm", "vanishing-gradients", *STUCK[:2], n_layer=8, n_embd=32, n_ff=64)),
    "lost-optimizer-state": (4, _fault("lost-optimizer-state", "loss-spike", "divergence", late=True, hard=True, learning_rate=1e-2)),
    "labels-not-shifted": (6, _fault("labels-not-shifted", "suspicious-loss", harm="low")),
    "labels-shuffled": (6, _fault("labels-shuffled", *STUCK, "underfitting", max_steps=1200, learning_rate=3e-3)),
    "bad-batches": (6, _fault("bad-batches", "loss-spike", "poor-data", "divergence", late=True)),
    "poisoned-document": (5, _fault("poisoned-document", "loss-spike", "poor-data", "divergence", late=True, log_interval=1)),
    "tiny-data": (6, _fault("tiny-data", *MEMORY, **_DATA)),
    "memorising": (6, _memorising()),
    "duplicated-data": (5, _fault("duplicated-data", *MEMORY, hard=True, **_DATA)),
    "duplicated-small-data": (5, _fault("duplicated-data", *MEMORY, **{**_DATA, "max_steps": 800}, data_limit_characters=40_000)),
    "train-val-overlap": (4, _fault("train-val-overlap", "train-val-overlap", "suspicious-loss", hard=True, harm="low")),
    "broken-tokenizer-map": (4, _fault("broken-tokenizer-map", "garbage-output", harm="injury", texts=PROSE, tokenizer="char", **SAMPLES)),
    "greedy-sampling": (4, _fault("greedy-sampling", "repetitive-output", "garbage-output", harm="injury", tokenizer="char", **SAMPLES)),
    "slow-loader": (4, _fault("slow-loader", *SLOW, late=True, harm="injury", log_interval=1)),
    "slow-steps": (4, _fault("slow-steps", *SLOW, late=True, harm="injury", log_interval=1)),
    "overlap-memorised": (4, _fault("train-val-overlap", "train-val-overlap", "suspicious-loss", "memorized-output", hard=True, harm="low", texts=PROSE, **_TOO_SMALL)),
    "hang": (4, _fault("hang", "stalled-run", "slow-training", late=True, harm="injury", log_interval=1)),
    "declared-rate-x300": (5, _declared(300.0, *HOT)),
    "rate-x30-late": (5, _fault("rate-x30", *OFF, late=True, learning_rate=5e-3)),
    "declared-rate-x1000": (4, _declared(1000.0, *HOT)),
    "labels-shuffled-late": (5, _fault("labels-shuffled", *HOT[:1], "loss-spike", "poor-data", *HOT[1:3], late=True)),
    "dead-layer-late": (5, _fault("dead-layer", "loss-spike", "divergence", "vanishing-gradients", late=True, hard=True, n_layer=2)),
    "long-diverges": (3, _fault("rate-x1000", *OFF, late=True, max_steps=2000, **_LONG)),
    "long-overfits": (4, _memorising(max_steps=2000, data_limit_characters=12_000, learning_rate=3e-3, log_interval=5, eval_interval=50)),
    "long-collapsed": (2, _fault("collapsed-schedule", *SCHEDULE, harm="injury", max_steps=1500, **_LONG)),
    "long-nan": (2, _fault("fp16-overflow", *NAN, late=True, max_steps=3000, **_LONG)),
    "long-bad-batches": (3, _fault("bad-batches", "loss-spike", "poor-data", "divergence", late=True, max_steps=1500, **{**_LONG, "log_interval": 2})),
    "long-cold": (3, _fault("rate-div1000", *COLD, max_steps=1500, **_LONG)),
}  # fmt: skip
