"""What a run's config says, whichever trainer wrote it: vocabulary, planned steps, clip, rate, warm-up. Never guesses.

Settings are found by their last name at any depth (`trainer.args.max_steps`), because every trainer nests its own way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.roles import normal

NAMES: Mapping[str, tuple[str, ...]] = {
    "vocab_size": ("vocab_size", "vocabulary_size", "n_vocab", "vocab", "vocabulary", "padded_vocab_size"),
    "planned_steps": (
        "max_steps", "max_iters", "total_steps", "num_training_steps", "train_steps", "training_steps", "num_steps",
        "num_iterations", "max_iterations", "train_iters", "total_iters", "planned_steps",
    ),
    "peak_rate": ("learning_rate", "lr", "max_lr", "peak_lr", "max_learning_rate"),
    "warmup_steps": ("warmup_steps", "warmup_iters", "num_warmup_steps", "lr_warmup_steps", "lr_warmup_iters", "warmup"),
    "grad_clip": ("grad_clip", "max_grad_norm", "clip_grad_norm", "gradient_clip_val", "clip_grad", "max_norm", "grad_clip_norm"),
    "weight_decay": ("weight_decay", "wd"),
    "temperature": ("temperature", "sample_temperature"),
    "top_k": ("top_k",),
}  # fmt: skip
ORIGINS = (
    "resume",
    "init_from",
    "model_name_or_path",
    "pretrained_model_name_or_path",
    "pretrained",
    "base_model",
    "finetune",
)
"""Settings that say where the weights come from."""

OPTIMIZERS = ("optimizer", "optim", "optimizer_name", "optimizer_type")
OTHER_RATES = re.compile(r"sgd|momentum|adagrad|adadelta|adafactor|nesterov|prodigy|dadapt|muon|lamb(?!da)|lars")
"""Optimizers whose steps are not about as large as their rate: 0.1 and 1.0 are no large ones there. Adafactor's, LAMB's and
LARS's are the rate times the size of the weights; Muon's spread the rate over a whole matrix, and 0.02 is usual."""

ADAMS_KIN = re.compile(r"adam|rmsprop|lion")
"""Optimizers whose steps are as large as Adam's: about the rate, whatever the gradients' size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """The few settings that rules use; None where the config does not say."""

    vocab_size: int | None = None
    planned_steps: int | None = None
    peak_rate: float | None = None
    warmup_steps: int | None = None
    grad_clip: float | None = None
    """Largest gradient norm; 0 means declared off."""
    weight_decay: float | None = None
    temperature: float | None = None
    """At which samples are written; 0 takes the likeliest token."""
    top_k: int | None = None
    from_scratch: bool | None = None
    """Whether the weights began at random, where the config says."""
    adam: bool = False
    """Whether the optimizer is said to be Adam or one of its kin."""
    other_rates: bool = False
    """Whether the optimizer is said to be one whose steps are not about as large as its rate, as Adam's are."""

    @property
    def uniform_loss(self) -> float | None:
        """ln of the vocabulary: the loss of a model that knows nothing."""
        return math.log(self.vocab_size) if self.vocab_size else None


def read_facts(config: Mapping[str, Any]) -> Facts:
    """The facts in a config of any shape. What is missing or makes no sense is None."""
    flat = _flatten(config)
    number = {fact: _first_number(flat, names) for fact, names in NAMES.items()}
    vocabulary = _whole(number["vocab_size"], 2)
    tokenizer = str(flat.get("tokenizer", ""))
    if tokenizer in ("byte", "char"):
        # These have their own vocabulary, whatever vocab_size says; that of characters depends on the text.
        vocabulary = 256 if tokenizer == "byte" else _whole(_first_number(flat, ("actual_vocab_size",)), 2)
    planned = _whole(number["planned_steps"], 1)
    warmup = number["warmup_steps"]
    if warmup is not None and 0 < warmup < 1 and planned:
        warmup *= planned
    optimizers = [str(flat.get(name, "")).lower() for name in OPTIMIZERS]
    return Facts(
        vocab_size=vocabulary,
        planned_steps=planned,
        peak_rate=number["peak_rate"] if number["peak_rate"] else None,
        warmup_steps=_whole(warmup, 0),
        grad_clip=number["grad_clip"],
        weight_decay=number["weight_decay"],
        temperature=number["temperature"],
        top_k=_whole(number["top_k"], 1),
        from_scratch=_from_scratch(flat),
        adam=any(ADAMS_KIN.search(said) for said in optimizers),
        other_rates=any(OTHER_RATES.search(said) for said in optimizers),
    )


def unread(config: Mapping[str, Any]) -> dict[str, str]:
    """Settings that would be facts and hold a text that is no number, by name: they say nothing here."""
    flat = _flatten(config)
    known = [name for names in NAMES.values() for name in names]
    return {
        name: flat[name] for name in known if isinstance(flat.get(name), str) and _first_number(flat, (name,)) is None
    }


def _flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    waiting: list[tuple[Mapping[str, Any], int]] = [(config, 0)]
    while waiting:  # breadth first: the outermost setting of a name wins
        level, depth = waiting.pop(0)
        for name, value in level.items():
            if isinstance(value, Mapping):
                if depth < 8:
                    waiting.append((value, depth + 1))
            else:
                flat.setdefault(normal(str(name).rsplit(".", 1)[-1].rsplit("/", 1)[-1]), value)
    return flat


def _first_number(flat: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    for name in names:
        value = flat.get(name)
        try:
            value = float(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else value
        except (ValueError, OverflowError):
            continue
        if isinstance(value, float) and math.isfinite(value) and value >= 0:
            return value
    return None


def _whole(value: float | None, least: int) -> int | None:
    return int(value) if value is not None and least <= value < 2**53 else None


def _from_scratch(flat: Mapping[str, Any]) -> bool | None:
    said: bool | None = None
    for name in ORIGINS:
        if name in flat:
            value = flat[name]
            if str(value).lower() not in ("", "none", "false", "scratch", "0", "null"):
                return False
            said = True
    return said
