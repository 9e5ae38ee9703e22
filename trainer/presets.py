"""The presets: named starting points, each a few changes to the defaults of `TrainConfig`. Standard library only."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.config import ConfigError, TrainConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """A named starting point. `note` says what it is for; `changes` is what differs from the defaults."""

    name: str
    note: str
    changes: Mapping[str, Any]


PRESETS: tuple[Preset, ...] = (
    Preset(
        "minimal",
        "About 1.3 million parameters; minutes on a CPU. The place to start.",
        {"n_layer": 4, "n_head": 4, "n_embd": 128, "n_ff": 512, "context_length": 128, "max_steps": 2000},
    ),
    Preset(
        "small",
        "About 7 million parameters; an hour on a CPU. Width 258, because 6 heads do not divide 256.",
        {
            "n_layer": 6, "n_head": 6, "n_embd": 258, "n_ff": 1024, "context_length": 256, "vocab_size": 8192,
            "learning_rate": 6e-4, "min_learning_rate": 6e-5, "warmup_steps": 200, "max_steps": 5000, "dropout": 0.1,
        },
    ),
    Preset(
        "medium",
        "About 33 million parameters; wants a GPU.",
        {
            "n_layer": 8, "n_head": 8, "n_embd": 512, "n_ff": 2048, "context_length": 512, "vocab_size": 16_384,
            "learning_rate": 3e-4, "min_learning_rate": 3e-5, "warmup_steps": 500, "max_steps": 20_000, "dropout": 0.1,
            "batch_size": 32, "eval_interval": 250, "sample_interval": 500, "checkpoint_interval": 1000,
        },
    ),
    Preset(
        "char-gpt",
        "About 11 million parameters on characters; wants a GPU, hours on a CPU.",
        {
            "tokenizer": "char", "n_layer": 6, "n_head": 6, "n_embd": 384, "n_ff": 1536, "context_length": 256,
            "batch_size": 64, "max_steps": 5000, "dropout": 0.2, "beta2": 0.99, "eval_interval": 250, "sample_interval": 500,
        },
    ),
    Preset(
        "nanogpt-cpu",
        "The CPU setting that nanoGPT publishes (characters, context 64, batch 12, 2,000 steps) at twice its learning rate, "
        "which a model of this size bears; two minutes on a laptop.",
        {
            "tokenizer": "char", "n_layer": 4, "n_head": 4, "n_embd": 128, "n_ff": 512, "context_length": 64,
            "batch_size": 12, "max_steps": 2000, "learning_rate": 2e-3, "beta2": 0.99, "eval_interval": 250, "sample_interval": 500,
        },
    ),
)  # fmt: skip


def preset(name: str) -> Preset:
    """The preset of that name, or `ConfigError` naming those that exist."""
    for candidate in PRESETS:
        if candidate.name == name:
            return candidate
    names = [candidate.name for candidate in PRESETS]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError("preset", f"unknown preset {name[:80]!r}; {hint}presets are: {', '.join(names)}")


def build(values: Mapping[str, Any]) -> TrainConfig:
    """A checked config: the defaults, then the named preset's changes, then the given values."""
    name = values.get("preset", "minimal")
    if not isinstance(name, str):
        raise ConfigError("preset", f"preset = {name!r} is not a name")
    return TrainConfig.from_mapping({**preset(name).changes, **values, "preset": name})
