"""What sick and healthy families share: small models, and the settings that vary among them. Pure."""

from __future__ import annotations

import random
from typing import Any

TEXTS = ("docs", "code", "sums", "words")
SIZES = (
    {"n_layer": 2, "n_embd": 32},
    {"n_layer": 2, "n_embd": 48},
    {"n_layer": 3, "n_embd": 32},
    {"n_layer": 1, "n_embd": 64},
)


def draw(random: random.Random, **fixed: Any) -> dict[str, Any]:
    """Settings of a small run that works, all that real runs vary in among them; `fixed` settles some."""
    size = random.choice(SIZES)
    steps = random.choice((200, 250, 300, 400))
    drawn: dict[str, Any] = {
        **size, "n_ff": 4 * size["n_embd"], "n_head": 2, "context_length": random.choice((16, 32)), "device": "cpu",
        "tokenizer": random.choice(("char", "char", "byte")), "batch_size": random.choice((4, 8, 8, 16)),
        "max_steps": steps, "learning_rate": random.choice((1e-3, 2e-3, 3e-3, 5e-3)),
        "warmup_steps": random.choice((0, 10, 20, 40)), "beta2": random.choice((0.95, 0.99, 0.999)),
        "weight_decay": random.choice((0.0, 0.01, 0.1)), "grad_clip": random.choice((0.5, 1.0, 1.0, 5.0)),
        "eval_interval": random.choice((10, 20, 25, 50)), "eval_batches": random.choice((2, 5, 10)),
        "log_interval": random.choice((1, 1, 1, 2, 5)), "sample_interval": 0, "checkpoint_interval": 0,
    }  # fmt: skip
    drawn |= fixed
    drawn.setdefault("min_learning_rate", drawn["learning_rate"] * random.choice((0.0, 0.1)))
    return drawn


def any_text(random: random.Random) -> str:
    """One of the texts, all of which a small model can learn something from."""
    return random.choice(TEXTS)
