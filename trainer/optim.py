"""AdamW with its decay and no-decay groups, and the norms that vitals are made of. The schedule is in `trainer.schedule`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainer.config import TrainConfig


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups: matrices and embeddings decay, norms and biases (one dimension) do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over the model's groups; one fused kernel per group instead of a dozen small ones."""
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups(model, config.weight_decay), lr=config.learning_rate, betas=betas, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` for the next step of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def gradient_norms(parameters: Sequence[nn.Parameter]) -> Tensor:
    """L2 norm of each parameter's gradient, shape (n,); 0 where there is none."""
    gradients = [p.grad if p.grad is not None else torch.zeros(1, device=p.device) for p in parameters]
    return torch.stack(torch._foreach_norm(gradients))


def clip(parameters: Sequence[nn.Parameter], total: Tensor, limit: float) -> None:
    """Scale all gradients so that their total norm is at most `limit`. A non-finite norm is let through as it is.

    `total` is the norm before clipping, shape (). NaN × anything is NaN: hiding it here would hide the illness.
    """
    scale = (limit / (total + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], scale)


def copy_matrices(model: nn.Module) -> list[Tensor]:
    """The matrices as they are now, to measure the next update against."""
    return [p.detach().clone() for p in model.parameters() if p.dim() >= 2]


def update_ratio(model: nn.Module, before: Sequence[Tensor]) -> Tensor:
    """Norm of the weight update ÷ norm of the weights before it, matrices only, shape ()."""
    now = [p.detach() for p in model.parameters() if p.dim() >= 2]
    moved = torch._foreach_sub(now, list(before))
    ratio: Tensor = _total(moved) / _total(list(before)).clamp(min=1e-30)
    return ratio


def _total(tensors: Sequence[Tensor]) -> Tensor:
    norm: Tensor = torch.stack(torch._foreach_norm(list(tensors))).norm()
    return norm
