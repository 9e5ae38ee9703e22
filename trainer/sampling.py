"""Text from the model: temperature, top-k, top-p; greedy at temperature 0. Knows token ids, not prompts or reports."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.model import GPT


@dataclass(frozen=True, kw_only=True, slots=True)
class Taste:
    """How tokens are chosen. `top_k` 0 and `top_p` 1 keep all tokens; temperature 0 takes the likeliest."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    tokens: int = 120
    """Tokens to write."""


def probabilities(logits: Tensor, taste: Taste) -> Tensor:
    """Chances of the next token after temperature, top-k and top-p, shape (V,) like `logits`; at least one is positive."""
    if taste.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    logits = logits / taste.temperature
    if 0 < taste.top_k < logits.shape[-1]:
        # Ties with the k-th are kept: dropping some of equally likely tokens would be a choice by position.
        logits = logits.masked_fill(logits < logits.topk(taste.top_k).values[-1], -torch.inf)
    chances = logits.softmax(-1)
    if taste.top_p < 1:
        ordered, order = chances.sort(descending=True)
        beyond = ordered.cumsum(-1) - ordered >= taste.top_p  # the first token is never beyond
        chances = chances.index_fill(-1, order[beyond], 0.0)
    return chances / chances.sum()


@torch.no_grad()
def generate(model: GPT, prompt: Tensor, taste: Taste, seed: int) -> Tensor:
    """Token ids that continue `prompt` (shape (n,), n ≥ 1), at most `taste.tokens` of them, without the prompt.

    Own random numbers from `seed`: sampling never shifts those of training. A model that puts out non-finite numbers
    cannot choose: the text ends there, and may be empty. The model's mode (train or eval) is left as it was.
    """
    training = model.training
    model.eval()
    random = torch.Generator(device=prompt.device).manual_seed(seed)
    ids = prompt
    for _ in range(taste.tokens):
        window = ids[-model.shape.context_length :]
        logits = (model.hidden(window[None])[0, -1] @ model.tokens.weight.T).float()  # (V,)
        if not bool(torch.isfinite(logits).all()):
            break
        chosen = torch.multinomial(probabilities(logits, taste), 1, generator=random)
        ids = torch.cat([ids, chosen])
    model.train(training)
    return ids[len(prompt) :]
