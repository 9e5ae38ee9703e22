"""What a config will cost, by arithmetic alone: parameters, memory, tokens, epochs; and the checks before the start.

Pure, and without torch: the server never loads it. Parameters are exact for the trainer's model; the rest is an estimate
and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from dashboard.ui import format as fmt
from trainer.config import TrainConfig

Level = Literal["good", "warning", "critical"]

BYTES_PER_TOKEN = {"char": 1.0, "byte": 1.0, "bpe": 3.6}
"""Bytes of English text in one token; for `bpe` it is what a vocabulary of a few thousand pieces reaches."""

CHAR_VOCABULARY = 100
"""`char` finds its own vocabulary; English text has about this many characters."""

BUILT_IN_BYTES = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Sizes of a run. Bytes are bytes; `epochs` is None when the size of the data is unknown."""

    parameters: int
    state_bytes: int
    """Weights, gradients and AdamW's two moments in 32 bits: 16 bytes a parameter."""
    activation_bytes: int
    tokens_per_step: int
    total_tokens: int
    training_tokens: int | None
    epochs: float | None
    uniform_loss: float
    """ln of the vocabulary: the loss of a model that knows nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One pre-flight check: passed (`good`), doubtful (`warning`) or hopeless (`critical`), in one sentence."""

    level: Level
    name: str
    says: str


def vocabulary(config: TrainConfig) -> int:
    """Tokens in the vocabulary, as far as the config alone tells."""
    return {"char": CHAR_VOCABULARY, "byte": 256}.get(config.tokenizer, config.vocab_size)


def parameters(config: TrainConfig, vocab_size: int | None = None) -> int:
    """Weights of the model: tied embeddings counted once, no biases."""
    width, vocab = config.n_embd, vocab_size if vocab_size is not None else vocabulary(config)
    block = 4 * width * width + 2 * width * config.n_ff + 2 * width
    return vocab * width + config.context_length * width + config.n_layer * block + width


def estimate(config: TrainConfig, data_bytes: int | None) -> Estimate:
    """The sizes of a run on data of `data_bytes` bytes (None: unknown)."""
    count = parameters(config)
    tokens_per_step = config.batch_size * config.accumulation_steps * config.context_length
    available = _training_tokens(config, data_bytes)
    total = tokens_per_step * config.max_steps
    return Estimate(
        parameters=count,
        state_bytes=16 * count,
        activation_bytes=_activations(config),
        tokens_per_step=tokens_per_step,
        total_tokens=total,
        training_tokens=available,
        epochs=total / available if available else None,
        uniform_loss=math.log(vocabulary(config)),
    )


def _training_tokens(config: TrainConfig, data_bytes: int | None) -> int | None:
    if not data_bytes:
        return None
    used = min(data_bytes, config.data_limit_characters or data_bytes)
    return int(used * (1 - config.validation_fraction) / BYTES_PER_TOKEN[config.tokenizer])


def _activations(config: TrainConfig) -> int:
    # Kept for the backward pass, a token and a block: about 8 copies of the width and 2 of the feed-forward width, plus
    # logits and their gradient over the vocabulary. 4 bytes each; half of it in mixed precision.
    tokens = config.batch_size * config.context_length
    block = 8 * config.n_embd + 2 * config.n_ff
    return 4 * tokens * (config.n_layer * block + 2 * vocabulary(config))


def checks(config: TrainConfig, data_bytes: int | None, data_error: str | None) -> list[Check]:
    """What a careful person would look at before pressing Start, worst first."""
    sizes = estimate(config, data_bytes)
    found = [
        _data(config, sizes, data_error),
        _epochs(sizes),
        _rate(config),
        _warmup(config),
        _clipping(config),
        _evaluation(config),
        _memory(sizes),
    ]
    order = {"critical": 0, "warning": 1, "good": 2}
    return sorted((check for check in found if check), key=lambda check: order[check.level])


def _data(config: TrainConfig, sizes: Estimate, error: str | None) -> Check:
    if error:
        return Check("critical", "Data", error)
    tokens = sizes.training_tokens
    if tokens is None:
        return Check("warning", "Data", "The size of the data set is not known.")
    held_out = tokens * config.validation_fraction / (1 - config.validation_fraction)
    if min(tokens, held_out) <= config.context_length + 1:
        return Check(
            "critical",
            "Data",
            f"About {held_out:,.0f} tokens for validation cannot fill a context of {config.context_length}.",
        )
    if tokens < 200_000:
        return Check(
            "warning",
            "Data",
            f"About {tokens:,} tokens is little: the model will memorise it. 1 to 5 MB of text is a fair start.",
        )
    return Check("good", "Data", f"About {tokens:,} training tokens.")


def _epochs(sizes: Estimate) -> Check | None:
    if sizes.epochs is None:
        return None
    if sizes.epochs > 40:
        return Check(
            "warning",
            "Epochs",
            f"The data is read about {sizes.epochs:,.0f} times; past 10 or so a small model overfits.",
        )
    return Check("good", "Epochs", f"The data is read about {sizes.epochs:.2g} times.")


def _rate(config: TrainConfig) -> Check:
    rate, usual = config.learning_rate, "3e-4 to 1e-3 suits a small GPT"
    if rate > 1e-2:
        return Check(
            "critical" if rate > 0.1 else "warning",
            "Learning rate",
            f"{rate:g} is far above what AdamW bears; {usual}.",
        )
    if rate < 1e-5:
        return Check("warning", "Learning rate", f"{rate:g} hardly moves a model trained from scratch; {usual}.")
    return Check("good", "Learning rate", f"{rate:g} is in the usual range.")


def _warmup(config: TrainConfig) -> Check:
    if config.warmup_steps >= config.max_steps:
        return Check(
            "critical",
            "Warm-up",
            f"{config.warmup_steps:,} warm-up steps never end in a run of {config.max_steps:,} steps.",
        )
    if config.warmup_steps == 0:
        return Check(
            "warning",
            "Warm-up",
            "Without a warm-up the first steps are the most dangerous ones; 1 to 5 % of the steps is usual.",
        )
    if config.warmup_steps > config.max_steps // 2:
        return Check(
            "warning",
            "Warm-up",
            f"Warm-up takes {config.warmup_steps / config.max_steps:.0%} of the run; 1 to 5 % is usual.",
        )
    return Check("good", "Warm-up", f"{config.warmup_steps:,} of {config.max_steps:,} steps.")


def _clipping(config: TrainConfig) -> Check:
    if config.grad_clip == 0:
        return Check("warning", "Clipping", "Gradients are not clipped; 1.0 protects against a bad batch at no cost.")
    return Check("good", "Clipping", f"Gradient norms above {config.grad_clip:g} are scaled down.")


def _evaluation(config: TrainConfig) -> Check:
    if config.eval_interval > config.max_steps:
        return Check(
            "warning",
            "Evaluation",
            f"The first evaluation would come after the end (every {config.eval_interval:,} steps): overfitting cannot be seen.",
        )
    times = config.max_steps // config.eval_interval
    if times < 4:
        return Check(
            "warning",
            "Evaluation",
            f"Only {fmt.plural(times, 'evaluation')} in the whole run: overfitting is seen late.",
        )
    return Check("good", "Evaluation", f"{times:,} evaluations, {config.eval_batches} batches each.")


def _memory(sizes: Estimate) -> Check:
    total = sizes.state_bytes + sizes.activation_bytes
    words = f"About {total / 2**30:.2g} GiB for weights, optimizer and activations"
    if total > 64 * 2**30:
        return Check(
            "warning",
            "Memory",
            f"{words}: more than most single GPUs have; a smaller batch with accumulation needs less.",
        )
    return Check("good", "Memory", words + ".")
