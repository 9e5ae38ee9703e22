"""Modular addition by a small network: the task on which generalisation comes long after memorisation ("grokking").

A loop of its own, because the trainer learns texts: half of all sums a + b mod p are trained on in full batches, the others
are held out. Training loss falls to nothing in a few hundred steps while validation loss climbs far above where it began; then
weight decay wears the memory off, and validation loss falls to nothing as well. Logged as the trainer would log it.
See Power et al., "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets", arXiv:2201.02177.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.zoo.reporter import Recording

TRAINED = 0.5
"""Share of the sums that are trained on."""
BETAS = (0.9, 0.98)


class Adder(nn.Module):
    """Both numbers are embedded by one table, added, and sent through one hidden layer."""

    def __init__(self, modulus: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(modulus, width)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, modulus))

    def forward(self, pairs: Tensor) -> Tensor:
        """Pairs (n, 2) → logits (n, modulus)."""
        logits: Tensor = self.layers(self.table(pairs).sum(1))
        return logits


def config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the run declares."""
    return {
        **settings, "vocab_size": settings["modulus"], "dataset": "modular-addition", "min_learning_rate": settings["learning_rate"],
        "warmup_steps": 10, "grad_clip": 0.0,
    }  # fmt: skip


def train(settings: Mapping[str, Any], run: Recording) -> None:
    """Train over `max_steps` full batches and log to the run."""
    modulus, rate = int(settings["modulus"]), float(settings["learning_rate"])
    torch.manual_seed(int(settings["seed"]))
    pairs = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus))
    pairs = pairs[torch.randperm(len(pairs))]
    sums = pairs.sum(1) % modulus
    cut = int(len(pairs) * TRAINED)
    model = Adder(modulus, int(settings["n_embd"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=BETAS, weight_decay=settings["weight_decay"])
    run.log({"val/loss": _loss(model, pairs[cut:], sums[cut:])}, 0)
    for step in range(1, int(settings["max_steps"]) + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 10)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(pairs[:cut]), sums[:cut])
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        optimizer.step()
        if step % int(settings["log_interval"]) == 0:
            values = {"train/loss": float(loss.detach()), "train/learning_rate": rate * min(1.0, step / 10)}
            run.log({**values, "train/grad_norm": float(norm)}, step)
        if step % int(settings["eval_interval"]) == 0:
            run.log({"val/loss": _loss(model, pairs[cut:], sums[cut:])}, step)
    run.finish()


@torch.no_grad()
def _loss(model: Adder, pairs: Tensor, sums: Tensor) -> float:
    return float(functional.cross_entropy(model(pairs), sums))
