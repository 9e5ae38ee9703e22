"""The healthy families: as varied as real life, many of them looking sick to a careless rule. Pure: settings in, no runs.

Each entry is how many runs and a recipe that draws one from its own random numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.zoo.common import any_text, draw

Drawn = Mapping[str, Any]
Recipe = Callable[[random.Random], Drawn]


def _run(random: random.Random, text: str = "", **parts: Any) -> dict[str, Any]:
    settings = draw(random, **parts.pop("settings", {}))
    return {"text": text or any_text(random), "settings": settings, **parts}


def _constant(random: random.Random) -> Drawn:
    rate = random.choice((1e-3, 2e-3, 3e-3))
    return _run(random, settings={"learning_rate": rate, "min_learning_rate": rate})


def _shaped(shape: str, hard: bool = False) -> Recipe:
    def recipe(random: random.Random) -> Drawn:
        rate = random.choice((1e-3, 2e-3, 3e-3))
        # The declared schedule is constant, as in trainers whose config does not say how the rate is shaped.
        settings = {"learning_rate": rate, "min_learning_rate": rate, "warmup_steps": 0}
        return _run(random, settings=settings, shape=shape, hard=hard)

    return recipe


def _small_batch(random: random.Random) -> Drawn:
    batch = random.choice((2, 3))
    settings = {
        "batch_size": batch,
        "context_length": 16,
        "max_steps": 500,
        "learning_rate": random.choice((5e-4, 1e-3)),
    }
    return _run(random, settings=settings, hard=True)


def _large_batch(random: random.Random) -> Drawn:
    batch = random.choice((64, 128, 256))
    settings = {"batch_size": batch, "context_length": 16, "n_layer": 1, "n_embd": 32, "n_ff": 64, "max_steps": 150}
    return _run(random, settings=settings)


def _rare_evaluation(random: random.Random) -> Drawn:
    settings = {"eval_interval": random.choice((100, 200, 500)), "eval_batches": random.choice((10, 30, 50))}
    return _run(random, settings=settings)


def _noisy_evaluation(random: random.Random) -> Drawn:
    return _run(
        random, settings={"eval_interval": 10, "eval_batches": 1, "batch_size": random.choice((2, 4, 8))}, hard=True
    )


def _sparse_log(random: random.Random) -> Drawn:
    return _run(random, settings={"log_interval": random.choice((10, 20, 50)), "max_steps": 600})


def _smoothed(random: random.Random) -> Drawn:
    return _run(random, log={"smooth": random.choice((0.8, 0.9, 0.98))}, hard=True)


def _loss_alone(random: random.Random) -> Drawn:
    return _run(random, log={"only": ["train/loss"]})


def _two_losses(random: random.Random) -> Drawn:
    return _run(random, log={"only": ["train/loss", "val/loss"]})


def _bpe(random: random.Random) -> Drawn:
    vocabulary = random.choice((300, 400, 600))
    return _run(random, text=random.choice(("docs", "code")), settings={"tokenizer": "bpe", "vocab_size": vocabulary})


def _finetune(random: random.Random) -> Drawn:
    text = random.choice(("docs", "code"))
    rate = random.choice((1e-4, 3e-4, 1e-3))
    settings = {"tokenizer": "byte", "learning_rate": rate, "warmup_steps": random.choice((0, 10))}
    return _run(random, text=text, settings=settings, start="finetune", hard=True)


def _resume(random: random.Random) -> Drawn:
    return _run(
        random, settings={"checkpoint_interval": random.choice((60, 80)), "max_steps": 250}, start="resume", hard=True
    )


def _samples(random: random.Random) -> Drawn:
    settings = {
        "sample_interval": 60,
        "sample_tokens": 80,
        "context_length": 32,
        "max_steps": 300,
        "learning_rate": 5e-3,
    }
    return _run(random, settings=settings)


def _dropout(random: random.Random) -> Drawn:
    # Training loss above validation loss from first to last: dropout is on for the one and off for the other.
    return _run(random, settings={"dropout": random.choice((0.1, 0.3))}, hard=True)


def _accumulation(random: random.Random) -> Drawn:
    return _run(random, settings={"batch_size": 4, "accumulation_steps": random.choice((2, 4)), "max_steps": 200})


def _grokking(random: random.Random) -> Drawn:
    # Validation loss climbs to twice its start while the sums are learned by heart, and falls to nothing long after.
    settings = {
        "modulus": random.choice((31, 37, 43)), "n_embd": random.choice((64, 96)), "learning_rate": random.choice((2e-3, 3e-3)),
        "weight_decay": random.choice((0.5, 1.0)), "max_steps": 2500, "log_interval": random.choice((5, 10)),
        "eval_interval": random.choice((25, 50, 100)),
    }  # fmt: skip
    return {
        "text": "modular-addition", "settings": settings, "start": "modular", "hard": True, "tolerated": ("overfitting",),
    }  # fmt: skip


def _batch_ramp(random: random.Random) -> Drawn:
    shown = ["train/loss", "val/loss", "train/grad_norm", "train/learning_rate"]  # the trainer's speeds know no ramp
    settings = {"batch_size": random.choice((16, 32, 64)), "context_length": 16, "max_steps": random.choice((300, 500))}
    return _run(random, settings=settings, feed="ramp", log={"only": shown}, hard=True)


def _stair_steps(random: random.Random) -> Drawn:
    # A few epochs of a small text without replacement: each new epoch begins lower, and inside it the loss rises again.
    settings = {
        "data_limit_characters": random.choice((50_000, 70_000)), "n_layer": 2, "n_embd": 64, "n_ff": 256, "context_length": 32,
        "batch_size": 16, "max_steps": 500, "learning_rate": 5e-3,
    }  # fmt: skip
    return _run(random, text=random.choice(("docs", "code")), settings=settings, hard=True)


def _in_order(random: random.Random) -> Drawn:
    # Chapters of prose and of code, read in their order in every epoch: the loss rises and falls with the chapter.
    settings = {"context_length": 32, "batch_size": random.choice((8, 16)), "max_steps": 500, "learning_rate": 2e-3}
    return _run(random, text="chapters", settings=settings, feed="in-order", hard=True)


def _continued(random: random.Random) -> Drawn:
    # Starts as low as it will get: a fine-tune on what the model knows.
    rate = random.choice((3e-5, 1e-4, 3e-4))
    settings = {
        "tokenizer": random.choice(("byte", "char")),
        "learning_rate": rate,
        "max_steps": random.choice((300, 600)),
    }
    return _run(random, settings=settings, start="continued", hard=True)


def _long(random: random.Random) -> Drawn:
    settings = {
        "max_steps": random.choice((1000, 1500, 2000, 3000)), "log_interval": random.choice((5, 10)), "batch_size": 8,
        "context_length": 32, "n_layer": 2, "n_embd": 32, "n_ff": 128, "eval_interval": random.choice((50, 100)),
        "eval_batches": 5, "warmup_steps": random.choice((0, 50, 100)), "learning_rate": random.choice((1e-3, 3e-3)),
    }  # fmt: skip
    parts = random.choice(({}, {}, {"shape": "wsd"}, {"shape": "restarts"}))
    if parts:
        settings |= {"min_learning_rate": settings["learning_rate"], "warmup_steps": 0}
    return _run(random, settings=settings, **parts)


HEALTHY: Mapping[str, tuple[int, Recipe]] = {
    "plain": (20, _run), "constant": (12, _constant), "linear": (12, _shaped("linear")), "wsd": (12, _shaped("wsd")),
    "restarts": (12, _shaped("restarts", hard=True)), "small-batch": (12, _small_batch), "large-batch": (12, _large_batch),
    "rare-evaluation": (12, _rare_evaluation), "noisy-evaluation": (12, _noisy_evaluation), "sparse-log": (12, _sparse_log),
    "smoothed-log": (12, _smoothed), "loss-alone": (10, _loss_alone), "two-losses": (10, _two_losses), "bpe": (12, _bpe),
    "finetune": (12, _finetune), "resume-rewinds": (12, _resume), "samples": (8, _samples), "dropout": (10, _dropout),
    "accumulation": (10, _accumulation), "grokking": (6, _grokking), "batch-ramp": (8, _batch_ramp), "stair-steps": (6, _stair_steps),
    "in-order": (6, _in_order), "continued": (8, _continued), "long": (12, _long),
}  # fmt: skip
