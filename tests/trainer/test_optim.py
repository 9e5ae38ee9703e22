"""Groups, norms, clipping: what the optimizer is told, and that non-finite gradients are not hidden."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.config import TrainConfig
from trainer.model import GPT, Shape
from trainer.optim import clip, copy_matrices, gradient_norms, groups, make_optimizer, set_rate, update_ratio


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(0)
    return GPT(Shape(vocab_size=50, n_layer=2, n_head=2, n_embd=16, n_ff=32, context_length=12))


def parameters(*gradients: list[float]) -> list[nn.Parameter]:
    made = [nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return made


def test_matrices_decay_norms_and_biases_do_not(model: GPT) -> None:
    model.add_module("extra", nn.Linear(4, 4, bias=True))
    decayed, kept = groups(model, 0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    in_decayed = {names[id(p)] for p in decayed["params"]}  # type: ignore[attr-defined]
    in_kept = {names[id(p)] for p in kept["params"]}  # type: ignore[attr-defined]
    assert decayed["weight_decay"] == 0.1 and kept["weight_decay"] == 0.0
    assert in_decayed | in_kept == set(names.values()) and not in_decayed & in_kept
    assert {"tokens.weight", "blocks.0.attention.qkv.weight", "extra.weight"} <= in_decayed
    assert {"norm.weight", "blocks.1.norm2.weight", "extra.bias"} <= in_kept


def test_decay_shrinks_matrices_alone(model: GPT, config: Callable[..., TrainConfig]) -> None:
    optimizer = make_optimizer(model, config(learning_rate=0.1, weight_decay=1.0))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    matrix, norm = model.tokens.weight.detach().clone(), model.norm.weight.detach().clone()
    optimizer.step()
    assert torch.allclose(model.tokens.weight, 0.9 * matrix)
    assert torch.equal(model.norm.weight, norm)


def test_the_betas_and_the_rate_are_the_configs(model: GPT, config: Callable[..., TrainConfig]) -> None:
    optimizer = make_optimizer(model, config(beta1=0.8, beta2=0.99))
    set_rate(optimizer, 0.25)
    assert [(group["betas"], group["lr"]) for group in optimizer.param_groups] == [((0.8, 0.99), 0.25)] * 2


def test_norms_are_per_parameter_and_zero_where_there_is_no_gradient() -> None:
    some = parameters([3.0, 4.0], [12.0])
    without = nn.Parameter(torch.zeros(2))
    norms = gradient_norms([*some, without])
    assert norms.tolist() == [5.0, 12.0, 0.0] and norms.norm().item() == 13.0


@pytest.mark.parametrize(("limit", "expected"), [(6.5, 6.5), (13.0, 13.0), (100.0, 13.0)])
def test_clipping_scales_all_gradients_down_to_the_limit_and_never_up(limit: float, expected: float) -> None:
    some = parameters([3.0, 4.0], [12.0])
    clip(some, gradient_norms(some).norm(), limit)
    assert gradient_norms(some).norm().item() == pytest.approx(expected, rel=1e-5)
    ours = torch.cat([p.grad for p in some])  # type: ignore[misc]
    assert torch.allclose(ours / ours.norm(), torch.tensor([3.0, 4.0, 12.0]) / 13)


def test_clipping_agrees_with_torch(model: GPT) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    copies = [nn.Parameter(p.detach().clone()) for p in model.parameters()]
    for copy, parameter in zip(copies, model.parameters(), strict=True):
        copy.grad = parameter.grad.clone()  # type: ignore[union-attr]
    mine = list(model.parameters())
    total = gradient_norms(mine).norm()
    assert torch.allclose(total, nn.utils.clip_grad_norm_(copies, 1.0))
    clip(mine, total, 1.0)
    assert all(torch.allclose(a.grad, b.grad) for a, b in zip(mine, copies, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_stays_visible(bad: float) -> None:
    some = parameters([1.0, bad], [2.0])
    total = gradient_norms(some).norm()
    assert not math.isfinite(total.item())
    clip(some, total, 1.0)
    assert not all(torch.isfinite(p.grad).all() for p in some)  # type: ignore[arg-type]


def test_update_ratio_is_the_share_by_which_the_matrices_moved(model: GPT) -> None:
    before = copy_matrices(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.001 if parameter.dim() >= 2 else 50.0)
    assert update_ratio(model, before).item() == pytest.approx(1e-3, rel=1e-2)
    assert update_ratio(model, copy_matrices(model)).item() == 0.0
