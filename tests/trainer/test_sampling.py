"""Choosing the next token: greedy, temperature, top-k, top-p; and generating from a model."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.model import GPT, Shape
from trainer.sampling import Taste, generate, probabilities

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=40).map(torch.tensor)


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(0)
    return GPT(Shape(vocab_size=20, n_layer=1, n_head=2, n_embd=16, n_ff=32, context_length=8))


@given(LOGITS, st.floats(0.05, 10), st.integers(0, 50), st.floats(0.01, 1))
def test_chances_are_chances_whatever_is_asked(
    logits: torch.Tensor, temperature: float, top_k: int, top_p: float
) -> None:
    chances = probabilities(logits, Taste(temperature=temperature, top_k=top_k, top_p=top_p))
    assert chances.sum().item() == pytest.approx(1, abs=1e-4)
    # Nearly equal logits can tie after rounding: then any of the likeliest must stay.
    likely = (logits / temperature).softmax(-1)
    assert (chances >= 0).all() and chances[likely == likely.max()].max() > 0


@given(LOGITS)
def test_temperature_zero_takes_the_likeliest(logits: torch.Tensor) -> None:
    chances = probabilities(logits, Taste(temperature=0))
    assert chances.argmax() == logits.argmax() and chances.max() == 1 and chances.sum() == 1


@given(st.permutations(list(range(12))), st.integers(1, 12))
def test_top_k_keeps_the_k_likeliest(order: list[int], top_k: int) -> None:
    logits = torch.tensor(order, dtype=torch.float32)
    kept = probabilities(logits, Taste(temperature=1, top_k=top_k)) > 0
    assert kept.sum() == top_k and logits[kept].min() >= 12 - top_k


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    for top_p, count in ((0.01, 1), (0.49, 1), (0.6, 2), (0.9, 3), (1.0, 4)):
        assert int((probabilities(logits, Taste(temperature=1, top_p=top_p)) > 0).sum()) == count
    assert probabilities(logits, Taste(temperature=1, top_p=0.6)).tolist() == pytest.approx([0.625, 0.375, 0, 0])


def test_a_lower_temperature_is_surer() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0])
    best = [probabilities(logits, Taste(temperature=t)).max().item() for t in (2.0, 1.0, 0.5)]
    assert best == sorted(best) and best[0] < best[2]


def test_the_same_seed_writes_the_same_and_leaves_trainings_numbers_alone(model: GPT) -> None:
    prompt = torch.tensor([1, 2, 3])
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = generate(model, prompt, Taste(tokens=30), seed=9)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, generate(model, prompt, Taste(tokens=30), seed=9))
    assert not torch.equal(first, generate(model, prompt, Taste(tokens=30), seed=10))
    assert len(first) == 30, "longer than the context: the window slides"


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_left_as_it_was(model: GPT, training: bool) -> None:
    model.train(training)
    generate(model, torch.tensor([1]), Taste(tokens=2), seed=0)
    assert model.training == training


def test_greedy_text_follows_the_model_step_by_step(model: GPT) -> None:
    ids = [3]
    for _ in range(5):
        ids.append(int(model.eval()(torch.tensor([ids]))[0, -1].argmax()))
    assert generate(model, torch.tensor([3]), Taste(temperature=0, tokens=5), seed=0).tolist() == ids[1:]


def test_a_model_of_nan_writes_nothing_and_does_not_crash(model: GPT) -> None:
    with torch.no_grad():
        model.norm.weight.fill_(math.nan)
    assert generate(model, torch.tensor([3]), Taste(tokens=5), seed=0).tolist() == []
